"""Bounds in doubles, against exact fractions and mpmath."""

from fractions import Fraction

import mpmath
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gpac.verify.wide.upward import Range, growth, up

NUMBERS = st.floats(-1e100, 1e100)
SIZES = st.floats(0, 1e100)


@given(x=st.one_of(st.floats(-5000, 2000), st.floats(-1e-6, 1e-6)))
def test_growth_is_bounded_from_above_and_closely(x):
    power, mean = (float(v[0]) for v in growth(np.array([x])))
    with mpmath.workdps(60):
        exact = mpmath.exp(mpmath.mpf(x))
        integral = mpmath.expm1(mpmath.mpf(x)) / x if x else mpmath.mpf(1)
        assert power >= exact and mean >= integral
        if -600 < x < 700:
            assert power <= exact * (1 + 1e-9) and mean <= integral * (1 + 1e-9)


def test_growth_that_no_double_holds_is_infinite():
    assert np.isinf(growth(np.array([800.0, 3000.0, 1e300, np.inf]))[0]).all()
    assert not np.isfinite(growth(np.array([np.nan]))[0]).any()


@given(a=NUMBERS, r=SIZES, b=NUMBERS, s=SIZES, u=st.floats(-1, 1), v=st.floats(-1, 1))
def test_ranges_contain_sums_and_products(a, r, b, s, u, v):
    x, y = Fraction(a) + Fraction(u) * Fraction(r), Fraction(b) + Fraction(v) * Fraction(s)
    left, right = Range(np.array([a]), np.array([r])), Range(np.array([b]), np.array([s]))
    for found, true in ((left + right, x + y), (left * right, x * y)):
        assert abs(true - Fraction(float(found.mid[0]))) <= Fraction(float(found.rad[0]))
    assert abs(x) <= Fraction(float(left.size()[0])) and x <= Fraction(float(left.highest()[0]))


@given(st.lists(SIZES, min_size=1, max_size=300), st.integers(0, 2**32 - 1))
def test_sums_of_products_are_bounded_from_above(x, seed):
    y = np.random.default_rng(seed).uniform(0, 1, len(x))
    true = sum((Fraction(a) * Fraction(float(b)) for a, b in zip(x, y, strict=True)), Fraction(0))
    assert true <= Fraction(float(up(np.array(x) @ y, len(x))))
