"""Elementary functions with their first two derivatives in balls: what start values make of a set of arguments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import flint

from ..elementary import TABLE
from ..exact import to_arb
from .matrix import Ball

Series: TypeAlias = Any
"""A `flint.arb_series` of length 3."""


def jet(function: str, x: Ball, parameters: tuple[Any, ...] = ()) -> tuple[Ball, Ball, Ball]:
    """Balls that contain f, f' and f'' of an entry of `gpac.elementary.TABLE` at every point of x.

    >>> jet("exp", flint.arb(0))
    (1.00000000000000, 1.00000000000000, 1.00000000000000)
    """
    value = TABLE[function].balls(None, x, *parameters)
    series = _SERIES[function](flint.arb_series([x, 1], prec=3), *parameters)
    return value, series[1], 2 * series[2]


def _tanh(x: Series) -> Series:
    """Its slope is sech^2, and the slope of that -2 tanh sech^2: no series of exponentials, whose balls grow."""
    u, d = x[0].tanh(), x[0].sech() ** 2
    return flint.arb_series([u, d, -u * d], prec=3)


def _sech_squared(x: Series) -> Series:
    u, d = x[0].tanh(), x[0].sech() ** 2
    return flint.arb_series([d, -2 * u * d, d * (2 * u * u - d)], prec=3)


def _reciprocal(x: Series) -> Series:
    """Balls that are not finite where x contains 0: the series of flint refuse that."""
    r = 1 / x[0]
    return flint.arb_series([r, -r * r, r**3], prec=3)


def _power(x: Series, exponent: Any) -> Series:
    """x**a with a x**(a-1) and a (a-1) x**(a-2) / 2."""
    a = to_arb(exponent)
    return flint.arb_series([x[0] ** a, a * x[0] ** (a - 1), a * (a - 1) * x[0] ** (a - 2) / 2], prec=3)


def _softplus(x: Series) -> Series:
    """Its slope is (1 + tanh(x/2)) / 2, and the slope of that sech(x/2)^2 / 4."""
    half = x[0] / 2
    return flint.arb_series([x[0].exp().log1p(), (1 + half.tanh()) / 2, half.sech() ** 2 / 8], prec=3)


def _bell_area(x: Series, factor: Any) -> Series:
    """Its slope is the bell exp(-a x^2), and the slope of that -2 a x exp(-a x^2)."""
    a = to_arb(factor)
    bell = (-a * x[0] ** 2).exp()
    return flint.arb_series([0, bell, -a * x[0] * bell], prec=3)


def _circle_sine(x: Series, width: Any) -> Series:
    """s = x / m, c = w / m, m^2 = x^2 + w^2: s' = c^3 / w and c' = -s c^2 / w."""
    s, c, w = _circle(x[0], width)
    return flint.arb_series([s, c**3 / w, -3 * c**4 * s / (2 * w * w)], prec=3)


def _circle_cosine(x: Series, width: Any) -> Series:
    s, c, w = _circle(x[0], width)
    return flint.arb_series([c, -s * c**2 / w, c**3 * (2 * s * s - c * c) / (2 * w * w)], prec=3)


def _circle(x: Ball, width: Any) -> tuple[Ball, Ball, Ball]:
    w = to_arb(width)
    return TABLE["circle_sine"].balls(None, x, width), TABLE["circle_cosine"].balls(None, x, width), w


_SERIES: dict[str, Callable[..., Series]] = {
    "identity": lambda x: x,
    "reciprocal": _reciprocal,
    "reciprocal_sqrt": lambda x: x.rsqrt(),
    "tanh": _tanh,
    "sech_squared": _sech_squared,
    "power": _power,
    "softplus": _softplus,
    "bell_area": _bell_area,
    "circle_sine": _circle_sine,
    "circle_cosine": _circle_cosine,
    "arctan": lambda x: x.atan(),
    **{name: lambda x, name=name: getattr(x, name)() for name in ("exp", "log", "sqrt", "sin", "cos", "tan")},
}
