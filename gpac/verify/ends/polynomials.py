"""Rates of states as polynomials of the states with exact coefficients: unit by unit, as far as they stay short."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Any, TypeAlias

import flint

from ...exact import to_arb, to_exact
from ...wire import Constant, Integral, Linear, Product, Time, Wire
from ..balls import BallSeries, Values
from ..matrix import Ball
from ..proof import to_fraction
from ..slopes import Key

Monomial: TypeAlias = tuple[int, ...]
"""Numbers of the variables that are its factors, in increasing order, one as often as its power says."""
Polynomial: TypeAlias = dict[Monomial, Any]
"""Coefficients are rational numbers (`fmpq`), so that terms that cancel do so for certain."""

TIME = -1
"""Number of the variable that is time; variables with lower numbers are constants that are not known exactly."""
MOST_TERMS = 500
"""Terms up to which a polynomial is written out."""
MOST_WORK = 20_000
"""Products of terms that may be spent on one part."""


class TooLarge(Exception):
    """A polynomial has more terms than are worth writing out."""


def add(a: Polynomial, b: Polynomial) -> Polynomial:
    """The sum; terms that are zero for certain are left out."""
    total = dict(a)
    for monomial, c in b.items():
        _put(total, monomial, c)
    return total


def multiply(a: Polynomial, b: Polynomial) -> Polynomial:
    """The product."""
    total: Polynomial = {}
    for left, x in a.items():
        for right, y in b.items():
            _put(total, tuple(sorted(left + right)), x * y)
    return total


def _put(total: Polynomial, monomial: Monomial, c: Any) -> None:
    c = total[monomial] + c if monomial in total else c
    if c == 0:
        total.pop(monomial, None)
    else:
        total[monomial] = c


def scaled(a: Polynomial, factor: Any) -> Polynomial:
    """A number times the polynomial."""
    return {monomial: c * factor for monomial, c in a.items()}


def derivative(a: Polynomial, n: int) -> Polynomial:
    """By variable number n."""
    total: Polynomial = {}
    for monomial, c in a.items():
        if n in monomial:
            place, power = monomial.index(n), monomial.count(n)
            total[monomial[:place] + monomial[place + 1 :]] = c * power
    return total


def compose(a: Polynomial, parts: Mapping[int, Polynomial]) -> Polynomial:
    """With polynomials in place of some variables."""
    total: Polynomial = {}
    for monomial, c in a.items():
        term: Polynomial = {tuple(n for n in monomial if n not in parts): c}
        for n in monomial:
            if n in parts:
                term = multiply(term, parts[n])
        total = add(total, term)
    return total


def divided(a: Polynomial, n: int) -> Polynomial:
    """The terms that have a variable as a factor, without it."""
    out: Polynomial = {}
    for monomial, c in a.items():
        if n in monomial:
            place = monomial.index(n)
            out[monomial[:place] + monomial[place + 1 :]] = c
    return out


def in_floats(a: Polynomial, place: Mapping[int, int]) -> Callable[[Sequence[float]], float]:
    """The polynomial in doubles, as a function of the list in which variable n has the index place[n]."""
    terms = [(float(flint.arb(c).mid()), [place[n] for n in monomial]) for monomial, c in a.items()]

    def at_point(at: Sequence[float]) -> float:
        total = 0.0
        for c, factors in terms:
            for i in factors:
                c *= at[i]
            total += c
        return total

    return at_point


def variables(a: Polynomial) -> set[int]:
    """Numbers of the variables that occur."""
    return {n for monomial in a for n in monomial}


def value(a: Polynomial, at: Mapping[int, Any]) -> Any:
    """Its value where the variables are balls."""
    total = flint.arb(0)
    for monomial, c in a.items():
        for n in monomial:  # no powers: flint's of a ball around 0 is not finite
            c = c * at[n]
        total += c
    return total


class Field:
    """Time derivatives of the states `keys` of a circuit, as polynomials of these states and of time.

    States are numbered as in `keys`. Constants are coefficients if they are rational numbers; others are variables
    with rate 0, which lie in the balls `constants`. `still` has balls of all that they can be, symbols included.
    """

    def __init__(self, series: BallSeries, still: Values, keys: Sequence[Key]) -> None:
        self.series, self.still, self.keys = series, still, keys
        self.number = {key: n for n, key in enumerate(keys)}
        self.constants: dict[int, Ball] = {}
        self.work = 0
        self.known: dict[tuple[str, Wire, int], Polynomial] = {}

    def of(self, n: int) -> Polynomial:
        """The rate of state number n; raises `TooLarge`."""
        if n < 0:
            return {(): flint.fmpq(1)} if n == TIME else {}
        return self._rate(*self.keys[n])

    def closure(self, n: int, most: int) -> list[int]:
        """State n and all that its rate depends on, directly or through others; raises `TooLarge` beyond `most`."""
        found, waiting = [n], [n]
        while waiting:
            for other in sorted(variables(self.of(waiting.pop())) - set(found)):
                found.append(other)
                waiting.append(other)
            if len(found) > most:
                raise TooLarge
        return found

    def _once(self, kind: str, wire: Wire, i: int, make: Callable[[], Polynomial]) -> Polynomial:
        key = (kind, wire, i)
        if key not in self.known:
            self.known[key] = make()
            if len(self.known[key]) > MOST_TERMS:
                raise TooLarge
        return self.known[key]

    def _value(self, wire: Wire, i: int) -> Polynomial:
        """Entry i of a unit."""
        wire = self.series.circuit.source(wire)
        return self._once("value", wire, i, lambda: self._make_value(wire, i))

    def _rate(self, wire: Wire, i: int) -> Polynomial:
        """Time derivative of entry i of a unit."""
        wire = self.series.circuit.source(wire)
        return self._once("rate", wire, i, lambda: self._make_rate(wire, i))

    def _make_value(self, wire: Wire, i: int) -> Polynomial:
        if isinstance(wire, Integral):
            return {(self.number[wire, i],): flint.fmpq(1)}
        if isinstance(wire, Time):
            return {(TIME,): flint.fmpq(1)}
        if isinstance(wire, Constant):
            return self._number(wire.values[i])
        if self.series.degree[wire] == 0:
            return self._number(self.still[wire][i])
        if isinstance(wire, Linear):
            bias = self._number(wire.bias[i]) if wire.bias is not None else {}
            return self._combination(wire, i, self._value, bias)
        assert isinstance(wire, Product)
        total: Polynomial = {}
        for o, a, b in self.series.pairs[wire]:
            if o == i:
                total = add(total, self._product(self._value(wire.left, a), self._value(wire.right, b)))
        return total

    def _make_rate(self, wire: Wire, i: int) -> Polynomial:
        if self.series.degree[wire] == 0:
            return {}
        if isinstance(wire, Time):
            return {(): flint.fmpq(1)}
        if isinstance(wire, Integral):
            u, v = wire.integrand, wire.variable
            return self._product(self._value(u, i if u.size > 1 else 0), self._rate(v, i if v.size > 1 else 0))
        if isinstance(wire, Linear):
            return self._combination(wire, i, self._rate, {})
        assert isinstance(wire, Product)
        total: Polynomial = {}
        for o, a, b in self.series.pairs[wire]:
            if o == i:
                total = add(total, self._product(self._rate(wire.left, a), self._value(wire.right, b)))
                total = add(total, self._product(self._value(wire.left, a), self._rate(wire.right, b)))
        return total

    def _product(self, a: Polynomial, b: Polynomial) -> Polynomial:
        self._spend(len(a) * len(b))
        return multiply(a, b)

    def _combination(
        self, wire: Linear, i: int, part: Callable[[Wire, int], Polynomial], total: Polynomial
    ) -> Polynomial:
        for matrix, operand in self.series.matrices[wire]:
            for j, a in matrix.row(i):
                if not a.is_zero():
                    factor = self._number(a if a.is_exact() else _entry(matrix.source, i, j))
                    total = add(total, self._product(part(operand, j), factor))
        return total

    def _number(self, x: Any) -> Polynomial:
        """A constant: a ball, or an exact number."""
        if not isinstance(x, flint.arb):
            exact = to_exact(x)
            if isinstance(exact, Fraction):
                return add({}, {(): flint.fmpq(exact.numerator, exact.denominator)})
            x = to_arb(exact)
        if x.is_exact():
            return add({}, {(): flint.fmpq(*to_fraction(x).as_integer_ratio())})
        n = TIME - 2 - len(self.constants)
        self.constants[n] = x
        return {(n,): flint.fmpq(1)}

    def _spend(self, work: int) -> None:
        self.work += work
        if self.work > MOST_WORK:
            raise TooLarge


def _entry(matrix: Any, i: int, j: int) -> Any:
    """An entry of a matrix given as a number, a diagonal or in full."""
    return matrix[()] if matrix.ndim == 0 else matrix[i] if matrix.ndim == 1 else matrix[i, j]
