"""How large balls are, and how long a step: numbers that guide the prover and prove nothing."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import frexp, inf, log2

from .balls import Values
from .matrix import Ball
from .slopes import Key


def log2_ball(ball: Ball) -> float | None:
    """log2 of the upper end of |ball|, or None for zero."""
    man, exp = ball.abs_upper().man_exp()
    bits = int(man).bit_length()
    return bits + int(exp) if bits else None


def largest(state: Values, keys: Sequence[Key]) -> Ball:
    """The largest |entry|: a ball without width, since a double may be too small for it."""
    return max(state[w][i].abs_upper() for w, i in keys)


def widest(state: Values, keys: Sequence[Key]) -> float:
    """Largest radius relative to max(1, largest entry), as a power of two; inf where a ball is not finite."""
    balls = [state[w][i] for w, i in keys]
    if not all(b.is_finite() for b in balls):
        return inf
    widths = [x for x in (log2_ball(b.rad()) for b in balls) if x is not None]
    size = max(x for x in (0, *(log2_ball(b) for b in balls)) if x is not None)
    return max(widths, default=-inf) - size


def radius_of_convergence(c: Values, keys: Sequence[Key], order: int) -> float:
    """Estimate from coefficients up to `order`: the root test on the last third of them."""
    mantissa, exponent = max(c[w][i][0].abs_upper() for w, i in keys).man_exp()
    scale = max(0.0, log2(max(1, int(mantissa))) + int(exponent))
    smallest = inf
    for w, i in keys:
        for k in range(-(-2 * order // 3), order + 1):
            size = log2_ball(c[w][i][k])
            if size is not None:
                smallest = min(smallest, (scale - size) / k)
    return 2.0 ** min(smallest, 1000.0)


def dyadic(value: float) -> Fraction:
    """Rounded down to 20 significant bits, so that times stay short numbers."""
    mantissa, exponent = frexp(value)
    return Fraction(int(mantissa * 2**20)) * Fraction(2) ** (exponent - 20)


def shortened(h: Fraction, factor: float) -> Fraction:
    """About factor * h, rounded down to 20 significant bits."""
    part = h * Fraction(factor)
    shift = part.denominator.bit_length() - part.numerator.bit_length() + 20
    scale = Fraction(2) ** shift
    return Fraction(int(part * scale)) / scale
