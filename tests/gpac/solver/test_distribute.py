"""More than one machine: the same bits, nothing lost, and an end to everything."""

import inspect
import os
import signal
import time
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from multiprocessing import get_context

import numpy as np
import pytest
import scipy.sparse
import sympy
import workers
from numpy.testing import assert_array_equal

import gpac
import gpac.solver.batch
from compile import Network, Sigmoid, Tanh, dense, homotopy, relaxation, sequential
from gpac import PIVP, Circuit, Event, GpacError, NumberError, Status, WorkerError, inputs, integral, linear, solve
from gpac import functions as fn
from gpac.program import Program
from gpac.solver import distribute
from gpac.solver.gather import joined
from gpac.wire import Start

x, y = sympy.symbols("x y")
CIRCLE = PIVP({x: y, y: -x}, {x: 1, y: 0})
PENDULUM = PIVP({x: y, y: -x + x**3 / 6}, {x: 0.5, y: 0})


def pool(initializer=None, *arguments):
    return ProcessPoolExecutor(2, get_context("spawn"), initializer, arguments)


@pytest.fixture(scope="module")
def processes():
    with pool() as executor:
        yield executor


def net() -> Network:
    rng = np.random.default_rng(5)
    layers = [dense(rng.normal(size=(7, 3)), rng.normal(size=7)), Tanh(), dense(rng.normal(size=(5, 7)))]
    return Network(3, [*layers, Sigmoid(), dense(rng.normal(size=(2, 5)), rng.normal(size=2))])


def units() -> Circuit:
    """One of every unit: constant, input, time, sums with every kind of matrix, products, integrals of both kinds."""
    rng = np.random.default_rng(6)
    start = inputs("x", 3)
    Y = gpac.wire("Y", 4)
    square = gpac.bilinear("ij,jk->ik", Y, Y, (2, 2), (2, 2))
    sparse = scipy.sparse.random_array((4, 4), density=0.5, rng=rng)
    strided = rng.normal(size=(8, 8))[::2, ::2] / 8  # a view: its layout does not survive the way
    rate = linear([(-0.25, square), (sparse, Y), ([-1, -2, -1, -2], Y), (strided, fn.sin(Y))], [0.25, 0, 0, 0])
    spread = linear([(rng.normal(size=(4, 3)) / 8, start)])
    Y.define(integral(rate, None, Start("identity", spread), name="Y"))
    wave = fn.exp(fn.sin(spread * gpac.time()))
    area = np.ones((1, 4)) @ integral(wave, Y * Y)
    return Circuit({"area": area, "trace": gpac.bilinear("ij,ji->", Y, Y, (2, 2), (2, 2)), "one": gpac.constant(1)})


SYSTEMS = {
    "units": (units, 2.0, 3),
    "pivp": (lambda: PENDULUM, 2.0, 2),
    "homotopy": (lambda: homotopy(net()), None, 3),
    "relaxation": (lambda: relaxation(net()), None, 3),
    "sequential": (lambda: sequential(net()), None, 3),
}


def rows(count: int, size: int) -> np.ndarray:
    rng = np.random.default_rng(11)
    return np.clip(rng.normal(size=(count, size)) * 10 ** rng.uniform(-3, 0.3, size=(count, 1)), -1.5, 1.5)


def assert_same(one, other):
    """Every bit of two solutions, polynomials included."""
    for name in ("outputs", "states", "t", "steps", "orders", "length", "space", "status"):
        here, there = np.asarray(getattr(one, name)), np.asarray(getattr(other, name))
        assert (here.shape, here.dtype) == (there.shape, there.dtype), name
        assert_array_equal(here, there, err_msg=name)
    assert list(one.named) == list(other.named)
    for name in one.named:
        assert_array_equal(one.named[name], other.named[name])
    assert one.engine == other.engine
    assert (one.dense is None) == (other.dense is None)
    if one.dense is not None:
        for name in ("offsets", "begin", "unit", "end", "coefficients"):
            assert_array_equal(getattr(one.dense, name), getattr(other.dense, name), err_msg=name)
    assert (one.events is None, one.extremes is None) == (other.events is None, other.extremes is None)
    if one.events is not None:
        for name in one.events.__dataclass_fields__:
            here, there = getattr(one.events, name), getattr(other.events, name)
            assert (here.shape, here.dtype) == (there.shape, there.dtype), name
            assert_array_equal(here, there, err_msg=name)
    if one.extremes is not None:
        assert list(one.extremes) == list(other.extremes)
        for key in one.extremes:
            for here, there in zip(one.extremes[key], other.extremes[key], strict=True):
                assert here.shape == there.shape
                assert_array_equal(here, there)


