"""The report says what the ledger holds, lets one hear it, and trusts no name it is told."""

from __future__ import annotations

import base64
import hashlib
import io
import re
import shutil
from collections import Counter
from dataclasses import dataclass, field
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image

from audiocur import KeepRule
from audiocur.decide import decide
from audiocur.engine.local import LocalEngine
from audiocur.errors import OutputError, RowError, SourceError
from audiocur.inspect import report_rules
from audiocur.inspect.examples import EXCERPT_S, examples_of
from audiocur.inspect.funnel import funnel
from audiocur.inspect.opened import Run, open_run
from audiocur.inspect.report import REPORT, report_of, write_report
from audiocur.job import Job
from audiocur.op import ClipOp
from audiocur.ops.measure.clipping import Clipping
from audiocur.ops.measure.loudness import Loudness
from audiocur.ops.measure.stereo import Stereo
from audiocur.ops.segment.window import Window
from audiocur.ops.transform.decode import Decode
from audiocur.ops.transform.encode import Encode
from audiocur.progress import SilentProgress
from audiocur.records import WITHDRAWN, Clip
from audiocur.rules import OnNull
from audiocur.run import run as run_job
from audiocur.status import PROGRESS
from audiocur.storage import open_store
from audiocur.words import hours

RATE_HZ = 16_000
HOSTILE = (
    "<script>alert(1)<!--.wav",
    'say "hi" & \\bye\\ {{ 7 * 7 }}.wav',
    "\u202egnp.exe.wav",
    "new\nline\tand \x1b[31mred.wav",
    "javascript:alert(1)#%00 'x' onerror=.wav",
)
RULES = {
    "loud": KeepRule(column="loudness_lufs", min=-30, max=-12),
    "<b>image</b> & co": KeepRule(column="stereo_image", allow=["stereo"], null=OnNull.keep),
    "clipping": KeepRule(column="clipped_ratio", max=0.01),
    "absent": KeepRule(column="tempo_bpm", min=1),
}
VOID = frozenset(("area", "base", "br", "hr", "img", "input", "link", "meta", "rect", "path", "image", "line", "use"))


@dataclass(frozen=True, kw_only=True)
class Picky(ClipOp):
    """Cannot take clips that start at 14 s."""

    name = "picky"

    def measure(self, clip: Clip) -> dict[str, Any]:
        if clip.start_s == 14:
            raise RowError("<i>not</i> this one: 14")
        return {}


@dataclass
class Element:
    tag: str
    attributes: dict[str, str]
    parent: Element | None
    children: list[Element] = field(default_factory=list)
    own_text: str = ""

    def all(self, *tags: str) -> list[Element]:
        found = [self] if not tags or self.tag in tags else []
        return found + [each for child in self.children for each in child.all(*tags)]

    @property
    def text(self) -> str:
        return " ".join((self.own_text + " ".join(child.text for child in self.children)).split())

    def within(self, tag: str) -> bool:
        return self.tag == tag or (self.parent is not None and self.parent.within(tag))


class Tree(HTMLParser):
    """A page as elements."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.root = self._at = Element("page", {}, None)
        self.feed(page)
        assert self._at is self.root, f"{self._at.tag} is never closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        made = Element(tag, {name: value or "" for name, value in attrs}, self._at)
        self._at.children.append(made)
        if tag not in VOID:
            self._at = made

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._at.children.append(Element(tag, {name: value or "" for name, value in attrs}, self._at))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert tag == self._at.tag, f"{self._at.tag} ends with {tag}"
            assert self._at.parent
            self._at = self._at.parent

    def handle_data(self, data: str) -> None:
        self._at.own_text += data


def samples(seed: int, gain: float, channels: int) -> np.ndarray:
    """20 s of noise that swells, shape (samples, channels)."""
    noise = np.random.default_rng(seed).normal(0, gain, (20 * RATE_HZ, channels))
    noise *= np.linspace(0.5, 1.5, len(noise))[:, None]
    return noise.clip(-1, 1)


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A library with names nobody should trust, and a run over it."""
    home = tmp_path_factory.mktemp("home")
    (home / "library").mkdir()
    for number, (name, gain) in enumerate(zip(HOSTILE, (0.02, 0.05, 0.2, 0.4, 1.0), strict=True)):
        soundfile.write(home / "library" / name, samples(number, gain, 1 + number % 2), RATE_HZ, format="WAV")
    (home / "library" / "<em>no sound.wav").write_bytes(b"<h1>none</h1>")
    run_job(job(home))
    return home


