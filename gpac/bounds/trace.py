"""Arithmetic written down instead of done, and the few functions that NumPy has no words for on such numbers.

The derivations of `gpac.bounds` are written once, over arrays. On arrays of doubles they compute; on arrays of
`Number` objects, with one row, the same lines leave a list of operations behind, of which `gpac.bounds.kernel` makes
machine code for vectors of rows. Zeros and ones that are known drop out on the way: products with an entry that is
zero for every row, of which models of sparse Jacobians have many, cost nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Array = Any
LONGEST = 80_000
"""Operations that a list may have: compiling takes 0.1 s for a thousand."""


class TooLong(Exception):
    """More operations than allowed."""


class Trace:
    """A list of at most so many operations (name, operands); an operand is the place of an earlier one, or a float."""

    def __init__(self, most: int = LONGEST) -> None:
        self.most = most
        self.operations: list[tuple[Any, ...]] = []
        self.count = 0
        self._places: dict[tuple[Any, ...], int] = {}

    def inputs(self, *shape: int) -> Array:
        """An array of numbers not yet known, numbered from 0 over all calls in the order of their entries."""
        out = np.empty(shape, dtype=object)
        for index in np.ndindex(shape):
            out[index] = self.add("input", self.count)
            self.count += 1
        return out

    def add(self, name: str, *operands: Any) -> Number:
        """Note an operation, or find it where it was noted before."""
        key = (name, *(o.place if isinstance(o, Number) else float(o) for o in operands))
        typed = (*key, *(isinstance(o, Number) for o in operands))
        if typed not in self._places:
            if len(self.operations) >= self.most:
                raise TooLong
            self._places[typed] = len(self.operations)
            self.operations.append(key)
        return Number(self, self._places[typed])


class Number:
    """The result of an operation that was written down."""

    __slots__ = ("place", "trace")

    def __init__(self, trace: Trace, place: int) -> None:
        self.trace, self.place = trace, place

    def __add__(self, other: Any) -> Any:
        return self if _is(other, 0) else self.trace.add("fadd", self, other)

    __radd__ = __add__

    def __sub__(self, other: Any) -> Any:
        return self if _is(other, 0) else self.trace.add("fsub", self, other)

    def __rsub__(self, other: Any) -> Any:
        return -self if _is(other, 0) else self.trace.add("fsub", other, self)

    def __mul__(self, other: Any) -> Any:
        if _is(other, 0):
            return 0.0
        if _is(other, 1):
            return self
        return -self if _is(other, -1) else self.trace.add("fmul", self, other)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Any:
        return self if _is(other, 1) else self.trace.add("fdiv", self, other)

    def __rtruediv__(self, other: Any) -> Any:
        return 0.0 if _is(other, 0) else self.trace.add("fdiv", other, self)

    def __neg__(self) -> Any:
        return self.trace.add("fneg", self)

    def __abs__(self) -> Any:
        return self.trace.add("fabs", self)

    def sqrt(self) -> Any:
        """The square root, rounded; NumPy calls it."""
        return self.trace.add("sqrt", self)


def _is(value: Any, number: float) -> bool:
    return not isinstance(value, Number) and value == number


def _joined(name: str, on_doubles: Callable[..., Any]) -> Callable[..., Any]:
    """An operation on several numbers, some of which may be known."""

    def operation(*operands: Any) -> Any:
        for o in operands:
            if isinstance(o, Number):
                return o.trace.add(name, *operands)
        return float(on_doubles(*operands))

    return operation


_LARGER = np.frompyfunc(_joined("maximum", np.maximum), 2, 1)
_SMALLER = np.frompyfunc(_joined("minimum", np.minimum), 2, 1)
_LESS = np.frompyfunc(_joined("less", lambda a, b, x, y: np.where(a < b, x, y)), 4, 1)
_AT_MOST = np.frompyfunc(_joined("at most", lambda a, b, x, y: np.where(a <= b, x, y)), 4, 1)


def written(*arrays: Array) -> bool:
    """Whether any of the arrays has numbers that are not known."""
    return any(isinstance(a, np.ndarray) and a.dtype.kind == "O" for a in arrays)


def larger(a: Array, b: Array) -> Array:
    """The maximum, entry by entry; NaN where either is."""
    return _LARGER(a, b) if written(a, b) else np.maximum(a, b)


def smaller(a: Array, b: Array) -> Array:
    """The minimum, entry by entry; NaN where either is."""
    return _SMALLER(a, b) if written(a, b) else np.minimum(a, b)


def largest(a: Array) -> Array:
    """The maximum along the first axis."""
    return _LARGER.reduce(a, axis=0) if written(a) else a.max(axis=0)


def where_less(a: Array, b: Array, x: Array, y: Array) -> Array:
    """x where a < b, and else y (where either is NaN, too)."""
    return _LESS(a, b, x, y) if written(a, b, x, y) else np.where(a < b, x, y)


def where_at_most(a: Array, b: Array, x: Array, y: Array) -> Array:
    """x where a <= b, and else y (where either is NaN, too)."""
    return _AT_MOST(a, b, x, y) if written(a, b, x, y) else np.where(a <= b, x, y)


def zeros(shape: tuple[int, ...], *like: Array) -> Array:
    """Zeros in which results of operations on the arrays `like` find room."""
    return np.zeros(shape, dtype=object if written(*like) else float)


def rounded(a: Array) -> Array:
    """The doubles that `a` is rounded to, for what must be the same number wherever it is used.

    Elsewhere a product may go into a sum unrounded.
    """
    return np.frompyfunc(lambda x: x.trace.add("rounded", x) if isinstance(x, Number) else x, 1, 1)(a)


def fused(a: Any, b: Any, c: Any) -> Any:
    """a b + c, rounded once, for single numbers of which one at least is not known."""
    trace = next(x.trace for x in (a, b, c) if isinstance(x, Number))
    return trace.add("fma", a, b, c)
