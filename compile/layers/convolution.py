"""Convolutions in any number of dimensions, and transposed ones, as sparse linear maps.

The definitions are those of PyTorch (and of ONNX's Conv and ConvTranspose): a cross-correlation, channels first,
padding with zeros.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from gpac.errors import ShapeError
from gpac.exact import exact_array

from ..value import LARGEST_VALUE, Value, affine

Sizes = int | Sequence[int]
LARGEST_MATRIX = 2**27
"""Stored entries of one sparse matrix: 1.6 GB."""


def conv(
    x: Value,
    weight: np.ndarray,
    bias: Any = None,
    stride: Sizes = 1,
    padding: Sizes | Sequence[tuple[int, int]] = 0,
    dilation: Sizes = 1,
    groups: int = 1,
) -> Value:
    """Convolution of x (C, *image) with `weight` (K, C // groups, *kernel), plus `bias` (K,), to (K, *image').

    `padding` is a number, one per axis, or a pair (before, after) per axis.
    """
    weight = np.asarray(weight, dtype=np.float64)
    rank = weight.ndim - 2
    _check(x, rank, weight.shape[1] * groups, weight.shape[0], groups)
    image, kernel = x.shape[1:], weight.shape[2:]
    stride, dilation, pads = sizes(stride, rank), sizes(dilation, rank), pairs(padding, rank)
    out = tuple(
        (n + p[0] + p[1] - d * (k - 1) - 1) // s + 1
        for n, k, s, d, p in zip(image, kernel, stride, dilation, pads, strict=True)
    )
    if min(out) < 1:
        raise ShapeError(f"a kernel of shape {kernel} does not fit into the image {image} with padding {pads}")
    _check_size(weight, out)
    axes = [
        _taps(m, k, s, d, p, n) for m, k, s, d, p, n in zip(out, kernel, stride, dilation, pads, image, strict=True)
    ]
    matrix = _matrix(weight, axes, image, out, groups)
    return affine([(matrix, x)], _bias(bias, weight.shape[0], out), (weight.shape[0], *out))


def conv_transpose(
    x: Value,
    weight: np.ndarray,
    bias: Any = None,
    stride: Sizes = 1,
    padding: Sizes | Sequence[tuple[int, int]] = 0,
    dilation: Sizes = 1,
    groups: int = 1,
    output_padding: Sizes = 0,
) -> Value:
    """The transpose of a convolution: x (C, *image), `weight` (C, K // groups, *kernel), to (K, *image')."""
    weight = np.asarray(weight, dtype=np.float64)
    rank = weight.ndim - 2
    _check(x, rank, weight.shape[0], weight.shape[0], groups)
    image, kernel, channels = x.shape[1:], weight.shape[2:], weight.shape[1] * groups
    stride, dilation, pads = sizes(stride, rank), sizes(dilation, rank), pairs(padding, rank)
    extra = sizes(output_padding, rank)
    out = tuple(
        (n - 1) * s - p[0] - p[1] + d * (k - 1) + e + 1
        for n, k, s, d, p, e in zip(image, kernel, stride, dilation, pads, extra, strict=True)
    )
    if min(out) < 1:
        raise ShapeError(f"the padding {pads} leaves nothing of a transposed convolution of the image {image}")
    _check_size(weight, image)
    _check_size(np.empty((channels, 0)), out)
    axes = [
        _taps(n, k, s, d, p, m) for n, k, s, d, p, m in zip(image, kernel, stride, dilation, pads, out, strict=True)
    ]
    matrix = _matrix(weight, axes, out, image, groups).T.tocsr()
    return affine([(matrix, x)], _bias(bias, channels, out), (channels, *out))


def sizes(value: Sizes, rank: int) -> tuple[int, ...]:
    """One number per axis."""
    numbers = (int(value),) * rank if isinstance(value, (int, np.integer)) else tuple(int(v) for v in value)
    if len(numbers) == 1:
        numbers *= rank
    if len(numbers) != rank:
        raise ShapeError(f"expected {rank} numbers, one per axis, got {numbers}")
    return numbers


def pairs(padding: Any, rank: int) -> tuple[tuple[int, int], ...]:
    """(before, after) per axis."""
    if not isinstance(padding, (int, np.integer)) and len(padding) and not isinstance(padding[0], (int, np.integer)):
        return tuple((int(a), int(b)) for a, b in padding)
    return tuple((p, p) for p in sizes(padding, rank))


def _check(x: Value, rank: int, channels: int, grouped: int, groups: int) -> None:
    if x.ndim != rank + 1 or x.shape[0] != channels:
        raise ShapeError(f"expected a value of {channels} channels and {rank} axes for this kernel, got {x.shape}")
    if groups < 1 or grouped % groups or channels % groups:
        raise ShapeError(f"{groups} groups do not divide {grouped} and {channels} channels")


def _check_size(weight: np.ndarray, out: tuple[int, ...]) -> None:
    """Raise `ShapeError` for a result, or a matrix, of absurd size."""
    count = prod(out)
    if weight.shape[0] * count > LARGEST_VALUE or weight.size * count > LARGEST_MATRIX or min(weight.shape[:1]) < 1:
        raise ShapeError(f"a convolution of {count} places by a kernel of shape {weight.shape} is too large")


def _taps(count: int, k: int, s: int, d: int, pad: tuple[int, int], n: int) -> tuple[int, Any, Any, Any]:
    """Along one axis: size of the result, and for every (output, tap) inside the image its output, tap, place."""
    o, tap = np.meshgrid(np.arange(count), np.arange(k), indexing="ij")
    place = o * s - pad[0] + tap * d
    inside = (place >= 0) & (place < n)
    return count, o[inside], tap[inside], place[inside]


def _matrix(weight: np.ndarray, axes: list, image: tuple[int, ...], out: tuple[int, ...], groups: int) -> Any:
    """Sparse (K * prod(out), C * prod(image)), an entry per weight, output place and group."""
    from scipy.sparse import csr_matrix

    o, tap, place = (np.zeros(1, dtype=np.int64) for _ in range(3))
    for n, m, k, (_, ao, at, ap) in zip(image, out, weight.shape[2:], axes, strict=True):
        o = (o[:, None] * m + ao).reshape(-1)
        tap = (tap[:, None] * k + at).reshape(-1)
        place = (place[:, None] * n + ap).reshape(-1)
    rows, columns = weight.shape[:2]
    K, C = np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij")
    channel = C + K // (rows // groups) * columns
    row = (K[..., None] * prod(out) + o).reshape(-1)
    column = (channel[..., None] * prod(image) + place).reshape(-1)
    data = weight.reshape(rows, columns, -1)[:, :, tap].reshape(-1)
    return csr_matrix((data, (row, column)), (rows * prod(out), columns * groups * prod(image)))


def _bias(bias: Any, channels: int, out: tuple[int, ...]) -> Any:
    if bias is None:
        return 0
    bias = exact_array(bias)
    if bias.shape != (channels,):
        raise ShapeError(f"expected a bias of shape ({channels},), got {bias.shape}")
    return np.repeat(bias, prod(out))
