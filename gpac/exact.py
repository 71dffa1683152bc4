"""Exact numbers: how a float, a fraction or a symbolic constant enters the analog machine.

A Python or NumPy float is the dyadic rational that it is, never the decimal it was written as. Arrays
of exact numbers come in two forms: float64 where every entry is a double, and otherwise `object` with
entries `Fraction` or a constant `sympy.Expr` such as `sin(1)`.
"""

from __future__ import annotations

import numbers
from fractions import Fraction
from typing import Any, TypeAlias

import numpy as np

from .errors import NumberError

Exact: TypeAlias = Any
"""A `Fraction` or a constant real `sympy.Expr`."""


def to_exact(value: Any) -> Exact:
    """The exact number that `value` is: a `Fraction`, or a constant sympy expression.

    Accepts int, float (the dyadic rational it is), NumPy scalars, `Fraction`, `Decimal`, text such as "1/3" or
    "0.1", mpmath `mpf` (dyadic) and constant real sympy expressions. Raises `NumberError` for anything else,
    NaN and inf.

    >>> to_exact(0.1) == Fraction(1, 10), to_exact(0.5)
    (False, Fraction(1, 2))
    """
    if isinstance(value, Fraction):
        return value
    if isinstance(value, (numbers.Integral, np.bool_)):
        return Fraction(int(value))
    if isinstance(value, (float, np.floating)):
        if not np.isfinite(value):
            raise NumberError(f"expected a finite number, got {value!r}")
        return Fraction(*value.as_integer_ratio())
    if hasattr(value, "free_symbols"):
        return _from_sympy(value)
    if hasattr(value, "_mpf_"):
        if hasattr(value, "is_exact") and not value.is_exact():  # a flint ball reads as its midpoint
            raise NumberError(f"expected one exact number, got the ball {value}")
        return _from_mpf(value)
    try:
        return Fraction(value)
    except (TypeError, ValueError, OverflowError, ZeroDivisionError) as error:
        raise NumberError(f"expected a real number, got {value!r} of type {type(value).__name__}") from error


def _from_sympy(value: Any) -> Exact:
    if value.free_symbols:
        names = ", ".join(sorted(map(str, value.free_symbols)))
        raise NumberError(f"expected a constant, got {value}; give {names} a value first")
    if value.is_Rational:
        return Fraction(int(value.p), int(value.q))
    if value.is_Float:
        return _from_mpf(value)
    if value.is_real is False or value.is_finite is False or not value.is_comparable:
        raise NumberError(f"expected a finite real number, got {value}")
    return value


def _from_mpf(value: Any) -> Fraction:
    sign, mantissa, exponent, _ = value._mpf_
    if not mantissa and exponent:  # mpmath's code for inf and nan
        raise NumberError(f"expected a finite number, got {value}")
    return Fraction(-int(mantissa) if sign else int(mantissa)) * Fraction(2) ** int(exponent)


def exact_array(values: Any) -> np.ndarray:
    """`values` as an array of exact numbers: float64 where nothing is lost, else `object`.

    Doubles that can be written to are copied, and the copy cannot: what is built of them does not change with them.

    Raises `NumberError` where an entry is NaN, infinite or not a real number.

    >>> exact_array([1, 0.5]).dtype, exact_array([Fraction(1, 3)]).dtype
    (dtype('float64'), dtype('O'))
    """
    array = values if isinstance(values, np.ndarray) else _array_of(values)
    if array.dtype.kind == "f" and array.dtype.itemsize <= 8:
        own = array.astype(np.float64, copy=array.flags.writeable)
        if not np.isfinite(own).all():
            raise NumberError("expected finite numbers, got an array with NaN or inf in it")
        own.flags.writeable = False
        return own
    if array.size and array.dtype.kind in "iub" and int(array.max()) <= 2**53 and int(array.min()) >= -(2**53):
        return array.astype(np.float64)
    entries = array.reshape(-1).tolist()
    exact = {id(v): to_exact(v) for v in {id(v): v for v in entries}.values()}  # a bias of an image repeats few objects
    doubles = all(isinstance(v, Fraction) and _is_double(v) for v in exact.values())
    table = {k: float(v) for k, v in exact.items()} if doubles else exact
    result = np.empty(array.shape, dtype=np.float64 if doubles else object)
    result.reshape(-1)[:] = [table[id(v)] for v in entries]
    return result


def _array_of(values: Any) -> np.ndarray:
    """Numbers or nested lists of them as an array that has rounded none: NumPy makes one kind of mixed ones."""
    array = np.asarray(values)
    return array if array.dtype.kind in "fiub" and _of_one_kind(values) else np.array(values, dtype=object)


def _of_one_kind(values: Any) -> bool:
    if not isinstance(values, (list, tuple)):
        return True
    return len({type(v) for v in values}) <= 1 and all(map(_of_one_kind, values))


