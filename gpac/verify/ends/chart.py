"""A chart of the space of states with infinity in it: the system of polynomials near a blow-up.

With weights a_j >= 0, one component k that is large and of sign s, and its size in u,

    y_k = s (b/u)^a_k,    y_j = x_j (b/u)^a_j,    dt = a_k (u/b)^m / f dtau,

where b and f are powers of two that make u and the rates about 1. If no monomial y^e of a rate p_j has a weight
sum a_i e_i above a_j + m, then q_j(x, u) = (u/b)^(a_j + m) p_j(y) are polynomials, and

    du/dtau = -s u q_k / f,    dx_j/dtau = (a_k q_j - a_j s x_j q_k) / f.

Infinity is u = 0. Where u tends to 0 there and the integral of u^m is finite, the solution ends. Weights 1 give the
Poincare compactification in one direction; for others see Matsue, "On blow-up solutions of differential equations
with Poincare-type compactifications", SIAM J. Appl. Dyn. Syst. 17 (2018) 2249-2288 (quasi-homogeneous case).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import gcd
from typing import Any

import flint

from ...circuit import Circuit
from ...wire import Start, Wire, constant, inputs, integral, linear, product, wire
from ..matrix import Ball
from .polynomials import TIME, Monomial, Polynomial, add, multiply, scaled, value

MOST_WEIGHT = 6
"""Largest weight of the component that is large."""
CLOCK = -2
"""Number of the variable that is the time passed, in the unit `Chart.unit`."""


@dataclass(frozen=True, eq=False)
class Chart:
    """The system in the chart: number `k` is u, the others x_j, and CLOCK the time since the start.

    `rates` and `start` are by number; `k` has the rate -u times `decay`. One unit of the clock is `unit`, and its rate
    is `pace` u^m, where `pace` is a number too. The variables `still` rest where u and the others are 0 (`fold`).
    """

    k: int
    m: int
    decay: Polynomial
    rates: dict[int, Polynomial]
    start: dict[int, Ball]
    pace: Ball
    unit: Ball
    still: tuple[int, ...] = ()


def charts(rates: Mapping[int, Polynomial], state: Mapping[int, Ball]) -> Iterator[Chart]:
    """Charts in which the solution through `state` may come near infinity, the most likely first.

    Near an end of type y_j ~ c_j (T - t)^(-a_j / m), logarithmic derivatives of y_j and y_k have the ratio a_j / a_k.
    """
    growth = _log_growth(rates, state)
    large = [n for n, g in growth.items() if g > 1 / (2 * MOST_WEIGHT) and not state[n].contains(0)]
    large.sort(key=lambda n: -float(abs(state[n]).log().mid() / growth[n]))
    for k in large[:3]:
        for weights in _weights({n: g / growth[k] for n, g in growth.items()}, k):
            m = _pace_of(rates, weights)
            if m > 0:
                yield _chart(rates, state, weights, k, m)


def _log_growth(rates: Mapping[int, Polynomial], state: Mapping[int, Ball]) -> dict[int, float]:
    """d log |y| / dt relative to the largest of these; numbers that prove nothing."""
    zero = flint.arb(0)
    found = {n: value(p, state).mid() / state[n].mid() for n, p in rates.items() if not state[n].mid().is_zero()}
    found = {n: found[n].mid() if n in found and found[n].is_finite() else zero for n in rates}
    top = max(found.values())
    return {n: float(g / top) if top > 0 else 0.0 for n, g in found.items()}


def _weights(ratios: Mapping[int, float], k: int) -> list[dict[int, int]]:
    """Integer weights in about these ratios, and such that have 1 in place of 0, best first; weights 1 last."""
    found: list[tuple[float, dict[int, int]]] = []
    for a in range(1, MOST_WEIGHT + 1):
        rounded = {n: max(0, min(4 * MOST_WEIGHT, round(r * a))) for n, r in ratios.items()}
        off = max(abs(rounded[n] / a - max(0.0, r)) for n, r in ratios.items())
        for least in (0, 1):
            weights = {n: max(w, least) if n >= TIME else 0 for n, w in rounded.items()}
            found.append((off + 0.01 * a + 0.3 * least, weights))
    found.sort(key=lambda pair: pair[0])
    kept: list[dict[int, int]] = []
    for weights in [*(w for _, w in found[:6]), {n: int(n >= TIME) for n in ratios}]:
        if weights not in kept and gcd(*weights.values()) == 1:
            kept.append(weights)
    return kept


def _pace_of(rates: Mapping[int, Polynomial], weights: Mapping[int, int]) -> int:
    """The least m for which the chart's rates are polynomials."""
    return max((sum(weights[i] for i in e) - weights[n] for n, p in rates.items() for e in p), default=0)


