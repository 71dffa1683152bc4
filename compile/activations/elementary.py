"""exp, sin, cos, arctan, powers and exact factors."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

from gpac.exact import to_arb, to_exact
from gpac.functions import exp, reciprocal, sin_cos
from gpac.program import Invariant
from gpac.wire import Wire, integral, linear, product

from .rule import Ball, Carried, Rule, Setting
from .sigmoidal import at_most


def _exp(z: Wire, _: Any, setting: Setting) -> Carried:
    return Carried(linear([(1, exp(z))], -1), 1)


def _circle(z: Wire, label: str) -> tuple[Wire, Wire, Invariant]:
    s, c = sin_cos(z)
    one = linear([(1, product(s, s)), (1, product(c, c))])
    return s, c, Invariant(f"sin{label}^2 + cos{label}^2", one, Fraction(1))


def _sin(z: Wire, _: Any, setting: Setting) -> Carried:
    s, _c, invariant = _circle(z, setting.label)
    return Carried(s, 0, (invariant,))


def _cos(z: Wire, _: Any, setting: Setting) -> Carried:
    _s, c, invariant = _circle(z, setting.label)
    return Carried(linear([(1, c)], -1), 1, (invariant,))


def _arctan(z: Wire, _: Any, setting: Setting) -> Carried:
    denominator = linear([(1, product(z, z))], 1)
    w = reciprocal(denominator)
    one = Invariant(f"w{setting.label}(1 + z{setting.label}^2)", product(w, denominator), Fraction(1))
    return Carried(integral(w, z, setting.start("arctan", z, 0), name=f"arctan{setting.label}"), 0, (one,))


def _square(z: Wire, _: Any, setting: Setting) -> Carried:
    return Carried(product(z, z))


def _power(z: Wire, exponent: int, setting: Setting) -> Carried:
    return Carried(z**exponent)


def _factor(z: Wire, factor: Any, setting: Setting) -> Carried:
    factor = to_exact(factor)
    if isinstance(factor, Fraction):
        return Carried(linear([(factor, z)]))
    sign = -1 if factor.is_negative else 1
    return Carried(linear([(sign, setting.constant(sign * factor) * z)]))


def _power_ball(x: Ball, exponent: int) -> Ball:
    """By squaring: a power of a ball around 0 is no number for flint."""
    half = x if exponent < 4 else _power_ball(x, exponent // 2)
    square = half * half
    return square * x if exponent % 2 else square


def _power_slope(radius: Ball, exponent: int) -> Ball:
    return exponent * radius ** (exponent - 1)


def _pi_over_two(*_: Any) -> Ball:
    import flint

    return flint.arb.pi() / 2


FAMILY = {
    "exp": Rule(lambda x, _: np.exp(x), lambda x, _: x.exp(), _exp, lambda r, _: r.exp(), lambda r, _: r.exp()),
    "sin": Rule(lambda x, _: np.sin(x), lambda x, _: x.sin(), _sin, at_most(1), at_most(1)),
    "cos": Rule(lambda x, _: np.cos(x), lambda x, _: x.cos(), _cos, at_most(1), at_most(1)),
    "arctan": Rule(lambda x, _: np.arctan(x), lambda x, _: x.atan(), _arctan, at_most(1), _pi_over_two),
    "square": Rule(
        lambda x, _: x * x, lambda x, _: x * x, _square, lambda r, _: 2 * r, lambda r, _: r**2, polynomial=True
    ),
    "power": Rule(
        lambda x, n: x**n,
        _power_ball,
        _power,
        _power_slope,
        lambda r, n: r**n,
        parameter="exponent",
        polynomial=True,
    ),
    "factor": Rule(
        lambda x, c: float(c) * x,
        lambda x, c: to_arb(c) * x,
        _factor,
        lambda _, c: abs(to_arb(c)),
        lambda r, c: abs(to_arb(c)) * r,
        parameter="factor",
        polynomial=True,
    ),
}
