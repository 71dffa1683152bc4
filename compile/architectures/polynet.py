"""PolyNet's two readings: a residual block of second order in the field.

The block x + F(x) + F(F(x)) is the second-order truncation of backward Euler (I - F)^{-1} x for a linear F = step f;
for a nonlinear one backward Euler's iteration x + F(x + F(x)) is what agrees with it.
Sources: Zhang, Li, Loy and Lin, CVPR 2017 (arXiv 1611.05725); Lu et al., ICML 2018, section 2.
"""

from __future__ import annotations

from fractions import Fraction

from ..value import Value
from .steps import Rates, weighted


def poly_sum(rates: Rates, h: Value, t: Fraction, step: Fraction) -> Value:
    """h + F(h) + F(F(h)), F = step f.

    The last term is step f(0) + O(step^2): unrolled deeper and deeper this tends to the flow of f(h) + f(0), which is
    that of f only where f(0) = 0.
    """
    first = weighted((step, rates(h, t)))
    return weighted((1, h), (1, first), (step, rates(first, t)))


def poly_nested(rates: Rates, h: Value, t: Fraction, step: Fraction) -> Value:
    """h + F(h + F(h)), F = step f: two iterations for backward Euler's equation y = h + F(y); order 1."""
    inner = weighted((1, h), (step, rates(h, t + step)))
    return weighted((1, h), (step, rates(inner, t + step)))
