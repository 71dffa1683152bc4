"""ATen's operators with kinks: refused, or with `smooth=delta` replaced by analytic functions within delta of them.

Source: the documentation of each function at https://docs.pytorch.org/docs/stable/nn.functional.html
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np

from compile import layers
from compile.activations import refusal
from compile.activations.refusal import jump
from compile.frontends.torch_layers import batched
from compile.layers import kinks
from compile.value import Value
from gpac.errors import ShapeError
from gpac.exact import to_exact

Operator = Callable[..., Any]

SELU = (1.6732632423543772848170429916717, 1.0507009873554804934193349852946)


def _leaky_relu(delta: Fraction, x: Value, slope: float = 0.01) -> Value:
    return kinks.leaky_relu(x, slope, delta)


def _prelu(delta: Fraction, x: Value, weight: Any) -> Value:
    """One slope, or one for every channel, the second axis."""
    weight = np.asarray(weight)
    if weight.size > 1 and weight.ndim == 1:
        weight = weight.reshape(-1, *[1] * (x.ndim - 2))
    return kinks.leaky_relu(x, weight, delta)


def _rrelu(delta: Fraction, x: Value, lower: float = 1 / 8, upper: float = 1 / 3, *_: Any) -> Value:
    """In eval mode: the mean of both slopes."""
    return kinks.leaky_relu(x, (to_exact(lower) + to_exact(upper)) / 2, delta)


def _elu(delta: Fraction, x: Value, alpha: float = 1, scale: float = 1, input_scale: float = 1) -> Value:
    return kinks.elu(x, alpha, delta, scale, input_scale)


def _clip(delta: Fraction, x: Value, low: Any = None, high: Any = None, **named: Any) -> Value:
    ends = [named.get("min", low), named.get("max", high)]
    if any(isinstance(v, Value) or np.size(v) > 1 for v in ends):
        raise ShapeError("expected numbers as its bounds; use maximum and minimum for others")
    bounds = [None if v is None else np.asarray(v).item() for v in ends]
    return kinks.clip(x, bounds[0], bounds[1], delta)


def _threshold(delta: Fraction, x: Value, threshold: float, value: float) -> Value:
    if threshold != value:
        raise ShapeError(jump("threshold", f"its value {value:g} is not its threshold {threshold:g}"))
    return kinks.clip(x, threshold, None, delta)


def _extreme(two: Operator, over: Operator) -> Operator:
    """aten.max and min: of all entries, along an axis (with places, which have no value here), or of two values."""

    def operator(delta: Fraction, x: Value, other: Any = None, keep: bool = False, **named: Any) -> Any:
        other = named.get("dim", other)
        if other is None:
            return over(x, list(range(x.ndim)), False, delta)
        if isinstance(other, (Value, np.ndarray)):
            return two([x, other], delta)
        return [over(x, [other], named.get("keepdim", keep), delta), None]

    return operator


def _along(over: Operator) -> Operator:
    def operator(delta: Fraction, x: Value, dim: Any = (), keepdim: bool = False) -> Value:
        axes = list(dim) if isinstance(dim, (list, tuple)) else [dim]
        return over(x, axes or list(range(x.ndim)), keepdim, delta)

    return operator


def _pool(rank: int, places: bool = False) -> Operator:
    def operator(
        delta: Fraction,
        x: Value,
        kernel: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        ceil: bool = False,
    ) -> Any:
        pooled = lambda v: layers.max_pool(v, kernel, stride or None, padding, dilation, ceil, delta)  # noqa: E731
        y = batched(x, rank, pooled)
        return [y, None] if places else y

    return operator


def _adaptive(rank: int) -> Operator:
    def operator(delta: Fraction, x: Value, size: Any) -> list[Any]:
        given = size if isinstance(size, (list, tuple)) else [size] * rank
        wanted = [n if n is not None else x.shape[x.ndim - rank + k] for k, n in enumerate(given)]
        return [batched(x, rank, lambda v: layers.adaptive_max_pool(v, wanted, delta)), None]

    return operator


def _of(layer: Callable[..., Value], *numbers: Any) -> Operator:
    """A layer of x, numbers with these defaults, and delta."""

    def operator(delta: Fraction, x: Value, *given: Any) -> Value:
        return layer(x, *given, *numbers[len(given) :], delta)

    return operator


def _jump(name: str) -> Operator:
    def operator(*_: Any, **__: Any) -> Value:
        raise ShapeError(refusal(name))

    return operator


def _relu_rnn(*_: Any, **__: Any) -> Value:
    raise ShapeError("a recurrent layer with relu is not supported, with smooth=delta neither; use one with tanh")


_PLAIN: dict[str, tuple[str, Operator]] = {
    "abs": ("abs", _of(kinks.absolute)),
    "absolute": ("abs", _of(kinks.absolute)),
    "amax": ("max", _along(kinks.max_over)),
    "amin": ("min", _along(kinks.min_over)),
    "argmax": ("argmax", _jump("argmax")),
    "ceil": ("ceil", _jump("ceil")),
    "celu": ("celu", _of(kinks.celu, 1.0)),
    "clamp": ("clamp", _clip),
    "clamp_max": ("clamp", lambda delta, x, high: _clip(delta, x, None, high)),
    "clamp_min": ("clamp", _clip),
    "clip": ("clip", _clip),
    "elu": ("elu", _elu),
    "floor": ("floor", _jump("floor")),
    "hardshrink": ("hardshrink", _jump("hardshrink")),
    "hardsigmoid": ("hardsigmoid", lambda delta, x: kinks.hard_sigmoid(x, Fraction(1, 6), Fraction(1, 2), delta)),
    "hardswish": ("hardswish", _of(kinks.hard_swish)),
    "hardtanh": ("hardtanh", _of(kinks.clip, -1.0, 1.0)),
    "leaky_relu": ("leaky_relu", _leaky_relu),
    "max": ("max", _extreme(kinks.maximum, kinks.max_over)),
    "maximum": ("maximum", lambda delta, x, y: kinks.maximum([x, y], delta)),
    "min": ("min", _extreme(kinks.minimum, kinks.min_over)),
    "minimum": ("minimum", lambda delta, x, y: kinks.minimum([x, y], delta)),
    "prelu": ("prelu", _prelu),
    "relu": ("relu", _of(kinks.relu)),
    "relu6": ("relu6", lambda delta, x: kinks.clip(x, 0, 6, delta)),
    "round": ("round", _jump("round")),
    "rrelu": ("rrelu", _rrelu),
    "selu": ("selu", lambda delta, x: kinks.elu(x, SELU[0], delta, SELU[1])),
    "sign": ("sign", _jump("sign")),
    "softshrink": ("softshrink", _of(kinks.soft_shrink, 0.5)),
    "softsign": ("softsign", _of(kinks.softsign)),
    "threshold": ("threshold", _threshold),
    "where": ("where", _jump("where")),
}

KINKED: dict[str, tuple[str, Operator]] = {
    **_PLAIN,
    **{f"{name}_": rule for name, rule in _PLAIN.items()},
    **{f"max_pool{n}d": ("max_pool", _pool(n)) for n in (1, 2, 3)},
    **{f"max_pool{n}d_with_indices": ("max_pool", _pool(n, places=True)) for n in (1, 2, 3)},
    **{f"adaptive_max_pool{n}d": ("adaptive_max_pool", _adaptive(n)) for n in (1, 2, 3)},
    "_prelu_kernel": ("prelu", _prelu),
    "rnn_relu": ("relu", _relu_rnn),
    "rrelu_with_noise": ("rrelu", lambda delta, x, noise, *slopes: _rrelu(delta, x, *slopes)),
}
"""Operator: name in messages, function of delta and PyTorch's arguments."""


def kinked(name: str, delta: Fraction | None, arguments: list[Any], options: dict[str, Any]) -> Any:
    """The value of an operator with kinks; without `delta` it is refused."""
    called, operator = KINKED[name]
    if delta is None:
        raise ShapeError(refusal(called))
    return operator(delta, *arguments, **options)
