"""Equilibrium networks: the certificate, the enclosure of the fixed point, and the flow that tends to it."""

from __future__ import annotations

from fractions import Fraction

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.optimize import fsolve

import gpac
from compile import dense
from compile.architectures import Equilibrium, contraction, enclose_equilibrium, equilibrium
from gpac import NumberError, ShapeError

FUNCTIONS = {
    "tanh": np.tanh,
    "sigmoid": lambda v: 1 / (1 + np.exp(-v)),
    "softplus": lambda v: np.log1p(np.exp(v)),
    "sin": np.sin,
    "silu": lambda v: v / (1 + np.exp(-v)),
}


def model(n: int = 4, seed: int = 0, size: float = 0.8, activation: str = "tanh", readout: bool = True) -> Equilibrium:
    rng = np.random.default_rng(seed)
    W = rng.normal(size=(n, n))
    W *= size / np.abs(W).sum(axis=1).max() / {"sigmoid": 0.25, "silu": 1.1}.get(activation, 1.0)
    last = dense(rng.normal(size=(2, n)), rng.normal(size=2)) if readout else None
    return Equilibrium(W, rng.normal(size=(n, 3)), rng.normal(size=n), activation, last)


def truth(net: Equilibrium, x) -> np.ndarray:
    """scipy's root finder on the equation, then the read-out."""
    s = FUNCTIONS[net.activation]
    z = fsolve(lambda z: net.recurrent @ s(z) + net.incoming @ x + net.bias - z, np.zeros(net.size), xtol=1e-14)
    return s(z) if net.readout is None else net.readout.arrays(s(z)[None])[0]


@pytest.mark.parametrize("activation", FUNCTIONS)
def test_flow_balls_and_root_finder_agree(activation):
    net, x = model(activation=activation), np.array([0.5, -1.0, 0.25])
    expected = truth(net, x)
    exact = enclose_equilibrium(net, x, digits=30)
    assert exact.digits >= 30
    assert_allclose([float(m) for m in exact.mid], expected, rtol=0, atol=1e-11)
    program = equilibrium(net)
    got = gpac.solve(program, inputs=x, tol=1e-12).check().outputs
    assert_allclose(got, expected, rtol=0, atol=2e-11)
    proof = gpac.prove(program, inputs=x, digits=12)
    assert proof.digits >= 12 and exact.overlaps(proof)


def test_a_scalar_equilibrium_to_fifty_digits():
    """z = tanh(z)/2 + 1/3."""
    net = Equilibrium([[0.5]], [[1.0]])
    exact = enclose_equilibrium(net, [Fraction(1, 3)], digits=50)
    with mpmath.workdps(70):
        z = mpmath.findroot(lambda z: mpmath.tanh(z) / 2 + mpmath.mpf(1) / 3 - z, 0.6)
        assert exact.contains([mpmath.tanh(z)])


def test_the_program_says_that_it_is_a_limit():
    program = equilibrium(model(), rate=2)
    assert (program.program.scheme, program.program.claim) == ("equilibrium", "limit")
    assert program.dim == 4 + 2 * 4
    for w in program.integrals:
        assert set(w.initial.tolist()) <= {0.0, 1.0}


@pytest.mark.parametrize("rate", [1, Fraction(5, 2)])
@pytest.mark.parametrize("seed", range(3))
def test_the_error_stays_below_its_bound_at_all_times(seed, rate):
    net, x = model(seed=seed, size=0.9), np.random.default_rng(seed).normal(size=3)
    program, end = equilibrium(net, rate), 20
    run = gpac.solve(program, t=end, inputs=x, tol=1e-13, dense=True).check()
    times = np.linspace(0, end, 30)
    errors = np.abs(run.at(times) - truth(net, x)).max(axis=1)
    bounds = [float(program.program.limit.error({"x": x}, float(t)).abs_upper()) for t in times]
    assert (errors <= np.array(bounds) + 1e-11).all()
    assert errors[0] > 1e-3 and bounds[-1] < 0.3 * bounds[0]


