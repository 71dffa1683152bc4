"""The compiled engine's own matters: code kept on disk, code shared, threads, overflow, and its number loops."""

import os
import platform
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from threading import Barrier

import numpy as np
import pytest
import sympy
from numpy.testing import assert_allclose, assert_array_equal
from problems import problem

import gpac
from compile import Network, Tanh, dense, homotopy
from gpac import PIVP, Circuit, Status, inputs, solve
from gpac import functions as fn
from gpac.solver import choice, threads
from gpac.solver.lanes import engine, machine, series, stepper
from gpac.solver.lanes.memory import Shape, Steps
from gpac.solver.lowering import recurrences
from gpac.solver.orders import series_order
from gpac.solver.recurrences import Follow, Increase, Square, Sum, Times
from gpac.wire import Start, integral, linear

x, y = sympy.symbols("x y")
PENDULUM = PIVP({x: y, y: -x + x**3 / 6}, {x: 0.5, y: 0})


def forget(*systems):
    """Nothing compiled is left in memory, and nothing kept with these systems."""
    engine._codes.clear()
    for system in systems:
        (system.to_circuit() if isinstance(system, PIVP) else system).prepared.clear()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty cache on disk, and nothing compiled yet."""
    monkeypatch.setenv("GPAC_CACHE", str(tmp_path / "cache"))
    forget(PENDULUM)
    yield tmp_path / "cache"
    forget(PENDULUM)


def outputs(system=PENDULUM, t=2.0, **more):
    return solve(system, t=t, tol=1e-11, backend="compiled", **more).outputs


def network(seed: int, sizes=(3, 5, 4, 2)) -> Network:
    rng = np.random.default_rng(seed)
    layers = []
    for n, m in pairwise(sizes):
        layers += [dense(rng.normal(size=(m, n)), rng.normal(size=m)), Tanh()]
    return Network(sizes[0], layers[:-1])


# -- code ----------------------------------------------------------------------------------------------------


def test_code_is_kept_on_disk_and_used_again(folder, monkeypatch):
    first = outputs()
    (kept,) = folder.iterdir()
    forget(PENDULUM)
    monkeypatch.setattr(stepper, "module", None)  # no code can be written any more
    assert_array_equal(outputs(), first)
    assert list(folder.iterdir()) == [kept]


@pytest.mark.parametrize("spoil", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b[:40] + b"\0" + b[41:]])
def test_spoiled_code_on_disk_is_made_again(folder, spoil):
    first = outputs()
    (kept,) = folder.iterdir()
    whole = kept.read_bytes()
    kept.write_bytes(spoil(whole))
    forget(PENDULUM)
    assert_array_equal(outputs(), first)
    assert kept.read_bytes() == whole


def test_without_a_folder_to_write_to_it_works_all_the_same(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("GPAC_CACHE", str(tmp_path / "file" / "cache"))
    forget(PENDULUM)
    assert np.isfinite(outputs()).all()


def test_networks_of_one_shape_share_their_code(folder):
    X = np.random.default_rng(1).normal(size=(5, 3))
    for seed in (1, 2):
        solve(homotopy(network(seed)), inputs=X, tol=1e-11, backend="compiled")
    assert len(engine._codes) == 1
    assert len(list(folder.iterdir())) == 1


def test_another_process_finds_the_same_code(folder):
    """And gets the same bits."""
    first = outputs()
    program = (
        "import sys, sympy, gpac; x, y = sympy.symbols('x y');"
        "p = gpac.PIVP({x: y, y: -x + x**3 / 6}, {x: 0.5, y: 0});"
        "print(gpac.solve(p, t=2.0, tol=1e-11, backend='compiled').outputs.tobytes().hex());"
        "assert 'gpac.solver.lanes.stepper' not in sys.modules"  # what writes code is not even loaded
    )
    root = Path(gpac.__file__).parents[1]
    environment = os.environ | {"PYTHONPATH": str(root)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout.strip()) == (0, first.tobytes().hex()), done.stderr


def test_what_is_worked_out_for_a_circuit_is_used_again():
    """As long as the same is asked; another tolerance takes its place, and the numbers are those of a new circuit."""
    program, X = homotopy(network(6)), np.random.default_rng(6).normal(size=(5, 3))
    given = {"inputs": X, "backend": "compiled"}
    first = solve(program, tol=1e-11, **given)
    kept = program.prepared["lanes"]
    assert_array_equal(solve(program, tol=1e-11, **given).outputs, first.outputs)
    assert program.prepared["lanes"] is kept
    assert_array_equal(
        solve(program, tol=1e-6, **given).outputs, solve(homotopy(network(6)), tol=1e-6, **given).outputs
    )
    assert program.prepared["lanes"] is not kept
    assert_array_equal(solve(program, tol=1e-11, **given).outputs, first.outputs)


def test_threads_that_share_a_circuit_get_what_they_get_alone():
    """Also where they ask for different tolerances, and so take turns in what is kept with the circuit."""
    program, X = homotopy(network(7)), np.random.default_rng(7).normal(size=(64, 3))

    def outputs_at(tol: float) -> bytes:
        return solve(program, inputs=X, tol=tol, backend="compiled", threads=1).outputs.tobytes()

    tolerances = [1e-11, 1e-6] * 20
    alone = {tol: outputs_at(tol) for tol in tolerances[:2]}
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(outputs_at, tolerances))
    assert together == [alone[tol] for tol in tolerances]


def test_slopes_of_tanh_cost_half_a_convolution():
    kinds = [type(o) for o in recurrences(homotopy(network(1))).operations]
    assert kinds.count(Square) == kinds.count(Follow) == 2
    assert Times in kinds and Sum in kinds
    assert Increase not in kinds


def test_deep_networks_share_the_code_of_layers_that_are_alike(monkeypatch):
    """And lose no bit by it: with every operation written out, the same comes out."""
    program, X = homotopy(network(3, (4,) * 9)), np.random.default_rng(4).normal(size=(3, 4))
    shared = solve(program, inputs=X, tol=1e-11, backend="compiled")
    monkeypatch.setattr(series, "FEW", 10**6)
    forget(program)
    monkeypatch.setattr(machine, "_own_source", lambda: "written out")
    assert_array_equal(solve(program, inputs=X, tol=1e-11, backend="compiled").outputs, shared.outputs)
    forget(program)
    used = {kind: set() for kind in (Follow, Square, Sum)}
    for operation in recurrences(program).operations:
        if type(operation) in used:
            used[type(operation)].add(series.without_places(operation)[0])
    assert [len(found) for found in used.values()] == [2, 1, 1]  # the first layer's argument is a polynomial in time


PROCESSORS = {"AVX2": ("haswell", (4, 16)), "SSE2": ("x86-64", (2, 16))}


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="the processors are x86-64's")
@pytest.mark.parametrize("name", PROCESSORS)
@pytest.mark.parametrize("precision", ["double", "double-double"])
def test_code_for_lesser_processors_gives_the_same_numbers(name, precision, folder, monkeypatch):
    """Shorter vectors, fewer registers, and no fused multiply-add at all on the last."""
    if name == "AVX2" and not machine.llvm.get_host_cpu_features().get("avx2"):
        pytest.skip("this processor has no AVX2")
    systems = [
        (problem("Lorenz").system, 0.5, {}),
        (homotopy(network(5, (3, 9, 7, 2))), None, {"inputs": [0.5, -1, 2]}),
    ]
    given = {"tol": 1e-13 if precision == "double" else 1e-28, "backend": "compiled", "precision": precision}
    own = [solve(s, t=t, **more, **given) for s, t, more in systems]
    processor, registers = PROCESSORS[name]
    features = "" if name == "SSE2" else "+avx,+avx2,+fma"
    monkeypatch.setattr(machine.llvm, "get_host_cpu_name", lambda: processor)
    monkeypatch.setattr(machine, "_features", lambda: features)
    monkeypatch.setattr(engine, "registers", lambda: registers)
    forget(*(system for system, _, _ in systems))
    for (system, t, more), here in zip(systems, own, strict=True):
        there = solve(system, t=t, **more, **given)
        low = 0 if there.outputs_low is None else there.outputs_low - here.outputs_low
        assert np.abs((there.outputs - here.outputs) + low).max() < 300 * given["tol"]
    forget(*(system for system, _, _ in systems))


def test_circuits_of_many_units_are_left_to_arrays(monkeypatch):
    assert "compiled" in solve(PENDULUM, t=1).engine
    monkeypatch.setattr(choice, "MANY", 3)
    assert "more than 3 units take long to compile" in solve(PENDULUM, t=1).engine
    assert "compiled" in solve(PENDULUM, t=1, backend="compiled").engine


# -- lanes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 3])
def test_bits_do_not_depend_on_the_number_of_threads(count, monkeypatch):
    rows = np.random.default_rng(2).uniform(-1, 1, size=(1000, 2))
    alone = outputs(initial=rows)
    monkeypatch.setattr(engine, "processors", lambda: count)
    assert_array_equal(outputs(initial=rows), alone)


def test_start_values_are_the_same_from_many_threads():
    h, weights = gpac.wire("h", 3), np.random.default_rng(0).normal(size=(3, 3))
    h.define(integral(fn.tanh(linear([(weights, h)])), None, Start("identity", inputs("x", 3))))
    program = Circuit({"h": h})
    X = np.random.default_rng(1).normal(size=(20_000, 3))
    alone, together = (solve(program, t=0.1, inputs=X, tol=1e-6, threads=n, backend="compiled") for n in (1, 3))
    assert_array_equal(alone.outputs, together.outputs)


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="threads are not placed on this system")
def test_threads_leave_the_caller_free_to_run_anywhere():
    before, seen, all_here = os.sched_getaffinity(0), [], Barrier(3, timeout=30)

    def work(_: int) -> None:
        all_here.wait()  # so that each of the three threads takes one part
        seen.append(os.sched_getaffinity(0))

    threads.share(work, range(3), 3)
    assert [*seen, os.sched_getaffinity(0)] == [before] * 4


def test_vectors_on_the_stack_do_not_straddle_cache_lines():
    """Where they do, a step takes a fifth longer or not, as the caller's stack happens to lie."""
    steps = Steps(9, 1e-6, 1e-6, False, False)
    text = str(stepper.module(recurrences(PENDULUM.to_circuit(), (), "double"), "double", Shape(8, 8, 4, 8), 10, steps))
    assert text.count("alignstack(") == text.count("define ")


