"""CUDA kernels without a device: compiled for real, and run on the processor against the lanes engine."""

from dataclasses import replace
from fractions import Fraction

import mpmath
import numpy as np
import pytest
import scipy.sparse
import sympy
from host_kernel import COMPILER, HostKernel
from numpy.testing import assert_allclose, assert_array_equal
from nvrtc import figures, library
from problems import PROBLEMS, problem

import gpac
import gpac.solver.pieces
from compile import Network, Sigmoid, Tanh, dense, homotopy
from gpac import PIVP, Circuit, GpacError, NumberError, Status, inputs, integral, linear, solve
from gpac import functions as fn
from gpac.pair import Pair, as_pair, leading
from gpac.solver import choice
from gpac.solver.cuda import engine as cuda
from gpac.solver.cuda import queue
from gpac.solver.cuda.engine import CudaEngine
from gpac.solver.cuda.layout import ARITHMETICS, Layout
from gpac.solver.lanes import engine
from gpac.solver.lanes.engine import LaneEngine
from gpac.solver.series import Series
from gpac.solver.start import at_start
from gpac.solver.task import Batch, Limits, Settings
from gpac.wire import Start

ARCHITECTURES = "sm_80", "sm_90"
compiled = pytest.mark.skipif(
    library() is None, reason="CUDA's compiler is missing: pip install nvidia-cuda-nvrtc-cu12"
)
shimmed = pytest.mark.skipif(
    COMPILER is None, reason="no C++ compiler (g++ or clang++) to run kernels on the processor"
)


def circuit_of(system) -> Circuit:
    return system if isinstance(system, Circuit) else system.to_circuit()


def neural_ode() -> Circuit:
    """y' = A tanh(B y + b) with 2 states and 16 neurons, from an input."""
    rng = np.random.default_rng(2)
    y = gpac.wire("y", 2)
    hidden = linear([(rng.normal(size=(16, 2)), y)], rng.normal(size=16))
    y.define(
        integral(
            linear([(rng.normal(size=(2, 16)) / 4, fn.tanh(hidden))]), None, Start("identity", inputs("x", 2)), name="y"
        )
    )
    return Circuit({"y": y})


def network(width: int = 7) -> Circuit:
    rng = np.random.default_rng(5)
    first = dense(rng.normal(size=(width, 2)), rng.normal(size=width))
    second = dense(rng.normal(size=(5, width)) / np.sqrt(width), rng.normal(size=5))
    return homotopy(Network(2, [first, Tanh(), second, Sigmoid(), dense(rng.normal(size=(2, 5)), np.ones(2))]))


def units() -> Circuit:
    """One of every unit: dense, sparse, diagonal and bilinear, functions of inputs, a product as variable."""
    rng = np.random.default_rng(6)
    start, Y = inputs("x", 2), gpac.wire("Y", 4)
    square = gpac.bilinear("ij,jk->ik", Y, Y, (2, 2), (2, 2))
    sparse = scipy.sparse.random_array((4, 4), density=0.5, rng=rng)
    rate = linear([(-0.25, square), (sparse, Y), ([-1, -2, -1, -2], Y), (rng.normal(size=(4, 4)) / 8, fn.sin(Y))])
    first = linear([(np.ones((4, 2)), start)])
    Y.define(integral(rate, None, Start("identity", first), name="Y"))
    wave = fn.exp(fn.sin(first * gpac.time()))
    return Circuit({"area": np.ones((1, 4)) @ integral(wave, Y * Y), "still": 2 * start})


CIRCUITS = {
    "neural ODE": neural_ode,
    "homotopy": network,
    "70 neurons": lambda: network(70),
    "300 neurons": lambda: network(300),
    "units": units,
}


def settings_for(circuit, tol=1e-12, **more):
    return Settings(tol, tol, tuple(circuit.outputs.values()), **more)


def batch_for(circuit, ends) -> Batch:
    """Trajectories with inputs of different sizes."""
    count = len(ends)
    rng = np.random.default_rng(3)
    given = {n: rng.normal(size=(size, count)) * np.geomspace(0.1, 1, count) for n, size in circuit.inputs.items()}
    return Batch(
        given,
        at_start(Series(circuit, np), given, count, circuit.integrals),
        np.zeros(count),
        np.array(ends, dtype=float),
    )


