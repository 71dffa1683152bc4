"""How far to follow a solution in a chart until it is as good as at infinity: in doubles, which prove nothing."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, log
from typing import Any

import numpy as np

from .chart import Chart
from .polynomials import derivative, in_floats

NEAR = 30.0
"""log of the factor by which u is to fall."""
LONGEST = 3000.0
"""Time in the chart after which nothing is expected any more; rates there are about 1 at the start."""
FAR = 1e6
"""Growth of the other variables at which the solution is said to leave the chart elsewhere."""
MOST_RATES = 3000
"""Evaluations of all rates that are spent."""
LEAST = 1e-3
"""Least rate at which the solution is to come near infinity, and other variables near their limits."""


@dataclass(frozen=True)
class Approach:
    """The chart's time at which log u is `log_u`, the rate at which that falls from there on, and the point reached."""

    tau: float
    log_u: float
    rate: float
    point: dict[int, float]


def scout(chart: Chart) -> Approach | None:
    """Follow the solution until u is small; None if it does not seem to become so."""
    from scipy.integrate import RK45

    others = [n for n in chart.rates if n != chart.k]
    place = {n: i for i, n in enumerate([*others, chart.k])}
    rates = [in_floats(chart.rates[n], place) for n in others]
    decay = in_floats(chart.decay, place)

    def point(z: Any) -> list[float]:
        return [*z[:-1].tolist(), exp(min(z[-1], 50.0))]

    def right_side(_: float, z: Any) -> list[float]:
        at = point(z)
        return [*(rate(at) for rate in rates), -decay(at)]

    start = [*(float(chart.start[n].mid()) for n in others), log(float(chart.start[chart.k].mid()))]

    far = FAR * (1 + max(map(abs, start)))
    if not np.isfinite(start).all() or not np.isfinite(right_side(0.0, np.array(start))).all():
        return None
    with np.errstate(all="ignore"):
        run = RK45(right_side, 0.0, start, LONGEST, rtol=1e-6, atol=1e-9, first_step=1e-3)
        while run.y[-1] > start[-1] - NEAR:
            if run.step() or run.status != "running" or run.nfev > MOST_RATES or not np.abs(run.y).max() < far:
                return None
    z = run.y
    at = point(z)
    rate = decay(at)
    return Approach(float(run.t), float(z[-1]), rate, dict(zip(place, at, strict=True))) if rate > LEAST else None


def attracts(chart: Chart, fast: list[int], point: dict[int, float]) -> bool:
    """Whether all eigenvalues of the Jacobian of the variables `fast` seem to have a negative real part."""
    if not fast:
        return True
    place, at = {n: i for i, n in enumerate(point)}, list(point.values())
    jacobian = [[in_floats(derivative(chart.rates[n], i), place)(at) for i in fast] for n in fast]
    return bool(np.isfinite(jacobian).all() and np.linalg.eigvals(np.array(jacobian)).real.max() < -LEAST)
