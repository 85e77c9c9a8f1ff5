"""pocketsphinx, which carries its model: real words of real and of synthetic speech."""

from importlib.resources import files

import numpy as np
import pytest
import soundfile

from audiocur.audio import Audio
from audiocur.lyrics.text import word_error_rate
from audiocur.op import Device
from audiocur.ops.asr.none import NoLyrics
from audiocur.ops.asr.pocketsphinx import Pocketsphinx
from audiocur.ops.asr_check.pocketsphinx import PocketsphinxCheck
from audiocur.ops.measure.vad import Vad
from audiocur.records import Source, Span

pytest.importorskip("pocketsphinx")

DEMO = (
    "People have been making music for a very long time. Tonight we are going to play some of the best songs from this "
    "country."
)
#: Real readings, and the share of their words it may have wrong: 0.23, 0.28 and 0.40 were measured.
READINGS = {
    "jfk.flac": (
        0.3,
        "And so, my fellow Americans, ask not what your country can do for you, ask what you can do for your country.",
    ),
    "198-209-0000.ogg": (
        0.4,
        "Mrs. Allen, said Catherine the next morning, will there be any harm in my calling on Miss Tilney today? I "
        "shall not be easy till I have explained everything. Go, by all means, my dear; only put on a white gown; Miss "
        "Tilney always wears white.",
    ),
    "3436-172162-0000.ogg": (
        0.5,
        "The adventure of the cart. It befell in the month of May, Queen Guenever called to her knights of the Table "
        "Round, and gave them warning that early upon the morrow she would ride a-maying into the woods and fields "
        "beside Westminster",
    ),
}


def clip_of(file, before_s=0.0, end_s=None):
    """The recording as one clip, as the ops before `asr` leave it."""
    samples, rate_hz = soundfile.read(file, dtype="float32", always_2d=True)
    samples = samples[: None if end_s is None else round(end_s * rate_hz)]
    samples = np.concatenate([np.zeros((round(before_s * rate_hz), samples.shape[1]), np.float32), samples])
    span = Span(
        source=Source(source_id="0" * 16, uri="a.wav", path=b""),
        rate_hz=rate_hz,
        channels=samples.shape[1],
        num_samples=len(samples),
        audio=Audio(np.ascontiguousarray(samples.T), rate_hz),
    )
    vad = Vad()
    vad.apply(span)
    clip = span.cut(0, span.num_samples)
    clip.measures |= vad.measure(span, clip)
    return clip


@pytest.fixture(scope="module")
def decoder():
    return Pocketsphinx().load(Device())


@pytest.fixture
def demo():
    return clip_of(files("audiocur.sources") / "data" / "speech.flac")


def test_demo_speech_is_readable(demo, decoder):
    (found,) = Pocketsphinx().measure_batch([demo], decoder)
    assert word_error_rate(DEMO, found["lyrics"]) < 0.3  # 0.17 was measured
    assert found["language"] == "en"
    assert 0 < found["asr_confidence"] < 1
    assert len({word["probability"] for word in found["lyrics_words"]}) > 5
    assert found["asr_no_speech_prob"] is None


@pytest.mark.parametrize("name", READINGS)
def test_real_readings_are_readable(real_audio, name, decoder):
    (found,) = Pocketsphinx().measure_batch([clip_of(real_audio / name)], decoder)
    most, text = READINGS[name]
    assert word_error_rate(text, found["lyrics"]) < most


def test_of_singing_most_is_withheld(real_audio, decoder):
    song = clip_of(real_audio / "Karissa_Hobbs_-_Lets_Go_Fishin.ogg", end_s=60.0)
    (found,) = Pocketsphinx().measure_batch([song], decoder)
    withheld = sum(text.startswith("unsure: ") for text in found["lyrics_gated"])
    assert withheld > len(found["lyrics_segments"] or [])


def test_words_have_times_from_the_clips_start(demo, decoder):
    (found,) = Pocketsphinx().measure_batch([demo], decoder)
    (later,) = Pocketsphinx().measure_batch(
        [clip_of(files("audiocur.sources") / "data" / "speech.flac", before_s=4.0)], decoder
    )
    words = found["lyrics_words"]
    assert " ".join(word["word"] for word in words) == found["lyrics"].replace("\n", " ")
    assert [word["start_s"] for word in words] == sorted(word["start_s"] for word in words)
    assert 0 <= words[0]["start_s"] < words[-1]["end_s"] <= demo.duration_s
    assert later["lyrics_words"][0]["start_s"] - words[0]["start_s"] == pytest.approx(4.0, abs=0.2)
    assert all("(" not in word["word"] and "<" not in word["word"] for word in words)


def test_a_clips_words_do_not_hang_on_the_clips_before_it(demo, decoder, make_clip):
    (alone,) = Pocketsphinx().measure_batch([demo], Pocketsphinx().load(Device()))
    *_, after = Pocketsphinx().measure_batch([make_clip(5.0), make_clip(3.0, 1), demo], decoder)
    assert after == alone


@pytest.mark.parametrize("seconds", [1 / 16_000, 0.01, 2.0])
def test_no_voice_is_not_listened_to_and_little_sound_is_survived(seconds, make_clip, decoder):
    (unheard,) = Pocketsphinx().measure_batch([make_clip(seconds, voiced=[])], decoder)
    assert unheard["lyrics"] is None
    assert unheard["lyrics_gated"] == []
    (found,) = Pocketsphinx().measure_batch([make_clip(seconds)], decoder)
    assert found.keys() == unheard.keys()


def test_a_second_hearing_of_the_same_is_the_same(demo, decoder):
    (found,) = Pocketsphinx().measure_batch([demo], decoder)
    demo.measures |= found
    assert PocketsphinxCheck().measure_batch([demo], decoder) == [
        {"lyrics_check": found["lyrics"], "lyrics_edit_distance": 0.0}
    ]


def test_none_fills_the_same_columns_with_null(demo):
    found = NoLyrics().measure(demo)
    assert set(found) == {column.name for column in Pocketsphinx.writes}
    assert set(found.values()) == {None}
