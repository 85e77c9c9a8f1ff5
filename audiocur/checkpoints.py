"""Files that models are loaded from: what a recipe needs, whether it is there, and how to get it.

Nothing is fetched in a run: what is missing is told before any work, and `audiocur models RECIPE --fetch` gets it, on a
machine that has a way to where it lies. Each kind finds its files where the library that knows them keeps them, so
that what another tool has fetched already is used.
"""

from __future__ import annotations

import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from audiocur.errors import ConfigError, RunError
from audiocur.extras import extra

if TYPE_CHECKING:
    from audiocur.op import Op
    from audiocur.pipeline import Pipeline

_CHUNK = 1 << 20
_WEIGHTS = ("*.safetensors", "*.bin", "*.pt")
Tell = Callable[[int], None]


@dataclass(frozen=True, kw_only=True)
class Checkpoint(ABC):
    """One file or folder of weights.

    Attributes:
        name: for a person, "Whisper large-v3".
        size_mb: what fetching it transfers, null where nobody can tell.
        licence: of the weights, as their makers name it.
    """

    name: str
    size_mb: int | None = None
    licence: str = "not stated"

    @abstractmethod
    def found(self) -> Path | None:
        """Where it lies on this machine, null where it does not."""

    @abstractmethod
    def fetch(self, tell: Tell = lambda done_bytes: None) -> Path:
        """Get it, and return where it lies.

        Args:
            tell: called with how many bytes are there, as they come.

        Raises:
            RunError: it cannot be had.
        """

    def require(self) -> Path:
        """Where it lies.

        Raises:
            ConfigError: it does not.
        """
        path = self.found()
        if path is None:
            raise ConfigError(f"{self.name} is not on this machine; {self.remedy}")
        return path

    @property
    def remedy(self) -> str:
        """What to do where it is missing."""
        size = f", {self.size_mb:,} MB" if self.size_mb else ""
        return f"`audiocur models --fetch` with the same words gets it{size}"

    def sha256(self) -> str:
        """Of its content, where it is there: a run is of these weights and no others."""
        return sha256_of(self.require())

    def stamp(self) -> tuple[tuple[str, int, int], ...]:
        """Names, sizes and times of its files: another stamp, and it must be loaded again."""
        path = self.require()
        files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
        return tuple((str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files)


@dataclass(frozen=True, kw_only=True)
class OwnFile(Checkpoint):
    """A file or folder that the recipe names by its path.

    >>> OwnFile(name="whisper", path="/no/such/file.pt").require()
    Traceback (most recent call last):
    audiocur.errors.ConfigError: whisper is not on this machine; expected a file or folder at /no/such/file.pt
    """

    path: str

    def found(self) -> Path | None:
        path = Path(self.path).expanduser()
        return path if path.exists() else None

    def fetch(self, tell: Tell = lambda done_bytes: None) -> Path:
        return self.require()

    @property
    def remedy(self) -> str:
        """What to do where it is missing."""
        return f"expected a file or folder at {self.path}"


@dataclass(frozen=True, kw_only=True)
class Download(Checkpoint):
    """A file at an address that the model's own library names, kept where that library keeps it.

    Attributes:
        url: where it lies.
        path: where it is kept.
        digest: the first hex digits of its SHA-256, "" where nobody says.
    """

    url: str
    path: Path
    digest: str = ""

    def found(self) -> Path | None:
        return self.path if self.path.is_file() else None

    def fetch(self, tell: Tell = lambda done_bytes: None) -> Path:
        import fsspec

        part = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with fsspec.open(self.url, "rb") as source, open(part, "wb") as kept:
                while chunk := source.read(_CHUNK):
                    kept.write(chunk)
                    tell(kept.tell())
            if self.digest and not (there := sha256_of(part)).startswith(self.digest):
                raise RunError(f"{self.name}: what {self.url} gives has SHA-256 {there}, expected {self.digest}…")
            part.replace(self.path)
        except (OSError, ValueError) as error:
            raise RunError(f"{self.name}: cannot be fetched from {self.url}: {error}") from error
        finally:
            part.unlink(missing_ok=True)
        return self.path


@dataclass(frozen=True, kw_only=True)
class HubFolder(Checkpoint):
    """A repository of a model hub, kept in the hub's own cache.

    Attributes:
        repo: "owner/name".
        revision: a commit, branch or tag.
        files: patterns of the files that are needed.
    """

    repo: str
    revision: str = "main"
    files: tuple[str, ...] = ("*.json", "*.txt", "*.safetensors")

    def found(self) -> Path | None:
        with extra("models", self.name):
            import huggingface_hub
            from huggingface_hub.errors import LocalEntryNotFoundError
        try:
            folder = huggingface_hub.snapshot_download(
                self.repo, revision=self.revision, allow_patterns=list(self.files), local_files_only=True
            )
        except LocalEntryNotFoundError:
            return None
        except ValueError as error:
            raise ConfigError(f"{self.name}: expected owner/name of the model hub, or a folder ({error})") from error
        # A folder is there as soon as one of its files is: without weights it is none of ours.
        whole = any(file.is_file() for pattern in _WEIGHTS for file in Path(folder).glob(pattern))
        return Path(folder) if whole else None

    def fetch(self, tell: Tell = lambda done_bytes: None) -> Path:
        with extra("models", self.name):
            import huggingface_hub
        try:
            return Path(
                huggingface_hub.snapshot_download(self.repo, revision=self.revision, allow_patterns=list(self.files))
            )
        except (OSError, ValueError) as error:
            line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise RunError(f"{self.name}: {self.repo} cannot be fetched: {line}") from error

    def sha256(self) -> str:
        """The commit it was fetched at, by which the hub's cache names the folder."""
        return self.require().name


def hashes(op: Op) -> dict[str, str | None]:
    """What the weights of an op are by their content, null where they are not there."""
    from audiocur.op import ModelOp

    checkpoints = op.checkpoints() if isinstance(op, ModelOp) else ()
    return {checkpoint.name: checkpoint.sha256() if checkpoint.found() else None for checkpoint in checkpoints}


def needed(pipeline: Pipeline) -> Mapping[str, tuple[Checkpoint, ...]]:
    """The checkpoints of a pipeline's models, by the op's name in the recipe."""
    from audiocur.op import ModelOp

    return {
        step.name: tuple(step.op.checkpoints())
        for step in pipeline.steps
        if isinstance(step.op, ModelOp) and step.op.checkpoints()
    }


def require_all(pipeline: Pipeline) -> None:
    """Refuse to begin without a checkpoint.

    Raises:
        ConfigError: naming all that are missing.
    """
    missing = [
        f"{op}: {checkpoint.name} is not on this machine; {checkpoint.remedy}"
        for op, checkpoints in needed(pipeline).items()
        for checkpoint in checkpoints
        if checkpoint.found() is None
    ]
    if missing:
        raise ConfigError(". ".join(missing))


def sha256_of(path: Path) -> str:
    """Of a file, or of all files of a folder with their names."""
    if path.is_file():
        status = path.stat()
        return _file_sha256(str(path), status.st_size, status.st_mtime_ns)
    digest = hashlib.sha256()
    for file in sorted(path.rglob("*")):
        if file.is_file():
            digest.update(f"{file.relative_to(path)}:{sha256_of(file)}\n".encode())
    return digest.hexdigest()


@cache
def _file_sha256(path: str, size: int, mtime_ns: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
