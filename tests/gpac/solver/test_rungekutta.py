"""DOP853 on arrays: its coefficients, its order, its steps, the same bits in any company."""

import mpmath
import numpy as np
import pytest
import sympy
from numpy.testing import assert_allclose, assert_array_equal
from problems import PROBLEMS, problem
from scipy.integrate import DOP853, solve_ivp

import gpac
from compile import Network, Sigmoid, Tanh, dense, homotopy, relaxation
from gpac import PIVP, Circuit, GpacError, Status, bilinear, inputs, integral, linear, solve
from gpac import functions as fn
from gpac.solver import readings, rungekutta
from gpac.solver.dop853 import CONTINUOUS, FIFTH, STAGES, THIRD, C, row
from gpac.solver.rungekutta import RungeKuttaEngine
from gpac.solver.series import LANES
from gpac.solver.task import Batch, Limits, Settings
from gpac.wire import Start

x, y = sympy.symbols("x y")
PENDULUM = PIVP({x: y, y: -x + x**3 / 6}, {x: 0.5, y: 0})
SQUARE = PIVP({y: y**2}, {y: 1})
GROWTH = PIVP({y: y}, {y: 1})


def run(system, t=None, given=None, **more):
    more = {"method": "rungekutta", "tol": 1e-10} | more
    return solve(system, t, given, **more)


# -- the coefficients ----------------------------------------------------------------------------------------


def test_the_coefficients_are_those_of_scipys_class():
    A = np.array([row(STAGES.get(i, {}), 16) for i in range(16)])
    assert_array_equal(A[:12, :12], DOP853.A)
    assert_array_equal(A[12, :12], DOP853.B)
    assert_array_equal(A[13:], DOP853.A_EXTRA)
    assert_array_equal(C[:12], DOP853.C)
    assert_array_equal(C[13:], DOP853.C_EXTRA)
    assert_array_equal(row(FIFTH, 13), DOP853.E5)
    assert_allclose(row(THIRD, 13), DOP853.E3, rtol=0, atol=1e-16)
    assert_array_equal([row(CONTINUOUS[k], 16) for k in range(4)], DOP853.D)


def test_quadrature_and_tall_tree_conditions_hold_to_order_eight():
    """b A^j c^k = k! / (j + k + 1)! for j + k < 8: the conditions of bushy trees on stalks."""
    A = np.array([row(STAGES.get(i, {}), 12) for i in range(12)])
    b, c = row(STAGES[12], 12), np.array(C[:12])
    assert_allclose(A.sum(axis=1), c, atol=1e-14)
    for j in range(8):
        for k in range(8 - j):
            value = b @ np.linalg.matrix_power(A, j) @ c**k
            assert value == pytest.approx(float(mpmath.factorial(k) / mpmath.factorial(j + k + 1)), abs=2e-14)
    assert abs(b @ c**8 - 1 / 9) > 1e-7  # and not of order nine


def test_comparisons_are_of_orders_three_and_five():
    c = np.array([*C[:12], 1.0])
    for k in range(5):
        assert abs(row(FIFTH, 13) @ c**k) < 1e-14
    for k in range(3):
        assert abs(row(THIRD, 13) @ c**k) < 1e-14
    assert abs(row(FIFTH, 13) @ c**5) > 1e-5
    assert abs(row(THIRD, 13) @ c**3) > 1e-5


# -- order ---------------------------------------------------------------------------------------------------


def one_step(h, monkeypatch, dense=False):
    """A step of length h of the pendulum, whatever its error."""
    monkeypatch.setattr(rungekutta.Run, "_first_step", lambda self: np.full(self.t.shape, 1e3))
    monkeypatch.setattr(rungekutta.Run, "_error", lambda self, new, h: np.zeros(h.shape))
    return run(PENDULUM, h, dense=dense)


def test_equal_steps_converge_with_order_eight(monkeypatch):
    exact = solve(PENDULUM, 16, tol=1e-15, method="taylor")
    errors = []
    for h in (1.0, 0.5, 0.25):
        monkeypatch.setattr(rungekutta.Run, "_first_step", lambda self, h=h: np.full(self.t.shape, h))
        # the error at which the next step is as long as this one
        monkeypatch.setattr(rungekutta.Run, "_error", lambda self, new, h: np.full(h.shape, rungekutta.SAFETY**8))
        solution = run(PENDULUM, 16)
        assert abs(solution.steps - 16 / h) <= 1
        errors.append(np.abs(solution.outputs - exact.outputs).max())
    assert errors[2] > 1e-13
    assert_allclose(np.log2(errors[:-1]) - np.log2(errors[1:]), 8, atol=0.7)


