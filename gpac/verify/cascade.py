"""How the distance from a centre spreads in a part with very many states: vectors instead of a matrix of slopes.

As in `spread`, every solution in question is within r of a centre, here the polynomials of a step (`defect` says how
far they are from solving the equations), and r_i' <= J_ii r_i + sum |J_ij| r_j + what the polynomials miss. Here no
matrix J is made. Bounds on differences go through the circuit unit by unit, a layer of neurons as one vector and one
product with a matrix of magnitudes; only along units that act entry by entry are slopes with their signs kept,
which is where a neuron's own decay comes from. Over a step, r_j in the sum is replaced by the largest it gets. In
layers that feed forward little is lost by that: what a neuron feeds on does not depend on it. That a tube holds what
leaves its start proves that the solutions exist over the step.
Source: Mueller's comparison theorem (1927), as in `spread`.
"""

from __future__ import annotations

from typing import Any

import flint

from ..exact import to_arb
from ..precision import working_precision
from ..wire import Integral, Linear, Product, Time, Wire
from .balls import BallSeries, Group, Values
from .defect import Misses
from .growth import Row, add
from .matrix import Ball

BITS = 64
ROUNDS = 40
NARROW, LEAST, MOST = 2.0**-10, 2.0**3, 2.0**24
"""The tube is wider than what is known at its start by a factor from LEAST to MOST, the largest that keeps it NARROW:
below that its width hardly matters, and it has to hold what many layers do to each other."""


def spread_in_layers(
    series: BallSeries,
    group: Group,
    still: Values,
    path: Values,
    t: Ball,
    h: Ball,
    radii: dict[tuple[Wire, int], Ball],
    missed: Misses,
) -> dict[tuple[Wire, int], Ball] | None:
    """Bounds on |y - centre| at the end of a step from those at its start; None if no tube holds."""
    with working_precision(BITS):
        h = h.abs_upper()
        largest = flint.arb(0)
        for r in [
            *radii.values(),
            *(r for pair in missed.values() for r in pair),
            *(b.rad() for balls in still.values() for b in balls if b is not None),
        ]:
            largest = largest.max(r)
        factor = MOST if largest * MOST < NARROW else max(LEAST, NARROW / float(largest))
        outer = {key: (factor * (r + largest) + flint.arb(2) ** -4000).upper() for key, r in radii.items()}
        tube = _Tube(series, group, still, path, t, outer, missed)
        room = {key: (r + largest / MOST + flint.arb(2) ** -4000).upper() for key, r in radii.items()}
        for _ in range(ROUNDS):
            growth = tube.growth(room)
            if growth is None:
                return None
            anywhere = {key: _highest(radii[key], *growth[key], h) for key in radii}
            if any(not anywhere[key] < outer[key] for key in radii):
                return None
            if all(anywhere[key] < room[key] for key in radii):
                return {key: _at_end(radii[key], *growth[key], h) for key in radii}
            room = {key: (anywhere[key].max(room[key]) * (1 + flint.arb(2) ** -4)).upper() for key in radii}
    return None


def _highest(r: Ball, own: Ball, push: Ball, h: Ball) -> Ball:
    """Bound on the solution of r' = own r + push on [0, h]."""
    growth = (own.max(flint.arb(0)) * h).exp()
    return ((r + push * h) * growth).upper()


def _at_end(r: Ball, own: Ball, push: Ball, h: Ball) -> Ball:
    """Bound on the solution of r' = own r + push at h: r exp(own h) + push times the integral of exp(own s)."""
    growth = (own * h).exp()
    rise = h * growth.max(flint.arb(1))
    if own < 0:
        rise = rise.min((1 - growth) / -own)
    return (r * growth + push * rise).upper()


