"""Derivatives of a program's outputs with respect to its inputs and start values, for batches.

The tangent circuit is solved for unit directions. Several directions share one run of the system; the batch
is repeated until every entry of the inputs had its turn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from ..arguments import System, array_module, as_runnable, batch_inputs, end_times
from ..circuit import Circuit
from ..errors import GpacError, ShapeError
from ..pair import each_part
from ..pivp import PIVP
from ..schedule import Schedule
from ..transform.tangent import derivative_name, tangent
from .settings import seconds_left
from .solution import Solution, Status

WIDTH = 16384
"""Entries of all units that the directions of one run may have together, about."""

Array = Any
Solve = Callable[[Circuit | Schedule, Any, dict[str, Array] | None], Solution]


class Turns:
    """Calls of `solve`, two at most, that are one to the caller: one clock, one progress, one Ctrl-C for all."""

    def __init__(self, call: Callable[..., Solution], deadline: float, told: Callable[[float], None] | None) -> None:
        self.call, self.deadline, self.told, self.done = call, deadline, told, 0

    def solve(self, runnable: Circuit | Schedule, t: Any, inputs: dict[str, Array] | None) -> Solution:
        """The next; no time is left to it after one that was interrupted."""
        solution = self.call(runnable, t, inputs, max_seconds=seconds_left(self.deadline), progress=self.tell)
        if (np.ravel(solution.status) == Status.STOPPED).any():
            self.deadline, self.told = -np.inf, None  # whoever is told might stop the run once more
        self.done += 1
        return solution

    def tell(self, fraction: float) -> None:
        """Pass on how much of both is done."""
        if self.told:
            self.told(min(1.0, (self.done + fraction) / 2))


def sensitivities(
    system: System,
    t: Any,
    inputs: Any,
    initial: Any,
    names: bool | str | Iterable[str],
    solve: Solve,
    tol: float,
    backend: str = "auto",
    precision: str = "double",
) -> tuple[Solution, dict[str, Array]]:
    """Solve a system and its variational equations.

    Parameters
    ----------
    system, t, inputs, initial, tol, backend, precision
        As in `gpac.solve`. Derivatives are taken at fixed end times.
    names : True, or names of inputs
        What to differentiate by; True means all inputs. The start values of a PIVP are its input "initial"; left
        out, they are its own, rounded to doubles.
    solve : callable
        `solve(runnable, t, inputs)`, inputs by name.

    Returns
    -------
    solution : Solution
        Of the system alone.
    jacobian : dict from input name to float64, (B, m, n), or (m, n) for a single input
        `jacobian[name][b, i, j]`: derivative of output i, counted as in `solution.outputs`, by entry j of the
        input. NaN where the run of the derivatives stopped before the end time.

    Raises
    ------
    GpacError
        If the system has no inputs.
    ShapeError
        If a name is not one of them.

    Notes
    -----
    Where the derivatives need no integrators of their own, as in a network's homotopy, and few directions are
    asked for, one run gives everything; else the system is solved once more alone, so that the derivatives'
    size has no influence on the solution's accuracy. Integrators of derivatives are states like others: errors
    are controlled relative to the largest of all.
    """
    runnable, inputs = _with_free_start(system, inputs, initial)
    names = _checked(runnable, names)
    xp = array_module(inputs, backend)
    arrays, batch = batch_inputs(runnable, inputs, xp, precision)
    single = batch is None and np.ndim(t) != 1
    count = (1 if batch is None else batch) if batch is not None or single else len(t)
    arrays = {n: each_part(lambda p: xp.broadcast_to(p, (len(p), count)), a) for n, a in arrays.items()}
    ends = t if isinstance(runnable, Schedule) else end_times(runnable, t, arrays, count, tol, xp, precision)

    sizes = {name: runnable.inputs[name] for name in names}
    n, m = sum(sizes.values()), sum(w.size for w in runnable.outputs.values())
    runs = -(-n // min(n, max(1, WIDTH // _width(runnable))))
    labels = [f"d{k + 1}" for k in range(-(-n // runs))]
    varied = tangent(runnable, names, labels)
    given = {n: each_part(partial(xp.repeat, repeats=runs, axis=0), a.T) for n, a in arrays.items()}
    given |= _directions(varied, sizes, labels, runs, count, xp)
    alone = None if runs == 1 and _has_states_of(varied, runnable) else solve(runnable, t, inputs)
    times = ends if isinstance(runnable, Schedule) else each_part(partial(xp.repeat, repeats=runs), ends)
    run = solve(varied, times, given)

    found = run.outputs.reshape(count, runs, 1 + len(labels), m)[:, :, 1:]
    found = found.reshape(count, runs * len(labels), m)[:, :n].transpose(0, 2, 1)
    found = found[0] if single else found
    places = np.cumsum([0, *sizes.values()])
    jacobian = {name: found[..., places[k] : places[k + 1]] for k, name in enumerate(names)}
    return alone or _alone(run, varied, runnable, single), jacobian


def _with_free_start(system: System, inputs: Any, initial: Any) -> tuple[Circuit | Schedule, Any]:
    """A circuit or schedule and its inputs; the start values of a PIVP become an input."""
    if not isinstance(system, PIVP):
        return as_runnable(system, initial), inputs
    if inputs is not None:
        raise GpacError("a PIVP takes initial=, not inputs=")
    start = np.array(system.initial, dtype=object) if initial is None else initial
    return as_runnable(system, start), {"initial": start}


def _checked(runnable: Circuit | Schedule, names: bool | str | Iterable[str]) -> tuple[str, ...]:
    if not runnable.inputs:
        raise GpacError("the system has no inputs to differentiate by; give it some with gpac.inputs")
    if isinstance(names, (bool, np.bool_)) and names:
        return tuple(runnable.inputs)
    if not isinstance(names, Iterable) or not names:
        raise GpacError(f"expected names of inputs to differentiate by, or True for all, got {names!r}")
    wanted = (names,) if isinstance(names, str) else tuple(dict.fromkeys(names))
    unknown = [name for name in wanted if name not in runnable.inputs]
    if unknown:
        raise ShapeError(f"cannot differentiate by {unknown[0]!r}; the system has inputs {sorted(runnable.inputs)}")
    return wanted


def _phases(runnable: Circuit | Schedule) -> list[Circuit]:
    return [p.circuit for p in runnable.phases] if isinstance(runnable, Schedule) else [runnable]


def _width(runnable: Circuit | Schedule) -> int:
    """Entries of all units of the widest circuit."""
    return max(sum(w.size for w in circuit.wires) for circuit in _phases(runnable))


def _directions(
    varied: Circuit | Schedule, sizes: dict[str, int], labels: list[str], runs: int, count: int, xp: Any
) -> dict[str, Array]:
    """Unit directions (count * runs, size) for every input of directions that the tangent reads."""
    n = sum(sizes.values())
    units = np.eye(runs * len(labels), n).reshape(runs, len(labels), n)
    found, at = {}, 0
    for name, size in sizes.items():
        for k, label in enumerate(labels):
            if derivative_name(label, name) in varied.inputs:
                rows = np.tile(units[:, k, at : at + size], (count, 1))
                found[derivative_name(label, name)] = xp.asarray(rows)
        at += size
    return found


def _has_states_of(varied: Circuit | Schedule, runnable: Circuit | Schedule) -> bool:
    """Whether the derivatives have no integrators of their own, and the states are one circuit's."""
    pairs = zip(_phases(varied), _phases(runnable), strict=True)
    return all(set(a.integrals) == set(b.integrals) for a, b in pairs)


def _alone(run: Solution, varied: Circuit | Schedule, runnable: Circuit | Schedule, single: bool) -> Solution:
    """The solution of the system, read off the run that also has its derivatives."""
    m = sum(w.size for w in runnable.outputs.values())
    places, at = {}, 0
    for wire in _phases(varied)[-1].integrals:
        places[wire] = range(at, at + wire.size)
        at += wire.size
    states = [i for wire in _phases(runnable)[-1].integrals for i in places[wire]]
    figures = {name: getattr(run, name) for name in ("t", "steps", "orders", "length", "space", "status")}
    figures |= {"outputs": run.outputs[:, :m], "states": run.states[:, states]}
    if run.outputs_low is not None and run.states_low is not None:
        figures |= {"outputs_low": run.outputs_low[:, :m], "states_low": run.states_low[:, states], "t_low": run.t_low}
    named = {name: run.named[name] for name in runnable.outputs}
    if single:
        figures = {name: a[0] for name, a in figures.items()}
        named = {name: a[0] for name, a in named.items()}
    dense = run.dense and replace(run.dense, coefficients=run.dense.coefficients[..., :m])
    return replace(run, named=named, dense=dense, **figures)
