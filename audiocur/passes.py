"""The passes of a run: over what is missing, until nothing is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from audiocur.errors import RunError
from audiocur.job import Job
from audiocur.op import Decoder
from audiocur.pipeline import Stage
from audiocur.planning import Progressed, estimate_s, pack, spans_of
from audiocur.progress import Progress
from audiocur.records import Source, Span
from audiocur.store.commit import Committed, Committer, SpanOutcome

#: A run is not stopped on the evidence of fewer rows than this.
LEAST_EVIDENCE = 20


@dataclass
class Passes:
    """Work through all spans of some sources, in passes.

    The first pass takes the first span of each source; those behind it become known when it was opened, and are the
    second pass. A span that nobody accounts for after a pass was lost with its worker: it is done again alone, and
    what takes its worker down `max_attempts` times is recorded as failed.

    Attributes:
        known: for each source, what is settled; grows with each commit.
        spans, seconds: worked through so far, and their audio.
        unexpected, examples: bugs of ops, by op, and one error of each.
    """

    job: Job
    stages: Sequence[Stage]
    committer: Committer
    known: dict[str, Progressed]
    progress: Progress
    spans: int = 0
    seconds: float = 0.0
    unexpected: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)
    _tried: int = 0
    _attempts: Counter[str] = field(default_factory=Counter)
    _guesses: dict[str, float] = field(default_factory=dict)

    @property
    def span_s(self) -> float:
        """The longest span there can be, as the decoder has it."""
        decoder = self.job.pipeline.steps[0].op
        return decoder.span_s if isinstance(decoder, Decoder) else 0.0

    def until_done(self, sources: Sequence[Source]) -> None:
        """Run passes until no span of these sources is missing."""
        self._guesses = {source.source_id: estimate_s(source) for source in sources}
        self.progress.expect(len(sources), sum(self._guesses.values()))
        while todo := list(self._missing(sources)):
            self._one_pass(todo)
            before = {span.span_id for span in todo}
            for span in list(self._missing(sources)):
                if span.span_id in before:
                    self._lost(span)

    def _missing(self, sources: Iterable[Source]) -> Iterator[Span]:
        for source in sources:
            yield from spans_of(source, self.known[source.source_id].missing(), self.job.split)

    def _one_pass(self, todo: Sequence[Span]) -> None:
        suspects = [span for span in todo if self._attempts[span.span_id]]
        others = [span for span in todo if not self._attempts[span.span_id]]
        blocks = [*pack(others, self.job.engine.workers, self.span_s), *([span] for span in suspects)]
        for committed in self.job.engine.run(self.stages, blocks, self.committer):
            self._take(committed)
            self.progress.advance(committed, sum(map(self._share, committed.spans)))

    def _share(self, outcome: SpanOutcome) -> float:
        """How much of what was expected of a source is done with one of its spans."""
        left = self._guesses[outcome.source_id] - outcome.index * self.span_s
        return max(0.0, left if outcome.last or outcome.failed else min(self.span_s, left))

    def _take(self, committed: Committed) -> None:
        for outcome in committed.spans:
            self.known[outcome.source_id].settle(outcome)
            self.spans += 1
            self.seconds += outcome.duration_s
        self._tried += committed.tried
        self.unexpected += committed.unexpected
        self.examples |= committed.examples
        for op, count in self.unexpected.items():
            if self._tried >= LEAST_EVIDENCE and count > self.job.limits.max_unexpected_ratio * self._tried:
                raise RunError(
                    f"{op} fails on {count} of {self._tried} spans and clips, so it is a bug: {self.examples[op]}"
                )

    def _lost(self, span: Span) -> None:
        self._attempts[span.span_id] += 1
        attempts = self._attempts[span.span_id]
        if attempts >= self.job.limits.max_attempts:
            span.fail("decode", f"crashed: its worker died {attempts} times", unexpected=True)
            self._take(self.committer.commit([span]))
