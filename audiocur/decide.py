"""Other keep rules for a finished run, and the withdrawal of recordings: only what must be heard again is run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from audiocur.config import job_of_run
from audiocur.errors import ConfigError, OutputError, SourceError
from audiocur.inspect.funnel import Line, funnel
from audiocur.job import Job
from audiocur.outcome import leave
from audiocur.progress import Progress
from audiocur.resume import can_be_heard, judged_again
from audiocur.run import Summary, run
from audiocur.sources.selection import matches
from audiocur.storage.base import Store
from audiocur.store import decision
from audiocur.store.lease import taken
from audiocur.store.ledger import Ledger
from audiocur.store.log import run_log
from audiocur.store.recipe import claim, differences, environment
from audiocur.store.withdrawn import withdraw_sources


@dataclass(frozen=True)
class Decided:
    """What a decision did.

    Attributes:
        before, after: the clips that were kept, and those that are.
        moves: clips by verdict before and after, of those that were judged again without being heard again.
        summary: of the run of the spans that had to be heard again, null if none had.
        beyond: clips that the new rules may keep, whose recordings are gone or have changed: they stay as they were.
        withdrawn: URIs that were withdrawn this time.
    """

    before: Line
    after: Line
    moves: Counter[tuple[str, str]]
    summary: Summary | None
    beyond: int
    withdrawn: tuple[str, ...]


def decide(store: Store, words: Sequence[str], progress: Progress, config_dirs: Sequence[Path] = ()) -> Decided:
    """Apply other rules to a run, or withdraw recordings from it.

    Clips that are now rejected leave their shards; spans that hold a clip to be kept are run again whole, for its audio
    was never stored; what is left is a run as if it had been made with these rules, whose ledger may hold more
    measures. Killed, it goes on when it is called again, and so does the run itself under its new rules.

    Args:
        store: the run directory.
        words: ``keep.NAME.KEY=value``; ``source.exclude=PATTERN`` withdraws what it matches, for good.
        progress: told what happens.
        config_dirs: as of `audiocur.config.job`.

    Raises:
        UserError: it is no run, another driver is at work there, or a word changes more than rules.
    """
    old = _recipe(store)
    job, exclude = _job(store, old, words, config_dirs)
    with taken(store, {"environment": environment()}, progress.say) as lease:
        ledger = lease.ledger
        before = funnel(ledger).kept
        gone = _matched(ledger, exclude)
        progress.say("judging every clip again")
        there = can_be_heard(job, ledger, lambda: job.source.list().sources)
        decision.begin(store, there)  # from here on a kill is mended by whoever comes next
        withdraw_sources(store, gone)
        claim(store, job.recipe())
        rejudged = judged_again(job, ledger, there)
        rejudged.ledger.sweep()
        rejudged.ledger.save_index()
        if not there:
            with run_log(store) as log:
                log.info("epoch %s: decided: %s", lease.epoch, job.pipeline.rules)
                leave(job, rejudged.ledger, funnel(rejudged.ledger), progress, log)
    # What an earlier decision took out and never came to run is run as well.
    under_way = decision.Decision.read(store)
    summary = run(job, progress, only=under_way.sources) if under_way and under_way.sources else None
    decision.end(store)
    return Decided(
        before=before,
        after=funnel(Ledger.read(store)).kept,
        moves=rejudged.moves,
        summary=summary,
        beyond=rejudged.beyond,
        withdrawn=tuple(sorted(gone.values())),
    )


def _recipe(store: Store) -> dict[str, Any]:
    try:
        return dict(yaml.safe_load(store.read("recipe.yaml")))
    except OSError as error:
        raise OutputError(f"{store}: expected a run of audiocur, with its recipe.yaml") from error


def _job(
    store: Store, old: Mapping[str, Any], words: Sequence[str], config_dirs: Sequence[Path]
) -> tuple[Job, Sequence[str]]:
    """The job of the run under other rules, and the patterns of what is to be withdrawn.

    What was left out before stays left out as well.
    """
    job = job_of_run(store, words, config_dirs)
    typed = job.source.exclude if any(word.startswith("source.exclude=") for word in words) else []
    others = [line for line in differences(old, job.recipe()) if not line.startswith("keep.")]
    if others:
        raise ConfigError(f"decide changes keep rules alone, and {others[0]}: expected a new run for that")
    for name in job.pipeline.inactive_rules(job.source.meta_fields()):
        if name not in old["keep"]:
            column = job.pipeline.rules[name].column
            raise ConfigError(f"keep.{name}.column={column}: was not measured in this run; expected one of its columns")
    exclude = list(dict.fromkeys([*old["source"].get("exclude", []), *job.source.exclude]))
    return replace(job, source=replace(job.source, exclude=exclude), redo=None), typed


def _matched(ledger: Ledger, patterns: Sequence[str]) -> dict[str, str]:
    """The recordings of the ledger that some patterns match: their URIs by source_id.

    Raises:
        SourceError: a pattern matches none.
    """
    if not patterns:
        return {}
    rows = ledger.table(["source_id", "uri"])
    uris = dict(zip(rows["source_id"].to_pylist(), rows["uri"].to_pylist(), strict=True))
    for pattern in patterns:
        if not any(matches(uri, [pattern]) for uri in uris.values()):
            raise SourceError(f"source.exclude={pattern}: matches no recording of this run")
    return {key: uri for key, uri in uris.items() if matches(uri, patterns)}
