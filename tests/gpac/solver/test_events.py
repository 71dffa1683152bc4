"""Events and extremes: every sign change found, where it is, in any company and on every engine."""

from fractions import Fraction
from itertools import product

import mpmath
import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.integrate import solve_ivp

import gpac
import gpac.solver.pieces
from gpac import PIVP, Circuit, Event, GpacError, Status, inputs, integral, linear, solve
from gpac import functions as fn
from gpac.solver import choice, observer
from gpac.wire import Start


@pytest.fixture(scope="module", autouse=True, params=["compiled", "numpy"])
def engine(request):
    """Every test of this file runs on each engine of the processor."""

    def choose(circuit, settings, xp, backend, method):
        backend = request.param if backend == "auto" and method in ("auto", "taylor") else backend
        return choice.choose(circuit, settings, xp, backend, method)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gpac.solver.pieces, "choose", choose)
        yield request.param


c, s, x, y, v, z = sympy.symbols("c s x y v z")
CIRCLE = PIVP({c: -s, s: c}, {c: 1, s: 0})
FALL = PIVP({y: v, v: -1}, {y: 1, v: 0})
GROWTH = PIVP({y: y}, {y: 1})
LORENZ = PIVP({x: 10 * (y - x), y: x * (28 - z) - y, z: x * y - sympy.Rational(8, 3) * z}, {x: 1, y: 1, z: 1})


# -- where and when ------------------------------------------------------------------------------------------


def test_a_circle_crosses_its_axes_at_multiples_of_a_quarter_turn():
    events = solve(CIRCLE, t=100, events={"up": c, "right": s}).events
    for name, first in (("up", 0.5), ("right", 1.0)):
        met = events.select(name)
        k = np.arange(len(met))
        assert len(met) == (32 if name == "up" else 31)
        assert_allclose(met.t, (k + first) * np.pi, rtol=0, atol=2e-12)
        assert_array_equal(met.direction, np.where(k % 2 == 0, -1, 1))
        assert_array_equal(met.states, met.outputs)
        assert_allclose(np.abs(met.outputs).max(axis=1), 1, atol=1e-12)
        assert np.abs(met.outputs).min(axis=1).max() < 1e-15
    assert (np.diff(events.t) > 0).all()


def test_backward_in_time_directions_are_those_of_the_run():
    met = solve(CIRCLE, t=-10, events=[s]).events
    assert_allclose(met.t, [-np.pi, -2 * np.pi, -3 * np.pi], atol=1e-13)
    assert met.direction.tolist() == [1, -1, 1]  # sin falls to negative values first when time runs backward
    assert_allclose(solve(CIRCLE, t=-10, events=[Event(s, direction=1)]).events.t, [-np.pi, -3 * np.pi], atol=1e-13)


def test_many_events_in_one_step_are_all_found():
    """(t - 1) (t - 2) ... (t - 6) is its own Taylor polynomial: one step goes all the way."""
    t = gpac.time()
    p = t - 1
    for k in range(2, 7):
        p = p * (t - k)
    solution = solve(Circuit({"p": p}), t=8, tol=1e-12, events=["p"])
    assert solution.steps == 1
    assert_allclose(solution.events.t, [1, 2, 3, 4, 5, 6], atol=1e-11)
    assert solution.events.direction.tolist() == [-1, 1, -1, 1, -1, 1]


def test_zeros_of_a_sine_that_runs_ever_faster():
    """sin(t^2): the k-th zero is sqrt(k pi)."""
    met = solve(Circuit({"y": fn.sin(gpac.time() ** 2)}), t=15, tol=1e-13, events=["y"]).events
    k = np.arange(1, len(met) + 1)
    assert len(met) == int(225 / np.pi)
    assert_allclose(met.t, np.sqrt(k * np.pi), atol=1e-12)


def test_close_pairs_are_told_from_near_misses():
    """sin passes 1 - e at pi/2 -+ sqrt(2 e) (arccos(1 - e) exactly), touches 1, and never has 1 + e."""
    one = sympy.Integer(1)
    e = Fraction(1, 10**8)
    asked = {"pair": s - one + sympy.Rational(1, 10**8), "miss": s - one - sympy.Rational(1, 10**12)}
    events = solve(CIRCLE, t=3, tol=1e-14, events=asked).events
    gap = float(mpmath.acos(1 - mpmath.mpf(e.numerator) / e.denominator))
    assert events.name.tolist() == ["pair", "pair"]
    assert_allclose(events.t, [np.pi / 2 - gap, np.pi / 2 + gap], atol=1e-10)  # 1e-14 / gap
    assert events.direction.tolist() == [1, -1]


