"""Taylor models against exact fractions."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpac.bounds.models import Matrix, Model, combine, multiply, nearest
from gpac.exact import exact_array


def _model(rng: np.random.Generator, orders: int, entries: int, error: float) -> Model:
    c = rng.standard_normal((orders, entries, 2)) * 10.0 ** rng.integers(-9, 9, (orders, 1, 1))
    return Model(c, np.full((entries, 2), error))


def _polynomial(c: np.ndarray) -> list[Fraction]:
    return [Fraction(float(x)) for x in c]


def _product(a: list[Fraction], b: list[Fraction]) -> list[Fraction]:
    out = [Fraction(0)] * (len(a) + len(b) - 1)
    for j, x in enumerate(a):
        for k, y in enumerate(b):
            out[j + k] += x * y
    return out


def _distance(exact: list[Fraction], c: np.ndarray, s: Fraction) -> Fraction:
    """How far a polynomial is from an exact one at s."""
    far = [*exact, *[Fraction(0)] * len(c)]
    near = [*_polynomial(c), *[Fraction(0)] * len(exact)]
    return abs(sum((a - b) * s**k for k, (a, b) in enumerate(zip(far, near, strict=False))))


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 12), st.integers(1, 12), st.integers(1, 16), st.sampled_from([0.0, 1e-10]), st.integers(0, 10**6))
def test_a_product_stays_within_its_error_of_the_exact_one(p, q, orders, error, seed):
    rng = np.random.default_rng(seed)
    a, b = _model(rng, p, 1, error), _model(rng, q, 1, error)
    c = multiply(a, b, orders)
    assert len(c.c) <= orders
    for row in range(2):
        left, right = _polynomial(a.c[:, 0, row]), _polynomial(b.c[:, 0, row])
        for sign in (-1, 1):  # the functions at the far ends of their models
            off = Fraction(error) * sign
            exact = _product([left[0] + off, *left[1:]], [right[0] + off, *right[1:]])
            for s in (Fraction(0), Fraction(1, 3), Fraction(1)):
                assert _distance(exact, c.c[:, 0, row], s) <= Fraction(float(c.error[0, row]))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.booleans())
def test_a_linear_combination_stays_within_its_error_of_the_exact_one(seed, rational):
    rng = np.random.default_rng(seed)
    a, b = _model(rng, 5, 3, 1e-12), _model(rng, 2, 2, 0.0)
    dense = exact_array([[Fraction(int(rng.integers(-9, 9)), 7) for _ in range(3)] for _ in range(2)])
    matrix = dense if rational else rng.standard_normal((2, 3))
    third, bias = np.array(Fraction(1, 3), dtype=object), exact_array([Fraction(1, 10), Fraction(2)])
    out = combine([(Matrix.of(matrix), a), (Matrix.of(third), b)], nearest(bias))
    exact = matrix if rational else [[Fraction(float(x)) for x in row] for row in matrix]
    for i in range(2):
        for row in range(2):
            total = [Fraction(0)] * 5
            for j in range(3):
                for k, x in enumerate(_polynomial(a.c[:, j, row])):
                    total[k] += Fraction(exact[i][j]) * (x + (Fraction(1, 10**12) if k == 0 else 0))
            for k, x in enumerate(_polynomial(b.c[:, i, row])):
                total[k] += x / 3
            total[0] += bias[i]
            for s in (Fraction(0), Fraction(1, 3), Fraction(1)):
                assert _distance(total, out.c[:, i, row], s) <= Fraction(float(out.error[i, row]))


def test_shortened_models_keep_what_they_leave_out():
    c = np.array([1.0, 0.5, 0.25]).reshape(3, 1, 1)
    model = Model(c, np.zeros((1, 1))).cut(1)
    assert len(model.c) == 1 and model.error[0, 0] == pytest.approx(0.75) and model.error[0, 0] >= 0.75
