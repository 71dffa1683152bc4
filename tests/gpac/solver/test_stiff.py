"""Stiff systems: implicit methods are right, and they are chosen for stiff trajectories and for no others."""

from fractions import Fraction

import mpmath
import numpy as np
import pytest
import sympy
from numpy.testing import assert_allclose, assert_array_equal
from problems import PROBLEMS, problem

import gpac
from compile import Network, Tanh, dense, forward, relaxation
from gpac import PIVP, Circuit, GpacError, Status, inputs, integral, linear, solve
from gpac import functions as fn
from gpac.solver import stiffness
from gpac.solver.field import Field
from gpac.solver.stiff import DEGREES
from gpac.wire import Start

x, y, z = sympy.symbols("x y z")
METHODS = ("Radau", "BDF", "LSODA")
BACKENDS = ("compiled", "numpy")
ROBERTSON = PIVP(
    {
        x: -Fraction(4, 100) * x + 10**4 * y * z,
        y: Fraction(4, 100) * x - 10**4 * y * z - 3 * 10**7 * y**2,
        z: 3 * 10**7 * y**2,
    },
    {x: 1, y: 0, z: 0},
)


def pulled(rate: float) -> Circuit:
    """Prothero and Robinson: y' = -rate (y - cos t), y(0) an input."""
    start, state = inputs("y0"), gpac.wire("y")
    state.define(
        integral(linear([(-rate, state), (rate, fn.cos(gpac.time()))]), None, Start("identity", start), name="y")
    )
    return Circuit({"y": state})


def pulled_exact(rate: float, t: float, start: float = 1.0) -> float:
    """The circuit's y in closed form."""
    with mpmath.workdps(40):
        a, t = mpmath.mpf(rate), mpmath.mpf(t)
        particular = (a**2 * mpmath.cos(t) + a * mpmath.sin(t)) / (a**2 + 1)
        return float(particular + (start - a**2 / (a**2 + 1)) * mpmath.exp(-a * t))


def van_der_pol(mu: int) -> PIVP:
    """x'' = mu^2 ((1 - x^2) x' - x) in Hairer and Wanner's scaling; mu^2 is given."""
    return PIVP({x: y, y: mu * ((1 - x**2) * y - x)}, {x: 2, y: 0})


VAN_DER_POL = ("1.706167732170483", "-0.8928097010247975")
"""x, y at t = 2 for 10^6, from the test set for IVP solvers; 476 000 Taylor steps at tol = 1e-13 agree to 13 digits."""


# -- the field -----------------------------------------------------------------------------------------------


def circuit_of(system):
    return system.to_circuit() if isinstance(system, PIVP) else system


@pytest.mark.parametrize("problem", PROBLEMS, ids=repr)
def test_the_jacobian_is_that_of_the_polynomials(problem):
    """The circuit's expansion, differentiated by sympy, at states along the way."""
    circuit = circuit_of(problem.system)
    pivp = circuit.to_pivp()
    variables = list(pivp.variables)
    expressions = pivp.expressions()
    rng = np.random.default_rng(4)
    state = rng.uniform(0.3, 1.2, size=len(variables))
    rates = sympy.Matrix([expressions[v] for v in variables])
    values = dict(zip(variables, map(sympy.Float, state), strict=True))
    clocks = [n for n, v in enumerate(variables) if expressions[v] == 1]
    if len(variables) != circuit.dim:  # the expansion has a clock of its own
        assert len(variables) == circuit.dim + 1
        clock = clocks[-1]
    else:
        clock = None
    own = [n for n in range(len(variables)) if n != clock]
    t = 0.0 if clock is None else state[clock]
    at = Field(circuit).at({})
    expected = np.array(rates.jacobian(variables).subs(values), dtype=float)[np.ix_(own, own)]
    assert_allclose(at.jacobian(t, state[own]), expected, rtol=1e-12, atol=1e-12)
    assert_allclose(at.rate(t, state[own]), np.array(rates.subs(values), dtype=float)[own, 0], rtol=1e-12, atol=1e-12)


def test_the_jacobian_of_vector_wires_is_that_of_differences():
    rng = np.random.default_rng(1)
    start, state = inputs("x", 20), gpac.wire("s", 20)
    bent = fn.tanh(rng.normal(size=(30, 20)) / 5 @ state + gpac.time())
    state.define(
        integral(linear([(rng.normal(size=(20, 30)) / 5, bent), (-1, state)]) + start, None, Start("identity", start))
    )
    circuit = Circuit({"s": state})
    at = Field(circuit).at({"x": rng.normal(size=20)})
    point, t, d = rng.uniform(-1, 1, size=circuit.dim), 0.7, 1e-5
    columns = [(at.rate(t, point + d * e) - at.rate(t, point - d * e)) / (2 * d) for e in np.eye(circuit.dim)]
    assert_allclose(at.jacobian(t, point), np.stack(columns, axis=1), atol=1e-8)


