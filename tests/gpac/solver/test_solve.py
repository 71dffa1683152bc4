"""The batched engine: right to tolerance, the same bits in any company, and honest about how each one ended."""

from fractions import Fraction

import mpmath
import numpy as np
import pytest
import scipy.sparse
import sympy
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from problems import PROBLEMS, problem
from scipy.integrate import solve_ivp

import gpac
import gpac.solver.lanes.engine
import gpac.solver.pieces
from compile import Network, Sigmoid, Tanh, dense, forward, homotopy, relaxation, sequential
from gpac import PIVP, Circuit, GpacError, NumberError, ShapeError, SolveError, Status, inputs, integral, linear, solve
from gpac import functions as fn
from gpac.solver import arrays, choice
from gpac.solver.series import LANES
from gpac.wire import Start


@pytest.fixture(scope="module", autouse=True, params=["compiled", "numpy"])
def engine(request):
    """Every test of this file runs on each engine of the processor."""

    def choose(circuit, settings, xp, backend, method):
        return choice.choose(circuit, settings, xp, request.param if backend == "auto" else backend, method)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gpac.solver.pieces, "choose", choose)
        yield request.param


@pytest.fixture
def small_pieces(monkeypatch):
    """Batches are cut as small as engines can."""
    monkeypatch.setattr(arrays, "CHUNK_BYTES", 1)
    monkeypatch.setattr(gpac.solver.lanes.engine, "QUEUE_BYTES", 1)


x, y = sympy.symbols("x y")
GROWTH = PIVP({y: y}, {y: 1})
SQUARE = PIVP({y: y**2}, {y: 1})
CIRCLE = problem("circle").system
PENDULUM = PIVP({x: y, y: -x + x**3 / 6}, {x: 0.5, y: 0})


# -- right ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tol", [1e-6, 1e-10, 1e-14])
@pytest.mark.parametrize("problem", PROBLEMS, ids=repr)
def test_every_problem_reaches_its_exact_value(problem, tol):
    solution = solve(problem.system, t=problem.t, tol=tol).check()
    error = max(
        abs(mpmath.mpf(float(got)) - true) for got, true in zip(solution.outputs, problem.truth(40), strict=True)
    )
    # local errors of up to thirty steps (Lorenz: 460) add up, most of them far below tol
    assert error <= 12 * tol * problem.condition


@pytest.mark.parametrize("problem", [p for p in PROBLEMS if p.name != "Lorenz"], ids=repr)
def test_bits_are_as_good_as_those_of_a_correctly_rounded_recurrence(problem):
    """At the smallest tolerance the engine loses a few bits to rounding: six of them in exp(t^20), the worst."""
    solution = solve(problem.system, t=problem.t, tol=1e-15).check()
    error = max(
        abs(mpmath.mpf(float(got)) - true) for got, true in zip(solution.outputs, problem.truth(40), strict=True)
    )
    assert error <= 64 * 2.0**-53 * problem.condition


def test_golden_values():
    """Digits from mpmath's functions; |x| flow from THEORY 2.3: a - |x| = 2.0580e-3 at x = 0.01, t = 10."""
    assert abs(solve(Circuit({"y": fn.tanh(gpac.time())}), t=1).outputs[0] - 0.7615941559557649) < 1e-12
    assert abs(solve(problem("Lambert W").system, t=1).outputs[0] - 0.5671432904097838) < 1e-12
    assert abs(solve(problem("Jacobi sn, cn, dn").system, t=1).outputs[0] - 0.8030018248956439) < 1e-12
    assert abs(solve(problem("|x|").system, t=10).outputs[1] - 0.01 - 2.0580e-3) < 5e-8


@pytest.mark.parametrize(
    ("system", "t", "truth"),
    [
        (Circuit({"y": fn.exp(gpac.time() ** 20)}), 1.05, np.exp(1.05**20)),
        (Circuit({"y": fn.sin(gpac.time() ** 7)}), 2.0, np.sin(128.0)),
        (Circuit({"y": fn.exp(-(gpac.time() ** 30))}), 1.2, 0.0),
        (Circuit({"y": fn.arctan(gpac.time() ** 12)}), 1.5, np.arctan(1.5**12)),
    ],
    ids=["exp t^20", "sin t^7", "exp -t^30", "arctan t^12"],
)
@pytest.mark.parametrize("tol", [1e-6, 1e-12])
def test_series_with_gaps_are_not_taken_for_constants(system, t, truth, tol):
    """The first Taylor coefficients at 0 vanish: a step size read off the last two of them would be infinite."""
    solution = solve(system, t=t, tol=tol).check()
    assert abs(solution.outputs[0] - truth) <= 30 * tol * max(1, abs(truth))


