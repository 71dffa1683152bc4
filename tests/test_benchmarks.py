"""The benchmarks' own machinery: right answers, errors, the pipe to a tool, the table. Times are not tested."""

import importlib.util
import os
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import flint
import numpy as np
import pytest
import sympy
from benchmarks import count, jobs, network_boxes, ours, plain, proofs, table
from benchmarks.screen import Screen
from benchmarks.tools import OURS, Refused, Tool, Worker, found
from numpy.testing import assert_allclose

import gpac
from compile import Network, Sigmoid, Tanh, dense, save
from gpac.solver.lowering import recurrences


@pytest.fixture
def worker(tmp_path):
    running = Worker(Tool(OURS, Path(sys.executable)), tmp_path, core=min(os.sched_getaffinity(0)))
    yield running
    running.close()


@pytest.fixture
def small():
    arrays = jobs.dense_network((3, 8, 5, 2), batch=4)
    return jobs.Job("small", "", "homotopy", 1.0, arrays, jobs.hidden_values(arrays), (jobs.Bound(1e-11),))


@pytest.mark.parametrize("name", ["J1", "J1W"])
def test_the_float_engine_arrives_at_the_stored_ends(name):
    job = jobs.JOBS[name]()
    ends = gpac.solve(ours.lorenz(), t=job.t, initial=job.arrays["start"][:64], tol=1e-15).outputs
    answer = np.resize(ends, (job.batch, 3))  # the others are not judged
    # J1W has sensitive starts: a last bit moves their ends by 4e-12
    assert job.errors(answer).max() < (1e-13 if name == "J1" else 1e-10)
    assert np.median(job.errors(answer)) < 2e-14


def test_the_neural_ode_arrives_at_the_stored_ends():
    job = jobs.JOBS["J2"]()
    circuit = ours.neural_ode_circuit(job.arrays)
    ends = gpac.solve(circuit, t=1.0, inputs=job.arrays["start"][:64], tol=1e-15).outputs
    assert_allclose(ends, job.reference, atol=1e-13)


def test_an_error_below_double_precision_counts():
    job = jobs.JOBS["J1DD"]()
    answer = np.resize(job.reference, (job.batch, 3, 2))
    assert job.errors(answer).max() == 0
    off = answer + np.array([0.0, 1e-27])
    assert_allclose(job.errors(off) * np.maximum(1, np.abs(job.reference[..., 0]).max(axis=1)), 1e-27, rtol=1e-3)
    assert job.errors(answer[..., 0]).min() > 1e-20  # doubles alone


def test_a_missing_or_broken_trajectory_is_an_infinite_error(small):
    assert np.isinf(small.errors(small.reference[:3])).all()
    broken = small.reference.copy()
    broken[2, 0] = np.nan
    assert np.isinf(small.errors(broken)).all()


def test_a_tool_is_screened_through_the_pipe(small, worker, tmp_path):
    file = tmp_path / "small.npz"
    small.save(file)
    told: list[str] = []
    screen = Screen(small, file, told.append)
    bound = small.bounds[0]
    trial = screen.walk(worker, "numpy", bound, best=np.inf)
    assert trial.error(bound) <= bound.error and trial.seconds > 0 and told
    assert screen.walk(worker, "abacus", bound, best=np.inf) is None
    assert "abacus" in screen.refusals[OURS, "abacus"]


def test_a_dead_process_is_refused(worker):
    worker.close()
    with pytest.raises(Refused, match="died"):
        worker.ask("variants", job="none.npz")


def test_what_is_not_installed_is_named(tmp_path):
    (tmp_path / "empty").mkdir()
    tools, missing = found(tmp_path)
    assert tools[0].name == OURS
    assert "scipy" in [tool.name for tool in tools]  # in every environment of this project
    assert not {tool.name for tool in tools} & set(missing)


def test_a_section_replaces_the_one_of_its_name(tmp_path, monkeypatch):
    monkeypatch.setattr(table, "RESULTS", tmp_path / "RESULTS.md")
    for name, text in (("J1", "first of J1\n"), ("J2", "kept\n"), ("J1", r"new \1" + "\n")):
        table.write(name, text)
    written = (tmp_path / "RESULTS.md").read_text()
    assert "first of J1" not in written and written.count("kept") == 1 and written.count(r"new \1") == 1
    assert written.index("new") < written.index("kept")


# -- proofs --------------------------------------------------------------------------------------------------


def test_a_table_of_proofs_has_a_row_per_number_of_digits():
    job = proofs.Points("", proofs.LOTKA, Fraction(1), (5, 20), {20: "somebody 1 s"}, more=(40,))
    head, line, first, second = proofs._points("P1", job, False, None)
    assert head.startswith("| digits | proven s |") and set(line) <= set("|- ")
    assert first.startswith("| 5 |") and second.startswith("| 20 |") and second.endswith("| somebody 1 s |")
    assert float(second.split("|")[6]) < 1e-20
    assert len(list(proofs._points("P1", job, True, None))) == 5


