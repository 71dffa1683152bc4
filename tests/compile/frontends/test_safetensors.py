"""safetensors: files made by hand after the format's description and by its own package, judged by NumPy and torch."""

import json

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from compile import forward, load
from compile.frontends.weights import open_tensors
from gpac.errors import GpacError, LoadError, NumberError

rng = np.random.default_rng(4)
NAMES = {"<f8": "F64", "<f4": "F32", "<f2": "F16", "|i1": "I8", "<i8": "I64", "|u1": "U8", "|b1": "BOOL"}


def written(path, tensors, **changed):
    """A file of arrays; `changed` replaces entries of the header."""
    header, data = {}, b""
    for name, array in tensors.items():
        kind, array = array if isinstance(array, tuple) else (NAMES[array.dtype.str], array)
        raw = array.tobytes()
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header | changed).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    return path


MLP = {
    "input": [3],
    "layers": [
        {"layer": "dense", "weight": "a.weight", "bias": "a.bias"},
        {"layer": "tanh"},
        {"layer": "dense", "weight": "b.weight"},
    ],
}
TENSORS = {"a.weight": rng.normal(size=(4, 3)), "a.bias": rng.normal(size=4), "b.weight": rng.normal(size=(2, 4))}


@pytest.mark.parametrize("kind", ["<f8", "<f4", "<f2"])
def test_tensors_become_the_weights_of_the_declared_layers(tmp_path, kind):
    tensors = {name: array.astype(kind) for name, array in TENSORS.items()}
    path = written(tmp_path / "net.safetensors", tensors, __metadata__={"format": "pt"})
    (tmp_path / "net.json").write_text(json.dumps(MLP))
    for architecture in (MLP, tmp_path / "net.json", str(tmp_path / "net.json")):
        network = load(path, architecture)
        assert_array_equal(network.layers[0].weight, tensors["a.weight"].astype(np.float64))
        x = rng.normal(size=(5, 3))
        hidden = np.tanh(x @ tensors["a.weight"].astype(float).T + tensors["a.bias"].astype(float))
        assert_allclose(forward(network, x), hidden @ tensors["b.weight"].astype(float).T, rtol=1e-13, atol=1e-13)


def test_bfloat16_and_integers_are_the_numbers_that_they_are(tmp_path):
    upper = np.array([0x3F80, 0xC000, 0x3EAB, 0x0001], dtype="<u2")  # 1, -2, 171/512, the smallest of all
    small = np.array([-128, 0, 5, 127], dtype=np.int8)
    tensors = {"b": ("BF16", upper), "i": small, "u": small.view(np.uint8), "t": small > 0}
    file = open_tensors(written(tmp_path / "net.safetensors", tensors))
    assert file.tensor("b").tolist() == [1.0, -2.0, 171 / 512, 2.0**-133]
    assert file.tensor("i").tolist() == [-128, 0, 5, 127] and file.tensor("u").tolist() == [128, 0, 5, 127]
    assert file.tensor("t").tolist() == [0, 0, 1, 1] and file.tensor("b").dtype == np.float64


def test_files_of_the_package_are_read_as_it_reads_them(tmp_path):
    torch, package = pytest.importorskip("torch"), pytest.importorskip("safetensors.torch")
    made = {f"{dtype}"[6:]: torch.randn(3, 5).to(dtype) for dtype in (torch.float64, torch.float32, torch.float16)}
    made |= {"bfloat16": torch.randn(3, 5).bfloat16(), "int8": torch.arange(-3, 3, dtype=torch.int8)}
    package.save_file(made, str(tmp_path / "net.safetensors"))
    file = open_tensors(tmp_path / "net.safetensors")
    for name, tensor in made.items():
        assert_array_equal(file.tensor(name), tensor.double().numpy())