def job(home: Path) -> Job:
    ops = Decode() >> Window(length_s=7, min_s=5) >> Loudness() >> Stereo() >> Clipping() >> Picky() >> Encode()
    return Job.of(ops, home / "library", home / "run", keep=RULES, engine=LocalEngine())


@pytest.fixture(scope="module")
def run(home) -> Run:
    return open_run(home / "run")


@pytest.fixture(scope="module")
def page(run) -> str:
    return report_of(run)


@pytest.fixture(scope="module")
def tree(page) -> Element:
    return Tree(page).root


def data(uri: str) -> bytes:
    return base64.b64decode(uri.partition(";base64,")[2], validate=True)


# What it is made of.


def test_it_asks_nobody_for_anything(page, tree):
    links = [
        value
        for element in tree.all()
        for name, value in element.attributes.items()
        if name in ("src", "href", "srcset", "action", "poster", "data", "xlink:href", "formaction")
    ]
    assert links
    assert all(link.startswith(("#", "data:")) for link in links)
    assert not tree.all("script", "iframe", "object", "embed", "form", "base")
    style = "".join(element.own_text for element in tree.all("style"))
    assert "url(" not in style
    assert "@import" not in style
    assert "http" not in re.sub(r'xmlns="http://www.w3.org/2000/svg"', "", page).replace("http-equiv", "")


def test_its_policy_allows_its_style_and_nothing_else(page, tree):
    (policy,) = (element.attributes["content"] for element in tree.all("meta") if "http-equiv" in element.attributes)
    allowed = dict(each.strip().split(" ", 1) for each in policy.split(";"))
    assert allowed["default-src"] == "'none'"
    assert allowed["img-src"] == allowed["media-src"] == "data:"
    assert "script-src" not in allowed
    style = page[page.index("<style>") + len("<style>") : page.index("</style>")]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert allowed["style-src"] == f"'sha256-{digest}'"
    assert len(tree.all("style")) == 1
    # Attributes of style or of events would be refused.
    assert not [e.tag for e in tree.all() if any(name == "style" or name.startswith("on") for name in e.attributes)]


def test_names_are_text(page, tree):
    assert "<script" not in page
    assert "<em>" not in page
    assert "<b>" not in page
    assert "49.wav" not in page
    shown = tree.text
    for name in (*HOSTILE[:2], HOSTILE[4], "<em>no sound.wav", "<b>image</b> & co", "<i>not</i> this one: 14"):
        assert " ".join(name.split()) in shown
    # Whatever direction a name is written in, what follows it is not.
    assert all(element.within("bdi") for element in tree.all() if "\u202e" in element.own_text)


def test_ids_are_unique_and_links_lead_somewhere(tree):
    ids = Counter(element.attributes["id"] for element in tree.all() if "id" in element.attributes)
    assert max(ids.values()) == 1
    inner = {e.attributes["href"][1:] for e in tree.all("a", "use") if e.attributes["href"].startswith("#")}
    assert inner <= ids.keys()
    used = {
        name
        for e in tree.all()
        for key in ("aria-labelledby", "aria-describedby")
        for name in e.attributes.get(key, "").split()
    }
    clips = {each for e in tree.all() for each in re.findall(r"url\(#([^)]+)\)", " ".join(e.attributes.values()))}
    assert used | clips <= ids.keys()


def test_a_screen_reader_finds_its_way(tree):
    (html,) = tree.all("html")
    assert html.attributes["lang"] == "en"
    assert len(tree.all("h1")) == len(tree.all("main")) == 1
    levels = [int(element.tag[1]) for element in tree.all("h1", "h2", "h3", "h4")]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert next(element for element in tree.all("a")).attributes == {"class": "skip", "href": "#main"}
    assert all(element.attributes.get("scope") in ("col", "row") for element in tree.all("th"))
    assert all(table.all("caption") for table in tree.all("table"))
    assert all(nav.attributes["aria-label"] for nav in tree.all("nav"))


