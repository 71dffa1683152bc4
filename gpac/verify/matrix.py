"""Exact matrices in balls, applied to vectors of balls."""

from __future__ import annotations

from typing import Any, TypeAlias

import flint
import numpy as np

from ..exact import to_arb

Ball: TypeAlias = Any


class BallMatrix:
    """An exact matrix in balls: a multiple of the identity, a diagonal, dense or sparse."""

    def __init__(self, matrix: Any) -> None:
        self.kind, self.source = matrix.ndim, matrix
        if matrix.ndim == 0:
            self.number = to_arb(matrix[()] if matrix.dtype == object else float(matrix))
        elif matrix.ndim == 1:
            self.diagonal = [to_arb(v) for v in matrix.tolist()]
        elif hasattr(matrix, "tocsr"):
            self.kind, self.rows = 3, _sparse_rows(matrix)
        else:
            entries = matrix.ravel().tolist()
            if matrix.dtype == object:
                entries = [to_arb(v) for v in entries]
            self.dense = flint.arb_mat(matrix.shape[0], matrix.shape[1], entries)

    def apply(self, x: list[Ball], entries: list[int] | None = None) -> list[Ball]:
        """Entries of the product with a vector."""
        if self.kind == 0:
            return [self.number * x[i] for i in (range(len(x)) if entries is None else entries)]
        if self.kind == 1:
            return [self.diagonal[i] * x[i] for i in (range(len(x)) if entries is None else entries)]
        if self.kind == 3:
            rows = self.rows if entries is None else [self.rows[i] for i in entries]
            return [sum((a * x[j] for j, a in row), flint.arb(0)) for row in rows]
        known = [flint.arb.nan() if b is None else b for b in x]  # an entry not followed must not pass for zero
        product = (self.dense * flint.arb_mat(len(x), 1, known)).entries()
        return product if entries is None else [product[i] for i in entries]

    def multiple(self, i: int) -> Ball:
        """Entry i of a diagonal, or the number."""
        return self.number if self.kind == 0 else self.diagonal[i]

    def row(self, i: int) -> list[tuple[int, Ball]]:
        """Row i as (column, entry), zeros left out where that is known."""
        if self.kind == 0:
            return [(i, self.number)]
        if self.kind == 1:
            return [(i, self.diagonal[i])]
        if self.kind == 3:
            return self.rows[i]
        return [(j, self.dense[i, j]) for j in range(self.dense.ncols())]

    def magnitude(self) -> BallMatrix:
        """The matrix of absolute values."""
        out = object.__new__(BallMatrix)
        out.kind, out.source = self.kind, self.source
        if self.kind == 0:
            out.number = abs(self.number)
        elif self.kind == 1:
            out.diagonal = [abs(a) for a in self.diagonal]
        elif self.kind == 3:
            out.rows = [[(j, abs(a)) for j, a in row] for row in self.rows]
        else:
            entries = np.abs(self.source).ravel().tolist()
            if self.source.dtype == object:
                entries = [abs(to_arb(v)) for v in self.source.ravel().tolist()]
            out.dense = flint.arb_mat(self.source.shape[0], self.source.shape[1], entries)
        return out


def _sparse_rows(matrix: Any) -> list[list[tuple[int, Ball]]]:
    matrix, rows = matrix.tocsr(), []
    for i in range(matrix.shape[0]):
        low, high = matrix.indptr[i], matrix.indptr[i + 1]
        columns, data = matrix.indices[low:high].tolist(), matrix.data[low:high].tolist()
        rows.append([(j, flint.arb(a)) for j, a in zip(columns, data, strict=True)])
    return rows
