"""Direct evaluation of a network in ball arithmetic: the judge that knows nothing of differential equations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np

from gpac.errors import NumberError, ShapeError
from gpac.exact import to_arb, to_exact
from gpac.interval import is_interval, to_ball
from gpac.precision import working_precision
from gpac.repeated import Repeated
from gpac.verify.proof import balls_contain, proven_digits, to_mpf_exactly

from .activations import RULES
from .activations.maximum import maximum_balls
from .network import Network, last_use
from .operations import Activation, Affine, Matrix, Maximum, Multiply, Operation, Softmax

Ball = Any


@dataclass(frozen=True, eq=False)
class Enclosure:
    """Balls around the network's exact outputs, as mpmath numbers; same readings as `gpac.Proof`."""

    balls: tuple[Ball, ...]
    bits: int

    @property
    def mid(self) -> tuple[Any, ...]:
        """Midpoints, exact."""
        return tuple(to_mpf_exactly(b.mid()) for b in self.balls)

    @property
    def rad(self) -> tuple[Any, ...]:
        """Radii, exact."""
        return tuple(to_mpf_exactly(b.rad()) for b in self.balls)

    @property
    def digits(self) -> int:
        """Largest D such that every radius is at most 10**-D."""
        return proven_digits(self.balls)

    def contains(self, values: Any) -> bool:
        """Whether each number given lies in its ball for certain."""
        return balls_contain(self.balls, values, self.bits)

    def overlaps(self, other: Any) -> bool:
        """Whether every ball meets its counterpart in another enclosure or proof."""
        return all(a.overlaps(b) for a, b in zip(self.balls, other.balls, strict=True))


def enclose_forward(network: Network, x: Any, digits: int = 50, max_bits: int = 1 << 16) -> Enclosure:
    """The network's exact real outputs at one input, each in a ball of radius below 10**-digits.

    Parameters
    ----------
    x : (size,) exact numbers
        Floats are the dyadics that they are.
    """

    entries = _entries(network, x)
    bits = ceil(digits * 3.3219280948873626) + 32
    while bits <= max_bits:
        with working_precision(bits):
            values = ball_values(network, [to_arb(v) for v in entries])[-1]
        if all(b.is_finite() for b in values) and proven_digits(tuple(values)) >= digits:
            return Enclosure(tuple(values), bits)
        bits = ceil(1.5 * bits)
    raise NumberError(f"{digits} digits of {network!r} need more than {max_bits} bits; raise max_bits")


def ball_values(network: Network, x: list[Ball], upto: int | None = None) -> list[list[Ball]]:
    """Balls of all values (up to node `upto`) at flint's precision; those not read again are let go (empty)."""
    last, values = last_use(network), [x]
    for number, node in enumerate(network.nodes[:upto], 1):
        values.append(apply(node.operation, [values[k] for k in node.inputs], network.widths[number]))
        for k in node.inputs:
            if last[k] == number:
                values[k] = []
    return values


def _entries(network: Network, x: Any) -> list[Any]:
    if any(map(is_interval, x)):
        raise NumberError(f"expected one exact input for {network!r}, got intervals; enclose_box takes a box of inputs")
    entries = np.ravel(np.asarray(x, dtype=object)).tolist()
    if len(entries) != network.size:
        raise ShapeError(f"expected one input of {network.size} numbers for {network!r}, got {len(entries)}")
    return [to_exact(v) for v in entries]


def ball_vector(x: Any) -> list[Ball]:
    """Exact numbers or intervals as balls at the working precision."""
    return [v if type(v).__name__ == "arb" else to_arb(to_ball(v) if is_interval(v) else v) for v in list(x)]


def apply(operation: Operation, operands: Sequence[list[Ball]], width: int) -> list[Ball]:
    """One operation on balls."""
    if isinstance(operation, Affine):
        total = [to_arb(b) for b in np.broadcast_to(operation.bias, (width,)).tolist()]
        for matrix, values in zip(operation.matrices, operands, strict=True):
            total = [a + b for a, b in zip(total, _times(matrix, values), strict=True)]
        return total
    if isinstance(operation, Activation):
        rule = RULES[operation.name]
        return [rule.ball(v, operation.parameter) for v in operands[0]]
    if isinstance(operation, Multiply):
        return _multiply(operation, operands[0], operands[1])
    if isinstance(operation, Maximum):
        return maximum_balls(operation.plan, operation.delta, operands[0])
    return _softmax(operation, operands[0])


def _times(matrix: Matrix, values: list[Ball]) -> list[Ball]:
    import flint

    if isinstance(matrix, Repeated):
        m, n = matrix.block.shape
        block = flint.arb_mat(m, n, matrix.block.ravel().tolist())
        rows = flint.arb_mat(matrix.count, n, values)
        return (rows * block.transpose()).entries()
    if hasattr(matrix, "tocsr"):
        data, columns, ends = matrix.data.tolist(), matrix.indices.tolist(), matrix.indptr.tolist()
        return [
            sum((data[k] * values[columns[k]] for k in range(ends[i], ends[i + 1])), flint.arb(0))
            for i in range(matrix.shape[0])
        ]
    if matrix.ndim < 2:
        return [v * to_arb(a) for v, a in zip(values, np.broadcast_to(matrix, (len(values),)).tolist(), strict=True)]
    column = flint.arb_mat(len(values), 1, values)
    entries = matrix.ravel().tolist()
    if matrix.dtype == object:
        entries = [to_arb(a) for a in entries]
    return (flint.arb_mat(matrix.shape[0], matrix.shape[1], entries) * column).entries()


def _multiply(operation: Multiply, left: list[Ball], right: list[Ball]) -> list[Ball]:
    if operation.einsum is None:
        return [a * b for a, b in zip(left, right, strict=True)]
    words, left_shape, right_shape = operation.einsum
    first, second = (np.array(v, dtype=object).reshape(s) for v, s in ((left, left_shape), (right, right_shape)))
    total = np.einsum(words, first, second, optimize=False)
    return np.ravel(total).tolist()


def _softmax(operation: Softmax, values: list[Ball]) -> list[Ball]:
    out = [None] * len(values)
    sums = []
    for members in operation.groups.members:
        top = max((values[i].mid() for i in members), key=float)
        exps = [(values[i] - top).exp() for i in members]
        total = sum(exps[1:], exps[0])
        sums.append(top + total.log())
        for i, e in zip(members, exps, strict=True):
            out[i] = e / total if operation.result == "softmax" else values[i] - sums[-1]
    return sums if operation.result == "logsumexp" else out