@pytest.mark.parametrize("tol", [1e-4, 1e-8, 1e-12])
def test_times_are_as_good_as_the_tolerance(tol):
    """exp(t) = 5 at log(5); errors of y are divided by the slope 5."""
    met = solve(GROWTH, t=3, tol=tol, events=[y - 5]).events
    assert len(met) == 1
    assert abs(met.t[0] - np.log(5)) < 10 * tol


def test_a_poincare_section_of_henon_and_heiles():
    """Section x = 0 with x' > 0 over t = 100: the count against DOP853, every point against 128-bit arithmetic."""
    px, py = sympy.symbols("px py")
    equations = {x: px, y: py, px: -x - 2 * x * y, py: -y - x**2 + y**2}
    start = {x: 0, y: Fraction(1, 10), px: Fraction(1, 2), py: 0}
    system = PIVP(equations, start)
    met = solve(system, t=100, tol=1e-14, events=[Event(x, direction=1)]).events

    def slope(t, u):
        return [u[2], u[3], -u[0] - 2 * u[0] * u[1], -u[1] - u[0] ** 2 + u[1] ** 2]

    def section(t, u):
        return u[0]

    section.direction = 1
    other = solve_ivp(
        slope, (0, 100), [0, 0.1, 0.5, 0], "DOP853", events=section, rtol=1e-12, atol=1e-12, max_step=0.1
    ).t_events[0][1:]
    assert len(met) == len(other) >= 14
    assert_allclose(met.t, other, atol=1e-8)
    for k in (0, 5, len(met) - 1):
        truth = gpac.reference(system, t=Fraction(float(met.t[k])), bits=128).outputs
        assert_allclose(met.outputs[k], [float(w) for w in truth], atol=5e-12)
        assert abs(float(truth[0] / truth[2])) < 1e-11  # how far in time the section is


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 2**32 - 1))
def test_a_sum_of_sines_has_the_sign_changes_of_a_fine_sampling(seed):
    """cos and sin of 1, 2, 3 t with random weights, as polynomials of the circle; sampled at 20000 points."""
    rng = np.random.default_rng(seed)
    weights = rng.integers(-64, 65, size=6) / 64 + 1 / 128
    basis = [c, s, c**2 - s**2, 2 * c * s, 4 * c**3 - 3 * c, 3 * s - 4 * s**3]
    wave = sum(sympy.Rational(Fraction(float(w))) * b for w, b in zip(weights, basis, strict=True))
    t = np.linspace(0, 12, 20001)

    def wave_at(t):
        return sum(w * f(k * t) for w, (k, f) in zip(weights, product((1, 2, 3), (np.cos, np.sin)), strict=True))

    sampled = wave_at(t)
    changes = t[1:][np.sign(sampled[1:]) != np.sign(sampled[:-1])]
    solution = solve(CIRCLE, t=12, tol=1e-13, events=[wave], extremes={"wave": wave})
    # a pair of sign changes closer than the sampling may be missing from the judge, never from the solver
    met = solution.events.t
    assert len(met) >= len(changes) and (len(met) - len(changes)) % 2 == 0
    assert all(np.abs(met - change).min() <= 6e-4 for change in changes)
    assert np.abs(wave_at(met)).max(initial=0) < 1e-11
    low, _, high, _ = solution.extremes["wave"]
    assert low[0] <= sampled.min() + 1e-11 and high[0] >= sampled.max() - 1e-11
    assert_allclose([low[0], high[0]], [sampled.min(), sampled.max()], atol=1e-5)  # curvature * spacing^2


@pytest.mark.parametrize("method", ["taylor", "rungekutta", "Radau", "BDF", "LSODA"])
def test_every_method_finds_events(method):
    """sin cos = 3/10 where sin of the double angle is 6/10."""
    solution = solve(CIRCLE, t=5, tol=1e-9, method=method, events={"right": s, "made": c * s - 0.3}, extremes=True)
    assert_allclose(solution.events.select("right").t, [np.pi], atol=1e-6)
    double = solution.events.select("made").t * 2
    assert len(double) == 4
    assert_allclose(np.sin(double), 0.6, atol=1e-6)
    assert_allclose([float(a[0]) for a in solution.extremes["s"][::2]], [-1, 1], atol=1e-6)
    stop = solve(CIRCLE, t=5, tol=1e-9, method=method, events=[Event(s, terminal=True)])
    assert stop.status is Status.EVENT
    assert_allclose(stop.outputs, [-1, 0], atol=1e-6)


