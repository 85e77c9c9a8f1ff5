"""The report in a real browser: it plays, it asks for nothing, and it fits a phone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from audiocur.config import job
from audiocur.engine.local import LocalEngine
from audiocur.inspect.report import REPORT, write_report
from audiocur.run import run
from audiocur.storage import open_store
from tests.inspect.chromium import Page, chromium

pytestmark = pytest.mark.slow

#: Where anything reaches beyond the right edge, its tag and class.
WIDER = """[...document.querySelectorAll('body *')].filter(element => {
  const box = element.getBoundingClientRect()
  return box.width && box.right > innerWidth + 1 && !element.closest('.table') && !element.closest('.skip')
}).map(element => element.tagName + '.' + element.className.baseVal ?? element.className)"""

PLAYS = """(async () => {
  const player = document.querySelectorAll('audio')[INDEX]
  const ready = new Promise((done, fail) => {
    player.addEventListener('canplay', done)
    player.addEventListener('error', () => fail(player.error.message))
  })
  player.load()
  await ready
  await player.play()
  await new Promise(done => setTimeout(done, 600))
  player.pause()
  return {at: player.currentTime, length: player.duration}
})()"""

#: Contrast of each element with text of its own against the ground of the page, where it is under 4.5.
CONTRAST = """(() => {
  const luminance = text => {
    const [r, g, b] = text.match(/[\\d.]+/g).slice(0, 3).map(v => v / 255)
      .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b
  }
  const ground = luminance(getComputedStyle(document.body).backgroundColor)
  const found = []
  for (const element of document.querySelectorAll('body *')) {
    if (![...element.childNodes].some(node => node.nodeType == 3 && node.data.trim())) continue
    if (element.closest('.sound') || element.closest('title, desc, style')) continue
    const svg = element.closest('svg')
    const colour = getComputedStyle(element)[svg ? 'fill' : 'color']
    const [light, dark] = [luminance(colour), ground].sort((a, b) => b - a)
    const contrast = (light + 0.05) / (dark + 0.05)
    if (contrast < 4.5) found.push([element.tagName, element.textContent.slice(0, 40), colour, contrast])
  }
  return found
})()"""


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> Path:
    """That of the demo library's run."""
    home = tmp_path_factory.mktemp("home")
    made = job([f"output.path={home / 'run'}", "source=demo", f"source.path={home / 'library'}", "engine=local"])
    assert isinstance(made.engine, LocalEngine)
    run(made)
    write_report(open_store(str(home / "run")), job=made)
    assert (home / "run" / REPORT).stat().st_size < 15_000_000
    return home / "run" / REPORT


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with chromium() as page:
        yield page


def test_it_opens_without_complaint_and_asks_for_nothing(page, report):
    page.events.clear()
    page.open(report)
    assert page.run("document.querySelectorAll('figure').length") > 30
    page.run("document.querySelectorAll('details').forEach(each => each.open = true)")
    assert page.complaints() == []
    assert set(page.requested()) == {report.as_uri()}


def test_every_picture_is_drawn(page, report):
    page.open(report)
    sizes = page.run(
        "[...document.querySelectorAll('svg')].map(svg => svg.getBoundingClientRect()).map(at => [at.width, at.height])"
    )
    assert all(width > 20 and height > 3 for width, height in sizes)
    images = "Promise.all([...document.querySelectorAll('image')].map(image => image.decode().then(() => 1)))"
    assert sum(page.run(images)) > 20


def test_players_play(page, report):
    page.open(report)
    number = page.run("document.querySelectorAll('audio').length")
    assert number > 20
    for index in (0, number // 2, number - 1):
        played = page.run(PLAYS.replace("INDEX", str(index)))
        assert 0.2 < played["at"] < 3
        assert 1 < played["length"] < 6.2
    assert page.complaints() == []


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [320, 375, 768, 1280, 1920])
def test_nothing_is_wider_than_the_screen(page, report, width, dark):
    page.open(report, width=width, dark=dark, phone=width < 700)
    assert page.run("document.documentElement.scrollWidth") <= width
    assert page.run(WIDER) == []
    page.run("document.querySelectorAll('details').forEach(each => each.open = true)")
    assert page.run("document.documentElement.scrollWidth") <= width


def test_text_can_be_read_on_a_phone(page, report):
    page.open(report, width=375, phone=True)
    heights = "[...document.querySelectorAll('.audiocur-figure text')].map(text => text.getBoundingClientRect().height)"
    smallest = min(page.run(heights))
    assert smallest >= 10


@pytest.mark.parametrize("dark", [False, True])
def test_dark_mode_changes_the_ground_and_text_stands_out_from_it(page, report, dark):
    page.open(report, dark=dark)
    ground = page.run("getComputedStyle(document.body).backgroundColor")
    assert ground == ("rgb(20, 23, 27)" if dark else "rgb(255, 255, 255)")
    assert page.run(CONTRAST) == []


def test_the_keyboard_finds_its_way(page, report):
    page.open(report)
    page.call("Input.dispatchKeyEvent", type="keyDown", key="Tab", code="Tab", windowsVirtualKeyCode=9)
    assert page.run("document.activeElement.textContent") == "Skip to the report"
    assert page.run("document.activeElement.getBoundingClientRect().top") >= 0
    page.run("document.activeElement.click()")
    assert page.run("location.hash") == "#main"


def test_it_prints(page, report):
    page.open(report, dark=True)
    printed = page.call("Page.printToPDF", printBackground=True, transferMode="ReturnAsBase64")["data"]
    assert len(printed) > 100_000
    page.call("Emulation.setEmulatedMedia", media="print", features=[{"name": "prefers-color-scheme", "value": "dark"}])
    assert page.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.run("[...document.querySelectorAll('audio')].every(each => !each.getBoundingClientRect().height)")
    page.call("Emulation.setEmulatedMedia", media="")
