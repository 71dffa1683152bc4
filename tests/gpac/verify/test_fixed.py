"""Coefficients in fixed point: against balls, closed forms, and the prover without them."""

from fractions import Fraction

import flint
import mpmath
import numpy as np
import pytest
import scipy.sparse
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

import gpac
from gpac import PIVP, Circuit, bilinear, inputs, integral, linear, product, prove, reference, wire
from gpac import functions as fn
from gpac.exact import to_arb
from gpac.verify import Answer, order
from gpac.verify.balls import BallSeries, groups, still_entries
from gpac.verify.fixed import expand_fixed
from gpac.verify.order import best_order, block_length
from gpac.verify.tail import tail

Y, Z = sympy.symbols("y z")


def _matrix_square() -> Circuit:
    y = wire("Y", 4)
    y.define(integral(bilinear("ij,jk->ik", y, y, (2, 2), (2, 2)), None, [0.5, 1, -1, 0.25], name="Y"))
    return Circuit({"Y": y})


def _layers(make) -> Circuit:
    u = fn.tanh(linear([(np.array([[1.0], [-2.0], [0.5]]), gpac.time())]))
    v = fn.tanh(linear([(make([[1.0, 2.0, 0.0], [0.0, -1.0, 3.0]]), u)], [Fraction(1, 3), sympy.pi / 4]))
    return Circuit({"v": v})


def _broadcast() -> Circuit:
    s, y = fn.sin(gpac.time()), wire("y", 3)
    y.define(integral(product(s, y), product(s, s), [1, 2, Fraction(-1, 3)], name="y"))
    return Circuit({"y": y})


def _clocks() -> Circuit:
    t = gpac.time()
    return Circuit({"a": fn.exp(t**2), "b": integral(t**12, t**3, 1), "c": fn.exp(t**20)})


CASES = {
    "tan": (PIVP({Y: 1 + Y**2}, {Y: 0}).to_circuit(), 0.5),
    "cube": (PIVP({Y: Y**3 - Y}, {Y: Fraction(3, 2)}).to_circuit(), 0.05),
    "two": (PIVP({Y: Y * Z, Z: 1 - Y**2}, {Y: 1, Z: -1}).to_circuit(), 0.2),
    "matrix square": (_matrix_square(), 0.1),
    "dense layers": (_layers(np.array), 0.1),
    "sparse layers": (_layers(scipy.sparse.csr_matrix), 0.1),
    "broadcast": (_broadcast(), 0.3),
    "polynomials of time": (_clocks(), 0.7),
}


def mp(digits: int):
    context = mpmath.mp.clone()
    context.dps = digits
    return context


def sharp_and_fixed(circuit: Circuit, last: int, unit: Fraction, more: int = 0, bits: int = 160):
    """For every part: its series at many bits, some orders longer, in units of time; and in fixed point."""
    pairs = []
    for part in range(len(groups(BallSeries(circuit, {})))):
        with flint.ctx.workprec(bits):
            rough = BallSeries(circuit, {})
            group = groups(rough)[part]
            start = {w: [b.mid() for b in entries] for w, entries in rough.start().items()}
            still = {w: [b and b.mid() for b in e] for w, e in still_entries(rough, group).items()}
            fixed = expand_fixed(rough, start, Fraction(0), last, group, still, unit)
            assert fixed is not None
        with flint.ctx.workprec(3 * bits + 3 * last):
            c = BallSeries(circuit, {}).expand(start, flint.arb(0), last + more, group, still)
            scaled = {w: [x and [b * to_arb(unit) ** k for k, b in enumerate(x)] for x in c[w]] for w in group}
        pairs.append((rough, group, scaled, fixed))
    return pairs


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("last", [12, 150])
def test_every_coefficient_of_every_unit_is_as_close_as_the_bound_says(name, last):
    circuit, h = CASES[name]
    for _, group, c, fixed in sharp_and_fixed(circuit, last, Fraction(h)):
        with flint.ctx.workprec(2000):
            for w, entries in group.items():
                for i in entries:
                    missed = sum((abs(a - b.mid()) for a, b in zip(c[w][i], fixed.c[w][i], strict=True)), flint.arb(0))
                    assert missed <= sum((b.rad() for b in fixed.c[w][i]), flint.arb(0))
                    assert fixed.c[w][i][0].rad() < flint.arb(2) ** -150


@pytest.mark.parametrize("name", ["tan", "cube", "two", "broadcast"])
def test_a_tail_in_blocks_of_orders_covers_the_terms_left_out(name):
    """Order 400 is summed up in blocks of 6: the bound may be that of twelve orders less."""
    last = 400
    circuit, h = CASES[name]
    assert block_length(last) == 6
    for series, group, c, fixed in sharp_and_fixed(circuit, last, Fraction(h), 20, bits=2000):
        bound = tail(series, fixed.c, flint.arb(1), last, group, fixed.errors)
        assert bound is not None
        for w in bound:
            for i in group[w]:
                left_out = sum(map(abs, c[w][i][last + 1 :]), flint.arb(0))
                earlier = sum(map(abs, c[w][i][last - 14 :]), flint.arb(0))
                assert left_out <= bound[w][i] <= 1000 * earlier + flint.arb(2) ** -1900


