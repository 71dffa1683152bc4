"""How the distance from a centre spreads over one step: componentwise logarithmic norms.

The prover follows one exact point, the centre, and knows that every solution in question is within r of it,
component by component. Over a step, |y_i - centre_i| grows no faster than the solution of

    r_i' = J_ii r_i + sum over j != i of |J_ij| r_j + g_i,

with J_ii the upper end and |J_ij| the largest magnitude of the Jacobian over a tube around the centre's path,
and g_i what uncertain constants contribute. A negative J_ii shrinks r, which plain ball arithmetic cannot see.
Source: Dahlquist 1959, Lozinskii 1958; the componentwise form is Mueller's comparison theorem (1927).
"""

from __future__ import annotations

from typing import Any, TypeAlias

import flint

from ..exact import to_arb
from ..wire import Integral, Linear, Product, Time, Wire
from .balls import BallSeries, Group, Values
from .matrix import Ball

BITS = 64
TERMS = 80
NEGLIGIBLE = 2**40
TRIES = 12
OUTSIDE = -1
"""Column of the gradient that collects what uncertain constants contribute."""

Row: TypeAlias = dict[int, Any]
"""A sparse gradient: column to ball."""


def spread(
    series: BallSeries,
    group: Group,
    still: Values,
    path: Values,
    t: Ball,
    h: Ball,
    radii: dict[tuple[Wire, int], Ball],
) -> dict[tuple[Wire, int], Ball] | None:
    """Bounds on |y - centre| at the end of a step from bounds at its start; None if no tube closes.

    Parameters
    ----------
    still : balls of the constant units that the group reads
    path : balls that contain the centre's solution over the whole step, by integrator entry
    t : ball that contains all times of the step
    h : ball, length of the step
    radii : exact balls, by integrator entry
    """
    keys = list(radii)
    start = [radii[k] for k in keys] + [flint.arb(1)]
    with flint.ctx.workprec(BITS):
        room = [_more(r) for r in start[:-1]]
        for _ in range(TRIES):
            tube = _Tube(series, group, still, path, t, dict(zip(keys, room, strict=True)))
            matrix = tube.growth(keys)
            if matrix is None:
                return None
            anywhere = _flow([_without_decay(row, i) for i, row in enumerate(matrix)], start, h)
            if anywhere is None:
                return None
            if all(a < b for a, b in zip(anywhere, room, strict=False)):
                end = _flow(matrix, start, h)
                return None if end is None else dict(zip(keys, end[:-1], strict=True))
            room = [_more(a) for a in anywhere[:-1]]
    return None


def _more(r: Ball) -> Ball:
    return (2 * r + flint.arb(2) ** -4000).upper()


def _without_decay(row: Row, i: int) -> Row:
    return row | {i: flint.arb(0)} if i in row and row[i] < 0 else row


def _flow(matrix: list[Row], start: list[Ball], h: Ball) -> list[Ball] | None:
    """Upper bound on exp(h M) start for M >= 0 off the diagonal: exp(-a h) times the series of exp(h (M + a))."""
    shift = _largest([flint.arb(0), *(-row[i] for i, row in enumerate(matrix) if i in row)])
    rows = [
        [
            (j, ((a + shift if j == i else a) * h).upper())
            for j, a in (row if i in row else row | {i: flint.arb(0)}).items()
        ]
        for i, row in enumerate(matrix)
    ]
    term, total = start, list(start)
    for k in range(1, TERMS + 1):
        term = _scaled_image(rows, term, k)
        total = [(a + b).upper() for a, b in zip(total, term, strict=True)]
        if all(b * NEGLIGIBLE <= a for a, b in zip(total, term, strict=True)):
            break
    rest = _remaining(rows, term, k)
    if rest is None:
        return None
    factor = (-shift * h).exp()
    return [((a + b) * factor).upper() for a, b in zip(total, rest, strict=True)]


def _remaining(rows: list[list[tuple[int, Ball]]], term: list[Ball], k: int) -> list[Ball] | None:
    """Bound on the terms after the k-th: they halve each time, so together they are at most the last one."""
    following = _scaled_image(rows, term, k + 1)
    if all(2 * b <= a for a, b in zip(term, following, strict=True)):
        return term
    norm = _largest([sum((a for _, a in row), flint.arb(0)) for row in rows])
    return [_largest(term)] * len(term) if 2 * norm <= k + 1 else None


def _largest(balls: list[Ball]) -> Ball:
    """An exact ball that no ball given exceeds."""
    largest = balls[0]
    for ball in balls[1:]:
        largest = largest.max(ball)
    return largest.upper()


def _scaled_image(rows: list[list[tuple[int, Ball]]], vector: list[Ball], k: int) -> list[Ball]:
    return [(sum((a * vector[j] for j, a in row), flint.arb(0)) / k).upper() for row in rows]


