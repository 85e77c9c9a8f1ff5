"""What a cluster exports of a run equals its ledger. This file is also the script that runs beside each test."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile

from audiocur.engine.local import LocalEngine
from audiocur.engine.ray import RayEngine
from audiocur.job import Job
from audiocur.op import ClipOp
from audiocur.ops.measure.loudness import Loudness
from audiocur.ops.segment.window import Window
from audiocur.ops.transform.decode import Decode
from audiocur.ops.transform.encode import Encode
from audiocur.rules import KeepRule
from audiocur.run import run
from audiocur.status import Status
from audiocur.storage import open_store
from audiocur.store.ledger import Ledger

ENVIRONMENT = {
    "RAY_AUTH_MODE": "disabled",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_metrics_report_interval_ms": "500",
}


@dataclass(frozen=True, kw_only=True)
class Breaks(ClipOp):
    """A bug, on the short clips."""

    name = "breaks"

    def measure(self, clip):
        return {} if clip.duration_s > 2 else {}["missing"]


def cluster(address_file: str, port: str) -> None:
    """A node that exports metrics, until it is killed."""
    import ray

    with tempfile.TemporaryDirectory(prefix="audiocur-metrics-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        ray.init(
            address="local",
            num_cpus=4,
            object_store_memory=100 << 20,
            include_dashboard=False,
            log_to_driver=False,
            _metrics_export_port=int(port),
            _temp_dir=folder,
        )
        Path(address_file).write_text(ray.get_runtime_context().gcs_address)
        sys.stdin.read()
        ray.shutdown()


def drive(library: str, output: str, address: str) -> None:
    """One run on that cluster."""
    pipeline = Decode() >> Window(length_s=4, min_s=1) >> Loudness() >> Breaks() >> Encode()
    rules = {"loud": KeepRule(column="loudness_lufs", min=-30)}
    run(Job.of(pipeline, library, output, keep=rules, engine=RayEngine(address=address, cpus=2)))


@contextlib.contextmanager
def script(*arguments):
    """This file in a process of its own, ended by the end of its input."""
    environment = os.environ | ENVIRONMENT | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, __file__, *map(str, arguments)]
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.stdin.close()
            process.wait(60)


def scraped(port: int) -> dict[tuple[str, str], float]:
    """What is exported under our names, by name and the first of our labels that has a value."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            lines = answer.read().decode().splitlines()
    except (urllib.error.URLError, ConnectionError):  # not yet
        return {}
    found = {}
    for line in lines:
        if match := re.fullmatch(r"ray_audiocur_(\w+)\{(.*)\} (\S+)", line):
            labels = dict(re.findall(r'(\w+)="([^"]*)"', match[2]))
            which = " ".join(labels[key] for key in ("verdict", "rule", "op") if labels.get(key))
            found[match[1], which] = float(match[3])
    return found


@pytest.mark.slow
def test_what_a_cluster_exports_is_what_the_ledger_says(tmp_path):
    library, output, address = tmp_path / "library", tmp_path / "run", tmp_path / "address"
    library.mkdir()
    for name, seconds, level in (("short", 1.5, 0.1), ("quiet", 4, 0.001), ("loud", 10, 0.1)):
        noise = np.random.default_rng(0).normal(0, level, int(seconds * 8000))
        soundfile.write(library / f"{name}.wav", noise, 8000)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with script("cluster", address, port) as process:
        while not address.exists() or not address.read_text():
            assert process.poll() is None
            time.sleep(0.1)
        with script("drive", library, output, address.read_text()) as driver:
            assert driver.wait(120) == 0
        ledger, status = Ledger.read(output), Status.read(open_store(output))
        rows = ledger.table().to_pylist()
        clips = Counter(f"{row['verdict']} {row['rule'] or ''}".strip() for row in rows if row["clip_id"] is not None)
        expected = {("clips_total", fate): number for fate, number in clips.items()}
        expected["spans_total", ""] = len(list(ledger.spans()))
        expected["audio_seconds_total", ""] = sum(span.duration_s for span in ledger.spans())
        expected["unexpected_errors_total", "breaks"] = clips["failed"]
        expected |= {("op_seconds_total", op): spent.busy_s for op, spent in status.now.ops.items()}
        assert clips.keys() == {"kept", "rejected loud", "failed"}
        deadline = time.monotonic() + 30
        while (found := scraped(port)) != pytest.approx(expected) and time.monotonic() < deadline:
            time.sleep(0.5)
    assert found == pytest.approx(expected)


def test_elsewhere_nobody_counts():
    assert LocalEngine().metered()(None) is None


if __name__ == "__main__":
    {"cluster": cluster, "drive": drive}[sys.argv[1]](*sys.argv[2:])
