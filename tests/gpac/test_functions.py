"""Every function along time, of numbers, of inputs, of moving vectors, against mpmath."""

from fractions import Fraction

import mpmath
import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

import gpac
from gpac import Circuit, CircuitError, constant, declared, inputs
from gpac import functions as fn

FUNCTIONS = {
    "exp": (fn.exp, mpmath.exp),
    "log": (fn.log, mpmath.log),
    "reciprocal": (fn.reciprocal, lambda x: 1 / x),
    "sqrt": (fn.sqrt, mpmath.sqrt),
    "power 1/3": (lambda x: fn.power(x, Fraction(1, 3)), mpmath.cbrt),
    "power -2": (lambda x: fn.power(x, -2), lambda x: x**-2),
    "power 3": (lambda x: fn.power(x, 3), lambda x: x**3),
    "power 0.7": (lambda x: fn.power(x, 0.7), lambda x: x ** mpmath.mpf(0.7)),
    "sin": (fn.sin, mpmath.sin),
    "cos": (fn.cos, mpmath.cos),
    "tan": (fn.tan, mpmath.tan),
    "arctan": (fn.arctan, mpmath.atan),
    "tanh": (fn.tanh, mpmath.tanh),
    "slope of tanh": (lambda x: fn.tanh_pair(x)[1], lambda x: mpmath.sech(x) ** 2),
    "sigmoid": (fn.sigmoid, lambda x: 1 / (1 + mpmath.exp(-x))),
}
NAMES = list(FUNCTIONS)
CONSTANTS = [n for n in NAMES if n != "slope of tanh"]


def truth(name: str, points: np.ndarray) -> np.ndarray:
    with mpmath.workdps(30):
        return np.array([float(FUNCTIONS[name][1](mpmath.mpf(float(p)))) for p in points])


@pytest.mark.parametrize("name", NAMES)
def test_functions_of_time_from_a_start_off_zero(name):
    """f(1/4 + 2t/3) for t up to 3/2, all inside one period of tan."""
    begin, speed = Fraction(1, 4), Fraction(2, 3)
    x = declared(gpac.linear([(speed, gpac.time())], begin), "+")
    solution = gpac.solve(Circuit({"y": FUNCTIONS[name][0](x)}), t=1.5, tol=1e-14, dense=True)
    times = np.linspace(0, 1.5, 7)
    # rtol: a few steps at 1e-14 (tan grows sixfold)
    np.testing.assert_allclose(solution.at(times)[:, 0], truth(name, 0.25 + times * 2 / 3), rtol=2e-13)


@pytest.mark.parametrize("name", NAMES)
def test_functions_of_a_moving_vector(name):
    """Three entries at once, driven by sin, forth and back."""
    low, size = np.array([0.5, 0.75, 1.0]), np.array([0.25, -0.125, 0.25])
    x = declared(gpac.linear([(size, fn.sin(gpac.time()))], low), "+")
    solution = gpac.solve(Circuit({"y": FUNCTIONS[name][0](x)}), t=4.0, tol=1e-14)
    np.testing.assert_allclose(solution.outputs, truth(name, low + size * np.sin(4.0)), rtol=1e-12)


@pytest.mark.parametrize("name", CONSTANTS)
def test_functions_of_numbers_are_constants(name):
    """No integrator is spent, and the value is symbolic: good for any number of digits."""
    wire = FUNCTIONS[name][0](constant([Fraction(1, 2), 1]))
    circuit = Circuit({"y": wire})
    assert circuit.dim == 0
    np.testing.assert_allclose(gpac.solve(circuit, t=1).outputs, truth(name, np.array([0.5, 1.0])), rtol=4e-16)
    if name != "power 3":
        precise = gpac.reference(circuit, 1, bits=200).outputs[0]
        with mpmath.workprec(220):
            x = mpmath.mpf(1) / 2
            assert abs(precise - FUNCTIONS[name][1](x)) < mpmath.mpf(2) ** -190


@pytest.mark.parametrize("name", CONSTANTS)
def test_functions_of_inputs_differ_from_trajectory_to_trajectory(name):
    points = np.array([0.25, 0.5, 1.25])
    circuit = Circuit({"y": FUNCTIONS[name][0](inputs("x", signs="+"))})
    solution = gpac.solve(circuit, t=2, inputs=points[:, None])
    # rtol: numpy's functions, one rounding or two
    np.testing.assert_allclose(solution.outputs[:, 0], truth(name, points), rtol=1e-15)


