"""Damaged network files: seeded changes of good ones, in their bytes, their texts and their parts.

`PYTHONPATH=. python tests/mutants.py COUNT SEED [KIND...]` loads so many of each kind and prints what took
longest and needed most memory.
"""

from __future__ import annotations

import json
import re
import resource
import signal
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.random import default_rng
from onnx import AttributeProto, ModelProto, numpy_helper
from onnx_models import chain, node

from compile import load, save
from compile.frontends.onnx_graph import READ
from gpac.errors import GpacError

KINDS = ("onnx", "json", "yaml", "safetensors")
SIZES = [0, 1, -1, 2, 3, 5, 255, 1000, 2**16, 2**20, 2**24, 2**24 + 1, 2**31 - 1, -(2**31), 2**40, 2**62, -(2**63)]
TOKENS = [
    b"0",
    b"-1",
    b"1e999",
    b"-1e-400",
    b"NaN",
    b"2147483648",
    b"9" * 400,
    b"1/0",
    b'"sqrt(2)"',
    b"[]",
    b"{}",
    b"null",
]
TOKENS += [
    b"true",
    b"&a",
    b"*a",
    b"!!python/object:os.system",
    b"[" * 60,
    b'"9**9**9"',
    b"0.5",
    b"1.5e308",
    b"<<",
    b": ",
    b"- ",
]


def _f(*shape):
    return default_rng(1).normal(size=shape).astype(np.float32)


def onnx_seeds():
    """Small models of most of the operators."""
    recurrent = [node("LSTM", "x", "w", "r", "b", hidden_size=2), node("Squeeze", "lstm", "a")]
    gates = {"w": _f(1, 8, 3), "r": _f(1, 8, 2), "b": _f(1, 16), "a": np.array([1])}
    mlp = [
        node("Constant", name="s", value_ints=[1, -1]),
        node("Reshape", "x", "s"),
        node("Gemm", "reshape", "w", "b", transB=1),
    ]
    mlp += [node("Tanh", "gemm"), node("Mul", "tanh", "m"), node("Div", "mul", "m"), node("Softmax", "div", axis=1)]
    conv = [node("Conv", "x", "k", pads=[1, 1, 1, 1]), node("AveragePool", "conv", kernel_shape=[2, 2], strides=[2, 2])]
    conv += [node("Resize", "averagepool", "e", "z", mode="linear"), node("Pad", "resize", "p"), node("Flatten", "pad")]
    conv += [node("ConvTranspose", "averagepool", "t", strides=[2, 2]), node("GlobalAveragePool", "convtranspose")]
    conv += [node("Flatten", "globalaveragepool", name="g"), node("Concat", "flatten", "g", axis=1)]
    kernels = {"k": _f(2, 1, 3, 3), "t": _f(2, 1, 2, 2), "e": np.zeros(0, np.float32), "z": np.float32([1, 1, 2, 2])}
    kernels["p"] = np.array([0, 0, 1, 1, 0, 0, 0, 1])
    shapes = [
        node("Shape", "x"),
        node("ConstantOfShape", "shape"),
        node("Cast", "constantofshape", to=1),
        node("Expand", "v", "shape"),
    ]
    shapes += [
        node("Tile", "x", "c"),
        node("Range", "a", "n", "i"),
        node("Gather", "tile", "range", axis=1),
        node("CumSum", "gather", "i"),
    ]
    shapes += [
        node("Add", "expand", "q"),
        node("Sqrt", "add"),
        node("Mul", "cumsum", "sqrt"),
        node("Slice", "mul", "a", "n", "i", "i"),
    ]
    numbers = {
        "v": np.float32([[2.0]]),
        "c": np.array([1, 2]),
        "a": np.array(0),
        "n": np.array(4),
        "i": np.array(1),
        "q": np.float32(1),
    }
    attend = [node("Transpose", "x", perm=[1, 0]), node("MatMul", "x", "transpose"), node("Add", "matmul", "m")]
    attend += [
        node("Softmax", "add", axis=-1),
        node("MatMul", "softmax", "x", name="y"),
        node("Einsum", "y", "x", equation="ij,kj->ik"),
    ]
    attend += [
        node("ReduceMean", "einsum", axes=[1]),
        node("Split", "reducemean", axis=0, name="h"),
        node("LayerNormalization", "x", "l", name="o"),
    ]
    attend += [node("Sub", "o", "h")]
    mask = {"m": np.where(np.tril(np.ones((3, 3))), 0, -np.inf).astype(np.float32), "l": _f(4)}
    return [
        chain(mlp, {"w": _f(5, 4), "b": _f(5), "m": _f(5)}, ("N", 2, 2), kind=1),
        chain(conv, kernels, (1, 1, 4, 4), kind=1),
        chain(recurrent, gates, (3, 1, 3), kind=1),
        chain(attend, mask, (3, 4), kind=1),
        chain(shapes, numbers, (1, 4), kind=1),
    ]


