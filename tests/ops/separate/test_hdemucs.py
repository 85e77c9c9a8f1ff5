"""Stems by Hybrid Demucs: a tiny network with random weights, saved and loaded as the large one is."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torchaudio", reason="the extra `models` is not installed")

import torch
from torchaudio.models import HDemucs
from torchaudio.pipelines import HDEMUCS_HIGH_MUSDB_PLUS

from audiocur.audio import Audio
from audiocur.encoding import Format, decode_bytes, encode
from audiocur.errors import ConfigError, RowError, RunError
from audiocur.op import Device, Dtype
from audiocur.ops.separate.hdemucs import RATE_HZ, RATIOS, Hdemucs, stereo, voiced_ratio
from audiocur.records import Clip, Stored

SOURCES = ["drums", "bass", "other", "vocals"]
TINY = {"sources": SOURCES, "channels": 4, "growth": 2, "nfft": 4096, "depth": 6}


def save(path, config=None):
    torch.manual_seed(0)
    config = config or TINY
    torch.save({"config": config, "state_dict": HDemucs(**config).state_dict()}, path)
    return str(path)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return save(tmp_path_factory.mktemp("hdemucs") / "tiny.pt")


@pytest.fixture(scope="module")
def tiny(checkpoint):
    op = Hdemucs(checkpoint=checkpoint, chunk_s=1, overlap_s=0.25)
    return op, op.load(Device())


def clip_of(samples, rate_hz=RATE_HZ):
    audio = Audio(np.atleast_2d(samples).astype(np.float32), rate_hz)
    data = encode(audio, Format.FLAC)
    clip = Clip(clip_id="0" * 24, start_sample=0, end_sample=audio.num_samples, rate_hz=rate_hz)
    clip.store(Stored(data, "flac", rate_hz, audio.channels, audio.num_samples))
    return clip


def music(seconds, seed=0, rate_hz=RATE_HZ, channels=2):
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * rate_hz)) / rate_hz
    tones = sum(rng.uniform(0.02, 0.1) * np.sin(2 * np.pi * f * t) for f in rng.uniform(50, 5000, 8))
    return np.stack([tones + rng.normal(0, 0.02, len(t)) for _ in range(channels)])


def test_shares_of_energy_add_up_to_one_and_the_vocals_go_on(tiny):
    op, model = tiny
    clip = clip_of(music(2.3))
    (measures,) = op.measure_batch([clip], model)
    assert measures.keys() == {column.name for column in op.writes}
    shares = [measures[column] for column in RATIOS.values()]
    assert sum(shares) == pytest.approx(1)
    assert all(0 < share < 1 for share in shares)
    assert 0 <= measures["vocals_voiced_ratio"] <= 1
    assert measures["vocals_audio"] is None
    vocals = clip.features["vocals"]
    assert vocals.dtype == np.float32
    assert vocals.shape == clip.audio.mono_16k.shape
    assert vocals.any()


def test_it_is_the_networks_own_answer(checkpoint):
    """A clip of one chunk, beside torchaudio's network called by hand."""
    op = Hdemucs(checkpoint=checkpoint, chunk_s=1, overlap_s=0.25, store=True)
    clip = clip_of(music(1.0))
    (measures,) = op.measure_batch([clip], op.load(Device()))
    network = HDemucs(**TINY).eval()
    network.load_state_dict(torch.load(checkpoint, weights_only=True)["state_dict"])
    mix = torch.from_numpy(clip.audio.samples)
    with torch.inference_mode():
        (stems,) = network(((mix - mix.mean()) / mix.std())[None]) * mix.std()
    energies = stems.double().square().sum(dim=(1, 2))
    expected = dict(zip(RATIOS.values(), (energies / energies.sum()).tolist(), strict=True))
    assert {column: measures[column] for column in RATIOS.values()} == pytest.approx(expected, rel=1e-3)
    vocals = decode_bytes(measures["vocals_audio"])
    assert (vocals.rate_hz, vocals.channels, vocals.num_samples) == (RATE_HZ, 2, clip.audio.num_samples)
    np.testing.assert_allclose(vocals.samples, stems[3].clamp(-1, 1).numpy(), atol=1e-3)


