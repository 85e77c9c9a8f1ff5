"""The HTTP API over real Ray Serve: what it answers, what it refuses, and what it survives."""

from __future__ import annotations

import json
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import soundfile

from audiocur.config import job
from audiocur.engine.api import Api, api_of, served
from audiocur.errors import ConfigError
from audiocur.run import run
from audiocur.store.ledger import read_ledger

pytestmark = pytest.mark.slow

RATE_HZ = 16_000

#: A user's own ops, as she would bring them.
OWN = '''
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from audiocur.checkpoints import OwnFile
from audiocur.op import ClipOp, Column, ModelOp


@dataclass(frozen=True, kw_only=True)
class Trap(ClipOp):
    """Ends its process on clips of 1.25 s, and the first time on one of 1.5 s."""

    name = "trap"
    marker: str = ""
    writes = (Column("trapped", pa.bool_(), "", "always false"),)

    def measure(self, clip):
        if clip.duration_s == 1.25:
            os._exit(1)
        if clip.duration_s == 1.5 and not os.path.exists(self.marker):
            Path(self.marker).touch()
            os._exit(1)
        if clip.duration_s == 1.75:
            raise KeyError("a bug")
        return {"trapped": False}


@dataclass(frozen=True, kw_only=True)
class Level(ModelOp):
    """Peak by a model that is told a factor when it is loaded."""

    name = "level"
    weights: str | None = None
    writes = (
        Column("peak_by_model", pa.float32(), "ratio", "peak"),
        Column("clips_beside", pa.int32(), "clips", "others in its batch"),
    )

    def checkpoints(self):
        return [OwnFile(name="level", path=self.weights)] if self.weights else []

    def load(self, device):
        return 1.0

    def measure_batch(self, clips, model):
        peaks = [float(np.abs(clip.audio.samples).max()) * model for clip in clips]
        return [{"peak_by_model": peak, "clips_beside": len(clips) - 1} for peak in peaks]
'''
PIPELINE = "pipeline=[decode,vad,segment,loudness,silence,trap,encode,level]"


