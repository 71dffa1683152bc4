"""One dense matrix on every row of a vector of rows: a layer applied to T tokens, kept once and not T times."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .errors import NumberError, ShapeError

Array = Any


@dataclass(frozen=True, eq=False)
class Repeated:
    """The block-diagonal matrix of `count` equal blocks (the Kronecker product of an identity and the block).

    It has what the project uses of a `scipy.sparse` matrix; `tocsr` writes it out where entries are wanted one by one.

    Parameters
    ----------
    block : float64 (m, n)
        Acts on each row of n entries; the result has rows of m.
    count : int
        Number of rows.

    Raises
    ------
    ShapeError
        If the block is no matrix, or there is no row.
    NumberError
        If the block is not of finite doubles.

    >>> (Repeated(np.array([[1.0, 2.0]]), 3) @ np.arange(6.0)[:, None]).ravel()
    array([ 2.,  8., 14.])
    """

    block: Array
    count: int
    ndim = 2

    def __post_init__(self) -> None:
        if self.block.ndim != 2 or self.count < 1:
            raise ShapeError(f"expected a matrix and at least one row, got {self.block.shape} and {self.count}")
        if self.block.dtype != np.float64:
            raise NumberError(f"expected a matrix of doubles, got {self.block.dtype}")

    @property
    def shape(self) -> tuple[int, int]:
        """Of the matrix written out."""
        return self.count * self.block.shape[0], self.count * self.block.shape[1]

    @property
    def dtype(self) -> Any:
        """Of the entries."""
        return self.block.dtype

    @property
    def nnz(self) -> int:
        """Number of stored entries."""
        return int(self.block.size)

    @property
    def data(self) -> Array:
        """The stored entries."""
        return self.block.reshape(-1)

    @property
    def T(self) -> Repeated:
        """The transposed matrix."""
        return Repeated(self.block.T, self.count)

    def on_blocks(self, x: Array, axis: int) -> Array:
        """The product with the entries along an axis of x, the others side by side."""
        before, after = x.shape[:axis], x.shape[axis + 1 :]
        m, n = self.block.shape
        rows = x.reshape(*before, self.count, n, *after)
        if after:
            return (self.block @ rows).reshape(*before, self.count * m, *after)
        return (rows @ self.block.T).reshape(*before, self.count * m)

    def __matmul__(self, x: Array) -> Array:
        return self.on_blocks(x, 0)

    def __abs__(self) -> Repeated:
        return Repeated(abs(self.block), self.count)

    def __neg__(self) -> Repeated:
        return Repeated(-self.block, self.count)

    def __rmul__(self, factor: float) -> Repeated:
        return Repeated(factor * self.block, self.count)

    def multiply(self, other: Repeated) -> Repeated:
        """Products entry by entry with a matrix of the same blocks."""
        if not isinstance(other, Repeated) or (other.block.shape, other.count) != (self.block.shape, self.count):
            raise ShapeError(f"expected blocks of shape {self.block.shape}, {self.count} times, got {other!r}")
        return Repeated(self.block * other.block, self.count)

    def maximum(self, other: float) -> Repeated:
        """The larger of every entry and a number that is 0 or less."""
        return Repeated(np.maximum(self.block, other), self.count)

    def minimum(self, other: float) -> Repeated:
        """The smaller of every entry and a number that is 0 or more."""
        return Repeated(np.minimum(self.block, other), self.count)

    def sum(self, axis: int) -> Array:
        """Sums of rows (axis 1) or of columns (axis 0)."""
        return np.tile(self.block.sum(axis=axis), self.count)

    def tocsr(self) -> Any:
        """Written out as a `scipy.sparse` matrix."""
        from scipy.sparse import csr_matrix, identity, kron

        return kron(identity(self.count, format="csr"), csr_matrix(self.block), format="csr")

    def tocoo(self) -> Any:
        """Written out by entries."""
        return self.tocsr().tocoo()

    def toarray(self) -> Any:
        """Written out as an array."""
        return self.tocsr().toarray()

    def __getitem__(self, key: Any) -> Any:
        return self.tocsr()[key]
