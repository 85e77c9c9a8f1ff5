"""The wheel, built from the checkout and installed elsewhere, is all that a user needs."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parent.parent


@pytest.mark.slow
def test_the_wheel_runs_from_an_empty_directory(tmp_path):
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--outdir", tmp_path / "dist", CHECKOUT],
        check=True,
        capture_output=True,
    )
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv/bin/python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-deps", wheel], check=True)
    # The dependencies are borrowed from where the tests run; audiocur itself is not among them.
    (site,) = (tmp_path / "venv/lib").glob("python*/site-packages")
    assert (site / "audiocur/conf/config.yaml").exists()
    borrowed = tmp_path / "borrowed"
    borrowed.mkdir()
    for entry in Path(sysconfig.get_paths()["purelib"]).iterdir():
        if "audiocur" not in entry.name:
            (borrowed / entry.name).symlink_to(entry)
    (site / "borrowed.pth").write_text(f"{borrowed}\n")

    empty = tmp_path / "empty"
    empty.mkdir()
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    words = ["recipe=music_gen", "source=demo", "source.limit=4", "output.path=run", "engine=local"]
    done = subprocess.run(
        [tmp_path / "venv/bin/audiocur", *words],
        cwd=empty,
        capture_output=True,
        text=True,
        env=environment,
        timeout=200,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "4 recordings" in done.stdout or "recordings to do: 4" in done.stdout
    assert [path.name for path in empty.iterdir()] == ["run"]

    where = subprocess.run(
        [python, "-c", "import audiocur; print(audiocur.__file__)"],
        cwd=empty,
        capture_output=True,
        text=True,
        check=True,
    )
    assert where.stdout.startswith(str(site))
