"""This project on the jobs: each system in the project's own form, one variant per back end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import sympy

import gpac
from compile import Network, Tanh, dense, homotopy, load
from gpac import functions as fn

from .jobs import BETA, RHO, SIGMA, layers
from .worker import Task

NAME = "gpac"
VERSION = gpac.__version__
BACKENDS = ("auto",)  # "numpy" and "compiled" can be raced too; `scaling.py` compares them


def lorenz() -> gpac.PIVP:
    """x' = sigma (y - x), y' = x (rho - z) - y, z' = x y - beta z."""
    x, y, z = sympy.symbols("x y z")
    return gpac.PIVP({x: SIGMA * (y - x), y: x * (RHO - z) - y, z: x * y - BETA * z}, {x: 1, y: 1, z: 1})


def neural_ode_circuit(arrays: Mapping[str, np.ndarray]) -> gpac.Circuit:
    """h' = a2 tanh(a1 h + b) from an input."""
    h = gpac.wire("h", 2)
    neurons = fn.tanh(gpac.linear([(arrays["a1"], h)], arrays["b"]))
    rate = gpac.linear([(arrays["a2"], neurons)])
    return gpac.Circuit({"h": gpac.integral(rate, initial=gpac.inputs("start", 2))})


def tanh_network(arrays: Mapping[str, np.ndarray]) -> Network:
    """The layers w1, b1, w2, ... with tanh between them."""
    dense_layers = [dense(arrays[f"w{k}"], arrays[f"b{k}"]) for k in range(1, layers(arrays) + 1)]
    mixed = [layer for one in dense_layers for layer in (one, Tanh())]
    return Network(arrays["w1"].shape[1], mixed[:-1])


def variants(job: Task) -> tuple[str, ...]:
    """Every back end on every job."""
    return BACKENDS


def prepare(job: Task, variant: str, tol: float) -> Callable[[], np.ndarray]:
    """`gpac.solve` of the whole batch."""
    if job.kind == "lorenz":
        system, given = lorenz(), {"initial": job["start"]}
        if job.name == "J1DD":
            return lambda: _both_parts(_solve(system, job.t, tol, variant, given | {"precision": "double-double"}))
        return lambda: _solve(system, job.t, tol, variant, given).outputs
    if job.kind == "neural ode":
        circuit, inputs = neural_ode_circuit(job.arrays), {"inputs": job["start"]}
        return lambda: _solve(circuit, job.t, tol, variant, inputs).outputs
    network = load(str(job["onnx"])) if "onnx" in job.arrays else tanh_network(job.arrays)
    program, inputs = homotopy(network), {"inputs": job["x"]}
    if job.name == "MNIST":
        return lambda: _solve(program, job.t, tol, variant, inputs).outputs
    neurons = _neurons(program, len(job.widths))
    return lambda: _solve(program, job.t, tol, variant, inputs).states[:, neurons]


def _solve(system: Any, t: float, tol: float, backend: str, given: dict) -> Any:
    return gpac.solve(system, t=t, tol=tol, backend=backend, **given).check()


def _both_parts(solution: gpac.Solution) -> np.ndarray:
    """Outputs as sums of two doubles, (B, m, 2)."""
    return np.stack([solution.outputs, solution.outputs_low], axis=-1)


def _neurons(program: gpac.Circuit, count: int) -> np.ndarray:
    """Where the neurons u1, u2, ... stand in the state."""
    at, places = 0, {}
    for wire in program.integrals:
        places[wire.name] = np.arange(at, at + wire.size)
        at += wire.size
    return np.concatenate([places[f"u{k}"] for k in range(1, count + 1)])
