"""The arithmetics in which series run on arrays: doubles, and pairs of doubles (about 31 digits).

Code that is the same for both works on arrays or on `Pair`s and asks one of these for the rest.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..elementary import TABLE
from ..exact import to_doubles, to_floats
from ..pair import Pair, dot
from ..repeated import Repeated
from ..wire import Product, Start
from .split import Slices, slices_of, times_sparse

Array = Any
"""A float64 array of numpy or cupy, or a `Pair` of them."""


class Doubles:
    """float64 arrays of the module `xp`."""

    parts = 1
    unit = 2.0**-52
    name = "float64"

    def __init__(self, xp: Any) -> None:
        self.xp = xp

    def zeros(self, shape: tuple[int, ...]) -> Array:
        """Zeros."""
        return self.xp.zeros(shape)

    def empty(self, shape: tuple[int, ...]) -> Array:
        """Numbers still to be written."""
        return self.xp.empty(shape)

    def lead(self, a: Array) -> Array:
        """The nearest doubles."""
        return a

    def each(self, layout: Callable[..., Any], *arrays: Array) -> Array:
        """Arrays laid out anew: `layout` only moves numbers about."""
        return layout(*arrays)

    def where(self, condition: Array, a: Array, b: Array) -> Array:
        """a where the condition holds, and else b."""
        return self.each(lambda x, y: self.xp.where(condition, x, y), a, b)

    def clear(self, a: Array, where: Array) -> None:
        """Write zeros where told."""
        self.xp.copyto(a, 0.0, where=where)

    def joined(self, arrays: Sequence[Array], axis: int = 0) -> Array:
        """Arrays one after the other."""
        return self.each(lambda *parts: self.xp.concatenate(parts, axis=axis), *arrays)

    def numbers(self, exact: np.ndarray) -> Array:
        """Exact numbers as this arithmetic has them."""
        return self.xp.asarray(to_floats(exact))

    def matrix(self, matrix: Any) -> Any:
        """A matrix (dense, sparse, or the vector of a diagonal) in the form that `apply` takes."""
        if not hasattr(matrix, "tocsr"):
            numbers = self.numbers(matrix)
            return numbers[:, None] if matrix.ndim == 1 else numbers
        if isinstance(matrix, Repeated):
            return Repeated(self.xp.asarray(matrix.block), matrix.count)
        if self.xp.__name__ == "numpy":
            return matrix
        from cupyx.scipy.sparse import csr_matrix

        return csr_matrix(matrix)

    def apply(self, matrix: Any, x: Array) -> Array:
        """Matrix times x (block, entry, lane)."""
        if hasattr(matrix, "tocsr"):
            return times_sparse(matrix, x, self.xp)
        return self.xp.matmul(matrix, x) if matrix.ndim == 2 and matrix.shape[1] > 1 else matrix * x

    def dot(self, a: Array, b: Array) -> Array:
        """Sum over the leading axis of a times b, entry by entry."""
        return self.xp.einsum("k...,k...->...", a, b)

    def contract(self, a: Array, b: Array, wire: Product) -> Array:
        """Sum over the leading axis of the bilinear form of (order, block, entry, lane)."""
        assert wire.einsum is not None
        subscripts, left_shape, right_shape = wire.einsum
        left, right, out = subscripts.replace("->", ",").split(",")
        a = a.reshape(*a.shape[:2], *left_shape, a.shape[-1])
        b = b.reshape(*b.shape[:2], *right_shape, b.shape[-1])
        result = self.xp.einsum(f"YZ{left}X,YZ{right}X->Z{out}X", a, b)
        return result.reshape(len(result), -1, result.shape[-1])

    def evaluate(self, c: Array, powers: Array) -> Array:
        """Sum over orders of c (order, block, entry, lane) times powers (order, block, lane), the last order first."""
        return self.xp.einsum("kbil,kbl->bil", c[::-1], powers[::-1])

    def start(self, start: Start, x: Array) -> Array:
        """An elementary function at the values x."""
        return TABLE[start.function].arrays(self.xp, x, *start.parameters)


class Pairs(Doubles):
    """Double-double: `Pair`s of float64 arrays."""

    parts = 2
    unit = 2.0**-102
    name = "double-double"

    def zeros(self, shape: tuple[int, ...]) -> Pair:
        """Zeros."""
        return Pair(self.xp.zeros(shape), self.xp.zeros(shape))

    def empty(self, shape: tuple[int, ...]) -> Pair:
        """Numbers still to be written."""
        return Pair(self.xp.empty(shape), self.xp.empty(shape))

    def lead(self, a: Pair) -> Array:
        """The nearest doubles."""
        return a.high

    def clear(self, a: Pair, where: Array) -> None:
        """Write zeros where told."""
        super().clear(a.high, where)
        super().clear(a.low, where)

    def each(self, layout: Callable[..., Any], *arrays: Pair) -> Pair:
        """Arrays laid out anew: `layout` only moves numbers about."""
        return Pair(layout(*(a.high for a in arrays)), layout(*(a.low for a in arrays)))

    def numbers(self, exact: np.ndarray) -> Pair:
        """Exact numbers as pairs."""
        return Pair(*map(self.xp.asarray, to_doubles(exact)))

    def matrix(self, matrix: Any) -> Pair | Slices:
        """A matrix in the form that `apply` takes: pairs for factors, slices for sums of products."""
        if not hasattr(matrix, "tocsr") and (matrix.ndim < 2 or matrix.shape[1] == 1):
            return super().matrix(matrix)
        return slices_of(matrix, self.xp)

    def apply(self, matrix: Pair | Slices, x: Pair) -> Pair:
        """Matrix times x (block, entry, lane)."""
        return matrix.apply(x) if isinstance(matrix, Slices) else matrix * x

    def dot(self, a: Pair, b: Pair) -> Pair:
        """Sum over the leading axis of a times b, entry by entry."""
        return dot(a, b)

    def contract(self, a: Pair, b: Pair, wire: Product) -> Pair:
        """Sum over the leading axis of the bilinear form of (order, block, entry, lane)."""
        out, left, right = wire.pairs()
        order = np.argsort(out, kind="stable").reshape(wire.size, -1).T  # every entry sums as many products

        def rows(array: Array, which: np.ndarray) -> Array:
            chosen = array[:, :, which[order]]  # (order, block, product, entry, lane)
            return self.xp.moveaxis(chosen, 2, 1).reshape(-1, array.shape[1], wire.size, array.shape[-1])

        return dot(self.each(lambda p: rows(p, left), a), self.each(lambda p: rows(p, right), b))

    def evaluate(self, c: Pair, powers: Pair) -> Pair:
        """Sum over orders of c (order, block, entry, lane) times powers (order, block, lane)."""
        return dot(c, powers[:, :, None])

    def start(self, start: Start, x: Pair) -> Pair:
        """An elementary function at the values x, by mpmath with forty digits, entry by entry."""
        if start.function == "identity":
            return x
        import mpmath

        context = mpmath.mp.clone()
        context.dps = 40
        function = TABLE[start.function].mpmath

        def value(number: Any) -> tuple[float, float]:
            try:
                found = function(context, number, *start.parameters)
                high = float(found)
                return high, float(found - high) if math.isfinite(high) else 0.0
            except (ZeroDivisionError, TypeError, ValueError):  # outside of the function's real domain
                return math.nan, math.nan

        parts = np.array([value(number) for number in x.mpf().flat]).reshape(*x.shape, 2)
        return Pair(*(self.xp.asarray(np.ascontiguousarray(parts[..., p])) for p in (0, 1)))


def arithmetic(precision: str, xp: Any) -> Doubles:
    """The arithmetic of this name: "double" or "double-double"."""
    return Pairs(xp) if precision == "double-double" else Doubles(xp)


def arithmetic_of(array: Array) -> Doubles:
    """The arithmetic of an array on the host."""
    return Pairs(np) if isinstance(array, Pair) else Doubles(np)
