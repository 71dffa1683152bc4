"""Smallest and largest values over whole runs, from the polynomials of the steps."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .roots import bernstein, crossings
from .rows import Rows


class Extremes(NamedTuple):
    """Smallest and largest value of every entry over the run, and a time at which each occurs.

    All are float64 of shape (B, size), (size,) for a single input; NaN where no step was made. Backward in time
    and in schedules the times are those of `solution.t`.
    """

    low: np.ndarray
    t_low: np.ndarray
    high: np.ndarray
    t_high: np.ndarray

    @staticmethod
    def none(count: int, size: int) -> Extremes:
        """Nothing known yet of `count` trajectories."""
        return Extremes(*(np.full((count, size), np.nan) for _ in range(4)))

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

    def later(self, time: np.ndarray) -> Extremes:
        """The same with (B,) times added."""
        return Extremes(self.low, self.t_low + time[:, None], self.high, self.t_high + time[:, None])

    def with_(self, other: Extremes) -> Extremes:
        """The more extreme of each; NaN counts as unknown, and of equals the first is kept."""
        lower = (other.low < self.low) | np.isnan(self.low)
        higher = (other.high > self.high) | np.isnan(self.high)
        return Extremes(
            np.where(lower, other.low, self.low),
            np.where(lower, other.t_low, self.t_low),
            np.where(higher, other.high, self.high),
            np.where(higher, other.t_high, self.t_high),
        )


def extremes_on(rows: Rows, columns: np.ndarray, count: int) -> Extremes:
    """Extremes (count, C) of some columns over rows.

    Values at both ends of every step come first. The coefficients' sum, then the Bernstein coefficients, bound
    what a step can add; only where that is more than the ends of any step of its trajectory have, the zeros of
    the derivative are looked for.
    """
    power, end = rows.on_unit(columns)
    found = Extremes.none(count, len(columns))
    for value, time in ((power[0], rows.begin), (end, rows.until)):
        found = found.with_(_best(rows.ids, value, np.broadcast_to(time[:, None], value.shape), count))
    row, column = np.nonzero(_may_add(rows, power, found))
    b = bernstein(power[:, row, column])
    low, high = found.low[rows.ids[row], column], found.high[rows.ids[row], column]
    wide = (b.min(axis=0, initial=np.inf) < low) | (b.max(axis=0, initial=-np.inf) > high)
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


def _may_add(rows: Rows, power: np.ndarray, found: Extremes) -> np.ndarray:
    """Where a step may leave what is known: its first coefficient plus or minus the sizes of the others."""
    spread = np.abs(power[1])
    for row in power[2:]:
        spread = spread + np.abs(row)
    return (power[0] - spread < found.low[rows.ids]) | (power[0] + spread > found.high[rows.ids])


def _best(key: np.ndarray, value: np.ndarray, time: np.ndarray, count: int) -> Extremes:
    """Extremes (count, C) of values (n, C) by key, the first of equals; keys in ascending order."""
    out = Extremes.none(count, value.shape[1])
    if not len(key):
        return out
    opens = np.flatnonzero(np.append(True, key[1:] != key[:-1]))
    sizes = np.diff(np.append(opens, len(key)))
    number = np.arange(len(key))[:, None]
    for pick, extreme, when in ((np.minimum, out.low, out.t_low), (np.maximum, out.high, out.t_high)):
        best = pick.reduceat(value, opens, axis=0)
        at = np.where(value == np.repeat(best, sizes, axis=0), number, len(key))
        row = np.minimum.reduceat(at, opens, axis=0)
        extreme[key[opens]], when[key[opens]] = best, np.take_along_axis(time, row, axis=0)
    return out


def _value(power: np.ndarray, x: np.ndarray) -> np.ndarray:
    value = power[-1].copy()
    for row in power[-2::-1]:
        value = value * x + row
    return value
