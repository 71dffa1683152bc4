"""Steps of a part with very many states: polynomials level by level, and how far solutions are from them.

The bits that such a part loses are lost to the sums of its weights, once and not per step; `guess` says about how many.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from math import inf, log2
from typing import Any

import flint
import numpy as np

from ...exact import to_arb
from ...wire import Integral, Linear, Product, Wire
from ..balls import BallSeries, Group, Values
from ..magnitude import dyadic, shortened
from ..matrix import Ball
from ..proof import to_fraction
from .cascade import Cascade
from .rules import Rules
from .series import Polynomials

TRIES = 40
CAREFUL = 0.95
"""Of the step that the last coefficients let expect, what is tried next."""
BEYOND = Fraction(1, 2**12)
"""How much more may be tried to reach the end."""
LOST = 1.6
"""Bits lost for each binary order of a matrix (measured: 1.6 on a trained network of six layers)."""
MOST, AFTER_HALVING = 2, Fraction(9, 8)
"""The next step is at most so many times as long, as one whose length had to be halved for its bounds."""


class Wide:
    """A part in steps; `failed` says why the last one could not be proven."""

    def __init__(self, series: BallSeries, group: Group, still: Values, order: int) -> None:
        self.rules = Rules(series, group, still, order)
        self.integrals: dict[Wire, set[int]] = {w: set(group[w]) for w in group if isinstance(w, Integral)}
        self.products = [w for w in group if isinstance(w, Product)]
        self.prec = int(flint.ctx.prec)
        self.length: Fraction | None = None
        self.all = False
        self.failed = ""

    def guess(self) -> float:
        """Bits that will be lost on the way through the levels, from the largest row sums of the matrices between."""
        lost = 0.0
        for level in self.rules.levels:
            first = next(iter(level))
            if len(level) == 1 and isinstance(first, Linear):
                effects = self.rules.sums[first].effects
                sums = sum((x.from_others(np.ones(x.operand.size)) for x in effects), np.zeros(1))
                lost += LOST * log2(min(max(1.0, float(np.max(sums))), 2.0**1000))
        return lost

    def step(self, state: Values, t: Fraction, end: Any) -> tuple[Values, Fraction | None] | None:
        """Balls after a step, and its length, None for one to the end; None if none can be proven."""
        own = {
            w: [b if i in entries else None for i, b in enumerate(state[w])] for w, entries in self.integrals.items()
        }
        start = {w: [None if b is None else self.rules.nearest(b.mid()) for b in own[w]] for w in own}
        radii = {w: self.rules.radii(own[w]) for w in own}
        unit, last = self._first(start, t, end)
        most = Fraction(MOST)
        for _ in range(TRIES):
            if not unit > 0:
                return None
            polynomials, excess = self._polynomials(start, t, unit)
            if excess <= 0:
                s = (to_arb(end) - to_arb(t)) / to_arb(unit) if last else flint.arb(1)
                cascade = Cascade(polynomials, radii, _below(s))
                if cascade.run():
                    self.length = min(self._length(polynomials, unit), most * unit)
                    return self._after(polynomials, cascade, s), None if last else unit
                self.failed, most = "no bounds could be found that hold all solutions", AFTER_HALVING
                unit = unit / 2
            else:
                self.failed = "what the polynomials miss could not be made small"
                unit = shortened(unit, max(0.5, 2.0 ** (-(excess + 1) / self.rules.order)))
            last = False
        return None

    def _first(self, start: dict[Wire, list[Any]], t: Fraction, end: Any) -> tuple[Fraction, bool]:
        """The step to try first, and whether it leads to the end."""
        left = _left(t, end)
        if self.length is None:
            self.length = self._length(Polynomials(self.rules, start, t, left, True), left)
        return (left, True) if left <= self.length * (1 + BEYOND) else (self.length, False)

    def _polynomials(self, start: dict[Wire, list[Any]], t: Fraction, unit: Fraction) -> tuple[Polynomials, float]:
        """The polynomials and how many bits they miss too much; with all orders where short ones do not do."""
        polynomials = Polynomials(self.rules, start, t, unit, self.all)
        excess = self._excess(polynomials)
        if excess > 0 and not self.all:
            whole = Polynomials(self.rules, start, t, unit, True)
            found = self._excess(whole)
            if found <= 0:
                self.all = True
                return whole, found
        return polynomials, excess

    def _excess(self, polynomials: Polynomials) -> float:
        """How many bits a miss is too large: above the working precision."""
        worst = -inf
        for w in (*self.integrals, *self.products):
            size = np.nanmax(polynomials.ranges(w)[0].size())
            missed = np.nanmax(polynomials.misses(w)[1])
            if not np.isfinite(missed) or not np.isfinite(size):
                return inf
            worst = max(worst, log2(missed) - log2(1 + size) - (self.rules.bits - self.prec))
        return worst

    def _length(self, polynomials: Polynomials, unit: Fraction) -> Fraction:
        """A step whose terms should fall to the rounding level: the root test on the last third of the orders."""
        order, bits = self.rules.order, self.rules.bits
        first = -(-2 * order // 3)
        scale = max(bits, *(x[0].bit_length() for x in self._series(polynomials)))
        gains = [
            (scale - v.bit_length()) / k for x in self._series(polynomials) for k, v in enumerate(x[first:], first) if v
        ]
        gain = min(gains, default=inf) - self.prec / order
        return shortened(unit * dyadic(2.0 ** min(max(gain, -1000.0), 100.0)), CAREFUL)

    def _series(self, polynomials: Polynomials) -> Iterator[list[Any]]:
        return (x for w in self.integrals for x in polynomials.c[w] if x is not None)

    def _after(self, polynomials: Polynomials, cascade: Cascade, s: Ball) -> Values:
        found: Values = {}
        for w in self.integrals:
            one = flint.arb(2) ** -self.rules.bits
            radii = cascade.after[w].tolist()
            ends = polynomials.ends(w, s)
            found[w] = [
                b if b is None else b + flint.arb(0, flint.arb(r) * one) for b, r in zip(ends, radii, strict=True)
            ]
        return found


def _left(t: Fraction, end: Any) -> Fraction:
    """What is left until the end: exactly, or a little more where that is no rational number."""
    if isinstance(end, (Fraction, int)):
        return Fraction(end) - t
    return shortened(to_fraction((to_arb(end) - to_arb(t)).upper()), 1 + 2.0**-16)


def _below(s: Ball) -> float:
    return 1.0 if s == 1 else max(0.0, float(s.lower()) - 2.0**-40)
