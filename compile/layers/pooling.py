"""Average pooling: a sum over windows, then an exact division by the number of entries."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import prod
from typing import Any

import numpy as np

from gpac.errors import ShapeError
from gpac.exact import exact_array

from ..value import LARGEST_VALUE, Value, affine
from .convolution import Sizes, pairs, sizes

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
        free = n + a + b - k
        count = (-(-free // s) if ceil else free // s) + 1
        if ceil and (count - 1) * s >= n + a:
            count -= 1
        if count > MOST_WINDOWS or k > LARGEST_VALUE or count * k > LARGEST_VALUE:
            raise ShapeError(f"{count} windows of {k} entries are too many")
        if count < 1:
            raise ShapeError(f"a window of {k} does not fit into {n} entries with padding {(a, b)}")
        begins = [o * s - a for o in range(count)]
        inside = [range(max(0, begin), min(n, begin + k)) for begin in begins]
        padded = [min(n + b, begin + k) - begin for begin in begins]
        axes.append((inside, padded if count_padding else [len(r) for r in inside]))
    return _means(x, axes)


def adaptive_average_pool(x: Value, size: Sizes) -> Value:
    """Means over windows of x (C, *image) such that `size` results come out along every axis."""
    axes = []
    if not all(0 < m <= MOST_WINDOWS for m in sizes(size, x.ndim - 1)):
        raise ShapeError(f"expected 1 to {MOST_WINDOWS} results along every axis, got {size}")
    for n, m in zip(x.shape[1:], sizes(size, x.ndim - 1), strict=True):
        windows = [range(o * n // m, -(-(o + 1) * n // m)) for o in range(m)]
        axes.append((windows, [len(w) for w in windows]))
    return _means(x, axes)


def _means(x: Value, axes: Windows) -> Value:
    """Sums over products of windows, divided by products of counts."""
    from scipy.sparse import csr_matrix, identity, kron

    entries = x.shape[0] * prod(sum(map(len, windows)) for windows, _ in axes)
    if entries > 4 * LARGEST_VALUE:
        raise ShapeError(f"windows with {entries} entries together are too many")
    total: Any = identity(x.shape[0], format="csr")
    counts = np.ones(1, dtype=np.int64)
    for (windows, sizes_of), n in zip(axes, x.shape[1:], strict=True):
        ends = np.cumsum([0, *map(len, windows)])
        columns = np.concatenate([np.asarray(w, dtype=np.int64) for w in windows])
        total = kron(total, csr_matrix((np.ones(ends[-1]), columns, ends), (len(windows), n)), format="csr")
        counts = (counts[:, None] * np.array(sizes_of)).reshape(-1)
    summed = affine([(total, x)], 0, (x.shape[0], *(len(w) for w, _ in axes)))
    if (counts == counts[0]).all():
        return summed * Fraction(1, int(counts[0]))
    parts = {n: Fraction(1, n) for n in set(counts.tolist())}
    factors = np.array([parts[n] for n in counts.tolist()], dtype=object)
    return summed * exact_array(factors).reshape(summed.shape[1:])
