"""Resizing images: every entry of the result is a fixed combination of entries along each axis.

The combinations are exact: a matrix of integers along each axis, then a division. The definitions are ONNX's Resize;
PyTorch's `interpolate` is "half_pixel" (linear, "pytorch_half_pixel" in ONNX), "align_corners", or for "nearest"
"asymmetric" with "floor". Source: https://onnx.ai/onnx/operators/onnx__Resize.html
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor, lcm, prod
from typing import Any

import numpy as np

from gpac.allowance import spend
from gpac.errors import NumberError, ShapeError

from ..planned import Planned
from ..value import Value, affine
from .convolution import LARGEST_MATRIX

LARGEST_AXIS = 2**14
TAP = 16
"""Steps of one place of the result."""
COORDINATES = ("half_pixel", "pytorch_half_pixel", "asymmetric", "align_corners", "half_pixel_symmetric")
ROUNDINGS = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")


@dataclass(frozen=True)
class Sampling:
    """How the places of the result are looked up: `mode` is nearest, linear or cubic."""

    mode: str = "nearest"
    coordinates: str = "half_pixel"
    rounding: str = "round_prefer_floor"
    cubic: Fraction = Fraction(-3, 4)

    def __post_init__(self) -> None:
        for what, known in (
            (self.mode, ("nearest", "linear", "cubic")),
            (self.coordinates, COORDINATES),
            (self.rounding, ROUNDINGS),
        ):
            if what not in known:
                raise ShapeError(f"expected a resize with {', '.join(known)}, got {what!r:.40}")


def resize(x: Value, sizes: Sequence[int], scales: Sequence[Any], sampling: Sampling) -> Value:
    """x with its axes resized to `sizes`; `scales` (exact) say where the entries of the result lie."""
    if len(sizes) != x.ndim or min(sizes) < 1:
        raise ShapeError(f"expected {x.ndim} sizes of at least 1, got {tuple(sizes)}")
    along = []
    for n, m, scale in zip(x.shape, sizes, scales, strict=True):
        along.append(None if n == m and scale == 1 else _along(n, m, Fraction(scale), sampling))
    found = [a for a in along if a is not None]
    if prod(int(np.abs(matrix.data).max()) for matrix, _ in found) >= 2**53:
        raise NumberError("expected scales that are simple fractions, such as 2 or 1/3")
    nnz = prod(n if a is None else a[0].nnz for n, a in zip(x.shape, along, strict=True))
    if nnz > LARGEST_MATRIX:
        raise ShapeError(f"a resize that reads {nnz} entries is too large")
    total = Planned((prod(sizes), x.size), nnz, lambda: _together(x.shape, along))
    return affine([(total, x)], 0, tuple(sizes)) * Fraction(1, prod(q for _, q in found))


def _together(shape: Sequence[int], along: Sequence[Any]) -> Any:
    """Sparse: the matrices of all axes as one; None is an axis that stays."""
    from scipy.sparse import identity, kron

    total: Any = identity(1, format="csr")
    for n, found in zip(shape, along, strict=True):
        total = kron(total, identity(n, format="csr") if found is None else found[0], format="csr")
    return total


def _along(n: int, m: int, scale: Fraction, sampling: Sampling) -> tuple[Any, int]:
    """Sparse (m, n) of integers, and what they are to be divided by."""
    from scipy.sparse import csr_matrix

    if m > LARGEST_AXIS:
        raise ShapeError(f"expected an axis resized to at most {LARGEST_AXIS} entries, got {m}")
    spend(steps=TAP * m)
    weights: dict[tuple[int, int], Fraction] = {}
    for i in range(m):
        for place, weight in _taps(_position(i, n, m, scale, sampling.coordinates), sampling):
            key = (i, min(max(place, 0), n - 1))
            weights[key] = weights.get(key, Fraction(0)) + weight
    q = lcm(*(w.denominator for w in weights.values()))
    if max(abs(w) * q for w in weights.values()) >= 2**53:
        raise NumberError("expected scales that are simple fractions, such as 2 or 1/3")
    rows, columns = zip(*weights, strict=True)
    return csr_matrix(([float(w * q) for w in weights.values()], (rows, columns)), (m, n)), q


def _position(i: int, n: int, m: int, scale: Fraction, coordinates: str) -> Fraction:
    """Where entry i of the result lies among the entries of x."""
    if coordinates == "asymmetric":
        return i / scale
    if coordinates == "align_corners":
        return Fraction(i * (n - 1), m - 1) if m > 1 else Fraction(0)
    if coordinates == "pytorch_half_pixel" and m == 1:
        return Fraction(0)
    position = (i + Fraction(1, 2)) / scale - Fraction(1, 2)
    if coordinates == "half_pixel_symmetric":
        return position + Fraction(n, 2) * (1 - m / (scale * n))
    return position


def _taps(position: Fraction, sampling: Sampling) -> list[tuple[int, Fraction]]:
    """Places beside a position and their weights, which sum to 1."""
    low = floor(position)
    if sampling.mode == "nearest":
        half = Fraction(1, 2)
        up = {"round_prefer_floor": ceil(position - half), "round_prefer_ceil": floor(position + half)}
        nearest = {**up, "floor": low, "ceil": ceil(position)}[sampling.rounding]
        return [(nearest, Fraction(1))]
    t = position - low
    if sampling.mode == "linear":
        return [(low, 1 - t), (low + 1, t)]
    a = sampling.cubic
    inner = lambda s: (a + 2) * s**3 - (a + 3) * s**2 + 1  # noqa: E731
    outer = lambda s: a * (s**3 - 5 * s**2 + 8 * s - 4)  # noqa: E731
    return [(low - 1, outer(1 + t)), (low, inner(t)), (low + 1, inner(1 - t)), (low + 2, outer(2 - t))]