class _Tube:
    """Values, rates and gradients of all units over a box around the path."""

    def __init__(
        self,
        series: BallSeries,
        group: Group,
        still: Values,
        path: Values,
        t: Ball,
        room: dict[tuple[Wire, int], Ball],
    ) -> None:
        self.series, self.group = series, group
        self.column = {key: n for n, key in enumerate(room)}
        zero = flint.arb(0)
        self.value: dict[Wire, list[Any]] = dict(still)
        self.gradient: dict[Wire, list[Any]] = {w: [_uncertain(b) for b in balls] for w, balls in still.items()}
        self.rate: dict[Wire, list[Any]] = {w: [zero] * len(b) for w, b in still.items()}
        self.rate_gradient: dict[Wire, list[Any]] = {w: [{}] * len(b) for w, b in still.items()}
        for w in group:
            self.value[w], self.gradient[w] = [None] * w.size, [None] * w.size
            self.rate[w], self.rate_gradient[w] = [None] * w.size, [None] * w.size
        for w, entries in group.items():
            if isinstance(w, Integral):
                for i in entries:
                    self.value[w][i] = path[w][i] + flint.arb(0, room[w, i])
                    self.gradient[w][i] = {self.column[w, i]: flint.arb(1)}
        for w, entries in group.items():
            for i in entries:
                self._value(w, i, t)
        for w, entries in group.items():
            for i in entries:
                self._rate(w, i)

    def growth(self, keys: list[tuple[Wire, int]]) -> list[Row] | None:
        """Rows of M, with the contribution of constants as a last column; None where a number is not finite."""
        m = len(keys)
        rows: list[Row] = []
        for n, (w, i) in enumerate(keys):
            row: Row = {}
            for j, ball in self.rate_gradient[w][i].items():
                if not ball.is_finite():
                    return None
                row[m if j == OUTSIDE else j] = ball.upper() if j == n else ball.abs_upper()
            rows.append(row)
        return [*rows, {}]

    def _value(self, w: Wire, i: int, t: Ball) -> None:
        if isinstance(w, Time):
            self.value[w][i], self.gradient[w][i] = t, {}
        elif isinstance(w, Linear):
            self.value[w][i], self.gradient[w][i] = self._combine(w, i, self.value, self.gradient)
            if w.bias is not None:
                self.value[w][i] = self.value[w][i] + to_arb(w.bias[i])
        elif isinstance(w, Product):
            total, slope = flint.arb(0), Row()
            for left, j, right, k in self._factors(w, i):
                x, y = self.value[left][j], self.value[right][k]
                total = total + x * y
                _add(slope, self.gradient[left][j], y)
                _add(slope, self.gradient[right][k], x)
            self.value[w][i], self.gradient[w][i] = total, slope

    def _rate(self, w: Wire, i: int) -> None:
        slope = Row()
        if isinstance(w, Time):
            total = flint.arb(1)
        elif isinstance(w, Linear):
            total, slope = self._combine(w, i, self.rate, self.rate_gradient)
        elif isinstance(w, Integral):
            u, v = self.series.sides[w]
            j, k = i if u.size > 1 else 0, i if v.size > 1 else 0
            total = self.value[u][j] * self.rate[v][k]
            _add(slope, self.gradient[u][j], self.rate[v][k])
            _add(slope, self.rate_gradient[v][k], self.value[u][j])
        else:
            total = flint.arb(0)
            for left, j, right, k in self._factors(w, i):
                x, y, dx, dy = self.value[left][j], self.value[right][k], self.rate[left][j], self.rate[right][k]
                total = total + dx * y + x * dy
                _add(slope, self.rate_gradient[left][j], y)
                _add(slope, self.rate_gradient[right][k], x)
                _add(slope, self.gradient[right][k], dx)
                _add(slope, self.gradient[left][j], dy)
        self.rate[w][i], self.rate_gradient[w][i] = total, slope

    def _combine(self, w: Linear, i: int, values: dict[Wire, list[Any]], slopes: dict[Wire, list[Any]]) -> Any:
        total, slope = flint.arb(0), Row()
        for matrix, operand in self.series.matrices[w]:
            for j, a in matrix.row(i):
                total = total + a * values[operand][j]  # an entry not followed is None, and stops the proof here
                _add(slope, slopes[operand][j], a)
        return total, slope

    def _factors(self, w: Any, i: int) -> list[tuple[Wire, int, Wire, int]]:
        left, right = self.series.sides[w]
        if w.einsum is None:
            return [(left, i if left.size > 1 else 0, right, i if right.size > 1 else 0)]
        return [(left, j, right, k) for o, j, k in self.series.pairs[w] if o == i]


def _uncertain(ball: Ball | None) -> Row:
    if ball is None:
        return {}
    radius = ball.rad()
    return {OUTSIDE: flint.arb(0, radius)} if radius > 0 else {}


def _add(total: Row, row: Row, factor: Ball) -> None:
    """total += factor * row."""
    for j, a in row.items():
        total[j] = total[j] + factor * a if j in total else factor * a
