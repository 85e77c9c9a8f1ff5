"""The passes of a run: over what is missing, until nothing is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from logging import Logger

from audiocur.errors import RunError
from audiocur.isolation import Death
from audiocur.job import Job
from audiocur.op import Decoder
from audiocur.pipeline import Stage
from audiocur.planning import Progressed, estimate_s, pack, spans_of
from audiocur.progress import Progress
from audiocur.records import Source, Span
from audiocur.reporting import Reporter, ledger_outcome
from audiocur.status import Effort, Status, now_utc, stages_of
from audiocur.store.attempts import Attempts
from audiocur.store.commit import Committed, Committer
from audiocur.store.ledger import Ledger
from audiocur.store.parts import SpanOutcome
from audiocur.usage import Usage, totals
from audiocur.words import count

#: A run is not stopped on the evidence of fewer calls of an op than this.
LEAST_EVIDENCE = 20
#: The engine holds all blocks that it is given; a corpus may have millions of them.
BLOCKS_AT_ONCE = 10_000


@dataclass
class Passes:
    """Work through all spans of some sources, in passes.

    The first pass takes the first span of each source; those behind it become known when it was opened, and are the
    second pass. A span that nobody accounts for after a pass was lost with its worker. It is done again with care, in
    a process apart, so that its neighbours are out of suspicion; what takes that process down `max_attempts` times, or
    runs past its time, is recorded as failed.

    Attributes:
        ledger: as it was when the run began.
        known: for each source, what is settled; grows with each commit.
        attempts: what is known of spans that were lost, by this driver and those before.
        watch: raises what must end the run, if anything; called about once a second.
        changed: recordings left out because they have changed.
        wanted: by source_id, the only spans to do; null for all.
        spans, seconds: worked through so far, and their audio.
        unexpected, examples: bugs of ops, by op, and one error of each.
        usage: what each model was given and did.
    """

    job: Job
    stages: Sequence[Stage]
    committer: Committer
    ledger: Ledger
    known: dict[str, Progressed]
    attempts: Attempts
    progress: Progress
    log: Logger
    watch: Callable[[], None]
    changed: int = 0
    wanted: Mapping[str, Collection[int]] | None = None
    spans: int = 0
    seconds: float = 0.0
    unexpected: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)
    usage: dict[str, Usage] = field(default_factory=dict)
    _tried: Counter[str] = field(default_factory=Counter)
    _suspects: set[str] = field(default_factory=set)
    _crashed: set[str] = field(default_factory=set)
    _guesses: dict[str, float] = field(default_factory=dict)
    _reporter: Reporter = field(init=False)
    _meter: Callable[[Committed], None] = field(init=False)

    @property
    def span_s(self) -> float:
        """The longest span there can be, as the decoder has it."""
        decoder = self.job.pipeline.steps[0].op
        return decoder.span_s if isinstance(decoder, Decoder) else 0.0

    def until_done(self, sources: Sequence[Source]) -> None:
        """Run passes until no span of these sources is missing, and tell how far that is."""
        self._guesses = {source.source_id: estimate_s(source) for source in sources}
        self._meter = self.job.engine.metered()
        self._reporter = Reporter(self.committer.store, self._status(), self.progress, self.log)
        with self._reporter.running():
            while todo := list(self._missing(sources)):
                deaths = self.attempts.deaths
                self._run([span for span in todo if span.span_id not in deaths])
                self._run_with_care([span for span in todo if span.span_id in deaths])
                self._note_lost(todo)

    def _status(self) -> Status:
        """Where the run is before the first block: what its ledger holds, and what earlier sessions have taken."""
        before = Status.read(self.committer.store)
        elsewhere_s = sum(span.duration_s for span in self.ledger.spans() if span.source_id not in self._guesses)
        done_s = elsewhere_s + sum(guess * self.known[key].done_ratio for key, guess in self._guesses.items())
        sources_done = sum(known.done_ratio == 1.0 for known in self.known.values())
        return Status(
            epoch=self.committer.epoch,
            began=before.began if before else now_utc(),
            workers=self.job.engine.workers,
            stages=stages_of(self.stages),
            sources=sources_done + len(self._guesses),
            sources_done=sources_done,
            expected_s=elsewhere_s + sum(self._guesses.values()),
            done_s=done_s,
            begun_s=done_s,
            outcome=ledger_outcome(self.ledger),
            now=Effort(sessions=1 if self._guesses else 0),
            before=before.effort if before else Effort(),
        )

    def _missing(self, sources: Iterable[Source]) -> Iterator[Span]:
        for source in sources:
            known = self.known[source.source_id]
            missing = known.missing() if self.wanted is None else {*self.wanted[source.source_id]} - known.settled
            yield from spans_of(source, sorted(missing), self.job.split)

    def _run(self, spans: Sequence[Span]) -> None:
        engine = self.job.engine
        blocks = pack(spans, engine.workers, self.span_s)
        for at in range(0, len(blocks), BLOCKS_AT_ONCE):
            some = blocks[at : at + BLOCKS_AT_ONCE]
            for done in engine.run(self.stages, some, self.committer, watch=self.watch):
                if isinstance(done, Committed):
                    self._take(done)

    def _run_with_care(self, spans: Sequence[Span]) -> None:
        """Do again what was lost; a span that has killed its process before goes alone, in case its worker dies too."""
        if not spans:
            return
        engine, deaths = self.job.engine, self.attempts.deaths
        self._suspects |= {span.span_id for span in spans}
        self.progress.say(f"going through {count(len(spans), 'span')} again that had been lost with a worker")
        blocks = pack([span for span in spans if not deaths[span.span_id]], engine.workers, self.span_s)
        blocks += [[span] for span in spans if deaths[span.span_id]]
        by_id = {span.span_id: span for span in spans}
        for done in engine.run(self.stages, blocks, self.committer, careful=True, watch=self.watch):
            if isinstance(done, Committed):
                self._take(done)
                by_id = {key: span for key, span in by_id.items() if not self._is_settled(span)}
            else:
                self._take_death(by_id.pop(done.span_id), done)
        for span in by_id.values():
            self._take_death(span, Death(span.span_id, "crashed, and its worker with it", ""))

    def _take_death(self, span: Span, death: Death) -> None:
        self.attempts.add(span.span_id, death.how)
        self.log.info("%s of %s %s\n%s", span.span_id, span.source.uri, death.how, death.trace)
        times = len(self.attempts.deaths[span.span_id])
        if not death.timed_out and times < self.job.limits.max_attempts:
            return
        span.fail(None, death.how if death.timed_out else f"{death.how}, {count(times, 'time')}")
        self._take(self.committer.commit([span]))
        self._crashed.add(span.span_id)
        if self._too_many(len(self._crashed), len(self._suspects)):
            raise RunError(
                f"{len(self._crashed)} of {len(self._suspects)} spans that were looked at alone take their process "
                f"down, so it is no fault of theirs: the last {death.how}\n{death.trace}"
            )

    def _note_lost(self, todo: Sequence[Span]) -> None:
        """Spans whose worker died; some may be committed all the same, and only the news of it was lost."""
        if any(not self._is_settled(span) for span in todo):
            self.ledger = Ledger.read(self.ledger.store, self.ledger)
            self._reporter.correct(self.ledger, *self._settle(self.ledger.spans()))
            self.attempts.suspect(span.span_id for span in todo if not self._is_settled(span))
        self.attempts.forget(span.span_id for span in todo if self._is_settled(span))

    def _is_settled(self, span: Span) -> bool:
        return span.index in self.known[span.source.source_id].settled

    def _settle(self, outcomes: Iterable[SpanOutcome]) -> tuple[float, int]:
        """Note what is settled: its share of what was expected, in seconds, and how many recordings it finished."""
        share_s, finished = 0.0, 0
        for outcome in outcomes:
            if known := self.known.get(outcome.source_id):
                before = known.done_ratio
                known.settle(outcome)
                share_s += self._guesses.get(outcome.source_id, 0.0) * (known.done_ratio - before)
                finished += before < known.done_ratio == 1.0
        return share_s, finished

    def _take(self, committed: Committed) -> None:
        self._reporter.take(committed, *self._settle(committed.spans))
        self._meter(committed)
        self.spans += len(committed.spans)
        self.seconds += sum(outcome.duration_s for outcome in committed.spans)
        self.log.info("%s: %s", committed.part, ", ".join(f"{n} {verdict}" for verdict, n in committed.clips.items()))
        self._tried += committed.tried
        self.unexpected += committed.unexpected
        self.examples |= committed.examples
        self.usage = totals([self.usage, committed.usage])
        for op, failures in self.unexpected.items():
            tried = self._tried[op]
            if self._too_many(failures, tried):
                raise RunError(f"{op} fails on {failures} of {tried} calls, so it is a bug: {self.examples[op]}")

    def _too_many(self, failures: int, tried: int) -> bool:
        return tried >= LEAST_EVIDENCE and failures > self.job.limits.max_unexpected_ratio * tried