def test_small_states_that_matter_are_kept_accurate_relative_to_themselves():
    """exp(-60) and back again: y is 1e-26 in the middle, far below atol, and returns to 1."""
    solution = solve(Circuit({"y": fn.exp(-60 * fn.sin(gpac.time()))}), t=np.pi, tol=1e-12)
    assert abs(solution.outputs[0] - 1) < 1e-9  # 60 * 1e-12 * steps


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 4))
def test_random_quadratic_systems_agree_with_dop853(seed, n):
    rng = np.random.default_rng(seed)
    A = rng.normal(size=(n, n)) - (1 + n) * np.eye(n)  # contracting near 0
    Q = rng.normal(size=(n, n, n)) / n**2
    first = rng.uniform(-1, 1, size=n)
    variables = sympy.symbols(f"v:{n}")
    equations = {
        v: sum(A[i, j] * u for j, u in enumerate(variables))
        + sum(Q[i, j, k] * u * w for j, u in enumerate(variables) for k, w in enumerate(variables))
        for i, v in enumerate(variables)
    }
    system = PIVP(equations, dict(zip(variables, first, strict=True)))
    other = solve_ivp(
        lambda t, v: A @ v + np.einsum("ijk,j,k->i", Q, v, v), (0, 2), first, method="DOP853", rtol=1e-12, atol=1e-13
    )
    assume(np.abs(other.y).max() < 10)
    # DOP853's own error, at these tolerances below 1e-10
    assert_allclose(solve(system, t=2, tol=1e-13).outputs, other.y[:, -1], rtol=0, atol=1e-9)


def test_sparse_and_dense_matrices_give_the_same_solution():
    """Heat on a ring of 40: eigenvectors are known."""
    n = 40
    ring = scipy.sparse.diags_array([1.0, -2.0, 1.0], offsets=[-1, 0, 1], shape=(n, n)).tolil()
    ring[0, -1] = ring[-1, 0] = 1.0
    mode = np.cos(2 * np.pi * 3 * np.arange(n) / n)
    decay = 2 - 2 * np.cos(2 * np.pi * 3 / n)
    ends = []
    for matrix in (scipy.sparse.csr_matrix(ring), ring.toarray()):
        u = gpac.wire("u", n)
        u.define(integral(linear([(matrix, u)]), None, mode, name="u"))
        circuit = Circuit({"u": u})
        assert circuit.weights == (3 * n if matrix.ndim == 2 and hasattr(matrix, "nnz") else n * n)
        ends.append(solve(circuit, t=3).check().outputs)
    for end in ends:
        assert_allclose(end, mode * np.exp(-3 * decay), atol=1e-11)


# -- laws of flows -------------------------------------------------------------------------------------------


def test_stopping_and_going_on_is_the_same_as_going_through():
    first = solve(PENDULUM, t=1.25, tol=1e-14).states
    assert_allclose(
        solve(PENDULUM, t=2.5, initial=first, tol=1e-14).outputs, solve(PENDULUM, t=3.75, tol=1e-14).outputs, atol=3e-14
    )


def test_time_can_be_reversed():
    back = PIVP({v: -e for v, e in PENDULUM.expressions().items()}, {x: 0, y: 0})
    there = solve(PENDULUM, t=5, tol=1e-14).states
    assert_allclose(solve(back, t=5, initial=there, tol=1e-14).outputs, [0.5, 0], atol=2e-13)


def test_energy_is_conserved():
    energy = y**2 / 2 + x**2 / 2 - x**4 / 24
    system = PIVP(PENDULUM.expressions(), {x: 0.5, y: 0}, {"energy": energy})
    solution = solve(system, t=50, tol=1e-13, dense=True)
    assert_allclose(solution.at(np.linspace(0, 50, 101)), 0.125 - 0.0625 / 24, atol=1e-12)


# -- batches -------------------------------------------------------------------------------------------------


def fields(solution):
    return {n: getattr(solution, n) for n in ("outputs", "states", "t", "steps", "orders", "length", "space")}


def assert_same_bits(one, other, who=slice(None)):
    for name, values in fields(one).items():
        assert_array_equal(values, fields(other)[name][who], err_msg=name)


def net() -> Network:
    rng = np.random.default_rng(5)
    layers = [
        dense(rng.normal(size=(7, 3)), rng.normal(size=7)),
        Tanh(),
        dense(rng.normal(size=(5, 7)), rng.normal(size=5)),
    ]
    return Network(3, [*layers, Sigmoid(), dense(rng.normal(size=(2, 5)), rng.normal(size=2))])


