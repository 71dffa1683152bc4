"""Average pooling: a sum over windows, then an exact division by the number of entries; and the largest entries."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import prod
from typing import Any

import numpy as np

from gpac.allowance import spend
from gpac.errors import ShapeError
from gpac.exact import exact_array

from ..planned import Planned
from ..value import LARGEST_VALUE, Value, affine
from .convolution import Sizes, pairs, sizes
from .kinks import largest_in

MOST_WINDOWS = 2**16
"""Along one axis."""
Windows = list[tuple[list[range], list[int]]]


def average_pool(
    x: Value,
    kernel: Sizes,
    stride: Sizes | None = None,
    padding: Sizes | Sequence[tuple[int, int]] = 0,
    count_padding: bool = True,
    ceil: bool = False,
) -> Value:
    """Means over windows of x (C, *image).

    `stride` defaults to `kernel`. Padding counts as zeros with `count_padding`, else only entries of the image are
    averaged. With `ceil`, a last window that reaches over the end (but starts inside) is kept, cut off there.
    """
    rank = x.ndim - 1
    kernel = sizes(kernel, rank)
    stride = kernel if stride is None else sizes(stride, rank)
    axes = []
    for n, k, s, (a, b) in zip(x.shape[1:], kernel, stride, pairs(padding, rank), strict=True):
        begins = _begins(n, k, s, (a, b), ceil)
        inside = [range(max(0, begin), min(n, begin + k)) for begin in begins]
        padded = [min(n + b, begin + k) - begin for begin in begins]
        axes.append((inside, padded if count_padding else [len(r) for r in inside]))
    return _means(x, axes)


def adaptive_average_pool(x: Value, size: Sizes) -> Value:
    """Means over windows of x (C, *image) such that `size` results come out along every axis."""
    return _means(x, [(windows, [len(w) for w in windows]) for windows in _adaptive(x, size)])


def max_pool(
    x: Value,
    kernel: Sizes,
    stride: Sizes | None,
    padding: Sizes | Sequence[tuple[int, int]],
    dilation: Sizes,
    ceil: bool,
    delta: Fraction,
) -> Value:
    """Largest entries of windows of x (C, *image), padding left out, each within `delta`; see `average_pool`."""
    rank = x.ndim - 1
    kernel, dilation = sizes(kernel, rank), sizes(dilation, rank)
    stride = kernel if stride is None else sizes(stride, rank)
    axes = []
    for n, k, s, d, ends in zip(x.shape[1:], kernel, stride, dilation, pairs(padding, rank), strict=True):
        begins = _begins(n, d * (k - 1) + 1, s, ends, ceil)
        spend(steps=k * len(begins))
        axes.append([[i for i in range(begin, begin + d * k, d) if 0 <= i < n] for begin in begins])
    return _largest(x, axes, delta)


def adaptive_max_pool(x: Value, size: Sizes, delta: Fraction) -> Value:
    """Largest entries of windows of x (C, *image) such that `size` results come out along every axis."""
    return _largest(x, [[list(w) for w in windows] for windows in _adaptive(x, size)], delta)


def _largest(x: Value, axes: list[list[list[int]]], delta: Fraction) -> Value:
    if any(not window for windows in axes for window in windows):
        raise ShapeError("a window lies in the padding altogether: it has no largest entry")
    shape = (x.shape[0], *(len(windows) for windows in axes))
    if x.shape[0] * prod(len(windows) * max(map(len, windows)) for windows in axes) > LARGEST_VALUE:
        raise ShapeError(f"{prod(shape)} windows are too many or too large")
    places: Any = np.arange(x.shape[0]).reshape(-1, 1)  # (results, members)
    inside: Any = np.ones((x.shape[0], 1), dtype=bool)
    for windows, n in zip(axes, x.shape[1:], strict=True):
        widest = max(map(len, windows))
        padded = np.array([w + [-1] * (widest - len(w)) for w in windows])
        places = places[:, None, :, None] * n + padded[None, :, None, :]
        inside = inside[:, None, :, None] & (padded >= 0)[None, :, None, :]
        places, inside = (a.reshape(-1, a.shape[2] * widest) for a in (places, inside))
    rows = np.broadcast_to(np.arange(len(places))[:, None], places.shape)
    return largest_in(x.pick(places[inside]), rows[inside], delta).reshape(*shape)


def _begins(n: int, span: int, stride: int, ends: tuple[int, int], ceil: bool) -> list[int]:
    """Where windows begin along an axis of n entries."""
    free = n + sum(ends) - span
    count = (-(-free // stride) if ceil else free // stride) + 1
    if ceil and (count - 1) * stride >= n + ends[0]:
        count -= 1
    if count > MOST_WINDOWS or max(span, count * span) > LARGEST_VALUE:
        raise ShapeError(f"{count} windows of {span} entries are too many")
    if count < 1:
        raise ShapeError(f"a window of {span} does not fit into {n} entries with padding {ends}")
    spend(steps=count)
    return [o * stride - ends[0] for o in range(count)]


def _adaptive(x: Value, size: Sizes) -> list[list[range]]:
    if not all(0 < m <= MOST_WINDOWS for m in sizes(size, x.ndim - 1)):
        raise ShapeError(f"expected 1 to {MOST_WINDOWS} results along every axis, got {size}")
    pairs_of = zip(x.shape[1:], sizes(size, x.ndim - 1), strict=True)
    return [[range(o * n // m, -(-(o + 1) * n // m)) for o in range(m)] for n, m in pairs_of]


def _means(x: Value, axes: Windows) -> Value:
    """Sums over products of windows, divided by products of counts."""
    entries = x.shape[0] * prod(sum(map(len, windows)) for windows, _ in axes)
    if entries > 4 * LARGEST_VALUE:
        raise ShapeError(f"windows with {entries} entries together are too many")
    shape = (x.shape[0], *(len(w) for w, _ in axes))
    total = Planned((prod(shape), x.size), entries, lambda: _sums(x.shape, axes))
    summed = affine([(total, x)], 0, shape)
    counts = np.ones(1, dtype=np.int64)
    for _, sizes_of in axes:
        counts = (counts[:, None] * np.array(sizes_of)).reshape(-1)
    different, where = np.unique(counts, return_inverse=True)
    factors = exact_array([Fraction(1, n) for n in different.tolist()])
    return summed * (factors[0] if len(factors) == 1 else factors[where].reshape(shape[1:]))


def _sums(shape: Sequence[int], axes: Windows) -> Any:
    """Sparse: the sums over products of windows of an image (C, ...)."""
    from scipy.sparse import csr_matrix, identity, kron

    total: Any = identity(shape[0], format="csr")
    for (windows, _), n in zip(axes, shape[1:], strict=True):
        ends = np.cumsum([0, *map(len, windows)])
        columns = np.concatenate([np.asarray(w, dtype=np.int64) for w in windows])
        total = kron(total, csr_matrix((np.ones(ends[-1]), columns, ends), (len(windows), n)), format="csr")
    return total
