"""The states of a part over one proven step, at any time within it."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import flint

from ..exact import to_arb
from .matrix import Ball
from .slopes import Key


@dataclass(frozen=True, eq=False)
class Stretch:
    """A step from time `t` on, of length `h`.

    `c` are coefficients in the time (time - t) / unit, whose polynomials the states differ from by at most `beside`
    at all times of the step.
    """

    t: Fraction
    h: Ball
    unit: Fraction
    c: dict[Key, list[Ball]]
    beside: dict[Key, Ball]

    def at(self, s: Ball) -> dict[Key, Ball]:
        """Balls that contain the states at all times t + s, for a ball s between 0 and h: by the mean value theorem."""
        unit = to_arb(self.unit)
        middle, whole, radius = s.mid() / unit, s / unit, flint.arb(0, s.rad()) / unit
        found = {}
        for key, coefficients in self.c.items():
            p = flint.arb_poly(coefficients)
            found[key] = p(middle) + p.derivative()(whole) * radius + flint.arb(0, self.beside[key])
        return found
