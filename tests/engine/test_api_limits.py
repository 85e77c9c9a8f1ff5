"""The HTTP API at its limits, and from its start to its end as a person has it."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import soundfile

from audiocur.config import job
from audiocur.engine.api import Api, served

SLOW = '''
import time
from dataclasses import dataclass

import pyarrow as pa

from audiocur.op import Column, ModelOp


@dataclass(frozen=True, kw_only=True)
class Slow(ModelOp):
    """Two seconds a batch."""

    name = "slow"
    writes = (Column("slow", pa.bool_(), "", "true"),)

    def load(self, device):
        return None

    def measure_batch(self, clips, model):
        time.sleep(2)
        return [{"slow": True} for _ in clips]
'''


def ask(url: str, data: bytes) -> tuple[int, dict, dict]:
    """Status, answer and headers."""
    try:
        with urllib.request.urlopen(url, data, timeout=120) as answer:
            return answer.status, json.load(answer), dict(answer.headers)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error), dict(error.headers)


def second() -> bytes:
    """One second of noise as a WAV."""
    file = io.BytesIO()
    soundfile.write(file, np.random.default_rng(0).uniform(-0.2, 0.2, (16_000, 2)), 16_000, format="WAV")
    return file.getvalue()


COMMAND = [sys.executable, "-m", "audiocur", "serve", "engine.cpus=1", "engine.object_store_mb=100"]


def test_a_busy_port_is_one_line(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run(
            [*COMMAND, f"serve.port={port}"], capture_output=True, text=True, timeout=60, cwd=tmp_path
        )
    assert (done.returncode, done.stdout) == (2, "")
    said = f"audiocur: serve.host=127.0.0.1 serve.port={port}: expected a free port of this machine"
    assert done.stderr.startswith(said)
    assert done.stderr.count("\n") == 1


def processes(folder: Path) -> list[str]:
    """Commands of those that were started with this temporary folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"TMPDIR={folder}".encode() in path.read_bytes().split(b"\0"):
                found.append((path.parent / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:  # it has ended, or is somebody else's
            continue
    return found


@pytest.mark.slow
def test_when_more_wait_than_may_or_it_takes_too_long_it_says_so_and_goes_on(tmp_path):
    api = Api(port=0, waiting=2, workers=1, timeout_s=5)
    (tmp_path / "op_of_test_api_limits.py").write_text(SLOW)
    (tmp_path / "measure").mkdir()
    (tmp_path / "measure/slow.yaml").write_text("# Slow.\n_target_: op_of_test_api_limits.Slow\n")
    engine = ["engine=ray", "engine.cpus=2", "engine.object_store_mb=100"]
    words = ["recipe=debug", "pipeline=[decode,segment,encode,slow]", "placement.slow.batch_clips=1", *engine]
    data = second()
    with (
        served(job(words, [tmp_path], to_run=False), api) as address,
        ThreadPoolExecutor(12) as threads,
    ):
        while ask(f"{address}/v1/clip", data)[0] == 504:
            pass  # the first of all waits for imports
        answers = list(threads.map(lambda _: ask(f"{address}/v1/clip", data), range(12)))
        statuses = [status for status, _, _ in answers]
        assert set(statuses) == {200, 503, 504}
        for status, answer, headers in answers:
            if status == 503:
                assert re.fullmatch(r"\d+ requests wait already; try again later", answer["error"])
                assert int({name.lower(): value for name, value in headers.items()}["retry-after"]) >= 1
            if status == 504:
                assert answer == {"error": "no answer within 5 s (serve.timeout_s)"}
        time.sleep(4)
        assert ask(f"{address}/v1/clip", data)[0] == 200


@pytest.mark.slow
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_without_a_trace(tmp_path, end):
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    environment = {**os.environ, "TMPDIR": str(temporary)}
    words = ["recipe=debug", "engine=ray", "serve.port=0", "pipeline=[decode,segment,loudness,encode]"]
    with subprocess.Popen(
        [*COMMAND, *words], env=environment, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        first = child.stdout.readline()
        found = re.match(r"(http://127\.0\.0\.1:\d+) serves decode, segment, loudness, encode\n", first)
        assert found, child.communicate(timeout=60)
        assert child.stdout.readline() == f"curl --data-binary @song.flac {found[1]}/v1/clip\n"
        assert ask(f"{found[1]}/v1/clip?columns=channels", second())[:2] == (200, {"channels": 2})
        child.send_signal(end)
        out, err = child.communicate(timeout=60)
    assert (child.returncode, err) == (130, "")
    assert out.endswith("audiocur serve: ended\n")
    for _ in range(40):
        if not processes(temporary):
            break
        time.sleep(0.25)
    assert processes(temporary) == []
    # Where the path of a folder is too long for Ray's sockets, /tmp takes its place.
    assert [*temporary.iterdir(), *Path("/tmp").glob(f"audiocur-{child.pid}-*")] == []