# -- the engine ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("problem", [p for p in PROBLEMS if p.name != "Lorenz"], ids=repr)
def test_every_problem_reaches_its_exact_value(problem, method):
    tol = 1e-8
    solution = solve(problem.system, problem.t, tol=tol, method=method).check()
    pairs = zip(solution.outputs, problem.truth(40), strict=True)
    error = max(abs(mpmath.mpf(float(got)) - true) for got, true in pairs)
    # BDF and LSODA make some hundred errors of up to tol on every unit of time
    assert error <= (30 if method == "Radau" else 3000) * tol * problem.condition


@pytest.mark.parametrize("method", METHODS)
def test_a_rate_of_minus_ten_to_the_eight(method):
    solution = solve(pulled(1e8), 10, [0.0], tol=1e-9, method=method, max_seconds=20).check()
    assert abs(solution.outputs[0] - pulled_exact(1e8, 10, 0.0)) < 1e-6
    assert solution.steps < 3000


def test_robertson_agrees_with_high_precision():
    """mpmath's Taylor series with 100 bits at t = 1, where it still gets; the sum is conserved at t = 1e6."""
    truth = [float(v) for v in gpac.reference(ROBERTSON, 1, bits=100).outputs]
    assert_allclose(solve(ROBERTSON, 1, tol=1e-10, method="stiff").outputs, truth, rtol=1e-7)
    late = solve(ROBERTSON, 1e6, tol=1e-9, method="stiff").check()
    assert_allclose(late.outputs.sum(), 1, atol=1e-8)


@pytest.mark.parametrize("method", METHODS)
def test_polynomials_of_steps_are_those_of_scipy(method):
    """Between the steps as right as at them, and continuous; for products of states too."""
    s = fn.sin(gpac.time())
    circuit = Circuit({"y": pulled(100.0).outputs["y"], "square": s * s, "t": 1 * gpac.time()})
    solution = solve(circuit, 2, [1.0], tol=1e-8, method=method, dense=True, length=True).check()
    times = np.linspace(0, 2, 301)
    truth = [[pulled_exact(100.0, t), np.sin(t) ** 2, t] for t in times]
    assert_allclose(solution.at(times), truth, rtol=0, atol=3e-6)
    begin = solution.dense.begin[1:]
    assert_allclose(solution.at(np.nextafter(begin, 0)), solution.at(begin), atol=1e-6 if method != "Radau" else 1e-11)
    assert_allclose(solution.at([2.0])[0], solution.outputs, rtol=0, atol=1e-12)
    assert solution.dense.coefficients.shape[1] == 2 * DEGREES[method] + 1


def test_time_runs_backward_and_length_is_measured():
    solution = solve(problem("circle").system, [-3.0, 3.0, 0.0], tol=1e-9, method="stiff", length=True, dense=True)
    assert_allclose(solution.outputs, [[np.cos(3), -np.sin(3)], [np.cos(3), np.sin(3)], [1, 0]], atol=1e-7)
    assert_allclose(solution.length, [3, 3, 0], atol=1e-5)
    assert_allclose(solution.at([[-1.0], [1.0], [0.0]])[:, 0, 0], [np.cos(1), np.cos(1), 1], atol=1e-7)


def test_how_it_ended():
    square = PIVP({y: y**2}, {y: 1})
    solution = solve(square, 0.75, initial=[[0.5], [2.0], [-1.0]], tol=1e-8, method="stiff")
    assert list(solution.status) == [Status.REACHED, Status.BLOW_UP, Status.REACHED]
    assert abs(solution.t[1] - 0.5) < 1e-6
    assert np.isnan(solution.outputs[1]).all()
    few = solve(problem("circle").system, 1000, method="stiff", max_steps=7)
    assert few.status is Status.MAX_STEPS
    assert few.steps == 7
    late = solve(problem("circle").system, [0.1, 1e7, 1e7], method="stiff", tol=1e-6, max_seconds=0.5, max_steps=10**8)
    assert list(late.status) == [Status.REACHED, Status.WALL_CLOCK, Status.WALL_CLOCK]
    assert 0 == late.t[2] < late.t[1] < 1e7


def test_interrupting_returns_what_is_done():
    def stop(fraction):
        raise KeyboardInterrupt

    solution = solve(problem("circle").system, [0.1, 1.0, 2.0], method="stiff", tol=1e-6, progress=stop)
    assert list(solution.status) == [Status.REACHED, Status.STOPPED, Status.STOPPED]


