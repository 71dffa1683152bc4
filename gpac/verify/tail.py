"""A rigorous bound on everything a Taylor step leaves out, and with it the proof that the step exists.

Write |w|_k for |k-th coefficient| * h**k. For every wire, S = sum over k > n of k |w|_k, so that the values
left out at times up to h are at most S / (n + 1). The recurrences give S of a unit from the known
coefficients and from S of its operands:

    linear     S <= |M| S_x
    product    S <= known(x', y) + known(x, y') + V'_x R_y + V_x S_y + S_x V_y + R_x V'_y + R_x S_y + S_x R_y
    integral   S <= known(v', u) + V_u S_v + R_u V'_v + R_u S_v            (u dv)

with V = sum |w|_k and V' = sum k |w|_k over k <= n, R = S / (n + 1), and known(.,.) the terms of order above
n made of known coefficients. The right sides grow with the S on them. If numbers S* satisfy the inequalities,
then by induction on N the partial sums up to order N stay below S* (an integral's order k needs its integrand
at orders below k only). So the series converge for |t| <= h, and their sums solve the equations there.

All numbers are upper ends of low-precision balls; nothing is estimated. At high orders |w|_k are summed in blocks of
orders, and pairs of blocks count as a whole; where coefficients are inexact beyond their balls, `errors` bound the
sum of their errors, which counts at every order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import flint

from ..precision import working_precision
from ..wire import Integral, Linear, Product, Time, Wire
from .balls import BallSeries, Group, Values, _entry
from .matrix import Ball, BallMatrix
from .order import block_length

BITS = 64
ROUNDS = 30
ONE = flint.arb(1)


@dataclass(frozen=True)
class _Norms:
    """Of one entry: polynomials with |w|_k and k |w|_k summed over blocks k as coefficients, and their sums."""

    sizes: Any
    rates: Any
    total: Ball
    total_rate: Ball
    error: Ball


def tail(
    series: BallSeries, c: Values, h: Ball, order: int, group: Group, errors: Values | None = None
) -> dict[Wire, list[Ball]] | None:
    """Bounds R on |state(t0 + s) - polynomial(s)| for 0 <= s <= h, per integrator entry; None if none is found.

    Parameters
    ----------
    c : coefficients 0..order from `BallSeries.expand`
    h : ball, the step; its upper end counts
    errors : by entry, where the balls of `c` miss the true coefficients: a bound on sum |true - ball's middle| h**k
    """
    with working_precision(BITS):
        bound = Bound(series, c, h.abs_upper(), order, group, errors)
        found = bound.solve()
        if found is None:
            return None
        return {
            w: [None if s is None else (s / (order + 1)).upper() for s in found[w]]
            for w in group
            if isinstance(w, Integral)
        }


class Bound:
    """The inequalities of one step; `known` are their terms made of known coefficients alone."""

    def __init__(self, series: BallSeries, c: Values, h: Ball, order: int, group: Group, errors: Values | None) -> None:
        self.series, self.order, self.group = series, order, group
        self.block = block_length(order)
        self.norms: dict[Wire, list[_Norms | None]] = {
            w: [
                None if s is None else _norms(s, h, self.block, errors[w][i] if errors else flint.arb(0))
                for i, s in enumerate(c[w])
            ]
            for w in c
        }
        self.magnitudes = {
            w: [(m.magnitude(), x) for m, x in series.matrices[w] if series.degree[x] and x in group]
            for w in group
            if isinstance(w, Linear)
        }
        self.known = {w: self._known(w) for w in group}

    def solve(self) -> dict[Wire, list[Any]] | None:
        """Numbers S* that satisfy every inequality."""
        guess: dict[Wire, list[Any]] = {w: [flint.arb(0)] * w.size for w in self.group if isinstance(w, Integral)}
        zeros = -1
        for _ in range(3 + len(guess)):  # far down a chain the first terms appear late
            guess = self._apply(guess)
            before, zeros = zeros, sum(s is not None and s.is_zero() for w in guess for s in guess[w])
            if zeros == before:
                break
        for _ in range(2):
            guess = self._apply(guess)
        for _ in range(ROUNDS):
            wider: dict[Wire, list[Any]] = {w: [None if s is None else _wider(s) for s in guess[w]] for w in guess}
            image = self._apply(wider)
            if any(s is not None and not s.is_finite() for w in image for s in image[w]):
                return None
            if all(
                a <= b
                for w in image
                for a, b in zip(image[w], wider[w], strict=True)
                if a is not None and b is not None
            ):
                return wider
            guess = image
        return None

    def _apply(self, guess: dict[Wire, list[Any]]) -> dict[Wire, list[Any]]:
        """The right sides of the inequalities of all integrators, other units following their operands."""
        s: dict[Wire, list[Any]] = dict(guess)
        for wire in self.group:
            if not isinstance(wire, Integral):
                s[wire] = self._row(wire, s)
        return {wire: self._row(wire, s) for wire in guess}

    def _row(self, wire: Wire, s: dict[Wire, list[Any]]) -> list[Any]:
        entries = self.group[wire]
        new: list[Any] = [None] * wire.size
        for i, value in zip(entries, self._rule(wire, entries, s), strict=True):
            new[i] = value.upper()
        return new

    def _rule(self, wire: Wire, entries: list[int], s: dict[Wire, list[Any]]) -> list[Ball]:
        if isinstance(wire, Time):
            return [flint.arb(0)]
        if isinstance(wire, Linear):
            return self._linear(self.magnitudes[wire], entries, s)
        if isinstance(wire, Integral):
            u, v = self.series.sides[wire]
            return [self.known[wire][i] + self._integral(u, v, i, s) for i in entries]
        assert isinstance(wire, Product)
        left, right = self.series.sides[wire]
        total = [self.known[wire][i] for i in range(wire.size)]
        active = set(entries)
        for o, i, j in self.series.pairs[wire]:
            if o in active:
                total[o] = total[o] + self._product(left, i, right, j, s)
        return [total[i] for i in entries]

    def _linear(self, terms: list[tuple[BallMatrix, Wire]], entries: list[int], s: dict[Wire, list[Any]]) -> list[Ball]:
        total = [flint.arb(0)] * len(entries)
        for matrix, operand in terms:
            total = [a + b for a, b in zip(total, matrix.apply(s[operand], entries), strict=True)]
        return total

    def _integral(self, u: Wire, v: Wire, i: int, s: dict[Wire, list[Any]]) -> Ball:
        nu, nv = _entry(self.norms[u], i), _entry(self.norms[v], i)
        su, sv = self._tail_of(u, i, s), self._tail_of(v, i, s)
        ru = su / (self.order + 1)
        return nu.total * sv + ru * (nv.total_rate + sv)

    def _product(self, left: Wire, i: int, right: Wire, j: int, s: dict[Wire, list[Any]]) -> Ball:
        nx, ny = self.norms[left][i], self.norms[right][j]
        assert nx and ny
        sx, sy = self._tail_of(left, i, s), self._tail_of(right, j, s)
        rx, ry = sx / (self.order + 1), sy / (self.order + 1)
        return nx.total_rate * ry + (nx.total + rx) * sy + (ny.total + ry) * sx + ny.total_rate * rx

    def _tail_of(self, wire: Wire, i: int, s: dict[Wire, list[Any]]) -> Ball:
        return _entry(s[wire], i) if wire in self.group else flint.arb(0)

    def _known(self, wire: Wire) -> list[Any]:
        """Terms of order above n that known coefficients alone make."""
        out: list[Any] = [flint.arb(0)] * wire.size
        if isinstance(wire, Integral):
            u, v = (self.norms[side] for side in self.series.sides[wire])
            for i in self.group[wire]:
                nu, nv = _entry(u, i), _entry(v, i)
                out[i] = self._beyond(nv.rates, nu.sizes) + self._missed(nu, nv)
        elif isinstance(wire, Product):
            left, right = (self.norms[side] for side in self.series.sides[wire])
            active = set(self.group[wire])
            for o, i, j in self.series.pairs[wire]:
                if o in active:
                    nx, ny = left[i], right[j]
                    assert nx and ny
                    terms = self._beyond(nx.rates, ny.sizes) + self._beyond(nx.sizes, ny.rates)
                    out[o] = (out[o] + terms + self._missed(nx, ny)).upper()
        return out

    def _beyond(self, x: Any, y: Any) -> Ball:
        """Sum over i + j > order of x_i y_j; of blocks the sum over all pairs that can reach so far."""
        return (x * y).right_shift((self.order + 2) // self.block - 1)(ONE).upper()

    def _missed(self, x: _Norms, y: _Norms) -> Ball:
        """What errors of coefficients add to such sums."""
        return 2 * self.order * (x.error * y.total + x.total * y.error)


def _norms(coefficients: list[Ball], h: Ball, block: int, error: Ball) -> _Norms:
    sizes = flint.arb_poly([c.abs_upper() for c in coefficients])(flint.arb_poly([0, h]))
    rates = sizes.derivative().left_shift(1)
    if block > 1:
        sizes, rates = _in_blocks(sizes, block), _in_blocks(rates, block)
    last = len(coefficients) - 1
    return _Norms(sizes, rates, sizes(ONE).upper(), (rates(ONE) + last * error).upper(), error)


def _in_blocks(x: Any, block: int) -> Any:
    terms = x.coeffs()
    return flint.arb_poly([sum(terms[k : k + block], flint.arb(0)) for k in range(0, len(terms), block)])


def _wider(value: Ball) -> Ball:
    """A little more, so that an image computed with rounding can lie below it."""
    return (value * (1 + flint.arb(2) ** -10)).upper()