def test_every_figure_has_text_beside_it(tree):
    figures = tree.all("figure")
    assert len(figures) > 10
    for figure in figures:
        (caption,) = figure.all("figcaption")
        assert len(caption.text) > 10
    pictures = [svg for svg in tree.all("svg") if svg.attributes.get("aria-hidden") != "true"]
    assert len(pictures) > 10
    for svg in pictures:
        assert svg.attributes["role"] == "img"
        assert svg.attributes.get("aria-label") or svg.all("title")[0].text
    for audio in tree.all("audio"):
        assert audio.attributes["aria-label"]
        assert {"controls", "preload"} <= audio.attributes.keys()
        assert audio.attributes["preload"] == "none"


# What it says.


def test_the_hours_are_those_of_the_ledger(run, tree):
    (table,) = (table for table in tree.all("table") if "From hours in" in table.text)
    rows = [[cell.text for cell in row.all("th", "td")] for row in table.all("tr")[1:]]
    lines = funnel(run.parts).lines
    assert [(row[0], row[1]) for row in rows] == [(line.what, line.number) for line in lines]
    bars = [svg.all("rect")[1].attributes for svg in table.all("svg")]
    total = lines[0].seconds
    for bar, line in zip(bars, lines, strict=True):
        assert float(bar["width"]) == pytest.approx(line.seconds / total * 100, abs=0.01)


def test_each_active_rule_is_there_with_its_bounds(run, tree):
    sections = [section for section in tree.all("section") if section.attributes.get("class") == "rule"]
    assert [section.all("h3")[0].text for section in sections] == ["loud", "<b>image</b> & co", "clipping"]
    drawn = [text.own_text for text in sections[0].all("text")]
    assert {"min −30", "max −12"} <= set(drawn)
    rows = run.clip_columns(["loudness_lufs", "duration_s"]).to_pylist()
    lengths = [row["duration_s"] for row in rows if row["loudness_lufs"] < -30]
    below, below_s = len(lengths), sum(lengths)
    told = f"{below} clips ({hours(below_s)}) below min −30" if below else "no clip below min −30"
    assert told in sections[0].all("figcaption")[0].text
    broken = [row["rules"] for row in run.clip_columns(["rules"]).to_pylist()]
    alone = sum(rules == ["loud"] for rules in broken)
    assert f"{sum('loud' in rules for rules in broken)} clips" in sections[0].text
    assert f"{alone:,} of them" in sections[0].text


def test_examples_are_the_nearest_to_the_bound(run):
    rows = run.clip_columns(["clip_id", "uri", "verdict", "rules", "loudness_lufs"]).to_pylist()
    kept, rejected = examples_of(run, {"loud": RULES["loud"]}, 3)["loud"]

    def distance(row: dict[str, Any]) -> float:
        return min(abs(row["loudness_lufs"] + 30), abs(row["loudness_lufs"] + 12))

    for examples, fate in ((kept, "kept"), (rejected, "rejected")):
        them = [row for row in rows if row["verdict"] == fate and (fate == "kept" or "loud" in row["rules"])]
        nearest = {row["uri"]: row for row in sorted(them, key=distance, reverse=True)}  # the nearest of each recording
        best = sorted(nearest.values(), key=distance)[:3]
        assert [example.clip["clip_id"] for example in examples][: len(best)] == [row["clip_id"] for row in best]
        assert all(example.value == example.clip["loudness_lufs"] for example in examples)
        assert examples


