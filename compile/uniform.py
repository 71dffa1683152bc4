"""A bound on the distance of a smooth network from the one with kinks that holds for every input there is.

In float64 magnitudes, entry by entry: the smooth network's value is at most `up` above and `down` below the other's,
and `size` bounds both (inf where there is no bound). A linear map takes (up, down) to W+ up + W- down and W+ down +
W- up, W+ and W- being the positive and the negative part of W; an activation with slopes in [a, b] multiplies
likewise and adds what its gap allows; softmax, log-softmax, log-sum-exp and maximum take 1/2, 2, 1 and 1 times the
group's largest; a product x y is a sum of y dx and x dy. For layers of relu the sum of both is at most
delta * sum_l prod_{j > l} |W_j|. Roundings are covered as in `compile.schemes.bound`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpac.exact import to_arb, to_floats
from gpac.precision import working_precision

from .activations import RULES
from .network import Network, last_use
from .operations import Activation, Affine, Matrix, Maximum, Multiply, Operation, Softmax
from .slopes import slope_over

BITS = 64
ROUNDING = 1 + 1e-9
"""Covers the rounding of float64 sums of fewer than 10^6 non-negative terms."""
TINY = 1e-300
"""Covers what underflow takes from a product."""


@dataclass(frozen=True, eq=False)
class _Bounds:
    """Of one value, each (n,)."""

    up: np.ndarray
    down: np.ndarray
    size: np.ndarray

    @property
    def most(self) -> np.ndarray:
        return np.maximum(self.up, self.down)


def uniform_distances(network: Network) -> np.ndarray:
    """For every output a bound on how far the two networks differ in it, whatever the input; inf where none is."""

    last = last_use(network)
    none = np.zeros(network.size)
    known: list[Any] = [_Bounds(none, none, np.full(network.size, np.inf))]
    with working_precision(BITS):
        for number, node in enumerate(network.nodes, 1):
            known.append(_after(node.operation, [known[k] for k in node.inputs], network.widths[number]))
            for k in node.inputs:
                if last[k] == number:
                    known[k] = None
    return np.nan_to_num(known[-1].most, nan=np.inf, posinf=np.inf)


def _after(operation: Operation, operands: Sequence[_Bounds], width: int) -> _Bounds:
    if isinstance(operation, Affine):
        size = np.broadcast_to(np.abs(to_floats(operation.bias)), (width,))
        up = down = np.zeros(width)
        for matrix, x in zip(operation.matrices, operands, strict=True):
            plus, minus = _parts(matrix)
            up = up + _times(plus, x.up) + _times(minus, x.down)
            down = down + _times(plus, x.down) + _times(minus, x.up)
            size = size + _times(plus, x.size) + _times(minus, x.size)
        return _Bounds(up * ROUNDING, down * ROUNDING, size * ROUNDING)
    if isinstance(operation, Multiply):
        a, b = operands
        error = (_product(operation, a.most, b.size) + _product(operation, a.size, b.most)) * ROUNDING
        error = np.broadcast_to(error, (width,))
        return _Bounds(error, error, np.broadcast_to(_product(operation, a.size, b.size), (width,)) * ROUNDING)
    (z,) = operands
    if isinstance(operation, (Maximum, Softmax)):
        return _grouped(operation, z)
    return _activation(operation, z)


def _activation(operation: Activation, z: _Bounds) -> _Bounds:
    rule, parameter = RULES[operation.name], operation.parameter
    reach = to_arb(float(z.size.max()))
    if rule.nonnegative:  # what the argument is at least is not followed here: nothing is steeper than at 0
        reach = reach.max(abs(to_arb(rule.base(parameter))))
        steepest = _above(rule.slope(reach, parameter))
        steep, fall = steepest, steepest
    else:
        slope = slope_over(rule, parameter, _around(reach))
        steep, fall = _above(slope), _above(-slope)
    up, down = (_scaled(steep, x) + _scaled(fall, y) for x, y in ((z.up, z.down), (z.down, z.up)))
    if rule.kinks is not None:
        gap = rule.kinks.gap(_around(to_arb(float("inf"))), parameter)
        up, down = up + _above(gap), down + _above(-gap)
    return _Bounds(up * ROUNDING, down * ROUNDING, np.full(len(z.up), _above(rule.size(reach, parameter))))


def _grouped(operation: Maximum | Softmax, z: _Bounds) -> _Bounds:
    groups = operation.groups
    up, down, top = (groups.largest(v[None])[0] for v in (z.up, z.down, z.size))
    if isinstance(operation, Maximum):
        delta = float(operation.delta)
        return _Bounds((up + delta) * ROUNDING, down * ROUNDING, (top + delta) * ROUNDING)
    if operation.result == "logsumexp":
        return _Bounds(up, down, (top + np.log(groups.sizes)) * ROUNDING)
    spread = groups.spread(np.maximum(up, down)[None])[0]
    if operation.result == "softmax":
        moved = np.minimum(spread / 2, 1.0)
        return _Bounds(moved, moved, np.ones(len(moved)))
    size = groups.spread((2 * top + np.log(groups.sizes))[None])[0]
    return _Bounds(2 * spread, 2 * spread, size * ROUNDING)


def _around(radius: Any) -> Any:
    """The ball around 0."""
    return (-radius).union(radius)


def _above(ball: Any) -> float:
    """At least the upper end of a ball, and at least 0."""
    top = ball.upper()
    if top.is_nan() or not (top < to_arb(float("inf"))):
        return np.inf
    return 0.0 if top <= 0 else float(top) * ROUNDING + TINY


def _parts(matrix: Matrix) -> tuple[Matrix, Matrix]:
    if hasattr(matrix, "tocsr"):
        return matrix.maximum(0), (-matrix).maximum(0)
    floats = to_floats(matrix)
    return np.maximum(floats, 0), np.maximum(-floats, 0)


def _scaled(factor: float, x: np.ndarray) -> np.ndarray:
    moved = x > 0
    out = np.zeros(len(x))
    out[moved] = factor * x[moved] if factor else 0.0
    return out


def _times(matrix: Matrix, x: np.ndarray) -> np.ndarray:
    """matrix @ x of magnitudes; without a finite x there is no bound, but 0 times that is 0."""
    if not x.any():
        return np.zeros(1)
    if not np.isfinite(x).all():
        used = matrix.nnz if hasattr(matrix, "tocsr") else matrix.any()
        return np.full(1, np.inf if used else 0.0)
    if hasattr(matrix, "tocsr"):
        return matrix @ x * ROUNDING + TINY
    return (matrix @ x if matrix.ndim == 2 else matrix * x) * ROUNDING + TINY


def _product(operation: Multiply, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The product of magnitudes; 0 times no bound is 0."""
    if not a.any() or not b.any():
        return np.zeros(1)
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        return np.full(1, np.inf)
    return operation.arrays(a[None], b[None])[0] * ROUNDING + TINY
