"""What users of solvers ask for, and the trouble they bring, on every engine alike."""

import signal
from fractions import Fraction

import numpy as np
import pytest
import sympy
from host_kernel import COMPILER, HostKernel
from numpy.testing import assert_allclose

import gpac
import gpac.solver.pieces
from gpac import PIVP, Circuit, Event, NumberError, ShapeError, Status, solve
from gpac.pair import leading
from gpac.solver import choice
from gpac.solver.cuda.engine import CudaEngine

c, s, x, y = sympy.symbols("c s x y")
CIRCLE = PIVP({c: -s, s: c}, {c: 1, s: 0})
PENDULUM = PIVP({x: y, y: -x + x**3 / 6}, {x: Fraction(1, 2), y: 0})
ENGINES = {
    "lanes": {"backend": "compiled"},
    "arrays": {"backend": "numpy"},
    "lanes in double-double": {"backend": "compiled", "precision": "double-double", "tol": 1e-20},
    "arrays in double-double": {"backend": "numpy", "precision": "double-double", "tol": 1e-20},
    "Runge-Kutta": {"method": "rungekutta"},
    "Radau": {"method": "Radau", "tol": 1e-8},
    "BDF": {"method": "BDF", "tol": 1e-8},
    "LSODA": {"method": "LSODA", "tol": 1e-8},
}


@pytest.fixture(params=ENGINES)
def how(request):
    return ENGINES[request.param]


def near(how):
    """What errors may be: the global ones of BDF are some hundred times the tolerance."""
    return max(300 * how.get("tol", 1e-12), 1e-10)


def test_everything_is_told_of_each_trajectory(how):
    assert_everything_is_told(how)


@pytest.mark.skipif(COMPILER is None, reason="no C++ compiler (g++ or clang++) to run kernels on the processor")
def test_kernels_tell_everything_of_each_trajectory(monkeypatch):
    def choose(circuit, settings, xp, backend, method):
        return choice.Choice(CudaEngine(circuit, settings, xp, build=HostKernel), "asked for by the test")

    monkeypatch.setattr(gpac.solver.pieces, "choose", choose)
    assert_everything_is_told({})


def assert_everything_is_told(how):
    ends = np.array([1.0, -2.0, 0.0, 3.5])
    events = {"up": Event(c), "right": Event(s, terminal=True)}
    solution = solve(CIRCLE, ends, events=events, extremes=[c, c * s], length=True, dense=True, **how)
    reached = np.array([1.0, -2.0, 0.0, np.pi])
    assert list(solution.status) == [*3 * [Status.REACHED], Status.EVENT]
    assert_allclose(solution.t, reached, atol=near(how))
    assert_allclose(solution.outputs, np.stack([np.cos(reached), np.sin(reached)], axis=1), atol=near(how))
    assert solution.events.trajectory.tolist() == [1, 3, 3]
    assert_allclose(leading(solution.events.t), [-np.pi / 2, np.pi / 2, np.pi], atol=near(how))
    assert_allclose(leading(solution.extremes[c].low)[:, 0], np.cos(reached), atol=near(how))
    assert_allclose(leading(solution.extremes[c * s].low)[[1, 3], 0], -0.5, atol=near(how))
    assert_allclose(solution.length, np.abs(reached), atol=1e-5)
    halves = solution.at(reached[:, None] / 2)[:, 0]
    assert_allclose(halves, np.stack([np.cos(reached / 2), np.sin(reached / 2)], axis=1), atol=near(how))
    assert (solution.steps >= 1).all()
    assert (solution.orders[[0, 1, 3]] >= 1).all()
    assert_allclose(solution.space, 1, atol=near(how))


def test_several_events_in_one_step_are_found(how):
    t, p = gpac.time(), gpac.constant([1])
    for k in range(1, 6):
        p = p * (t - k)
    solution = solve(Circuit({"p": p}), 7, events=["p"], **how)
    assert solution.steps == 1
    assert_allclose(leading(solution.events.t), [1, 2, 3, 4, 5], atol=1e-9)


