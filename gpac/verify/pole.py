"""Where a solution ends: the pole of a component whose equation is its own.

If y' = p(y) with p of degree k >= 2, then w = 1/y obeys w' = -w^(2-k) P(w) with P(w) = w^k p(1/w), and the time
from w0 = 1/y to the pole at w = 0 is the integral of w^(k-2) / P(w) from 0 to w0. Arb's rigorous quadrature
encloses it, and fails where P has a zero on the way (then y tends to a limit instead).
"""

from __future__ import annotations

from typing import Any

import flint

from ..exact import to_arb
from ..precision import working_precision
from ..wire import Constant, Input, Integral, Linear, Product, Time, Wire
from .balls import BallSeries, Values
from .matrix import Ball

MOST_CANDIDATES = 16
TRIAL_BITS = 64


class _NotAlone(Exception):
    """The rate of the component reads another moving quantity."""


def time_to_pole(series: BallSeries, still: Values, integrals: dict[Wire, list[int]], state: Values) -> Ball | None:
    """A ball that contains the time from `state` until some component is infinite; None if none can be shown.

    `still` and `state` are balls of all that the constants and the integrators can be, symbols included.
    """
    candidates = [(w, i) for w, entries in integrals.items() for i in entries]
    candidates.sort(key=lambda c: -float(state[c[0]][c[1]].abs_lower()))
    for wire, i in candidates[:MOST_CANDIDATES]:
        try:
            rate = _Expansion(series, still, wire, i).rate(wire, i)
        except _NotAlone:
            continue
        found = _quadrature(rate.coeffs(), state[wire][i])
        if found is not None:
            return found
    return None


def _quadrature(p: list[Ball], y: Ball) -> Ball | None:
    """Time from y to infinity for y' = sum p_j y^j."""
    k = len(p) - 1
    if k < 2 or p[k].contains(0) or y.contains(0):
        return None
    reversed_p = flint.acb_poly(p[::-1])  # P(w)
    w0 = 1 / y

    def integrand(w: Any, _: bool) -> Any:
        return w ** (k - 2) / reversed_p(w)

    with working_precision(min(TRIAL_BITS, flint.ctx.prec)):  # a zero on the way shows here, and costs little
        if not flint.acb.integral(integrand, flint.acb(0), flint.acb(w0)).is_finite():
            return None
    value = flint.acb.integral(integrand, flint.acb(0), flint.acb(w0)).real
    return value if value.is_finite() and value > 0 else None


class _Expansion:
    """Units as polynomials in one component y; anything else that moves is refused."""

    def __init__(self, series: BallSeries, still: Values, wire: Wire, index: int) -> None:
        self.series, self.still, self.variable = series, still, (wire, index)

    def value(self, wire: Wire, i: int) -> Any:
        """Entry i of a unit as a polynomial in y."""
        wire = self.series.circuit.source(wire)
        if isinstance(wire, Integral):
            if (wire, i) != self.variable:
                raise _NotAlone
            return flint.arb_poly([0, 1])
        if isinstance(wire, Time):
            raise _NotAlone
        if isinstance(wire, (Constant, Input)) or self.series.degree[wire] == 0:
            return flint.arb_poly([self.still[wire][i]])
        if isinstance(wire, Linear):
            bias = flint.arb_poly([to_arb(wire.bias[i])]) if wire.bias is not None else flint.arb_poly([])
            return self._combination(wire, i, self.value, bias)
        assert isinstance(wire, Product)
        total = flint.arb_poly([])
        for o, a, b in self.series.pairs[wire]:
            if o == i:
                total += self.value(wire.left, a) * self.value(wire.right, b)
        return total

    def rate(self, wire: Wire, i: int) -> Any:
        """Time derivative of entry i as a polynomial in y."""
        wire = self.series.circuit.source(wire)
        if self.series.degree[wire] == 0:
            return flint.arb_poly([])
        if isinstance(wire, Time):
            return flint.arb_poly([1])
        if isinstance(wire, Integral):
            u, v = wire.integrand, wire.variable
            return self.value(u, i if u.size > 1 else 0) * self.rate(v, i if v.size > 1 else 0)
        if isinstance(wire, Linear):
            return self._combination(wire, i, self.rate, flint.arb_poly([]))
        assert isinstance(wire, Product)
        total = flint.arb_poly([])
        for o, a, b in self.series.pairs[wire]:
            if o == i:
                total += self.rate(wire.left, a) * self.value(wire.right, b)
                total += self.value(wire.left, a) * self.rate(wire.right, b)
        return total

    def _combination(self, wire: Linear, i: int, part: Any, total: Any) -> Any:
        for matrix, operand in self.series.matrices[wire]:
            for j, a in matrix.row(i):
                if not a.is_zero():
                    total += part(operand, j) * a
        return total
