"""Writes docs/measures.md from what the ops declare: columns, units, sources, default rules, parameters and costs.

usage: python docs/generate.py [--check]      --check: only say whether the page is up to date
"""

from __future__ import annotations

import inspect
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from audiocur.build import target
from audiocur.library import Library, load_yaml
from audiocur.op import Column, ModelOp, Op

HERE = Path(__file__).parent
PAGE = HERE / "measures.md"
COSTS = HERE.parent / "benchmarks/costs.json"  # which benchmarks/ops.py --save writes
GROUPS = ("measure", "asr", "asr_check", "align", "separate", "tag", "aesthetics", "caption")
RECIPE = "music_gen"
#: The choice of each group that the default models make.
CHOSEN = {
    group.strip("/"): option
    for line in load_yaml(Library().parts["models"]["embedded"])["defaults"]
    for group, option in line.items()
}

INTRO = f"""# What audiocur measures

Every column below is in the shards and in the ledger, of clips that were kept and of those that were not. A measure
that is undefined is null, never -1, 0 or minus infinity; its column says when. Rules are those of `recipe={RECIPE}`:
change one with `keep.NAME.min=`, `max=`, `allow=` or `null=`, and any parameter with `OP.KEY=`. Costs are CPU-seconds
of one core for an hour of 44.1 kHz stereo, views that ops share left out ({{where}}); `python benchmarks/ops.py` prints
them for your machine and your audio.

This page is made by `make docs` from what the ops declare.
"""


def page() -> str:
    library = Library()
    costs = json.loads(COSTS.read_text())
    recipe = load_yaml(library.recipes[RECIPE])
    rules = {rule["column"]: (name, rule) for name, rule in recipe["keep"].items()}
    found = [(name, path) for group in GROUPS for name, path in sorted(library.parts[group].items())]
    ops = [(name, target(yaml.safe_load(path.read_text())["_target_"], Op, str(path)), path) for name, path in found]
    parts = [INTRO.format(where=costs["where"]), *at_a_glance(ops, recipe["pipeline"], costs["cpu_s_an_hour"])]
    for name, op, path in ops:
        parts += section(name, op, path, rules)
    return "\n".join(parts).rstrip() + "\n"


def at_a_glance(ops: list[tuple[str, type[Op], Path]], pipeline: list[str], costs: Mapping[str, float]) -> list[str]:
    rows = ["", "| op | what it says | on by default | CPU-s an hour |", "|---|---|---|---|"]
    for name, op, _ in ops:
        measured = op.name in costs and not issubclass(op, ModelOp)
        cost = f"{costs[op.name]:.2f}" if measured else ""
        title, default = title_of(name, op), "yes" if op.name in pipeline and CHOSEN.get(op.name, name) == name else ""
        rows.append(f"| [{title}](#{title.replace('=', '')}) | {first_line(op)} | {default} | {cost} |")
    views = {name: cost for name, cost in costs.items() if name.startswith("view")}
    rows += [f"| | {name} | yes | {cost:.2f} |" for name, cost in views.items()]
    return rows


def section(name: str, op: type[Op], path: Path, rules: Mapping[str, Any]) -> list[str]:
    lines = ["", f"## {title_of(name, op)}", "", first_line(op), ""]
    lines += ["| column | type | unit | meaning | source | rule |", "|---|---|---|---|---|---|"]
    lines += [column_row(column, rules) for column in op.writes]
    if parameters := list(parameters_of(path)):
        lines += ["", "| parameter | default | |", "|---|---|---|", *parameters]
    for function in functions_of(op):
        said = inspect.cleandoc(function.__doc__ or "")
        if "In curation:" in said:
            summary, curation = said.split("\n\n")[0], said[said.index("In curation:") : said.index("\nArgs:")]
            lines += ["", f"`{function.__name__}`: {flowing(summary)} {flowing(curation)}"]
    return lines


def title_of(name: str, op: type[Op]) -> str:
    """As the op goes by in a pipeline; of those that are chosen, the choice."""
    return name if op.name == name else f"{op.name}={name}"


def column_row(column: Column, rules: Mapping[str, Any]) -> str:
    cells = (f"`{column.name}`", str(column.type), column.unit, column.meaning, column.source, rule_of(column, rules))
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def rule_of(column: Column, rules: Mapping[str, Any]) -> str:
    if column.name not in rules:
        return ""
    name, rule = rules[column.name]
    bounds = [f"{key} {rule[key]}" for key in ("min", "max", "allow") if key in rule]
    bounds += ["null passes"] if rule.get("null") == "keep" else []
    return f"`{name}`: {', '.join(bounds)}"


def parameters_of(path: Path) -> Iterator[str]:
    for line in path.read_text().splitlines():
        if match := re.fullmatch(r"\"?(\w+)\"?: ([^#]*?)(?:\s+# (.*))?", line):
            key, value, comment = match.groups()
            if key != "_target_":
                yield f"| `{key}` | {value} | {(comment or '').replace('|', '/')} |"


def functions_of(op: type[Op]) -> Iterator[Callable[..., Any]]:
    """The measures behind an op: what its module imports from audiocur.dsp, in the order of its import lines."""
    for value in vars(sys.modules[op.__module__]).values():
        if inspect.isfunction(value) and value.__module__.startswith("audiocur.dsp."):
            yield value


def first_line(op: type[Op]) -> str:
    return flowing(inspect.cleandoc(op.__doc__ or "").split("\n\n")[0])


def flowing(text: str) -> str:
    return " ".join(text.split())


def main() -> None:
    made = page()
    if "--check" in sys.argv[1:]:
        sys.exit(0 if PAGE.exists() and PAGE.read_text() == made else f"{PAGE.name} is not up to date: make docs")
    PAGE.write_text(made)


if __name__ == "__main__":
    main()
