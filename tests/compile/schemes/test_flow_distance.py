"""Flows of fields with kinks, through smooth stand-ins: the stated distance is proven and not exceeded."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from flows import A1, A2, W, X, runge_kutta, solved

import gpac
from compile import Activation, Field, Network, dense, flow, forward
from compile.activations import Smooth
from compile.compose import zeros
from compile.groups import Groups
from compile.network import Node
from compile.operations import Affine, Maximum
from gpac import CircuitError


def relu_field(delta: float) -> Network:
    """h' = A2 relu(A1 h) with relu within delta."""
    return Network(3, [dense(A1), Activation("relu", Smooth(delta)), dense(A2)])


@pytest.mark.parametrize("delta", [1e-1, 1e-2, 1e-3])
def test_the_flow_of_a_relu_field_is_within_its_delta(delta):
    program = flow(relu_field(delta), 2)
    assert program.program.claim == "within"
    truth = [runge_kutta(lambda t, h: A2 @ np.maximum(A1 @ h, 0), x, 2.0) for x in X]
    found = np.abs(solved(program, X) - truth).max()
    assert 0 < found <= float(program.program.delta) < 200 * delta


def test_start_pieces_and_read_out_add_up():
    first = Network(3, [dense(W), Activation("relu", Smooth(1e-3))])
    head = Network(3, [dense(W), Activation("relu", Smooth(1e-3)), dense(W)])
    program = flow([(relu_field(1e-3), 1), (relu_field(1e-2), 0.5)], start=first, readout=head)
    kinked = [n.original for n in (first, relu_field(1e-3), head)]
    h = forward(kinked[0], X)
    ends = [runge_kutta(lambda t, v: forward(kinked[1], v), v, 1.5) for v in h]
    found = np.abs(solved(program, X) - forward(kinked[2], np.array(ends))).max()
    assert 0 < found <= float(program.program.delta)


def test_a_field_that_reads_the_input():
    network = Network(6, [dense(np.hstack([W, np.eye(3)])), Activation("relu", Smooth(1e-2)), dense(-W)])
    program = flow(Field(network, ("state", "input")), 1, start=zeros(3, 3))
    truth = [runge_kutta(lambda t, h, x=x: -W @ np.maximum(W @ h + x, 0), np.zeros(3), 1.0) for x in X]
    assert 0 < np.abs(solved(program, X) - truth).max() <= float(program.program.delta)


def test_a_field_with_a_maximum():
    """h' = V (max(h_1, h_2), h_3), each maximum within 1/100."""
    maximum = Maximum(Groups(np.array([0, 0, 1])), Fraction(1, 100))
    V = W[:, :2]
    program = flow(Network(3, [maximum, dense(V)]), 1)
    truth = [runge_kutta(lambda t, h: V @ [max(h[0], h[1]), h[2]], x, 1.0) for x in X]
    assert 0 < np.abs(solved(program, X) - truth).max() <= float(program.program.delta) < 0.2


def test_without_kinks_the_flow_is_exact_and_an_unbounded_one_is_refused():
    assert flow(Network(3, [dense(W), Activation("tanh")])).program.claim == "exact"
    steep = Network(1, [Activation("relu", Smooth(0.5)), Activation("square")])
    with pytest.raises(CircuitError, match="unbounded"):
        flow(steep)


def test_a_slope_without_bound_beside_a_kink_is_refused():
    """h' = h^2 + relu(h): the state's own slope alone is unbounded."""
    one = np.array(1.0)
    kinked = Activation("relu", Smooth(Fraction(1, 100)))
    summed = Node(Affine((one, one), np.zeros(1)), (1, 2))
    field = Network(1, [Node(Activation("square"), (0,)), Node(kinked, (0,)), summed])
    with pytest.raises(CircuitError, match="unbounded"):
        flow(field)


def test_constants_made_on_the_way_are_listed():
    said = gpac.describe(flow(Network(3, [dense(W), Activation("softplus")])))
    assert list(map(str, said.constants)) == ["log(2)"]