def in_order(pieces):
    order = np.argsort(pieces.ids, kind="stable")
    return [getattr(pieces, name)[order] for name in ("ids", "begin", "step", "unit", "coefficients")]


def assert_same(one, other, but=()):
    for name in {"code", "t", "state", "readings", "steps", "orders", "length", "space"} - set(but):
        assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
    if one.pieces is not None:
        for a, b in zip(in_order(one.pieces), in_order(other.pieces), strict=True):
            assert_array_equal(a, b)


@pytest.fixture(autouse=True)
def sums_in_one_order(monkeypatch):
    """The lanes engine adds up columns of flat matrices in several sums, kernels in one: here both in one."""
    shape = engine._shape
    monkeypatch.setattr(engine, "_shape", lambda *given: replace(shape(*given), sums=1))


# -- compiled ------------------------------------------------------------------------------------------------


class Text:
    """A kernel that is only written, not built."""

    seats = 1

    def __init__(self, text, layout, shared_bytes):
        self.text = text


def written(circuit, **more):
    engine = CudaEngine(circuit, settings_for(circuit, **more), np, build=Text)
    return engine.kernel.text, engine.layout


def assert_compiles_without_spills(circuit, **more):
    text, layout = written(circuit, **more)
    arithmetic = ARITHMETICS[more.get("precision", "double")]
    for architecture in ARCHITECTURES:
        found = figures(text, architecture)
        assert (found.spilled, found.stack) == (0, 0)  # with registers, all series are there: no array is in memory
        assert found.registers * layout.block * layout.blocks(arithmetic) <= 65536
        assert found.registers <= 255


@compiled
@pytest.mark.parametrize("problem", PROBLEMS, ids=repr)
def test_every_kernel_compiles_without_spills(problem):
    assert_compiles_without_spills(circuit_of(problem.system))


@compiled
@pytest.mark.parametrize("name", CIRCUITS)
def test_kernels_with_everything_asked_for_compile_without_spills(name):
    assert_compiles_without_spills(CIRCUITS[name](), keep=True, length=True)


@compiled
@pytest.mark.parametrize("name", ["Lorenz", "tanh flow"])
@pytest.mark.parametrize(("precision", "tol"), [("single", 1e-6), ("double-double", 1e-28)])
def test_other_arithmetics_compile_without_spills(name, precision, tol):
    assert_compiles_without_spills(circuit_of(problem(name).system), precision=precision, tol=tol)


@compiled
@pytest.mark.parametrize("name", ["tanh flow", "matrix exponential", "Lorenz"])
def test_the_highest_order_with_everything_asked_for_spills_few_numbers(name):
    text, layout = written(circuit_of(problem(name).system), tol=1e-15, keep=True, length=True)
    assert layout.registers
    assert all(figures(text, architecture).spilled <= 256 for architecture in ARCHITECTURES)


@compiled
def test_a_spill_is_found():
    """The judge of the tests above: more series than a thread has registers."""
    circuit = circuit_of(problem("relaxed layer").system)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cuda, "layout", lambda *_: Layout(1, True, False, 128, 0))
        text, _ = written(circuit)
    found = figures(text, "sm_90")
    assert found.spilled + found.stack > 0


# -- run on the processor ------------------------------------------------------------------------------------


@shimmed
@pytest.mark.parametrize("problem", PROBLEMS, ids=repr)
def test_every_problem_has_the_bits_of_the_lanes_engine(problem):
    circuit = circuit_of(problem.system)
    settings = settings_for(circuit, keep=True, length=True)
    batch = batch_for(circuit, [problem.t, problem.t / 3, 0])
    kernel = CudaEngine(circuit, settings, np, build=HostKernel).advance(batch, Limits(10_000))
    lanes = LaneEngine(circuit, settings).advance(batch, Limits(10_000))
    # the length's sum over states runs in another order where several threads share a trajectory
    assert_same(kernel, lanes, but=["length"])
    assert_allclose(kernel.length, lanes.length, rtol=1e-15)
    error = max(
        abs(mpmath.mpf(float(got)) - true) for got, true in zip(kernel.readings[:, 0], problem.truth(40), strict=True)
    )
    assert error <= 12e-12 * problem.condition


