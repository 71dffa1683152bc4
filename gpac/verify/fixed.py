"""Taylor coefficients in fixed point: integers, fast products, and one bound on all that rounding does.

Coefficients are taken in the time s = (t - t0) / unit and kept as integers, in multiples of 2**-bits, so that
coefficients which fall off are short numbers. They are not exact; `rounding` bounds by how much.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import lcm
from typing import Any

import flint

from ..exact import to_arb, to_exact
from ..wire import Integral, Linear, Product, Time, Wire
from .balls import BallSeries, Group, Values
from .matrix import Ball, BallMatrix
from .online import Convolution, Integers, run_online
from .rounding import Errors, place, rounding_errors

SHORT = 8
"""Degree up to which a polynomial in t is multiplied term by term."""


@dataclass(frozen=True)
class Expansion:
    """Coefficients 0..order in the time (t - t0) / unit, and bounds on the sums of their errors.

    Coefficient 0 carries the whole error, so that the polynomial of the balls contains the true one's values for
    all s in [0, 1]; the other balls are exact but for a rounding, and need not contain the true coefficients.
    """

    c: Values
    errors: Errors


def expand_fixed(
    series: BallSeries, state: Values, t: Fraction, order: int, group: Group, still: Values, unit: Fraction
) -> Expansion | None:
    """Coefficients of a group's entries around time t, from exact balls; None where no bound on rounding is found.

    Parameters
    ----------
    state, still : start values and constants, as exact balls by entry
    unit : exact, the unit of time
    """
    run = FixedRun(series, order, group, unit)
    run.begin(state, still, t)
    run_online(order, _base(run.bits), run.convolutions, run.step)
    errors = rounding_errors(run)
    if errors is None:
        return None
    one = flint.arb(2) ** -run.bits
    c: Values = {w: [None if x is None else [v * one for v in x] for x in run.c[w]] for w in run.c}
    for w, entries in errors.items():
        for i, error in enumerate(entries):
            if error is not None:
                c[w][i][0] = c[w][i][0] + flint.arb(0, error)
    return Expansion(c, errors)


def _base(bits: int) -> int:
    """Orders that are summed term by term: long numbers prefer products of polynomials early (measured)."""
    return 32 if bits < 2000 else 16 if bits < 8000 else 8


class FixedRun:
    """The integers of one step and the rules that make them."""

    def __init__(self, series: BallSeries, order: int, group: Group, unit: Fraction) -> None:
        self.series, self.group, self.unit, self.order = series, group, unit, order
        self.bits = int(flint.ctx.prec) + 2 * order.bit_length() + 16
        self.rows = {(w, i): _row(series, w, i) for w in group if isinstance(w, Linear) for i in group[w]}
        self.convolutions: list[Convolution] = []
        self.sums: dict[tuple[Wire, int], list[Convolution]] = {}

    def begin(self, state: Values, still: Values, t: Fraction) -> None:
        """Place the constants, and plan the convolutions."""
        self.t = t
        self.c: dict[Wire, list[Any]] = {w: [b if b is None else [self._fixed(b)] for b in still[w]] for w in still}
        for w, entries in self.group.items():
            self.c[w] = [None] * w.size
            for i in entries:
                self.c[w][i] = []
        variables = {self.series.sides[w][1] for w, _ in self.integrals()}
        self.rates: dict[Wire, list[Any]] = {
            w: [None if x is None else [] for x in self.c[w]] for w in self.group if w in variables
        }
        self.start = {w: {i: self._fixed(state[w][i]) for i in entries} for w, entries in self.integrals()}
        made: dict[Any, Convolution] = {}
        for w, entries in self.group.items():
            for i in entries:
                self.sums[w, i] = [self._convolution(made, *pair) for pair in self.factors(w, i)]

    def integrals(self) -> list[tuple[Wire, list[int]]]:
        """The integrators of the group and their entries."""
        return [(w, entries) for w, entries in self.group.items() if isinstance(w, Integral)]

    def factors(self, w: Wire, i: int) -> list[tuple[Wire, int, Wire, int, bool]]:
        """Pairs of entries whose products a unit sums; True where the second counts with its rates."""
        if not isinstance(w, (Product, Integral)):
            return []
        left, right = self.series.sides[w]
        if isinstance(w, Integral):
            return [] if isinstance(right, Time) else [(left, place(left, i), right, place(right, i), True)]
        if w.einsum is None:
            return [(left, place(left, i), right, place(right, i), False)]
        return [(left, j, right, k, False) for o, j, k in self.series.pairs[w] if o == i]

    def _convolution(self, made: dict, left: Wire, i: int, right: Wire, j: int, rates: bool) -> Convolution:
        key = left, i, right, j, rates
        if key not in made:
            short = min(self.series.degree[left], self.series.degree[right]) <= SHORT
            b = (self.rates if rates else self.c)[right][j]
            made[key] = Convolution(self.c[left][i], b, self.bits, short)
            self.convolutions.append(made[key])
        return made[key]

    def _fixed(self, ball: Ball) -> Any:
        man, exp = ball.mid().man_exp()
        shift = int(exp) + self.bits
        return man << shift if shift >= 0 else man >> -shift

    def _rounded(self, x: Fraction) -> Any:
        return flint.fmpz((x.numerator << self.bits) // x.denominator)

    def step(self, k: int) -> None:
        """Append order k to every entry."""
        for w, entries in self.group.items():
            if k > self.series.degree[w]:
                continue
            for i in entries:
                x = self._order(w, i, k)
                self.c[w][i].append(x)
                if w in self.rates:
                    self.rates[w][i].append(x * k)

    def _order(self, w: Wire, i: int, k: int) -> Any:
        if isinstance(w, Time):
            return self._rounded(self.unit if k else self.t)
        if isinstance(w, Linear):
            return self.rows[w, i].at(self.c, k, self.bits)
        if isinstance(w, Product):
            return sum((convolution.at(k) for convolution in self.sums[w, i]), flint.fmpz(0)) >> self.bits
        if k == 0:
            return self.start[w][i]
        if self.sums[w, i]:
            return self.sums[w, i][0].at(k) // (k << self.bits)
        u, _ = self.series.sides[w]
        x = _coefficient(self.c[u][place(u, i)], k - 1)
        return x * self.unit.numerator // (k * self.unit.denominator)


@dataclass(frozen=True)
class _Row:
    """bias + sum of factor * entry, over a common denominator; `vague` are radii of factors that are not rational."""

    bias: int
    terms: list[tuple[Wire, int, Any]]
    denominator: int
    vague: list[tuple[Wire, int, Ball]]
    vague_bias: Ball

    def at(self, c: dict[Wire, list[Any]], k: int, bits: int) -> Any:
        total = flint.fmpz(self.bias << bits) if k == 0 else flint.fmpz(0)
        for w, i, factor in self.terms:
            x = c[w][i]
            if k < len(x):
                total = total + x[k] * factor
        return total // self.denominator


def _row(series: BallSeries, w: Linear, i: int) -> _Row:
    entries = [(x, j, a) for m, x in series.matrices[w] for j, a in _exact_row(m, i)]
    bias, vague_bias = _split(Fraction(0) if w.bias is None else w.bias[i])
    split = [(x, j, *_split(a)) for x, j, a in entries]
    denominator = lcm(bias.denominator, *(q.denominator for *_, q, _ in split))
    terms = [(x, j, flint.fmpz(int(q * denominator))) for x, j, q, _ in split if q]
    vague = [(x, j, r) for x, j, _, r in split if not r.is_zero()]
    return _Row(int(bias * denominator), terms, denominator, vague, vague_bias)


def _exact_row(matrix: BallMatrix, i: int) -> list[tuple[int, Any]]:
    """Row i as (column, exact number), or the ball where the number is not rational."""
    source = matrix.source
    if matrix.kind == 0:
        numbers = {i: source[()]}
    elif matrix.kind == 1:
        numbers = {i: source[i]}
    elif matrix.kind == 3:
        return matrix.row(i)
    else:
        numbers = dict(enumerate(source[i]))
    row = []
    for j, ball in matrix.row(i):
        number = to_exact(numbers[j])
        row.append((j, number if isinstance(number, Fraction) else ball))
    return row


def _split(number: Any) -> tuple[Fraction, Ball]:
    """An exact number near the one given, and a bound on the difference."""
    if not isinstance(number, flint.arb):
        number = to_exact(number)
        if isinstance(number, Fraction):
            return number, flint.arb(0)
        number = to_arb(number)
    man, exp = number.mid().man_exp()
    return Fraction(int(man)) * Fraction(2) ** int(exp), number.rad()


def _coefficient(x: Integers, k: int) -> Any:
    return x[k] if k < len(x) else flint.fmpz(0)
