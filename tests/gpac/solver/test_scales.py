"""Trajectories of all sizes and speeds in one batch: every engine has each of them as well as if it were alone."""

from fractions import Fraction

import mpmath
import numpy as np
import pytest
import sympy
from host_kernel import COMPILER, HostKernel
from numpy.testing import assert_allclose, assert_array_equal

import gpac
import gpac.solver.pieces
from gpac import PIVP, Circuit, Status, inputs, integral, solve
from gpac.errors import NumberError
from gpac.pair import Pair
from gpac.solver import choice
from gpac.solver.cuda.engine import CudaEngine
from gpac.solver.extremes import _best
from gpac.wire import Start

CONTEXT = mpmath.mp.clone()
CONTEXT.dps = 50
TIMES = [2.0**k for k in (-40, -20, 0, 20, 40)]
SIZES = [2.0**k for k in (-800, -333, -66, 0, 66, 333, 800)]
SQUARED = [2.0**k for k in (-333, -66, 0, 66, 333)]
"""States of which squares are numbers of every arithmetic."""
y = sympy.Symbol("y")


def decay() -> Circuit:
    """y' = -y / T from Y."""
    state = gpac.wire("y")
    state.define(integral(-inputs("rate") * state, None, Start("identity", inputs("size")), name="y"))
    return Circuit({"y": state})


def circle() -> Circuit:
    """Once round in 2 pi T, on a circle of radius Y."""
    c, s, rate = gpac.wire("c"), gpac.wire("s"), inputs("rate")
    c.define(integral(-rate * s, None, Start("identity", inputs("size")), name="c"))
    s.define(integral(rate * c, name="s"))
    return Circuit({"c": c, "s": s})


def logistic() -> Circuit:
    """y' = (y - y^2 / Y) / T from Y / 8."""
    state = gpac.wire("y")
    growth = inputs("rate") * state - inputs("brake") * (state * state)
    state.define(integral(growth, None, Start("identity", Fraction(1, 8) * inputs("size")), name="y"))
    return Circuit({"y": state})


SYSTEMS = {
    "decay": (decay, SIZES, lambda x: [CONTEXT.exp(-x)]),
    "circle": (circle, SIZES, lambda x: [CONTEXT.cos(x), CONTEXT.sin(x)]),
    "logistic": (logistic, SQUARED, lambda x: [1 / (1 + 7 * CONTEXT.exp(-x))]),
}
ENGINES = {
    "lanes": {"backend": "compiled", "tol": 1e-12},
    "arrays": {"backend": "numpy", "tol": 1e-12},
    "kernels": {"tol": 1e-12},
    "lanes in double-double": {"backend": "compiled", "tol": 1e-26, "precision": "double-double"},
    "arrays in double-double": {"backend": "numpy", "tol": 1e-26, "precision": "double-double"},
    "kernels in double-double": {"tol": 1e-26, "precision": "double-double"},
    "Runge-Kutta": {"method": "rungekutta", "tol": 1e-10},
}


@pytest.fixture(params=ENGINES)
def engine(request, monkeypatch):
    if request.param.startswith("kernels"):
        if COMPILER is None:
            pytest.skip("no C++ compiler (g++ or clang++) to run kernels on the processor")

        def choose(circuit, settings, xp, backend, method):
            return choice.Choice(CudaEngine(circuit, settings, xp, build=HostKernel), "asked for by the test")

        monkeypatch.setattr(gpac.solver.pieces, "choose", choose)
    return ENGINES[request.param] | {"atol": 1e-300}  # errors count relative to each state


def trajectories(name):
    """Sizes and times (B,), and the inputs of a batch of all of them."""
    _, sizes, _ = SYSTEMS[name]
    Y, T = (a.ravel() for a in np.meshgrid(sizes, TIMES))
    given = {"rate": 1 / T, "size": Y} | ({"brake": 1 / T / Y} if name == "logistic" else {})
    return Y, T, {n: a[:, None] for n, a in given.items()}


