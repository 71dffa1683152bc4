"""Functions of the time within a step, enclosed point by point: polynomials in 0 <= s <= 1 with ball coefficients.

At every s the function lies in the ball that the polynomial gives there; what is too high in degree, or unknown,
goes into the radius of the first coefficient. A polynomial of degree 0 is a plain ball.
Source: Taylor models of one variable, Makino and Berz, Reliable Computing 5 (1999) 3-12.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import flint

from .matrix import Ball

Model: TypeAlias = Any
"""A ball (the same at all s) or an `arb_poly` in s."""
UNIT = flint.arb(0.5, 0.5)


def model(coefficients: list[Ball], h: Ball, error: Ball, degree: int) -> Model:
    """sum of c_k (h s)**k, known up to `error` >= 0."""
    whole = flint.arb(0).union(h)
    if degree == 0:
        return flint.arb_poly(coefficients)(whole) + flint.arb(0, error)
    power, low = flint.arb(1), []
    for c in coefficients[: degree + 1]:
        low.append(c * power)
        power = power * h
    if len(coefficients) > degree + 1:
        high = flint.arb_poly(coefficients[degree + 1 :])(whole) * power
        error = error + high.abs_upper()
    low[0] = low[0] + flint.arb(0, error)
    return flint.arb_poly(low)


def hull(x: Model) -> Ball:
    """A ball that contains all values."""
    return x(UNIT) if isinstance(x, flint.arb_poly) else x


def widened(x: Model, radius: Ball) -> Model:
    """The functions that differ from these by at most `radius`."""
    return x + flint.arb(0, radius)


def multiply(x: Model, y: Model, degree: int) -> Model:
    """The product, cut to the degree."""
    xy = x * y
    if not isinstance(xy, flint.arb_poly) or xy.length() <= degree + 1:
        return xy
    return xy.truncate(degree + 1) + flint.arb(0, xy.right_shift(degree + 1)(UNIT).abs_upper())


def coefficients(x: Model) -> list[Ball]:
    """Coefficients from the lowest on."""
    return list(x.coeffs()) if isinstance(x, flint.arb_poly) else [x]
