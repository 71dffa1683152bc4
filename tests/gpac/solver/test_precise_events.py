"""Events and extremes in other arithmetics: to thirty digits in double-double, on every engine that has it."""

from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction

import mpmath
import numpy as np
import pytest
import sympy
from host_kernel import COMPILER, HostKernel
from numpy.testing import assert_allclose, assert_array_equal

import gpac
import gpac.solver.pieces
from gpac import PIVP, Circuit, Event, Pair, Phase, Schedule, Status, inputs, integral, solve
from gpac import functions as fn
from gpac.solver import choice
from gpac.solver.cuda.engine import CudaEngine
from gpac.solver.roots import crossings
from gpac.wire import Start

CONTEXT = mpmath.mp.clone()
CONTEXT.dps = 50
c, s, x, y = sympy.symbols("c s x y")
CIRCLE = PIVP({c: -s, s: c}, {c: 1, s: 0})
GROWTH = PIVP({y: y}, {y: 1})
PENDULUM = PIVP({x: y, y: -x + x**3 / 6}, {x: Fraction(1, 3), y: 0})


def chosen(name):
    """The engine of that name for every circuit."""

    def choose(circuit, settings, xp, backend, method):
        if name == "kernels":
            return choice.Choice(CudaEngine(circuit, settings, xp, build=HostKernel), "asked for by the test")
        return choice.choose(circuit, settings, xp, name, method)

    return choose


@pytest.fixture(params=["compiled", "numpy", "kernels"])
def engine(request, monkeypatch):
    if request.param == "kernels" and COMPILER is None:
        pytest.skip("no C++ compiler (g++ or clang++) to run kernels on the processor")
    monkeypatch.setattr(gpac.solver.pieces, "choose", chosen(request.param))
    return request.param


def precise(system, t=None, **more):
    return solve(system, t, **{"tol": 1e-30, "precision": "double-double", **more})


def off(numbers, true):
    """Largest distance of a pair's entries from mpmath numbers."""
    return max(float(abs(a - b)) for a, b in zip(np.ravel(numbers.mpf()), true, strict=True))


def test_a_circle_crosses_its_axes_at_quarter_turns_to_thirty_digits(engine):
    solution = precise(CIRCLE, 20, events={"up": c, "right": s}, extremes=[c, s])
    for name, first in (("up", CONTEXT.mpf(1) / 2), ("right", CONTEXT.mpf(1))):
        met = solution.events.select(name)
        assert off(met.t, [(k + first) * CONTEXT.pi for k in range(len(met))]) < 1e-29
        assert met.direction.tolist() == [(-1) ** (k + 1) for k in range(6)]
        across = met.outputs[:, ["up", "right"].index(name)]
        assert np.abs(across.high).max() < 1e-30
    low, t_low, high, t_high = solution.extremes[s]
    assert off(low, [-1]) < 1e-29
    assert off(high, [1]) < 1e-29
    assert min(abs(t_high.mpf()[0] - (2 * k + CONTEXT.mpf(1) / 2) * CONTEXT.pi) for k in range(3)) < 1e-14
    assert min(abs(t_low.mpf()[0] - (2 * k + CONTEXT.mpf(3) / 2) * CONTEXT.pi) for k in range(3)) < 1e-14


def test_backward_in_time(engine):
    met = precise(CIRCLE, -10, events=[s]).events
    assert off(met.t, [-k * CONTEXT.pi for k in (1, 2, 3)]) < 1e-29
    assert met.direction.tolist() == [1, -1, 1]


@pytest.mark.parametrize("tol", [1e-15, 1e-30])
def test_a_terminal_event_is_as_good_as_the_tolerance(engine, tol):
    """exp(t) = 5 at log(5)."""
    solution = precise(GROWTH, 3, tol=tol, events=[Event(y - 5, terminal=True)], extremes=True, dense=True, length=True)
    assert solution.status is Status.EVENT
    assert off(Pair(solution.t, solution.t_low), [CONTEXT.log(5)]) < 10 * tol
    assert off(Pair(solution.outputs, solution.outputs_low), [5]) < 50 * tol
    assert off(solution.extremes["y"].high, [5]) < 50 * tol
    assert off(solution.extremes["y"].t_high, [CONTEXT.log(5)]) < 10 * tol
    assert_allclose(solution.length, 4, rtol=1e-6)
    assert_allclose(solution.at([1, 1.6, 1.7])[:, 0], [np.e, np.exp(1.6), np.nan], rtol=1e-11)


def test_many_events_in_one_step_are_all_found(engine):
    """Zeros of (t - 1/3) (t - 2/3) ... (t - 2), no doubles but for two, in one step."""
    t, p = gpac.time(), gpac.constant([1])
    roots = [Fraction(k, 3) for k in range(1, 7)]
    for root in roots:
        p = p * (t - root)
    solution = precise(Circuit({"p": p}), 3, events=["p"], extremes=True)
    assert solution.steps == 1
    assert off(solution.events.t, [CONTEXT.mpf(r.numerator) / r.denominator for r in roots]) < 1e-28
    assert off(solution.extremes["p"].high, [CONTEXT.fprod(CONTEXT.mpf(9 - k) / 3 for k in range(1, 7))]) < 1e-27


def test_close_pairs_are_told_from_near_misses(engine):
    """sin passes 1 - 1e-24 at two times that doubles cannot tell apart, and never has 1 + 1e-24."""
    near, miss = (s - 1 + sympy.Rational(sign, 10**24) for sign in (1, -1))
    met = precise(CIRCLE, 3, events={"near": near, "miss": miss}).events
    gap = CONTEXT.acos(1 - CONTEXT.mpf(10) ** -24)
    assert met.name.tolist() == ["near", "near"]
    assert off(met.t, [CONTEXT.pi / 2 - gap, CONTEXT.pi / 2 + gap]) < 1e-16  # 1e-30 / gap, with room


