"""The command line: verbs, no logic."""

from __future__ import annotations

import argparse
import io
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from rich.console import Console

from audiocur import __version__
from audiocur.errors import AudiocurError, UserError
from audiocur.loading import OF_A_PROCESS, loading

if TYPE_CHECKING:
    from audiocur.storage.base import Store

USAGE = """\
audiocur turns recordings into a training set for music generation: clips with audio, measures and tags in Parquet,
and a ledger of what became of every second of input and why.

  audiocur recipe=music_gen source.path=~/Music output.path=runs/mine     run, or go on where a run stopped
  audiocur plan recipe=music_gen source.path=~/Music                      what it would do and cost, without doing it
  audiocur recipe=music_gen source=demo output.path=runs/demo             try it on a library it synthesises
  audiocur verify runs/mine [--repair]                                    check every file of a run, and mend it
  audiocur trace runs/mine CLIP_ID                                        where a clip comes from, what became of it
  audiocur report runs/mine                                               look and listen: runs/mine/report.html
  audiocur watch runs/mine                                                how far it is, from another terminal
  audiocur decide runs/mine keep.loudness.min=-30                         other rules for a run that is done
  audiocur decide runs/mine source.exclude=Artist/Album/**                withdraw recordings from its shards, for good
  audiocur models recipe=music_gen models=base [--fetch]                  weights it needs, which are here; get the rest
  audiocur serve recipe=music_gen [serve.port=8000]                       an HTTP API: POST a recording, get its columns

Every key can be set, as key=value, with nothing to escape:

  vad.threshold=0.6  segment=window  segment.length_s=20      a parameter of an op; another choice of one
  keep.loudness.min=-30  keep.bandwidth=                      a bound of a keep rule; a rule taken away
  pipeline=[decode,vad,segment,loudness]                      the ops, in order (quote it in most shells)
  pipeline=[*,align] align=ctc                                the recipe's ops, and one more
  models=base  asr=whisper  asr.model=small                   models; `audiocur models ... --fetch` gets their weights
  source.limit=50  source.include=*.flac                      a seeded sample; some files
  engine=local  placement.tag.via=actor                       in this process; where an op runs
  redo=failed  redo=changed                                   do again what failed; what has changed since
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status: 0 done, 2 the user's mistake, 130 interrupted, 1 anything else."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # The name of a folder need not be text.
            stream.reconfigure(errors="backslashreplace")
    if arguments is None:
        os.environ.update(OF_A_PROCESS)
    if threading.current_thread() is threading.main_thread():
        # A cluster ends a run so, and it should end as it does for Ctrl-C.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    errors = Console(stderr=True, soft_wrap=True, highlight=False, markup=False, emoji=False)
    try:
        options, unknown = _options().parse_known_intermixed_args(arguments)
        if unknown:
            raise UserError(f"{unknown[0]}: no such option; expected --config-dir DIR, or key=value")
        options.own_process = arguments is None
        return _VERBS[_taken_verb(options)](options)
    except UserError as error:
        errors.print(f"audiocur: {_one_line(error)}")
        return 2
    except AudiocurError as error:
        errors.print(f"audiocur: stopped: {_one_line(error)}")
        return 1
    except KeyboardInterrupt:
        errors.print("audiocur: interrupted; what is finished is kept, and the same command goes on from there")
        return 130


def _one_line(error: Exception) -> str:
    return " ".join(str(error).splitlines())


def _taken_verb(options: argparse.Namespace) -> str:
    """The verb among the words, taken out of them with its operands; what else is no key=value is refused."""
    words = options.words
    verb = next((word for word in words if "=" not in word), "run")
    verb = verb if verb in _VERBS else "run"
    operands = _OPERANDS.get(verb, ())
    if verb in words:
        at = words.index(verb)
        options.operands = words[at + 1 : at + 1 + len(operands)]
        del words[at : at + 1 + len(operands)]
        if len(options.operands) < len(operands):
            raise UserError(f"{verb}: expected audiocur {verb} {' '.join(operands)}")
    bare = [word for word in words if "=" not in word]
    if bare:
        raise UserError(
            f"{bare[0]}: expected {'one verb' if bare[0] in _VERBS else 'a verb'} ({', '.join(_VERBS)}) or key=value"
        )
    if words and verb in _ALONE:
        raise UserError(f"{words[0]}: expected audiocur {verb} {' '.join(operands)} alone")
    if options.repair and verb != "verify":
        raise UserError("--repair: expected audiocur verify RUN --repair")
    if options.svg and verb != "plan":
        raise UserError("--svg: expected audiocur plan key=value ... --svg FILE")
    if options.fetch and verb != "models":
        raise UserError("--fetch: expected audiocur models key=value ... --fetch")
    return verb


class _Parser(argparse.ArgumentParser):
    """One whose complaints are one line, as every mistake is told."""

    def error(self, message: str) -> NoReturn:
        raise UserError(message.removeprefix("argument "))


def _folder(text: str) -> Path:
    if not text:
        raise argparse.ArgumentTypeError("expected a folder")
    return Path(text)


def _options() -> argparse.ArgumentParser:
    from audiocur.library import KINDS, Library

    library = Library()
    groups = [f"  {name}={'|'.join(parts)}" for name, parts in library.parts.items() if name not in KINDS]
    recipes = f"  recipe={'|'.join(library.recipes)}"
    parser = _Parser(
        prog="audiocur",
        usage="audiocur [run|plan|models|serve] [--config-dir DIR] key=value ...\n"
        "       audiocur decide RUN key=value ... | report RUN | watch RUN | verify RUN [--repair] | trace RUN CLIP_ID",
        description=USAGE,
        epilog="Choices:\n"
        + "\n".join([recipes, *groups])
        + "\n\n`audiocur plan` shows every parameter of a recipe with its value.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("words", nargs="*", metavar="key=value", help=argparse.SUPPRESS)
    parser.add_argument(
        "--config-dir", type=_folder, metavar="DIR", action="append", default=[], help="your own parts, recipes and ops"
    )
    parser.add_argument("--repair", action="store_true", help="of verify: do again what is found bad")
    parser.add_argument("--fetch", action="store_true", help="of models: get what is not there")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="of plan: the same as a picture")
    parser.add_argument("--version", action="version", version=f"audiocur {__version__}")
    return parser


def _run(options: argparse.Namespace) -> int:
    if not options.words:
        _options().print_help()
        return 0
    with loading() if options.own_process else nullcontext():
        from audiocur.config import job
        from audiocur.progress import ConsoleProgress
        from audiocur.run import run
        from audiocur.show import show_summary

        made = job(options.words, options.config_dir)
        if options.own_process:
            made.engine.load(made.stages())
    console = _console()
    if made.engine.caveat:
        console.print(made.engine.caveat, style="dim", highlight=False)
    with ConsoleProgress(console).shown() as progress:
        summary = run(made, progress)
    show_summary(console, summary)
    return 0


def _plan(options: argparse.Namespace) -> int:
    from audiocur.config import job
    from audiocur.show_plan import show_plan

    console = _console()
    made = job(options.words, options.config_dir, to_run=False)
    if options.svg:
        from audiocur.inspect.plan_picture import plan_svg

        try:
            options.svg.write_text(plan_svg(made), encoding="utf-8")
        except OSError as error:
            raise UserError(f"--svg {options.svg}: {error.strerror or error}; expected a file to write") from error
        console.print(f"drawn: {options.svg}", soft_wrap=True, highlight=False)
    show_plan(console, made)
    return 0


def _models(options: argparse.Namespace) -> int:
    from audiocur.checkpoints import needed
    from audiocur.config import job
    from audiocur.show import fetch_shown, show_models

    console = _console()
    checkpoints = needed(job(options.words, options.config_dir, to_run=False).pipeline)
    if options.fetch:
        fetch_shown(console, checkpoints)
    return 0 if show_models(console, checkpoints) else 1


def _console() -> Console:
    """As wide as the terminal; in a file or a pipe, wide enough for the tables. What users name is literal."""
    if sys.stdout.isatty():
        return Console(markup=False, emoji=False)
    # FORCE_COLOR, which notebooks set, would make Rich move the cursor of a pipe.
    return Console(width=120, markup=False, emoji=False, force_terminal=False)


def _verify(options: argparse.Namespace) -> int:
    from audiocur.inspect.verify import verify
    from audiocur.progress import ConsoleProgress
    from audiocur.show import show_repaired, show_verified

    if options.words and not options.repair:
        raise UserError(f"{options.words[0]}: expected --repair, which alone runs anything")
    console = _console()
    store = _run_store(options)
    with ConsoleProgress(console).shown() as progress:
        found = verify(store, lambda done, total: progress.tell(f"{done:,} of {total:,} parts checked"))
    show_verified(console, store, found, repairing=options.repair)
    if not options.repair or not found.findings:
        return 1 if found.findings else 0
    from audiocur.config import job_of_run
    from audiocur.repair import repair

    with ConsoleProgress(console).shown() as progress:
        repaired = repair(job_of_run(store, options.words, options.config_dir), found.findings, progress)
    show_repaired(console, repaired)
    return 1 if repaired.left else 0


def _trace(options: argparse.Namespace) -> int:
    from audiocur.inspect.trace import trace
    from audiocur.show import show_trace

    show_trace(_console(), trace(_run_store(options), options.operands[1]))
    return 0


def _decide(options: argparse.Namespace) -> int:
    from audiocur.decide import decide
    from audiocur.progress import ConsoleProgress
    from audiocur.show_decided import show_decided

    console = _console()
    store = _run_store(options)
    with ConsoleProgress(console).shown() as progress:
        decided = decide(store, options.words, progress, options.config_dir)
    show_decided(console, decided)
    return 0


def _report(options: argparse.Namespace) -> int:
    from audiocur.inspect.report import write_report

    store = _run_store(options)
    console = _console()
    with console.status("drawing the report"):
        name = write_report(store, options.config_dir)
    console.print(f"{store}/{name}", soft_wrap=True, highlight=False)
    return 0


def _watch(options: argparse.Namespace) -> int:
    from audiocur.watch import watch

    watch(_run_store(options), _console())
    return 0


def _serve(options: argparse.Namespace) -> int:
    from audiocur.config import job
    from audiocur.engine.api import api_of, ops_served, served

    console = _console()
    api, words = api_of(options.words)
    made = job(words, options.config_dir, to_run=False)
    try:
        with served(made, api) as address:
            console.print(f"{address} serves {', '.join(ops_served(made))}", highlight=False, soft_wrap=True)
            console.print(f"curl --data-binary @song.flac {address}/v1/clip", highlight=False, soft_wrap=True)
            console.print(
                f"All it does is described at {address}/docs; Ctrl-C ends it.", highlight=False, soft_wrap=True
            )
            threading.Event().wait()
    except KeyboardInterrupt:
        console.print("audiocur serve: ended", highlight=False)
    return 130


def _run_store(options: argparse.Namespace) -> Store:
    from audiocur.build import expanded
    from audiocur.storage import is_url, open_store

    run = options.operands[0]
    return open_store(run if is_url(run) else expanded(run, run))


_VERBS: dict[str, Callable[[argparse.Namespace], int]] = {
    "run": _run,
    "plan": _plan,
    "watch": _watch,
    "report": _report,
    "decide": _decide,
    "verify": _verify,
    "trace": _trace,
    "models": _models,
    "serve": _serve,
}
#: What follows a verb besides key=value.
_OPERANDS = {
    **dict.fromkeys(("decide", "report", "verify", "watch"), ("RUN",)),
    "trace": ("RUN", "CLIP_ID"),
}
#: Verbs that take no key=value.
_ALONE = ("report", "trace", "watch")

if __name__ == "__main__":
    sys.exit(main())
