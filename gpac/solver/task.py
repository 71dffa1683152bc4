"""What the solver asks of an engine and what an engine answers; every engine speaks these words.

An engine advances trajectories of one circuit from where they are to where they shall end. It knows nothing
of inputs by name, grids, events or schedules: those are built on it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from ..circuit import Circuit
from ..wire import Wire

Array = Any

EPS = float(np.finfo(float).eps)


@dataclass(frozen=True)
class Settings:
    """What is asked of every step: see `gpac.solve`.

    `watch` are the wires to be read at the end; with `keep`, their polynomials on every step are kept.
    `precision` is "double" or "double-double": with the second, every number of inputs, states, times, readings
    and polynomials comes and goes in two parts, as a `gpac.pair.Pair` in place of an array.
    """

    tol: float
    atol: float
    watch: tuple[Wire, ...]
    keep: bool = False
    length: bool = False
    precision: str = "double"

    @property
    def floor(self) -> float:
        """States below this size count as if they had it; errors of smaller ones would be no numbers."""
        return max(self.atol / self.tol, 1e-260 if self.precision == "double-double" else 1e-290)


@dataclass(frozen=True)
class Batch:
    """Trajectories to be advanced.

    Attributes
    ----------
    inputs : mapping from name to (size, B) array
    state : (dim, B)
        Every integrator, side by side in the order of `circuit.integrals`.
    t, t_end : (B,)
        Time now and time wanted, before or after it.
    """

    inputs: dict[str, Array]
    state: Array
    t: Array
    t_end: Array

    def part(self, some: Any) -> Batch:
        """The trajectories chosen by a slice or an index array."""
        inputs = {name: a[:, some] for name, a in self.inputs.items()}
        return Batch(inputs, self.state[:, some], self.t[some], self.t_end[some])


@dataclass(frozen=True)
class Limits:
    """When an engine stops short: steps per trajectory, and a clock; and whom it tells how many have ended.

    `deadline` is compared with `time.monotonic()`; `threads` is how many an engine may use, None for its own choice.
    """

    max_steps: int
    deadline: float = float("inf")
    threads: int | None = None
    tell: Callable[[int], None] = lambda ended: None


@dataclass(frozen=True)
class Pieces:
    """Polynomials of the watched wires on the steps taken, in any order of trajectories, each in order of time.

    Attributes
    ----------
    ids : int64, (rows,)
        Trajectory of each step.
    begin, step : float64, (rows,)
        Where it starts, and how far it goes (negative backward in time).
    unit : float64, (rows,)
        Unit of time of its coefficients, near its step: in any other they might be no numbers.
    coefficients : float64, (rows, K + 1, m)
        In powers of (t - begin) / unit.
    """

    ids: np.ndarray
    begin: np.ndarray
    step: np.ndarray
    unit: np.ndarray
    coefficients: np.ndarray

    def where(self, some: np.ndarray) -> Pieces:
        """Steps chosen by a mask or an index array."""
        return Pieces(self.ids[some], self.begin[some], self.step[some], self.unit[some], self.coefficients[some])

    def in_time(self) -> np.ndarray:
        """The coefficients in powers of (t - begin)."""
        with np.errstate(all="ignore"):
            powers = self.unit[:, None] ** np.arange(self.coefficients.shape[1])
            return self.coefficients / powers[:, :, None]


@dataclass(frozen=True)
class Advance:
    """Where the trajectories of a batch came to.

    Attributes
    ----------
    code : int64, (B,)
        Index into `gpac.solver.solution.CODES`; UNDERFLOW for all that could not move on, `fates.py` says why.
    t : (B,)
    state : (dim, B)
    readings : (m, B)
        The watched wires there, side by side; only where the end was reached.
    steps, orders : (B,)
        Steps that counted, and the sum of their orders.
    length, space : (B,)
        Length of the curve (NaN where not asked), and largest state at a step.
    pieces : Pieces or None
    found : gpac.solver.findings.Found or None
        Events and extremes, where they were looked for.
    """

    code: Array
    t: Array
    state: Array
    readings: Array
    steps: Array
    orders: Array
    length: Array
    space: Array
    pieces: Pieces | None
    found: Any = None


class Engine(Protocol):
    """A way to advance trajectories of one circuit.

    `name` says in a few words what it is; `piece` is how many trajectories it holds at a time.
    """

    name: str
    piece: int

    def __init__(self, circuit: Circuit, settings: Settings, xp: Any) -> None: ...

    def advance(self, batch: Batch, limits: Limits) -> Advance:
        """Advance every trajectory of the batch as far as the limits allow."""
        ...
