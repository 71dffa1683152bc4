"""Taylor models whose first coefficients are sums of two doubles, for numbers that are written down.

The defect of a polynomial that solves its equation as well as doubles can is made of rounding errors alone; computed
in doubles it drowns in its own, some twenty times as large. Most of these come with the first few orders, which are
therefore computed twice as long. Arithmetic: T. J. Dekker, Numerische Mathematik 18 (1971) 224-242; sums are Dot2 of
Ogita, Rump and Oishi, SIAM J. Sci. Comput. 26 (2005) 1955-1988.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np

from .models import TINY, UNIT, UP, Array, Matrix, Model, full, sums_from_end, tail
from .trace import Number, fused, rounded, zeros

SHARP = 5
"""Orders that are computed so."""

Pair = tuple[Any, Any]
"""High and low part, the low one at most 2**-53 of the high one; either may be known."""


@dataclass(frozen=True, eq=False)
class Sharp(Model):
    """Functions near polynomials whose coefficients of orders below SHARP have low parts (orders, *entries, rows)."""

    low: Array

    @staticmethod
    def exactly(c: Array) -> Sharp:
        """Polynomials themselves."""
        return Sharp(c, 0.0, zeros((min(SHARP, len(c)), *c.shape[1:]), c))

    @cached_property
    def norm(self) -> Array:
        """Bound on the magnitude of the polynomial; summed as `tail` does, so that both are computed once."""
        return sums_from_end(np.abs(self.c))[0] * UP

    def of(self, entries: Array) -> Sharp:
        """Some entries."""
        return Sharp(self.c[:, entries], full(self)[entries], self.low[:, entries])


def late(x: Model) -> Array:
    """Sum of the magnitudes of coefficients that have no low part."""
    return sums_from_end(np.abs(x.c))[SHARP] if len(x.c) > SHARP else 0.0 * np.abs(x.c[0])


def pair(x: Model, k: int, index: tuple[int, ...]) -> Pair:
    """A coefficient; entries of a known model may stand for all."""
    index = tuple(i if n > 1 else 0 for i, n in zip(index, x.c.shape[1:], strict=True))
    low = x.low[(k, *index)] if isinstance(x, Sharp) and k < len(x.low) else 0.0
    return x.c[(k, *index)], low


def multiply_sharply(a: Model, b: Model, orders: int) -> Sharp:
    """The product, entry by entry, by at most `orders` coefficients."""
    count = min(len(a.c) + len(b.c) - 1, orders)
    shape = np.broadcast_shapes(a.c.shape[1:], b.c.shape[1:])
    out, low = zeros((count, *shape), a.c, b.c), zeros((min(count, SHARP), *shape), a.c, b.c)
    for index in np.ndindex(shape):
        x, y = ([pair(m, k, index) for k in range(len(m.c))] for m in (a, b))
        for k in range(count):
            places = range(max(0, k - len(y) + 1), min(k + 1, len(x)))
            products = [(x[j], y[k - j]) for j in places]
            _put(out, low, (k, *index), products)
    terms = min(len(a.c), len(b.c))
    error = a.error * b.norm + b.error * (a.norm + a.error) + _of_pairs(terms) * a.norm * b.norm + TINY
    sizes = np.abs(a.c), np.abs(b.c)
    error = error + UNIT * (terms + 3) * tail(*sizes, SHARP)
    if len(a.c) + len(b.c) - 1 > count:
        error = error + tail(*sizes, count)
    return Sharp(out, error * UP, low)


def combine_sharply(terms: Sequence[tuple[Matrix, Model]], bias: tuple[Array, Array] | None) -> Sharp:
    """Sum of matrices times models of one axis of entries, plus a bias (values, bound on their inexactness)."""
    orders, rows = max(len(x.c) for _, x in terms), max(x.c.shape[-1] for _, x in terms)
    sizes, weights = [m.bound(x.norm) for m, x in terms], [list(_rows(m, x.c.shape[1])) for m, x in terms]
    n = max(map(len, weights))
    out, low = (zeros((k, n, rows), *(x.c for _, x in terms)) for k in (orders, min(orders, SHARP)))
    longest = 1
    for i, row in np.ndindex(n, rows):
        entries = [
            (x, j, w)
            for (_, x), all_rows in zip(terms, weights, strict=True)
            for j, w in all_rows[i if len(all_rows) > 1 else 0]
        ]
        longest = max(longest, len(entries) + 1)
        for k in range(orders):
            products = [(w, pair(x, k, (j, row))) for x, j, w in entries if k < len(x.c)]
            if bias is not None and k == 0:
                products.append(((1.0, 0.0), (bias[0].reshape(-1)[i if bias[0].size > 1 else 0], 0.0)))
            _put(out, low, (k, i, row), products)
    error: Array = TINY
    for m, x in terms:
        error = error + m.bound(full(x)) + m.beside(full(x)) + m.beyond(x.norm)
        error = error + UNIT * (longest + 2) * m.bound(late(x))
    size = sum(sizes[1:], sizes[0])
    if bias is not None:
        values, off = (b.reshape(-1, 1) for b in bias)
        size, error = size + np.abs(values), error + off
    return Sharp(out, (error + _of_pairs(longest) * size) * UP, low)


def differences(p: Model, rate: Model) -> tuple[Array, Array]:
    """Sizes of the coefficients of p' - rate, and a bound on what they leave out besides the rate's error."""
    orders = max(len(p.c) - 1, len(rate.c))
    out, low = (zeros((k, *p.c.shape[1:]), p.c) for k in (orders, min(orders, SHARP)))
    for index in np.ndindex(p.c.shape[1:]):
        for k in range(orders):
            products = [((k + 1.0, 0.0), pair(p, k + 1, index))] if k + 1 < len(p.c) else []
            products += [((-1.0, 0.0), pair(rate, k, index))] if k < len(rate.c) else []
            _put(out, low, (k, *index), products)
    sizes = np.abs(out)
    sizes[: len(low)] = sizes[: len(low)] + np.abs(low)
    number = np.arange(len(p.c), dtype=float).reshape(-1, *[1] * (p.c.ndim - 1))
    unsharp = 2 * (number * np.abs(p.c))[SHARP + 1 :].sum(axis=0) + late(rate)
    return sizes, UNIT * unsharp + _of_pairs(2) * (len(p.c) * p.norm + rate.norm)


def _put(out: Array, low: Array, place: tuple[int, ...], products: list[tuple[Pair, Pair]]) -> None:
    """Sum of products as a coefficient: with its low part if it is of low order."""
    if place[0] < SHARP:
        out[place], low[place] = dot(products)
    else:
        out[place] = sum((a * b for (a, _), (b, _) in products), 0.0)


def _rows(matrix: Matrix, columns: int) -> Iterable[list[tuple[int, Pair]]]:
    """Columns and entries that are not zero, row by row."""
    values, low = (m.toarray() if hasattr(m, "toarray") else np.asarray(m) for m in (matrix.values, matrix.low_parts))
    if values.ndim == 1 and columns == 1:
        values, low = values.reshape(-1, 1), low.reshape(-1, 1)
    if values.ndim < 2:
        values, low = (np.diag(np.broadcast_to(m, columns)) for m in (values, low))
    for row, low_row in zip(values, np.broadcast_to(low, values.shape), strict=True):
        yield [(int(j), (float(row[j]), float(low_row[j]))) for j in np.flatnonzero(row)]


def _of_pairs(terms: int) -> float:
    """Relative error of `dot` with so many terms, by the sizes of its products; twice what is needed.

    In units u^2 = 2**-106: low times low is left out (1), and the products with low parts, of size 2 u, their sum with
    the product's own error and this with that of the running sum are rounded (7 and 1 for each term); the running low
    part is below (j + 3) u after j terms and is rounded as often.
    """
    return terms * (terms + 12) * 2.0**-105


def two_sum(a: Any, b: Any) -> Pair:
    """Rounded sum, and its error exactly."""
    if not isinstance(a, Number):
        a, b = b, a
    if not isinstance(b, Number) and b == 0:
        return a, 0.0
    s = a + b
    other = s - a
    return s, (a - (s - other)) + (b - other)


def two_product(a: Any, b: Any) -> Pair:
    """Rounded product, and its error exactly but for underflow."""
    for x in (a, b):
        if not isinstance(x, Number) and abs(x) in (0, 1):
            return a * b, 0.0
    if not isinstance(a, Number) and not isinstance(b, Number):
        return a * b, float(Fraction(a) * Fraction(b) - Fraction(a * b))
    p = rounded(a * b)
    return p, fused(a, b, -p)


def dot(products: Iterable[tuple[Pair, Pair]]) -> Pair:
    """Sum of products of pairs."""
    total, low = 0.0, 0.0
    for (a, a_low), (b, b_low) in products:
        p, e = two_product(a, b)
        total, rest = two_sum(total, p)
        low = low + (rest + (e + (a * b_low + a_low * b)))
    return two_sum(total, low)
