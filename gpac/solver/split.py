"""Products of double-double matrices by BLAS: both factors are cut into slices of so few bits that nothing rounds.

Source: Ozaki, Ogita, Oishi and Rump, Numerical Algorithms 59 (2012) 95-118, error-free transformation of
matrix products. Slices end `BITS` bits below the largest entry of a row of the matrix and of a column of
the vectors: the error is that small relative to their product, whatever the size of the other entries.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..exact import to_doubles
from ..pair import Pair, quick_sum, two_sum
from ..repeated import Repeated

BITS = 110

Array = Any


@dataclass(frozen=True, eq=False)
class Slices:
    """A matrix as a sum of matrices of `width` bits each, every row on a grid of its own."""

    parts: tuple[Any, ...]
    width: int
    xp: Any

    def apply(self, x: Pair) -> Pair:
        """The matrix times x (block, entry, lane)."""
        xp = self.xp
        exponent = _exponent(xp.abs(x.high).max(axis=1, keepdims=True), xp)
        slices = []
        for k in range(len(self.parts)):
            part, x = _slice(x, exponent - (k + 1) * self.width, xp)
            slices.append(part)
        total = None
        for last in range(len(slices) - 1, -1, -1):  # products of one size are summed without rounding
            some = self._times(self.parts[0], slices[last])
            for k in range(1, last + 1):
                some = some + self._times(self.parts[k], slices[last - k])
            total = Pair(some, xp.zeros_like(some)) if total is None else total + some
        assert total is not None
        return total

    def _times(self, matrix: Any, x: Array) -> Array:
        if hasattr(matrix, "tocsr"):
            return times_sparse(matrix, x, self.xp)
        return self.xp.matmul(matrix, x)


def slices_of(matrix: Any, xp: Any) -> Slices:
    """Cut a matrix, dense exact or sparse float64, into slices for the array module xp."""
    if isinstance(matrix, Repeated):
        one = slices_of(matrix.block, xp)
        return Slices(tuple(Repeated(part, matrix.count) for part in one.parts), one.width, xp)
    columns = matrix.shape[1]
    count = 1
    while count * (width := _width(count * columns)) < BITS:
        count += 1
    if hasattr(matrix, "tocsr"):
        return Slices(tuple(_sparse_slices(matrix.tocsr(), width, count, xp)), width, xp)
    rest = Pair(*to_doubles(matrix))
    exponent = _exponent(np.abs(rest.high).max(axis=1, keepdims=True), np)
    parts = []
    for k in range(count):
        part, rest = _slice(rest, exponent - (k + 1) * width, np)
        parts.append(xp.asarray(part))
    return Slices(tuple(parts), width, xp)


def _sparse_slices(matrix: Any, width: int, count: int, xp: Any) -> list[Any]:
    if xp.__name__ == "numpy":
        from scipy.sparse import csr_array as kind
    else:
        from cupyx.scipy.sparse import csr_matrix as kind
    rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    largest = np.zeros(matrix.shape[0])
    np.maximum.at(largest, rows, np.abs(matrix.data))
    exponent = _exponent(largest, np)[rows]
    rest, parts = Pair(matrix.data, np.zeros(matrix.data.shape)), []
    for k in range(count):
        part, rest = _slice(rest, exponent - (k + 1) * width, np)
        arrays = tuple(xp.asarray(a) for a in (part, matrix.indices, matrix.indptr))
        parts.append(kind(arrays, shape=matrix.shape))
    return parts


def _width(terms: int) -> int:
    """Bits of a slice so that sums of so many products have 53 bits at most."""
    return (53 - math.ceil(math.log2(max(2, terms)))) // 2


def _exponent(largest: Array, xp: Any) -> Array:
    """The least e with largest <= 2**e, within what can be reached with doubles; 0 for NaN and inf."""
    exponent = xp.frexp(largest)[1]
    return xp.where(xp.isfinite(largest), xp.clip(exponent, -900, 900), 0)


def _slice(rest: Pair, exponent: Array, xp: Any) -> tuple[Array, Pair]:
    """The nearest multiple of 2**exponent, and what is left."""
    anchor = xp.ldexp(1.5 * 2.0**52, exponent)
    part = (rest.high + anchor) - anchor
    return part, Pair(*quick_sum(*two_sum(rest.high - part, rest.low)))


def times_sparse(matrix: Any, x: Array, xp: Any) -> Array:
    """Sparse matrix times (block, entry, lane)."""
    if isinstance(matrix, Repeated):
        return matrix.on_blocks(x, 1)
    blocks, entries, lanes = x.shape
    flat = xp.ascontiguousarray(x.transpose(1, 0, 2)).reshape(entries, blocks * lanes)
    return (matrix @ flat).reshape(-1, blocks, lanes).transpose(1, 0, 2)
