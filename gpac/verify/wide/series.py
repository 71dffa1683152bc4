"""Taylor polynomials of a part with very many states, level by level, and by how much each misses its rule.

Coefficients are integers, in multiples of 2**-bits, in the time s = (t - t0) / unit, which a step has run through at
s = 1. They are not the exact ones, and need not be: what counts is by how much a unit's polynomial p misses what its
operands' polynomials make of it, and that is read off afterwards. A product's and an integrator's are multiplied out
again, exactly,

    product   p - x y            integral   p' - u v'          (u dv)

and the magnitudes of what is left add up to a bound for 0 <= s <= 1, in which rounding and all terms of higher
order count. A sum, rounded to the nearest, misses by half a unit of the last place in every coefficient: none may be
left out, so that it is followed as far as what it sums.
Source: defects of approximate solutions, Dahlquist 1959; Hairer, Norsett and Wanner, "Solving Ordinary Differential
Equations I", section I.10.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from operator import mul
from typing import Any

import flint
import numpy as np

from ...wire import Integral, Linear, Product, Time, Wire
from ..balls import Group
from ..matrix import Ball
from ..online import Convolution, run_online
from .rules import Rules
from .upward import EPSILON, Floats, Range, up

BASE = 32
"""Orders that are summed term by term (measured, as in `fixed`)."""
LARGEST = 800
"""Bits of integers that surely fit a double."""


class Polynomials:
    """The polynomials of one step, from a start at time t.

    Parameters
    ----------
    state : integers, by integrator and entry
    unit : the length of the step
    all : whether every level gets all orders; else it ends after some that are 0, which may be a gap only

    Attributes
    ----------
    c : coefficients by wire and entry; None for an entry that is not followed
    """

    def __init__(self, rules: Rules, state: dict[Wire, list[Any]], t: Fraction, unit: Fraction, all: bool) -> None:
        self.rules, self.bits, self.state, self.all = rules, rules.bits, state, all
        self.clock = [rules.fixed(t), rules.fixed(unit)]
        self.c: dict[Wire, list[Any]] = {w: [x if x is None else [x] for x in rules.still[w]] for w in rules.still}
        self._rates: dict[Wire, list[Any]] = {}
        self._known: dict[tuple[Wire, int], Any] = {}
        self._ranges: dict[Wire, tuple[Range, Range]] = {}
        self._misses: dict[Wire, tuple[Floats, Floats]] = {}
        for level in rules.levels:
            self._expand(level)

    def _expand(self, level: Group) -> None:
        for w, entries in level.items():
            self.c[w] = [None] * w.size
            for i in entries:
                self.c[w][i] = []
        first = next(iter(level))
        if isinstance(first, Time):
            self.c[first][0] = list(self.clock)
        elif isinstance(first, Linear) and len(level) == 1:
            for i, x in zip(level[first], self._sum(first, level[first], 0, self._orders(first)), strict=True):
                self.c[first][i] = x
        else:
            self._in_turn(level)
        for w, entries in level.items():
            for i in entries:
                x = self.c[w][i]
                while len(x) > 1 and not x[-1]:
                    x.pop()

    def _orders(self, w: Linear) -> int:
        """How many orders a sum of lower levels can have."""
        return max((len(x) for term in self.rules.sums[w].terms for x in self.c[term.operand] if x), default=1)

    def _in_turn(self, level: Group) -> None:
        """Order by order, each unit after what it reads."""
        for w in level:
            if isinstance(w, Integral):
                self._rates_of(self.rules.series.sides[w][1])
        products: dict[Wire, list[list[Any]]] = {
            w: [self._convolutions(w, i) for i in entries]
            for w, entries in level.items()
            if isinstance(w, (Product, Integral))
        }
        gap, order = max(4, self.rules.order // 8), self.rules.order
        zeros = 0
        driven = self._orders_below(level)

        def step(k: int) -> bool:
            nonlocal zeros
            zeros += 1
            for w, entries in level.items():
                for i, x in zip(entries, self._order(w, entries, products.get(w, []), k), strict=True):
                    self.c[w][i].append(x)
                    if w in self._rates:
                        self._rates[w][i].append(x * k)
                    if x:
                        zeros = 0
            return zeros >= gap and not self.all and k + 1 >= driven

        blocked = [] if self.rules.short else [x for entries in products.values() for sums in entries for x in sums]
        run_online(order, order + 1 if self.rules.short else BASE, blocked, step)

    def _orders_below(self, level: Group) -> int:
        """Orders that sums of a level read from lower ones; misses of sums count none that is left out."""
        read = {x.operand for w in level if isinstance(w, Linear) for x in self.rules.sums[w].terms} - set(level)
        return max((len(x) for w in read for x in self.c[w] if x), default=0)

    def _rates_of(self, w: Wire) -> None:
        """k times the coefficients, of a unit that something is integrated over."""
        if w not in self._rates:
            self._rates[w] = [None if x is None else [v * k for k, v in enumerate(x)] for x in self.c[w]]

    def _convolutions(self, w: Wire, i: int) -> list[Any]:
        second = self._rates if isinstance(w, Integral) else self.c
        pairs = [(self.c[x][j], second[y][k]) for x, j, y, k in self.rules.factors(w, i)]
        return [_Plain(*pair) if self.rules.short else Convolution(*pair, self.bits, False) for pair in pairs]

    def _order(self, w: Wire, entries: list[int], products: list[list[Any]], k: int) -> list[Any]:
        if isinstance(w, Linear):
            return [x[0] for x in self._sum(w, entries, k, k + 1)]
        if isinstance(w, Integral):
            if k == 0:
                return [self.state[w][i] for i in entries]
            half, whole = k << (self.bits - 1), k << self.bits
            return [(p.at(k) + half) // whole for (p,) in products]
        half = 1 << (self.bits - 1)
        return [(sum(p.at(k) for p in sums) + half) >> self.bits for sums in products]

    def _sum(self, w: Linear, entries: list[int], low: int, high: int) -> list[list[Any]]:
        rule = self.rules.sums[w]
        found = rule.orders(self.c, entries, low, high, self.bits)
        return [list(map(int, x)) for x in found] if rule.dense and self.rules.short else found

    # -- what is read off

    def ends(self, w: Wire, s: Ball) -> list[Any]:
        """The values at time s of the step."""
        one = flint.arb(2) ** -self.bits
        if s == 1:
            return [None if x is None else one * sum(x) for x in self.c[w]]
        return [None if x is None else one * flint.arb_poly(x)(s) for x in self.c[w]]

    def ranges(self, w: Wire) -> tuple[Range, Range]:
        """What values and rates lie in, for 0 <= s <= 1; undefined for entries that are not followed."""
        if w not in self._ranges:
            width = max(len(x) for x in self.c[w] if x is not None)
            shift = max(0, self.bits - LARGEST)
            none, zeros = [float("nan")] * width, [0.0] * width
            rows = [none if x is None else (_to_floats(x, shift) + zeros)[:width] for x in self.c[w]]
            c = np.array(rows) * 2.0 ** (shift - self.bits)
            lost = width * 2.0**-LARGEST
            self._ranges[w] = _range(c, lost), _range(c[:, 1:] * np.arange(1, width), lost * width)
        return self._ranges[w]

    def misses(self, w: Wire) -> tuple[Floats, Floats]:
        """Bounds on how far values (not an integrator's) and rates are from the rule, in units of the last place."""
        if w not in self._misses:
            self._misses[w] = (self.rules.vague[w], np.zeros(w.size)) if w in self.rules.still else self._missed(w)
        return self._misses[w]

    def _missed(self, w: Wire) -> tuple[Floats, Floats]:
        value, rate = np.full(w.size, np.nan), np.full(w.size, np.nan)
        entries = self.rules.group[w]
        if isinstance(w, Time):
            value[entries], rate[entries] = 2.0, 1.0
        elif isinstance(w, Linear):
            orders = self._orders(w)
            off, off_rate = self._vague(w)
            value[entries], rate[entries] = orders / 2, orders * orders / 4
            value, rate = up(value + off), up(rate + off_rate)
        else:
            for i in entries:
                value[i], rate[i] = self._multiplied_out(w, i)
        return value, rate

    def _multiplied_out(self, w: Wire, i: int) -> tuple[float, float]:
        own = self._polynomial(w, i)
        pairs = [(self._polynomial(x, j), self._polynomial(y, k)) for x, j, y, k in self.rules.factors(w, i)]
        one = 1 << self.bits
        if isinstance(w, Integral):
            ((u, v),) = pairs
            return 0.0, self._total(own.derivative() * one - u * v.derivative())
        off = own * one
        for x, y in pairs:
            off -= x * y
        return self._total(off), self._total(off.derivative())

    def _polynomial(self, w: Wire, i: int) -> Any:
        if (w, i) not in self._known:
            self._known[w, i] = flint.fmpz_poly(self.c[w][i])
        return self._known[w, i]

    def _total(self, polynomial: Any) -> float:
        total = sum(map(abs, polynomial.coeffs()), flint.fmpz(0))
        (size,) = _to_floats([(total >> self.bits) + 1], 0)
        return size * (1 + 4 * EPSILON)

    def _vague(self, w: Linear) -> tuple[Floats, Floats]:
        """What numbers that are not rational add to misses of a sum and of its rate."""
        rule = self.rules.sums[w]
        both = {term.operand: self.ranges(term.operand) for term in rule.terms if term.vague}
        value = rule.off({x: r.size() for x, (r, _) in both.items()}) + rule.off_bias
        return value, rule.off({x: r.size() for x, (_, r) in both.items()})


@dataclass(eq=False)
class _Plain:
    """Coefficients of a * b, for lists that grow, like `Convolution`: term by term, in Python's integers."""

    a: list[int]
    b: list[int]

    def at(self, k: int) -> int:
        n = len(self.b)
        if k < n:
            return sum(map(mul, self.a, self.b[k::-1]))  # ends with the shorter one
        return sum(map(mul, self.a[k - n + 1 :], self.b[::-1]))


def _range(c: Floats, lost: float) -> Range:
    """Middle and radius of sum c_k s**k for 0 <= s <= 1, where each c_k is known within `lost` in all."""
    if not c.shape[1]:
        return Range(np.zeros(len(c)), np.zeros(len(c)))
    size = abs(c[:, 1:]).sum(axis=1)
    mid = c[:, 0] + c[:, 1:].sum(axis=1) / 2
    return Range(mid, up(size / 2 + (size + abs(c[:, 0])) * (c.shape[1] + 8) * EPSILON + lost))


def _to_floats(x: list[Any], shift: int) -> list[float]:
    try:
        return [float(v >> shift) for v in x] if shift else list(map(float, x))
    except OverflowError:
        return [np.inf] * len(x)
