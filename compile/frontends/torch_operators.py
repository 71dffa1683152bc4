"""ATen operators as layers. Values carry PyTorch's shapes, batch axis included; arguments are PyTorch's, in order.

Source: https://docs.pytorch.org/docs/stable/torch.compiler_ir.html and the documentation of each function.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np

from compile import layers
from compile.activations import refusal
from compile.build import linear, matmul
from compile.frontends import torch_layers
from compile.value import Value, affine, constant, einsum, root
from gpac.errors import ShapeError
from gpac.exact import exact_array

SAME = frozenset(("alias", "clone", "contiguous", "detach", "dropout", "to", "_to_copy", "lift_fresh_copy", "type_as"))
"""Operators that change nothing at inference."""

MOVES = frozenset(
    (
        *("view", "_unsafe_view", "reshape", "flatten", "unflatten", "unsqueeze", "squeeze", "transpose", "permute"),
        *("t", "numpy_T", "mT", "movedim", "expand", "expand_as", "repeat", "repeat_interleave", "tile", "flip"),
        *("roll", "select", "slice", "narrow", "split", "split_with_sizes", "chunk", "unbind", "index_select"),
        *("cat", "concat", "stack", "hstack", "vstack", "constant_pad_nd", "pad", "broadcast_to", "diagonal"),
        *(f"{kind}_pad{n}d" for kind in ("reflection", "replication") for n in (1, 2, 3)),
        *(f"upsample_nearest{n}d" for n in (1, 2, 3)),
        *(
            "im2col",
            "tensor_split",
            "unfold",
            "pixel_shuffle",
            "pixel_unshuffle",
            "channel_shuffle",
            "swapaxes",
            "concatenate",
        ),
    )
)
"""Operators that only move, repeat or leave out entries."""


def _activation(name: str) -> Callable[..., Value]:
    return lambda x, *_, **__: x.apply(name)


def _softplus(x: Value, beta: float = 1, threshold: float = 20) -> Value:
    """The function itself: PyTorch replaces it by x beyond the threshold, where the two agree to rounding."""
    return x.apply("softplus") if beta == 1 else (x * beta).apply("softplus") / beta


def _gelu(x: Value, approximate: str = "none") -> Value:
    return x.apply("gelu" if approximate == "none" else "gelu_tanh")


def _glu(x: Value, dim: int = -1) -> Value:
    axis = dim % x.ndim
    half = x.shape[axis] // 2
    parts = [x[(slice(None),) * axis + (rows,)] for rows in (slice(0, half), slice(half, None))]
    return parts[0] * parts[1].apply("sigmoid")


def _power(x: Value, exponent: Any) -> Value:
    exponent = float(exponent)
    if exponent == 1:
        return x
    if exponent in (0.5, -0.5, -1):
        return root(x, {0.5: "sqrt", -0.5: "rsqrt", -1.0: "reciprocal"}[exponent])
    if exponent != int(exponent) or exponent < 2:
        raise ShapeError(f"expected a whole exponent of at least 2, or 1/2, -1/2 or -1, got {exponent}")
    return x.apply("square") if exponent == 2 else x.apply("power", int(exponent))


def _add(a: Any, b: Any, alpha: float = 1) -> Value | layers.Masked:
    for x, mask in ((a, b), (b, a)):
        if isinstance(mask, np.ndarray) and np.isneginf(mask).any():
            return layers.add_mask(x, mask)
    return a + (b if alpha == 1 else b * alpha)


def _subtract(a: Any, b: Any, alpha: float = 1) -> Value:
    return a - (b if alpha == 1 else b * alpha)


def _divide(a: Any, b: Any, rounding_mode: str | None = None) -> Value:
    if rounding_mode is not None:
        raise ShapeError(refusal("floor"))
    return a / b if isinstance(a, Value) else root(b, "reciprocal") * a


def _matmul(a: Any, b: Any) -> Value:
    """Matrix products of values, or of one with constants, batches included."""
    if isinstance(a, Value) and not isinstance(b, Value) and b.ndim == 2:
        return linear(a, b.T)
    a, b = (v if isinstance(v, Value) else constant(v) for v in (a, b))
    if a.ndim == 1:
        return _matmul(a.reshape(1, -1), b)[..., 0, :]
    if b.ndim == 1:
        return _matmul(a, b.reshape(-1, 1))[..., 0]
    lead = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    return matmul(a.broadcast_to((*lead, *a.shape[-2:])), b.broadcast_to((*lead, *b.shape[-2:])))


def _linear(x: Value, weight: Any, bias: Any = None) -> Value:
    if isinstance(weight, Value) or isinstance(bias, Value):
        y = _matmul(x, weight.transpose(1, 0))
        return y if bias is None else y + bias
    return linear(x, weight, bias)


def _addmm(bias: Any, a: Value, b: Any, beta: float = 1, alpha: float = 1) -> Value:
    y = _matmul(a, b)
    return (y if alpha == 1 else y * alpha) + (bias if beta == 1 else bias * beta)


def _einsum(equation: str, operands: Sequence[Any], path: Any = None) -> Value:
    equation = equation.replace(" ", "")
    if len(operands) != 2 or "." in equation or any(len(set(w)) < len(w) for w in equation.split("->")[0].split(",")):
        raise ShapeError(f"einsum {equation!r} is supported for two values and distinct letters only")
    if "->" not in equation:
        letters = equation.replace(",", "")
        equation += "->" + "".join(sorted(c for c in letters if letters.count(c) == 1))
    a, b = (v if isinstance(v, Value) else constant(v) for v in operands)
    return einsum(equation, a, b)


def _axes(x: Value, dim: Any) -> list[int]:
    axes = list(range(x.ndim)) if dim is None or dim == [] else dim if isinstance(dim, list) else [dim]
    return [a % x.ndim for a in axes]


def _mean(x: Value, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Value:
    return x.mean(_axes(x, dim), keepdim) if x.ndim else x


def _sum(x: Value, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Value:
    return x.sum(_axes(x, dim), keepdim)


def _variance(x: Value, dim: Any = None, correction: Any = 1, keepdim: bool = False) -> Value:
    axes = _axes(x, dim)
    centred = x - x.mean(axes, keep=True)
    count = prod(x.shape[a] for a in axes)
    correction = 1 if correction is None else correction
    return (centred * centred).sum(axes, keepdim) / (count - int(correction))


def _softmax(result: str) -> Callable[..., Value]:
    return lambda x, dim, *_, **__: layers.softmax(x, dim, result)


def _logsumexp(x: Value, dim: Any, keepdim: bool = False) -> Value:
    (axis,) = _axes(x, dim)
    y = x.softmax(axis, "logsumexp")
    return y.reshape(*(1 if k == axis else n for k, n in enumerate(x.shape))) if keepdim else y


def _bmm_add(bias: Any, a: Any, b: Any, beta: float = 1, alpha: float = 1) -> Value:
    return _addmm(bias, a, b, beta, alpha)


def _outer(a: Any, b: Any) -> Value:
    a, b = (v if isinstance(v, Value) else constant(v) for v in (a, b))
    return a.reshape(-1, 1) * b.reshape(1, -1)


def _bilinear(a: Value, b: Value, weight: Any, bias: Any = None) -> Value:
    """y_k = a' W_k b + bias_k along the last axes."""
    k, m, n = weight.shape
    rows = a.size // m
    pairs = einsum("tm,tn->tmn", a.reshape(rows, m), b.reshape(rows, n)).reshape(rows, m * n)
    return linear(pairs, weight.reshape(k, m * n), bias).reshape(*a.shape[:-1], k)


