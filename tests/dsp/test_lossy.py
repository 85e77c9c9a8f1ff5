import io
from functools import cache

import av
import numpy as np
import pytest
import scipy.signal
import soundfile
import soxr

from audiocur.audio import Audio
from audiocur.dsp.codec_grid import codec_grid
from audiocur.dsp.lossy import lossy
from audiocur.sources.synth.song import Band, Groove, Song, render

RATE_HZ = 44_100
CODECS = {"libmp3lame": ("mp3", "fltp"), "aac": ("adts", "fltp"), "vorbis": ("ogg", "fltp"), "libopus": ("ogg", "flt")}


def judge(samples, rate_hz=RATE_HZ):
    audio = Audio(np.atleast_2d(samples).astype(np.float32), rate_hz)
    return lossy(audio.mono, audio.spectrogram)


def noise(seconds=6.0, slope_db=-3.0, rate_hz=RATE_HZ):
    """Two channels whose power falls by this much an octave."""
    count = round(seconds * rate_hz)
    spectrum = np.fft.rfft(np.random.default_rng(0).normal(size=(2, count)))
    frequencies_hz = np.maximum(np.fft.rfftfreq(count, 1 / rate_hz), 30.0)
    shaped = np.fft.irfft(spectrum * frequencies_hz ** (slope_db / 6.02), count)
    return 0.1 * shaped / shaped.std()


@cache
def song(rate_hz=RATE_HZ):
    made = Song(tempo_bpm=104, tonic=9, minor=True, bars=4, groove=Groove.ROCK, band=Band.STRINGS)
    return render(made, rate_hz, np.random.default_rng(0))[:, rate_hz : 7 * rate_hz]


def stored(samples, bits=16):
    step = 2.0 ** (1 - bits)
    return np.round(samples / max(1.0, np.abs(samples).max()) / step) * step


def dithered(samples):
    return stored(samples + np.random.default_rng(1).triangular(-1, 0, 1, samples.shape) / 32768)


def coded(samples, codec, kbps, rate_hz=RATE_HZ):
    file, (container, layout) = io.BytesIO(), CODECS[codec]
    with av.open(file, "w", format=container) as muxer:
        stream = muxer.add_stream(codec, rate=rate_hz, layout="stereo", options={"strict": "experimental"})
        stream.bit_rate = 1000 * kbps
        stream.codec_context.open()
        size = stream.codec_context.frame_size or 1024
        for start in range(0, samples.shape[1], size):
            part = samples[:, start : start + size].astype(np.float32)
            data = np.ascontiguousarray(part if layout == "fltp" else part.T.reshape(1, -1))
            frame = av.AudioFrame.from_ndarray(data, format=layout, layout="stereo")
            frame.sample_rate, frame.pts = rate_hz, start
            muxer.mux(stream.encode(frame))
        muxer.mux(stream.encode(None))
    file.seek(0)
    with av.open(file) as demuxer:
        decoded = np.concatenate([frame.to_ndarray() for frame in demuxer.decode(audio=0)], axis=1)
    return decoded if len(decoded) == 2 else decoded.reshape(-1, 2).T


@pytest.mark.parametrize("bits", [16, 24])
@pytest.mark.parametrize("kbps", [96, 128, 192])
@pytest.mark.parametrize("codec", ["libmp3lame", "aac"])
@pytest.mark.parametrize("material", [noise, song])
def test_decoded_copies_are_found(material, codec, kbps, bits):
    found = judge(stored(coded(material(), codec, kbps)[:, 12_345:], bits))
    assert found.suspect is True
    assert found.codec == {"libmp3lame": "mp3"}.get(codec, codec)


def test_mp3_is_told_from_vorbis():
    assert judge(stored(coded(song(), "libmp3lame", 128))).codec == "mp3"
    assert judge(stored(coded(song(), "vorbis", 128))).codec == "aac"  # they share frames


def test_opus_is_found_by_its_wall():
    found = judge(stored(coded(noise(rate_hz=48_000), "libopus", 96, 48_000)), 48_000)
    assert found.suspect is True
    assert found.codec is None
    assert found.wall_hz == pytest.approx(20_100, abs=200)


@pytest.mark.parametrize("kbps", [96, 128, 192])
@pytest.mark.parametrize("store", [stored, lambda copy: dithered(0.7 * copy)])
def test_copies_are_found_where_little_is_left_out(store, kbps):
    # A few zeros in a thousand, at lines little louder than the rounding.
    assert judge(store(coded(noise(slope_db=-9), "aac", kbps)[:, 12_345:])).codec == "aac"


