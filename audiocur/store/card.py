"""The dataset card: what lies in a run directory, for the next person and for dataset hubs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from audiocur.inspect.funnel import Funnel, Line
from audiocur.storage.base import Store
from audiocur.words import count


def write_card(store: Store, funnel: Funnel, recipe: Mapping[str, Any], splits: Sequence[str]) -> None:
    """Write RUN/README.md, with the metadata that dataset hubs read."""
    front: dict[str, Any] = {"pretty_name": store.name, "tags": ["audio", "music", "audiocur"]}
    if splits:
        files = [{"split": split, "path": f"clips/{split}/*.parquet"} for split in splits]
        front["configs"] = [{"config_name": "default", "data_files": files}]
    text = f"""---
{yaml.safe_dump(front, sort_keys=False)}---

# {store.name}

{funnel.kept.count:,} clips, {funnel.kept.seconds / 3600:.2f} h,
from {count(funnel.sources, "recording")}, {funnel.seconds_in / 3600:.2f} h.

| | number | hours |
|---|---:|---:|
{"".join(map(_row, funnel.lines))}
{_load(store) if splits else ""}
Any Parquet reader opens `clips/`: one row a clip, its audio in `audio.bytes`. Each column's unit and meaning stand in
the field metadata of the Parquet schema. `ledger/` has a row for every span of every recording (`clip_id` is null) and
for every clip ever cut, kept or not, with its verdict, the reason and every measure taken.

## How it was made

By audiocur {recipe["audiocur"]}, recipe fingerprint `{recipe["fingerprint"]}`:
{" → ".join(recipe["pipeline"])}.
`recipe.yaml` has every parameter, `environment.json` every version. The licence of each clip is that of its recording:
see the `license` column.
"""
    store.write("README.md", text.encode())


def _load(store: Store) -> str:
    return f"""## Load it

```python
from datasets import load_dataset

clips = load_dataset("parquet", data_dir="{store.name}/clips")
```

"""


def _row(line: Line) -> str:
    return f"| {line.what.replace('|', '/')} | {line.number} | {line.seconds / 3600:.3f} |\n"
