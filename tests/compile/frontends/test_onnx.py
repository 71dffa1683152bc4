"""ONNX files against ONNX's own reference evaluator, and files that must be refused."""

from __future__ import annotations

import gzip
import io
import zipfile
from fractions import Fraction
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from onnx_models import agrees, chain, loaded, node

from compile.frontends import load
from compile.frontends.onnx_tensor import read_tensor
from compile.network import forward
from compile.operations import Affine, Sigmoid, Tanh
from gpac.errors import LoadError, NumberError

ROOT = Path(__file__).parents[3]
NETWORKS = ROOT.parent / "shared" / "networks"
needs_networks = pytest.mark.skipif(not NETWORKS.is_dir(), reason="the folder of networks by others is not here")
FIXTURES = sorted([*ROOT.glob("tests/data/*.onnx"), *ROOT.glob("examples/networks/*.onnx")])
rng = np.random.default_rng(20)
W, B = rng.normal(size=(5, 4)), rng.normal(size=5)  # five neurons on four values


def refusal(folder, model, kind=LoadError):
    with pytest.raises(kind) as caught:
        loaded(folder, model)
    assert "\n" not in str(caught.value) and caught.value.__suppress_context__
    return str(caught.value)


# --- operators


@pytest.mark.parametrize("bias", [None, (5,), (1, 5), (1,), (), (1, 1)])
@pytest.mark.parametrize("attributes", [{}, {"alpha": 2.0}, {"alpha": 0.3, "beta": 0.7}, {"beta": -0.25}])
@pytest.mark.parametrize("transposed", [0, 1])
def test_gemm_with_every_bias_and_factor(tmp_path, bias, attributes, transposed):
    constants = {"w": W if transposed else W.T.copy()}
    inputs = ["x", "w"]
    if bias is not None:
        constants["b"] = rng.normal(size=bias)
        inputs.append("b")
    agrees(tmp_path, chain([node("Gemm", *inputs, transB=transposed, **attributes)], constants), (1, 4))


@pytest.mark.parametrize("shape", [(1, 4), (4,), (1, 1, 4), (1, 1, 1, 4)])
def test_a_row_times_a_matrix(tmp_path, shape):
    agrees(tmp_path, chain([node("MatMul", "x", "w")], {"w": W.T.copy()}, shape), shape)


@pytest.mark.parametrize("shape", [(4,), (4, 1), (1, 4, 1), (1, 1, 4, 1)])
def test_a_matrix_times_a_column(tmp_path, shape):
    agrees(tmp_path, chain([node("MatMul", "w", "x")], {"w": W}, shape), shape)


@pytest.mark.parametrize("order", [("matmul", "b"), ("b", "matmul")])
@pytest.mark.parametrize("shape", [(5,), (1, 5), (1,), ()])
def test_matmul_and_add_become_one_dense_layer(tmp_path, order, shape):
    model = chain([node("MatMul", "x", "w"), node("Add", *order)], {"w": W.T.copy(), "b": rng.normal(size=shape)})
    network = agrees(tmp_path, model, (1, 4))
    assert [type(layer) for layer in network.layers] == [Affine]


@pytest.mark.parametrize(
    "op, constant_first",
    [
        ("Add", False),
        ("Add", True),
        ("Sub", False),
        ("Sub", True),
        ("Mul", False),
        ("Mul", True),
        ("Div", False),
    ],
)
@pytest.mark.parametrize("constant", [(), (1,), (1, 1), (4,), (2, 1), (3, 1, 1), (1, 3, 1, 1), (3, 2, 4), (1, 3, 1, 4)])
def test_arithmetic_broadcasts_a_constant_over_an_image(tmp_path, op, constant_first, constant):
    shape = (1, 3, 2, 4)
    model = chain([node(op, *(("c", "x") if constant_first else ("x", "c")))], {"c": rng.normal(size=constant)}, shape)
    network = agrees(tmp_path, model, shape)
    assert network.size == 24 and network.input_shape == (3, 2, 4)