def test_numbers_beyond_the_range_of_powers_are_met_by_another_unit_of_time():
    """y = 1e20 and y' = y^2: the coefficient of order 17 is 1e360 in seconds, and 1 in units of 1e-20 s."""
    square = PIVP({y: y**2}, {y: 1e20})
    for t in (5e-21, 9e-21, -1.0):
        solution = solve(square, t=t, backend="compiled").check()
        assert_allclose(solution.outputs, 1 / (1e-20 - t), rtol=1e-10)
    beyond = solve(square, t=2e-20, backend="compiled")
    assert beyond.status is Status.BLOW_UP
    assert abs(beyond.t - 1e-20) < 1e-30


@pytest.mark.parametrize("scale", [1e-290, 1e-150, 1e150, 1e300])
def test_time_may_have_any_scale(scale):
    system = PIVP({y: sympy.Float(1 / scale, 30) * y}, {y: 1})
    assert_allclose(solve(system, t=scale, tol=1e-12, backend="compiled").outputs, np.e, rtol=1e-11)


def test_steps_are_counted_and_measured_like_those_of_the_arrays():
    rows = np.random.default_rng(4).uniform(-1, 1, size=(50, 2))
    one, other = (solve(PENDULUM, t=10, initial=rows, tol=1e-12, length=True, backend=b) for b in ("compiled", "numpy"))
    assert_allclose(one.outputs, other.outputs, atol=1e-10)
    assert_allclose(one.length, other.length, rtol=1e-4)
    assert (one.steps > 5).all() and (one.steps < 100).all()
    assert (one.orders == series_order(1e-12, recurrences(PENDULUM.to_circuit(), ()))).all()


