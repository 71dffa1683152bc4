"""Sign changes of many polynomials: every one is found, none is invented, each where exact arithmetic has it."""

from fractions import Fraction
from itertools import pairwise

import numpy as np
import sympy
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from gpac.solver.roots import bernstein, crossings


def times(p, q):
    """Product of two polynomials as lists of fractions, lowest power first."""
    out = [Fraction(0)] * (len(p) + len(q) - 1)
    for i, a in enumerate(p):
        for j, b in enumerate(q):
            out[i + j] += a * b
    return out


def value(p, x):
    return sum(a * x**k for k, a in enumerate(p))


def with_roots(roots):
    p = [Fraction(1)]
    for r in roots:
        p = times(p, [-Fraction(r), Fraction(1)])
    return p


def doubles(p):
    return np.array([float(a) for a in p])[:, None]


def rounding(p):
    """What is promised to be resolved: (K + 1) 2**-50 times the sum of the coefficients' magnitudes."""
    return len(p) * 2.0**-50 * float(sum(map(abs, p)))


def assert_crossings(p, roots):
    """Exactly these roots, as near as coefficients in doubles determine them."""
    found = crossings(doubles(p))
    assert len(found.place) == len(roots), (found.place, roots)
    slope = [k * a for k, a in enumerate(p)][1:]
    for place, root, direction in zip(found.place, roots, found.direction, strict=True):
        steep = float(value(slope, Fraction(root)))
        assert direction == np.sign(steep)
        assert abs(place - float(root)) <= rounding(p) / abs(steep) + 2.0**-52


roots_inside = st.lists(st.integers(1, 99), min_size=0, max_size=8, unique=True).map(sorted)
factors_outside = st.lists(st.integers(-300, -1) | st.integers(101, 400), max_size=6)


@settings(deadline=None)
@given(inside=roots_inside, outside=factors_outside)
def test_known_roots_are_found_and_no_others(inside, outside):
    p = with_roots([Fraction(r, 100) for r in inside + outside])
    assume(len(p) > 1)
    marks = [0, *inside, 100]
    between = [Fraction(a + b, 200) for a, b in pairwise(marks)]
    assume(all(abs(value(p, x)) > 4 * rounding(p) for x in between))
    assert_crossings(p, [Fraction(r, 100) for r in inside])


@settings(deadline=None)
@given(
    centre=st.fractions(Fraction(1, 10), Fraction(9, 10), max_denominator=1000),
    size=st.integers(2, 5),
    gap=st.integers(2, 12),
    other=st.fractions(2, 5, max_denominator=20),
)
def test_clusters_are_told_apart_as_far_as_doubles_can(centre, size, gap, other):
    """Up to five roots at distances from 1e-2 to 1e-12; below the resolution only the parity is left."""
    distance = Fraction(1, 10**gap)
    roots = [centre + k * distance for k in range(size)]
    p = with_roots([*roots, other])
    between = [roots[0] + (k + Fraction(1, 2)) * distance for k in range(size - 1)]
    found = crossings(doubles(p))
    assert len(found.place) % 2 == size % 2
    assert len(found.place) <= size
    reach = float(size * distance) + 2 * (rounding(p)) ** (1 / size)
    assert (np.abs(found.place - float(centre)) <= reach).all()
    if all(abs(value(p, x)) > 4 * rounding(p) for x in between):
        assert_crossings(p, roots)


@settings(deadline=None, max_examples=50)
@given(seed=st.integers(0, 2**32 - 1), order=st.integers(1, 20))
def test_random_polynomials_have_as_many_as_sturm_counts(seed, order):
    """sympy counts the real roots of the same rational polynomial by Sturm's theorem."""
    rng = np.random.default_rng(seed)
    c = rng.integers(-(2**20), 2**20, size=order + 1) * 0.25 ** rng.integers(0, 3)
    c[0] /= 2.0 ** rng.integers(0, 12)
    assume(c[0] != 0 and c[-1] != 0)
    x = sympy.Symbol("x")
    exact = sympy.Poly([sympy.Rational(Fraction(float(a))) for a in c[::-1]], x)
    assume(sympy.discriminant(exact) != 0)
    found = crossings(c[:, None])
    assert len(found.place) == exact.count_roots(0, 1)
    assert_array_equal(found.direction[1:], -found.direction[:-1])


def test_the_sixteen_roots_of_a_chebyshev_polynomial():
    """T_16(2x - 1): roots (1 + cos((2k + 1) pi / 32)) / 2."""
    x = sympy.Symbol("x")
    c = [Fraction(int(a)) for a in sympy.Poly(sympy.chebyshevt(16, 2 * x - 1), x).all_coeffs()[::-1]]
    found = crossings(doubles(c))
    expected = np.sort((1 + np.cos((2 * np.arange(16) + 1) * np.pi / 32)) / 2)
    assert len(found.place) == 16
    assert_allclose(found.place, expected, atol=1e-5)  # coefficients reach 5e11, values 1: 12 digits are lost
    assert found.direction[0] == -1


def test_a_root_of_even_order_is_no_sign_change_and_one_of_odd_order_is_one():
    for root in (Fraction(1, 2), Fraction(1, 3), Fraction(3, 4)):
        assert len(crossings(doubles(with_roots([root] * 2))).place) == 0
        assert_allclose(crossings(doubles(with_roots([root] * 3))).place, [float(root)], atol=1e-5)
        assert len(crossings(doubles(with_roots([root] * 4))).place) == 0


def test_roots_where_intervals_are_halved_are_found_once():
    roots = [Fraction(1, 4), Fraction(1, 2), Fraction(5, 8), Fraction(3, 4)]
    assert_crossings(with_roots(roots), roots)


def test_a_zero_at_the_start_counts_where_the_sign_before_was_the_other():
    p = np.array([[0.0, 0.0, 0.0, 0.0], [1.0, 1.0, 1.0, -1.0]])
    found = crossings(p, before=np.array([-1.0, 1.0, 0.0, 1.0]))
    assert found.column.tolist() == [0, 3]
    assert found.place.tolist() == [0.0, 0.0]
    assert found.direction.tolist() == [1, -1]


def test_a_zero_at_the_end_is_left_to_what_follows():
    assert len(crossings(np.array([[1.0], [-1.0]])).place) == 0
    assert len(crossings(np.array([[1.0], [-2.0], [1.0]])).place) == 0


def test_zero_for_all_times_has_no_sign_changes():
    assert len(crossings(np.zeros((5, 3))).place) == 0
    assert len(crossings(np.zeros((5, 0))).place) == 0


def test_neither_size_nor_neighbours_matter():
    rng = np.random.default_rng(1)
    c = rng.normal(size=(18, 500)) * 0.7 ** np.arange(18)[:, None]
    together = crossings(c)
    assert len(together.place) > 100
    for scale in (2.0**-900, 2.0**900):
        assert_array_equal(crossings(c * scale).place, together.place)
    order = rng.permutation(500)[:100]
    some = crossings(c[:, order])
    for k, column in enumerate(order):
        assert_array_equal(some.place[some.column == k], together.place[together.column == column])


def test_bernstein_coefficients_of_powers():
    """x^2 of degree 4: C(j, 2) / C(4, 2)."""
    assert_allclose(bernstein(np.eye(5)[2][:, None])[:, 0], [0, 0, 1 / 6, 1 / 2, 1], atol=1e-16)
