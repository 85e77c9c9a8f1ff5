"""An op's own packages, environment variables and setup commands, in workers of Ray's."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import soundfile

from audiocur.engine.local import LocalEngine
from audiocur.engine.ray import RayEngine
from audiocur.errors import ConfigError, RunError
from audiocur.job import Job
from audiocur.op import Column, Device, ModelOp
from audiocur.ops.segment.window import Window
from audiocur.ops.transform.decode import Decode
from audiocur.ops.transform.encode import Encode
from audiocur.pipeline import Pipeline
from audiocur.placement import Placement, Via
from audiocur.records import Clip
from audiocur.run import run
from audiocur.store.ledger import read_ledger


@dataclass(frozen=True, kw_only=True)
class Worldly(ModelOp):
    """Says what it finds: a variable, a package, the lines of a file."""

    name = "worldly"
    writes = (Column("found", pa.string(), "", "of its world"),)
    file: str = ""
    package: str = ""

    def load(self, device: Device) -> str:
        import importlib
        import os

        its = importlib.import_module(self.package).ANSWER if self.package else ""
        return f"{os.environ.get('AUDIOCUR_TEST_WORLD')} {its} {Path(self.file).read_text() if self.file else ''}"

    def measure_batch(self, clips: Sequence[Clip], model: str) -> list[dict[str, Any]]:
        return [{"found": model} for _ in clips]


@pytest.fixture(scope="module")
def library(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("library")
    for number in range(4):
        soundfile.write(folder / f"{number}.wav", np.full((8000 * 3, 1), 0.1), 8000)
    return folder


def found(library, output, op, engine=None, **placement):
    steps = (Decode() >> Window(length_s=2, min_s=1) >> Encode() >> op).steps
    pipeline = Pipeline(steps, {}, {"worldly": Placement(**placement)})
    run(Job.of(pipeline, library, output, engine=engine or RayEngine(cpus=2, object_store_mb=100)))
    return {row["found"] for row in read_ledger(output).to_pylist() if row["clip_id"]}


def setup_of(tmp_path):
    return [f"echo one >> {tmp_path}/setup", f"echo two >> {tmp_path}/setup"]


@pytest.mark.slow
@pytest.mark.parametrize("via", [Via.task, Via.actor])
def test_variables_and_commands_are_there_before_the_model_is_loaded(library, tmp_path, via):
    where = {"via": via, "cpus": 0.5, "env": {"AUDIOCUR_TEST_WORLD": "mine"}, "setup": setup_of(tmp_path)}
    if via is Via.actor:
        where["actors"] = [2]
    assert found(library, tmp_path / "run", Worldly(file=f"{tmp_path}/setup"), **where) == {"mine  one\ntwo\n"}


@pytest.mark.slow
def test_a_setup_command_that_fails_stops_the_run(library, tmp_path):
    with pytest.raises(RunError, match="setup command `exit 7` ended with status 7"):
        found(library, tmp_path / "run", Worldly(), via=Via.actor, cpus=0.5, setup=["exit 7"])


def test_the_local_engine_has_one_world(library, tmp_path):
    where = {"setup": setup_of(tmp_path)}
    file = f"{tmp_path}/setup"
    assert found(library, tmp_path / "run", Worldly(file=file), LocalEngine(), **where) == {"None  one\ntwo\n"}
    with pytest.raises(ConfigError, match=r"placement\.worldly\.env: engine=local is one process"):
        found(library, tmp_path / "other", Worldly(), LocalEngine(), env={"A": "b"})


@pytest.mark.slow
def test_packages_of_its_own_are_installed_for_its_workers_alone(library, tmp_path):
    wheel = tmp_path / "audiocur_test_world-1.0-py3-none-any.whl"
    info = "audiocur_test_world-1.0.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("audiocur_test_world.py", "ANSWER = 42\n")
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: audiocur-test-world\nVersion: 1.0\n")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    where = {"via": Via.actor, "cpus": 0.5, "runtime_env": {"pip": [str(wheel)]}}
    assert found(library, tmp_path / "run", Worldly(package="audiocur_test_world"), **where) == {"None 42 "}
    with pytest.raises(ModuleNotFoundError):
        import audiocur_test_world  # noqa: F401
