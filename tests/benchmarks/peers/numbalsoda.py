"""numbalsoda: compiled DOP853 and LSODA, a trajectory at a time in a Numba loop."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version

import numba
import numbalsoda
import numpy as np

from ..jobs import BETA, RHO, SIGMA
from ..worker import Task

NAME = "numbalsoda"
VERSION = version("numbalsoda")
SOLVERS = {"dop853": (numbalsoda.dop853, 2.3e-14), "lsoda": (numbalsoda.lsoda, 1e-13)}
"""Method, and the smallest tolerance that it takes."""
_loops: dict = {}


def variants(job: Task) -> list[str]:
    """Both methods on small systems; a network's matrices would become scalar loops."""
    return list(SOLVERS) if job.name in ("J1", "J1W", "J2") else []


def prepare(job: Task, variant: str, tol: float) -> Callable[[], np.ndarray]:
    """The right side as a C function, the loop over trajectories compiled by Numba."""
    method, least = SOLVERS[variant]
    if (job.kind, variant) not in _loops:
        _loops[job.kind, variant] = _loop(_right_side(job), method)
    loop, start = _loops[job.kind, variant], job["start"]

    def run() -> np.ndarray:
        ends, reached = loop(start, job.t, max(tol, least))
        if not reached:
            raise ArithmeticError("the end was not reached")
        return ends

    return run


def _loop(right: Callable, method: Callable) -> Callable:
    address = right.address

    @numba.njit
    def loop(starts: np.ndarray, t: float, tol: float) -> tuple:
        ends, reached = np.empty_like(starts), True
        times = np.array([0.0, t])
        for i in range(len(starts)):
            path, fine = method(address, starts[i], times, rtol=tol, atol=tol)
            ends[i] = path[-1]
            reached = reached and fine
        return ends, reached

    return loop


def _right_side(job: Task) -> Callable:
    if job.kind == "lorenz":

        @numba.cfunc(numbalsoda.lsoda_sig)
        def lorenz(t, y, dy, p):
            dy[0] = SIGMA * (y[1] - y[0])
            dy[1] = y[0] * (RHO - y[2]) - y[1]
            dy[2] = y[0] * y[1] - BETA * y[2]

        return lorenz
    a1, b, a2 = job["a1"], job["b"], job["a2"]

    @numba.cfunc(numbalsoda.lsoda_sig)
    def flow(t, h, dh, p):
        dh[0] = dh[1] = 0.0
        for i in range(16):
            u = np.tanh(a1[i, 0] * h[0] + a1[i, 1] * h[1] + b[i])
            dh[0] += a2[0, i] * u
            dh[1] += a2[1, i] * u

    return flow
