"""Residual networks and their relatives against the flows they discretise: orders, bounds, exact inverses."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.integrate import solve_ivp

import gpac
from compile import Activation, Affine, Field, Network, Node, Tanh, dense, enclose_forward, flow, forward, scale
from compile.architectures import (
    HEUN,
    MIDPOINT,
    Fractal,
    activation_inside,
    activation_outside,
    antisymmetric_field,
    coupled,
    energy,
    euler,
    euler_bound,
    growth,
    hamiltonian_field,
    inside_in_time,
    lm_limit,
    lm_resnet,
    measure_gap,
    momentum_field,
    momentum_inverse,
    momentum_resnet,
    outside_in_time,
    poly_nested,
    poly_sum,
    resnet,
    revnet,
    revnet_inverse,
    root_condition,
    separable,
    switched,
    two_layers,
    unrolled,
)
from compile.build import as_network, linear
from compile.compose import chained, zeros
from compile.value import einsum, network_input
from gpac import NumberError, ShapeError

rng = np.random.default_rng(0)
W, C = rng.normal(size=(3, 3)) / 2, rng.normal(size=3) / 2
A1, A2 = rng.normal(size=(5, 3)) / 2, rng.normal(size=(3, 5)) / 2
X = rng.normal(size=(4, 3))
FIELD = activation_outside(W, C)
DEPTHS = (32, 64, 128, 256)


def runge_kutta(field, h0, end):
    solution = solve_ivp(field, (0, end), h0, method="DOP853", rtol=1e-13, atol=1e-13)
    assert solution.success
    return solution.y[:, -1]


def solved(program, x):
    return gpac.solve(program, inputs=x, tol=1e-14).check().outputs


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
    assert_allclose(-np.polyfit(np.log(depths), np.log(differences), 1)[0], 1, atol=0.05)
    gap = measure_gap(field, x, depths)
    assert_allclose(gap.differences, differences, rtol=1e-8)


@pytest.mark.parametrize(
    ("field", "x"),
    [
        (two_layers(A2, A1), X[0]),
        (activation_inside(W, C), X[1]),
        (two_layers(A2, A1, activation="softplus"), X[2]),
        (Network(2, [dense([[0.0, 1.0], [-1.0, 0.0]])]), [1.0, 0.0]),
        (Network(1, [Activation("square"), scale(-0.25)]), [1.0]),
        (Network(2, [Activation("square"), dense([[-0.25, 0.0], [0.125, -0.125]])]), [1.0, 0.5]),
    ],
)
@pytest.mark.parametrize("duration", [Fraction(1, 2), 2])
def test_the_bound_holds_for_every_kind_of_field(field, x, duration):
    x = np.asarray(x)
    for depth in (4, 64):
        difference = measure_gap(field, x, [depth], duration).differences[0]
        bound = euler_bound(field, x, duration, depth)
        assert 0 < difference <= bound
    assert bound < 1e4 or duration == 2  # and it says something, up to exp(l T) for l of about 10


def test_the_bound_is_never_above_the_classical_one():
    """(step M / 2l)(exp(l T) - 1), l = |A2| |A1|, M = |A2|^2 |A1|; for one neuron they are the same up to O(step)."""
    draws = np.random.default_rng(4)
    for n, m in ((1, 1), (3, 5), (6, 2)):
        inner, outer = draws.normal(size=(m, n)) / 2, draws.normal(size=(n, m)) / 2
        norm1, norm2 = np.abs(inner).sum(axis=1).max(), np.abs(outer).sum(axis=1).max()
        ell = norm1 * norm2
        for depth in (1, 10, 1000):
            classical = norm2**2 * norm1 / (2 * ell) * np.expm1(2 * ell) * 2 / depth
            assert euler_bound(two_layers(outer, inner), np.ones(n), 2, depth) <= classical * (1 + 1e-6)
    one = two_layers([[0.5]], [[2.0]])
    assert_allclose(euler_bound(one, [0.5], 1, 10**6) * 10**6, 0.25 * np.expm1(1), rtol=1e-5)


def test_the_growth_is_never_exceeded():
    """Values, difference quotients and logarithmic norms at random points of the box, for every kind of unit."""
    draws = np.random.default_rng(1)
    names = ("tanh", "sigmoid", "gelu", "silu", "sin", "softplus", "mish", "exp", "square", "gaussian")
    networks = [two_layers(A2, A1, np.ones(5), name) for name in names]
    h = network_input((3,))
    rooted = h * (h * h).mean([0], keep=True).apply("rsqrt", 0.25)
    product = einsum("ij,j->i", linear(h, np.vstack([W, W.T, A1[:3]])).apply("tanh").reshape(3, 3), h)
    for result in ("softmax", "log_softmax"):
        networks.append(as_network(linear(h, W).softmax(result=result) * h + rooted - product))
    networks.append(as_network(h * h.softmax(result="logsumexp")))
    for network in networks:
        found = growth(network, 1.5)
        points = draws.uniform(-1.5, 1.5, (100, 3))
        assert np.abs(forward(network, points)).max() <= found.size
        for point in points[:30]:
            eps = 1e-6
            J = (forward(network, point + eps * np.eye(3)) - forward(network, point - eps * np.eye(3))).T / (2 * eps)
            own = np.abs(J).sum(axis=1) - np.abs(np.diag(J)) + np.diag(J)
            assert np.abs(J).sum(axis=1).max() <= found.lipschitz + 1e-7
            assert own.max() <= found.norm + 1e-7
            assert np.abs(J @ forward(network, point)).max() <= found.second + 1e-7


def test_a_damped_field_is_bounded_for_all_times():
    """h' = A2 tanh(A1 h) - 20 h: the logarithmic norm is negative, and the bound does not grow with T."""
    damped = Network(3, [dense(A1), Tanh(), dense(A2), Node(Affine((np.array(1.0), np.array(-20.0)), 0), (3, 0))])
    assert growth(damped, 1).norm < -5
    for depth in (100, 1000):
        short, long = (euler_bound(damped, X[0], T, depth * T) for T in (1, 30))
        assert long <= 1.01 * short < 100 / depth
        assert measure_gap(damped, X[0], [depth], 1).differences[0] <= short
    assert euler_bound(damped, X[0], 1, 4) > 1e3  # steps of 1/4 are not stable: 20/4 > 1


