"""Networks on the branches taken at one input: the same function there, and a proven region."""

from fractions import Fraction

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gpac
from compile import (
    Activation,
    Network,
    Node,
    dense,
    enclose_forward,
    forward,
    homotopy,
    pattern,
    relaxation,
    sequential,
)
from compile.activations import Smooth
from compile.groups import Groups
from compile.operations import Maximum, Multiply, Softmax
from gpac import NumberError, ShapeError


def kinked(name, *numbers):
    return Activation(name, Smooth(0, numbers))


def relus(seed=0, width=12):
    rng = np.random.default_rng(seed)
    layers = [dense(rng.normal(size=(width, 3)), rng.normal(size=width)), kinked("relu")]
    layers += [dense(rng.normal(size=(width, width)), rng.normal(size=width)), kinked("relu")]
    return Network(3, [*layers, dense(rng.normal(size=(2, width)))], "relus")


def everything(seed=0):
    """All functions with kinks, with analytic layers between them."""
    rng = np.random.default_rng(seed)

    def weights(m, n):
        return dense(rng.normal(size=(m, n)) / np.sqrt(n), rng.normal(size=m))

    layers = [weights(6, 3), kinked("hardswish"), weights(6, 6), kinked("elu", 2, Fraction(1, 2), 3), weights(5, 6)]
    layers += [Activation("tanh"), weights(6, 5), kinked("clip", Fraction(-1, 2), 1), weights(7, 6)]
    layers += [Maximum(Groups(np.array([0, 1, 0, 2, 1, 1, 2])), 0), Softmax(Groups(np.array([0, 0, 0])))]
    return Network(3, [*layers, weights(4, 3), kinked("abs"), weights(2, 4)], "everything")


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([relus, everything]))
def test_the_pattern_is_the_network_within_the_radius(seed, make):
    network, rng = make(seed), np.random.default_rng(seed)
    x = rng.normal(size=3)
    found = pattern(network, x)
    assert not found.network.smooth
    radius = float(found.radius)
    assert radius > 0
    corners = rng.choice([-1.0, 1.0], (50, 3))
    points = x + np.concatenate([np.zeros((1, 3)), corners, rng.uniform(-1, 1, (200, 3))]) * radius * (1 - 1e-9)
    truth = forward(network, points)
    assert np.abs(forward(found.network, points) - truth).max() <= 1e-12 * max(1.0, np.abs(truth).max())


def test_of_relu_layers_the_radius_is_the_largest():
    """The nearest kink lies at a corner of the box: there an argument changes its sign."""
    network, x = relus(1), np.array([0.25, -0.5, 0.125])
    found = pattern(network, x)
    first, second = network.layers[0], network.layers[2]
    z = first.weight @ x + first.bias
    slopes = (z > 0)[:, None] * first.weight
    arguments = np.concatenate([z, second.weight @ np.maximum(z, 0) + second.bias])
    rows = np.concatenate([first.weight, second.weight @ slopes])
    nearest = (np.abs(arguments) / np.abs(rows).sum(axis=1)).min()
    assert float(found.radius) == pytest.approx(nearest, rel=1e-5)
    assert found.radius < Fraction(nearest)
    assert len(found.conditions) == 24
    assert {str(c) for c in found.conditions} >= {f"layer 2: {'0 < z[0]' if z[0] > 0 else 'z[0] < 0'}"}


@pytest.mark.parametrize("scheme", [homotopy, sequential, relaxation])
def test_the_program_is_the_network_itself_and_says_where(scheme):
    network, x = everything(3), [Fraction(1, 3), Fraction(-2, 7), Fraction(1, 5)]
    program = pattern(network, x).compile(scheme)
    assert program.program.claim == ("limit" if scheme is relaxation else "exact")
    assert "keep their branch: at least within" in program.program.region
    assert program.program.region in gpac.describe(program).sentences()["output"]
    itself = enclose_forward(network, x, digits=30)
    run = gpac.solve(program, inputs=[[float(v) for v in x]], tol=1e-14).check().outputs[0]
    assert np.abs(run - [float(m) for m in itself.mid]).max() < 1e-11
    if scheme is sequential:
        proof = gpac.prove(program, inputs=x, digits=20).check()
        assert itself.overlaps(proof) and proof.original is proof.balls


def test_products_are_followed():
    nodes = [dense(np.eye(2), [0.5, -0.25]), kinked("relu")]
    network = Network(2, [*nodes, Node(Multiply(("i,j->ij", (2,), (2,))), (1, 2)), kinked("abs")])
    x = np.array([1.0, 0.5])
    found = pattern(network, x)
    assert 0.1 < float(found.radius) <= 0.25  # the kink is at 0.25; a ball of products is wider than the products
    points = x + np.random.default_rng(0).uniform(-1, 1, (100, 2)) * float(found.radius)
    assert np.array_equal(forward(found.network, points), forward(network, points))


def test_an_input_on_a_kink_has_no_pattern():
    with pytest.raises(NumberError, match=r"layer 2 of 'n'.*entry 1 of its argument, 0, is not proven to be"):
        pattern(Network(2, [dense(np.eye(2)), kinked("relu")], "n"), [1.0, 0.0])
    with pytest.raises(NumberError, match=r"the largest of its entries 0, 1 is not proven"):
        pattern(Network(2, [Maximum(Groups(np.array([0, 0])), 0)]), [1.0, 1.0])
    with pytest.raises(ShapeError, match="expected one input of 2 numbers"):
        pattern(Network(2, [kinked("relu")]), [1.0])


def test_an_input_too_near_a_kink_needs_more_bits():
    third = Network(1, [dense([[3.0]], [-1.0]), kinked("relu")])
    close = Fraction(1, 3) + Fraction(1, 10**60)
    with pytest.raises(NumberError, match="take another input, or more bits"):
        pattern(third, [close])
    found = pattern(third, [close], bits=300)
    assert 0 < found.radius < Fraction(1, 10**60)
    assert mpmath.almosteq(forward(found.network, [0.5])[0], 0.5)


def test_a_smooth_network_has_the_pattern_of_its_original():
    network = relus(2)
    smooth = Network(3, [Activation("relu", Smooth(0.1)) if la.nonlinear else la for la in network.layers], "relus")
    x = [0.1, 0.2, 0.3]
    assert pattern(smooth, x).conditions == pattern(network, x).conditions
    assert pattern(Network(3, [dense(np.eye(3)), Activation("tanh")]), x).conditions == ()