def test_a_table_of_networks_has_a_row_per_scheme(tmp_path):
    rng = np.random.default_rng(0)
    network = Network(3, [dense(rng.normal(size=(4, 3))), Sigmoid(), dense(rng.normal(size=(2, 4)))])
    save(network, tmp_path / "small.json")
    np.savez(tmp_path / "images.npz", images=rng.normal(size=(2, 3)))
    job = proofs.Image("", "small.json", "images.npz", (("sequential", 20), ("homotopy", 12)))
    _, _, *rows = proofs._images(job, tmp_path)
    assert [row.split("|")[1].strip() for row in rows] == ["sequential", "homotopy"]
    assert all(row.endswith("| yes |") for row in rows)
    assert "needs none.onnx" in list(proofs._images(replace(job, network="none.onnx"), tmp_path))[2]


def test_a_sampled_width_is_that_of_the_closed_form():
    true = 0.02 * (abs(np.cos(100)) + abs(np.sin(100)))  # a square, turned
    assert_allclose(proofs._sampled(proofs.BOXES["P6"], proofs.ROTATION), true, rtol=1e-9)


def test_plain_intervals_contain_the_images_and_are_wider_than_the_proof():
    """x' = x: the true width is 2 r e; a rotation that plain intervals do not see makes theirs grow by e."""
    x, y = sympy.symbols("x y")
    box = [flint.arb(1, 1e-3)]
    (width,) = plain.flow_widths(gpac.PIVP({x: x}, {x: 1}), box, Fraction(1), 16)
    assert_allclose(width, 2e-3 * np.e, rtol=1e-6)
    turned = plain.flow_widths(gpac.PIVP({x: -y, y: x}, {x: 1, y: 0}), [*box, flint.arb(0, 1e-3)], Fraction(2), 64)
    assert_allclose(turned, 2e-3 * np.exp(2), rtol=0.02)


def test_widths_of_a_network_by_plain_intervals_and_by_the_mean_value():
    """tanh(x) - tanh(x) / 2 around 0: 1 + 1/2 forward, 1 - 1/2 by the slope."""
    network = Network(1, [dense([[1.0], [1.0]]), Tanh(), dense([[1.0, -0.5]])])
    assert_allclose(plain.forward_widths(network, [0.0], 1e-4), 3e-4, rtol=1e-3)
    assert_allclose(plain.mean_value_widths(network, [0.0], 1e-4), 1e-4, rtol=1e-3)


def test_networks_that_are_not_there_are_told(tmp_path):
    rows = list(network_boxes.rows(tmp_path))
    assert len(rows) == 6 and all("not measured" in row[1] and len(row) == len(network_boxes.COLUMNS) for row in rows)


def test_mpmath_as_a_peer_agrees_with_the_proof():
    proof = gpac.prove(proofs.LOTKA, 1, digits=25)
    answer = proofs._peer("mpmath", 20, None, proof)
    assert float(answer.split("off by ")[1].rstrip(")")) < 1e-17


def test_quoted_figures_belong_to_rows():
    assert all(set(job.quoted) <= set(job.digits) for job in proofs.POINTS.values())


# -- on a device ---------------------------------------------------------------------------------------------


def test_multiply_adds_are_counted_by_hand():
    """y' = y^2 to order 3: products of 1 + 2 + 3 + 4 terms, a product by 1/k at orders 1 to 3, Horner's 2 * 3 - 1."""
    y = sympy.Symbol("y")
    circuit = gpac.PIVP({y: y**2}, {y: 1}).to_circuit()
    assert count.multiply_adds(recurrences(circuit), 3) == 10 + 3 + 5


def test_a_missing_device_is_said():
    if importlib.util.find_spec("cupy") and _devices():
        pytest.skip("there is a device")
    here = Path(__file__).parent
    command, path = [sys.executable, "-m", "benchmarks.gpu"], os.pathsep.join([str(here), str(here.parent)])
    said = subprocess.run(
        command, cwd=here, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, check=False
    )
    assert said.returncode == 1
    assert "expected a CUDA device and CuPy to measure, found none" in said.stderr


def _devices() -> int:
    import cupy

    try:
        return cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError:
        return 0


@pytest.mark.parametrize("what", ["benchmarks", "benchmarks.gpu"])
def test_the_commands_start_in_their_folder(what):
    """Folders of tests are named as the packages; the packages must be found first."""
    tests = Path(__file__).parent
    environment = os.environ | {"PYTHONPATH": ".."}
    command = [sys.executable, "-m", what, "--help"]
    done = subprocess.run(command, cwd=tests, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and "usage" in done.stdout, done.stderr
    makefile = (tests.parent / "Makefile").read_text()
    assert "cd tests && PYTHONPATH=.. " in makefile