def _chart(
    rates: Mapping[int, Polynomial], state: Mapping[int, Ball], weights: dict[int, int], k: int, m: int
) -> Chart:
    sign = 1 if state[k] > 0 else -1
    a, size = weights[k], abs(state[k])
    b = _power_of_two((size.mid().log() / a).exp())
    q = {n: _in_chart(p, weights, weights[n] + m, k, sign, b) for n, p in rates.items()}
    u = b / (size if a == 1 else (size.log() / a).exp())
    start = {n: y * (u / b) ** weights[n] for n, y in state.items() if n != k} | {k: u}
    fastest = _power_of_two(max(abs(value(p, start)).abs_upper() for p in q.values()))
    q = {n: scaled(p, 1 / fastest) for n, p in q.items()}
    decay = scaled(q[k], sign)
    new = {
        n: add(scaled(q[n], a), multiply({(n,): flint.fmpq(-weights[n])}, decay) if weights[n] else {})
        for n in rates
        if n != k
    }
    new[k] = multiply({(k,): flint.fmpq(-1)}, decay)
    new[CLOCK] = {(k,) * m: flint.fmpq(a)}
    return Chart(k, m, decay, new, start | {CLOCK: flint.arb(0)}, flint.arb(a), 1 / flint.arb(b**m * fastest))


def _in_chart(p: Polynomial, weights: Mapping[int, int], top: int, k: int, sign: int, b: Any) -> Polynomial:
    """(u/b)^top p(y), where `top` is not below the weight of any monomial."""
    total: Polynomial = {}
    for monomial, c in p.items():
        below = top - sum(weights[i] for i in monomial)
        rest = [i for i in monomial if i != k]
        c = c * b ** (-below) * sign ** (len(monomial) - len(rest))
        total = add(total, {tuple(sorted(rest + [k] * below)): c})
    return total


def _power_of_two(size: Ball) -> Any:
    """The largest power of two that is not above a positive number."""
    man, exp = size.mid().man_exp()
    return flint.fmpq(2) ** (int(man).bit_length() + int(exp) - 1)


def to_circuit(chart: Chart) -> tuple[Circuit, dict[str, list[Ball]]]:
    """The chart's system as a circuit with an output "y<number>" per variable, and its inputs, the start values."""
    loops = {n: wire(f"y{n}") for n in chart.rates}
    known: dict[Monomial, Wire] = {}
    for n, p in chart.rates.items():
        first = Start("identity", inputs(f"start{n}"))
        loops[n].define(integral(_sum(p, loops, known), None, first, name=f"y{n}"))
    return Circuit({f"y{n}": w for n, w in loops.items()}), {f"start{n}": [b] for n, b in chart.start.items()}


def _sum(p: Polynomial, loops: Mapping[int, Wire], known: dict[Monomial, Wire]) -> Wire:
    """A polynomial as a wire."""
    numbers = {monomial: Fraction(int(c.p), int(c.q)) for monomial, c in p.items()}
    bias = numbers.pop((), Fraction(0))
    terms = [(c, _product(monomial, loops, known)) for monomial, c in numbers.items()]
    return linear(terms, bias) if terms else constant(bias)


def _product(factors: Sequence[int], loops: Mapping[int, Wire], known: dict[Monomial, Wire]) -> Wire:
    """The product of the variables, made of halves so that powers are shared."""
    factors = tuple(factors)
    if len(factors) == 1:
        return loops[factors[0]]
    if factors not in known:
        even = all(factors.count(n) % 2 == 0 for n in factors)
        left = factors[::2] if even else factors[: len(factors) // 2]
        right = left if even else factors[len(factors) // 2 :]
        known[factors] = product(_product(left, loops, known), _product(right, loops, known))
    return known[factors]