@settings(max_examples=20, deadline=None)
@given(x=st.floats(-3, 3), v=st.floats(-1, 1))
def test_start_values_may_come_from_inputs(x, v):
    """tanh(sin(x + v t)) at t = 1: start values are functions of what the caller gives."""
    wire = fn.tanh(fn.sin(inputs("x") + inputs("v") * gpac.time()))
    solution = gpac.solve(Circuit({"y": wire}), t=1, inputs={"x": [x], "v": [v]}, tol=1e-13)
    assert abs(solution.outputs[0] - np.tanh(np.sin(x + v))) < 1e-12


def test_compositions_are_exact_at_the_start():
    """Start values are found symbolically: exp(sin(1)) is a constant with any number of digits."""
    wire = fn.exp(fn.sin(1 + gpac.time()))
    assert wire.initial[0] == sympy.exp(sympy.sin(1))


def test_quotients_of_wires():
    t = gpac.time()
    quotient = fn.sin(t) / declared(2 + fn.cos(t), "+")
    out = gpac.solve(Circuit({"q": quotient, "r": 1 / (1 + t**2), "n": (1 + t**2) ** -2}), t=2, tol=1e-14).outputs
    np.testing.assert_allclose(out, [np.sin(2) / (2 + np.cos(2)), 0.2, 0.04], rtol=1e-13)


def test_tan_ends_at_its_pole():
    solution = gpac.solve(Circuit({"y": fn.tan(gpac.time())}), t=2)
    assert solution.status is gpac.Status.BLOW_UP
    assert abs(solution.t - np.pi / 2) < 1e-10
    assert np.isnan(solution.outputs).all()


def test_a_slope_keeps_its_relative_accuracy_however_small_it_gets():
    """A neuron driven to z = 30 and back: its slope is 3.5e-26 on the way, and 1 again at the end."""
    swing = 30 * fn.sin(gpac.time())
    u, d = fn.tanh_pair(swing)
    solution = gpac.solve(Circuit({"u": u, "d": d}), t=np.pi, tol=1e-14, dense=True)
    middle = solution.at([np.pi / 2])[0, 1]
    # errors of z are magnified by 2 in log d, and z = 30 carries some 1e-14 * 30
    assert abs(middle / (1 / np.cosh(30.0) ** 2) - 1) < 1e-11
    np.testing.assert_allclose(solution.outputs, [30 * np.sin(np.pi), 1], atol=1e-11)


@pytest.mark.parametrize("function", [fn.log, fn.sqrt, fn.reciprocal, lambda x: fn.power(x, 0.5)])
def test_domains_must_be_declared(function):
    with pytest.raises(CircuitError, match=r"time 't', which is not proven to be (positive|nonzero).*declared"):
        function(gpac.time())


@pytest.mark.parametrize(("function", "value"), [(fn.log, -1), (fn.log, 0), (fn.sqrt, -2), (fn.reciprocal, 0)])
def test_constants_outside_the_domain_are_refused(function, value):
    with pytest.raises(CircuitError, match=r"not proven to be (positive|nonzero)"):
        function(constant(value))


def test_plain_numbers_are_taken():
    out = gpac.solve(Circuit({"a": fn.sin(1), "b": fn.exp([1, 2])}), t=1).outputs
    np.testing.assert_allclose(out, [np.sin(1), np.e, np.e**2], rtol=3e-16)


@pytest.mark.parametrize("width", [Fraction(1, 100), Fraction(1, 10**6)])
def test_a_modulus_that_comes_back_from_afar_keeps_its_digits(width):
    """z goes to 25 and back to 1/2000; the point on the circle loses digits, the modulus none."""
    t = gpac.time()
    z = 100 * t * (1 - t) + t * Fraction(1, 2000)
    u, w, modulus = fn.modulus_pair(z, width)
    run = gpac.solve(gpac.Circuit({"modulus": modulus, "u": u, "w": w}), t=1.0, tol=1e-14)
    size = np.hypot(1 / 2000, float(width))
    assert abs(run.outputs[0] - size) < 1e-15
    np.testing.assert_allclose(run.outputs[1:], [1 / 2000 / size, float(width) / size], rtol=0, atol=1e-8)


def test_a_modulus_of_width_zero_has_a_kink():
    with pytest.raises(gpac.NumberError, match="expected a positive rational width, got 0"):
        fn.modulus_pair(gpac.time(), 0)