# -- the same bits -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["compiled", "numpy"])
@pytest.mark.parametrize("name", SYSTEMS)
def test_processes_give_the_bits_of_one_process(processes, name, backend):
    make, t, size = SYSTEMS[name]
    given = {"initial" if name == "pivp" else "inputs": rows(150, size)}
    told = {"t": t, "tol": 1e-10, "dense": True, "length": True, "backend": backend} | given
    system = make()
    assert_same(solve(system, executor=processes, **told), solve(system, **told))


GIVEN = {
    "own ends": {"t": np.linspace(-3, 3, 100), "initial": rows(100, 2)},
    "one system, many ends": {"t": np.linspace(0, 3, 50)},
    "one grid": {"t": [[0.0, 0.5, 2.0]], "initial": rows(50, 2)},
    "own grids": {"t": np.outer(np.linspace(-3, 3, 49), [0.5, 1.0]), "initial": rows(49, 2)},
    "one system, own grids": {"t": np.outer(np.linspace(-3, 3, 49), [0.5, 1.0])},
    "a single trajectory": {"t": 2.0, "dense": True},
    "a single trajectory, given": {"t": 2.0, "initial": [0.25, 1.0]},
    "a single trajectory, a grid": {"t": [[0.5, 1.0]]},
    "a batch of one": {"t": 2.0, "initial": [[0.25, 1.0]], "dense": True},
    "no trajectory": {"t": 2.0, "initial": np.zeros((0, 2)), "dense": True},
    "some blow up": {"t": 9.0, "initial": 4 * rows(100, 2), "dense": True},
    "too few steps": {"t": np.linspace(1, 90, 40), "max_steps": 20},
}


@pytest.mark.parametrize("name", GIVEN)
def test_times_and_shapes_are_those_of_one_process(processes, name):
    assert_same(solve(PENDULUM, executor=processes, **GIVEN[name]), solve(PENDULUM, **GIVEN[name]))


def test_derivatives_are_those_of_one_process(processes):
    circuit, given = homotopy(net()), rows(40, 3)
    here, there = (solve(circuit, inputs=given, derivatives=True, executor=e) for e in (None, processes))
    assert_same(there, here)
    assert_array_equal(there.jacobian["x"], here.jacobian["x"])


def pendulum():
    return PENDULUM, {"fall": Event(x, direction=-1), "rest": y}, [x, x * y]


def pendulum_terminal():
    return PENDULUM, [Event(y, terminal=True, name="rest")], {"energy": y**2 / 2 + x**2 / 2 - x**4 / 24}


def network():
    program = homotopy(net())
    return program, {"out": Event("y", entry=1), "inner": program.integrals[0]}, True


def phases():
    schedule = sequential(net())
    early, late = schedule.phases[0].circuit, schedule.phases[-1].circuit
    return schedule, {"out": "y", "early": early.integrals[0], "late": late.integrals[0]}, [early.integrals[0], "y"]


