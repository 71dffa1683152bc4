"""heyoka: Taylor series compiled by LLVM, several trajectories in a SIMD batch, one integrator reused in a loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import heyoka as hy
import numpy as np

from ..jobs import BETA, RHO, SIGMA
from ..worker import Task

NAME = "heyoka"
VERSION = hy.__version__
MANTISSA = 128  # bits
hy.set_nthreads(1)


def variants(job: Task) -> list[str]:
    """Batch sizes around the SIMD width; for networks compact code, since the other takes a minute to compile.

    MNIST in compact code was measured once as pairs (u, d): 26 s to compile, 11 s to run, error 2e-7 at tol 1e-12.
    """
    if job.name == "J1DD":
        return ["128-bit mantissa", *(["128-bit float"] if hasattr(hy, "real128") else [])]
    if job.kind == "lorenz":
        return [f"batch {size}" for size in (4, 8, 16, 32)]
    if job.kind == "neural ode":
        return [*(f"native tanh, batch {size}" for size in (4, 8, 16)), "polynomial, batch 8"]
    return [] if job.name == "MNIST" else [f"compact, batch {size}" for size in (4, 8, 16)]


def prepare(job: Task, variant: str, tol: float) -> Callable[[], np.ndarray]:
    """Build the expressions, compile the integrator, and loop over the batch."""
    if job.name == "J1DD":
        return _many_digits(job, variant, tol)
    batch = int(variant.split()[-1])
    if job.kind == "lorenz":
        return _looped(_lorenz(float), job["start"], None, batch, job.t, tol)
    if job.kind == "neural ode":
        if "native" in variant:
            return _looped(_neural_ode(job), job["start"], None, batch, job.t, tol)
        neurons = np.tanh(job["start"] @ job["a1"].T + job["b"])
        run = _looped(_neural_ode_polynomial(job), np.hstack([job["start"], neurons]), None, batch, job.t, tol)
        return lambda: run()[:, :2]
    equations = _homotopy(job)
    return _looped(equations, np.zeros((len(job["c"]), len(equations))), job["c"], batch, job.t, tol)


def _number(value: float) -> Any:
    return hy.expression(float(value))


def _dot(row: Sequence[float], x: Sequence[Any], offset: float | None = None) -> Any:
    terms = [_number(a) * v for a, v in zip(row, x, strict=True)]
    return hy.sum(terms if offset is None else [*terms, _number(offset)])


def _lorenz(number: Callable) -> list[tuple]:
    x, y, z = hy.make_vars("x", "y", "z")
    sigma, rho, beta = (hy.expression(number(v)) for v in (SIGMA, RHO, BETA))
    return [(x, sigma * (y - x)), (y, x * (rho - z) - y), (z, x * y - beta * z)]


def _neural_ode(job: Task) -> list[tuple]:
    h = hy.make_vars("h0", "h1")
    neurons = [hy.tanh(_dot(row, h, b)) for row, b in zip(job["a1"], job["b"], strict=True)]
    return [(v, _dot(row, neurons)) for v, row in zip(h, job["a2"], strict=True)]


def _neural_ode_polynomial(job: Task) -> list[tuple]:
    h, u = hy.make_vars("h0", "h1"), hy.make_vars(*(f"u{i}" for i in range(16)))
    slopes = [(1.0 - v * v) * _dot(row, u) for v, row in zip(u, job["a1"] @ job["a2"], strict=True)]
    return [*((v, _dot(row, u)) for v, row in zip(h, job["a2"], strict=True)), *zip(u, slopes, strict=True)]


def _homotopy(job: Task) -> list[tuple]:
    """u' = (1 - u^2) z'; z_1' = c is a parameter of each trajectory."""
    equations: list[tuple] = []
    dz: list[Any] = [hy.par[i] for i in range(job.widths[0])]
    rates: list[Any] = []
    for number, width in enumerate(job.widths):
        if number:
            weight, bias = job.layers[number - 1]
            dz = [_dot(row, rates, b) for row, b in zip(weight, bias, strict=True)]
        u = [hy.make_vars(f"u{number}_{i}") for i in range(width)]
        rates = [(1.0 - a * a) * b for a, b in zip(u, dz, strict=True)]
        equations += zip(u, rates, strict=True)
    return equations


def _looped(
    equations: list, starts: np.ndarray, parameters: np.ndarray | None, batch: int, t: float, tol: float
) -> Callable[[], np.ndarray]:
    count, width = starts.shape
    blocks = np.ascontiguousarray(starts.reshape(-1, batch, width).transpose(0, 2, 1))
    given, more = None, {}
    if parameters is not None:  # a network
        given = np.ascontiguousarray(parameters.reshape(len(blocks), batch, -1).transpose(0, 2, 1))
        more = {"pars": given[0].copy(), "compact_mode": True}
    integrator = hy.taylor_adaptive_batch(equations, blocks[0].copy(), tol=tol, **more)

    def run() -> np.ndarray:
        ends = np.empty_like(blocks)
        for k, block in enumerate(blocks):
            integrator.set_time(0.0)
            integrator.state[:] = block
            if given is not None:
                integrator.pars[:] = given[k]
            integrator.propagate_until(t)
            ends[k] = integrator.state
        return ends.transpose(0, 2, 1).reshape(count, width)

    return run


def _many_digits(job: Task, variant: str, tol: float) -> Callable[[], np.ndarray]:
    """One trajectory after the other: there are no batches beyond double precision."""
    if "mantissa" in variant:

        def number(value: float) -> Any:
            return hy.real(float(value), MANTISSA)

        kind = {"fp_type": hy.real, "prec": MANTISSA}
    else:
        number, kind = hy.real128, {"fp_type": hy.real128}
    starts = [np.array([number(v) for v in row]) for row in job["start"].tolist()]
    integrator = hy.taylor_adaptive(_lorenz(number), starts[0].copy(), tol=number(tol), compact_mode=True, **kind)
    zero, end = number(0.0), number(job.t)

    def run() -> np.ndarray:
        ends = np.empty((len(starts), 3, 2))
        for k, start in enumerate(starts):
            integrator.time = zero
            integrator.state[:] = start
            integrator.propagate_until(end)
            ends[k] = [(float(v), float(v - number(float(v)))) for v in integrator.state]
        return ends

    return run