def _negated(x: Value) -> Value:
    return affine([(exact_array(-1.0), x)], 0, x.shape)


LAYERS: dict[str, Callable[..., Any]] = {
    **{name: _activation(name) for name in ("tanh", "sigmoid", "silu", "mish", "erf", "exp", "sin", "cos", "square")},
    **{name: _activation("arctan") for name in ("atan", "arctan")},
    "log_sigmoid": _activation("log_sigmoid"),
    "log_sigmoid_forward": _activation("log_sigmoid"),
    "softplus": _softplus,
    "gelu": _gelu,
    "glu": _glu,
    "pow": _power,
    "sqrt": lambda x: root(x, "sqrt"),
    "rsqrt": lambda x: root(x, "rsqrt"),
    "reciprocal": lambda x: root(x, "reciprocal"),
    "log": lambda x: root(x, "log"),
    "add": _add,
    "sub": _subtract,
    "rsub": lambda a, b, alpha=1: _subtract(b, a, alpha),
    "mul": lambda a, b: a * b,
    "multiply": lambda a, b: a * b,
    "div": _divide,
    "neg": _negated,
    "matmul": _matmul,
    "mm": _matmul,
    "bmm": _matmul,
    "addmm": _addmm,
    "baddbmm": _bmm_add,
    "linear": _linear,
    "bilinear": _bilinear,
    "outer": _outer,
    "einsum": _einsum,
    "mean": _mean,
    "sum": _sum,
    "var": _variance,
    "masked_fill": layers.fill_mask,
    "softmax": _softmax("softmax"),
    "_softmax": _softmax("softmax"),
    "cumsum": torch_layers.cumulative_sum,
    **{f"upsample_{name}": torch_layers.upsample(mode) for name, mode in torch_layers.UPSAMPLING.items()},
    "log_softmax": _softmax("log_softmax"),
    "_log_softmax": _softmax("log_softmax"),
    "logsumexp": _logsumexp,
    **{f"conv{n}d": torch_layers.convolution(n) for n in (1, 2, 3)},
    "conv_transpose1d": torch_layers.transposed(1),
    "conv_transpose2d": torch_layers.transposed(2),
    "conv_transpose3d": torch_layers.transposed(3),
    **{f"avg_pool{n}d": torch_layers.pool(n) for n in (1, 2, 3)},
    **{f"adaptive_avg_pool{n}d": torch_layers.adaptive_pool(n) for n in (1, 2, 3)},
    "batch_norm": torch_layers.batch_norm,
    "instance_norm": torch_layers.instance_norm,
    "layer_norm": torch_layers.layer_norm,
    "rms_norm": torch_layers.rms_norm,
    "group_norm": torch_layers.group_norm,
    "scaled_dot_product_attention": torch_layers.attention,
    "lstm": torch_layers.recurrent("lstm"),
    "gru": torch_layers.recurrent("gru"),
    "rnn_tanh": torch_layers.recurrent("rnn"),
    "lstm_cell": torch_layers.recurrent_cell("lstm"),
    "gru_cell": torch_layers.recurrent_cell("gru"),
    "rnn_tanh_cell": torch_layers.recurrent_cell("rnn"),
}
