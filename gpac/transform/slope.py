"""Derivatives of start values: f'(x(0)) for every function of `gpac.elementary.TABLE`, as wires."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

from ..wire import Start, Wire, constant, integral, linear, product

HALF = Fraction(1, 2)


def slope_at_start(start: Start) -> Wire:
    """A wire whose value at all times is f'(x(0)), for the start value f(x(0)).

    Its parts are integrators that stand still: what they start from is again an elementary function.
    """
    return SLOPES[start.function](start.wire, *start.parameters)


def _held(function: str, x: Wire, *parameters: Any) -> Wire:
    """function(x(0)) for all times."""
    return integral(0, None, Start(function, x, parameters), name=function)


def _tan(x: Wire) -> Wire:
    tan = _held("tan", x)
    return linear([(1, product(tan, tan))], 1)


def _reciprocal(x: Wire) -> Wire:
    reciprocal = _held("reciprocal", x)
    return linear([(-1, product(reciprocal, reciprocal))])


def _reciprocal_sqrt(x: Wire) -> Wire:
    root = _held("reciprocal_sqrt", x)
    return linear([(-HALF, product(product(root, root), root))])


def _cube(last: str, x: Wire, width: Fraction) -> Wire:
    """The square of the cosine times another function of the circle."""
    cosine = _held("circle_cosine", x, width)
    return product(product(cosine, cosine), _held(last, x, width))


SLOPES: dict[str, Callable[..., Wire]] = {
    "identity": lambda x: constant([1] * x.size),
    "exp": lambda x: _held("exp", x),
    "log": lambda x: _held("reciprocal", x),
    "sqrt": lambda x: linear([(HALF, _held("reciprocal_sqrt", x))]),
    "sin": lambda x: _held("cos", x),
    "cos": lambda x: linear([(-1, _held("sin", x))]),
    "tan": _tan,
    "tanh": lambda x: _held("sech_squared", x),
    "arctan": lambda x: _held("reciprocal", linear([(1, product(x, x))], 1)),
    "reciprocal": _reciprocal,
    "reciprocal_sqrt": _reciprocal_sqrt,
    "softplus": lambda x: linear([(HALF, _held("tanh", linear([(HALF, x)])))], HALF),
    "bell_area": lambda x, factor: _held("exp", linear([(-factor, product(x, x))])),
    "sech_squared": lambda x: linear([(-2, product(_held("tanh", x), _held("sech_squared", x)))]),
    "circle_sine": lambda x, width: linear([(1 / width, _cube("circle_cosine", x, width))]),
    "circle_cosine": lambda x, width: linear([(-1 / width, _cube("circle_sine", x, width))]),
    "power": lambda x, exponent: linear([(exponent, _held("power", x, exponent - 1))]),
}