@pytest.mark.parametrize(("codec", "kbps"), [("libmp3lame", 160), ("aac", 128), ("aac", 192)])
def test_quiet_copies_are_found(codec, kbps):
    assert judge(stored(coded(0.05 * song(), codec, kbps)[:, 12_345:])).codec is not None


@pytest.mark.parametrize("gain", [0.7, 0.1])
def test_gain_and_dither_do_not_hide_a_copy(gain):
    assert judge(dithered(gain * coded(song(), "libmp3lame", 128))).codec == "mp3"


def test_a_copy_too_dark_for_a_wall_is_found_by_its_frames():
    dark = scipy.signal.sosfilt(scipy.signal.butter(4, 3000, fs=RATE_HZ, output="sos"), noise(slope_db=0))
    found = judge(stored(coded(dark, "libmp3lame", 128)))
    assert (found.suspect, found.codec) == (True, "mp3")
    assert found.wall_db < 25


@pytest.mark.parametrize("decay_s", [0.1, 0.2])
@pytest.mark.parametrize("kbps", [96, 128])
def test_frames_are_found_between_notes_that_fade(decay_s, kbps):
    t = np.arange(6 * RATE_HZ) / RATE_HZ
    notes = sum(np.sin(2 * np.pi * 220 * i * t) / i * np.exp(-(t % 0.5) * np.sqrt(i) / decay_s) for i in range(1, 40))
    copy = coded(0.1 * np.tile(notes, (2, 1)) + 0.02 * noise(slope_db=-9), "aac", kbps)
    assert judge(stored(copy[:, 12_345:])).codec == "aac"


def test_a_copy_that_was_resampled_is_found_by_its_wall():
    copy = soxr.resample(coded(noise(), "libmp3lame", 128).T, RATE_HZ, 48_000).T
    found = judge(stored(copy), 48_000)
    assert (found.suspect, found.codec) == (True, None)
    assert found.wall_hz == pytest.approx(16_750, abs=200)


@pytest.mark.parametrize("material", [noise, song])
@pytest.mark.parametrize("order", [1, 2, 3, 4])
@pytest.mark.parametrize("corner_hz", [4000, 10_000, 16_000, 18_000])
def test_gentle_low_passes_are_not_walls(material, order, corner_hz):
    low = scipy.signal.sosfilt(scipy.signal.butter(order, corner_hz, fs=RATE_HZ, output="sos"), material())
    assert judge(dithered(low)).suspect is False


@pytest.mark.parametrize("material", [noise, song])
@pytest.mark.parametrize("over_hz", [22_050, 32_000])
@pytest.mark.parametrize("quality", ["MQ", "HQ", "VHQ"])
def test_resamplers_are_not_codecs(material, over_hz, quality):
    low = soxr.resample(soxr.resample(material().T, RATE_HZ, over_hz, quality), over_hz, RATE_HZ, quality).T
    found = judge(stored(low))
    assert found.suspect is False
    assert found.wall_db > 20


@pytest.mark.parametrize("to_hz", [48_000, 96_000, 192_000])
def test_upsampled_recordings_are_not_copies(to_hz):
    assert judge(stored(soxr.resample(song().T, RATE_HZ, to_hz).T, 24), to_hz).suspect is False


@pytest.mark.parametrize(
    "treat",
    [
        lambda x: x,
        lambda x: np.floor(x * 32768) / 32768,
        lambda x: stored(0.01 * x),
        lambda x: stored(x, 8),
        lambda x: dithered(x * np.linspace(1, 0, x.shape[1]) ** 2),
        lambda x: dithered(x + np.random.default_rng(2).normal(0, 0.002, x.shape)),
    ],
)
def test_what_innocent_recordings_go_through(treat):
    assert judge(treat(song())).suspect is False


