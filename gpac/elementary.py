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
    """By cosh, which array libraries have in vectors; where that overflows, this is 0."""
    sech = 1.0 / xp.cosh(x)
    return sech * sech


def _power_of_ball(_: Any, x: Any, exponent: Any) -> Any:
    from .exact import to_arb

    return x ** to_arb(exponent)


def _power_in_sympy(_: Any, x: Any, exponent: Any) -> Any:
    from .exact import to_sympy

    return x ** to_sympy(exponent)


def _power_of_mpf(mp: Any, x: Any, exponent: Any) -> Any:
    from .exact import to_mpf

    return x ** to_mpf(exponent, mp)


def _bell_area_of_arrays(xp: Any, x: Any, factor: Any) -> Any:
    """The integral of exp(-factor s^2) from 0 to x, which is sqrt(pi / (4 factor)) erf(sqrt(factor) x)."""
    if xp.__name__ == "cupy":
        from cupyx.scipy.special import erf
    else:
        from scipy.special import erf
    root = float(factor) ** 0.5
    return (xp.pi**0.5 / 2 / root) * erf(root * x)


def _bell_area_of_mpf(mp: Any, x: Any, factor: Any) -> Any:
    from .exact import to_mpf

    root = mp.sqrt(to_mpf(factor, mp))
    return mp.sqrt(mp.pi) / 2 / root * mp.erf(root * x)


def _bell_area_of_ball(_: Any, x: Any, factor: Any) -> Any:
    import flint

    from .exact import to_arb

    root = to_arb(factor).sqrt()
    return flint.arb.pi().sqrt() / 2 / root * (root * x).erf()


def _bell_area_in_sympy(sp: Any, x: Any, factor: Any) -> Any:
    from .exact import to_sympy

    root = sp.sqrt(to_sympy(factor))
    return sp.sqrt(sp.pi) / 2 / root * sp.erf(root * x)


def _to_mpf(mp: Any, value: Any) -> Any:
    from .exact import to_mpf

    return to_mpf(value, mp)


def _to_ball(value: Any) -> Any:
    from .exact import to_arb

    return to_arb(value)


def _modulus_of_mpf(mp: Any, x: Any, width: Any) -> Any:
    return mp.sqrt(x * x + _to_mpf(mp, width) ** 2)


def _modulus_of_ball(x: Any, width: Any) -> Any:
    return (x * x + _to_ball(width) ** 2).sqrt()


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
    "softplus": Elementary(
        lambda xp, x: xp.logaddexp(x, 0.0),
        lambda mp, x: mp.log1p(mp.exp(x)),
        lambda _, x: x.exp().log1p(),
        lambda sp, x: sp.log(1 + sp.exp(x)),
    ),
    "bell_area": Elementary(_bell_area_of_arrays, _bell_area_of_mpf, _bell_area_of_ball, _bell_area_in_sympy),
    "circle_sine": Elementary(
        lambda xp, x, width: x / xp.hypot(x, float(width)),
        lambda mp, x, width: x / _modulus_of_mpf(mp, x, width),
        lambda _, x, width: x / _modulus_of_ball(x, width),
        lambda sp, x, width: x / sp.sqrt(x**2 + width**2),
    ),
    "circle_cosine": Elementary(
        lambda xp, x, width: float(width) / xp.hypot(x, float(width)),
        lambda mp, x, width: _to_mpf(mp, width) / _modulus_of_mpf(mp, x, width),
        lambda _, x, width: _to_ball(width) / _modulus_of_ball(x, width),
        lambda sp, x, width: sp.Rational(width.numerator, width.denominator) / sp.sqrt(x**2 + width**2),
    ),
    "power": Elementary(
        lambda xp, x, exponent: x ** float(exponent),
        _power_of_mpf,
        _power_of_ball,
        _power_in_sympy,
    ),
}
