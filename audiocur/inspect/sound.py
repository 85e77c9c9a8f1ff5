"""The sound of any clip that was ever cut: from its shard if it is kept there, else from its recording."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import soundfile

from audiocur.audio import Audio
from audiocur.decoding.header import Limits
from audiocur.decoding.recording import Recording, open_file
from audiocur.encoding import decode_bytes
from audiocur.errors import OutputError, RowError
from audiocur.records import Source
from audiocur.redo import with_other_content

if TYPE_CHECKING:
    from audiocur.inspect.opened import Run

#: Columns of a ledger row that its sound is found by.
LINEAGE = (
    *("clip_id", "span_id", "source_id", "uri", "verdict", "start_sample", "end_sample", "source_rate_hz", "gain_db"),
    *("size", "mtime_ns", "etag"),
)
#: A recording is opened whatever the recipe makes of its rate and channels: it was opened before.
_ANY = Limits(min_rate_hz=1, max_rate_hz=10_000_000, max_channels=1_000)


@dataclass(frozen=True)
class StoredSound:
    """A clip as its shard holds it.

    Attributes:
        data: the encoded bytes.
        extension: file-name extension without the dot, "flac".
    """

    data: bytes
    extension: str


@dataclass
class Sounds:
    """Where a run's sound is; recordings that were looked up are remembered.

    Attributes:
        run: the run.
    """

    run: Run
    _sources: dict[str, Source] = field(default_factory=dict)
    _changed: set[str] = field(default_factory=set)

    def look_up(self, clips: Sequence[Mapping[str, Any]]) -> None:
        """Look up the recordings of several clips at once: each look goes through the whole listing.

        Raises:
            SourceError: the recordings cannot be listed.
        """
        wanted = {clip["source_id"]: clip for clip in clips if not self._is_stored(clip)}
        for key in self._sources.keys() & wanted:
            del wanted[key]
        if not wanted:
            return
        found = self.run.job.source.find(wanted)
        doubted = [source for key, source in found.items() if not source.problem and not _is_same(source, wanted[key])]
        self._changed |= set(with_other_content(self.run.parts, doubted))
        self._sources |= found

    def of(self, clip: Mapping[str, Any], start_s: float = 0.0, length_s: float | None = None) -> Audio:
        """The sound of a clip, or of a stretch of it.

        Args:
            clip: its row of the ledger, with the columns of `LINEAGE`.
            start_s: where the stretch begins, in seconds from the clip's start.
            length_s: how long it is; null for all that follows.

        Raises:
            UserError: its recording is gone, has changed since, or cannot be read any more.
        """
        stored = self.stored(clip)
        if stored is None:
            return self._from_source(clip, start_s, length_s)
        audio = self.decoded(clip, stored)
        start = round(start_s * audio.rate_hz)
        length = audio.num_samples if length_s is None else round(length_s * audio.rate_hz)
        return audio.slice(min(start, audio.num_samples), min(start + length, audio.num_samples))

    def stored(self, clip: Mapping[str, Any]) -> StoredSound | None:
        """A kept clip as it is stored, null where it is not; only its row group is read.

        Raises:
            OutputError: its shard is gone or damaged.
        """
        if not self._is_stored(clip):
            return None
        name = self._shards[clip["span_id"]]
        try:
            found = self._in_shard(name, clip["clip_id"])
        except (OSError, pa.ArrowException) as error:
            said = " ".join(str(error).split())
            raise OutputError(
                f"{self.run.store}: {name} cannot be read ({said}): audiocur verify tells more"
            ) from error
        if found is None:
            raise OutputError(f"{self.run.store}: {name} lacks clip {clip['clip_id']}: audiocur verify tells more")
        return found

    def decoded(self, clip: Mapping[str, Any], stored: StoredSound) -> Audio:
        """The sound of a kept clip as it is stored.

        Raises:
            OutputError: it is damaged.
        """
        try:
            return decode_bytes(stored.data)
        except (soundfile.LibsndfileError, ValueError) as error:  # no sound, or less than it says
            raise OutputError(
                f"{self.run.store}: the audio of clip {clip['clip_id']} is damaged: audiocur verify tells more"
            ) from error

    def _is_stored(self, clip: Mapping[str, Any]) -> bool:
        return clip["verdict"] == "kept" and clip["span_id"] in self._shards

    @cached_property
    def _shards(self) -> dict[str, str]:
        """The shard with the kept clips of each span."""
        parts = [part for part in self.run.parts.parts if part.shard]
        return {span.span_id: part.shard.name for part in parts for span in part.spans if part.shard}

    def _in_shard(self, name: str, clip_id: str) -> StoredSound | None:
        with self.run.store.open(name) as opened:
            file = pq.ParquetFile(opened)
            for group in range(file.num_row_groups):
                at = pc.index(file.read_row_group(group, columns=["clip_id"])["clip_id"], clip_id).as_py()
                if at >= 0:
                    audio = file.read_row_group(group, columns=["audio"])["audio"][at].as_py()
                    return StoredSound(audio["bytes"], audio["path"].rpartition(".")[2])
        return None

    def _from_source(self, clip: Mapping[str, Any], start_s: float, length_s: float | None) -> Audio:
        """What the ops before `encode` heard of a clip, by its lineage."""
        self.look_up([clip])
        source = self._sources.get(clip["source_id"])
        if source is None:
            raise OutputError(f"{clip['uri']}: not in {self.run.job.source.place} any more")
        if source.problem is not None:
            raise OutputError(f"{clip['uri']}: {source.problem}")
        if source.source_id in self._changed:
            raise OutputError(f"{clip['uri']}: has changed since it was worked through")
        rate_hz = clip["source_rate_hz"]
        start = min(clip["start_sample"] + round(start_s * rate_hz), clip["end_sample"])
        end = clip["end_sample"] if length_s is None else min(start + round(length_s * rate_hz), clip["end_sample"])
        try:
            with open_file(source.path) as file, Recording(file, _ANY) as recording:
                samples, _ = recording.read(start, end - start)
        except (RowError, OSError) as error:
            said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise OutputError(f"{clip['uri']}: {said}") from error
        return Audio(samples * 10 ** (clip["gain_db"] / 20), recording.header.rate_hz)


def _is_same(source: Source, clip: Mapping[str, Any]) -> bool:
    """Whether a recording is the version that a clip was cut from, as far as its listing tells."""
    return (source.size, source.mtime_ns, source.etag) == (clip["size"], clip["mtime_ns"], clip["etag"])
