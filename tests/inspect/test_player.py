"""A player shows and plays whatever was cut, and says in its place what cannot be heard."""

from __future__ import annotations

import base64
import io
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import soundfile

from audiocur import KeepRule
from audiocur.encoding import Format
from audiocur.engine.local import LocalEngine
from audiocur.errors import ConfigError, OutputError
from audiocur.inspect import playable
from audiocur.inspect.card import Card
from audiocur.inspect.opened import open_run
from audiocur.inspect.player import Player
from audiocur.inspect.sound import Sounds
from audiocur.job import Job
from audiocur.ops.measure.clipping import Clipping
from audiocur.ops.measure.loudness import Loudness
from audiocur.ops.measure.tempo import Tempo
from audiocur.ops.measure.vad import Vad
from audiocur.ops.segment.window import Window
from audiocur.ops.transform.decode import Decode
from audiocur.ops.transform.encode import Encode
from audiocur.run import run
from tests.inspect.chromium import chromium

RATE_HZ = 16_000
NAME = 'x" onerror="alert(1)/<script>alert(2)<&script>.wav'
PIPELINE = Decode() >> Vad() >> Window(length_s=8, min_s=1) >> Loudness() >> Clipping() >> Tempo() >> Encode()
RULES = {
    "loud": KeepRule(column="loudness_lufs", min=-50, max=-5),
    "clipped": KeepRule(column="clipped_ratio", max=0.01),
}


def beat(seconds):
    """Clicks at 120 BPM, the first of four louder: shape (samples,)."""
    samples = np.random.default_rng(0).normal(0, 0.01, seconds * RATE_HZ)
    for number in range(2 * seconds):
        at = number * RATE_HZ // 2
        samples[at : at + 400] += (0.9 if number % 4 == 0 else 0.5) * np.hanning(400)
    return samples.astype(np.float32).clip(-1, 1)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A run over a recording of 22 s, whose second clip is too soft, and one with a name to be careful with."""
    home = tmp_path_factory.mktemp("home")
    loud = beat(22)
    loud[8 * RATE_HZ : 16 * RATE_HZ] *= 0.01
    for name, samples in (("beat.wav", loud), (NAME, beat(5))):
        path = home / "library" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, samples, RATE_HZ)
    run(Job.of(PIPELINE, home / "library", home / "run", keep=RULES, engine=LocalEngine()))
    return home / "run"


@pytest.fixture(scope="module")
def opened(made):
    return open_run(made)


@pytest.fixture(scope="module")
def rows(opened):
    """The clips, in order of recording and place."""
    found = [row for row in opened.parts.table().to_pylist() if row["clip_id"]]
    return sorted(found, key=lambda row: (row["uri"], row["start_s"]))


class Elements(HTMLParser):
    """The tags of a page with their attributes, and its text outside styles and scripts."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.words, self._open = [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self._open.append(tag)

    def handle_endtag(self, tag):
        assert tag in self._open
        while self._open.pop() != tag:
            pass

    def handle_data(self, data):
        if not {"style", "script"} & set(self._open):
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())

    def all(self, name):
        return [attributes for tag, attributes in self.tags if tag == name]


def played(element):
    head, data = element["src"].split(",", 1)
    return head, *soundfile.read(io.BytesIO(base64.b64decode(data)), dtype="float32", always_2d=True)


def test_a_kept_clip_plays_as_it_is_stored(opened, rows):
    (row, *_) = rows
    assert row["verdict"] == "kept"
    player = opened.listen(row["clip_id"])
    page = Elements(player._repr_html_())
    (audio,) = page.all("audio")
    head, _, _ = played(audio)
    assert (head, "controls" in audio) == ("data:audio/flac;base64", True)
    assert audio["src"].split(",")[1] == base64.b64encode(Sounds(opened).stored(row).data).decode()
    assert row["uri"] in audio["aria-label"]


