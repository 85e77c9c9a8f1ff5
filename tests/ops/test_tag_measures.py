import pickle
from dataclasses import fields
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from audiocur.errors import ConfigError
from audiocur.ops.tag.measures import MeasuresTag
from audiocur.records import Clip

PLAIN = {
    "voiced_ratio": 0.0,
    "loudness_lufs": -20.0,
    "tempo_bpm": 119.97,
    "tempo_confidence": 0.6,
    "key": "A minor",
    "key_confidence": 0.9,
    "stereo_image": "stereo",
    "side_mid_ratio_db": -4.0,
    "spectral_centroid_hz": 900.0,
}


def tags(op=MeasuresTag(), **measures):  # noqa: B008
    clip = Clip(clip_id="x", start_sample=0, end_sample=1, rate_hz=1, measures=PLAIN | measures)
    return op.measure(clip)["tags"]


def test_a_plain_clip():
    assert tags() == ["instrumental", "120 BPM", "A minor", "wide stereo"]


@pytest.mark.parametrize(
    ("measures", "added"),
    [
        ({"tempo_bpm": 70.0}, "slow"),
        ({"tempo_bpm": 150.4}, "fast"),
        ({"spectral_centroid_hz": 100.0}, "dark"),
        ({"spectral_centroid_hz": 4000.0}, "bright"),
        ({"loudness_lufs": -35.0}, "quiet"),
        ({"loudness_lufs": -8.0}, "loud"),
        ({"voiced_ratio": 0.8}, "voice"),
        ({"stereo_image": "dual mono", "side_mid_ratio_db": -100.0}, "mono"),
        ({"stereo_image": None, "side_mid_ratio_db": None}, "mono"),
    ],
)
def test_words(measures, added):
    assert added not in tags()
    assert added in tags(**measures)


@pytest.mark.parametrize(
    ("measures", "missing"),
    [
        ({"tempo_confidence": 0.1}, "120 BPM"),
        ({"tempo_bpm": None, "tempo_confidence": None}, "120 BPM"),
        ({"key_confidence": 0.5}, "A minor"),
        ({"key": None, "key_confidence": None}, "A minor"),
        ({"voiced_ratio": 0.15}, "instrumental"),
        ({"voiced_ratio": 0.9}, "instrumental"),
        ({"side_mid_ratio_db": -12.0}, "wide stereo"),
        ({"stereo_image": "inverted", "side_mid_ratio_db": 100.0}, "wide stereo"),
        ({"stereo_image": "left only", "side_mid_ratio_db": 0.0}, "wide stereo"),
    ],
)
def test_what_is_not_sure_is_left_out(measures, missing):
    assert missing in tags()
    assert missing not in tags(**measures)


def test_a_tempo_that_is_not_sure_is_neither_slow_nor_fast():
    assert "fast" not in tags(tempo_bpm=180.0, tempo_confidence=0.1)


def test_a_dead_channel_is_not_mono():
    assert "mono" not in tags(stereo_image="left only", side_mid_ratio_db=0.0)


def test_silence_has_no_tags():
    undefined = dict.fromkeys(PLAIN) | {"voiced_ratio": 0.0}
    assert tags(**undefined) == []


def test_every_measure_but_loudness_may_be_undefined():
    undefined = dict.fromkeys(PLAIN) | {"loudness_lufs": -20.0, "stereo_image": "stereo", "side_mid_ratio_db": -13.0}
    assert tags(**undefined) == []


def test_thresholds_are_parameters():
    op = MeasuresTag(fast_min_bpm=119.0, min_key_confidence=0.95, wide_min_side_mid_db=0.0, loud_min_lufs=-20.0)
    assert tags(op) == ["instrumental", "fast", "120 BPM", "loud"]


def test_it_hears_nothing():
    clip = Clip(clip_id="x", start_sample=0, end_sample=1, rate_hz=1, measures=dict(PLAIN))
    assert set(MeasuresTag.reads) == set(PLAIN)
    assert MeasuresTag().measure(clip)["tags"]  # the clip has no audio to ask for


def test_yaml_repeats_the_defaults():
    written = OmegaConf.to_container(OmegaConf.load(Path(__file__).parents[2] / "conf" / "tag" / "measures.yaml"))
    assert written.pop("_target_") == "audiocur.ops.tag.measures.MeasuresTag"
    assert written == {field.name: getattr(MeasuresTag(), field.name) for field in fields(MeasuresTag)}
    assert pickle.loads(pickle.dumps(MeasuresTag())) == MeasuresTag()


@pytest.mark.parametrize(
    ("parameters", "key"),
    [
        ({"min_key_confidence": 1.5}, "min_key_confidence"),
        ({"instrumental_max_voiced": 0.5}, "instrumental_max_voiced"),
        ({"slow_max_bpm": 150.0}, "slow_max_bpm"),
        ({"dark_max_hz": 5000.0}, "dark_max_hz"),
        ({"quiet_max_lufs": 0.0}, "quiet_max_lufs"),
    ],
)
def test_parameters_out_of_range(parameters, key):
    with pytest.raises(ConfigError, match=f"^{key}="):
        MeasuresTag(**parameters)
