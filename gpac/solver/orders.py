"""The order of Taylor steps, for a tolerance and a circuit."""

from __future__ import annotations

import math

from .recurrences import Contract, Follow, Recurrences, Square, Sum, Times
from .settings import LEAST_TOL

HISTORY = 3.4
"""What a multiply-add over histories costs, in those of a matrix: measured on networks 6 x 200 and 2-64-64-1."""
DIGITS = 1e3
"""How far above the least tolerance steps may be long: terms then cancel, and lose some of the arithmetic's digits."""


def series_order(tol: float, recurrences: Recurrences, precision: str = "double") -> int:
    """The order that makes steps cheapest; odd, since orders above the first are computed two at a time.

    A step of order p is tol**(1/p) of the radius of convergence, and takes p m + p**2 c multiply-adds: m for
    matrices, c for products of series. The cheapest p lies between L/2 (products alone) and L (matrices alone) with
    L = -log(tol), where (L - p) m = p (2 p - L) c. A little more than L/2 is measured best for small circuits.
    """
    small = max(5, 2 * math.ceil(0.25 - 0.275 * math.log(tol)) + 1)
    if tol < DIGITS * LEAST_TOL[precision]:
        return small
    m, c = _matrices(recurrences), HISTORY * _histories(recurrences) / 2
    wanted = -math.log(tol)
    if c:
        middle = wanted * c - m
        wanted = (middle + math.sqrt(middle**2 + 8 * c * wanted * m)) / (4 * c)
    return max(small, 2 * round((wanted - 1) / 2) + 1) if m else small


def _matrices(r: Recurrences) -> int:
    """Multiply-adds with weights at each order."""
    total = 0
    for operation in r.operations:
        for term in operation.terms if isinstance(operation, Sum) else ():
            rows = operation.out.size
            if term.kind == "dense" and not term.operand.still:
                total += rows * term.operand.size
            elif term.kind == "sparse" and not term.operand.still:
                total += int(r.index[term.index + rows])
    return total


def _histories(r: Recurrences) -> float:
    """Multiply-adds at order k, over k."""
    total = 0.0
    for operation in r.operations:
        match operation:
            case Times() if not (operation.left.still or operation.right.still):
                total += operation.out.size
            case Contract() if not (operation.left.still or operation.right.still):
                total += int(r.index[operation.index + operation.out.size])
            case Follow() if not operation.integrand.still:
                total += operation.out.size
            case Square():
                total += operation.out.size / 2
    return total