@shimmed
@pytest.mark.parametrize("name", CIRCUITS)
def test_batches_with_inputs_have_the_bits_of_the_lanes_engine(name):
    circuit = CIRCUITS[name]()
    settings, batch = settings_for(circuit), batch_for(circuit, [1, -0.5])
    kernel = CudaEngine(circuit, settings, np, build=HostKernel).advance(batch, Limits(10_000))
    assert_same(kernel, LaneEngine(circuit, settings).advance(batch, Limits(10_000)), but=["length"])


@pytest.mark.parametrize(
    ("circuit", "wanted"),
    [
        (circuit_of(problem("Lorenz").system), "one thread a trajectory, series in registers"),
        (neural_ode(), "16 threads a trajectory, series in registers"),
        (network(70), "32 threads a trajectory, series in shared memory"),
        (network(300), "one block of 256 threads a trajectory, series in device memory"),
    ],
    ids=["Lorenz", "neural ODE", "70 neurons", "300 neurons"],
)
def test_larger_circuits_have_more_threads_a_trajectory(circuit, wanted):
    assert str(written(circuit)[1]) == wanted


LAYOUTS = {
    "2 threads": Layout(2, False, True, 8, 0),
    "8 threads": Layout(8, False, True, 32, 0),
    "a warp, device memory": Layout(32, False, False, 64, 0),
    "a block": Layout(64, False, True, 64, 0),
    "a block, device memory": Layout(64, False, False, 64, 0),
    "registers of 4 threads": Layout(4, True, True, 64, 0),
    "registers of a warp": Layout(32, True, True, 64, 0),
}


@shimmed
@pytest.mark.parametrize(
    ("name", "which"),  # a bilinear form reads series of other entries, which are not in a thread's own registers
    [(n, w) for n in ("neural ODE", "homotopy", "units") for w in LAYOUTS if n != "units" or not LAYOUTS[w].registers],
)
def test_every_layout_has_the_bits_of_the_lanes_engine(name, which, monkeypatch):
    def laid_out(recurrences, order, arithmetic):
        r = recurrences
        needed = r.now_size + 2 * r.dim + (r.series_size + r.rates_size) * (order + 1)
        return replace(LAYOUTS[which], arena=r.now_size if LAYOUTS[which].registers else needed)

    monkeypatch.setattr(cuda, "layout", laid_out)
    circuit = CIRCUITS[name]()
    settings = settings_for(circuit, keep=True, length=True)
    batch = batch_for(circuit, [1, -0.5, 0.25, 1e-3])
    kernel = CudaEngine(circuit, settings, np, build=HostKernel).advance(batch, Limits(10_000))
    lanes = LaneEngine(circuit, settings).advance(batch, Limits(10_000))
    assert_same(kernel, lanes, but=["length"])
    assert_allclose(kernel.length, lanes.length, rtol=1e-14)


@shimmed
@pytest.mark.parametrize("problem", PROBLEMS, ids=repr)
def test_double_double_has_some_thirty_digits_and_the_bits_of_the_lanes(problem):
    circuit = circuit_of(problem.system)
    settings = settings_for(circuit, 1e-28, precision="double-double", keep=True)
    end = problem.t if problem.name != "Lorenz" else Fraction(1)
    start = at_start(Series(circuit, np, "double-double"), {}, 2, circuit.integrals)
    batch = Batch({}, start, as_pair(np.zeros(2)), Pair.of([end, end / 3]))
    kernel = CudaEngine(circuit, settings, np, build=HostKernel).advance(batch, Limits(10_000))
    lanes = LaneEngine(circuit, settings).advance(batch, Limits(10_000))
    assert_array_equal(kernel.steps, lanes.steps)
    for name in ("t", "state", "readings"):
        one, other = getattr(kernel, name), getattr(lanes, name)
        assert_array_equal(one.high, other.high, err_msg=name)
        assert_array_equal(one.low, other.low, err_msg=name)
    for one, other in zip(in_order(kernel.pieces), in_order(lanes.pieces), strict=True):
        assert_array_equal(leading(one), leading(other))
    if end == problem.t:
        with mpmath.workdps(45):
            errors = [abs(got - true) for got, true in zip(kernel.readings[:, 0].mpf(), problem.truth(45), strict=True)]
            assert max(errors) <= 12e-28 * problem.condition


