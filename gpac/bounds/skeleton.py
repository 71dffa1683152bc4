"""The solver's polynomials on all steps of a batch, as they lie in memory, and what they say about time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..pair import two_sum
from .models import UP, Array, Model
from .steps import Steps


@dataclass(frozen=True, eq=False)
class Interval:
    """Exact numbers within `off` of `mid`, (size, B)."""

    mid: Array
    off: Array

    def where(self, some: Array) -> Interval:
        """Those of some trajectories."""
        return Interval(self.mid[:, some], self.off[:, some])


@dataclass(frozen=True, eq=False)
class Skeleton:
    """What the solver made: polynomials of all states, by trajectory.

    Attributes
    ----------
    offsets : int64, (B + 1,)
        Steps of trajectory b are place[offsets[b] : offsets[b + 1]], in the order of time.
    place : int64, (rows,)
    begin, unit : float64, (rows, or more)
        Start of each step, and its unit of time.
    coefficients : float64, (rows, or more, dim, K + 1)
        In powers of (t - begin) / unit.
    start : float64, (B, dim)
    reached : bool, (B,)
    t : float64, (B,)
        Time reached.
    memory : list
        What the polynomials lie in: `Course.spare` takes it back.
    """

    offsets: Array
    place: Array
    begin: Array
    unit: Array
    coefficients: Array
    start: Array
    reached: Array
    t: Array
    memory: list

    def where(self, some: Array) -> Skeleton:
        """Some of the trajectories."""
        if len(some) == len(self.t):
            return self
        counts = np.diff(self.offsets)[some]
        offsets = np.concatenate([[0], np.cumsum(counts)])
        rows = np.repeat(self.offsets[:-1][some] - offsets[:-1], counts) + np.arange(offsets[-1])
        steps = self.place[rows], self.begin, self.unit, self.coefficients
        return Skeleton(offsets, *steps, self.start[some], self.reached[some], self.t[some], [])


@dataclass(frozen=True, eq=False)
class Spans:
    """Steps in the order of trajectories: start, length and bound on its inexactness, (rows,)."""

    begin: Array
    h: Array
    h_off: Array

    @staticmethod
    def of(skeleton: Skeleton, ends: Array, late: Array) -> Spans:
        """Every step goes to the start of the next, the last one to the end within `late`."""
        begin = skeleton.begin[skeleton.place]
        some = np.flatnonzero(np.diff(skeleton.offsets))
        last = skeleton.offsets[some + 1] - 1
        until = np.empty(len(begin))
        until[:-1] = begin[1:]
        until[last] = ends[some]
        h, low = two_sum(until, -begin)
        off = np.abs(low)
        off[last] = (off[last] + late[some]) * UP
        return Spans(begin, h, off)


def steps_of(skeleton: Skeleton, spans: Spans, inputs: Mapping[str, Interval]) -> Steps:
    """Steps in their own time, trajectory after trajectory."""
    raw = skeleton.coefficients[skeleton.place]
    with np.errstate(all="ignore"):
        relative = spans.h / skeleton.unit[skeleton.place]
        powers = np.cumprod(np.vstack([np.ones(len(relative)), *[relative] * (raw.shape[2] - 1)]), axis=0)
        c = np.ascontiguousarray(raw.transpose(2, 1, 0)) * powers[:, None]
    row = np.repeat(np.arange(len(skeleton.t)), np.diff(skeleton.offsets))
    models = {n: Model(x.mid[None][:, :, row], x.off[:, row]) for n, x in inputs.items()}
    return Steps(c, spans.begin, spans.h, spans.h_off, models)
