"""Charts in which the points at infinity that attract a solution form a surface: coordinates in which it is flat.

Where infinitely many points attract, as for matrix Riccati equations (whose solutions blow up along matrices of rank
one, in any direction), some eigenvalues of the Jacobian there are 0. If the surface is a graph w = h(z) of polynomials
of degree at most 2 with rational coefficients, they are found by a fit in doubles and verified exactly. With w - h(z)
in place of w, all rates of z and of w have a factor u or w in every term: the points u = 0, w = 0 are at rest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import combinations, combinations_with_replacement
from typing import Any

import flint
import numpy as np

from .chart import Chart
from .polynomials import Monomial, Polynomial, add, compose, derivative, in_floats, multiply, scaled, value, variables

MOST_SUBSETS = 80
REST = 1e-6
"""Eigenvalues below this count as 0."""
LARGEST_DENOMINATOR = 64


def folded(chart: Chart, fast: Sequence[int], point: Mapping[int, float]) -> Chart | None:
    """The chart with flat coordinates near a point at infinity; None if no such surface is found there."""
    limit = {n: {e: c for e, c in chart.rates[n].items() if chart.k not in e} for n in fast}
    place = {n: i for i, n in enumerate(point)}
    at = list(point.values())
    jacobian = np.array([[in_floats(derivative(limit[n], i), place)(at) for i in fast] for n in fast])
    if not np.isfinite(jacobian).all():
        return None
    real = np.linalg.eigvals(jacobian).real
    size = int((real < -REST).sum())
    if real.max() > REST or not 0 < size < len(fast):
        return None
    for number, w in enumerate(combinations(fast, size)):
        if number >= MOST_SUBSETS:
            break
        z = sorted({n for p in limit.values() for n in variables(p)} - set(w))
        graph = _graph(limit, w, z, point)
        if graph is not None and not any(compose(p, graph) for p in limit.values()):
            return _flat(chart, graph, [n for n in fast if n not in w])
    return None


def _graph(
    limit: Mapping[int, Polynomial], w: Sequence[int], z: Sequence[int], point: Mapping[int, float]
) -> dict[int, Polynomial] | None:
    """Polynomials of z that the rest points seem to have as coordinates w."""
    monomials: list[Monomial] = [e for d in range(3) for e in combinations_with_replacement(z, d)]
    place = {n: i for i, n in enumerate([*w, *z])}
    rates = [in_floats(p, place) for p in limit.values()]
    slopes = [[in_floats(derivative(p, n), place) for n in w] for p in limit.values()]
    rng = np.random.default_rng(1)
    rows, images = [], []
    for _ in range(len(monomials) + 4):
        here = [point[n] + 0.1 * max(1.0, abs(point[n])) * rng.uniform(-1, 1) for n in z]
        found = _at_rest(rates, slopes, [point[n] for n in w], here)
        if found is None:
            return None
        rows.append([float(np.prod([here[z.index(n)] for n in e])) for e in monomials])
        images.append(found)
    a, b = np.array(rows), np.array(images)
    fit = np.linalg.lstsq(a, b, rcond=None)[0]
    if not np.abs(a @ fit - b).max() < 1e-7:
        return None
    return {n: _rational(dict(zip(monomials, fit[:, i], strict=True))) for i, n in enumerate(w)}


def _at_rest(rates: list[Any], slopes: list[list[Any]], w: list[float], z: list[float]) -> list[float] | None:
    """Gauss-Newton for w where all rates vanish."""
    here = np.array(w)
    for _ in range(30):
        at = [*here.tolist(), *z]
        miss = np.array([rate(at) for rate in rates])
        jacobian = np.array([[slope(at) for slope in row] for row in slopes])
        if not (np.isfinite(miss).all() and np.isfinite(jacobian).all()):
            return None
        step = np.linalg.lstsq(jacobian, miss, rcond=None)[0]
        here = here - step
        if np.abs(step).max() < 1e-12:
            found: list[float] = here.tolist()
            return found if np.abs(miss).max() < 1e-9 else None
    return None


def _rational(coefficients: Mapping[Monomial, float]) -> Polynomial:
    """Coefficients as fractions with small denominators."""
    near = {e: Fraction(float(c)).limit_denominator(LARGEST_DENOMINATOR) for e, c in coefficients.items()}
    return {e: flint.fmpq(c.numerator, c.denominator) for e, c in near.items() if c}


def _flat(chart: Chart, graph: Mapping[int, Polynomial], z: Sequence[int]) -> Chart:
    """The chart in the coordinates w - h(z); `z` do not move where u and w are 0."""
    parts = {n: add(h, {(n,): flint.fmpq(1)}) for n, h in graph.items()}
    rates = {n: compose(p, parts) for n, p in chart.rates.items()}
    start = dict(chart.start)
    for n, h in graph.items():
        start[n] = start[n] - value(h, chart.start)
        for i in variables(h):
            rates[n] = add(rates[n], scaled(multiply(derivative(h, i), compose(chart.rates[i], parts)), -1))
    return replace(chart, decay=compose(chart.decay, parts), rates=rates, start=start, still=tuple(z))
