"""Random circuits that are well posed: engines agree, time can be reversed, cuts change nothing, invariants hold."""

from fractions import Fraction

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

import gpac
from gpac import Circuit, integral, linear, solve
from gpac import functions as fn
from gpac.wire import Start, product

BACKENDS = ("compiled", "numpy")
FUNCTIONS = (fn.tanh, fn.sin, fn.cos, fn.sigmoid, fn.arctan)


def circuit(seed: int) -> tuple[Circuit, np.ndarray]:
    """h' = -h + (a few bounded functions of linear maps of h, inputs and time), read with an integral along h.

    Bounded functions and a contraction: the solution exists for all times and the flow spreads by at most e^10.
    """
    rng = np.random.default_rng(seed)
    n, m = int(rng.integers(1, 7)), int(rng.integers(1, 9))
    start, drive = gpac.inputs("start", n), gpac.inputs("drive", 2)
    h, t = gpac.wire("h", n), gpac.time()
    terms = [(-Fraction(1, 3), h)]
    for _ in range(int(rng.integers(1, 4))):
        inner = [(rng.normal(size=(m, n)) / np.sqrt(n), h)]
        if rng.random() < 0.5:
            inner.append((scipy.sparse.csr_array(rng.normal(size=(m, 2)) * (rng.random((m, 2)) < 0.7)), drive))
        if rng.random() < 0.5:
            inner.append((rng.normal(size=(m, 1)), t))
        bounded = FUNCTIONS[rng.integers(len(FUNCTIONS))](linear(inner, rng.normal(size=m)))
        if rng.random() < 0.3:
            bounded = product(bounded, bounded)
        terms.append((rng.normal(size=(n, m)) / np.sqrt(m), bounded))
    h.define(integral(linear(terms, rng.normal(size=n) / 3), None, Start("identity", start), name="h"))
    along = integral(linear([(rng.normal(size=(n, n)) / n, h)]), h, name="along")
    return Circuit({"h": h, "along": along, "norm": gpac.bilinear("i,i->", h, h, (n,), (n,))}), rng.normal(size=(5, n))


def run(system, start, t, drive=None, **more):
    given = {"start": start}
    if "drive" in system.inputs:
        given["drive"] = np.tile([0.5, -1.0], (len(start), 1)) if drive is None else drive
    return solve(system, t=t, inputs=given, **({"tol": 1e-12} | more)).check()


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), t=st.sampled_from([0.1, 1.0, 3.0, -0.5]))
def test_engines_agree_within_their_tolerance(seed, t):
    system, start = circuit(seed)
    results = [run(system, start, t, backend=b, length=True) for b in BACKENDS]
    scale = max(1.0, np.abs(results[0].outputs).max())
    assert_allclose(results[0].outputs, results[1].outputs, atol=1e-9 * scale, rtol=0)
    assert_allclose(results[0].states, results[1].states, atol=1e-9 * scale, rtol=0)
    assert_allclose(results[0].length, results[1].length, rtol=1e-3)
    assert_allclose(results[0].outputs[:, -1], (results[0].named["h"] ** 2).sum(axis=1), rtol=1e-9, atol=1e-12)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), t=st.sampled_from([0.1, 1.0, 3.0, -0.5]))
def test_methods_agree_within_their_tolerance(seed, t):
    """Taylor, Runge-Kutta and Radau, at the end and on the way."""
    system, start = circuit(seed)
    taylor = run(system, start, t, method="taylor", dense=True, length=True)
    scale, times = max(1.0, np.abs(taylor.outputs).max()), t * np.linspace(0, 1, 9)
    for method, tol, error in (("rungekutta", 1e-11, 1e-8), ("stiff", 1e-8, 1e-5)):
        other = run(system, start[:2], t, method=method, tol=tol, dense=True, length=True)
        assert_allclose(other.outputs, taylor.outputs[:2], atol=error * scale, rtol=0)
        assert_allclose(other.at(times), taylor.at(times)[:2], atol=10 * error * scale, rtol=0)
        assert_allclose(other.length, taylor.length[:2], rtol=1e-3)


@pytest.mark.parametrize("backend", BACKENDS)
@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_smaller_tolerances_come_closer(backend, seed):
    system, start = circuit(seed)
    fine, coarse, rough = (run(system, start, 1.0, backend=backend, tol=tol).outputs for tol in (1e-14, 1e-9, 1e-4))
    scale = max(1.0, np.abs(fine).max())
    assert np.abs(coarse - fine).max() <= 1e-6 * scale
    assert np.abs(rough - fine).max() <= 1e-1 * scale


