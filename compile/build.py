"""What is built from several values: matrices on rows, products, concatenation, and the network in the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gpac.errors import ShapeError
from gpac.exact import exact_array
from gpac.repeated import Repeated

from .network import Network, Node
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
    bias = np.where(flat < 0, fill, 0.0)
    terms: dict[Unit, Any] = {}
    begin = 0
    for v in values:
        rows = np.flatnonzero((flat >= begin) & (flat < begin + v.size))
        columns = flat[rows] - begin
        begin += v.size
        if not isinstance(v, Value):
            array = exact_array(np.asarray(v)).reshape(-1)
            bias = bias if array.dtype == np.float64 else bias.astype(object)
            bias[rows] = array[columns]
        elif len(rows) == len(flat):
            return v.pick(columns.reshape(np.shape(index)))
        elif len(rows):
            matrix = placement(rows, columns, (len(flat), v.size))
            terms[v.unit] = terms[v.unit] + matrix if v.unit in terms else matrix
    return affine([(m, Value(u, (u.size,))) for u, m in terms.items()], bias if bias.any() else 0, np.shape(index))


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
