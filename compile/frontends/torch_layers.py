"""ATen layers: convolutions, pools, norms, attention and recurrent layers, with the batch axis as in PyTorch.

Source: the documentation of each function at https://docs.pytorch.org/docs/stable/nn.functional.html
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from math import prod
from typing import Any

import numpy as np

from compile import layers
from compile.build import gather, linear, side_by_side
from compile.layers.recurrent import Cell
from compile.value import Value, constant
from gpac.errors import ShapeError

Layer = Callable[..., Any]


def _each(x: Value, layer: Callable[[Value], Value]) -> Value:
    """A layer applied to every entry of the batch axis."""
    if x.shape[0] == 1:
        y = layer(x.reshape(*x.shape[1:]))
        return y.reshape(1, *y.shape)
    results = [layer(x.part(k)) for k in range(x.shape[0])]
    return gather(results, np.stack(side_by_side(results)))


def _filled(given: Sequence[Any], defaults: Sequence[Any]) -> list[Any]:
    return [*given, *defaults[len(given) :]]


def batched(x: Value, rank: int, layer: Callable[[Value], Value]) -> Value:
    """A layer of images (C, *image), with or without a batch axis in front."""
    return _each(x, layer) if x.ndim == rank + 2 else layer(x)


def convolution(rank: int) -> Layer:
    """aten.conv1d to conv3d."""

    def layer(x: Value, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, *rest: Any) -> Value:
        dilation, groups = _filled(rest, (1, 1))
        if padding == "valid":
            padding = 0
        elif padding == "same":
            spans = [d * (k - 1) for d, k in zip(np.broadcast_to(dilation, rank), weight.shape[2:], strict=True)]
            padding = [(n // 2, n - n // 2) for n in spans]
        return batched(x, rank, lambda v: layers.conv(v, weight, bias, stride, padding, dilation, groups))

    return layer


def transposed(rank: int) -> Layer:
    """aten.conv_transpose1d to conv_transpose3d."""

    def layer(x: Value, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, *rest: Any) -> Value:
        extra, groups, dilation = _filled(rest, (0, 1, 1))
        transposed = lambda v: layers.conv_transpose(v, weight, bias, stride, padding, dilation, groups, extra)  # noqa: E731
        return batched(x, rank, transposed)

    return layer


def pool(rank: int) -> Layer:
    """aten.avg_pool1d to avg_pool3d."""

    def layer(x: Value, kernel: Any, stride: Any = None, padding: Any = 0, *rest: Any, **options: Any) -> Value:
        ceil, count, divisor = _filled(rest, (False, True, None))
        if options.get("divisor_override", divisor) is not None:
            raise ShapeError("a divisor of its own (divisor_override) is not supported")
        return batched(x, rank, lambda v: layers.average_pool(v, kernel, stride or None, padding, count, ceil))

    return layer


def adaptive_pool(rank: int) -> Layer:
    """aten.adaptive_avg_pool1d to adaptive_avg_pool3d; a size of None keeps the axis."""

    def layer(x: Value, size: Any) -> Value:
        wanted = [n if n is not None else x.shape[x.ndim - rank + k] for k, n in enumerate(size)]
        return batched(x, rank, lambda v: layers.adaptive_average_pool(v, wanted))

    return layer


UPSAMPLING = {"linear1d": "linear", "bilinear2d": "linear", "trilinear3d": "linear", "bicubic2d": "cubic"}


def upsample(mode: str) -> Layer:
    """aten.upsample_linear1d and the like: a size, or factors."""

    def layer(x: Value, size: Any, align: bool = False, *rest: Any) -> Value:
        image = x.shape[2:]
        factors = next((f for f in rest if f is not None), None)
        factors = [None] * len(image) if factors is None else np.broadcast_to(factors, len(image)).tolist()
        sizes = size or [int(n * f) for n, f in zip(image, factors, strict=True)]
        scales = [Fraction(m, n) if f is None else Fraction(f) for n, m, f in zip(image, sizes, factors, strict=True)]
        sampling = layers.Sampling(mode, "align_corners" if align else "half_pixel")
        return layers.resize(x, [*x.shape[:2], *sizes], [Fraction(1), Fraction(1), *scales], sampling)

    return layer


def cumulative_sum(x: Value, dim: int, **_: Any) -> Value:
    """aten.cumsum."""
    axis = dim % x.ndim
    order = [k for k in range(x.ndim) if k != axis] + [axis]
    sums = linear(x.transpose(*order), np.tril(np.ones((x.shape[axis], x.shape[axis]))))
    return sums.transpose(*np.argsort(order).tolist())


def batch_norm(x: Value, weight: Any, bias: Any, mean: Any, variance: Any, training: bool, *rest: Any) -> Value:
    """aten.batch_norm with running statistics."""
    if training or mean is None:
        raise ShapeError("it normalises over the batch; put the module in eval mode, with running statistics")
    eps = rest[1] if len(rest) > 1 else 1e-5
    norm = lambda v: layers.batch_norm(v, mean, variance, weight, bias, eps)  # noqa: E731
    return _each(x, norm)


def instance_norm(
    x: Value, weight: Any, bias: Any, mean: Any, variance: Any, use: bool, _: Any, eps: float, *__: Any
) -> Value:
    """aten.instance_norm with the statistics of each image."""
    if not use:
        raise ShapeError("instance norm with running statistics is not supported")
    return _each(x, lambda v: layers.instance_norm(v, weight, bias, eps))


def layer_norm(x: Value, shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5, *_: Any) -> Value:
    """aten.layer_norm."""
    return layers.layer_norm(x, len(shape), weight, bias, eps)


def rms_norm(x: Value, shape: Any, weight: Any = None, eps: float | None = None) -> Value:
    """aten.rms_norm; without an eps PyTorch takes that of the data's type, which is none of the function."""
    if eps is None:
        raise ShapeError("expected an rms norm with an eps of its own")
    return layers.rms_norm(x, len(shape), weight, eps)


