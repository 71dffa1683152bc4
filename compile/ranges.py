"""Bounds on a network and its Jacobian over a box, entry by entry, in float64 rounded outwards.

The box is |x_j| <= R for all inputs. Every value carries a bound on the size of each entry and an interval for each
entry of its Jacobian; linear maps are interval matrix products, activations multiply by an interval of slopes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gpac.exact import to_arb, to_floats
from gpac.precision import working_precision

from .activations import RULES
from .network import Network
from .operations import Activation, Affine, Matrix, Maximum, Multiply, Operation, Softmax

BITS = 64
SLACK = 1e-9
"""Relative, outwards, of the sum of magnitudes: covers the roundings of sums of fewer than 10^6 terms."""
TINY = 1e-300
"""Covers what underflow takes."""
INCREASING = frozenset(("tanh", "sigmoid", "softplus", "log_sigmoid", "tanhshrink", "erf", "arctan", "exp"))
"""Activations whose slope is never negative."""


@dataclass(frozen=True, eq=False)
class Range:
    """Of a value with m entries over a box of n inputs: |entries| (m,), Jacobian between `low` and `high` (m, n)."""

    size: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @property
    def steepness(self) -> np.ndarray:
        """Bounds on the magnitudes of the Jacobian's entries (m, n)."""
        return np.maximum(np.abs(self.low), np.abs(self.high))


def logarithmic_norm(jacobian: Range) -> float:
    """Upper bound on the largest J_ii + sum over j != i of |J_ij| of a square Jacobian; inf where there is none."""
    steep = jacobian.steepness
    others = steep.copy()
    np.fill_diagonal(others, 0.0)  # not subtracted from the whole sum: both may be infinite
    with np.errstate(invalid="ignore"):
        norm = float((others.sum(axis=1) + np.diag(jacobian.high)).max()) + SLACK * (1 + float(steep.sum(axis=1).max()))
    return norm if norm < np.inf else np.inf


def over_box(network: Network, radius: float) -> Range:
    """The range of the network's output on |x_j| <= radius; infinite where there is no bound."""
    n = network.size
    known = [Range(np.full(n, float(radius)), np.eye(n), np.eye(n))]
    with np.errstate(over="ignore", invalid="ignore"):
        for number, node in enumerate(network.nodes, 1):
            found = _after(node.operation, [known[k] for k in node.inputs], network.widths[number], n)
            known.append(_outwards(found))
    return known[-1]


def _after(operation: Operation, operands: list[Range], width: int, n: int) -> Range:
    if isinstance(operation, Affine):
        return _affine(operation, operands, width, n)
    if isinstance(operation, Multiply):
        return _product(operation, *operands)
    (z,) = operands
    if isinstance(operation, Softmax):
        return _softmax(operation, z)
    if isinstance(operation, Maximum):
        return _maximum(operation, z)
    return _activation(operation, z)


def _affine(operation: Affine, operands: list[Range], width: int, n: int) -> Range:
    size = np.broadcast_to(np.abs(to_floats(operation.bias)), (width,)).copy()
    low, high = np.zeros((width, n)), np.zeros((width, n))
    for matrix, x in zip(operation.matrices, operands, strict=True):
        positive, negative = _parts(matrix)
        slack = SLACK * (_times(positive, x.steepness) - _times(negative, x.steepness)) + TINY
        size += _times(positive, x.size[:, None])[:, 0] - _times(negative, x.size[:, None])[:, 0]
        high += _times(positive, x.high) + _times(negative, x.low) + slack
        low += _times(positive, x.low) + _times(negative, x.high) - slack
    return Range(size, low, high)


def _activation(operation: Activation, z: Range) -> Range:

    rule = RULES[operation.name]
    with working_precision(BITS):
        reach = to_arb(float(z.size.max(initial=0.0)))
        size, slope = (_upper(bound(reach, operation.parameter)) for bound in (rule.size, rule.slope))
    if operation.name in INCREASING:
        low, high = slope * np.minimum(z.low, 0.0), slope * np.maximum(z.high, 0.0)
    else:
        high = slope * z.steepness
        low = -high
    return Range(np.full(len(z.size), size), low, high)