def units() -> Circuit:
    """One of every unit: dense, sparse, diagonal and bilinear, functions of inputs, a product as variable."""
    rng = np.random.default_rng(6)
    start = inputs("x", 4)
    Y = gpac.wire("Y", 4)
    square = gpac.bilinear("ij,jk->ik", Y, Y, (2, 2), (2, 2))
    sparse = scipy.sparse.random_array((4, 4), density=0.5, rng=rng)
    rate = linear([(-0.25, square), (sparse, Y), ([-1, -2, -1, -2], Y), (rng.normal(size=(4, 4)) / 8, fn.sin(Y))])
    Y.define(integral(rate, None, Start("identity", start), name="Y"))
    wave = fn.exp(fn.sin(start * gpac.time()))
    return Circuit(
        {"area": np.ones((1, 4)) @ integral(wave, Y * Y), "trace": gpac.bilinear("ij,ji->", Y, Y, (2, 2), (2, 2))}
    )


BATCHED = {
    "units": (units, 2.0, 4),
    "pivp": (lambda: PENDULUM, 2.0, 2),
    "homotopy": (lambda: homotopy(net()), None, 3),
    "relaxation": (lambda: relaxation(net()), None, 3),
    "sequential": (lambda: sequential(net()), None, 3),
}


def run(name, rows, t=None, **more):
    make, end, _ = BATCHED[name]
    given_as = "initial" if name == "pivp" else "inputs"
    return solve(make(), t=end if t is None else t, tol=1e-10, **({"length": True, given_as: rows} | more))


@pytest.fixture(scope="module", params=BATCHED)
def thousand(request, engine):
    """A thousand trajectories of sizes from 1e-3 to 3, so that they take different steps."""
    rng = np.random.default_rng(11)
    rows = rng.normal(size=(1000, BATCHED[request.param][2])) * 10 ** rng.uniform(-3, 0.3, size=(1000, 1))
    rows = np.clip(rows, -1.5, 1.5)
    return request.param, rows, run(request.param, rows)


@pytest.mark.parametrize("B", [1, 2, 3, 16, 17, 100])
def test_bits_do_not_depend_on_the_size_of_the_batch(thousand, B):
    name, rows, all_of_them = thousand
    assert_same_bits(run(name, rows[:B]), all_of_them, slice(0, B))


def test_bits_do_not_depend_on_the_neighbours(thousand):
    name, rows, all_of_them = thousand
    shuffled = np.random.default_rng(3).permutation(len(rows))
    assert_same_bits(run(name, rows[shuffled]), all_of_them, shuffled)


def test_bits_of_a_single_trajectory_are_those_in_the_batch(thousand):
    name, rows, all_of_them = thousand
    for b in (0, 500, 999):
        alone = run(name, rows[b])
        assert alone.outputs.shape == all_of_them.outputs.shape[1:]
        assert_same_bits(alone, all_of_them, b)


def test_bits_do_not_depend_on_the_pieces(thousand, small_pieces):
    name, rows, all_of_them = thousand
    assert_same_bits(run(name, rows[:300]), all_of_them, slice(0, 300))


def test_dense_output_changes_no_bits(thousand):
    name, rows, all_of_them = thousand
    assert_same_bits(run(name, rows[:40], dense=True), all_of_them, slice(0, 40))


def test_every_trajectory_may_have_its_own_end():
    """Ends from 1e-3 to 40: lanes fall free and the living are moved together."""
    rng = np.random.default_rng(7)
    rows, ends = rng.uniform(-1, 1, size=(100, 2)), 40 * rng.uniform(size=100) ** 4 + 1e-3
    together = run("pivp", rows, t=ends)
    assert_array_equal(together.t, ends)
    for b in (0, 17, 50, int(ends.argmax()), int(ends.argmin())):
        assert_same_bits(run("pivp", rows[b], t=ends[b]), together, b)
    order = rng.permutation(100)
    assert_same_bits(run("pivp", rows[order], t=ends[order]), together, order)


def test_one_system_may_be_read_at_many_ends():
    ends = np.array([0.5, 1.0, 2.0])
    assert_allclose(solve(GROWTH, t=ends).outputs[:, 0], np.exp(ends), rtol=1e-11)


def test_a_neighbour_with_another_input_may_have_a_common_one():
    circuit = Circuit({"y": inputs("a") * inputs("b")})
    solution = solve(circuit, t=1, inputs={"a": [[1.0], [2.0]], "b": [3.0]})
    assert solution.outputs.tolist() == [[3.0], [6.0]]


def test_bits_do_not_depend_on_a_neighbour_that_needs_more_orders():
    big = solve(SQUARE, t=1e-24, initial=[[1e20]])
    assert big.ok
    assert_same_bits(big, solve(SQUARE, t=[1e-24, 0.9], initial=[[1e20], [1.0]]), slice(0, 1))


