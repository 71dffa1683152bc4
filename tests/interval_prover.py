"""A small second prover: interval Taylor steps with Picard's a-priori box, in mpmath's intervals.

Shares nothing with `gpac.prove` but the equations: another arithmetic (directed rounding instead of Arb balls), another
bound on what a step leaves out. Plain intervals, so it is for few variables and short times.
Source: Moore 1966, as in Nedialkov, Jackson and Corliss, Appl. Math. Comput. 105 (1999) 21-68, sections 3 and 5.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from mpmath.ctx_iv import MPIntervalContext

from gpac import PIVP

Interval = Any
Rates = list[list[tuple[Interval, list[int]]]]
"""Of each variable: monomials as (coefficient, the variables multiplied)."""

TRIES = 12
SHORTEST = Fraction(1, 2**20)


def enclose(system: PIVP, t: Fraction, bits: int = 160, order: int = 24) -> list[Interval]:
    """Intervals that contain every variable at time t > 0; rational start values. Raises if no box closes."""
    iv = MPIntervalContext()
    iv.prec = bits
    rates: Rates = [
        [(_interval(iv, c), [v for v, n in enumerate(m) for _ in range(n)]) for m, c in p.terms()]
        for p in system.polynomials
    ]
    state, rest = [_interval(iv, v) for v in system.initial], t
    while rest:
        state, moved = _step(iv, rates, state, rest, order)
        rest -= moved
    return state


def _step(iv: Any, rates: Rates, state: list, rest: Fraction, order: int) -> tuple[list, Fraction]:
    """The state after one step, and the step: the longest that is found whose remainder is small."""
    known = _series(iv, rates, state, order - 1)
    goal = iv.mpf(2) ** (-3 * iv.prec // 4) * (1 + sum(abs(y).b for y in state))
    step = min(rest, _guess(iv, known, goal, order))
    while step > min(SHORTEST, rest / 2):
        h = _interval(iv, step)
        box = _box(iv, rates, state, h)
        if box is not None:
            last = [y[order] for y in _series(iv, rates, box, order)]
            left_out = [h**order * c for c in last]
            if all(r.delta.b <= goal.b for r in left_out):
                sums = [sum((c * h**k for k, c in enumerate(y)), iv.mpf(0)) for y in known]
                return [a + r for a, r in zip(sums, left_out, strict=True)], step
        step /= 2
    raise ArithmeticError(f"no step closes a box; {float(rest)} of the time is left")


def _guess(iv: Any, known: list, goal: Interval, order: int) -> Fraction:
    """The power of two at which the last known terms are about as large as the goal."""
    size = max(abs(c).b for y in known for c in y[order // 2 :])
    if not size:
        return Fraction(2**30)
    root = (iv.log(goal / size) / (iv.log(2) * (order - 1))).a
    return Fraction(2) ** max(-200, min(30, int(root) - 1))


def _box(iv: Any, rates: Rates, state: list, h: Interval) -> list | None:
    """A box that holds every solution over the step: Picard's operator maps it into itself. None if none is found."""
    within = iv.mpf([0, h.b])
    box = list(state)
    for _ in range(TRIES):
        image = [y + within * p for y, p in zip(state, _values(iv, rates, box), strict=True)]
        if all(new in old for new, old in zip(image, box, strict=True)):
            return image
        box = [y + iv.mpf([-1, 1]) * (y.delta.b / 8 + 2.0**-50) for y in image]
    return None


def _values(iv: Any, rates: Rates, box: list) -> list[Interval]:
    """The right sides over a box."""
    values = []
    for terms in rates:
        total = iv.mpf(0)
        for coefficient, factors in terms:
            term = coefficient
            for v in factors:
                term = term * box[v]
            total = total + term
        values.append(total)
    return values


def _series(iv: Any, rates: Rates, start: list, order: int) -> list[list[Interval]]:
    """Taylor coefficients 0..order of every variable, from values or a box."""
    y = [[v] for v in start]
    partial: list[list[list[list[Interval]]]] = [[[[] for _ in factors] for _, factors in terms] for terms in rates]
    for k in range(order):
        for v, terms in enumerate(rates):
            total = iv.mpf(0)
            for (coefficient, factors), products in zip(terms, partial[v], strict=True):
                total = total + coefficient * _next(iv, y, factors, products, k)
            y[v].append(total / (k + 1))
    return y


def _next(iv: Any, y: list, factors: list[int], products: list[list], k: int) -> Interval:
    """Coefficient k of a monomial; `products` keeps the series of its partial products."""
    value = iv.mpf(1 if k == 0 else 0)
    for j, v in enumerate(factors):
        value = y[v][k] if j == 0 else sum((products[j - 1][i] * y[v][k - i] for i in range(k + 1)), iv.mpf(0))
        products[j].append(value)
    return value


def _interval(iv: Any, number: Any) -> Interval:
    return iv.mpf(int(number.numerator)) / int(number.denominator)
