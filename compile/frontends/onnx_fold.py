"""ONNX nodes on constants alone: they are folded into one constant.

PyTorch's exporters write `x.view(x.size(0), -1)` as Shape, Gather, Unsqueeze, Concat and Reshape, and masks as
comparisons: with the batch taken as 1 every shape is known, and all of it is arithmetic on small constants.
Arithmetic is exact, where a run of the file would round. Source: https://onnx.ai/onnx/operators/
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
from onnx import TensorProto

from compile.frontends.onnx_shape import MOVES, move
from compile.frontends.onnx_step import Operand, Step, axis_of, broadcast, check_size
from compile.frontends.onnx_tensor import type_name
from gpac.allowance import FRACTION, spend
from gpac.errors import LoadError
from gpac.exact import exact_array, to_fractions, to_sympy

MOST_FRACTIONS = 2**18
CASTS: dict[int, Any] = {
    TensorProto.FLOAT: np.float32,
    TensorProto.DOUBLE: np.float64,
    TensorProto.FLOAT16: np.float16,
    TensorProto.INT32: np.int32,
    TensorProto.INT64: np.int64,
    TensorProto.BOOL: np.bool_,
}


def fold(step: Step) -> Operand | list[Operand]:
    """The value of a node without a moving input (Shape, Size and IsNaN may read one)."""
    if step.op in FOLDERS:
        return FOLDERS[step.op](step)
    if step.op in MOVES:
        return move(step)
    names = ", ".join(sorted(FOLDERS | MOVES))
    raise LoadError(f"it works on constants alone; of these only {names} are folded")


def _fold_shape(step: Step) -> np.ndarray:
    end = step.integer("end", len(step.shape))
    return np.array(step.shape[step.integer("start", 0) : end], dtype=np.int64)


def _fold_size(step: Step) -> np.ndarray:
    return np.array(int(np.prod(step.shape)), dtype=np.int64)


def _fold_is_nan(step: Step) -> np.ndarray:
    """Real values are numbers."""
    return np.zeros(step.shape, dtype=bool)


def _fold_cast(step: Step) -> np.ndarray:
    value, to = step.constant(0), step.integer("to", 0)
    if to not in CASTS:
        raise LoadError(f"casting a constant to {type_name(to)} is not supported")
    if value.dtype == object and np.issubdtype(CASTS[to], np.floating):
        return value  # an exact number stays exact
    with np.errstate(over="ignore", invalid="ignore"):
        cast = value.astype(CASTS[to])
    if not np.array_equal(cast, value) and to != TensorProto.BOOL:
        raise LoadError(f"casting a constant to {type_name(to)} would change its value")
    return cast


def _fold_fill(step: Step) -> np.ndarray:
    shape = step.integers("input", 0) or []
    check_size(tuple(shape) if min(shape, default=1) > 0 else (0,))
    value = step.attributes.get("value")
    if value is None:
        return np.zeros(shape, dtype=np.float32)
    from onnx import numpy_helper

    return np.full(shape, numpy_helper.to_array(value).reshape(-1)[0])


def _fold_range(step: Step) -> np.ndarray:
    start, limit, delta = (step.constant(k).item() for k in range(3))
    if not delta or not all(isinstance(v, int) for v in (start, limit, delta)):
        raise LoadError("expected three integers, the last one not 0")
    check_size((max(0, -(-(limit - start) // delta)),))
    return np.arange(start, limit, delta)


def _fold_arithmetic(step: Step) -> np.ndarray:
    """Exact, where a run of the file would round; integers stay integers."""
    first, second = step.constant(0), step.constant(1)
    if any(np.isneginf(v).any() for v in (first, second) if v.dtype.kind == "f"):
        return _with_infinity(step.op, first, second)
    broadcast(first.shape, second.shape)
    plain = _plain(step.op, first, second)
    if plain is not None:
        return plain
    a, b = _fractions(first), _fractions(second)
    if step.op == "Div" and not b.all():
        raise LoadError("it divides by zero")
    result = np.asarray({"Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Div": np.true_divide}[step.op](a, b))
    if first.dtype.kind not in "iu":
        return exact_array(result)
    return np.asarray(np.trunc(result)).astype(np.int64)


def _plain(op: str, first: np.ndarray, second: np.ndarray) -> np.ndarray | None:
    """Sums, differences and products of many doubles, where none is rounded."""
    if max(first.size, second.size) <= 4096 or op == "Div" or {first.dtype.kind, second.dtype.kind} != {"f"}:
        return None
    a, b = first.astype(np.float64), second.astype(np.float64)
    if op == "Mul":
        single = all((x.astype(np.float32) == x).all() and _moderate(x) for x in (a, b))
        return a * b if single else None  # 24 bits times 24
    b = -b if op == "Sub" else b
    total = a + b
    part = total - a
    rest = (a - (total - part)) + (b - part)
    return None if rest.any() else total


def _moderate(x: np.ndarray) -> bool:
    """Whether products of such numbers are neither too large nor too small for doubles."""
    magnitude = np.abs(x[x != 0])
    return not magnitude.size or bool(magnitude.min() > 2.0**-400 and magnitude.max() < 2.0**400)


def _fractions(values: np.ndarray) -> np.ndarray:
    """Exact numbers, of which there must not be too many: each takes a microsecond."""
    if values.size > MOST_FRACTIONS:
        raise LoadError(f"exact arithmetic on more than {MOST_FRACTIONS} constants is not supported; fold them before")
    spend(steps=FRACTION * values.size)
    return to_fractions(exact_array(values))


def _with_infinity(op: str, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Masks: 0 plus -inf, or -inf times 1."""
    if op == "Add" and not (np.isposinf(first).any() or np.isposinf(second).any()):
        return np.asarray(first + second)
    raise LoadError("arithmetic with -inf is supported for sums of masks only")