@pytest.mark.parametrize("backend", ["compiled", "numpy"])
@pytest.mark.parametrize("asked", [pendulum, pendulum_terminal, network, phases])
def test_events_and_extremes_are_those_of_one_process(processes, asked, backend):
    system, events, extremes = asked()
    name, size = ("initial", 2) if system is PENDULUM else ("inputs", 3)
    told = {"t": 9.0 if system is PENDULUM else None, name: 2 * rows(150, size), "tol": 1e-10, "backend": backend}
    told |= {"events": events, "extremes": extremes, "length": True, "dense": True}
    there, here = solve(system, executor=processes, **told), solve(system, **told)
    assert_same(there, here)
    assert len({b // 32 for b in here.events.trajectory}) > 1  # in several pieces


@pytest.mark.parametrize("method", ["rungekutta", "Radau"])
def test_events_of_other_methods_are_those_of_one_process(processes, method):
    told = {"t": 5.0, "initial": rows(40, 2), "tol": 1e-6, "method": method, "events": [x], "extremes": True}
    assert_same(solve(PENDULUM, executor=processes, **told), solve(PENDULUM, **told))


@pytest.mark.parametrize("name", GIVEN)
def test_events_of_every_shape_are_those_of_one_process(processes, name):
    told = GIVEN[name] | {"events": {"fall": Event(x, direction=-1), "rest": y}, "extremes": [x]}
    assert_same(solve(PENDULUM, executor=processes, **told), solve(PENDULUM, **told))


def test_any_executor_will_do():
    with ThreadPoolExecutor(2) as executor:
        assert_same(solve(PENDULUM, 2, initial=rows(99, 2), executor=executor), solve(PENDULUM, 2, initial=rows(99, 2)))


def test_every_option_of_solve_reaches_the_workers(monkeypatch):
    seen = []

    def caught(executor, job, progress):
        seen.append(job)
        return solve(CIRCLE, 1, initial=[[1.0, 0.0]])

    monkeypatch.setattr(distribute, "distribute", caught)
    solve(CIRCLE, 1, threads=3, max_steps=7, executor=ThreadPoolExecutor(1))
    here = {"system", "t", "inputs", "initial", "derivatives", "max_seconds", "executor", "progress"}
    here |= {"events", "extremes"}  # sent with the system, whose wires they name
    assert set(seen[0].options) == set(inspect.signature(solve).parameters) - here
    assert (seen[0].options["threads"], seen[0].options["max_steps"]) == (3, 7)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_bits_do_not_depend_on_the_number_of_threads(threads):
    given = rows(6000, 2)  # enough for several parts of the queue on each thread
    told = {"t": np.linspace(-2, 5, 6000), "initial": given, "dense": True, "backend": "compiled"}
    alone = solve(PENDULUM, t=told["t"][5900:], initial=given[5900:], backend="compiled")
    together = solve(PENDULUM, threads=threads, **told)
    assert_same(together, solve(PENDULUM, **told))
    assert_array_equal(together.outputs[5900:], alone.outputs)


@pytest.mark.parametrize("count", [1, 15, 16, 17, 1000, 10**6])
@pytest.mark.parametrize("crew", [1, 2, 64])
def test_pieces_cover_the_batch_once(count, crew):
    cuts = distribute.cut(count, crew)
    assert [low for low, _ in cuts] == [0, *(high for _, high in cuts[:-1])]
    assert cuts[-1][1] == count
    assert all(0 < high - low <= distribute.LARGEST for low, high in cuts)
    assert len(cuts) >= min(distribute.PIECES_PER_WORKER * crew // 2, -(-count // 16))


def test_pieces_that_say_different_things_are_all_heard():
    assert joined(["a", "b", "a"]) == "a; b"
    assert joined(list("abcdef")) == "a; b; c; d; and 2 more"


def test_progress_is_told_as_pieces_end(processes):
    seen = []
    solve(CIRCLE, 5, initial=rows(200, 2), executor=processes, progress=seen.append)
    assert seen == sorted(seen)
    assert len(seen) >= 4
    assert seen[-1] == 1


# -- trouble -------------------------------------------------------------------------------------------------


def marked(count: int) -> np.ndarray:
    """Rows with one marked trajectory in the middle."""
    given = rows(count, 2)
    given[count // 2] = workers.MARK
    return given


def test_the_piece_of_a_killed_worker_is_done_again(tmp_path):
    given = marked(160)
    with pool(workers.die_once, tmp_path / "flag") as executor:
        solution = solve(PENDULUM, 2, initial=given, dense=True, executor=executor)
        assert (tmp_path / "flag").exists()
        with pytest.raises(BrokenExecutor):  # the caller's own pool is gone for good,
            executor.submit(int)
        again = solve(PENDULUM, 2, initial=given, executor=executor)  # but will do
    assert_same(solution, solve(PENDULUM, 2, initial=given, dense=True))
    assert_same(again, solve(PENDULUM, 2, initial=given))


def test_a_worker_may_be_lost_while_large_pieces_are_sent(tmp_path):
    """Pieces of 200 kB, more than a pipe has room for: the broken pool must end all the same."""
    given = marked(100_000)
    with pool(workers.die_once, tmp_path / "flag") as executor:
        solution = solve(PENDULUM, 0.5, initial=given, tol=1e-4, executor=executor)
    assert (tmp_path / "flag").exists()
    assert_same(solution, solve(PENDULUM, 0.5, initial=given, tol=1e-4))


def test_a_piece_that_kills_every_worker_ends_in_an_error():
    with pool(workers.die_always) as executor, pytest.raises(WorkerError, match=r"lost 3 times .* trajectories \d+ to"):
        solve(PENDULUM, 2, initial=marked(160), executor=executor)


def test_workers_that_cannot_be_replaced_end_in_an_error():
    def fail():
        raise RuntimeError

    with ThreadPoolExecutor(1, initializer=fail) as executor, pytest.raises(WorkerError, match="hand over a fresh one"):
        solve(PENDULUM, 2, executor=executor)


def test_what_a_worker_raises_is_raised_here(processes):
    circuit = replace(PENDULUM.to_circuit(), program=Program(limit=workers.Raises()))
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        solve(circuit, 2, executor=processes)
    assert solve(CIRCLE, 2, executor=processes).ok


def test_interrupting_returns_what_is_done(processes):
    given = rows(4000, 2)

    def interrupt(fraction):
        os.kill(os.getpid(), signal.SIGINT)

    solution = solve(CIRCLE, 200, initial=given, executor=processes, progress=interrupt, events=[x], extremes=[y])
    stopped = solution.status == Status.STOPPED
    assert 0 < stopped.sum() < len(given)
    assert (solution.status[~stopped] == Status.REACHED).all()
    assert_array_equal(solution.outputs[~stopped], solve(CIRCLE, 200, initial=given[~stopped]).outputs)
    assert np.isnan(solution.outputs[stopped]).all()
    assert_array_equal(solution.states[stopped], given[stopped])
    assert (solution.t[stopped] == 0).all()
    assert set(solution.events.trajectory) == set(np.flatnonzero(~stopped))
    assert_array_equal(np.isnan(solution.extremes[y].high[:, 0]), stopped)
    assert solve(CIRCLE, 2, executor=processes).ok


def test_the_time_allowed_is_kept(processes):
    solve(CIRCLE, 2, initial=rows(64, 2), executor=processes)  # processes have started
    since = time.monotonic()
    starts = 2 + rows(640, 2)  # some 10^7 steps
    solution = solve(CIRCLE, 1e8, initial=starts, executor=processes, max_seconds=0.5, max_steps=10**9)
    assert time.monotonic() - since < 0.5 + distribute.PATIENCE + 1
    assert (solution.status == Status.WALL_CLOCK).all()
    assert (solution.t > 0).any()  # those that were begun
    assert (solution.t == 0).any()  # and those that were not
    assert np.isnan(solution.outputs).all()


REFUSED = {
    "executor": (lambda: solve(CIRCLE, 1, executor=print), GpacError, "expected a concurrent.futures.Executor"),
    "threads": (lambda: solve(CIRCLE, 1, threads=0), NumberError, "threads must be at least 1, a whole number, got 0"),
    "times": (
        lambda: solve(CIRCLE, [1, 2], initial=rows(3, 2), executor=ThreadPoolExecutor(1)),
        GpacError,
        r"t must be a number or have shape \(3,\)",
    ),
    "lambda": (
        lambda: solve(
            replace(CIRCLE.to_circuit(), program=Program(limit=lambda: 1)), 1, executor=ThreadPoolExecutor(1)
        ),
        GpacError,
        "cannot be sent",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_mistakes_are_told_in_a_sentence(name):
    call, kind, message = REFUSED[name]
    with pytest.raises(kind, match=message):
        call()


# -- Dask ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cluster():
    dask = pytest.importorskip("dask", reason="Dask is not installed (extra dask)")
    distributed = pytest.importorskip("distributed", reason="Dask is not installed (extra dask)")
    quiet = {"distributed.scheduler.allowed-failures": 0, "distributed.comm.timeouts.connect": "20s"}
    with (
        dask.config.set(quiet),
        distributed.LocalCluster(2, threads_per_worker=1, dashboard_address=None, silence_logs=50) as local,
        distributed.Client(local) as client,
    ):
        yield client


@pytest.mark.parametrize("name", SYSTEMS)
def test_dask_gives_the_bits_of_one_process(cluster, name):
    make, t, size = SYSTEMS[name]
    given = {"t": t, "initial" if name == "pivp" else "inputs": rows(150, size), "dense": True, "extremes": True}
    given |= {"events": [x]} if name == "pivp" else {}
    system = make()
    assert_same(solve(system, executor=cluster.get_executor(), **given), solve(system, **given))


def test_a_killed_dask_worker_loses_nothing(cluster, monkeypatch):
    given, losses, told = rows(4000, 2), [], []
    again = distribute._Distribution._again

    def counted(self, piece, executor, error):
        losses.append(type(error).__name__)
        again(self, piece, executor, error)

    monkeypatch.setattr(distribute._Distribution, "_again", counted)

    def kill(fraction):
        told.append(fraction)
        busy = [worker for worker, tasks in cluster.processing().items() if tasks]
        if len(told) == 1 and busy:
            os.kill(cluster.run(os.getpid, workers=busy[:1])[busy[0]], signal.SIGKILL)

    alone = solve(CIRCLE, 60_000, initial=given)  # so long that the others are at work when the first piece is done
    for _ in range(5):  # a worker that has just done its pieces takes only results along: Dask makes those anew
        assert_same(solve(CIRCLE, 60_000, initial=given, executor=cluster.get_executor(), progress=kill), alone)
        if losses:
            break
        told.clear()
    assert losses  # with allowed-failures = 0 Dask gives up at once, and the piece is sent anew
    assert set(losses) == {"KilledWorker"}


def test_double_double_has_the_same_bits_on_workers():
    rows = np.random.default_rng(0).uniform(-1, 1, (40, 2))
    same = {"t": 2, "initial": rows, "tol": 1e-28, "precision": "double-double"}
    alone = solve(PENDULUM, **same)
    with ThreadPoolExecutor(2) as executor:
        shared = solve(PENDULUM, **same, executor=executor)
    assert_array_equal(shared.outputs, alone.outputs)
    assert_array_equal(shared.outputs_low, alone.outputs_low)