def test_events_of_a_stiff_trajectory():
    """Van der Pol with mu = 1000, time in thousands: x jumps through zero twice in a period of 1.614."""
    mu = 1000
    system = PIVP({x: mu * v, v: mu**2 * (1 - x**2) * v - mu * x}, {x: 2, v: 0})
    solution = solve(system, t=3, tol=1e-6, events=[x])
    assert "stiff" in solution.engine
    met = solution.events
    judge = solve_ivp(
        lambda t, u: [mu * u[1], mu**2 * (1 - u[0] ** 2) * u[1] - mu * u[0]],
        (0, 3),
        [2, 0],
        "Radau",
        events=lambda t, u: u[0],
        rtol=1e-9,
        atol=1e-12,
    ).t_events[0]
    assert len(met) == len(judge) >= 2
    assert_allclose(met.t, judge, rtol=1e-4)


# -- the ends of a run ---------------------------------------------------------------------------------------


def test_a_start_at_zero_is_no_event():
    assert len(solve(CIRCLE, t=3, events=[s]).events) == 0
    assert len(solve(FALL, t=2, initial=[0.0, 0.0], events=[y]).events) == 0
    assert_allclose(solve(FALL, t=3, initial=[0.0, 1.0], events=[y]).events.t, [2.0], atol=1e-13)


def test_a_zero_exactly_at_the_end_is_an_event():
    down = PIVP({y: -1}, {y: 1})
    for terminal in (False, True):
        solution = solve(down, t=1, events=[Event(y, terminal=terminal)])
        assert solution.events.t.tolist() == [1.0]
        assert solution.events.direction.tolist() == [-1]
        assert solution.status is (Status.EVENT if terminal else Status.REACHED)
        assert solution.t == 1.0
        assert solution.outputs.tolist() == [0.0]
        assert len(solve(down, t=1, events=[Event(y, direction=1, terminal=terminal)]).events) == 0


def test_touching_zero_is_no_event():
    t = gpac.time()
    circuit = Circuit({"double": (t - 1) * (t - 1), "triple": (t - 1) ** 3})
    met = solve(circuit, t=3, events=["double", "triple"]).events
    assert met.name.tolist() == ["triple"]
    assert abs(met.t[0] - 1) < 1e-5  # a triple root is known to the third root of rounding


def test_a_zero_where_two_steps_meet_is_found_once(engine):
    """Steps of the circle end where they like; events are put exactly there."""
    ends = solve(CIRCLE, t=30, dense=True).dense.begin[1::3]
    values = solve(CIRCLE, t=30, dense=True).at(ends)
    for end, (_, sine) in zip(ends, values, strict=True):
        for nudge in (0.0, 1e-16, -1e-13):
            level = sine + nudge
            met = solve(CIRCLE, t=30, events=[s - sympy.Rational(Fraction(float(level)))]).events
            near = np.abs(met.t - end) < 1e-6 / max(1e-3, np.sqrt(1 - sine**2))
            assert near.sum() == 1
            assert len(met) == (np.diff(np.sign(np.sin(np.linspace(0, 30, 300001)) - level)) != 0).sum()


def test_a_ball_bounces_by_solving_again():
    """Heights 1, elastic: it hits the floor at sqrt(2) (2k + 1), also when it starts exactly where it hit."""
    state, now, hits = np.array([1.0, 0.0]), 0.0, []
    for _ in range(12):
        solution = solve(FALL, t=10, initial=state, tol=1e-14, events={"floor": Event(y, terminal=True)})
        assert solution.status is Status.EVENT
        now += float(solution.t)
        hits.append(now)
        state = solution.states * [1, -1]
    assert_allclose(hits, np.sqrt(2) * (2 * np.arange(12) + 1), atol=1e-11)


# -- terminal events -----------------------------------------------------------------------------------------


def test_a_terminal_event_ends_its_own_trajectory_only():
    start = np.array([[1.0, 0.0], [0.4, 0.0], [0.0, 2.0], [0.5, 0.0]])
    solution = solve(CIRCLE, t=20, initial=start, length=True, dense=True, events=[Event(s - 0.75, terminal=True)])
    assert list(solution.status) == [Status.EVENT, Status.REACHED, Status.EVENT, Status.REACHED]
    first = np.arcsin(0.75)
    later = np.pi - np.arcsin(0.375)  # starts at the top, above the level
    assert_allclose(solution.t, [first, 20, later - np.pi / 2, 20], atol=1e-12)
    assert_allclose(solution.outputs[[0, 2], 1], 0.75, atol=1e-15)
    assert_allclose(solution.states, solution.outputs, atol=0)
    assert_allclose(solution.length, np.linalg.norm(start, axis=1) * solution.t, rtol=1e-6)
    assert solution.ok and solution.check() is solution
    assert solution.events.trajectory.tolist() == [0, 2]
    beyond = solution.at(np.stack([solution.t, solution.t + 1e-9], axis=1))
    assert_allclose(beyond[:, 0], solution.outputs, atol=1e-13)
    assert np.isnan(beyond[:, 1]).all()
    plain = solve(CIRCLE, t=20, initial=start, length=True)
    for b in (1, 3):
        assert_array_equal(solution.outputs[b], plain.outputs[b])
        assert solution.steps[b] == plain.steps[b]


