"""Polynomials of wide parts: how far they are from what units make of each other, by evaluation at sampled times."""

from fractions import Fraction

import flint
import numpy as np
import pytest
import scipy.sparse
import sympy

import gpac
from gpac import PIVP, Circuit, bilinear, integral, linear, product, wire
from gpac import functions as fn
from gpac.exact import to_arb
from gpac.verify.balls import BallSeries, groups, still_entries
from gpac.verify.wide.levels import levels, read_by
from gpac.verify.wide.rules import Rules
from gpac.verify.wide.series import Polynomials
from gpac.verify.wide.sums import Sum
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


def all_polynomials(circuit: Circuit, unit: Fraction, order: int, bits: int, every: bool) -> list[Polynomials]:
    """Of all parts, for a first step."""
    with flint.ctx.workprec(bits):
        series = BallSeries(circuit, {})
        found = []
        for group in groups(series):
            rules = Rules(series, group, still_entries(series, group), order)
            start = {w: [rules.nearest(b.mid()) for b in entries] for w, entries in series.start().items()}
            found.append(Polynomials(rules, start, Fraction(0), unit, every))
        return found


def made(series: BallSeries, w, i: int, values: dict, clock: tuple) -> tuple:
    """What unit w makes of its operands' values and rates: its own; an integrator makes a rate only."""
    if isinstance(w, Time):
        return clock
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
@pytest.mark.parametrize(
    ("order", "bits", "every"), [(8, 200, False), (40, 80, True), (40, 80, False), (90, 450, False)]
)
def test_every_unit_misses_at_most_what_is_said(name, order, bits, every):
    """At low order terms left out are missed, at low precision roundings."""
    circuit, h = CASES[name]
    unit = Fraction(h)
    largest = 0.0
    with flint.ctx.workprec(1000):
        sharp = BallSeries(circuit, {})
        for polynomials in all_polynomials(circuit, unit, order, bits, every):
            one = flint.arb(2) ** -polynomials.bits
            for part in (0.1, 0.7, 1.0):
                s = flint.arb(part)
                values = {w: [x and at(x, s) for x in c] for w, c in polynomials.c.items()}
                values = {w: [x and (x[0] * one, x[1] * one) for x in c] for w, c in values.items()}
                clock = to_arb(unit) * s, to_arb(unit)
                for w, entries in polynomials.rules.group.items():
                    for i in entries:
                        value, rate = made(sharp, w, i, values, clock)
                        own, own_rate = (float(m[i]) for m in polynomials.misses(w))
                        missed = (abs(rate - values[w][i][1]) / one).abs_lower()
                        assert missed <= own_rate
                        assert value is None or (abs(value - values[w][i][0]) / one).abs_lower() <= own
                        largest = max(largest, float((missed / own_rate).mid()) if own_rate > 0 else 0.0)
    assert largest > 1e-3  # the bound is not far above what is missed somewhere


@pytest.mark.parametrize("name", CASES)
def test_ranges_contain_values_and_rates(name):
    circuit, h = CASES[name]
    for polynomials in all_polynomials(circuit, Fraction(h), 20, 1100, True):
        one = flint.arb(2) ** -polynomials.bits
        for w, entries in polynomials.rules.group.items():
            for i in entries:
                for s in np.linspace(0, 1, 9):
                    for known, true in zip(polynomials.ranges(w), at(polynomials.c[w][i], flint.arb(s)), strict=True):
                        assert abs(true * one - known.mid[i]) <= known.rad[i]
                        assert known.rad[i] <= 1  # and are not far wider than these functions vary


def test_a_gap_in_a_series_is_seen_when_all_orders_are_wanted():
    """y' = 30 t**29: thirty coefficients are 0, and what a polynomial without the next misses is all of it."""
    circuit = PIVP({Y: 1, Z: 30 * Y**29}, {Y: 0, Z: 0}).to_circuit()
    sizes = []
    for every in (False, True):
        (polynomials,) = all_polynomials(circuit, Fraction(1), 40, 80, every)
        sizes.append(max(float(np.max(polynomials.misses(w)[1])) for w in polynomials.rules.group))
    assert sizes[1] < 2.0**20 and sizes[0] > 2.0**80