def _fold_root(step: Step) -> np.ndarray:
    """Square roots, exact: a fraction, or a constant such as sqrt(2)."""
    import sympy

    values = _fractions(step.constant(0))
    if values.size > 4096 or any(v <= 0 for v in values.flat):
        raise LoadError("expected at most 4096 positive constants")
    roots = [sympy.sqrt(to_sympy(v)) for v in values.flat]
    exact = np.empty(len(roots), dtype=object)
    exact[:] = [Fraction(int(r.p), int(r.q)) if r.is_Rational else r for r in roots]
    return exact_array(exact.reshape(values.shape))


def _fold_reciprocal(step: Step) -> np.ndarray:
    values = _fractions(step.constant(0))
    if not values.all():
        raise LoadError("it divides by zero")
    return exact_array(np.asarray(1 / values))


def _fold_negative(step: Step) -> np.ndarray:
    return np.negative(step.constant(0))


def _fold_power(step: Step) -> np.ndarray:
    """Whole powers, and square roots."""
    exponent = step.constant(1)
    if exponent.size == 1 and float(exponent.item()) == 0.5:
        return _fold_root(step)
    if exponent.size != 1 or float(exponent.item()) != int(exponent.item()) or not 0 <= exponent.item() <= 64:
        raise LoadError("expected one whole exponent from 0 to 64, or 1/2")
    return exact_array(_fractions(step.constant(0)) ** int(exponent.item()))


def _fold_compare(step: Step) -> np.ndarray:
    first, second = step.constant(0), step.constant(1)
    broadcast(first.shape, second.shape)
    compare = {
        "And": np.logical_and,
        "Or": np.logical_or,
        "Equal": np.equal,
        "Less": np.less,
        "LessOrEqual": np.less_equal,
        "Greater": np.greater,
        "GreaterOrEqual": np.greater_equal,
    }[step.op]
    return np.asarray(compare(first, second))


def _fold_not(step: Step) -> np.ndarray:
    return np.logical_not(step.constant(0))


def _fold_remainder(step: Step) -> np.ndarray:
    first, second = step.constant(0), step.constant(1)
    broadcast(first.shape, second.shape)
    if first.dtype.kind not in "iu" or second.dtype.kind not in "iu" or not second.all() or step.integer("fmod", 0):
        raise LoadError("expected integers, the second not 0, and fmod = 0")
    return np.asarray(np.mod(first, second))


def _fold_where(step: Step) -> np.ndarray:
    condition, first, second = (step.constant(k) for k in range(3))
    broadcast(broadcast(condition.shape, first.shape), second.shape)
    return np.where(condition.astype(bool), first, second)


def _fold_dequantize(step: Step) -> np.ndarray:
    """(x - zero) * scale of stored integers, exactly; one scale, or one per entry of an axis."""
    x, factor = step.constant(0), exact_array(step.constant(1))
    zero = exact_array(step.constant(2)) if step.has(2) else np.zeros(())
    if x.dtype.kind not in "iu" or factor.ndim > 1 or step.integer("block_size", 0):
        raise LoadError("expected integers and one scale, or one per entry of an axis")
    if factor.ndim == 1 and factor.size > 1:
        axis = axis_of(step.integer("axis", 1), x.ndim)
        column = tuple(-1 if k == axis else 1 for k in range(x.ndim))
        factor, zero = factor.reshape(column), zero.reshape(column if zero.size > 1 else ())
    else:
        factor, zero = factor.reshape(()), zero.reshape(())
    broadcast(broadcast(x.shape, factor.shape), zero.shape)
    if x.dtype.itemsize > 4 or zero.dtype == object or (np.abs(zero) > 2**31).any():
        raise LoadError("expected integers of at most 32 bits")
    shifted = x.astype(np.float64) - zero  # both below 2^32: exact
    if step.constant(1).dtype.itemsize > 4 or np.abs(shifted).max(initial=0) >= 2**29:
        return exact_array(np.asarray(_fractions(shifted) * _fractions(factor)))
    return shifted * factor  # 29 and 24 bits: exact


def _fold_one_hot(step: Step) -> np.ndarray:
    index, depth, values = step.constant(0), int(step.constant(1).item()), step.constant(2)
    axis = axis_of(step.integer("axis", -1), index.ndim + 1)
    check_size((index.size, depth))
    index = np.where(index < 0, index + depth, index)  # beyond -depth .. depth - 1 all are off
    hot = np.expand_dims(index, axis) == np.moveaxis(np.arange(depth).reshape(-1, *[1] * index.ndim), 0, axis)
    return np.where(hot, values[1], values[0])


def _fold_triangle(step: Step) -> np.ndarray:
    k = int(step.constant(1).item()) if step.has(1) else 0
    return np.triu(step.constant(0), k) if step.integer("upper", 1) else np.tril(step.constant(0), k)


# operator: Step -> the constant
FOLDERS: dict[str, Callable[[Step], np.ndarray]] = {
    **dict.fromkeys(("Add", "Sub", "Mul", "Div"), _fold_arithmetic),
    **dict.fromkeys(("And", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Or"), _fold_compare),
    "Cast": _fold_cast,
    "ConstantOfShape": _fold_fill,
    "DequantizeLinear": _fold_dequantize,
    "IsNaN": _fold_is_nan,
    "Mod": _fold_remainder,
    "Neg": _fold_negative,
    "Not": _fold_not,
    "OneHot": _fold_one_hot,
    "Pow": _fold_power,
    "Range": _fold_range,
    "Reciprocal": _fold_reciprocal,
    "Shape": _fold_shape,
    "Size": _fold_size,
    "Sqrt": _fold_root,
    "Trilu": _fold_triangle,
    "Where": _fold_where,
}