def test_the_horizon_is_enough_and_not_much_more():
    net, x = model(), np.array([0.5, -1.0, 0.25])
    limit = equilibrium(net).program.limit
    end = limit.time({"x": x}, 1e-9)
    assert 0.5e-9 < float(limit.error({"x": x}, end).abs_upper()) <= 1e-9 * (1 + 1e-6)
    with pytest.raises(NumberError, match="positive error"):
        limit.time({"x": x}, 0)


@settings(max_examples=30, deadline=None)
@given(n=st.integers(1, 8), seed=st.integers(0, 2**32 - 1), size=st.floats(0.05, 0.95))
def test_the_certificate_bounds_every_slope(n, seed, size):
    """Against logarithmic norms of W D at random slopes D, in the certificate's own norm."""
    net = model(n, seed, size)
    proof = contraction(net)
    v = np.array([float(s) for s in proof.scaling])
    for slopes in np.random.default_rng(seed).uniform(size=(20, n)):
        matrix = net.recurrent * slopes * v / v[:, None]
        measure = (np.abs(matrix) - np.abs(np.diag(np.diag(matrix)))).sum(axis=1) + np.diag(matrix)
        assert measure.max() <= float(proof.m.upper()) * (1 + 1e-12)


def test_the_scaling_proves_more_than_the_row_sums():
    """Row sums up to 100, but a loop of gain 1/4: contracting in a scaled norm."""
    net = Equilibrium([[0.0, 100.0], [0.0025, 0.0]], np.eye(2))
    assert 0.49 < float(contraction(net).m) < 0.51
    x = np.array([0.5, 1.0])
    assert_allclose(gpac.solve(equilibrium(net), inputs=x, tol=1e-12).outputs, truth(net, x), rtol=0, atol=1e-10)


def test_a_loop_without_feedback_contracts_in_a_scaled_norm():
    """Row sums of 100 and no loop at all."""
    net = Equilibrium([[0.0, 100.0], [0.0, 0.0]], np.eye(2))
    assert contraction(net).m < 0.1


def test_a_strong_damping_needs_no_small_weights():
    """w_ii = -30: the iteration z <- W s(z) + c does not converge, the flow does, and monotone s makes it provable."""
    net = Equilibrium([[-30.0, 0.25], [0.25, -30.0]], np.eye(2))
    assert float(contraction(net).m.upper()) <= 0.2500001
    x = np.array([1.0, -2.0])
    exact = enclose_equilibrium(net, x, digits=25)
    assert_allclose([float(m) for m in exact.mid], truth(net, x), rtol=0, atol=1e-12)
    with pytest.raises(NumberError, match="logarithmic norm"):
        contraction(Equilibrium(net.recurrent, np.eye(2), activation="sin"))  # not monotone: 30 counts


def test_several_equilibria_are_refused():
    """z = 2 tanh(z) has three."""
    net = Equilibrium([[2.0]], [[1.0]])
    for call in (lambda: contraction(net), lambda: equilibrium(net), lambda: enclose_equilibrium(net, [0.0])):
        with pytest.raises(NumberError, match="only bounded by 2, which must be below 1"):
            call()


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Equilibrium(np.ones((2, 3)), np.ones((2, 1))), ShapeError, r"recurrent \(n, n\)"),
        (lambda: Equilibrium(np.eye(2), np.ones((2, 1)), np.ones(3)), ShapeError, r"bias \(n,\)"),
        (lambda: Equilibrium([[0.5]], [[1.0]], activation="exp"), NumberError, "no bounded slope"),
        (lambda: Equilibrium([[0.5]], [[1.0]], activation="square"), NumberError, "no bounded slope"),
        (lambda: Equilibrium([[0.5]], [[1.0]], activation="relu"), ShapeError, "not analytic"),
        (lambda: Equilibrium([[0.5]], [[1.0]], readout=dense(np.ones((1, 2)))), ShapeError, "columns"),
        (lambda: equilibrium(Equilibrium([[0.5]], [[1.0]]), rate=0), NumberError, "positive rational"),
    ],
)
def test_bad_input_is_a_sentence(make, error, message):
    with pytest.raises(error, match=message):
        make()
