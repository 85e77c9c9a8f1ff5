"""Spans worked on in a process of their own, so that the one that takes it down is known by name.

A recording may crash a decoder, hold it for ever or eat all memory, and with the worker everything dies that was in
hand. What was lost so is done again here: a child process goes through the spans one by one and hands each back as it
is done. If it ends early, the span it was at is to blame, a new child goes on behind it, and no neighbour is harmed.
"""

from __future__ import annotations

import ctypes
import faulthandler
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import cloudpickle

from audiocur.errors import RunError
from audiocur.pipeline import Stage
from audiocur.records import Span
from audiocur.stage import load_models, one_thread, run_stage

#: What the child says before its first span: the models are loaded.
_READY = "ready"
_TRACE_LINES = 12
_PR_SET_PDEATHSIG = 1  # of Linux's prctl


@dataclass(frozen=True)
class Death:
    """A span that took its process down.

    Attributes:
        span_id: which.
        how: "crashed (SIGABRT)", "timed out ...".
        trace: where in the code it was, as far as its last words tell.
    """

    span_id: str
    how: str
    trace: str

    @property
    def timed_out(self) -> bool:
        """It ran past its time: trying again would take as long and end the same way."""
        return self.how.startswith("timed out")


def run_isolated(stage: Stage, spans: Sequence[Span]) -> Iterator[Span | Death]:
    """Each span after the stage, or how it took the process down, in order.

    Raises:
        RunError: a model cannot be loaded, or not even loading it is survived.
    """
    left = list(spans)
    while left:
        before = len(left)
        for done in _through_one_child(stage, tuple(left)):
            left.pop(0)
            yield done
        if len(left) == before:
            raise RunError(f"{stage.names}: a process for it gave nothing back")


def _through_one_child(stage: Stage, spans: Sequence[Span]) -> Iterator[Span | Death]:
    """Spans as one child gives them back, and its death where it comes to that."""
    with tempfile.TemporaryFile() as words:
        child = start_child("from audiocur.isolation import answer; answer()", words)
        assert child.stdin is not None and child.stdout is not None  # noqa: PT018 - as they were asked for
        try:
            # Ops of a script or a notebook travel by value.
            cloudpickle.dump((stage, list(spans)), child.stdin)
            child.stdin.flush()
            answers = _answers(child.stdout)
            ready = next(answers, None) == _READY
            given = 0
            if ready:
                for answer in answers:
                    if isinstance(answer, RunError):
                        raise answer
                    given += 1
                    yield answer
            if given < len(spans):
                child.wait()
                how, trace = _last_words(child.returncode, words, stage)
                if not ready:
                    raise RunError(f"{stage.names}: the process for it {how} before its first span\n{trace}")
                yield Death(spans[given].span_id, how, trace)
        except BrokenPipeError:
            child.wait()
            how, trace = _last_words(child.returncode, words, stage)
            raise RunError(f"{stage.names}: the process for it {how} at its start\n{trace}") from None
        finally:
            child.kill()
            child.communicate()


def start_child(code: str, words: IO[bytes]) -> subprocess.Popen[bytes]:
    """A child process that finds modules as this one does; what it says besides its answers goes to `words`."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=words, env=environment
    )


def _answers(stream: IO[bytes]) -> Iterator[Any]:
    while True:
        try:
            yield pickle.load(stream)
        except (EOFError, pickle.UnpicklingError):  # it ended, perhaps in the middle of an answer
            return


def _last_words(code: int, words: IO[bytes], stage: Stage) -> tuple[str, str]:
    """How a child ended, and where it was."""
    words.seek(0)
    text = words.read().decode(errors="replace")
    lines = [line for line in text.splitlines() if line and not line.startswith("Extension modules:")]
    # Of a fatal error the interpreter tells every thread, with the one to blame somewhere among them, innermost first.
    fatal = [line for line in lines if line.startswith("Fatal Python error")]
    current = next((at for at, line in enumerate(lines) if line.startswith("Current thread")), None)
    told = lines[-_TRACE_LINES:] if current is None else [*fatal, *lines[current : current + _TRACE_LINES]]
    trace = "\n".join(told)
    if any(line.startswith("Timeout (") for line in lines):
        return f"timed out: still at work after decode.timeout_s={stage.timeout_s:g}", trace
    if code == -signal.SIGKILL:
        return "crashed (SIGKILL, as when memory runs out)", trace
    if code < 0:
        return f"crashed ({signal.Signals(-code).name})", trace
    return f"crashed (exit status {code})", trace


def answer() -> None:
    """In the child: take spans from stdin through a stage, and give each back on stdout as it is done."""
    faulthandler.enable(file=2)
    if sys.platform == "linux":
        _end_before_parent()
    stream = take_stdout()
    stage, spans = pickle.load(sys.stdin.buffer)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        load_models(stage)
        pickle.dump(_READY, stream)
        stream.flush()
        with one_thread():
            for span in spans:
                run_stage(stage, [span], watchdog=True)
                pickle.dump(span, stream)
                stream.flush()
    except RunError as error:
        pickle.dump(_READY, stream)
        pickle.dump(error, stream)
    stream.flush()
    # A library's thread that does not end must not keep the parent waiting.
    os._exit(0)


def take_stdout() -> IO[bytes]:
    """The child's way back; whatever else a library prints must not get between the answers."""
    stream = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return stream


def _end_before_parent() -> None:
    """Where memory runs out, the system should take this process and not its parent; and never leave it behind."""
    with suppress(OSError):  # a sandbox may forbid it
        Path("/proc/self/oom_score_adj").write_text("1000")
    # The kernel ends it even where a decoder holds the interpreter.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _end_with_parent() -> None:
    """Wherever it runs: the parent keeps stdin open as long as it lives."""
    sys.stdin.buffer.read()
    os._exit(3)
