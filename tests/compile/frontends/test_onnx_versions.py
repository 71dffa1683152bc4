"""The same networks at every opset from 9 to 21, by onnx's own converter, judged by its reference evaluator."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose
from onnx import TensorProto, helper, version_converter
from onnx.reference import ReferenceEvaluator
from onnx_models import agrees, chain, loaded, node

from compile import forward

rng = np.random.default_rng(3)
OPSETS = (9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21)


def f(*shape):
    return rng.normal(size=shape)


CONV = [
    node("Conv", "x", "k", "c", pads=[1, 1, 1, 1]),
    node("BatchNormalization", "conv", "s", "c", "m", "v"),
    node("Tanh", "batchnormalization"),
    node("AveragePool", "tanh", kernel_shape=[2, 2], strides=[2, 2]),
    node("Dropout", "averagepool", ratio=0.5),
    node("Flatten", "dropout"),
    node("Gemm", "flatten", "w", "b", transB=1),
    node("Softmax", "gemm", axis=1),
]
# as files of opset 9 are written
NETS = {
    "convolutions": (
        CONV,
        {"k": f(3, 2, 3, 3), "c": f(3), "s": f(3), "m": f(3), "v": f(3) ** 2, "w": f(5, 12), "b": f(5)},
        (1, 2, 4, 4),
    ),
    "attention": (
        [
            node("Transpose", "x", perm=[0, 2, 1]),
            node("MatMul", "x", "transpose"),
            node("Softmax", "matmul", axis=2),
            node("MatMul", "softmax", "x", name="y"),
            node("ReduceMean", "y", axes=[1], keepdims=0),
            node("ReduceSum", "reducemean", axes=[1], keepdims=1),
        ],
        {},
        (1, 3, 4),
    ),
    "moves": (
        [
            node("Unsqueeze", "x", axes=[1]),
            node("Slice", "unsqueeze", axes=[2], starts=[1], ends=[4]),
            node("Pad", "slice", pads=[0, 0, 1, 0, 0, 1], value=0.5),
            helper.make_node("Split", ["pad"], ["p", "q"], axis=2, split=[3, 2]),
            node("Concat", "q", "p", axis=2),
            node("Squeeze", "concat", axes=[1]),
            node("Sigmoid", "squeeze"),
        ],
        {},
        (1, 4),
    ),
}


def converted(model, opset):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return version_converter.convert_version(model, opset) if opset > 9 else model


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("name", NETS)
def test_a_network_is_the_same_at_every_opset(tmp_path, name, opset):
    nodes, constants, shape = NETS[name]
    model = converted(chain(nodes, constants, shape, 9), opset)
    assert model.opset_import[0].version == opset
    x = rng.normal(size=shape)
    # the judge takes batch norms of old opsets as in training
    expected = ReferenceEvaluator(converted(chain(nodes, constants, shape, 9), 21)).run(None, {"x": x})[0]
    assert_allclose(forward(loaded(tmp_path, model), x.ravel()), np.ravel(expected), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("opset", OPSETS)
def test_images_grow_at_every_opset(tmp_path, opset):
    constants = {"s": np.float32([1, 1, 2, 3]), "r": np.zeros(0, np.float32)}
    if opset < 11:
        made = node("Resize" if opset == 10 else "Upsample", "x", "s", mode="nearest", name="y")
    else:
        way = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        made = node("Resize", "x", "r", "s", name="y", **way)
    network = loaded(tmp_path, chain([made], constants, (1, 1, 2, 2), opset))
    x = rng.normal(size=(2, 2))
    assert forward(network, x.ravel()).tolist() == np.repeat(np.repeat(x, 2, 0), 3, 1).ravel().tolist()


def resize(shape, mode, way, opset=19, sizes=None, scales=None, **more):
    constants = {
        "r": np.zeros(0, np.float32),
        "s": np.float32(scales or []),
        "z": np.array(sizes or [], dtype=np.int64),
    }
    inputs = ("x", "r", "s") if scales else ("x", "r", "s", "z")
    made = node("Resize", *inputs, mode=mode, coordinate_transformation_mode=way, **more)
    return chain([made], constants, shape, opset), shape


RESIZED = {
    f"{mode}, {way}, {k}": (mode, way, how)
    for mode in ("nearest", "linear", "cubic")
    for way in ("half_pixel", "pytorch_half_pixel", "asymmetric", "align_corners", "half_pixel_symmetric")
    for k, how in enumerate(({"scales": [1, 1, 2, 1.5]}, {"sizes": [1, 1, 5, 3]}, {"scales": [1, 1, 0.5, 3]}))
}


@pytest.mark.parametrize("case", RESIZED)
def test_resize_agrees_with_the_reference(tmp_path, case):
    mode, way, how = RESIZED[case]
    model, shape = resize((1, 1, 4, 4), mode, way, **how)
    x = rng.normal(size=shape)
    expected = ReferenceEvaluator(model).run(None, {"x": x})[0]
    atol = 3e-6 if mode == "cubic" else 1e-13  # the judge's coefficients are float32
    assert_allclose(forward(loaded(tmp_path, model), x.ravel()), np.ravel(expected), rtol=0, atol=atol)


@pytest.mark.parametrize("rounding", ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"])
def test_nearest_rounds_as_told(tmp_path, rounding):
    agrees(tmp_path, *resize((1, 1, 4, 6), "nearest", "asymmetric", scales=[1, 1, 1.5, 2], nearest_mode=rounding))
    agrees(tmp_path, *resize((1, 1, 4, 6), "nearest", "half_pixel", sizes=[4, 3], axes=[2, 3], nearest_mode=rounding))


X8 = rng.integers(-128, 128, size=(5, 4)).astype(np.int8)
CASES = {
    "gather nd": ([node("GatherND", "x", "i")], {"i": np.array([[0, 1], [0, 3]])}, (1, 4), 17),
    "gather nd in batches": ([node("GatherND", "x", "i", batch_dims=1)], {"i": np.array([[2], [0]])}, (2, 3, 4), 17),
    "gather elements": (
        [node("GatherElements", "x", "i", axis=1)],
        {"i": np.array([[2, 0], [1, -1], [3, 3]])},
        (3, 4),
        17,
    ),
    "depth to space": ([node("DepthToSpace", "x", blocksize=2, mode="DCR")], {}, (1, 8, 2, 3), 17),
    "depth to space, columns": ([node("DepthToSpace", "x", blocksize=2, mode="CRD")], {}, (1, 8, 2, 3), 17),
    "space to depth": ([node("SpaceToDepth", "x", blocksize=2)], {}, (1, 2, 4, 6), 17),
    "cumulative sum": ([node("CumSum", "x", "a")], {"a": np.array(1)}, (2, 4, 3), 17),
    "from the end": ([node("CumSum", "x", "a", reverse=1, exclusive=1)], {"a": np.array(-1)}, (2, 4), 17),
    "int8 weights": (
        [
            node("DequantizeLinear", "q", "s", "z"),
            node("Cast", "dequantizelinear", to=TensorProto.DOUBLE),
            node("Gemm", "x", "cast", transB=1),
        ],
        {"q": X8, "s": np.float32(0.0371), "z": np.int8(3)},
        (1, 4),
        17,
    ),
    "int8 weights by row": (
        [
            node("DequantizeLinear", "q", "s", "z", axis=0),
            node("Cast", "dequantizelinear", to=TensorProto.DOUBLE),
            node("Gemm", "x", "cast", transB=1),
        ],
        {"q": X8, "s": rng.uniform(size=5).astype(np.float32), "z": np.arange(5, dtype=np.int8)},
        (1, 4),
        17,
    ),
    "one-hot": (
        [node("OneHot", "i", "d", "v"), node("MatMul", "x", "onehot")],
        {"i": np.array([2, 0, -1, 1]), "d": np.array(5), "v": np.array([0.0, 1.0])},
        (1, 4),
        17,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_more_operators_agree_with_the_reference(tmp_path, case):
    nodes, constants, shape, opset = CASES[case]
    model = chain(nodes, constants, shape, opset)
    if not case.startswith("int8"):
        agrees(tmp_path, model, shape)
        return
    network = loaded(tmp_path, model)  # the reference rounds the product to float32, which is exact here
    scale, zero = constants["s"].astype(float), constants["z"].astype(float)
    weight = (X8.astype(float) - zero.reshape(-1, 1)) * scale.reshape(-1, 1)
    assert np.array_equal(network.layers[0].weight, weight)


def test_an_index_beyond_the_depth_has_no_one_in_it(tmp_path):
    """As the operator's text says."""
    nodes = [node("OneHot", "i", "d", "v"), node("MatMul", "x", "onehot")]
    constants = {"i": np.array([1, 5, -6, -1]), "d": np.array(5), "v": np.array([0.0, 1.0])}
    network = loaded(tmp_path, chain(nodes, constants, (1, 4), 17))
    hot = [[0, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1]]
    assert network.layers[0].weight.astype(float).tolist() == hot


