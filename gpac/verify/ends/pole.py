"""Where a solution ends: the states that run by themselves and grow without bound, and the time until they do.

A component with an equation of its own, y' = p(y) with p of degree k >= 2: w = 1/y obeys w' = -w^(2-k) P(w) with
P(w) = w^k p(1/w), and the time from w0 = 1/y to the pole at w = 0 is the integral of w^(k-2) / P(w) from 0 to w0. Arb's
rigorous quadrature encloses it, and fails where P has a zero on the way (then y tends to a limit instead).

Several states that run by themselves are followed in a chart in which infinity is a place like others (`chart`), as far
as `scout` says, by the same proven steps as any system, and from there on held in a box (`trap`).

States that only the rates of others read do not end before if their own rates are linear in them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import log
from typing import Any

import flint

from ...precision import working_precision
from ..balls import BallSeries, Values
from ..magnitude import dyadic
from ..matrix import Ball
from ..outcome import Limits, Reached
from ..slopes import Key
from .chart import CLOCK, Chart, charts, to_circuit
from .fold import folded
from .polynomials import TIME, Field, Polynomial, TooLarge, value
from .scout import Approach, attracts, scout
from .trap import split, time_left

MOST_CANDIDATES = 16
MOST_TOGETHER = 16
"""States up to which a blow-up is looked for in a chart."""
STAGES = (0.25, 0.5, 1.0)
"""How far a solution is followed in a chart: parts of the way to where the time left is below the rounding level."""
TRIAL_BITS = 64


@dataclass(frozen=True)
class Pole:
    """A ball with the time from now until some states are infinite; `all_exist` if the other states exist so long."""

    time: Ball
    all_exist: bool


class Poles:
    """The search in one part, whose rates are written as polynomials once."""

    def __init__(self, series: BallSeries, still: Values, keys: list[Key]) -> None:
        self.field, self.keys = Field(series, still, keys), keys

    def find(self, state: Values, t: Ball, end: Ball, limits: Limits) -> Pole | None:
        """The end of the solution that is in `state` at time t, if it can be shown to lie before `end`."""
        balls = {n: state[w][i] for n, (w, i) in enumerate(self.keys)} | {TIME: t}
        order = sorted(range(len(self.keys)), key=lambda n: -float(balls[n].abs_lower()))
        seen: list[set[int]] = []
        best: Pole | None = None
        for n in order[:MOST_CANDIDATES]:
            try:
                together = self.field.closure(n, MOST_TOGETHER)
                if set(together) in seen:
                    continue
                seen.append(set(together))
                rates = {i: self.field.of(i) for i in together}
            except TooLarge:
                continue
            balls |= self.field.constants
            time = _time_to_end(rates, {i: balls[i] for i in together}, end - t, limits)
            if time is None or not t + time < end:
                continue
            if self._others_exist(together):
                return Pole(time, True)
            if best is None or time < best.time:
                best = Pole(time, False)
        return best

    def _others_exist(self, ending: list[int]) -> bool:
        """Whether all other states exist as long as these: states that read each other do so linearly."""
        others = [n for n in range(len(self.keys)) if n not in ending]
        try:
            reads = {n: set(self.field.closure(n, 2 * len(self.keys) + 100)) for n in others}
            return all(
                sum(i in reads and n in reads[i] for i in monomial) <= 1
                for n in others
                for monomial in self.field.of(n)
            )
        except TooLarge:
            return False


def _time_to_end(rates: Mapping[int, Polynomial], state: Mapping[int, Ball], left: Ball, limits: Limits) -> Ball | None:
    moving = [n for n in rates if n >= TIME]
    if len(moving) == 1:
        return _quadrature(rates[moving[0]], moving[0], state)
    for chart in charts(rates, state):
        time = _time_in_chart(chart, left, limits)
        if time is not None:
            return time
    return None


def _quadrature(rate: Polynomial, n: int, state: Mapping[int, Ball]) -> Ball | None:
    """Time until y, variable number n, is infinite, for y' = sum p_j y^j; the other variables are constants."""
    k, y = max((monomial.count(n) for monomial in rate), default=0), state[n]
    p = [flint.arb(0)] * (k + 1)
    for monomial, c in rate.items():
        p[monomial.count(n)] += value({tuple(i for i in monomial if i != n): c}, state)
    if k < 2 or p[k].contains(0) or y.contains(0):
        return None
    reversed_p = flint.acb_poly(p[::-1])  # P(w)
    w0 = 1 / y

    def integrand(w: Any, _: bool) -> Any:
        return w ** (k - 2) / reversed_p(w)

    with working_precision(min(TRIAL_BITS, flint.ctx.prec)):  # a zero on the way shows here, and costs little
        if not flint.acb.integral(integrand, flint.acb(0), flint.acb(w0)).is_finite():
            return None
    found = flint.acb.integral(integrand, flint.acb(0), flint.acb(w0)).real
    return found if found.is_finite() and found > 0 else None


def _time_in_chart(chart: Chart, left: Ball, limits: Limits) -> Ball | None:
    """Follow the solution in a chart to where it can be held in a box."""
    from ..enclose import run

    approach = scout(chart)
    if approach is None or approach.point[CLOCK] > 1.001 * float((left / chart.unit).abs_upper()):
        return None
    fast, _ = split(chart)
    if not attracts(chart, fast, approach.point):
        flat = folded(chart, fast, approach.point)
        if flat is None:
            return None
        chart = flat
    quiet = replace(limits, goal=None, ends=False, last=None)
    time, here = None, 0.0
    for part in STAGES:
        there = _long_enough(approach, part * flint.ctx.prec / chart.m)
        if not there > here:
            continue
        circuit, given = to_circuit(chart)
        outcome = run(circuit, dyadic(there - here), given, quiet, lambda _: None)
        if not isinstance(outcome, Reached):
            return time
        chart, here = replace(chart, start={n: outcome.outputs[f"y{n}"][0] for n in chart.rates}), there
        rest = time_left(chart)
        if rest is not None:
            time = chart.unit * (chart.start[CLOCK] + rest)
            if rest.rad() <= 4 * chart.start[CLOCK].rad():
                break
    return time


def _long_enough(approach: Approach, bits: float) -> float:
    """The chart's time at which u should be 2**-bits."""
    return max(approach.tau / 2, approach.tau + (bits * log(2) + approach.log_u) / approach.rate)