@pytest.mark.parametrize("turns", [3, 40, 300])
def test_a_terminal_event_is_met_many_windows_into_the_run(turns):
    """The clock's event, deep in the run; afterwards nothing is told, and little is computed."""
    time = sympy.Symbol("time")
    system = PIVP({c: -s, s: c, time: 1}, {c: 1, s: 0, time: 0})
    end = Fraction(turns * 7, 1) + Fraction(1, 3)
    asked = {"stop": Event(time - sympy.Rational(end), terminal=True), "count": Event(s, direction=1)}
    solution = solve(system, t=10**5, events=asked, length=True)
    assert solution.status is Status.EVENT
    assert abs(solution.t - float(end)) < 1e-11 * float(end)
    assert len(solution.events.select("count")) == int(float(end) / (2 * np.pi))
    assert_allclose(solution.length, np.sqrt(2) * float(end), rtol=1e-5)
    assert_allclose(solution.states[:2], [np.cos(float(end)), np.sin(float(end))], atol=1e-13 * float(end) ** 2)


def test_the_first_of_several_terminal_events_counts():
    asked = [Event(s - 0.5, terminal=True, name="late"), Event(s - 0.25, terminal=True, name="early"), Event(c - 0.99)]
    solution = solve(CIRCLE, t=20, events=asked)
    assert solution.events.name.tolist() == [str(c - 0.99), "early"]
    assert_allclose(solution.t, np.arcsin(0.25), atol=1e-14)


def test_events_that_filter_by_direction_do_not_end_a_run_the_other_way():
    solution = solve(CIRCLE, t=20, events=[Event(s - 0.5, direction=-1, terminal=True)])
    assert_allclose(solution.t, np.pi - np.arcsin(0.5), atol=1e-13)


def test_what_a_run_without_events_gives_stays_as_it_is():
    """Below a window of steps not a bit changes; above it the run is cut, and agrees to the tolerance."""
    for end, same in ((5.0, True), (300.0, False)):
        plain = solve(CIRCLE, t=end, initial=[[1.0, 0.0], [0.0, 2.0]])
        seen = solve(CIRCLE, t=end, initial=[[1.0, 0.0], [0.0, 2.0]], events=[s, c * s - 0.1], extremes=True)
        assert list(seen.status) == list(plain.status)
        assert_allclose(seen.outputs, plain.outputs, rtol=0, atol=0 if same else 1e-9)
        assert_allclose(seen.orders, plain.orders, rtol=0 if same else 0.02)


def test_a_blow_up_is_still_one_after_many_windows():
    """exp overflows at 709.78; events before it are told."""
    solution = solve(GROWTH, t=1000, events={"hundred": y - 100}, extremes=True)
    assert solution.status is Status.BLOW_UP
    assert_allclose(solution.events.t, [np.log(100)], atol=1e-10)
    assert solution.extremes["y"].low[0] == 1.0
    assert solution.extremes["y"].high[0] > 1e300
    square = solve(PIVP({y: y**2}, {y: 1}), t=2, events={"big": Event(y - 10**6, terminal=True)})
    assert square.status is Status.EVENT
    assert abs(square.t - (1 - 1e-6)) < 1e-11


def test_steps_allowed_are_counted_over_all_windows():
    plain = solve(CIRCLE, t=1000, max_steps=100)
    seen = solve(CIRCLE, t=1000, max_steps=100, events=[s])
    assert seen.status is Status.MAX_STEPS
    assert seen.steps == plain.steps == 100
    assert abs(seen.t - plain.t) < 1e-6
    assert len(seen.events) == int(float(seen.t) / np.pi)
    assert solve(CIRCLE, t=10, events=[s], max_steps=int(solve(CIRCLE, t=10).steps)).ok


