"""How pictures look: one style for all, and figures as SVG that takes its colours from the page it stands in.

A figure is drawn in fixed colours, so that it may be saved as any other; on its way into a page each of them becomes
a CSS variable with that colour as its fallback, text becomes text, and what the page cannot have twice is made unique.
"""

from __future__ import annotations

import hashlib
import io
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Colours by their part: as drawn (legible on light and dark), on a light page, on a dark one.
#: Blue, orange and grey are told apart by all kinds of colour-blind eyes, and by their brightness in print.
COLOURS: Mapping[str, tuple[str, str, str]] = {
    "kept": ("#1f86a8", "#0f6f8f", "#63bfdb"),
    "rejected": ("#d2691e", "#b9500b", "#f2995a"),
    "failed": ("#7a828c", "#5d6570", "#a9b1bb"),
    "uncut": ("#b4bac2", "#c3c8cf", "#4c545e"),
    "in": ("#6d7580", "#4d545d", "#c0c6cd"),
    "muted": ("#8a9199", "#5f6771", "#9aa3ad"),
    "rule": ("#c9ced4", "#dfe2e6", "#343b44"),
}
KEPT, REJECTED, FAILED, UNCUT, IN, MUTED, RULE = (drawn for drawn, _, _ in COLOURS.values())
#: Of text and of what else is as dark as text.
INK = "#1d2126"
#: Colours of groups other than verdicts, in this order; the last is that of what is left.
GROUPS = (KEPT, REJECTED, "#6b5ea8", "#3f8f5f", "#b8860b", FAILED)
#: Colour of each verdict.
VERDICTS = {"kept": KEPT, "rejected": REJECTED, "failed": FAILED}

#: Inches; small multiples of this size are read on a phone as they are.
SIZE = (4.4, 2.6)

_SVG = "http://www.w3.org/2000/svg"
_LINK = "{http://www.w3.org/1999/xlink}href"
_VARIABLES = {drawn: f"var(--audiocur-{name}, {drawn})" for name, (drawn, _, _) in COLOURS.items()}
_VARIABLES[INK] = "currentColor"
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")


