"""Numbers that depend on symbols: what a box of inputs makes of constants, start values and outputs.

A number is known as x in ball + sum over l of row_l e_l, where the symbols -1 <= e_l <= 1 say where in their boxes
the inputs lie. The row keeps to first order how numbers hang together; whatever is not linear goes into the ball.
No row (None) means that the symbols are not in it. Source: affine arithmetic, Comba and Stolfi, SIBGRAPI 1993.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import flint

from ..precision import working_precision
from ..wire import Input, Integral, Linear, Product, Start, Wire
from .balls import BallSeries, Values
from .jets import jet
from .matrix import Ball, BallMatrix

Symbols: TypeAlias = list[Any] | None
"""One exact ball per symbol."""
Rows: TypeAlias = dict[Wire, list[Symbols]]
BITS = 64


def size(row: Symbols) -> Ball:
    """How far the symbols move the number at most."""
    return flint.arb(0) if row is None else sum(map(abs, row), flint.arb(0)).upper()


def whole(ball: Ball, row: Symbols) -> Ball:
    """A ball that contains all that the number can be."""
    return ball if row is None else ball + flint.arb(0, size(row))


class Affine:
    """Balls and rows of the units of one circuit.

    With rows for the inputs, `series.still` becomes balls beside rows: who reads it takes `rows` along, or `whole`.
    """

    def __init__(self, series: BallSeries, inputs: dict[str, list[Symbols]]) -> None:
        self.series, self.inputs = series, inputs
        self.depends = any(row is not None for rows in inputs.values() for row in rows)
        self.rows: Rows = {}
        if self.depends:
            still = dict(series.still)
            self._follow([w for w in series.circuit.wires if w in still], still, self.rows, flint.arb(0))
            series.still = still

    def start(self) -> tuple[Values, Rows]:
        """State at t = 0."""
        if not self.depends:
            return self.series.start(), {}
        values, rows = dict(self.series.still), dict(self.rows)
        for w in self.series.circuit.wires:
            if isinstance(w, Integral):
                values[w], rows[w] = self._initial(w, values, rows)
            elif w not in values:
                self._follow([w], values, rows, flint.arb(0))
        integrals = self.series.circuit.integrals
        return {w: values[w] for w in integrals}, {w: rows[w] for w in integrals}

    def values(self, state: Values, rows: Rows, t: Ball) -> tuple[Values, Rows]:
        """All units at time t."""
        if not self.depends:
            return self.series.values(state, t), {}
        values, rows = dict(self.series.still) | state, self.rows | rows
        self._follow([w for w in self.series.circuit.wires if w not in values], values, rows, t)
        return values, rows

    def plain_values(self, state: Values, t: Ball) -> Values:
        """All units at time t as plain balls, from balls of the state that contain everything."""
        still = {w: list(map(whole, b, self.rows.get(w, [None] * w.size))) for w, b in self.series.still.items()}
        values = still | state
        for w in self.series.circuit.wires:
            if w not in values:
                values[w] = self.series._value(w, values, t)
        return values

    def _follow(self, wires: list[Wire], values: Values, rows: Rows, t: Ball) -> None:
        """Balls and rows of units from those of their operands."""
        for w in wires:
            values[w] = self.series._value(w, values, t)
            if isinstance(w, Input):
                rows[w] = self.inputs[w.key]
                continue
            if isinstance(w, Linear):
                new = self._linear(w, rows)
            elif isinstance(w, Product):
                new = self._product(w, values, rows)
            else:
                new = [None] * w.size
            tidied = [_tidy(row) for row in new]
            values[w] = [ball if r is None else ball + r for ball, (_, r) in zip(values[w], tidied, strict=True)]
            rows[w] = [row for row, _ in tidied]

    def _initial(self, w: Integral, values: Values, rows: Rows) -> tuple[list[Ball], list[Symbols]]:
        balls = self.series._initial(w, values)
        if not isinstance(w.initial, Start):
            return balls, [None] * w.size
        source = self.series.circuit.source(w.initial.wire)
        new: list[Symbols] = [None] * w.size
        for i, (x, row) in enumerate(zip(values[source], rows[source], strict=True)):
            if row is not None:
                balls[i], new[i] = _apply(w.initial, x, row)
        return balls, new

    def _linear(self, w: Linear, rows: Rows) -> list[Any]:
        new: list[Any] = [None] * w.size
        for matrix, operand in self.series.matrices[w]:
            if any(row is not None for row in rows.get(operand, [])):
                for i, row in enumerate(_image(matrix, rows[operand])):
                    new[i] = _sum(new[i], row)
        return new

    def _product(self, w: Product, values: Values, rows: Rows) -> list[Any]:
        left, right = self.series.sides[w]
        new: list[Any] = [None] * w.size
        for o, i, j in self.series.pairs[w]:
            x, y = rows.get(left, [None] * left.size)[i], rows.get(right, [None] * right.size)[j]
            new[o] = _sum(new[o], _sum(_scaled(x, values[right][j]), _scaled(y, values[left][i])))
            if x is not None and y is not None:
                values[w][o] = values[w][o] + flint.arb(0, size(x) * size(y))
        return new


def _apply(start: Start, x: Ball, row: list[Ball]) -> tuple[Ball, Symbols]:
    """f(x + d) = f(x) + f'(x) d + f''(somewhere between) d^2 / 2."""
    value, slope, _ = jet(start.function, x, start.parameters)
    far = size(row)
    bend = jet(start.function, x + flint.arb(0, far), start.parameters)[2]
    new, rounded = _tidy(_scaled(row, slope))
    square = far * far / 2  # d^2 lies between 0 and far^2
    return value + bend / 2 * (square + flint.arb(0, square)) + rounded, new


def _image(matrix: BallMatrix, rows: list[Symbols]) -> list[Any]:
    """Rows (of balls) of matrix times a vector."""
    if matrix.kind == 0:
        return [_scaled(row, matrix.number) for row in rows]
    if matrix.kind == 1:
        return [_scaled(row, a) for row, a in zip(rows, matrix.diagonal, strict=True)]
    if matrix.kind == 3:
        new = []
        for entries in matrix.rows:
            total: Any = None
            for j, a in entries:
                total = _sum(total, _scaled(rows[j], a))
            new.append(total)
        return new
    count = next(len(row) for row in rows if row is not None)
    flat = [x for row in rows for x in ([flint.arb(0)] * count if row is None else row)]
    product: list[Any] = (matrix.dense * flint.arb_mat(len(rows), count, flat)).tolist()
    return product


def _scaled(row: Any, factor: Ball) -> Any:
    return None if row is None else [x * factor for x in row]


def _sum(one: Any, other: Any) -> Any:
    if one is None or other is None:
        return other if one is None else one
    return [x + y for x, y in zip(one, other, strict=True)]


def _tidy(row: Any) -> tuple[Symbols, Ball | None]:
    """The row with exact entries, and a ball for what that leaves out."""
    if row is None:
        return None, None
    with working_precision(BITS):
        short = [x.mid() + 0 for x in row]
        lost = sum((abs(x - a.mid()) for x, a in zip(row, short, strict=True)), flint.arb(0))
    return [a.mid() for a in short], flint.arb(0, lost.upper())