def test_without_integrators_there_is_one_step():
    solution = solve(Circuit({"p": gpac.time() ** 3}), 2, method="stiff", dense=True)
    assert_allclose(solution.at([0.0, 1.0, 2.0])[:, 0], [0, 1, 8], atol=1e-12)


# -- chosen for stiff trajectories ---------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("tol", [1e-6, 1e-10])
def test_stiffness_is_seen_and_said(backend, tol):
    solution = solve(pulled(1e8), 10, [0.0], tol=tol, backend=backend).check()
    assert abs(solution.outputs[0] - pulled_exact(1e8, 10, 0.0)) < 10 * tol
    assert solution.steps < 10_000
    assert "stiff: Radau from t = " in solution.engine
    assert "for 1 trajectory" in solution.engine


def test_fast_oscillations_that_have_died_out_are_stiff_too():
    """Eigenvalues -1e6 +- 5e6 i pull u to (cos t, sin t), which it follows at a distance of 2e-7."""
    c, s, u, v = sympy.symbols("c s u v")
    a, b = 10**6, 5 * 10**6
    equations = {c: -s, s: c, u: -a * (u - c) - b * (v - s), v: b * (u - c) - a * (v - s)}
    solution = solve(PIVP(equations, {c: 1, s: 0, u: 0, v: 0}), 6, tol=1e-8).check()
    assert "stiff: Radau" in solution.engine
    assert_allclose(solution.outputs, np.tile([np.cos(6), np.sin(6)], 2), atol=4e-7)


def test_robertson_and_van_der_pol_finish():
    solution = solve(ROBERTSON, 1e5, tol=1e-8).check()
    assert "stiff: Radau" in solution.engine
    other = solve(ROBERTSON, 1e5, tol=1e-10, method="LSODA").outputs
    assert_allclose(solution.outputs, other, rtol=1e-6)
    relaxed = solve(van_der_pol(10**6), 2, tol=1e-7).check()
    assert "stiff: Radau" in relaxed.engine
    assert_allclose(relaxed.outputs, [float(v) for v in VAN_DER_POL], rtol=1e-6)


def test_a_relaxed_network_with_one_fast_clock():
    """Layers relax at the rate 1e4 and nothing happens afterwards."""
    rng = np.random.default_rng(5)
    layers = [
        dense(rng.normal(size=(5, 3)), rng.normal(size=5)),
        Tanh(),
        dense(rng.normal(size=(2, 5)), rng.normal(size=2)),
    ]
    network = Network(3, layers)
    program, point = relaxation(network, rate=10**4), rng.normal(size=3)
    solution = solve(program, 1e4, point, tol=1e-10).check()
    assert "stiff: Radau" in solution.engine
    assert solution.steps < 5000
    assert_allclose(solution.outputs, forward(network, point), atol=1e-8)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_verdict_does_not_depend_on_the_neighbours(backend):
    """Rates from 1 to 1e9 in one batch: bits alone, together and shuffled are the same."""
    rate, state = inputs("rate"), gpac.wire("y")
    state.define(integral(rate * (fn.cos(gpac.time()) - state), None, 0, name="y"))
    circuit = Circuit({"y": state})
    rates = 10.0 ** np.array([[9], [0], [6], [1], [7], [2], [8], [5], [0.5], [6.5]])
    together = solve(circuit, 8, rates, tol=1e-7, backend=backend).check()
    assert "for 5 trajectories" in together.engine or "for 6 trajectories" in together.engine
    exact = [pulled_exact(float(a), 8, 0.0) for a in rates[:, 0]]
    assert_allclose(together.outputs[:, 0], exact, atol=1e-5)
    order = np.random.default_rng(2).permutation(len(rates))
    shuffled = solve(circuit, 8, rates[order], tol=1e-7, backend=backend)
    for name in ("outputs", "states", "steps", "orders", "space"):
        assert_array_equal(getattr(shuffled, name), getattr(together, name)[order])
    for b in (0, 2, 3):
        alone = solve(circuit, 8, rates[b], tol=1e-7, backend=backend)
        assert_array_equal(alone.outputs, together.outputs[b])
        assert alone.steps == together.steps[b]
        assert ("stiff" in alone.engine) == (rates[b, 0] > 1e3)


@pytest.mark.parametrize(
    ("system", "t"),
    [
        (problem("circle").system, 2 * np.pi * 1000),
        (PIVP({x: y, y: -(10**4) * x}, {x: 1, y: 0}), 200.0),
        (problem("Lorenz").system, 600.0),
        (PIVP({x: y, y: -x, z: x - z}, {x: 1, y: 0, z: 0}), 6000.0),
        (PIVP({x: y, y: -x - y / 1000, z: -20 * z + x}, {x: 1, y: 0, z: 0}), 2000.0),
    ],
    ids=["circle", "fast and small", "Lorenz", "with a follower", "with a fast follower"],
)
def test_long_oscillations_are_not_taken_for_stiff(system, t):
    solution = solve(system, t, tol=1e-6).check()
    assert solution.steps > stiffness.WINDOW
    assert "stiff" not in solution.engine


