"""Steps that compiled code has kept, in the memory where it wrote them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Spare = list[tuple[np.ndarray, ...]]
"""Memory for steps, arrays in the order of `RECORD`."""


@dataclass(frozen=True)
class Record:
    """Steps as compiled code keeps them: trajectory; begin, step and unit of time; coefficients.

    `rows` (rows,) is -1 where a step did not count, `spans` is (rows, 3), and `polynomials` (rows, watched entries
    that move times orders) in powers of time in the step's unit; each with one part more in double-double precision.
    `memory` is where they were written.
    """

    rows: np.ndarray
    spans: np.ndarray
    polynomials: np.ndarray
    memory: Spare

    @staticmethod
    def of(kept: list[tuple[int, tuple[np.ndarray, ...]]], widths: tuple[int, int, int]) -> Record:
        """Parts of so many rows each, one after the other; `widths` are the numbers of a row in each array."""
        parts = [[a[: n * w].reshape(n, w) for a, w in zip(memory, widths, strict=True)] for n, memory in kept]
        none = [np.zeros((0, 1), dtype=int), *(np.zeros((0, w)) for w in widths[1:])]
        rows, spans, numbers = parts[0] if len(parts) == 1 else map(np.concatenate, zip(none, *parts, strict=True))
        return Record(rows[:, 0], spans, numbers, [memory for _, memory in kept])
