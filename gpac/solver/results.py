"""What is known of each trajectory while a batch runs: arrays in the order of the batch."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .arithmetic import Doubles
from .solution import CODES, host
from .task import Advance, Pieces

Array = Any
REACHED, BLOW_UP, UNDERFLOW, MAX_STEPS, STOPPED, WALL_CLOCK, EVENT, OVERFLOW = range(len(CODES))
"""Codes of the statuses: `CODES[code]`."""


class Results:
    """What is known of each trajectory so far, in the order of the batch."""

    def __init__(self, num: Doubles, batch: int, dim: int, m: int) -> None:
        self.xp = xp = num.xp
        self.code = xp.full(batch, STOPPED)
        self.t = num.zeros((batch,))
        self.states = num.zeros((batch, dim))
        self.readings = num.zeros((batch, m))
        self.states[...] = self.readings[...] = math.nan
        self.steps = xp.zeros(batch, dtype=xp.int64)
        self.orders = xp.zeros(batch)
        self.length = xp.zeros(batch)
        self.space = xp.zeros(batch)

    def count(self, ids: Array, length: Array, order: Array, space: Array) -> None:
        """Add one step of the trajectories `ids`."""
        self.steps[ids] += 1
        self.orders[ids] += order
        self.length[ids] += length
        self.space[ids] = self.xp.maximum(self.space[ids], space)

    def end(self, ids: Array, code: int, t: Array, states: Array, readings: Array) -> None:
        """Write down how the trajectories `ids` ended."""
        self.code[ids] = code
        self.t[ids] = t
        self.states[ids] = states
        self.readings[ids] = readings if code == REACHED else self.xp.nan

    def advance(self, pieces: Pieces | None, measured: bool) -> Advance:
        """All of it; the length is NaN unless it was measured."""
        length = self.length if measured else self.xp.full(len(self.length), self.xp.nan)
        counts = self.code, self.t, self.states.T, self.readings.T, self.steps, self.orders
        return Advance(*counts, length, self.space, pieces)


_STATUSES: np.ndarray = np.empty(len(CODES), dtype=object)
_STATUSES[:] = CODES


def status_names(codes: Array) -> np.ndarray:
    """Codes as an object array of `Status`."""
    return _STATUSES[host(codes).astype(int)]
