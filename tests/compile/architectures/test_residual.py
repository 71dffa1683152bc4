"""Residual networks and their relatives against the flows they discretise: what they are, and their orders."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from flows import A1, A2, DEPTHS, FIELD, C, W, X, order, rng, runge_kutta, solved
from numpy.testing import assert_allclose

import gpac
from compile import Field, Network, dense, enclose_forward, flow, forward, scale
from compile.architectures import (
    HEUN,
    MIDPOINT,
    Fractal,
    activation_inside,
    activation_outside,
    euler,
    euler_bound,
    hamiltonian_field,
    inside_in_time,
    measure_gap,
    outside_in_time,
    poly_nested,
    poly_sum,
    resnet,
    revnet,
    switched,
    two_layers,
    unrolled,
)
from compile.compose import chained, zeros
from gpac import NumberError, ShapeError

# -- fields ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        (two_layers(A2, A1, np.ones(5)), lambda h: A2 @ np.tanh(A1 @ h + 1)),
        (activation_outside(W, C, "sigmoid"), lambda h: 1 / (1 + np.exp(-W @ h - C))),
        (activation_inside(W, C), lambda h: W @ np.tanh(h) + C),
    ],
)
def test_the_forms_are_what_they_say(network, expected):
    assert_allclose(forward(network, X), [expected(h) for h in X], rtol=1e-14)


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (outside_in_time, lambda h, t: np.tanh((W + t * W.T + t**3 * W @ W) @ h + C + t**2 * C[::-1])),
        (inside_in_time, lambda h, t: (W + t * W.T + t**3 * W @ W) @ np.tanh(h) + C + t**2 * C[::-1]),
    ],
)
def test_weights_polynomial_in_time_are_flows_and_networks(make, expected):
    field = make([W, W.T, 0 * W, W @ W], [C, 0 * C, C[::-1]])
    truth = [runge_kutta(lambda t, h: expected(h, t), h, 1.0) for h in X]
    assert_allclose(solved(flow(field), X), truth, rtol=0, atol=2e-12)
    h = X[0]
    for j in range(4):
        h = h + expected(h, j / 4) / 4
    assert_allclose(forward(resnet(field, depth=4), X[0]), h, rtol=1e-14)


def test_smooth_switches_tend_to_jumps():
    """One analytic system against the schedule with jumps: before and after a switch cancel, which makes order 2."""
    fields, times = [activation_outside(w, C) for w in (W, -W, W.T)], [Fraction(1, 2), 1]
    truth = solved(flow([(fields[0], Fraction(1, 2)), (fields[1], Fraction(1, 2)), (fields[2], 1)]), X)
    errors = []
    for sharpness in (64, 128, 256):
        errors.append(np.abs(solved(flow(switched(fields, times, sharpness), 2), X) - truth).max())
    assert_allclose(np.log2(np.array(errors[:-1]) / errors[1:]), 2, atol=0.05)
    assert errors[-1] < 1e-4


# -- ResNet ---------------------------------------------------------------------------------------------------


def test_a_resnet_is_the_composition_of_its_blocks_and_a_flow_starts_with_the_same_block():
    """Different weights per layer; the homotopy-free judge is numpy."""
    weights = [rng.normal(size=(3, 3)) for _ in range(5)]
    network = resnet([activation_outside(w, C) for w in weights], duration=Fraction(5, 3))
    h = X.copy()
    for w in weights:
        h = h + np.tanh(h @ w.T + C) / 3
    assert_allclose(forward(network, X), h, rtol=1e-13)


def test_a_resnet_tends_to_its_flow_with_order_one_and_below_its_bound():
    """tanh(w h + b): sinh(w h(t) + b) has a closed form; the slope of the difference is 1."""
    field = activation_outside([[1.5]], [0.25])
    x = np.array([[0.3], [-1.0]])
    z = np.arcsinh(np.sinh(1.5 * x + 0.25) * np.exp(1.5))
    depths, differences = (16, 32, 64, 128, 256), []
    for depth in depths:
        found = forward(resnet(field, depth=depth), x)
        differences.append(np.abs(found - (z - 0.25) / 1.5).max())
        assert differences[-1] <= euler_bound(field, x.T[0], 1, depth)
    assert_allclose(order(depths, differences), 1, atol=0.05)
    gap = measure_gap(field, x, depths)
    assert_allclose(gap.differences, differences, rtol=1e-8)


def test_the_proven_difference_halves_with_the_step():
    """Both sides proven to 12 digits: the flow by the prover, the ResNet by direct balls."""
    x = [0.5, -0.25, 1.0]
    proof = gpac.prove(flow(FIELD), inputs=x, digits=12)
    gaps = []
    for depth in (64, 128):
        exact = enclose_forward(resnet(FIELD, depth=depth), x, digits=12)
        gaps.append(max(abs(float(a - b)) for a, b in zip(proof.mid, exact.mid, strict=True)))
        assert gaps[-1] < euler_bound(FIELD, x, 1, depth)
    assert_allclose(gaps[0] / gaps[1], 2, atol=0.05)


# -- PolyNet, FractalNet --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "order"),
    [
        (euler, 1),
        (poly_nested, 1),
        (HEUN, 2),
        (MIDPOINT, 2),
        (Fractal(Fraction(1, 3), Fraction(2, 3), Fraction(1), Fraction(3, 4), Fraction(1, 2)), 1),
        (Fractal(Fraction(1, 2), Fraction(1, 2), Fraction(1), Fraction(1, 2), Fraction(3, 4)), 1),
        (Fractal(Fraction(3, 4), Fraction(1, 4), Fraction(1), Fraction(1), Fraction(3, 4)), 1),
    ],
)
def test_the_measured_order_is_the_order(method, order):
    assert getattr(method, "order", order) == order
    assert_allclose(measure_gap(FIELD, X, DEPTHS, method=method).order, order, atol=0.05)


@pytest.mark.parametrize(
    "coefficients", [(1, 1, 1, 1, 0), ("1/2", 1, "1/2", "1/2", "1/2"), (1, 0, 1, "1/2", "1/2"), (0, 1, 1, 1, 1)]
)
def test_a_fractal_that_violates_the_conditions_has_order_zero_and_does_not_converge(coefficients):
    method = Fractal(*map(Fraction, coefficients))
    assert method.order == 0
    gap = measure_gap(FIELD, X, (32, 64), method=method)
    assert gap.differences[1] > 0.05


def test_methods_see_the_time():
    """h' = 2 t: Heun is exact, the midpoint rule too; Euler is step off."""
    field = Field(chained(Network(2, [dense([[0.0, 2.0]])])), ("state", "time"))
    for method, error in ((HEUN, 0), (MIDPOINT, 0), (euler, -0.25), (poly_nested, 0.25)):
        assert_allclose(forward(unrolled(method, field, depth=4), [0.5]), [1.5 + error], rtol=1e-15)


