"""How errors spread through a network: sizes of all values, and what maps, products and activations make of errors.

The input and what follows from it by linear maps and products has no error. A linear map multiplies an error c by its
row-sum norm; a product a b has |a| c_b + |b| c_a (times the number of addends of an einsum); an activation multiplies
the error of its argument z by its largest slope. What is known of the argument's error is up to the scheme. Sizes of
values are bounded along the way, for all times: z starts at a known base and never leaves the range of its targets.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any, TypeAlias

import numpy as np

from gpac.errors import NumberError
from gpac.exact import to_arb, to_floats

from ..activations import RULES
from ..network import Network
from ..operations import Activation, Affine, Matrix, Maximum, Multiply, Operation, Softmax

BITS = 64
ROUNDING = 1 + 1e-9
"""Covers the rounding of float64 sums of fewer than 10^6 non-negative terms."""
TINY = 1e-300
"""Covers what underflow takes from a product."""

Ball: TypeAlias = Any


@dataclass(frozen=True, eq=False)
class State:
    """A value: the largest size of its entries at all times, and its error c, some numbers (none without error)."""

    size: Ball
    c: tuple[Ball, ...] = ()


Argument: TypeAlias = Callable[[int, State, Ball], tuple[Ball, ...]]
"""The error of the argument of node k, from the state of its target and |where it starts|."""


@dataclass(frozen=True, eq=False)
class Spread:
    """The rules above, for one network."""

    network: Network

    def sizes(self, x: np.ndarray) -> list[Ball]:
        """Upper bounds on the entries of the values that do not move, for one input in float64, at working precision.

        The values are computed in float64. What that loses is carried along like any error: sums may cancel.
        """
        import flint

        values: dict[int, np.ndarray] = {0: x.reshape(1, -1)}
        states = {0: State(_size(values[0]))}
        for k in self._still[1:]:
            node = self.network.nodes[k - 1]
            values[k] = np.atleast_2d(node.operation.arrays(*(values[i] for i in node.inputs)))
            most = _after(k, node.operation, [states[i] for i in node.inputs], self._norms[k - 1], _unmoved)
            lost = sum(most.c, flint.arb(ROUNDING - 1) * most.size)
            states[k] = State(_size(values[k]) + lost, (lost,))
        return [states[k].size for k in self._still]

    def ball_sizes(self, x: Any) -> list[Ball]:
        """The same for exact numbers or balls."""
        from ..balls import apply, ball_vector

        values = {0: ball_vector(x)}
        for k in self._still[1:]:
            node = self.network.nodes[k - 1]
            values[k] = apply(node.operation, [values[i] for i in node.inputs], self.network.widths[k])
        return [_largest([abs(v) for v in values[k]]) for k in self._still]

    def unit_sizes(self) -> list[Ball]:
        """1 for each of them: to see how an error spreads where its size does not matter."""
        import flint

        return [flint.arb(1)] * len(self._still)

    def error(self, sizes: list[Ball], argument: Argument) -> tuple[Ball, ...]:
        """The c of the output, from the sizes of the values that do not move, or of the input alone."""
        known = dict(zip(self._still, sizes, strict=False))
        states: list[State] = []
        for k, node in enumerate([None, *self.network.nodes]):
            if node is None or k in known:
                states.append(State(known[k]))
                continue
            operands = [states[i] for i in node.inputs]
            state = _after(k, node.operation, operands, self._norms[k - 1], argument)
            if not state.size.is_finite() or not all(c.is_finite() for c in state.c):
                raise NumberError(
                    f"layer {k} of {self.network.name!r}, {node!r}: its values cannot be bounded, so no time can be "
                    "stated after which a relaxation has converged; use the homotopy or the sequential scheme"
                )
            states.append(state)
        return states[-1].c

    @cached_property
    def _still(self) -> list[int]:
        """Values that follow from the input without an activation and that others or the output read."""
        still = [True]
        for node in self.network.nodes:
            still.append(not node.operation.nonlinear and all(still[k] for k in node.inputs))
        return [k for k, flag in enumerate(still) if flag]

    @cached_property
    def _norms(self) -> list[list[float]]:
        """Upper bounds on the row-sum norms of every node's matrices."""
        return [[_norm(m) for m in la.matrices] if isinstance(la, Affine) else [] for la in self.network.layers]


