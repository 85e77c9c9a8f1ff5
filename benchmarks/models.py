"""Models: batches beside one clip at a time, and how much of a model's time the rest of a run adds.

usage: python benchmarks/models.py [--shape tiny|base|small|large-v3] [--clips N] [--batches B ...] [--only PART]

Weights are random, shapes are real: what is measured is speed. Where there is a GPU, models are put on it and the
table says how busy it was; otherwise all runs on the CPU, on two threads, and says so.

`whisper` holds batches of `asr=whisper` against `whisper.transcribe`, clip by clip at temperature 0 with its fallbacks
off. Random weights end a text where chance has it, so both are compared by the token that they decode as well.
`clap` shows clips a second by the batch. `pipeline` runs a small job three times, by halves and whole: measuring and
encoding alone, the model alone on the clips that came out, and both in one pipeline, where they overlap.
"""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import soundfile
import torch
from processes import run
from rich.console import Console
from rich.table import Table

from audiocur.audio import Audio
from audiocur.config import job
from audiocur.encoding import Format, encode
from audiocur.models import LocalModel
from audiocur.op import Device, ModelOp
from audiocur.records import Clip, Stored

RATE_HZ, CLIP_S = 44_100, 28.0
#: mels, audio and text: width, heads, layers; OpenAI's own.
SHAPES = {
    "tiny": (80, 384, 6, 4),
    "base": (80, 512, 8, 6),
    "small": (80, 768, 12, 12),
    "large-v3": (128, 1280, 20, 32),
}
PARTS = ("whisper", "clap", "pipeline")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=SHAPES, default="tiny")
    parser.add_argument("--clips", type=int, default=16)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--only", choices=PARTS, action="append")
    options = parser.parse_args()
    gpu = torch.cuda.is_available()
    device = Device("cuda" if gpu else "cpu", 2)
    torch.set_num_threads(device.threads)
    console = Console(width=120)
    console.print(f"on {torch.cuda.get_device_name() if gpu else 'the CPU, two threads: no GPU here'}")
    with tempfile.TemporaryDirectory() as scratch:
        for part in options.only or PARTS:
            if part == "pipeline":
                pipeline(console, options, Path(scratch))
            else:
                {"whisper": whisper, "clap": clap}[part](console, options, device, Path(scratch))


def whisper(console: Console, options: argparse.Namespace, device: Device, scratch: Path) -> None:
    import whisper as reference

    path = whisper_checkpoint(options.shape, scratch)
    op = built("asr=whisper", f"asr.model={path}", "asr.language=en", name="asr")
    model = LocalModel(op, op.load(device))
    network = reference.load_model(str(path), device=device.kind)
    clips = songs(options.clips)
    table = Table(title=f"Whisper {options.shape}, {len(clips)} clips of {CLIP_S:g} s", title_justify="left")
    for heading in ("", "s a clip", "tokens a clip", "ms a token", "ratio, by clip", "by token", "GPU busy"):
        table.add_column(heading, justify="left" if not heading else "right")
    quiet: dict[str, Any] = {"temperature": 0.0, "compression_ratio_threshold": None, "logprob_threshold": None}
    quiet |= {"no_speech_threshold": None, "condition_on_previous_text": False, "language": "en", "verbose": None}
    base = None
    for batch in (None, *options.batches):
        for clip in clips:
            clip.release()
        with tokens_of(network if batch is None else network_of(model.loaded)) as tokens, busy(device) as share:
            began = time.monotonic()
            if batch is None:
                for clip in clips:
                    network.transcribe(clip.audio.mono_16k, fp16=device.kind == "cuda", **quiet)
            else:
                for at in range(0, len(clips), batch):
                    for clip in clips[at : at + batch]:
                        model.prepare(clip)
                    model.measure(clips[at : at + batch])
            took = (time.monotonic() - began) / len(clips)
        each = tokens[0] / len(clips)
        base = base or (took, took / each)
        ratios = (f"{base[0] / took:.2f}", f"{base[1] / (took / each):.2f}")
        name = "whisper.transcribe, one by one" if batch is None else f"audiocur, batches of {batch}"
        table.add_row(name, f"{took:.2f}", f"{each:.0f}", f"{1000 * took / each:.2f}", *ratios, share())
    console.print(table)