def autonomous(seed: int) -> tuple[Circuit, np.ndarray]:
    """h' = A tanh(B h + c) with free start."""
    rng = np.random.default_rng(seed)
    n, m = int(rng.integers(1, 5)), int(rng.integers(1, 6))
    h = gpac.wire("h", n)
    inner = linear([(rng.normal(size=(m, n)), h)], rng.normal(size=m))
    rate = linear([(rng.normal(size=(n, m)) / m, fn.tanh(inner))])
    h.define(integral(rate, None, Start("identity", gpac.inputs("start", n)), name="h"))
    return Circuit({"h": h}), rng.normal(size=(4, n))


@pytest.mark.parametrize("backend", BACKENDS)
@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), t=st.floats(0.1, 2.0), cut=st.floats(0.1, 0.9))
def test_time_reversal_returns_and_cuts_change_nothing(backend, seed, t, cut):
    system, start = autonomous(seed)
    there = run(system, start, t, backend=backend, tol=1e-13).outputs
    assert_allclose(run(system, there, -t, backend=backend, tol=1e-13).outputs, start, atol=1e-8)
    half = run(system, start, cut * t, backend=backend, tol=1e-13).outputs
    assert_allclose(run(system, half, t - cut * t, backend=backend, tol=1e-13).outputs, there, atol=1e-9)


@pytest.mark.parametrize("backend", BACKENDS)
@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_a_rotation_keeps_every_length(backend, seed):
    """h' = S h with S antisymmetric: |h| and the speed |S h| stay."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 7))
    S = rng.normal(size=(n, n))
    h = gpac.wire("h", n)
    h.define(integral(linear([(S - S.T, h)]), None, Start("identity", gpac.inputs("start", n)), name="h"))
    start = rng.normal(size=(3, n))
    solution = run(Circuit({"h": h}), start, 5.0, backend=backend, length=True)
    assert_allclose(np.linalg.norm(solution.outputs, axis=1), np.linalg.norm(start, axis=1), rtol=1e-10)
    assert_allclose(solution.length, 5 * np.linalg.norm(start @ (S - S.T).T, axis=1), rtol=1e-5)


@pytest.mark.parametrize("backend", BACKENDS)
@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_pairs_stay_pairs(backend, seed):
    """u^2 + d = 1 for every tanh, s^2 + c^2 = 1 for every sine, however the argument wanders."""
    rng = np.random.default_rng(seed)
    wave, drift = rng.normal(size=(2, 4))
    wander = linear([(wave[:, None], fn.sin(3 * gpac.time())), (drift[:, None], gpac.time())])
    u, s, c = fn.tanh(wander), fn.sin(wander), fn.cos(wander)
    slope = linear([(1, product(u, u)), (1, fn.exp(linear([(0, u)])))])
    solution = solve(Circuit({"u": u, "one": product(s, s) + product(c, c), "two": slope}), t=4, backend=backend)
    argument = wave * np.sin(12) + drift * 4
    assert_allclose(solution.named["u"], np.tanh(argument), atol=1e-9)
    assert_allclose(solution.named["one"], 1, atol=1e-10)
    assert_allclose(solution.named["two"], 1 + np.tanh(argument) ** 2, atol=1e-9)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_million_turns(backend):
    """10^6 periods of the circle in some five million steps, or as many as a budget allows, said as such."""
    x = gpac.wire("x", 2)
    x.define(integral(linear([(np.array([[0.0, -1.0], [1.0, 0.0]]), x)]), None, [1, 0], name="x"))
    end = 2 * np.pi * 1e6
    solution = solve(Circuit({"x": x}), t=end, tol=1e-12, backend=backend, max_steps=20_000)
    assert solution.status is gpac.Status.MAX_STEPS
    assert solution.steps == 20_000
    assert_allclose(solution.states, [np.cos(solution.t), np.sin(solution.t)], atol=1e-7)


def test_ten_thousand_turns_on_lanes_lose_six_digits_at_most():
    x = gpac.wire("x", 2)
    x.define(integral(linear([(np.array([[0.0, -1.0], [1.0, 0.0]]), x)]), None, [1, 0], name="x"))
    solution = solve(Circuit({"x": x}), t=2 * np.pi * 1e5, tol=1e-14, backend="compiled", max_steps=10**7).check()
    assert_allclose(solution.outputs, [1, 0], atol=1e-6)
