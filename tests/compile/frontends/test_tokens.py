"""Tokens: fixed, or embedded, where the rows of the embedding are the network's input."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from onnx_models import node

from compile import forward, load
from gpac.errors import LoadError

rng = np.random.default_rng(8)
TABLE, PLACES, W = rng.normal(size=(11, 4)), rng.normal(size=(6, 4)), rng.normal(size=(4, 3))
ENCODER = [
    node("Gather", "table", "tokens"),
    node("Shape", "tokens"),
    node("Gather", "shape", "one", name="count"),
    node("Range", "zero", "count", "one_0"),
    node("Gather", "places", "range", name="positions"),
    node("Add", "gather", "positions"),
    node("Tanh", "add"),
    node("MatMul", "tanh", "w"),
]
NUMBERS = {"table": TABLE, "places": PLACES, "w": W, "one": np.array(1), "zero": np.array(0), "one_0": np.array(1)}


def model(nodes, inputs, constants):
    kinds = {"x": TensorProto.DOUBLE}
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(name, kinds.get(name, TensorProto.INT64), shape) for name, shape in inputs],
        [helper.make_tensor_value_info(nodes[-1].output[0], TensorProto.DOUBLE, None)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def stored(folder, made):
    (folder / "net.onnx").write_bytes(made.SerializeToString())
    return folder / "net.onnx"


def test_the_rows_of_the_embedding_are_the_input(tmp_path):
    made = model(ENCODER, [("tokens", (1, 5))], NUMBERS)
    network = load(stored(tmp_path, made))
    assert network.input_shape == (5, 4)
    tokens = np.array([[3, 0, 10, 3, 7]])
    expected = ReferenceEvaluator(made).run(None, {"tokens": tokens})[0]
    assert_allclose(forward(network, TABLE[tokens[0]].ravel()), expected.ravel(), rtol=1e-13)


def test_fixed_tokens_are_constants_beside_the_input(tmp_path):
    nodes = [*ENCODER, node("Mul", "matmul", "x")]
    made = model(nodes, [("tokens", (1, 5)), ("x", ("N", 5, 3))], NUMBERS)
    tokens, x = [[3, 0, 10, 3, 7]], rng.normal(size=(1, 5, 3))
    network = load(stored(tmp_path, made), fixed={"tokens": tokens})
    expected = ReferenceEvaluator(made).run(None, {"tokens": np.array(tokens), "x": x})[0]
    assert_allclose(forward(network, x.ravel()), expected.ravel(), rtol=1e-13)
    assert load(tmp_path / "net.onnx", fixed={"tokens": tokens[0]}).size == 15
    with pytest.raises(LoadError, match=r"one input, got 2: tokens, x; fix others with load\(\.\.\., fixed=\.\.\.\)"):
        load(tmp_path / "net.onnx")
    with pytest.raises(LoadError, match="expected fixed inputs among tokens, x, got 'y'"):
        load(tmp_path / "net.onnx", fixed={"y": 1})
    with pytest.raises(LoadError, match=r"shape \(1, 5\) for 'tokens', got \(1, 4\)"):
        load(tmp_path / "net.onnx", fixed={"tokens": tokens[0][:4]})
    with pytest.raises(LoadError, match="INT64 for 'tokens', got float64"):
        load(tmp_path / "net.onnx", fixed={"tokens": [0.5] * 5})


def test_tokens_in_two_places_must_be_fixed(tmp_path):
    made = model([*ENCODER, node("Gather", "w", "tokens", name="other")], [("tokens", (1, 5))], NUMBERS)
    with pytest.raises(LoadError, match=r"do not go straight into one embedding.*fix them with"):
        load(stored(tmp_path, made))


def test_torch_modules_of_tokens():
    torch = pytest.importorskip("torch")
    from compile import from_torch

    class Language(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.table, self.places = torch.nn.Embedding(11, 4), torch.nn.Embedding(6, 4)
            self.block = torch.nn.TransformerEncoderLayer(4, 2, 8, activation="gelu", batch_first=True)

        def forward(self, tokens, scale=None):
            h = self.table(tokens) + self.places(torch.arange(tokens.shape[1]))
            h = self.block(h) if scale is None else self.block(h * scale)
            return h @ self.table.weight.T

    torch.manual_seed(2)
    module, tokens = Language().eval(), torch.tensor([[3, 0, 10, 3, 7]])
    network = from_torch(module, tokens)
    assert network.input_shape == (5, 4)
    double = Language().eval()
    double.load_state_dict(module.state_dict())
    double = double.double()
    with torch.no_grad():
        truth = double(tokens).numpy().ravel()
        assert_allclose(forward(network, double.table(tokens).numpy().ravel()), truth, rtol=0, atol=1e-13)
    scale = torch.rand(1, 5, 4)
    network = from_torch(module, (tokens, scale))
    assert network.input_shape == (5, 4)
    with torch.no_grad():
        truth = double(tokens, scale.double()).numpy().ravel()
    assert_allclose(forward(network, scale.numpy().ravel()), truth, rtol=0, atol=1e-13)
    with pytest.raises(LoadError, match="tokens go into two embeddings"):
        from_torch(torch.nn.ModuleList([Twice()])[0], tokens)


def Twice():
    import torch

    class Module(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = torch.nn.Embedding(11, 4), torch.nn.Embedding(11, 4)

        def forward(self, tokens):
            return self.a(tokens) + self.b(tokens)

    return Module()
