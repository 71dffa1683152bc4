"""Linear units on integers: numerators over a common denominator, and in doubles what such a unit does to errors.

A dense matrix is one integer matrix, which takes all orders of its operand in one product.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from math import lcm
from typing import Any

import flint
import numpy as np

from ...exact import to_arb, to_exact
from ...precision import working_precision
from ...wire import Linear, Wire
from ..balls import BallSeries
from ..matrix import Ball
from .upward import EPSILON, TINY, Floats, Range, up

DENSE = 2


@dataclass(frozen=True, eq=False)
class _Numbers:
    """Exact numbers near those of an array, in its order: integers over a denominator.

    `off` bounds how far they are from those, in units of the last place; None where there is no difference.
    """

    integers: list[int]
    denominator: int
    off: Floats | None

    def over(self, denominator: int) -> list[int]:
        factor = denominator // self.denominator
        return self.integers if factor == 1 else [x * factor for x in self.integers]


class _Term:
    """A matrix and its operand; `kind` as in `BallMatrix`."""

    def __init__(self, matrix: Any, kind: int, operand: Wire, bits: int) -> None:
        self.matrix, self.kind, self.operand = matrix, kind, operand
        self.data = self.matrix.tocsr() if self.kind > DENSE else self.matrix
        self.numbers = _near(self.data.data if self.kind > DENSE else self.matrix, bits)
        self.vague = self.numbers.off is not None
        self.rows: list[list[tuple[int, int]]] = []
        self.dense: Any = None

    def set(self, denominator: int) -> None:
        """Take numerators over the denominator."""
        numbers = self.numbers.over(denominator)
        if self.kind == DENSE:
            rows, columns = self.matrix.shape
            self.dense = flint.fmpz_mat(rows, columns, numbers)
        elif self.kind > DENSE:
            ends = self.data.indptr.tolist()
            pairs = list(zip(self.data.indices.tolist(), numbers, strict=True))
            self.rows = [pairs[a:b] for a, b in pairwise(ends)]
        else:
            size = self.operand.size
            own = numbers * size if self.kind == 0 else numbers
            self.rows = [[(i, x)] for i, x in enumerate(own)]

    def add(self, total: list[Any], x: list[Any], entries: list[int], low: int, high: int) -> None:
        """Add orders low .. high - 1 of the term to lists of numerators, one per entry."""
        high = min(high, max((len(s) for s in x if s), default=0))
        if high <= low:
            return
        if self.kind == DENSE:
            zeros = [0] * (high - low)
            columns = [v for s in x for v in ((s or [])[low:high] + zeros)[: high - low]]
            product = (self.dense * flint.fmpz_mat(len(x), high - low, columns)).tolist()
            for sums, i in zip(total, entries, strict=True):
                for k, v in enumerate(product[i]):
                    sums[k] += v
            return
        for sums, i in zip(total, entries, strict=True):
            for j, a in self.rows[i]:
                if high == low + 1:
                    if len(x[j]) > low:
                        sums[0] += a * x[j][low]
                    continue
                for k, v in enumerate(x[j][low:high]):
                    sums[k] += a * v

    def off(self, sizes: Floats) -> Floats:
        """Bounds on what numbers that are not rational add, from bounds on the operand's entries."""
        off: Any = self.numbers.off
        if self.kind < DENSE:
            return up(off * sizes)
        if self.kind == DENSE:
            return up(off.reshape(self.matrix.shape) @ sizes, sizes.size)
        return up(type(self.data)((off, self.data.indices, self.data.indptr), self.data.shape) @ sizes, sizes.size)