@shimmed
@pytest.mark.parametrize("name", ["exp", "circle", "tanh flow", "logistic", "relaxed layer"])
def test_single_precision_reaches_its_tolerance(name):
    some = problem(name)
    circuit = circuit_of(some.system)
    engine = CudaEngine(circuit, settings_for(circuit, 2e-6, precision="single"), np, build=HostKernel)
    found = engine.advance(batch_for(circuit, [some.t]), Limits(1000)).readings[:, 0]
    truth = np.array([float(v) for v in some.truth()])
    assert np.abs(found - truth).max() <= 12 * 2e-6 * some.condition


def test_single_precision_refuses_what_it_does_not_have():
    with pytest.raises(NumberError, match=r"4\.8e-07, what precision='single' has.*got 1e-08"):
        solve(SQUARE, t=0.5, tol=1e-8, precision="single")
    with pytest.raises(GpacError, match="runs on a CUDA device only"):
        solve(SQUARE, t=0.5, tol=1e-6, precision="single")


# -- queue and limits ----------------------------------------------------------------------------------------


@pytest.fixture
def kernels(monkeypatch):
    """`solve` runs kernels on the processor."""

    def choose(circuit, settings, xp, backend, method):
        return choice.Choice(CudaEngine(circuit, settings, xp, build=HostKernel), "asked for by the test")

    if COMPILER is None:
        pytest.skip("no C++ compiler (g++ or clang++) to run kernels on the processor")
    monkeypatch.setattr(gpac.solver.pieces, "choose", choose)


x, y = sympy.symbols("x y")
PENDULUM = PIVP({x: y, y: -x + x**3 / 6}, {x: 0.5, y: 0})
SQUARE = PIVP({y: y**2}, {y: 1})


def states(count):
    return np.random.default_rng(1).uniform(-1, 1, size=(count, 2))


def solved(system, rows, **more):
    given = {"initial": rows} if isinstance(system, PIVP) else {"inputs": rows}
    return solve(system, **{"t": 2.0, "tol": 1e-10, "length": True, **given, **more})


@pytest.mark.parametrize("system", [PENDULUM, neural_ode()], ids=["registers", "shared"])
def test_bits_do_not_depend_on_the_batch(system, kernels):
    rows = states(40)
    together = solved(system, rows)
    for some in ([0], [1, 0], [5, 39, 20], np.random.default_rng(2).permutation(40)[:30]):
        part = solved(system, rows[some])
        for name in ("outputs", "states", "t", "steps", "length", "space"):
            assert_array_equal(getattr(part, name), getattr(together, name)[some], err_msg=name)


@pytest.mark.parametrize("system", [PENDULUM, neural_ode()], ids=["registers", "shared"])
def test_short_launches_and_small_records_change_no_bits(system, kernels, monkeypatch):
    rows, ends = states(8), np.geomspace(0.01, 4, 8)
    times = np.linspace(0, 0.01, 50)
    whole = solved(system, rows, t=ends, dense=True)
    monkeypatch.setattr(queue, "TURN_SECONDS", 0.0)  # one step a launch
    monkeypatch.setattr(queue, "RECORD_BYTES", 1)  # one step's polynomials
    cut = solved(system, rows, t=ends, dense=True)
    assert_array_equal(cut.outputs, whole.outputs)
    assert_array_equal(cut.steps, whole.steps)
    assert_array_equal(cut.at(times), whole.at(times))


def test_every_precision_is_asked_for_by_name(kernels):
    rows, circuit = states(5), neural_ode()
    asked = {
        p: solve(circuit, t=1, inputs=rows, tol=tol, precision=p) for p, tol in (("single", 1e-6), ("double", 1e-14))
    }
    asked["double-double"] = solve(circuit, t=1, inputs=rows, tol=1e-28, precision="double-double")
    assert all(f"CUDA kernel, {p}," in s.engine for p, s in asked.items())
    assert_allclose(asked["single"].outputs, asked["double"].outputs, atol=2e-5)
    assert_allclose(asked["double"].outputs, asked["double-double"].outputs, atol=1e-13)
    assert (asked["double-double"].outputs_low != 0).any()


