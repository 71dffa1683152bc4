"""Proven errors of float64 batches: never below the true ones, and not far above."""

from __future__ import annotations

import sys
from dataclasses import replace
from fractions import Fraction
from functools import cache

import mpmath
import numpy as np
import pytest
import sympy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from problems import PROBLEMS

import gpac
from compile import enclose_forward, homotopy, load, relaxation, sequential
from gpac.bounds import kernel, phase
from gpac.bounds.phase import Course
from gpac.bounds.skeleton import Interval, Spans
from gpac.solver.lanes.engine import LaneEngine
from gpac.solver.results import STOPPED
from gpac.solver.task import Limits

RING = "examples/networks/ring_tanh_2_3_1.onnx"
DIGITS = "examples/networks/digits_tanh_64_32_16_10.onnx"


@pytest.fixture(params=["arrays", "compiled"])
def way(request, monkeypatch):
    """Both ways to the same bounds, however few the trajectories are."""
    for worth in ("WORTH", "WORTH_LARGE"):
        monkeypatch.setattr(phase, worth, 0 if request.param == "compiled" else 10**18)
    monkeypatch.setattr(kernel, "MOST_WITH_MATRICES", 12_000)  # a second of compiling at most
    return request.param


def _lorenz() -> gpac.PIVP:
    x, y, z = sympy.symbols("x y z")
    right = {x: 10 * (y - x), y: x * (28 - z) - y, z: x * y - sympy.Rational(8, 3) * z}
    return gpac.PIVP(right, {x: 1, y: 1, z: 1})


def _distances(outputs: np.ndarray, truth: list) -> np.ndarray:
    """Distance of each double from a long number, rounded to nearest."""
    with mpmath.workdps(60):
        return np.array(
            [float(abs(mpmath.mpf(float(o)) - v)) for o, v in zip(np.atleast_1d(outputs), truth, strict=True)]
        )


@pytest.mark.parametrize("problem", PROBLEMS, ids=repr)
def test_every_problem_is_certified_and_the_truth_lies_within(problem, way):
    at = replace(problem, t=Fraction(float(problem.t)))
    for tol in (1e-14, 1e-6):
        solution = gpac.solve(at.system, t=float(at.t), tol=tol)
        proven = gpac.certify(solution).check()
        true = _distances(solution.outputs, at.truth())
        assert (true <= proven.error[0] * (1 + 1e-12)).all()
        if tol == 1e-6 and problem.name != "Lorenz":  # what the solution lost is far above what the proof loses
            assert proven.worst[0] <= 1.001 * true.max()


@pytest.mark.parametrize("t", [1.0, -0.5, 5.0])
def test_errors_of_a_thousand_lorenz_trajectories_are_below_the_proven_ones(t):
    starts = 1 + np.random.default_rng(4).uniform(-0.5, 0.5, (1000, 3))
    solution = gpac.solve(_lorenz(), t=t, initial=starts, tol=1e-14).check()
    proven = gpac.certify(solution).check()
    finer = gpac.solve(_lorenz(), t=t, initial=starts, tol=1e-28, precision="double-double").check()
    true = np.abs((solution.outputs - finer.outputs) - finer.outputs_low)
    assert (true <= proven.error).all()
    assert np.median(proven.worst / true.max(axis=1)) < (1000 if t > 0 else 3000)  # backward, errors grow 1000-fold
    for b in (0, 999):
        balls = gpac.prove(_lorenz(), Fraction(abs(t)), initial=starts[b], digits=18) if t > 0 else None
        if balls is not None:
            assert (_distances(solution.outputs[b], list(balls.mid)) <= proven.error[b] + 1e-18).all()


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 3), st.integers(0, 10**6), st.floats(-3, 3))
def test_random_quadratic_systems(n, seed, t):
    rng = np.random.default_rng(seed)
    y = sympy.symbols(f"y:{n}")
    monomials = [1, *y, *(v * w for i, v in enumerate(y) for w in y[i:])]

    def some() -> sympy.Rational:
        return sympy.Rational(int(rng.choice([-1, 1]) * rng.integers(1, 10)), int(rng.integers(4, 20)))

    system = gpac.PIVP({v: sum(some() * m for m in monomials) for v in y}, {v: some() for v in y})
    solution = gpac.solve(system, t=t, tol=1e-13)
    proven = gpac.certify(solution)
    if solution.status is not gpac.Status.REACHED:
        assert proven.reasons[0] == str(solution.status) and np.isinf(proven.error).all()
        return
    truth = gpac.solve(system, t=t, tol=1e-28, precision="double-double").check()
    true = np.abs((solution.outputs - truth.outputs) - truth.outputs_low)
    assert (true <= proven.error[0]).all()


