"""Functions with kinks as layers: each result is within `delta` of the function everywhere, and analytic for delta > 0.

What is not a smooth stand-in of its own (`compile.activations.kinked`) is made of one: leaky_relu(x) is
s x + (1 - s) relu(x), softshrink two relus that are never steep together. With delta = 0 they are the functions.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from gpac.errors import ShapeError
from gpac.exact import exact_array, to_exact, to_fractions

from ..activations import Smooth
from ..build import gather, side_by_side
from ..groups import Groups
from ..operations import Maximum
from ..value import Value, affine, labels, new_value, root

LARGEST = Fraction(float(np.finfo(np.float32).max))
"""No number of a network in float32 is beyond: a bound as large as that is none."""


def relu(x: Value, delta: Fraction) -> Value:
    """max(x, 0)."""
    return x.apply("relu", Smooth(delta))


def leaky_relu(x: Value, slope: Any, delta: Fraction) -> Value:
    """x for x > 0, slope x for x < 0; `slope` exact, a number or an array that broadcasts to x."""
    slopes = to_fractions(exact_array(slope))
    rest = 1 - slopes
    largest = max(map(abs, np.ravel(rest).tolist()))
    if not largest:
        return x
    parts = [x, relu(x, delta / largest)]
    factors = [_factors(np.asarray(v), x) for v in (slopes, rest)]
    return affine(list(zip(factors, parts, strict=True)), 0, x.shape)


def _factors(values: np.ndarray, x: Value) -> np.ndarray:
    if values.size == 1:
        return exact_array(values.reshape(()))
    if np.broadcast_shapes(values.shape, x.shape) != x.shape:
        raise ShapeError(f"slopes of shape {values.shape} do not fit a value of shape {x.shape}")
    return exact_array(np.broadcast_to(values, x.shape).reshape(-1))


def absolute(x: Value, delta: Fraction) -> Value:
    """|x|."""
    return x.apply("abs", Smooth(delta))


def clip(x: Value, low: Any, high: Any, delta: Fraction) -> Value:
    """x between two numbers; None, or what no float32 number is beyond, is no bound."""
    low, high = _bound(low, -1), _bound(high, 1)
    if low is None and high is None:
        return x
    if high is None:
        return relu(x - low, delta) + low
    if low is None:
        return -relu(-x + high, delta) + high
    return x.apply("clip", Smooth(delta, (low, high)))


def _bound(value: Any, side: int) -> Fraction | None:
    """A bound from below (side -1) or above (1) as an exact number."""
    if value is None or side * float(value) >= LARGEST:
        return None
    return to_exact(value)


def hard_sigmoid(x: Value, factor: Any, offset: Any, delta: Fraction) -> Value:
    """factor x + offset between 0 and 1."""
    return clip(x * to_exact(factor) + to_exact(offset), 0, 1, delta)


def hard_swish(x: Value, delta: Fraction) -> Value:
    """x times x/6 + 1/2 between 0 and 1."""
    return x.apply("hardswish", Smooth(delta))


def elu(x: Value, a: Any, delta: Fraction, factor: Any = 1, b: Any = 1) -> Value:
    """factor x for x > 0, factor a (exp(b x) - 1) for x < 0."""
    return x.apply("elu", Smooth(delta, (to_exact(factor), to_exact(a), to_exact(b))))


def celu(x: Value, a: Any, delta: Fraction) -> Value:
    """x for x > 0, a (exp(x/a) - 1) for x < 0."""
    a = to_exact(a)
    if not a > 0:
        raise ShapeError(f"expected a positive alpha, got {float(a):g}")
    return elu(x, a, delta, b=1 / a)


def soft_shrink(x: Value, bound: Any, delta: Fraction) -> Value:
    """x less what of it lies in [-bound, bound]."""
    bound = to_exact(bound)
    if bound < 0:
        raise ShapeError(f"expected a bound of at least 0, got {float(bound):g}")
    return relu(x - bound, delta) - relu(-x - bound, delta)


def softsign(x: Value, delta: Fraction) -> Value:
    """x/(1 + |x|): with |x| within 4 delta, as |x|/(1 + |x|)^2 <= 1/4."""
    return x * root(absolute(x, 4 * delta) + 1, "reciprocal")


def maximum(operands: Sequence[Any], delta: Fraction) -> Value:
    """The largest of values and exact arrays, entry by entry, as NumPy broadcasts them."""
    shape = np.broadcast_shapes(*(v.shape for v in operands))
    moving = [v.broadcast_to(shape) for v in operands if isinstance(v, Value)]
    fixed = [np.asarray(to_fractions(exact_array(v)), dtype=object) for v in operands if not isinstance(v, Value)]
    share = delta if len(moving) == 1 or not fixed else delta / 2
    largest = moving[0]
    if len(moving) > 1:
        places = np.stack([p.reshape(-1) for p in side_by_side(moving)], axis=1)
        rows = np.repeat(np.arange(len(places)), len(moving))
        together = gather(moving, places.reshape(-1))
        largest = new_value(Maximum(Groups(rows), share), together).reshape(*shape)
    if not fixed:
        return largest
    floor = fixed[0]
    for other in fixed[1:]:
        floor = np.maximum(floor, other)
    floor = exact_array(np.broadcast_to(np.asarray(floor, dtype=object), shape).copy())
    return relu(largest - floor, share) + floor


def minimum(operands: Sequence[Any], delta: Fraction) -> Value:
    """The smallest."""
    return -maximum([-v if isinstance(v, Value) else _negated(v) for v in operands], delta)


def _negated(values: Any) -> np.ndarray:
    return np.asarray(-to_fractions(exact_array(values)), dtype=object)


def max_over(x: Value, axes: Sequence[int], keep: bool, delta: Fraction) -> Value:
    """The largest along axes."""
    axes = [a % x.ndim for a in axes]
    shape = tuple(1 if k in axes else n for k, n in enumerate(x.shape) if keep or k not in axes)
    return largest_in(x, labels(x.shape, axes), delta).reshape(*shape)


def min_over(x: Value, axes: Sequence[int], keep: bool, delta: Fraction) -> Value:
    """The smallest along axes."""
    return -max_over(-x, axes, keep, delta)


def largest_in(x: Value, group: np.ndarray, delta: Fraction) -> Value:
    """The largest entry of every group, flat."""
    groups = Groups(group)
    if groups.count == groups.size:
        return x.pick(np.argsort(group))
    return new_value(Maximum(groups, delta), x)