def test_each_trajectory_ends_in_its_own_way(kernels):
    solution = solve(SQUARE, t=[0.75, 0.75, 0.75, -3.0], initial=[[0.5], [2.0], [-1.0], [1.0]], max_steps=1000)
    assert list(solution.status) == [Status.REACHED, Status.BLOW_UP, Status.REACHED, Status.REACHED]
    assert abs(solution.t[1] - 0.5) < 1e-12
    assert np.isnan(solution.outputs[1]).all()
    assert_allclose(solution.outputs[[0, 2, 3], 0], [0.8, -1 / 1.75, 0.25], rtol=1e-11)
    few = solve(PENDULUM, t=[0.1, 50.0], max_steps=3)
    assert list(few.status) == [Status.REACHED, Status.MAX_STEPS]
    assert few.steps[1] == 3


def test_a_clock_that_has_run_out_leaves_every_trajectory_at_its_last_step(kernels, monkeypatch):
    monkeypatch.setattr(queue, "TURN_SECONDS", 0.0)
    solution = solve(PENDULUM, t=1e4, initial=states(3), max_seconds=0.2)
    assert set(solution.status) == {Status.WALL_CLOCK}
    assert ((solution.t > 0) & (solution.t < 1e4)).all()
    truth = solve(PENDULUM, t=solution.t, initial=states(3), tol=1e-14)
    assert_allclose(solution.states, truth.states, atol=1e-9)


def test_ctrl_c_returns_what_is_done(kernels, monkeypatch):
    monkeypatch.setattr(queue, "TURN_SECONDS", 0.0)
    launch, calls = queue.Queue._launch, []

    def interrupted(self, *arguments):
        calls.append(arguments)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return launch(self, *arguments)

    monkeypatch.setattr(queue.Queue, "_launch", interrupted)
    solution = solve(PENDULUM, t=[0.1, 1e4])
    assert list(solution.status) == [Status.REACHED, Status.STOPPED]
    assert 0 < solution.t[1] < 1e4


def test_more_trajectories_than_seats_are_taken_in_turn(kernels, monkeypatch):
    monkeypatch.setattr(HostKernel, "__call__", counted := _Counted(HostKernel.__call__))
    ends = np.where(np.arange(200) == 7, 30.0, 0.5)
    solution = solve(PENDULUM, t=ends, initial=states(200), tol=1e-8)
    assert solution.ok
    assert counted.seats[0] < 200
    assert counted.seats[-1] == 1  # the one that takes longest has the device to itself


class _Counted:
    def __init__(self, call):
        self.call, self.seats = call, []

    def __get__(self, kernel, owner):
        def called(seats, arguments):
            self.seats.append(seats)
            self.call(kernel, seats, arguments)

        return called


# -- which engine --------------------------------------------------------------------------------------------


def test_kernels_are_for_circuits_whose_weights_stay_near_a_processor():
    small = neural_ode()
    assert cuda.fits(small, settings_for(small))
    wide = network(4000)
    assert not cuda.fits(wide, settings_for(wide))


def test_a_device_asked_for_where_there_is_none_is_refused():
    try:
        import cupy

        cupy.cuda.runtime.getDeviceCount()
        pytest.skip("there is a device")
    except Exception:
        with pytest.raises(GpacError, match="needs CuPy and a CUDA device"):
            solve(PENDULUM, t=1, backend="cupy")


def test_a_batch_that_does_not_fit_in_memory_is_cut(monkeypatch):
    whole = solve(PENDULUM, t=1, initial=states(20))
    advance, sizes = LaneEngine.advance, []

    def small(self, batch, limits):
        sizes.append(len(batch.t))
        if len(batch.t) > 6:
            raise MemoryError
        return advance(self, batch, limits)

    monkeypatch.setattr(LaneEngine, "advance", small)
    cut = solve(PENDULUM, t=1, initial=states(20))
    assert sizes == [20, 10, 5, 5, 5, 5]
    assert cut.engine.endswith("; memory held 5 trajectories at a time")
    assert_array_equal(cut.outputs, whole.outputs)
