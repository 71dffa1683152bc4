"""ONNX nodes that keep the numbers and their order, and what all operators see of a node.

Source: https://onnx.ai/onnx/operators/
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from onnx import TensorProto

from compile.frontends.onnx_tensor import type_name
from gpac.errors import LoadError

Shape: TypeAlias = tuple[int, ...]
LARGEST_VALUE = 2**24
"""Numbers in one value; an image of 2000 x 2000 in colour fits."""
FLOATS = (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16)


@dataclass(frozen=True)
class Step:
    """One node as its operator sees it.

    `inputs` are constants, and None at an absent input and at `moving`, the place of the one that depends
    on the network's input (-1 if none does); `shape` is the shape of the first input, or of the moving one.
    """

    op: str
    inputs: tuple[np.ndarray | None, ...]
    moving: int
    shape: Shape
    attributes: dict[str, Any]

    def constant(self, place: int) -> np.ndarray:
        """The constant at `place`, counted from 0."""
        value = self.inputs[place] if place < len(self.inputs) else None
        if value is None:
            raise LoadError(f"expected a constant as its input {place + 1}")
        return value

    def has(self, place: int) -> bool:
        """Whether there is a constant at `place`."""
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
        return value

    def integers(self, name: str, place: int) -> list[int] | None:
        """Integers given as an attribute (old opsets) or as the input at `place`; None if neither is there."""
        value = self.attributes.get(name)
        if value is None and self.has(place):
            value = self.constant(place)
            if value.dtype.kind not in "iu" or value.ndim > 1:
                raise LoadError(f"expected a list of integers as its input {place + 1}")
            value = value.reshape(-1).tolist()
        if value is not None and not (isinstance(value, list) and all(isinstance(i, int) for i in value)):
            raise LoadError(f"expected a list of integers as its attribute {name!r}, got {value!r:.60}")
        return value


def broadcast(first: Shape, second: Shape) -> Shape:
    """The shape of an operation entry by entry on two shapes."""
    try:
        shape = tuple(np.broadcast_shapes(first, second))
    except ValueError:
        raise LoadError(f"the shapes {first} and {second} do not go together") from None
    check_size(shape)
    return shape


def check_size(shape: Shape) -> None:
    """Raise `LoadError` for a value without numbers, or with absurdly many."""
    if not 0 < math.prod(shape) <= LARGEST_VALUE:
        raise LoadError(f"the shape {shape} has {math.prod(shape)} numbers, expected between 1 and {LARGEST_VALUE}")


def _same(step: Step) -> Shape:
    return step.shape


def _dropout(step: Step) -> Shape:
    if step.has(2) and step.constant(2).any():
        raise LoadError("it is in training mode; export the network with eval()")
    return step.shape


def _flatten(step: Step) -> Shape:
    axis = step.integer("axis", 1)
    if not -len(step.shape) <= axis <= len(step.shape):
        raise LoadError(f"the axis {axis} does not exist in the shape {step.shape}")
    axis += len(step.shape) if axis < 0 else 0
    return math.prod(step.shape[:axis]), math.prod(step.shape[axis:])


def _reshape(step: Step) -> Shape:
    wanted = step.integers("shape", 1)
    if wanted is None:
        raise LoadError("its new shape is not a constant")
    copy_zero = not step.integer("allowzero", 0)
    known = [step.shape[k] if n == 0 and copy_zero and k < len(step.shape) else n for k, n in enumerate(wanted)]
    rest = math.prod(n for n in known if n != -1)
    if known.count(-1) == 1 and rest:
        known[known.index(-1)] = math.prod(step.shape) // rest
    if min(known, default=1) < 0 or math.prod(known) != math.prod(step.shape):
        raise LoadError(
            f"a value of shape {step.shape} cannot take the shape {tuple(wanted)}; "
            "a batch must be exported as 1 or symbolic"
        )
    return tuple(known)


def _squeeze(step: Step) -> Shape:
    axes = step.integers("axes", 1)
    rank = len(step.shape)
    dropped = {k for k in range(rank) if step.shape[k] == 1} if axes is None else {axis_of(a, rank) for a in axes}
    if any(step.shape[k] != 1 for k in dropped):
        raise LoadError(f"the axes {sorted(dropped)} of the shape {step.shape} are not all of size 1")
    return tuple(n for k, n in enumerate(step.shape) if k not in dropped)


def _unsqueeze(step: Step) -> Shape:
    axes = step.integers("axes", 1)
    if axes is None:
        raise LoadError("its axes are not constants")
    rank = len(step.shape) + len(axes)
    places = {axis_of(a, rank) for a in axes}
    if len(places) != len(axes):
        raise LoadError(f"its axes {axes} name one axis twice")
    sizes = iter(step.shape)
    return tuple(1 if k in places else next(sizes) for k in range(rank))


def axis_of(axis: int, rank: int) -> int:
    """An axis counted from 0, given as ONNX does (negative from the end)."""
    if not -rank <= axis < rank:
        raise LoadError(f"the axis {axis} does not exist in a value with {rank} axes")
    return axis % rank


def permutation(step: Step) -> list[int]:
    """The axes of a Transpose, in their new order."""
    rank = len(step.shape)
    order = step.integers("perm", len(step.inputs))
    order = list(range(rank))[::-1] if order is None else order
    if sorted(order) != list(range(rank)):
        raise LoadError(f"expected a permutation of {rank} axes, got {order}")
    return order


def _transpose(step: Step) -> Shape:
    order = permutation(step)
    long = [k for k in order if step.shape[k] != 1]
    if long != sorted(long):
        raise LoadError("it changes the order of values that depend on the input, which is not supported")
    return tuple(step.shape[k] for k in order)


def _cast(step: Step) -> Shape:
    to = step.integer("to", 0)
    if to not in FLOATS:
        raise LoadError(f"it turns real values into {type_name(to)}; only float types are supported")
    return step.shape


# operator: Step -> the new shape
RESHAPERS: dict[str, Callable[[Step], Shape]] = {
    "Cast": _cast,
    "Dropout": _dropout,
    "Flatten": _flatten,
    "Identity": _same,
    "Reshape": _reshape,
    "Squeeze": _squeeze,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
