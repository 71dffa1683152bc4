"""The result of a solve: outputs, and per trajectory how it went."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from typing import Any

import numpy as np

from ..arguments import reals
from ..circuit import Circuit
from ..errors import ShapeError, SolveError
from ..pair import Pair, as_pair, each_part, leading
from ..schedule import Schedule
from .task import Pieces

Array = Any


class Status(Enum):
    """How a trajectory ended; the value is a sentence."""

    REACHED = "The end time was reached."
    BLOW_UP = "The computed solution leaves every bounded set near the time where it stopped; does it with smaller tol?"
    STEP_UNDERFLOW = "The step became too small to move time forward although the solution stayed bounded."
    MAX_STEPS = "The allowed number of steps was used up before the end time."
    STOPPED = "The run was interrupted before this trajectory reached its end time."
    WALL_CLOCK = "The allowed wall-clock time was used up before the end time."
    EVENT = "A terminal event ended the trajectory."
    OVERFLOW = (
        "A rate of the solution leaves the range of the arithmetic's numbers: give states or times in other units."
    )

    def __str__(self) -> str:
        return self.value


CODES = tuple(Status)
"""Status of a code in arrays: `CODES[code]`."""


@dataclass(frozen=True, eq=False)
class Question:
    """A system and its inputs by name, float64 (size, B)."""

    system: Circuit | Schedule
    inputs: Mapping[str, Array]


@dataclass(frozen=True)
class Solution:
    """A solved batch, as data. Leading axis B is absent where a single input was given.

    Attributes
    ----------
    outputs : float64, (B, m) or (m,)
        All output wires side by side at the end time, in the circuit's order; NaN where it was not reached.
    named : mapping from output name to float64 (B, size)
    states : float64, (B, dim)
        Every integrator's output where the trajectory stopped.
    status : object array of `Status`, (B,)
    t : float64, (B,)
        Time reached.
    steps : int64, (B,)
    orders : float64, (B,)
        Mean order of the steps.
    length : float64, (B,)
        Length of the curve of all states in the Euclidean norm (unit: state); quadrature, about 1e-6 relative.
        NaN unless asked for with length=True.
    space : float64, (B,)
        Largest magnitude of any state at the step points.
    engine : str
        Which engine ran, and why it was chosen.
    jacobian : mapping from input name to float64 (B, m, n), or None
        Derivatives of the outputs by the entries of an input, where asked for with derivatives=.
    outputs_low, states_low, t_low : float64, as outputs, states and t, or None
        With precision="double-double": outputs + outputs_low is the value, outputs the double nearest to it.
    events : Events or None
        Events met, where asked for with events=.
    extremes : mapping to Extremes (low, t_low, high, t_high), (B, size) each, or None
        Smallest and largest values over the run and when they occur, where asked for with extremes=; by output
        name, or by the wire, expression or name they were asked with.
    question : Question or None
        What was solved, for `gpac.certify`.
    """

    outputs: Array
    named: Mapping[str, Array]
    states: Array
    status: Any
    t: Array
    steps: Array
    orders: Array
    length: Array
    space: Array
    engine: str
    dense: Any = None
    jacobian: Mapping[str, Array] | None = None
    outputs_low: Array | None = None
    states_low: Array | None = None
    t_low: Array | None = None
    events: Any = None
    extremes: Mapping[Any, Any] | None = None
    question: Question | None = field(default=None, repr=False)

    @property
    def ok(self) -> bool:
        """Whether every trajectory reached its end time or a terminal event."""
        return not len(self._undone())

    def check(self) -> Solution:
        """Return self, or raise `SolveError` for the first trajectory that did not reach its end."""
        for index in self._undone():
            where, status = float(np.ravel(host(self.t))[index]), np.ravel(self.status)[index]
            raise SolveError(f"trajectory {index} stopped at t = {where:.17g}: {status.value}")
        return self

    def _undone(self) -> np.ndarray:
        """Indices of the trajectories that did not end as they should."""
        statuses = np.ravel(self.status)
        others = np.flatnonzero(~(statuses == Status.REACHED))  # `!=` takes objects three times as long
        return others[statuses[others] != Status.EVENT]

    def at(self, times: Any) -> Array:
        """Outputs at given times, from the Taylor polynomials of the steps.

        Parameters
        ----------
        times : float64, (q,) for all trajectories, or (B, q)
            Unit: time. NaN is returned beyond the time that a trajectory reached, and for a schedule before
            its last phase, the one that makes the outputs.

        Returns
        -------
        float64, (B, q, m), or (q, m) for a single input.
        """
        return leading(self._at(times))

    def pair_at(self, times: Any) -> Pair:
        """The same with precision="double-double", in both parts; the times may be exact numbers or a `Pair`."""
        return as_pair(self._at(reals(times, "times", np, "double-double")))

    def _at(self, times: Any) -> Array | Pair:
        if self.dense is None:
            raise ShapeError("this solution kept no polynomials; solve with dense=True to ask for other times")
        times = times if isinstance(times, Pair) else reals(times, "times", np, "double")
        count = len(self.dense.end)
        if np.ndim(times) > 2 or (np.ndim(times) == 2 and len(times) not in (1, count)):
            raise ShapeError(f"times must have shape (q,) or ({count}, q), got {times.shape}")
        values = self.dense.at(times)
        return values[0] if np.ndim(self.t) == 0 else values

    def outputs_mpf(self) -> np.ndarray:
        """The outputs as an object array of mpmath numbers, in all the digits that the precision has."""
        low = np.zeros(np.shape(self.outputs)) if self.outputs_low is None else self.outputs_low
        return Pair(self.outputs, low).mpf()


@dataclass(frozen=True)
class Dense:
    """Polynomials of the outputs on every step, grouped by trajectory.

    Attributes
    ----------
    offsets : int64, (B + 1,)
        Steps of trajectory b are rows offsets[b] : offsets[b + 1], in the order in which they were taken.
    begin : float64 or Pair, (rows,)
        Time at which each step starts.
    unit : float64, (rows,)
        Unit of time of each step's coefficients.
    end : float64, (B,)
        Time reached; before the start where the trajectory ran backward.
    coefficients : float64 or Pair, (rows, K + 1, m)
        In powers of (t - begin) / unit.
    """

    offsets: np.ndarray
    begin: Any
    unit: np.ndarray
    end: np.ndarray
    coefficients: Any

    @staticmethod
    def of(pieces: Pieces, end: np.ndarray) -> Dense:
        """Steps as engines keep them, put in the order of the batch."""
        order = np.argsort(pieces.ids, kind="stable")
        counts = np.bincount(pieces.ids, minlength=len(end))
        offsets = np.concatenate([[0], np.cumsum(counts)])
        return Dense(offsets, pieces.begin[order], pieces.unit[order], end, pieces.coefficients[order])

    @staticmethod
    def joined(parts: list[Dense]) -> Dense:
        """Those of consecutive pieces of a batch, as one; series are filled up to the longest."""
        from .gather import joined

        top = max(p.coefficients.shape[1] for p in parts)
        filled = [each_part(partial(_filled, top=top), p.coefficients) for p in parts]
        offsets = np.concatenate([[0], np.cumsum(np.concatenate([np.diff(p.offsets) for p in parts]))])
        begin, unit, end = (joined([getattr(p, name) for p in parts]) for name in ("begin", "unit", "end"))
        return Dense(offsets, begin, unit, end, joined(filled))

    def at(self, times: np.ndarray | Pair) -> Any:
        """Values at times (q,) or (B, q): (B, q, m); NaN outside of what the trajectory covers."""
        batch = len(self.offsets) - 1
        shape = batch, times.shape[-1] if times.ndim else 1
        times = each_part(lambda p: np.broadcast_to(p, shape), times)
        steps = np.diff(self.offsets)
        out = each_part(lambda p: np.full((*shape, p.shape[2]), np.nan), self.coefficients)
        some = np.flatnonzero(steps)
        if not len(some):
            return out
        start = leading(self.begin)[self.offsets[some]]
        sign = np.where(self.end[some] < start, -1.0, 1.0)[:, None]
        t = times[some]
        near = leading(t)
        inside = (sign * near >= sign * start[:, None]) & (sign * near <= sign * self.end[some][:, None])
        row = self._rows(some, sign, near)
        local = ((t - self.begin[row]) / self.unit[row])[..., None]
        value = self.coefficients[row, -1]
        for k in range(self.coefficients.shape[1] - 2, -1, -1):
            value = value * local + self.coefficients[row, k]
        out[some] = each_part(lambda p: np.where(inside[..., None], p, np.nan), value)
        return out

    def _rows(self, some: np.ndarray, sign: np.ndarray, t: np.ndarray) -> np.ndarray:
        """The last step of each trajectory that starts at t or earlier on its way, by bisection."""
        low = np.broadcast_to(self.offsets[some][:, None], t.shape).copy()
        high = np.broadcast_to(self.offsets[some + 1][:, None], t.shape).copy()
        while (high - low > 1).any():
            middle = (low + high) // 2
            later = sign * leading(self.begin)[middle] <= sign * t
            low, high = np.where(later, middle, low), np.where(later, high, middle)
        return low

    def placed(self, ids: np.ndarray, count: int, later: Any) -> Dense:
        """The same polynomials as trajectories `ids` of a batch of `count`, starting at time `later`."""
        counts = np.zeros(count, dtype=int)
        counts[ids] = np.diff(self.offsets)
        end = np.full(count, -np.inf)
        end[ids] = self.end + leading(later)
        return Dense(np.concatenate([[0], np.cumsum(counts)]), self.begin + later, self.unit, end, self.coefficients)


def _filled(coefficients: np.ndarray, top: int) -> np.ndarray:
    """Coefficients (rows, orders, m) with zeros up to `top` orders."""
    return np.pad(coefficients, ((0, 0), (0, top - coefficients.shape[1]), (0, 0)))


def host(array: Any) -> Any:
    """A NumPy array of the same numbers (a pair of them for a `Pair`), fetched from the device if need be."""
    if isinstance(array, Pair):
        return Pair(host(array.high), host(array.low))
    return array.get() if hasattr(array, "get") else np.asarray(array)
