"""What compiled code and its caller agree on: the memory between them, and what is fixed when the code is made."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..recurrences import Recurrences, Sum

MEMORY = ("now", "series", "rates", "kept", "still", "clock", "unit", "data", "index")
"""Pointers that the functions of the series take, in this order; the order k follows."""

QUEUE = ("state", "parameters", "times", "ends", "readings", "figures", "counts")
"""Per trajectory: state, parameters, time, end, watched values that move; (length, space); (steps, fate)."""

GROUP = ("ids", "goal", "old", "slope", "weights", "registers")
"""Per group of lanes: who sits where, the times wanted, and what a step needs besides the series."""

RECORD = ("rows", "spans", "polynomials")
"""Steps kept: trajectory, (begin, step, unit of time), and coefficients (watched entry, order)."""

NAMES = (*MEMORY, *QUEUE, *GROUP, *RECORD, "control")
"""All pointers that compiled code takes, in this order."""

REGISTERS = ("cap", "steps", "length", "space", "fate", "step")
"""Vectors of `registers`, one number each."""

CONTROL = ("next", "stop", "turns", "kept", "room", "max_steps")
"""Integers of `control`: next of the queue and its end, turns allowed, rows kept and their room, steps allowed."""

REACHED, STUCK, SPENT = 1, 2, 3
"""Fates that end a trajectory; 0 while it runs."""


@dataclass(frozen=True)
class Shape:
    """How work is laid out in registers.

    `lanes` of a group; rows of a matrix in a `tile`; `entries` of a unit side by side; `sums` that run side by
    side, even where a matrix has fewer rows.
    """

    lanes: int
    tile: int
    entries: int
    sums: int


@dataclass(frozen=True)
class Steps:
    """What is fixed when the code is made.

    `order` of every step, `tol` and `floor` (atol / tol) as in `gpac.solve`, whether the curve's length is
    measured and polynomials are kept.
    """

    order: int
    tol: float
    floor: float
    length: bool
    keep: bool


def packed(recurrences: Recurrences, tile: int) -> np.ndarray:
    """The table of weights with dense matrices cut into tiles of rows, each tile column by column."""
    data = recurrences.data.copy()
    for operation in recurrences.operations:
        for term in operation.terms if isinstance(operation, Sum) else ():
            if term.kind == "dense":
                rows, columns = operation.out.size, term.operand.size
                matrix = recurrences.data[term.data : term.data + rows * columns].reshape(rows, columns, -1)
                tiles = [matrix[r : r + tile].swapaxes(0, 1).reshape(-1) for r in range(0, rows, tile)]
                data[term.data : term.data + rows * columns] = np.concatenate(tiles).reshape(-1, *data.shape[1:])
    return data
