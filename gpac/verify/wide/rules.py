"""The rules of a part with very many states, on integers that stand for multiples of 2**-bits."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import flint
import numpy as np

from ...wire import Integral, Linear, Product, Wire
from ..balls import BallSeries, Group, Values
from ..matrix import Ball
from ..rounding import place
from .levels import levels
from .sums import Sum
from .upward import up

SHORT_ORDER, SHORT_BITS = 80, 400
"""Up to these, coefficients are Python's own integers, whose sums of products are faster (measured)."""


class Rules:
    """What the units of a part do, the same for all steps at one working precision.

    Attributes
    ----------
    bits : of the integers: enough more than the working precision for what rounding adds up to over one step
    levels : the part in the order in which it can be followed
    still : constants as integers, by entry; None where an entry is not read
    vague : how far the true constants can be from them, in units of the last place
    """

    def __init__(self, series: BallSeries, group: Group, still: Values, order: int) -> None:
        self.series, self.group, self.order = series, group, order
        self.bits = int(flint.ctx.prec) + 2 * order.bit_length()
        self.short = order <= SHORT_ORDER and self.bits <= SHORT_BITS
        self.levels = levels(series, group)
        known = {*group, *still}
        self.sums = {w: Sum(series, w, known, self.bits) for w in group if isinstance(w, Linear)}
        self.still = {w: [b if b is None else self.nearest(b.mid()) for b in balls] for w, balls in still.items()}
        self.vague = {w: self.radii(balls) for w, balls in still.items()}
        pairs: dict[Wire, list[Any]] = {w: series.pairs[w] for w in group if isinstance(w, Product)}
        self._pairs = {w: _by_entry(pairs[w]) for w in pairs}
        self.indices = {w: [np.array(x) for x in zip(*pairs[w], strict=True)] for w in pairs}

    def factors(self, w: Wire, i: int) -> list[tuple[Wire, int, Wire, int]]:
        """Pairs of entries whose products a unit sums; an integrator's second one counts with its rate."""
        left, right = self.series.sides[w]
        if isinstance(w, Integral):
            return [(left, place(left, i), right, place(right, i))]
        return [(left, j, right, k) for j, k in self._pairs[w][i]]

    def fixed(self, x: Fraction) -> Any:
        """A rational number as an integer, within one unit of the last place."""
        return self._integer((x.numerator << self.bits) // x.denominator)

    def nearest(self, ball: Ball) -> Any:
        """An exact ball as an integer, within one unit of the last place."""
        man, exp = ball.man_exp()
        shift = int(exp) + self.bits
        return self._integer(man << shift if shift >= 0 else man >> -shift)

    def radii(self, balls: list[Any]) -> Any:
        """How far numbers in balls can be from the integers, in units of the last place; undefined for None."""
        one = flint.arb(2) ** self.bits
        return np.array([np.nan if b is None else up(float((b.rad() * one).upper())) + 1 for b in balls])

    def _integer(self, x: Any) -> Any:
        return int(x) if self.short else flint.fmpz(x)


def _by_entry(pairs: list[tuple[int, int, int]]) -> dict[int, list[tuple[int, int]]]:
    found: dict[int, list[tuple[int, int]]] = {}
    for o, j, k in pairs:
        found.setdefault(o, []).append((j, k))
    return found
