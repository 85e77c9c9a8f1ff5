"""The passes of a run: over what is missing, until nothing is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from logging import Logger
from pathlib import Path

from audiocur.errors import RunError
from audiocur.job import Job
from audiocur.op import Decoder
from audiocur.pipeline import Stage
from audiocur.planning import Progressed, estimate_s, pack, spans_of
from audiocur.progress import Progress
from audiocur.records import Source, Span
from audiocur.store.commit import Committed, Committer
from audiocur.store.ledger import known_spans
from audiocur.words import count

#: A run is not stopped on the evidence of fewer calls of an op than this.
LEAST_EVIDENCE = 20


@dataclass
class Passes:
    """Work through all spans of some sources, in passes.

    The first pass takes the first span of each source; those behind it become known when it was opened, and are the
    second pass. A span that nobody accounts for after a pass was lost with its worker. It is done again alone, so that
    its neighbours are out of suspicion, and what takes its worker down `max_attempts` times is recorded as failed.

    Attributes:
        known: for each source, what is settled; grows with each commit.
        changed: recordings left out because they have changed.
        spans, seconds: worked through so far, and their audio.
        unexpected, examples: bugs of ops, by op, and one error of each.
    """

    job: Job
    stages: Sequence[Stage]
    committer: Committer
    known: dict[str, Progressed]
    progress: Progress
    log: Logger
    changed: int = 0
    spans: int = 0
    seconds: float = 0.0
    unexpected: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)
    _tried: Counter[str] = field(default_factory=Counter)
    _attempts: dict[str, int] = field(default_factory=dict)  # alone, by span_id of what was lost once
    _guesses: dict[str, float] = field(default_factory=dict)

    @property
    def span_s(self) -> float:
        """The longest span there can be, as the decoder has it."""
        decoder = self.job.pipeline.steps[0].op
        return decoder.span_s if isinstance(decoder, Decoder) else 0.0

    def until_done(self, sources: Sequence[Source]) -> None:
        """Run passes until no span of these sources is missing."""
        self._guesses = {source.source_id: estimate_s(source) for source in sources}
        left = sum(guess * (1 - self.known[key].done_ratio) for key, guess in self._guesses.items())
        self.progress.expect(len(sources), left)
        while todo := list(self._missing(sources)):
            self._run([span for span in todo if span.span_id not in self._attempts])
            for span in todo:
                if span.span_id in self._attempts:
                    self._run_alone(span)
            self._note_lost(todo)

    def _missing(self, sources: Iterable[Source]) -> Iterator[Span]:
        for source in sources:
            yield from spans_of(source, self.known[source.source_id].missing(), self.job.split)

    def _run(self, spans: Sequence[Span]) -> None:
        engine = self.job.engine
        for committed in engine.run(self.stages, pack(spans, engine.workers, self.span_s), self.committer):
            self._take(committed)

    def _run_alone(self, span: Span) -> None:
        for committed in self.job.engine.run(self.stages, [[span]], self.committer, retries=0):
            self._take(committed)
        if span.index in self.known[span.source.source_id].settled:
            return
        self._attempts[span.span_id] += 1
        attempts = self._attempts[span.span_id]
        if attempts >= self.job.limits.max_attempts:
            span.fail(None, f"crashed: its worker died {count(attempts, 'time')}")
            self.log.info("%s of %s given up: %s", span.span_id, span.source.uri, span.reason)
            self._take(self.committer.commit([span]))

    def _note_lost(self, todo: Sequence[Span]) -> None:
        """Spans whose worker died; some may be committed all the same, and only the news of it was lost."""
        lost = [span for span in todo if span.index not in self.known[span.source.source_id].settled]
        if not lost:
            return
        for known in known_spans(Path(self.committer.run)):
            if known.outcome.source_id in self.known:
                self.known[known.outcome.source_id].settle(known.outcome)
        for span in lost:
            if span.index not in self.known[span.source.source_id].settled:
                self._attempts.setdefault(span.span_id, 0)

    def _take(self, committed: Committed) -> None:
        share_s, finished = 0.0, 0
        for outcome in committed.spans:
            known = self.known[outcome.source_id]
            before = known.done_ratio
            known.settle(outcome)
            share_s += self._guesses[outcome.source_id] * (known.done_ratio - before)
            finished += known.done_ratio == 1.0
            self.spans += 1
            self.seconds += outcome.duration_s
        self.progress.advance(committed, share_s, finished)
        self.log.info("%s: %s", committed.part, ", ".join(f"{n} {verdict}" for verdict, n in committed.clips.items()))
        self._tried += committed.tried
        self.unexpected += committed.unexpected
        self.examples |= committed.examples
        for op, failures in self.unexpected.items():
            tried = self._tried[op]
            if tried >= LEAST_EVIDENCE and failures > self.job.limits.max_unexpected_ratio * tried:
                raise RunError(f"{op} fails on {failures} of {tried} calls, so it is a bug: {self.examples[op]}")
