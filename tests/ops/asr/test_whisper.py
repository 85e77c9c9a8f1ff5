"""Whisper in batches: what its own loop finds, whatever else is in the batch, in one part or two."""

import pickle

import numpy as np
import pyarrow as pa
import pytest

from audiocur.checkpoints import Download
from audiocur.errors import ConfigError, RunError
from audiocur.lyrics.hearing import On
from audiocur.lyrics.whisper_decoding import decode, encode, log_mels
from audiocur.op import Device, Dtype
from audiocur.ops.asr.whisper import Whisper
from audiocur.ops.asr_check.whisper import WhisperCheck
from audiocur.ops.whisper_decode.whisper import WhisperDecode
from audiocur.ops.whisper_encode.whisper import WhisperEncode

whisper = pytest.importorskip("whisper")
torch = pytest.importorskip("torch")

#: What a random model says is noise: nothing of it is to be withheld.
OPEN = {
    "min_voiced_ratio": None,
    "min_level_dbfs": None,
    "min_level_db": None,
    "max_repeats": None,
    "max_compression_ratio": None,
    "min_logprob": None,
    "max_no_speech_prob": None,
}


@pytest.fixture(scope="module")
def op(checkpoint):
    return Whisper(model=str(checkpoint), max_tokens=24, **OPEN)


@pytest.fixture(scope="module")
def model(op):
    return op.load(Device())