def test_dense_output_has_error_of_order_eight_in_a_step(monkeypatch):
    """Order 7 over an interval is order 8 in one step; the ends are met exactly."""
    errors, spots = [], np.linspace(0, 1, 21)
    for h in (0.6, 0.3):
        exact = solve(PENDULUM, h, tol=1e-15, method="taylor", dense=True)
        step = one_step(h, monkeypatch, dense=True)
        errors.append(np.abs(step.at(h * spots) - exact.at(h * spots)).max())
        assert_allclose(step.at([0.0, h]), [[0.5, 0.0], step.outputs], rtol=0, atol=1e-14)
    assert 7.5 < np.log2(errors[0] / errors[1]) < 8.8


def test_the_continuous_extension_is_scipys():
    """One accepted step of both, at many times within."""
    other = DOP853(lambda t, v: [v[1], -v[0] + v[0] ** 3 / 6], 0, [0.5, 0.0], 0.7, first_step=0.7, rtol=1e-3)
    other.step()
    assert other.t == 0.7
    dense = other.dense_output()
    with pytest.MonkeyPatch.context() as patch:
        ours = one_step(0.7, patch, dense=True)
    times = np.linspace(0, 0.7, 15)
    assert_allclose(ours.at(times), dense(times).T, rtol=0, atol=1e-14)


# -- right ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tol", [1e-4, 1e-8, 1e-12, 1e-15])
@pytest.mark.parametrize("problem", PROBLEMS, ids=repr)
def test_every_problem_reaches_its_exact_value(problem, tol):
    solution = run(problem.system, problem.t, tol=tol).check()
    pairs = zip(solution.outputs, problem.truth(40), strict=True)
    error = max(abs(mpmath.mpf(float(got)) - true) for got, true in pairs)
    # errors of some hundred steps (Lorenz: 3000 at 1e-15) add up, most of them far below tol
    assert error <= 20 * tol * problem.condition


def test_scipys_dop853_takes_about_as_many_steps():
    system = problem("Lorenz").system
    ours = run(system, 5, tol=1e-9)
    other = solve_ivp(
        lambda t, v: [10 * (v[1] - v[0]), v[0] * (28 - v[2]) - v[1], v[0] * v[1] - 8 / 3 * v[2]],
        (0, 5), [1, 1, 1], method="DOP853", rtol=1e-9, atol=1e-9,
    )  # fmt: skip
    assert 0.7 < ours.steps / (len(other.t) - 1) < 1.4
    exact = solve(system, 5, tol=1e-14, method="taylor").outputs
    assert np.abs(ours.outputs - exact).max() < 10 * np.abs(other.y[:, -1] - exact).max()


def test_small_states_that_matter_are_kept_accurate_relative_to_themselves():
    """exp(-60) and back again: y is 1e-26 in the middle, far below atol, and returns to 1."""
    solution = run(Circuit({"y": fn.exp(-60 * fn.sin(gpac.time()))}), np.pi, tol=1e-12)
    assert abs(solution.outputs[0] - 1) < 1e-9


def test_the_end_can_be_behind():
    solution = run(GROWTH, [-1.0, 1.0, -2.0], dense=True, length=True)
    assert_allclose(solution.outputs[:, 0], np.exp([-1, 1, -2]), rtol=1e-9)
    assert_allclose(solution.length, np.abs(np.expm1([-1, 1, -2])), rtol=1e-6)
    values = solution.at([[-0.5, 0.1], [0.5, -0.1], [-1.5, -3.0]])[..., 0]
    assert_allclose(values, np.exp([[-0.5, np.nan], [0.5, np.nan], [-1.5, np.nan]]), rtol=1e-9)
    back = run(PENDULUM, -5, initial=run(PENDULUM, 5, tol=1e-13).states, tol=1e-13)
    assert_allclose(back.outputs, [0.5, 0], atol=1e-11)


def test_length_of_the_circle_is_time():
    assert_allclose(run(problem("circle").system, 10, length=True).length, 10, rtol=1e-8)


# -- polynomials of wires that are no states -----------------------------------------------------------------