def test_a_rejected_clip_plays_what_was_rejected_and_says_why(opened, rows):
    row = rows[1]
    assert (row["verdict"], row["rule"]) == ("rejected", "loud")
    page = Elements(opened.listen(row)._repr_html_())
    _, samples, rate_hz = played(page.all("audio")[0])
    truth, _ = soundfile.read(opened.job.source.path + "/beat.wav", dtype="float32", always_2d=True)
    assert rate_hz == RATE_HZ
    assert np.array_equal(samples, truth[8 * RATE_HZ : 16 * RATE_HZ])
    for text in ("beat.wav", "rejected by loud", row["reason"], "0:08.0 to 0:16.0, 8.0 s", "decoded again", "broken:"):
        assert text in page.text


@pytest.mark.parametrize(
    ("encoder", "mime"),
    [
        (Encode(format=Format.WAV, bits=32), "audio/wav"),
        (Encode(format=Format.OGG), "audio/ogg"),
        (Encode(format=Format.OPUS), "audio/ogg; codecs=opus"),
        (Encode(format=Format.FLAC, rate_hz=8000), "audio/flac"),
    ],
)
def test_it_plays_whatever_a_recipe_stores(made, tmp_path, encoder, mime):
    pipeline = Decode() >> Window(length_s=8, min_s=1) >> encoder
    run(Job.of(pipeline, made.parent / "library", tmp_path / "run", engine=LocalEngine()))
    opened = open_run(tmp_path / "run")
    row = opened.sample("uri = 'beat.wav' and start_s = 0")[0]
    page = Elements(opened.listen(row)._repr_html_())
    head, samples, rate_hz = played(page.all("audio")[0])
    assert (head, rate_hz) == (f"data:{mime};base64", row["sample_rate_hz"])
    assert len(samples) == row["duration_s"] * rate_hz
    assert opened.listen(row).save(tmp_path)[0].suffix == f".{encoder.format}"


def test_samples_and_rate_are_there_for_further_work(opened, rows):
    samples, rate_hz = opened.listen(rows[1]).audio
    assert (samples.shape, samples.dtype, rate_hz) == ((1, 8 * RATE_HZ), np.float32, RATE_HZ)
    several = opened.listen(rows)
    assert np.array_equal(several[1].audio[0], samples)
    with pytest.raises(ConfigError, match=r"^audio: expected a player of one clip, .* not of 4$"):
        _ = several.audio


def test_pictures_are_in_time_with_the_sound(opened, rows):
    row = rows[0]
    found = Card.of(Sounds(opened), row)
    assert found.length_s == 8
    assert found.beats
    assert found.downbeats
    times = sorted([*found.beats, *found.downbeats])
    assert times == pytest.approx([at / 8 * 100 for at in row["beats_s"]], abs=1e-3)
    assert np.diff(times) == pytest.approx(100 / 16, abs=0.5)
    assert found.seconds[:2] == [("0 s", 0), ("1 s", 12.5)]
    assert [label for label, _ in found.frequencies] == ["200 Hz", "1 kHz", "5 kHz", "8 kHz"]
    marked = {**row, "voiced": [{"start_s": 2.0, "end_s": 4.0}], "lyrics": "oh yes"}
    marked["lyrics_words"] = [
        {"word": " oh", "start_s": 2.0, "end_s": 2.5, "probability": 0.9},
        {"word": " yes", "start_s": 3.0, "end_s": 4.0, "probability": None},
    ]
    card = Card.of(Sounds(opened), marked)
    assert [(mark.at, mark.wide) for mark in card.voiced] == [(25, 25)]
    assert [(mark.label, mark.at) for mark in card.words] == [("oh", 25), ("yes", 37.5)]
    page = Elements(Player((marked,), Sounds(opened))._repr_html_())
    assert [each["data-start"] for each in page.all("span") if "data-start" in each] == ["2.0", "3.0"]
    assert "oh yes" in page.text
    assert "voice for 2.0 s" in page.all("div")[0]["aria-label"]


def test_all_that_was_measured_stands_there_with_its_unit_and_bounds(opened, rows):
    facts = {fact.name: fact for fact in Card.of(Sounds(opened), rows[1]).facts}
    schema = opened.ledger_dataset.schema
    assert facts["loudness_lufs"].value == f"{rows[1]['loudness_lufs']:.4g}".replace("-", "−")
    assert facts["loudness_lufs"].unit == "LUFS"
    assert facts["loudness_lufs"].meaning == schema.field("loudness_lufs").metadata[b"meaning"].decode()
    assert (facts["loudness_lufs"].bounds, facts["loudness_lufs"].broken) == ("from -50 to -5", True)
    assert (facts["clipped_ratio"].bounds, facts["clipped_ratio"].broken) == ("to 0.01", False)
    assert not facts.keys() & {"beats_s", "voiced", "clip_id", "mtime_ns"}