@pytest.mark.parametrize("path", [RING, DIGITS])
@pytest.mark.parametrize("scheme", [homotopy, sequential])
def test_networks_against_balls(path, scheme):
    network = load(path)
    x = np.random.default_rng(5).uniform(-1, 1, (6, network.size))
    solution = gpac.solve(scheme(network), inputs=x, tol=1e-10).check()
    proven = gpac.certify(solution, sample=[1, 4]).check()
    for row, b in enumerate((1, 4)):
        exact = enclose_forward(network, x[b], digits=30)
        assert (_distances(solution.outputs[b], list(exact.mid)) <= proven.error[row]).all()
    assert proven.worst.max() < 1e-5


def test_a_relaxation_decays_and_is_certified_over_a_long_time(way):
    program = relaxation(load(RING))
    solution = gpac.solve(program, inputs=[[0.25, -0.5]], tol=1e-10)
    proven = gpac.certify(solution).check()
    finer = gpac.solve(program, inputs=[[0.25, -0.5]], t=solution.t, tol=1e-26, precision="double-double").check()
    true = np.abs((solution.outputs - finer.outputs) - finer.outputs_low)
    assert true[0, 0] <= proven.error[0, 0]
    assert proven.error[0, 0] < 1e-9


def test_an_output_that_was_tampered_with_is_found_out():
    solution = gpac.solve(_lorenz(), t=1.0, initial=np.ones((3, 3)), tol=1e-13)
    before = gpac.certify(solution).error
    outputs = solution.outputs.copy()
    outputs[1, 2] += 1e-7
    outputs[2, 0] = np.nan
    after = gpac.certify(replace(solution, outputs=outputs))
    assert after.error[1, 2] >= 1e-7 - before[1, 2] and (after.error[0] == before[0]).all()
    assert list(after.certified) == [True, True, False]
    with pytest.raises(gpac.GpacError, match="trajectory 2 is not certified"):
        after.check()


@cache
def _lorenz_course() -> tuple[Course, dict[str, Interval], np.ndarray]:
    starts = np.array([[1.0, 1.25], [1.0, 0.75], [1.0, 1.0]])
    inputs = {"initial": Interval(starts, np.zeros(starts.shape))}
    return Course(_lorenz().to_circuit(free_start=True)), inputs, np.full(2, 1.0)


@given(st.integers(0, 10**6), st.integers(3, 15))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_coefficient_that_was_tampered_with_widens_the_bound_or_ends_it(way, seed, digits):
    course, inputs, ends = _lorenz_course()
    skeleton = course.skeleton(inputs, ends, Limits(10_000))
    truth = course.bounded(skeleton, inputs, ends, np.zeros(2)).outputs
    rng = np.random.default_rng(seed)
    bad = skeleton.coefficients.copy()
    row, i, k = (int(rng.integers(size)) for size in (len(skeleton.place), *bad.shape[1:]))
    spot = skeleton.place[row], i, k
    bad[spot] = bad[spot] * (1 + 10.0**-digits) + (10.0**-digits if rng.integers(2) else 0)
    out = course.bounded(replace(skeleton, coefficients=bad), inputs, ends, np.zeros(2))
    for name, interval in out.outputs.items():
        distance = np.abs(interval.mid - truth[name].mid)
        assert (distance <= interval.off + truth[name].off).all()
    grown = sum(x.off[0] - truth[name].off[0] for name, x in out.outputs.items())
    changed = abs(bad[spot] - skeleton.coefficients[spot])
    h = Spans.of(skeleton, ends, np.zeros(2)).h[row] / skeleton.unit[spot[0]]
    if changed * h**k > 1e-9:  # its step has a defect of this size
        assert (grown > 1e-12).any() or (out.reasons != "").any()


