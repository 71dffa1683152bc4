"""RevNet: blocks on two halves that are undone exactly: X+ = X + step f(Y), Y+ = Y + step g(X+).

A symplectic Euler method for X' = f(Y), Y' = g(X), of order 1.
Source: Gomez, Ren, Urtasun and Grosse, NeurIPS 2017 (arXiv 1707.04585).
"""

from __future__ import annotations

from typing import Any

from gpac.errors import ShapeError

from ..build import as_network, concatenate
from ..compose import applied
from ..network import Network
from ..value import Value, network_input
from .steps import positive, weighted


def revnet(f: Network, g: Network, duration: Any = 1, depth: int = 1) -> Network:
    """The network on (X, Y): f maps Y's p entries to X's n, g maps X's n to Y's p."""
    step = positive(duration, "duration") / depth
    x, y = _halves(f, g)
    for _ in range(depth):
        x = weighted((1, x), (step, applied(f, y)))
        y = weighted((1, y), (step, applied(g, x)))
    return as_network(concatenate([x, y]), f"RevNet {depth}")


def revnet_inverse(f: Network, g: Network, duration: Any = 1, depth: int = 1) -> Network:
    """The inverse of `revnet`: Y = Y+ - step g(X+), X = X+ - step f(Y)."""
    step = positive(duration, "duration") / depth
    x, y = _halves(f, g)
    for _ in range(depth):
        y = weighted((1, y), (-step, applied(g, x)))
        x = weighted((1, x), (-step, applied(f, y)))
    return as_network(concatenate([x, y]), f"inverse RevNet {depth}")


def coupled(f: Network, g: Network) -> Network:
    """The vector field X' = f(Y), Y' = g(X) on (X, Y): the limit of `revnet` for many steps."""
    x, y = _halves(f, g)
    return as_network(concatenate([applied(f, y), applied(g, x)]), "X' = f(Y), Y' = g(X)")


def _halves(f: Network, g: Network) -> tuple[Value, Value]:
    if f.size != g.outputs or g.size != f.outputs:
        raise ShapeError(
            f"expected f from Y to X and g from X to Y, got f from {f.size} to {f.outputs} and g from {g.size} to "
            f"{g.outputs}"
        )
    both = network_input((f.outputs + f.size,))
    return both[: f.outputs], both[f.outputs :]
