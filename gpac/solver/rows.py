"""Steps of many trajectories side by side, their polynomials made to meet where one step follows another."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..pair import each_part, leading
from .arithmetic import Array, arithmetic_of
from .task import Pieces


@dataclass(frozen=True)
class Rows:
    """Steps, by trajectory and in the order in which they were taken; numbers are float64, or `Pair`s of them.

    Attributes
    ----------
    ids : int64, (rows,)
        Trajectory of each.
    begin, step : (rows,)
        Where it starts, and how far it goes (negative backward in time).
    unit : float64, (rows,)
        Unit of time of its coefficients.
    coefficients : (rows, K + 1, m)
        In powers of (t - begin) / unit.
    end : (rows, m)
        Values at its far end: those with which the next step begins, or the polynomials' where none follows.
    until : (rows,)
        Time of the far end: that of the next step's begin, or the time reached where none follows.
    first, final : bool, (rows,)
        Whether the trajectory's run begins, or ends, with this row.
    """

    ids: np.ndarray
    begin: Array
    step: Array
    unit: np.ndarray
    coefficients: Array
    end: Array
    until: Array
    first: np.ndarray
    final: np.ndarray

    @staticmethod
    def of(pieces: Pieces, t: Array, begun: np.ndarray, values: Array) -> Rows:
        """Steps as engines keep them.

        `t` (B,) is the time reached, `values` (B, m) what was read there (NaN: nothing), `begun` (B,) who had
        steps before these.
        """
        p = pieces.where(np.argsort(pieces.ids, kind="stable"))
        count, last = len(p.ids), np.append(p.ids[1:] != p.ids[:-1], True)[: len(p.ids)]
        num = arithmetic_of(p.coefficients)
        end, until = num.zeros((count, p.coefficients.shape[2])), num.zeros((count,))
        end[:-1], until[:-1] = p.coefficients[1:, 0], p.begin[1:]
        until[last] = t[p.ids[last]]
        step = until - p.begin
        own, read = values_at(p.coefficients[last], step[last] / p.unit[last]), values[p.ids[last]]
        end[last] = num.where(np.isnan(leading(read)), own, read)
        first = np.append(True, last[:-1])[:count] & ~begun[p.ids]
        return Rows(p.ids, p.begin, step, p.unit, p.coefficients, end, until, first, last)

    def with_steps(self, pieces: Pieces) -> Rows:
        """The same runs in other steps, these by trajectory and in the order of the run."""
        closing = np.append(self.ids[1:] != self.ids[:-1], True)[: len(self.ids)]
        opening = np.append(True, closing[:-1])[: len(self.ids)]
        last = np.append(pieces.ids[1:] != pieces.ids[:-1], True)[: len(pieces.ids)]
        first = np.append(True, last[:-1])[: len(pieces.ids)]
        num = arithmetic_of(self.end)
        end, until = num.zeros((len(pieces.ids), self.end.shape[1])), num.zeros((len(pieces.ids),))
        end[:-1], until[:-1] = pieces.coefficients[1:, 0], pieces.begin[1:]
        end[last], until[last] = self.end[closing], self.until[closing]
        starts, ends = np.zeros(len(last), dtype=bool), np.zeros(len(last), dtype=bool)
        starts[first], ends[last] = self.first[opening], self.final[closing]
        step = until - pieces.begin
        return Rows(pieces.ids, pieces.begin, step, pieces.unit, pieces.coefficients, end, until, starts, ends)

    def until_(self, row: np.ndarray, place: Array) -> Rows:
        """Rows up to a place in one row of each trajectory, (B,) both; all of those with no such row."""
        number, num = np.arange(len(self.ids)), arithmetic_of(self.end)
        limit, here = row[self.ids], number == row[self.ids]
        step = num.where(here, place[self.ids] * self.step, self.step)
        until = num.where(here, self.times(number, place[self.ids]), self.until)
        end = self.end.copy()
        end[here] = values_at(self.coefficients[here], step[here] / self.unit[here])
        shortened = replace(self, step=step, end=end, until=until, final=self.final | here)
        return shortened.where(number <= limit)

    @property
    def pieces(self) -> Pieces:
        """The steps alone."""
        return Pieces(self.ids, self.begin, leading(self.step), self.unit, self.coefficients)

    def columns(self) -> tuple[Array, ...]:
        """All fields in their order."""
        return tuple(getattr(self, f) for f in self.__dataclass_fields__)

    def along(self, other: Rows) -> Rows:
        """These and others."""
        return Rows(*(joined(list(a)) for a in zip(self.columns(), other.columns(), strict=True)))

    @property
    def opening(self) -> np.ndarray:
        """For each row, the first row here of its trajectory."""
        return np.searchsorted(self.ids, self.ids, side="left")

    def where(self, some: np.ndarray) -> Rows:
        """Rows chosen by a mask."""
        return Rows(*(a[some] for a in self.columns()))

    def times(self, row: np.ndarray, place: Array) -> Array:
        """Times (n,) of places from 0 to 1 in rows (n,)."""
        time = self.begin[row] + place * self.step[row]
        return arithmetic_of(time).where(leading(place - 1.0) == 0, self.until[row], time)

    def values(self, row: np.ndarray, place: Array) -> Array:
        """Values (n, m) there."""
        return values_at(self.coefficients[row], place * self.step[row] / self.unit[row])

    def on_unit(self, columns: np.ndarray) -> tuple[Array, Array]:
        """Coefficients (K + 1, rows, C) of some columns, the step counted from 0 to 1, and ends (rows, C).

        The last coefficient takes up the small jump, below the tolerance, between a step's polynomial and the
        next step's start: polynomials meet, so that no sign change is lost or doubled between two steps.
        """
        power = each_part(np.ascontiguousarray, self.coefficients[:, :, columns].transpose(1, 0, 2))
        end = self.end[:, columns]
        with np.errstate(all="ignore"):
            reach = factor = self.step / self.unit
            for k in range(1, len(power)):
                power[k] = power[k] * factor[:, None]
                factor = factor * reach
        power[~np.isfinite(leading(power))] = 0.0  # an unused order that overflowed
        total = power[-1].copy()
        for k in range(len(power) - 2, -1, -1):
            total = total + power[k]
        power[-1] = power[-1] + (end - total)
        return power, end


def values_at(coefficients: Array, local: Array) -> Array:
    """Values (rows, m) of polynomials (rows, K + 1, m) at times (rows,) after their begin, in their units."""
    value = coefficients[:, -1].copy()
    for k in range(coefficients.shape[1] - 2, -1, -1):
        value = value * local[:, None] + coefficients[:, k]
    return value


def joined(arrays: list[Any]) -> Any:
    """Arrays one after the other."""
    return arithmetic_of(arrays[0]).joined(arrays)


def joined_pieces(parts: list[Pieces]) -> Pieces:
    """Steps of all, polynomials filled up to one order."""
    top = max(p.coefficients.shape[1] for p in parts)
    filled = [replace(p, coefficients=each_part(lambda c: _filled(c, top), p.coefficients)) for p in parts]
    return Pieces(*(joined([getattr(p, f) for p in filled]) for f in Pieces.__dataclass_fields__))


def _filled(coefficients: np.ndarray, top: int) -> np.ndarray:
    return np.pad(coefficients, ((0, 0), (0, top - coefficients.shape[1]), (0, 0)))
