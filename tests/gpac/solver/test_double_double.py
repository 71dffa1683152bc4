"""Double-double precision: about 30 digits on every engine of the processor, and exact numbers enter as they are."""

from fractions import Fraction
from pathlib import Path

import mpmath
import numpy as np
import pytest
import sympy
from numpy.testing import assert_array_equal
from problems import PROBLEMS, problem

import gpac
from compile import Network, Sigmoid, Tanh, dense, enclose_forward, homotopy, relaxation, sequential
from gpac import PIVP, Circuit, GpacError, NumberError, Pair, Status, inputs, integral, linear, reference, solve
from gpac import functions as fn
from gpac.wire import Start

CONTEXT = mpmath.mp.clone()
CONTEXT.dps = 70
x, y, z = sympy.symbols("x y z")
PENDULUM = PIVP({x: y, y: -x + x**3 / 6}, {x: Fraction(1, 3), y: 0})
LORENZ_ENDS = Path(__file__).parents[2] / "data" / "lorenz_ends.txt"
SIGMA, RHO, BETA = 10, 28, Fraction(8.0 / 3.0)
LORENZ = PIVP(
    {x: SIGMA * (y - x), y: x * (RHO - z) - y, z: x * y - sympy.Rational(BETA.numerator, BETA.denominator) * z},
    {x: 1, y: 1, z: 1},
)


@pytest.fixture(params=["compiled", "numpy"])
def engine(request):
    return request.param


def run(system, t=None, inputs=None, *, backend, tol=1e-30, **more):
    return solve(system, t, inputs, tol=tol, precision="double-double", backend=backend, **more)


def exact(high, low):
    return Pair(high, low).exact()


def distance(got, true):
    """Largest distance of fractions from mpmath numbers."""
    return max(
        float(abs(CONTEXT.mpf(g.numerator) / g.denominator - t)) for g, t in zip(np.ravel(got), true, strict=True)
    )


# -- right ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("problem", PROBLEMS, ids=repr)
def test_every_problem_to_28_digits(problem, engine):
    solution = run(problem.system, problem.t, backend=engine).check()
    assert distance(exact(solution.outputs, solution.outputs_low), problem.truth(60)) <= 1e-28 * problem.condition
    assert solution.outputs.dtype == solution.outputs_low.dtype == np.float64
    assert (solution.outputs + solution.outputs_low == solution.outputs).all()


@pytest.mark.parametrize("tol", [1e-12, 1e-18, 1e-24])
def test_looser_tolerances_are_met_and_cost_less(tol, engine):
    circle = problem("circle")
    solution = run(circle.system, circle.t, backend=engine, tol=tol)
    error = distance(exact(solution.outputs, solution.outputs_low), circle.truth(60))
    assert tol * 1e-9 < error <= 12 * tol  # worse than what rounding alone leaves at the smallest tolerance
    tight = run(circle.system, circle.t, backend=engine)
    assert solution.orders * solution.steps <= tight.orders * tight.steps


def network(activation) -> Network:
    """Weights of the first layer are thirds, which no double is."""
    rng = np.random.default_rng(5)
    thirds = np.array([[Fraction(int(k), 3) for k in row] for row in rng.integers(-4, 5, size=(6, 3))], dtype=object)
    layers = [dense(thirds, rng.normal(size=6)), activation]
    layers += [dense(rng.normal(size=(4, 6)), rng.normal(size=4)), activation]
    return Network(3, [*layers, dense(rng.normal(size=(2, 4)), rng.normal(size=2))])


@pytest.mark.parametrize("scheme", [homotopy, sequential, relaxation])
@pytest.mark.parametrize("activation", [Tanh(), Sigmoid()], ids=["tanh", "sigmoid"])
def test_networks_give_their_outputs_to_28_digits(scheme, activation, engine):
    net = network(activation)
    rows = np.random.default_rng(2).normal(size=(3, 3))
    solution = run(scheme(net), None, rows, backend=engine).check()
    for row, high, low in zip(rows, solution.outputs, solution.outputs_low, strict=True):
        assert distance(exact(high, low), enclose_forward(net, row, digits=40).mid) <= 1e-28  # weights are about 1