@pytest.mark.parametrize("op", ["Tanh", "Sigmoid"])
def test_activations(tmp_path, op):
    network = agrees(tmp_path, chain([node(op, "x")]), (1, 4))
    assert network.layers == ({"Tanh": Tanh(), "Sigmoid": Sigmoid()}[op],)


RESHAPES = {
    "flatten": (17, [node("Flatten", "x")], {}),
    "flatten axis 0": (17, [node("Flatten", "x", axis=0)], {}),
    "flatten axis -1": (17, [node("Flatten", "x", axis=-2)], {}),
    "reshape": (17, [node("Reshape", "x", "s")], {"s": np.array([1, -1])}),
    "reshape keeps": (17, [node("Reshape", "x", "s")], {"s": np.array([0, 2, 0, -1])}),
    "identity": (17, [node("Identity", "x")], {}),
    "dropout": (17, [node("Dropout", "x", "r", "t")], {"r": np.float64(0.5), "t": np.array(False)}),
    "unsqueeze": (17, [node("Unsqueeze", "x", "a")], {"a": np.array([0, -1])}),
    "unsqueeze by attribute": (11, [node("Unsqueeze", "x", axes=[0, 2])], {}),
    "squeeze": (17, [node("Squeeze", "x", "a")], {"a": np.array([0])}),
    "squeeze all": (17, [node("Squeeze", "x")], {}),
    "squeeze by attribute": (11, [node("Squeeze", "x", axes=[-4])], {}),
    "transpose of a unit axis": (17, [node("Transpose", "x", perm=[1, 2, 0, 3])], {}),
    "cast": (17, [node("Cast", "x", to=TensorProto.DOUBLE)], {}),
}


@pytest.mark.parametrize("case", RESHAPES)
def test_reshaping_leaves_no_layer(tmp_path, case):
    opset, nodes, constants = RESHAPES[case]
    assert agrees(tmp_path, chain(nodes, constants, (1, 3, 2, 4), opset), (1, 3, 2, 4)).layers == ()


def test_what_exporters_wrote_before_opset_7_is_read(tmp_path):
    nodes = [
        node("Reshape", "x", shape=[-1, 4]),
        node("Gemm", "reshape", "w", "b", broadcast=1),
        node("Mul", "gemm", "c", broadcast=1),
    ]
    network = loaded(tmp_path, chain(nodes, {"w": W.T.copy(), "b": B, "c": np.float64(0.5)}, (1, 2, 2), opset=6))
    x = np.array([1.0, -2.0, 0.5, 3.0])
    assert_allclose(forward(network, x), 0.5 * (W @ x + B), rtol=1e-14)  # a dozen roundings of 2**-53


@pytest.mark.parametrize("batch", [1, "batch", None])
def test_shape_arithmetic_of_the_exporters_is_folded(tmp_path, batch):
    nodes = [
        node("Shape", "x"),
        node("Constant", name="zero", value_int=0),
        node("Gather", "shape", "zero", axis=0),
        node("Constant", name="axes", value_ints=[0]),
        node("Unsqueeze", "gather", "axes"),
        node("Constant", name="ends", value_ints=[4]),
        node("Constant", name="one", value_ints=[1]),
        node("Slice", "shape", "one", "ends"),
        node("Cast", "slice", to=TensorProto.INT64),
        node("Constant", name="minus", value=numpy_helper.from_array(np.array([-1]))),
        node("Mul", "cast", "minus", name="negative"),
        node("Mul", "negative", "minus", name="again"),
        node("Concat", "unsqueeze", "again", axis=0),
        node("Reshape", "x", "concat"),
        node("Flatten", "reshape", axis=1),
        node("Transpose", "w"),
        node("MatMul", "flatten", "transpose"),
        node("Constant", name="half", value_float=0.5),
        node("Cast", "half", to=TensorProto.DOUBLE, name="wide"),
        node("Mul", "matmul", "wide"),
        node("Constant", name="few", value_floats=[0.5, 0.25, 1.0, 2.0, 3.0]),
        node("Cast", "few", to=TensorProto.DOUBLE, name="some"),
        node("Div", "mul", "some"),
    ]
    model = chain(nodes, {"w": rng.normal(size=(5, 12))}, (batch, 3, 2, 2))
    network = agrees(tmp_path, model, (1, 3, 2, 2))
    assert network.input_shape == (3, 2, 2)


