"""Taylor models on arrays: polynomials with float64 coefficients and a proven bound on what they leave out.

A model stands for functions on 0 <= s <= 1: within `error` of the polynomial, at every s. All rounding is bounded
as it happens: n operations in any order err by at most n UNIT times the sum of the magnitudes (Higham, Accuracy and
Stability of Numerical Algorithms, 2nd ed., section 3.1; UNIT has room for the denominator 1 - n u while n < 2**30).
The bounds are themselves sums and products of non-negative doubles of fewer than 2**20 operations each: the factor
UP covers their rounding, and TINY what underflow does. Overflow makes inf or NaN, which proves nothing.
Source of the arithmetic: Makino and Berz, Int. J. Pure Appl. Math. 4 (2003) 379-456.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ..precision import working_precision
from .trace import written, zeros

UNIT = 2.0**-53 * (1 + 2.0**-20)
"""Relative error of a rounded operation, with room for products of such errors."""
UP = 1 + 2.0**-30
"""Covers the rounding of a bound that fewer than 2**20 operations on non-negative doubles made."""
TINY = 1e-290
"""More than what underflow can take away in a model."""

Array = Any


@dataclass(frozen=True, eq=False)
class Model:
    """Functions near polynomials, one for each entry and row.

    Attributes
    ----------
    c : float64, (orders, *entries, rows)
        In powers of s on [0, 1].
    error : float64, broadcastable to (*entries, rows)
        Bound on the distance from the polynomial.
    """

    c: Array
    error: Array

    @cached_property
    def norm(self) -> Array:
        """Bound on the magnitude of the polynomial."""
        return np.abs(self.c).sum(axis=0) * UP

    @cached_property
    def weight(self) -> Array:
        """Bound on the sum of k |c_k|: rounding of order k is counted k times, and once more."""
        k = np.arange(len(self.c), dtype=float).reshape(-1, *[1] * (self.c.ndim - 1))
        return (k * np.abs(self.c)).sum(axis=0) * UP

    @property
    def size(self) -> Array:
        """Bound on the magnitude of the functions."""
        return (self.norm + self.error) * UP

    def cut(self, orders: int) -> Model:
        """The same functions by fewer coefficients."""
        if len(self.c) <= orders:
            return self
        return Model(self.c[:orders], (self.error + np.abs(self.c[orders:]).sum(axis=0)) * UP)

    def wider(self, radius: Array) -> Model:
        """With everything within `radius` of the functions besides."""
        return Model(self.c, (self.error + radius) * UP)

    def of(self, entries: Array) -> Model:
        """Some entries."""
        return Model(self.c[:, entries], full(self)[entries])

    def along(self) -> Model:
        """With one more axis of entries, for products with gradients."""
        return Model(self.c[:, :, None], full(self)[:, None])


def multiply(a: Model, b: Model, orders: int) -> Model:
    """The product, entry by entry, by at most `orders` coefficients."""
    from .sharp import Sharp, multiply_sharply

    if len(a.c) > len(b.c):
        a, b = b, a
    if isinstance(a, Sharp) or isinstance(b, Sharp):
        return multiply_sharply(a, b, orders)
    if len(a.c) == 1:
        return _scaled(a, b.cut(orders))
    count = min(len(a.c) + len(b.c) - 1, orders)
    out = zeros((count, *np.broadcast_shapes(a.c.shape[1:], b.c.shape[1:])), a.c, b.c)
    for j, factor in enumerate(a.c[:count]):
        span = min(len(b.c), count - j)
        out[j : j + span] += factor * b.c[:span]
    rounding = a.norm * b.norm + a.weight * b.norm + a.norm * b.weight
    error = UNIT * rounding + a.error * b.norm + b.error * (a.norm + a.error) + TINY
    if len(a.c) + len(b.c) - 1 > count:
        error = error + tail(np.abs(a.c), np.abs(b.c), count)
    return Model(out, error * UP)


def _scaled(a: Model, b: Model) -> Model:
    """The product with something constant."""
    error = UNIT * (a.norm * b.norm) + a.error * b.norm + b.error * (a.norm + a.error) + TINY
    return Model(a.c * b.c, error * UP)


def tail(a: Array, b: Array, count: int) -> Array:
    """Sum of a_j b_k over j + k >= count, for coefficients that are not negative (rounded to nearest)."""
    later = sums_from_end(b)
    total: Array = 0.0
    for j in range(max(0, count - len(b) + 1), len(a)):
        total = total + a[j] * later[max(0, count - j)]
    return total


def sums_from_end(a: Array) -> Array:
    """Sums of a_j over j >= k, for every k."""
    return np.cumsum(a[::-1], axis=0)[::-1]


@dataclass(frozen=True, eq=False)
class Matrix:
    """An exact matrix as doubles: a number, a diagonal (n,), dense (m, n) or sparse, and how far off they are.

    `sizes` are the magnitudes, `off` bounds the distance from the exact numbers (None where there is none); with
    `low_parts` added, the distance is below `rest`.
    """

    values: Any
    sizes: Any
    off: Any = None
    low_parts: Any = 0.0
    rest: Any = None

    @staticmethod
    def of(exact: Any) -> Matrix:
        """From what `gpac.linear` takes."""
        if hasattr(exact, "tocsr"):
            return Matrix(exact, abs(exact))
        values, off = nearest(exact)
        if not off.any():
            return Matrix(values, np.abs(values))
        return Matrix(values, np.abs(values), off, *_low_parts(np.asarray(exact), values, off))

    @property
    def terms(self) -> int:
        """Rounded operations for one entry of a product."""
        return 1 if self.values.ndim < 2 else int(self.values.shape[1])

    @property
    def exactly(self) -> bool:
        """Whether products with it are not rounded: 1 and -1."""
        return self.off is None and self.values.ndim == 0 and abs(float(self.values)) == 1

    def times(self, x: Array) -> Array:
        """The product with (..., n, ..., rows) along the second axis of coefficients."""
        return _apply(self.values, x)

    def bound(self, x: Array) -> Array:
        """Magnitudes times magnitudes (entries, ..., rows)."""
        return _apply(self.sizes, x[None])[0]

    def beside(self, x: Array) -> Array:
        """What the matrix's own inexactness contributes to a product with magnitudes."""
        return 0.0 if self.off is None else _apply(self.off, x[None])[0]

    def beyond(self, x: Array) -> Array:
        """The same with low parts."""
        return 0.0 if self.rest is None else _apply(self.rest, x[None])[0]


