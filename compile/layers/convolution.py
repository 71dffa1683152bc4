"""Convolutions in any number of dimensions, and transposed ones, as sparse linear maps.

The definitions are those of PyTorch (and of ONNX's Conv and ConvTranspose): a cross-correlation, channels first,
padding with zeros.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from gpac.errors import NumberError, ShapeError
from gpac.exact import exact_array

from ..planned import Planned
from ..value import LARGEST_VALUE, Value, affine

Sizes = int | Sequence[int]
LARGEST_MATRIX = 2**27
"""Stored entries of one sparse matrix: 1.6 GB once it is written out."""


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
    weight = _finite(weight)
    rank = weight.ndim - 2
    _check(x, rank, weight.shape[1] * groups, weight.shape[0], groups)
    image, kernel = x.shape[1:], weight.shape[2:]
    stride, dilation, pads = _positive(stride, rank), _positive(dilation, rank), pairs(padding, rank)
    out = tuple(
        (n + p[0] + p[1] - d * (k - 1) - 1) // s + 1
        for n, k, s, d, p in zip(image, kernel, stride, dilation, pads, strict=True)
    )
    if min(out) < 1:
        raise ShapeError(f"a kernel of shape {kernel} does not fit into the image {image} with padding {pads}")
    _check_size(weight, out)
    axes = [Axis(*sizes) for sizes in zip(out, kernel, stride, dilation, pads, image, strict=True)]
    matrix = _planned(weight, axes, image, out, groups, False)
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
    weight = _finite(weight)
    rank = weight.ndim - 2
    _check(x, rank, weight.shape[0], weight.shape[0], groups)
    image, kernel, channels = x.shape[1:], weight.shape[2:], weight.shape[1] * groups
    stride, dilation, pads = _positive(stride, rank), _positive(dilation, rank), pairs(padding, rank)
    extra = sizes(output_padding, rank)
    out = tuple(
        (n - 1) * s - p[0] - p[1] + d * (k - 1) + e + 1
        for n, k, s, d, p, e in zip(image, kernel, stride, dilation, pads, extra, strict=True)
    )
    if min(out) < 1:
        raise ShapeError(f"the padding {pads} leaves nothing of a transposed convolution of the image {image}")
    _check_size(weight, image)
    _check_size(np.empty((channels, 0)), out)
    axes = [Axis(*sizes) for sizes in zip(image, kernel, stride, dilation, pads, out, strict=True)]
    matrix = _planned(weight, axes, out, image, groups, True)
    return affine([(matrix, x)], _bias(bias, channels, out), (channels, *out))


def sizes(value: Sizes, rank: int) -> tuple[int, ...]:
    """One number per axis."""
    numbers = (int(value),) * rank if isinstance(value, (int, np.integer)) else tuple(int(v) for v in value)
    if len(numbers) == 1:
        numbers *= rank
    if len(numbers) != rank:
        raise ShapeError(f"expected {rank} numbers, one per axis, got {numbers}")
    return _small(numbers)


def _positive(value: Sizes, rank: int) -> tuple[int, ...]:
    """One number of at least 1 per axis."""
    numbers = sizes(value, rank)
    if min(numbers, default=1) < 1:
        raise ShapeError(f"expected strides and dilations of at least 1, got {numbers}")
    return numbers


def _small(numbers: Any) -> tuple[int, ...]:
    """Strides, paddings and the like, of which products must not overflow."""
    if max(map(abs, numbers), default=0) >= 2**31:
        raise ShapeError(f"expected strides, dilations, paddings and sizes below 2^31, got {tuple(numbers)}")
    return tuple(int(n) for n in numbers)


def pairs(padding: Any, rank: int) -> tuple[tuple[int, int], ...]:
    """(before, after) per axis."""
    if not isinstance(padding, (int, np.integer)) and len(padding) and not isinstance(padding[0], (int, np.integer)):
        return tuple((a, b) for a, b in map(_small, padding))
    return tuple((p, p) for p in sizes(padding, rank))


def _finite(weight: Any) -> np.ndarray:
    weight = np.asarray(weight, dtype=np.float64)
    if not np.isfinite(weight).all():
        raise NumberError(f"expected finite weights, got {weight[~np.isfinite(weight)][0]}")
    return weight


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


@dataclass(frozen=True)
class Axis:
    """A convolution along one axis, from an image of `size` entries to `count` ones."""

    count: int
    kernel: int
    stride: int
    dilation: int
    pad: tuple[int, int]
    size: int

    @property
    def inside(self) -> int:
        """How many pairs (output, tap) read an entry of the image."""
        total = 0
        for begin in range(-self.pad[0], self.kernel * self.dilation - self.pad[0], self.dilation):
            first, last = max(0, -(begin // self.stride)), (self.size - 1 - begin) // self.stride
            total += max(0, min(last, self.count - 1) - first + 1)
        return total

    def taps(self) -> tuple[Any, Any, Any]:
        """Output, tap and place of each of these pairs."""
        o, tap = np.meshgrid(np.arange(self.count), np.arange(self.kernel), indexing="ij")
        place = o * self.stride - self.pad[0] + tap * self.dilation
        inside = (place >= 0) & (place < self.size)
        return o[inside], tap[inside], place[inside]


def _planned(
    weight: np.ndarray, axes: list[Axis], image: tuple[int, ...], out: tuple[int, ...], groups: int, turned: bool
) -> Planned:
    """The matrix of a convolution, or its transpose, for when it is needed."""
    rows, columns = weight.shape[:2]
    shape = rows * prod(out), columns * groups * prod(image)
    nnz = rows * columns * prod(axis.inside for axis in axes)
    build = lambda: _matrix(weight, axes, image, out, groups)  # noqa: E731
    return Planned(shape[::-1], nnz, lambda: build().T) if turned else Planned(shape, nnz, build)


def _matrix(weight: np.ndarray, axes: list[Axis], image: tuple[int, ...], out: tuple[int, ...], groups: int) -> Any:
    """Sparse (K * prod(out), C * prod(image)), an entry per weight, output place and group."""
    from scipy.sparse import csr_matrix

    o, tap, place = (np.zeros(1, dtype=np.int64) for _ in range(3))
    for n, m, k, axis in zip(image, out, weight.shape[2:], axes, strict=True):
        ao, at, ap = axis.taps()
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