def test_a_bound_that_overflows_is_infinite():
    steep = Network(1, [dense([[300.0]]), Activation("exp"), Tanh()])
    assert euler_bound(steep, [1.0], 3, 10) == np.inf
    with pytest.raises(NumberError, match="may blow up"):
        euler_bound(Network(1, [Activation("exp"), Activation("exp"), Activation("exp")]), [3.0], 1, 10)


def test_a_bound_past_a_possible_pole_is_refused():
    with pytest.raises(NumberError, match="may blow up"):
        euler_bound(Network(1, [Activation("square")]), [1.0], 2, 10)


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
    assert_allclose(-np.polyfit(np.log(depths), np.log(errors), 1)[0], 1, atol=0.05)
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


# -- RevNet ---------------------------------------------------------------------------------------------------


def test_a_revnet_is_undone_exactly():
    f, g = two_layers(A2, A1), two_layers(W, W, C)
    both = chained(revnet(f, g, 2, 6), revnet_inverse(f, g, 2, 6))
    x = [Fraction(1, 3), -1, Fraction(2, 7), 0.5, 0.25, -3]
    assert enclose_forward(both, x, digits=60).contains(x)
    rows = np.random.default_rng(2).normal(size=(20, 6))
    assert_allclose(forward(both, rows), rows, rtol=0, atol=1e-13)


def test_a_revnet_of_squares_is_undone_to_the_last_bit():
    """Dyadic numbers and squares: nothing is rounded, so float64 itself comes back."""
    f = g = Network(2, [Activation("square"), scale(0.5)])
    x = np.array([[0.5, -0.25, 0.75, 1.0]])
    assert (forward(chained(revnet(f, g, 1, 2), revnet_inverse(f, g, 1, 2)), x) == x).all()


def test_a_revnet_tends_to_the_coupled_flow_with_order_one():
    f, g = two_layers(A2, A1), two_layers(W, W, C)
    x = np.random.default_rng(3).normal(size=(3, 6))
    truth = solved(flow(coupled(f, g)), x)
    errors = [np.abs(forward(revnet(f, g, 1, d), x) - truth).max() for d in DEPTHS]
    assert_allclose(-np.polyfit(np.log(DEPTHS), np.log(errors), 1)[0], 1, atol=0.05)


# -- LM-ResNet ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("k", "found"),
    [
        (0, "strong"),
        (Fraction(-999, 1000), "strong"),
        (0.5, "strong"),
        (1, "weak"),
        (-1, "violated"),
        (1.25, "violated"),
    ],
)
def test_the_root_condition(k, found):
    """Against the roots themselves, and against errors that grow or do not."""
    assert root_condition(k) == found
    roots = np.roots([1, float(k) - 1, -float(k)])
    assert (np.abs(roots).max() > 1 + 1e-9 or np.ptp(roots) < 1e-9) == (found == "violated")


@pytest.mark.parametrize("k", [Fraction(1, 2), Fraction(-1, 2), 0])
def test_lm_resnet_tends_to_the_flow_of_f_over_one_plus_k(k):
    truth = solved(flow(lm_limit(FIELD, k)), X)
    errors = [np.abs(forward(lm_resnet(FIELD, k, 1, d), X) - truth).max() for d in DEPTHS]
    assert_allclose(-np.polyfit(np.log(DEPTHS), np.log(errors), 1)[0], 1, atol=0.1)


