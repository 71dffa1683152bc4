"""The bound on what a Taylor step leaves out against the terms it leaves out, computed."""

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
from gpac.verify.tail import tail
from gpac.wire import Integral

Y, Z = sympy.symbols("y z")


def bounds_and_terms(circuit: Circuit, h: float, order: int, inputs: dict | None = None) -> list[tuple[float, float]]:
    """Per integrator entry: the bound, and the sum of |c_k| h^k over order < k <= 3 order; None where none is found."""
    pairs = []
    with flint.ctx.workprec(300):
        given = {name: [to_arb(v) for v in values] for name, values in (inputs or {}).items()}
        series = BallSeries(circuit, given)
        state = series.start()
        for group in groups(series):
            c = series.expand(state, flint.arb(0), 3 * order, group, still_entries(series, group))
            known = {w: [None if s is None else s[: order + 1] for s in entries] for w, entries in c.items()}
            found = tail(series, known, flint.arb(h), order, group)
            for w, entries in group.items():
                for i in entries if isinstance(w, Integral) else []:
                    terms = [abs(b) * flint.arb(h) ** k for k, b in enumerate(c[w][i]) if k > order]
                    left_out = sum(terms, flint.arb(0))
                    pairs.append((None if found is None else found[w][i], left_out.lower()))
    return pairs


def _pivp(equations: dict, start: dict) -> Circuit:
    return PIVP(equations, start).to_circuit()


def _matrix_square() -> Circuit:
    y = wire("Y", 4)
    y.define(integral(bilinear("ij,jk->ik", y, y, (2, 2), (2, 2)), None, [0.5, 1, -1, 0.25], name="Y"))
    return Circuit({"Y": y})


def _layers(make) -> Circuit:
    t = gpac.time()
    u = fn.tanh(linear([(np.array([[1.0], [-2.0], [0.5]]), t)]))
    v = fn.tanh(linear([(make([[1.0, 2.0, 0.0], [0.0, -1.0, 3.0]]), u)], [Fraction(1, 3), sympy.pi / 4]))
    return Circuit({"v": v})


def _broadcast() -> Circuit:
    s, y = fn.sin(gpac.time()), wire("y", 3)
    y.define(integral(product(s, y), product(s, s), [1, 2, Fraction(-1, 3)], name="y"))
    return Circuit({"y": y})


def _shared_clock() -> Circuit:
    t = gpac.time()
    return Circuit({"a": fn.exp(t**2), "b": integral(t**12, t**3, 1), "c": fn.sin(t * t * t)})


CASES = {
    "exp": (_pivp({Y: Y}, {Y: 1}), 0.5),
    "tan": (_pivp({Y: 1 + Y**2}, {Y: 0}), 0.25),
    "cube": (_pivp({Y: Y**3 - Y}, {Y: Fraction(3, 2)}), 0.05),
    "two": (_pivp({Y: Y * Z, Z: 1 - Y**2}, {Y: 1, Z: -1}), 0.2),
    "matrix square": (_matrix_square(), 0.1),
    "dense layers": (_layers(np.array), 0.1),
    "sparse layers": (_layers(scipy.sparse.csr_matrix), 0.1),
    "broadcast": (_broadcast(), 0.2),
    "shared clock": (_shared_clock(), 0.3),
    "gaps": (Circuit({"y": fn.exp(gpac.time() ** 20)}), 0.7),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("order", [8, 20])
def test_the_bound_covers_the_terms_left_out_and_not_much_more(name, order):
    circuit, h = CASES[name]
    pairs = bounds_and_terms(circuit, h, order)
    assert pairs
    for bound, left_out in pairs:
        assert bound is not None
        assert bound >= left_out
        assert name == "gaps" or left_out == 0 or bound <= 1000 * left_out


@pytest.mark.parametrize("h", [0.05, 0.2, 0.5, 0.9, 1.2, 1.5])
def test_a_bound_for_tan_is_above_the_true_rest_or_is_refused(h):
    """Its Taylor coefficients are positive, so the rest is largest at the end of the step."""
    order = 16
    (bound, _), *_ = bounds_and_terms(_pivp({Y: 1 + Y**2}, {Y: 0}), h, order)
    coefficients = sympy.Poly(sympy.series(sympy.tan(Y), Y, 0, order + 1).removeO(), Y).all_coeffs()[::-1]
    with flint.ctx.workprec(300):
        at = flint.arb(h)
        known = sum((to_arb(c) * at**k for k, c in enumerate(coefficients)), flint.arb(0))
        assert bound is None or bound >= (at.tan() - known).upper()


def test_no_bound_is_found_beyond_the_radius_of_convergence():
    assert bounds_and_terms(_pivp({Y: Y**2}, {Y: 1}), 1.01, 20)[0][0] is None
    assert bounds_and_terms(_pivp({Y: 1 + Y**2}, {Y: 0}), 1.6, 60)[0][0] is None


def test_a_polynomial_solution_leaves_nothing_out():
    t = gpac.time()
    (bound, left_out), *_ = bounds_and_terms(Circuit({"y": integral(t**4 + 1, None, 1)}), 2.0, 8)
    assert bound == 0 and left_out == 0


def test_a_polynomial_of_higher_degree_than_the_order_is_bounded():
    t = gpac.time()
    (bound, left_out), *_ = bounds_and_terms(Circuit({"y": integral(t**15, t**7, 1)}), 0.75, 8)
    assert left_out > 0 and left_out <= bound <= 1000 * left_out