def clap(console: Console, options: argparse.Namespace, device: Device, scratch: Path) -> None:
    op = built("tag=clap", f"tag.model={clap_checkpoint(scratch / 'clap')}", name="tag")
    model = LocalModel(op, op.load(device))
    clips = songs(options.clips)
    table = Table(title=f"CLAP, the music checkpoint's shape, {len(clips)} clips of {CLIP_S:g} s", title_justify="left")
    for heading in ("batches of", "clips a second", "ratio", "GPU busy"):
        table.add_column(heading, justify="right")
    first = None
    for batch in options.batches:
        for clip in clips:
            clip.release()
        with busy(device) as share:
            began = time.monotonic()
            for at in range(0, len(clips), batch):
                for clip in clips[at : at + batch]:
                    model.prepare(clip)
                model.measure(clips[at : at + batch])
            rate = len(clips) / (time.monotonic() - began)
        first = first or rate
        table.add_row(str(batch), f"{rate:.2f}", f"{rate / first:.2f}", share())
    console.print(table)


def pipeline(console: Console, options: argparse.Namespace, scratch: Path) -> None:
    folder, cut = scratch / "songs", scratch / "cut"
    folder.mkdir()
    cut.mkdir()
    for number, clip in enumerate(songs(8 * options.clips)):
        soundfile.write(folder / f"{number:03}.flac", clip.audio.samples.T, RATE_HZ)
    path = whisper_checkpoint(options.shape, scratch)
    audiocur = [sys.executable, "-m", "audiocur", "recipe=music_gen", "keep.music=", "keep.bandwidth="]
    gpus = int(torch.cuda.is_available())
    asr = ["asr=whisper", f"asr.model={path}", "asr.language=en", "asr.when="]
    where = ["placement.asr.via=actor", f"placement.asr.gpus={gpus}", "engine.cpus=1"]
    measures = job(["recipe=music_gen", "source.path=x"], to_run=False).pipeline.steps
    half = ",".join(step.name for step in measures if step.name not in ("asr", "tag", "caption"))
    whole = ["pipeline=[decode,vad,segment,encode,asr]", "segment=whole"]
    commands = {
        "measures, one worker": [f"source.path={folder}", f"pipeline=[{half}]", "engine.cpus=1"],
        "model, one actor": [f"source.path={cut}", *whole, *asr, *where],
        "both": [f"source.path={folder}", f"pipeline=[{half},asr]", *asr, *where],
    }  # fmt: skip
    table = Table(title="A run and its halves", title_justify="left")
    for heading in ("", "wall, s", "over the slower half"):
        table.add_column(heading, justify="left" if not heading else "right")
    took: dict[str, float] = {}
    for number, (name, words) in enumerate(commands.items()):
        output = scratch / f"run{number}"
        took[name] = run([[*audiocur, *words, f"output.path={output}"]]).wall_s
        if not number:
            for shard in output.glob("clips/*/*.parquet"):
                for row in pq.ParquetFile(shard).read(["clip_id", "audio"]).to_pylist():
                    (cut / f"{row['clip_id']}.flac").write_bytes(row["audio"]["bytes"])
        slower = max(list(took.values())[:2])
        table.add_row(name, f"{took[name]:.1f}", f"{took[name] / slower:.2f}" if number == 2 else "")
    console.print(table)


def built(*words: str, name: str) -> ModelOp:
    made = job(["recipe=music_gen", *words], to_run=False)
    (op,) = [step.op for step in made.pipeline.steps if step.name == name]
    assert isinstance(op, ModelOp)
    return op