def test_orders_are_higher_where_matrices_are_most_of_the_work():
    """Neither half of the logarithm of the tolerance nor all of it, but for products alone and matrices alone."""
    alone, wide = recurrences(PENDULUM.to_circuit(), ()), gpac.wire("z", 60)
    wide.define(integral(linear([(np.eye(60) + 1.0, wide)]), initial=np.ones(60)))
    matrices = recurrences(Circuit({"z": wide}), ())
    for tol in (1e-6, 1e-9, 1e-12):
        half, full = -np.log(tol) / 2, -np.log(tol)
        assert half < series_order(tol, alone) <= 1.1 * half + 4
        assert abs(series_order(tol, matrices) - full) <= 1
        assert series_order(tol, matrices) % 2 == series_order(tol, alone) % 2 == 1


def test_a_long_run_costs_the_steps_that_its_radius_asks_for():
    """The circle's series is entire: steps near (tol n!)^(1/n), the same over ten thousand turns."""
    solution = solve(problem("circle").system, t=2e4 * np.pi, tol=1e-12, backend="compiled").check()
    assert_allclose(solution.outputs, [1, 0], atol=1e-7)
    assert solution.steps < 5 * 2e4 * np.pi


def test_processors_are_asked_for_their_registers():
    width, count = machine.registers()
    assert (width, count) in ((8, 32), (4, 16), (2, 16), (2, 32))
    assert threads.processors() >= 1
