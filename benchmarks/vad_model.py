"""Writes audiocur's copy of Silero's voice detector from the one in the silero-vad package, and times the two.

usage: python benchmarks/vad_model.py SILERO.onnx OUT.onnx      needs `pip install onnx`

Silero's sequence model spends half its time on a Fourier transform written as a convolution, and much of the rest on
convolutions over one to four positions, for which a matrix product of thousands of rows is several times as quick. The
weights stay as they are: the model written here begins at the magnitudes of the spectrum, its convolutions are products
of matrices, and taps that only ever meet padding are left out. The probabilities agree to about 1e-6.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from audiocur.ops.measure import vad

BINS, HIDDEN = 129, 128


class Graph:
    """Nodes and weights as they are added."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.weights: list[Any] = []

    def weight(self, name: str, values: np.ndarray) -> str:
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def add(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def layer(self, name: str, rows: str, matrix: np.ndarray, bias: np.ndarray) -> str:
        """ReLU of rows @ matrix + bias."""
        product = self.add("MatMul", [rows, self.weight(f"{name}.weight", matrix)], f"{name}.product")
        added = self.add("Add", [product, self.weight(f"{name}.bias", bias)], f"{name}.sum")
        return self.add("Relu", [added], f"{name}.out")

    def reshape(self, rows: str, shape: list[int], name: str) -> str:
        return self.add("Reshape", [rows, self.weight(f"{name}.shape", np.array(shape, np.int64))], name)


def rewritten(silero: onnx.ModelProto) -> onnx.ModelProto:
    found = {each.name: numpy_helper.to_array(each) for each in silero.graph.initializer}
    graph = Graph()
    # A kernel (out, in, 3) as a matrix: rows by tap, then by channel, as three positions side by side are laid out.
    kernels = [found[f"encoder.{i}.weight"].transpose(2, 1, 0) for i in range(4)]
    biases = [found[f"encoder.{i}.bias"] for i in range(4)]
    # Four positions, padded by one at either end, which the caller has laid side by side.
    x = graph.layer("first", "spectra", kernels[0].reshape(3 * BINS, -1), biases[0])  # (4 n, 128)
    # Every other position of four: one hears padding, 0 and 1, the other 1, 2 and 3.
    x = graph.reshape(x, [-1, 4 * 128], "four")
    left = np.zeros((4 * 128, 64), np.float32)
    left[: 2 * 128] = kernels[1][1:].reshape(2 * 128, 64)
    right = np.zeros((4 * 128, 64), np.float32)
    right[128:] = kernels[1].reshape(3 * 128, 64)
    x = graph.layer("second", x, np.hstack([left, right]), np.tile(biases[1], 2))  # (n, 2 * 64)
    # One position of two, which hears padding, 0 and 1; then one of one.
    x = graph.layer("third", x, kernels[2][1:].reshape(2 * 64, -1), biases[2])
    x = graph.layer("fourth", x, kernels[3][1], biases[3])
    x = graph.reshape(x, [-1, 1, HIDDEN], "steps")
    lstm = next(node for node in silero.graph.node if node.op_type == "LSTM")
    weights = [graph.weight(name, found[name]) for name in lstm.input[1:4]]
    graph.nodes.append(
        helper.make_node("LSTM", [x, *weights, "", "h", "c"], ["hidden", "hn", "cn"], hidden_size=HIDDEN)
    )
    x = graph.add("Relu", [graph.reshape("hidden", [-1, HIDDEN], "rows")], "heard")
    x = graph.add("MatMul", [x, graph.weight("output.weight", found["output.weight"].reshape(HIDDEN, 1))], "score")
    x = graph.add(
        "Sigmoid", [graph.add("Add", [x, graph.weight("output.bias", found["output.bias"])], "logit")], "voice"
    )
    graph.reshape(x, [-1], "speech_probs")
    state = [1, 1, HIDDEN]
    made = helper.make_graph(
        graph.nodes,
        "silero_vad_16k_spectra",
        [tensor("spectra", ["four frames", 3 * BINS]), tensor("h", state), tensor("c", state)],
        [tensor("speech_probs", ["frames"]), tensor("hn", state), tensor("cn", state)],
        graph.weights,
    )
    model = helper.make_model(made, opset_imports=silero.opset_import, ir_version=silero.ir_version)
    onnx.checker.check_model(model)
    return model


def tensor(name: str, shape: list[Any]) -> Any:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def main(silero_path: str, out: str) -> None:
    onnx.save(rewritten(onnx.load(silero_path)), out)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    silero = onnxruntime.InferenceSession(silero_path, options, providers=["CPUExecutionProvider"])
    sound = np.random.default_rng(0).normal(0, 0.1, 600 * 16_000).astype(np.float32)
    sound *= np.abs(np.sin(np.arange(len(sound)) / 3000)).astype(np.float32)
    began = time.process_time()
    theirs = silero_probabilities(silero, sound)
    middle = time.process_time()
    ours = vad.voice_probabilities(sound)
    end = time.process_time()
    print(f"silero's {6 * (middle - began):.2f}, this one {6 * (end - middle):.2f} CPU-seconds an hour")
    print(f"largest difference of a probability: {np.abs(theirs - ours).max():.1e}")


def silero_probabilities(session: Any, mono_16k: np.ndarray) -> np.ndarray:
    padded = np.pad(mono_16k, (vad.CONTEXT, -len(mono_16k) % vad.FRAME))
    frames = np.lib.stride_tricks.sliding_window_view(padded, vad.CONTEXT + vad.FRAME)[:: vad.FRAME]
    h = c = np.zeros((1, 1, HIDDEN), np.float32)
    found = []
    for i in range(0, len(frames), vad.BLOCK):
        block = np.ascontiguousarray(frames[i : i + vad.BLOCK])
        values, h, c = session.run(["speech_probs", "hn", "cn"], {"input": block, "h": h, "c": c})
        found.append(values)
    return np.concatenate(found)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