def test_poly_sum_tends_to_the_flow_of_f_plus_f_of_zero():
    f_of_zero = np.tanh(C)
    shifted = Network(3, [*FIELD.nodes, scale(1, f_of_zero)])
    truth = solved(flow(shifted), X)
    depths = (64, 128, 256)
    errors = [np.abs(forward(unrolled(poly_sum, FIELD, depth=d), X) - truth).max() for d in depths]
    assert_allclose(order(depths, errors), 1, atol=0.05)
    without = activation_outside(W)  # f(0) = 0
    assert_allclose(measure_gap(without, X, DEPTHS, method=poly_sum).order, 1, atol=0.05)


def test_both_readings_of_polynet_are_backward_euler_to_third_order_where_the_field_is_linear():
    linear = Network(3, [dense(W)])
    for method in (poly_sum, poly_nested):
        locals_ = []
        for step in (Fraction(1, 16), Fraction(1, 32)):
            exact = np.linalg.solve(np.eye(3) - float(step) * W, X.T).T
            locals_.append(np.abs(forward(unrolled(method, linear, step, 1), X) - exact).max())
            assert locals_[-1] <= 2 * (float(step) * np.abs(W).sum(axis=1).max()) ** 3 * np.abs(X).max()
        assert_allclose(np.log2(locals_[0] / locals_[1]), 3, atol=0.1)


def test_nested_polynet_is_close_to_backward_euler_where_the_field_is_not_linear_and_the_sum_is_not():
    backward = []
    step = 1 / 64
    for x in X:
        y = x
        for _ in range(50):
            y = x + step * np.tanh(W @ y + C)
        backward.append(y)
    nested, summed = (forward(unrolled(m, FIELD, Fraction(1, 64), 1), X) for m in (poly_nested, poly_sum))
    assert np.abs(nested - backward).max() < 0.01 * np.abs(summed - backward).max()


# -- bad input ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: resnet(FIELD), "depth of at least 1"),
        (lambda: resnet([]), "at least one field"),
        (lambda: resnet([FIELD], depth=2), "as many as the depth"),
        (lambda: resnet(FIELD, 0, 3), "positive rational"),
        (lambda: revnet(zeros(2, 3), zeros(2, 3), 1, 1), "from Y to X"),
        (lambda: hamiltonian_field(np.ones((2, 3))), "antisymmetric J"),
        (lambda: hamiltonian_field(np.ones((2, 2)), J=np.ones((2, 2))), "antisymmetric J"),
        (lambda: outside_in_time([np.ones((2, 3))]), "square weight matrices"),
        (lambda: euler_bound(outside_in_time([W, W]), X[0]), "state alone"),
        (lambda: switched([FIELD], [1], 10), "one more than the times"),
    ],
)
def test_bad_input_is_a_sentence(call, message):
    with pytest.raises((ShapeError, NumberError), match=message):
        call()
