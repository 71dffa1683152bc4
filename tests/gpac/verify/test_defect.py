"""How far a step's polynomials are from what units make of each other, against evaluation at sampled times."""

from fractions import Fraction

import flint
import numpy as np
import pytest
import scipy.sparse
import sympy
from gpac.verify.defect import misses

import gpac
from gpac import PIVP, Circuit, bilinear, integral, linear, product, wire
from gpac import functions as fn
from gpac.exact import to_arb
from gpac.verify.balls import BallSeries, groups, still_entries
from gpac.wire import Integral, Linear, Product, Time

Y, Z = sympy.symbols("y z")


def _layers(make) -> Circuit:
    u = fn.tanh(linear([(np.array([[1.0], [-2.0], [0.5]]), gpac.time())]))
    v = fn.tanh(linear([(make([[1.0, 2.0, 0.0], [0.0, -1.0, 3.0]]), u)], [Fraction(1, 3), sympy.pi / 4]))
    return Circuit({"v": v})


def _matrix_square() -> Circuit:
    y = wire("Y", 4)
    y.define(integral(bilinear("ij,jk->ik", y, y, (2, 2), (2, 2)), None, [0.5, 1, -1, 0.25], name="Y"))
    return Circuit({"Y": y})


def _broadcast() -> Circuit:
    s, y = fn.sin(gpac.time()), wire("y", 3)
    y.define(integral(product(s, y), product(s, s), [1, 2, Fraction(-1, 3)], name="y"))
    return Circuit({"y": y})


CASES = {
    "tan": (PIVP({Y: 1 + Y**2}, {Y: 0}).to_circuit(), 0.5),
    "two": (PIVP({Y: Y * Z, Z: 1 - Y**2 - Z**3 / 3}, {Y: 1, Z: -1}).to_circuit(), 0.2),
    "dense layers": (_layers(np.array), 0.1),
    "sparse layers": (_layers(scipy.sparse.csr_matrix), 0.1),
    "matrix square": (_matrix_square(), 0.1),
    "broadcast": (_broadcast(), 0.4),
}


def at(series: list, s) -> tuple:
    """A polynomial and its derivative."""
    value = sum((b * s**k for k, b in enumerate(series)), flint.arb(0))
    return value, sum((k * b * s ** (k - 1) for k, b in enumerate(series) if k), flint.arb(0))


def made(series: BallSeries, w, i: int, values: dict) -> tuple:
    """What unit w makes of its operands' values and rates: its own; an integrator makes a rate only."""
    if isinstance(w, Time):
        return values[w][i][0], flint.arb(1)
    if isinstance(w, Linear):
        value = flint.arb(0) if w.bias is None else to_arb(w.bias[i])
        rate = flint.arb(0)
        for matrix, x in series.matrices[w]:
            for j, a in matrix.row(i):
                if not a.is_zero():
                    value, rate = value + a * values[x][j][0], rate + a * values[x][j][1]
        return value, rate
    left, right = series.sides[w]
    if isinstance(w, Integral):
        place = [i if x.size > 1 else 0 for x in (left, right)]
        return None, values[left][place[0]][0] * values[right][place[1]][1]
    assert isinstance(w, Product)
    value = rate = flint.arb(0)
    for o, j, k in series.pairs[w]:
        if o == i:
            (x, dx), (y, dy) = values[left][j], values[right][k]
            value, rate = value + x * y, rate + dx * y + x * dy
    return value, rate


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize(("order", "bits"), [(8, 200), (40, 80)])
def test_every_unit_misses_at_most_what_is_said(name, order, bits):
    """At low order terms left out are missed, at low precision roundings."""
    circuit, h = CASES[name]
    with flint.ctx.workprec(bits):
        series = BallSeries(circuit, {})
        start = {w: [b.mid() for b in entries] for w, entries in series.start().items()}
        parts = []
        for group in groups(series):
            still = {w: [b and b.mid() for b in e] for w, e in still_entries(series, group).items()}
            radii: dict = {}
            c = series.expand(start, flint.arb(0), order, group, still, radii)
            assert all(b.is_exact() for w in group for i in group[w] for b in c[w][i])
            parts.append((c, misses(series, c, radii, flint.arb(h), order, group)))
    largest = 0.0
    with flint.ctx.workprec(1000):
        sharp = BallSeries(circuit, {})
        for c, found in parts:
            for part in (0.1, 0.7, 1.0):
                s = flint.arb(h) * flint.arb(part)
                values = {w: [x and at(x, s) for x in c[w]] for w in c}
                for w, i in found:
                    value, rate = made(sharp, w, i, values)
                    missed = abs(rate - values[w][i][1]).abs_lower()
                    assert missed <= found[w, i][1]
                    assert value is None or abs(value - values[w][i][0]).abs_lower() <= found[w, i][0]
                    largest = max(largest, float((missed / found[w, i][1]).mid()) if found[w, i][1] > 0 else 0.0)
    assert largest > 1e-3  # the bound is not far above what is missed somewhere
