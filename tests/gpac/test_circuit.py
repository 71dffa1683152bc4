"""Circuits: what is well formed, what the messages say, and the counts."""

import time as clock
from itertools import pairwise

import numpy as np
import pytest

import gpac
from compile import Network, Tanh, dense, homotopy, relaxation, sequential
from gpac import Circuit, CircuitError, ShapeError, inputs, integral, linear, product, wire
from gpac import functions as fn

# -- well formed ---------------------------------------------------------------------------------------------


def test_an_algebraic_loop_is_refused_with_its_wires():
    a, b = wire("a"), wire("b")
    first = linear([(2, b)], 1, name="first")
    second = a.define(linear([(1, product(first, first))], name="second"))
    b.define(second)
    with pytest.raises(CircuitError, match="algebraic loop") as caught:
        Circuit({"out": first})
    assert "'first'" in str(caught.value) and "'second'" in str(caught.value)
    assert "'a'" not in str(caught.value)  # the units are named, not the cables


def test_a_wire_defined_as_itself_is_refused():
    a, b = wire("a"), wire("b")
    a.define(b)
    b.define(a)
    for outputs in ({"out": a}, {"c": wire("c")}):
        with pytest.raises(CircuitError, match=r"algebraic loop: wire '[abc]' is defined as itself"):
            Circuit(outputs)


def test_an_undefined_wire_is_named_with_its_user():
    with pytest.raises(CircuitError, match=r"wire 'velocity', used by integrator 'place', is neither defined"):
        Circuit({"y": integral(wire("velocity"), name="place")})
    with pytest.raises(CircuitError, match=r"wire 'z', used by an output"):
        Circuit({"y": wire("z")})


@pytest.mark.parametrize("still", [inputs("x"), gpac.constant(2), inputs("x") * inputs("x") + 1], ids=repr)
def test_an_integral_over_a_wire_that_never_moves_is_refused(still):
    with pytest.raises(CircuitError, match=r"integrator 'stuck' integrates with respect to .* never moves"):
        Circuit({"y": integral(1, still, name="stuck")})


def test_a_rate_that_depends_on_itself_is_refused():
    """y = Int 1 d(y^2): y' = 2 y y', which no polynomial system defines."""
    y = wire("y")
    y.define(integral(1, product(y, y), name="y"))
    with pytest.raises(CircuitError, match=r"rate of an integrator depends on itself.*integrator 'y'"):
        Circuit({"y": y})


def test_two_integrators_may_not_drive_each_other_without_delay():
    a, b = wire("a"), wire("b")
    a.define(integral(1, b, name="a"))
    b.define(integral(1, a, name="b"))
    with pytest.raises(CircuitError, match="depends on itself") as caught:
        Circuit({"a": a})
    assert "'a'" in str(caught.value) and "'b'" in str(caught.value)


def test_feedback_through_an_integrand_is_fine():
    y = wire("y")
    assert Circuit({"y": integral(1 + y * y)}).dim == 1


def test_sizes_of_forward_wires_are_checked():
    with pytest.raises(ShapeError, match="wire 'y' is used with size 2 but has size 3"):
        Circuit({"y": integral(inputs("x", 3)), "z": 2 * wire("y", 2)})


def test_sizes_of_forward_outputs_are_checked():
    with pytest.raises(ShapeError, match="wire 'y' is used with size 2 but has size 3"):
        Circuit({"y": integral(inputs("x", 3)), "z": wire("y", 2)})


def test_one_input_has_one_size():
    with pytest.raises(ShapeError, match=r"input 'x' is used with sizes [23] and [23]"):
        Circuit({"a": inputs("x", 2), "b": inputs("x", 3)})


def test_two_wires_of_one_input_name_are_the_same_input():
    circuit = Circuit({"a": inputs("x", 2), "b": 2 * inputs("x", 2)})
    assert dict(circuit.inputs) == {"x": 2}
    assert gpac.solve(circuit, t=1, inputs=[1.0, 2.0]).outputs.tolist() == [1, 2, 2, 4]


def test_a_circuit_reads_something():
    with pytest.raises(CircuitError, match="at least one wire"):
        Circuit({})


def test_outputs_may_be_numbers():
    assert gpac.solve(Circuit({"one": 1, "t": gpac.time()}), t=2).outputs.tolist() == [1.0, 2.0]


def test_names_of_outputs_close_loops():
    x, v = wire("x"), wire("v")
    circuit = Circuit({"x": integral(v, None, 1), "v": integral(-x, None, 0)})
    np.testing.assert_allclose(gpac.solve(circuit, t=1).outputs, [np.cos(1), -np.sin(1)], rtol=1e-12)


# -- counts --------------------------------------------------------------------------------------------------


