"""How far a residual network can be from its neural ODE: the a-priori bound of Euler's method, from the weights.

For h' = f(h) with |f| <= S and |f(u) - f(v)| <= l |u - v| in the largest norm, wherever flow and network can get
in the time T, Euler's method with step T/N is within (T/N) (S/2) (exp(l T) - 1) of the flow at T: |h''| <= l S, so one
step adds at most step^2 l S / 2. For f = A2 tanh(A1 h + b) this is the classical (step M / 2l) (exp(l T) - 1) with
l = |A2| |A1| and M = |A2|^2 |A1|.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gpac.errors import NumberError, ShapeError
from gpac.exact import to_arb, to_exact, to_floats

from ..activations import RULES
from ..field import Field, as_field
from ..network import Network
from ..operations import Affine, Multiply, Operation, Softmax
from ..schemes.bound import BITS, ROUNDING, _addends, _norm
from .steps import positive

Ball = Any


def size_and_slope(network: Network, radius: Any) -> tuple[Ball, Ball]:
    """Balls whose upper ends bound |N| and the Lipschitz constant of N on |h| <= radius, in the largest norm."""
    import flint

    with flint.ctx.workprec(BITS):
        known: list[tuple[Ball, Ball]] = [(to_arb(radius), flint.arb(1))]
        for node in network.nodes:
            known.append(_after(node.operation, [known[k] for k in node.inputs]))
        return known[-1]


def euler_bound(field: Network | Field, x: Any, duration: Any = 1, depth: int = 1) -> Ball:
    """A ball whose upper end bounds |ResNet(x) - flow(x)|, the largest over the entries of the state.

    Parameters
    ----------
    field : Network (n -> n), a `Field` of the state alone
    x : (n,) exact numbers, where both start
    duration, depth : T and the number N of residual blocks

    Raises
    ------
    NumberError
        If by its weights the field may leave every bounded set before T.

    >>> from compile import Tanh
    >>> bool(euler_bound(Network(1, [Tanh()]), [0.5], depth=10) < 0.0860)  # (e - 1)/20 = 0.0859
    True
    """
    import flint

    field = as_field(field)
    if field.reads != ("state",):
        raise ShapeError(f"expected a field of the state alone, got one that reads {field.reads}; add what moves to it")
    end = positive(duration, "duration")
    radius = max(abs(to_exact(v)) for v in np.asarray(x, dtype=object).ravel().tolist())
    with flint.ctx.workprec(BITS):
        size, slope = size_and_slope(field.network, _reach(field.network, to_arb(radius), to_arb(end)))
        return to_arb(end) / depth * size / 2 * (slope * to_arb(end)).expm1()


def _reach(network: Network, radius: Ball, end: Ball) -> Ball:
    """R such that flow and Euler's method from |h| <= radius stay in |h| <= R up to the end.

    The end is reached in parts of length d: from R to any R+ with R + d S(R+) <= R+, S(R) the bound on |f|.
    """
    for parts in 2 ** np.arange(0, 13, 2):
        reached, d = radius.upper(), end / int(parts)
        for _ in range(int(parts)):
            reached = _part(network, reached, d)
            if reached is None:
                break
        if reached is not None:
            return reached
    raise NumberError(f"no bound on the values of {network!r} up to this time: by its weights the flow may blow up")


def _part(network: Network, radius: Ball, d: Ball) -> Ball | None:
    tried = radius
    for _ in range(40):
        size, _slope = size_and_slope(network, tried)
        needed = radius + d * size
        if not needed.is_finite():
            return None
        if needed <= tried:
            return tried
        tried = (needed.upper() * (1 + 2.0**-20)).upper()
    return None


def _after(operation: Operation, operands: list[tuple[Ball, Ball]]) -> tuple[Ball, Ball]:
    """(size, Lipschitz constant) after an operation."""
    import flint

    if isinstance(operation, Affine):
        size = flint.arb(float(np.abs(to_floats(operation.bias)).max(initial=0.0)) * ROUNDING)
        slope = flint.arb(0)
        for matrix, (r, s) in zip(operation.matrices, operands, strict=True):
            norm = flint.arb(_norm(matrix))
            size, slope = size + norm * r, slope + norm * s
        return size, slope
    if isinstance(operation, Multiply):
        (a, da), (b, db) = operands
        terms = _addends(operation)
        return terms * a * b, terms * (a * db + da * b)
    ((radius, slope),) = operands
    if isinstance(operation, Softmax):
        log_n = flint.arb(int(operation.groups.sizes.max())).log()
        size, steepest = {
            "softmax": (flint.arb(1), flint.arb(0.5)),  # the row sums of diag(p) - p p' are 2 p (1 - p)
            "log_softmax": (2 * radius + log_n, flint.arb(2)),
            "logsumexp": (radius + log_n, flint.arb(1)),
        }[operation.result]
        return size, steepest * slope
    rule = RULES[operation.name]
    return rule.size(radius, operation.parameter), rule.slope(radius, operation.parameter) * slope