def test_the_lorenz_ensemble_of_the_benchmark(engine):
    """J1: from (1, 1, 1) + [-1/2, 1/2]^3 to t = 5. The stored ends: gpac.reference, 160 bits; one is redone."""
    starts = 1 + np.random.default_rng(1).uniform(-0.5, 0.5, (4096, 3))[:64]
    ends = [[CONTEXT.mpf(v) for v in line.split()] for line in LORENZ_ENDS.read_text().splitlines()]
    redone = reference(LORENZ, 5, bits=160, initial=starts[17].tolist()).outputs
    assert max(abs(CONTEXT.mpf(a) - b) for a, b in zip(redone, ends[17], strict=True)) < 1e-38
    solution = run(LORENZ, 5, initial=starts, backend=engine).check()
    for high, low, true in zip(solution.outputs, solution.outputs_low, ends, strict=True):
        assert distance(exact(high, low), true) <= 1e-28 * max(map(abs, true))


def test_matrices_of_every_kind_and_products_of_states(engine):
    """Sparse, dense, diagonal and bilinear units, exact entries, functions of inputs as start values."""
    import scipy.sparse

    start = inputs("x", 4)
    Y = gpac.wire("Y", 4)
    third = np.array([[Fraction(i - j, 3 + i + j) for j in range(4)] for i in range(4)], dtype=object)
    sparse = scipy.sparse.csr_array(np.array([[0, 0.1, 0, 0], [0, 0, 0, 0.7], [0.3, 0, 0, 0], [0, 0, 0, 0]]))
    square = gpac.bilinear("ij,jk->ik", Y, Y, (2, 2), (2, 2))
    diagonal = np.array([Fraction(-1, 7), Fraction(-2, 7), -1, Fraction(-5, 3)], dtype=object)
    rate = linear([(-0.25, square), (sparse, Y), (diagonal, Y), (third, fn.sin(Y))], [0, sympy.sqrt(2), 0, 1])
    Y.define(integral(rate, None, Start("tanh", start), name="Y"))
    wave = fn.exp(fn.sin(start * gpac.time()))
    circuit = Circuit({"area": np.ones((1, 4)) @ integral(wave, Y * Y), "trace": np.ones((1, 4)) @ square})
    given = [Fraction(1, 3), Fraction(-2, 7), Fraction(1, 10), Fraction(3, 7)]
    solution = run(circuit, Fraction(7, 3), given, backend=engine).check()
    true = reference(circuit, Fraction(7, 3), given, bits=150).outputs
    assert distance(exact(solution.outputs, solution.outputs_low), true) <= 1e-28


# -- exact numbers enter as they are -------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["fractions", "mpmath", "sympy", "pair"])
def test_inputs_enter_with_all_their_digits(kind, engine):
    given = {
        "fractions": [Fraction(1, 3), Fraction(1, 7)],
        "mpmath": [CONTEXT.mpf(1) / 3, CONTEXT.mpf(1) / 7],
        "sympy": [sympy.Rational(1, 3), sympy.Rational(1, 7)],
        "pair": Pair.of([Fraction(1, 3), Fraction(1, 7)]),
    }[kind]
    circuit = Circuit({"y": fn.exp(inputs("x", 2) * gpac.time())})
    solution = run(circuit, 1, given, backend=engine)
    true = [CONTEXT.exp(CONTEXT.mpf(1) / 3), CONTEXT.exp(CONTEXT.mpf(1) / 7)]
    assert distance(exact(solution.outputs, solution.outputs_low), true) <= 1e-29
    rounded = run(circuit, 1, [1 / 3, 1 / 7], backend=engine)  # the doubles are other numbers
    assert 1e-18 < distance(exact(rounded.outputs, rounded.outputs_low), true) < 1e-16


@pytest.mark.parametrize("end", [Fraction(1, 3), sympy.sqrt(2), -Fraction(1, 7), 0.1])
def test_end_times_are_exact_forward_and_backward(end, engine):
    growth = PIVP({y: y}, {y: 1})
    solution = run(growth, end, backend=engine)
    t = CONTEXT.mpf(sympy.Rational(end).p) / sympy.Rational(end).q if end != sympy.sqrt(2) else CONTEXT.sqrt(2)
    assert distance(exact(solution.outputs, solution.outputs_low), [CONTEXT.exp(t)]) <= 2e-30


