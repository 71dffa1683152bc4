"""The network around an input: at every t the output is the network's at base + t (x - base)."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import MOVES, Pair, everything, grow, mlp
from numpy.testing import assert_allclose

import gpac
from compile import Activation, Network, Node, Tanh, dense, enclose_forward, forward, homotopy
from compile.activations import RULES, Smooth
from compile.build import as_network, linear
from compile.groups import Groups
from compile.operations import Affine, Maximum
from compile.value import constant, network_input

PARAMETERS = {"none": None, "exponent": 3, "offset": Fraction(1, 10), "factor": Fraction(3, 7)}
PARAMETERS |= {"smooth": Smooth(Fraction(1, 10)), "clip": Smooth(Fraction(1, 10), (-1, 2))}
PARAMETERS |= {"elu": Smooth(Fraction(1, 10), (2, Fraction(1, 2), 1))}


def neurons(name: str) -> Network:
    """3 - 4 - 2 with the activation in the middle (of squares where it must be)."""
    rng = np.random.default_rng(1)
    h = linear(network_input((3,)), rng.normal(size=(4, 3)), rng.normal(size=4))
    h = h * h if RULES[name].nonnegative else h
    h = h.apply(name, PARAMETERS[name] if name in PARAMETERS else PARAMETERS[RULES[name].parameter])
    return as_network(linear(h, rng.normal(size=(2, 4)), rng.normal(size=2)), name)


def assert_on_the_way(network: Network, base: np.ndarray, x: np.ndarray, atol: float) -> None:
    run = gpac.solve(homotopy(network, base=base), inputs=x, tol=1e-14, dense=True).check()
    times = np.linspace(0, 1, 6)
    for t, outputs in zip(times, np.moveaxis(run.at(times), 1, 0), strict=True):
        assert_allclose(outputs, forward(network, base + t * (x - base)), rtol=0, atol=atol)


@pytest.mark.parametrize("name", sorted(RULES))
def test_every_activation_starts_anywhere(name):
    rng = np.random.default_rng(4)
    base, x = 2 * rng.normal(size=3), rng.normal(size=(2, 3))
    network = neurons(name)
    assert_on_the_way(network, base, x, 1e-11)
    proof = gpac.prove(homotopy(network, base=base), inputs=x[0], digits=20)
    assert proof.digits >= 20
    assert proof.contains(enclose_forward(network, x[0], digits=40).mid)


@settings(max_examples=7, deadline=None)
@given(moves=st.lists(st.sampled_from([*MOVES, "softmax"]), min_size=1, max_size=5), seed=st.integers(0, 2**32 - 1))
def test_random_dags(moves, seed):
    rng = np.random.default_rng(seed)
    pairs = [Pair(network_input((3,)), lambda v: v)]
    for move in moves:
        pairs.append(grow(pairs, move, rng))
    network = as_network(pairs[-1].value + pairs[-2].value, "dag")
    assert_on_the_way(network, rng.normal(size=3), rng.normal(size=(2, 3)), 1e-10)


def test_a_smooth_maximum_starts_anywhere():
    rng = np.random.default_rng(4)
    largest = Maximum(Groups(np.array([0, 1, 0, 0, 1])), Fraction(1, 10))
    network = Network(3, [dense(rng.normal(size=(5, 3)), rng.normal(size=5)), largest])
    base, x = 2 * rng.normal(size=3), rng.normal(size=(2, 3))
    assert_on_the_way(network, base, x, 1e-11)
    proof = gpac.prove(homotopy(network, base=base), inputs=x[0], digits=20)
    assert proof.contains(enclose_forward(network, x[0], digits=40).mid)


@pytest.mark.parametrize("result", ["softmax", "log_softmax", "logsumexp"])
def test_softmax_heads(result):
    network = as_network(linear(network_input((3,)), 3 * np.eye(3)).softmax(0, result), result)
    assert_on_the_way(network, np.array([1.0, -2.0, 0.5]), np.array([[3.0, 0.25, -1.0]]), 1e-13)


def test_from_the_input_itself_there_is_no_way_to_go():
    network, x = everything(), np.array([0.5, -0.25, 1.0])
    run = gpac.solve(homotopy(network, base=x), inputs=x, tol=1e-14, length=True).check()
    assert_allclose(run.outputs, forward(network, x), rtol=1e-14)
    assert run.length < 1e-12


def test_a_short_way_is_shorter():
    network, x = mlp(4, 8, 8, 2), np.array([1.0, -2.0, 0.5, 1.5])
    far, near = homotopy(network), homotopy(network, base=x + 0.01)
    lengths = [float(gpac.solve(p, inputs=x, tol=1e-12, length=True).length) for p in (far, near)]
    assert lengths[1] < lengths[0] / 20


def test_without_offsets_a_base_of_zero_is_the_straight_ray():
    network = Network(2, [dense([[1.0, 2.0], [0.5, -1.0]]), Tanh(), dense([[1.0, 1.0]])])
    said = gpac.describe(homotopy(network, base=[0, 0]))
    assert said == gpac.describe(homotopy(network))
    assert said.rational_start


def test_it_says_where_it_starts():
    said = gpac.describe(homotopy(mlp(2, 3, 1), base=[Fraction(1, 3), 2]))
    assert (said.claim, said.horizon, said.rational_start, said.starts_from_inputs) == ("exact", 1, False, False)
    assert said.sentences()["start values"] == "rational, and sech_squared, tanh of constants"


def test_a_constant_that_passes_through_an_activation():
    network = as_network(constant([1.0, 2.0]).apply("tanh") * network_input((2,)).apply("sin"))
    assert_on_the_way(network, np.array([1.0, 2.0]), np.array([[0.5, -0.5]]), 1e-13)


def tents(depth: int) -> Network:
    """v -> tanh(6 (v + 1/2)) - tanh(6 (v - 1/2)) - 1, one after the other."""
    nodes: list = []
    for _ in range(depth):
        nodes += [dense([[6.0], [6.0]], [3.0, -3.0]), Tanh(), Node(Affine(([[1.0, -1.0]],), [-1.0]), (len(nodes) + 2,))]
    return Network(1, nodes)


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_the_golden_variation_of_tents_doubles_with_every_layer(depth):
    """From 0 to 1: 1.9852 * 2**(L - 1), but for 3e-4, as tents do not end at -1 and 1; against numpy more digits."""
    run = gpac.solve(homotopy(tents(depth), base=[0]), inputs=[1.0], tol=1e-12, dense=True).check()
    grid = np.linspace(0, 1, 20001)
    variation, v = np.abs(np.diff(run.at(grid)[:, 0])).sum(), grid
    for _ in range(depth):
        v = np.tanh(6 * v + 3) - np.tanh(6 * v - 3) - 1
    assert_allclose(variation, np.abs(np.diff(v)).sum(), rtol=1e-9)
    assert_allclose(variation, 1.9852 * 2 ** (depth - 1), rtol=4e-4)


def test_a_base_of_another_size_is_refused():
    with pytest.raises(gpac.ShapeError, match=r"expected a base of 2 numbers for Network.2-3-1 tanh.*, got 3"):
        homotopy(mlp(2, 3, 1), base=[0, 0, 0])


def test_an_activation_that_starts_at_one_place_is_refused(monkeypatch):
    from compile.schemes import units

    monkeypatch.setattr(units, "ANYWHERE", units.ANYWHERE - {"tanh"})
    with pytest.raises(gpac.CircuitError, match="layer 2 of 'network', Tanh: its circuit starts at one place only"):
        homotopy(mlp(2, 3, 1), base=[0, 0])


def test_the_table_of_activations_that_start_anywhere_is_of_known_ones():
    from compile.schemes.units import ANYWHERE

    assert set(RULES) >= ANYWHERE
    assert Activation("tanh").name in ANYWHERE