def test_of_a_network_layers_come_one_after_the_other():
    series = BallSeries(_layers(np.array), {})
    (group,) = groups(series)
    found = levels(series, group)
    assert sum(len(level) for level in found) == len(group)
    seen: set = set()
    for level in found:
        seen |= set(level)
        assert all(x in seen for w in level for x in read_by(series, w) if x in group)
    assert [sum(isinstance(w, Integral) for w in level) for level in found if len(level) > 1] == [2, 2]


def test_what_reads_itself_through_others_is_one_level():
    a, b = wire("a", 1), wire("b", 1)
    a.define(integral(product(a, b), None, 1, name="a"))
    b.define(integral(linear([(-1, a)]), None, 1, name="b"))
    series = BallSeries(Circuit({"c": integral(product(a, a), None, 0, name="c")}), {})
    (group,) = groups(series)
    counts = [sum(isinstance(w, Integral) for w in level) for level in levels(series, group)]
    assert sorted(counts)[-2:] == [1, 2] and counts.index(2) < counts.index(1)


MATRICES = {
    "number": Fraction(-2, 3),
    "diagonal": [0.1, 3.0, -1e-30],
    "dense": [[0.1, 2.0, 0.0], [1e20, -1.0, 2.0**-70], [3.0, 0.0, 1.0]],
    "rational": [[Fraction(1, 3), 0, 1], [0, Fraction(2, 7), 0], [1, 1, 1]],
    "sparse": scipy.sparse.csr_matrix([[0.0, 0.5, 0.0], [-0.25, 0.0, 0.0], [0.0, 0.1, 7.0]]),
    "wide": [[1.0, -0.3, 0.7]],
    "irrational": [[sympy.pi, 0, 1], [0, sympy.sqrt(2), 0], [1, 1, 1]],
}


@pytest.mark.parametrize("kind", MATRICES)
def test_sums_of_integers_are_those_of_balls(kind):
    rng = np.random.default_rng(4)
    x = wire("x", 3)
    x.define(integral(x, None, [1, 2, 3], name="x"))
    w = linear([(MATRICES[kind], x), *([] if kind == "wide" else [(0.5, x)])])
    circuit = Circuit({"w": w})
    bits, orders = 100, 4
    with flint.ctx.workprec(bits):
        series = BallSeries(circuit, {})
        rule = Sum(series, circuit.source(circuit.outputs["w"]), {circuit.source(x)}, bits)
        c = [[flint.fmpz(int(v)) for v in rng.integers(-(2**60), 2**60, orders)] for _ in range(3)]
        found = rule.orders({circuit.source(x): c}, list(range(w.size)), 0, orders, bits)
        sizes = np.array([max(map(abs, map(float, s))) for s in c]) * 2.0**-bits
        off = rule.off({circuit.source(x): sizes})
    with flint.ctx.workprec(400):
        for k in range(orders):
            total = [flint.arb(0)] * w.size
            for matrix, _ in BallSeries(circuit, {}).matrices[circuit.source(circuit.outputs["w"])]:
                image = matrix.apply([flint.arb(s[k]) for s in c])
                total = [a + b for a, b in zip(total, image, strict=True)]
            for i in range(w.size):
                assert abs(total[i] - found[i][k]) <= 0.501 + off[i]


@pytest.mark.parametrize("kind", MATRICES)
def test_effects_bound_what_matrices_do_to_errors(kind):
    rng = np.random.default_rng(5)
    x = wire("x", 3)
    x.define(integral(x, None, [1, 2, 3], name="x"))
    circuit = Circuit({"w": linear([(MATRICES[kind], x)])})
    with flint.ctx.workprec(200):
        source = circuit.source(circuit.outputs["w"])
        series = BallSeries(circuit, {})
        ((matrix, _),) = series.matrices[source]
        (effect,) = Sum(series, source, {circuit.source(x)}, 100).effects
        errors = 10.0 ** rng.uniform(-5, 5, 3)
        bound = effect.from_others(errors) + (0.0 if effect.own is None else effect.own.size() * errors)
        true = [b.abs_upper() for b in matrix.magnitude().apply([flint.arb(e) for e in errors])]
        assert all(a <= b for a, b in zip(true, bound, strict=True))
        assert all(b <= 1.001 * a for a, b in zip(true, bound, strict=True))
