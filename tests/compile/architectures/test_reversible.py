"""RevNet, LM-ResNet, momentum and Hamiltonian networks: exact inverses, root conditions, energies, limits."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from flows import A1, A2, DEPTHS, FIELD, C, W, X, order, rng, runge_kutta, solved
from numpy.testing import assert_allclose

import gpac
from compile import Activation, Network, enclose_forward, flow, forward, scale
from compile.architectures import (
    antisymmetric_field,
    coupled,
    energy,
    hamiltonian_field,
    lm_limit,
    lm_resnet,
    momentum_field,
    momentum_inverse,
    momentum_resnet,
    resnet,
    revnet,
    revnet_inverse,
    root_condition,
    separable,
    two_layers,
)
from compile.compose import chained
from gpac import NumberError

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
    assert_allclose(order(DEPTHS, errors), 1, atol=0.05)


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
    assert_allclose(order(DEPTHS, errors), 1, atol=0.1)


def test_k_equal_one_is_the_leapfrog_of_order_two():
    """u_{j+1} = u_{j-1} + step f(u_j): the midpoint rule over two steps of the flow of f/2."""
    truth = solved(flow(lm_limit(FIELD, 1)), X)
    errors = [np.abs(forward(lm_resnet(FIELD, 1, 1, d), X) - truth).max() for d in DEPTHS]
    assert_allclose(order(DEPTHS, errors), 2, atol=0.1)


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
    assert_allclose(order(DEPTHS, errors), 1, atol=0.05)
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
