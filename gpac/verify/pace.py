"""How fast bits are lost, seen early: whether it is worth while to go on at a working precision."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import flint

from ..exact import to_arb
from .proof import to_fraction

FEW = 32
"""Steps in a quarter of the way from which the bits that it loses tell of the rest."""


class Pace:
    """Widths along the way of one part; `goal` is how many bits are wanted at the end, None if nothing is."""

    def __init__(self, goal: float | None) -> None:
        self.goal = goal
        self.seen: list[tuple[Fraction, float]] | None = None if goal is None else []

    def missing(self, width: float, scale: float, t: Fraction, end: Any, steps: int) -> float:
        """Bits that will be missing at the end if they go on being lost as between an eighth and a quarter of the way.

        `width` is the largest radius as a power of two, relative to 1 or to the largest state, which is about
        2**scale. The answer is at most the working precision: what is lost on the way to a quiet end must not cost
        much. 0 where nothing can be said.
        """
        if self.goal is None or self.seen is None or not 8 * t >= to_fraction(to_arb(end).lower()):
            return 0.0
        prec = int(flint.ctx.prec)
        self.seen.append((t, width + prec))
        if not 4 * t >= to_fraction(to_arb(end).lower()):
            return 0.0
        (begin, before), (_, lost), self.seen = self.seen[0], self.seen[-1], None
        if steps < FEW or not t > begin:
            return 0.0
        rest = float((to_arb(end) - to_arb(t)).mid()) / float(t - begin)
        missing = lost + max(0.0, lost - before) * rest + max(0.0, scale) - (prec - self.goal)
        return min(missing, float(prec)) if missing > 0 else 0.0