def _product(operation: Multiply, a: Range, b: Range) -> Range:
    if operation.einsum is None:
        steep = a.size[:, None] * b.steepness + b.size[:, None] * a.steepness
        return Range(a.size * b.size, -steep, steep)
    words, left, right = operation.einsum
    first, second, out = words.replace("->", ",").split(",")
    size, other = a.size.reshape(left), b.size.reshape(right)
    steep = np.einsum(f"{first},{second}Z->{out}Z", size, b.steepness.reshape(*right, -1))
    steep = steep + np.einsum(f"{first}Z,{second}->{out}Z", a.steepness.reshape(*left, -1), other)
    steep = steep.reshape(-1, a.low.shape[1])
    return Range(np.einsum(words, size, other).reshape(-1), -steep, steep)


def _softmax(operation: Softmax, z: Range) -> Range:
    """Of p: |dp_i| <= sum over its group of |dz_j| / 4, and at most half the largest of them."""
    rows, sizes = np.zeros_like(z.steepness), np.ones(len(z.size))
    sums: list[np.ndarray] = []
    for members in operation.groups.members:
        steep = z.steepness[members]
        log_n = np.log(len(members))
        sums.append(np.append(steep.max(axis=0), z.size[members].max() + log_n))
        if operation.result == "softmax":
            rows[members] = np.minimum(steep.sum(axis=0) / 4, steep.max(axis=0) / 2)
        else:
            rows[members] = steep + steep.max(axis=0)
            sizes[members] = z.size[members] + z.size[members].max() + log_n
    if operation.result == "logsumexp":
        whole = np.array(sums)
        rows, sizes = whole[:, :-1], whole[:, -1]
    return Range(sizes, -rows, rows)


def weighted_rows(matrix: Matrix, weights: np.ndarray) -> np.ndarray:
    """sum over j of |a_ij| weights_j for every row i of a matrix in any of its forms."""
    positive, negative = _parts(matrix)
    return (_times(positive, weights[:, None]) - _times(negative, weights[:, None]))[:, 0]


def _maximum(operation: Maximum, z: Range) -> Range:
    """The largest of a group moves no more than the one of its entries that moves most."""
    members = operation.groups.members
    steep = np.array([z.steepness[m].max(axis=0) for m in members])
    size = np.array([z.size[m].max() for m in members]) + float(operation.delta) * (1 + SLACK)
    return Range(size, -steep, steep)


def _parts(matrix: Matrix) -> tuple[Any, Any]:
    """The positive and the negative part."""
    if hasattr(matrix, "tocsr"):
        return matrix.maximum(0), matrix.minimum(0)
    values = to_floats(matrix)
    return np.maximum(values, 0.0), np.minimum(values, 0.0)


def _times(matrix: Any, columns: np.ndarray) -> np.ndarray:
    """matrix @ columns for a number, a diagonal, a dense or a sparse matrix."""
    if matrix.ndim == 2:
        return matrix @ columns
    return matrix * columns if matrix.ndim == 0 else matrix[:, None] * columns


def _outwards(found: Range) -> Range:
    """A little wider; what is not a number is without bound."""
    size = np.nan_to_num(found.size * (1 + SLACK) + TINY, nan=np.inf, posinf=np.inf)
    low = np.nan_to_num(found.low - SLACK * np.abs(found.low), nan=-np.inf, posinf=np.inf, neginf=-np.inf)
    high = np.nan_to_num(found.high + SLACK * np.abs(found.high), nan=np.inf, posinf=np.inf, neginf=-np.inf)
    return Range(size, low, high)


def _upper(ball: Any) -> float:
    return float(ball.abs_upper()) * (1 + SLACK) if ball.is_finite() else np.inf