def test_what_a_recording_is_called_is_only_text(opened, rows):
    row = rows[-1]
    assert row["uri"] == NAME
    html = opened.listen(row)._repr_html_()
    page = Elements(html)
    assert NAME in page.text
    assert html.count("<script>") == 1  # our own
    assert not any("onerror" in attributes for _, attributes in page.tags)
    links = [attributes[name] for _, attributes in page.tags for name in ("src", "href") if name in attributes]
    assert len(links) == 2
    assert all(link.startswith("data:") for link in links)
    assert not re.search(r"url\(|@import|https?:", html)


def test_every_clip_of_several_has_a_player_of_its_own(opened, rows):
    page = Elements(opened.listen(rows)._repr_html_())
    assert len(page.all("audio")) == len(page.all("section")) == len(page.all("img")) == 4
    assert len(page.all("style")) == len(page.all("script")) == 1
    assert all(each["alt"] == "" for each in page.all("img"))  # said of the whole picture instead
    pictures = [each for each in page.all("div") if each.get("role") == "img"]
    assert [each["aria-label"].partition(",")[0] for each in pictures] == [
        f"Waveform and spectrogram of {row['duration_s']:.1f} s" for row in rows
    ]


def test_a_long_clip_is_cut_off_in_the_page_alone(opened, rows, monkeypatch):
    monkeypatch.setattr(playable, "MOST_S", 3.0)
    for row in rows[:2]:
        page = Elements(opened.listen(row)._repr_html_())
        _, samples, _ = played(page.all("audio")[0])
        assert len(samples) == 3 * RATE_HZ
        assert "the first 3 of 8.0 s" in page.text
        assert opened.listen(row).audio[0].shape == (1, 8 * RATE_HZ)
        assert all(at <= 100 for at in Card.of(Sounds(opened), row).beats)


def test_a_clip_is_named_by_a_beginning_that_no_other_has(opened, rows):
    row = rows[2]
    assert opened.listen(row["clip_id"][:10]).clips == (row,)
    with pytest.raises(OutputError, match=r"run: no clip xyz was ever cut there$"):
        opened.listen("xyz")
    with pytest.raises(ConfigError, match=r"^'': expected the id of one clip, or more of it: "):
        opened.listen("")


def test_what_can_be_listened_to(opened, rows):
    ids = [row["clip_id"] for row in rows]
    assert opened.listen(ids).clips == tuple(rows)
    assert opened.listen([rows[0], ids[1], opened.sample(f"clip_id = '{ids[2]}'")]).clips == tuple(rows[:3])
    assert opened.listen({"clip_id": ids[1]}).clips == (rows[1],)
    assert len(opened.listen(opened.sample("start_s > 100"))) == 0
    assert opened.listen([])._repr_html_().strip() == "<p>No clips.</p>"
    for nothing in (3, None, object()):
        with pytest.raises(ConfigError, match=r"^listen: expected the id of a clip"):
            opened.listen(nothing)
    with pytest.raises(ConfigError, match=r"^listen: expected a row with the clip_id of a clip$"):
        opened.listen({"clip_id": None, "uri": "beat.wav"})
    with pytest.raises(ConfigError, match=r"^listen: expected at most 24 clips"):
        opened.listen(rows * 10)


def test_a_terminal_gets_a_line_a_clip(opened, rows):
    lines = repr(opened.listen(rows)).splitlines()
    assert lines[0] == f"{rows[0]['clip_id'][:8]}  beat.wav  0:00.0 to 0:08.0  kept"
    assert lines[1].endswith(f"  beat.wav  0:08.0 to 0:16.0  rejected: {rows[1]['reason']}")
    assert len(lines) == 4


