"""Digits lost: what is predicted before the run, and what is measured against balls."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from judge import SCHEMES
from networks import MOVES, Pair, everything, grow, mlp
from numpy.testing import assert_allclose

import gpac
from compile import Activation, Multiply, Network, Node, Tanh, dense, enclose_forward, forward
from compile.build import as_network, linear
from compile.schemes.conditioning import digits_lost, predicted_digits_lost
from compile.schemes.paths import WAYS, sensitivities
from compile.value import network_input
from gpac.repeated import Repeated

TOL = 2e-16
"""As small as can be asked: what is lost is the arithmetic's."""


def steep(gain: float, *widths: int) -> Network:
    """Weights `gain` times as large as usual: arguments of some 3 * gain, saturated neurons that come back."""
    layers = mlp(*widths, seed=3).layers
    scaled = [la if la == Tanh() else dense(gain * la.weight / np.sqrt(la.weight.shape[1]), la.bias) for la in layers]
    return Network(widths[0], scaled)


def lost(network: Network, x: np.ndarray, scheme: str) -> tuple[float, float]:
    """Digits measured, digits predicted."""
    exact = np.array([[float(v) for v in enclose_forward(network, row, digits=25).mid] for row in x])
    got = gpac.solve(SCHEMES[scheme](network), inputs=x, tol=TOL).check().outputs
    return digits_lost(got, exact), predicted_digits_lost(network, x, scheme)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("gain", [1, 3, 8, 20])
@pytest.mark.parametrize("widths", [(3, 4, 4, 2), (3, 8, 8, 8, 8, 2)])
def test_digits_lost_are_those_predicted(widths, gain, scheme):
    x = np.random.default_rng(0).normal(size=(3, 3))
    measured, predicted = lost(steep(gain, *widths), x, scheme)
    assert measured <= predicted + 1
    assert predicted <= measured + 1.5


def test_a_saturated_deep_network_loses_more_and_it_was_predicted():
    """Six layers of 30, gain 20: three to four digits, where a shallow flat one loses none."""
    x = np.random.default_rng(0).normal(size=(3, 3))
    steep_one, flat = steep(20, 3, 30, 30, 30, 30, 30, 30, 2), steep(1, 3, 30, 2)
    measured, predicted = lost(steep_one, x, "homotopy")
    assert 2 < predicted < measured + 1
    assert measured < predicted + 1
    assert predicted_digits_lost(flat, x, "homotopy") < 1


@pytest.mark.parametrize("scheme", SCHEMES)
def test_layers_on_many_rows_are_told_without_writing_them_out(scheme):
    rng = np.random.default_rng(2)
    rows = network_input((4, 3))
    hidden = linear(rows, rng.normal(size=(5, 3)), rng.normal(size=5)).apply("tanh")
    network = as_network(linear(hidden, rng.normal(size=(2, 5))), "rows", (4, 3))
    assert any(isinstance(m, Repeated) for n in network.nodes for m in getattr(n.operation, "matrices", ()))
    measured, predicted = lost(network, rng.normal(size=(2, 12)), scheme)
    assert measured <= predicted + 1


@settings(max_examples=7, deadline=None)
@given(moves=st.lists(st.sampled_from(MOVES), min_size=1, max_size=5), seed=st.integers(0, 2**32 - 1))
def test_random_dags(moves, seed):
    rng = np.random.default_rng(seed)
    pairs = [Pair(network_input((3,)), lambda v: v)]
    for move in moves:
        pairs.append(grow(pairs, move, rng))
    network = as_network(pairs[-1].value + pairs[-2].value, "dag")
    x = rng.normal(size=(2, 3))
    for scheme in ("homotopy", "sequential"):
        measured, predicted = lost(network, x, scheme)
        assert measured <= predicted + 1


@pytest.mark.parametrize("name", ["rsqrt", "sqrt", "reciprocal", "log"])
@pytest.mark.parametrize("offset", [1e-5, 0.01, 3.0])
def test_roots_near_their_pole(name, offset):
    """From 1 to 1e-5: the error of 1/v grows by up to 1e5, and is relative to a value of 1e5."""
    x = network_input((2,))
    network = as_network((x * x).apply(name, offset))
    for scheme in ("homotopy", "sequential"):
        measured, predicted = lost(network, np.array([[1e-3, 0.5], [2.0, 1e-4]]), scheme)
        assert measured <= predicted + 1


@pytest.mark.parametrize("scheme", ["homotopy", "sequential", "relaxation"])
def test_the_ways_are_those_of_the_program(scheme):
    network, x = everything(), np.array([0.5, -0.25, 1.0])
    ways = WAYS[scheme](network, x)
    # the relaxation's samples stop after a time of 24
    assert_allclose(ways[-1][-1], forward(network, x), rtol=0, atol=1e-4 if scheme == "relaxation" else 1e-13)
    if scheme == "homotopy":
        run = gpac.solve(SCHEMES[scheme](network), inputs=x, tol=1e-13, dense=True).check()
        assert_allclose(ways[-1], run.at(np.linspace(0, 1, len(ways[-1]))), atol=1e-11)


def test_sensitivities_are_derivatives():
    network, x, h = everything(), np.array([0.5, -0.25, 1.0]), 1e-6
    ends = [way[-1:] for way in WAYS["sequential"](network, x)]
    differences = [(forward(network, x + h * e) - forward(network, x - h * e)) / (2 * h) for e in np.eye(3)]
    assert_allclose(sensitivities(network, ends)[0], np.transpose(differences), atol=1e-7)


@pytest.mark.parametrize("result", ["softmax", "log_softmax", "logsumexp"])
def test_sensitivities_of_softmax_heads_and_of_products(result):
    z = linear(network_input((3,)), np.arange(9.0).reshape(3, 3) / 4, [0.5, 0, -0.5])
    head = as_network(z.softmax(0, result), result)
    times = Network(2, [dense([[1.0, 2.0]]), dense([[3.0], [4.0]]), Node(Multiply(("i,j->ij", (2,), (2,))), (0, 2))])
    for network in (head, times, Network(2, [Activation("sin"), Activation("factor", 3)])):
        x, h = np.array([0.5, -0.25, 1.0])[: network.size], 1e-6
        ends = [way[-1:] for way in WAYS["sequential"](network, x)]
        differences = [
            (forward(network, x + h * e) - forward(network, x - h * e)) / (2 * h) for e in np.eye(network.size)
        ]
        assert_allclose(sensitivities(network, ends)[0], np.transpose(differences), atol=1e-7)


def test_an_unknown_scheme_is_refused():
    with pytest.raises(gpac.GpacError, match="expected a scheme among homotopy, sequential, relaxation, got 'magic'"):
        predicted_digits_lost(mlp(1, 1, 1), [1.0], "magic")