def mlp(*widths: int) -> Network:
    rng = np.random.default_rng(0)
    layers = []
    for m, n in pairwise(widths):
        layers += [dense(rng.normal(size=(n, m)), rng.normal(size=n)), Tanh()]
    return Network(widths[0], layers[:-1])


@pytest.mark.parametrize(
    ("scheme", "dim", "degree", "weights"),
    [
        # 8 neurons as pairs (u, d); degrees of u_l' = d_l z_l' and d_l' = -2 u_l u_l' are l and l + 1;
        # weights 2*4 + 4*4 + 4*1, and offsets ride on time in the homotopy: one column each
        (homotopy, 16, 3, 28 + 4 + 1),
        (relaxation, 24, 3, 28),  # z besides: u' = d z', d' = -2 u u'
        (sequential, 16, 2, 28),  # u' = d z with z a constant, d' = -2 u u' = -2 u d z
    ],
)
def test_counts_of_the_golden_network(scheme, dim, degree, weights):
    program = scheme(mlp(2, 4, 4, 1))
    assert (program.dim, program.degree) == (dim, degree)
    assert program.weights == weights


def test_degree_of_the_homotopy_grows_by_one_per_layer():
    assert [homotopy(mlp(2, *[3] * depth, 1)).degree for depth in range(1, 6)] == [2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    ("make", "dim", "degree"),
    [
        (lambda t: fn.exp(t), 1, 1),
        (lambda t: fn.sin(t), 2, 1),
        (lambda t: fn.tan(t), 1, 2),
        (lambda t: fn.tanh(t), 2, 2),  # u' = d, d' = -2 u d
        (lambda t: fn.log(1 + t), 2, 2),
        (lambda t: fn.sqrt(1 + t), 2, 3),
        (lambda t: fn.arctan(t), 2, 2),  # w' = -2 t w^2, time is no state
        (lambda t: fn.exp(fn.exp(t)), 2, 2),
        (lambda t: fn.sin(fn.sin(t)), 4, 2),
    ],
)
def test_counts_of_functions(make, dim, degree):
    circuit = Circuit({"y": make(gpac.time())})
    assert (circuit.dim, circuit.degree) == (dim, degree)
    expanded = circuit.to_pivp()
    assert expanded.dim in (dim, dim + 1)  # with a clock where time is read
    assert expanded.degree >= degree


def test_repr_is_one_line_however_large():
    rng = np.random.default_rng(0)
    W, b = rng.normal(size=(1000, 100)), rng.normal(size=1000)
    big = homotopy(Network(100, [dense(W, b), Tanh(), dense(rng.normal(size=(1, 1000)))]))
    begin = clock.perf_counter()
    texts = [repr(big), repr(big.outputs["y"]), repr(sequential(mlp(2, 3, 1)))]
    assert clock.perf_counter() - begin < 0.5  # printing does not touch the weights
    assert texts[0] == "Circuit(y; 2000 states, 101000 weights)"
    assert all(len(t) < 100 and "\n" not in t for t in texts)


def test_repr_names_the_first_outputs():
    circuit = Circuit({n: gpac.time() for n in "abcde"})
    assert repr(circuit) == "Circuit(a, b, c, d, ...; 0 states, 0 weights)"


def test_a_wire_used_twice_is_one_unit():
    e = fn.exp(gpac.time())
    assert Circuit({"a": e * e, "b": e + 1, "c": e}).dim == 1


# -- schedules -----------------------------------------------------------------------------------------------


def test_a_schedule_hands_values_on_by_name():
    double = Circuit({"y": 2 * inputs("x", 2)})
    total = Circuit({"z": np.array([[1.0, 1.0]]) @ inputs("y", 2) + inputs("x", 2) * 0})
    schedule = gpac.Schedule((gpac.Phase(double, 1), gpac.Phase(total, 2)))
    assert dict(schedule.inputs) == {"x": 2}
    assert schedule.duration == 3
    assert gpac.solve(schedule, inputs=[1.0, 2.0]).outputs.tolist() == [6.0, 6.0]


def test_phases_must_fit():
    with pytest.raises(CircuitError, match="at least one phase"):
        gpac.Schedule(())
    with pytest.raises(CircuitError, match="phase 0 must last a positive time, got 0"):
        gpac.Schedule((gpac.Phase(Circuit({"y": inputs("x")}), 0),))
    one, two = Circuit({"y": inputs("x", 2)}), Circuit({"z": inputs("y", 3)})
    with pytest.raises(ShapeError, match="phase 1 reads 'y' with size 3, but it has size 2"):
        gpac.Schedule((gpac.Phase(one, 1), gpac.Phase(two, 1)))
