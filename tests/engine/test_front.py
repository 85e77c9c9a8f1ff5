from __future__ import annotations

import asyncio
import io
from types import SimpleNamespace

import numpy as np
import pytest

from audiocur.audio import Audio
from audiocur.engine.front import Front, _require_sound
from audiocur.engine.serve import ReplicasLostError
from audiocur.engine.uploads import Refused
from audiocur.records import Source, Span


def span() -> Span:
    audio = Audio(np.zeros((1, 8000), np.float32), 8000)
    made = Span(source=Source(source_id="0" * 16, uri="upload", path=b""), rate_hz=8000, num_samples=8000, audio=audio)
    made.cut(0, 8000)
    return made


def test_a_sound_recording_is_not_refused():
    _require_sound(span())


@pytest.mark.parametrize(
    ("reason", "unexpected", "status"), [("too faint", False, 422), ("KeyError: 'a bug'", True, 500)]
)
def test_who_is_to_blame_decides_the_status(reason, unexpected, status):
    made = span()
    made.clips[0].fail("asr", reason, unexpected=unexpected)
    with pytest.raises(Refused) as refused:
        _require_sound(made)
    assert (refused.value.status, refused.value.retry_after_s) == (status, None)
    assert refused.value.reason == f"asr: {reason}"


def test_replicas_that_are_lost_are_worth_another_try_later():
    class Gone:
        async def measured(self, span):
            raise ReplicasLostError("asr: its replicas do not answer any more")

    front = Front.__new__(Front)  # of which only the way through is tried, without Serve
    front._gatherers = {"asr": Gone()}
    front._worker_turns = asyncio.Semaphore(1)

    async def worked(given, names, *, last):
        return span()

    front._worked = worked
    work = SimpleNamespace(parts=[["decode"], ["asr"]])
    with pytest.raises(Refused, match="its replicas do not answer") as refused:
        asyncio.run(front._through(io.BytesIO(b""), work))
    assert (refused.value.status, refused.value.retry_after_s) == (503, 5)


def test_what_cannot_be_decoded_is_told_in_the_decoders_words():
    made = span()
    made.fail("decode", "not audio")
    with pytest.raises(Refused, match=r"^not audio$") as refused:
        _require_sound(made)
    assert refused.value.status == 422