def test_examples_sound_like_their_clips(run, home, tree):
    cards = [figure for figure in tree.all("figure") if figure.all("audio")]
    verdicts = Counter(card.all("span")[1].text for card in cards)
    assert verdicts["kept"] >= 3
    assert verdicts["rejected"] >= 3
    for card in cards:
        sound, rate_hz = soundfile.read(io.BytesIO(data(card.all("audio")[0].attributes["src"])), always_2d=True)
        clip_id = next(small.text for small in card.all("small") if small.attributes.get("class") == "id")
        (clip,) = (row for row in rows_of(run) if row["clip_id"] == clip_id)
        assert rate_hz == RATE_HZ
        assert len(sound) / rate_hz == pytest.approx(min(EXCERPT_S, clip["duration_s"]), abs=0.1)
        original, _ = soundfile.read(home / "library" / clip["uri"], always_2d=True)
        whole = original[clip["start_sample"] : clip["end_sample"]].mean(axis=1)
        spectrum = np.fft.rfft(whole, 2**18) * np.fft.rfft(sound.mean(axis=1), 2**18).conj()
        energy = np.sqrt((whole**2).sum() * (sound.mean(axis=1) ** 2).sum())
        assert np.fft.irfft(spectrum).max() / energy > 0.6  # MP3 leaves out much of noise
        picture = Image.open(io.BytesIO(data(card.all("image")[0].attributes["href"])))
        assert picture.width > picture.height


def rows_of(run: Run) -> list[dict[str, Any]]:
    names = ["clip_id", "uri", "duration_s", "start_sample", "end_sample"]
    rows: list[dict[str, Any]] = run.clip_columns(names).to_pylist()
    return rows


def test_failures_stand_by_reason_with_names(tree):
    (section,) = (section for section in tree.all("section") if section.attributes.get("id") == "failures")
    assert "unreadable: not audio (decode)" in section.text
    assert "<em>no sound.wav" in section.text
    assert "failed: <i>not</i> this one (picky)" in section.text
    assert "14.0 to 20.0 s" in section.text


def test_what_it_took_is_told(tree):
    (section,) = (section for section in tree.all("section") if section.attributes.get("id") == "work")
    assert "× real time" in section.text
    rows = [row.all("th")[0].text for row in section.all("tr")[1:]]
    assert {"decode", "loudness"} <= set(rows)
    shares = [float(row.all("td")[0].text.rstrip(" %")) for row in section.all("tr")[1:]]
    assert shares == sorted(shares, reverse=True)
    assert 90 < sum(shares) <= 100.5


# Whatever has become of the run.


@pytest.fixture
def copy(home, tmp_path) -> Path:
    """A run of its own, over a library of its own."""
    shutil.copytree(home, tmp_path, dirs_exist_ok=True)
    return tmp_path


def opened(home: Path) -> Run:
    """A run with what ran at hand, which takes a second to build anew from its recipe."""
    run = open_run(home / "run")
    run.job = job(home)
    return run


def test_recordings_that_are_gone_are_said_to_be(copy):
    shutil.rmtree(copy / "library")
    tree = Tree(report_of(opened(copy))).root
    kept = [card for card in tree.all("figure") if card.all("audio")]
    gone = [card for card in tree.all("figure") if "No sound: " in card.text]
    assert {card.all("span")[1].text for card in kept} == {"kept"}
    assert {card.all("span")[1].text for card in gone} == {"rejected"}
    assert all(str(copy / "library") in card.text for card in gone)


def test_one_recording_that_has_changed_costs_no_other(copy):
    soundfile.write(copy / "library" / HOSTILE[0], samples(9, 0.5, 1), RATE_HZ, format="WAV")
    assert rejected_of(opened(copy), HOSTILE[0])
    tree = Tree(report_of(opened(copy))).root
    cards = [card for card in tree.all("figure") if card.all("bdi")]
    silent = {card.all("bdi")[0].text for card in cards if "No sound: " in card.text}
    assert silent == {HOSTILE[0]}


def rejected_of(run: Run, uri: str) -> int:
    rows = run.clip_columns(["uri", "verdict"]).to_pylist()
    return sum(row == {"uri": uri, "verdict": "rejected"} for row in rows)


def test_withdrawn_recordings_are_not_heard(copy):
    assert rejected_of(opened(copy), HOSTILE[4])
    decide(open_store(str(copy / "run")), ["source.exclude=[javascript*]", "report=false"], SilentProgress())
    run = opened(copy)
    rules = {row["rule"] for row in run.clip_columns(["uri", "rule"]).to_pylist() if row["uri"] == HOSTILE[4]}
    assert rules == {WITHDRAWN}
    heard = {card.all("bdi")[0].text for card in Tree(report_of(run)).root.all("figure") if card.all("bdi")}
    assert heard
    assert HOSTILE[4] not in heard