def test_start_values_may_be_pairs_and_going_on_is_going_through(engine):
    half = run(PENDULUM, Fraction(4, 3), backend=engine)
    on = run(PENDULUM, Fraction(5, 3), initial=Pair(half.states, half.states_low), backend=engine)
    through = run(PENDULUM, 3, backend=engine)
    difference = exact(on.states, on.states_low) - exact(through.states, through.states_low)
    assert abs(difference).max() < 1e-29
    back = run(PENDULUM, -3, initial=Pair(through.states, through.states_low), backend=engine)
    assert abs(exact(back.states, back.states_low) - [Fraction(1, 3), 0]).max() < 1e-28


def test_trajectories_may_have_ends_of_their_own(engine):
    ends = [Fraction(k, 7) for k in range(-3, 30)]
    solution = run(PIVP({y: -y}, {y: 1}), np.array(ends, dtype=object), backend=engine).check()
    true = [CONTEXT.exp(-CONTEXT.mpf(e.numerator) / e.denominator) for e in ends]
    assert distance(exact(solution.outputs, solution.outputs_low), true) <= 1e-29
    assert_array_equal(solution.t, [float(e) for e in ends])


def test_dense_output_and_grids_have_both_parts(engine):
    times = [Fraction(k, 7) for k in range(22)]
    solution = run(PENDULUM, 3, backend=engine, dense=True)
    pairs = solution.pair_at(np.array(times, dtype=object))
    grid = run(PENDULUM, np.array([times], dtype=object), backend=engine)
    for k in (0, 5, 21):
        true = reference(PENDULUM, times[k], bits=140).outputs
        assert distance(pairs[k].exact(), true) <= 1e-29
        assert distance(exact(grid.outputs[k], grid.outputs_low[k]), true) <= 1e-29
    assert_array_equal(solution.at([float(t) for t in times[:1]]), pairs.high[:1])
    assert np.isnan(solution.at([3.5])).all()


def test_a_schedule_hands_its_values_on_in_both_parts(engine):
    """exp(1/3) to the phase that multiplies by exp(1/7)."""
    first = Circuit({"u": fn.exp(gpac.time())})
    v = gpac.wire("v")
    v.define(integral(v, None, Start("identity", inputs("u", 1)), name="v"))
    second = Circuit({"v": v})
    schedule = gpac.Schedule((gpac.Phase(first, Fraction(1, 3)), gpac.Phase(second, Fraction(1, 7))))
    solution = run(schedule, backend=engine, dense=True)
    true = CONTEXT.exp(CONTEXT.mpf(10) / 21)
    assert distance(exact(solution.outputs, solution.outputs_low), [true]) <= 1e-29
    assert distance(solution.pair_at([Fraction(10, 21)]).exact(), [true]) <= 1e-29


def test_derivatives(engine):
    solution = run(PIVP({y: y**2}, {y: Fraction(1, 3)}), 1, derivatives=True, backend=engine)
    assert distance(exact(solution.outputs, solution.outputs_low), [CONTEXT.mpf(1) / 2]) <= 1e-29
    assert abs(solution.jacobian["initial"] - 9 / 4).max() < 1e-15  # 1 / (1 - t y0)**2


# -- batches -------------------------------------------------------------------------------------------------


def fields(solution):
    names = ("outputs", "outputs_low", "states", "states_low", "t", "steps", "orders", "length", "space")
    return {n: np.asarray(getattr(solution, n)) for n in names}