def test_spectra_are_those_of_whispers_own_transcribe(model, make_clip):
    windows = [make_clip(seconds, seed).audio.mono_16k for seed, seconds in enumerate([30.0, 7.03, 0.5])]
    found = log_mels(model.whisper, [samples * level for samples, level in zip(windows, [1, 0.01, 1], strict=True)])
    for mels, samples, level in zip(found, windows, [1, 0.01, 1], strict=True):
        whole = whisper.log_mel_spectrogram(samples * level, 80, padding=whisper.audio.N_SAMPLES)
        theirs = whisper.pad_or_trim(whole[:, : len(samples) // 160], 3000)
        torch.testing.assert_close(mels, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("language", [None, "de"])
def test_tokens_are_those_of_whispers_own_decoder(model, language, make_clip):
    windows = [make_clip(seconds, seed).audio.mono_16k for seed, seconds in enumerate([30.0, 12.0, 5.0, 20.0, 1.0])]
    with torch.inference_mode():
        mels = log_mels(model.whisper, windows)
        options = whisper.DecodingOptions(temperature=0.0, language=language, fp16=False, sample_len=30)
        theirs = whisper.decode(model.whisper, mels, options)
        features = encode(model.whisper, windows, torch.float32)
        ours = decode(model.whisper, features, languages=[language] * 5, leaders=range(5), max_tokens=30)
    assert [found.tokens for found in ours] == [result.tokens for result in theirs]
    assert [found.language for found in ours] == [result.language for result in theirs]
    assert len({tuple(found.tokens) for found in ours}) > 1, "the test's model must hear a difference"
    for found, result in zip(ours, theirs, strict=True):
        assert found.logprob == pytest.approx(result.avg_logprob, rel=1e-3)
        assert found.no_speech_prob == pytest.approx(result.no_speech_prob, rel=1e-3)


def test_windows_that_end_early_leave_the_batch(model, make_clip):
    """The end is made likely, and each window comes to it after a time of its own."""
    windows = [make_clip(10.0, seed).audio.mono_16k for seed in range(8)]
    with torch.inference_mode():
        features = encode(model.whisper, windows, torch.float32)
        embedding = model.whisper.decoder.token_embedding.weight
        eot = whisper.tokenizer.get_tokenizer(True).eot
        kept = embedding.data[eot].clone()
        try:
            embedding.data[eot] *= 30.0
            options = whisper.DecodingOptions(temperature=0.0, fp16=False, sample_len=60)
            theirs = whisper.decode(model.whisper, log_mels(model.whisper, windows), options)
            ours = decode(model.whisper, features, languages=[None] * 8, leaders=range(8), max_tokens=60)
        finally:
            embedding.data[eot] = kept
    assert [found.tokens for found in ours] == [result.tokens for result in theirs]
    lengths = {len(found.tokens) for found in ours}
    assert len(lengths) > 1, "windows must end at different times"
    assert min(lengths) < 60


def test_a_clip_has_the_same_lyrics_alone_and_in_a_batch(op, model, make_clip):
    clips = [make_clip(seconds, seed) for seed, seconds in enumerate([70.0, 31.0, 12.0, 3.0])]
    together = op.measure_batch(clips, model)
    alone = [op.measure_batch([clip], model)[0] for clip in clips]
    assert all(found["lyrics"] for found in together)
    for one, other in zip(together, alone, strict=True):
        for name in ("lyrics", "lyrics_segments", "language", "lyrics_gated"):
            assert one[name] == other[name]
        assert one["asr_logprob"] == pytest.approx(other["asr_logprob"], rel=op.rtol)


def test_the_number_of_windows_at_once_changes_nothing(checkpoint, op, model, make_clip):
    clips = [make_clip(seconds, seed) for seed, seconds in enumerate([65.0, 40.0])]
    few = Whisper(model=str(checkpoint), max_tokens=24, batch_windows=2, **OPEN)
    assert [row["lyrics"] for row in few.measure_batch(clips, model)] == [
        row["lyrics"] for row in op.measure_batch(clips, model)
    ]


def test_times_lie_within_the_clip_and_in_order(op, model, make_clip):
    (found,) = op.measure_batch([make_clip(75.0, 3)], model)
    times = [(line["start_s"], line["end_s"]) for line in found["lyrics_segments"]]
    assert times == sorted(times)
    assert all(0 <= start <= end <= 75.0 for start, end in times)
    assert times[-1][0] > 60, "the last window has lines as well"


def test_two_parts_find_what_the_whole_finds(checkpoint, op, model, make_clip):
    clips = [make_clip(seconds, seed) for seed, seconds in enumerate([40.0, 12.0])]
    first = WhisperEncode(model=str(checkpoint))
    second = WhisperDecode(model=str(checkpoint), max_tokens=24, **OPEN)
    encoder, decoder = first.load(Device()), second.load(Device())
    assert encoder.whisper.decoder is None
    assert decoder.whisper.encoder is None
    assert first.measure_batch(clips, encoder) == [{}, {}]
    assert [clip.features["whisper"].shape for clip in clips] == [(2, 1500, 32), (1, 1500, 32)]
    travelled = pickle.loads(pickle.dumps(clips))
    assert second.measure_batch(travelled, decoder) == op.measure_batch(clips, model)


def test_words_have_times_and_probabilities(checkpoint, model, make_clip):
    op = Whisper(model=str(checkpoint), max_tokens=24, words=True, **OPEN)
    (found,) = op.measure_batch([make_clip(45.0, 5)], model)
    words = found["lyrics_words"]
    assert " ".join(word["word"] for word in words).replace(" ", "") == found["lyrics"].replace("\n", "").replace(
        " ", ""
    )
    assert all(0 <= word["start_s"] <= word["end_s"] <= 45.1 for word in words)
    assert all(0 <= word["probability"] <= 1 for word in words)
    assert max(word["start_s"] for word in words) > 30, "words of the second window count from the clip's start"


def test_words_are_timed_as_whispers_own_transcribe_times_them(checkpoint, make_clip):
    """Its whole loop over one window, which it leaves at once: the times are the same."""
    op = Whisper(model=str(checkpoint), max_tokens=12, words=True, language="en", **OPEN)
    model, clip = op.load(Device()), make_clip(6.0, 11)
    (ours,) = op.measure_batch([clip], model)
    theirs = whisper.transcribe(
        model.whisper,
        clip.audio.mono_16k,
        temperature=0.0,
        language="en",
        fp16=False,
        word_timestamps=True,
        sample_len=12,
        no_speech_threshold=None,
        logprob_threshold=None,
        compression_ratio_threshold=None,
        condition_on_previous_text=False,
    )
    first = theirs["segments"][0]
    assert ours["lyrics_segments"][0]["text"] == first["text"].strip()
    (mine, *_), (other, *_) = ours["lyrics_words"], first["words"]
    assert mine["word"] == other["word"].strip()
    assert mine["probability"] == pytest.approx(other["probability"], rel=1e-3)


def test_a_clip_has_the_language_of_its_window_with_most_voice(op, model, make_clip):
    samples = np.concatenate([make_clip(30.0, seed).audio.mono_16k for seed in (1, 2)])
    first, second = (op.measure_batch([make_clip(30.0, seed)], model)[0]["language"] for seed in (1, 2))
    clip = make_clip(60.0, voiced=[{"start_s": 40.0, "end_s": 60.0}])
    clip.audio.samples[0] = samples
    fixed = Whisper(model=op.model, max_tokens=24, cut_search_s=0.0, **OPEN)
    assert fixed.measure_batch([clip], model)[0]["language"] == second
    clip.measures["voiced"] = [{"start_s": 0.0, "end_s": 30.0}]
    assert fixed.measure_batch([clip], model)[0]["language"] == first


def test_what_is_heard_without_voice_is_withheld(checkpoint, model, make_clip):
    op = Whisper(model=str(checkpoint), max_tokens=20, **OPEN | {"min_voiced_ratio": 0.2})
    (found,) = op.measure_batch([make_clip(10.0, 1, voiced=[])], model)
    assert found["lyrics"] is None
    assert found["lyrics_gated"]
    assert all(text.startswith("no voice: ") for text in found["lyrics_gated"])


def test_the_vocal_stem_is_heard_where_that_is_asked_for(checkpoint, op, model, make_clip):
    on_vocals = Whisper(model=str(checkpoint), max_tokens=24, on=On.vocals, **OPEN)
    assert (op.takes, on_vocals.takes) == ((), ("vocals",))
    clip, singer = make_clip(4.0, 1), make_clip(4.0, 6)
    clip.features["vocals"] = singer.audio.mono_16k
    assert (
        on_vocals.measure_batch([clip], model) == op.measure_batch([singer], model) != op.measure_batch([clip], model)
    )
    assert on_vocals.measure_batch([clip], model)[0]["lyrics"]
    assert WhisperDecode(on=On.vocals).takes == ("whisper", "whisper_cuts", "vocals")


def test_rows_fit_the_declared_columns(op, model, make_clip):
    (found,) = op.measure_batch([make_clip(3.0)], model)
    assert found.keys() == {column.name for column in op.writes}
    for column in op.writes:
        pa.array([found[column.name]], column.type)


def test_a_model_of_english_alone_and_one_with_128_mels(tmp_path, make_clip, save_whisper):
    english = Whisper(model=str(save_whisper(tmp_path / "english.pt", n_vocab=51864)), max_tokens=10, **OPEN)
    loaded, samples = english.load(Device()), make_clip(3.0).audio.mono_16k
    with torch.inference_mode():
        (ours,) = decode(
            loaded.whisper,
            encode(loaded.whisper, [samples], torch.float32),
            languages=[None],
            leaders=[0],
            max_tokens=10,
        )
        options = whisper.DecodingOptions(temperature=0.0, fp16=False, sample_len=10, language="en")
        (theirs,) = whisper.decode(loaded.whisper, log_mels(loaded.whisper, [samples]), options)
    assert ours.tokens == theirs.tokens
    large = Whisper(model=str(save_whisper(tmp_path / "large.pt", n_vocab=51866, n_mels=128)), max_tokens=10, **OPEN)
    assert english.measure_batch([make_clip(3.0)], english.load(Device()))[0]["language"] == "en"
    assert large.measure_batch([make_clip(3.0)], large.load(Device()))[0]["lyrics"]


@pytest.mark.parametrize("dtype", [Dtype.float16, Dtype.bfloat16])
def test_half_precision_hears_as_well_in_one_part_or_two(checkpoint, dtype, make_clip):
    clips = [make_clip(3.0, 1), make_clip(2.0, 2)]
    op = Whisper(model=str(checkpoint), max_tokens=10, dtype=dtype, words=True, **OPEN)
    first = WhisperEncode(model=str(checkpoint), dtype=dtype)
    second = WhisperDecode(model=str(checkpoint), max_tokens=10, dtype=dtype, words=True, **OPEN)
    whole = op.measure_batch(clips, op.load(Device()))
    first.measure_batch(clips, first.load(Device()))
    assert all(found["lyrics_words"] for found in whole)
    assert second.measure_batch(clips, second.load(Device())) == whole


class Evil:
    """Writes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (self.path, "w"))


def test_a_checkpoint_that_would_run_code_is_refused(tmp_path):
    torch.save({"dims": Evil(str(tmp_path / "ran")), "model_state_dict": {}}, tmp_path / "evil.pt")
    with pytest.raises(RunError, match=r"evil\.pt: expected a file of weights alone"):
        Whisper(model=str(tmp_path / "evil.pt")).load(Device())
    assert not (tmp_path / "ran").exists()


def test_what_is_no_checkpoint_is_refused(tmp_path):
    (tmp_path / "text.pt").write_text("not a checkpoint")
    torch.save({"weights": torch.zeros(1)}, tmp_path / "other.pt")
    for name in ("text.pt", "other.pt"):
        with pytest.raises(RunError, match=f"{name}: expected a"):
            Whisper(model=str(tmp_path / name)).load(Device())
    with pytest.raises(ConfigError, match="not on this machine"):
        Whisper(model=str(tmp_path / "none.pt")).load(Device())


def test_a_size_is_fetched_to_where_the_library_keeps_it(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (found,) = Whisper(model="large-v3").checkpoints()
    assert isinstance(found, Download)
    assert found.path == tmp_path / "whisper" / "large-v3.pt"
    assert found.url == whisper._MODELS["large-v3"]
    assert len(found.digest) == 64
    assert found.size_mb > 3000
    with pytest.raises(ConfigError, match=r"model=larg-v3: expected one of tiny.en, .*path"):
        Whisper(model="larg-v3").checkpoints()


def test_an_unknown_language_is_refused_before_any_work(checkpoint):
    with pytest.raises(ConfigError, match="language=xx: expected one of en, "):
        Whisper(model=str(checkpoint), language="xx").checkpoints()


def test_a_second_hearing_is_compared_where_there_are_lyrics(checkpoint, op, model, tmp_path, make_clip, save_whisper):
    check = WhisperCheck(model=str(checkpoint), max_tokens=24, **OPEN)
    clips = [make_clip(5.0, seed) for seed in range(3)]
    for clip, found in zip(clips, op.measure_batch(clips, model), strict=True):
        clip.measures |= found
    clips[1].measures["lyrics"] = None
    same, without, _ = check.measure_batch(clips, model)
    assert same == {"lyrics_check": clips[0].measures["lyrics"], "lyrics_edit_distance": 0.0}
    assert without == {"lyrics_check": None, "lyrics_edit_distance": None}
    other = WhisperCheck(model=str(save_whisper(tmp_path / "other.pt", seed=1)), max_tokens=24, **OPEN)
    (different,) = other.measure_batch(clips[:1], other.load(Device()))
    assert 0 < different["lyrics_edit_distance"] <= 1


def test_a_clip_of_one_sample_and_silence_are_heard(op, model, make_clip):
    short = make_clip(1 / 16_000)
    silent = make_clip(2.0)
    silent.audio.samples[:] = 0.0
    for found in op.measure_batch([silent, short], model):
        assert found.keys() == {column.name for column in op.writes}