@pytest.mark.parametrize("batch_chunks", [1, 3, 100])
def test_a_clip_has_the_same_stems_in_every_batch(checkpoint, tiny, batch_chunks):
    op, model = tiny
    clips = [clip_of(music(seconds, seed)) for seed, seconds in enumerate((2.4, 1.3, 0.4))]
    alone = [op.measure_batch([clip], model)[0] for clip in clips]
    vocals = [clip.features["vocals"] for clip in clips]
    other = Hdemucs(checkpoint=checkpoint, chunk_s=1, overlap_s=0.25, batch_chunks=batch_chunks)
    together = other.measure_batch(clips, model)
    for one, many, before, clip in zip(alone, together, vocals, clips, strict=True):
        assert [many[c] for c in RATIOS.values()] == pytest.approx([one[c] for c in RATIOS.values()], rel=op.rtol)
        np.testing.assert_allclose(clip.features["vocals"], before, atol=1e-4)


def test_long_clips_are_heard_in_chunks(tiny):
    op, model = tiny
    shapes = []

    def listening(chunks):
        shapes.append(chunks.shape)
        return model.separate(chunks)

    op.measure_batch([clip_of(music(2.5))], type(model)(listening, model.stems))
    assert shapes == [(3, 2, RATE_HZ)]
    assert op.computed_s(2.5, 4) == 3 * 1 * 4
    assert op.computed_s(0.5, 1) == 1


@pytest.mark.parametrize("samples", [np.zeros((2, RATE_HZ)), np.full((1, RATE_HZ), 0.25), np.zeros((2, 1))])
def test_silence_has_no_shares_and_no_voice(tiny, samples):
    op, model = tiny
    clip = clip_of(samples)
    (measures,) = op.measure_batch([clip], model)
    assert {measures[column] for column in RATIOS.values()} == {None}
    assert measures["vocals_voiced_ratio"] == 0
    assert not clip.features["vocals"].any()


@pytest.mark.parametrize(("rate_hz", "channels"), [(44_100, 1), (8000, 2), (48_000, 6), (96_000, 2)])
def test_any_clip_is_heard_at_44_1_khz_in_stereo(tiny, rate_hz, channels):
    op, model = tiny
    clip = clip_of(music(0.7, rate_hz=rate_hz, channels=channels), rate_hz)
    mix = stereo(clip.audio)
    assert mix.shape == (2, pytest.approx(0.7 * RATE_HZ, abs=2))
    assert mix.dtype == np.float32
    if channels != 2:
        np.testing.assert_array_equal(mix[0], mix[1])
    (measures,) = op.measure_batch([clip], model)
    assert sum(measures[column] for column in RATIOS.values()) == pytest.approx(1)


def test_opposite_channels_are_no_silence(tiny):
    op, model = tiny
    left = music(1.0, channels=1)
    (measures,) = op.measure_batch([clip_of(np.concatenate([left, -left]))], model)
    assert measures["vocal_energy_ratio"] is not None


def test_samples_that_are_not_finite_are_the_clips_fault():
    with pytest.raises(RowError, match="not finite"):
        stereo(Audio(np.full((2, 100), np.nan, np.float32), RATE_HZ))


def test_stems_that_are_not_finite_are_not_the_clips_fault(tiny):
    op, model = tiny
    broken = type(model)(lambda chunks: model.separate(chunks) * np.float32(np.inf), model.stems)
    with pytest.raises(ArithmeticError, match="stems are not finite in float32"), np.errstate(invalid="ignore"):
        op.measure_batch([clip_of(music(0.8))], broken)


def test_voice_is_found_where_the_voice_model_finds_it(real_audio):
    import soundfile

    samples, rate_hz = soundfile.read(real_audio / "198-209-0000.ogg", dtype="float32")
    mono = Audio(np.atleast_2d(samples), rate_hz).mono_16k
    assert voiced_ratio(mono, 0.5) > 0.7
    assert voiced_ratio(np.concatenate([mono, np.zeros_like(mono)]), 0.5) == pytest.approx(
        voiced_ratio(mono, 0.5) / 2, abs=0.05
    )


def test_other_stems_leave_columns_null(tmp_path):
    config = TINY | {"sources": ["vocals", "mixture"]}
    op = Hdemucs(checkpoint=save(tmp_path / "two.pt", config), chunk_s=1, overlap_s=0.25)
    (measures,) = op.measure_batch([clip_of(music(0.8))], op.load(Device()))
    assert 0 < measures["vocal_energy_ratio"] < 1
    assert measures["drums_energy_ratio"] is measures["bass_energy_ratio"] is measures["other_energy_ratio"] is None