@pytest.mark.parametrize("name", BATCHED)
def test_an_empty_batch_gives_empty_results(name):
    width = BATCHED[name][2]
    solution = run(name, np.zeros((0, width)))
    assert solution.ok
    assert solution.outputs.shape == (0, 2)
    for values in (solution.status, solution.t, solution.steps, solution.length, solution.space):
        assert values.shape == (0,)
    assert len(solution.states) == 0


def test_an_empty_batch_can_be_asked_for_times():
    assert run("pivp", np.zeros((0, 2)), dense=True).at([0.5]).shape == (0, 1, 2)


def test_images_are_flattened_row_by_row():
    circuit = Circuit({"y": 1 * inputs("x", 6)})
    images = np.arange(12.0).reshape(2, 2, 3)
    assert_array_equal(solve(circuit, t=1, inputs=images).outputs, images.reshape(2, 6))


# -- how it ended --------------------------------------------------------------------------------------------


def test_a_blow_up_ends_only_its_own_trajectory():
    start = np.array([[0.5], [2.0], [-1.0], [1.0]])
    solution = solve(SQUARE, t=0.75, initial=start)
    assert list(solution.status) == [Status.REACHED, Status.BLOW_UP, Status.REACHED, Status.REACHED]
    assert abs(solution.t[1] - 0.5) < 1e-12
    assert np.isnan(solution.outputs[1]).all()
    assert solution.states[1, 0] > 1e10
    assert_allclose(solution.outputs[[0, 2, 3], 0], 1 / (1 / start[[0, 2, 3], 0] - 0.75), rtol=1e-11)
    assert_same_bits(solve(SQUARE, t=0.75, initial=start[[0, 2, 3]]), solution, [0, 2, 3])
    assert not solution.ok
    with pytest.raises(SolveError, match=r"trajectory 1 stopped at t = 0\.(5|49999).*leaves every bounded set"):
        solution.check()


@pytest.mark.parametrize(
    ("system", "pole"),
    [
        (PIVP({y: 1 + y**2}, {y: 0}), np.pi / 2),
        (PIVP({y: y**3}, {y: 1}), 0.5),
        (PIVP({y: -(y**2)}, {y: -4}), 0.25),
    ],
    ids=["tan", "y^3", "downwards"],
)
def test_the_pole_is_found(system, pole):
    solution = solve(system, t=10)
    assert solution.status is Status.BLOW_UP
    assert abs(solution.t - pole) < 1e-10


@pytest.mark.parametrize("t", [709.79, 1000.0])
def test_exponential_growth_beyond_float64_is_a_blow_up(t):
    """The logarithm of the largest double is 709.78: shortly after it the state is inf, and nothing is reached."""
    solution = solve(GROWTH, t=t)
    assert solution.status is Status.BLOW_UP
    assert 709 < solution.t < 709.79
    assert np.isnan(solution.outputs).all()
    assert np.isfinite(solution.states).all()


def test_too_few_steps_are_said():
    solution = solve(CIRCLE, t=1000, max_steps=7)
    assert solution.status is Status.MAX_STEPS
    assert solution.steps == 7
    assert 0 < solution.t < 1000
    # the state where it stopped is still on the circle
    assert_allclose(solution.states, [np.cos(solution.t), np.sin(solution.t)], atol=1e-11)
    with pytest.raises(SolveError, match="steps was used up"):
        solution.check()


def test_exactly_enough_steps_are_enough():
    needed = int(solve(CIRCLE, t=10).steps)
    assert solve(CIRCLE, t=10, max_steps=needed).ok
    assert solve(CIRCLE, t=10, max_steps=needed - 1).status is Status.MAX_STEPS


def test_interrupting_returns_what_is_done():
    ended = []

    def stop(fraction):
        ended.append(fraction)
        if len(ended) == 1:
            raise KeyboardInterrupt

    solution = solve(GROWTH, t=[0.1, 400.0], progress=stop)
    assert list(solution.status) == [Status.REACHED, Status.STOPPED]
    assert_allclose(solution.outputs[0], np.exp(0.1), rtol=1e-12)
    assert np.isnan(solution.outputs[1]).all()


def test_a_failed_phase_ends_the_schedule_for_its_trajectory_only():
    y1 = gpac.wire("y1")
    y1.define(integral(y1 * y1, None, Start("identity", inputs("x")), name="y1"))
    second = Circuit({"z": 2 * inputs("y1")})
    schedule = gpac.Schedule((gpac.Phase(Circuit({"y1": y1}), 1), gpac.Phase(second, 1)))
    solution = solve(schedule, inputs=[[0.5], [2.0], [-1.0]])
    assert list(solution.status) == [Status.REACHED, Status.BLOW_UP, Status.REACHED]
    assert_allclose(solution.outputs[[0, 2], 0], [2.0, -1.0], rtol=1e-11)  # 2/(1/y0 - 1)
    assert np.isnan(solution.outputs[1, 0])
    assert abs(solution.t[1] - 0.5) < 1e-10
    assert solution.t[0] == 2.0


