"""What bounds cost after the fact: `gpac.certify` as a multiple of the solve, and how far bounds are above errors."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

import gpac
from compile import homotopy

from .clock import fastest
from .jobs import JOBS, Job
from .ours import lorenz, neural_ode_circuit, tanh_network
from .table import machine

NAME = "certify"
BATCHES = ("J1", "J2", "J3")
TOL = 1e-14
ROUNDS = 12
JUDGED = 256
"""Trajectories that are solved with 28 digits."""


def table(say: Callable[[str], None]) -> str:
    """The section as Markdown; one thread does it all."""
    lines = [
        f"## {NAME}: all trajectories of J1, J2 and J3, bounds after the fact",
        "",
        f"{machine()}; gpac {gpac.__version__}; process time, one thread; tol={TOL:g}.",
        "",
        "| job | certified | solve s | certify s | multiple | largest bound | bound over error: median, largest |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    with _one_thread():
        for name in BATCHES:
            row = _row(name, JOBS[name]())
            say(row)
            lines.append(row)
    return "\n".join(lines) + "\n"


@contextmanager
def _one_thread() -> Iterator[None]:
    """Leave this process one processor for a while, for which engines take one thread."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _row(name: str, job: Job) -> str:
    system, inputs = _posed(job)
    solving, solution = fastest(lambda: gpac.solve(system, t=job.t, tol=TOL, **inputs).check(), ROUNDS)
    certifying, proven = fastest(lambda: gpac.certify(solution), ROUNDS)
    some = {n: x[:JUDGED] for n, x in inputs.items()}
    truth = gpac.solve(system, t=job.t, tol=1e-28, precision="double-double", **some).check()
    error = np.abs((solution.outputs[:JUDGED] - truth.outputs) - truth.outputs_low)
    assert (error <= proven.error[:JUDGED]).all(), f"{name}: a bound is below the error"
    over = proven.worst[:JUDGED] / np.maximum(error.max(axis=1), 1e-30)
    cells = [name, f"{proven.certified.sum()} of {job.batch}", f"{solving:.3g}", f"{certifying:.3g}"]
    cells += [f"{certifying / solving:.1f}", f"{proven.worst.max():.2g}", f"{np.median(over):.0f}, {over.max():.0f}"]
    return "| " + " | ".join(cells) + " |"


def _posed(job: Job) -> tuple[Any, dict[str, np.ndarray]]:
    """System and inputs."""
    if job.kind == "lorenz":
        return lorenz(), {"initial": job.arrays["start"]}
    if job.kind == "neural ode":
        return neural_ode_circuit(job.arrays), {"inputs": job.arrays["start"]}
    return homotopy(tanh_network(job.arrays)), {"inputs": job.arrays["x"]}