def new_figure(width: float = SIZE[0], height: float = SIZE[1]) -> Figure:
    """A figure without any state that is shared, of so many inches; to be filled under `styled`."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


@contextmanager
def styled() -> Iterator[None]:
    """Within it figures are drawn in this style; also a decorator of a function that draws one."""
    import matplotlib as mpl

    plain: dict[Any, Any] = {
        "font.size": 9.0,
        "axes.titlesize": 9.0,
        "axes.labelsize": 9.0,
        "axes.labelcolor": MUTED,
        "axes.edgecolor": MUTED,
        "axes.linewidth": 0.7,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": False,
        "axes.axisbelow": True,
        "axes.unicode_minus": True,
        "figure.constrained_layout.w_pad": 0.03,
        "figure.constrained_layout.h_pad": 0.03,
        "grid.color": RULE,
        "grid.linewidth": 0.6,
        "legend.frameon": False,
        "legend.fontsize": 9.0,
        "text.color": INK,
        "text.parse_math": False,  # a dollar in the name of a rule or a tag is a dollar
        "xtick.color": MUTED,
        "ytick.color": MUTED,
        "xtick.labelcolor": MUTED,
        "ytick.labelcolor": MUTED,
        "xtick.labelsize": 9.0,
        "ytick.labelsize": 9.0,
        "xtick.major.width": 0.7,
        "ytick.major.width": 0.7,
        "hatch.linewidth": 0.6,
    }
    with mpl.rc_context(plain), warnings.catch_warnings():
        # Text stays text: whoever shows the picture has the letters that the fonts at hand lack.
        warnings.filterwarnings("ignore", r"Glyph .* missing from font", UserWarning)
        yield


def add_legend(axes: Axes, above: float = 1.0) -> None:
    """Name the groups in a line over a plot, so high above its bottom that nothing lies under it."""
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(-0.01, above),
        ncols=3,
        handlelength=0.9,
        handleheight=0.9,
        columnspacing=1.2,
        handletextpad=0.5,
        borderpad=0.2,
    )


def label(text: str, longest: int = 28) -> str:
    r"""A name from a recording as a label: one line, no character that XML or a screen cannot take, not too long.

    >>> label("a\x1b[31m tag\nof two lines, and then some"), label("techno")
    ('a�[31m tag�of two lines, an…', 'techno')
    """
    clean = printable(text)
    return clean if len(clean) <= longest else f"{clean[: longest - 1]}…"


def printable(text: str) -> str:
    r"""The same without characters that XML cannot take, or that turn what follows them round.

    >>> printable("\u202egnp.exe")
    '�gnp.exe'
    """
    return _UNPRINTABLE.sub("\ufffd", text)


def svg_of(figure: Figure, text: str, *, standalone: bool = False) -> str:
    """A figure as SVG for a page, or as a file of its own.

    Its ground is transparent, its text is text in the page's font; `currentColor` is that of text, and the colours of
    `COLOURS` are the page's, as `colour_rules` defines them, where it does. It needs no style that a strict
    Content-Security-Policy would refuse, and no id of it stands twice in a page of several.

    Args:
        figure: drawn under `styled`.
        text: what it shows, for who cannot see it: the first sentence is its title.
        standalone: a file of its own brings its colours, light and dark, and its ground.
    """
    root = _root_of(figure)
    mark = hashlib.sha256(ElementTree.tostring(root) + text.encode()).hexdigest()[:10]
    _drop_what_pages_share(root)
    for element in root.iter():
        _dress(element)
    _rename_ids(root, mark)
    _describe(root, mark, text)
    width, height = (float(root.attrib[side].removesuffix("pt")) for side in ("width", "height"))
    root.attrib |= {"width": f"{width * 4 / 3:.0f}", "height": f"{height * 4 / 3:.0f}", "class": "audiocur-figure"}
    root.attrib |= {"stroke-linejoin": "round", "fill": "currentColor", "font-family": "system-ui, sans-serif"}
    if not standalone:
        del root.attrib["font-family"]  # the page's
    else:
        style = ElementTree.Element("style")
        style.text = colour_rules("svg") + "svg { background: var(--audiocur-ground); color: var(--audiocur-ink) }"
        root.insert(2, style)
    root.attrib["xmlns"] = _SVG
    return ElementTree.tostring(root, encoding="unicode")


def colour_rules(selector: str) -> str:
    """CSS that gives every colour its value on light and on dark pages, and in print."""
    names = {**COLOURS, "ink": (INK, INK, "#e7eaee"), "ground": ("#fff", "#fff", "#14171b")}
    light, dark = (
        "; ".join(f"--audiocur-{name}: {values[which]}" for name, values in names.items()) for which in (1, 2)
    )
    return (
        f"{selector} {{ color-scheme: light dark; {light} }}\n"
        f"@media screen and (prefers-color-scheme: dark) {{ {selector} {{ {dark} }} }}\n"
    )


def _root_of(figure: Figure) -> ElementTree.Element:
    import matplotlib as mpl

    buffer = io.BytesIO()
    nameless = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "audiocur"}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph .* missing from font", UserWarning)
        figure.savefig(buffer, format="svg", transparent=True, metadata=nameless)
    root = ElementTree.fromstring(buffer.getvalue())
    for element in root.iter():
        element.tag = element.tag.removeprefix(f"{{{_SVG}}}")
    return root


def _drop_what_pages_share(root: ElementTree.Element) -> None:
    """Metadata, and a style sheet that would hold for the whole page."""
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag == "metadata" or (child.tag == "defs" and child.find("style") is not None):
                parent.remove(child)


def _dress(element: ElementTree.Element) -> None:
    """Styles become attributes, fixed colours the page's, and fonts the page's."""
    for style in element.attrib.pop("style", "").split(";"):
        name, _, value = (part.strip() for part in style.partition(":"))
        if name and name != "font-family":
            element.attrib[name] = value.removesuffix("px")
    for name in ("fill", "stroke"):
        if name in element.attrib:
            element.attrib[name] = _VARIABLES.get(element.attrib[name], element.attrib[name])
    if _LINK in element.attrib:
        element.attrib["href"] = element.attrib.pop(_LINK)


def _rename_ids(root: ElementTree.Element, mark: str) -> None:
    """Ids that something refers to become unique to this figure; the others go."""
    used = set(re.findall(r"#([\w.-]+)", " ".join(value for e in root.iter() for value in e.attrib.values())))
    for element in root.iter():
        if "id" in element.attrib:
            its = element.attrib.pop("id")
            if its in used:
                element.attrib["id"] = f"{mark}-{its}"
        for name, value in element.attrib.items():
            if value.startswith("#") and name == "href":
                element.attrib[name] = f"#{mark}-{value[1:]}"
            elif value.startswith("url(#"):
                element.attrib[name] = f"url(#{mark}-{value[5:]}"


def _describe(root: ElementTree.Element, mark: str, text: str) -> None:
    title, described = ElementTree.Element("title"), ElementTree.Element("desc")
    title.attrib["id"], described.attrib["id"] = f"{mark}-title", f"{mark}-desc"
    title.text, _, rest = printable(text).partition(". ")
    described.text = rest or title.text
    root.attrib |= {"role": "img", "aria-labelledby": f"{mark}-title", "aria-describedby": f"{mark}-desc"}
    root[:0] = [title, described]