# -- steps ---------------------------------------------------------------------------------------------------


def test_a_step_that_fails_its_check_is_halved(monkeypatch):
    """With an estimate of the radius ten times too large the guard still brings the result home."""
    from gpac.solver.arrays import Run

    honest, refused = Run._root, []
    trusted = Run._trusted

    def watched(self, *given):
        good = trusted(self, *given)
        refused.append(int((self.live & ~good).sum()))
        return good

    monkeypatch.setattr(Run, "_root", lambda self, *given: 10 * honest(self, *given))
    monkeypatch.setattr(Run, "_trusted", watched)
    solution = solve(problem("Riccati").system, t=3, tol=1e-8, backend="numpy").check()
    assert sum(refused) > 0
    # the guard allows 10 (order + 1) tol of slope defect per step
    assert abs(solution.outputs[0] + np.sqrt(2) * np.tanh(3 * np.sqrt(2))) < 1e-5
    alone = solve(problem("Riccati").system, t=3, tol=1e-8, initial=[0.0], backend="numpy")
    beside = solve(problem("Riccati").system, t=3, tol=1e-8, initial=[[0.3], [0.0], [-1.0]], backend="numpy")
    assert_same_bits(alone, beside, 1)


def test_smaller_tolerances_cost_order_not_steps():
    runs = [solve(problem("Lorenz").system, t=2, tol=tol) for tol in (1e-4, 1e-8, 1e-14)]
    assert runs[0].orders < runs[1].orders < runs[2].orders
    assert runs[2].steps <= 1.5 * runs[0].steps


def test_linear_systems_in_time_take_one_step():
    solution = solve(Circuit({"y": integral(3 * gpac.time() ** 2, None, 1)}), t=100)
    assert solution.steps == 1
    assert_allclose(solution.outputs, [1e6 + 1], rtol=1e-15)


@pytest.mark.parametrize(("t", "rtol"), [(0.5, 1e-12), (10.0, 1e-6), (100.0, 1e-6)])
def test_length_of_the_circle_is_time(t, rtol):
    assert_allclose(solve(CIRCLE, t=t, length=True).length, t, rtol=rtol)


def test_length_and_space_of_straight_lines():
    v = integral([3, -4], name="v")
    solution = solve(Circuit({"v": v}), t=2, length=True)
    assert_allclose([solution.length, solution.space], [10.0, 8.0], rtol=1e-14)
    decay = solve(PIVP({y: -y}, {y: 3}), t=2, length=True)
    assert_allclose(decay.length, 3 - 3 * np.exp(-2), rtol=1e-6)
    assert decay.space == 3.0


def test_progress_rises_to_one(small_pieces):
    for name in BATCHED:
        seen = []
        rows = np.random.default_rng(0).normal(size=(24 * LANES, BATCHED[name][2])) / 2
        run(name, rows, progress=seen.append)
        assert seen == sorted(seen)
        assert len(seen) >= 3
        assert seen[0] > 0
        assert seen[-1] == 1


# -- derivatives ---------------------------------------------------------------------------------------------


def test_derivatives_come_with_the_solution():
    solution = solve(PIVP({y: -2 * y}, {y: 3}), t=[1.0, 2.0], derivatives=True)
    assert_allclose(solution.outputs[:, 0], 3 * np.exp([-2, -4]), rtol=1e-11)
    assert solution.jacobian["initial"].shape == (2, 1, 1)
    assert_allclose(solution.jacobian["initial"][:, 0, 0], np.exp([-2, -4]), rtol=1e-11)


def test_derivatives_of_a_network_by_its_inputs():
    """Against central differences of the network itself."""
    network, X = net(), np.random.default_rng(8).normal(size=(5, 3))
    solution = solve(homotopy(network), inputs=X, derivatives="x", tol=1e-13)
    ahead, behind = (np.stack([forward(network, X + s * 1e-5 * e) for e in np.eye(3)], axis=2) for s in (1, -1))
    assert_allclose(solution.jacobian["x"], (ahead - behind) / 2e-5, atol=1e-9)
    assert_allclose(solution.outputs, forward(network, X), atol=1e-13)


# -- backward and on grids -----------------------------------------------------------------------------------