class Sum:
    """One linear unit; operands that are not `known` are not read by the entries in question."""

    def __init__(self, series: BallSeries, w: Linear, known: set[Wire], bits: int) -> None:
        own = zip(w.terms, series.matrices[w], strict=True)
        self.terms = [_Term(matrix, m.kind, x, bits) for (matrix, _), (m, x) in own if x in known]
        bias = _near(np.zeros(w.size) if w.bias is None else w.bias, bits)
        self.denominator = lcm(bias.denominator, *(term.numbers.denominator for term in self.terms))
        for term in self.terms:
            term.set(self.denominator)
        self.dense = any(term.kind == DENSE for term in self.terms)
        self.bias = bias.over(self.denominator)
        self.off_bias = np.zeros(w.size) if bias.off is None else bias.off
        self.effects = [Effect(term) for term in self.terms]

    def orders(self, c: Any, entries: list[int], low: int, high: int, bits: int) -> list[list[Any]]:
        """Orders low .. high - 1 of the entries, to the nearest multiple of 2**-bits."""
        total: list[list[Any]] = [[0] * (high - low) for _ in entries]
        for term in self.terms:
            term.add(total, c[term.operand], entries, low, high)
        if low == 0:
            for sums, i in zip(total, entries, strict=True):
                sums[0] += self.bias[i] << bits
        if self.denominator == 1:
            return total
        double = 2 * self.denominator
        return [[(2 * v + self.denominator) // double for v in sums] for sums in total]

    def off(self, sizes: dict[Wire, Floats]) -> Floats:
        """Bounds on what irrational numbers change, in units of the last place, if `sizes` bound their operands."""
        return sum((term.off(sizes[term.operand]) for term in self.terms if term.vague), np.zeros(len(self.bias)))


class Effect:
    """What a term does to errors: multiples of an entry's own, and magnitudes that others come with."""

    def __init__(self, term: _Term) -> None:
        self.operand, self.kind = term.operand, term.kind
        array = _doubles(term.data.data if term.kind > DENSE else term.matrix)
        own: Any = array
        self.others: Any = None
        if term.kind == DENSE:
            own, self.others = _parted(array)
        elif term.kind > DENSE:
            own, self.others = _parted_sparse(type(term.data)((array, *_pattern(term.data)), term.data.shape))
        self.own = None if own is None else Range(own, abs(own) * 4 * EPSILON + TINY)

    def from_others(self, errors: Floats) -> Floats:
        """What other entries' errors make at most."""
        return 0.0 if self.others is None else up(self.others @ errors, errors.size)


def _parted(array: Floats) -> tuple[Floats, Floats]:
    """The diagonal of a square matrix, and magnitudes of all else."""
    others = up(abs(array), 4)
    if array.shape[0] != array.shape[1]:
        return None, others
    np.fill_diagonal(others, 0.0)
    return np.diagonal(array), others


def _parted_sparse(matrix: Any) -> tuple[Floats, Any]:
    others = abs(matrix)
    others.data = up(others.data, 4)
    if matrix.shape[0] != matrix.shape[1]:
        return None, others
    rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    others.data[rows == others.indices] = 0.0
    others.eliminate_zeros()
    return matrix.diagonal(), others


def _pattern(matrix: Any) -> tuple[Any, Any]:
    return matrix.indices.copy(), matrix.indptr.copy()


def _doubles(array: Any) -> Floats:
    """Doubles within 2**-50 of the numbers, relative; not finite where a number is too large."""
    if array.dtype == np.float64:
        return array
    with working_precision(64):
        flat = [float(to_arb(x).mid()) for x in array.ravel()]
    return np.array(flat).reshape(array.shape)


def _near(array: Any, bits: int) -> _Numbers:
    if array.dtype == np.float64:
        man, exp = np.frexp(array.ravel())
        exponents = exp.astype(int) - 53
        least = min(0, int(exponents[man != 0].min(initial=0)))
        integers = [int(m) << e for m, e in zip((man * 2.0**53).tolist(), _shifts(man, exponents, least), strict=True)]
        return _Numbers(integers, 1 << -least, None)
    split = [near(x) for x in array.ravel()]
    denominator = lcm(*(q.denominator for q, _ in split))
    integers = [int(q * denominator) for q, _ in split]
    exact = all(r.is_zero() for _, r in split)
    off = None if exact else np.array([_upper(r * flint.arb(2) ** bits) for _, r in split]).reshape(array.shape)
    return _Numbers(integers, denominator, off)


def _shifts(man: Floats, exponents: Any, least: int) -> list[int]:
    shifts: list[int] = np.where(man == 0, 0, exponents - least).tolist()
    return shifts


def _upper(ball: Ball) -> float:
    return float(up(np.float64(float(ball.abs_upper()))))


def near(number: Any) -> tuple[Fraction, Ball]:
    """An exact number near the one given, and a bound on the difference."""
    number = to_exact(number)
    if isinstance(number, Fraction):
        return number, flint.arb(0)
    ball = to_arb(number)
    man, exp = ball.mid().man_exp()
    return Fraction(int(man)) * Fraction(2) ** int(exp), ball.rad()
