"""The Gaussian exp(-z^2/2) and its integral: erf, GELU in its exact form and in the form with tanh.

E(z) = integral of exp(-s^2/2) ds from 0 to z; GELU(z) = z (1/2 + E(z)/sqrt(2 pi)); erf(z) = 2/sqrt(pi) times the
integral of exp(-s^2). The form with tanh (Hendrycks and Gimpel 2016) is z (1 + tanh(c (z + 0.044715 z^3)))/2 with
c = sqrt(2/pi) and the decimal 0.044715.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

from gpac.functions import exp
from gpac.wire import Wire, integral, linear, product

from .rule import Array, Ball, Carried, Rule, Setting
from .sigmoidal import HALF, as_large, at_most, pair

CUBIC = Fraction(44715, 10**6)
GELU_SLOPE = 1.13
"""Just above the largest slopes, 1.12890 (erf) and 1.12910 (tanh)."""


def _bell(z: Wire, factor: Fraction) -> Wire:
    """exp(-factor z^2), positive, from 1."""
    return exp(linear([(-factor, product(z, z))]))


def _gaussian(z: Wire, _: Any, setting: Setting) -> Carried:
    return Carried(linear([(1, _bell(z, HALF))], -1), 1)


def _erf(z: Wire, _: Any, setting: Setting) -> Carried:
    import sympy

    area = integral(_bell(z, Fraction(1)), z, setting.start("bell_area", z, 0, 1), name=f"area{setting.label}")
    return Carried(setting.constant(2 / sympy.sqrt(sympy.pi)) * area)


def _gelu(z: Wire, _: Any, setting: Setting) -> Carried:
    import sympy

    area = integral(_bell(z, HALF), z, setting.start("bell_area", z, 0, HALF), name=f"area{setting.label}")
    tail = setting.constant(1 / sympy.sqrt(2 * sympy.pi)) * product(z, area)
    return Carried(linear([(HALF, z), (1, tail)]))


def _gelu_tanh(z: Wire, _: Any, setting: Setting) -> Carried:
    import sympy

    cubic = linear([(1, z), (CUBIC, product(product(z, z), z))])
    argument = setting.constant(sympy.sqrt(2 / sympy.pi)) * cubic
    u, unity = pair(argument, setting, setting.label)
    return Carried(product(z, linear([(HALF, u)], HALF)), 0, (unity,))


def _erf_of(x: Array, _: Any = None) -> Array:
    from scipy.special import erf

    return erf(x)


def _gelu_of(x: Array, _: Any = None) -> Array:
    from scipy.special import ndtr

    return x * ndtr(x)


def _gelu_tanh_of(x: Array, _: Any = None) -> Array:
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + float(CUBIC) * x**3)))


def _gelu_ball(x: Ball, _: Any = None) -> Ball:
    import flint

    return x * (-x / flint.arb(2).sqrt()).erfc() / 2


def _gelu_tanh_ball(x: Ball, _: Any = None) -> Ball:
    import flint

    cubic = x + x * x * x * flint.arb(flint.fmpq(CUBIC.numerator, CUBIC.denominator))
    return x * (1 + ((2 / flint.arb.pi()).sqrt() * cubic).tanh()) / 2


FAMILY = {
    "gaussian": Rule(
        lambda x, _: np.exp(-0.5 * x * x),
        lambda x, _: (-(x * x) / 2).exp(),
        _gaussian,
        at_most(0.6066),  # exp(-1/2) = 0.60653
        at_most(1),
    ),
    "erf": Rule(_erf_of, lambda x, _: x.erf(), _erf, at_most(1.1284), at_most(1)),  # 2/sqrt(pi) = 1.12838
    "gelu": Rule(_gelu_of, _gelu_ball, _gelu, at_most(GELU_SLOPE), as_large),
    "gelu_tanh": Rule(_gelu_tanh_of, _gelu_tanh_ball, _gelu_tanh, at_most(GELU_SLOPE), as_large),
}