def relative_error(values, name, Y, x):
    """Largest error of outputs (B, m), relative to Y, at the time x in units of T."""
    exact, true = values.mpf() if isinstance(values, Pair) else values, SYSTEMS[name][2](CONTEXT.mpf(x))
    errors = [
        abs(CONTEXT.mpf(v) / size - w)
        for row, size in zip(exact, Y, strict=True)
        for v, w in zip(row, true, strict=True)
    ]
    return float(max(errors))


@pytest.mark.parametrize("name", SYSTEMS)
def test_states_and_times_of_all_sizes_are_alike(name, engine):
    Y, T, given = trajectories(name)
    x = 4.0
    solution = solve(SYSTEMS[name][0](), x * T, given, dense=True, max_steps=2000, **engine).check()
    allowed = 300 * engine["tol"]
    outputs = solution.outputs
    at = solution.pair_at if "precision" in engine else solution.at
    middle = at(0.375 * x * T[:, None])[:, 0]
    if "precision" in engine:
        outputs = Pair(outputs, solution.outputs_low)
    assert relative_error(outputs, name, Y, x) < allowed
    assert relative_error(middle, name, Y, 0.375 * x) < allowed


@pytest.mark.parametrize("method", ["Radau", "BDF", "LSODA"])
@pytest.mark.parametrize("name", SYSTEMS)
def test_implicit_methods_are_alike_with_an_atol_for_each_size(name, method):
    """Theirs counts for each entry of the state, and one starts at 0."""
    Y, T, given = trajectories(name)
    for b in range(0, len(Y), 3):
        alone = {n: a[b : b + 1] for n, a in given.items()}
        told = {"tol": 1e-6, "atol": 1e-6 * Y[b], "method": method, "dense": True}
        solution = solve(SYSTEMS[name][0](), 4 * T[b], alone, **told).check()
        assert relative_error(solution.outputs, name, Y[b : b + 1], 4) < 3e-4
        assert relative_error(solution.at([1.5 * T[b]])[:, 0], name, Y[b : b + 1], 1.5) < 3e-4


@pytest.mark.parametrize("backend", ["compiled", "numpy"])
def test_bits_do_not_depend_on_neighbours_of_other_sizes(backend):
    Y, T, given = trajectories("circle")
    told = {"atol": 1e-300, "dense": True, "length": True, "backend": backend, "extremes": True, "events": ["s"]}
    together = solve(circle(), 4 * T, given, **told)
    for b in (0, 17, len(Y) - 1):
        alone = solve(circle(), 4 * T[b : b + 1], {n: a[b : b + 1] for n, a in given.items()}, **told)
        for figure in ("outputs", "states", "t", "steps", "orders", "length", "space"):
            assert_array_equal(getattr(alone, figure)[0], getattr(together, figure)[b], err_msg=figure)
        assert_array_equal(alone.events.t, together.events.select(trajectory=b).t)
        assert_array_equal(alone.extremes["c"].low[0], together.extremes["c"].low[b])


@pytest.mark.parametrize("how", [{"backend": "compiled"}, {"backend": "numpy"}, {"method": "rungekutta"}])
def test_events_and_extremes_of_all_sizes_are_found(how):
    """Half a turn after pi T; the extremes are -Y and Y, and a turn's length is its angle times Y."""
    Y, T, given = trajectories("circle")
    solution = solve(circle(), 4 * T, given, atol=1e-300, events=["s"], extremes=True, length=True, **how)
    events, tol = solution.events, 1e-9
    assert_array_equal(events.trajectory, np.arange(len(Y)))
    assert np.abs(events.t / T - np.pi).max() < tol
    assert np.abs(solution.extremes["c"].low[:, 0] / Y + 1).max() < tol
    assert np.abs(solution.extremes["s"].high[:, 0] / Y - 1).max() < tol
    inside = (Y > 1e-150) & (Y < 1e150)  # squares of speeds are numbers
    assert np.abs(solution.length / Y / 4 - 1)[inside].max() < 1e-5


