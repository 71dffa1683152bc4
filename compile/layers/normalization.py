"""Normalisation layers. 1/sqrt(variance + eps) is the activation "rsqrt" of a mean of squares, never negative."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gpac.errors import NumberError, ShapeError

from ..value import Value, constant


def batch_norm(x: Value, mean: Any, variance: Any, weight: Any, bias: Any, eps: float, exact: bool = False) -> Value:
    """(x - mean) / sqrt(variance + eps) * weight + bias per channel of x (C, ...), as at inference.

    The factor weight / sqrt(variance + eps) is an irrational constant: it is rounded to the nearest double, like a
    weight, or with `exact` computed by integrators of its own (one per channel) and not rounded at all.
    """
    mean, variance = np.asarray(mean, dtype=np.float64), np.asarray(variance, dtype=np.float64)
    if not (variance + eps > 0).all() or eps <= 0:
        raise NumberError("expected variances that are not negative and a positive eps")
    column = (-1, *[1] * (x.ndim - 1))
    weight, bias = _or(weight, 1.0, len(mean)), _or(bias, 0.0, len(mean))
    centred = x - mean.reshape(column)
    if not exact:
        return centred * (weight / np.sqrt(variance + eps)).reshape(column) + bias.reshape(column)
    factor = constant(variance).apply("rsqrt", eps) * weight
    return centred * factor.reshape(*column) + bias.reshape(column)


def layer_norm(x: Value, axes: int, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Value:
    """(x - mean) / sqrt(var + eps) over the last `axes` axes, times `weight` plus `bias` of their shape."""
    last = tuple(range(x.ndim - axes, x.ndim))
    return _affine(_normalised(x - x.mean(last, keep=True), last, eps), weight, bias)


def rms_norm(x: Value, axes: int, weight: Any = None, eps: float = 1e-5) -> Value:
    """x / sqrt(mean of squares + eps) over the last `axes` axes, times `weight`."""
    return _affine(_normalised(x, tuple(range(x.ndim - axes, x.ndim)), eps), weight, None)


def group_norm(x: Value, groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Value:
    """Normalised over every group of channels of x (C, ...), times `weight` plus `bias` per channel."""
    if x.shape[0] % groups:
        raise ShapeError(f"{groups} groups do not divide {x.shape[0]} channels")
    parts = x.reshape(groups, -1)
    normal = _normalised(parts - parts.mean([1], keep=True), (1,), eps).reshape(*x.shape)
    column = (-1, *[1] * (x.ndim - 1))
    shaped = [None if a is None else np.asarray(a, dtype=np.float64).reshape(column) for a in (weight, bias)]
    return _affine(normal, *shaped)


def instance_norm(x: Value, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Value:
    """Normalised over every channel of x (C, ...)."""
    return group_norm(x, x.shape[0], weight, bias, eps)


def _normalised(x: Value, axes: Sequence[int], eps: float) -> Value:
    return x * (x * x).mean(axes, keep=True).apply("rsqrt", eps)


def _affine(x: Value, weight: Any, bias: Any) -> Value:
    x = x if weight is None else x * np.asarray(weight, dtype=np.float64)
    return x if bias is None else x + np.asarray(bias, dtype=np.float64)


def _or(values: Any, default: float, count: int) -> np.ndarray:
    return np.full(count, default) if values is None else np.asarray(values, dtype=np.float64)