def _size(values: np.ndarray) -> Ball:
    import flint

    return flint.arb(float(np.abs(values).max(initial=0.0)) * ROUNDING + TINY)


def _unmoved(k: int, z: State, base: Ball) -> tuple[Ball, ...]:
    raise AssertionError(f"node {k} does not move")


def _after(k: int, operation: Operation, operands: list[State], norms: list[float], argument: Argument) -> State:
    import flint

    if isinstance(operation, Affine):
        size = flint.arb(float(np.abs(to_floats(operation.bias)).max(initial=0.0)) * ROUNDING)
        c: tuple[Ball, ...] = ()
        for norm, operand in zip(norms, operands, strict=True):
            size = size + flint.arb(norm) * operand.size
            c = _sum(c, _scaled(operand.c, flint.arb(norm)))
        return State(size, c)
    if isinstance(operation, Multiply):
        a, b = operands
        terms = _addends(operation)
        c = _sum(_scaled(b.c, terms * a.size), _scaled(a.c, terms * b.size))
        return State(terms * a.size * b.size, c)
    (z,) = operands
    base, size, slope = _growth(operation, z.size)
    if isinstance(operation, Activation) and RULES[operation.name].polynomial:
        return State(size, _scaled(z.c, slope))
    return State(size, _scaled(argument(k, z, base), slope))


def _growth(operation: Operation, radius: Ball) -> tuple[Ball, Ball, Ball]:
    """|where the argument starts|, and bounds on the value and the slope up to that and `radius`."""
    import flint

    zero = flint.arb(0)
    if isinstance(operation, Softmax):
        log_n = flint.arb(int(operation.groups.sizes.max())).log()
        size, slope = {
            "softmax": (flint.arb(1), flint.arb(0.5)),  # the row sums of diag(p) - p p' are 2 p (1 - p)
            "log_softmax": (2 * radius + log_n, flint.arb(2)),
            "logsumexp": (radius + log_n, flint.arb(1)),
        }[operation.result]
        return zero, size, slope
    if isinstance(operation, Maximum):
        return zero, radius + to_arb(operation.delta), flint.arb(1)
    assert isinstance(operation, Activation)
    rule, parameter = RULES[operation.name], operation.parameter
    base = abs(to_arb(rule.base(parameter)))
    reach = radius.max(base)
    return base, rule.size(reach, parameter), rule.slope(reach, parameter)


def _addends(operation: Multiply) -> int:
    """Terms in every entry of the product."""
    if operation.einsum is None:
        return 1
    words, left, right = operation.einsum
    letters, out = words.split("->")
    extent = dict(zip(letters.replace(",", ""), (*left, *right), strict=True))
    return prod(n for letter, n in extent.items() if letter not in out)


def _sum(a: tuple[Ball, ...], b: tuple[Ball, ...]) -> tuple[Ball, ...]:
    if len(a) < len(b):
        a, b = b, a
    return (*(x + y for x, y in zip(a, b, strict=False)), *a[len(b) :])


def _scaled(c: tuple[Ball, ...], factor: Ball) -> tuple[Ball, ...]:
    return tuple(factor * x for x in c)


def _norm(matrix: Matrix) -> float:
    """Upper bound on the largest row sum of magnitudes."""
    if hasattr(matrix, "tocsr"):
        return float(abs(matrix).sum(axis=1).max()) * ROUNDING + TINY
    magnitudes = np.abs(to_floats(matrix))
    rows = magnitudes.sum(axis=1) if matrix.ndim == 2 else magnitudes
    return float(rows.max()) * ROUNDING + TINY


def _largest(balls: list[Ball]) -> Ball:
    largest = balls[0]
    for v in balls[1:]:
        largest = largest.max(v)
    return largest
