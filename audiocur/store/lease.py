"""Who works on a run: one driver at a time, known by its heartbeat, and fenced off once another has taken over."""

from __future__ import annotations

import json
import os
import platform
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from audiocur.errors import OutputError, RunError
from audiocur.storage.base import Store
from audiocur.store.ledger import Ledger, epoch_file, read_epoch

LEASE = "lease.json"
#: Seconds between heartbeats, and without one until a lease counts as abandoned.
BEAT_S, STALE_S = 5.0, 30.0


@dataclass
class Lease:
    """A run held by this process.

    Attributes:
        ledger: as it was when the run was taken.
        epoch: which this process began; it has the run as long as nobody began a later one.
    """

    ledger: Ledger
    epoch: int
    _lost: str | None = None
    _ended: threading.Event = field(default_factory=threading.Event)

    def check(self) -> None:
        """Raise RunError if another process has taken the run over."""
        if self._lost is not None:
            raise RunError(self._lost)

    def _beat(self) -> None:
        """The heartbeat, in a thread of its own until the lease ends."""
        store, beats, answered = self.ledger.store, 0, time.monotonic()
        while not self._ended.wait(BEAT_S):
            beats += 1
            try:
                if store.size(epoch_file(self.epoch + 1)) is not None:
                    self._lost = f"{store}: another run has taken over; what was committed before stays"
                    return
                _write(store, self.epoch, beats)
                answered = time.monotonic()
            except OSError as error:  # it may pass; nobody can have taken over before the lease is stale
                unanswered_s = time.monotonic() - answered
                if unanswered_s >= STALE_S:
                    self._lost = f"{store}: cannot be reached for {unanswered_s:.0f} s: {error.strerror or error}"
                    return


@contextmanager
def taken(store: Store, facts: Mapping[str, Any], say: Callable[[str], None]) -> Iterator[Lease]:
    """Take the run, or refuse; gives it back at the end.

    Args:
        store: the run directory.
        facts: what the epoch's file should say besides: versions of packages.
        say: told what is waited for.

    Raises:
        OutputError: a living process has it.
    """
    _refuse_if_alive(store, say)
    ledger = Ledger.read(store)
    me = {"owner": _identity(), "began": datetime.now(UTC).isoformat(timespec="seconds")}
    lease = Lease(ledger, ledger.begin_epoch({**me, **facts}))
    lease.ledger = ledger.begun(lease.epoch)
    _write(store, lease.epoch, 0)
    heart = threading.Thread(target=lease._beat, name="audiocur-lease", daemon=True)
    heart.start()
    try:
        yield lease
    finally:
        lease._ended.set()
        heart.join()
        if lease._lost is None:
            # On a full disk it stays as it is: its owner will be found dead, or without a heartbeat.
            with suppress(OSError):
                _write(store, lease.epoch, 0, released=True)


def is_live(store: Store) -> bool:
    """Whether a driver seems to be at work: it has begun, has not ended, and is not known to be dead."""
    owner, released = _holder(store)
    return owner is not None and not released and _alive(owner) is not False


def _refuse_if_alive(store: Store, say: Callable[[str], None]) -> None:
    owner, released = _holder(store)
    if owner is None or released:
        return
    who = f"process {owner['pid']} on {owner['host']}"
    refusal = OutputError(
        f"output.path={store}: {who} is at work there; expected it to end first, or another directory"
    )
    alive = _alive(owner)
    if alive:
        raise refusal
    if alive is False:
        return
    say(f"waiting {STALE_S:.0f} s to see whether {who}, which began here and did not end, is still alive")
    seen, deadline = _pulse(store), time.monotonic() + STALE_S
    while time.monotonic() < deadline:
        time.sleep(1.0)
        if _pulse(store) != seen:
            raise refusal


def _holder(store: Store) -> tuple[dict[str, Any] | None, bool]:
    """Who began the newest epoch, null if nobody ever did, and whether it gave the run back."""
    epochs = _epochs(store)
    if not epochs:
        return None, True
    begun = read_epoch(store, max(epochs), "epoch", "owner")
    lease = _read(store)
    # Between beginning an epoch and its first heartbeat, the lease is still that of the epoch before.
    return begun["owner"], bool(lease.get("epoch") == begun["epoch"] and lease.get("released"))


def _pulse(store: Store) -> tuple[Any, ...]:
    """What changes while a driver lives or another one comes; workers that outlive theirs may still add parts."""
    return tuple(sorted(_read(store).items())), max(_epochs(store), default="")


def _epochs(store: Store) -> list[str]:
    return [name for name in store.files("ledger") if name.startswith("ledger/epoch-")]


def _read(store: Store) -> dict[str, Any]:
    try:
        return dict(json.loads(store.read(LEASE)))
    except (FileNotFoundError, ValueError, TypeError):  # one that is damaged says as much as none
        return {}


def _write(store: Store, epoch: int, beats: int, *, released: bool = False) -> None:
    store.write(LEASE, json.dumps({"epoch": epoch, "beats": beats, "released": released}).encode())


def _identity() -> dict[str, Any]:
    """This process, so that others on the same machine can tell whether it lives."""
    pid = os.getpid()
    return {"host": socket.gethostname(), "pid": pid, "machine": _machine(), "started": _started(pid)}


def _alive(owner: Mapping[str, Any]) -> bool | None:
    """Whether a process lives; null if it belongs to another machine, where nobody can tell from here."""
    if owner["machine"] is None or owner["machine"] != _machine():
        return None
    return bool(owner["started"] == _started(owner["pid"]))


def _machine() -> str | None:
    """One boot of one machine, and within it one container's numbering of processes; null where it cannot be told."""
    if platform.system() != "Linux":
        return None
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:  # a sandbox that shows neither
        return None


def _started(pid: int) -> str | None:
    """When a process started, in clock ticks since boot; null if there is none, or only what is left of one."""
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if after_name[0] in "ZX" else after_name[19]
