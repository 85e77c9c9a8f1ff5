"""Gates: each withholds what it is for, and nothing else."""

import numpy as np
import pytest

from audiocur.errors import ConfigError
from audiocur.lyrics.gates import Gated
from audiocur.lyrics.transcript import Segment, Transcript, row

RATE_HZ = 16_000
LOUD = np.full(10 * RATE_HZ, 0.1, np.float32)
EVERYWHERE = [{"start_s": 0.0, "end_s": 10.0}]


def line(**changes):
    return Segment(
        **{"start_s": 1.0, "end_s": 3.0, "text": " Hey Jude", "logprob": -0.3, "tokens": 4, "no_speech_prob": 0.1}
        | {"compression_ratio": 1.0}
        | changes
    )


def reason(segment, audio=LOUD, voiced=EVERYWHERE, **gates):
    (found,) = Gated(**gates).withheld([segment], audio, voiced)
    return found


def test_a_good_line_is_believed():
    assert reason(line()) is None


def test_a_line_outside_of_voice_is_withheld():
    elsewhere = [{"start_s": 5.0, "end_s": 6.0}]
    assert reason(line(), voiced=elsewhere) == "no voice"
    assert reason(line(), voiced=[]) == "no voice"
    assert reason(line(), voiced=elsewhere, min_voiced_ratio=None) is None
    assert reason(line(), voiced=[{"start_s": 2.5, "end_s": 6.0}], min_voiced_ratio=0.25) is None
    assert reason(line(), voiced=[{"start_s": 2.5, "end_s": 6.0}], min_voiced_ratio=0.26) == "no voice"


def test_nobody_looked_for_voice_is_not_none_was_found():
    assert reason(line(), voiced=None) is None


def test_a_quiet_line_is_withheld():
    whisper_quiet, rests = LOUD * 0.005, LOUD.copy()
    rests[RATE_HZ : 3 * RATE_HZ] *= 0.005
    assert reason(line(), audio=whisper_quiet) == "too quiet"  # -66 dBFS
    assert reason(line(), audio=whisper_quiet, min_level_dbfs=-70) is None
    assert reason(line(), audio=rests, min_level_dbfs=None) == "too quiet"  # 45 dB under the clip
    assert reason(line(), audio=rests, min_level_dbfs=None, min_level_db=None) is None
    assert reason(line(), audio=np.zeros_like(LOUD)) == "too quiet"
    assert reason(line(start_s=20.0, end_s=21.0), voiced=None) == "too quiet"  # past the end


def test_what_repeats_itself_is_withheld():
    assert reason(line(text="thank you " * 9)) == "repeats itself"
    assert reason(line(text="thank you " * 8)) is None
    assert reason(line(compression_ratio=2.5)) == "repeats itself"
    assert reason(line(compression_ratio=2.5), max_compression_ratio=None) is None


def test_a_loop_over_many_lines_is_withheld_and_its_neighbours_are_not():
    lines = [line(text="It begins"), *[line(text="Thank you.")] * 9, line(text="It ends")]
    assert Gated().withheld(lines, LOUD, EVERYWHERE) == [None, *["repeats itself"] * 9, None]


def test_silence_needs_both_low_probability_and_no_speech():
    assert reason(line(logprob=-1.5, no_speech_prob=0.9)) == "probably no speech"
    assert reason(line(logprob=-0.5, no_speech_prob=0.9)) is None
    assert reason(line(logprob=-1.5, no_speech_prob=0.5)) is None
    assert reason(line(logprob=-1.5, no_speech_prob=None)) is None


def test_an_unsure_line_is_withheld_where_that_is_asked_for():
    assert reason(line(logprob=-2.0)) is None
    assert reason(line(logprob=-2.0), min_confidence=0.15) == "unsure"
    assert reason(line(logprob=-1.8), min_confidence=0.15) is None


@pytest.mark.parametrize(
    ("key", "value"), [("min_voiced_ratio", 1.1), ("min_level_dbfs", 1.0), ("max_repeats", 0), ("min_logprob", 0.5)]
)
def test_gates_out_of_range_are_refused(key, value):
    with pytest.raises(ConfigError, match=key):
        Gated(**{key: value})


def test_what_is_withheld_is_in_the_row_with_its_reason():
    heard = Transcript(segments=(line(), line(start_s=4.0, end_s=5.0, text=" Thank you.")), language="en")
    found = row(heard, [None, "no voice"])
    assert found["lyrics"] == "Hey Jude"
    assert found["lyrics_segments"] == [{"start_s": 1.0, "end_s": 3.0, "text": "Hey Jude"}]
    assert found["lyrics_gated"] == ["no voice: Thank you."]
    assert found["asr_logprob"] == pytest.approx(-0.3)
    assert found["asr_confidence"] == pytest.approx(np.exp(-0.3))


def test_a_row_where_all_is_withheld_has_no_lyrics_and_no_confidence():
    found = row(Transcript(segments=(line(),), language="en", no_speech_prob=0.9), ["too quiet"])
    assert found["lyrics_gated"] == ["too quiet: Hey Jude"]
    assert found["asr_no_speech_prob"] == 0.9
    for name in ("lyrics", "lyrics_segments", "lyrics_words", "language", "asr_logprob", "asr_confidence"):
        assert found[name] is None


def test_confidence_weighs_lines_by_their_tokens():
    heard = Transcript(segments=(line(logprob=-1.0, tokens=1), line(logprob=-0.2, tokens=3)), language="en")
    assert row(heard, [None, None])["asr_logprob"] == pytest.approx((-1.0 - 0.6) / 4)
