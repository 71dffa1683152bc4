"""Parts that are one system under clocks of different speed: one run serves all of them.

A unit that integrates u dv sees how u and v move against each other, not how fast. So where time enters a part
through one entry q = q0 + a t only, its states are X(q(t)), with an X that does not depend on a. Parts with the same
units, numbers, start values and q0 have the same X: if a run of one of them, with the rate b, has the states
Y(t) = X(q0 + b t), the state of another at time T is Y(T a / b). A layer of neurons u' = a f(u) is such a family.

The part that runs has the middles of the uncertain constants, so that it is a solution without width. Where a is a
ball, so is T a / b, and the state there is enclosed by the mean value theorem. A part whose times do not lie within
one proven step, between zero and the end of the run, is left to a run of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias

import flint

from ..exact import to_arb
from ..wire import Integral, Linear, Product, Wire
from .balls import BallSeries, Group, Values
from .invariants import Watch
from .matrix import Ball
from .outcome import Limits
from .part import Part
from .proof import to_fraction
from .slopes import Key
from .stretch import Stretch

LEAST = 4
"""Parts that are worth a common run."""
BEYOND = flint.arb(2) ** -20
"""How far a run goes beyond the last time at which it is wanted, relative to that."""

Signature: TypeAlias = tuple[Any, ...]


@dataclass(frozen=True, eq=False)
class Family:
    """Parts of the same signature, and the rates of their clocks (balls of one sign).

    `slow` are the units that the clock is made of.
    """

    clock: Wire
    slow: list[Wire]
    parts: list[Group]
    rates: list[Ball]


def families(series: BallSeries, parts: list[Group], state: Values) -> list[Family]:
    """The families of at least `LEAST` parts; what belongs to none is in no family."""
    slow = _Slow(series)
    found: dict[Signature, Family] = {}
    for group in parts:
        clock = _clock(series, slow, group)
        if clock is None:
            continue
        start, rate = slow.start(clock), slow.rate(clock)
        own = _signature(series, slow, group, clock[0], state)
        if own is None or not start.is_exact() or not (rate > 0 or rate < 0):
            continue
        key = (*own, start.man_exp(), bool(rate > 0))
        family = found.setdefault(key, Family(clock[0], [w for w in group if w in slow], [], []))
        family.parts.append(group)
        family.rates.append(rate)
    return [family for family in found.values() if len(family.parts) >= LEAST]


class _Slow:
    """Units that are linear in time whatever the integrators do: their entries at t = 0 and t = 1."""

    def __init__(self, series: BallSeries) -> None:
        self.still = series.still
        self.first, self.second = dict(series.still), dict(series.still)
        for w in series.circuit.wires:
            if series.degree[w] == 1 and not isinstance(w, Integral) and all(x in self.first for x in _read(series, w)):
                self.first[w] = series._value(w, self.first, flint.arb(0))
                self.second[w] = series._value(w, self.second, flint.arb(1))

    def __contains__(self, w: Wire) -> bool:
        return w in self.first and w not in self.still

    def start(self, key: Key) -> Ball:
        return self.first[key[0]][key[1]]

    def rate(self, key: Key) -> Ball:
        return self.second[key[0]][key[1]] - self.start(key)


def _clock(series: BallSeries, slow: _Slow, group: Group) -> Key | None:
    """The only entry linear in time that the others read; None if there are several."""
    moved = [w for w in group if w not in slow]
    read = {key for w in moved for key in _operands(series, w, group[w][0]) if key[0] in slow}
    return read.pop() if len(read) == 1 else None


def _signature(series: BallSeries, slow: _Slow, group: Group, clock: Wire, state: Values) -> Signature | None:
    """All that the states depend on as functions of the clock; None where that is not exact, or no single entries."""
    found: list[Any] = []
    for w, entries in group.items():
        if w in slow:
            continue
        i = entries[0]
        numbers = _numbers(series, w, i)
        if len(entries) > 1 or numbers is None:
            return None
        if isinstance(w, Integral):
            numbers = [state[w][i]]
        for x, j in _operands(series, w, i):
            if x in series.still:
                numbers.append(series.still[x][j])
            elif x is not clock and x not in group:
                return None
        if not all(b.is_exact() for b in numbers):
            return None
        found.append((w, *(b.man_exp() for b in numbers)))
    return tuple(found)


def _numbers(series: BallSeries, w: Wire, i: int) -> list[Ball] | None:
    """The numbers in an entry's own rule; None for rules that differ in more from entry to entry."""
    if isinstance(w, Linear):
        if any(matrix.kind > 1 for matrix, _ in series.matrices[w]):
            return None
        bias = flint.arb(0) if w.bias is None else to_arb(w.bias[i])
        return [bias, *(matrix.multiple(i) for matrix, _ in series.matrices[w])]
    if isinstance(w, Product) and w.einsum is not None:
        return None
    return []


def _operands(series: BallSeries, w: Wire, i: int) -> list[Key]:
    """What an entry reads, in the order of its rule, if this is entry by entry."""
    return [(x, i if x.size > 1 else 0) for x in _read(series, w)]


def _read(series: BallSeries, w: Wire) -> list[Wire]:
    if isinstance(w, Linear):
        return [x for _, x in series.matrices[w]]
    return list(series.sides.get(w, ()))


@dataclass(eq=False)
class Orbit:
    """The common run of a family; `reached` has the states of part number n at the end, where it got there."""

    series: BallSeries
    family: Family
    steps: int = 0
    waiting: list[tuple[int, Ball]] = field(default_factory=list)
    reached: dict[int, dict[Key, Ball]] = field(default_factory=dict)

    def run(self, start: Values, end: Any, order: int, limits: Limits, watch: Watch) -> None:
        """Find the states at time `end` of as many parts as the run gets to; `steps` are those it took."""
        sizes = [float(abs(rate)) for rate in self.family.rates]
        fastest = sizes.index(max(sizes))
        part = Part(self.series, self.family.parts[fastest], order, limits, {}, {}, watch)
        part.still, part.sharp, part.watch = part.centre, True, watch.of([])
        rate = self._rate(part)
        times = [(n, to_arb(end) * x / rate) for n, x in enumerate(self.family.rates)]
        self.waiting = sorted((x for x in times if x[1].is_finite()), key=lambda x: -float(x[1].upper()))
        if self.waiting and part.in_matrix:
            part.seen = self._seen
            state = {w: list(balls) for w, balls in start.items()}
            part.go(state, state, {}, to_fraction((self.waiting[0][1].upper() * (1 + BEYOND)).upper()))
            self.steps = part.steps

    def _rate(self, part: Part) -> Ball:
        """The rate of the clock of the part that runs."""
        clock = self.family.clock
        (i,) = part.group[clock]
        slow = {w: part.group[w] for w in self.family.slow}
        c = self.series.expand({}, flint.arb(0), 1, slow, part.centre)
        return c[clock][i][1]

    def _seen(self, stretch: Stretch) -> None:
        """Take down the states of the parts whose times lie in the stretch."""
        while self.waiting:
            n, time = self.waiting[-1]
            s = time - to_arb(stretch.t)
            if not s.upper() <= stretch.h.lower():
                return
            self.waiting.pop()
            if s.lower() >= 0:
                own = self.family.parts[n]
                self.reached[n] = {(w, own[w][0]): ball for (w, _), ball in stretch.at(s).items()}
