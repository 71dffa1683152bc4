"""Values and Jacobian of a network over a box of inputs, in balls, as long as all branches at its kinks are kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np

from gpac.exact import to_arb

from .activations import RULES, Piece
from .balls import apply
from .network import Network
from .operations import Activation, Affine, Maximum, Multiply, Operation, Softmax
from .slopes import slope_over

Ball = Any
Rows = np.ndarray
"""Balls (n, inputs): derivatives of n entries."""


class Leaves(Exception):
    """A branch is not proven to be taken all over the box."""


@dataclass
class Jacobian:
    """Of every value: balls at the centre, over the box, and derivatives over the box.

    `margins` are, for every argument at a kink, how far it is from the kink at the centre, and its row sum.
    """

    centre: list[list[Ball]]
    box: list[list[Ball]]
    rows: list[Rows]
    margins: list[tuple[Ball, Ball]] = field(default_factory=list)


def follow(
    network: Network,
    x: list[Ball],
    radius: Fraction,
    pieces: Mapping[int, Sequence[Piece]],
    winners: Mapping[int, Sequence[int]],
) -> Jacobian:
    """Follow the box of a radius around x through the network with kinks, on the branches given.

    Raises `Leaves` if one of them is not proven to be taken all over the box.
    """
    side = to_arb(radius).upper()
    around = (-side).union(side)
    identity = np.full((len(x), len(x)), to_arb(0), dtype=object)
    np.fill_diagonal(identity, to_arb(1))
    state = Jacobian([x], [[v + around for v in x]], [identity])
    for number, node in enumerate(network.nodes, 1):
        operation, inputs = node.operation, node.inputs
        centre, box = ([values[k] for k in inputs] for values in (state.centre, state.box))
        rows = [state.rows[k] for k in inputs]
        if number in pieces:
            _check_pieces(state, inputs[0], pieces[number])
        if number in winners:
            assert isinstance(operation, Maximum)
            _check_winners(state, inputs[0], winners[number], operation, around)
        width = network.widths[number]
        derivatives = _rows(operation, box, rows, pieces.get(number), winners.get(number), width)
        middle = apply(operation, centre, width)
        plain = apply(operation, box, width)
        moved = [m + around * s for m, s in zip(middle, _row_sums(derivatives), strict=True)]
        state.centre.append(middle)
        state.box.append([_both(a, b) for a, b in zip(plain, moved, strict=True)])
        state.rows.append(derivatives)
    return state


def _both(a: Ball, b: Ball) -> Ball:
    if not (a.is_finite() and b.is_finite()):
        return a if a.is_finite() else b
    return a.intersection(b)


def _row_sums(rows: Rows) -> list[Ball]:
    return [sum((abs(v).upper() for v in row), to_arb(0)) for row in rows]


def _check_pieces(state: Jacobian, source: int, pieces: Sequence[Piece]) -> None:
    sums = _row_sums(state.rows[source])
    for z, box, total, piece in zip(state.centre[source], state.box[source], sums, pieces, strict=True):
        if not piece.inside(box):
            raise Leaves
        ends = [z - to_arb(piece.low)] if piece.low is not None else []
        ends += [to_arb(piece.high) - z] if piece.high is not None else []
        state.margins += [(margin.lower(), total) for margin in ends]


def _check_winners(state: Jacobian, source: int, winners: Sequence[int], operation: Maximum, around: Ball) -> None:
    centre, box, rows = state.centre[source], state.box[source], state.rows[source]
    for i, members in zip(winners, operation.groups.members, strict=True):
        for j in members:
            if j != i:
                (total,) = _row_sums((rows[i] - rows[j])[None])
                ahead = centre[i] - centre[j]
                if not _both(box[i] - box[j], ahead + around * total) > 0:
                    raise Leaves
                state.margins.append((ahead.lower(), total))


def _rows(
    operation: Operation,
    box: list[list[Ball]],
    rows: list[Rows],
    pieces: Sequence[Piece] | None,
    winners: Sequence[int] | None,
    width: int,
) -> Rows:
    """Derivatives of a node's value from those of what it reads."""
    if winners is not None:
        return rows[0][list(winners)]
    if pieces is not None:
        return _scaled([p.slope(z) for p, z in zip(pieces, box[0], strict=True)], rows[0])
    if isinstance(operation, Affine):
        total = np.full((width, rows[0].shape[1]) if rows else (width, 0), to_arb(0), dtype=object)
        for matrix, r in zip(operation.matrices, rows, strict=True):
            total = total + _times(matrix, r)
        return total
    if isinstance(operation, Multiply):
        return _product(operation, box[0], rows[1], box[1], rows[0])
    if isinstance(operation, Activation):
        rule = RULES[operation.name]
        return _scaled([slope_over(rule, operation.parameter, z) for z in box[0]], rows[0])
    assert isinstance(operation, Softmax)
    return _softmax(operation, box[0], rows[0])