def test_interrupting_keeps_what_was_found():
    ended = []

    def stop(fraction):
        ended.append(fraction)
        raise KeyboardInterrupt

    solution = solve(CIRCLE, t=[1.0, 10000.0], events=[c], progress=stop, dense=True)
    assert solution.status[1] is Status.STOPPED
    met = solution.events.select(trajectory=1)
    assert len(met) == int(solution.t[1] / np.pi + 0.5) > 3
    assert_allclose(solution.at([float(solution.t[1])])[1, 0], solution.states[1], atol=1e-12)


def test_the_clock_stops_runs_with_events():
    solution = solve(CIRCLE, t=1e9, events=[c], max_seconds=0.2)
    assert solution.status is Status.WALL_CLOCK
    assert len(solution.events) == int(float(solution.t) / np.pi + 0.5)


# -- in company ----------------------------------------------------------------------------------------------


def assert_same(one, other, where):
    """Trajectory b of one is trajectory where[b] of the other, to the last bit."""
    for name in ("outputs", "states", "t", "steps", "orders", "length", "space"):
        assert_array_equal(getattr(one, name), getattr(other, name)[where], err_msg=name)
    for key, extremes in one.extremes.items():
        for mine, theirs in zip(extremes, other.extremes[key], strict=True):
            assert_array_equal(mine, theirs[where])
    for b, w in enumerate(where):
        mine, theirs = one.events.select(trajectory=b), other.events.select(trajectory=int(w))
        for name in ("name", "entry", "t", "direction", "outputs", "states"):
            assert_array_equal(getattr(mine, name), getattr(theirs, name), err_msg=name)


@pytest.fixture(scope="module")
def thousand(engine):
    rng = np.random.default_rng(4)
    start, ends = rng.normal(size=(1000, 3)) * 10, rng.uniform(0.1, 5, size=1000)

    def run(rows, memory=observer.MEMORY):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(observer, "MEMORY", memory)
            asked = [Event(x, name="x"), Event(z - 27, direction=-1, name="z"), Event(x * y + 40, terminal=True)]
            more = {"extremes": [y, x * y - z], "length": True}
            return solve(LORENZ, t=ends[rows], initial=start[rows], tol=1e-10, events=asked, **more)

    return run, run(np.arange(1000))


@pytest.mark.parametrize("count", [1, 2, 3])
def test_bits_do_not_depend_on_the_size_of_the_batch(thousand, count):
    run, together = thousand
    for first in (0, 400, 997):
        where = np.arange(first, first + count)
        assert_same(run(where), together, where)


def test_bits_do_not_depend_on_the_neighbours_or_on_how_the_batch_is_cut(thousand):
    run, together = thousand
    assert 100 < sum(s is Status.EVENT for s in together.status) < 1000
    assert len(together.events) > 1000
    where = np.random.default_rng(5).permutation(1000)
    assert_same(run(where), together, where)
    assert_same(run(where[:30], memory=1), together, where[:30])


def test_events_of_lorenz_agree_with_scipy(thousand):
    _, together = thousand
    start = np.random.default_rng(4).normal(size=(1000, 3)) * 10

    def slope(t, u):
        return [10 * (u[1] - u[0]), u[0] * (28 - u[2]) - u[1], u[0] * u[1] - 8 / 3 * u[2]]

    def over(t, u):
        return u[0]

    for b in range(5):
        end = float(together.t[b])
        found = solve_ivp(
            slope, (0, end), start[b], "DOP853", events=over, rtol=1e-12, atol=1e-12, max_step=0.01
        ).t_events[0]
        assert_allclose(together.events.select("x", trajectory=b).t, found, atol=1e-6)


def test_an_empty_batch_has_no_events():
    solution = solve(CIRCLE, t=1, initial=np.zeros((0, 2)), events=[s], extremes=True)
    assert len(solution.events) == 0
    assert solution.events.outputs.shape == (0, 2)
    assert solution.extremes["c"].low.shape == (0, 1)


def test_trajectories_may_have_their_own_ends():
    ends = np.array([1.0, 4.0, -4.0, 7.0])
    met = solve(CIRCLE, t=ends, events=[s]).events
    assert met.trajectory.tolist() == [1, 2, 3, 3]
    assert_allclose(met.t, [np.pi, -np.pi, np.pi, 2 * np.pi], atol=1e-13)


# -- which wires ---------------------------------------------------------------------------------------------


def oscillators():
    """Three oscillators of different speed as one vector; a sum that drives nothing is read beside."""
    q, p = gpac.wire("q", 3), gpac.wire("p", 3)
    speed = [1, 2, 3]
    p.define(integral(linear([([-1, -2, -3], q)]), None, [1, 1, 1], name="p"))
    q.define(integral(linear([(speed, p)]), None, [0, 0, 0], name="q"))
    return q, p, np.ones((1, 3)) @ q


