"""A run opened to look at: the notebook's door, and a script's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.dataset as pads
import yaml

from audiocur.errors import ConfigError, OutputError
from audiocur.inspect.relation import ledger_in
from audiocur.judgement import Clips, Gates, columns_of, require_measured
from audiocur.rules import KeepRule, OnNull, Rules
from audiocur.status import State, Status
from audiocur.storage import is_url, open_store
from audiocur.storage.base import Store
from audiocur.store.decision import Decision
from audiocur.store.ledger import Ledger
from audiocur.words import count, hours

if TYPE_CHECKING:
    import duckdb

    from audiocur.inspect.figured import Figured
    from audiocur.inspect.frame import Frame
    from audiocur.inspect.player import Player
    from audiocur.inspect.sample import Sample
    from audiocur.inspect.whatif import WhatIf
    from audiocur.job import Job


class Run:
    """A run as it was when it was opened; nothing here writes to it.

    Attributes:
        store: the run directory.
        parts: its ledger, as it was then.
        recipe: recipe.yaml.
    """

    def __init__(self, store: Store, config_dirs: Sequence[Path] = (), words: Sequence[str] = ()) -> None:
        """Open a run; see `open_run`."""
        self.store = store
        self.config_dirs = tuple(config_dirs)
        try:
            self.parts = Ledger.read(store)
        except OSError as error:
            raise OutputError(f"{store}: cannot be read ({error.strerror or error})") from error
        if not self.parts.epoch:
            raise OutputError(f"{store}: expected a run of audiocur with a ledger")
        try:
            self.recipe: dict[str, Any] = yaml.safe_load(store.read("recipe.yaml"))
        except OSError as error:
            raise OutputError(f"{store}: expected a run of audiocur, with its recipe.yaml") from error
        self.words = tuple(words)
        self._columns: dict[str, pa.ChunkedArray] = {}
        self._clips: Clips | None = None  # with all that was worked out of their columns

    def __repr__(self) -> str:
        funnel = self._funnel
        kept = funnel.kept
        told = f"{self.store}: {hours(funnel.seconds_in)} in, {hours(kept.seconds)} kept in {count(kept.count, 'clip')}"
        return "\n".join([told, *self.notices])

    @property
    def notices(self) -> list[str]:
        """What keeps the run from being whole, if anything does."""
        found = []
        status = Status.read(self.store)
        if status and status.state is not State.done:
            done = f"{status.sources_done:,} of {count(status.sources, 'recording')}"
            found.append(f"Not finished: {done} done, as of {status.updated}; its last state is {status.state.value}.")
        if self.parts.damaged:
            lost = count(len(self.parts.damaged), "ledger part")
            found.append(f"Left out: {lost} that cannot be read, or without a shard: audiocur verify {self.store}")
        if Decision.read(self.store):
            found.append(f"A decision was cut short: audiocur decide {self.store} goes on with it.")
        return found

    # What lies there, for readers of Parquet.

    @cached_property
    def ledger_dataset(self) -> pads.Dataset:
        """Every span (`clip_id` null) and every clip ever cut, as an Arrow dataset of the parts that hold."""
        if not self.parts.parts:
            raise OutputError(f"{self.store}: nothing has been finished there yet")
        return self._dataset([part.name for part in self.parts.parts])

    @cached_property
    def clips(self) -> pads.Dataset:
        """The kept clips with their audio, as an Arrow dataset of the shards that count."""
        shards = [part.shard.name for part in self.parts.parts if part.shard]
        if not shards:
            raise OutputError(f"{self.store}: no clip is kept there, or none is stored")
        return self._dataset(shards)

    @cached_property
    def ledger(self) -> duckdb.DuckDBPyRelation:
        """The same as `ledger_dataset`, for SQL: ``run.ledger.filter("verdict = 'failed'")``."""
        import duckdb

        return ledger_in(duckdb.connect(), self)

    def sql(self, query: str) -> duckdb.DuckDBPyRelation:
        """What a query finds over ``ledger``: ``run.sql("select rule, count(*) from ledger group by rule")``.

        Raises:
            ConfigError: it selects nothing.
        """
        found = self.ledger.query("ledger", query)
        if found is None:
            raise ConfigError(f"{query}: expected a query that selects something")
        return found

    def clip_columns(self, names: Sequence[str]) -> pa.Table:
        """Some columns of the ledger, a row for each clip ever cut; kept in memory for the next time.

        Raises:
            OutputError: the ledger has no such column.
        """
        known = set(self.ledger_dataset.schema.names)
        for name in names:
            if name not in known:
                from audiocur.build import closest

                raise OutputError(f"{self.store}: its ledger has no column {name}{closest(name, sorted(known))}")
        new = [name for name in dict.fromkeys(names) if name not in self._columns]
        if new:
            quoted = ['"{}"'.format(name.replace('"', '""')) for name in new]
            # In one piece: those of many parts would cost more than what is in them.
            read = self.ledger.filter("clip_id is not null").select(*quoted).to_arrow_table().combine_chunks()
            types = {field.name: field.type for field in self.ledger_dataset.schema}
            self._columns |= {name: read[name].cast(types[name]) for name in new}
        return pa.table({name: self._columns[name] for name in names})

    # What made it, and what other rules would make of it.

    @cached_property
    def job(self) -> Job:
        """What ran, built anew from its recipe: ops, rules and source.

        Raises:
            UserError: an op of its own lies in a folder that was not named when the run was opened.
        """
        return self.job_with([])

    def job_with(self, words: Sequence[str]) -> Job:
        """The same with other words, "keep.loudness.min=-30", as the command line takes them."""
        from audiocur.config import job_of_run

        return job_of_run(self.store, [*self.words, *words], self.config_dirs)

    @cached_property
    def gates(self) -> Gates:
        """Where its rules apply."""
        return Gates.of(self.job.pipeline)

    @property
    def rules(self) -> Rules:
        """Its keep rules that have something to judge, from its recipe alone: no op is built for that."""
        there = set(self.ledger_dataset.schema.names)
        said = self.recipe.get("keep", {}).items()
        rules = {name: KeepRule(**{**rule, "null": OnNull(rule["null"])}) for name, rule in said}
        return {name: rule for name, rule in rules.items() if rule.column in there}

    @property
    def meta_fields(self) -> list[pa.Field]:
        """The source's further columns, as the ledger has them: the source need not be there any more."""
        found = [field for field in self.ledger_dataset.schema if field.name.startswith("meta_")]
        return [field.with_name(field.name.removeprefix("meta_")) for field in found]

    def judged_by(self, *rules: Rules) -> Clips:
        """All clips, with the columns that some rules judge.

        Raises:
            ConfigError: a rule judges what was not measured.
        """
        for some in rules:
            require_measured(some, self.ledger_dataset.schema.names)
        # With the lengths, which whoever judges clips asks for next; a ledger of many parts is slow to go through.
        wanted = dict.fromkeys([*columns_of(self.gates, *rules), "duration_s"])
        del wanted["clip_id"]
        there = self._clips.table.column_names if self._clips else []
        if self._clips is None or not wanted.keys() <= set(there):
            self._clips = Clips(self.gates, self.clip_columns([*dict.fromkeys([*there, *wanted])]))
        return self._clips

    # Views.

    @cached_property
    def _funnel(self) -> Any:
        from audiocur.inspect.funnel import funnel

        return funnel(self.parts)

    def funnel(self) -> Figured:
        """From hours in to hours kept: what became of every second, rule by rule and failure by failure."""
        from audiocur.inspect.overview import funnel_of

        return funnel_of(self)

    def hours(self, by: str = "split") -> Figured:
        """Hours kept, rejected and failed for each value of a column of the ledger: "artist", "genre", "key"."""
        from audiocur.inspect.overview import hours_of

        return hours_of(self, by)

    def distribution(self, column: str, by: str | None = "verdict") -> Figured:
        """How a measure is spread over all clips ever cut, split by another column, with the bounds of its rules."""
        from audiocur.inspect.distribution import distribution_of

        return distribution_of(self, column, by)

    def sample(self, where: str | None = None, n: int = 8, seed: int = 0) -> Sample:
        """Clips to look at and listen to: a seeded sample of those for which a condition in SQL over the ledger holds.

        ``run.sample("verdict = 'rejected' and rule = 'clipping'")``
        """
        from audiocur.inspect.sample import sample_of

        return sample_of(self, where, n, seed)

    def listen(self, what: Any) -> Player:
        """A player for a clip by its id (or a beginning of it), for a row of a sample, or for a whole sample."""
        from audiocur.inspect.player import player_of

        return player_of(self, what)

    def compare(self, other: Run | str | Path) -> Frame:
        """What two runs over the same recordings disagree about: clips that one keeps and the other does not."""
        from audiocur.inspect.compare import compared

        return compared(self, other if isinstance(other, Run) else open_run(other, self.config_dirs))

    def whatif(self, changes: Mapping[str, Any] | str) -> WhatIf:
        """What other rules would keep, without running anything: ``run.whatif({"loudness.min": -30})``.

        Or as the command line takes it: ``run.whatif("keep.loudness.min=-30 keep.dc=")``.
        """
        from audiocur.inspect.whatif import whatif_of

        return whatif_of(self, changes)

    def suggest(self, target_hours: float) -> Frame:
        """Bounds that would keep so many hours."""
        from audiocur.inspect.suggest import suggested

        return suggested(self, target_hours)

    def _dataset(self, names: Sequence[str]) -> pads.Dataset:
        system, root = self.store.arrow()
        return pads.dataset([f"{root}/{name}" for name in names], filesystem=system, format="parquet")


def open_run(path: str | Path | Store, config_dirs: Sequence[str | Path] = (), words: Sequence[str] = ()) -> Run:
    """Open a run to look at.

    Args:
        path: the run directory, or its URL.
        config_dirs: as `--config-dir`, where its recipe has ops of your own.
        words: what has changed since, as one types it: ``source.path=~/Music`` of a library that has moved.

    Raises:
        OutputError: it is no run.
    """
    if not isinstance(path, Store):
        from audiocur.build import expanded

        path = open_store(str(path) if is_url(str(path)) else expanded(str(path), str(path)))
    return Run(path, [Path(folder) for folder in config_dirs], words)
