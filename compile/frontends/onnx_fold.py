"""ONNX nodes on constants alone: they are folded into one constant.

PyTorch's exporters write `x.view(x.size(0), -1)` as Shape, Gather, Unsqueeze, Concat and Reshape: with the
batch taken as 1 every shape is known, and all of it is arithmetic on small constants.
Source: https://onnx.ai/onnx/operators/
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from onnx import TensorProto

from compile.frontends.onnx_shape import RESHAPERS, Step, axis_of, broadcast, check_size, permutation
from compile.frontends.onnx_tensor import type_name
from gpac.errors import LoadError
from gpac.exact import exact_array, to_fractions

CASTS: dict[int, Any] = {
    TensorProto.FLOAT: np.float32,
    TensorProto.DOUBLE: np.float64,
    TensorProto.FLOAT16: np.float16,
    TensorProto.INT32: np.int32,
    TensorProto.INT64: np.int64,
}


def fold(step: Step) -> np.ndarray:
    """The value of a node without a moving input (Shape alone may read one)."""
    if step.op in FOLDERS:
        return FOLDERS[step.op](step)
    if step.op in RESHAPERS:
        return step.constant(0).reshape(RESHAPERS[step.op](step))
    raise LoadError(f"it works on constants alone; of these only {', '.join(sorted(FOLDERS | RESHAPERS))} are folded")


def _fold_shape(step: Step) -> np.ndarray:
    end = step.integer("end", len(step.shape))
    return np.array(step.shape[step.integer("start", 0) : end], dtype=np.int64)


def _fold_cast(step: Step) -> np.ndarray:
    value, to = step.constant(0), step.integer("to", 0)
    if to not in CASTS:
        raise LoadError(f"casting a constant to {type_name(to)} is not supported")
    with np.errstate(over="ignore", invalid="ignore"):
        cast = value.astype(CASTS[to])
    if not np.array_equal(cast, value):
        raise LoadError(f"casting a constant to {type_name(to)} would change its value")
    return cast


def _fold_concat(step: Step) -> np.ndarray:
    parts = [step.constant(k) for k in range(len(step.inputs))]
    check_size((sum(part.size for part in parts),))
    return np.concatenate(parts, axis=step.integer("axis", 0))


def _fold_gather(step: Step) -> np.ndarray:
    data, indices = step.constant(0), step.constant(1)
    if data.ndim != 1 or indices.dtype.kind not in "iu":
        raise LoadError("it is supported on shapes alone")
    axis_of(step.integer("axis", 0), 1)
    return np.asarray(np.take(data, indices))


def _fold_slice(step: Step) -> np.ndarray:
    data = step.constant(0)
    starts, ends = step.integers("starts", 1) or [], step.integers("ends", 2) or []
    axes = step.integers("axes", 3) or list(range(len(starts)))
    strides = step.integers("steps", 4) or [1] * len(starts)
    slices = [slice(None)] * data.ndim
    for start, end, axis, stride in zip(starts, ends, axes, strides, strict=True):
        slices[axis_of(axis, data.ndim)] = slice(start, end, stride)
    return data[tuple(slices)]


def _fold_transpose(step: Step) -> np.ndarray:
    return step.constant(0).transpose(permutation(step))


def _fold_arithmetic(step: Step) -> np.ndarray:
    """Exact, where a run of the file would round; integers stay integers."""
    first, second = step.constant(0), step.constant(1)
    broadcast(first.shape, second.shape)
    a, b = to_fractions(exact_array(first)), to_fractions(exact_array(second))
    if step.op == "Div" and not b.all():
        raise LoadError("it divides by zero")
    result = np.asarray({"Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Div": np.true_divide}[step.op](a, b))
    if first.dtype.kind not in "iu":
        return exact_array(result)
    if any(value.denominator != 1 for value in result.flat):
        raise LoadError("it divides integers with a remainder, which is not supported")
    return result.astype(np.int64)


# operator: Step -> the constant
FOLDERS: dict[str, Callable[[Step], np.ndarray]] = {
    "Add": _fold_arithmetic,
    "Cast": _fold_cast,
    "Concat": _fold_concat,
    "Div": _fold_arithmetic,
    "Gather": _fold_gather,
    "Mul": _fold_arithmetic,
    "Shape": _fold_shape,
    "Slice": _fold_slice,
    "Sub": _fold_arithmetic,
    "Transpose": _fold_transpose,
}
