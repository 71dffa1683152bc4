"""Cut a batch into pieces, run them, run schedules phase by phase, and gather what came out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..arguments import System, array_module, as_runnable, batch_inputs, end_times
from ..circuit import Circuit
from ..errors import GpacError, NumberError
from ..schedule import Schedule
from .results import REACHED, STOPPED, status_names
from .series import LANES, Series
from .solution import Dense, Solution, host
from .stepping import EPS, Run, Settings

CHUNK_BYTES = 64 * 2**20
"""Coefficients held at a time; larger batches go in pieces, with the same bits."""


def solve(
    system: System,
    t: Any = None,
    inputs: Any = None,
    *,
    initial: Any = None,
    tol: float = 1e-12,
    atol: float | None = None,
    dense: bool = False,
    max_steps: int = 100_000,
    backend: str = "auto",
    progress: Callable[[float], None] | None = None,
) -> Solution:
    """Integrate a system from 0 to t, for one input or a batch.

    Parameters
    ----------
    system : Circuit, Schedule or PIVP
    t : number or (B,), optional
        End time, positive. Left out, the program's own horizon is taken: a limit program runs until its
        bound says that `tol` is reached. A schedule always runs its phases.
    inputs : (n,) or (B, n) array, or a mapping from input name to such
        float64; NumPy or CuPy. Arrays with more axes are flattened row by row.
    initial : (n,) or (B, n) array, optional
        For a PIVP: start values in the order of `system.variables`, in place of its own.
    tol : float, between 1e-15 and 0.1
        Largest local error of a step, relative to the largest state.
    atol : float, default `tol`
        Local error that is always accepted. Unit: state.
    dense : bool
        Keep the Taylor polynomials of the outputs, for `solution.at(times)`.
    backend : "auto", "numpy" or "cupy"
    progress : callable, optional
        Called with the fraction of trajectories done.

    Returns
    -------
    Solution
        Trajectories that end early have their own `status`; their neighbours are not disturbed.

    Notes
    -----
    The error estimate is a heuristic: `gpac.prove` gives bounds. A trajectory's bits do not depend on the
    batch it is in. Ctrl-C returns what is done.

    >>> import gpac, sympy
    >>> y = sympy.Symbol("y")
    >>> round(float(gpac.solve(gpac.PIVP({y: y}, {y: 1}), t=1).outputs[0]), 12)
    2.718281828459
    """
    settings = _settings(tol, atol, max_steps, dense)
    runnable = as_runnable(system, initial)
    if initial is not None:
        if inputs is not None:
            raise GpacError("a PIVP takes initial=, not inputs= besides")
        inputs = {"initial": initial}
    xp = array_module(inputs, backend)
    arrays, batch = batch_inputs(runnable, inputs, xp)
    t_count = np.shape(t)[0] if np.ndim(t) == 1 else None
    if batch is None and t_count is not None:  # one system, many end times
        arrays = {name: xp.repeat(a, t_count, axis=1) for name, a in arrays.items()}
        batch = t_count
    count = 1 if batch is None else batch
    if isinstance(runnable, Schedule):
        if t is not None and (np.ndim(t) or t != runnable.duration):
            raise GpacError(f"a schedule runs its own phases for {runnable.duration} in all; leave t out (got {t!r})")
        parts = _run_schedule(runnable, arrays, count, settings, xp, progress)
    else:
        ends = end_times(runnable, t, arrays, count, settings.tol, xp)
        parts = _run_circuit(runnable, arrays, ends, settings, xp, progress)
    engine = f"Taylor series of order up to {settings.order} on {xp.__name__} arrays, {LANES} lanes a block"
    return _solution(runnable.outputs, parts, batch is None, engine, xp)


def _settings(tol: float, atol: float | None, max_steps: int, dense: bool) -> Settings:
    if not (isinstance(tol, (float, int)) and 4 * EPS <= tol <= 0.1):
        raise NumberError(
            f"tol must lie between {4 * EPS:.2g} (what float64 has) and 0.1, got {tol!r}; for more use gpac.prove"
        )
    atol = tol if atol is None else atol
    if not atol > 0:
        raise NumberError(f"atol must be positive, got {atol!r}")
    if max_steps < 1:
        raise NumberError(f"max_steps must be at least 1, got {max_steps!r}")
    return Settings(float(tol), float(atol), int(max_steps), bool(dense))


def _run_circuit(circuit: Circuit, inputs: dict, ends: Any, settings: Settings, xp: Any, progress: Any) -> dict:
    """Pieces of the batch one after the other; arrays (B, ...) by name."""
    series = Series(circuit, xp)
    block = 8 * LANES * (settings.order + 1) * (series.width + series.rate_width)
    piece = LANES * max(1, CHUNK_BYTES // max(1, block))
    batch = len(ends)
    done = 0

    def told(ended: int) -> None:
        nonlocal done
        done += ended
        if progress:
            progress(done / max(1, batch))

    parts: list = []
    interrupted = False  # after Ctrl-C the pieces left are only marked
    for low in range(0, batch, piece):
        some = slice(low, low + piece)
        run = Run(series, {n: a[:, some] for n, a in inputs.items()}, ends[some], settings)
        parts.append((run.go(told, interrupted), run.dense_output() if settings.dense else None))
        interrupted = bool((parts[-1][0].code == STOPPED).any())
    return _gathered(parts, circuit, settings, xp)


def _gathered(parts: list, circuit: Circuit, settings: Settings, xp: Any) -> dict:
    fields = ("code", "t", "states", "outputs", "steps", "orders", "length", "space")
    m = sum(w.size for w in circuit.outputs.values())
    if not parts:
        shapes = {"states": (0, circuit.dim), "outputs": (0, m)}
        none = Dense(np.zeros(1, dtype=int), np.zeros(0), np.zeros(0), np.zeros((0, settings.order + 1, m)))
        return {f: xp.zeros(shapes.get(f, (0,))) for f in fields} | {"dense": none if settings.dense else None}
    out = {f: xp.concatenate([getattr(r, f) for r, _ in parts]) for f in fields}
    out["dense"] = _stacked([d for _, d in parts]) if settings.dense else None
    return out


def _stacked(pieces: list[Dense]) -> Dense:
    """Polynomials of several batches as one."""
    counts = np.concatenate([np.diff(p.offsets) for p in pieces])
    return Dense(
        np.concatenate([[0], np.cumsum(counts)]),
        np.concatenate([p.begin for p in pieces]),
        np.concatenate([p.end for p in pieces]),
        np.concatenate([p.coefficients for p in pieces]),
    )


def _run_schedule(schedule: Schedule, inputs: dict, count: int, settings: Settings, xp: Any, progress: Any) -> dict:
    """Phase after phase; a trajectory that fails keeps the code and time of its failure."""
    values = dict(inputs)
    total: dict = {}
    alive = xp.arange(count)
    for number, phase in enumerate(schedule.phases):

        def told(fraction: float, number: int = number) -> None:
            if progress:
                progress((number + fraction) / len(schedule.phases))

        needed = {n: values[n][:, alive] for n in phase.circuit.inputs}
        ends = xp.full(len(alive), float(phase.duration))
        part = _run_circuit(phase.circuit, needed, ends, settings, xp, told)
        at = 0
        for name, wire in phase.circuit.outputs.items():
            values[name] = xp.full((wire.size, count), xp.nan)
            values[name][:, alive] = part["outputs"].T[at : at + wire.size]
            at += wire.size
        total = _after(total, part, alive, count, xp)
        alive = alive[part["code"] == REACHED]
    return total


def _after(total: dict, part: dict, alive: Any, count: int, xp: Any) -> dict:
    """Add one phase's figures to those of the phases before."""
    if not total:
        return part
    out = dict(total)
    for name in ("t", "steps", "orders", "length"):
        out[name] = total[name].copy()
        out[name][alive] += part[name]
    out["space"] = total["space"].copy()
    out["space"][alive] = xp.maximum(out["space"][alive], part["space"])
    out["code"] = total["code"].copy()
    out["code"][alive] = part["code"]
    for name in ("states", "outputs"):
        out[name] = xp.full((count, part[name].shape[1]), xp.nan)
        out[name][alive] = part[name]
    if part["dense"] is not None:
        later = total["t"].max() if count else 0.0
        out["dense"] = part["dense"].placed(host(alive), count, float(later))
    return out


def _solution(outputs: Mapping[str, Any], parts: dict, single: bool, engine: str, xp: Any) -> Solution:
    named, at = {}, 0
    for name, wire in outputs.items():
        named[name] = parts["outputs"][:, at : at + wire.size]
        at += wire.size
    figures = {n: parts[n] for n in ("outputs", "states", "t", "steps", "length", "space")}
    figures["orders"] = parts["orders"] / xp.maximum(parts["steps"], 1)
    status = status_names(parts["code"])
    if single:
        figures = {n: a[0] for n, a in figures.items()}
        named = {n: a[0] for n, a in named.items()}
        status = status[0]
    return Solution(named=named, status=status, engine=engine, dense=parts["dense"], **figures)
