"""FractalNet with two columns as a Runge-Kutta method of two stages.

u+ = k1 u + k2 v + f2(v) with v = k3 u + f1(u), f1 = a step f and f2 = b step f. Source: Larsson, Maire and
Shakhnarovich, ICLR 2017 (arXiv 1605.07648); the reading is Lu et al.'s, ICML 2018, section 2.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from ..value import Value
from .steps import Rates, weighted


@dataclass(frozen=True)
class Fractal:
    """The method with these coefficients, exact; call it as one step."""

    k1: Fraction
    k2: Fraction
    k3: Fraction
    a: Fraction
    b: Fraction

    @property
    def order(self) -> int:
        """Order for autonomous fields, from the order conditions: 0 for a method that does not converge.

        k1 + k2 k3 = 1, k3 = 1 where b f is taken there, k2 a + b = 1; then a b = 1/2 for order 2.
        """
        consistent = self.k1 + self.k2 * self.k3 == 1 and (self.k3 == 1 or self.b == 0)
        if not consistent or self.k2 * self.a + self.b != 1:
            return 0
        return 2 if self.a * self.b == Fraction(1, 2) else 1

    def __call__(self, rates: Rates, h: Value, t: Fraction, step: Fraction) -> Value:
        """One step; the second column takes the field at t + a step."""
        v = weighted((self.k3, h), (self.a * step, rates(h, t)))
        return weighted((self.k1, h), (self.k2, v), (self.b * step, rates(v, t + self.a * step)))


HALF, ONE, ZERO = Fraction(1, 2), Fraction(1), Fraction(0)
MIDPOINT = Fractal(ONE, ZERO, ONE, HALF, ONE)
"""u + step f(u + step/2 f(u)), written without the second column's skip."""
HEUN = Fractal(HALF, HALF, ONE, ONE, HALF)
"""u + step/2 (f(u) + f(u + step f(u)))."""
