from __future__ import annotations

import os
import signal
from dataclasses import dataclass

import pytest

from audiocur.errors import RunError
from audiocur.isolation import Death, run_isolated
from audiocur.op import ModelOp, SpanOp
from audiocur.records import Span


@dataclass(frozen=True, kw_only=True)
class Deadly(SpanOp):
    """Ends its process on two recordings, each in its own way."""

    name = "deadly"

    def apply(self, span):
        print("libraries may print what they like")
        if span.source.uri == "song 1.wav":
            os.abort()
        if span.source.uri == "song 3.wav":
            os._exit(7)


@dataclass(frozen=True, kw_only=True)
class DeadlyModel(ModelOp):
    name = "model"

    def load(self, device):
        os.kill(os.getpid(), signal.SIGSEGV)

    def measure_batch(self, clips, model):
        return [{} for _ in clips]


def test_each_span_comes_back_or_is_known_for_what_it_did(ops, make_spans):
    (stage,) = (ops.Tone() >> Deadly() >> ops.Halves()).plan()
    found = list(run_isolated(stage, make_spans(5)))
    assert [type(row) for row in found] == [Span, Death, Span, Death, Span]
    assert [row.span_id for row in found] == [span.span_id for span in make_spans(5)]
    assert [row.how for row in found if isinstance(row, Death)] == ["crashed (SIGABRT)", "crashed (exit status 7)"]
    assert "in apply" in found[1].trace
    assert [len(row.clips) for row in found if isinstance(row, Span)] == [2, 2, 2]


def test_a_model_that_cannot_be_loaded_is_no_fault_of_a_recording(ops, make_spans):
    (stage,) = (ops.Tone() >> ops.Halves() >> ops.Raw() >> DeadlyModel()).plan()
    with pytest.raises(RunError, match=r"model: the process for it crashed \(SIGSEGV\) before its first span"):
        list(run_isolated(stage, make_spans(2)))


def test_an_error_that_must_end_the_run_comes_through(ops, make_spans, tmp_path):
    @dataclass(frozen=True, kw_only=True)
    class Unloadable(ModelOp):
        name = "model"

        def load(self, device):
            raise FileNotFoundError("weights.pt")

        def measure_batch(self, clips, model):
            return [{} for _ in clips]

    (stage,) = (ops.Tone() >> ops.Halves() >> ops.Raw() >> Unloadable()).plan()
    with pytest.raises(RunError, match="its model cannot be loaded: FileNotFoundError"):
        list(run_isolated(stage, make_spans(2)))
