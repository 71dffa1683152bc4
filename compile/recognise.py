"""Functions that files write in several steps, recognised as the one function they are.

x sigmoid(x) is SiLU, x (1 + erf(x / sqrt 2)) / 2 GELU, x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) / 2 its other form,
x tanh(softplus(x)) Mish, log(1 + exp(x)) softplus, 1 / (1 + exp(-x)) sigmoid. Steps of a file are exact otherwise;
only the irrational numbers of GELU, which no file can hold, are taken for what they are rounded from.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np

from gpac.exact import to_exact

from .operations import Activation, Affine, Multiply, Softmax
from .unit import Unit, is_one, unit_of

ROUNDED = 1e-6
"""Relative error of a number in a file that was rounded to float32, with room to spare; float16 is not recognised."""
CUBIC = 0.044715
MOST_LINES = 8
"""Factors and offsets that are looked through."""


def recognised_root(name: str, unit: Unit) -> Unit | None:
    """Two steps that are one function: 1/sqrt, log of sigmoid or softmax, log(1 + exp), 1/(1 + exp)."""
    operation = unit.operation
    if isinstance(operation, Activation):
        if (name, operation.name) == ("reciprocal", "sqrt"):
            return unit_of(Activation("rsqrt", operation.parameter), *unit.operands)
        if (name, operation.name) == ("log", "sigmoid"):
            return unit_of(Activation("log_sigmoid"), *unit.operands)
    if isinstance(operation, Softmax) and (name, operation.result) == ("log", "softmax"):
        return unit_of(Softmax(operation.groups, "log_softmax"), *unit.operands)
    if isinstance(operation, Affine) and len(unit.operands) == 1 and (operation.bias == 1).all():
        (matrix,), (below,) = operation.given, unit.operands
        if is_one(matrix) and below.operation == Activation("exp"):
            if name == "log":
                return unit_of(Activation("softplus"), *below.operands)
            if name == "reciprocal":
                mirrored = unit_of(Affine((-np.array(1.0),), np.zeros(1)), *below.operands)
                return unit_of(Activation("sigmoid"), mirrored)
    return None


def recognised_product(a: Unit, b: Unit) -> tuple[Fraction, Unit] | None:
    """A product of x and a gate of x as a number times SiLU, Mish or GELU of x."""
    for left, right in ((a, b), (b, a)):
        for s, none, x in _lines(left):
            for f, c, gate in _lines(right):
                if none == 0 and f != 0 and isinstance(gate.operation, Activation):
                    found = _gated(x, c / f, gate)
                    factor = None if found is None else s * f * (2 if c else 1)
                    if found is not None and isinstance(factor, Fraction):
                        return factor, unit_of(Activation(found), x)
    return None


def _gated(x: Unit, offset: Any, gate: Unit) -> str | None:
    """What x times (gate + offset) is, up to a factor 2 where the offset is 1."""
    assert isinstance(gate.operation, Activation)
    name, (argument,) = gate.operation.name, gate.operands
    if (name, offset) == ("sigmoid", 0) and argument is x:
        return "silu"
    if (name, offset) == ("tanh", 0) and argument.operation == Activation("softplus") and argument.operands[0] is x:
        return "mish"
    if (name, offset) == ("erf", 1):
        return "gelu" if any(y is x and c == 0 and _near(s, math.sqrt(0.5)) for s, c, y in _lines(argument)) else None
    if (name, offset) == ("tanh", 1):
        return "gelu_tanh" if any(c == 0 and _is_cubic(y, s, x) for s, c, y in _lines(argument)) else None
    return None


def _is_cubic(unit: Unit, factor: Any, x: Unit) -> bool:
    """Whether factor * unit is sqrt(2/pi) (x + 0.044715 x^3)."""
    operation = unit.operation
    if not isinstance(operation, Affine) or len(unit.operands) != 2 or operation.bias.any():
        return False
    linear, cubic = 0.0, 0.0
    for matrix, operand in zip(operation.given, unit.operands, strict=True):
        if hasattr(matrix, "tocsr") or matrix.ndim:
            return False
        for s, c, y in _lines(operand):
            scale = float(matrix) * float(s) * float(factor)
            if c == 0 and y is x:
                linear = scale
            elif c == 0 and _is_cube(y, x):
                cubic = scale
    root = math.sqrt(2 / math.pi)
    return _near(linear, root) and _near(cubic, root * CUBIC)


def _is_cube(unit: Unit, x: Unit) -> bool:
    if unit.operation == Activation("power", 3):
        return unit.operands[0] is x
    if not isinstance(unit.operation, Multiply) or unit.operation.einsum is not None:
        return False
    squares = [u for u in unit.operands if u.operation == Activation("square") and u.operands[0] is x]
    return len(squares) == 1 and x in unit.operands


def _lines(unit: Unit) -> Iterator[tuple[Any, Any, Unit]]:
    """All ways to see a unit, within a few steps, as factor * other + offset, with numbers for both."""
    factor, offset = Fraction(1), Fraction(0)
    yield factor, offset, unit
    for _ in range(MOST_LINES):
        operation = unit.operation
        if isinstance(operation, Activation) and operation.name == "factor":
            factor = factor * to_exact(operation.parameter)
        elif isinstance(operation, Affine) and _is_line(operation):
            offset = offset + factor * to_exact(operation.bias[0])
            factor = factor * to_exact(operation.weight.item())
        else:
            return
        (unit,) = unit.operands
        yield factor, offset, unit


def _is_line(operation: Affine) -> bool:
    if len(operation.given) != 1 or operation.given[0].ndim:
        return False
    return bool((operation.bias == operation.bias[0]).all())


def _near(value: Any, wanted: float) -> bool:
    return abs(float(value) - wanted) <= ROUNDED * abs(wanted)
