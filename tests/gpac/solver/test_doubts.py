"""Blow-ups that only a loose tolerance made: they are solved, true ones stay, and neighbours notice nothing."""

from dataclasses import replace

import numpy as np
import pytest
import sympy
from numpy.testing import assert_allclose, assert_array_equal

from gpac import PIVP, Event, Status, solve
from gpac.solver import doubts
from gpac.solver.results import STOPPED

a, b, c, y = sympy.symbols("a b c y")
SLOW, FAST, FASTEST = sympy.Rational(4, 100), 10**4, 3 * 10**7
ROBERTSON = PIVP(
    {a: -SLOW * a + FAST * b * c, b: SLOW * a - FAST * b * c - FASTEST * b**2, c: FASTEST * b**2}, {a: 1, b: 0, c: 0}
)
TRUE = {0.4: [0.98517211, 3.3863954e-05, 0.014794022], 40: [0.71582707, 9.1855348e-06, 0.28416375]}
"""At these times: Hindmarsh, LSODE's example; digits by Taylor series and Radau of this package at 1e-10 to 1e-12."""
STARTS = np.array([[1.0, 0, 0], [0, 0, 1], [1, -0.1, 0], [0.5, 0, 0.5], [1, -0.05, 0], [0.25, 0, 0]])
FATES = [Status.REACHED, Status.REACHED, Status.BLOW_UP, Status.REACHED, Status.BLOW_UP, Status.REACHED]
ENGINES = [{"backend": "compiled"}, {"backend": "numpy"}, {"method": "Radau"}]


@pytest.mark.parametrize(("t", "how"), [*((40, how) for how in ENGINES), (0.4, {"method": "rungekutta"})])
def test_robertsons_problem_is_solved_with_a_tolerance_that_loses_its_sign(t, how):
    solution = solve(ROBERTSON, t, tol=1e-3, **how).check()
    assert_allclose(solution.outputs, TRUE[t], rtol=1e-3, atol=1e-6)
    assert solution.engine.endswith("; 1 trajectory that seemed to blow up with tol=0.001 solved with tol=1e-07")


@pytest.mark.parametrize("how", ENGINES)
def test_true_poles_stay_blow_ups_with_the_bits_that_they_had(how, monkeypatch):
    pole, told = PIVP({y: y**2}, {y: 1}), {"t": 2, "tol": 1e-4} | how
    solution = solve(pole, **told)
    assert solution.status is Status.BLOW_UP
    assert abs(solution.t - 1) < 1e-2
    assert "seemed" not in solution.engine
    monkeypatch.setattr(doubts, "LOOSE", 1)
    assert_array_equal(solve(pole, **told).t, solution.t)


@pytest.mark.parametrize("how", ENGINES[:2])
def test_each_has_the_bits_of_the_tighter_run_alone_and_in_a_batch(how):
    told = {"t": 0.5, "dense": True, "length": True, "extremes": True, "events": {"half": a - c, "b": Event(b)}} | how
    together = solve(ROBERTSON, initial=STARTS, tol=1e-3, **told)
    tight = solve(ROBERTSON, initial=STARTS, tol=1e-3 * doubts.TIGHTER, **told)
    assert list(together.status) == FATES
    assert "3 trajectories that seemed to blow up" in together.engine
    again, times = [0, 3, 5], np.linspace(0, 0.5, 7)
    for name in ("outputs", "states", "t", "steps", "orders", "length", "space"):
        assert_array_equal(getattr(together, name)[again], getattr(tight, name)[again], err_msg=name)
    assert_array_equal(together.at(times)[again], tight.at(times)[again])
    assert_array_equal(together.extremes["b"].high[again], tight.extremes["b"].high[again])
    assert (np.diff(together.events.trajectory) >= 0).all()
    for k in again:
        one, other = (s.events.select(trajectory=k) for s in (together, tight))
        assert_array_equal(one.t, other.t)
        assert_array_equal(one.states, other.states)
    for k in range(len(STARTS)):
        alone = solve(ROBERTSON, initial=STARTS[k : k + 1], tol=1e-3, **told)
        for name in ("outputs", "states", "t", "steps", "orders", "length", "space", "status"):
            assert_array_equal(getattr(alone, name)[0], getattr(together, name)[k], err_msg=name)
        assert_array_equal(alone.events.t, together.events.select(trajectory=k).t)
        assert_array_equal(alone.at(times)[0], together.at(times)[k])


def test_no_time_is_no_reason_to_look_again():
    solution = solve(ROBERTSON, [40, 40], initial=STARTS[:2], tol=1e-3, max_seconds=1e-9)
    assert (solution.status == Status.WALL_CLOCK).all()


def test_ctrl_c_in_the_second_look_ends_the_run(monkeypatch):
    begin, runs = doubts.Doubts.__init__, []

    def counted(self, circuit, settings, make, xp):
        def made(tight):
            choice = make(tight)
            if tight.tol < settings.tol:
                runs.append(tight.tol)
                monkeypatch.setattr(choice.engine, "advance", interrupted(choice.engine.advance))
            return choice

        begin(self, circuit, settings, made, xp)

    def interrupted(advance):
        def stopped(batch, limits):
            answer = advance(batch, replace(limits, max_steps=1))
            return replace(answer, code=np.full(len(batch.t), STOPPED))

        return stopped

    monkeypatch.setattr(doubts.Doubts, "__init__", counted)
    solution = solve(ROBERTSON, 40, tol=1e-3, method="taylor")
    assert runs == [1e-3 * doubts.TIGHTER]
    assert solution.status is Status.STOPPED
