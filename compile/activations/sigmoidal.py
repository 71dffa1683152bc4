"""tanh, sigmoid and what is made of them: softplus, log-sigmoid, SiLU, Mish, tanhshrink.

Every one is written with the pair u = tanh(z), d = 1 - u^2, which keeps its digits where neurons saturate.
sigmoid(z) = (1 + tanh(z/2))/2; softplus(z) = ln 2 + integral of sigmoid dz; tanh(softplus(0)) = tanh(ln 2) = 3/5.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

from gpac.functions import tanh_pair
from gpac.program import Invariant
from gpac.wire import Wire, integral, linear, product

from .rule import Array, Ball, Carried, Rule, Setting

HALF = Fraction(1, 2)
SILU_SLOPE, MISH_SLOPE = 1.0999, 1.0887
"""Just above the largest slopes, 1.09984 and 1.08849."""


def pair(z: Wire, setting: Setting, label: str, initial: tuple[Any, Any] = (0, 1)) -> tuple[Wire, Invariant]:
    """tanh(z), which starts as `initial` says in a program where z starts at its base, and u^2 + d = 1."""
    first = (setting.start("tanh", z, initial[0]), setting.start("sech_squared", z, initial[1]))
    u, d = tanh_pair(z, name=f"u{label}", initial=first)
    return u, Invariant(f"u{label}^2 + d{label}", linear([(1, product(u, u)), (1, d)]), Fraction(1))


def _tanh(z: Wire, _: Any, setting: Setting) -> Carried:
    u, invariant = pair(z, setting, setting.label)
    return Carried(u, 0, (invariant,))


def _sigmoid(z: Wire, _: Any, setting: Setting) -> Carried:
    u, invariant = pair(linear([(HALF, z)]), setting, setting.label)
    return Carried(linear([(HALF, u)]), HALF, (invariant,))


def _softplus(z: Wire, _: Any, setting: Setting) -> Carried:
    import sympy

    g = _sigmoid(z, None, setting)
    first = setting.start("softplus", z, 0)
    grown = integral(linear([(1, g.part)], HALF), z, first, name=f"softplus{setting.label}")
    return Carried(grown, sympy.log(2) if isinstance(first, int) else 0, g.invariants)


def _log_sigmoid(z: Wire, _: Any, setting: Setting) -> Carried:
    mirrored = _softplus(linear([(-1, z)]), None, setting)
    return Carried(linear([(-1, mirrored.part)]), -mirrored.constant, mirrored.invariants)


def _silu(z: Wire, _: Any, setting: Setting) -> Carried:
    g = _sigmoid(z, None, setting)
    return Carried(product(z, linear([(1, g.part)], HALF)), 0, g.invariants)


def _mish(z: Wire, _: Any, setting: Setting) -> Carried:
    soft = _softplus(z, None, setting)
    w, invariant = pair(soft.part, setting, f"{setting.label}m", (Fraction(3, 5), Fraction(16, 25)))
    return Carried(product(z, w), 0, (*soft.invariants, invariant))


def _tanhshrink(z: Wire, _: Any, setting: Setting) -> Carried:
    u, invariant = pair(z, setting, setting.label)
    return Carried(linear([(1, z), (-1, u)]), 0, (invariant,))


def _sigmoid_of(x: Array) -> Array:
    return 0.5 + 0.5 * np.tanh(0.5 * x)


def _softplus_of(x: Array) -> Array:
    return np.logaddexp(0.0, x)


def _sigmoid_ball(x: Ball) -> Ball:
    return 1 / (1 + (-x).exp())


def _softplus_ball(x: Ball) -> Ball:
    return x.exp().log1p()


def at_most(value: float) -> Any:
    """A bound that holds everywhere."""

    def bound(*_: Any) -> Ball:
        import flint

        return flint.arb(value)

    return bound


def as_large(radius: Ball, _: Any) -> Ball:
    """|f(z)| <= |z|."""
    return radius


def _with_log_2(radius: Ball, _: Any) -> Ball:
    import flint

    return radius + flint.arb(2).log()


FAMILY = {
    "tanh": Rule(lambda x, _: np.tanh(x), lambda x, _: x.tanh(), _tanh, at_most(1), at_most(1)),
    "sigmoid": Rule(lambda x, _: _sigmoid_of(x), lambda x, _: _sigmoid_ball(x), _sigmoid, at_most(0.25), at_most(1)),
    "softplus": Rule(lambda x, _: _softplus_of(x), lambda x, _: _softplus_ball(x), _softplus, at_most(1), _with_log_2),
    "log_sigmoid": Rule(
        lambda x, _: -_softplus_of(-x), lambda x, _: -_softplus_ball(-x), _log_sigmoid, at_most(1), _with_log_2
    ),
    "silu": Rule(
        lambda x, _: x * _sigmoid_of(x), lambda x, _: x * _sigmoid_ball(x), _silu, at_most(SILU_SLOPE), as_large
    ),
    "mish": Rule(
        lambda x, _: x * np.tanh(_softplus_of(x)),
        lambda x, _: x * _softplus_ball(x).tanh(),
        _mish,
        at_most(MISH_SLOPE),
        as_large,
    ),
    "tanhshrink": Rule(lambda x, _: x - np.tanh(x), lambda x, _: x - x.tanh(), _tanhshrink, at_most(1), as_large),
}