HALF, ONE = np.float32(0.5), np.float32(1)
ROOT, CUBE, OUTER = np.float32(2**0.5), np.float32(0.044715), np.float32((2 / np.pi) ** 0.5)
GATES = {
    "silu": ([node("Sigmoid", "x"), node("Mul", "x", "sigmoid")], {}),
    "silu, the other way": ([node("Sigmoid", "x"), node("Mul", "sigmoid", "x")], {}),
    "mish": ([node("Softplus", "x"), node("Tanh", "softplus"), node("Mul", "x", "tanh")], {}),
    "mish of exp and log": (
        [
            node("Exp", "x"),
            node("Add", "exp", "one"),
            node("Log", "add"),
            node("Tanh", "log"),
            node("Mul", "x", "tanh"),
        ],
        {"one": ONE},
    ),
    "gelu": (
        [
            node("Div", "x", "r"),
            node("Erf", "div"),
            node("Add", "erf", "one"),
            node("Mul", "x", "add"),
            node("Mul", "mul", "h", name="y"),
        ],
        {"r": ROOT, "one": ONE, "h": HALF},
    ),
    "gelu, half first": (
        [
            node("Mul", "x", "h"),
            node("Mul", "x", "q", name="z"),
            node("Erf", "z"),
            node("Add", "one", "erf"),
            node("Mul", "mul", "add", name="y"),
        ],
        {"q": np.float32(0.5**0.5), "one": ONE, "h": HALF},
    ),
    "gelu, half on the gate": (
        [
            node("Div", "x", "r"),
            node("Erf", "div"),
            node("Add", "erf", "one"),
            node("Mul", "h", "add"),
            node("Mul", "x", "mul", name="y"),
        ],
        {"r": ROOT, "one": ONE, "h": HALF},
    ),
    "gelu_tanh": (
        [
            node("Pow", "x", "three"),
            node("Mul", "c", "pow", name="a"),
            node("Add", "x", "a", name="b"),
            node("Mul", "b", "o", name="d"),
            node("Tanh", "d"),
            node("Add", "tanh", "one"),
            node("Mul", "x", "h", name="e"),
            node("Mul", "e", "add", name="y"),
        ],
        {"three": np.float32(3), "c": CUBE, "o": OUTER, "one": ONE, "h": HALF},
    ),
    "gelu_tanh of products": (
        [
            node("Mul", "x", "x", name="s"),
            node("Mul", "s", "x", name="t"),
            node("Mul", "c", "t", name="a"),
            node("Add", "x", "a", name="b"),
            node("Mul", "b", "o", name="d"),
            node("Tanh", "d"),
            node("Add", "tanh", "one"),
            node("Mul", "x", "h", name="e"),
            node("Mul", "e", "add", name="y"),
        ],
        {"c": CUBE, "o": OUTER, "one": ONE, "h": HALF},
    ),
    "softplus": ([node("Exp", "x"), node("Add", "exp", "one"), node("Log", "add")], {"one": ONE}),
    "sigmoid": (
        [node("Neg", "x"), node("Exp", "neg"), node("Add", "exp", "one"), node("Reciprocal", "add")],
        {"one": ONE},
    ),
    "square": ([node("Pow", "x", "two")], {"two": np.float32(2)}),
}


