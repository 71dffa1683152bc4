"""What is built from several values: matrices on rows, products, concatenation, and the network in the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gpac.allowance import spend
from gpac.errors import ShapeError
from gpac.exact import exact_array
from gpac.repeated import Repeated

from .network import Network, Node
from .planned import Planned
from .value import Shape, Unit, Value, affine, einsum


def linear(x: Value, weight: np.ndarray, bias: Any = None) -> Value:
    """weight @ row + bias for every row along the last axis: (..., n) to (..., m), `weight` (m, n)."""
    weight = np.asarray(weight)
    if weight.ndim != 2 or not x.shape or x.shape[-1] != weight.shape[1]:
        raise ShapeError(f"a weight matrix of shape {weight.shape} cannot act on the last axis of {x.shape}")
    rows = x.size // x.shape[-1]
    matrix: Any = weight if rows == 1 else Repeated(exact_array(weight), rows)
    offset = 0 if bias is None else np.tile(exact_array(bias), rows)
    return affine([(matrix, x)], offset, (*x.shape[:-1], len(weight)))


def matmul(a: Value, b: Value) -> Value:
    """The matrix product over the last axes of two values, batched over equal leading axes."""
    if min(a.ndim, b.ndim) < 2 or a.shape[:-2] != b.shape[:-2] or a.shape[-1] != b.shape[-2]:
        raise ShapeError(f"values of shapes {a.shape} and {b.shape} cannot be multiplied as matrices")
    lead = "abcdefgh"[: a.ndim - 2]
    return einsum(f"{lead}ij,{lead}jk->{lead}ik", a, b)


def concatenate(values: Sequence[Value], axis: int = 0) -> Value:
    """Values joined along an axis."""
    return gather(values, np.concatenate(side_by_side(values), axis))


def side_by_side(values: Sequence[Any]) -> list[np.ndarray]:
    """Places of the entries of values and arrays when they are all flattened, one after the other."""
    ends = np.cumsum([0, *(v.size for v in values)])
    return [np.arange(ends[k], ends[k + 1]).reshape(v.shape) for k, v in enumerate(values)]


def gather(values: Sequence[Any], index: np.ndarray, fill: float = 0.0) -> Value:
    """Entries of values and constant arrays, flattened one after the other, at `index`; `fill` where that is -1."""
    flat = np.asarray(index).reshape(-1)
    if len(values) == 1 and isinstance(values[0], Value) and flat.size and flat.min() >= 0:
        return values[0].pick(np.asarray(index))
    spend(4 * flat.size)  # rows, columns, owners and a bias
    bias = np.where(flat < 0, fill, 0.0)
    terms: dict[Unit, list[tuple[np.ndarray, np.ndarray]]] = {}
    for v, (rows, columns) in zip(values, _owned(flat, [v.size for v in values]), strict=True):
        if not isinstance(v, Value):
            array = exact_array(np.asarray(v)).reshape(-1)
            bias = bias if array.dtype == np.float64 else bias.astype(object)
            bias[rows] = array[columns]
        elif len(rows) == len(flat):
            return v.pick(columns.reshape(np.shape(index)))
        elif len(rows):
            terms.setdefault(v.unit, []).append((rows, columns))
    matrices = [(_placing(parts, (len(flat), u.size)), Value(u, (u.size,))) for u, parts in terms.items()]
    return affine(matrices, bias if bias.any() else 0, np.shape(index))


def _owned(flat: np.ndarray, sizes: Sequence[int]) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each of several arrays, flattened one after the other: where `flat` has its entries, and which."""
    ends = np.cumsum([0, *sizes])
    owner = np.where(flat < 0, len(sizes), np.searchsorted(ends[1:], flat, side="right"))
    owner = owner.astype(np.uint16) if len(sizes) < 2**16 else owner  # sorted in one pass
    order = np.argsort(owner, kind="stable").astype(np.int32)
    counts = np.bincount(owner, minlength=len(sizes))[: len(sizes)]
    parts = np.split(order, np.cumsum(counts))[: len(sizes)]
    return [(rows, flat[rows] - begin) for rows, begin in zip(parts, ends[:-1], strict=True)]


def _placing(parts: Sequence[tuple[np.ndarray, np.ndarray]], shape: Shape) -> Planned:
    """`placement` of several lists of rows and columns together."""

    def build() -> Any:
        rows, columns = (np.concatenate(lists) for lists in zip(*parts, strict=True))
        return placement(rows, columns, shape)

    return Planned((shape[0], shape[1]), sum(len(rows) for rows, _ in parts), build)


def placement(rows: np.ndarray, columns: np.ndarray, shape: Shape) -> Any:
    """Sparse, with a 1 at (rows[k], columns[k]) for every k."""
    from scipy.sparse import csr_matrix

    return csr_matrix((np.ones(len(rows)), (rows, columns)), shape)


def as_network(output: Value, name: str = "network", input_shape: Sequence[int] | None = None) -> Network:
    """The network whose output, flattened, is this value."""
    order: list[Unit] = []
    number: dict[Unit, int] = {}
    stack = [output.unit]
    while stack:
        unit = stack[-1]
        waiting = [u for u in unit.operands if u not in number]
        if unit in number or not waiting:
            stack.pop()
            if unit not in number:
                number[unit] = 0
                order.append(unit)
        else:
            stack += waiting
    sources = [u for u in order if u.operation is None]
    if len(sources) != 1:
        raise ShapeError(f"expected a value made from one network input, got {len(sources)}")
    order.remove(sources[0])
    number |= {sources[0]: 0} | {u: k for k, u in enumerate(order, 1)}
    nodes = tuple(Node(u.operation, tuple(number[v] for v in u.operands)) for u in order if u.operation is not None)
    return Network(sources[0].size, nodes, name, None if input_shape is None else tuple(input_shape))