def test_files_are_written_under_safe_names(opened, rows, tmp_path):
    folder = tmp_path / "to/hear"
    paths = opened.listen(rows).save(folder)
    assert sorted(paths) == sorted(folder.iterdir())
    assert [path.name for path in paths] == [
        *(f"beat-{row['start_s']:07.1f}s-{row['clip_id'][:8]}.flac" for row in rows[:3]),
        f"_script_alert(2)__script_-00000.0s-{rows[3]['clip_id'][:8]}.flac",
    ]
    for row, path in zip(rows, paths, strict=True):
        samples, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
        assert (len(samples) / rate_hz) == row["duration_s"]
        assert np.array_equal(samples.T, opened.listen(row).audio[0])
    with pytest.raises(OutputError, match=r"^folder=[^\n]+: cannot be written \([^\n]+\)$"):
        opened.listen(rows[0]).save(paths[0] / "below a file")


def test_what_cannot_be_heard_says_so_in_its_place(made, rows, tmp_path):
    shutil.copytree(made.parent / "library", tmp_path / "library")
    run(Job.of(PIPELINE, tmp_path / "library", tmp_path / "run", keep=RULES, engine=LocalEngine()))
    (tmp_path / "library/beat.wav").unlink()
    opened = open_run(tmp_path / "run")
    page = Elements(opened.listen([row["clip_id"] for row in rows])._repr_html_())
    assert len(page.all("audio")) == 3  # what is stored plays on
    assert "No sound: beat.wav: not in source.path=" in page.text
    with pytest.raises(OutputError, match=r"^beat.wav: not in source.path="):
        _ = opened.listen(rows[1]["clip_id"]).audio
    shutil.rmtree(tmp_path / "library")
    page = Elements(open_run(tmp_path / "run").listen([row["clip_id"] for row in rows])._repr_html_())
    assert len(page.all("audio")) == 3
    assert "no such folder" in page.text


PLAYED = """Promise.all([...document.querySelectorAll("section")].map(async (clip) => {
  const audio = clip.querySelector("audio"), head = clip.querySelector(".head"), tape = clip.querySelector(".tape");
  audio.muted = true;
  await audio.play();
  const box = tape.getBoundingClientRect();
  tape.dispatchEvent(new MouseEvent("click", { clientX: box.left + box.width / 2, bubbles: true }));
  const half_s = audio.duration / 2;
  await new Promise((done) => audio.addEventListener("timeupdate", () => audio.currentTime > half_s + 0.1 && done()));
  audio.pause();
  const drawn_s = (parseFloat(head.style.left) / 100) * audio.duration;
  return {
    seconds: audio.duration,
    from: half_s,
    near: audio.currentTime - half_s < 1 && Math.abs(drawn_s - audio.currentTime) < 0.3,
    seen: !head.hidden,
    fits: clip.scrollWidth <= document.documentElement.clientWidth,
  };
}))"""


@pytest.mark.slow
@pytest.mark.parametrize("width", [375, 1280])
def test_it_plays_in_chromium_and_follows(opened, rows, tmp_path, width):
    html = opened.listen(rows)._repr_html_()
    (tmp_path / "page.html").write_text(f"<!doctype html><meta charset='utf-8'>{html}")
    with chromium() as page:
        page.open(tmp_path / "page.html", width=width, phone=width < 500)
        found = page.run(PLAYED)
        assert page.complaints() == []
        assert page.requested() == [(tmp_path / "page.html").as_uri()]
    assert [each["seconds"] for each in found] == pytest.approx([row["duration_s"] for row in rows], abs=0.01)
    assert all(each["near"] and each["seen"] and each["fits"] for each in found), found


@pytest.mark.slow
def test_without_scripts_it_plays_and_there_is_no_playhead(opened, rows, tmp_path):
    html = re.sub("<script>.*?</script>", "", opened.listen(rows[0])._repr_html_(), flags=re.DOTALL)
    (tmp_path / "page.html").write_text(f"<!doctype html><meta charset='utf-8'>{html}")
    with chromium() as page:
        page.open(tmp_path / "page.html")
        hidden = "getComputedStyle(document.querySelector('.head')).display"
        assert page.run(hidden) == "none"
        assert page.run("(async (audio) => (await audio.play(), audio.duration))(document.querySelector('audio'))") == 8
