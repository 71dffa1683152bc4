"""The clocked system: one analytic system, layer after layer, near the network by a proven bound."""

from fractions import Fraction
from importlib import import_module

import flint
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import MOVES, Pair, everything, grow, mlp
from numpy.testing import assert_allclose

import gpac
from compile import Activation, Network, clocked, dense, enclose_forward, forward
from compile.build import as_network
from compile.schemes.gates import clock
from compile.value import network_input
from gpac import NumberError


def bound(circuit: gpac.Circuit, x: np.ndarray, t: float) -> float:
    return float(circuit.program.limit.error({"x": x}, t).abs_upper())


@pytest.mark.parametrize("error", [Fraction(1, 100), 1e-6])
@pytest.mark.parametrize("widths", [(2, 4, 1), (2, 4, 4, 1), (3, 5, 4, 3, 2, 2)])
def test_at_the_end_of_the_first_round_the_output_is_as_near_as_promised(widths, error):
    network = mlp(*widths)
    circuit, end = clocked(network, error=error), len(widths) - 1
    x = np.random.default_rng(3).uniform(-1, 1, size=(5, widths[0]))
    got = gpac.solve(circuit, t=end, inputs=x, tol=1e-13).check().outputs
    errors = np.abs(got - forward(network, x)).max(axis=1)
    bounds = np.array([bound(circuit, row, end) for row in x])
    assert (bounds <= float(error)).all()
    assert (errors <= bounds + 1e-12).all()  # 1e-12: what the solver may add


def test_the_bound_holds_at_all_times_and_is_not_idle():
    network = mlp(2, 3, 3, 1, seed=4)
    circuit, x = clocked(network, error=1e-3), np.array([0.75, -0.5])
    run = gpac.solve(circuit, t=12, inputs=x, tol=1e-13, dense=True).check()
    times = np.linspace(0, 12, 49)
    errors = np.abs(run.at(times) - forward(network, x)).max(axis=1)
    bounds = np.array([bound(circuit, x, s) for s in times])
    assert (errors <= bounds + 1e-11).all()
    assert errors[0] > 0.01
    assert (np.diff(bounds) <= 0).all()
    early = np.searchsorted(times, 2.5)  # the first round is through
    assert errors[early] > 1e-7 * bounds[early]


def test_the_rate_is_the_least_on_its_ladder():
    network = mlp(2, 4, 4, 1)
    limit = clocked(network, error=1e-6).program.limit
    lower = type(limit)(network, limit.rate / Fraction(5, 4), limit.gates, limit.promise, limit.reach)
    one = [flint.arb(1)]
    assert limit.after(1, one) <= flint.arb(1e-6)
    assert not lower.after(1, one) <= flint.arb(1e-6)


def test_left_out_the_time_is_that_of_the_tolerance():
    network = mlp(2, 4, 4, 1)
    circuit, x = clocked(network, error=1e-2), np.array([[0.5, -1.0], [40.0, 30.0]])
    run = gpac.solve(circuit, inputs=x, tol=1e-11).check()
    assert (run.t > 3.1).all()  # more than one round
    assert_allclose(run.outputs, forward(network, x), rtol=0, atol=1e-9)


def test_a_proof_contains_the_network():
    network, x = mlp(2, 3, 2, 1), [Fraction(1, 2), Fraction(-1, 3)]
    proof = gpac.prove(clocked(network, error=1e-12), inputs=x, digits=10)
    assert proof.digits >= 10
    assert proof.contains(enclose_forward(network, x, digits=30).mid)


def test_it_is_one_system_with_rational_numbers_of_degree_four():
    """3 N + L + 2 states with pairs (u, d): z, u, d for every neuron, the gates, and the clock."""
    said = gpac.describe(clocked(mlp(2, 4, 4, 1)))
    assert (said.dim, said.circuit_degree, said.degree) == (3 * 8 + 2 + 2, 4, 4)
    assert (said.form, said.autonomous, said.rational_start, said.constants) == ("system", True, True, ())
    assert "within 1e-09 at t = 3 for inputs up to 1 in size" in said.sentences()["output"]


