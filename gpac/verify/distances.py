"""Distances of solutions from the centre, d = C e + B r + w, and the frame in which B is kept; see `spread`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import flint
import numpy as np

from ..precision import working_precision
from .matrix import Ball

BITS = 64
MOST_FRAMED = 24
"""States of one part up to which the rest has a frame."""
OLDEST = 8
"""For how many steps what a step adds keeps columns of its own."""
ZERO = flint.arb(0)


@dataclass(frozen=True, eq=False)
class Distances:
    """C, B (one row per component), the rest and the bound; see above. Entries are exact balls.

    The first components are the states; those after them are constants, which rest.
    """

    symbols: list[list[Ball]]
    frame: list[list[Ball]]
    rest: list[Ball]
    bound: list[Ball]

    def sharp(self) -> bool:
        """Whether there is one solution only."""
        return not any(b > 0 for b in self.bound)


def start(symbols: list[list[Ball]], rest: list[Ball]) -> Distances:
    """Distances from rows of C and radii."""
    bound = [(sum(map(abs, row), ZERO) + r).upper() for row, r in zip(symbols, rest, strict=True)]
    return Distances(symbols, [[] for _ in rest], rest, bound)


def size_of(row: list[Ball]) -> Ball:
    """Sum of the magnitudes."""
    return sum(map(abs, row), ZERO)


def sizes_of(matrix: Any) -> list[Ball]:
    """The same for the rows of a matrix."""
    return [size_of(row) for row in matrix.tolist()]


def reframed(before: Distances, states: int, blocks: list[list[int]] | None = None) -> Distances:
    """The same distances with the rest of the states in the frame, where there are not too many.

    `blocks` are sets of states none of which moves by a later one.
    """
    if states > MOST_FRAMED:
        return before
    width = len(before.frame[0])
    with working_precision(BITS):
        own = [[r if i == j else ZERO for j in range(states)] for i, r in enumerate(before.rest[:states])]
        new = [[*b, *r] for b, r in zip(before.frame, own, strict=False)]
        if width + states > OLDEST * states or not width:
            new = _boxed(new, blocks or [list(range(states))]) if width else own
        zeros = [ZERO] * len(new[0])
        others = before.rest[states:]
        return replace(before, frame=new + [zeros for _ in others], rest=[ZERO] * states + others)


def _boxed(columns: list[list[Ball]], blocks: list[list[int]]) -> list[list[Ball]]:
    """Q diag(rho) that contains all sums of the columns with factors in [-1, 1]; the last ones are a diagonal."""
    size = len(columns)
    scale = [_power_of_two(size_of(row)) for row in columns]
    scaled = [[x / a for x in row] for row, a in zip(columns, scale, strict=True)]
    q = _frame(np.array([[float(x) for x in row[:-size]] for row in scaled]), blocks)
    inverse = flint.arb_mat(size, size, [x for row in q for x in row]).inv()
    sums = sizes_of(inverse * flint.arb_mat(size, len(scaled[0]), [x for row in scaled for x in row]))
    rho = [flint.arb(0, x).rad() for x in sums]  # 30 bits, so that the products are exact
    return [[a * x * r for x, r in zip(row, rho, strict=True)] for a, row in zip(scale, q, strict=True)]


MOST_SHARED = 2.0**20
"""How much a row may take of the columns of blocks before: of one that is nearly zero it would be no use."""


def _frame(columns: np.ndarray, blocks: list[list[int]]) -> list[list[float]]:
    """A square matrix of numbers of 24 bits whose inverse makes the columns short.

    Each block has nearly orthogonal columns of its own for what is left of its rows when the columns of the blocks
    before have taken from them what they can: so no block is any wider for those after it.
    """
    q = np.zeros((len(columns), len(columns)))
    before: list[int] = []
    factors = np.zeros((0, columns.shape[1]))
    for block in blocks:
        rows = columns[block]
        shared = np.linalg.lstsq(factors.T, rows.T, rcond=1e-6)[0].T if before else np.zeros((len(block), 0))
        shared = np.where(abs(shared).max(axis=1, initial=0.0, keepdims=True) < MOST_SHARED, shared, 0.0)
        q[np.ix_(block, before)] = shared
        rows = rows - shared @ factors
        own = _orthogonal(rows)
        q[np.ix_(block, block)] = own
        before, factors = before + block, np.concatenate([factors, own.T @ rows])
    found: list[list[float]] = q.astype(np.float32).astype(float).tolist()
    return found


def _orthogonal(columns: np.ndarray) -> np.ndarray:
    """A square matrix with orthogonal columns, the first of them along the longest column."""
    order = np.argsort(-np.linalg.norm(columns, axis=0), kind="stable")
    return np.linalg.qr(columns[:, order], mode="complete")[0]


def _power_of_two(x: Ball) -> Ball:
    """A power of two near x; 1 for zero."""
    man, exp = x.abs_upper().man_exp()
    return flint.arb(2) ** (int(exp) + int(man).bit_length()) if man else flint.arb(1)
