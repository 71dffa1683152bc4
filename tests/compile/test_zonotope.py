"""Affine forms: no point of the box leaves them, and small boxes lose nothing."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from compile import (
    Activation,
    Affine,
    Multiply,
    Network,
    Node,
    Sigmoid,
    Softmax,
    Tanh,
    dense,
    enclose_box,
    enclose_forward,
    forward,
    load,
    scale,
)
from compile.groups import Groups
from gpac import NumberError, ShapeError

NETWORKS = Path(__file__).parents[3] / "shared" / "networks"


def _random(seed: int) -> Network:
    """Layers of every kind, one of which reads two values."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 6))
    third = scale(Fraction(1, 3), 0.25)
    curved = [Tanh(), Sigmoid(), Activation("softplus"), Activation("silu"), Activation("power", 2)]
    nodes = [Node(third, (0,)), Node(dense(rng.normal(size=(n, 3)), rng.normal(size=n)), (1,))]
    nodes += [Node(curved[rng.integers(5)], (2,)), Node(Tanh(), (2,)), Node(Multiply(), (3, 4))]
    mixed = Affine((rng.normal(size=(4, n)), rng.normal(size=(4, n))), rng.normal(size=4))
    nodes += [Node(mixed, (5, 4)), Node([Softmax(Groups(np.zeros(4, dtype=int))), Sigmoid()][rng.integers(2)], (6,))]
    return Network(3, nodes)


@pytest.mark.parametrize("seed", range(30))
def test_exact_outputs_of_points_of_the_box_lie_within(seed):
    rng = np.random.default_rng(seed)
    network, x = _random(seed), rng.uniform(-2, 2, 3)
    eps = 10.0 ** rng.uniform(-9, 0.3, 3) * rng.integers(0, 2, 3)
    lower, upper = enclose_box(network, x - eps, x + eps)
    corners = rng.choice([-1.0, 1.0, 0.0], (6, 3))
    for point in np.clip(x + eps * corners, x - eps, x + eps):
        for low, high, ball in zip(lower, upper, enclose_forward(network, point, digits=25).balls, strict=True):
            assert low <= ball <= high


@pytest.mark.parametrize("name", ["verisig_acc_tanh.yml", "verisig_mc_sig_2x16.yml"])
def test_a_small_box_gives_hardly_more_than_the_true_range(name):
    if not (NETWORKS / name).exists():
        pytest.skip(f"the network {name} is not on this machine")
    network = load(NETWORKS / name)
    x, eps = np.random.default_rng(0).uniform(-0.05, 0.05, network.size), 1e-6
    steps = 1e-5 * np.eye(network.size)
    slope = (forward(network, x + steps) - forward(network, x - steps)) / 2e-5  # (inputs, outputs)
    lower, upper = enclose_box(network, x - eps, x + eps)
    true = 2 * eps * np.abs(slope).sum(axis=0)
    assert (true > 1e-9).all()
    assert (upper - lower < 1.001 * true).all()


def test_a_point_gives_its_value_to_rounding():
    network = _random(1)
    x = np.array([0.1, -0.2, 0.3])
    lower, upper = enclose_box(network, x, x)
    assert (upper - lower < 1e-12).all()
    exact = enclose_forward(network, x, digits=25)
    assert all(a <= b <= c for a, b, c in zip(lower, exact.balls, upper, strict=True))


def test_what_saturates_or_overflows_stays_sound():
    network = Network(1, [dense([[1e300]]), Tanh(), dense([[2.0]])])
    lower, upper = enclose_box(network, [-1.0], [1.0])
    assert lower[0] <= -2 and upper[0] >= 2 and upper[0] < 2.01
    lower, upper = enclose_box(Network(1, [dense([[1e300]]), dense([[1e300]])]), [-1.0], [1.0])
    assert not upper[0] < 1e308 and not lower[0] > -1e308


def test_wrong_corners_are_named():
    network = Network(2, [dense([[1.0, 1.0]])])
    with pytest.raises(ShapeError, match="corners of 2 numbers"):
        enclose_box(network, [0.0], [1.0])
    with pytest.raises(NumberError, match="low <= high"):
        enclose_box(network, [0.0, 1.0], [1.0, 0.0])
