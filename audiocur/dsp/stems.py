"""A long mix through a network that takes short ones apart: chunks that overlap, cross-faded; and what the stems weigh.

After Défossez, "Hybrid Spectrogram and Waveform Source Separation" (2021), whose code works so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]

#: Chunks of shape (chunks, 2, samples) to stems of shape (chunks, stems, 2, samples).
Separate = Callable[[Samples], Samples]

SILENT = 1e-6  # standard deviation of samples, -120 dBFS: nothing there to take apart


def chunk_starts(num_samples: int, chunk: int, overlap: int) -> list[int]:
    """Where chunks begin that cover so many samples: the last ends with them, so that it hears audio, not padding.

    >>> chunk_starts(25, 10, 2), chunk_starts(10, 10, 2), chunk_starts(3, 10, 2)
    ([0, 8, 15], [0], [0])
    """
    if num_samples <= chunk:
        return [0]
    count = math.ceil((num_samples - overlap) / (chunk - overlap))
    return [min(i * (chunk - overlap), num_samples - chunk) for i in range(count)]


def separated(
    mixes: Sequence[Samples], separate: Separate, *, stems: int, chunk: int, overlap: int, batch: int
) -> Iterator[Samples]:
    """The stems of each mix, shape (stems, 2, samples), one mix after the other.

    Chunks of all mixes fill the batches. They are cross-faded with linear ramps whose sum is 1, after torchaudio's
    tutorial on Hybrid Demucs and Demucs's own `apply_model`. As both do, each mix is brought to zero mean and unit
    deviation, so that the network hears a quiet one as it hears a loud one; the mean, which is no stem's, is left out.

    Args:
        mixes: shape (2, samples) each; one in silence has silent stems and costs nothing.
        separate: the network.
        stems: how many it gives.
        chunk: samples the network hears at a time. A shorter mix is padded with zeros to a chunk, always, so that no
            result depends on what else lies in its batch.
        overlap: samples over which two chunks are cross-faded.
        batch: chunks a call.
    """
    levels = [float(mix.std(dtype=np.float64)) if mix.size else 0.0 for mix in mixes]
    starts = [
        chunk_starts(mix.shape[1], chunk, overlap) if level > SILENT else []
        for mix, level in zip(mixes, levels, strict=True)
    ]
    means = [mix.mean(dtype=np.float64) if mix.size else 0.0 for mix in mixes]

    def chunks() -> Iterator[Samples]:
        for mix, level, mean, of_mix in zip(mixes, levels, means, starts, strict=True):
            for at in of_mix:
                heard = np.zeros((2, chunk), np.float32)
                part = mix[:, at : at + chunk]
                heard[:, : part.shape[1]] = (part - np.float32(mean)) / np.float32(level)
                yield heard

    def outputs() -> Iterator[Samples]:
        waiting = chunks()
        while together := list(islice(waiting, batch)):
            yield from separate(np.stack(together))

    ramp = np.minimum(np.arange(1, chunk + 1), np.arange(chunk, 0, -1))
    fade = (np.minimum(ramp, overlap) / overlap).astype(np.float32)
    done = outputs()
    for mix, level, of_mix in zip(mixes, levels, starts, strict=True):
        num_samples = mix.shape[1]
        summed = np.zeros((stems, 2, max(num_samples, chunk)), np.float32)
        weight = np.zeros(max(num_samples, chunk), np.float32)
        for at in of_mix:
            summed[..., at : at + chunk] += next(done) * fade
            weight[at : at + chunk] += fade
        if of_mix:
            summed *= np.float32(level) / weight
        yield summed[..., :num_samples]


def energy_ratios(stems: Samples) -> list[float | None]:
    """The energy of each stem over that of all together; None for each where there is none.

    >>> energy_ratios(np.array([[[3.0]], [[4.0]]], np.float32)), energy_ratios(np.zeros((2, 1, 1), np.float32))
    ([0.36, 0.64], [None, None])
    """
    energies = np.square(stems, dtype=np.float64).sum(axis=(1, 2)).tolist()
    total = sum(energies)
    return [energy / total if total else None for energy in energies]
