"""The large jobs on a CUDA device: how near to its peak, and how far ahead of the processor and of the peers.

    cd tests && PYTHONPATH=.. python -m benchmarks.gpu [--small] [--write FILE]

One process, one device, some minutes. J1 with 10^7 trajectories, J2 with 10^6, the MNIST network with 10^4
images (noise on the 20 that are there). Multiply-adds are those of `count.py` times the steps taken; the peak is
that of fused multiply-adds in double precision as measured here, matrix units left out. The processor runs a part
of the same batch on all its cores; peers that see the device run in this process, shared step or `vmap`. Errors
are against tol 1e-15 on the processor, over 64 of the trajectories.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

import gpac
from compile import homotopy, load
from gpac.solver.lowering import recurrences
from gpac.solver.solution import host

from . import jobs, ours
from .count import multiply_adds
from .worker import Task

TOL = 1e-12
CORES = len(os.sched_getaffinity(0))
JUDGED = 64
PEAK = r"""
extern "C" __global__ void peak(double* x, int rounds) {
    double a[8];
    for (int i = 0; i < 8; ++i) a[i] = threadIdx.x + i;
    for (int r = 0; r < rounds; ++r)
        for (int i = 0; i < 8; ++i) a[i] = fma(a[i], 0.999999, 1e-6);
    for (int i = 1; i < 8; ++i) a[0] += a[i];
    x[blockIdx.x * blockDim.x + threadIdx.x] = a[0];
}
"""


@dataclass(frozen=True, eq=False)
class Large:
    """A job of many trajectories: the system, its argument's name, and rows (B, n) on the host."""

    name: str
    system: gpac.PIVP | gpac.Circuit
    given: str
    rows: np.ndarray
    t: float
    on_processor: int
    peers: Callable[[np.ndarray], Task]

    def solve(self, rows: Any, tol: float, **more: Any) -> Any:
        """`gpac.solve` of some of the rows."""
        return gpac.solve(self.system, t=self.t, tol=tol, **{self.given: rows}, **more).check()

    def work(self, order: int) -> int:
        """Multiply-adds of a step."""
        circuit = self.system if isinstance(self.system, gpac.Circuit) else self.system.to_circuit(free_start=True)
        return multiply_adds(recurrences(circuit, tuple(circuit.outputs.values())), order)


