"""What happens to a solution that is near infinity: a box that it does not leave, and the time until it ends.

In a chart (`chart`), let u' = -u Q, and let the other variables be slow ones z, whose rates are u R(x, u), and fast
ones w. Around the centre c of the ball in which w is, let P be a positive matrix, |w|_P^2 = w^T P w, and B the box

    0 <= u <= e,    |z - z1| <= s,    |w - c|_P <= r.

If on B (bounds of polynomials in balls)

    Q >= q > 0,    |R| <= R*,    P A + A^T P <= -2 p P with p > 0 for A = dw'/dw,    |w'(c, z, u)|_P <= g,

then while a solution is in B, u falls like exp(-q tau) at least, so z moves by e R* / q at most; and the derivative of
|w - c|_P is at most -p |w - c|_P + g, so |w - c|_P is at most max(r1, g / p). If that lies inside of B, no solution
that starts with u <= e in the balls leaves B, u tends to 0, and the time left, the integral of u^m, lies between
u1^m / (m max Q) and u1^m / (m q).

Where the rates of z have terms with a factor w_i as well (`fold`), all terms of the rates of w have a factor u or w_j,
and c = 0. Then |w|_P has the derivative -p |w|_P + u G at most, and so the integral (|w1|_P + G e / q) / p at most.

See Takayasu, Matsue, Sasaki, Tanaka, Mizuguchi, Oishi, "Numerical validation of blow-up solutions of ordinary
differential equations", J. Comput. Appl. Math. 314 (2017) 10-29, for such an argument with a Lyapunov function.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import flint
import numpy as np

from ..matrix import Ball
from .chart import CLOCK, Chart
from .polynomials import Polynomial, derivative, divided, value

TRIES = 8
SLOWEST = 1e-6
"""Rate at which fast variables come near their limits at least, where rates are about 1."""


def split(chart: Chart) -> tuple[list[int], list[int]]:
    """The fast and the slow variables besides u."""
    others = [n for n in chart.rates if n not in (chart.k, CLOCK)]
    slow = [n for n in others if n in chart.still or all(chart.k in monomial for monomial in chart.rates[n])]
    return [n for n in others if n not in slow], slow


@dataclass(frozen=True, eq=False)
class _Norm:
    """|w|_P, and the radii of coordinates in its unit ball; the matrix itself as floats and as balls."""

    p: Any
    radii: list[Ball]

    def size(self, w: list[Ball]) -> Ball:
        """Upper bound on |w|_P."""
        if not w:
            return flint.arb(0)
        column = flint.arb_mat(len(w), 1, [x.abs_upper() for x in w])
        absolute = flint.arb_mat(len(w), len(w), [x.abs_upper() for x in self.p.entries()])
        return (column.transpose() * absolute * column)[0, 0].abs_upper().sqrt().upper()


def time_left(chart: Chart) -> Ball | None:
    """A ball with the time (of the chart's clock) from its start until the solution ends; None if that is not shown."""
    fast, slow = split(chart)
    state = chart.start
    k, u1 = chart.k, state[chart.k]
    jacobian = {(i, j): derivative(chart.rates[i], j) for i in fast for j in fast}
    norm = _norm(jacobian, fast, state)
    if norm is None or (chart.still and any({k, *fast}.isdisjoint(e) for n in fast for e in chart.rates[n])):
        return None
    e, zero = u1.abs_upper(), flint.arb(0)
    centre = {n: zero if chart.still else state[n].mid() for n in fast}
    first = {n: state[n].rad() for n in slow}, norm.size([state[n] - centre[n] for n in fast])
    moved, r = dict(first[0]), first[1]
    for _ in range(TRIES):
        moved, r = {n: _more(x) for n, x in moved.items()}, _more(r)
        at_centre = centre | {n: state[n].mid() + flint.arb(0, moved[n]) for n in slow} | {k: zero.union(e)}
        box = at_centre | {n: centre[n] + flint.arb(0, r * x) for n, x in zip(fast, norm.radii, strict=True)}
        q = value(chart.decay, box)
        p = _contraction(jacobian, fast, norm, box)
        if not q > 0 or p is None:
            return None
        lengths = {k: e / q.lower()}
        if chart.still:
            pushed = [value(divided(chart.rates[n], k), at_centre) for n in fast]
            length = (first[1] + norm.size(pushed) * lengths[k]) / p
            lengths |= {n: length * x for n, x in zip(fast, norm.radii, strict=True)}
        far = {n: first[0][n] + _way(chart.rates[n], lengths, box) for n in slow}
        g = norm.size([value(chart.rates[n], at_centre) for n in fast])
        reach = (g / p).upper().max(first[1]) if fast else zero
        if all(far[n] < moved[n] for n in slow) and (not fast or reach < r):
            low = u1.lower().max(zero)
            return chart.pace * (low**chart.m / q.upper()).union(e**chart.m / q.lower()) / chart.m
        moved, r = {n: far[n].upper() for n in slow}, reach.upper()
    return None


def _way(rate: Polynomial, lengths: Mapping[int, Ball], box: Mapping[int, Ball]) -> Ball:
    """Bound on the integral of |rate|, all of whose terms have a factor whose own integral is in `lengths`."""
    total, rest = flint.arb(0), rate
    for n, length in lengths.items():
        total += value(divided(rest, n), box).abs_upper() * length
        rest = {monomial: c for monomial, c in rest.items() if n not in monomial}
    return total if not rest else flint.arb.pos_inf()


def _more(x: Ball) -> Ball:
    return (2 * x + flint.arb(2) ** -flint.ctx.prec).upper()


def _norm(jacobian: dict[tuple[int, int], Polynomial], fast: list[int], state: Mapping[int, Ball]) -> _Norm | None:
    """P with A^T P + P A = -1 at the middles, in doubles taken as exact numbers; None where P is not positive."""
    from scipy.linalg import solve_continuous_lyapunov

    if not fast:
        return _Norm(None, [])
    a = np.array([[float(value(jacobian[i, j], state).mid()) for j in fast] for i in fast])
    if not np.isfinite(a).all() or np.linalg.eigvals(a).real.max() > -SLOWEST:
        return None
    p = solve_continuous_lyapunov(a.T, -np.eye(len(a)))
    p = (p + p.T) / 2
    exact = flint.arb_mat(len(a), len(a), p.ravel().tolist())
    if not _positive(exact):
        return None
    inverse = exact.inv()
    return _Norm(exact, [inverse[i, i].abs_upper().sqrt().upper() for i in range(len(a))])


def _contraction(
    jacobian: dict[tuple[int, int], Polynomial], fast: list[int], norm: _Norm, box: Mapping[int, Ball]
) -> Ball | None:
    """A number p > 0 with P A + A^T P <= -2 p P for all A on the box; None if none is found."""
    if not fast:
        return flint.arb(1)
    n = len(fast)
    a = flint.arb_mat(n, n, [value(jacobian[i, j], box) for i in fast for j in fast])
    both = norm.p * a
    both = both + both.transpose()
    largest = float(np.linalg.eigvalsh(np.array([[float(norm.p[i, j]) for j in range(n)] for i in range(n)])).max())
    for part in (0.45, 0.25, 0.05):
        p = flint.arb(part / largest)
        if _positive(-(both + 2 * p * norm.p)):
            return p
    return None


def _positive(a: Any) -> bool:
    """Whether a symmetric matrix (of balls) is positive for certain: all pivots of its elimination are."""
    n = a.nrows()
    rows = [[a[i, j] for j in range(n)] for i in range(n)]
    for i in range(n):
        if not rows[i][i] > 0:
            return False
        for j in range(i + 1, n):
            factor = rows[j][i] / rows[i][i]
            rows[j] = [x - factor * y for x, y in zip(rows[j], rows[i], strict=True)]
    return True