def test_first_coefficients_and_times_that_were_tampered_with_are_found_out(way):
    course, inputs, ends = _lorenz_course()
    skeleton = course.skeleton(inputs, ends, Limits(10_000))
    truth = course.bounded(skeleton, inputs, ends, np.zeros(2)).outputs
    first, third = skeleton.place[[0, 2]]
    moved = skeleton.coefficients.copy()
    moved[first, :, 0] += 1e-8  # a solution, but of another start
    begin = skeleton.begin.copy()
    begin[first] = -1e-3
    late = skeleton.begin.copy()
    late[third] += 1e-6
    for bad in (replace(skeleton, coefficients=moved), replace(skeleton, begin=begin), replace(skeleton, begin=late)):
        out = course.bounded(bad, inputs, ends, np.zeros(2))
        for name, interval in out.outputs.items():
            assert (np.abs(interval.mid - truth[name].mid) <= interval.off + truth[name].off).all()
            assert interval.off[0, 0] > 1e-9 and interval.off[0, 1] < 1e-11
    out = course.bounded(replace(skeleton, begin=begin), inputs, ends, np.zeros(2))
    assert "do not cover" in out.reasons[0] and out.reasons[1] == ""


def test_wrong_start_values_times_and_inputs_are_found_out(way):
    course, inputs, ends = _lorenz_course()
    skeleton = course.skeleton(inputs, ends, Limits(10_000))
    right = course.bounded(skeleton, inputs, ends, np.zeros(2)).outputs
    other = {"initial": Interval(inputs["initial"].mid + 1e-9, inputs["initial"].off)}
    moved = course.bounded(skeleton, other, ends, np.zeros(2)).outputs
    late = course.bounded(skeleton, inputs, ends, np.full(2, 1e-9)).outputs
    for name in "xyz":
        assert (moved[name].off > 1e-10).all() and (late[name].off > 1e-10).all()
        assert (right[name].off < 1e-11).all()


def test_uncertain_inputs_are_carried_through(way):
    course, inputs, ends = _lorenz_course()
    box = {"initial": Interval(inputs["initial"].mid, np.full((3, 2), 1e-7))}
    skeleton = course.skeleton(box, ends, Limits(10_000))
    out = course.bounded(skeleton, box, ends, np.zeros(2)).outputs
    corners = inputs["initial"].mid[:, :1] + 1e-7 * np.array(np.meshgrid(*[[-1, 1]] * 3)).reshape(3, -1)
    reached = gpac.solve(_lorenz(), t=1.0, initial=corners.T, tol=1e-14).outputs
    for k, name in enumerate("xyz"):
        spread = np.abs(reached[:, k] - out[name].mid[0, 0]).max()
        assert spread <= out[name].off[0, 0] < 20 * spread


def test_a_schedule_whose_durations_are_no_doubles(way):
    u = gpac.inputs("a")
    first = gpac.Circuit({"b": u + gpac.integral(gpac.constant(Fraction(1, 3)))})
    b = gpac.inputs("b")
    y = gpac.wire("y")
    y.define(gpac.integral(y * Fraction(1, 3) + b, None, 0, name="y"))
    third = Fraction(1, 3)
    program = gpac.Schedule((gpac.Phase(first, third), gpac.Phase(gpac.Circuit({"y": y}), third)))
    solution = gpac.solve(program, inputs=[[0.1], [2.0]], tol=1e-13).check()
    proven = gpac.certify(solution).check()
    with mpmath.workdps(40):
        for row, a in enumerate((0.1, 2.0)):
            at_start = mpmath.mpf(a) + mpmath.mpf(1) / 9
            true = 3 * at_start * (mpmath.exp(mpmath.mpf(1) / 9) - 1)
            assert abs(mpmath.mpf(float(solution.outputs[row, 0])) - true) <= proven.error[row, 0] < 1e-13


def test_a_circuit_without_integrators_and_a_run_of_no_length(way):
    line = gpac.Circuit({"a": gpac.time() * Fraction(1, 3), "y": gpac.integral(gpac.time())})
    solution = gpac.solve(line, t=[0.0, 1.0, 3.0], tol=1e-12)
    proven = gpac.certify(solution).check()
    for row, t in enumerate((0, 1, 3)):
        true = [abs(Fraction(float(solution.outputs[row, 0])) - Fraction(t, 3))]
        true += [abs(Fraction(float(solution.outputs[row, 1])) - Fraction(t * t, 2))]
        assert all(d <= Fraction(float(e)) for d, e in zip(true, proven.error[row], strict=True))
    assert proven.worst.max() < 1e-14
    still = gpac.solve(gpac.Circuit({"a": gpac.time() * Fraction(1, 3)}), t=[1.0, 2.0])
    assert gpac.certify(still).check().worst.max() < 1e-15


