"""Steps of many trajectories side by side, their polynomials made to meet where one step follows another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .task import Pieces


@dataclass(frozen=True)
class Rows:
    """Steps, by trajectory and in the order in which they were taken.

    Attributes
    ----------
    ids : int64, (rows,)
        Trajectory of each.
    begin, step : float64, (rows,)
        Where it starts, and how far it goes (negative backward in time).
    coefficients : float64, (rows, K + 1, m)
        In powers of (t - begin).
    end : float64, (rows, m)
        Values at its far end: those with which the next step begins, or the polynomials' where none follows.
    until : float64, (rows,)
        Time of the far end: that of the next step's begin, or the time reached where none follows.
    first, final : bool, (rows,)
        Whether the trajectory's run begins, or ends, with this row.
    """

    ids: np.ndarray
    begin: np.ndarray
    step: np.ndarray
    coefficients: np.ndarray
    end: np.ndarray
    until: np.ndarray
    first: np.ndarray
    final: np.ndarray

    @staticmethod
    def of(pieces: Pieces, t: np.ndarray, begun: np.ndarray, values: np.ndarray) -> Rows:
        """Steps as engines keep them.

        `t` (B,) is the time reached, `values` (B, m) what was read there (NaN: nothing), `begun` (B,) who had
        steps before these.
        """
        p = pieces.where(np.argsort(pieces.ids, kind="stable"))
        count, last = len(p.ids), np.append(p.ids[1:] != p.ids[:-1], True)[: len(p.ids)]
        end, until = np.empty((count, p.coefficients.shape[2])), np.empty(count)
        end[:-1], until[:-1] = p.coefficients[1:, 0], p.begin[1:]
        own, read = values_at(p.coefficients[last], p.step[last]), values[p.ids[last]]
        end[last], until[last] = np.where(np.isnan(read), own, read), t[p.ids[last]]
        first = np.append(True, last[:-1])[:count] & ~begun[p.ids]
        return Rows(p.ids, p.begin, p.step, p.coefficients, end, until, first, last)

    def with_steps(self, pieces: Pieces) -> Rows:
        """The same runs in other steps, these by trajectory and in the order of the run."""
        closing = np.append(self.ids[1:] != self.ids[:-1], True)[: len(self.ids)]
        opening = np.append(True, closing[:-1])[: len(self.ids)]
        last = np.append(pieces.ids[1:] != pieces.ids[:-1], True)[: len(pieces.ids)]
        first = np.append(True, last[:-1])[: len(pieces.ids)]
        end, until = np.empty((len(pieces.ids), self.end.shape[1])), np.empty(len(pieces.ids))
        end[:-1], until[:-1] = pieces.coefficients[1:, 0], pieces.begin[1:]
        end[last], until[last] = self.end[closing], self.until[closing]
        starts, ends = np.zeros(len(last), dtype=bool), np.zeros(len(last), dtype=bool)
        starts[first], ends[last] = self.first[opening], self.final[closing]
        return Rows(pieces.ids, pieces.begin, pieces.step, pieces.coefficients, end, until, starts, ends)

    def until_(self, row: np.ndarray, place: np.ndarray) -> Rows:
        """Rows up to a place in one row of each trajectory, (B,) both; all of those with no such row."""
        number = np.arange(len(self.ids))
        limit, here = row[self.ids], number == row[self.ids]
        step = np.where(here, place[self.ids] * self.step, self.step)
        until = np.where(here, self.times(number, place[self.ids]), self.until)
        end = self.end.copy()
        end[here] = values_at(self.coefficients[here], step[here])
        shortened = Rows(self.ids, self.begin, step, self.coefficients, end, until, self.first, self.final | here)
        return shortened.where(number <= limit)

    @property
    def pieces(self) -> Pieces:
        """The steps alone."""
        return Pieces(self.ids, self.begin, self.step, self.coefficients)

    def columns(self) -> tuple[np.ndarray, ...]:
        """All fields in their order."""
        return tuple(getattr(self, f) for f in self.__dataclass_fields__)

    @property
    def opening(self) -> np.ndarray:
        """For each row, the first row here of its trajectory."""
        return np.searchsorted(self.ids, self.ids, side="left")

    def where(self, some: np.ndarray) -> Rows:
        """Rows chosen by a mask."""
        return Rows(*(a[some] for a in self.columns()))

    def times(self, row: np.ndarray, place: np.ndarray) -> np.ndarray:
        """Times (n,) of places from 0 to 1 in rows (n,)."""
        time = self.begin[row] + place * self.step[row]
        return np.where(place == 1, self.until[row], time)

    def on_unit(self, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Coefficients (K + 1, rows, C) of some columns, the step counted from 0 to 1, and ends (rows, C).

        The last coefficient takes up the small jump, below the tolerance, between a step's polynomial and the
        next step's start: polynomials meet, so that no sign change is lost or doubled between two steps.
        """
        power = np.ascontiguousarray(self.coefficients[:, :, columns].transpose(1, 0, 2))
        end = self.end[:, columns]
        with np.errstate(all="ignore"):
            factor = np.ones(len(self.step))
            for k in range(1, len(power)):
                factor = factor * self.step
                power[k] *= factor[:, None]
        power[~np.isfinite(power)] = 0.0  # an unused order that overflowed
        total = power[-1].copy()
        for row in power[-2::-1]:
            total = total + row
        power[-1] += end - total
        return power, end


def values_at(coefficients: np.ndarray, local: np.ndarray) -> np.ndarray:
    """Values (rows, m) of polynomials (rows, K + 1, m) at times (rows,) after their begin."""
    value = coefficients[:, -1].copy()
    for k in range(coefficients.shape[1] - 2, -1, -1):
        value = value * local[:, None] + coefficients[:, k]
    return value


def joined(parts: list[Pieces]) -> Pieces:
    """Steps of all, polynomials filled up to one order."""
    top = max(p.coefficients.shape[1] for p in parts)
    padded = [np.pad(p.coefficients, ((0, 0), (0, top - p.coefficients.shape[1]), (0, 0))) for p in parts]
    ids, begin, step = (np.concatenate([getattr(p, f) for p in parts]) for f in ("ids", "begin", "step"))
    return Pieces(ids, begin, step, np.concatenate(padded))