def test_entries_of_a_vector_are_separate_events():
    q, p, total = oscillators()
    circuit = Circuit({"total": total})
    met = solve(circuit, t=3.3, events={"q": q, "second": Event(p, entry=1)}).events
    for k in range(3):
        expected = np.arange(1, int(3.3 * (k + 1) / np.pi) + 1) * np.pi / (k + 1)
        assert_allclose(met.select("q", entry=k).t, expected, atol=1e-12)
    assert_allclose(met.select("second").t, (np.arange(2) + 0.5) * np.pi / 2, atol=1e-12)
    assert set(met.select("second").entry) == {1}


def test_wires_that_drive_nothing_and_wires_made_for_the_event_are_watched():
    q, p, total = oscillators()
    circuit = Circuit({"total": total})
    made = q * p - gpac.constant([Fraction(1, 4), Fraction(1, 4), Fraction(1, 4)])
    solution = solve(circuit, t=1, tol=1e-13, events={"total": Event(total - 2, direction=1), "made": made})
    assert_array_equal(solution.states, solve(circuit, t=1, tol=1e-13).states)
    (when,) = solution.events.select("total").t
    assert abs(sum(np.sin(k * when) for k in (1, 2, 3)) - 2) < 1e-12
    for k in (1, 2, 3):  # sin cos = 1/4: sin of the double angle is a half
        angles = solution.events.select("made", entry=k - 1).t * 2 * k
        assert_allclose(np.sin(angles), 0.5, atol=1e-12)
    assert list(circuit.outputs) == list(solution.named)
    assert solution.events.states.shape[1] == circuit.dim
    met = solution.events.select("total")
    assert_allclose(
        np.sort(met.states[0]), np.sort([f(k * when) for k in (1, 2, 3) for f in (np.sin, np.cos)]), atol=1e-12
    )


def test_events_may_depend_on_inputs_and_time():
    a = inputs("a")
    w = gpac.wire("w")
    w.define(integral(a * w, None, Start("identity", inputs("a")), name="w"))
    circuit = Circuit({"w": w})
    solution = solve(circuit, t=3, inputs=[[0.5], [1.0], [-1.0]], events={"twice": w - 2 * a, "clock": gpac.time() - 1})
    twice, clock = solution.events.select("twice"), solution.events.select("clock")
    assert twice.trajectory.tolist() == [0, 1]
    assert_allclose(twice.t, [np.log(2) / 0.5, np.log(2)], atol=1e-11)
    assert_allclose(clock.t, [1, 1, 1], atol=1e-15)


def test_an_output_by_name_a_single_event_and_a_constant():
    assert_allclose(solve(CIRCLE, t=5, events="c").events.t, [np.pi / 2, 3 * np.pi / 2], atol=1e-13)
    assert_allclose(solve(CIRCLE, t=2, events=Event(c)).events.t, [np.pi / 2], atol=1e-13)
    solution = solve(CIRCLE, t=2, events=[sympy.Integer(3)], extremes={"three": sympy.Integer(3)})
    assert len(solution.events) == 0
    assert solution.extremes["three"].low.tolist() == solution.extremes["three"].high.tolist() == [3.0]


def test_a_grid_keeps_its_times_and_ends_at_terminal_events():
    solution = solve(CIRCLE, t=[[0.5, 1.0, 3.0]], events=[Event(c, terminal=True)])
    assert_allclose(solution.outputs[:2, 1], np.sin([0.5, 1.0]), atol=1e-12)
    assert np.isnan(solution.outputs[2]).all()
    assert_allclose(solution.t, np.pi / 2, atol=1e-13)


def two_phases():
    """A circle for t = 4 from (1, 0), then its sine runs on at constant speed -1 for t = 2."""
    q, p = gpac.wire("q"), gpac.wire("p")
    p.define(integral(-q, None, 1, name="p"))
    q.define(integral(p, None, 0, name="q"))
    first = Circuit({"q": q, "p": p})
    line = integral(gpac.constant(-1), None, Start("identity", inputs("q")), name="line")
    second = Circuit({"line": line})
    return gpac.Schedule((gpac.Phase(first, Fraction(4)), gpac.Phase(second, Fraction(2)))), q, line


