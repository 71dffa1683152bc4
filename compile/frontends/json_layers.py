"""Layers as a declared architecture or a network in JSON names them, as functions of values.

The parameters of a layer are those of its function here. Shapes have no batch axis, images have their channels first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from compile import layers
from compile.activations import Smooth
from compile.build import concatenate, linear
from compile.groups import Groups
from compile.layers.attention import Projections
from compile.operations import Affine, Maximum, Multiply, Softmax
from compile.value import LARGEST_VALUE, Value, constant, einsum, new_value
from gpac.errors import LoadError, NumberError, ShapeError
from gpac.exact import to_exact
from gpac.export.text import shown

Layer = Callable[..., Value]


def _affine(*values: Value, matrices: list[Any], bias: Any = None) -> Value:
    """The sum of matrix times value over the values, flattened, plus a bias; without values a constant."""
    if len(values) != len(matrices):
        raise ShapeError(f"expected as many values as matrices, got {len(values)} and {len(matrices)}")
    return new_value(Affine(tuple(matrices), np.zeros(1) if bias is None else bias), *values)


def _dense(x: Value, *, weight: Any, bias: Any = None) -> Value:
    """weight @ row + bias for every row along the last axis."""
    if weight.ndim != 2 or not x.shape or weight.shape[1] != x.shape[-1]:
        raise ShapeError(f"expected a weight of shape (m, {x.shape[-1] if x.shape else 1}), got {weight.shape}")
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ShapeError(f"expected a bias of shape {weight.shape[:1]}, got {bias.shape}")
    return linear(x, weight, bias)


def _multiply(a: Value, b: Value, *, einsum: Any = None, shapes: Any = None) -> Value:
    """The product entry by entry, or of the two seen as arrays of `shapes` an einsum such as "ij,jk->ik"."""
    if einsum is None:
        return new_value(Multiply(), a, b).reshape(*a.shape) if a.shape == b.shape else a * b
    first, second = shapes or (a.shape, b.shape)
    return _einsum(einsum, a.reshape(*first), b.reshape(*second))


def _einsum(words: str, a: Value, b: Value) -> Value:
    left, arrow, out = words.partition("->")
    first, comma, second = left.partition(",")
    proper = all(w.isalpha() and w.isascii() and len(set(w)) == len(w) for w in (first, second, *filter(None, [out])))
    if (
        not (arrow and comma and proper)
        or len(first) != a.ndim
        or len(second) != b.ndim
        or set(out) - {*first, *second}
    ):
        raise ShapeError(
            f"expected an einsum such as ij,jk->ik for the shapes {a.shape} and {b.shape}, got {words[:40]}"
        )
    extent = dict(zip(first, a.shape, strict=True))
    if any(extent.get(c, n) != n for c, n in zip(second, b.shape, strict=True)):
        raise ShapeError(f"the shapes {a.shape} and {b.shape} do not go together in {words}")
    return einsum(words, a, b)


def _softmax(result: Any) -> Layer:
    def layer(x: Value, *, axis: int = -1, groups: Any = None) -> Value:
        if groups is not None:
            return new_value(Softmax(Groups(groups), result), x)
        if not -x.ndim <= axis < x.ndim:
            raise ShapeError(f"the axis {axis} does not exist in a value of shape {x.shape}")
        return x.softmax(axis, result)

    return layer


def _conv(
    x: Value, *, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: Any = 1
) -> Value:
    return layers.conv(x, weight, bias, stride, padding, dilation, int(groups))


def _conv_transpose(
    x: Value,
    *,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: Any = 1,
    output_padding: Any = 0,
) -> Value:
    return layers.conv_transpose(x, weight, bias, stride, padding, dilation, int(groups), output_padding)


def _average_pool(
    x: Value, *, kernel: Any, stride: Any = None, padding: Any = 0, count_padding: bool = True, ceil: bool = False
) -> Value:
    return layers.average_pool(x, kernel, stride, padding, count_padding, ceil)


def _adaptive_average_pool(x: Value, *, size: Any) -> Value:
    return layers.adaptive_average_pool(x, size)


def _batch_norm(
    x: Value, *, mean: Any, variance: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Value:
    return layers.batch_norm(x, mean, variance, weight, _doubles(bias), eps)


def _layer_norm(x: Value, *, weight: Any = None, bias: Any = None, axes: int = 1, eps: float = 1e-5) -> Value:
    return layers.layer_norm(x, _at_most(axes, x), weight, _doubles(bias), eps)


def _rms_norm(x: Value, *, weight: Any = None, axes: int = 1, eps: float = 1e-5) -> Value:
    return layers.rms_norm(x, _at_most(axes, x), weight, eps)


def _doubles(bias: Any) -> Any:
    if bias is not None and bias.dtype != np.float64:
        raise NumberError("expected a bias of numbers that are float64 numbers exactly")
    return bias


def _at_most(axes: int, x: Value) -> int:
    if not 0 < axes <= x.ndim:
        raise ShapeError(f"expected 1 to {x.ndim} axes to normalise over, got {axes}")
    return axes


def _group_norm(x: Value, *, count: int, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Value:
    if count < 1:
        raise ShapeError(f"expected at least one group, got {count}")
    return layers.group_norm(x, count, weight, _doubles(bias), eps)


def _recurrent(run: Any) -> Layer:
    def layer(x: Value, *, cells: Any, result: str = "output") -> Value:
        return _chosen(run(x, cells), result)

    return layer


def _gru(x: Value, *, cells: Any, result: str = "output", reset_after: bool = True) -> Value:
    return _chosen(layers.gru(x, cells, None, reset_after), result)


def _chosen(run: Any, result: str) -> Value:
    if result not in ("output", "last", "hidden"):
        raise LoadError(f"expected output, last (time) or hidden (states) as the result, got {shown(result)}")
    return run.output[-1] if result == "last" else run.hidden if result == "hidden" else run.output


def _attention(q: Value, k: Value, v: Value, *, causal: bool = False) -> Value:
    return layers.attention(q, k, v, layers.causal(q.shape[1], k.shape[1]) if causal and q.ndim == 3 else None)


def _multi_head_attention(
    x: Value,
    *,
    heads: int,
    in_weight: Any,
    in_bias: Any = None,
    out_weight: Any,
    out_bias: Any = None,
    causal: bool = False,
) -> Value:
    """Attention of x (T, E) to itself, with weights packed as PyTorch's MultiheadAttention has them."""
    if heads < 1 or x.ndim != 2 or in_weight.shape != (3 * x.shape[1], x.shape[1]):
        raise ShapeError(f"expected rows (T, E) and weights (3 E, E), got {x.shape} and {in_weight.shape}")
    weights = Projections.packed(in_weight, in_bias, out_weight, out_bias, heads)
    return layers.multi_head_attention(x, x, weights, layers.causal(len(x.places), len(x.places)) if causal else None)


