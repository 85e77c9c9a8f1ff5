from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import audiocur


def test_every_public_name_is_there():
    stub = (Path(audiocur.__file__).parent / "__init__.pyi").read_text()
    names = set(re.findall(r"import (\w+) as", stub))
    assert {"Decode", "Vad", "Phrase", "Loudness", "Encode", "KeepRule", "Folder"} <= names
    assert names == set(audiocur.__all__)
    for name in names:
        assert getattr(audiocur, name).__name__ == name


def test_ray_is_imported_in_its_folder_alone():
    package = Path(audiocur.__file__).parent
    importers = {
        path.relative_to(package).parts[0]
        for path in package.rglob("*.py")
        if re.search(r"^\s*(import ray|from ray)\b", path.read_text(), re.MULTILINE)
    }
    assert importers == {"engine"}


def test_ops_and_recipes_need_neither_ray_nor_torch():
    code = (
        "import sys; from audiocur.config import job; job(['source.path=x', 'output.path=y']).stages();"
        "print({'ray', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
