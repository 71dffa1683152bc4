"""Bounds in arrays of doubles: every result leaves more room than its rounding takes.

A sum of n products of doubles is within n 2**-53 of itself, relative to the sum of the magnitudes, in whatever order
it is taken; what is too small for a double is covered by `TINY`. So a result of few operations, made larger by
(n + 16) 2**-52 of itself and by `TINY`, is an upper bound. Infinite and undefined numbers stay what they are: they
satisfy no inequality that is asked of a bound.
Source: Rump, BIT 39 (1999) 534-554 (midpoint and radius, matrix products in any order).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

Floats: TypeAlias = Any
"""float64 array."""
EPSILON, TINY = 2.0**-52, 1e-290
TERMS, HALVINGS = 15, 12


def up(x: Floats, terms: int = 1) -> Floats:
    """Upper bounds on sums of so many products, from their computed values >= 0."""
    return x * (1 + (terms + 16) * EPSILON) + terms * TINY


@dataclass(frozen=True, eq=False)
class Range:
    """Numbers known up to a radius, entry by entry."""

    mid: Floats
    rad: Floats

    def __add__(self, other: Range) -> Range:
        mid = self.mid + other.mid
        return Range(mid, up(self.rad + other.rad + abs(mid) * EPSILON))

    def __mul__(self, other: Range) -> Range:
        mid = self.mid * other.mid
        rad = abs(self.mid) * other.rad + self.rad * (abs(other.mid) + other.rad) + abs(mid) * EPSILON
        return Range(mid, up(rad, 3))

    def widened(self, radius: Floats) -> Range:
        """The numbers that are within `radius` of these."""
        return Range(self.mid, up(self.rad + radius))

    def size(self) -> Floats:
        """Upper bounds on the magnitudes."""
        return up(abs(self.mid) + self.rad)

    def highest(self) -> Floats:
        """Upper bounds on the numbers."""
        highest = self.mid + self.rad
        return highest + up(abs(highest) * EPSILON)


def growth(x: Floats) -> tuple[Floats, Floats]:
    """Upper bounds on exp(x) and on the integral of exp(x s) over 0 <= s <= 1; infinite where x is too large.

    Taylor series on [-1/2, 1/2], whose terms from order 15 on are below 2**-52 together, and then doublings of the
    argument: exp(2 y) = exp(y)**2, and the integral for 2 y is the one for y times (exp(y) + 1) / 2.
    """
    most = 2.0 ** (HALVINGS - 1)
    y = np.clip(x, -most, most) * 2.0**-HALVINGS  # what decays faster is bounded by this
    power, mean = np.ones_like(y), np.ones_like(y)
    for k in range(TERMS, 0, -1):
        power, mean = 1 + y * power / k, 1 + y * mean / (k + 1)
    power, mean = power + 2.0**-47, mean + 2.0**-47
    with np.errstate(over="ignore"):
        for _ in range(HALVINGS):
            mean = up(mean * (power + 1) / 2, 2)
            power = up(power * power)
    return np.where(x <= most, power, np.inf), np.where(x <= most, mean, np.inf)
