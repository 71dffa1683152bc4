"""The relaxation in its exactly quadratic form: degree 2, the same curve, the same bound."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import mlp
from numpy.testing import assert_allclose

import gpac
from compile import Activation, Network, dense, enclose_forward, forward, relaxation
from compile.build import as_network, concatenate, linear
from compile.layers.convolution import conv
from compile.value import Value, network_input


def skips(moves: list[str], seed: int) -> Network:
    """A DAG of affine maps, tanh and sigmoid whose values read the input and each other."""
    rng = np.random.default_rng(seed)
    values: list[Value] = [network_input((3,))]
    for move in moves:
        a, b = (values[int(rng.integers(len(values)))] for _ in range(2))
        if move == "dense":
            values.append(linear(a, rng.normal(size=(3, 3)), rng.normal(size=3)))
        elif move == "add":
            values.append(a + b * 0.5)
        elif move == "mix":
            values.append(concatenate([a[2:], b[:2]]))
        else:
            values.append(a.apply(move))
    return as_network(values[-1] + linear(values[-2], rng.normal(size=(3, 3))), "skips")


MOVES = ["dense", "add", "mix", "tanh", "tanh", "sigmoid"]


@settings(max_examples=6, deadline=None)
@given(moves=st.lists(st.sampled_from(MOVES), min_size=1, max_size=8), seed=st.integers(0, 2**32 - 1))
def test_on_any_dag_both_forms_run_along_the_same_curve(moves, seed):
    network = skips(moves, seed)
    x = np.random.default_rng(seed).normal(size=(2, 3))
    square, cubic = relaxation(network, 2, form="quadratic"), relaxation(network, 2)
    assert square.degree == (2 if network.neurons else 0)
    a, b = (gpac.solve(c, t=0.75, inputs=x, tol=1e-13).check().outputs for c in (square, cubic))
    assert_allclose(a, b, rtol=0, atol=1e-10)
    got = gpac.solve(square, inputs=x, tol=1e-11).check()
    assert_allclose(got.outputs, forward(network, x), rtol=0, atol=1e-9)
    assert got.t.tolist() == [cubic.program.limit.time({"x": row}, 1e-11) for row in x]


def test_the_golden_dimension():
    """2-4-4-1: five states a neuron, 40, less u of the first layer, which nothing needs."""
    said = gpac.describe(relaxation(mlp(2, 4, 4, 1), form="quadratic"))
    assert (said.dim, said.circuit_degree, said.degree) == (40 - 4, 2, 2)
    assert said.starts == ("identity",)
    assert said.sentences()["start values"] == "rational, and polynomials of the inputs"


def test_its_start_values_are_those_of_the_formula():
    """k = -b in later layers, k = -(W x + b) in the first."""
    network = mlp(2, 3, 2, 1)
    circuit, x = relaxation(network, form="quadratic"), [Fraction(1, 2), Fraction(-3, 4)]
    pivp = gpac.Circuit({w.name: w for w in circuit.integrals}).to_pivp({"x": x})
    start = dict(zip(map(str, pivp.variables), pivp.initial, strict=True))
    first, second = network.layers[0], network.layers[2]
    z = [sum(Fraction(w) * v for w, v in zip(row, x, strict=True)) for row in first.weight.tolist()]
    assert [start[f"k1_{i}"] for i in range(3)] == [
        -(v + Fraction(b)) for v, b in zip(z, first.bias.tolist(), strict=True)
    ]
    assert [start[f"k2_{i}"] for i in range(2)] == [-Fraction(b) for b in second.bias.tolist()]
    assert {start[f"{letter}{n}_0"] for letter in "zsg" for n in "12"} == {0}
    assert start["u2_0"] == 1


def test_its_invariants_are_proven_together():
    circuit = relaxation(skips(["dense", "tanh", "dense", "sigmoid", "add", "tanh"], 3), 3, form="quadratic")
    gpac.prove_invariants(circuit)
    drift = gpac.invariant_drift(circuit, [0.5, -0.25, 1.0], 8)
    assert len(drift) == 5
    assert max(map(float, drift.values())) < 1e-12


def test_a_convolution_with_a_skip():
    x, rng = network_input((1, 4, 4)), np.random.default_rng(0)
    h = conv(x, rng.normal(size=(1, 1, 3, 3)), rng.normal(size=1), padding=1).apply("tanh")
    network = as_network(conv(h + x, rng.normal(size=(2, 1, 2, 2))).apply("sigmoid"), "conv")
    rows = rng.normal(size=(2, 16))
    got = gpac.solve(relaxation(network, form="quadratic"), inputs=rows, tol=1e-12).check().outputs
    assert_allclose(got, forward(network, rows), rtol=0, atol=1e-10)


def test_a_proof_in_the_quadratic_form():
    network, x = mlp(2, 3, 2, 1), [Fraction(1, 2), Fraction(-1, 3)]
    proof = gpac.prove(relaxation(network, form="quadratic"), inputs=x, digits=10)
    assert proof.digits >= 10
    assert proof.contains(enclose_forward(network, x, digits=30).mid)


def test_other_activations_are_refused_by_name():
    network = Network(1, [dense([[1.0]]), Activation("gelu")], "n")
    with pytest.raises(gpac.CircuitError, match="layer 2 of 'n', Gelu: the quadratic form is for affine maps, tanh"):
        relaxation(network, form="quadratic")
    with pytest.raises(gpac.CircuitError, match="expected form 'cubic' or 'quadratic', got 'linear'"):
        relaxation(network, form="linear")
