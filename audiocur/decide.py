"""Other keep rules for a finished run, and the withdrawal of recordings: only what must be heard again is run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from audiocur.build import words_of_list
from audiocur.checkpoints import require_all
from audiocur.config import job_of_run
from audiocur.errors import ConfigError, OutputError, SourceError
from audiocur.inspect.funnel import Line, funnel
from audiocur.job import Job
from audiocur.outcome import leave
from audiocur.progress import Progress
from audiocur.resume import can_be_heard, decided, judged_again
from audiocur.run import Summary, run
from audiocur.sources.selection import is_pattern
from audiocur.storage.base import Store
from audiocur.store.decision import Decision, end
from audiocur.store.lease import taken
from audiocur.store.ledger import Ledger
from audiocur.store.log import run_log
from audiocur.store.recipe import claim, differences, environment
from audiocur.store.staged import FOLDER, staging
from audiocur.store.withdrawn import Withdrawn, covered
from audiocur.words import count

#: What may be said besides rules and takedowns: where the recordings are, and what the work is done with.
_EXCLUDE = "source.exclude="
_ELSEWHERE = ("source.path=", "source.moved=", "engine=", "engine.", "placement.", "limits.", "report=")


@dataclass(frozen=True)
class Decided:
    """What a decision did.

    Attributes:
        before, after: the clips that were kept, and those that are.
        moves: clips whose verdict is another, by what it was and is.
        summary: of the run of the spans that had to be heard again, null if none had.
        heard: spans of it that took the place of what they were.
        beyond: clips that the new rules may keep, whose recordings are gone, have changed or cannot be read any more:
            they stay as they were.
        withdrawn: URIs that were withdrawn this time.
        no_report: why there is no report although there should be.
    """

    before: Line
    after: Line
    moves: Counter[tuple[str, str]]
    summary: Summary | None
    heard: int
    beyond: int
    withdrawn: tuple[str, ...]
    no_report: str | None


def decide(store: Store, words: Sequence[str], progress: Progress, config_dirs: Sequence[Path] = ()) -> Decided:
    """Apply other rules to a run, or withdraw recordings from it.

    Spans that hold a clip to be kept are run again whole, for its audio was never stored: beside the run, which stays
    as it is until they are whole. Then each part of the ledger is replaced in one step: clips that are now rejected
    leave their shards, and spans that were run again take their place. The outcome is a run as if it had been made with
    these rules; its ledger may hold more measures. Killed, it goes on when it is called again; killed in its last step,
    so does the run itself.

    Args:
        store: the run directory.
        words: ``keep.NAME.KEY=value``; ``source.exclude=PATTERN`` withdraws what it matches, for good.
        progress: told what happens.
        config_dirs: as of `audiocur.config.job`.

    Raises:
        UserError: it is no run, is damaged, another driver is at work there, or a word says more than rules.
    """
    old, allowed = _recipe(store), _allowed(words, under_way=Decision.read(store) is not None)
    job = _job(store, old, [word for word in words if not word.startswith(_EXCLUDE)], config_dirs)
    typed = next((word.removeprefix(_EXCLUDE) for word in words if word.startswith(_EXCLUDE)), None)
    _require_sound(Ledger.read(store))  # before an epoch begins that knows nothing of what is damaged
    with taken(store, {"environment": environment()}, progress.say) as lease, run_log(store) as log:
        elsewhere = [word for word in words if word.startswith(_ELSEWHERE)]
        ledger = decided(job_of_run(store, elsewhere, config_dirs), lease.ledger, progress, staged=True)
        before, was = funnel(ledger).kept, Withdrawn.read(store)
        withdrawn = was if typed is None else _withdrawn(job, ledger, was, typed)
        progress.say("judging every clip again")
        wanted = can_be_heard(job, ledger, withdrawn, lambda: job.source.list().sources)
        summary = _heard(job, wanted, progress) if wanted else None
        lease.check()
        decision = Decision(job.recipe()["fingerprint"], withdrawn)
        decision.begin(store)  # from here on a kill is mended by whoever comes next
        claim(store, {**old, **{key: job.recipe()[key] for key in ("fingerprint", "keep")}})
        log.info("epoch %s: decided: %s", lease.epoch, " ".join(allowed))
        done = judged_again(job, ledger, decision)
        done.ledger.save_index()
        end(store)
        after = funnel(done.ledger)
        no_report = leave(job, done.ledger, after, progress, log)
    gone = withdrawn.uris.items() - was.uris.items()
    return Decided(
        before=before,
        after=after.kept,
        moves=done.moves,
        summary=summary,
        heard=done.heard,
        beyond=done.beyond,
        withdrawn=tuple(sorted(uri for _, uri in gone)),
        no_report=no_report,
    )


def _allowed(words: Sequence[str], *, under_way: bool) -> Sequence[str]:
    """The words, if each of them does something here; none are needed to go on with what is under way.

    Raises:
        ConfigError: one does not, or there is none.
    """
    for word in words:
        if not word.startswith(("keep.", _EXCLUDE, *_ELSEWHERE)):
            raise ConfigError(f"{word}: decide changes rules alone; expected keep.NAME.KEY= or source.exclude=PATTERN")
        if word in (_EXCLUDE, f"{_EXCLUDE}[]"):
            raise ConfigError(f"{word}: expected a pattern, or the name of a recording, to withdraw for good")
    if not under_way and all(word.startswith(_ELSEWHERE) for word in words):
        raise ConfigError("expected what to decide: keep.NAME.KEY=value, or source.exclude=PATTERN")
    return words


def _recipe(store: Store) -> dict[str, Any]:
    try:
        recipe = yaml.safe_load(store.read("recipe.yaml"))
    except OSError as error:
        raise OutputError(f"{store}: expected a run of audiocur, with its recipe.yaml") from error
    except yaml.YAMLError as error:
        raise OutputError(f"{store}: its recipe.yaml is damaged") from error
    if not isinstance(recipe, dict) or "fingerprint" not in recipe:
        raise OutputError(f"{store}: its recipe.yaml is none of audiocur's")
    return recipe


def _job(store: Store, old: Mapping[str, Any], words: Sequence[str], config_dirs: Sequence[Path]) -> Job:
    """The checked job of the run under other rules."""
    job = job_of_run(store, words, config_dirs)
    others = [line for line in differences(old, job.recipe()) if not line.startswith("keep.")]
    if others:
        raise ConfigError(f"decide changes keep rules alone, and {others[0]}: expected a new run for that")
    for name in job.pipeline.inactive_rules(job.source.meta_fields()):
        if name not in old["keep"]:
            column = job.pipeline.rules[name].column
            raise ConfigError(f"keep.{name}.column={column}: was not measured in this run; expected one of its columns")
    job.stages()
    require_all(job.pipeline)
    return replace(job, redo=None)


def _require_sound(ledger: Ledger) -> None:
    """Refuse a run of which a part is damaged: what stands there would be lost."""
    if ledger.damaged:
        some = f"{count(len(ledger.damaged), 'ledger part')} damaged, as {ledger.damaged[0]}"
        raise OutputError(f"{ledger.store}: {some}: expected `audiocur verify {ledger.store} --repair` first")
    if ledger.parts and "gate" not in ledger.table_schema().names:
        raise OutputError(f"{ledger.store}: made by an earlier audiocur, whose ledger cannot be judged again")


def _withdrawn(job: Job, ledger: Ledger, before: Withdrawn, typed: str) -> Withdrawn:
    """All that is withdrawn when what is typed is as well: the name of a recording, commas and all, or patterns.

    Raises:
        SourceError: one matches no recording, in the ledger or in the source.
    """
    rows = ledger.table(["source_id", "uri"])
    uris = dict(zip(rows["source_id"].to_pylist(), rows["uri"].to_pylist(), strict=True))
    patterns = (typed,) if typed in uris.values() else tuple(words_of_list(typed, "source.exclude"))
    for pattern in patterns:
        if not is_pattern(pattern):
            raise SourceError(f"source.exclude={pattern}: expected the name of a recording, or a glob pattern")
        in_ledger = any(covered(uri, (pattern,)) for uri in uris.values())
        if not in_ledger and not any(covered(source.uri, (pattern,)) for source in job.source.list().sources):
            raise SourceError(f"source.exclude={pattern}: matches no recording of this run")
    matched = {key: uri for key, uri in uris.items() if covered(uri, patterns)}
    return Withdrawn(tuple(dict.fromkeys((*before.patterns, *patterns))), {**before.uris, **matched})


def _heard(job: Job, wanted: Mapping[str, set[int]], progress: Progress) -> Summary:
    """Run spans again, beside the run; what an earlier attempt at the same decision has done there stands."""
    beside = staging(job.output)
    try:
        there = yaml.safe_load(beside.read("recipe.yaml"))
    except FileNotFoundError:
        there = None
    if there is not None and there["fingerprint"] != job.recipe()["fingerprint"]:
        job.output.discard(FOLDER)
    return run(replace(job, output=beside, report=False), progress, spans=wanted)