def test_it_is_written_into_the_run(copy):
    before = {path: path.read_bytes() for path in (copy / "run").rglob("*") if path.is_file()}
    name = write_report(open_store(str(copy / "run")))
    assert name == REPORT == "report.html"
    text = (copy / "run" / name).read_text(encoding="utf-8")
    assert text.startswith("<!doctype html>")
    after = {path: path.read_bytes() for path in (copy / "run").rglob("*") if path.is_file()}
    assert after == before | {copy / "run" / name: text.encode()}
    job_at_hand = job(copy)
    assert write_report(open_store(str(copy / "run")), job=job_at_hand) == name
    assert (copy / "run" / name).read_text(encoding="utf-8") == text  # the same run, the same report


def test_a_run_that_does_not_say_how_it_went(copy):
    (copy / "run" / PROGRESS).unlink()
    tree = Tree(report_of(opened(copy))).root
    (section,) = (section for section in tree.all("section") if section.attributes.get("id") == "work")
    assert "progress.json" in section.text
    assert "nobody wrote down" in section.text


def test_it_stays_small_whatever_there_is_to_hear(run, page, monkeypatch):
    monkeypatch.setattr(report_rules, "BUDGET_BYTES", 150_000)
    small = report_of(run)
    sound = sum(len(uri) for uri in re.findall(r"data:[^\"]{1000,}", small))
    assert 30_000 < sound < 150_000
    assert len(small) < len(page)
    assert "left out to keep this page small" in small


def test_a_run_that_keeps_nothing(tmp_path):
    (tmp_path / "library").mkdir()
    soundfile.write(tmp_path / "library" / "quiet.wav", samples(0, 1e-4, 1), RATE_HZ)
    run_job(job(tmp_path))
    tree = Tree(report_of(opened(tmp_path))).root
    assert "0.0 s kept of 20.0 s" in tree.text
    assert not [section for section in tree.all("section") if section.attributes.get("id") == "kept"]


def test_a_run_that_stores_nothing_is_heard_from_its_recordings(tmp_path):
    (tmp_path / "library").mkdir()
    soundfile.write(tmp_path / "library" / "swell.wav", samples(0, 0.1, 2), RATE_HZ)
    ops = Decode() >> Window(length_s=4) >> Loudness()
    rules = {"loud": KeepRule(column="loudness_lufs", min=-16)}
    made = Job.of(ops, tmp_path / "library", tmp_path / "run", keep=rules, engine=LocalEngine())
    run_job(made)
    cards = [card for card in Tree(report_of(open_run(tmp_path / "run"))).root.all("figure") if card.all("audio")]
    assert {card.all("span")[1].text for card in cards} == {"kept", "rejected"}
    shutil.rmtree(tmp_path / "library")
    tree = Tree(report_of(open_run(tmp_path / "run"))).root
    assert not tree.all("audio")
    assert tree.text.count("No sound: ") == len(cards)


def test_a_run_without_rules(tmp_path):
    (tmp_path / "library").mkdir()
    soundfile.write(tmp_path / "library" / "swell.wav", samples(0, 0.1, 1), RATE_HZ)
    run_job(Job.of(Decode() >> Window(length_s=4), tmp_path / "library", tmp_path / "run", engine=LocalEngine()))
    tree = Tree(report_of(open_run(tmp_path / "run"))).root
    assert "20.0 s kept of 20.0 s" in tree.text
    assert not tree.all("audio")
    assert not [section for section in tree.all("section") if section.attributes.get("id") == "rules"]


def test_a_run_of_nothing_but_failures(tmp_path):
    (tmp_path / "library").mkdir()
    (tmp_path / "library" / "no.wav").write_bytes(b"no sound")
    (tmp_path / "library" / "no.flac").write_bytes(b"")
    with pytest.raises(SourceError, match="none of the 2 recordings"):
        run_job(job(tmp_path))
    tree = Tree(report_of(opened(tmp_path))).root
    assert "0.0 s kept of 0.0 s" in tree.text
    assert "no.wav" in tree.text


def test_no_run_is_no_report(tmp_path):
    with pytest.raises(OutputError, match="expected a run"):
        write_report(open_store(str(tmp_path)))
    assert not list(tmp_path.iterdir())
