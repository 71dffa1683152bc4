"""Ctrl-C at any moment: what comes back is consistent, whichever line it met."""

import signal
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import sympy
from numpy.testing import assert_allclose

import gpac
from gpac import PIVP, Event, Status, solve
from gpac.solver import pieces, stiff, stiffness
from gpac.solver.interrupt import completed, undisturbed
from gpac.solver.lanes.engine import LaneEngine
from gpac.solver.sensitivity import Turns

c, s, y = sympy.symbols("c s y")
CIRCLE = PIVP({c: -s, s: c}, {c: 1, s: 0})
ENDS = np.array([0.5, 4.0, 12.0])
FOLDER = str(Path(pieces.__file__).parent)
ENGINES = {
    "lanes": {},
    "arrays": {"backend": "numpy"},
    "arrays in double-double": {"precision": "double-double", "tol": 1e-20, "backend": "numpy"},
    "Runge-Kutta": {"method": "rungekutta", "tol": 1e-6},
    "Radau": {"method": "Radau", "tol": 1e-4},
    "LSODA": {"method": "LSODA", "tol": 1e-6},
}
NUMERICS = {"series", "recurrences", "arithmetic", "right", "readings", "field", "split", "powers", "start"}
"""Files whose lines are many and write nothing down."""
OUTSIDE = {"pieces", "batch", "interrupt"}
"""Files with a few lines between engine and answer, where it may as well be raised."""
MOMENTS = 20


def traced(call, moment=None):
    """What call() returns, Ctrl-C coming at the line of that number, and how many lines of the solver it ran."""
    seen, begun = 0, False

    def trace(frame, event, arg):
        nonlocal seen, begun
        if not frame.f_code.co_filename.startswith(FOLDER):
            return None
        begun |= (frame.f_code.co_name, frame.f_code.co_filename) == ("advance", pieces.__file__)
        if begun and event == "line" and Path(frame.f_code.co_filename).stem not in NUMERICS | OUTSIDE:
            seen += 1
            if seen == moment:
                signal.raise_signal(signal.SIGINT)
        return trace

    sys.settrace(trace)
    try:
        return call(), seen
    finally:
        sys.settrace(None)


def turned(t):
    return np.stack([np.cos(t), np.sin(t)], axis=-1)


@pytest.mark.parametrize("more", [{}, {"dense": True}, {"dense": True, "events": [c, s]}], ids=["", "dense", "events"])
@pytest.mark.parametrize("name", ENGINES)
def test_whenever_it_comes_the_answer_is_consistent(name, more):
    def call():
        return solve(CIRCLE, ENDS, threads=1, **more, **ENGINES[name])

    call()
    _, lines = traced(call)
    near = max(1e-9, 1000 * ENGINES[name].get("tol", 0))
    stopped = 0
    for moment in np.linspace(1, lines - 1, MOMENTS).astype(int):
        solution, _ = traced(call, moment)
        reached = solution.status == Status.REACHED
        stopped += int((~reached).any())
        assert set(solution.status) <= {Status.REACHED, Status.STOPPED}
        assert (solution.t[reached] == ENDS[reached]).all()
        assert_allclose(solution.states, turned(solution.t), atol=near)
        assert (np.isnan(solution.outputs).all(axis=1) == ~reached).all()
        if more:
            assert_dense(solution, near)
        if "events" in more:
            assert_events(solution)
    assert stopped >= MOMENTS // 3


def assert_dense(solution, near):
    moved = solution.t > 0
    times = solution.t[:, None] * [0, 0.3, 0.9, 1]
    found = solution.at(times)[moved]
    assert_allclose(found, turned(times)[moved], atol=near)
    if solution.events is None:  # where a step is cut at an event there are two polynomials
        assert (np.diff(solution.dense.offsets) == solution.steps).all()


def assert_events(solution):
    quarters = np.floor(2 * solution.t / np.pi).astype(int)  # c and s vanish by turns at multiples of pi / 2
    assert np.bincount(solution.events.trajectory, minlength=3).tolist() == quarters.tolist()
    assert (solution.space >= 1 - 1e-3).all()


def test_blocks_are_done_before_it_is_raised_and_handlers_stay_as_they_were():
    done = []
    with pytest.raises(KeyboardInterrupt), undisturbed(), undisturbed():
        signal.raise_signal(signal.SIGINT)
        done.append(1)
    assert done == [1]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert completed(lambda: signal.raise_signal(signal.SIGINT) or 5) == 5


def test_derivatives_are_not_begun_after_it():
    def told(done):
        if done:
            signal.raise_signal(signal.SIGINT)

    solution = solve(CIRCLE, [0.5, 1e6], initial=np.ones((2, 2)), derivatives=True, max_steps=30_000, progress=told)
    assert list(solution.status) == [Status.REACHED, Status.STOPPED]
    assert np.isnan(solution.jacobian["initial"]).all()


def test_the_solution_and_its_derivatives_share_one_clock_and_one_progress():
    told, left = [], []

    def call(runnable, t, inputs, max_seconds, progress):
        left.append(max_seconds)
        progress(1.0)
        return SimpleNamespace(status=np.array([Status.STOPPED if len(left) == 2 else Status.REACHED]))

    turns = Turns(call, time.monotonic() + 100, told.append)
    for _ in range(3):
        turns.solve(None, None, None)
    assert 99 < left[1] < left[0] <= 100
    assert left[2] <= 1e-9
    assert told == [0.5, 1.0]


def test_all_stiff_trajectories_stop(monkeypatch):
    """Three that are handed to Radau after different windows, two of them together."""
    monkeypatch.setattr(stiffness, "WINDOW", 20)
    begun, go = [], stiff._Run.go

    def stopping(run):
        begun.append(run)
        if len(begun) == 2:
            raise KeyboardInterrupt
        return go(run)

    fast = PIVP({y: -(10**6) * (y - c), c: -s, s: c}, {y: 0, c: 1, s: 0}, {"y": y})
    monkeypatch.setattr(stiff._Run, "go", stopping)
    solution = solve(fast, 1, initial=[[1.0, 1.0, 0.0], [2.0, 1.0, 0.0], [1e200, 1.0, 0.0]], tol=1e-6)
    assert len(begun) == 2
    assert list(solution.status) == [Status.REACHED, Status.STOPPED, Status.STOPPED]


def test_runs_with_events_use_the_threads_that_they_may(monkeypatch):
    used, advance = [], LaneEngine.advance

    def watched(self, batch, limits):
        used.append(limits.threads)
        return advance(self, batch, limits)

    monkeypatch.setattr(LaneEngine, "advance", watched)
    solve(CIRCLE, np.linspace(1, 2, 500), events=[Event(c**3)], threads=1, tol=1e-6)
    assert set(used) == {1}
    assert gpac.solve(CIRCLE, 1, events=[c]).ok
