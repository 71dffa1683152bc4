"""Networks as data: what fits, what is refused, and plain evaluation against a few lines of numpy."""

from fractions import Fraction

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_matrix

from compile import Affine, Network, Node, Sigmoid, Tanh, dense, forward, scale
from compile.network import carried
from gpac import NumberError, ShapeError

RNG = np.random.default_rng(2)
A, a, B, b = RNG.normal(size=(4, 3)), RNG.normal(size=4), RNG.normal(size=(2, 4)), RNG.normal(size=2)
THIRD = scale([Fraction(1, 3)], [0.5, 0, -0.25])


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
    assert [repr(layer) for layer in network.layers[:2]] == ["Affine(3)", "Affine(3 -> 4)"]
    assert len(repr(Network(300, [dense(np.ones((400, 300)))]))) < 80


def test_the_golden_network_has_37_parameters():
    shapes = [(4, 2), (4, 4), (1, 4)]
    layers = [dense(np.ones(s)) for s in shapes]
    network = Network(2, [layers[0], Tanh(), layers[1], Tanh(), layers[2]])
    assert (network.weights, network.neurons) == (37, 8)


@pytest.mark.parametrize(
    ("layers", "kind", "message"),
    [
        ([dense(B)], ShapeError, r"layer 1 of 'n', Affine\(4 -> 2\): expected a weight matrix with 3 columns"),
        ([dense(A), Tanh(), dense(A)], ShapeError, r"layer 3 of 'n'.*4 columns, got shape \(4, 3\)"),
        ([dense(A, np.zeros(3))], ShapeError, r"bias of shape \(4,\), got \(3,\)"),
        ([scale(np.ones(2))], ShapeError, r"expected 1 or 3 factors, got shape \(2,\)"),
        (["tanh"], ShapeError, "expected an operation such as .*, got str"),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_a_layer_that_does_not_fit_is_named(layers, kind, message):
    with pytest.raises(kind, match=message):
        Network(3, layers, "n")


def test_weights_are_finite_matrices():
    with pytest.raises(NumberError, match="NaN or inf"):
        dense([[1.0]], [np.nan])
    with pytest.raises(NumberError, match=r"got nan at weight\[0, 2\]"):
        dense([[1, 2, np.nan]])
    with pytest.raises(NumberError, match=r"got inf at weight\[1, 0\]"):
        dense(csr_matrix([[0, 1.0], [np.inf, 0]]))
    with pytest.raises(NumberError, match="NaN or inf"):
        scale(np.inf)
    with pytest.raises(ShapeError, match=r"expected a weight matrix \(m, n\), got shape \(3,\)"):
        dense(A[0])


def test_a_node_reads_earlier_values_and_every_value_is_read():
    add = Affine((np.array(1.0), np.array(1.0)), 0)
    with pytest.raises(ShapeError, match="expected 2 inputs, got 1"):
        Network(3, [Tanh(), Node(add, (0,))])
    with pytest.raises(ShapeError, match="among the values 0 to 1 before it, got 2"):
        Network(3, [Tanh(), Node(add, (0, 2))])
    with pytest.raises(ShapeError, match="layer 1 of 'network', Tanh: nothing reads its value"):
        Network(3, [Tanh(), Node(Sigmoid(), (0,))])
    skip = Network(3, [Tanh(), Node(add, (0, 1))])
    x = RNG.normal(size=(2, 3))
    assert_array_equal(forward(skip, x), np.tanh(x) + x)


@pytest.mark.parametrize("x", [np.zeros(2), np.zeros((5, 2)), np.zeros((2, 3, 1, 2)), 1.0], ids=np.shape)
def test_inputs_of_the_wrong_shape_are_refused(x):
    with pytest.raises(ShapeError, match=r"expected inputs of shape \(3,\) or \(B, 3\)"):
        forward(small(), x)


@pytest.mark.parametrize("x", [[[0, 0, np.nan]], [0, 0, np.inf]])
def test_inputs_are_finite(x):
    with pytest.raises(NumberError, match="NaN or inf"):
        forward(small(), x)