def test_arithmetic_on_two_constants_is_exact(tmp_path):
    a, b = np.array([1.0, 3.0, 0.1, 7.0]), np.array([3.0, 2.0, 0.3, 0.5])
    network = agrees(tmp_path, chain([node("Div", "a", "b"), node("Add", "x", "div")], {"a": a, "b": b}), (1, 4))
    assert network.layers[0].bias[0] == Fraction(1, 3)


operators = st.sampled_from(["Add", "Sub", "Mul", "Div", "Gemm", "MatMul", "Tanh", "Sigmoid", "Flatten", "Identity"])


@given(ops=st.lists(operators, min_size=1, max_size=8), seed=st.integers(0, 2**32 - 1), rank=st.integers(2, 4))
@settings(max_examples=60, deadline=None)
def test_any_chain_of_operators_agrees_with_the_reference(tmp_path_factory, ops, seed, rank):
    draw = np.random.default_rng(seed)
    shape = (1, *draw.integers(1, 4, size=rank - 1).tolist())
    nodes, constants = [node("Flatten", "x", name="start")] if {"Gemm", "MatMul"} & set(ops) else [], {}
    last, now = ("start", (1, int(np.prod(shape)))) if nodes else ("x", shape)
    for k, op in enumerate(ops):
        if op in ("Gemm", "MatMul"):
            constants[f"c{k}"] = draw.normal(size=(now[1], draw.integers(1, 6)))
            now = (1, constants[f"c{k}"].shape[1])
        elif op in ("Add", "Sub", "Mul", "Div"):
            kept = draw.integers(0, 2, size=len(now))  # 1 where the constant has the size of the value
            constants[f"c{k}"] = draw.uniform(0.5, 2, size=np.where(kept, now, 1))
        elif op == "Flatten":
            now = (1, int(np.prod(now)))
        nodes.append(node(op, last, *([f"c{k}"] if f"c{k}" in constants else []), name=f"n{k}"))
        last = f"n{k}"
    agrees(tmp_path_factory.mktemp("chain"), chain(nodes, constants, shape), shape)


# --- exactness and layout


def test_a_division_is_by_the_exact_number_of_the_file(tmp_path):
    s = np.float32(0.30809998512268066)
    network = loaded(tmp_path, chain([node("Div", "x", "s")], {"s": s}, kind=TensorProto.FLOAT))
    assert network.layers[0].weight[()] == 1 / Fraction(float(s))


def test_alpha_and_beta_multiply_exactly(tmp_path):
    model = chain([node("Gemm", "x", "w", "b", transB=1, alpha=0.1, beta=0.3)], {"w": W, "b": B})
    dense, scale = loaded(tmp_path, model).layers
    alpha, beta = Fraction(float(np.float32(0.1))), Fraction(float(np.float32(0.3)))
    assert_array_equal(dense.weight, W)
    assert scale.weight == alpha and list(scale.bias) == [beta * Fraction(b) for b in B]


@pytest.mark.parametrize(
    "shape, per_sample",
    [
        ((1, 4), (4,)),
        (("N", 4), (4,)),
        ((None, 2, 2), (2, 2)),
        ((0, 4), (4,)),
        ((4,), (4,)),
        ((2, 2), (2, 2)),
    ],
)
def test_a_leading_batch_is_one_open_or_absent(tmp_path, shape, per_sample):
    network = loaded(tmp_path, chain([node("Tanh", "x")], shape=shape))
    assert network.size == 4 and network.input_shape == per_sample