@pytest.mark.parametrize("name", ["homotopy", "pivp"])
def test_bits_do_not_depend_on_the_batch(name, engine):
    rng = np.random.default_rng(11)
    system, given_as = {"homotopy": (homotopy(network(Tanh())), "inputs"), "pivp": (PENDULUM, "initial")}[name]
    rows = rng.uniform(-1.5, 1.5, size=(1000, 3 if name == "homotopy" else 2)) * 10 ** rng.uniform(-3, 0, (1000, 1))
    t = None if name == "homotopy" else 2

    def of(some, **more):
        return fields(run(system, t, **{given_as: rows[some]}, backend=engine, length=True, tol=1e-26, **more))

    def assert_same(one, who):
        for field, values in one.items():
            assert_array_equal(values, thousand[field][who], err_msg=field)

    thousand = of(slice(None))
    for B in (1, 2, 3):
        assert_same(of(slice(0, B)), slice(0, B))
    assert_same(of(500), 500)
    shuffled = rng.permutation(1000)
    assert_same(of(shuffled), shuffled)
    assert_same(of(slice(0, 40), dense=True), slice(0, 40))


def test_bits_do_not_depend_on_the_pieces(engine, monkeypatch):
    starts = np.random.default_rng(3).uniform(-1, 1, size=(150, 2))
    whole = fields(run(PENDULUM, 2, initial=starts, backend=engine))
    monkeypatch.setattr(gpac.solver.arrays, "CHUNK_BYTES", 1)
    monkeypatch.setattr("gpac.solver.lanes.engine.QUEUE_BYTES", 1)
    for name, values in fields(run(PENDULUM, 2, initial=starts, backend=engine)).items():
        assert_array_equal(values, whole[name], err_msg=name)


def test_an_empty_batch_gives_empty_results(engine):
    solution = run(PENDULUM, 2, initial=np.zeros((0, 2)), backend=engine, dense=True)
    assert solution.outputs.shape == solution.outputs_low.shape == (0, 2)


def test_a_blow_up_ends_only_its_own_trajectory(engine):
    """y' = y^2 from y0 has its pole at 1/y0."""
    solution = run(PIVP({y: y**2}, {y: 1}), 2, initial=[[1.0], [0.25]], backend=engine)
    assert solution.status[0] is Status.BLOW_UP
    assert abs(solution.t[0] - 1) < 1e-7  # arrays end where coefficients leave the range of doubles
    assert solution.status[1] is Status.REACHED
    assert distance(exact(solution.outputs[1], solution.outputs_low[1]), [CONTEXT.mpf(1) / 2]) <= 1e-29


def test_interrupted_runs_return_what_is_done(engine):
    solution = run(PENDULUM, 1000, backend=engine, max_steps=3)
    assert solution.status is Status.MAX_STEPS
    true = reference(PENDULUM, exact(solution.t, solution.t_low).item(), bits=140).outputs
    assert distance(exact(solution.states, solution.states_low), true) <= 1e-28


# -- words ---------------------------------------------------------------------------------------------------


def test_a_tolerance_that_doubles_lack_names_the_arithmetic_that_has_it():
    with pytest.raises(NumberError, match=r"precision='double-double'"):
        solve(PENDULUM, 1, tol=1e-20)
    with pytest.raises(NumberError, match=r"gpac\.prove"):
        solve(PENDULUM, 1, tol=1e-40, precision="double-double")
    with pytest.raises(GpacError, match="'double', 'double-double' or 'single'"):
        solve(PENDULUM, 1, precision="quadruple")


def test_what_runs_in_doubles_only_says_so():
    for method in ("rungekutta", "stiff", "LSODA"):
        with pytest.raises(GpacError, match="doubles only"):
            solve(PENDULUM, 1, precision="double-double", method=method)


def test_bad_numbers_are_refused_in_a_sentence():
    circuit = Circuit({"y": fn.exp(inputs("x", 2) * gpac.time())})
    for bad in ([Fraction(1, 3), float("nan")], np.array([1.0, np.inf])):
        with pytest.raises(NumberError, match="'x'"):
            solve(circuit, 1, bad, precision="double-double")
    with pytest.raises((NumberError, GpacError), match="t"):
        solve(PENDULUM, "soon", precision="double-double")


def test_doubles_have_no_second_part_and_the_engine_says_its_precision():
    plain = solve(PENDULUM, 1)
    assert plain.outputs_low is None and plain.states_low is None
    assert "double-double" in run(PENDULUM, 1, backend="compiled").engine
    assert "double-double" in run(PENDULUM, 1, backend="numpy").engine
    assert str(run(PENDULUM, 0, backend="compiled").outputs_mpf()[0])[:30] == "0.3333333333333333333333333333"
