"""ONNX nodes that only move, repeat or leave out entries.

Each is a function of arrays: of the data itself where it is constant, and of the places of the entries where it
depends on the network's input. Source: https://onnx.ai/onnx/operators/
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from compile.build import gather, side_by_side
from compile.frontends.onnx_step import FLOATS, LARGEST_CONSTANT, Operand, Step, axis_of, broadcast, check_size
from compile.frontends.onnx_tensor import type_name
from gpac.errors import LoadError

Moved: TypeAlias = np.ndarray | list[np.ndarray]


def move(step: Step) -> Operand | list[Operand]:
    """The result of a node in `MOVES`, on constants or on values."""
    joined = step.op == "Concat"
    operands = [step.operand(k) for k in range(len(step.inputs))] if joined else [step.operand(0)]
    arrays = [v for v in operands if isinstance(v, np.ndarray)]
    if len(arrays) == len(operands):
        return MOVES[step.op](step, arrays)  # type: ignore[return-value]
    values = [v if isinstance(v, np.ndarray) else step.value(k) for k, v in enumerate(operands)]
    moved = MOVES[step.op](step, side_by_side(values))
    fill = float(step.constant(2)) if step.op == "Pad" and step.has(2) else step.number("value", 0.0)
    if isinstance(moved, list):
        return [gather(values, m, fill) for m in moved]
    return gather(values, moved, fill)


def _same(step: Step, x: list[np.ndarray]) -> np.ndarray:
    return x[0]


def _dropout(step: Step, x: list[np.ndarray]) -> np.ndarray:
    if step.has(2) and step.constant(2).any():
        raise LoadError("it is in training mode; export the network with eval()")
    return x[0]


def _cast(step: Step, x: list[np.ndarray]) -> np.ndarray:
    to = step.integer("to", 0)
    if to not in FLOATS:
        raise LoadError(f"it turns real values into {type_name(to)}; only float types are supported")
    return x[0]


def _flatten(step: Step, x: list[np.ndarray]) -> np.ndarray:
    axis, shape = step.integer("axis", 1), x[0].shape
    if not -len(shape) <= axis <= len(shape):
        raise LoadError(f"the axis {axis} does not exist in the shape {shape}")
    axis += len(shape) if axis < 0 else 0
    return x[0].reshape(math.prod(shape[:axis]), math.prod(shape[axis:]))


def _reshape(step: Step, x: list[np.ndarray]) -> np.ndarray:
    wanted, shape = step.integers("shape", 1), x[0].shape
    if wanted is None:
        raise LoadError("its new shape is not a constant")
    copy_zero = not step.integer("allowzero", 0)
    known = [shape[k] if n == 0 and copy_zero and k < len(shape) else n for k, n in enumerate(wanted)]
    rest = math.prod(n for n in known if n != -1)
    if known.count(-1) == 1 and rest:
        known[known.index(-1)] = x[0].size // rest
    if min(known, default=1) < 0 or math.prod(known) != x[0].size:
        raise LoadError(
            f"a value of shape {shape} cannot take the shape {tuple(wanted)}; a batch must be exported as 1 or symbolic"
        )
    return x[0].reshape(known)


def _squeeze(step: Step, x: list[np.ndarray]) -> np.ndarray:
    shape = x[0].shape
    axes = step.axes("axes", 1, len(shape))
    dropped = {k for k, n in enumerate(shape) if n == 1} if axes is None else set(axes)
    if any(shape[k] != 1 for k in dropped):
        raise LoadError(f"the axes {sorted(dropped)} of the shape {shape} are not all of size 1")
    return x[0].reshape([n for k, n in enumerate(shape) if k not in dropped])


def _unsqueeze(step: Step, x: list[np.ndarray]) -> np.ndarray:
    given = step.integers("axes", 1)
    if given is None:
        raise LoadError("its axes are not constants")
    axes = step.axes("axes", 1, x[0].ndim + len(given)) or []
    return np.expand_dims(x[0], tuple(axes))


def _transpose(step: Step, x: list[np.ndarray]) -> np.ndarray:
    order = step.integers("perm")
    order = list(range(x[0].ndim))[::-1] if order is None else order
    if sorted(order) != list(range(x[0].ndim)):
        raise LoadError(f"expected a permutation of {x[0].ndim} axes, got {order}")
    return x[0].transpose(order)


def _concat(step: Step, x: list[np.ndarray]) -> np.ndarray:
    axis = axis_of(step.integer("axis", 0), x[0].ndim)
    check_size((sum(part.size for part in x),), LARGEST_CONSTANT)
    return np.concatenate(x, axis=axis)


def _slice(step: Step, x: list[np.ndarray]) -> np.ndarray:
    starts, ends = step.integers("starts", 1) or [], step.integers("ends", 2) or []
    axes = step.axes("axes", 3, x[0].ndim)
    axes = list(range(len(starts))) if axes is None else axes
    strides = step.integers("steps", 4) or [1] * len(starts)
    slices = [slice(None)] * x[0].ndim
    for start, end, axis, stride in zip(starts, ends, axes, strides, strict=True):
        n = x[0].shape[axis_of(axis, x[0].ndim)]
        below = end < -n and stride < 0  # an end before the first entry, going backwards
        slices[axis] = slice(start, None if below else end, stride)
    return x[0][tuple(slices)]


def _gather(step: Step, x: list[np.ndarray]) -> np.ndarray:
    index = step.constant(1)
    if index.dtype.kind not in "iu":
        raise LoadError("expected integers as its input 2")
    axis = axis_of(step.integer("axis", 0), x[0].ndim)
    check_size((max(1, x[0].size // x[0].shape[axis]), index.size))
    return np.asarray(np.take(x[0], index, axis=axis))


def _gather_nd(step: Step, x: list[np.ndarray]) -> np.ndarray:
    index, batch = step.constant(1), step.integer("batch_dims", 0)
    shape = x[0].shape
    if index.dtype.kind not in "iu" or index.ndim <= batch or not 0 < index.shape[-1] <= len(shape) - batch:
        raise LoadError(f"expected a list of places in the shape {shape} as its input 2, got the shape {index.shape}")
    if index.shape[:batch] != shape[:batch]:
        raise LoadError(f"its first {batch} axes differ: {shape[:batch]} and {index.shape[:batch]}")
    check_size((*index.shape[:-1], *shape[batch + index.shape[-1] :]))
    grids = np.meshgrid(*(np.arange(n) for n in index.shape[:batch]), indexing="ij")
    column = lambda g: g.reshape(*g.shape, *[1] * (index.ndim - 1 - batch))  # noqa: E731
    return np.asarray(x[0][(*map(column, grids), *np.moveaxis(index, -1, 0))])


def _gather_elements(step: Step, x: list[np.ndarray]) -> np.ndarray:
    index, axis = step.constant(1), axis_of(step.integer("axis", 0), x[0].ndim)
    if index.dtype.kind not in "iu" or index.ndim != x[0].ndim or index.size == 0:
        raise LoadError(f"expected integers with {x[0].ndim} axes as its input 2, got the shape {index.shape}")
    cut = tuple(slice(None) if k == axis else slice(n) for k, n in enumerate(index.shape))
    return np.take_along_axis(x[0][cut], index.astype(np.int64), axis)


def _depth_to_space(step: Step, x: list[np.ndarray]) -> np.ndarray:
    b, mode = step.integer("blocksize", 0), step.text("mode", "DCR")
    if x[0].ndim != 4 or b < 1 or x[0].shape[1] % (b * b) or mode not in ("DCR", "CRD"):
        raise LoadError(f"blocks of {b} do not fit the shape {x[0].shape}")
    n, c, h, w = x[0].shape
    if mode == "DCR":
        parts = x[0].reshape(n, b, b, c // b**2, h, w).transpose(0, 3, 4, 1, 5, 2)
    else:
        parts = x[0].reshape(n, c // b**2, b, b, h, w).transpose(0, 1, 4, 2, 5, 3)
    return parts.reshape(n, c // b**2, h * b, w * b)


def _space_to_depth(step: Step, x: list[np.ndarray]) -> np.ndarray:
    b = step.integer("blocksize", 0)
    if x[0].ndim != 4 or b < 1 or x[0].shape[2] % b or x[0].shape[3] % b:
        raise LoadError(f"blocks of {b} do not fit the shape {x[0].shape}")
    n, c, h, w = x[0].shape
    return x[0].reshape(n, c, h // b, b, w // b, b).transpose(0, 3, 5, 1, 2, 4).reshape(n, c * b * b, h // b, w // b)


def _split(step: Step, x: list[np.ndarray]) -> list[np.ndarray]:
    axis = axis_of(step.integer("axis", 0), x[0].ndim)
    sizes = step.integers("split", 1)
    if sizes is None:
        count, n = step.integer("num_outputs", 0) or step.integer("outputs", 1), x[0].shape[axis]
        each = -(-n // max(count, 1))
        sizes = [min(each, n - each * k) for k in range(count)]
    if sum(sizes) != x[0].shape[axis] or min(sizes) < 1:
        raise LoadError(f"cannot split {x[0].shape[axis]} entries into {sizes}")
    return np.split(x[0], np.cumsum(sizes)[:-1], axis=axis)


def _expand(step: Step, x: list[np.ndarray]) -> np.ndarray:
    wanted = step.integers("shape", 1)
    if wanted is None or min(wanted, default=1) < 0:
        raise LoadError("its new shape is not a constant of sizes")
    return np.broadcast_to(x[0], broadcast(x[0].shape, tuple(wanted)))


def _tile(step: Step, x: list[np.ndarray]) -> np.ndarray:
    counts = step.integers("repeats", 1)
    if counts is None or len(counts) != x[0].ndim:
        raise LoadError("expected the number of repeats for every axis as its input 2")
    check_size((x[0].size, *counts))
    return np.tile(x[0], counts)


def _pad(step: Step, x: list[np.ndarray]) -> np.ndarray:
    pads, mode = step.integers("pads", 1), step.text("mode", "constant")
    axes = step.axes("axes", 3, x[0].ndim)
    axes = list(range(x[0].ndim)) if axes is None else axes
    if pads is None or len(pads) != 2 * len(axes) or min(pads) < 0:
        raise LoadError(f"expected two paddings of at least 0 for every axis, got {pads}")
    if mode not in ("constant", "reflect", "edge"):
        raise LoadError(f"expected the mode constant, reflect or edge, got {mode!r}")
    width = [(0, 0)] * x[0].ndim
    for k, axis in enumerate(axes):
        width[axis] = (pads[k], pads[k + len(axes)])
    check_size(tuple(n + a + b for n, (a, b) in zip(x[0].shape, width, strict=True)))
    if mode != "constant":
        return np.pad(x[0], width, mode=mode)  # type: ignore[call-overload]
    fill = -1 if step.moves else (step.constant(2) if step.has(2) else 0)
    return np.pad(x[0], width, constant_values=fill)


MOVES: dict[str, Callable[[Step, list[np.ndarray]], Moved]] = {
    "Cast": _cast,
    "CastLike": _same,
    "Concat": _concat,
    "DepthToSpace": _depth_to_space,
    "Dropout": _dropout,
    "Expand": _expand,
    "Flatten": _flatten,
    "Gather": _gather,
    "GatherElements": _gather_elements,
    "GatherND": _gather_nd,
    "Identity": _same,
    "Pad": _pad,
    "Reshape": _reshape,
    "Slice": _slice,
    "SpaceToDepth": _space_to_depth,
    "Split": _split,
    "Squeeze": _squeeze,
    "Tile": _tile,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
