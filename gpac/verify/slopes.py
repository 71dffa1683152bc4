"""Slopes of the rates along a step: the linear equation that the distance from the centre obeys exactly.

Let x be a wire's value on some solution, X its value on the centre's, and d the distance of the states (and of the
constants with symbols). With slopes x - X = r_x d and y - Y = r_y d, a product has

    x y - X Y = (Y + (y - Y)/2) (x - X) + (X + (x - X)/2) (y - Y),

so its slope is r_xy = (Y +- |y - Y|/2) r_x + (X +- |x - X|/2) r_y, without any remainder, and with half the width
that the derivative over the whole tube would have. Sums are linear, and the rate of a wire is a sum of products. So
d' = S(s) d holds exactly, with S(s) in the models made here, at every s and for every solution in the tube |d| <= D.

Time is s, 0 <= s <= 1, in a step of length h: the rate of time itself is h, and all rates are scaled with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import flint

from ..exact import to_arb
from ..wire import Integral, Linear, Product, Time, Wire
from .balls import BallSeries, Group, Values
from .growth import Row
from .matrix import Ball
from .models import Model, hull, multiply, widened

Key: TypeAlias = tuple[Wire, int]
OUTSIDE = -1
"""Column that collects what uncertain constants without symbols contribute: a distance, not a slope."""


@dataclass(frozen=True, eq=False)
class Quantity:
    """An entry of a wire: model on the centre's solution, slope, and bound on its distance from the centre's."""

    value: Model
    slope: Row
    far: Ball


@dataclass(frozen=True, eq=False)
class Step:
    """What the slopes along one step are made of.

    `path` has a model of every integrator entry, `columns` numbers the states and the constants with symbols, `tube`
    bounds their distances, one per column.
    """

    series: BallSeries
    group: Group
    still: Values
    path: dict[Key, Model]
    time: Model
    h: Ball
    columns: dict[Key, int]
    degree: int


def slopes(step: Step, tube: list[Ball]) -> list[Row]:
    """Rows of S, one per state, in the order of `columns`; models, but for OUTSIDE, whose entry is a ball."""
    return _Slopes(step, tube).rows()


class _Slopes:
    def __init__(self, step: Step, tube: list[Ball]) -> None:
        self.step, self.tube = step, tube
        self.value: dict[Wire, list[Any]] = {}
        self.rate: dict[Wire, list[Any]] = {}
        nothing = Quantity(flint.arb(0), {}, flint.arb(0))
        for w, balls in step.still.items():
            self.value[w] = [None if b is None else self._still(w, i, b) for i, b in enumerate(balls)]
            self.rate[w] = [nothing] * len(balls)
        for w in step.group:
            self.value[w], self.rate[w] = [None] * w.size, [None] * w.size
        for key, x in step.path.items():
            w, i = key
            column = step.columns[key]
            self.value[w][i] = Quantity(x, {column: flint.arb(1)}, tube[column])
        for w, entries in step.group.items():
            if not isinstance(w, Integral):
                for i in entries:
                    self.value[w][i] = self._value(w, i)
        for w, entries in step.group.items():
            for i in entries:
                self.rate[w][i] = self._rate(w, i)

    def rows(self) -> list[Row]:
        return [self.rate[w][i].slope for w, i in self.step.path]

    def _still(self, w: Wire, i: int, ball: Ball) -> Quantity:
        column, radius = self.step.columns.get((w, i)), ball.rad()
        if column is not None:
            return Quantity(ball.mid(), {column: flint.arb(1)}, self.tube[column])
        return Quantity(ball.mid(), {OUTSIDE: flint.arb(0, radius)} if radius > 0 else {}, radius)

    def _far(self, slope: Row) -> Ball:
        """Bound on the distance that a slope makes."""
        total = flint.arb(0)
        for j, a in slope.items():
            size = hull(a).abs_upper()
            total = total + (size if j == OUTSIDE else size * self.tube[j])
        return total.upper()

    def _value(self, w: Wire, i: int) -> Quantity:
        if isinstance(w, Time):
            return Quantity(self.step.time, {}, flint.arb(0))
        if isinstance(w, Linear):
            return self._combine(w, i, self.value, None if w.bias is None else to_arb(w.bias[i]))
        assert isinstance(w, Product)
        return self._sum([self._times(self.value[x][j], self.value[y][k]) for x, j, y, k in self._factors(w, i)])

    def _rate(self, w: Wire, i: int) -> Quantity:
        if isinstance(w, Time):
            return Quantity(self.step.h, {}, flint.arb(0))
        if isinstance(w, Linear):
            return self._combine(w, i, self.rate, None)
        if isinstance(w, Integral):
            u, v = self.step.series.sides[w]
            return self._times(self.value[u][i if u.size > 1 else 0], self.rate[v][i if v.size > 1 else 0])
        terms = []
        for x, j, y, k in self._factors(w, i):
            terms += [self._times(self.rate[x][j], self.value[y][k]), self._times(self.value[x][j], self.rate[y][k])]
        return self._sum(terms)

    def _times(self, x: Quantity, y: Quantity) -> Quantity:
        slope: Row = {}
        self._add(slope, x.slope, widened(y.value, y.far / 2) if y.far > 0 else y.value)
        self._add(slope, y.slope, widened(x.value, x.far / 2) if x.far > 0 else x.value)
        return Quantity(multiply(x.value, y.value, self.step.degree), slope, self._far(slope))

    def _sum(self, terms: list[Quantity]) -> Quantity:
        if len(terms) == 1:
            return terms[0]
        slope: Row = {}
        value: Model = flint.arb(0)
        for x in terms:
            value = value + x.value
            for j, a in x.slope.items():
                slope[j] = slope[j] + a if j in slope else a
        return Quantity(value, slope, self._far(slope))

    def _combine(self, w: Linear, i: int, entries: dict[Wire, list[Any]], bias: Ball | None) -> Quantity:
        value: Model = flint.arb(0) if bias is None else bias
        slope: Row = {}
        for matrix, operand in self.step.series.matrices[w]:
            for j, a in matrix.row(i):
                x = entries[operand][j]  # an entry not followed is None, and stops the proof here
                value = value + x.value * a
                self._add(slope, x.slope, a)
        return Quantity(value, slope, self._far(slope))

    def _add(self, total: Row, row: Row, factor: Model) -> None:
        """total += factor * row."""
        for j, a in row.items():
            term = multiply(a, factor, self.step.degree)
            if j == OUTSIDE:
                term = flint.arb(0, hull(term).abs_upper())
            total[j] = total[j] + term if j in total else term

    def _factors(self, w: Any, i: int) -> list[tuple[Wire, int, Wire, int]]:
        left, right = self.step.series.sides[w]
        if w.einsum is None:
            return [(left, i if left.size > 1 else 0, right, i if right.size > 1 else 0)]
        return [(left, j, right, k) for o, j, k in self.step.series.pairs[w] if o == i]
