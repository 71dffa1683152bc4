"""ONNX's operators with kinks: refused, or with `smooth=delta` replaced by analytic functions within delta of them.

Source: https://onnx.ai/onnx/operators/
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np

from compile import layers
from compile.activations import refusal
from compile.activations.refusal import jump
from compile.frontends.onnx_layers import each, numbers, pads_of
from compile.frontends.onnx_step import Step
from compile.layers import kinks
from compile.value import Value
from gpac.errors import LoadError
from gpac.exact import to_exact

Operator = Callable[[Step, Fraction], Value]

ALPHA = {"LeakyRelu": float(np.float32(0.01)), "Elu": 1.0, "Celu": 1.0, "ThresholdedRelu": 1.0}
SELU = (1.67326319217681884765625, 1.05070102214813232421875)


def _alpha(step: Step) -> float:
    return step.number("alpha", ALPHA[step.op])


def _selu(step: Step, delta: Fraction) -> Value:
    alpha, gamma = step.number("alpha", SELU[0]), step.number("gamma", SELU[1])
    return kinks.elu(step.value(0), alpha, delta, factor=gamma)


def _clip(step: Step, delta: Fraction) -> Value:
    ends = []
    for place, name in ((1, "min"), (2, "max")):
        end = step.constant(place) if step.has(place) else np.array(step.attributes.get(name, np.nan))
        if end.size != 1:
            raise LoadError(f"expected one number as its {name}, got the shape {end.shape}")
        ends.append(None if np.isnan(end.item()) else end.item())
    return kinks.clip(step.value(0), ends[0], ends[1], delta)


def _hard_sigmoid(step: Step, delta: Fraction) -> Value:
    factor, offset = step.number("alpha", float(np.float32(0.2))), step.number("beta", 0.5)
    return kinks.hard_sigmoid(step.value(0), factor, offset, delta)


def _shrink(step: Step, delta: Fraction) -> Value:
    bound, bias = step.number("lambd", 0.5), step.number("bias", 0.0)
    if bound != bias:
        raise LoadError(jump("shrink", f"its bias {bias:g} is not its lambd {bound:g}"))
    return kinks.soft_shrink(step.value(0), bound, delta)


def _thresholded(step: Step, delta: Fraction) -> Value:
    if _alpha(step) != 0:
        raise LoadError(jump("thresholded_relu", f"its alpha is {_alpha(step):g}, not 0"))
    return kinks.relu(step.value(0), delta)


def _extreme(pick: Callable[..., Value]) -> Operator:
    def operator(step: Step, delta: Fraction) -> Value:
        if len(step.inputs) == 1:
            return step.value(0)
        return pick([v if isinstance(v, np.ndarray) else step.value(k) for k, v in enumerate(step.inputs)], delta)

    return operator


def _reduced(pick: Callable[..., Value]) -> Operator:
    def operator(step: Step, delta: Fraction) -> Value:
        x = step.value(0)
        axes = step.axes("axes", 1, x.ndim)
        if not axes and step.integer("noop_with_empty_axes", 0):
            return x
        return pick(x, axes or list(range(x.ndim)), bool(step.integer("keepdims", 1)), delta)

    return operator


def _max_pool(step: Step, delta: Fraction) -> Value:
    x, kernel = step.value(0), step.integers("kernel_shape")
    if not kernel or len(kernel) != x.ndim - 2:
        raise LoadError(f"expected a kernel for the {x.ndim - 2} axes of an image, got {kernel}")
    stride, dilation = numbers(step, "strides", len(kernel)), numbers(step, "dilations", len(kernel))
    spans = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    padding = pads_of(step, x.shape[2:], spans, stride, False)
    ceil = bool(step.integer("ceil_mode", 0))
    return each(x, lambda v: layers.max_pool(v, kernel, stride, padding, dilation, ceil, delta))


def _global_max_pool(step: Step, delta: Fraction) -> Value:
    x = step.value(0)
    return kinks.max_over(x, list(range(2, x.ndim)), True, delta)


def _jump(name: str) -> Operator:
    def operator(step: Step, delta: Fraction) -> Value:
        raise LoadError(refusal(name))

    return operator


AXES = {"axes", "keepdims", "noop_with_empty_axes"}
POOL = {"auto_pad", "ceil_mode", "dilations", "kernel_shape", "pads", "storage_order", "strides"}

KINKED: dict[str, tuple[str, Operator, int, set[str]]] = {
    "Abs": ("abs", lambda step, delta: kinks.absolute(step.value(0), delta), 1, set()),
    "Ceil": ("ceil", _jump("ceil"), 1, set()),
    "Celu": ("celu", lambda step, delta: kinks.celu(step.value(0), _alpha(step), delta), 1, {"alpha"}),
    "Clip": ("clip", _clip, 3, {"min", "max"}),
    "Elu": ("elu", lambda step, delta: kinks.elu(step.value(0), _alpha(step), delta), 1, {"alpha"}),
    "Floor": ("floor", _jump("floor"), 1, set()),
    "GlobalMaxPool": ("max_pool", _global_max_pool, 1, set()),
    "HardSigmoid": ("hardsigmoid", _hard_sigmoid, 1, {"alpha", "beta"}),
    "HardSwish": ("hardswish", lambda step, delta: kinks.hard_swish(step.value(0), delta), 1, set()),
    "LeakyRelu": (
        "leaky_relu",
        lambda step, delta: kinks.leaky_relu(step.value(0), to_exact(_alpha(step)), delta),
        1,
        {"alpha"},
    ),
    "Max": ("max", _extreme(kinks.maximum), 2**31, set()),
    "MaxPool": ("max_pool", _max_pool, 1, POOL),
    "Min": ("min", _extreme(kinks.minimum), 2**31, set()),
    "PRelu": ("prelu", lambda step, delta: kinks.leaky_relu(step.value(0), step.constant(1), delta), 2, set()),
    "ReduceMax": ("max", _reduced(kinks.max_over), 2, AXES),
    "ReduceMin": ("min", _reduced(kinks.min_over), 2, AXES),
    "Relu": ("relu", lambda step, delta: kinks.relu(step.value(0), delta), 1, set()),
    "Round": ("round", _jump("round"), 1, set()),
    "Selu": ("selu", _selu, 1, {"alpha", "gamma"}),
    "Shrink": ("shrink", _shrink, 1, {"bias", "lambd"}),
    "Sign": ("sign", _jump("sign"), 1, set()),
    "Softsign": ("softsign", lambda step, delta: kinks.softsign(step.value(0), delta), 1, set()),
    "ThresholdedRelu": ("thresholded_relu", _thresholded, 1, {"alpha"}),
}
"""Operator: name in messages, function of the node and delta, how many inputs and which attributes are read."""


def kinked(step: Step, delta: Fraction | None) -> Value:
    """The value of an operator with kinks; without `delta` it is refused."""
    name, operator, _, _ = KINKED[step.op]
    if delta is None:
        raise LoadError(refusal(name))
    return operator(step, delta)
