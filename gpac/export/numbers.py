"""Exact numbers as JSON: nothing is rounded, and nothing that is read is executed.

2, -0.25, 1e-3             whole numbers, and decimals, which stand for the nearest double
"-8/3", "0x1f/0x20"        fractions, long ones hexadecimal
"sqrt(2)/2", "pi/4"        sums, products and quotients of rationals, pi, and exp, log and sqrt of small rationals
{"sin": [1]}, {"pi": []}, {"Mul": [2, {"Pow": [3, "1/3"]}]}
                           other constants, of the functions in `gpac.exact.FUNCTIONS`, sums, products and powers
"""

from __future__ import annotations

import ast
import re
from fractions import Fraction
from typing import Any

from ..allowance import spend
from ..errors import GpacError, LoadError
from ..exact import FUNCTIONS, to_exact, to_text
from .text import Json, shown

LONGEST_TEXT = 2000
"""Letters of an expression."""
EXPRESSION = 512
"""Steps (`gpac.allowance`) in which the text of an irrational number is read."""
DEEPEST = 50
_OPERATIONS = ("Add", "Mul", "Pow")
_CONSTANTS = ("pi", "E", "EulerGamma")
_DECIMAL = re.compile(r"[-+]?[0-9]{1,4000}(/[0-9]{1,4000}|(\.[0-9]{0,4000})?([eE][-+]?[0-9]{1,4})?)")
_HEXADECIMAL = re.compile(r"-?0x[0-9a-f]{1,1000000}/0x[0-9a-f]{1,1000000}")


def write_number(value: Any) -> Json:
    """An exact number as JSON; raises `GpacError` for constants that the format has no word for."""
    value = to_exact(value)
    return _rational(value) if isinstance(value, Fraction) else _constant(value)


def read_number(data: Json) -> Any:
    """The exact number that JSON stands for.

    Raises
    ------
    LoadError
        If it is none.
    NumberError
        If it is not real.
    """
    if isinstance(data, dict):
        return to_exact(_expression(data, 0))
    if isinstance(data, str):
        return _fraction(data) if _DECIMAL.fullmatch(data) or _HEXADECIMAL.fullmatch(data) else to_exact(_parsed(data))
    if isinstance(data, bool) or not isinstance(data, (int, float)):
        raise LoadError(f"expected a number, got {shown(data)}")
    return to_exact(data)


def read_rational(data: Json) -> Fraction:
    """A number that must be rational."""
    value = read_number(data)
    if not isinstance(value, Fraction):
        raise LoadError(f"expected a rational number, got {shown(data)}")
    return value


def _rational(value: Fraction) -> Json:
    if value.denominator == 1 and abs(value.numerator) <= 2**53:
        return int(value)
    try:
        double = float(value)
    except OverflowError:
        return to_text(value)
    return double if Fraction(double) == value else to_text(value)


def _fraction(text: str) -> Fraction:
    try:
        if "0x" not in text:
            return Fraction(text)
        above, below = text.split("/")
        return Fraction(int(above, 16), int(below, 16))
    except ZeroDivisionError:
        raise LoadError(f"expected a number, got a division by zero in {shown(text)}") from None


# -- constants as trees --------------------------------------------------------------------------------------


def _constant(value: Any) -> Json:
    """As text where that is read back as the same expression, else as a tree."""
    try:
        if _parsed(str(value)) == value:
            return str(value)
    except LoadError:
        pass
    return _tree(value)


def _tree(value: Any) -> Json:
    import sympy

    if value.is_Rational:
        return _rational(Fraction(int(value.p), int(value.q)))
    if str(value) in _CONSTANTS and value.is_Atom:
        return {str(value): []}
    name = type(value).__name__
    if name not in (*_OPERATIONS, *FUNCTIONS) or getattr(sympy, name, None) is not value.func:
        raise GpacError(f"the constant {value} cannot be written to a file: the format has no {name}")
    return {name: [_tree(part) for part in value.args]}


def _expression(data: Json, depth: int) -> Any:
    """A tree as a sympy expression, put together as it stands: nothing is simplified."""
    import sympy

    if not isinstance(data, dict):
        number = read_rational(data)
        return sympy.Rational(number.numerator, number.denominator)
    name, parts = next(iter(data.items()), ("", None))
    if depth > DEEPEST or len(data) != 1 or not isinstance(parts, list):
        raise LoadError(f'expected a constant such as {{"sin": [1]}}, got {shown(data)}')
    if name in _CONSTANTS and not parts:
        return getattr(sympy, name)
    fits = len(parts) == 1 if name in FUNCTIONS else len(parts) == 2 if name == "Pow" else name in ("Add", "Mul")
    if not fits or not parts:
        raise LoadError(f'expected a constant such as {{"sin": [1]}}, got {shown(name)} of {len(parts)}')
    return getattr(sympy, name)(*(_expression(part, depth + 1) for part in parts), evaluate=False)


# -- constants as text ---------------------------------------------------------------------------------------

_ARITHMETIC: dict[type, Any] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: a / b,
}


def _parsed(text: str) -> Any:
    """A sympy expression from a text such as "sqrt(2)/2"."""
    if len(text) > LONGEST_TEXT:
        raise LoadError(f"expected an exact number of at most {LONGEST_TEXT} letters, got {len(text)}")
    spend(steps=EXPRESSION)
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise LoadError(f"expected an exact number such as 1/3 or sqrt(2), got {shown(text)}") from None
    return _evaluated(tree, text)


def _evaluated(tree: Any, text: str) -> Any:
    """The expression of a syntax tree; only what is listed above is known."""
    import sympy

    if isinstance(tree, ast.Constant) and type(tree.value) is int:
        return sympy.Integer(tree.value)
    if isinstance(tree, ast.Name) and tree.id == "pi":
        return sympy.pi
    if isinstance(tree, ast.UnaryOp) and isinstance(tree.op, ast.USub):
        return -_evaluated(tree.operand, text)
    if isinstance(tree, ast.BinOp):
        left, right = _evaluated(tree.left, text), _evaluated(tree.right, text)
        if type(tree.op) in _ARITHMETIC and not (isinstance(tree.op, ast.Div) and right == 0):
            return _ARITHMETIC[type(tree.op)](left, right)
        half = right.is_Rational and right.q == 2 and abs(right.p) < 8
        if isinstance(tree.op, ast.Pow) and half and left.is_Rational and left > 0:
            return left**right
    if isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name) and len(tree.args) == 1 and not tree.keywords:
        argument = _evaluated(tree.args[0], text)
        if tree.func.id in ("exp", "log", "sqrt") and argument.is_Rational and 0 < argument < 1000:
            return getattr(sympy, tree.func.id)(argument)
    raise LoadError(f"expected an exact number such as 1/3 or sqrt(2), got {shown(text)}")
