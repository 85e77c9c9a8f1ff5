"""A library to try things on, synthesised when it is first asked for."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from audiocur.errors import SourceError, require
from audiocur.sources.base import Found, SourceSet, located
from audiocur.sources.folder import Folder
from audiocur.sources.synth.library import TRUTH, VERSION, write_library
from audiocur.storage import is_url


@dataclass(frozen=True, kw_only=True)
class Demo(SourceSet):
    """Eighteen short recordings in several formats, with every fault a recording may have, and the truth about them.

    `truth.json` in the library says of each its tempo, key, layout, defect, spoken words and expected verdict.

    Attributes:
        path: where the library is, or is to be; null: `audiocur/demo-VERSION-SEED` in the user's cache folder.
        seed: decides keys, exact tempos, harmonies and melodies, and of `limit` the sample.
    """

    path: str | None = field(default=None, metadata={"path": True})

    name: ClassVar[str] = "demo"

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.seed >= 0, "seed", self.seed, "0 or more")

    @property
    def place(self) -> str:
        """The path it reads from, as the user would recognise it."""
        return f"source.path={self._folder}"

    def scan(self, ignored: Counter[str]) -> Iterator[Found]:
        """Every recording of the library, which is written first if it is not there."""
        return Folder(path=str(self.library()), exclude=self.exclude).scan(ignored)

    def library(self) -> Path:
        """The library's folder, after it was written if it was not there.

        Raises:
            SourceError: the folder holds something else, or cannot be written.
        """
        folder = self._folder
        try:
            if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
                self._write(folder)
            self._check(folder)
        except OSError as error:
            raise SourceError(f"{self.place}: the demo library cannot be kept there: {error}") from error
        return folder

    def truth(self) -> list[dict[str, Any]]:
        """What is known of each recording, by the way it was made."""
        found = json.loads((self.library() / TRUTH).read_text(encoding="utf-8"))
        return list(found["recordings"])

    @property
    def _folder(self) -> Path:
        if self.path is not None:
            if is_url(self.path):
                raise SourceError(f"source.path={self.path}: expected a folder on this machine")
            return Path(os.fsdecode(located(self.path, "a folder")))
        cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
        return Path(cache).expanduser() / "audiocur" / f"demo-{VERSION}-{self.seed}"

    def _write(self, folder: Path) -> None:
        """Write the library beside its place and move it there whole, so that two runs at once do no harm."""
        folder.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            write_library(made, self.seed)
            made.chmod(0o755)
            try:
                made.rename(folder)
            except OSError:
                if not (folder / TRUTH).is_file():  # else another run was faster
                    raise
        finally:
            shutil.rmtree(made, ignore_errors=True)

    def _check(self, folder: Path) -> None:
        problem = None
        try:
            found = json.loads((folder / TRUTH).read_text(encoding="utf-8"))
            missing = [each["uri"] for each in found["recordings"] if not (folder / each["uri"]).is_file()]
            if (found["version"], found["seed"]) != (VERSION, self.seed):
                problem = f"holds demo library {found['version']} of seed {found['seed']}"
            elif missing:
                problem = f"lacks {missing[0]}"
        except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError):
            problem = f"holds no {TRUTH} that can be read"
        if problem is not None:
            expected = f"expected demo library {VERSION} of seed {self.seed}, or a folder that is not there yet"
            raise SourceError(f"{self.place}: {problem}; {expected}")