@pytest.mark.slow
def test_a_million_periods_are_not_taken_for_stiff():
    solution = solve(problem("circle").system, 2 * np.pi * 1e6, tol=1e-12, max_steps=10**7).check()
    assert "stiff" not in solution.engine
    assert_allclose(solution.outputs, [1, 0], atol=1e-5)  # three million steps of up to 1e-12


def test_a_stiff_phase_of_a_schedule_is_said():
    """z goes to 2 t; then y is pulled to cos t from there."""
    first = Circuit({"y0": integral(2 * inputs("x"))})
    schedule = gpac.Schedule((gpac.Phase(first, 1), gpac.Phase(pulled(1e8), 5)))
    solution = solve(schedule, inputs=[1.5], tol=1e-7).check()
    assert "; then " in solution.engine
    assert "stiff: Radau" in solution.engine.split("; then ")[1]
    assert abs(solution.outputs[0] - np.cos(5)) < 1e-5


# -- windows -------------------------------------------------------------------------------------------------


@pytest.fixture
def small_windows(monkeypatch):
    monkeypatch.setattr(stiffness, "WINDOW", 3)


@pytest.mark.parametrize("backend", BACKENDS)
def test_windows_leave_no_trace(small_windows, backend):
    """Trajectories that are taken up again after 3, 9, 21, ... steps are those that run through."""
    rows = np.random.default_rng(8).uniform(-2, 2, size=(50, 3))
    more = {"initial": rows, "tol": 1e-8, "dense": True, "length": True, "backend": backend}
    windows = solve(problem("Lorenz").system, np.linspace(0.1, 3, 50), **more)
    through = solve(problem("Lorenz").system, np.linspace(0.1, 3, 50), method="taylor", **more)
    for name in ("outputs", "states", "t", "steps", "orders", "length", "space"):
        assert_allclose(getattr(windows, name), getattr(through, name), rtol=1e-13, err_msg=name)
    times = np.linspace(0, 0.1, 5)
    assert_allclose(windows.at(times), through.at(times), rtol=1e-12)
    assert windows.steps.max() > 20


def test_limits_hold_over_windows(small_windows):
    circle = problem("circle").system
    few = solve(circle, 1000, max_steps=17)
    assert few.status is Status.MAX_STEPS
    assert few.steps == 17
    assert solve(PIVP({y: y**2}, {y: 1}), 10).status is Status.BLOW_UP
    late = solve(circle, [1.0, 1e9], max_seconds=0.3, max_steps=10**9)
    assert list(late.status) == [Status.REACHED, Status.WALL_CLOCK]
    seen = []
    solve(circle, np.linspace(1, 200, 40), progress=seen.append).check()
    assert seen == sorted(seen)
    assert seen[-1] == 1


def test_limits_hold_for_the_implicit_part():
    short = solve(pulled(1e8), 10, [0.0], tol=1e-10, max_steps=stiffness.WINDOW + 20)
    assert short.status is Status.MAX_STEPS
    assert short.steps == stiffness.WINDOW + 20
    dense = solve(pulled(1e8), 10, [0.0], tol=1e-8, dense=True)
    times = np.concatenate([[1e-7], np.linspace(0.1, 10, 50)])
    assert_allclose(dense.at(times)[:, 0], [pulled_exact(1e8, t, 0.0) for t in times], atol=1e-6)


# -- what is refused -----------------------------------------------------------------------------------------

GROWTH = PIVP({y: y}, {y: 1})
REFUSED = {
    "unknown": ({"method": "euler"}, r"expected method 'auto', .*'Radau', 'BDF' or 'LSODA', got 'euler'"),
    "compiled": (
        {"method": "BDF", "backend": "compiled"},
        r"method='BDF' runs SciPy's code.*backend='auto' or 'numpy'",
    ),
    "stiff": ({"method": "stiff", "backend": "compiled"}, r"or method='taylor' with backend='compiled'"),
    "none": ({"method": None}, r"got None"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_mistakes_are_told_in_a_sentence(name):
    more, message = REFUSED[name]
    with pytest.raises(GpacError, match=message):
        solve(GROWTH, 1, **more)


def test_what_was_asked_for_is_told():
    assert "Radau IIA of order 5 (SciPy)" in solve(GROWTH, 1, method="stiff", tol=1e-6).engine
    assert "asked for with method='LSODA'" in solve(GROWTH, 1, method="LSODA", tol=1e-6).engine
    assert "Taylor" in solve(GROWTH, 1, method="taylor").engine