def test_trajectories_that_end_early_are_not_certified_and_their_neighbours_are(way):
    y = sympy.Symbol("y")
    solution = gpac.solve(gpac.PIVP({y: y**2}, {y: 1}), t=1.0, initial=[[0.5], [2.0], [-1.0]])
    proven = gpac.certify(solution)
    assert list(proven.certified) == [True, False, True]
    assert proven.reasons[1] == str(solution.status[1]) and np.isinf(proven.error[1, 0])
    exact = [Fraction(1), None, Fraction(-1, 2)]
    for row in (0, 2):
        assert abs(Fraction(float(solution.outputs[row, 0])) - exact[row]) <= Fraction(float(proven.error[row, 0]))


def test_a_trajectory_of_one_input_keeps_its_axis_and_samples_are_chosen():
    one = gpac.solve(_lorenz(), t=1.0, tol=1e-12)
    assert gpac.certify(one).error.shape == (1, 3)
    many = gpac.solve(_lorenz(), t=1.0, initial=np.ones((50, 3)), tol=1e-12)
    assert list(gpac.certify(many, sample=2).which) == [0, 49]
    assert list(gpac.certify(many, sample=[7, 3]).which) == [7, 3]
    told: list[float] = []
    gpac.certify(many, sample=3, progress=told.append)
    assert told[-1] == 1.0
    late = gpac.certify(many, max_seconds=1e-9)
    assert not late.certified.any() and "time allowed" in late.reasons[0]


def test_what_cannot_be_certified_is_said():
    system = _lorenz()
    for options in ({"precision": "double-double", "tol": 1e-20}, {"derivatives": True}):
        with pytest.raises(gpac.GpacError, match="does not say what was solved"):
            gpac.certify(gpac.solve(system, t=1.0, initial=np.ones((1, 3)), **options))
    with pytest.raises(gpac.GpacError, match="without a grid"):
        gpac.certify(gpac.solve(system, t=[[0.5, 1.0]]))
    solution = gpac.solve(system, t=1.0, initial=np.ones((2, 3)))
    with pytest.raises(gpac.ShapeError, match="from 0 to 1"):
        gpac.certify(solution, sample=[2])
    with pytest.raises(gpac.NumberError, match="positive number of trajectories"):
        gpac.certify(solution, sample=0)
    with pytest.raises(gpac.NumberError, match="max_seconds"):
        gpac.certify(solution, max_seconds=0)


def _growth(rate: int) -> gpac.PIVP:
    y = sympy.Symbol("y")
    return gpac.PIVP({y: rate * y}, {y: 1})


def test_the_bound_is_about_what_was_solved_whatever_becomes_of_the_arrays():
    """y' = a y from y0 = 1: inputs, weights and start values are written over between the two calls."""
    rate, start, given = np.array([[-1.0]]), np.array([1.0]), np.array([[0.5], [1.0]])
    y = gpac.wire("y")
    y.define(gpac.integral(gpac.linear([(rate, y), (1, gpac.inputs("x"))]), None, start, name="y"))
    solution = gpac.solve(gpac.Circuit({"y": y}), 1.0, inputs=given, tol=1e-3)
    truth = given[:, 0] + (1 - given[:, 0]) * np.exp(-1)
    rate *= 2
    start += 1
    given[:] = 7.0
    bound = gpac.certify(solution).check()
    assert (np.abs(solution.outputs[:, 0] - truth) <= bound.error[:, 0] + 1e-15).all()
    assert (bound.error < 0.01).all()


def test_code_kept_on_disk_is_that_of_the_text_that_writes_it(monkeypatch):
    keys = []
    monkeypatch.setattr(kernel, "Compiled", lambda key, *rest: keys.append(key))
    units = Course(_growth(1).to_circuit(), 1.0).units
    for text in ("as it is", "mended"):
        monkeypatch.setattr(kernel, "_own_source", lambda text=text: text)
        kernel.Kernel(units, 8, 4.0, 2)
    assert keys[0] != keys[1]


def test_ctrl_c_in_the_engine_ends_the_run(monkeypatch):
    solution = gpac.solve(_growth(-1), np.full(6, 1.0), tol=1e-9)
    monkeypatch.setattr(sys.modules["gpac.bounds.certify"], "PIECE", 1)
    right, calls = LaneEngine.recorded, []

    def stopped(self, *given):
        out, record, parameters = right(self, *given)
        calls.append(None)
        return replace(out, code=np.full(len(out.code), STOPPED)), record, parameters

    monkeypatch.setattr(LaneEngine, "recorded", stopped)
    bound = gpac.certify(solution)
    assert len(calls) == 1 and not bound.certified.any()
    assert set(bound.reasons) == {"the run was interrupted before it was looked at"}