def test_in_schedules_time_counts_over_all_phases():
    schedule, q, line = two_phases()
    solution = solve(schedule, events={"q": q, "line": line + 2}, extremes=[q, line, "line"])
    met = solution.events
    assert met.name.tolist() == ["q", "line"]
    assert_allclose(met.t, [np.pi, 4 + np.sin(4) + 2], atol=1e-12)
    assert met.phase.tolist() == [0, 1]
    assert np.isnan(met.outputs[0]).all()
    assert_allclose(met.outputs[1], [-2], atol=1e-12)
    assert_allclose(np.sort(met.states[0]), [-1, 0], atol=1e-12)
    low, t_low, high, t_high = (float(a[0]) for a in solution.extremes[q])
    assert_allclose([low, t_low, high, t_high], [np.sin(4), 4, 1, np.pi / 2], atol=1e-6)
    low, t_low, high, t_high = (float(a[0]) for a in solution.extremes["line"])
    assert_allclose([low, t_low, high, t_high], [np.sin(4) - 2, 6, np.sin(4), 4], atol=1e-12)


def test_a_terminal_event_ends_a_schedule_in_its_phase():
    schedule, q, _ = two_phases()
    solution = solve(schedule, events=[Event(q, terminal=True)])
    assert solution.status is Status.EVENT
    assert_allclose(solution.t, np.pi, atol=1e-12)
    assert np.isnan(solution.outputs).all()


# -- extremes ------------------------------------------------------------------------------------------------


def test_extremes_of_the_circle():
    for end in (30, -30):
        solution = solve(CIRCLE, t=end, tol=1e-13, extremes=True)
        for name, wave in (("c", np.cos), ("s", np.sin)):
            low, t_low, high, t_high = (float(a[0]) for a in solution.extremes[name])
            assert_allclose([low, high], [-1, 1], atol=1e-11)
            assert_allclose([wave(t_low), wave(t_high)], [-1, 1], atol=1e-10)
            assert 0 <= np.sign(end) * t_low <= 30 and 0 <= np.sign(end) * t_high <= 30


def test_extremes_inside_one_step():
    """t^3 - 3 t on (0, 2): least at 1, largest at the end; in one step."""
    t = gpac.time()
    solution = solve(Circuit({"p": t**3 - 3 * t}), t=2, extremes=True)
    assert solution.steps == 1
    assert_allclose([float(a[0]) for a in solution.extremes["p"]], [-2, 1, 2, 2], atol=1e-14)


def test_extremes_are_at_least_those_of_a_dense_sampling():
    rng = np.random.default_rng(3)
    start = rng.normal(size=(20, 3)) * 10
    solution = solve(LORENZ, t=3, initial=start, dense=True, extremes={"x": x, "y": y, "z": z}, tol=1e-12)
    grid = np.linspace(0, 3, 3001)
    sampled = solution.at(grid)
    for k, name in enumerate("xyz"):
        low, t_low, high, t_high = solution.extremes[name]
        assert (low[:, 0] <= sampled[..., k].min(axis=1) + 1e-11).all()
        assert (high[:, 0] >= sampled[..., k].max(axis=1) - 1e-11).all()
        # second derivatives reach 1e5; half of the grid's spacing is 5e-4
        assert_allclose(low[:, 0], sampled[..., k].min(axis=1), atol=2e-2)
        assert_allclose(high[:, 0], sampled[..., k].max(axis=1), atol=2e-2)
        for value, time in ((low, t_low), (high, t_high)):
            there = np.take_along_axis(solution.at(time)[..., k], np.zeros((20, 1), dtype=int), axis=1)
            assert_allclose(there, value, atol=1e-9)


def test_extremes_of_every_wire_of_a_circuit():
    circuit = Circuit({"total": oscillators()[2]})
    extremes = solve(circuit, t=7, extremes=circuit.wires).extremes
    assert set(extremes) == set(circuit.wires)
    (state,) = (w for w in circuit.wires if w.name == "q")
    assert extremes[state].low.shape == (3,)
    assert_allclose(extremes[state].high, 1, atol=1e-11)
    assert_allclose(extremes[state].low, -1, atol=1e-11)
    batch = solve(Circuit({"w": inputs("a", 2) * gpac.time()}), t=2, inputs=[[1.0, -1.0]] * 3, extremes=True).extremes
    assert batch["w"].low.tolist() == [[0.0, -2.0]] * 3
    assert batch["w"].t_low.tolist() == [[0.0, 2.0]] * 3


def test_extremes_stop_at_terminal_events():
    solution = solve(CIRCLE, t=20, events=[Event(c - 0.5, terminal=True)], extremes=True)
    low, t_low, high, t_high = solution.extremes["c"]
    assert_allclose([low[0], t_low[0], high[0], t_high[0]], [0.5, np.pi / 3, 1, 0], atol=1e-13)
    assert_allclose(solution.extremes["s"].high, np.sin(np.pi / 3), atol=1e-13)
    assert float(solution.extremes["s"].t_high[0]) == float(solution.t)


