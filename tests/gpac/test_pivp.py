"""The normal form: exact numbers in, readable text out, sentences for mistakes."""

from fractions import Fraction

import numpy as np
import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st

from gpac import PIVP, CircuitError, NumberError

x, y, t = sympy.symbols("x y t")


@given(a=st.floats(-1e9, 1e9), start=st.floats(-1e9, 1e9))
def test_floats_are_taken_as_the_dyadics_they_are(a, start):
    system = PIVP({x: a * x}, {x: start})
    coefficients = [Fraction(int(c.numerator), int(c.denominator)) for c in system.polynomials[0].coeffs()]
    assert coefficients == ([Fraction(a)] if a else [])
    assert system.initial == (Fraction(start),)


def test_a_tenth_is_not_the_float_one_tenth():
    assert PIVP({x: x / 10}, {x: 0}) != PIVP({x: 0.1 * x}, {x: 0})
    assert PIVP({x: x / 4}, {x: 0}) == PIVP({x: 0.25 * x}, {x: np.float64(0)})


def test_expressions_are_expanded():
    assert PIVP({x: (x + 1) ** 2 - x}, {x: 1}) == PIVP({x: x**2 + x + 1}, {x: 1})


def test_dimension_and_degree():
    system = PIVP({x: x**2 * y**3 - 1, y: 0, t: 1}, {x: 0, y: 1, t: 0})
    assert (system.dim, system.degree) == (3, 5)
    assert PIVP({x: 0}, {x: 1}).degree == 0
    assert system.expressions() == {x: x**2 * y**3 - 1, y: 0, t: 1}


@pytest.mark.parametrize(
    ("equations", "initial", "message"),
    [
        ({}, {}, "at least one equation"),
        ({x: y}, {x: 0}, r"right side of x' uses y, which has no equation.*time is a variable"),
        ({x: sympy.sin(x)}, {x: 0}, r"right side of x' is sin\(x\), not a polynomial"),
        ({x: 1 / x}, {x: 1}, "not a polynomial"),
        ({x: sympy.sqrt(x)}, {x: 1}, "not a polynomial"),
        ({x: sympy.pi * x}, {x: 1}, "rational coefficients"),
        ({x: float("nan") * x}, {x: 1}, "x'"),
        ({x: x, y: x}, {x: 1}, "y has no start value"),
        ({x: x}, {x: 1, y: 2}, "y has a start value but no equation"),
        ({"x": x}, {"x": 1}, "expected sympy symbols as variables, got 'x'"),
        ({x: x, sympy.Symbol("x", real=True): 1}, {x: 1, sympy.Symbol("x", real=True): 1}, "print alike"),
    ],
    ids=str,
)
def test_mistakes_are_told_in_a_sentence(equations, initial, message):
    with pytest.raises(CircuitError, match=message):
        PIVP(equations, initial)


def test_outputs_are_polynomials_too():
    with pytest.raises(CircuitError, match=r"right side of size is .*not a polynomial"):
        PIVP({x: x}, {x: 1}, {"size": abs(x)})


@pytest.mark.parametrize("start", [float("nan"), float("inf"), sympy.I, sympy.Symbol("a"), None])
def test_start_values_are_finite_numbers(start):
    with pytest.raises(NumberError, match="expected"):
        PIVP({x: x}, {x: start})


def test_printing():
    system = PIVP({x: y - x / 3, y: -x}, {x: Fraction(1, 2), y: sympy.sin(1)}, {"energy": x**2 + y**2, "x": x})
    assert str(system).splitlines() == [
        "x' = -x/3 + y,  x(0) = 1/2",
        "y' = -x,        y(0) = sin(1)",
        "energy = x**2 + y**2",
    ]
    assert repr(system) == "PIVP(x, y; dimension 2, degree 1, 3 monomials)"


def test_a_name_with_another_meaning_is_printed():
    assert "x = 2*x" in str(PIVP({x: x}, {x: 1}, {"x": 2 * x}))


def test_repr_is_short_for_large_systems():
    many = sympy.symbols("v:50")
    assert repr(PIVP({v: v**2 for v in many}, dict.fromkeys(many, 1))) == (
        "PIVP(v0, v1, v2, v3, ...; dimension 50, degree 2, 50 monomials)"
    )


def test_latex():
    alpha = sympy.Symbol("alpha_1")
    system = PIVP({alpha: alpha**2 / 2 - 1}, {alpha: Fraction(1, 3)})
    assert system.to_latex() == (
        "\\begin{aligned}\n"
        r"\alpha_{1}' &= \frac{\alpha_{1}^{2}}{2} - 1, & \alpha_{1}(0) &= \frac{1}{3}"
        "\n\\end{aligned}"
    )
    assert system._repr_latex_() == f"${system.to_latex()}$"


def test_equality_is_of_the_mathematics():
    assert PIVP({x: x * (1 - y), y: 0}, {x: 1, y: 2}) == PIVP({x: x - x * y, y: 0}, {x: 1.0, y: Fraction(2)})
    assert PIVP({x: x}, {x: 1}) != PIVP({x: x}, {x: 2})