def closed_forms() -> dict:
    """Systems, when to read them, and their value there in a context."""
    third, x = Fraction(1, 3), inputs("x")
    cascade = wire("y", 2)
    cascade.define(
        integral(linear([([[-1, 0], [Fraction(2, 7), -2]], cascade)], [sympy.sqrt(2), 0]), None, 0, name="y")
    )
    return {
        "exp": (PIVP({Y: Y}, {Y: 1}), Fraction(3, 2), None, lambda m: [m.exp(m.mpf(3) / 2)]),
        "tan": (PIVP({Y: 1 + Y**2}, {Y: 0}), Fraction(5, 4), None, lambda m: [m.tan(m.mpf(5) / 4)]),
        "logistic": (
            PIVP({Y: Y * (1 - Y)}, {Y: third}),
            sympy.pi,
            None,
            lambda m: [1 / (1 + 2 * m.exp(-m.pi))],
        ),
        "turning": (PIVP({Y: Z, Z: -Y}, {Y: 0, Z: 1}), sympy.pi, None, lambda m: [0, -1]),
        "cascade": (
            Circuit({"y": cascade}),
            1,
            None,
            lambda m: [
                m.sqrt(2) * (1 - m.exp(-1)),
                m.mpf(2) / 7 * m.sqrt(2) * (m.mpf(1) / 2 - m.exp(-1) + m.exp(-2) / 2),
            ],
        ),
        "exp of an input": (
            Circuit({"y": fn.exp(product(gpac.time(), x))}),
            1,
            [Fraction(1, 7)],
            lambda m: [m.exp(m.mpf(1) / 7)],
        ),
        "two sines": (
            Circuit({"y": fn.exp(product(fn.sin(gpac.time()), fn.cos(gpac.time())))}),
            2,
            None,
            lambda m: [m.exp(m.sin(2) * m.cos(2))],
        ),
        "a power of time": (
            Circuit({"y": fn.exp(gpac.time() ** 12)}),
            1,
            None,
            lambda m: [m.e],
        ),
    }


@pytest.mark.parametrize("name", closed_forms())
@pytest.mark.parametrize(("digits", "crossover"), [(20, 0), (120, 0), (120, 10**9), (700, 0)])
def test_closed_forms_lie_in_their_balls_on_both_sides_of_the_crossover(name, digits, crossover, monkeypatch):
    monkeypatch.setattr(order, "FIXED_BITS", crossover)
    system, t, given_inputs, truth = closed_forms()[name]
    proof = prove(system, t, given_inputs, digits=digits)
    assert proof.answer is Answer.PROVEN, str(proof)
    exact = mp(2 * digits + 60)
    for m, r, v in zip(proof.mid, proof.rad, truth(exact), strict=True):
        assert abs(exact.mpf(m) - v) <= r < exact.mpf(10) ** -digits
    # one attempt, or two: the flow loses few bits, and rounding fewer
    assert proof.bits < digits * 3.33 + 32 + 100


def lotka() -> PIVP:
    half = sympy.Rational(3, 2)
    return PIVP({Y: half * Y - Y * Z, Z: Y * Z - 3 * Z}, {Y: 1, Z: 1})


def test_lotka_volterra_to_a_thousand_digits_in_few_long_steps(monkeypatch):
    proof = prove(lotka(), 1, digits=1000)
    assert proof.digits >= 1000
    assert proof.steps <= 4 and proof.order <= 2100  # where products term by term want 6 steps of order 1165
    monkeypatch.setattr(order, "FIXED_BITS", 10**9)
    plain = prove(lotka(), 1, digits=250)
    assert plain.steps >= 5
    for one, other in zip(proof.balls, plain.balls, strict=True):
        assert one.overlaps(other)


def test_orders_follow_the_cost_of_products():
    """Term by term, terms fall off like exp(-2 k); with fast products nearly like exp(-k)."""
    assert best_order(100) == 37
    assert best_order(3354) == 1893 + 2 * 28  # decay 1.2297; blocks of 29 orders overlap
    assert 0.69 * 10**6 < best_order(10**6) < 0.72 * 10**6 + 2 * block_length(720_000)


def test_lotka_volterra_keeps_its_invariant():
    """y - 3 ln y + z - 3/2 ln z stays 2."""
    proof = prove(lotka(), 1, digits=400)
    with flint.ctx.workprec(1400):
        y, z = proof.balls
        invariant = y - 3 * y.log() + z - flint.arb(3) / 2 * z.log()
        assert invariant.contains(2) and invariant.rad() < flint.arb("1e-395")


rationals = st.builds(Fraction, st.integers(-3, 3), st.integers(1, 4))


@settings(max_examples=15, deadline=None, derandomize=True)
@given(data=st.data())
def test_random_systems_in_fixed_point_hold_the_reference(data):
    dim = data.draw(st.integers(1, 3))
    symbols = sympy.symbols(f"a:{dim}")
    equations = {}
    for symbol in symbols:
        terms = data.draw(st.lists(st.tuples(rationals, st.lists(st.sampled_from(symbols), max_size=3)), max_size=3))
        equations[symbol] = sum(
            (sympy.Rational(q.numerator, q.denominator) * sympy.Mul(*factors) for q, factors in terms), sympy.Integer(0)
        )
    system = PIVP(equations, {s: data.draw(rationals.filter(bool)) for s in symbols})
    t, digits = Fraction(data.draw(st.integers(1, 24)), 16), data.draw(st.sampled_from([8, 40]))
    before, order.FIXED_BITS = order.FIXED_BITS, 0
    try:
        proof = prove(system, t, digits=digits, seconds=1, max_bits=800)
    finally:
        order.FIXED_BITS = before
    if proof.answer is Answer.PROVEN:
        truth = reference(system, t, bits=proof.bits + 100).outputs
        exact = mp(400)
        assert all(abs(exact.mpf(m) - v) <= r for m, v, r in zip(proof.mid, truth, proof.rad, strict=True))
    else:
        assert proof.reason
