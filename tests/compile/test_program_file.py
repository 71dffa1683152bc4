"""Compiled programs that come back from a file make the same claims: limits, distances, constants, structure."""

import json
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import sympy
from numpy.testing import assert_array_equal

import gpac
from compile import (
    Activation,
    Affine,
    Field,
    Multiply,
    Network,
    Node,
    Tanh,
    clocked,
    dense,
    flow,
    homotopy,
    relaxation,
    scale,
    sequential,
)
from compile.activations import Smooth
from compile.architectures import Equilibrium, equilibrium
from compile.build import as_network, linear
from compile.groups import Groups
from compile.operations import Maximum
from compile.value import network_input
from gpac.export.program import from_data, to_data

rng = np.random.default_rng(8)
CHAIN = Network(2, [dense(rng.normal(size=(3, 2)), [0.5, -1, 0.25]), Tanh(), dense(rng.normal(size=(1, 3)))], "chain")
TWO = Network(2, [*CHAIN.nodes, Activation("sigmoid")])
SMOOTH = Network(2, [dense(np.eye(2)), Activation("relu", Smooth(Fraction(1, 8))), dense([[1.0, -2.0]])])
READOUT = Affine((rng.normal(size=(1, 2)),), np.array([Fraction(1, 3)], dtype=object))
MODEL = {"recurrent": [[0.25, -0.5], [0.125, -1]], "incoming": np.eye(2), "bias": [0.1, -0.2]}
ROTATION = Network(2, [dense([[0.0, 1.0], [-1.0, 0.0]]), Tanh()])
LIMITS = {
    "cubic": relaxation(TWO, Fraction(1, 3)),
    "quadratic": relaxation(TWO, 2, "quadratic"),
    "clocked": clocked(TWO, Fraction(1, 1000)),
    "clocked without layers": clocked(Network(2, [dense([[1.0, 2.0]])])),
    "equilibrium": equilibrium(Equilibrium(**MODEL), Fraction(1, 2)),
    "equilibrium with a read-out": equilibrium(Equilibrium(**MODEL, activation="sigmoid", readout=READOUT)),
    "smooth": relaxation(SMOOTH),
}
OTHERS = {
    "smooth homotopy": homotopy(SMOOTH),
    "constants": sequential(Network(2, [dense(np.eye(2)), Activation("gelu")])),
    "base": homotopy(CHAIN, [Fraction(1, 3), 1]),
    "one flow": flow(Network(2, [dense([[0.0, 1.0], [-1.0, 0.0]])]), Fraction(1, 3)),
    "flow in pieces": flow(
        [(ROTATION, 0.5), (Field(Network(3, [dense(np.eye(2, 3)), Tanh()]), ("state", "time")), 1)],
        start=Network(1, [dense([[1.0], [-0.5]]), Tanh()]),
        readout=CHAIN,
    ),
    "smooth flow": flow(Network(1, [Activation("abs", Smooth(Fraction(1, 100)))]), Fraction(1, 2)),
}


def there_and_back(program, folder):
    """Through a file; what is written again is the same text."""
    gpac.save(program, folder / "one.json")
    again = gpac.load(folder / "one.json")
    gpac.save(again, folder / "two.json")
    assert (folder / "two.json").read_text() == (folder / "one.json").read_text()
    return again


def given(program):
    (size,) = program.inputs.values()
    return np.array([0.25, -0.5, 1.0])[:size]


@pytest.mark.parametrize("name", [*LIMITS, *OTHERS])
def test_a_program_that_comes_back_solves_proves_and_says_the_same(name, tmp_path):
    program = (LIMITS | OTHERS)[name]
    again, x = there_and_back(program, tmp_path), given(program)
    assert gpac.describe(again) == gpac.describe(program)
    t = 2 if name in LIMITS else None
    once, twice = (gpac.solve(p, t, inputs=x, backend="numpy") for p in (program, again))
    assert_array_equal(once.outputs, twice.outputs)
    assert_array_equal(once.states, twice.states)
    proofs = [gpac.prove(p, inputs=x, digits=3) for p in (program, again)]
    assert str(proofs[0]) == str(proofs[1]) and proofs[0].digits >= 3
    assert [str(b) for b in proofs[0].original] == [str(b) for b in proofs[1].original]


@pytest.mark.parametrize("name", LIMITS)
def test_a_limit_that_comes_back_is_the_same_bound(name, tmp_path):
    limit, program = LIMITS[name].program.limit, there_and_back(LIMITS[name], tmp_path).program
    x = given(LIMITS[name])
    assert type(program.limit) is type(limit) and str(program.limit) == str(limit)
    for error in (Fraction(1, 10), 1e-12):
        assert program.limit.time({"x": x}, error) == limit.time({"x": x}, error)
    for t in (Fraction(1, 3), Fraction(20)):
        assert str(program.limit.error({"x": x}, t)) == str(limit.error({"x": x}, t))


