"""Systems survive the way through bytes: every wire once, loops, chains of any length, exact numbers."""

import copy
import pickle
import sys

import numpy as np
import pytest
import sympy
from numpy.testing import assert_array_equal
from problems import PROBLEMS, problem

import gpac
from compile import Network, Tanh, dense, homotopy, relaxation, sequential
from gpac import Circuit, solve
from gpac.packing import pack, unpack
from gpac.wire import Forward


def there_and_back(value):
    return pickle.loads(pickle.dumps(value))


def net() -> Network:
    rng = np.random.default_rng(5)
    return Network(3, [dense(rng.normal(size=(4, 3)), rng.normal(size=4)), Tanh(), dense(rng.normal(size=(2, 4)))])


@pytest.mark.parametrize("problem", PROBLEMS, ids=repr)
def test_a_system_that_comes_back_gives_the_same_bits(problem):
    once, again = (solve(s, t=problem.t, backend="numpy") for s in (problem.system, there_and_back(problem.system)))
    assert_array_equal(once.states, again.states)
    assert_array_equal(once.outputs, again.outputs)


def test_a_pivp_comes_back_equal():
    x, y = sympy.symbols("x y")
    system = gpac.PIVP({x: y, y: -x + x**3 / 6}, {x: sympy.sin(1), y: 0.1}, {"energy": x**2 + y**2})
    hash(system)
    assert there_and_back(system) == system


@pytest.mark.parametrize("scheme", [homotopy, relaxation, sequential])
def test_a_compiled_program_comes_back_with_its_claims(scheme):
    program = scheme(net())
    again = there_and_back(program)
    assert repr(again) == repr(program)
    assert again.program.horizon == program.program.horizon
    if program.program.limit:
        x = {"x": np.array([0.5, -1.0, 0.25])}
        assert again.program.limit.time(x, 1e-9) == program.program.limit.time(x, 1e-9)
    circuits = [phase.circuit for phase in again.phases] if scheme is sequential else [again]
    invariants = [(circuit, i) for circuit in circuits for i in circuit.program.invariants]
    assert invariants
    for circuit, invariant in invariants:
        needed = gpac.Circuit({"i": invariant.wire}).integrals
        assert set(needed) <= set(circuit.integrals)  # the program's own integrators, not copies of them


def test_a_wire_used_twice_is_one_wire_afterwards():
    y = gpac.wire("y")
    y.define(gpac.integral(-y, None, 1, name="y"))
    square = y * y
    again = there_and_back(Circuit({"a": square, "b": square, "y": y}))
    a, b, y = (again.source(again.outputs[name]) for name in "aby")
    assert a is b
    assert again.source(a.left) is again.source(a.right) is y
    assert again.source(y.integrand).terms[0][1].target[0] is y


def test_what_is_packed_together_shares_its_wires():
    x = gpac.integral(1, name="x")
    first, second, wire = unpack(pack((Circuit({"a": x}), Circuit({"b": 2 * x}), x)))
    assert first.outputs["a"] is wire
    assert second.outputs["b"].terms[0][1] is wire


def test_a_forward_wire_that_is_not_yet_defined_can_be_defined_afterwards():
    again = there_and_back(gpac.wire("later", 3))
    assert isinstance(again, Forward)
    assert (again.name, again.size, again.target) == ("later", 3, [])
    again.define(gpac.constant([1, 2, 3]))


def test_chains_may_be_deeper_than_the_recursion_limit():
    wire = gpac.time()
    for _ in range(2 * sys.getrecursionlimit()):
        wire = gpac.integral(1 + wire * 0.5)
    circuit = Circuit({"y": wire})
    again = there_and_back(circuit)
    assert [type(w) for w in again.wires] == [type(w) for w in circuit.wires]
    assert again.dim == 2 * sys.getrecursionlimit()


def test_a_deep_copy_is_independent():
    circuit = problem("tanh flow").system
    again = copy.deepcopy(circuit)
    assert not set(again.wires) & set(circuit.wires)
