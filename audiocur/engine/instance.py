"""A Ray instance of our own, or a connection to one: started quietly, and ended without a trace."""

from __future__ import annotations

import fcntl
import importlib
import logging
import os
import shutil
import signal
import site
import sys
import sysconfig
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from audiocur.errors import ConfigError
from audiocur.loading import OF_A_PROCESS

#: What Ray and the libraries below it read from the environment when a local instance starts.
_ENVIRONMENT = {
    "RAY_AUTH_MODE": "disabled",  # a loopback-only instance that ends with the run needs no token file
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    "RAY_task_oom_retries": "1",  # by default for ever
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    # Figures for a dashboard that nobody starts: each process gathers them, idle ones too.
    "RAY_enable_metrics_collection": "0",
    "RAY_task_events_report_interval_ms": "0",
    "RAY_event_stats": "0",
    # Else the driver waits for its first workers, and for ever if one of them is killed before it is there.
    "RAY_prestart_worker_first_driver": "0",
    "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "60",  # after 5 s Serve ends its proxy, and a busy machine takes longer
    # One thread a worker: the workers are what fills the cores.
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
    **OF_A_PROCESS,
}
# Read when ray is imported: what it says of each dead worker, the run says in its own words.
os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", "A worker died or was killed")
# Read when it starts or connects, which it then says on stderr. Without it, it says there of each pool whose actors
# may be started again that this may fail.
os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
#: Locked in the session folder as long as its driver lives.
_LOCK = "driver.lock"


@contextmanager
def quiet() -> Iterator[None]:
    """Ray's own log lines stay in its files; ours are what the user reads."""
    importlib.import_module("ray.data")  # sets its loggers up, so that what follows holds
    loggers = [logging.getLogger(name) for name in ("ray", "ray.data", "ray.serve")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


def _search_path() -> str:
    """Where workers find modules: as this process does, so that they can load a user's own ops.

    What comes with Python's own packages they have anyway; named here, it would go before those of an op's own world.
    """
    own = {*site.getsitepackages(), site.getusersitepackages(), *sysconfig.get_paths().values()}
    own |= {str(Path(sysconfig.get_path("stdlib")) / "lib-dynload"), *(p for p in sys.path if p.endswith(".zip"))}
    return os.pathsep.join(path for path in sys.path if path and path not in own)


@contextmanager
def _session_folder() -> Iterator[str]:
    """A new folder for Ray's sockets and logs, whose path is short enough: the kernel takes 107 bytes for a socket."""
    room = 107 - len("/audiocur-1234567-12345678/session_2026-01-01_00-00-00_000000_1234567/sockets/plasma_store")
    bases = [base for base in (tempfile.gettempdir(), "/tmp", "/var/tmp") if len(os.fsencode(base)) <= room]
    base = next(base for base in bases if os.access(base, os.W_OK))
    _remove_abandoned(Path(base))
    folder = Path(tempfile.mkdtemp(prefix=f"audiocur-{os.getpid()}-", dir=base))
    with open(folder / _LOCK, "wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            yield str(folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)  # a process that is still ending may hold a log file


def _remove_abandoned(base: Path) -> None:
    """Remove session folders of drivers that were killed, and had no time to do so: nobody locks them any more."""
    for path in base.glob(f"audiocur-*/{_LOCK}"):
        with suppress(OSError), open(path, "rb") as lock:  # somebody else's, or locked
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path.parent, ignore_errors=True)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Start Ray within it: what interrupts it, which its native code does not survive, takes effect afterwards.

    Ray would also have SIGTERM end the process at once, with a dump of its stack; that stays what it was.
    """
    from ray._private import utils

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []

    def later(number: int, frame: object) -> None:
        if came:
            raise KeyboardInterrupt  # twice: now
        came.append(number)

    before = {number: signal.signal(number, later) for number in (signal.SIGINT, signal.SIGTERM)}
    rays = utils.set_sigterm_handler
    utils.set_sigterm_handler = lambda handler: None
    try:
        yield
    finally:
        utils.set_sigterm_handler = rays
        for number, handler in before.items():
            signal.signal(number, handler)
    if came:
        signal.raise_signal(came[0])


def _shut_down() -> None:
    import ray

    ray.shutdown()
    if serve := sys.modules.get("ray.serve.context"):
        serve._set_global_client(None)  # it would look for its controller in whatever is started next


@contextmanager
def _stderr_held() -> Iterator[None]:
    """Hold back what native code says on stderr; where Ray cannot start, it is the reason, and is shown."""
    sys.stderr.flush()
    before = os.dup(2)
    with tempfile.TemporaryFile() as said:
        os.dup2(said.fileno(), 2)
        try:
            yield
        except BaseException:
            said.seek(0)
            os.write(before, said.read())
            raise
        finally:
            os.dup2(before, 2)
            os.close(before)


@contextmanager
def instance(address: str | None, cpus: int, object_store_mb: int, *, worlds: bool) -> Iterator[None]:
    """Connect to the cluster, or start an instance of our own that leaves no process and no file behind.

    Args:
        address: of the cluster, if not an instance of our own.
        cpus: logical ones of that instance.
        object_store_mb: its shared memory.
        worlds: workers of that instance may want an environment of their own.

    Raises:
        ConfigError: there is no cluster at that address.
    """
    import ray

    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL, "configure_logging": True}
    if address:
        try:
            with _undisturbed(), _stderr_held():
                ray.init(address=address, runtime_env={"env_vars": {"PYTHONPATH": _search_path()}}, **quiet)
        except ConnectionError as error:
            raise ConfigError(f"address={address}: expected a running Ray cluster ({error})") from error
        try:
            yield
        finally:
            _shut_down()
        return
    from audiocur.engine.lean import lean

    environment = _ENVIRONMENT | {"PYTHONPATH": _search_path()}
    before = {key: os.environ.get(key) for key in environment}
    os.environ.update(environment)
    with _session_folder() as folder, lean(worlds=worlds):
        try:
            with _undisturbed(), _stderr_held():
                ray.init(
                    address="local",
                    num_cpus=cpus,
                    object_store_memory=object_store_mb << 20,
                    _temp_dir=folder,
                    **quiet,
                )
            yield
        finally:
            _shut_down()
            for key, value in before.items():
                if value is None:
                    os.environ.pop(key, None)
                else:
                    os.environ[key] = value
