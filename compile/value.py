"""Building networks: values with shapes, and the linear maps that move their entries.

    x = image = network_input((1, 28, 28))
    h = conv(x, weight, bias).apply("tanh")
    network = as_network(linear(h.reshape(-1), W, b))

A `Value` is frozen; what is built from it makes new values, and `as_network` collects what the last one needs.
Arrays are flattened row by row. Linear maps that only move entries (transpose, slice, concatenate, broadcast) are
sparse 0/1 matrices, composed exactly with the ones before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import prod
from typing import Any, TypeAlias

import numpy as np

from gpac.allowance import FRACTION, UNIT, spend
from gpac.errors import NumberError, ShapeError
from gpac.exact import exact_array, to_fractions

from .activations import refusal
from .groups import Groups
from .operations import Activation, Affine, Matrix, Multiply, Operation, Softmax
from .planned import Planned
from .recognise import recognised_product, recognised_root
from .unit import LARGEST_VALUE, Unit, is_one, unit_of

Shape: TypeAlias = tuple[int, ...]
ONE = np.array(1.0)
MOST_FRACTIONS = 2**19
"""Exact numbers in one division: they take a microsecond each."""


@dataclass(frozen=True, eq=False)
class Value:
    """The result of a unit, seen as an array of some shape."""

    unit: Unit
    shape: Shape
    __array_ufunc__ = None  # NumPy arrays leave `array + value` to the value

    @property
    def size(self) -> int:
        """Number of entries."""
        return self.unit.size

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def apply(self, name: str, parameter: Any = None) -> Value:
        """An activation, entry by entry."""
        return Value(unit_of(Activation(name, parameter), self.unit), self.shape)

    def reshape(self, *shape: int) -> Value:
        """The same entries in another shape; one size may be -1."""
        known = prod(n for n in shape if n != -1)
        full = tuple(self.size // max(known, 1) if n == -1 else n for n in shape)
        if prod(full) != self.size or shape.count(-1) > 1:
            raise ShapeError(f"a value of shape {self.shape} cannot take the shape {tuple(shape)}")
        return Value(self.unit, full)

    def pick(self, index: np.ndarray) -> Value:
        """The entries at `index` (places in the flattened value), in the shape of `index`."""
        index = np.asarray(index)
        if not 0 < index.size <= LARGEST_VALUE:
            raise ShapeError(f"the shape {index.shape} has {index.size} numbers, expected 1 to {LARGEST_VALUE}")
        flat, unit = index.reshape(-1), self.unit
        while unit.index is not None:
            flat, unit = unit.index[flat], unit.operands[0]
        if len(flat) == unit.size and flat[0] == 0 and flat[-1] == unit.size - 1 and (flat[1:] > flat[:-1]).all():
            return Value(unit, index.shape)
        spend(index.size, UNIT)
        operation = Affine((_selecting(flat, unit.size),), np.zeros(1))
        return Value(Unit(len(flat), operation, (unit,), flat), index.shape)

    @property
    def places(self) -> np.ndarray:
        """Place of every entry in the flattened value, in this shape."""
        return np.arange(self.size).reshape(self.shape)

    def part(self, number: int) -> Value:
        """Entry `number` along the first axis."""
        shape = self.shape[1:]
        return self.pick(np.arange(number * prod(shape), (number + 1) * prod(shape)).reshape(shape))

    def transpose(self, *axes: int) -> Value:
        """The axes in another order; without any, reversed."""
        return self.pick(self.places.transpose(axes or None))

    def __getitem__(self, key: Any) -> Value:
        return self.pick(self.places[key])

    def broadcast_to(self, shape: Shape) -> Value:
        """Repeated along axes of size 1, as NumPy does."""
        return self if shape == self.shape else self.pick(np.broadcast_to(self.places, shape))

    def sum(self, axes: Sequence[int], keep: bool = False) -> Value:
        """The sum over axes."""
        groups = Groups(labels(self.shape, axes))
        shape = tuple(1 if k in axes else n for k, n in enumerate(self.shape) if keep or k not in axes)
        summing = Planned((groups.count, groups.size), groups.size, lambda: groups.summing)
        return affine([(summing, self)], 0, shape)

    def mean(self, axes: Sequence[int], keep: bool = False) -> Value:
        """The mean over axes; 1/n is exact."""
        axes = [a % self.ndim for a in axes]
        return self.sum(axes, keep) * Fraction(1, prod(self.shape[a] for a in axes))

    def softmax(self, axis: int = -1, result: Any = "softmax") -> Value:
        """softmax or log_softmax along an axis, or logsumexp, which drops it."""
        axis %= self.ndim
        operation = Softmax(Groups(labels(self.shape, [axis])), result)
        shape = self.shape if result != "logsumexp" else self.shape[:axis] + self.shape[axis + 1 :]
        return Value(unit_of(operation, self.unit), shape)

    def __add__(self, other: Any) -> Value:
        if isinstance(other, Value):
            return _sum(self, other, 1.0)
        other = exact_array(other)
        shape = _broadcast(self.shape, other.shape)
        return _shifted(self.broadcast_to(shape), np.broadcast_to(other, shape).reshape(-1))

    __radd__ = __add__

    def __neg__(self) -> Value:
        return affine([(-ONE, self)], 0, self.shape)

    def __sub__(self, other: Any) -> Value:
        return _sum(self, other, -1.0) if isinstance(other, Value) else self + -exact_array(other)

    def __rsub__(self, other: Any) -> Value:
        return -self + other

    def __mul__(self, other: Any) -> Value:
        if isinstance(other, Value):
            return multiply(self, other)
        factor = exact_array(other)
        shape = _broadcast(self.shape, factor.shape)
        x = self.broadcast_to(shape)
        if factor.size == 1 and hasattr(factor.item(), "free_symbols"):
            return x.apply("factor", factor.item())
        if factor.size == 1:
            return x if factor.item() == 1 else affine([(factor.reshape(()), x)], 0, shape)
        return affine([(np.broadcast_to(factor, shape).reshape(-1), x)], 0, shape)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Value:
        if isinstance(other, Value):
            return self * root(other, "reciprocal")
        exact = exact_array(other)
        if exact.size > MOST_FRACTIONS:
            raise NumberError(f"expected at most {MOST_FRACTIONS} different divisors, got {exact.size}")
        spend(steps=FRACTION * exact.size)
        divisor = to_fractions(exact)
        if not divisor.all():
            raise NumberError("expected a divisor without zeros, got one with a zero entry")
        return self * exact_array(np.asarray(1 / divisor))


def network_input(shape: Sequence[int]) -> Value:
    """The input of a network, as an array of this shape."""
    shape = tuple(int(n) for n in shape)
    if not 0 < prod(shape) <= LARGEST_VALUE:
        raise ShapeError(f"expected an input of 1 to {LARGEST_VALUE} numbers, got the shape {shape}")
    return Value(Unit(prod(shape)), shape)


def constant(values: Any) -> Value:
    """The same exact numbers for every input."""
    array = exact_array(values)
    return Value(unit_of(Affine((), array.reshape(-1))), array.shape)


def affine(terms: Sequence[tuple[Matrix, Value]], bias: Any, shape: Shape) -> Value:
    """sum of matrix @ value over `terms`, plus bias, as an array of `shape`."""
    return Value(unit_of(Affine(tuple(m for m, _ in terms), bias), *(v.unit for _, v in terms)), tuple(shape))


def new_value(operation: Operation, *values: Value) -> Value:
    """The flat result of any operation on values."""
    unit = unit_of(operation, *(v.unit for v in values))
    return Value(unit, (unit.size,))


def einsum(subscripts: str, a: Value, b: Value) -> Value:
    """A bilinear map of two values; letters in both and not in the result are summed over."""
    operation = Multiply((subscripts.replace(" ", ""), a.shape, b.shape))
    return Value(unit_of(operation, a.unit, b.unit), operation.shape)


def multiply(a: Value, b: Value) -> Value:
    """The product entry by entry; axes of size 1 are repeated as NumPy does."""
    if a is b or (a.unit is b.unit and a.shape == b.shape):
        return a.apply("square")
    shape = _broadcast(a.shape, b.shape)
    if a.size == b.size == prod(shape):
        known = recognised_product(a.unit, b.unit)
        return Value(known[1], shape) * known[0] if known else Value(unit_of(Multiply(), a.unit, b.unit), shape)
    letters = "abcdefghijklmnopqrstuvwxyz"[: len(shape)]
    words, cores = [], []
    for x in (a, b):
        tail = zip(letters[len(shape) - x.ndim :], x.shape, strict=True)
        kept = [(c, n) for c, n in tail if n != 1]
        words.append("".join(c for c, _ in kept))
        cores.append(Value(x.unit, tuple(n for _, n in kept)))
    out = "".join(c for c in letters if c in words[0] + words[1])
    return Value(einsum(f"{words[0]},{words[1]}->{out}", *cores).unit, shape)


def selection(index: np.ndarray, size: int) -> Any:
    """Sparse (len(index), size): row i has a 1 in column index[i]."""
    from scipy.sparse import csr_matrix

    count = len(index)
    return csr_matrix((np.ones(count), index, np.arange(count + 1)), (count, size))


def _selecting(index: np.ndarray, size: int, factor: float = 1.0) -> Planned:
    """The matrix of `selection`, times a factor."""
    return Planned((index.size, size), index.size, lambda: factor * selection(index.reshape(-1), size))


def root(x: Value, name: str) -> Value:
    """ "rsqrt", "sqrt", "reciprocal" or "log" of x = v + c, for a positive constant c; 1/sqrt is one step.

    That v is never negative is checked by the schemes.
    """
    operation = x.unit.operation
    known = recognised_root(name, x.unit)
    if known is not None:
        return Value(known, x.shape)
    if name == "sqrt" and isinstance(operation, Activation) and operation.name == "square":
        raise ShapeError(refusal("abs"))
    offset = operation.bias[:1].tolist()[0] if isinstance(operation, Affine) else 0
    if not isinstance(operation, Affine) or (operation.bias != offset).any() or not offset > 0:
        raise ShapeError(
            f"{name} is supported of something that is never negative plus a positive constant, such as a mean of "
            "squares + eps; here no such constant is added"
        )
    below = Value(unit_of(Affine(operation.given, np.zeros(1)), *x.unit.operands), x.shape)
    if below.unit.operation is not None and len(operation.given) == 1 and is_one(operation.given[0]):
        below = Value(x.unit.operands[0], x.shape)
    return below.apply(name, offset)


def _sum(a: Value, b: Value, sign: float) -> Value:
    shape = _broadcast(a.shape, b.shape)
    return affine([(_spreading(a, shape), a), (_spreading(b, shape, sign), b)], 0, shape)


def _spreading(x: Value, shape: Shape, factor: float = 1.0) -> Any:
    """The matrix that broadcasts x to `shape`, times a factor."""
    if x.shape == shape:
        return factor * ONE
    spend(prod(shape))
    return _selecting(np.broadcast_to(x.places, shape), x.size, factor)


def _shifted(x: Value, offset: np.ndarray) -> Value:
    """x + offset; a linear map that had no offset takes it."""
    operation = x.unit.operation
    if not offset.any():
        return x
    if isinstance(operation, Affine) and operation.given and not operation.bias.any() and x.unit.index is None:
        return Value(unit_of(Affine(operation.given, offset), *x.unit.operands), x.shape)
    return affine([(ONE, x)], offset, x.shape)


def _broadcast(a: Shape, b: Shape) -> Shape:
    try:
        return tuple(np.broadcast_shapes(a, b))
    except ValueError:
        raise ShapeError(f"the shapes {a} and {b} do not go together") from None


def labels(shape: Shape, axes: Sequence[int]) -> np.ndarray:
    """Number of the group of every entry when `axes` are summed over."""
    spend(prod(shape))
    kept = [1 if k in axes else n for k, n in enumerate(shape)]
    return np.broadcast_to(np.arange(prod(kept)).reshape(kept), shape).reshape(-1)
