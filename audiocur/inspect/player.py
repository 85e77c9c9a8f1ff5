"""A player for clips, whatever became of them: sound, waveform, spectrogram, and all that was measured in one place."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads

from audiocur.audio import Samples
from audiocur.encoding import Format
from audiocur.errors import ConfigError, OutputError, UserError
from audiocur.inspect.card import SPECTROGRAM_PX, WAVEFORM_PX, WIDTH_PX, Card
from audiocur.inspect.pages import rendered
from audiocur.inspect.playable import lossless
from audiocur.inspect.sample import rows_of
from audiocur.inspect.sound import Sounds
from audiocur.inspect.style import COLOURS
from audiocur.words import clock

if TYPE_CHECKING:
    from audiocur.inspect.opened import Run

Row = Mapping[str, Any]

#: Clips in one page: more cannot be compared by ear, and each is megabytes of it.
_MOST = 24
#: Characters of a recording's name that a file's name takes over.
_NAME_LENGTH = 60


@dataclass(frozen=True)
class Player(Sequence["Player"]):
    """Clips to listen to; a sequence of players of one clip each.

    A notebook shows it. In a terminal there is ``player.save(folder)``, and ``player.audio`` for further work.

    Attributes:
        clips: rows of the ledger.
        sounds: where their sound is.
    """

    clips: tuple[Row, ...]
    sounds: Sounds = field(repr=False)

    @overload
    def __getitem__(self, at: int) -> Player: ...
    @overload
    def __getitem__(self, at: slice) -> Player: ...
    def __getitem__(self, at: int | slice) -> Player:
        return Player(self.clips[at] if isinstance(at, slice) else (self.clips[at],), self.sounds)

    def __len__(self) -> int:
        return len(self.clips)

    @property
    def audio(self) -> tuple[Samples, int]:
        """Samples of the one clip, float32 of shape (channels, samples), and their rate in Hz.

        Raises:
            ConfigError: there are several clips.
            UserError: its sound cannot be had, see `Sounds.of`.
        """
        if len(self) != 1:
            raise ConfigError(f"audio: expected a player of one clip, as in player[0].audio, not of {len(self)}")
        audio = self.sounds.of(self.clips[0])
        return audio.samples, audio.rate_hz

    def save(self, folder: str | Path) -> list[Path]:
        """Write each clip to a file: as it is stored, else as FLAC of 16 bits.

        Args:
            folder: made if it is not there.

        Raises:
            UserError: the sound of one cannot be had, or the folder cannot be written; what was written stays.
        """
        folder = Path(folder).expanduser()
        self.sounds.look_up(self.clips)
        paths = []
        for clip in self.clips:
            data, extension = self._file(clip)
            paths.append(folder / _name(clip, extension))
            try:
                folder.mkdir(parents=True, exist_ok=True)
                paths[-1].write_bytes(data)
            except OSError as error:
                raise OutputError(f"folder={folder}: cannot be written ({error.strerror or error})") from error
        return paths

    def _file(self, clip: Row) -> tuple[bytes, str]:
        stored = self.sounds.stored(clip)
        if stored is not None:
            return stored.data, stored.extension
        return lossless(self.sounds.of(clip), clip["uri"]), str(Format.FLAC)

    def __repr__(self) -> str:
        return "\n".join(map(_line, self.clips)) or "no clips"

    def _repr_html_(self) -> str:
        with suppress(UserError):  # each card tells what stands in the way
            self.sounds.look_up(self.clips)
        cards = [Card.of(self.sounds, clip) for clip in self.clips]
        sizes = {"width": WIDTH_PX, "waveform": WAVEFORM_PX, "spectrogram": SPECTROGRAM_PX}
        return rendered("player.html.j2", cards=cards, colours=COLOURS, px=sizes)


def player_of(run: Run, what: Any) -> Player:
    """A player for what one may want to listen to.

    Args:
        run: the run.
        what: a clip's id or the beginning of one, a row of a sample, a sample, or a list of any of those.

    Raises:
        ConfigError: a beginning that several ids have, what is no clip, or more clips than a page holds.
        OutputError: no clip has that id, or the ledger cannot be read.
    """
    clips = list(islice(_clips(run, what), _MOST + 1))
    if len(clips) > _MOST:
        raise ConfigError(f"listen: expected at most {_MOST} clips, as run.sample(n=8) gives, not more")
    return Player(tuple(clips), Sounds(run))


def _clips(run: Run, what: Any) -> Iterator[Row]:
    """The rows of the ledger that are meant."""
    match what:
        case str():
            yield _clip(run, what)
        case {"clip_id": str(clip_id)}:
            yield what if what.keys() >= set(run.ledger_dataset.schema.names) else _clip(run, clip_id)
        case Mapping():
            raise ConfigError("listen: expected a row with the clip_id of a clip")
        case Iterable():
            for each in what:
                yield from _clips(run, each)
        case _:
            raise ConfigError(f"listen: expected the id of a clip, a row of a sample or a sample, not {what!r}")


def _clip(run: Run, clip_id: str) -> Row:
    """The row of a clip, by its id or by a beginning of it that no other has."""
    beginning = pc.starts_with(pads.field("clip_id"), clip_id)
    try:
        found = run.ledger_dataset.to_table(["clip_id", "span_id"], filter=beginning).slice(0, 5).to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise OutputError(f"{run.store}: its ledger cannot be read ({' '.join(str(error).split())})") from error
    if not found:
        raise OutputError(f"{run.store}: no clip {clip_id} was ever cut there")
    if len(found) > 1:
        ids = ", ".join(each["clip_id"] for each in found)
        raise ConfigError(f"{clip_id!r}: expected the id of one clip, or more of it: {ids}")
    (row,) = rows_of(run, found)
    return row


def _line(clip: Row) -> str:
    """A clip in a terminal."""
    place = f"{clock(clip['start_s'])} to {clock(clip['end_s'])}"
    why = f": {clip['reason']}" if clip["reason"] else ""
    return f"{clip['clip_id'][:8]}  {clip['uri']}  {place}  {clip['verdict']}{why}"


def _name(clip: Row, extension: str) -> str:
    """A file name that any system takes, and that sorts by recording and place.

    >>> _name({"uri": "../live/My Song?.mp3", "start_s": 12.5, "clip_id": "ec07dbd61bdf6a9eb9097ca1"}, "flac")
    'My Song_-00012.5s-ec07dbd6.flac'
    """
    stem = clip["uri"].rpartition("/")[2].rpartition(".")[0] or "clip"
    parts = (stem[:_NAME_LENGTH].strip(), f"{clip['start_s']:07.1f}s", f"{clip['clip_id'][:8]}.{extension}")
    return "-".join(re.sub(r"[^\w .()+-]|\.(?=\.)", "_", part) for part in parts)