def json_seeds(folder):
    """What `save` writes, and what a person might."""
    for k, model in enumerate(onnx_seeds()[:4]):
        (folder / "seed.onnx").write_bytes(model.SerializeToString())
        save(load(folder / "seed.onnx"), folder / f"seed{k}.json")
        yield (folder / f"seed{k}.json").read_bytes()
    yield json.dumps({"format": "gpac network", "version": 1, "name": "x", **ARCHITECTURE_BY_HAND}).encode()


ARCHITECTURE_BY_HAND = {
    "input": [2, 4, 4],
    "layers": [
        {
            "layer": "conv",
            "weight": _f(3, 2, 2, 2).tolist(),
            "bias": ["1/3", "sqrt(2)/2", 0.5],
            "padding": 1,
            "stride": 2,
        },
        {"layer": "batch_norm", "mean": [0, 1, 2], "variance": [1, 2, 3]},
        {"layer": "gelu"},
        {"layer": "average_pool", "kernel": 2, "stride": 1},
        {"layer": "reshape", "shape": [3, -1]},
        {"layer": "lstm", "cells": [[[_f(8, 4).tolist(), _f(8, 2).tolist()]]]},
        {"layer": "layer_norm"},
        {"layer": "multiply", "of": [7, 6], "einsum": "ij,kj->ik"},
        {"layer": "softmax", "axis": 0},
        {"layer": "concatenate", "of": [9, 8], "axis": 1},
        {"layer": "flatten"},
        {"layer": "scale", "factor": "1/7"},
    ],
}
VERISIG = (
    b"activations: {1: Tanh, 2: Sigmoid, 3: Linear}\noffsets: {1: [0.5, -1.0], 2: [0.25, 1], 3: [1e-3]}\nweights:\n"
)
VERISIG += b"  1: [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]\n  2:\n  - [-1.0, 1.0]\n  - [2.0, -1.0]\n  3: [[0.5, .25]]\n"
ARCHITECTURE = {"input": [3], "layers": [{"layer": "dense", "weight": "w", "bias": "b"}, {"layer": "tanh"}]}


def tensors_seed():
    """A safetensors file for `ARCHITECTURE`."""
    header = {"__metadata__": {"format": "pt"}, "w": {"dtype": "F32", "shape": [4, 3], "data_offsets": [0, 48]}}
    text = json.dumps(header | {"b": {"dtype": "BF16", "shape": [4], "data_offsets": [48, 56]}}).encode()
    return len(text).to_bytes(8, "little") + text + _f(4, 3).tobytes() + bytes([0, 63] * 4)


def mutants(kind, count, seed, folder):
    """Files of a kind ("onnx", "json", "yaml" or "safetensors"), each changed in one to four places."""
    draw = default_rng(seed)
    models = onnx_seeds() if kind == "onnx" else []
    seeds = {"onnx": lambda: [m.SerializeToString() for m in models], "json": lambda: list(json_seeds(folder))}
    seeds |= {"yaml": lambda: [VERISIG], "safetensors": lambda: [tensors_seed()]}
    files = seeds[kind]()
    for _ in range(count):
        data = bytearray(files[draw.integers(len(files))])
        if kind == "onnx" and draw.integers(3):
            model = ModelProto()
            model.CopyFrom(models[draw.integers(len(models))])
            for _ in range(draw.integers(1, 4)):
                change_part(model, draw)
            yield model.SerializeToString()
            continue
        for _ in range(draw.integers(1, 5)):
            if kind != "onnx" and draw.integers(2):
                change_token(data, draw)
            else:
                _change_bytes(data, draw, files)
        yield bytes(data) or b"x"


def _change_bytes(data, draw, files):
    at, length, way = draw.integers(len(data) + 1), draw.integers(1, 16), draw.integers(6)
    if way == 0 and at < len(data):
        data[at] = draw.integers(256)
    elif way == 1 and at < len(data):
        data[at] ^= 1 << draw.integers(8)
    elif way == 2:
        del data[at : at + length]
    elif way == 3:
        data[at:at] = data[at : at + length] * draw.integers(1, 5)
    elif way == 4:
        other = files[draw.integers(len(files))]
        begin = draw.integers(len(other))
        data[at : at + length] = other[begin : begin + 4 * length]
    elif not draw.integers(4):
        del data[at:]