def test_a_module_of_every_kind_of_layer_agrees_with_torch(tmp_path):
    torch, package = pytest.importorskip("torch"), pytest.importorskip("safetensors.torch")
    nn = torch.nn

    class Module(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm, self.lstm = nn.Conv1d(3, 4, 3, padding=1), nn.GroupNorm(2, 4), nn.LSTM(4, 6)
            self.attend, self.last, self.out = nn.MultiheadAttention(6, 2), nn.LayerNorm(6), nn.Linear(6, 2)

        def forward(self, x):
            h = nn.functional.gelu(self.norm(self.conv(x)))[0].T
            h = self.lstm(h)[0]
            return self.out(self.last(h + self.attend(h, h, h)[0])).mean(0).softmax(-1)

    torch.manual_seed(5)
    module = Module().eval()
    package.save_file(module.state_dict(), str(tmp_path / "net.safetensors"))
    cell = [f"lstm.{kind}_l0" for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
    packed = {"in_weight": "attend.in_proj_weight", "in_bias": "attend.in_proj_bias"}
    out = {"out_weight": "attend.out_proj.weight", "out_bias": "attend.out_proj.bias"}
    layers = [
        {"layer": "conv", "weight": "conv.weight", "bias": "conv.bias", "padding": 1},
        {"layer": "group_norm", "count": 2, "weight": "norm.weight", "bias": "norm.bias"},
        {"layer": "gelu"},
        {"layer": "transpose", "order": [1, 0]},
        {"layer": "lstm", "cells": [[cell]], "name": "h"},
        {"layer": "multi_head_attention", "heads": 2, **packed, **out},
        {"layer": "add", "of": [6, "h"]},
        {"layer": "layer_norm", "weight": "last.weight", "bias": "last.bias"},
        {"layer": "dense", "weight": "out.weight", "bias": "out.bias"},
        {"layer": "mean", "axis": 0},
        {"layer": "softmax"},
    ]
    network = load(tmp_path / "net.safetensors", {"input": [3, 7], "layers": layers})
    x = rng.normal(size=(3, 7))
    with torch.no_grad():
        truth = module.double()(torch.tensor(x)[None]).numpy()
    assert_allclose(forward(network, x.ravel()), truth, rtol=1e-12, atol=1e-14)


def test_embeddings_of_fixed_tokens_are_constants(tmp_path):
    table = rng.normal(size=(9, 3))
    path = written(tmp_path / "net.safetensors", {"table": table})
    layers = [{"layer": "embedding", "weight": "table", "tokens": [4, 0, 4]}, {"layer": "multiply", "of": [0, 1]}]
    network = load(path, {"input": [3, 3], "layers": layers})
    x = rng.normal(size=(3, 3))
    assert_array_equal(forward(network, x.ravel()), (x * table[[4, 0, 4]]).ravel())


def entry(**changed):
    return {"dtype": "F64", "shape": [4, 3], "data_offsets": [0, 96]} | changed


BAD = {
    "a missing tensor": ({"a.weight": None}, "there is no tensor 'a.weight' in the file; it has a.bias, b.weight"),
    "a wrong shape": ({"a.weight": entry(shape=[3, 4])}, r"expected a weight of shape \(m, 3\), got \(3, 4\)"),
    "an unknown type": ({"a.weight": entry(dtype="F8_E4M3")}, "has the type 'F8_E4M3'; supported are F64"),
    "too few bytes": ({"a.weight": entry(data_offsets=[0, 95])}, r"has 95 bytes, expected 96 for \[4, 3\] of F64"),
    "bytes beyond the end": ({"a.weight": entry(data_offsets=[10**9, 10**9 + 96])}, "is the file whole"),
    "negative places": ({"a.weight": entry(data_offsets=[-96, 0])}, "lists of integers"),
    "an absurd shape": ({"a.weight": entry(shape=[2**62, 2**62])}, "expected"),
    "no entry": ({"a.weight": 5}, "expected dtype, shape and data_offsets of the tensor 'a.weight', got 5"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_does_not_fit_is_refused_with_a_sentence(tmp_path, case):
    changed, message = BAD[case]
    tensors = {name: a for name, a in TENSORS.items() if name not in changed or changed[name]}
    path = written(tmp_path / "net.safetensors", tensors, **{k: v for k, v in changed.items() if v})
    with pytest.raises(LoadError, match=message):
        load(path, MLP)


def test_nan_truncation_and_a_missing_architecture_are_refused(tmp_path):
    path = written(tmp_path / "net.safetensors", TENSORS | {"a.bias": np.array([0, np.nan, 1, 2])})
    with pytest.raises(NumberError, match=r"the tensor 'a\.bias' has NaN"):
        load(path, MLP)
    data = written(path, TENSORS).read_bytes()
    for length in [*range(1, len(data), 7), len(data) - 1]:
        path.write_bytes(data[:length])
        with pytest.raises(GpacError):
            load(path, MLP)
    with pytest.raises(LoadError, match="needs the architecture"):
        load(path)
    (tmp_path / "net.json").write_text("{}")
    with pytest.raises(LoadError, match="has its own architecture"):
        load(tmp_path / "net.json", MLP)
