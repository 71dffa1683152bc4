"""ONNX nodes on values that depend on the input: arithmetic, matrices, activations, sums.

Each operator is the real operation that it names: the roundings of a float32 run are not part of it.
Source: https://onnx.ai/onnx/operators/
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from compile import layers
from compile.activations import refusal
from compile.build import linear, matmul
from compile.frontends import onnx_layers
from compile.frontends.onnx_step import Compared, Operand, Step, axis_of, broadcast
from compile.operations import Activation, Affine
from compile.value import Value, constant, einsum, root
from gpac.errors import LoadError
from gpac.exact import exact_array, to_exact, to_fractions

Result: TypeAlias = Operand | list[Operand | None]


def _gemm(step: Step) -> Value:
    """alpha A B + beta C, exactly: an alpha other than 1 becomes an affine map of its own."""
    a, b = step.operand(0), step.operand(1)
    if len(a.shape) != 2 or len(b.shape) != 2:
        raise LoadError(f"expected matrices, got the shapes {a.shape} and {b.shape}")
    if step.integer("transA", 0):
        a = a.transpose(1, 0) if isinstance(a, np.ndarray) else step.value(0).transpose(1, 0)
    if step.integer("transB", 0):
        b = b.transpose(1, 0) if isinstance(b, np.ndarray) else step.value(1).transpose(1, 0)
    alpha, beta = step.number("alpha", 1.0), step.number("beta", 1.0)
    y = _product(a, b)
    y = y if alpha == 1 else y * to_exact(alpha)
    if not step.has(2):
        return y
    c = step.operand(2)
    if broadcast(y.shape, c.shape) != y.shape:
        raise LoadError(f"expected a bias for {y.shape[-1]} values, got the shape {c.shape}")
    if isinstance(c, np.ndarray):
        exact = exact_array(c)
        return y + (exact if beta == 1 else exact_array(np.asarray(to_fractions(exact) * to_exact(beta))))
    return y + (step.value(2) if beta == 1 else step.value(2) * to_exact(beta))


def _matmul(step: Step) -> Value:
    a, b = (v if isinstance(v, np.ndarray) else step.value(k) for k, v in enumerate(step.inputs[:2]))
    if not a.shape or not b.shape:
        raise LoadError("expected matrices, got a single number")
    return _product(a, b)


def _product(a: Any, b: Any) -> Value:
    """The matrix product of two operands, as NumPy defines it."""
    if len(a.shape) == 1:
        return _row(_product(a.reshape(1, -1), b), -2)
    if len(b.shape) == 1:
        return _row(_product(a, b.reshape(-1, 1)), -1)
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        a = constant(a)
    if a.shape[-1] != b.shape[-2]:
        raise LoadError(f"matrices of shapes {a.shape} and {b.shape} cannot be multiplied: expected {a.shape[-1]} rows")
    if isinstance(b, np.ndarray) and b.ndim == 2:
        return linear(a, _doubles(b.T))
    if isinstance(a, np.ndarray) and a.ndim == 2:
        swapped = b.transpose(*range(b.ndim - 2), b.ndim - 1, b.ndim - 2)
        return linear(swapped, _doubles(a)).transpose(*range(b.ndim - 2), b.ndim - 1, b.ndim - 2)
    a, b = (constant(v) if isinstance(v, np.ndarray) else v for v in (a, b))
    lead = broadcast(a.shape[:-2], b.shape[:-2]) if a.ndim > 2 or b.ndim > 2 else ()
    return matmul(a.broadcast_to((*lead, *a.shape[-2:])), b.broadcast_to((*lead, *b.shape[-2:])))


def _row(y: Value, axis: int) -> Value:
    return y.reshape(*(n for k, n in enumerate(y.shape) if k != y.ndim + axis))


def _doubles(matrix: np.ndarray) -> np.ndarray:
    return Step("", (matrix,), {}).weights(0)


def _arithmetic(step: Step) -> Operand:
    """Add, Sub, Mul or Div; of constants exact."""
    a, b = step.operand(0), step.operand(1)
    broadcast(a.shape, b.shape)
    for x, mask, number in ((a, b, 0), (b, a, 1)):
        if step.op == "Add" and isinstance(mask, np.ndarray) and mask.dtype.kind == "f" and np.isneginf(mask).any():
            assert not isinstance(x, np.ndarray)
            return layers.add_mask(step.value(number), mask)
    first, second = _operands(step)
    if step.op == "Div" and isinstance(second, np.ndarray) and not np.all(second != 0):
        raise LoadError("it divides by zero")
    if step.op == "Add":
        return first + second
    if step.op == "Sub":
        return first - second
    if step.op == "Mul":
        return first * second
    return first / second if isinstance(first, Value) else root(second, "reciprocal") * first


def _operands(step: Step) -> tuple[Any, Any]:
    a, b = (exact_array(v) if isinstance(v, np.ndarray) else step.value(k) for k, v in enumerate(step.inputs[:2]))
    return a, b


def _sum(step: Step) -> Value:
    total = step.value(0)
    for k in range(1, len(step.inputs)):
        broadcast(total.shape, step.value(k).shape)
        total = total + step.value(k)
    return total if step.op == "Sum" else total / len(step.inputs)


def _power(step: Step) -> Value:
    exponent = exact_array(step.constant(1))
    if exponent.size != 1:
        raise LoadError(f"expected one exponent, got the shape {exponent.shape}")
    e, x = float(exponent.item()), step.value(0)
    if e in (0.5, -0.5, -1.0):
        return root(x, {0.5: "sqrt", -0.5: "rsqrt", -1.0: "reciprocal"}[e])
    if e == 1:
        return x
    if e != int(e) or e < 2:
        raise LoadError(f"expected a whole exponent of at least 2, or 1/2, -1/2 or -1, got {e}")
    return x.apply("square") if e == 2 else x.apply("power", int(e))


def _gelu(step: Step) -> Value:
    approximate = step.text("approximate", "none")
    if approximate not in ("none", "tanh"):
        raise LoadError(f"expected approximate to be none or tanh, got {approximate!r}")
    return step.value(0).apply("gelu" if approximate == "none" else "gelu_tanh")


def _swish(step: Step) -> Value:
    x, alpha = step.value(0), step.number("alpha", 1.0)
    return x.apply("silu") if alpha == 1 else x * (x * to_exact(alpha)).apply("sigmoid")


def _softmax(step: Step) -> Value:
    """Over one axis; before opset 13 over all axes from the given one on."""
    result = {"Softmax": "softmax", "LogSoftmax": "log_softmax"}[step.op]
    masked = step.operand(0)
    x = masked if isinstance(masked, layers.Masked) else step.value(0)
    axis = axis_of(step.integer("axis", -1 if step.opset >= 13 else 1), len(x.shape))
    if step.opset >= 13 or axis == len(x.shape) - 1:
        return layers.softmax(x, axis, result)
    value = step.value(0)
    rows = int(np.prod(value.shape[:axis]))
    return layers.softmax(value.reshape(rows, -1), 1, result).reshape(*value.shape)


def _reduce(step: Step) -> Value:
    x = step.value(0)
    axes = step.axes("axes", 1, x.ndim)
    if not axes:
        if step.integer("noop_with_empty_axes", 0):  # each entry is reduced by itself
            return x * x if step.op == "ReduceSumSquare" else x
        axes = list(range(x.ndim))
    keep = bool(step.integer("keepdims", 1))
    if step.op == "ReduceMean":
        return x.mean(axes, keep)
    if step.op == "ReduceSum":
        return x.sum(axes, keep)
    if step.op == "ReduceSumSquare":
        return (x * x).sum(axes, keep)
    if len(axes) != 1:
        raise LoadError("it is supported over one axis")
    y = x.softmax(axes[0], "logsumexp")
    return y.reshape(*(1 if k in axes else n for k, n in enumerate(x.shape))) if keep else y


def _where(step: Step) -> Operand:
    """A constant condition between a value and a constant, or two values."""
    chosen = step.operand(0)
    if isinstance(chosen, Compared) and _is_softplus(chosen, step.operand(2)):
        return step.value(2)
    if not isinstance(chosen, np.ndarray):
        raise LoadError(refusal("where"))
    condition = step.constant(0).astype(bool)
    yes, no = step.operand(1), step.operand(2)
    broadcast(broadcast(condition.shape, yes.shape), no.shape)
    for place, fill, mask in ((1, no, ~condition), (2, yes, condition)):
        if isinstance(fill, np.ndarray) and fill.size == 1:
            x = step.value(place)
            shape = broadcast(x.shape, mask.shape)
            return layers.fill_mask(x.broadcast_to(shape), mask, fill.item())
    first, second = step.value(1), step.value(2)
    return first * np.where(condition, 1.0, 0.0) + second * np.where(condition, 0.0, 1.0)


def _is_softplus(chosen: Compared, no: Operand) -> bool:
    """PyTorch's softplus: x where x > 20, else softplus(x); the two agree to rounding, the function is softplus."""
    unit = no.unit if isinstance(no, Value) else None
    while unit is not None and isinstance(unit.operation, Affine) and len(unit.operands) == 1:
        unit = unit.operands[0]  # a division by beta
    softplus = unit is not None and isinstance(unit.operation, Activation) and unit.operation.name == "softplus"
    large = chosen.op == "Greater" and bool((chosen.constant >= 20).all())
    return softplus and large and unit is not None and unit.operands[0] is chosen.value.unit


