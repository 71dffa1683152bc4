"""The result of a solve: outputs, and per trajectory how it went."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np

from ..errors import ShapeError, SolveError

Array = Any


class Status(Enum):
    """How a trajectory ended; the value is a sentence."""

    REACHED = "The end time was reached."
    BLOW_UP = "The solution leaves every bounded set near the time where it stopped."
    STEP_UNDERFLOW = "The step became too small to move time forward although the solution stayed bounded."
    MAX_STEPS = "The allowed number of steps was used up before the end time."
    STOPPED = "The run was interrupted before this trajectory reached its end time."

    def __str__(self) -> str:
        return self.value


CODES = tuple(Status)
"""Status of a code in arrays: `CODES[code]`."""


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
        Mean order of the Taylor steps.
    length : float64, (B,)
        Length of the curve of all states in the Euclidean norm (unit: state); quadrature, about 1e-6 relative.
    space : float64, (B,)
        Largest magnitude of any state at the step points.
    engine : str
        Which engine ran.
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

    @property
    def ok(self) -> bool:
        """Whether every trajectory reached its end."""
        return all(s is Status.REACHED for s in np.ravel(self.status))

    def check(self) -> Solution:
        """Return self, or raise `SolveError` for the first trajectory that did not reach its end."""
        for index, status in enumerate(np.ravel(self.status)):
            if status is not Status.REACHED:
                where = float(np.ravel(host(self.t))[index])
                raise SolveError(f"trajectory {index} stopped at t = {where:.17g}: {status.value}")
        return self

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
        if self.dense is None:
            raise ShapeError("this solution kept no polynomials; solve with dense=True to ask for other times")
        single = np.ndim(self.t) == 0
        values = self.dense.at(np.asarray(times, dtype=float))
        return values[0] if single else values


@dataclass(frozen=True)
class Dense:
    """Taylor polynomials of the outputs on every step, grouped by trajectory.

    Attributes
    ----------
    offsets : int64, (B + 1,)
        Steps of trajectory b are rows offsets[b] : offsets[b + 1], in order of time.
    begin : float64, (rows,)
        Time at which each step starts.
    end : float64, (B,)
        Time reached.
    coefficients : float64, (rows, K + 1, m)
    """

    offsets: np.ndarray
    begin: np.ndarray
    end: np.ndarray
    coefficients: np.ndarray

    def at(self, times: np.ndarray) -> np.ndarray:
        """Values at times (q,) or (B, q): (B, q, m)."""
        batch = len(self.offsets) - 1
        times = np.atleast_1d(times)
        times = np.broadcast_to(times, (batch, times.shape[-1]))
        out = np.full((batch, times.shape[1], self.coefficients.shape[2]), np.nan)
        for b in range(batch):
            rows = slice(self.offsets[b], self.offsets[b + 1])
            begin = self.begin[rows]
            if not len(begin):
                continue
            inside = (times[b] >= begin[0]) & (times[b] <= self.end[b])
            row = np.clip(np.searchsorted(begin, times[b], side="right") - 1, 0, len(begin) - 1)
            local = (times[b] - begin[row])[:, None]
            polynomials = self.coefficients[rows][row]  # (q, K + 1, m)
            value = polynomials[:, -1]
            for k in range(polynomials.shape[1] - 2, -1, -1):
                value = value * local + polynomials[:, k]
            out[b, inside] = value[inside]
        return out

    def placed(self, ids: np.ndarray, count: int, later: float) -> Dense:
        """The same polynomials as trajectories `ids` of a batch of `count`, starting at time `later`."""
        counts = np.zeros(count, dtype=int)
        counts[ids] = np.diff(self.offsets)
        end = np.full(count, -np.inf)
        end[ids] = self.end + later
        return Dense(np.concatenate([[0], np.cumsum(counts)]), self.begin + later, end, self.coefficients)


def host(array: Any) -> np.ndarray:
    """A NumPy array of the same numbers, fetched from the device if need be."""
    return array.get() if hasattr(array, "get") else np.asarray(array)