def test_initializers_repeated_among_the_inputs_are_no_inputs(tmp_path):
    model = chain([node("MatMul", "x", "w")], {"w": W.T.copy()})
    model.graph.input.append(helper.make_tensor_value_info("w", TensorProto.DOUBLE, (4, 5)))
    assert_array_equal(loaded(tmp_path, model).layers[0].weight, W)


TYPES = [
    "FLOAT",
    "DOUBLE",
    "FLOAT16",
    "BFLOAT16",
    "INT8",
    "INT16",
    "INT32",
    "INT64",
    "UINT8",
    "UINT16",
    "UINT32",
    "UINT64",
    "BOOL",
]


@pytest.mark.parametrize("name", TYPES)
@pytest.mark.parametrize("raw", [False, True])
def test_every_type_is_read_as_onnx_reads_it(tmp_path, name, raw):
    kind = getattr(TensorProto, name)
    values = [0, 1, 1, 0, 1, 1] if name == "BOOL" else [0, 1, 2, 3, 5, 100]
    if name in ("FLOAT", "DOUBLE", "FLOAT16", "BFLOAT16"):
        values = [0.1, -2.5, 1e-6, 3.0, 0.0, 100.7]
    tensor = helper.make_tensor("t", kind, (2, 3), values)
    if raw:
        tensor = numpy_helper.from_array(numpy_helper.to_array(tensor), "t")
        assert tensor.HasField("raw_data") and tensor.data_type == kind
    expected = numpy_helper.to_array(tensor)
    assert_array_equal(read_tensor(tensor, tmp_path).astype(np.float64), expected.astype(np.float64))


def test_an_integer_beyond_float64_is_no_weight(tmp_path):
    message = refusal(tmp_path, chain([node("MatMul", "x", "w")], {"w": np.full((4, 2), 2**53 + 1)}), NumberError)
    assert "node 1 of 1" in message
    network = loaded(tmp_path, chain([node("Add", "x", "w")], {"w": np.full(4, 2**53 + 1)}))
    assert network.layers[0].bias[0] == 2**53 + 1


# --- external data


def external(folder, location="weights.bin", offset=0, length=None, written=True):
    model = chain([node("MatMul", "x", "w")], {"w": W.T.copy()})
    tensor = model.graph.initializer[0]
    data = tensor.raw_data
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entries = {"location": location, "offset": offset, "length": len(data) if length is None else length}
    for key, value in entries.items():
        tensor.external_data.add(key=key, value=str(value))
    if written:
        (folder / location).write_bytes(bytes(8) + data)
    return model


def test_external_data_beside_the_model_is_read(tmp_path):
    assert_array_equal(loaded(tmp_path, external(tmp_path, offset=8)).layers[0].weight, W)


def test_an_absent_external_file_is_named_with_its_tensor(tmp_path):
    message = refusal(tmp_path, external(tmp_path, written=False))
    assert "'w'" in message and "'weights.bin'" in message


@pytest.mark.parametrize("location", ["../weights.bin", "/etc/hostname", "", "sub/../../weights.bin", "."])
def test_external_data_outside_the_folder_is_never_read(tmp_path, location):
    (tmp_path / "weights.bin").write_bytes(bytes(160))
    folder = tmp_path / "model"
    folder.mkdir()
    message = refusal(folder, external(folder, location, written=False))
    assert "'w'" in message


def test_a_link_to_data_outside_the_folder_is_not_followed(tmp_path):
    (tmp_path / "secret.bin").write_bytes(bytes(160))
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "weights.bin").symlink_to(tmp_path / "secret.bin")
    assert "outside" in refusal(folder, external(folder, written=False))


