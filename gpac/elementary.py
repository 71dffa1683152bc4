"""Elementary functions as *start values*: what sin, tanh, ... are at one point, in each arithmetic.

Integrators carry a function along in time; only their value at t = 0 needs one of these. Each entry gives
the function on float64 arrays (numpy or cupy), mpmath numbers, balls, and sympy expressions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Elementary:
    """One function of one real variable in four arithmetics; each takes (context, x, *parameters).

    The context is the array module, the mpmath context, None for balls, and the sympy module.
    """

    arrays: Callable[..., Any]
    mpmath: Callable[..., Any]
    balls: Callable[..., Any]
    sympy: Callable[..., Any]


def _plain(name: str, array_name: str | None = None, ball_name: str | None = None) -> Elementary:
    return Elementary(
        arrays=lambda xp, x: getattr(xp, array_name or name)(x),
        mpmath=lambda mp, x: getattr(mp, name)(x),
        balls=lambda _, x: getattr(x, ball_name or name)(),
        sympy=lambda sp, x: getattr(sp, name)(x),
    )


def _everywhere(formula: Callable[..., Any]) -> Elementary:
    return Elementary(formula, formula, formula, formula)


def _sech_squared(xp: Any, x: Any) -> Any:
    """By the exponential function, which array libraries have in vectors; no part of it overflows."""
    e = xp.exp(-2.0 * xp.abs(x))
    return 4.0 * e / (1.0 + e) ** 2


def _power_of_ball(_: Any, x: Any, exponent: Any) -> Any:
    from .exact import to_arb

    return x ** to_arb(exponent)


def _power_in_sympy(_: Any, x: Any, exponent: Any) -> Any:
    from .exact import to_sympy

    return x ** to_sympy(exponent)


def _power_of_mpf(mp: Any, x: Any, exponent: Any) -> Any:
    from .exact import to_mpf

    return x ** to_mpf(exponent, mp)


TABLE: dict[str, Elementary] = {
    "identity": _everywhere(lambda _, x: x),
    "exp": _plain("exp"),
    "log": _plain("log"),
    "sqrt": _plain("sqrt"),
    "sin": _plain("sin"),
    "cos": _plain("cos"),
    "tan": _plain("tan"),
    "tanh": _plain("tanh"),
    "arctan": _plain("atan", "arctan"),
    "reciprocal": _everywhere(lambda _, x: 1 / x),
    "reciprocal_sqrt": Elementary(
        lambda xp, x: 1 / xp.sqrt(x),
        lambda mp, x: 1 / mp.sqrt(x),
        lambda _, x: x.rsqrt(),
        lambda sp, x: 1 / sp.sqrt(x),
    ),
    "sech_squared": Elementary(
        _sech_squared,
        lambda mp, x: mp.sech(x) ** 2,
        lambda _, x: x.sech() ** 2,
        lambda sp, x: sp.sech(x) ** 2,
    ),
    "power": Elementary(
        lambda xp, x, exponent: x ** float(exponent),
        _power_of_mpf,
        _power_of_ball,
        _power_in_sympy,
    ),
}
