"""Numbers enter exactly or not at all."""

import time
from decimal import Decimal
from fractions import Fraction

import flint
import mpmath
import numpy as np
import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st

from gpac import NumberError
from gpac.exact import exact_array, to_arb, to_exact, to_floats, to_fractions, to_mpf, to_sympy

finite = st.floats(allow_nan=False, allow_infinity=False)


@given(x=finite)
def test_a_float_is_the_dyadic_rational_that_it_is(x):
    exact = to_exact(x)
    assert exact == Fraction(*x.as_integer_ratio())
    assert exact.denominator & (exact.denominator - 1) == 0
    assert to_exact(np.float64(x)) == exact
    assert to_exact(mpmath.mpf(x)) == exact
    assert to_exact(sympy.Float(x)) == exact


@given(x=st.floats(allow_nan=False, allow_infinity=False, width=32))
def test_a_float32_is_exact_too(x):
    assert to_exact(np.float32(x)) == Fraction(x)
    assert exact_array(np.array([x], dtype=np.float32))[0] == x


@pytest.mark.parametrize(
    ("value", "exact"),
    [
        (3, Fraction(3)),
        (True, Fraction(1)),
        (np.int64(2**62 + 1), Fraction(2**62 + 1)),
        (Decimal("0.1"), Fraction(1, 10)),
        (sympy.Rational(-2, 3), Fraction(-2, 3)),
        (sympy.Integer(10) ** 30, Fraction(10**30)),
        (mpmath.mpf(-0.375), Fraction(-3, 8)),
        (np.longdouble(1) / 3, Fraction(*(np.longdouble(1) / 3).as_integer_ratio())),
    ],
)
def test_other_numbers_keep_their_value(value, exact):
    assert to_exact(value) == exact


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        float("inf"),
        np.float64("-inf"),
        mpmath.mpf("nan"),
        mpmath.inf,
        Decimal("NaN"),
        1j,
        None,
        "half",
        [1],
        sympy.Symbol("a"),
        sympy.I,
        sympy.oo,
        sympy.zoo,
        sympy.log(-1),
        sympy.nan,
    ],
    ids=repr,
)
def test_what_is_no_finite_real_number_is_refused(value):
    with pytest.raises(NumberError, match="expected"):
        to_exact(value)


def test_a_symbol_is_named_in_the_refusal():
    with pytest.raises(NumberError, match=r"give a, b a value first"):
        to_exact(sympy.Symbol("b") + sympy.Symbol("a"))


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([1, 2], np.float64),
        ([0.1, 2], np.float64),
        ([Fraction(1, 4)], np.float64),
        ([Fraction(1, 3), 1], object),
        ([2**53 + 1], object),
        (np.array([2**53 + 1], dtype=np.uint64), object),
        ([10**400], object),
        ([sympy.pi], object),
        ([True, False], np.float64),
    ],
)
def test_arrays_are_float64_only_where_nothing_is_lost(values, dtype):
    array = exact_array(values)
    assert array.dtype == dtype
    assert [to_exact(a) for a in array] == [to_exact(v) for v in values]


@pytest.mark.parametrize("bad", [[1.0, np.nan], [np.inf], [1j], [None], [Fraction(1), float("nan")]])
def test_one_bad_entry_spoils_an_array(bad):
    with pytest.raises(NumberError):
        exact_array(bad)


def test_fractions_and_floats_of_an_array():
    array = exact_array([[0.1, 2.0]])
    assert to_fractions(array).tolist() == [[Fraction(0.1), Fraction(2)]]
    assert to_floats(exact_array([Fraction(1, 3), sympy.pi])).tolist() == [1 / 3, np.pi]


@given(n=st.integers(-(10**30), 10**30), d=st.integers(1, 10**30), digits=st.integers(5, 60))
def test_a_fraction_is_rounded_to_the_precision_asked(n, d, digits):
    context = mpmath.mp.clone()
    context.dps = digits
    value = to_mpf(Fraction(n, d), context)
    # two roundings (numerator, quotient) of half an ulp each
    assert abs(Fraction(*_ratio(value)) - Fraction(n, d)) <= Fraction(2) ** (1 - context.prec) * abs(Fraction(n, d))


def _ratio(value):
    return int(value.man) * (-1 if value < 0 else 1) * 2 ** max(0, value.exp), 2 ** max(0, -value.exp)


CONSTANTS = [
    sympy.sin(1),
    sympy.pi / 3,
    sympy.exp(-2),
    sympy.sqrt(2) ** 3,
    sympy.Rational(2, 3) ** sympy.Rational(1, 5),
    sympy.log(3) * sympy.tanh(sympy.Rational(1, 3)),
    1 / sympy.cosh(5) ** 2,
    sympy.atan(7) + sympy.E,
    sympy.EulerGamma,
]


@pytest.mark.parametrize("constant", CONSTANTS, ids=str)
@pytest.mark.parametrize("bits", [53, 300])
def test_symbolic_constants_have_digits_and_balls(constant, bits):
    assert to_exact(constant) == constant
    assert to_sympy(constant) == constant
    context = mpmath.mp.clone()
    context.prec = bits
    truth = sympy.N(constant, bits)  # some three times the digits
    rounded = to_mpf(constant, context)
    assert abs(sympy.Float(rounded, bits) - truth) <= abs(truth) * sympy.Rational(1, 2 ** (bits - 1))
    with flint.ctx.workprec(bits):
        ball = to_arb(constant)
        assert ball.rel_accuracy_bits() > bits - 10
    with flint.ctx.workprec(4 * bits):
        assert ball.contains(flint.arb(str(truth)))


@given(x=finite)
def test_the_ball_of_a_float_is_a_point(x):
    ball = to_arb(x)
    assert ball.is_exact()
    assert float(ball) == x


def test_the_ball_of_a_third_contains_a_third():
    ball = to_arb(Fraction(1, 3))
    assert not ball.is_exact()
    assert (3 * ball).contains(1)


def test_a_function_without_balls_is_named():
    with pytest.raises(NumberError, match="besselj"):
        to_arb(sympy.besselj(0, 1))


def test_an_irrational_number_in_many_places_is_looked_at_once():
    root, third = sympy.sqrt(2) / 2, Fraction(1, 3)
    entries = np.repeat(np.array([root, third], dtype=object), 2**17).reshape(2, -1)
    begin = time.process_time()
    exact = exact_array(entries)
    assert time.process_time() - begin < 1  # one by one it takes ten seconds
    assert exact.shape == entries.shape and exact.dtype == object
    assert exact[0, -1] is root and exact[1, 0] is third


def test_doubles_that_others_can_write_to_are_copied_once():
    given = np.array([1.0, 2.0])
    kept = exact_array(given)
    given[:] = 7.0
    assert kept.tolist() == [1, 2] and not kept.flags.writeable
    assert np.shares_memory(exact_array(kept), kept)
