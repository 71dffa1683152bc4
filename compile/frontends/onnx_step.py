"""One ONNX node as its operator sees it: inputs that are constants or values, and attributes, all checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from onnx import TensorProto

from compile.layers.attention import Masked
from compile.value import LARGEST_VALUE, Shape, Value, constant
from gpac.errors import LoadError, NumberError
from gpac.exact import exact_array


@dataclass(frozen=True, eq=False)
class Compared:
    """A comparison of a value with a constant: only a `Where` that means an analytic function can use it."""

    op: str
    value: Value
    constant: np.ndarray

    @property
    def shape(self) -> Shape:
        """Shape of the value."""
        return self.value.shape


Operand: TypeAlias = np.ndarray | Value | Masked | Compared
LARGEST_CONSTANT = 2**23
"""Numbers in a constant that is made of others."""
FLOATS = (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16)


@dataclass(frozen=True, eq=False)
class Step:
    """A node: its inputs (None where one is absent) and attributes, under the opset of the file."""

    op: str
    inputs: tuple[Operand | None, ...]
    attributes: dict[str, Any]
    opset: int = 17

    @property
    def moves(self) -> bool:
        """Whether an input depends on the network's input."""
        return any(isinstance(v, (Value, Masked, Compared)) for v in self.inputs)

    @property
    def shape(self) -> Shape:
        """Shape of the first input."""
        return self.operand(0).shape

    def operand(self, place: int) -> Operand:
        """The input at `place`, counted from 0."""
        value = self.inputs[place] if place < len(self.inputs) else None
        if value is None:
            raise LoadError(f"its input {place + 1} is missing")
        return value

    def value(self, place: int) -> Value:
        """The input at `place` as a value, also where it is a constant."""
        operand = self.operand(place)
        if isinstance(operand, Masked):
            raise LoadError(f"its input {place + 1} has entries of -inf, which can only go into a softmax")
        if isinstance(operand, Compared):
            raise LoadError(f"its input {place + 1} depends on the sign of a value, which is not analytic")
        return operand if isinstance(operand, Value) else constant(operand)

    def constant(self, place: int) -> np.ndarray:
        """The constant at `place`."""
        value = self.operand(place)
        if not isinstance(value, np.ndarray):
            raise LoadError(f"expected a constant as its input {place + 1}, got a value that depends on the input")
        return value

    def weights(self, place: int) -> np.ndarray:
        """The constant at `place` as float64, nothing lost."""
        array = exact_array(self.constant(place))
        if array.dtype == object:
            raise NumberError("expected weights that are float64 numbers exactly")
        return array

    def optional(self, place: int) -> np.ndarray | None:
        """The weights at `place`, or None where there are none."""
        return self.weights(place) if self.has(place) else None

    def has(self, place: int) -> bool:
        """Whether there is an input at `place`."""
        return place < len(self.inputs) and self.inputs[place] is not None

    def integer(self, name: str, default: int) -> int:
        """An integer attribute."""
        value = self.attributes.get(name, default)
        if not isinstance(value, int):
            raise LoadError(f"expected an integer as its attribute {name!r}, got {value!r:.60}")
        return value

    def number(self, name: str, default: float) -> float:
        """A real attribute."""
        value = self.attributes.get(name, default)
        if not isinstance(value, (int, float)):
            raise LoadError(f"expected a number as its attribute {name!r}, got {value!r:.60}")
        if not np.isfinite(value):
            raise NumberError(f"expected a finite number as its attribute {name!r}, got {value}")
        return value

    def text(self, name: str, default: str) -> str:
        """A text attribute."""
        value = self.attributes.get(name, default)
        if isinstance(value, bytes):
            value = value.decode("utf-8", "replace")
        if not isinstance(value, str):
            raise LoadError(f"expected a text as its attribute {name!r}, got {value!r:.60}")
        return value

    def integers(self, name: str, place: int | None = None) -> list[int] | None:
        """Integers given as an attribute or as the input at `place`; None if neither is there."""
        value = self.attributes.get(name)
        if value is None and place is not None and self.has(place):
            array = self.constant(place)
            if array.dtype.kind not in "iu" or array.ndim > 1:
                raise LoadError(f"expected a list of integers as its input {place + 1}")
            value = array.reshape(-1).tolist()
        if value is not None and not (isinstance(value, list) and all(isinstance(i, int) for i in value)):
            raise LoadError(f"expected a list of integers as its attribute {name!r}, got {value!r:.60}")
        return value

    def axes(self, name: str, place: int | None, rank: int) -> list[int] | None:
        """Axes counted from 0, each once."""
        axes = self.integers(name, place)
        if axes is None:
            return None
        found = [axis_of(a, rank) for a in axes]
        if len(set(found)) != len(found):
            raise LoadError(f"its axes {axes} name one axis twice")
        return found


def broadcast(first: Shape, second: Shape) -> Shape:
    """The shape of an operation entry by entry on two shapes."""
    try:
        shape = tuple(np.broadcast_shapes(first, second))
    except ValueError:
        raise LoadError(f"the shapes {first} and {second} do not go together") from None
    check_size(shape, LARGEST_CONSTANT)
    return shape


def check_size(shape: Shape, most: int = LARGEST_VALUE) -> None:
    """Raise `LoadError` for a value without numbers, or with absurdly many."""
    count = 1
    for n in shape:
        count *= int(n)
    if not 0 < count <= most:
        raise LoadError(f"the shape {shape} has {count} numbers, expected between 1 and {most}")


def axis_of(axis: int, rank: int) -> int:
    """An axis counted from 0, given as ONNX does (negative from the end)."""
    if not -rank <= axis < rank:
        raise LoadError(f"the axis {axis} does not exist in a value with {rank} axes")
    return axis % rank
