"""Everything on a CUDA device, where there is one: kernels and arrays against the processor's lanes."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import mpmath
import numpy as np
import pytest
import sympy
from numpy.testing import assert_allclose, assert_array_equal
from problems import PROBLEMS, problem

import gpac
from compile import Network, Sigmoid, dense, homotopy, relaxation, sequential
from gpac import PIVP, Status
from gpac.solver.lanes import engine as lanes

pytestmark = pytest.mark.gpu
cupy = pytest.importorskip("cupy", reason="CuPy is not installed (extra gpu)")


@pytest.fixture(autouse=True)
def device():
    try:
        cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        pytest.skip(f"no CUDA device: {error}")


@pytest.fixture(params=["kernel", "arrays"])
def engine(request, monkeypatch):
    """Both engines of the device, whatever the size."""
    monkeypatch.setattr("gpac.solver.cuda.engine.fits", lambda *_: request.param == "kernel")


x, y = sympy.symbols("x y")
PENDULUM = PIVP({x: y, y: -x + x**3 / 6}, {x: 0.5, y: 0})
SQUARE = PIVP({y: y**2}, {y: 1})


@pytest.mark.parametrize("problem", PROBLEMS, ids=repr)
def test_a_kernel_has_the_bits_of_the_lanes(problem, monkeypatch):
    shape = lanes._shape  # which adds up the columns of flat matrices in several sums; kernels do in one
    monkeypatch.setattr(lanes, "_shape", lambda *sizes: replace(shape(*sizes), sums=1))
    system, t = problem.system, float(problem.t)
    here = gpac.solve(system, t, tol=1e-12, backend="compiled", method="taylor", dense=True)
    there = gpac.solve(system, t, tol=1e-12, backend="cupy", method="taylor", dense=True)
    assert "CUDA kernel" in there.engine
    assert_array_equal(cupy.asnumpy(there.outputs), here.outputs)
    assert int(there.steps) == int(here.steps)
    times = np.linspace(0, t, 7)
    assert_array_equal(cupy.asnumpy(there.at(times)), here.at(times))


@pytest.mark.parametrize("tol", [1e-6, 1e-12])
@pytest.mark.parametrize("problem", PROBLEMS, ids=repr)
def test_every_problem_reaches_its_exact_value(problem, tol, engine):
    outputs = gpac.solve(problem.system, float(problem.t), tol=tol, backend="cupy").check().outputs
    truth = np.array([float(v) for v in problem.truth()])
    assert np.abs(cupy.asnumpy(outputs) - truth).max() <= 12 * tol * problem.condition


@pytest.mark.parametrize("width", [3, 20, 100, 300])
@pytest.mark.parametrize("scheme", [homotopy, sequential, relaxation])
def test_results_live_where_the_inputs_lived_and_have_the_same_bits_in_any_batch(scheme, width, engine):
    rng = np.random.default_rng(0)
    first = dense(rng.normal(size=(width, 5)), rng.normal(size=width))
    network = Network(5, [first, Sigmoid(), dense(rng.normal(size=(3, width)) / width, np.zeros(3))])
    program, rows = scheme(network), cupy.asarray(rng.normal(size=(1000, 5)))
    together = gpac.solve(program, inputs=rows).check()
    assert isinstance(together.outputs, cupy.ndarray)
    for some in ([0], [17, 5, 999], rng.permutation(1000)):
        part = gpac.solve(program, inputs=rows[cupy.asarray(some)])
        assert bool((part.outputs == together.outputs[cupy.asarray(some)]).all())
    assert_allclose(cupy.asnumpy(together.outputs), gpac.solve(program, inputs=cupy.asnumpy(rows)).outputs, atol=1e-9)


def test_a_large_batch_with_ends_of_its_own(engine):
    rng = np.random.default_rng(1)
    rows, ends = rng.uniform(-1, 1, size=(100_000, 2)), 20 * rng.uniform(-1, 1, size=100_000) ** 3
    there = gpac.solve(PENDULUM, t=cupy.asarray(ends), initial=cupy.asarray(rows), tol=1e-10).check()
    here = gpac.solve(PENDULUM, t=ends[:500], initial=rows[:500], tol=1e-10)
    assert_allclose(cupy.asnumpy(there.outputs)[:500], here.outputs, atol=1e-8)
    assert_array_equal(cupy.asnumpy(there.t), ends)


def test_each_trajectory_ends_in_its_own_way(engine):
    start = cupy.asarray([[0.5], [2.0], [-1.0]])
    solution = gpac.solve(SQUARE, t=0.75, initial=start, method="taylor")
    assert list(solution.status) == [Status.REACHED, Status.BLOW_UP, Status.REACHED]
    few = gpac.solve(PENDULUM, t=cupy.asarray([0.1, 500.0]), initial=cupy.zeros((2, 2)) + 0.1, max_steps=3)
    assert list(few.status) == [Status.REACHED, Status.MAX_STEPS]
    late = gpac.solve(PENDULUM, t=1e7, initial=cupy.zeros((2, 2)) + 0.1, max_steps=10**9, max_seconds=0.3)
    assert set(late.status) == {Status.WALL_CLOCK}


@pytest.mark.parametrize(("precision", "tol"), [("single", 2e-6), ("double-double", 1e-28)])
@pytest.mark.parametrize("name", ["exp", "circle", "tan", "Jacobi sn, cn, dn"])
def test_other_arithmetics_reach_their_tolerance(name, precision, tol):
    some = problem(name)
    solution = gpac.solve(some.system, t=some.t, tol=tol, precision=precision, backend="cupy").check()
    assert "CUDA kernel" in solution.engine
    low = 0 * solution.outputs if solution.outputs_low is None else solution.outputs_low
    with mpmath.workdps(45):
        numbers = map(lambda h, b: mpmath.mpf(h) + mpmath.mpf(b), solution.outputs.tolist(), low.tolist())
        off = max(abs(a - b) for a, b in zip(numbers, some.truth(45), strict=True))
    assert off <= 12 * tol * some.condition


def test_a_circuit_of_many_weights_goes_to_cublas():
    rng = np.random.default_rng(2)
    wide = dense(rng.normal(size=(300, 300)) / 300, np.zeros(300))
    layers = [dense(rng.normal(size=(300, 5)), np.zeros(300)), Sigmoid(), wide]
    program = homotopy(Network(5, [*layers, Sigmoid(), dense(rng.normal(size=(2, 300)), np.zeros(2))]))
    solution = gpac.solve(program, inputs=cupy.zeros((4, 5)))
    assert "cuBLAS" in solution.engine


def test_results_of_an_executor_live_where_the_inputs_lived():
    rng = np.random.default_rng(0)
    layers = [dense(rng.normal(size=(20, 5)), rng.normal(size=20)), Sigmoid(), dense(rng.normal(size=(3, 20)))]
    program, x = homotopy(Network(5, layers)), cupy.asarray(rng.normal(size=(100, 5)))
    here = gpac.solve(program, inputs=x)
    with ThreadPoolExecutor(1) as executor:
        there = gpac.solve(program, inputs=x, executor=executor)
    assert isinstance(there.outputs, cupy.ndarray)
    assert isinstance(there.steps, cupy.ndarray)
    assert bool((there.outputs == here.outputs).all())
