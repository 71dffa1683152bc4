"""Functions with kinks: what they are piece by piece, and how far their smooth stand-ins are from them.

A stand-in is the function with every |z| in it replaced by sqrt(z^2 + e^2), or "a modulus of width e":

    0 <= sqrt(z^2 + e^2) - |z| = e^2/(sqrt(z^2 + e^2) + |z|) <= e, largest at z = 0.

Half of this, at most e/2, is called the rest here: what relu(z) = (z + |z|)/2 gains. Every stand-in is the function
plus a gap made of rests, and both float64 and balls compute it so: nothing cancels.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from gpac.errors import NumberError
from gpac.exact import to_arb, to_exact

Ball = Any


@dataclass(frozen=True)
class Smooth:
    """Parameter of a function with kinks.

    Attributes
    ----------
    delta : Fraction, >= 0
        The stand-in stays within `delta` of the function, everywhere; 0 is the function itself.
    numbers : tuple of Fraction
        What the function takes besides: (low, high) of "clip"; (factor, a, b) of "elu".
    """

    delta: Fraction
    numbers: tuple[Fraction, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "delta", to_delta(self.delta))
        object.__setattr__(self, "numbers", tuple(to_exact(v) for v in self.numbers))

    def __repr__(self) -> str:
        numbers = "".join(f"{float(v):g}, " for v in self.numbers)
        return numbers + (f"within {float(self.delta):.3g}" if self.delta else "with its kinks")


def to_delta(delta: Any) -> Fraction:
    """A distance as an exact number; raises `NumberError` unless it is a rational number of at least 0."""
    exact = to_exact(delta)
    if not isinstance(exact, Fraction) or exact < 0:
        raise NumberError(f"expected smooth to be a rational number of at least 0, such as 1e-3, got {delta!r}")
    return exact


@dataclass(frozen=True)
class Piece:
    """One branch, for low <= z <= high (None: no end): c0 + c1 z + c2 z^2, plus c exp(b z) with `exp` = (c, b)."""

    low: Fraction | None
    high: Fraction | None
    polynomial: tuple[Fraction, Fraction, Fraction]
    exp: tuple[Fraction, Fraction] | None = None

    def inside(self, z: Ball) -> bool:
        """Whether all of a ball lies strictly between the ends."""
        low, high = self.low, self.high
        return (low is None or bool(z > to_arb(low))) and (high is None or bool(z < to_arb(high)))

    def part(self, z: Ball) -> Ball | None:
        """A ball around what lies of z in this piece, None where nothing does."""
        low, high = z.lower(), z.upper()
        if (self.low is not None and high < to_arb(self.low)) or (self.high is not None and low > to_arb(self.high)):
            return None
        if self.low is not None and not low > to_arb(self.low):
            low = to_arb(self.low)
        if self.high is not None and not high < to_arb(self.high):
            high = to_arb(self.high)
        return low.union(high)

    def value(self, z: Ball) -> Ball:
        """The branch in balls."""
        c0, c1, c2 = map(to_arb, self.polynomial)
        y = c0 + c1 * z + c2 * (z * z) if self.polynomial[2] else c0 + c1 * z if self.polynomial[1] else c0
        return y if self.exp is None else y + to_arb(self.exp[0]) * _exp(to_arb(self.exp[1]) * z)

    def slope(self, z: Ball) -> Ball:
        """Its derivative in balls."""
        _, c1, c2 = map(to_arb, self.polynomial)
        y = c1 + 2 * c2 * z if self.polynomial[2] else c1
        return y if self.exp is None else y + to_arb(self.exp[0] * self.exp[1]) * _exp(to_arb(self.exp[1]) * z)


def hull(balls: list[Ball]) -> Ball:
    """A ball around several."""
    result = balls[0]
    for ball in balls[1:]:
        result = result.union(ball)
    return result


class Balls:
    """What gaps are made of, in balls."""

    number = staticmethod(to_arb)

    @staticmethod
    def rest(z: Ball, width: Fraction) -> Ball:
        """(sqrt(z^2 + width^2) - |z|)/2 over a ball: it falls as |z| grows."""
        return hull([_rest(to_arb(r), to_arb(width)) for r in (z.abs_lower(), z.abs_upper())])

    @staticmethod
    def below(z: Ball) -> Ball:
        """max(-z, 0)."""
        return (-z).max(0)

    @staticmethod
    def exp(z: Ball) -> Ball:
        """exp."""
        return _exp(z)

    @staticmethod
    def expm1(z: Ball) -> Ball:
        """exp(z) - 1."""
        return z.expm1()


def _exp(z: Ball) -> Ball:
    """exp from the ends: sharp for wide balls too."""
    return z.lower().exp().union(z.upper().exp()) if z.is_finite() else z.exp()


def _rest(r: Ball, width: Ball) -> Ball:
    if not r.is_finite():
        return r if r.is_nan() else to_arb(0)
    return width**2 / (2 * (r + (r**2 + width**2).sqrt()))


class Floats:
    """The same in float64."""

    number = staticmethod(float)
    exp, expm1 = staticmethod(np.exp), staticmethod(np.expm1)

    @staticmethod
    def rest(z: np.ndarray, width: Fraction) -> np.ndarray:
        """(sqrt(z^2 + width^2) - |z|)/2."""
        e = float(width)
        return 0.5 * e * (e / (np.abs(z) + np.hypot(z, e)))

    @staticmethod
    def below(z: np.ndarray) -> np.ndarray:
        """max(-z, 0)."""
        return np.maximum(-z, 0)
