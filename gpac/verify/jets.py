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


def _power(x: Series, exponent: Any) -> Series:
    """x**a with a x**(a-1) and a (a-1) x**(a-2) / 2."""
    a = to_arb(exponent)
    return flint.arb_series([x[0] ** a, a * x[0] ** (a - 1), a * (a - 1) * x[0] ** (a - 2) / 2], prec=3)


def _bell_area(x: Series, factor: Any) -> Series:
    """Its slope is the bell exp(-factor x^2)."""
    c, area = to_arb(factor), TABLE["bell_area"].balls(None, x[0], factor)
    bell = (-c * x[0] ** 2).exp()
    return flint.arb_series([area, bell, -c * x[0] * bell], prec=3)


def _on_circle(x: Series, width: Any) -> Series:
    """1 / sqrt(x^2 + width^2)."""
    return (x * x + to_arb(width) ** 2).rsqrt()


_SERIES: dict[str, Callable[..., Series]] = {
    "identity": lambda x: x,
    "reciprocal": lambda x: 1 / x,
    "reciprocal_sqrt": lambda x: x.rsqrt(),
    "tanh": _tanh,
    "sech_squared": _sech_squared,
    "power": _power,
    "arctan": lambda x: x.atan(),
    "softplus": lambda x: (1 + x.exp()).log(),
    "bell_area": _bell_area,
    "circle_sine": lambda x, width: x * _on_circle(x, width),
    "circle_cosine": lambda x, width: to_arb(width) * _on_circle(x, width),
    **{name: lambda x, name=name: getattr(x, name)() for name in ("exp", "log", "sqrt", "sin", "cos", "tan")},
}
