"""Figures become SVG that several pages, themes and policies can take."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from audiocur.inspect.style import COLOURS, INK, KEPT, label, new_figure, styled, svg_of


@styled()
def drawn(name: str):
    figure = new_figure()
    axes = figure.add_subplot()
    axes.plot([1, 2, 3], [1, 3, 2], color=KEPT, marker="o", clip_on=True)
    axes.bar([1, 2], [1, 1], color=INK)
    axes.set_title(label(name))
    return figure


def root_of(figure, **how) -> ElementTree.Element:
    return ElementTree.fromstring(svg_of(figure, "A picture. It shows <nothing> & more.", **how))


def test_it_says_what_it_shows():
    root = root_of(drawn("one"))
    ids = {element.get("id"): element for element in root.iter() if element.get("id")}
    assert root.get("role") == "img"
    assert ids[root.get("aria-labelledby")].text == "A picture"
    assert ids[root.get("aria-describedby")].text == "It shows <nothing> & more."


def test_text_is_text_in_the_font_of_the_page():
    root = root_of(drawn("a title"))
    assert "a title" in [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert not [element for element in root.iter() if "font-family" in element.attrib]


def test_colours_are_those_of_the_page():
    text = svg_of(drawn("one"), "A picture.")
    assert f"var(--audiocur-kept, {KEPT})" in text
    assert "currentColor" in text
    assert not set(re.findall(r'(?:fill|stroke)="(#[0-9a-f]{6})"', text)) & {
        INK,
        *(each[0] for each in COLOURS.values()),
    }


def test_a_strict_policy_allows_it():
    root = root_of(drawn("one"))
    assert not [element for element in root.iter() if "style" in element.attrib or element.tag.endswith("style")]
    assert "http" not in svg_of(drawn("one"), "A picture.").replace('xmlns="http://www.w3.org/2000/svg"', "")


def test_two_share_no_id():
    one, two = (svg_of(drawn(name), "A picture.") for name in ("one", "two"))
    ids = [set(re.findall(r'\bid="([^"]+)"', each)) for each in (one, two)]
    assert ids[0]
    assert not ids[0] & ids[1]
    for text, its in zip((one, two), ids, strict=True):
        assert set(re.findall(r"url\(#([^)]+)\)", text)) | set(re.findall(r'href="#([^"]+)"', text)) <= its


def test_the_same_figure_is_the_same_text():
    assert svg_of(drawn("one"), "A picture.") == svg_of(drawn("one"), "A picture.")


@pytest.mark.parametrize(
    "name", ["<script>alert(1)</script>", "$\\frac{1}{0}$ & $x", "a\x00b\x1b[1m", "夜行\u202eabc", "%s {0}"]
)
def test_any_name_can_stand_in_it(name):
    texts = [element.text for element in root_of(drawn(name)).iter("{http://www.w3.org/2000/svg}text")]
    assert label(name) in texts
    told = svg_of(drawn(name), name)
    assert "<script" not in told
    assert "\u202e" not in told
    ElementTree.fromstring(told)


def test_a_file_of_its_own_has_its_colours():
    text = svg_of(drawn("one"), "A picture.", standalone=True)
    assert "prefers-color-scheme: dark" in text
    assert ElementTree.fromstring(text).get("font-family")
    for _, light, dark in COLOURS.values():
        assert light in text
        assert dark in text


def test_it_leaves_the_style_of_others_alone():
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    svg_of(drawn("one"), "A picture.")
    assert dict(mpl.rcParams) == before


def contrast(one: str, other: str) -> float:
    def luminance(colour: str) -> float:
        full = colour if len(colour) == 7 else "#" + "".join(2 * digit for digit in colour[1:])
        parts = [int(full[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("name", ["kept", "rejected", "failed", "in", "muted"])
def test_colours_stand_out_from_their_ground(name):
    drawn_in, light, dark = COLOURS[name]
    assert contrast(light, "#fff") >= 4.5
    assert contrast(dark, "#14171b") >= 4.5
    assert min(contrast(drawn_in, "#fff"), contrast(drawn_in, "#14171b")) >= 3  # a notebook's ground may be either