def _scaled(factors: Sequence[Ball], rows: Rows) -> Rows:
    column = np.empty((len(factors), 1), dtype=object)
    column[:, 0] = factors
    return np.asarray(column * rows)


def _times(matrix: Any, rows: Rows) -> Rows:
    import flint

    if _is_identity(rows):
        return _as_balls(matrix, len(rows))
    if hasattr(matrix, "tocsr"):
        out = np.full((matrix.shape[0], rows.shape[1]), to_arb(0), dtype=object)
        coo = matrix.tocoo()
        for i, j, a in zip(coo.row.tolist(), coo.col.tolist(), coo.data.tolist(), strict=True):
            out[i] = out[i] + to_arb(a) * rows[j]
        return out
    if matrix.ndim < 2:
        return _scaled([to_arb(a) for a in np.broadcast_to(matrix, (len(rows),)).tolist()], rows)
    left = flint.arb_mat(matrix.shape[0], matrix.shape[1], [to_arb(a) for a in matrix.ravel().tolist()])
    product = left * flint.arb_mat(rows.shape[0], rows.shape[1], rows.ravel().tolist())
    out = np.empty(matrix.shape[0] * rows.shape[1], dtype=object)
    out[:] = product.entries()
    return out.reshape(matrix.shape[0], -1)


def _is_identity(rows: Rows) -> bool:
    """Whether these are the derivatives of the input itself."""
    square = rows.shape[0] == rows.shape[1]
    return square and all(v.is_exact() and v == (i == j) for (i, j), v in np.ndenumerate(rows))


def _as_balls(matrix: Any, size: int) -> Rows:
    if matrix.ndim < 2:
        matrix = np.diag(np.broadcast_to(matrix, (size,)))
    dense = matrix.toarray() if hasattr(matrix, "tocsr") else matrix
    out = np.empty(dense.shape, dtype=object)
    out[:] = [[to_arb(a) for a in row] for row in dense.tolist()]
    return out


def _product(operation: Multiply, a: list[Ball], db: Rows, b: list[Ball], da: Rows) -> Rows:
    first, second = np.array(a, dtype=object), np.array(b, dtype=object)
    if operation.einsum is None:
        return np.asarray(first[:, None] * db + second[:, None] * da)
    words, left, right = operation.einsum
    one, other, out = words.replace("->", ",").split(",")
    n = db.shape[1]
    moved = np.einsum(f"{one},{other}Z->{out}Z", first.reshape(left), db.reshape(*right, n))
    moved = moved + np.einsum(f"{one}Z,{other}->{out}Z", da.reshape(*left, n), second.reshape(right))
    return np.asarray(moved.reshape(-1, n))


def _softmax(operation: Softmax, z: list[Ball], rows: Rows) -> Rows:
    """dp_i = p_i (dz_i - sum of p_j dz_j)."""
    from .distance import shares

    p = np.array(shares(operation, z), dtype=object)
    out, means = np.empty_like(rows), []
    for members in operation.groups.members:
        mean = sum((p[i] * rows[i] for i in members), np.full(rows.shape[1], to_arb(0), dtype=object))
        means.append(mean)
        for i in members:
            out[i] = p[i] * (rows[i] - mean) if operation.result == "softmax" else rows[i] - mean
    return np.array(means, dtype=object) if operation.result == "logsumexp" else out