def test_outputs_that_are_no_states_have_polynomials_of_full_degree():
    s = fn.sin(gpac.time())
    circuit = Circuit({"cube": s**3, "parabola": 2 * gpac.time() ** 2, "eleven": gpac.time() ** 11, "still": 3 + 0 * s})
    assert readings.degree(circuit, tuple(circuit.outputs.values()), 7) == 21
    times = np.linspace(0, 2, 41)
    solution = run(circuit, 2, dense=True)
    truth = [np.sin(times) ** 3, 2 * times**2, times**11, 3 + 0 * times]
    assert_allclose(solution.at(times), np.stack(truth, axis=1), rtol=1e-8, atol=1e-9)
    assert_allclose(solution.at([2.0])[0], solution.outputs, rtol=1e-13)


def test_without_integrators_there_is_one_exact_step():
    solution = run(Circuit({"p": gpac.time() ** 5 - 1}), 3, dense=True)
    assert solution.steps == 1
    assert_allclose(solution.at([0.0, 1.0, 2.0, 3.0])[:, 0], [-1, 0, 31, 242], atol=1e-12)


def test_no_time_at_all_is_the_start():
    solution = run(PENDULUM, 0, dense=True)
    assert solution.outputs.tolist() == [0.5, 0.0]
    assert solution.at([0.0]).tolist() == [[0.5, 0.0]]


# -- one trajectory, one result ------------------------------------------------------------------------------


def net() -> Network:
    rng = np.random.default_rng(5)
    layers = [
        dense(rng.normal(size=(7, 3)), rng.normal(size=7)),
        Tanh(),
        dense(rng.normal(size=(5, 7)), rng.normal(size=5)),
    ]
    return Network(3, [*layers, Sigmoid(), dense(rng.normal(size=(2, 5)), rng.normal(size=2))])


def units() -> Circuit:
    """Dense, diagonal and bilinear units, functions of inputs, a product as variable."""
    rng = np.random.default_rng(6)
    start, Y = inputs("x", 4), gpac.wire("Y", 4)
    square = bilinear("ij,jk->ik", Y, Y, (2, 2), (2, 2))
    rate = linear([(-0.25, square), ([-1, -2, -1, -2], Y), (rng.normal(size=(4, 4)) / 8, fn.sin(Y))])
    Y.define(integral(rate, None, Start("identity", start), name="Y"))
    wave = fn.exp(fn.sin(start * gpac.time()))
    return Circuit(
        {"area": np.ones((1, 4)) @ integral(wave, Y * Y), "trace": bilinear("ij,ji->", Y, Y, (2, 2), (2, 2))}
    )


BATCHED = {
    "units": (units, 2.0, 4),
    "pivp": (lambda: PENDULUM, 2.0, 2),
    "homotopy": (lambda: homotopy(net()), None, 3),
    "relaxation": (lambda: relaxation(net()), 8.0, 3),
}
FIELDS = ("outputs", "states", "t", "steps", "orders", "length", "space")


def batched(name, rows, t=None, **more):
    make, end, _ = BATCHED[name]
    given = {"initial" if name == "pivp" else "inputs": rows}
    return solve(make(), end if t is None else t, method="rungekutta", tol=1e-8, length=True, **given, **more)


def assert_same_bits(one, other, who):
    for name in FIELDS:
        assert_array_equal(getattr(one, name), getattr(other, name)[who], err_msg=name)


@pytest.fixture(scope="module", params=BATCHED)
def thousand(request):
    """A thousand trajectories of sizes from 1e-3 to 1.5, so that they take different steps."""
    rng = np.random.default_rng(11)
    rows = rng.normal(size=(1000, BATCHED[request.param][2])) * 10 ** rng.uniform(-3, 0.3, size=(1000, 1))
    rows = np.clip(rows, -1.5, 1.5)
    return request.param, rows, batched(request.param, rows)


@pytest.mark.parametrize("B", [1, 2, 3, 16, 17, 100])
def test_bits_do_not_depend_on_the_size_of_the_batch(thousand, B):
    name, rows, whole = thousand
    assert_same_bits(batched(name, rows[:B]), whole, slice(0, B))


def test_bits_do_not_depend_on_neighbours_pieces_or_dense_output(thousand, monkeypatch):
    name, rows, whole = thousand
    assert len(set(whole.steps.tolist())) > 1
    shuffled = np.random.default_rng(3).permutation(len(rows))
    assert_same_bits(batched(name, rows[shuffled]), whole, shuffled)
    assert_same_bits(batched(name, rows[500]), whole, 500)
    assert_same_bits(batched(name, rows[:40], dense=True), whole, slice(0, 40))
    monkeypatch.setattr(rungekutta, "CHUNK_BYTES", 1)
    assert_same_bits(batched(name, rows[:200]), whole, slice(0, 200))


