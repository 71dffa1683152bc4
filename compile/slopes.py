"""Derivatives of activations in balls: their formulas applied to a value and its derivative."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gpac.exact import to_arb

Ball = Any


@dataclass(frozen=True, eq=False)
class Dual:
    """A ball and the derivative there; it has those methods of `flint.arb` that activations use."""

    value: Ball
    slope: Ball

    def _by(self, value: Ball, factor: Ball) -> Dual:
        return Dual(value, factor * self.slope)

    def __add__(self, other: Any) -> Dual:
        if isinstance(other, Dual):
            return Dual(self.value + other.value, self.slope + other.slope)
        return Dual(self.value + other, self.slope)

    __radd__ = __add__

    def __neg__(self) -> Dual:
        return Dual(-self.value, -self.slope)

    def __sub__(self, other: Any) -> Dual:
        return self + -other

    def __rsub__(self, other: Any) -> Dual:
        return -self + other

    def __mul__(self, other: Any) -> Dual:
        if isinstance(other, Dual):
            return Dual(self.value * other.value, self.slope * other.value + self.value * other.slope)
        return Dual(self.value * other, self.slope * other)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Dual:
        return Dual(self.value / other, self.slope / other)

    def __rtruediv__(self, other: Any) -> Dual:
        return self._by(other / self.value, -other / (self.value * self.value))

    def exp(self) -> Dual:
        """exp."""
        return self._by(self.value.exp(), self.value.exp())

    def log(self) -> Dual:
        """log."""
        return self._by(self.value.log(), 1 / self.value)

    def log1p(self) -> Dual:
        """log(1 + x)."""
        return self._by(self.value.log1p(), 1 / (1 + self.value))

    def tanh(self) -> Dual:
        """tanh."""
        return self._by(self.value.tanh(), self.value.sech() * self.value.sech())

    def sin(self) -> Dual:
        """sin."""
        return self._by(self.value.sin(), self.value.cos())

    def cos(self) -> Dual:
        """cos."""
        return self._by(self.value.cos(), -self.value.sin())

    def atan(self) -> Dual:
        """arctan."""
        return self._by(self.value.atan(), 1 / (1 + self.value * self.value))

    def sqrt(self) -> Dual:
        """Square root."""
        return self._by(self.value.sqrt(), self.value.rsqrt() / 2)

    def rsqrt(self) -> Dual:
        """1/sqrt."""
        return self._by(self.value.rsqrt(), -self.value.rsqrt() / (2 * self.value))

    def erf(self) -> Dual:
        """The error function."""
        return self._by(self.value.erf(), _bell(self.value))

    def erfc(self) -> Dual:
        """1 - erf."""
        return self._by(self.value.erfc(), -_bell(self.value))


def _bell(x: Ball) -> Ball:
    import flint

    return 2 / flint.arb.pi().sqrt() * (-(x * x)).exp()


def slope_over(rule: Any, parameter: Any, z: Ball) -> Ball:
    """A ball that contains all slopes of an activation over the ball z (of one with kinks: not of its stand-in)."""
    if rule.kinks is not None:
        return rule.kinks.slope(z, parameter)
    found = rule.ball(Dual(z, to_arb(1)), parameter).slope
    if rule.nonnegative:
        return found
    most = rule.slope(z.abs_upper(), parameter).abs_upper()
    if not found.is_finite():
        return most.union(-most)
    return found.intersection(most.union(-most))