# -- mistakes ------------------------------------------------------------------------------------------------

OTHER = gpac.integral(gpac.constant(1), None, 0, name="elsewhere")
PARTLY = PIVP({x: y, y: -x, z: x}, {x: 1, y: 0, z: 0}, {"x": x})
MISTAKES = {
    "direction": (lambda: Event(s, direction=2), r"direction must be 1 \(rising\).*got 2"),
    "nan direction": (lambda: Event(s, direction=float("nan")), "direction must be.*got nan"),
    "terminal": (lambda: Event(s, terminal="yes"), "terminal must be True or False, got 'yes'"),
    "entry": (lambda: Event(s, entry=-1), "whole number from 0 on, got -1"),
    "name": (lambda: Event(s, name=3), "name must be text, got 3"),
    "number": (lambda: solve(CIRCLE, t=1, events=[3.0]), "needs a wire, an output's name or an expression, got 3.0"),
    "nan": (lambda: solve(CIRCLE, t=1, events=[s * sympy.nan]), "event 'nan'.*not a polynomial with rational"),
    "unknown variable": (lambda: solve(CIRCLE, t=1, events=[s - x]), "event.*uses x, which has no equation"),
    "no polynomial": (lambda: solve(CIRCLE, t=1, events=[sympy.sin(s)]), "not a polynomial with rational"),
    "unread variable": (lambda: solve(PARTLY, t=1, events=[z]), "takes z, which no output needs; give z as an output"),
    "no output": (lambda: solve(CIRCLE, t=1, events=["q"]), r"no output 'q'; the outputs are \['c', 's'\]"),
    "other circuit": (
        lambda: solve(Circuit({"y": fn.sin(gpac.time())}), t=1, events=[OTHER]),
        "event 'elsewhere': integrator 'elsewhere' is not made of wires of the circuit",
    ),
    "extremes of another circuit": (
        lambda: solve(Circuit({"y": fn.sin(gpac.time())}), t=1, extremes=[OTHER]),
        "extremes of .*elsewhere.* is not made of wires of the circuit",
    ),
    "expression for a circuit": (
        lambda: solve(Circuit({"y": fn.sin(gpac.time())}), t=1, events=[s]),
        "expected the name of an output or a wire, got s",
    ),
    "entry beyond": (lambda: solve(CIRCLE, t=1, events=[Event(s, entry=1)]), "asks for entry 1.*entries 0 to 0"),
    "two of one name": (lambda: solve(CIRCLE, t=1, events=[s, s]), "two events are called 's'"),
    "names that are no text": (lambda: solve(CIRCLE, t=1, events={1: s}), "need text as names, got 1"),
    "derivatives": (
        lambda: solve(CIRCLE, t=1, events=[s], derivatives=True),
        "derivatives are solved for without events or extremes",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_told_in_a_sentence(name):
    call, message = MISTAKES[name]
    with pytest.raises(GpacError, match=message):
        call()


def test_batches_that_memory_does_not_hold_are_cut_and_nothing_is_lost(monkeypatch):
    rows = np.random.default_rng(3).uniform(-1, 1, (20, 2))
    told = {"t": 5, "initial": rows, "extremes": True, "dense": True, "length": True}
    told["events"] = {"rest": v, "high": Event(y - Fraction(3, 4), terminal=True)}
    swing = PIVP({y: v, v: -y + y**3 / 6}, {y: 0, v: 0})
    whole, advance, seen = solve(swing, **told), observer.Observer.advance, []

    def small(self, batch, limits):
        if len(batch.t) > 6:
            limits.tell(len(batch.t))
            raise MemoryError
        return advance(self, batch, limits)

    monkeypatch.setattr(observer.Observer, "advance", small)
    cut = solve(swing, progress=seen.append, **told)
    assert cut.engine.endswith("; memory held 5 trajectories at a time")
    for name in ("outputs", "t", "steps", "length", "space", "status"):
        assert_array_equal(getattr(cut, name), getattr(whole, name), err_msg=name)
    for name in cut.events.__dataclass_fields__:
        assert_array_equal(getattr(cut.events, name), getattr(whole.events, name), err_msg=name)
    for one, other in zip(cut.extremes["y"], whole.extremes["y"], strict=True):
        assert_array_equal(one, other)
    assert_array_equal(cut.at(np.linspace(0, 5, 9)), whole.at(np.linspace(0, 5, 9)))
    assert max(seen) == 1  # what is begun twice counts no more than once