def test_every_trajectory_may_have_its_own_end():
    """Ends from 1e-3 to 40: lanes fall free and the living are moved together."""
    rng = np.random.default_rng(7)
    rows, ends = rng.uniform(-1, 1, size=(100, 2)), 40 * rng.uniform(size=100) ** 4 + 1e-3
    together = batched("pivp", rows, t=ends)
    for b in (0, 17, 50, int(ends.argmax()), int(ends.argmin())):
        assert_same_bits(batched("pivp", rows[b], t=ends[b]), together, b)
    order = rng.permutation(100)
    assert_same_bits(batched("pivp", rows[order], t=ends[order]), together, order)


# -- how it ended --------------------------------------------------------------------------------------------


def test_a_blow_up_ends_only_its_own_trajectory():
    start = np.array([[0.5], [2.0], [-1.0], [1.0]])
    solution = run(SQUARE, 0.75, initial=start)
    assert list(solution.status) == [Status.REACHED, Status.BLOW_UP, Status.REACHED, Status.REACHED]
    assert abs(solution.t[1] - 0.5) < 1e-9
    assert solution.states[1, 0] > 1e9
    assert np.isnan(solution.outputs[1]).all()
    assert_allclose(solution.outputs[[0, 2, 3], 0], 1 / (1 / start[[0, 2, 3], 0] - 0.75), rtol=1e-8)


@pytest.mark.parametrize("t", [709.79, 1000.0])
def test_exponential_growth_beyond_float64_is_a_blow_up(t):
    solution = run(GROWTH, t)
    assert solution.status is Status.BLOW_UP
    assert 700 < solution.t < 709.79  # weights of stages reach 43, and may not overflow either
    assert np.isfinite(solution.states).all()


def test_steps_and_the_clock_are_limits():
    few = run(problem("circle").system, 1000, max_steps=7)
    assert few.status is Status.MAX_STEPS
    assert few.steps == 7
    assert_allclose(few.states, [np.cos(few.t), np.sin(few.t)], atol=1e-8)
    needed = int(run(PENDULUM, 10).steps)
    assert run(PENDULUM, 10, max_steps=needed).ok
    assert run(PENDULUM, 10, max_steps=needed - 1).status is Status.MAX_STEPS
    late = run(problem("circle").system, [1.0, 1e9], max_seconds=0.2, max_steps=10**9)
    assert list(late.status) == [Status.REACHED, Status.WALL_CLOCK]
    assert 0 < late.t[1] < 1e9


def test_interrupting_returns_what_is_done():
    def stop(fraction):
        if fraction < 1:
            raise KeyboardInterrupt

    solution = run(GROWTH, [0.1, 400.0], progress=stop)
    assert list(solution.status) == [Status.REACHED, Status.STOPPED]
    assert_allclose(solution.outputs[0], np.exp(0.1), rtol=1e-9)


def test_an_engine_starts_anywhere():
    """Time may be anything at the start: the protocol is one of going on."""
    circuit = Circuit({"y": integral(3 * gpac.time() ** 2)})
    engine = RungeKuttaEngine(circuit, Settings(1e-10, 1e-10, tuple(circuit.outputs.values())), np)
    batch = Batch({}, np.array([[8.0, 0.0]]), np.array([2.0, 0.0]), np.array([3.0, -1.0]))
    assert_allclose(engine.advance(batch, Limits(100)).readings, [[27.0, -1.0]], rtol=1e-12)


def test_progress_rises_to_one(monkeypatch):
    monkeypatch.setattr(rungekutta, "CHUNK_BYTES", 1)
    seen = []
    rows = np.random.default_rng(0).normal(size=(5 * LANES, 2)) / 2
    batched("pivp", rows, progress=seen.append)
    assert seen == sorted(seen)
    assert len(seen) >= 3
    assert seen[-1] == 1


def test_what_was_asked_for_is_told():
    engine = run(PENDULUM, 1).engine
    assert "order 8" in engine
    assert "asked for with method='rungekutta'" in engine
    with pytest.raises(GpacError, match=r"'rungekutta' runs on arrays: use backend='auto', 'numpy' or 'cupy'"):
        run(PENDULUM, 1, backend="compiled")