@pytest.mark.parametrize("case", GATES)
def test_functions_written_in_steps_are_recognised(tmp_path, case):
    nodes, constants = GATES[case]
    model = chain(nodes, constants, (1, 4), 17, TensorProto.FLOAT)
    network = loaded(tmp_path, model)
    names = [layer.name for layer in network.layers if layer.name != "affine"]
    assert names == [case.split(",")[0].split(" ")[0]]
    x = np.float32([[0.3, -1.2, 2.5, -0.01]])
    expected = ReferenceEvaluator(model).run(None, {"x": x})[0]
    assert_allclose(forward(network, x), expected, rtol=1e-5, atol=1e-6)  # the reference computes in float32


def test_what_only_looks_like_a_gate_is_left_as_it_is(tmp_path):
    near = [node("Mul", "x", "q"), node("Sigmoid", "mul"), node("Mul", "x", "sigmoid", name="y")]
    network = agrees(tmp_path, chain(near, {"q": np.float64(1.702)}), (1, 4))
    assert "silu" not in [layer.name for layer in network.layers]
    wrong = [node("Mul", "x", "q"), node("Erf", "mul"), node("Add", "erf", "one"), node("Mul", "x", "add", name="y")]
    network = loaded(tmp_path, chain(wrong, {"q": np.float64(0.7), "one": np.float64(1)}))
    assert "gelu" not in [layer.name for layer in network.layers]
