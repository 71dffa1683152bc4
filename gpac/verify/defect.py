"""How far polynomials are from solving a circuit's equations, unit by unit.

In a part with very many states coefficients in balls are of no use: from order to order their radii grow with the
magnitudes of all weights on a way through the layers, far more than the errors do. So every coefficient is rounded to
its middle as soon as it is made, and what that changes is counted once, where it happens: a unit's polynomial misses
what its operands' polynomials make of it by these radii, and by terms of higher order than are kept. How such
misses act on each other over a step is bounded by the flow (`cascade`), in which signs of decay count.
Source: defect and logarithmic norm, Dahlquist 1959, Lozinskii 1958.
"""

from __future__ import annotations

from operator import mul
from typing import TypeAlias

import flint

from ..precision import working_precision
from ..wire import Product, Wire
from .balls import BallSeries, Group, Values
from .matrix import Ball
from .tail import Bound

BITS = 64

Misses: TypeAlias = dict[tuple[Wire, int], tuple[Ball, Ball]]
"""By entry of a unit: how far its polynomial is from what its operands' polynomials make of it, and so its rate."""


def misses(series: BallSeries, c: Values, radii: Values, h: Ball, order: int, group: Group) -> Misses:
    """Bounds on the misses of all units at times up to h.

    Parameters
    ----------
    c, radii : coefficients 0..order as exact balls, and how far each may be from the recurrence (`BallSeries.expand`)
    h : ball, the step
    """
    with working_precision(BITS):
        h = h.abs_upper()
        beyond = Bound(series, c, h, order, group, None).known
        powers = [flint.arb(1)]
        for _ in range(order):
            powers.append((powers[-1] * h).upper())
        found: Misses = {}
        for w, entries in group.items():
            for i in entries:
                value = sum(map(mul, radii[w][i], powers), flint.arb(0))
                rate = (order * value + beyond[w][i]) / h  # k times order k is at most order times it
                if isinstance(w, Product):
                    value = value + beyond[w][i] / (order + 1)
                found[w, i] = value.upper(), rate.upper()
        return found
