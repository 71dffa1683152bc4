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
    def of(pieces: Pieces, t: np.ndarray, begun: np.ndarray) -> Rows:
        """Steps as engines keep them; `t` (B,) is the time reached, `begun` (B,) who had steps before these."""
        order = np.argsort(pieces.ids, kind="stable")
        ids, begin, step, c = (a[order] for a in (pieces.ids, pieces.begin, pieces.step, pieces.coefficients))
        changes = np.append(ids[1:] != ids[:-1], True)[: len(ids)]
        end = np.empty((len(ids), c.shape[2]))
        end[:-1] = c[1:, 0]
        end[changes] = values_at(c[changes], step[changes])
        until = np.append(begin[1:], 0.0)[: len(ids)]
        until[changes] = t[ids[changes]]
        opens = np.concatenate([[True], changes[:-1]])[: len(ids)]
        return Rows(ids, begin, step, c, end, until, opens & ~begun[ids], changes)

    @property
    def opening(self) -> np.ndarray:
        """For each row, the first row here of its trajectory."""
        return np.searchsorted(self.ids, self.ids, side="left")

    def where(self, some: np.ndarray) -> Rows:
        """Rows chosen by a mask."""
        return Rows(*(getattr(self, f)[some] for f in self.__dataclass_fields__))

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