def test_half_precision_is_near(checkpoint, tiny):
    op, model = tiny
    clip = clip_of(music(0.8))
    (exact,) = op.measure_batch([clip], model)
    half = Hdemucs(checkpoint=checkpoint, chunk_s=1, overlap_s=0.25, dtype=Dtype.bfloat16)
    (near,) = half.measure_batch([clip], half.load(Device()))
    assert [near[c] for c in RATIOS.values()] == pytest.approx([exact[c] for c in RATIOS.values()], abs=0.05)
    assert near != exact


def test_the_published_network_is_looked_for_in_torchs_cache_and_loaded_from_it(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    op = Hdemucs()
    (published,) = op.checkpoints()
    assert published.found() is None
    with pytest.raises(ConfigError, match=r"HDEMUCS_HIGH_MUSDB_PLUS is not on this machine.*335 MB"):
        op.load(Device())
    assert not list(tmp_path.iterdir())  # to look leaves nothing behind
    torch.manual_seed(0)
    network = HDEMUCS_HIGH_MUSDB_PLUS._model_factory_func()
    path = tmp_path / "hub" / "torchaudio" / "models" / "hdemucs_high_trained.pt"
    path.parent.mkdir(parents=True)
    torch.save(network.state_dict(), path)
    assert path.stat().st_size / 1e6 == pytest.approx(published.size_mb, rel=0.01)
    assert published.found() == path
    model = op.load(Device())
    assert model.stems == tuple(SOURCES)
    assert model.separate(np.zeros((1, 2, 44_100), np.float32)).shape == (1, 4, 2, 44_100)


def test_without_the_extra_it_says_what_to_install(monkeypatch, checkpoint):
    monkeypatch.setitem(sys.modules, "torchaudio.pipelines", None)
    said = r"separate=hdemucs needs torchaudio.*: pip install 'audiocur\[models\]'"
    with pytest.raises(ConfigError, match=said):
        Hdemucs().checkpoints()
    with pytest.raises(ConfigError, match=said):
        Hdemucs(checkpoint=checkpoint).load(Device())


def test_a_fetch_that_fails_says_so(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # where nobody listens
    (published,) = Hdemucs().checkpoints()
    with pytest.raises(RunError, match=r"HDEMUCS_HIGH_MUSDB_PLUS: models/hdemucs_high_trained.pt cannot be fetched"):
        published.fetch()
    assert published.found() is None


class Payload:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_a_file_that_would_run_code_is_refused(tmp_path):
    torch.save({"config": TINY, "state_dict": Payload(tmp_path / "ran")}, tmp_path / "evil.pt")
    (tmp_path / "evil.pkl").write_bytes(pickle.dumps(Payload(tmp_path / "ran"), protocol=2))
    for name in ("evil.pt", "evil.pkl"):
        with pytest.raises(ConfigError, match=f"separate.checkpoint=.*{name}: no file of weights"):
            Hdemucs(checkpoint=str(tmp_path / name)).load(Device())
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("write", "problem"),
    [
        (lambda path: path.write_bytes(b""), "no file of weights"),
        (lambda path: path.write_bytes(b"not a checkpoint"), "no file of weights"),
        (lambda path: torch.save({"a": torch.zeros(1)}, path), "do not fit"),
        (lambda path: torch.save([torch.zeros(1)], path), "do not fit"),
        (lambda path: torch.save({"state_dict": {}}, path), "do not fit"),
        (lambda path: torch.save({"config": TINY, "state_dict": {}}, path), "do not fit"),
        (lambda path: torch.save({"config": {"wrong": 1}, "state_dict": {}}, path), "do not fit"),
        (lambda path: save(path, TINY | {"sources": ["drums", "bass"]}), "a stem named vocals"),
        (lambda path: save(path, TINY | {"audio_channels": 1}), "stereo"),
    ],
)
def test_other_files_are_refused(tmp_path, write, problem):
    write(tmp_path / "other.pt")
    with pytest.raises(ConfigError, match=f"separate.checkpoint=.*{problem}"):
        Hdemucs(checkpoint=str(tmp_path / "other.pt")).load(Device())


@pytest.mark.parametrize(
    "fields",
    [
        {"chunk_s": 0.5},
        {"overlap_s": 0},
        {"overlap_s": 6.0},
        {"batch_chunks": 0},
        {"voice_threshold": 1.0},
    ],
)
def test_parameters_out_of_range_are_refused(fields):
    with pytest.raises(ConfigError, match=f"{next(iter(fields))}="):
        Hdemucs(**fields)
