"""1/sqrt(z + a), sqrt(z + a), 1/(z + a) and ln(z + a) for z >= 0 and an offset a > 0: norms and quotients.

They are not defined around z = 0 on both sides, so they do not start there: the scheme raises z + a to a path
that starts at 1 and is positive throughout, where all of them have rational values.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

from gpac.exact import to_arb, to_exact
from gpac.functions import log, reciprocal, rsqrt, sqrt
from gpac.program import Invariant
from gpac.wire import Wire, linear, product

from .rule import Carried, Rule, Setting


def _base(offset: Any) -> Any:
    """The z with z + offset = 1."""
    return 1 - to_exact(offset)


def _least(offset: Any) -> Any:
    """The least z + offset on the way from 1: nothing here is steeper or larger than at that point."""
    return to_arb(min(to_exact(offset), Fraction(1)))


def _rsqrt(z: Wire, offset: Any, setting: Setting) -> Carried:
    v = setting.raised(z, offset)
    q = rsqrt(v)
    one = Invariant(f"q{setting.label}^2 v{setting.label}", product(product(q, q), v), Fraction(1))
    return Carried(linear([(1, q)], -1), 1, (one,))


def _sqrt(z: Wire, offset: Any, setting: Setting) -> Carried:
    return Carried(linear([(1, sqrt(setting.raised(z, offset)))], -1), 1)


def _reciprocal(z: Wire, offset: Any, setting: Setting) -> Carried:
    v = setting.raised(z, offset)
    r = reciprocal(v)
    return Carried(
        linear([(1, r)], -1), 1, (Invariant(f"r{setting.label} v{setting.label}", product(r, v), Fraction(1)),)
    )


def _log(z: Wire, offset: Any, setting: Setting) -> Carried:
    return Carried(log(setting.raised(z, offset)))


def _root_rule(power: Fraction, circuit: Any) -> Rule:
    """(z + a)^power: steepest at z = 0; largest there too for a negative power."""
    exponent = float(power)

    def ball(x: Any, offset: Any) -> Any:
        v = x + to_arb(offset)
        return {Fraction(-1, 2): v.rsqrt, Fraction(1, 2): v.sqrt, Fraction(-1): lambda: 1 / v}[power]()

    return Rule(
        lambda x, a: (x + float(a)) ** exponent,
        ball,
        circuit,
        lambda _, a: abs(to_arb(power)) * _least(a) ** to_arb(power - 1),
        (lambda _, a: _least(a) ** to_arb(power)) if power < 0 else (lambda r, a: (r + to_arb(a) + 1) ** to_arb(power)),
        parameter="offset",
        nonnegative=True,
        base=_base,
    )


FAMILY = {
    "rsqrt": _root_rule(Fraction(-1, 2), _rsqrt),
    "sqrt": _root_rule(Fraction(1, 2), _sqrt),
    "reciprocal": _root_rule(Fraction(-1), _reciprocal),
    "log": Rule(
        lambda x, a: np.log(x + float(a)),
        lambda x, a: (x + to_arb(a)).log(),
        _log,
        lambda _, a: 1 / _least(a),
        lambda r, a: abs(_least(a).log()) + (r + to_arb(a) + 1).log(),
        parameter="offset",
        nonnegative=True,
        base=_base,
    ),
}