def _embedding(*, weight: Any, tokens: np.ndarray) -> Value:
    """Rows of `weight` (V, E) for fixed tokens: a constant."""
    if weight.ndim != 2 or not tokens.size or tokens.min() < 0 or tokens.max() >= len(weight):
        raise ShapeError(f"expected tokens from 0 to one below the {len(weight)} rows of a weight (V, E)")
    if tokens.size * weight.shape[1] > LARGEST_VALUE:
        raise ShapeError(f"{tokens.size} tokens of {weight.shape[1]} numbers are too many")
    return constant(weight[tokens])


def _add(first: Value, *others: Value) -> Value:
    for other in others:
        first = first + other
    return first


def _concatenate(*values: Value, axis: int = 0) -> Value:
    if not values or not all(v.ndim and -v.ndim <= axis < v.ndim for v in values):
        raise ShapeError(f"expected values with an axis {axis} to join them along")
    return concatenate(values, axis)


def _transpose(x: Value, *, order: Any) -> Value:
    if sorted(order) != list(range(x.ndim)):
        raise ShapeError(f"expected an order of {x.ndim} axes, got {order}")
    return x.transpose(*order)


def _pick(x: Value, *, index: np.ndarray) -> Value:
    """The entries at these places of the flattened value."""
    if not index.size or index.min() < 0 or index.max() >= x.size:
        raise ShapeError(f"expected places from 0 to {x.size - 1}")
    return x.pick(index)


def _reshape(x: Value, *, shape: Any) -> Value:
    return x.reshape(*np.atleast_1d(shape).tolist())


def _mean(x: Value, *, axis: int) -> Value:
    if not -x.ndim <= axis < x.ndim:
        raise ShapeError(f"the axis {axis} does not exist in a value of shape {x.shape}")
    return x.mean([axis])


def _kinked(name: str) -> Layer:
    def layer(x: Value, *, within: Any) -> Value:
        """A function with a kink as an analytic one within this distance; 0 is the function itself."""
        return x.apply(name, Smooth(within))

    return layer


def _clip(x: Value, *, low: Any, high: Any, within: Any) -> Value:
    return x.apply("clip", Smooth(within, (low, high)))


def _elu(x: Value, *, within: Any, a: Any = 1, b: Any = 1, factor: Any = None) -> Value:
    """factor x for x > 0, factor a (exp(b x) - 1) for x < 0."""
    scale = 1 if factor is None else np.asarray(factor).item()
    return x.apply("elu", Smooth(within, tuple(map(to_exact, (scale, a, b)))))


def _max(x: Value, *, groups: Any, within: Any) -> Value:
    return new_value(Maximum(Groups(groups), within), x)


LAYERS: dict[str, Layer] = {
    **{name: _kinked(name) for name in ("abs", "hardswish", "relu")},
    "adaptive_average_pool": _adaptive_average_pool,
    "add": _add,
    "affine": _affine,
    "attention": _attention,
    "average_pool": _average_pool,
    "batch_norm": _batch_norm,
    "clip": _clip,
    "concatenate": _concatenate,
    "constant": lambda *, values: constant(values),
    "conv": _conv,
    "conv_transpose": _conv_transpose,
    "dense": _dense,
    "elu": _elu,
    "embedding": _embedding,
    "flatten": lambda x: x.reshape(-1),
    "group_norm": _group_norm,
    "gru": _gru,
    "layer_norm": _layer_norm,
    "log_softmax": _softmax("log_softmax"),
    "logsumexp": _softmax("logsumexp"),
    "lstm": _recurrent(layers.lstm),
    "max": _max,
    "mean": _mean,
    "multi_head_attention": _multi_head_attention,
    "multiply": _multiply,
    "pick": _pick,
    "reshape": _reshape,
    "rms_norm": _rms_norm,
    "rnn": _recurrent(layers.rnn),
    "scale": lambda x, *, factor: x * factor,
    "shift": lambda x, *, values: x + values,
    "softmax": _softmax("softmax"),
    "transpose": _transpose,
}
