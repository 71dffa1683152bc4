"""ONNX's layers: convolutions, pools, norms and recurrent layers, with the batch axis in front.

Source: https://onnx.ai/onnx/operators/
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np

from compile import layers
from compile.build import gather, linear, side_by_side
from compile.frontends.onnx_step import Step, axis_of, check_size
from compile.layers.recurrent import Cell
from compile.value import LARGEST_VALUE, Value
from gpac.errors import LoadError

GATES = {"LSTM": (0, 2, 3, 1), "GRU": (1, 0, 2), "RNN": (0,)}
"""ONNX's gates (i o f c; z r h) in PyTorch's order (i f c o; r z h)."""
LARGEST_BATCH = 256
"""Entries of a fixed batch; each becomes layers of its own."""
DEFAULTS = {"LSTM": ("Sigmoid", "Tanh", "Tanh"), "GRU": ("Sigmoid", "Tanh"), "RNN": ("Tanh",)}


def conv(step: Step) -> Value:
    """Conv."""
    x, weight = step.value(0), step.weights(1)
    options = _options(step, x, weight, False)
    pads = options.pop("padding")
    return each(x, lambda v: layers.conv(v, weight, step.optional(2), padding=pads, **options))


def conv_transpose(step: Step) -> Value:
    """ConvTranspose; `output_shape` is not supported."""
    x, weight = step.value(0), step.weights(1)
    if step.integers("output_shape"):
        raise LoadError("its attribute 'output_shape' is not supported; give pads and output_padding")
    options = _options(step, x, weight, True)
    extra = step.integers("output_padding") or 0
    return each(x, lambda v: layers.conv_transpose(v, weight, step.optional(2), output_padding=extra, **options))


def _options(step: Step, x: Value, weight: np.ndarray, transposed: bool) -> dict[str, Any]:
    rank = weight.ndim - 2
    kernel = step.integers("kernel_shape") or list(weight.shape[2:])
    if rank < 1 or x.ndim != weight.ndim or tuple(kernel) != weight.shape[2:]:
        raise LoadError(f"a kernel of shape {weight.shape} does not fit a value of shape {x.shape}")
    stride, dilation = numbers(step, "strides", rank), numbers(step, "dilations", rank)
    spans = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    padding = pads_of(step, x.shape[2:], spans, stride, transposed)
    return {"stride": stride, "padding": padding, "dilation": dilation, "groups": step.integer("group", 1)}


def numbers(step: Step, name: str, rank: int) -> list[int]:
    """Positive integers, one per axis; 1 by default."""
    values = step.integers(name) or [1] * rank
    if len(values) != rank or min(values) < 1:
        raise LoadError(f"expected {rank} positive numbers as its attribute {name!r}, got {values}")
    return values


def pads_of(step: Step, image: Any, spans: list[int], stride: list[int], transposed: bool) -> list[tuple[int, int]]:
    """(before, after) for every axis."""
    auto, rank = step.text("auto_pad", "NOTSET"), len(spans)
    if auto in ("NOTSET", "VALID"):
        pads = step.integers("pads") if auto == "NOTSET" else None
        pads = pads or [0] * (2 * rank)
        if len(pads) != 2 * rank or min(pads) < 0:
            raise LoadError(f"expected {2 * rank} paddings of at least 0, got {pads}")
        return list(zip(pads[:rank], pads[rank:], strict=True))
    if auto not in ("SAME_UPPER", "SAME_LOWER") or transposed:
        raise LoadError(f"the padding {auto!r} is not supported here")
    totals = [max(0, (-(-n // s) - 1) * s + k - n) for n, s, k in zip(image, stride, spans, strict=True)]
    small = [(t // 2, t - t // 2) for t in totals]
    return small if auto == "SAME_UPPER" else [(b, a) for a, b in small]


def each(x: Value, layer: Callable[[Value], Value]) -> Value:
    """A layer on every entry of the batch axis."""
    if x.shape[0] > LARGEST_BATCH:
        raise LoadError(f"expected a batch of at most {LARGEST_BATCH}, got {x.shape[0]}; export it with 1 or symbolic")
    results = [layer(x.reshape(*x.shape[1:]) if x.shape[0] == 1 else x.part(k)) for k in range(x.shape[0])]
    if len(results) == 1:
        return results[0].reshape(1, *results[0].shape)
    return gather(results, np.stack(side_by_side(results)))


def average_pool(step: Step) -> Value:
    """AveragePool."""
    x, kernel = step.value(0), step.integers("kernel_shape")
    if not kernel or len(kernel) != x.ndim - 2:
        raise LoadError(f"expected a kernel for the {x.ndim - 2} axes of an image, got {kernel}")
    if any(d != 1 for d in step.integers("dilations") or []):
        raise LoadError("its attribute 'dilations' is not supported")
    stride = numbers(step, "strides", len(kernel))
    pads = pads_of(step, x.shape[2:], kernel, stride, False)
    count, ceil = bool(step.integer("count_include_pad", 0)), bool(step.integer("ceil_mode", 0))
    return each(x, lambda v: layers.average_pool(v, kernel, stride, pads, count, ceil))


def global_average_pool(step: Step) -> Value:
    """GlobalAveragePool."""
    x = step.value(0)
    return x.mean(list(range(2, x.ndim)), keep=True)


def batch_norm(step: Step) -> Value:
    """BatchNormalization at inference; its factor is rounded to a double."""
    if step.integer("training_mode", 0) or not step.integer("spatial", 1):
        raise LoadError("it is in training mode or not spatial; export the network with eval()")
    weight, bias, mean, variance = (step.weights(k) for k in range(1, 5))
    eps = step.number("epsilon", 1e-5)
    return each(step.value(0), lambda v: layers.batch_norm(v, mean, variance, weight, bias, eps))


def instance_norm(step: Step) -> Value:
    """InstanceNormalization."""
    eps = step.number("epsilon", 1e-5)
    return each(step.value(0), lambda v: layers.instance_norm(v, step.weights(1), step.weights(2), eps))


def group_norm(step: Step) -> Value:
    """GroupNormalization: scale and bias per channel (opset 21), or per group (opset 18)."""
    x, groups, eps = step.value(0), step.integer("num_groups", 0), step.number("epsilon", 1e-5)
    scale, bias = step.weights(1), step.weights(2)
    if groups < 1 or x.shape[1] % groups or scale.size not in (groups, x.shape[1]):
        raise LoadError(f"{groups} groups and {scale.size} factors do not fit {x.shape[1]} channels")
    scale, bias = (np.repeat(a, x.shape[1] // a.size) for a in (scale, bias))
    return each(x, lambda v: layers.group_norm(v, groups, scale, bias, eps))


def layer_norm(step: Step) -> Value:
    """LayerNormalization; its optional statistics are not given."""
    x = step.value(0)
    axis = axis_of(step.integer("axis", -1), x.ndim)
    return layers.layer_norm(x, x.ndim - axis, step.optional(1), step.optional(2), step.number("epsilon", 1e-5))


def rms_norm(step: Step) -> Value:
    """RMSNormalization."""
    x = step.value(0)
    axis = axis_of(step.integer("axis", -1), x.ndim)
    return layers.rms_norm(x, x.ndim - axis, step.optional(1), step.number("epsilon", 1e-5))


def resize(step: Step) -> Value:
    """Resize (opset 10 on) and Upsample: sizes or scales, of all axes or of those in `axes`."""
    x, first = step.value(0), step.op == "Resize" and step.opset > 10
    if step.integer("antialias", 0) or step.integer("exclude_outside", 0):
        raise LoadError("antialias and exclude_outside are not supported")
    if step.text("keep_aspect_ratio_policy", "stretch") != "stretch":
        raise LoadError("its attribute 'keep_aspect_ratio_policy' is supported as 'stretch' only")
    axes = step.axes("axes", None, x.ndim)
    axes = list(range(x.ndim)) if axes is None else axes
    scales, sizes = [Fraction(1)] * x.ndim, list(x.shape)
    wanted = step.integers("sizes", 3) if first and step.has(3) else None
    given = step.attributes.get("scales") or (step.constant(2 if first else 1) if wanted is None else wanted)
    if len(given) != len(axes):
        raise LoadError(f"expected {len(axes)} sizes or scales, got {len(given)}")
    for axis, number in zip(axes, np.asarray(given).tolist(), strict=True):
        sizes[axis] = int(number) if wanted else math.floor(x.shape[axis] * Fraction(number))
        if not 0 < sizes[axis] <= LARGEST_VALUE:
            raise LoadError(f"expected sizes of at least 1, got {sizes[axis]} of the axis {axis}")
        scales[axis] = Fraction(sizes[axis], x.shape[axis]) if wanted else Fraction(number)
    check_size(tuple(sizes))
    plain = "half_pixel" if first else "asymmetric"  # and before opset 11 nearest was the one below
    sampling = layers.Sampling(
        step.text("mode", "nearest"),
        step.text("coordinate_transformation_mode", plain),
        step.text("nearest_mode", "round_prefer_floor" if first else "floor"),
        Fraction(step.number("cubic_coeff_a", -0.75)),
    )
    return layers.resize(x, sizes, scales, sampling)


def cumulative_sum(step: Step) -> Value:
    """CumSum: sums of all entries before along an axis."""
    x, axis = step.value(0), axis_of(int(step.constant(1).item()), len(step.shape))
    n = x.shape[axis]
    check_size((n, n))
    matrix = np.tril(np.ones((n, n)), -1 if step.integer("exclusive", 0) else 0)
    if not matrix.any():
        raise LoadError("its sums are empty")
    matrix = matrix.T if step.integer("reverse", 0) else matrix
    order = [k for k in range(x.ndim) if k != axis] + [axis]
    return linear(x.transpose(*order), matrix).transpose(*np.argsort(order).tolist())


def recurrent(step: Step) -> list[Value | None]:
    """LSTM, GRU, RNN over (T, 1, n): Y (T, directions, 1, H), the last h and, for an LSTM, the last c."""
    kind, direction = step.op, step.text("direction", "forward")
    x, w, r = step.value(0), step.weights(1), step.weights(2)
    count = 2 if direction == "bidirectional" else 1
    directions = ("forward", "reverse", "bidirectional")
    if step.integer("layout", 0) or x.ndim != 3 or x.shape[1] != 1 or direction not in directions:
        raise LoadError(f"expected a sequence (T, 1, n) in layout 0, got the shape {x.shape}")
    if w.ndim != 3 or r.ndim != 3 or w.shape[0] != count or r.shape[:2] != w.shape[:2]:
        raise LoadError(f"weights of shapes {w.shape} and {r.shape} do not fit the direction {direction!r}")
    _check_plain(step, kind, count, x.shape[0])
    hidden = r.shape[2]
    cells = [_cell(step, kind, k, w, r, hidden) for k in range(count)]
    states = [_state(step, place, count, hidden) for place in (5, 6)]
    rows = x.reshape(x.shape[0], x.shape[2])
    rows = rows[::-1] if direction == "reverse" else rows
    if kind == "LSTM":
        run = layers.lstm(rows, [cells], *states)
    elif kind == "GRU":
        run = layers.gru(rows, [cells], states[0], reset_after=bool(step.integer("linear_before_reset", 0)))
    else:
        run = layers.rnn(rows, [cells], states[0])
    y = run.output[::-1] if direction == "reverse" else run.output
    y = y.reshape(x.shape[0], count, 1, hidden)
    ends = [None if v is None else v.reshape(count, 1, hidden) for v in (run.hidden, run.cells)]
    return [y, *ends] if kind == "LSTM" else [y, ends[0]]


def _check_plain(step: Step, kind: str, count: int, length: int) -> None:
    activations = step.attributes.get("activations") or [name.encode() for name in DEFAULTS[kind] * count]
    names = tuple(a.decode("utf-8", "replace") if isinstance(a, bytes) else str(a) for a in activations)
    if names != DEFAULTS[kind] * count:
        raise LoadError(f"expected the activations {DEFAULTS[kind]}, got {names}")
    if step.integer("input_forget", 0) or step.has(7):
        raise LoadError("peepholes and coupled gates are not supported")
    if step.has(4) and (step.constant(4) != length).any():
        raise LoadError(f"expected sequences of the full length {length}")


def _cell(step: Step, kind: str, k: int, w: np.ndarray, r: np.ndarray, hidden: int) -> Cell:
    order, gates = GATES[kind], len(GATES[kind])
    if w.shape[1] != gates * hidden:
        raise LoadError(f"expected weights of {gates} gates for {hidden} hidden units, got the shape {w.shape}")
    arranged = lambda a: np.concatenate([a[g * hidden : (g + 1) * hidden] for g in order])  # noqa: E731
    biases: tuple[Any, Any] = (None, None)
    if step.has(3):
        b = step.weights(3)
        if b.shape != (len(w), 2 * gates * hidden):
            raise LoadError(f"expected biases of shape {(len(w), 2 * gates * hidden)}, got {b.shape}")
        biases = (arranged(b[k, : gates * hidden]), arranged(b[k, gates * hidden :]))
    return Cell(arranged(w[k]), arranged(r[k]), *biases)


def _state(step: Step, place: int, count: int, hidden: int) -> Any:
    if not step.has(place):
        return None
    state = step.operand(place)
    if state.shape != (count, 1, hidden):
        raise LoadError(f"expected an initial state of shape {(count, 1, hidden)}, got {state.shape}")
    return step.weights(place)[:, 0] if isinstance(state, np.ndarray) else step.value(place).reshape(count, hidden)
