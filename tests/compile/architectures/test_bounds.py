"""The a-priori bound between a residual network and its flow, and the bounds on fields that it is made of."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from flows import A1, A2, C, W, X
from numpy.testing import assert_allclose

from compile import Activation, Affine, Network, Node, Tanh, dense, forward, scale
from compile.architectures import (
    activation_inside,
    euler_bound,
    growth,
    measure_gap,
    two_layers,
)
from compile.build import as_network, linear
from compile.value import einsum, network_input
from gpac import NumberError


@pytest.mark.parametrize(
    ("field", "x"),
    [
        (two_layers(A2, A1), X[0]),
        (activation_inside(W, C), X[1]),
        (two_layers(A2, A1, activation="softplus"), X[2]),
        (Network(2, [dense([[0.0, 1.0], [-1.0, 0.0]])]), [1.0, 0.0]),
        (Network(1, [Activation("square"), scale(-0.25)]), [1.0]),
        (Network(2, [Activation("square"), dense([[-0.25, 0.0], [0.125, -0.125]])]), [1.0, 0.5]),
    ],
)
@pytest.mark.parametrize("duration", [Fraction(1, 2), 2])
def test_the_bound_holds_for_every_kind_of_field(field, x, duration):
    x = np.asarray(x)
    for depth in (4, 64):
        difference = measure_gap(field, x, [depth], duration).differences[0]
        bound = euler_bound(field, x, duration, depth)
        assert 0 < difference <= bound
    assert bound < 1e4 or duration == 2  # and it says something, up to exp(l T) for l of about 10


def test_the_bound_is_never_above_the_classical_one():
    """(step M / 2l)(exp(l T) - 1), l = |A2| |A1|, M = |A2|^2 |A1|; for one neuron they are the same up to O(step)."""
    draws = np.random.default_rng(4)
    for n, m in ((1, 1), (3, 5), (6, 2)):
        inner, outer = draws.normal(size=(m, n)) / 2, draws.normal(size=(n, m)) / 2
        norm1, norm2 = np.abs(inner).sum(axis=1).max(), np.abs(outer).sum(axis=1).max()
        ell = norm1 * norm2
        for depth in (1, 10, 1000):
            classical = norm2**2 * norm1 / (2 * ell) * np.expm1(2 * ell) * 2 / depth
            assert euler_bound(two_layers(outer, inner), np.ones(n), 2, depth) <= classical * (1 + 1e-6)
    one = two_layers([[0.5]], [[2.0]])
    assert_allclose(euler_bound(one, [0.5], 1, 10**6) * 10**6, 0.25 * np.expm1(1), rtol=1e-5)


def test_the_growth_is_never_exceeded():
    """Values, difference quotients and logarithmic norms at random points of the box, for every kind of unit."""
    draws = np.random.default_rng(1)
    names = ("tanh", "sigmoid", "gelu", "silu", "sin", "softplus", "mish", "exp", "square", "gaussian")
    networks = [two_layers(A2, A1, np.ones(5), name) for name in names]
    h = network_input((3,))
    rooted = h * (h * h).mean([0], keep=True).apply("rsqrt", 0.25)
    product = einsum("ij,j->i", linear(h, np.vstack([W, W.T, A1[:3]])).apply("tanh").reshape(3, 3), h)
    for result in ("softmax", "log_softmax"):
        networks.append(as_network(linear(h, W).softmax(result=result) * h + rooted - product))
    networks.append(as_network(h * h.softmax(result="logsumexp")))
    for network in networks:
        found = growth(network, 1.5)
        points = draws.uniform(-1.5, 1.5, (100, 3))
        assert np.abs(forward(network, points)).max() <= found.size
        for point in points[:30]:
            eps = 1e-6
            J = (forward(network, point + eps * np.eye(3)) - forward(network, point - eps * np.eye(3))).T / (2 * eps)
            own = np.abs(J).sum(axis=1) - np.abs(np.diag(J)) + np.diag(J)
            assert np.abs(J).sum(axis=1).max() <= found.lipschitz + 1e-7
            assert own.max() <= found.norm + 1e-7
            assert np.abs(J @ forward(network, point)).max() <= found.second + 1e-7


def test_a_damped_field_is_bounded_for_all_times():
    """h' = A2 tanh(A1 h) - 20 h: the logarithmic norm is negative, and the bound does not grow with T."""
    damped = Network(3, [dense(A1), Tanh(), dense(A2), Node(Affine((np.array(1.0), np.array(-20.0)), 0), (3, 0))])
    assert growth(damped, 1).norm < -5
    for depth in (100, 1000):
        short, long = (euler_bound(damped, X[0], T, depth * T) for T in (1, 30))
        assert long <= 1.01 * short < 100 / depth
        assert measure_gap(damped, X[0], [depth], 1).differences[0] <= short
    assert euler_bound(damped, X[0], 1, 4) > 1e3  # steps of 1/4 are not stable: 20/4 > 1


def test_a_bound_that_overflows_is_infinite():
    steep = Network(1, [dense([[300.0]]), Activation("exp"), Tanh()])
    assert euler_bound(steep, [1.0], 3, 10) == np.inf
    with pytest.raises(NumberError, match="may blow up"):
        euler_bound(Network(1, [Activation("exp"), Activation("exp"), Activation("exp")]), [3.0], 1, 10)


def test_a_bound_past_a_possible_pole_is_refused():
    with pytest.raises(NumberError, match="may blow up"):
        euler_bound(Network(1, [Activation("square")]), [1.0], 2, 10)