def test_what_is_within_delta_or_in_a_region_says_so_afterwards(tmp_path):
    near = there_and_back(OTHERS["smooth homotopy"], tmp_path).program
    assert near.claim == "within" and near.delta == OTHERS["smooth homotopy"].program.delta > 0
    x, exact = {"x": [0.25, -0.5]}, {"x": [Fraction(1, 4), Fraction(-1, 2)]}
    assert str(near.near.differences(exact, 64)) == str(OTHERS["smooth homotopy"].program.near.differences(x, 64))
    gelu = there_and_back(OTHERS["constants"], tmp_path)
    phases = zip(gelu.phases, OTHERS["constants"].phases, strict=True)
    assert all(a.circuit.program.constants == b.circuit.program.constants for a, b in phases)
    assert any(phase.circuit.program.constants for phase in gelu.phases)
    program = OTHERS["base"]
    somewhere = replace(program, program=replace(program.program, region="near 0", constants=(sympy.sqrt(2),)))
    again = there_and_back(somewhere, tmp_path).program
    assert again.region == "near 0" and again.constants == (sympy.sqrt(2),)


def test_a_limit_is_of_the_network_as_it_was_and_not_of_one_like_it(tmp_path):
    """x sigmoid(x) in two nodes settles as two nodes do, whatever other function it is."""
    nodes = [scale(2), Activation("sigmoid"), Node(Multiply(), (1, 2)), Node(Multiply(), (3, 3)), Tanh()]
    network = Network(1, nodes)
    again = there_and_back(relaxation(network), tmp_path).program.limit.network
    assert [(repr(n), n.inputs) for n in again.nodes] == [(repr(n), n.inputs) for n in network.nodes]


def test_large_matrices_of_a_network_stand_in_a_file_once(tmp_path):
    x = network_input((4, 20))
    rows = linear(linear(x, rng.normal(size=(30, 20)), rng.normal(size=30)).apply("tanh"), rng.normal(size=(2, 30)))
    network = as_network(rows)
    network = Network(80, [*network.nodes, Maximum(Groups(np.repeat([0, 1], 4)), Fraction(1, 10))])
    program = relaxation(network)
    again = there_and_back(program, tmp_path)
    text = (tmp_path / "one.json").read_text()
    assert text.count('"block"') == 2 and again.weights == program.weights
    assert len(text) < 1.7 * 8 * network.weights + 20_000
    x = rng.normal(size=80)
    assert_array_equal(*(gpac.solve(p, 1, inputs=x, backend="numpy").outputs for p in (program, again)))


BAD = [
    ("cubic", ("rate",), -1, "a positive number"),
    ("cubic", ("network", "layers", 1, "layer"), "warp", "expected a layer among"),
    ("cubic", ("network", "layers", 0, "matrices", 0), "array 99", "the number of an array"),
    ("cubic", ("network", "layers", 0, "matrices", 0), "open('x')", "an exact number such as"),
    ("cubic", ("network", "version"), 2, "version 1"),
    ("clocked", ("error",), "1/1000000000000000000000000", "promises an error of '1/1000000000000000000000000'"),
    ("clocked", ("gates",), None, "gates for the 2 layers"),
    ("clocked", ("gates", "starts", 0), -1, "positive numbers"),
    ("clocked", ("gates", "directions"), [], "two arrays of directions"),
    ("clocked without layers", ("gates",), {}, "gates for the 0 layers"),
    ("equilibrium", ("recurrent", 0, 1), 9, "expected a contraction"),
    ("equilibrium", ("scaling", 0), 0, "positive numbers"),
    ("equilibrium", ("scaling",), [1], r"of shape \(2,\), got \(1,\)"),
    ("equilibrium", ("activation",), "exp", "no bounded slope"),
]


@pytest.mark.parametrize(("name", "place", "value", "says"), BAD)
def test_a_wrong_limit_is_refused(name, place, value, says):
    data = json.loads(json.dumps(to_data(LIMITS[name])))
    entry = data["system"]["circuit"]["program"]["limit"]["data"]
    for key in place[:-1]:
        entry = entry[key]
    assert place[-1] in entry or isinstance(place[-1], int)
    entry[place[-1]] = value
    with pytest.raises(gpac.GpacError, match=says):
        from_data(data)


def test_a_distance_nearer_than_the_network_allows_is_refused():
    data = to_data(OTHERS["smooth homotopy"])
    claims = data["system"]["circuit"]["program"]
    assert claims["delta"] is not None
    claims["delta"] = "1/1000000000000"
    with pytest.raises(gpac.LoadError, match="nearer than can be proven for the network in it"):
        from_data(data)


def test_a_limit_is_no_distance():
    data = to_data(OTHERS["smooth homotopy"])
    claims = data["system"]["circuit"]["program"]
    claims["claim"], claims["limit"] = "limit", claims["near"]
    with pytest.raises(gpac.LoadError, match="expected a limit"):
        from_data(data)


def test_a_network_that_reads_no_input_is_refused_before_writing(tmp_path):
    with pytest.raises(gpac.GpacError, match="does not read its input"):
        gpac.save(relaxation(Network(1, [Node(Affine((), np.ones(1)), ())])), tmp_path / "no.json")
    assert list(tmp_path.iterdir()) == []