def test_k_equal_one_is_the_leapfrog_of_order_two():
    """u_{j+1} = u_{j-1} + step f(u_j): the midpoint rule over two steps of the flow of f/2."""
    truth = solved(flow(lm_limit(FIELD, 1)), X)
    errors = [np.abs(forward(lm_resnet(FIELD, 1, 1, d), X) - truth).max() for d in DEPTHS]
    assert_allclose(-np.polyfit(np.log(DEPTHS), np.log(errors), 1)[0], 2, atol=0.1)


@pytest.mark.parametrize("k", [-1, Fraction(11, 10)])
def test_an_lm_resnet_that_violates_the_root_condition_is_refused(k):
    with pytest.raises(NumberError, match="root condition"):
        lm_resnet(FIELD, k, 1, 8)


# -- momentum, Hamiltonian ------------------------------------------------------------------------------------


def test_momentum_networks_tend_to_their_flow_and_are_undone():
    gamma = Fraction(1, 2)
    program = flow(momentum_field(FIELD, gamma), augment=3)
    truth = [
        runge_kutta(lambda t, s: np.concatenate([s[3:], np.tanh(W @ s[:3] + C) - s[3:] / 2]), [*x, 0, 0, 0], 1.0)
        for x in X
    ]
    assert_allclose(solved(program, X), truth, rtol=0, atol=1e-12)
    padded = np.hstack([X, np.zeros((4, 3))])
    errors = [np.abs(forward(momentum_resnet(FIELD, gamma, 1, d), padded) - truth).max() for d in DEPTHS]
    assert_allclose(-np.polyfit(np.log(DEPTHS), np.log(errors), 1)[0], 1, atol=0.05)
    both = chained(momentum_resnet(FIELD, gamma, 1, 6), momentum_inverse(FIELD, gamma, 1, 6))
    x = [Fraction(1, 3), 1, -2, 0.5, 0, Fraction(-1, 7)]
    assert enclose_forward(both, x, digits=50).contains(x)


def test_sanders_form_of_the_momentum_network():
    """V+ = m V + (1 - m) F(y), y+ = y + V+, m = 1 - gamma step, F = (step/gamma) f, V = step v."""
    gamma, depth = 0.75, 8
    m = 1 - gamma / depth
    y, V = X[0], np.zeros(3)
    for _ in range(depth):
        V = m * V + (1 - m) * np.tanh(W @ y + C) / (gamma * depth)
        y = y + V
    found = forward(momentum_resnet(FIELD, gamma, 1, depth), [*X[0], 0, 0, 0])
    assert_allclose(found, np.concatenate([y, V * depth]), rtol=1e-13)


def test_momentum_that_forgets_has_no_inverse():
    with pytest.raises(NumberError, match="forgotten"):
        momentum_inverse(FIELD, 4, 1, 4)


def test_a_hamiltonian_flow_keeps_its_energy_and_a_proof_says_so():
    K, b = rng.normal(size=(5, 4)), rng.normal(size=5)
    network, H = hamiltonian_field(K, b), energy(K, b)
    x = rng.normal(size=(3, 4))
    before = np.log(2 * np.cosh(x @ K.T + b)).sum(axis=1, keepdims=True)
    assert_allclose(forward(H, x), before, rtol=1e-13)
    assert_allclose(solved(flow(network, 10, readout=H), x), before, rtol=1e-12)
    proof = gpac.prove(flow(network, 1, readout=H), inputs=[1, 0.5, -1, 0], digits=15)
    assert proof.digits >= 15 and enclose_forward(H, [1, 0.5, -1, 0], digits=30).overlaps(proof)


def test_a_revnet_of_a_separable_energy_does_not_drift_and_euler_does():
    K, L = rng.normal(size=(2, 4, 2))
    f, g = separable(K, None, L, None)
    x = np.array([[1.0, -0.5, 0.25, 0.75]])

    def total(s):
        return np.log(np.cosh(s[:, 2:] @ K.T)).sum() + np.log(np.cosh(s[:, :2] @ L.T)).sum()

    assert_allclose(total(solved(flow(coupled(f, g), 20), x)), total(x), rtol=1e-11)
    drift = [
        abs(total(forward(net, x)) - total(x)) for net in (revnet(f, g, 100, 2000), resnet(coupled(f, g), 100, 2000))
    ]
    assert drift[0] < 0.05 * drift[1]


def test_an_antisymmetric_field():
    network = antisymmetric_field(W, C, Fraction(1, 8))
    assert_allclose(forward(network, X), np.tanh(X @ (W - W.T - np.eye(3) / 8).T + C), rtol=1e-13)
    (matrix,) = [
        np.asarray(sum(np.asarray(m if m.ndim == 2 else np.diag(m.astype(float))) for m in la.matrices))
        for la in network.layers
        if la.name == "affine"
    ]
    assert_allclose(np.linalg.eigvals(matrix).real, -0.125, atol=1e-14)


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


def test_a_tanh_block_alone():
    assert forward(resnet(Network(1, [Tanh()]), depth=1), [0.5]) == 0.5 + np.tanh(0.5)