POLES = {"tiny": (1e-20, 1e-20), "huge": (1e100, 1e5), "slow": (1.0, 1e12), "as usual": (1.0, 1.0)}
DOUBLES = [{"backend": "compiled"}, {"backend": "numpy"}, {"method": "rungekutta"}, {"method": "Radau", "tol": 1e-6}]


@pytest.mark.parametrize("how", DOUBLES)
@pytest.mark.parametrize("name", POLES)
def test_a_pole_is_a_blow_up_at_every_size(name, how):
    """y' = y^2 / (T Y) from Y has its pole at T."""
    Y, T = POLES[name]
    rate = sympy.Rational(Fraction(1) / (Fraction(T) * Fraction(Y)))
    system = PIVP({y: y**2 * rate}, {y: sympy.Rational(Fraction(Y))})
    tol = how.get("tol", 1e-12)
    solution = solve(system, 2 * T, atol=tol * Y, **how)
    assert solution.status is Status.BLOW_UP
    assert abs(solution.t / T - 1) < 1e3 * tol


@pytest.mark.parametrize("how", [*DOUBLES, {"backend": "numpy", "precision": "double-double", "tol": 1e-26}])
def test_rates_that_are_no_numbers_are_an_overflow(how):
    solution = solve(decay(), 1e-12, {"rate": [[1e12], [1.0]], "size": [[1e300], [1e280]]}, **how)
    assert list(solution.status) == [Status.OVERFLOW, Status.REACHED]
    assert solution.t[0] == 0


@pytest.mark.parametrize("how", DOUBLES)
def test_states_below_all_tolerances_are_no_trouble(how):
    """Errors relative to 1e-300 are no numbers; the state counts as 0 and stays what it is, nearly."""
    tol = how.get("tol", 1e-12)
    solution = solve(decay(), 1, {"rate": [1.0], "size": [1e-300]}, atol=1e-300 * tol, **how).check()
    assert abs(solution.outputs[0] / 1e-300 - np.exp(-1)) < 0.5


def test_arrays_follow_states_near_a_hundred_quintillions():
    """Order 20 of y' = y^2 from 1e20 has coefficients of 1e420 in units of 1."""
    solution = solve(PIVP({y: y**2}, {y: 10**20}), t=0.9e-20, atol=1e8, backend="numpy").check()
    assert abs(solution.outputs[0] / 1e21 - 1) < 1e-9


def test_states_near_the_largest_double_end_without_warnings():
    x = sympy.Symbol("x")
    solution = solve(PIVP({x: -y, y: x}, {x: 1, y: 0}), 1, initial=[1.7e308, 0], method="rungekutta")
    assert solution.status is not Status.REACHED


@pytest.mark.parametrize("backend", ["numpy", "compiled"])
def test_double_double_times_end_before_doubles_do(backend):
    x = sympy.Symbol("x")
    asked = {"precision": "double-double", "tol": 1e-28, "backend": backend}
    assert_allclose(solve(PIVP({x: sympy.Integer(1)}, {x: 0}), 1e299, **asked).check().outputs, [1e299], rtol=1e-15)
    with pytest.raises(NumberError, match="t must not lie beyond"):
        solve(PIVP({x: sympy.Integer(1)}, {x: 0}), -1.7e308, **asked)


def test_values_that_are_no_numbers_are_no_extremes():
    """Double-double products beyond 1e290 are none."""
    times = np.array([[0.0], [1.0], [2.0], [3.0]])
    found = _best(np.array([0, 0, 1, 1]), np.array([[1.0], [np.nan], [np.nan], [np.nan]]), times, 2)
    assert_array_equal(np.ravel(found.low), [1, np.nan])
    assert_array_equal(np.ravel(found.high), [1, np.nan])
    assert found.t_low[0] == found.t_high[0] == 0
