"""By how much coefficients in fixed point may be wrong.

Call e_w the series of absolute errors of unit w, and d_w that of k times them. The recurrences give them order by
order from errors of lower orders:

    linear     e <= |M| e_x + rounding
    product    e <= X e_y + e_x Y + e_x e_y + rounding
    integral   d <= U d_v + e_u V' + e_u d_v + k rounding         (u dv)

where X, Y, U, V' have the magnitudes of the computed coefficients (V': k times them). So the errors of the
integrators stay below a solution of a linear system e' = K e + r with constants K >= 0 on 0 <= s <= 1, which
exp(K) r bounds. K is made with a little more than the sums X, U, ...; that the errors found fit into this room
is checked, and the statement follows for every order by induction.
"""

from __future__ import annotations

from collections.abc import Iterable
from operator import mul
from typing import TYPE_CHECKING, Any, TypeAlias

import flint

from ..precision import working_precision
from ..wire import Integral, Linear, Time, Wire
from .matrix import Ball
from .online import Integers

if TYPE_CHECKING:
    from .fixed import FixedRun

BITS = 64
TERMS = 400

Errors: TypeAlias = dict[Wire, list[Any]]
"""By entry of a wire: a bound on the sum of the errors of all coefficients."""


def rounding_errors(run: FixedRun) -> Errors | None:
    """For every entry a bound on the sum of the errors of its coefficients; None if none is found."""
    with working_precision(BITS):
        return _Rounding(run).errors()


def place(w: Wire, i: int) -> int:
    """Entry i, or the only one of a wire of size 1."""
    return i if w.size > 1 else 0


class _Rounding:
    """Bounds on the sums of errors, in low precision."""

    def __init__(self, run: FixedRun) -> None:
        self.run = run
        self.ulp = flint.arb(2) ** -run.bits
        self.room = flint.arb(2) ** -(run.bits // 2)
        self.unit = flint.arb(flint.fmpq(run.unit.numerator, run.unit.denominator)).upper()
        self.orders = run.order + 1
        self.size = {w: [None if x is None else self._total(map(abs, x)) for x in run.c[w]] for w in run.c}
        self.rate = {w: [None if x is None else self._total(map(abs, _rates(x))) for x in run.c[w]] for w in run.c}
        self.keys = [(w, i) for w, entries in run.integrals() for i in entries]
        self.roundings = {(w, i): self._roundings(w, i) for w, entries in run.group.items() for i in entries}

    def _total(self, sizes: Iterable[Any]) -> Ball:
        """Bound on the sum of the true coefficients' magnitudes."""
        return (flint.arb(sum(sizes, flint.fmpz(0))) * self.ulp + self.room).upper()

    def errors(self) -> Errors | None:
        """The sums of errors of all entries; None where the series of exp(K) r does not come down."""
        slopes = self._slopes(self._all([flint.arb(0)] * len(self.keys), self.ulp))
        term = [(self.ulp * self.roundings[key] + x).upper() for key, x in zip(self.keys, slopes, strict=True)]
        total = list(term)
        for m in range(1, TERMS):
            image = self._slopes(self._all(term, flint.arb(0)))
            following = [(x / m).upper() for x in image]
            falling = all(2 * b <= a for a, b in zip(term, following, strict=True))
            total = [(a + b).upper() for a, b in zip(total, following, strict=True)]
            term = following
            if falling and all(2**10 * b <= a for a, b in zip(total, term, strict=True)):
                total = [(a + b).upper() for a, b in zip(total, term, strict=True)]  # all further terms halve
                return self._checked(total)
        return None

    def _checked(self, total: list[Ball]) -> Errors | None:
        e, d = self._all(total, self.ulp)
        found = [x for sums in (e, d) for entries in sums.values() for x in entries if x is not None]
        return e if all(x <= self.room for x in found) else None

    def _all(self, known: list[Ball], ulp: Ball) -> tuple[Errors, Errors]:
        """Errors e and d of all units from those of the integrators; roundings count `ulp` each."""
        e: Errors = {w: [None] * w.size for w in self.run.c}
        d: Errors = {w: [None] * w.size for w in self.run.c}
        for w in self.run.c:
            if w not in self.run.group:
                e[w] = [None if x is None else ulp for x in self.run.c[w]]
                d[w] = [None if x is None else flint.arb(0) for x in self.run.c[w]]
        for (w, i), x in zip(self.keys, known, strict=True):
            e[w][i] = x
        for w, entries in self.run.group.items():
            for i in [] if isinstance(w, Integral) else entries:
                e[w][i] = (self._value(w, i, e) + ulp * self.roundings[w, i]).upper()
        for w, entries in self.run.group.items():
            for i in entries:
                d[w][i] = (self._rate(w, i, e, d) + ulp * self.roundings[w, i] * self.orders).upper()
        return e, d

    def _roundings(self, w: Wire, i: int) -> Ball:
        """How many units in the last place all coefficients of an entry are rounded by, together."""
        if isinstance(w, Time):
            return flint.arb(2)
        losses = sum(c.loss for c in self.run.sums[w, i])
        each = flint.arb(1 + losses) * (self.orders + 1)
        if isinstance(w, Linear):
            row = self.run.rows[w, i]
            vague = sum((r * self.size[x][j] for x, j, r in row.vague), row.vague_bias)
            return each + vague / self.ulp
        return each

    def _value(self, w: Wire, i: int, e: Errors) -> Ball:
        if isinstance(w, Linear):
            return self._combine(w, i, e)
        total = flint.arb(0)
        for x, j, y, k, _ in self.run.factors(w, i):
            total = total + self.size[x][j] * e[y][k] + e[x][j] * self.size[y][k]
        return total

    def _rate(self, w: Wire, i: int, e: Errors, d: Errors) -> Ball:
        if isinstance(w, Time):
            return flint.arb(0)
        if isinstance(w, Linear):
            return self._combine(w, i, d)
        if isinstance(w, Integral):
            return self._slope(w, i, e, d)
        total = flint.arb(0)
        for x, j, y, k, _ in self.run.factors(w, i):
            total = total + self.size[x][j] * d[y][k] + d[x][j] * self.size[y][k]
            total = total + self.rate[x][j] * e[y][k] + e[x][j] * self.rate[y][k]
        return total

    def _slope(self, w: Wire, i: int, e: Errors, d: Errors) -> Ball:
        for x, j, y, k, _ in self.run.factors(w, i):
            return self.size[x][j] * d[y][k] + e[x][j] * self.rate[y][k]
        u, _ = self.run.series.sides[w]
        return self.unit * e[u][place(u, i)]

    def _slopes(self, errors: tuple[Errors, Errors]) -> list[Ball]:
        """What the integrators' errors grow by, apart from their own rounding."""
        return [self._slope(w, i, *errors) for w, i in self.keys]

    def _combine(self, w: Linear, i: int, parts: Errors) -> Ball:
        row = self.run.rows[w, i]
        terms = (abs(flint.arb(f)) * parts[x][j] for x, j, f in row.terms)
        return sum(terms, flint.arb(0)) / row.denominator


def _rates(x: Integers) -> Iterable[Any]:
    return map(mul, x, range(len(x)))