def _apply(matrix: Any, x: Array) -> Array:
    if matrix.ndim < 2:
        return matrix.reshape(-1, *[1] * (x.ndim - 2)) * x if matrix.ndim else matrix * x
    if hasattr(matrix, "tocsr") and written(x):
        matrix = matrix.toarray()
    if hasattr(matrix, "tocsr"):
        parts = [(matrix @ part.reshape(part.shape[0], -1)).reshape(-1, *part.shape[1:]) for part in x]
        return np.array(parts)
    flat = x.reshape(*x.shape[:2], -1)
    return np.matmul(matrix, flat).reshape(x.shape[0], matrix.shape[0], *x.shape[2:])


def combine(terms: Sequence[tuple[Matrix, Model]], bias: tuple[Array, Array] | None) -> Model:
    """Sum of matrices times models, plus a bias (values, bound on their inexactness)."""
    from .sharp import Sharp, combine_sharply

    if any(isinstance(x, Sharp) for _, x in terms):
        return combine_sharply(terms, bias)
    parts = [matrix.times(x.c) for matrix, x in terms]
    total = parts[0] if len(parts) == 1 else _sum(parts)
    count = len(parts) - 1 + sum(0 if matrix.exactly else matrix.terms for matrix, _ in terms)
    size = sum(matrix.bound(x.norm) for matrix, x in terms)
    error = TINY + sum(matrix.bound(full(x)) + matrix.beside(x.size) for matrix, x in terms)
    if bias is not None:
        values, off = (b.reshape(-1, *[1] * (total.ndim - 2)) for b in bias)
        total[0] += values
        count, size, error = count + 1, size + np.abs(values), error + off
    return Model(total, (error + count * UNIT * size) * UP)


def _sum(parts: list[Array]) -> Array:
    total = zeros((max(map(len, parts)), *np.broadcast_shapes(*(p.shape[1:] for p in parts))), *parts)
    for part in parts:
        total[: len(part)] += part
    return total


def full(x: Model) -> Array:
    """The error with all its axes."""
    return np.broadcast_to(x.error, x.c.shape[1:])


def nearest(exact: Any) -> tuple[Array, Array]:
    """Doubles next to exact numbers, and bounds on their distance."""
    from fractions import Fraction

    from ..exact import to_floats

    exact = np.asarray(exact)
    values = np.array(to_floats(exact), dtype=float)
    off = np.zeros(values.shape)
    if exact.dtype == object:
        for index, number in np.ndenumerate(exact):
            value = Fraction(float(values[index]))
            if not isinstance(number, Fraction):
                off[index] = _symbol_off(number, value)
            elif number != value:
                off[index] = float(abs(number - value)) * UP + TINY
    return values, off


def _low_parts(exact: Array, values: Array, off: Array) -> tuple[Array, Array]:
    """Doubles next to what doubles leave out of fractions, and bounds on what is left; of symbols it is all left."""
    from fractions import Fraction

    low, rest = np.zeros(values.shape), off.copy()
    for index, number in np.ndenumerate(exact):
        if isinstance(number, Fraction):
            beside = number - Fraction(float(values[index]))
            low[index] = float(beside)
            rest[index] = float(abs(beside - Fraction(float(low[index])))) * UP + TINY
    return low, rest


def _symbol_off(number: Any, value: Any) -> float:
    """Bound on the distance of a symbolic constant from a fraction."""

    from ..exact import to_arb

    with working_precision(120):
        return above(to_arb(number) - to_arb(value))


def above(ball: Any) -> float:
    """A double that no point of a ball exceeds in magnitude."""
    return float(ball.abs_upper()) * UP + TINY