def change_token(data, draw):
    found = list(re.finditer(rb'-?[0-9.]+|"[^"]*"|[A-Za-z_]+|[\[\]{},:]', bytes(data)))
    if not found:
        return
    token = found[draw.integers(len(found))]
    if draw.integers(4) == 0:
        other = found[draw.integers(len(found))]
        data[token.start() : token.end()] = other[0]
    elif draw.integers(3) == 0:
        data[token.start() : token.end()] = str(SIZES[draw.integers(len(SIZES))]).encode()
    else:
        data[token.start() : token.end()] = TOKENS[draw.integers(len(TOKENS))]


def change_part(model, draw):
    """A size, a name, an operator or an attribute of a model."""
    graph, pick = model.graph, lambda items: items[draw.integers(len(items))]
    way, size = draw.integers(8), int(pick(SIZES))
    if way == 0:
        pick(graph.node).op_type = pick(list(READ))
    elif way == 1 and (inputs := pick(graph.node).input):
        names = [name for n in graph.node for name in (*n.input, *n.output)] + [t.name for t in graph.initializer]
        inputs[draw.integers(len(inputs))] = pick(names)
    elif way == 2 and (attributes := pick(graph.node).attribute):
        attribute = pick(attributes)
        if attribute.type == AttributeProto.INT:
            attribute.i = size
        elif attribute.ints:
            attribute.ints[draw.integers(len(attribute.ints))] = size
    elif way == 3 and graph.initializer:
        tensor = pick(graph.initializer)
        try:
            array = numpy_helper.to_array(tensor).copy()
        except (ValueError, TypeError):  # changed before
            return
        if array.size:
            number = min(size, 2**31 - 1) if array.dtype.kind == "f" else size
            try:
                array.flat[draw.integers(array.size)] = number
            except (ValueError, OverflowError):  # a type of few bits
                return
            tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    elif way == 4 and graph.initializer and (dims := pick(graph.initializer).dims):
        dims[draw.integers(len(dims))] = size
    elif way == 5 and (dims := graph.input[0].type.tensor_type.shape.dim):
        pick(dims).dim_value = size
    elif way == 6:
        graph.node.append(graph.node[draw.integers(len(graph.node))])
        graph.node[-1].output[0] = f"new{draw.integers(3)}"
        graph.output[0].name = graph.node[-1].output[0]
    elif way == 7 and len(graph.initializer):
        tensor = pick(graph.initializer)
        tensor.data_type = int(draw.integers(0, 25))


def load_mutant(path, data, loader=None):
    """Load a file of these bytes: seconds of the process, and bytes that it had more at its largest.

    `loader` is `compile.load` by default. Anything but the project's errors goes through.
    """
    path.write_bytes(data)
    loader = loader or (lambda file: load(file, ARCHITECTURE if file.suffix == ".safetensors" else None))
    before, begin = memory(reset=True), time.process_time()
    try:
        loader(path)
    except GpacError as error:
        assert "\n" not in str(error) and str(error).isprintable(), error
    return time.process_time() - begin, memory() - before


def memory(reset=False):
    """The most bytes of memory this process has had; with `reset` what it has now, and the most is counted anew."""
    status, clear = Path("/proc/self/status"), Path("/proc/self/clear_refs")
    if not status.exists():  # not Linux: counted from the start
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    if reset:
        clear.write_text("5")
    return int(re.search(r"VmHWM:\s+(\d+)", status.read_text())[1]) * 1024


def main(count, seed, kinds):
    """Load `count` mutants of each of these kinds; prints what is wrong with any, and the largest figures."""

    def too_long(*_):
        raise TimeoutError("more than 20 s")

    signal.signal(signal.SIGALRM, too_long)
    folder = Path(tempfile.mkdtemp())
    for kind in kinds:
        slowest, largest, begin = 0.0, 0, time.time()
        for k, data in enumerate(mutants(kind, count, seed, folder)):
            signal.alarm(20)
            try:
                seconds, more = load_mutant(folder / f"m.{kind}", data)
            except Exception as error:
                seconds, more = 0.0, 0
                print(f"{kind} {k}: {type(error).__name__}: {str(error)[:300]}", flush=True)
                (folder / f"bad{k}.{kind}").write_bytes(data)
            slowest, largest = max(slowest, seconds), max(largest, more)
            if seconds > 1 or more > 2**27:
                print(f"{kind} {k}: {seconds:.2f} s, {more >> 20} MiB", folder / f"slow{k}.{kind}", flush=True)
                (folder / f"slow{k}.{kind}").write_bytes(data)
        signal.alarm(0)
        took = time.time() - begin
        print(f"{kind}: {count} files, {slowest:.2f} s, {largest >> 20} MiB at most; all in {took:.0f} s", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:] or KINDS)