def songs(count: int) -> list[Clip]:
    """Clips that hold something: chords with beats, each in another key."""
    clips = []
    t = np.arange(round(CLIP_S * RATE_HZ)) / RATE_HZ
    for number in range(count):
        rng = np.random.default_rng(number)
        root = 110 * 2 ** (number % 12 / 12)
        chord = sum(np.sin(2 * np.pi * root * k * t) / k for k in (1, 1.25, 1.5, 2, 3))
        samples = 0.1 * chord * (1 + np.sin(2 * np.pi * 2 * t)) + 0.02 * rng.standard_normal((2, len(t)))
        audio = Audio(samples.astype(np.float32), RATE_HZ)
        clip = Clip(clip_id=f"{number:024x}", start_sample=0, end_sample=audio.num_samples, rate_hz=RATE_HZ)
        clip.measures |= {"voiced": [{"start_s": 0.0, "end_s": CLIP_S}], "voiced_ratio": 1.0}
        clip.store(Stored(encode(audio, Format.FLAC), "flac", RATE_HZ, 2, audio.num_samples))
        clips.append(clip)
    return clips


def whisper_checkpoint(shape: str, folder: Path) -> Path:
    """In OpenAI's format, with random weights."""
    from whisper.model import ModelDimensions, Whisper

    mels, width, heads, layers = SHAPES[shape]
    vocabulary = 51_866 if shape == "large-v3" else 51_865
    dims = ModelDimensions(mels, 1500, width, heads, layers, vocabulary, 448, width, heads, layers)
    path = folder / f"whisper-{shape}.pt"
    if not path.exists():
        torch.manual_seed(0)
        network = Whisper(dims)
        torch.nn.init.normal_(network.decoder.positional_embedding, std=0.01)  # which it leaves as memory was
        torch.save({"dims": vars(dims), "model_state_dict": network.state_dict()}, path)
    return path


def clap_checkpoint(folder: Path) -> Path:
    """In transformers' format, with random weights and a vocabulary of bytes."""
    import json

    from transformers import ClapConfig, ClapFeatureExtractor, ClapModel

    torch.manual_seed(0)
    # Of larger_clap_music: HTSAT base.
    config = ClapConfig(audio_config={"depths": [2, 2, 12, 2], "patch_embeds_hidden_size": 128, "hidden_size": 1024})
    ClapModel(config).save_pretrained(folder)
    ClapFeatureExtractor(truncation="rand_trunc", padding="repeatpad").save_pretrained(folder)
    symbols = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", *map(chr, [*range(33, 127), 288])]
    (folder / "vocab.json").write_text(json.dumps({symbol: place for place, symbol in enumerate(symbols)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "RobertaTokenizer"}))
    return folder


def network_of(loaded: Any) -> torch.nn.Module:
    """The network within whatever an op loads."""
    if isinstance(loaded, torch.nn.Module):
        return loaded
    return next(value for value in vars(loaded).values() if isinstance(value, torch.nn.Module))


@contextlib.contextmanager
def tokens_of(network: Any) -> Iterator[list[int]]:
    """Counts the tokens that a Whisper decodes, prompts included."""
    counted = [0]

    def count(module: Any, given: Any, result: Any) -> None:
        counted[0] += given[0].numel()

    hook = network.decoder.register_forward_hook(count)
    try:
        yield counted
    finally:
        hook.remove()


@contextlib.contextmanager
def busy(device: Device) -> Iterator[Any]:
    """How much of the time the GPU was at work, as its driver tells it five times a second; "" without one."""
    if device.kind != "cuda":
        yield lambda: ""
        return
    command = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "-lms", "200"]
    seen: list[str] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watcher:
        try:
            yield lambda: f"{np.mean([float(line) for line in seen]):.0f} %" if seen else "?"
        finally:
            watcher.terminate()
            seen += watcher.communicate()[0].split()


if __name__ == "__main__":
    main()
