from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from audiocur.errors import RunError
from audiocur.setup import set_up


@pytest.fixture(autouse=True)
def _own_temp(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)


def test_commands_run_once_a_node_however_many_processes_ask(tmp_path):
    commands = [f"sleep 0.3; echo x >> {tmp_path}/log", f"echo y >> {tmp_path}/log"]
    code = f"from audiocur.setup import set_up; set_up({commands!r}, 'a')"
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda _: subprocess.run([sys.executable, "-c", code], check=True), range(4)))
    assert len(done) == 4
    assert (tmp_path / "log").read_text() == "x\ny\n"
    set_up([f"echo z >> {tmp_path}/log"], "a")
    set_up([f"echo z >> {tmp_path}/log"], "b")
    assert (tmp_path / "log").read_text() == "x\ny\nz\nz\n"


def test_a_command_that_fails_stops_the_run_with_its_last_words(tmp_path):
    with pytest.raises(RunError, match=r"`echo wrong; exit 3` ended with status 3: wrong"):
        set_up(["echo wrong; exit 3"], "a")
    with pytest.raises(RunError):
        set_up(["echo wrong; exit 3"], "a")
