"""Random DAGs with shared values: every scheme against a judge that is built beside them from numpy functions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from judge import SCHEMES, judge
from networks import FUNCTIONS, MOVES, Pair, grow
from numpy.testing import assert_allclose

import gpac
from compile import Activation, Affine, Multiply, Network, Node, Tanh, dense, forward, homotopy, relaxation, sequential
from compile.build import as_network, concatenate, linear
from compile.value import constant, network_input

ONE = np.array(1.0)


@settings(max_examples=40, deadline=None)
@given(moves=st.lists(st.sampled_from(MOVES), min_size=1, max_size=8), seed=st.integers(0, 2**32 - 1))
def test_random_dags(moves, seed):
    rng = np.random.default_rng(seed)
    x = network_input((3,))
    pairs = [Pair(x, lambda v: v)]
    for move in moves:
        pairs.append(grow(pairs, move, rng))
    ends = pairs[-3:]
    total = sum((p.value for p in ends[1:]), ends[0].value)
    network = as_network(total, "dag")
    rows = rng.normal(size=(2, 3))
    # the relaxation's time grows with the bound, which multiplies slopes and sizes: deep towers take long
    schemes = ("homotopy", "sequential", "relaxation") if network.neurons < 20 else ("homotopy", "sequential")
    judge(network, lambda v: sum(p.array(v) for p in ends), rows, schemes, rtol=3e-12)


@settings(max_examples=15, deadline=None)
@given(moves=st.lists(st.sampled_from(MOVES), min_size=1, max_size=5), seed=st.integers(0, 2**32 - 1))
def test_the_relaxation_stays_below_its_bound(moves, seed):
    rng = np.random.default_rng(seed)
    pairs = [Pair(network_input((3,)), lambda v: v)]
    for move in moves:
        pairs.append(grow(pairs, move, rng))
    network = as_network(pairs[-1].value + pairs[-2].value, "dag")
    x = rng.normal(size=3)
    circuit = relaxation(network, 2)
    solution = gpac.solve(circuit, t=12, inputs=x, tol=1e-12, dense=True).check()
    times = np.linspace(0, 12, 25)
    errors = np.abs(solution.at(times) - forward(network, x)).max(axis=1)
    bounds = [float(circuit.program.limit.error({"x": x}, float(s)).abs_upper()) for s in times]
    assert (errors <= np.array(bounds) * (1 + 1e-9) + 1e-9).all()


def test_a_shared_value_is_one_wire_and_one_phase():
    """tanh used three times, once past another tanh: two phases, no neuron twice."""
    rng = np.random.default_rng(0)
    x = network_input((4,))
    h = linear(x, rng.normal(size=(4, 4))).apply("tanh")
    network = as_network(h + linear(h, rng.normal(size=(4, 4))).apply("tanh") * h)
    assert network.neurons == 8
    schedule = sequential(network)
    assert len(schedule.phases) == 2
    assert (homotopy(network).dim, schedule.dim, relaxation(network).dim) == (16, 16, 24)
    assert [list(p.circuit.outputs) for p in schedule.phases] == [["layer1"], ["y"]]


def test_values_that_skip_phases_are_handed_on_by_name():
    x = network_input((2,))
    a = x.apply("sin")
    b = a.apply("tanh")
    c = b.apply("sigmoid")
    network = as_network(concatenate([a, b * c, x]))
    schedule = sequential(network)
    assert [list(p.circuit.outputs) for p in schedule.phases] == [["layer1"], ["layer2"], ["y"]]
    assert dict(schedule.phases[2].circuit.inputs) == {"layer1": 2, "layer2": 2, "x": 2}
    judge(network, lambda v: [*np.sin(v), *(s := np.tanh(np.sin(v))) * FUNCTIONS["sigmoid"](s), *v], np.ones((1, 2)))


def test_a_dag_written_as_nodes():
    """h = tanh(W x), y = h * x + h."""
    W = np.array([[1.0, -2.0], [0.5, 0.25]])
    nodes = [dense(W), Tanh(), Node(Multiply(), (2, 0)), Node(Affine((ONE, ONE), 0), (3, 2))]
    judge(Network(2, nodes), lambda v: np.tanh(W @ v) * (v + 1), np.random.default_rng(0).normal(size=(3, 2)))


def test_a_constant_network():
    network = as_network(constant([1.0, 2.0]).apply("tanh") + 0 * network_input((2,)))
    judge(network, lambda v: np.tanh([1.0, 2.0]), np.ones((1, 2)))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_proof_of_a_dag_contains_the_balls(scheme):
    from compile import enclose_forward

    x = network_input((2,))
    h = linear(x, [[1.0, -2.0], [0.5, 0.25]], [0.1, 0.2]).apply("gelu")
    network = as_network(h.softmax() * x + h)
    proof = gpac.prove(SCHEMES[scheme](network), inputs=[0.5, -0.25], digits=12)
    assert proof.digits >= 12
    assert enclose_forward(network, [0.5, -0.25], digits=30).overlaps(proof)


def test_a_power_of_a_product_needs_no_state():
    network = Network(2, [dense(np.eye(2)), Activation("power", 3), Node(Multiply(), (2, 0))])
    for scheme in SCHEMES.values():
        assert scheme(network).dim == 0
    assert_allclose(gpac.solve(homotopy(network), inputs=[2.0, -1.0], tol=1e-12).outputs, [16.0, 1.0], rtol=1e-14)


def test_a_very_deep_chain_of_sums():
    """A thousand skips in a row: nothing in the compiler recurses over the depth."""
    one = np.array(1.0)
    nodes = [dense(np.eye(2) / 8), Activation("exp")]
    for k in range(1000):
        nodes.append(Node(Affine((one, np.array(2.0**-10)), 0), (2 + k, 1)))
    nodes.append(Activation("exp"))
    network = Network(2, nodes)
    x = np.array([[0.5, -1.0]])
    truth = np.exp(np.exp(x / 8) + 1000 * x / 8 / 1024)
    assert_allclose(forward(network, x), truth, rtol=1e-12)
    for scheme in (homotopy, sequential):
        assert_allclose(gpac.solve(scheme(network), inputs=x, tol=1e-14).check().outputs, truth, rtol=1e-12)