def large_jobs(small: bool) -> Iterator[Large | str]:
    """The three jobs, a thousandth of their size with `small`; a sentence where one cannot be run."""
    rng, part = np.random.default_rng(1), 1000 if small else 1
    starts = 1.0 + rng.uniform(-0.5, 0.5, (10**7 // part, 3))
    lorenz = ours.lorenz(), "initial", starts, 5.0, 2**17 // part
    yield Large("J1", *lorenz, lambda x: Task("J1", "lorenz", 5.0, {"start": x}))
    arrays = jobs.neural_ode()
    starts = rng.uniform(-1, 1, (10**6 // part, 2))
    flow = ours.neural_ode_circuit(arrays), "inputs", starts, 1.0, 2**17 // part
    yield Large("J2", *flow, lambda x: Task("J2", "neural ode", 1.0, arrays | {"start": x}))
    file, images = jobs.NETWORKS / "mnist_sigmoid_6x200.onnx", jobs.NETWORKS / "mnist_20_images.npz"
    if not (file.exists() and images.exists()):
        yield f"MNIST needs {file.name} and {images.name} in {jobs.NETWORKS}, which are not there"
        return
    from .mnist import as_tanh

    network = load(file)
    with np.load(images) as stored:
        base = np.asarray(stored["images"], dtype=float).reshape(-1, network.size)
    rows = np.resize(base, (10**4 // part, network.size))
    rows = np.clip(rows + rng.uniform(-0.02, 0.02, rows.shape), base.min(), base.max())
    images = homotopy(network), "inputs", rows, 1.0, min(64, len(rows))
    yield Large("MNIST", *images, lambda x: Task("MNIST", "homotopy", 1.0, as_tanh(network, x)))


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    job: str
    what: str
    batch: int
    first: float
    seconds: float
    error: float
    of_peak: float | None = None

    @property
    def rate(self) -> float:
        """Trajectories per second."""
        return self.batch / self.seconds


def measure(job: Large, peak: float, repeats: int) -> list[Row]:
    """The device, the processor and the peers on one job."""
    import cupy

    judged = np.linspace(0, job.on_processor - 1, JUDGED).astype(int)  # some of them twice in a small batch
    right = job.solve(job.rows[judged], 1e-15, backend="compiled").outputs
    scale = np.maximum(1.0, np.abs(right).max(axis=1))

    def row(what: str, run: Callable[[], Any], done: bool = False) -> Row:
        first, seconds, solution = timed(run, repeats)
        steps, order = float(solution.steps.sum()), round(float(solution.orders.mean()))
        error = float((np.abs(host(solution.outputs)[judged] - right).max(axis=1) / scale).max())
        share = steps * job.work(order) / seconds / peak if done else None
        return Row(job.name, f"{what}: {solution.engine}", len(solution.outputs), first, seconds, error, share)

    def on_device(method: str) -> Any:
        solution = job.solve(there, TOL, method=method)
        cupy.cuda.Device().synchronize()
        return solution

    there, part = cupy.asarray(job.rows), job.rows[: job.on_processor]
    rows = [row(f"device, method={m!r}", lambda m=m: on_device(m), done=True) for m in ("taylor", "auto")]
    rows.append(row(f"processor, {CORES} cores", lambda: job.solve(part, TOL, backend="compiled")))
    for tool, variant in (("torchdiffeq", "dopri8 shared step"), ("diffrax", "dopri8 vmap")):
        rows += peer(job, tool, variant, right, scale, judged)
    return rows


def peer(job: Large, tool: str, variant: str, right: np.ndarray, scale: np.ndarray, judged: np.ndarray) -> list[Row]:
    """A peer on the device, on a tenth of the batch: none where it is not installed or sees no device."""
    reason = refused(tool)
    if reason:
        print(f"{tool}: {reason}")
        return []
    state = ", state z" if job.name == "MNIST" and tool == "diffrax" else " state z" if job.name == "MNIST" else ""
    part = job.rows[:: 10 if len(job.rows) > 10**4 else 1]
    try:
        run = import_module(f"benchmarks.peers.{tool}").prepare(job.peers(part), f"{variant}{state}", TOL)
        first, seconds, answer = timed(run, 1)
        picked = import_module(f"benchmarks.peers.{tool}").prepare(
            job.peers(job.rows[judged]), f"{variant}{state}", TOL
        )()
    except Exception as error:  # a peer may run out of memory or steps: that is a finding, not our failure
        print(f"{tool} on {job.name}: {type(error).__name__}: {str(error)[:200]}")
        return []
    off = float((np.abs(picked - right).max(axis=1) / scale).max())
    return [Row(job.name, f"{tool}, {variant}", len(answer), first, seconds, off)]


def refused(tool: str) -> str:
    """Why a peer cannot run on the device; makes the device its default."""
    if find_spec(tool) is None:
        return "not installed"
    if tool == "torchdiffeq":
        import torch

        if not torch.cuda.is_available():
            return "its PyTorch sees no device"
        torch.set_default_device("cuda")
        return ""
    import jax

    return "" if jax.default_backend() == "gpu" else "its JAX sees no device"


def timed(run: Callable[[], Any], repeats: int) -> tuple[float, float, Any]:
    """Seconds of the first call, median of the next ones, and the last answer."""
    times, answer = [], None
    for _ in range(repeats + 1):
        since = time.perf_counter()
        answer = run()
        times.append(time.perf_counter() - since)
    return times[0], statistics.median(times[1:]), answer


def measured_peak() -> float:
    """Multiply-adds per second in double precision, eight independent chains a thread."""
    import cupy

    kernel = cupy.RawKernel(PEAK, "peak")
    blocks, threads, rounds = 8 * cupy.cuda.Device().attributes["MultiProcessorCount"], 256, 20_000
    x = cupy.zeros(blocks * threads)

    def run() -> None:
        kernel((blocks,), (threads,), (x, np.int32(rounds)))
        cupy.cuda.Device().synchronize()

    return blocks * threads * rounds * 8 / timed(run, 5)[1]


def table(rows: list[Row], device: str, peak: float) -> str:
    """Markdown, a section for the device."""
    here = {r.job: r.rate for r in reversed(rows) if r.of_peak is not None}
    lines = [f"## Large jobs on {device}", "", f"tol {TOL:g}; peak {peak / 1e12:.1f} T multiply-adds/s measured; "]
    lines[-1] += f"processor: {platform.processor() or platform.machine()}, {CORES} cores"
    lines += ["", "| job | what | batch | first s | s | trajectories/s | error | of peak | the device's rate over it |"]
    lines += ["| --- " * 9 + "|"]
    for r in rows:
        share = "" if r.of_peak is None else f"{100 * r.of_peak:.1f} %"
        lines.append(
            f"| {r.job} | {r.what} | {r.batch} | {r.first:.2f} | {r.seconds:.3f} | {r.rate:.3g} | {r.error:.1e} "
            f"| {share} | {here[r.job] / r.rate:.1f} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="a thousandth of the trajectories")
    parser.add_argument("--write", type=Path, help="a file to which the table is appended")
    asked = parser.parse_args()
    try:
        import cupy

        name = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.runtime.getDevice())["name"].decode()
    except Exception as error:
        sys.exit(f"expected a CUDA device and CuPy to measure, found none ({type(error).__name__}): see the extra gpu")
    rows, peak = [], measured_peak()
    for job in large_jobs(asked.small):
        if isinstance(job, str):
            print(job)
            continue
        rows += measure(job, peak, 3)
        print(table([r for r in rows if r.job == job.name], name, peak), flush=True)
    if asked.write:
        with asked.write.open("a") as file:
            file.write("\n" + table(rows, name, peak))


if __name__ == "__main__":
    main()