class _Tube:
    """Values, rates and entrywise slopes over a box around the path; differences within it."""

    def __init__(
        self,
        series: BallSeries,
        group: Group,
        still: Values,
        path: Values,
        t: Ball,
        outer: dict[tuple[Wire, int], Ball],
        missed: Misses,
    ) -> None:
        self.series, self.group, self.still, self.t, self.missed = series, group, still, t, missed
        self.value: dict[Wire, list[Any]] = dict(still)
        self.rate: dict[Wire, list[Any]] = {w: [b if b is None else flint.arb(0) for b in still[w]] for w in still}
        self.slope: dict[Wire, list[Any]] = {w: [{} for _ in still[w]] for w in still}
        self.rate_slope: dict[Wire, list[Any]] = {w: [{} for _ in still[w]] for w in still}
        self.magnitudes = {w: [m.magnitude() for m, _ in series.matrices[w]] for w in group if isinstance(w, Linear)}
        self.keys = list(outer)
        self.column = {key: n for n, key in enumerate(self.keys)}
        for w in group:
            self.value[w] = self._with_misses(w, self._values(w, path, outer), 0)
            self.slope[w] = self._slopes(w)
        for w in group:
            rates, self.rate_slope[w] = self._rates(w)
            self.rate[w] = self._with_misses(w, rates, 1)

    def growth(self, room: dict[tuple[Wire, int], Ball]) -> dict[tuple[Wire, int], tuple[Ball, Ball]] | None:
        """For every integrator entry: upper bounds on its own slope, and on what all others push it by."""
        value: dict[Wire, list[Any]] = {w: [None if b is None else b.rad() for b in self.still[w]] for w in self.still}
        rate = {w: [None if b is None else flint.arb(0) for b in self.still[w]] for w in self.still}
        for w in self.group:
            value[w] = self._and_misses(w, self._differences(w, value, room), 0)
        for w in self.group:
            rate[w] = self._and_misses(w, self._rate_differences(w, value, rate, room), 1)
        found = {}
        for w, i in self.keys:
            slopes: Row = dict(self.rate_slope[w][i])
            push: Any = rate[w][i]
            own: Any = slopes.pop(self.column[w, i], flint.arb(0))
            for j, a in slopes.items():
                push = push + abs(a) * room[self.keys[j]]
            if not (own.is_finite() and push.is_finite()):
                return None
            found[w, i] = own.upper(), push.upper()
        return found

    def _with_misses(self, w: Wire, found: list[Any], part: int) -> list[Any]:
        """Balls of a unit that also contain its own polynomial, or its rate; an integrator's value is in its tube."""
        if part == 0 and isinstance(w, Integral):
            return found
        return [b if b is None else b + flint.arb(0, self.missed[w, i][part]) for i, b in enumerate(found)]

    def _and_misses(self, w: Wire, found: list[Any], part: int) -> list[Any]:
        if part == 0 and isinstance(w, Integral):
            return found
        return [d if d is None else (d + self.missed[w, i][part]).upper() for i, d in enumerate(found)]

    # A difference is at most sum |slope_j| room_j + what `_differences` gives: the part not followed by slopes.

    def _folded(self, differences: list[Any], slopes: list[Any], room: dict[tuple[Wire, int], Ball]) -> list[Any]:
        """The whole differences of a unit's entries."""
        out = []
        for d, row in zip(differences, slopes, strict=True):
            for j, a in row.items() if d is not None else ():
                d = d + abs(a) * room[self.keys[j]]
            out.append(d if d is None else d.upper())
        return out

    def _differences(self, w: Wire, value: dict[Wire, list[Any]], room: dict[tuple[Wire, int], Ball]) -> list[Any]:
        if isinstance(w, Linear):
            return self._combined(w, value, self.slope, room)
        out: list[Any] = [None] * w.size
        for i in self.group[w]:
            total = flint.arb(0)
            for x, j, y, k in self._factors(w, i) if isinstance(w, Product) else ():
                total = total + abs(self.value[x][j]) * value[y][k] + abs(self.value[y][k]) * value[x][j]
            out[i] = total.upper()
        return out

    def _rate_differences(
        self, w: Wire, value: dict[Wire, list[Any]], rate: dict[Wire, list[Any]], room: dict[tuple[Wire, int], Ball]
    ) -> list[Any]:
        if isinstance(w, Linear):
            return self._combined(w, rate, self.rate_slope, room)
        out: list[Any] = [None] * w.size
        for i in self.group[w]:
            total = flint.arb(0)
            for x, j, y, k in self._factors(w, i):
                total = total + abs(self.value[x][j]) * rate[y][k] + abs(self.rate[y][k]) * value[x][j]
                if isinstance(w, Product):
                    total = total + abs(self.value[y][k]) * rate[x][j] + abs(self.rate[x][j]) * value[y][k]
            out[i] = total.upper()
        return out

    def _combined(
        self, w: Linear, parts: dict[Wire, list[Any]], slopes: dict[Wire, list[Any]], room: dict[tuple[Wire, int], Ball]
    ) -> list[Any]:
        entries = self.group[w]
        total = [flint.arb(0)] * len(entries)
        for matrix, (_, operand) in zip(self.magnitudes[w], self.series.matrices[w], strict=True):
            x = parts[operand]
            if matrix.kind > 1:
                x = self._folded(x, slopes[operand], room)
            total = [a + b for a, b in zip(total, matrix.apply(x, entries), strict=True)]
        return _placed(w, entries, [a.upper() for a in total])

    def _values(self, w: Wire, path: Values, outer: dict[tuple[Wire, int], Ball]) -> list[Any]:
        entries = self.group[w]
        if isinstance(w, Time):
            return [self.t]
        if isinstance(w, Integral):
            return _placed(w, entries, [path[w][i] + flint.arb(0, outer[w, i]) for i in entries])
        if isinstance(w, Linear):
            bias = [flint.arb(0) if w.bias is None else to_arb(w.bias[i]) for i in entries]
            return _placed(w, entries, self._image(w, self.value, bias))
        return _placed(
            w,
            entries,
            [_dot(self.value[x][j] * self.value[y][k] for x, j, y, k in self._factors(w, i)) for i in entries],
        )

    def _image(self, w: Linear, parts: dict[Wire, list[Any]], total: list[Ball]) -> list[Ball]:
        for matrix, operand in self.series.matrices[w]:
            total = [a + b for a, b in zip(total, matrix.apply(parts[operand], self.group[w]), strict=True)]
        return total

    def _slopes(self, w: Wire) -> list[Any]:
        out: list[Any] = [None] * w.size
        for i in self.group[w]:
            row: Row = {}
            if isinstance(w, Integral):
                row[self.column[w, i]] = flint.arb(1)
            elif isinstance(w, Linear):
                self._carry(row, w, i, self.slope)
            elif isinstance(w, Product):
                for x, j, y, k in self._factors(w, i):
                    add(row, self.slope[x][j], self.value[y][k])
                    add(row, self.slope[y][k], self.value[x][j])
            out[i] = row
        return out

    def _rates(self, w: Wire) -> tuple[list[Any], list[Any]]:
        entries = self.group[w]
        if isinstance(w, Time):
            return [flint.arb(1)], [{}]
        if isinstance(w, Linear):
            rates = self._image(w, self.rate, [flint.arb(0)] * len(entries))
            rows: list[Any] = [{} for _ in entries]
            for i, row in zip(entries, rows, strict=True):
                self._carry(row, w, i, self.rate_slope)
            return _placed(w, entries, rates), _placed(w, entries, rows)
        rates, rows = [], [{} for _ in entries]
        for i, row in zip(entries, rows, strict=True):
            total = flint.arb(0)
            for x, j, y, k in self._factors(w, i):
                total = total + self.value[x][j] * self.rate[y][k]
                add(row, self.slope[x][j], self.rate[y][k])
                add(row, self.rate_slope[y][k], self.value[x][j])
                if isinstance(w, Product):
                    total = total + self.rate[x][j] * self.value[y][k]
                    add(row, self.rate_slope[x][j], self.value[y][k])
                    add(row, self.slope[y][k], self.rate[x][j])
            rates.append(total)
        return _placed(w, entries, rates), _placed(w, entries, rows)

    def _carry(self, row: Row, w: Linear, i: int, slopes: dict[Wire, list[Any]]) -> None:
        """Slopes through multiples of the identity and diagonals; the other matrices take differences."""
        for matrix, operand in self.series.matrices[w]:
            if matrix.kind < 2:
                add(row, slopes[operand][i], matrix.multiple(i))

    def _factors(self, w: Any, i: int) -> list[tuple[Wire, int, Wire, int]]:
        if isinstance(w, Time):
            return []
        left, right = self.series.sides[w]
        if isinstance(w, Integral) or w.einsum is None:
            return [(left, i if left.size > 1 else 0, right, i if right.size > 1 else 0)]
        return [(left, j, right, k) for o, j, k in self.series.pairs[w] if o == i]


def _placed(w: Wire, entries: list[int], found: list[Any]) -> list[Any]:
    out: list[Any] = [None] * w.size
    for i, x in zip(entries, found, strict=True):
        out[i] = x
    return out


def _dot(terms: Any) -> Ball:
    return sum(terms, flint.arb(0))
