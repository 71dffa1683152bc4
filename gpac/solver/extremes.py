"""Smallest and largest values over whole runs, from the polynomials of the steps."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..pair import Pair, each_part, leading
from .arithmetic import Array, Doubles, arithmetic_of
from .roots import bernstein, crossings
from .rows import Rows
from .task import EPS


class Extremes(NamedTuple):
    """Smallest and largest value of every entry over the run, and a time at which each occurs.

    All are float64 of shape (B, size), (size,) for a single input; NaN where no step was made. Backward in time
    and in schedules the times are those of `solution.t`. With precision="double-double" they are `gpac.Pair`s.
    """

    low: Array
    t_low: Array
    high: Array
    t_high: Array

    @staticmethod
    def none(count: int, size: int, num: Doubles) -> Extremes:
        """Nothing known yet of `count` trajectories."""
        found = Extremes(*(num.zeros((count, size)) for _ in range(4)))
        for array in found:
            array[...] = np.nan
        return found

    def of(self, ids: np.ndarray) -> Extremes:
        """Those of some trajectories."""
        return Extremes(*(a[ids] for a in self))

    def columns(self, some: slice) -> Extremes:
        """Those of some entries."""
        return Extremes(*(a[:, some] for a in self))

    def put(self, ids: np.ndarray, other: Extremes) -> None:
        """Write those of the trajectories `ids`."""
        for mine, new in zip(self, other, strict=True):
            mine[ids] = new

    def later(self, time: Array) -> Extremes:
        """The same with (B,) times added."""
        return Extremes(self.low, self.t_low + time[:, None], self.high, self.t_high + time[:, None])

    def with_(self, other: Extremes) -> Extremes:
        """The more extreme of each; NaN counts as unknown, and of equals the first is kept."""
        lower = (leading(other.low - self.low) < 0) | np.isnan(leading(self.low))
        higher = (leading(other.high - self.high) > 0) | np.isnan(leading(self.high))
        where = arithmetic_of(self.low).where
        return Extremes(
            where(lower, other.low, self.low),
            where(lower, other.t_low, self.t_low),
            where(higher, other.high, self.high),
            where(higher, other.t_high, self.t_high),
        )


def extremes_on(rows: Rows, columns: np.ndarray, count: int) -> Extremes:
    """Extremes (count, C) of some columns over rows.

    Values at both ends of every step come first. The coefficients' sum, then the Bernstein coefficients, bound
    what a step can add; only where that is more than the ends of any step of its trajectory have, the zeros of
    the derivative are looked for.
    """
    power, end = rows.on_unit(columns)
    found = Extremes.none(count, len(columns), arithmetic_of(end))
    for value, time in ((power[0], rows.begin), (end, rows.until)):
        found = found.with_(_best(rows.ids, value, _spread(time, value.shape), count))
    row, column = np.nonzero(_may_add(rows, power, found))
    b = bernstein(power[:, row, column])
    low, high = found.low[rows.ids[row], column], found.high[rows.ids[row], column]
    wide = ((leading(b - low) < 0) | (leading(b - high) > 0)).any(axis=0)
    row, column = row[wide], column[wide]
    inner = power[:, row, column]
    turns = crossings(inner[1:] * np.arange(1.0, len(inner))[:, None])
    value = _value(inner[:, turns.column], turns.place)
    row, column = row[turns.column], column[turns.column]
    time = rows.times(row, turns.place)
    key = rows.ids[row] * len(columns) + column
    order = np.argsort(key, kind="stable")
    more = _best(key[order], value[order, None], time[order, None], count * len(columns))
    return found.with_(Extremes(*(a.reshape(count, len(columns)) for a in more)))


def _spread(time: Array, shape: tuple[int, ...]) -> Array:
    return each_part(lambda part: np.broadcast_to(part[:, None], shape), time)


def _may_add(rows: Rows, power: Array, found: Extremes) -> np.ndarray:
    """Where a step may leave what is known: its first coefficient plus or minus the sizes of the others."""
    spread = np.abs(leading(power[1]))
    for row in leading(power)[2:]:
        spread = spread + np.abs(row)
    spread = spread * (1 + len(power) * EPS)
    low, high = power[0] - found.low[rows.ids], power[0] - found.high[rows.ids]
    return (leading(low) < spread) | (leading(high) > -spread)


def _best(key: np.ndarray, value: Array, time: Array, count: int) -> Extremes:
    """Extremes (count, C) of values (n, C) by key, the first of equals; keys in ascending order."""
    out = Extremes.none(count, value.shape[1], arithmetic_of(value))
    if not len(key):
        return out
    opens = np.flatnonzero(np.append(True, key[1:] != key[:-1]))
    sizes = np.diff(np.append(opens, len(key)))
    number = np.arange(len(key))[:, None]
    parts = (value.high, value.low) if isinstance(value, Pair) else (value,)
    for pick, worst, extreme, when in (
        (np.minimum, np.inf, out.low, out.t_low),
        (np.maximum, -np.inf, out.high, out.t_high),
    ):
        best = np.ones(value.shape, dtype=bool)
        for part in parts:  # the second decides among those with the same first
            rest = np.where(best & ~np.isnan(part), part, worst)
            best &= part == np.repeat(pick.reduceat(rest, opens, axis=0), sizes, axis=0)
        row = np.minimum.reduceat(np.where(best, number, len(key) - 1), opens, axis=0)  # the last where all are NaN
        extreme[key[opens]], when[key[opens]] = _taken(value, row), _taken(time, row)
    return out


def _taken(array: Array, row: np.ndarray) -> Array:
    """Of every column its entry in a row of its own."""
    return each_part(lambda part: np.take_along_axis(part, row, axis=0), array)


def _value(power: Array, x: Array) -> Array:
    value = power[-1].copy()
    for k in range(len(power) - 2, -1, -1):
        value = value * x + power[k]
    return value
