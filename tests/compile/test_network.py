"""Networks as data: what fits, what is refused, and plain evaluation against a few lines of numpy."""

from fractions import Fraction

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from compile import Dense, Network, Scale, Sigmoid, Tanh, dense, forward
from compile.network import carried, chain
from gpac import NumberError, ShapeError
from gpac.exact import exact_array

RNG = np.random.default_rng(2)
A, a, B, b = RNG.normal(size=(4, 3)), RNG.normal(size=4), RNG.normal(size=(2, 4)), RNG.normal(size=2)
THIRD = Scale(exact_array([Fraction(1, 3)]), exact_array([0.5, 0, -0.25]))


def small() -> Network:
    return Network(3, [THIRD, dense(A, a), Tanh(), dense(B, b), Sigmoid()], "small")


def test_forward_is_what_the_layers_say():
    x = RNG.normal(size=(5, 3))
    hidden = np.tanh((x / 3 + [0.5, 0, -0.25]) @ A.T + a)
    # rtol: sums of four products, and two ways to write a sigmoid
    assert_allclose(forward(small(), x), 1 / (1 + np.exp(-(hidden @ B.T + b))), rtol=1e-14)


def test_one_input_gives_one_output():
    x = RNG.normal(size=(5, 3))
    assert forward(small(), x[0]).shape == (2,)
    assert_allclose(forward(small(), x[0]), forward(small(), x)[0], rtol=1e-15)
    assert forward(small(), np.zeros((0, 3))).shape == (0, 2)


def test_a_saturated_sigmoid_neither_overflows_nor_warns():
    network = Network(1, [Sigmoid()])
    assert_array_equal(forward(network, [[-1e4], [0.0], [1e4]]), [[0.0], [0.5], [1.0]])


def test_images_are_flattened_row_by_row():
    network = Network(6, [dense(np.arange(6.0)[None])], input_shape=(2, 3))
    image = np.arange(6.0).reshape(2, 3)
    assert forward(network, image).tolist() == [55.0]
    assert forward(network, np.stack([image, 2 * image])).tolist() == [[55.0], [110.0]]


def test_stages_are_kept_for_pictures():
    x = RNG.normal(size=(5, 3))
    stages = carried(small(), x)
    assert [s.shape[1] for s in stages] == [3, 4, 2]
    assert_array_equal(stages[0], x)
    assert_array_equal(stages[-1], forward(small(), x))
    linear_end = Network(3, small().layers[:-1])
    assert_array_equal(carried(linear_end, x)[-1], forward(linear_end, x))


def test_counts_and_printing():
    network = small()
    assert network.widths == (3, 3, 4, 4, 2, 2)
    assert (network.outputs, network.neurons, network.weights) == (2, 6, 4 * 3 + 4 + 2 * 4 + 2)
    assert repr(network) == "Network(3-4-2 sigmoid/tanh, 26 weights)"
    assert repr(Network(2, [dense([[1, 2]])])) == "Network(2-1 linear, 3 weights)"
    assert [repr(layer) for layer in network.layers[:2]] == ["Scale(3 entries)", "Dense(3 -> 4)"]
    assert len(repr(Network(300, [dense(np.ones((400, 300)))]))) < 80


def test_the_golden_network_has_37_parameters():
    shapes = [(4, 2), (4, 4), (1, 4)]
    layers = [dense(np.ones(s)) for s in shapes]
    network = Network(2, [layers[0], Tanh(), layers[1], Tanh(), layers[2]])
    assert (network.weights, network.neurons) == (37, 8)


def test_chain_groups_linear_layers_before_each_activation():
    one, two = dense(A, a), dense(B, b)
    kinds = lambda layers: [(len(linear), type(act).__name__) for linear, act in chain(layers)]  # noqa: E731
    assert kinds([THIRD, one, Tanh(), two]) == [(2, "Tanh"), (1, "NoneType")]
    assert kinds([Tanh(), Sigmoid()]) == [(0, "Tanh"), (0, "Sigmoid")]
    assert kinds([one, two]) == [(2, "NoneType")]
    assert kinds([]) == [(0, "NoneType")]


@pytest.mark.parametrize(
    ("layers", "kind", "message"),
    [
        ([dense(B)], ShapeError, r"layer 1 of 'n', Dense\(4 -> 2\): expected a weight matrix with 3 columns"),
        ([dense(A), Tanh(), dense(A)], ShapeError, r"layer 3 of 'n'.*4 columns, got shape \(4, 3\)"),
        ([Dense(A, np.zeros(3))], ShapeError, r"bias of shape \(4,\), got \(3,\)"),
        pytest.param(
            [Dense(A[0], np.zeros(1))],
            ShapeError,
            r"got shape \(3,\)",
        ),
        ([Scale(np.ones(2), np.zeros(1))], ShapeError, r"expected 1 or 3 numbers, got shape \(2,\)"),
        (["tanh"], ShapeError, "expected Dense, Scale, Tanh or Sigmoid, got str"),
        ([dense([[1, 2, np.nan]])], NumberError, r"layer 1.*got nan at weight\[0, 2\]"),
        ([Dense(A, np.array([0, np.inf, 0, 0]))], NumberError, r"got inf at bias\[1\]"),
        ([Scale(np.array([np.inf]), np.zeros(1))], NumberError, r"got inf at number\[0\]"),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_a_layer_that_does_not_fit_is_named(layers, kind, message):
    with pytest.raises(kind, match=message):
        Network(3, layers, "n")


def test_biases_are_finite():
    with pytest.raises(NumberError, match="NaN or inf"):
        dense([[1.0]], [np.nan])


@pytest.mark.parametrize("x", [np.zeros(2), np.zeros((5, 2)), np.zeros((2, 3, 1, 2)), 1.0], ids=np.shape)
def test_inputs_of_the_wrong_shape_are_refused(x):
    with pytest.raises(ShapeError, match=r"expected inputs of shape \(3,\) or \(B, 3\)"):
        forward(small(), x)


@pytest.mark.parametrize("x", [[[0, 0, np.nan]], [0, 0, np.inf]])
def test_inputs_are_finite(x):
    with pytest.raises(NumberError, match="NaN or inf"):
        forward(small(), x)