def group_norm(x: Value, groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5, *_: Any) -> Value:
    """aten.group_norm."""
    return _each(x, lambda v: layers.group_norm(v, groups, weight, bias, eps))


def attention(
    q: Any, k: Any, v: Any, mask: Any = None, dropout: float = 0.0, is_causal: bool = False, **options: Any
) -> Value:
    """aten.scaled_dot_product_attention, with as many leading axes as are given."""
    if options.get("enable_gqa"):
        raise ShapeError("grouped queries (enable_gqa) are not supported")
    q, k, v = (a if isinstance(a, Value) else constant(a) for a in (q, k, v))
    lead = np.broadcast_shapes(q.shape[:-2], k.shape[:-2], v.shape[:-2])
    q, k, v = (a.broadcast_to((*lead, *a.shape[-2:])).reshape(prod(lead), *a.shape[-2:]) for a in (q, k, v))
    if is_causal:
        mask = layers.causal(q.shape[-2], k.shape[-2])
    elif mask is not None:
        if isinstance(mask, Value):
            raise ShapeError("a mask that depends on the input is not supported")
        mask = np.broadcast_to(mask, (*lead, q.shape[-2], k.shape[-2])).reshape(prod(lead), q.shape[-2], k.shape[-2])
    y = layers.attention(q, k, v, mask=mask, factor=options.get("scale"))
    return y.reshape(*lead, *y.shape[1:])


def recurrent(kind: str) -> Layer:
    """aten.lstm, gru, rnn_tanh with the arguments (x, states, weights, bias, layers, ..., both ways, batch first)."""

    def layer(x: Value, states: Any, weights: Any, bias: bool, count: int, *rest: Any) -> list[Value | None]:
        _, _, both, batch_first = rest
        each = 4 if bias else 2
        cells = [Cell(*weights[k : k + each]) for k in range(0, len(weights), each)]
        if any(w.shape[0] != cells[0].input_weight.shape[0] for w in weights[::each]) or len(weights) != each * len(
            cells
        ):
            raise ShapeError("a projection of the hidden state (proj_size) is not supported")
        per_layer = [cells[k : k + 1 + both] for k in range(0, len(cells), 1 + both)]
        initial, memory = states if kind == "lstm" else (states, None)
        if x.shape[0 if batch_first else 1] != 1:
            raise ShapeError(f"expected a batch of one sequence, got the shape {x.shape}")
        given = [None if s is None else s[:, 0] for s in (initial, memory)]
        x = x.reshape(-1, x.shape[2])
        if kind == "lstm":
            run = layers.lstm(x, per_layer, *given)
        elif kind == "gru":
            run = layers.gru(x, per_layer, given[0])
        else:
            run = layers.rnn(x, per_layer, given[0])
        y = run.output.reshape(1, *run.output.shape) if batch_first else run.output.reshape(x.shape[0], 1, -1)
        ends = [None if v is None else v.reshape(v.shape[0], 1, v.shape[1]) for v in (run.hidden, run.cells)]
        return [y, *ends] if kind == "lstm" else [y, ends[0]]

    return layer


def recurrent_cell(kind: str) -> Layer:
    """One time step: aten.lstm_cell, gru_cell, rnn_tanh_cell with a batch of one."""

    def layer(x: Value, states: Any, *weights: Any) -> Any:
        states = states if isinstance(states, list) else [states]
        wrapped = [s.reshape(1, *s.shape) for s in states]
        given = wrapped if kind == "lstm" else wrapped[0]
        with_bias = len(weights) > 2
        results = recurrent(kind)(x.reshape(1, *x.shape), given, weights, with_bias, 1, 0.0, False, False, False)
        ends = [None if v is None else v.reshape(*v.shape[1:]) for v in results[1:]]
        return ends if kind == "lstm" else ends[0]

    return layer
