"""One driver at a time: who holds a run, when it may be taken over, and how the one that lost it learns of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from audiocur.errors import OutputError, RunError
from audiocur.storage import open_store
from audiocur.store import lease as lease_module
from audiocur.store.lease import LEASE, is_live, taken
from audiocur.store.ledger import Ledger, epoch_file

ELSEWHERE = {"host": "elsewhere", "pid": 1, "machine": "another boot", "started": "5"}
HOLD = """
import sys
from audiocur.storage import open_store
from audiocur.store.lease import taken
with taken(open_store(sys.argv[1]), {}, print) as lease:
    print("epoch", lease.epoch, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def run(tmp_path):
    return open_store(tmp_path / "run")


@pytest.fixture
def holder(run):
    """Another process that holds the run."""
    command = [sys.executable, "-c", HOLD, str(run)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "epoch 1\n"
        yield process
        process.kill()


def said_by(run, **owner):
    """Put an epoch and a lease there as a driver would that has not ended."""
    run.write(epoch_file(1), json.dumps({"epoch": 1, "owner": {**ELSEWHERE, **owner}, "parts": []}).encode())
    run.write(LEASE, json.dumps({"epoch": 1, "beats": 7, "released": False}).encode())


def owner_of(run, epoch=1):
    return json.loads(run.read(epoch_file(epoch)))["owner"]


def lease_of(run):
    return json.loads(run.read(LEASE))


def take(run):
    """Take the run and give it back; its epoch, and what was said meanwhile."""
    said: list[str] = []
    with taken(run, {}, said.append) as lease:
        return lease.epoch, said


def wait_for(condition, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert condition()


def test_a_run_that_nobody_has_is_taken_and_given_back(run):
    assert not is_live(run)
    with taken(run, {"environment": {"numpy": "2"}}, print) as lease:
        lease.check()
        assert (lease.epoch, lease.ledger.epoch) == (1, 1)
        assert is_live(run)
        assert lease_of(run)["released"] is False
    assert not is_live(run)
    assert lease_of(run)["released"] is True
    said = json.loads(run.read(epoch_file(1)))
    assert said["environment"] == {"numpy": "2"}
    assert said["owner"]["pid"] == os.getpid()
    assert take(run) == (2, [])


def test_an_error_gives_it_back_as_well(run):
    with pytest.raises(ZeroDivisionError), taken(run, {}, print):
        raise ZeroDivisionError
    assert take(run) == (2, [])


def test_a_second_holder_is_refused_as_long_as_the_first_lives(run, holder):
    refusal = f"output.path={run}: process {holder.pid} on .* is at work there; expected it to end first"
    assert is_live(run)
    with pytest.raises(OutputError, match=refusal):
        take(run)
    os.kill(holder.pid, signal.SIGSTOP)  # it may go on at any moment
    with pytest.raises(OutputError, match=refusal):
        take(run)
    os.kill(holder.pid, signal.SIGCONT)
    holder.stdin.close()
    assert holder.wait(20) == 0
    assert not is_live(run)
    assert take(run) == (2, [])


def test_one_that_was_killed_is_followed_at_once(run, holder):
    holder.kill()  # nobody has asked for its exit status yet: the process table still has it
    wait_for(lambda: Path(f"/proc/{holder.pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z")
    assert not is_live(run)
    assert take(run) == (2, [])
    assert run.size(epoch_file(3)) is None


def test_the_same_process_is_refused_too(run):
    with taken(run, {}, print), pytest.raises(OutputError, match=f"process {os.getpid()} on .* is at work there"):
        take(run)


def test_another_process_under_the_same_number_is_not_the_holder(run, holder):
    said_by(run, **{**owner_of(run), "started": "1"})
    assert not is_live(run)
    assert take(run) == (2, [])


def test_an_epoch_that_has_no_heartbeat_yet_is_held(run, holder):
    """The lease is still that of the epoch before, which was given back."""
    first = owner_of(run)
    run.write(epoch_file(2), json.dumps({"epoch": 2, "owner": first, "parts": []}).encode())
    run.write(LEASE, json.dumps({"epoch": 1, "beats": 0, "released": True}).encode())
    with pytest.raises(OutputError, match=f"process {holder.pid} "):
        take(run)
    holder.kill()
    holder.wait(20)
    assert take(run) == (3, [])


@pytest.mark.parametrize("content", [b"", b"{}", b"5", b'{"epoch": 1}', b"\xff"])
def test_a_damaged_lease_is_no_release(run, content):
    with taken(run, {}, print):
        run.write(LEASE, content)
        assert is_live(run)
        with pytest.raises(OutputError, match="is at work there"):
            take(run)


@pytest.mark.parametrize("machine", ["another boot", None])
def test_a_holder_elsewhere_without_a_heartbeat_is_waited_for_and_followed(run, monkeypatch, machine):
    monkeypatch.setattr(lease_module, "STALE_S", 0.5)
    said_by(run, machine=machine)
    assert is_live(run)
    waits = "to see whether process 1 on elsewhere, which began here and did not end, is still alive"
    epoch, said = take(run)
    assert (epoch, [line.partition(" s ")[2] for line in said]) == (2, [waits])


def test_a_holder_elsewhere_with_a_heartbeat_is_left_alone(run, monkeypatch):
    monkeypatch.setattr(lease_module, "STALE_S", 60.0)
    said_by(run)
    ended = threading.Event()

    def beat():
        beats = 7
        while not ended.wait(0.1):
            beats += 1
            run.write(LEASE, json.dumps({"epoch": 1, "beats": beats, "released": False}).encode())

    heart = threading.Thread(target=beat)
    heart.start()
    try:
        with pytest.raises(OutputError, match="process 1 on elsewhere is at work there"):
            take(run)
    finally:
        ended.set()
        heart.join()
    assert run.size(epoch_file(2)) is None


def test_one_that_another_waiting_driver_follows_is_not_followed_twice(run, monkeypatch):
    monkeypatch.setattr(lease_module, "STALE_S", 60.0)
    said_by(run)
    other = threading.Timer(0.2, lambda: Ledger.read(run).begin_epoch({"owner": ELSEWHERE}))
    other.start()
    with pytest.raises(OutputError, match="is at work there"):
        take(run)
    other.join()


def test_a_heartbeat_goes_on_by_itself(run, monkeypatch):
    monkeypatch.setattr(lease_module, "BEAT_S", 0.02)
    with taken(run, {}, print) as lease:
        wait_for(lambda: lease_of(run)["beats"] >= 3)
        lease.check()
    beats = lease_of(run)
    time.sleep(0.1)
    assert lease_of(run) == beats


def test_who_was_fenced_off_learns_of_it_and_does_not_give_back_what_is_no_longer_his(run, monkeypatch):
    monkeypatch.setattr(lease_module, "BEAT_S", 0.02)
    with taken(run, {}, print) as lease:
        Ledger.read(run).begin_epoch({"owner": ELSEWHERE})
        run.write(LEASE, json.dumps({"epoch": 2, "beats": 0, "released": False}).encode())
        with pytest.raises(RunError, match="another run has taken over; what was committed before stays"):
            wait_for(lambda: lease.check() is not None)
    assert lease_of(run) == {"epoch": 2, "beats": 0, "released": False}


@pytest.fixture
def mounted(tmp_path):
    """A run behind a link, which can be turned to where nothing is, and back."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "nothing").touch()

    def turn(target):
        (tmp_path / "link").symlink_to(tmp_path / target)
        os.replace(tmp_path / "link", tmp_path / "run")

    turn("disk")
    return turn


def test_a_store_that_cannot_be_reached_ends_the_lease(run, mounted, monkeypatch):
    monkeypatch.setattr(lease_module, "BEAT_S", 0.02)
    monkeypatch.setattr(lease_module, "STALE_S", 0.2)
    with taken(run, {}, print) as lease:
        mounted("nothing")
        with pytest.raises(RunError, match=r"cannot be reached for \d+ s: "):
            wait_for(lambda: lease.check() is not None)


def test_a_store_that_comes_back_in_time_changes_nothing(run, mounted, monkeypatch):
    monkeypatch.setattr(lease_module, "BEAT_S", 0.02)
    with taken(run, {}, print) as lease:
        mounted("nothing")
        time.sleep(0.2)
        mounted("disk")
        beats = lease_of(run)["beats"]
        wait_for(lambda: lease_of(run)["beats"] > beats)
        lease.check()
    assert lease_of(run)["released"] is True