def test_invariants_of_the_clocked_system():
    circuit = clocked(everything(), error=1e-3)
    gpac.prove_invariants(circuit)
    drift = gpac.invariant_drift(circuit, [0.5, -0.25, 1.0], 4)
    assert max(map(float, drift.values())) < 1e-11


@settings(max_examples=6, deadline=None)
@given(moves=st.lists(st.sampled_from(MOVES), min_size=1, max_size=4), seed=st.integers(0, 2**32 - 1))
def test_random_dags(moves, seed):
    rng = np.random.default_rng(seed)
    pairs = [Pair(network_input((3,)), lambda v: v)]
    for move in moves:
        pairs.append(grow(pairs, move, rng))
    network = as_network(pairs[-1].value + pairs[-2].value, "dag")
    x = rng.uniform(-1, 1, size=3)
    circuit = clocked(network, error=1e-6)
    end = float(circuit.program.limit.round_end)
    got = gpac.solve(circuit, t=end, inputs=x, tol=1e-12).check().outputs
    assert np.abs(got - forward(network, x)).max() <= bound(circuit, x, end) + 1e-9 <= 1e-6 + 1e-9


@pytest.mark.parametrize(("sharpness", "golden"), [(5, 0.18309), (10, 0.12783), (20, 0.08978), (40, 0.06328)])
def test_the_golden_gate_integrals(sharpness, golden):
    """Of exp(k (cos - 1)) over half a period, in periods; slots are a little shorter and sit on a dyadic grid."""
    gates = clock(1, Fraction(sharpness))
    area = float(gates.areas[0]) * float(gates.frequency) / (2 * np.pi)
    assert_allclose(area, golden, atol=3e-5)


def test_the_gates_are_what_they_are_said_to_be():
    gates = clock(3, Fraction(10))
    a, b = gates.directions
    circuit = gpac.Circuit({f"gate{k}": w for k, w in enumerate(gates.wires())})
    times = np.linspace(0, 9, 40)
    got = gpac.solve(circuit, t=9, tol=1e-14, dense=True).check().at(times)
    w = float(gates.frequency) * times[:, None]
    truth = gates.starts * np.exp(10 * (a * (np.cos(w) - 1) + b * np.sin(w)))
    assert_allclose(got.reshape(40, 3), truth, rtol=1e-10)
    assert_allclose(times[truth[:20].argmax(axis=0)], [1, 2, 3], atol=0.25)


def test_what_cannot_be_promised_is_refused(monkeypatch):
    with pytest.raises(NumberError, match="expected positive numbers, got error=0"):
        clocked(mlp(1, 2, 1), error=0)
    with monkeypatch.context() as patch:
        patch.setattr(import_module("compile.schemes.clocked"), "LARGEST_RATE", 64)
        with pytest.raises(NumberError, match=r"an error of 1e-50 at t = L \+ 1 needs a rate above 64"):
            clocked(mlp(1, 2, 1), error=1e-50)
    tower = [dense([[9.0]])] + [Activation("exp")] * 5
    with pytest.raises(NumberError, match="its values cannot be bounded"):
        clocked(Network(1, tower, "n"))
    with pytest.raises(NumberError, match="positive error"):
        clocked(mlp(1, 2, 1)).program.limit.time({"x": np.ones(1)}, 0)


def test_a_linear_network_needs_no_clock():
    network = Network(2, [dense([[1.0, 2.0]], [0.5])])
    circuit = clocked(network)
    assert circuit.dim == 0
    assert gpac.solve(circuit, inputs=[1.0, 1.0]).outputs == [3.5]


def test_its_cost_is_measured_from_few_bits_on():
    """At 16 working bits the gates cannot be followed at all: that is a lack of bits, not an end of the solution."""
    cost = gpac.measure(clocked(mlp(1, 2, 1), error=1e-3), inputs=[0.5], bits=[16])
    assert [row.bits for row in cost.table] == [16]
    assert cost.table[0].working_bits > 16