def test_who_blows_up_or_runs_out_of_steps_says_so_and_nobody_else(how):
    square = PIVP({y: y**2}, {y: 1})
    solution = solve(square, [0.5, 2.0, -1.0], **how)
    assert list(solution.status) == [Status.REACHED, Status.BLOW_UP, Status.REACHED]
    assert abs(solution.t[1] - 1) < near(how)
    assert_allclose(solution.outputs[[0, 2], 0], [2, 0.5], atol=near(how))
    assert np.isnan(solution.outputs[1]).all()
    few = solve(CIRCLE, [1e-9, 1e4], max_steps=3, **how)
    assert list(few.status) == [Status.REACHED, Status.MAX_STEPS]
    assert few.steps[1] == 3


@pytest.mark.parametrize("more", [{}, {"events": [c], "extremes": True}], ids=["plain", "observed"])
def test_a_clock_that_runs_out_leaves_everyone_where_it_was(how, more):
    solution = solve(CIRCLE, [1e-9, 1e9], max_steps=10**9, max_seconds=0.05, **more, **how)
    assert solution.status[1] is Status.WALL_CLOCK
    assert 0 <= solution.t[1] < 1e9
    assert np.isnan(solution.outputs[1]).all()


@pytest.mark.parametrize("more", [{}, {"events": [c], "extremes": True}], ids=["plain", "observed"])
def test_ctrl_c_returns_what_is_done(how, more):
    def told(done: float) -> None:
        if done:
            signal.raise_signal(signal.SIGINT)

    solution = solve(CIRCLE, [0.5, 1e8], max_steps=10**9, progress=told, **more, **how)
    assert list(solution.status) == [Status.REACHED, Status.STOPPED]
    assert_allclose(solution.outputs[0], [np.cos(0.5), np.sin(0.5)], atol=near(how))
    assert 0 <= solution.t[1] < 1e8


def test_progress_rises_to_one(how):
    seen = []
    solve(CIRCLE, [1.0, 2.0, 30.0], events=[c], progress=seen.append, **how)
    assert seen == sorted(seen)
    assert seen[-1] == 1


def test_a_batch_without_trajectories_has_an_empty_answer(how):
    told = {"dense": True, "length": True, "events": [x], "extremes": [x]}
    solution = solve(PENDULUM, 1, initial=np.zeros((0, 2)), **told, **how)
    assert (solution.outputs.shape, solution.t.shape, solution.status.shape) == ((0, 2), (0,), (0,))
    assert solution.at([0.5, 1.0]).shape == (0, 2, 2)
    assert (len(solution.events), solution.extremes[x].low.shape) == (0, (0, 1))
    assert solution.check() is solution
    varied = solve(PENDULUM, 1, initial=np.zeros((0, 2)), derivatives=True, **how)
    assert (varied.outputs.shape, varied.jacobian["initial"].shape) == ((0, 2), (0, 2, 2))
    assert solve(PENDULUM, np.zeros((0, 3)), initial=np.zeros((0, 2)), **how).outputs.shape == (0, 3, 2)


def test_nothing_to_do_is_done(how):
    solution = solve(CIRCLE, 0, dense=True, extremes=True, events=[c], **how)
    assert solution.status is Status.REACHED
    assert_allclose(solution.at([0.0]), [[1, 0]])
    assert leading(solution.extremes["c"].low) == 1
    assert len(solution.events) == 0


def test_exact_numbers_and_mistakes(how):
    exact = np.array([Fraction(1, 3), sympy.Rational(1, 2)], dtype=object)
    assert_allclose(
        solve(PENDULUM, 1, initial=exact, **how).outputs,
        solve(PENDULUM, 1, initial=[1 / 3, 0.5]).outputs,
        atol=near(how),
    )
    with pytest.raises(NumberError, match="finite"):
        solve(CIRCLE, [1.0, np.nan], **how)
    with pytest.raises(NumberError, match="tol must lie between"):
        solve(CIRCLE, 1, **{**how, "tol": 1e-40})
    with pytest.raises(ShapeError, match=r"shape \(3,\), got shape \(2,\)"):
        solve(PENDULUM, [1, 2], initial=np.ones((3, 2)), **how)
    with pytest.raises((ShapeError, NumberError), match="initial"):
        solve(PENDULUM, 1, initial=np.array(["a", None], dtype=object), **how)