def test_time_runs_backward_too():
    solution = solve(GROWTH, t=[-1.0, 1.0, -2.0], dense=True, length=True)
    assert_allclose(solution.outputs[:, 0], np.exp([-1, 1, -2]), rtol=1e-11)
    assert_allclose(solution.t, [-1, 1, -2])
    assert_allclose(solution.length, np.abs(np.expm1([-1, 1, -2])), rtol=1e-6)
    values = solution.at([[-0.5, 0.1], [0.5, -0.1], [-1.5, -3.0]])[..., 0]
    assert_allclose(values, np.exp([[-0.5, np.nan], [0.5, np.nan], [-1.5, np.nan]]), rtol=1e-11)


def test_there_and_back_again_returns_to_the_start():
    there = solve(PENDULUM, t=5, tol=1e-14)
    back = solve(PENDULUM, t=-5, initial=there.states, tol=1e-14)
    assert_allclose(back.outputs, [0.5, 0], atol=2e-13)


def test_time_itself_runs_backward():
    circuit = Circuit({"y": fn.sin(gpac.time() ** 2) + integral(gpac.time() ** 2)})
    assert_allclose(solve(circuit, t=-1.5).outputs, np.sin(1.5**2) - 1.5**3 / 3, atol=1e-11)


def test_no_time_at_all_is_the_start():
    assert solve(PENDULUM, t=0).outputs.tolist() == [0.5, 0.0]


def test_a_grid_gives_the_outputs_at_its_times():
    grid = np.array([[0.0, 0.5, 1.0]])
    assert_allclose(solve(GROWTH, t=grid).outputs[:, 0], np.exp(grid[0]), rtol=1e-11)
    batch = solve(GROWTH, t=grid, initial=[[1.0], [2.0]])
    assert batch.outputs.shape == (2, 3, 1)
    assert_allclose(batch.named["y"][..., 0], [[1], [2]] * np.exp(grid), rtol=1e-11)
    own = np.array([[0.5, 1.0], [-0.5, -1.0]])
    assert_allclose(solve(GROWTH, t=own, initial=[[1.0], [1.0]]).outputs[..., 0], np.exp(own), rtol=1e-11)


def test_the_clock_ends_a_run_that_takes_too_long():
    solution = solve(CIRCLE, t=[1.0, 1e9], max_seconds=0.2, max_steps=10**9)
    assert list(solution.status) == [Status.REACHED, Status.WALL_CLOCK]
    assert 0 < solution.t[1] < 1e9
    assert_allclose(np.hypot(*solution.states[1]), 1, atol=1e-6)


def test_a_bar_can_be_shown(capsys):
    silent = solve(PENDULUM, t=3, progress=False)
    assert capsys.readouterr().err == ""
    assert_array_equal(solve(PENDULUM, t=3, progress=True).outputs, silent.outputs)
    assert "100%" in capsys.readouterr().err


# -- dense output --------------------------------------------------------------------------------------------


def test_dense_output_is_as_accurate_as_the_end():
    solution = solve(CIRCLE, t=10, tol=1e-12, dense=True)
    times = np.linspace(0, 10, 333)
    assert_allclose(solution.at(times), np.stack([np.cos(times), np.sin(times)], axis=1), atol=1e-11)


def test_dense_output_at_nodes_is_the_solution():
    solution = solve(PENDULUM, t=3, dense=True)
    assert_array_equal(solution.at([0.0])[0], [0.5, 0.0])
    begin = solution.dense.begin
    assert len(begin) == solution.steps > 1
    assert begin[0] == 0 and (np.diff(begin) > 0).all()
    assert_array_equal(solution.at(begin), solution.dense.coefficients[:, 0])
    # from the left and from the right, and at the end against the end
    assert_allclose(solution.at(np.nextafter(begin[1:], 0)), solution.at(begin[1:]), atol=1e-12)
    assert_allclose(solution.at([3.0])[0], solution.outputs, atol=1e-13)
    rate = (solution.at(begin[1:] + 1e-6) - solution.at(begin[1:] - 1e-6)) / 2e-6
    here = solution.at(begin[1:])
    assert_allclose(rate[:, 0], here[:, 1], atol=1e-9)  # x' = y across the nodes


def test_beyond_the_end_there_is_nothing():
    solution = solve(SQUARE, t=0.75, initial=[[2.0], [0.5]], dense=True)
    values = solution.at([-0.1, 0.4, 0.6, 0.75, 0.76])[..., 0]
    assert_allclose(values[1], [np.nan, 1 / 1.6, 1 / 1.4, 1 / 1.25, np.nan], rtol=1e-11)
    assert_allclose(values[0], [np.nan, 10.0, np.nan, np.nan, np.nan], rtol=1e-9)