def _is_double(value: Fraction) -> bool:
    try:
        return Fraction(float(value)) == value
    except OverflowError:
        return False


def to_fractions(array: np.ndarray) -> np.ndarray:
    """An `object` array of the same exact numbers (the form in which sums and products stay exact)."""
    if array.dtype == object:
        return array
    out = np.empty(array.shape, dtype=object)
    for index, value in np.ndenumerate(array):
        out[index] = Fraction(value)
    return out


def to_floats(array: np.ndarray) -> np.ndarray:
    """The nearest doubles of an array of exact numbers."""
    return array if array.dtype == np.float64 else np.vectorize(float, otypes=[np.float64])(array)


def to_doubles(array: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The nearest doubles of an array of exact numbers, and the nearest doubles of what is left: 31 digits and more.

    >>> high, low = to_doubles(exact_array([Fraction(1, 3)]))
    >>> abs(Fraction(high[0]) + Fraction(low[0]) - Fraction(1, 3)) < Fraction(1, 2**108)
    True
    """
    if array.dtype == np.float64:
        return array, np.zeros(array.shape)
    parts = np.empty((2, *array.shape))
    for index, value in np.ndenumerate(array):
        number = value if isinstance(value, Fraction) else _near(value)
        high = float(number)
        parts[(0, *index)], parts[(1, *index)] = high, float(number - Fraction(high))
    return parts[0], parts[1]


def _near(value: Any) -> Fraction:
    """A fraction within fifty digits of a symbolic constant."""
    import mpmath

    context = mpmath.mp.clone()
    context.dps = 50
    return _from_mpf(to_mpf(value, context))


def to_sympy(value: Any) -> Any:
    """The exact number as a sympy number."""
    import sympy

    value = to_exact(value)
    return sympy.Rational(value.numerator, value.denominator) if isinstance(value, Fraction) else value


def to_text(x: Fraction) -> str:
    """A rational number as text for files: decimal, or hexadecimal where Python refuses so many decimal digits."""
    short = max(x.numerator.bit_length(), x.denominator.bit_length()) < 6000
    return str(x) if short else f"{x.numerator:#x}/{x.denominator:#x}"


def to_mpf(value: Any, context: Any) -> Any:
    """The number rounded to the working precision of the mpmath context `context`."""
    value = to_exact(value)
    if isinstance(value, Fraction):
        return context.mpf(value.numerator) / value.denominator
    return context.mpf(value.evalf(int(context.dps) + 10, maxn=10 * int(context.dps) + 400)._mpf_)


def to_arb(value: Any) -> Any:
    """A ball that contains the number, at flint's working precision (radius 0 where it is a double)."""
    import flint

    if isinstance(value, flint.arb):
        return value
    if isinstance(value, float):
        return flint.arb(value)
    value = to_exact(value)
    if isinstance(value, Fraction):
        return flint.arb(flint.fmpq(value.numerator, value.denominator))
    return _symbolic_ball(value)


FUNCTIONS = frozenset(
    (
        *("Abs", "exp", "log", "sin", "cos", "tan", "cot", "sec", "csc", "asin", "acos", "atan"),
        *("sinh", "cosh", "tanh", "coth", "sech", "csch", "asinh", "acosh", "atanh", "erf", "erfc", "gamma"),
    )
)
"""sympy functions of one argument that flint has under the same name."""


def _symbolic_ball(expression: Any) -> Any:
    """Evaluate a constant sympy expression in ball arithmetic, node by node."""
    import flint
    import sympy

    if expression.is_Rational:
        return flint.arb(flint.fmpq(int(expression.p), int(expression.q)))
    constants = {
        sympy.pi: flint.arb.pi,
        sympy.E: lambda: flint.arb(1).exp(),
        sympy.EulerGamma: lambda: flint.arb.const_euler(),
    }
    if expression in constants:
        return constants[expression]()
    arguments = [_symbolic_ball(argument) for argument in expression.args]
    if expression.is_Add:
        return sum(arguments[1:], arguments[0])
    if expression.is_Mul:
        return _product(arguments)
    if expression.is_Pow:
        return _power(arguments[0], expression.exp, arguments[1])
    name = type(expression).__name__
    if name not in FUNCTIONS or len(arguments) != 1:
        raise NumberError(f"the constant {expression} uses {name}, which has no ball version here")
    return abs(arguments[0]) if name == "Abs" else getattr(arguments[0], name)()


def _product(balls: list[Any]) -> Any:
    result = balls[0]
    for ball in balls[1:]:
        result = result * ball
    return result


def _power(base: Any, exponent: Any, exponent_ball: Any) -> Any:
    if exponent.is_Integer:
        return base ** int(exponent)
    if exponent.is_Rational and int(exponent.q) == 2:
        return base.sqrt() ** int(exponent.p)
    return base**exponent_ball
