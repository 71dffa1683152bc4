"""How far to follow a solution in a chart until it is as good as at infinity: in doubles, which prove nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import exp, inf, log
from typing import Any

import flint
import numpy as np

from .chart import CLOCK, Chart
from .polynomials import Polynomial, derivative

NEAR = 30.0
"""log of the factor by which u is to fall."""
LONGEST = 3000.0
"""Time in the chart after which nothing is expected any more; rates there are about 1 at the start."""
FAR = 1e6
"""Growth of the other variables at which the solution is said to leave the chart elsewhere."""
MOST_RATES = 10_000
"""Evaluations of all rates that are spent."""
LEAST = 1e-3
"""Least rate at which the solution is to come near infinity."""


@dataclass(frozen=True)
class Approach:
    """The chart's time at which log u is `log_u`, the rate at which that falls from there on, and the clock then."""

    tau: float
    log_u: float
    rate: float
    clock: float


def scout(chart: Chart, fast: list[int]) -> Approach | None:
    """Follow the solution until u is small; None if it does not seem to tend to an attracting point at infinity."""
    from scipy.integrate import RK45

    others = [n for n in chart.rates if n != chart.k]
    place = {n: i for i, n in enumerate([*others, chart.k])}
    rates = [_in_floats(chart.rates[n], place) for n in others]
    decay = _in_floats(chart.decay, place)

    def point(z: Any) -> list[float]:
        return [*z[:-1].tolist(), exp(min(z[-1], 50.0))]

    def right_side(_: float, z: Any) -> list[float]:
        at = point(z)
        return [*(rate(at) for rate in rates), -decay(at)]

    start = [*(float(chart.start[n].mid()) for n in others), log(float(chart.start[chart.k].mid()))]

    far = FAR * (1 + max(map(abs, start)))
    with np.errstate(all="ignore"):
        run = RK45(right_side, 0.0, start, LONGEST, rtol=1e-8, atol=1e-10)
        while run.y[-1] > start[-1] - NEAR:
            if run.step() or run.status != "running" or run.nfev > MOST_RATES or not np.abs(run.y).max() < far:
                return None
    z = run.y
    at = point(z)
    rate = decay(at)
    if not rate > LEAST or _pace(chart, fast, place, at) > -LEAST:
        return None
    return Approach(float(run.t), float(z[-1]), rate, float(z[place[CLOCK]]))


def _pace(chart: Chart, fast: list[int], place: dict[int, int], at: list[float]) -> float:
    """The largest real part of the eigenvalues of the Jacobian of the variables `fast`."""
    if not fast:
        return -inf
    jacobian = [[_in_floats(derivative(chart.rates[n], i), place)(at) for i in fast] for n in fast]
    return float(np.linalg.eigvals(np.array(jacobian)).real.max()) if np.isfinite(jacobian).all() else inf


def _in_floats(p: Polynomial, place: dict[int, int]) -> Callable[[list[float]], float]:
    terms = [(float(flint.arb(c).mid()), [place[n] for n in monomial]) for monomial, c in p.items()]

    def value(at: list[float]) -> float:
        total = 0.0
        for c, factors in terms:
            for i in factors:
                c *= at[i]
            total += c
        return total

    return value
