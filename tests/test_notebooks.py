"""The notebooks run from top to bottom, say what their text says they do, and are stored without outputs."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import nbformat
import pytest

FOLDER = Path(__file__).parent.parent / "notebooks"
NAMES = ("own_op", "quality_inspection")


def read(name):
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


def test_these_are_all_there_are():
    assert sorted(path.stem for path in FOLDER.glob("*.ipynb")) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_it_is_stored_without_outputs(name):
    notebook = read(name)
    nbformat.validate(notebook)
    assert notebook.metadata == {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for cell in notebook.cells:
        assert cell.metadata == {}
        if cell.cell_type == "code":
            assert (cell.outputs, cell.execution_count) == ([], None)


@pytest.mark.parametrize("name", NAMES)
def test_it_reads_as_a_lesson(name):
    """Text comes first, no cell is long, and no line wider than the code is anywhere else."""
    cells = read(name).cells
    assert cells[0].cell_type == "markdown"
    assert cells[0].source.startswith("# ")
    for cell in cells:
        assert cell.source.strip()
        assert all(len(line) <= 120 for line in cell.source.splitlines())
        assert len(cell.source.splitlines()) <= 40


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """A notebook after it has been run in a kernel of its own, in an empty folder."""
    from nbclient import NotebookClient

    done = {}

    def execute(name):
        if name not in done:
            notebook = read(name)
            folder = tmp_path_factory.mktemp(name)
            # The verbs are those of this environment, as after `source .venv/bin/activate`.
            path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
            client = NotebookClient(notebook, timeout=240, resources={"metadata": {"path": str(folder)}})
            client.execute(env={**os.environ, "PATH": path, "TMPDIR": str(folder)})
            done[name] = [cell for cell in notebook.cells if cell.cell_type == "code"]
        return done[name]

    return execute


def output(cells, beginning):
    """What the one code cell that begins so has put out, as texts."""
    (cell,) = (cell for cell in cells if cell.source.startswith(beginning))
    texts = []
    for each in cell.outputs:
        assert each.output_type != "error"
        texts.append(
            each.text if each.output_type == "stream" else each.data.get("text/html") or each.data["text/plain"]
        )
    return "\n".join(texts)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")  # of the clients of kernels
@pytest.mark.parametrize("name", NAMES)
def test_it_runs_and_complains_of_nothing(executed, name):
    for cell in executed(name):
        for each in cell.outputs:
            assert each.output_type != "error", each
            assert each.get("name") != "stderr", each.text
            assert "\x1b" not in each.get("text", "")
            assert len(str(each)) < 20_000_000
        assert len([each for each in cell.outputs if each.output_type != "stream"]) <= 1


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_thresholds_are_chosen_as_the_text_says(executed):
    cells = executed("quality_inspection")
    assert re.search(r"rejected by bandwidth.*?10\.4", output(cells, "run.funnel"), re.DOTALL)
    listened = output(cells, "run.listen(bolero)")
    assert listened.count("<audio") == 2
    assert "Radio Vieja" in listened
    assert "bandwidth_hz is 3962, below min 8000" in listened
    assert "dc_offset is 0.1199, above max 0.02" in listened
    assert "Cellar Demo.wav" in output(cells, "run.listen(run.sample(\"verdict = 'kept' and bandwidth")
    assert "keep.dc.max=0.15 keep.bandwidth.min=15000" in output(cells, "changes =")
    assert "cannot alone" in output(cells, "run.suggest")
    compared = output(cells, "decided =")
    assert re.search(r"Kept only here: 1 clip, 20\.8 s\. Kept only there: 1 clip, 18\.8 s", compared)
    assert re.search(r"Línea Torcida.*Tags: ", output(cells, "decided.listen"), re.DOTALL)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_an_op_is_tried_as_the_text_says(executed):
    cells = executed("own_op")
    tones = output(cells, "from my_ops.bass")
    found = dict(re.findall(r"<td>(\w+)\.wav</td>\s*<td>([\d.]+|NaN)</td>", tones))
    assert float(found["low"]) > 0.99
    assert float(found["high"]) < 0.01
    assert float(found["both"]) == pytest.approx(0.5, abs=0.01)
    assert found["silence"] == "NaN"
    assert "below_hz=10: expected Hz, more than 20" in output(cells, "from audiocur.errors")
    assert output(cells, 'run.listen(run.sample("start_s in (0, 20)"').count("<audio") == 2
    assert "above max 0.5" in output(cells, "run.listen(run.sample(\"rule = 'bass'\"")