def test_every_trajectory_may_be_read_at_its_own_times():
    solution = solve(GROWTH, t=[1.0, 2.0], dense=True)
    times = np.array([[0.0, 0.5, 1.0], [0.0, 1.0, 2.0]])
    assert solution.at(times).shape == (2, 3, 1)
    assert_allclose(solution.at(times)[..., 0], np.exp(times), rtol=1e-11)


def test_outputs_that_drive_nothing_have_polynomials_too():
    circuit = Circuit({"a": fn.sin(gpac.time()) ** 3, "b": 2 * gpac.time() ** 2})
    times = np.linspace(0, 2, 9)
    solution = solve(circuit, t=2, dense=True)
    assert_allclose(solution.at(times), np.stack([np.sin(times) ** 3, 2 * times**2], axis=1), atol=1e-11)


def test_without_dense_there_are_no_times_to_ask_for():
    with pytest.raises(ShapeError, match="dense=True"):
        solve(GROWTH, t=1).at([0.5])


# -- what is refused -----------------------------------------------------------------------------------------

TWO = Circuit({"y": integral(inputs("a", 2) + inputs("b"))})
REFUSED = {
    "no time": (lambda: solve(GROWTH), GpacError, "t is missing"),
    "time nan": (lambda: solve(GROWTH, t=np.nan), NumberError, "t must be finite, got nan"),
    "time inf": (lambda: solve(GROWTH, t=[1, np.inf]), NumberError, "t must be finite"),
    "grid nan": (lambda: solve(GROWTH, t=[[0.5, np.nan]]), NumberError, "finite times in it"),
    "grid empty": (lambda: solve(GROWTH, t=np.zeros((1, 0))), NumberError, "at least one per row"),
    "grid order": (lambda: solve(GROWTH, t=[[0.5, 0.25]]), NumberError, "ordered away from 0|ordered away"),
    "grid sides": (lambda: solve(GROWTH, t=[[-0.5, 0.25]]), NumberError, "one side of 0"),
    "derivatives": (lambda: solve(GROWTH, t=1, derivatives="x"), ShapeError, "cannot differentiate by 'x'"),
    "derivatives on a grid": (lambda: solve(GROWTH, t=[[1]], derivatives=True), ShapeError, "not as a grid"),
    "seconds": (lambda: solve(GROWTH, t=1, max_seconds=0), NumberError, "max_seconds must be positive"),
    "times": (lambda: solve(GROWTH, t=[1, 2, 3], initial=[[1.0], [2.0]]), ShapeError, r"\(2,\), got shape \(3,\)"),
    "times 3d": (lambda: solve(GROWTH, t=[[[1.0]]]), ShapeError, "t must be a number or have shape"),
    "tol 0": (lambda: solve(GROWTH, t=1, tol=0), NumberError, "tol must lie between"),
    "tol nan": (lambda: solve(GROWTH, t=1, tol=np.nan), NumberError, "tol must lie between"),
    "tol small": (lambda: solve(GROWTH, t=1, tol=1e-16), NumberError, "gpac.prove"),
    "tol large": (lambda: solve(GROWTH, t=1, tol=1.0), NumberError, "and 0.1"),
    "tol text": (lambda: solve(GROWTH, t=1, tol="small"), NumberError, "'small'"),
    "atol": (lambda: solve(GROWTH, t=1, atol=0.0), NumberError, "atol must be positive"),
    "steps": (lambda: solve(GROWTH, t=1, max_steps=0), NumberError, "max_steps must be at least 1"),
    "steps in words": (lambda: solve(GROWTH, t=1, max_steps="many"), NumberError, "whole number, got 'many'"),
    "half a step": (lambda: solve(GROWTH, t=1, max_steps=2.5), NumberError, "whole number, got 2.5"),
    "half a thread": (lambda: solve(GROWTH, t=1, threads=1.5), NumberError, "threads must be .* whole number"),
    "seconds in words": (lambda: solve(GROWTH, t=1, max_seconds="long"), NumberError, "max_seconds must be positive"),
    "progress": (lambda: solve(GROWTH, t=1, progress="yes"), GpacError, "True, or a function of the fraction"),
    "dense": (lambda: solve(GROWTH, t=1, dense="yes"), GpacError, "dense must be True or False, got 'yes'"),
    "length": (lambda: solve(GROWTH, t=1, length=[1]), GpacError, "length must be True or False"),
    "ragged grid": (lambda: solve(GROWTH, t=[[1, 2], [3]]), ShapeError, "rows of a grid t must have one length"),
    "ragged grid, derivatives": (
        lambda: solve(GROWTH, t=[[1, 2], [3]], derivatives=True),
        ShapeError,
        "rows of a grid t must have one length",
    ),
    "inputs of a PIVP": (lambda: solve(GROWTH, t=1, inputs=[1.0]), ShapeError, "the system has no inputs.*initial="),
    "times of other trajectories": (
        lambda: solve(GROWTH, t=[1, 2, 3], dense=True).at([[0.5], [0.25]]),
        ShapeError,
        r"\(q,\) or \(3, q\), got \(2, 1\)",
    ),
    "times in words": (lambda: solve(GROWTH, t=1, dense=True).at("now"), ShapeError, "times must be an array of"),
    "nan": (lambda: solve(TWO, 1, {"a": [1, np.nan], "b": 1}), NumberError, "input 'a' has NaN or inf"),
    "inf": (lambda: solve(GROWTH, t=1, initial=[np.inf]), NumberError, "'initial' has NaN or inf"),
    "missing": (lambda: solve(TWO, 1, {"a": [1, 2]}), ShapeError, r"input 'b' \(size 1\) was not given"),
    "none": (lambda: solve(TWO, 1), ShapeError, "input 'a'"),
    "unknown": (lambda: solve(TWO, 1, {"a": [1, 2], "b": 1, "c": 1}), ShapeError, r"unknown input 'c'.*\['a', 'b'\]"),
    "by name": (lambda: solve(TWO, 1, [1, 2]), ShapeError, r"by name for \['a', 'b'\]"),
    "width": (lambda: solve(TWO, 1, {"a": [1, 2, 3], "b": 1}), ShapeError, r"\(2,\) or \(B, 2\), got \(3,\)"),
    "batches": (lambda: solve(TWO, 1, {"a": np.ones((3, 2)), "b": np.ones((2, 1))}), ShapeError, r"\[2, 3\]"),
    "text": (lambda: solve(TWO, 1, {"a": "ab", "b": 1}), ShapeError, "must be an array of numbers, got str"),
    "surplus": (lambda: solve(GROWTH, 1, [1.0]), ShapeError, "expected inputs|no inputs"),
    "complex": (lambda: solve(GROWTH, 1, initial=np.array([1j])), ShapeError, "complex128, not real numbers"),
    "complex in a list": (lambda: solve(GROWTH, 1, initial=[np.array([1j])]), ShapeError, "not real numbers"),
    "a date": (lambda: solve(GROWTH, np.datetime64("2020-01-01")), NumberError, "t must be a number or an array"),
    "masked": (lambda: solve(GROWTH, 1, initial=np.ma.array([1.0], mask=[True])), NumberError, "masked entries"),
    "beyond doubles": (lambda: solve(GROWTH, 1, initial=[10**400]), NumberError, "'initial': expected .* range of d"),
    "late beyond doubles": (lambda: solve(GROWTH, 10**400), NumberError, "t: expected numbers within the range"),
    "derivatives by number": (lambda: solve(GROWTH, 1, derivatives=3), GpacError, "names of inputs .*, got 3"),
    "both": (lambda: solve(GROWTH, 1, [1.0], initial=[1.0]), GpacError, "initial=, not inputs="),
    "initial": (lambda: solve(TWO, 1, initial=[1.0]), GpacError, "initial= sets the start of a PIVP"),
    "system": (lambda: solve("y' = y", 1), GpacError, "expected a Circuit, Schedule or PIVP, got str"),
    "schedule": (lambda: solve(sequential(net()), 5, np.zeros(3)), GpacError, "runs its own phases for 2 in all"),
    "backend": (lambda: solve(GROWTH, 1, backend="torch"), GpacError, "'numpy' or 'cupy', got 'torch'"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_mistakes_are_told_in_a_sentence(name):
    call, kind, message = REFUSED[name]
    with pytest.raises(kind, match=message):
        call()


def test_without_a_device_cupy_is_refused_in_a_sentence():
    try:
        import cupy

        cupy.cuda.runtime.getDeviceCount()
    except Exception:
        with pytest.raises(GpacError, match=r"needs CuPy and a CUDA device.*backend='numpy'"):
            solve(GROWTH, t=1, backend="cupy")
    else:
        pytest.skip("this machine has a device")


@pytest.mark.parametrize(
    "call",
    [lambda: solve(GROWTH, t="one"), lambda: solve(sequential(net()), [2.0, 2.0], np.zeros((2, 3)))],
    ids=["text", "times of a schedule"],
)
def test_strange_times_are_refused_in_a_sentence(call):
    with pytest.raises(GpacError):
        call()


def test_numbers_of_any_kind_are_tolerances_and_limits():
    told = {"tol": np.float32(1e-6), "atol": Fraction(1, 10**6), "max_steps": np.inf, "max_seconds": np.int64(100)}
    solution = solve(GROWTH, t=1, **told).check()
    assert abs(solution.outputs[0] - np.e) < 1e-5
