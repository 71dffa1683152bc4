"""How far a relaxation still is from its limit: a bound for every node of a network, and from it the time to run.

With s = alpha t, every value is within exp(-s) * (sum over j of c_j s^j / j!) of its limit, in every entry. The
input and what follows from it by linear maps and products has no c. A linear map multiplies c by its row-sum norm; a
product a b has |a| c_b + |b| c_a (times the number of addends of an einsum). The argument z of an activation obeys
e' <= -alpha e + alpha e_target, which puts the distance m at the start before the c's of the target,
(m, c_0, c_1, ...), and the activation multiplies by its largest slope. For a chain this is

    e_l(t) <= exp(-alpha t) sum_{j < l} (alpha t)^j / j! * K_l ... K_{l-j+1} * m_{l-j},

K_l the row-sum norm of layer l and m_l a bound on |z_l*|. This exact sum, not its exponential estimate, decides how
long the program runs. Sizes of values are bounded along the way, for all times.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from math import exp, inf, lgamma, log, prod
from typing import Any

import numpy as np

from gpac.errors import NumberError
from gpac.exact import to_arb, to_exact, to_floats
from gpac.precision import working_precision

from ..activations import RULES
from ..network import Network
from ..operations import Activation, Affine, Matrix, Multiply, Operation, Softmax

BITS = 64
ROUNDING = 1 + 1e-9
"""Covers the rounding of float64 sums of fewer than 10^6 non-negative terms."""
TINY = 1e-300
"""Covers what underflow takes from a product."""

Ball = Any


@dataclass(frozen=True, eq=False)
class _State:
    """A value: the largest size of its entries at all times, and its c (none where it does not move)."""

    size: Ball
    c: tuple[Ball, ...] = ()


@dataclass(frozen=True, eq=False)
class RelaxationLimit:
    """The bound above, for one network and rate alpha."""

    network: Network
    rate: Fraction

    def check(self) -> None:
        """Raise `NumberError` if no bound can be stated; the message names the node."""
        import flint

        with working_precision(BITS):
            self._coefficients([flint.arb(1)] * len(self._still))

    def time(self, inputs: dict[str, Any], error: Any) -> float:
        """A time after which every output is within `error` of the network's, for one input x."""
        import flint

        error = to_exact(error)
        if not error > 0:
            raise NumberError(f"expected a positive error, got {error!r}")
        goal = log(error.numerator) - log(error.denominator)
        with working_precision(BITS):
            sizes = [flint.arb(v) for v in self._sizes(np.asarray(to_floats(np.asarray(inputs["x"]))))]
            uppers = [c.upper() for c in self._coefficients(sizes)]
            logs = [float(c.log().upper()) if c > 0 else -inf for c in uppers]
        low, high = 0.0, 1.0
        while _log_bound(logs, high) > goal:
            low, high = high, 2 * high
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if _log_bound(logs, middle) > goal else (low, middle)
        return high / float(self.rate) * ROUNDING

    def error(self, inputs: dict[str, Any], t: Any) -> Ball:
        """A ball whose upper end bounds the distance of every output from its limit at time t."""
        import flint

        s = to_arb(t) * to_arb(self.rate)
        total, weight = flint.arb(0), flint.arb(1)
        for j, c in enumerate(self._coefficients(self._ball_sizes(inputs["x"]))):
            if j:
                weight = weight * s / j
            total = total + weight * c
        return total * (-s).exp()

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

    def _sizes(self, x: np.ndarray) -> list[float]:
        """Upper bounds on the entries of the still values, in float64."""
        values: dict[int, np.ndarray] = {0: x.reshape(1, -1)}
        for k in self._still[1:]:
            node = self.network.nodes[k - 1]
            values[k] = np.atleast_2d(node.operation.arrays(*(values[i] for i in node.inputs)))
        return [float(np.abs(values[k]).max()) * ROUNDING + TINY for k in self._still]

    def _ball_sizes(self, x: Any) -> list[Ball]:
        from ..balls import apply, ball_vector

        values = {0: ball_vector(x)}
        for k in self._still[1:]:
            node = self.network.nodes[k - 1]
            values[k] = apply(node.operation, [values[i] for i in node.inputs], self.network.widths[k])
        return [_largest([abs(v) for v in values[k]]) for k in self._still]

    def _coefficients(self, sizes: list[Ball]) -> tuple[Ball, ...]:
        """The c of the output, from the sizes of the still values."""
        known = dict(zip(self._still, sizes, strict=True))
        states: list[_State] = []
        for k, node in enumerate([None, *self.network.nodes]):
            if node is None or k in known:
                states.append(_State(known[k]))
                continue
            operands = [states[i] for i in node.inputs]
            state = _after(node.operation, operands, self._norms[k - 1])
            if not state.size.is_finite() or not all(c.is_finite() for c in state.c):
                raise NumberError(
                    f"layer {k} of {self.network.name!r}, {node!r}: its values cannot be bounded, so no time can be "
                    "stated after which a relaxation has converged; use the homotopy or the sequential scheme"
                )
            states.append(state)
        return states[-1].c


def _after(operation: Operation, operands: list[_State], norms: list[float]) -> _State:
    import flint

    if isinstance(operation, Affine):
        size = flint.arb(float(np.abs(to_floats(operation.bias)).max(initial=0.0)) * ROUNDING)
        c: tuple[Ball, ...] = ()
        for norm, operand in zip(norms, operands, strict=True):
            size = size + flint.arb(norm) * operand.size
            c = _sum(c, _scaled(operand.c, flint.arb(norm)))
        return _State(size, c)
    if isinstance(operation, Multiply):
        a, b = operands
        terms = _addends(operation)
        c = _sum(_scaled(b.c, terms * a.size), _scaled(a.c, terms * b.size))
        return _State(terms * a.size * b.size, c)
    (z,) = operands
    base, size, slope = _growth(operation, z.size)
    if isinstance(operation, Activation) and RULES[operation.name].polynomial:
        return _State(size, _scaled(z.c, slope))
    return _State(size, _scaled((z.size + base, *z.c), slope))


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


def _log_bound(logs: list[float], s: float) -> float:
    """Logarithm of the bound at alpha t = s; terms are added in logarithms, they may be huge."""
    terms = [c + (j * log(s) - lgamma(j + 1) if j else 0.0) for j, c in enumerate(logs) if c > -inf]
    if not terms:
        return -inf
    top = max(terms)
    return top + log(sum(exp(v - top) for v in terms)) - s