@pytest.mark.parametrize("period", [128, 320, 441, 1024])
def test_tones_in_step_with_the_frames(period):
    # AAC's frames are 1024 samples: each, or each fifth, holds the same, and its zeros are always at the same lines.
    saw = 0.3 * np.tile(np.linspace(-1, 1, period), 6 * RATE_HZ // period)
    assert not judge(stored(saw)).suspect


@pytest.mark.parametrize("period", [*(n * 1024 for n in (3, 4, 6, 8, 23)), 8 * 576, 38 * 576])
def test_loops_in_step_with_the_frames(period):
    # What chance left out once is left out as often as the loop repeats.
    loop = np.tile(song()[:, :period], (1, 20 * RATE_HZ // period))
    assert judge(stored(loop)).codec is None


def kicks():
    t = np.arange(RATE_HZ // 4) / RATE_HZ
    kick = 0.6 * np.exp(-25 * t) * np.sin(2 * np.pi * (40 * t + 5 * (1 - np.exp(-30 * t))) + 1.5)
    return np.tile(np.pad(kick, (0, RATE_HZ // 4)), 12)


def plucks():
    t = np.arange(6 * RATE_HZ) / RATE_HZ
    return 0.22 * np.sin(2 * np.pi * 261.6256 * t) * np.exp(-3 * (t % 1))


@pytest.mark.parametrize(
    "sound",
    [
        kicks,
        plucks,
        lambda: np.where(np.arange(50_000) < 25_000, 0.5, -0.5),
        lambda: np.where(np.arange(32_768) == 16_384, 0.9, 0.0),
        lambda: 0.22 * np.sign(np.sin(2 * np.pi * 100 / 48_000 * np.arange(288_000) + 0.001)),
        lambda: song()[:, ::16].repeat(16, axis=1),
        lambda: song()[:, : 64 * 1024].reshape(2, -1, 1024).repeat(3, axis=1).reshape(2, -1),
    ],
    ids=["kicks", "plucks", "step", "click", "square", "held", "granular"],
)
def test_few_frames_prove_nothing(sound):
    # A sudden start is its own mirror image about one of the offsets: hundreds of lines vanish, in that one frame.
    assert judge(stored(sound())).codec is None


@pytest.mark.parametrize("frequency_hz", [440, 11_000, 15_000])
def test_tones_are_not_walls(frequency_hz):
    tone = 0.5 * np.sin(2 * np.pi * frequency_hz / RATE_HZ * np.arange(5 * RATE_HZ))
    assert not judge(stored(tone)).suspect


def test_the_wall_is_described():
    spectrum = np.fft.rfft(noise(slope_db=0))
    spectrum[:, 14_000 * 6 :] = 0
    found = judge(dithered(np.fft.irfft(spectrum)))
    assert found.wall_hz == pytest.approx(14_000, abs=150)
    assert found.wall_db == pytest.approx(-48.3 + 125, abs=6)  # a bin holds −48 dBFS of the noise, −125 of dither
    assert found.wall_db_per_octave > 1000
    assert abs(found.wall_sag_db) < 2
    assert found.above_wall_dbfs == pytest.approx(-125, abs=3)


@pytest.mark.parametrize("x", [np.zeros((2, 44_100)), np.full((1, 44_100), 0.5), np.ones((1, 1)), noise(0.05)])
def test_undefined(x):
    assert set(judge(x)) == {None}


def test_low_rates_have_frames_but_no_walls():
    found = judge(stored(coded(noise(rate_hz=22_050), "libmp3lame", 48, 22_050)), 22_050)
    assert (found.suspect, found.codec, found.wall_hz) == (True, "mp3", None)
    assert judge(stored(noise(1.0, rate_hz=8000)), 8000).suspect is None


def test_the_same_samples_get_the_same_score():
    audio = Audio(stored(coded(song(), "aac", 128)).astype(np.float32), RATE_HZ)
    again = Audio(audio.samples.copy(), RATE_HZ)
    assert codec_grid(audio.mono, audio.spectrogram) == codec_grid(again.mono, again.spectrogram)


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        *((name, None) for name in ("sax-tenor-e-major", "sax-tenor-d-minor", "Fl-ord-C4", "dubstep", "distorted")),
        *{"flamenco": "mp3", "vocadito": "mp3", "long_voice": "aac"}.items(),
    ],
)
def test_real_recordings(real_audio, name, codec):
    # The last three are sold as lossless, but hold a codec's frames at one offset from beginning to end.
    (path,) = (real_audio / "lossless").glob(f"*{name}*")
    samples, rate_hz = soundfile.read(path, always_2d=True)
    pieces = [samples.T[:, i : i + 5 * rate_hz] for i in range(0, max(1, len(samples) - 3 * rate_hz), 2 * rate_hz)]
    found = [judge(piece, rate_hz) for piece in pieces]
    assert {piece.codec for piece in found} - {None} == ({codec} if codec else set())
    assert codec or not any(piece.suspect for piece in found)


@pytest.mark.parametrize(
    ("name", "kbps"),
    [
        *((name, 128) for name in ("sax-tenor-e-major", "sax-tenor-d-minor", "Fl-ord-C4", "dubstep", "distorted")),
        ("Fl-ord-C4", 192),  # one quiet note
    ],
)
def test_copies_of_real_recordings(real_audio, name, kbps):
    (path,) = (real_audio / "lossless").glob(f"*{name}*")
    samples, rate_hz = soundfile.read(path, always_2d=True)
    stereo = np.broadcast_to(samples.T, (2, len(samples)))[:, : 8 * rate_hz] / 1.05
    assert judge(stored(coded(stereo, "aac", kbps, rate_hz)[:, 12_345:]), rate_hz).suspect is True