@pytest.mark.parametrize("wrong", [{"offset": 9}, {"length": 8}, {"offset": "-8"}, {"offset": "much"}])
def test_external_data_that_does_not_fill_the_tensor_is_refused(tmp_path, wrong):
    assert "'w'" in refusal(tmp_path, external(tmp_path, **wrong))


# --- bad input


def test_a_missing_file_a_folder_and_an_unknown_suffix_are_refused_with_a_sentence(tmp_path):
    with pytest.raises(LoadError, match="no such file"):
        load(tmp_path / "absent.onnx")
    with pytest.raises(LoadError, match="folder"):
        load(tmp_path)
    (tmp_path / "net.pt").write_bytes(b"x")
    with pytest.raises(LoadError, match=r"\.onnx, \.yml, \.yaml, \.json or \.safetensors, got \.pt"):
        load(tmp_path / "net.pt")
    (tmp_path / "empty.onnx").touch()
    with pytest.raises(LoadError, match="empty"):
        load(str(tmp_path / "empty.onnx"))


def test_a_file_that_may_not_be_read_is_refused_with_a_sentence(tmp_path, monkeypatch):
    def forbidden(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("compile.frontends.onnx_graph.read_model", forbidden)
    assert "Permission denied" in refusal(tmp_path, chain([node("Tanh", "x")]))


def test_a_huge_file_is_refused_with_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr("compile.frontends.LARGEST_FILE", 10)
    assert "2 GiB" in refusal(tmp_path, chain([node("Tanh", "x")]))


def test_every_truncation_is_refused_with_a_sentence(tmp_path):
    data = chain([node("MatMul", "x", "w"), node("Tanh", "matmul")], {"w": W.T.copy()}).SerializeToString()
    for length in range(1, len(data)):
        (tmp_path / "cut.onnx").write_bytes(data[:length])
        with pytest.raises(LoadError):
            load(tmp_path / "cut.onnx")


def test_an_unsupported_node_is_named_with_its_place(tmp_path):
    message = refusal(tmp_path, chain([node("Tanh", "x"), node("Relu", "tanh", name="act7")]))
    assert "node 2 of 2, Relu 'act7': 'relu' is not analytic" in message
    message = refusal(tmp_path, chain([node("Tanh", "x"), node("Det", "tanh", name="act7")]))
    assert "node 2 of 2, Det 'act7'" in message and "Gemm, Global" in message


def test_an_unnamed_node_and_one_of_another_domain_are_named(tmp_path):
    nodes = [helper.make_node("Tanh", ["x"], ["h"], domain="com.acme")]
    message = refusal(tmp_path, chain(nodes))
    assert "node 1 of 1, com.acme.Tanh without a name, output 'h'" in message


def test_control_characters_of_a_name_do_not_reach_the_terminal(tmp_path):
    message = refusal(tmp_path, chain([node("Relu", "x", name="a\n\x1b[31mb")]))
    assert message.isprintable()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nan_and_inf_are_refused_with_their_place(tmp_path, value):
    weights = W.T.copy()
    weights[2, 1] = value
    message = refusal(tmp_path, chain([node("MatMul", "x", "w")], {"w": weights}), NumberError)
    assert "'w'" in message and "[2, 1]" in message
    refusal(tmp_path, chain([node("Constant", name="c", value_float=value), node("Mul", "x", "c")]), NumberError)
    refusal(tmp_path, chain([node("Gemm", "x", "w", alpha=value)], {"w": W.T.copy()}), NumberError)


REFUSED = {
    "weights of the wrong size": ([node("MatMul", "x", "w")], {"w": W}, (1, 4), "cannot be multiplied"),
    "a bias that makes rows": ([node("Gemm", "x", "w", "b")], {"w": W.T, "b": np.ones((3, 1))}, (1, 4), "bias"),
    "a constant over x": ([node("Div", "c", "x")], {"c": 1.0}, (1, 4), "plus a positive constant"),
    "a division by zero": ([node("Div", "x", "c")], {"c": np.array([1.0, 0, 1, 1])}, (1, 4), "zero"),
    "a constant that does not fit": ([node("Add", "x", "c")], {"c": np.ones(3)}, (1, 4), "together"),
    "an unknown input": ([node("Add", "x", "nowhere")], {}, (1, 4), "'nowhere'"),
    "a constant output": ([node("Tanh", "x"), node("Identity", "c")], {"c": W}, (1, 4), "does not depend"),
    "an activation of a constant": ([node("Tanh", "c")], {"c": W}, (1, 4), "does not depend"),
    "a cast to integers": ([node("Cast", "x", to=TensorProto.INT64)], {}, (1, 4), "INT64"),
    "a wrong reshape": ([node("Reshape", "x", "s")], {"s": np.array([3, -1])}, (1, 4), "(3, -1)"),
    "a shape of floats": ([node("Reshape", "x", "s")], {"s": np.array([1.0])}, (1, 4), "integers"),
    "training dropout": ([node("Dropout", "x", "r", "t")], {"r": 0.5, "t": np.array(True)}, (1, 4), "eval()"),
    "an unknown attribute": ([node("Add", "x", "c", axis=1)], {"c": 1.0}, (1, 4), "'axis'"),
    "a text attribute": ([node("Flatten", "x", axis="one")], {}, (1, 4), "integer"),
    "an operand too many": ([node("Add", "x", "c", "c")], {"c": 1.0}, (1, 4), "at most 2 inputs, got 3"),
    "no operand": ([node("Shape")], {}, (1, 4), "input 1"),
    "a missing operand": ([node("Add", "x")], {}, (1, 4), "input 2"),
    "a text": ([node("Add", "x", "c")], {"c": np.array(["a"], dtype=object)}, (1, 4), "STRING"),
    "a complex number": ([node("Add", "x", "c")], {"c": np.array([1j])}, (1, 4), "COMPLEX128"),
    "an open size": ([node("Tanh", "x")], {}, (1, "n"), "(1, n)"),
    "an input without axes": ([node("Tanh", "x")], {}, (), "shape ()"),
    "an absurd input": ([node("Tanh", "x")], {}, (1, 2**40), "numbers"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_supported_is_refused_with_a_sentence(tmp_path, case):
    nodes, constants, shape, part = REFUSED[case]
    constants = {name: np.ascontiguousarray(value) if np.ndim(value) else value for name, value in constants.items()}
    assert part in refusal(tmp_path, chain(nodes, constants, shape))


def test_data_that_does_not_fill_the_declared_shape_is_refused(tmp_path):
    model = chain([node("MatMul", "x", "w")], {"w": W.T.copy()})
    for dims in [(4, 6), (2, 5), (-4, -5), (2**40, 2**40)]:
        model.graph.initializer[0].dims[:] = dims
        assert "'w'" in refusal(tmp_path, model)
    model.graph.initializer[0].CopyFrom(helper.make_tensor("w", TensorProto.DOUBLE, (4, 5), W.T.ravel()))
    model.graph.initializer[0].double_data.pop()
    assert "19 values, expected 20" in refusal(tmp_path, model)


def test_two_inputs_two_outputs_or_none_are_refused(tmp_path):
    model = chain([node("Tanh", "x")])
    second = helper.make_tensor_value_info("second", TensorProto.DOUBLE, (1, 4))
    model.graph.input.append(second)
    assert "one input, got 2: x, second" in refusal(tmp_path, model)
    del model.graph.input[:]
    assert "one input, got 0" in refusal(tmp_path, model)
    model = chain([node("Tanh", "x")])
    model.graph.output.append(second)
    assert "one output of floats, got 2: tanh, second" in refusal(tmp_path, model)


def test_constants_do_not_double_without_end(tmp_path):
    nodes = [node("Concat", "c", "c", axis=0, name="c0")]
    nodes += [node("Concat", f"c{k}", f"c{k}", axis=0, name=f"c{k + 1}") for k in range(60)]
    assert "numbers, expected between" in refusal(tmp_path, chain(nodes, {"c": np.ones(8)}))


# --- files of others


@needs_networks
def test_the_mnist_network_labels_its_images():
    network = load(NETWORKS / "mnist_sigmoid_6x200.onnx")
    with np.load(NETWORKS / "mnist_20_images.npz") as file:
        images, labels = file["images"], file["labels"]
    scores = forward(network, images)
    assert_array_equal(scores.argmax(axis=1), labels)
    judge = ReferenceEvaluator(str(NETWORKS / "mnist_sigmoid_6x200.onnx"))
    with np.errstate(over="ignore", invalid="ignore"):  # in the branch of its sigmoid that the judge drops
        expected = [judge.run(None, {"input": image[None].astype(np.float32)})[0][0] for image in images]
    # the judge computes in float32: eight matrices of 200 columns, values of about 20
    assert_allclose(scores, expected, rtol=1e-4, atol=1e-4)
    assert network.input_shape == (1, 28, 28) and network.layers[0].weight.ndim < 2


@pytest.mark.skipif(not FIXTURES, reason="there are no ONNX files in tests/data or examples/networks")
@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.name)
def test_stored_networks_agree_with_the_reference(path):
    network, model = load(path, smooth=0), onnx.load(str(path))
    constants = {tensor.name for tensor in model.graph.initializer}
    entry = next(value for value in model.graph.input if value.name not in constants)
    sizes = [dim.dim_value or 1 for dim in entry.type.tensor_type.shape.dim]
    dtype = helper.tensor_dtype_to_np_dtype(entry.type.tensor_type.elem_type)
    for x in np.random.default_rng(3).uniform(-1, 1, size=(5, *sizes)).astype(dtype):
        expected = ReferenceEvaluator(model).run(None, {entry.name: x})[0]
        # a float32 judge
        assert_allclose(forward(network, x.ravel()), np.ravel(expected), rtol=1e-4, atol=1e-4)


# --- what a file must not do


@pytest.mark.parametrize("shape", [(4, "N", 3), (2, None), ("N", "T", 3)])
def test_a_batch_that_is_not_in_front_is_refused(tmp_path, shape):
    assert "only a leading batch may be open" in refusal(tmp_path, chain([node("Tanh", "x")], shape=shape))


def test_a_cycle_is_refused(tmp_path):
    nodes = [node("Add", "x", "tanh"), node("Tanh", "add")]
    assert "'tanh' is nothing that the file gives before it" in refusal(tmp_path, chain(nodes))


def test_a_graph_of_any_depth_is_followed(tmp_path):
    nodes = [node("Tanh", "x", name="t0")] + [node("Tanh", f"t{k}", name=f"t{k + 1}") for k in range(5000)]
    network = loaded(tmp_path, chain(nodes))
    x = np.array([0.5, -1.0, 2.0, 0.0])
    expected = x
    for _ in range(5001):
        expected = np.tanh(expected)
    assert_allclose(forward(network, x), expected, rtol=1e-12)


def test_packed_files_are_never_unpacked(tmp_path):
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("net.onnx", bytes(10**7))
    for suffix in ("onnx", "json", "yml"):
        for data in (bomb.getvalue(), gzip.compress(bytes(10**6))):
            path = tmp_path / f"packed.{suffix}"
            path.write_bytes(data)
            with pytest.raises(LoadError):
                load(path)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_weight_that_is_no_number_is_named_with_its_tensor(tmp_path, value):
    bad = W.T.copy()
    bad[2, 1] = value
    assert "the tensor 'w' has" in refusal(tmp_path, chain([node("MatMul", "x", "w")], {"w": bad}), NumberError)