def test_wires_that_vary_faster_than_the_states_are_followed(engine):
    """sin(t) sin(5 t) has the zeros of both; the polynomials of its order are worse than the states'."""
    t = gpac.time()
    circuit = Circuit({"y": fn.sin(t) * fn.sin(5 * t)})
    met = precise(circuit, 3, tol=1e-26, events=["y"]).events
    assert off(met.t, [k * CONTEXT.pi / 5 for k in range(1, 5)]) < 1e-25


def test_phases_of_a_schedule_count_on(engine):
    """A sine for the time 4, then a line down from sin(4) for the time 2, which passes -4/3 on the way."""
    q, p, line = gpac.wire("q"), gpac.wire("p"), gpac.wire("line")
    q.define(integral(p, None, 0, name="q"))
    p.define(integral(-q, None, 1, name="p"))
    line = integral(gpac.constant([-1]), None, Start("identity", inputs("q", 1)), name="line")
    schedule = Schedule((Phase(Circuit({"q": q}), Fraction(4)), Phase(Circuit({"line": line}), Fraction(2))))
    solution = precise(schedule, events={"q": q, "line": line + Fraction(4, 3)}, extremes=[q, "line"])
    assert solution.events.phase.tolist() == [0, 1]
    sine = CONTEXT.sin(4)
    assert off(solution.events.t, [CONTEXT.pi, 4 + sine + CONTEXT.mpf(4) / 3]) < 1e-29
    assert off(solution.events.outputs[1], [-CONTEXT.mpf(4) / 3]) < 1e-29
    assert np.isnan(solution.events.outputs.high[0]).all()
    assert off(solution.extremes[q].low, [sine]) < 1e-29
    assert off(solution.extremes["line"].low, [sine - 2]) < 1e-29
    assert off(solution.extremes["line"].t_low, [6]) == 0


def rows_of(found, trajectory):
    met = found.select(trajectory=trajectory)
    return met.t.high, met.t.low, met.outputs.high, met.outputs.low, met.direction


def test_bits_do_not_depend_on_the_batch(engine):
    rows = np.random.default_rng(0).uniform(-1, 1, (9, 2))
    told = {"tol": 1e-25, "events": {"rest": y, "fall": Event(x, direction=-1)}, "extremes": [x]}
    together = precise(PENDULUM, 7, initial=rows, **told)
    assert set(together.events.trajectory) == set(range(9))
    for some in ([3], [8, 1], [2, 0, 7, 5]):
        part = precise(PENDULUM, 7, initial=rows[some], **told)
        for number, b in enumerate(some):
            for one, other in zip(rows_of(part.events, number), rows_of(together.events, b), strict=True):
                assert_array_equal(one, other)
            for one, other in zip(part.extremes[x], together.extremes[x], strict=True):
                assert_array_equal(one.high[number], other.high[b])
                assert_array_equal(one.low[number], other.low[b])


def test_workers_of_an_executor_give_the_bits_of_one_machine():
    rows = np.random.default_rng(0).uniform(-1, 1, (40, 2))
    told = {"initial": rows, "events": [y, Event(x - 2, terminal=True)], "extremes": [x]}
    with ThreadPoolExecutor(2) as executor:
        there, here = precise(PENDULUM, 5, executor=executor, **told), precise(PENDULUM, 5, **told)
    assert_array_equal(there.events.trajectory, here.events.trajectory)
    assert len(set(here.events.trajectory)) > 32
    for one, other in (*zip(there.extremes[x], here.extremes[x], strict=True), (there.events.t, here.events.t)):
        assert_array_equal(one.high, other.high)
        assert_array_equal(one.low, other.low)


def test_a_batch_without_trajectories_and_one_without_time():
    told = {"events": [x], "extremes": [x]}
    none = precise(PENDULUM, 5, initial=np.zeros((0, 2)), **told)
    assert len(none.events) == 0
    assert none.extremes[x].low.shape == (0, 1)
    late = precise(PENDULUM, 5, max_seconds=1e-9, **told)
    assert late.status is Status.WALL_CLOCK
    assert np.isnan(late.extremes[x].low.high).all()


def test_single_precision_finds_them_to_its_tolerance(monkeypatch):
    if COMPILER is None:
        pytest.skip("no C++ compiler (g++ or clang++) to run kernels on the processor")
    monkeypatch.setattr(gpac.solver.pieces, "choose", chosen("kernels"))
    solution = solve(CIRCLE, 6, tol=1e-6, precision="single", events={"up": c}, extremes=[s])
    assert_allclose(solution.events.t, [np.pi / 2, 3 * np.pi / 2], atol=2e-5)
    assert_allclose(solution.extremes[s].low, -1, atol=2e-5)


# -- roots ---------------------------------------------------------------------------------------------------


def test_roots_of_pairs_are_those_of_exact_arithmetic():
    """(x - a) (x - b) with a and b 1e-10 apart: doubles do not tell the value between them from 0."""
    a, b = Fraction(1, 3), Fraction(1, 3) + Fraction(1, 10**10)
    found = crossings(Pair.of([[a * b], [-(a + b)], [1]]))
    assert found.direction.tolist() == [-1, 1]
    assert off(found.place, [CONTEXT.mpf(r.numerator) / r.denominator for r in (a, b)]) < 1e-20


def test_a_zero_at_the_start_is_a_crossing_only_from_the_other_side():
    power = Pair.of([[0, 0, 0], [1, 1, 1]])
    assert crossings(power, before=np.array([-1.0, 1.0, 0.0])).column.tolist() == [0]