def _scaler(step: Step) -> Value:
    """(x - offset) * scale, one number each or one per entry of the last axis."""
    offset, factor = (
        np.array(step.attributes.get(name) or [default]) for name, default in (("offset", 0), ("scale", 1))
    )
    x = step.value(0)
    if {offset.shape, factor.shape} - {(1,), x.shape[-1:]}:
        raise LoadError(f"expected {x.shape[-1]} offsets and factors, got {offset.size} and {factor.size}")
    return (x - offset) * factor


def _einsum(step: Step) -> Value:
    equation = step.text("equation", "").replace(" ", "")
    words = equation.split("->")[0].split(",")
    if len(words) != 2 or "->" not in equation or "." in equation or any(len(set(w)) < len(w) for w in words):
        raise LoadError(f"the equation {equation!r} is supported for two values and distinct letters only")
    return einsum(equation, step.value(0), step.value(1))


def _activation(name: str) -> Callable[[Step], Value]:
    return lambda step: step.value(0).apply(name)


def _root(name: str) -> Callable[[Step], Value]:
    return lambda step: root(step.value(0), name)


ACTIVATIONS = {
    "Atan": "arctan",
    "Cos": "cos",
    "Erf": "erf",
    "Exp": "exp",
    "Mish": "mish",
    "Sigmoid": "sigmoid",
    "Sin": "sin",
    "Softplus": "softplus",
    "Tanh": "tanh",
}
ROOTS = {"Log": "log", "Reciprocal": "reciprocal", "Sqrt": "sqrt"}
COMPARISONS = ("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual")
OPERATORS: dict[str, Callable[[Step], Any]] = {
    **{op: _activation(name) for op, name in ACTIVATIONS.items()},
    **{op: _root(name) for op, name in ROOTS.items()},
    **dict.fromkeys(("Add", "Div", "Mul", "Sub"), _arithmetic),
    **dict.fromkeys(("ReduceLogSumExp", "ReduceMean", "ReduceSum", "ReduceSumSquare"), _reduce),
    **dict.fromkeys(("LogSoftmax", "Softmax"), _softmax),
    **dict.fromkeys(("Mean", "Sum"), _sum),
    "AveragePool": onnx_layers.average_pool,
    "BatchNormalization": onnx_layers.batch_norm,
    "Conv": onnx_layers.conv,
    "ConvTranspose": onnx_layers.conv_transpose,
    "CumSum": onnx_layers.cumulative_sum,
    "Einsum": _einsum,
    "GRU": onnx_layers.recurrent,
    "Gelu": _gelu,
    "Gemm": _gemm,
    "GlobalAveragePool": onnx_layers.global_average_pool,
    "GroupNormalization": onnx_layers.group_norm,
    "InstanceNormalization": onnx_layers.instance_norm,
    "LSTM": onnx_layers.recurrent,
    "LayerNormalization": onnx_layers.layer_norm,
    "MatMul": _matmul,
    "Neg": lambda step: -step.value(0),
    "Pow": _power,
    "RMSNormalization": onnx_layers.rms_norm,
    "RNN": onnx_layers.recurrent,
    "Resize": onnx_layers.resize,
    "Swish": _swish,
    "Upsample": onnx_layers.resize,
    "Where": _where,
    "ai.onnx.ml.Scaler": _scaler,
    "ai.onnx.ml.ZipMap": lambda step: step.value(0),
}
