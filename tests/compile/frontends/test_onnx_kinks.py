"""ONNX operators with kinks: with smooth=0 what the reference evaluator computes, with smooth=delta within delta."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from onnx.reference import ReferenceEvaluator
from onnx_models import chain, node

import gpac
from compile import enclose_forward, forward, load, sequential
from gpac import LoadError, NumberError

rng = np.random.default_rng(5)
VECTOR, IMAGE = (1, 6), (1, 2, 5, 4)
SLOPES = rng.uniform(-0.5, 0.5, (2, 1, 1))

CASES = {
    "Abs": ([node("Abs", "x")], {}, VECTOR),
    "Celu": ([node("Celu", "x", alpha=0.7)], {}, VECTOR),
    "Clip with numbers": ([node("Clip", "x", "a", "b")], {"a": -0.5, "b": 0.75}, VECTOR),
    "Clip from below": ([node("Clip", "x", "a")], {"a": 0.25}, VECTOR),
    "Clip from above": ([node("Clip", "x", "", "b")], {"b": 0.25}, VECTOR),
    "Clip of nothing": ([node("Tanh", "x"), node("Clip", "tanh")], {}, VECTOR),
    "Clip at the largest float": ([node("Clip", "x", "a", "b")], {"a": 0.0, "b": 3.4028234663852886e38}, VECTOR),
    "Clip far above": ([node("Clip", "x", "a", "b")], {"a": -4e38, "b": 0.25}, VECTOR),
    "Elu": ([node("Elu", "x", alpha=1.5)], {}, VECTOR),
    "GlobalMaxPool": ([node("GlobalMaxPool", "x")], {}, IMAGE),
    "HardSigmoid": ([node("HardSigmoid", "x", alpha=0.3, beta=0.4)], {}, VECTOR),
    "HardSwish": ([node("HardSwish", "x")], {}, VECTOR),
    "LeakyRelu": ([node("LeakyRelu", "x", alpha=0.2)], {}, VECTOR),
    "Max of three": ([node("Tanh", "x"), node("Max", "x", "tanh", "c")], {"c": rng.normal(size=6)}, VECTOR),
    "Max of one": ([node("Tanh", "x"), node("Max", "tanh")], {}, VECTOR),
    "Max with a number": ([node("Max", "x", "c")], {"c": 0.1}, VECTOR),
    "MaxPool": ([node("MaxPool", "x", kernel_shape=[2, 2])], {}, IMAGE),
    "MaxPool with strides and padding": (
        [node("MaxPool", "x", kernel_shape=[3, 2], strides=[2, 1], pads=[1, 0, 1, 1])],
        {},
        IMAGE,
    ),
    "MaxPool with dilation": ([node("MaxPool", "x", kernel_shape=[2, 2], dilations=[2, 1])], {}, IMAGE),
    "MaxPool that pads as it must": (
        [node("MaxPool", "x", kernel_shape=[2, 3], strides=[2, 2], auto_pad="SAME_UPPER")],
        {},
        IMAGE,
    ),
    "Min": ([node("Tanh", "x"), node("Min", "x", "tanh")], {}, VECTOR),
    "PRelu": ([node("PRelu", "x", "s")], {"s": SLOPES}, IMAGE),
    "ReduceMax": ([node("ReduceMax", "x", axes=[2], keepdims=0)], {}, IMAGE),
    "ReduceMin": ([node("ReduceMin", "x")], {}, IMAGE),
    "Relu": ([node("Relu", "x")], {}, VECTOR),
    "Selu": ([node("Selu", "x")], {}, VECTOR),
    "Shrink": ([node("Shrink", "x", lambd=0.4, bias=0.4)], {}, VECTOR),
    "Softsign": ([node("Softsign", "x")], {}, VECTOR),
    "ThresholdedRelu": ([node("ThresholdedRelu", "x", alpha=0.0)], {}, VECTOR),
    "a network": (
        [
            node("Conv", "x", "k", pads=[1, 1, 1, 1]),
            node("Relu", "conv"),
            node("MaxPool", "relu", kernel_shape=[2, 2], strides=[2, 2]),
            node("Flatten", "maxpool"),
            node("Gemm", "flatten", "w", "b"),
            node("LeakyRelu", "gemm"),
        ],
        {"k": rng.normal(size=(3, 2, 3, 3)), "w": rng.normal(size=(12, 4)), "b": rng.normal(size=4)},
        (1, 2, 4, 4),
    ),
}


def written(folder, nodes, constants, shape):
    constants = {name: np.asarray(value, dtype=np.float64) for name, value in constants.items()}
    model = chain(nodes, constants, shape)
    path = folder / "net.onnx"
    path.write_bytes(model.SerializeToString())
    return path, ReferenceEvaluator(model)


@pytest.mark.parametrize("name", CASES)
def test_it_is_the_operator_and_stays_within_the_distance(tmp_path, name):
    nodes, constants, shape = CASES[name]
    path, judge = written(tmp_path, nodes, constants, shape)
    x = 2 * rng.normal(size=(20, int(np.prod(shape))))
    truth = np.array([judge.run(None, {"x": row.reshape(shape)})[0].ravel() for row in x])
    itself, smooth = load(path, smooth=0), load(path, smooth="1/1000")
    # alphas are float32 numbers in the file: what the evaluator rounds them to is its own matter
    assert_allclose(forward(itself, x), truth, rtol=1e-6, atol=1e-6)
    assert itself.distance() == 0
    everywhere = float(smooth.distance())
    seen = np.abs(forward(smooth, x) - forward(itself, x)).max()
    assert seen <= min(everywhere, 0.1)
    if len(nodes) == 1:
        assert everywhere <= 1e-3 * (1 + 1e-6) or name == "Softsign"  # a product, bounded input by input
        assert seen <= 1e-3
    assert np.array_equal(forward(smooth.original, x), forward(itself, x))
    assert float(smooth.distance(x[0])) <= everywhere * (1 + 1e-9)


def test_a_network_runs_and_is_proven(tmp_path):
    nodes = [node("Relu", "x"), node("MaxPool", "relu", kernel_shape=[2, 2]), node("Flatten", "maxpool")]
    path, _ = written(tmp_path, [*nodes, node("Gemm", "flatten", "w")], {"w": [[2.0]]}, (1, 1, 2, 2))
    network = load(path, smooth=1 / 8)
    x = rng.normal(size=(2, network.size))
    program = sequential(network)
    assert_allclose(gpac.solve(program, inputs=x, tol=1e-14).outputs, forward(network, x), rtol=0, atol=1e-11)
    proof = gpac.prove(program, inputs=x[0], digits=6)
    itself = enclose_forward(network.original, x[0], digits=20)
    assert all(wide.contains(ball) for wide, ball in zip(proof.original, itself.balls, strict=True))


def test_a_maximum_over_no_axes_is_the_value_itself(tmp_path):
    nodes = [node("Tanh", "x"), node("ReduceMax", "tanh", noop_with_empty_axes=1)]
    path = tmp_path / "one.onnx"
    path.write_bytes(chain(nodes, {}, VECTOR, 18).SerializeToString())
    x = rng.normal(size=6)
    assert_allclose(forward(load(path, smooth=0), x), np.tanh(x), rtol=1e-12)


@pytest.mark.parametrize("name", [n for n in CASES if len(CASES[n][0]) == 1 and n != "ThresholdedRelu"])
def test_without_smooth_the_node_is_named(tmp_path, name):
    path, _ = written(tmp_path, *CASES[name])
    (only,) = CASES[name][0]
    with pytest.raises(LoadError, match=rf"node 1 of 1, {only.op_type} '.*is not analytic .*give smooth=delta"):
        load(path)


JUMPS = {
    "Sign": ([node("Sign", "x")], "'sign' is not analytic .it has a jump"),
    "Floor": ([node("Floor", "x")], "none stays close to it"),
    "Shrink": ([node("Shrink", "x", lambd=0.5)], "'shrink' has a jump here .its bias 0 is not its lambd 0.5"),
    "ThresholdedRelu": ([node("ThresholdedRelu", "x")], "'thresholded_relu' has a jump here .its alpha is 1, not 0"),
}


@pytest.mark.parametrize("name", JUMPS)
def test_a_jump_is_refused_with_smooth_too(tmp_path, name):
    nodes, message = JUMPS[name]
    path, _ = written(tmp_path, nodes, {}, VECTOR)
    with pytest.raises(LoadError, match=rf"node 1 of 1, {name} .*{message}"):
        load(path, smooth=1e-3)


def test_wrong_numbers_are_named(tmp_path):
    path, _ = written(tmp_path, *CASES["Relu"])
    with pytest.raises(NumberError, match=r"expected smooth to be a rational number of at least 0, .* got -1"):
        load(path, smooth=-1)
    path, _ = written(tmp_path, [node("Clip", "x", "a")], {"a": [1.0, 2.0]}, VECTOR)
    with pytest.raises(LoadError, match="expected one number as its min, got the shape"):
        load(path, smooth=1)
    path, _ = written(tmp_path, [node("MaxPool", "x", kernel_shape=[2])], {}, IMAGE)
    with pytest.raises(LoadError, match="a kernel for the 2 axes of an image"):
        load(path, smooth=1)
    path, _ = written(tmp_path, [node("Celu", "x", alpha=-1.0)], {}, VECTOR)
    with pytest.raises(LoadError, match="expected a positive alpha, got -1"):
        load(path, smooth=1)
    (tmp_path / "net.yml").write_text("activations: {1: Tanh}\noffsets: {1: [0]}\nweights: {1: [[1]]}\n")
    with pytest.raises(LoadError, match=r"smooth is for .onnx files, got .yml"):
        load(tmp_path / "net.yml", smooth=1)