@pytest.fixture(scope="module")
def own(tmp_path_factory) -> Path:
    """A folder of ops for --config-dir; the API starts Ray's instance, in which the tests of this module run."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "ops_of_test_api.py").write_text(OWN)
    (folder / "measure").mkdir()
    marker = folder / "marker"
    (folder / "measure/trap.yaml").write_text(f"# A trap.\n_target_: ops_of_test_api.Trap\nmarker: {marker}\n")
    (folder / "measure/level.yaml").write_text("# A level.\n_target_: ops_of_test_api.Level\nweights: null\n")
    return folder


@pytest.fixture(scope="module")
def words() -> list[str]:
    engine = ["engine=ray", "engine.cpus=2", "engine.object_store_mb=100"]
    return ["recipe=debug", PIPELINE, *engine, "keep.loudness.min=-30", "placement.level.cpus=0.5"]


@pytest.fixture(scope="module")
def address(own, words) -> Iterator[str]:
    api = Api(port=0, max_upload_mb=2, max_s=20, name="here")
    with served(job(words, [own], to_run=False), api) as there:
        yield there


def ask(url: str, data: bytes | Iterator[bytes] | None = None, **headers: str) -> tuple[int, dict, dict]:
    """Status, answer and headers."""
    said = {name.replace("_", "-"): value for name, value in headers.items()}
    if data is not None:
        said = {"Content-Type": "application/octet-stream"} | said
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data, said), timeout=120) as answer:
            return answer.status, json.load(answer), dict(answer.headers)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error), dict(error.headers)


def noise(seconds: float, level: float = 0.2, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-level, level, (round(seconds * RATE_HZ), 2))


def recording(folder: Path, samples: np.ndarray, suffix: str = "wav") -> bytes:
    path = folder / f"{time.monotonic_ns()}.{suffix}"
    soundfile.write(path, samples, RATE_HZ)
    return path.read_bytes()


def test_a_clip_is_answered_as_a_run_has_it(address, own, words, tmp_path):
    library = tmp_path / "library"
    library.mkdir()
    soundfile.write(library / "loud.flac", noise(6), RATE_HZ)
    soundfile.write(library / "faint.wav", noise(5, 0.002), RATE_HZ)
    more = ["engine=local", "source=folder", f"source.path={library}", f"output.path={tmp_path / 'run'}"]
    local = [word for word in words if not word.startswith("engine")]
    run(job([*local, *more, "segment.length_s=30", "segment.min_s=1"], [own]))
    rows = {row["uri"]: row for row in read_ledger(tmp_path / "run").to_pylist() if row["clip_id"]}
    for path in library.iterdir():
        status, answer, _ = ask(f"{address}/v1/clip", path.read_bytes())
        row = rows[path.name]
        assert status == 200
        if row["verdict"] == "kept":
            assert answer == {name: row[name] for name in answer}
        else:  # a run stops where a rule is broken; here every column was asked for
            said = ("verdict", "rule", "rules", "reason", "duration_s", "loudness_lufs", "silence_ratio", "trapped")
            assert {name: answer[name] for name in said} == {name: row[name] for name in said}
            assert answer["peak_by_model"] == pytest.approx(0.002, rel=0.05)
    assert {row["verdict"] for row in rows.values()} == {"kept", "rejected"}


@pytest.mark.parametrize("suffix", ["wav", "flac", "mp3", "ogg"])
def test_any_container_may_come_as_body_or_in_a_form(address, tmp_path, suffix):
    data = recording(tmp_path, noise(3), suffix)
    assert ask(f"{address}/v1/clip?columns=source_channels", data)[:2] == (200, {"source_channels": 2})
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n'
    body = head + data + b"\r\n--b--\r\n"
    status, answer, _ = ask(
        f"{address}/v1/clip?columns=duration_s,channels", body, Content_Type="multipart/form-data; boundary=b"
    )
    assert (status, answer["channels"]) == (200, 2)
    assert answer["duration_s"] == pytest.approx(3, abs=0.1)


def test_only_what_was_asked_for_is_done(address, tmp_path):
    # 1.25 s would end the process of `trap`, which nobody asked for.
    data = recording(tmp_path, noise(1.25))
    assert ask(f"{address}/v1/clip?columns=silence_ratio", data)[:2] == (200, {"silence_ratio": 0.0})
    status, answer, _ = ask(f"{address}/v1/clip?columns=peak_by_model", data)
    assert (status, list(answer)) == (200, ["peak_by_model"])


@pytest.mark.parametrize(
    ("query", "data", "status", "error"),
    [
        ("", b"", 422, "empty: expected a recording"),
        ("", b"no audio at all" * 100, 422, "not audio: no decoder recognises it (starts with 'no audio at al"),
        ("", b"RIFF\x00\x00\x00\x00WAVE", 422, "holds no audio samples: a WAV header without data"),
        ("?columns=lodness_lufs", b"x", 400, "columns=lodness_lufs: unknown column; did you mean loudness_lufs?"),
        ("?columns=", b"x", 400, "columns=: unknown column"),
        ("?colums=lyrics", b"x", 400, "colums: unknown parameter; did you mean columns?"),
        ("", bytes(30_000_000), 413, "too large: expected at most 2 MB (serve.max_upload_mb)"),
        ("", (bytes(100_000) for _ in range(300)), 413, "too large: expected at most 2 MB"),
    ],
    ids=["empty", "garbage", "header", "column", "no column", "parameter", "large", "streamed"],
)
def test_what_cannot_be_answered_is_refused_with_the_reason(address, query, data, status, error):
    found, answer, _ = ask(f"{address}/v1/clip{query}", data)
    assert (found, list(answer)) == (status, ["error"])
    assert answer["error"].startswith(error)
    assert "\n" not in answer["error"]


def test_what_is_too_long_is_refused(address, tmp_path):
    status, answer, _ = ask(f"{address}/v1/clip", recording(tmp_path, noise(20.5)))
    assert (status, answer) == (422, {"error": "too long: expected at most 20 s (serve.max_s)"})
    assert ask(f"{address}/v1/clip?columns=duration_s", recording(tmp_path, noise(20)))[1] == {"duration_s": 20.0}


def test_no_such_page_and_no_such_method_are_told_in_the_same_way(address):
    assert ask(f"{address}/v2/clip")[:2] == (404, {"error": "/v2/clip: Not Found"})
    assert ask(f"{address}/v1/clip")[:2] == (405, {"error": "/v1/clip: Method Not Allowed"})


def test_200_at_once_are_all_answered_each_with_its_own(address, tmp_path):
    levels = np.linspace(0.1, 0.9, 20)
    bodies = [recording(tmp_path, noise(2, level, seed)) for seed, level in enumerate(levels)]
    url = f"{address}/v1/clip?columns=peak_by_model,clips_beside,loudness_lufs,verdict"
    with ThreadPoolExecutor(200) as threads:
        answers = list(threads.map(lambda i: ask(url, bodies[i % 20]), range(200)))
    assert [status for status, _, _ in answers] == [200] * 200
    for number, (_, answer, _) in enumerate(answers):
        assert answer["peak_by_model"] == pytest.approx(levels[number % 20], rel=0.01)
    assert max(answer["clips_beside"] for _, answer, _ in answers) > 0  # clips of several requests in one batch


def test_clients_that_go_leave_their_place_to_others(address, tmp_path):
    data = recording(tmp_path, noise(1))
    head = f"POST /v1/clip HTTP/1.1\r\nHost: here\r\nContent-Length: {len(data)}\r\n\r\n".encode()
    port = int(address.rpartition(":")[2])
    for _ in range(150):  # twice as many as there are places for
        for sent in (data[:1000], data, data[:-1], data):
            with socket.create_connection(("127.0.0.1", port)) as gone:
                gone.sendall(head + sent)
    status, answer, headers = ask(f"{address}/v1/clip", data)
    while status == 503:  # told honestly while the last of them are being found out
        time.sleep(int(headers["retry-after"]))
        status, answer, headers = ask(f"{address}/v1/clip", data)
    assert (status, answer["duration_s"]) == (200, 1.0)


@pytest.mark.slow
def test_a_worker_that_ends_costs_nothing_and_a_recording_that_ends_workers_is_refused(address, tmp_path, own):
    with ThreadPoolExecutor(4) as threads:
        fine = recording(tmp_path, noise(2))
        others = [threads.submit(ask, f"{address}/v1/clip", fine) for _ in range(3)]
        status, answer, _ = ask(f"{address}/v1/clip", recording(tmp_path, noise(1.5)))
        assert (status, answer.get("trapped")) == (200, False)
        assert (own / "marker").exists()
        assert [other.result()[0] for other in others] == [200] * 3
    status, answer, _ = ask(f"{address}/v1/clip", recording(tmp_path, noise(1.25)))
    assert (status, answer) == (422, {"error": "it ended 2 of the processes that were to measure it"})
    assert ask(f"{address}/v1/clip", fine)[0] == 200


def test_a_bug_is_told_in_one_line_without_a_traceback(address, tmp_path):
    status, answer, _ = ask(f"{address}/v1/clip", recording(tmp_path, noise(1.75)))
    assert (status, answer) == (500, {"error": "trap: KeyError: 'a bug'"})


def healthy(address):
    """What /healthz says once the workers that other tests ended are started anew."""
    for _ in range(100):
        status, answer, _ = ask(f"{address}/healthz")
        if status == 200:
            return answer
        assert "pipeline is" in answer["error"]
        time.sleep(0.5)
    raise AssertionError(answer)


def test_health_names_every_deployment(address):
    assert healthy(address) == {"deployments": dict.fromkeys(("audiocur", "pipeline", "level"), "HEALTHY")}


def test_the_ops_are_listed_with_parameters_and_columns(address):
    _, answer, _ = ask(f"{address}/v1/ops")
    listed = {op["name"]: op for op in answer["ops"]}
    assert list(listed) == ["decode", "segment", "vad", "loudness", "silence", "trap", "encode", "level"]
    assert listed["vad"]["parameters"]["threshold"] == 0.5
    assert (listed["level"]["model"], listed["vad"]["model"]) == (True, False)
    assert listed["level"]["columns"][0] == {
        "name": "peak_by_model",
        "type": "float",
        "unit": "ratio",
        "meaning": "peak",
        "source": "",
    }
    assert answer["rules"] == {"loudness": "loudness_lufs from -30"}


def test_the_api_describes_itself(address):
    _, page, _ = ask(f"{address}/openapi.json")
    assert set(page["paths"]) == {"/v1/clip", "/healthz", "/v1/ops"}
    clip = page["paths"]["/v1/clip"]["post"]
    assert set(clip["responses"]) == {"200", "400", "413", "422", "500", "503", "504"}
    assert all(response["description"] and response["content"] for response in clip["responses"].values())
    assert {"application/octet-stream", "multipart/form-data"} <= set(clip["requestBody"]["content"])
    (columns,) = clip["parameters"]
    assert (columns["name"], columns["in"], columns["required"]) == ("columns", "query", False)
    properties = clip["responses"]["200"]["content"]["application/json"]["schema"]["properties"]
    assert properties["loudness_lufs"]["type"] == ["number", "null"]
    assert "peak_by_model" in properties
    assert set(page["paths"]["/healthz"]["get"]["responses"]) == {"200", "503"}
    with urllib.request.urlopen(f"{address}/docs", timeout=10) as docs:
        assert b"/openapi.json" in docs.read()


@pytest.mark.slow
def test_a_run_finds_its_models_in_the_application(address, own, words, tmp_path):
    (tmp_path / "library").mkdir()
    soundfile.write(tmp_path / "library/a.wav", noise(4, 0.5), RATE_HZ)
    placed = ["placement.level.via=serve", "placement.level.app=here", "segment.length_s=30", "segment.min_s=1"]
    more = ["source=folder", f"source.path={tmp_path / 'library'}", f"output.path={tmp_path / 'run'}"]
    run(job([*words, *placed, *more], [own]))
    (row,) = [row for row in read_ledger(tmp_path / "run").to_pylist() if row["clip_id"]]
    assert row["peak_by_model"] == pytest.approx(0.5, rel=0.01)
    assert healthy(address)  # and leaves it running


def test_a_name_that_is_taken_is_refused(address, own, words):
    with (
        pytest.raises(ConfigError, match=r"serve\.name=here: an application of that name runs there already"),
        served(job(words, [own], to_run=False), Api(port=0, name="here")),
    ):
        pass


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (["serve.prot=1"], "serve.prot=1: unknown key; did you mean port?"),
        (["serve.port=http"], "serve.port=http: expected a whole number"),
        (["serve.port=70000"], "serve.port=70000: expected 1 to 65535"),
        (["serve.max_s=0"], "serve.max_s=0"),
        (["serve.waiting_mb=1"], "serve.waiting_mb=1: expected at least max_upload_mb, 100"),
        (["serve.port=1", "serve.port=2"], "serve.port=2: expected serve.port=value, once"),
        (["serve.port"], "serve.port: expected serve.port=value"),
    ],
)
def test_a_mistake_in_its_words_is_one_line(said, message):
    with pytest.raises(ConfigError) as error:
        api_of(said)
    assert str(error.value).startswith(message)


def test_words_that_are_not_its_own_are_left():
    assert api_of(["recipe=debug", "serve.port=9", "asr=none"])[1] == ["recipe=debug", "asr=none"]


def test_another_world_than_the_workers_is_refused(own, words):
    made = job([*words, "placement.loudness.env.X=1"], [own], to_run=False)
    with (
        pytest.raises(ConfigError, match=r"placement\.loudness: audiocur serve runs it beside decode"),
        served(made, Api()),
    ):
        pass


def test_what_has_no_weights_does_not_start(own, words):
    made = job([*words, "level.weights=/no/such/file"], [own], to_run=False)
    with pytest.raises(ConfigError, match="level is not on this machine; expected a file"), served(made, Api(port=0)):
        pass


def test_only_ray_serves(own, words):
    made = job([*[word for word in words if not word.startswith("engine")], "engine=local"], [own], to_run=False)
    with pytest.raises(ConfigError, match="expected engine=ray"), served(made, Api()):
        pass
