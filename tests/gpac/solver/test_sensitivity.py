"""Jacobians of batches: closed forms, theorems of mechanics, networks, and differences at high precision."""

from fractions import Fraction

import mpmath
import numpy as np
import pytest
import scipy.linalg
import sympy
from numpy.testing import assert_allclose
from problems import PROBLEMS, problem

import gpac
import gpac.solver.sensitivity as module
from compile import Activation, Network, Sigmoid, Tanh, dense, homotopy, relaxation, scale, sequential
from gpac import PIVP, Circuit, Status, inputs, integral, wire
from gpac.exact import to_floats
from gpac.solver.sensitivity import sensitivities

TOL = 1e-14


def sensitivity(system, t=None, inputs=None, *, initial=None, names=True, tol=TOL, **settings):
    def solve(runnable, t, inputs):
        return gpac.solve(runnable, t, inputs, tol=tol, **settings)

    return sensitivities(system, t, inputs, initial, names, solve, tol)


def growth() -> Circuit:
    """y = b exp(a t) with y read beside its square."""
    a, b, loop = inputs("a"), inputs("b"), wire("y")
    y = loop.define(integral(a * loop * b, name="y") + 1)
    return Circuit({"y": y, "square": y * y})


def test_a_growth_has_its_derivatives_for_batches_and_single_inputs():
    a, b = np.array([[0.5], [-1.0], [0.25]]), np.array([[1.0], [2.0], [-3.0]])
    solution, jacobian = sensitivity(growth(), 2.0, {"a": a, "b": b})
    y = np.exp(2 * a * b)
    assert solution.outputs.shape == (3, 2) and jacobian["a"].shape == jacobian["b"].shape == (3, 2, 1)
    # rtol: errors of 1e-14 a step relative to the largest state and derivative, some ten steps
    assert_allclose(jacobian["a"][..., 0], np.hstack([2 * b * y, 4 * b * y**2]), rtol=1e-12)
    assert_allclose(jacobian["b"][..., 0], np.hstack([2 * a * y, 4 * a * y**2]), rtol=1e-12)
    alone, one = sensitivity(growth(), 2.0, {"a": 0.5, "b": 1.0})
    assert alone.outputs.shape == (2,) and one["a"].shape == (2, 1) and alone.status is Status.REACHED
    assert (one["a"] == jacobian["a"][0]).all() and (one["b"] == jacobian["b"][0]).all()


def test_only_the_inputs_asked_for_are_differentiated():
    given = {"a": [[0.5]], "b": [[2.0]]}
    both = sensitivity(growth(), 1.0, given)[1]
    for names in ("b", ["b"], ("b",)):
        found = sensitivity(growth(), 1.0, given, names=names)[1]
        assert list(found) == ["b"]
        assert_allclose(found["b"], both["b"], rtol=1e-13)
    assert list(sensitivity(growth(), 1.0, given, names=["b", "a"])[1]) == ["b", "a"]


def test_many_end_times_of_one_input():
    times = np.array([0.5, 1.0, 3.0])
    solution, jacobian = sensitivity(growth(), times, {"a": 0.5, "b": 1.0})
    assert solution.outputs.shape == (3, 2)
    assert_allclose(jacobian["a"][:, 0, 0], times * np.exp(times / 2), rtol=1e-12)


@pytest.mark.parametrize("y0", [0.1, 0.5, 2.0])
def test_the_logistic_curve(y0):
    """y = y0 / (y0 + (1 - y0) exp(-t)): dy/dy0 = exp(-t) / (y0 + (1 - y0) exp(-t))^2."""
    y = sympy.Symbol("y")
    _, jacobian = sensitivity(PIVP({y: y - y**2}, {y: 0}), 3.0, initial=[y0])
    assert_allclose(jacobian["initial"], [[np.exp(-3) / (y0 + (1 - y0) * np.exp(-3)) ** 2]], rtol=1e-12)


def test_tan_close_to_its_pole_from_its_own_start():
    """y = tan(t + arctan(y0)): dy/dy0 = (1 + y^2) / (1 + y0^2), 200 at t = 3/2."""
    solution, jacobian = sensitivity(problem("tan").system, 1.5)
    assert_allclose(solution.outputs, [np.tan(1.5)], rtol=1e-12)
    assert_allclose(jacobian["initial"], [[1 + np.tan(1.5) ** 2]], rtol=1e-11)


def test_an_oscillator_turns_its_start():
    q, p = sympy.symbols("q p")
    _, jacobian = sensitivity(PIVP({q: p, p: -q}, {q: 1, p: 0}), 10.0, initial=[[1, 0], [0, 0]])
    turn = np.array([[np.cos(10), np.sin(10)], [-np.sin(10), np.cos(10)]])
    assert_allclose(jacobian["initial"], [turn, turn], atol=1e-12)  # at the fixed point too


def test_liouville_the_determinant_is_the_exponential_of_the_divergence():
    """Lorenz: the divergence is -(10 + 1 + 8/3) everywhere."""
    start = np.random.default_rng(0).normal(size=(5, 3)) * 5 + [0, 0, 20]
    _, jacobian = sensitivity(problem("Lorenz").system, 1.0, initial=start)
    divergence = -(11 + 8 / 3)
    # J has entries up to 10 and a determinant of 1e-6: seven digits go in cancellation
    assert_allclose(np.linalg.det(jacobian["initial"]), np.exp(divergence), rtol=1e-6)


def test_liouville_where_the_divergence_varies():
    """x' = x - x y, y' = x y - y: the divergence x - y is integrated by a third state that is read too."""
    x, y, s = sympy.symbols("x y s")
    system = PIVP({x: x - x * y, y: x * y - y, s: x - y}, {x: 2, y: 1, s: 0})
    solution, jacobian = sensitivity(system, 3.0)
    assert_allclose(np.linalg.det(jacobian["initial"][:2, :2]), np.exp(solution.outputs[2]), rtol=1e-11)


def test_a_hamiltonian_flow_is_symplectic():
    """Henon-Heiles: J^T S J = S."""
    q1, q2, p1, p2 = sympy.symbols("q1 q2 p1 p2")
    energy = (p1**2 + p2**2 + q1**2 + q2**2) / 2 + q1**2 * q2 - q2**3 / 3
    equations = {q1: p1, q2: p2, p1: -sympy.diff(energy, q1), p2: -sympy.diff(energy, q2)}
    start = np.random.default_rng(1).uniform(-0.3, 0.3, size=(6, 4))
    _, jacobian = sensitivity(PIVP(equations, dict.fromkeys(equations, 0)), 10.0, initial=start)
    J = jacobian["initial"]
    S = np.kron([[0, 1], [-1, 0]], np.eye(2))
    assert_allclose(J.transpose(0, 2, 1) @ S @ J, np.broadcast_to(S, J.shape), atol=1e-11)
    assert abs(J).max() > 2  # no turn of the plane


@pytest.mark.parametrize("case", [p for p in PROBLEMS if isinstance(p.system, PIVP) and p.name != "Lorenz"], ids=repr)
def test_jacobians_agree_with_differences_at_high_precision(case):
    """Central differences of `gpac.reference` with 240 bits and steps of 2^-80: 160 bits of the truth left."""
    system = PIVP(
        case.system.expressions(),
        dict(zip(case.system.variables, map(Fraction, to_floats(np.array(case.system.initial))), strict=True)),
        {name: p.as_expr() for name, p in case.system.outputs},
    )
    t, h = Fraction(case.t) / 2, Fraction(1, 2**80)
    _, jacobian = sensitivity(system, float(t))
    for j, start in enumerate(system.initial):
        ends = []
        for sign in (1, -1):
            moved = [v + sign * h * (v is start and k == j) for k, v in enumerate(system.initial)]
            ends.append(gpac.reference(system, float(t), initial=moved, bits=240).outputs)
        truth = [float((a - b) / (2 * mpmath.mpf(float(h)))) for a, b in zip(*ends, strict=True)]
        # states and derivatives up to 100 while errors of 1e-14 grow by the condition of the problem
        assert_allclose(jacobian["initial"][:, j], truth, rtol=1e-10, atol=1e-12 * max(1, case.condition))


def test_linear_systems_have_the_matrix_exponential():
    rng = np.random.default_rng(3)
    A = rng.normal(size=(4, 4))
    h = wire("h", 4)
    h.define(integral(A @ h + inputs("force", 4), name="h"))
    _, jacobian = sensitivity(Circuit({"h": h}), 1.0, rng.normal(size=(3, 4)))
    truth = np.linalg.solve(A, scipy.linalg.expm(A) - np.eye(4))
    assert_allclose(jacobian["force"], np.broadcast_to(truth, (3, 4, 4)), atol=1e-12)


def backpropagated(network: Network, x: np.ndarray) -> np.ndarray:
    """The network's Jacobian (m, n) at x, layer by layer."""
    J = np.eye(len(x))
    for layer in network.layers:
        if isinstance(layer, Activation):
            half = 0.5 if layer.name == "sigmoid" else 1.0
            slope = half * half / np.cosh(half * x) ** 2 if half < 1 else 1 / np.cosh(x) ** 2
            x, J = (np.tanh(x) if half == 1 else 0.5 + 0.5 * np.tanh(x / 2)), slope[:, None] * J
        elif layer.weight.ndim == 2:
            x, J = layer.weight @ x + to_floats(layer.bias), layer.weight @ J
        else:
            factor = np.broadcast_to(to_floats(layer.weight), x.shape)
            x, J = factor * x + to_floats(layer.bias), factor[:, None] * J
    return J


def network(seed: int, size: float = 1.0) -> Network:
    rng = np.random.default_rng(seed)
    layers = [
        scale([0.5], [0.125]),
        dense(size * rng.normal(size=(6, 4)), rng.normal(size=6)),
        Tanh(),
        dense(size * rng.normal(size=(5, 6)), rng.normal(size=5)),
        Sigmoid(),
        dense(rng.normal(size=(3, 5)), rng.normal(size=3)),
    ]
    return Network(4, layers)


@pytest.mark.parametrize("scheme", [homotopy, sequential, relaxation])
def test_the_jacobian_of_a_compiled_network_is_the_networks(scheme):
    net, X = network(1), np.random.default_rng(2).normal(size=(20, 4))
    program = scheme(net)
    solution, jacobian = sensitivity(program, None, X)
    truth = np.array([backpropagated(net, x) for x in X])
    # a limit program's derivative converges like its output times powers of t: some digits later
    assert_allclose(jacobian["x"], truth, atol=1e-11 if scheme is relaxation else 1e-13)
    assert_allclose(solution.outputs, gpac.solve(program, inputs=X, tol=TOL).outputs, atol=1e-13)


def test_the_homotopys_derivatives_need_no_integrators_and_keep_digits_in_saturation():
    """Arguments up to 50: slopes of 1e-40, correct relative to their own size."""
    net = Network(1, [dense([[8.0], [-20.0]], [1.0, 0.0]), Tanh(), dense([[10.0, -15.0]], [0.0]), Tanh()])
    X = np.array([[0.125], [1.5], [-2.5]])
    program = homotopy(net)
    _, jacobian = sensitivity(program, None, X)
    truth = np.array([backpropagated(net, x) for x in X])
    assert abs(truth).min() < 1e-20
    # rtol: slopes are accurate to a few units of 1e-14 times the argument's size
    assert_allclose(jacobian["x"], truth, rtol=1e-11)


@pytest.mark.parametrize("scheme", [homotopy, sequential, relaxation])
def test_one_trajectory_has_the_same_bits_alone_and_in_a_batch(scheme):
    program, X = scheme(network(4)), np.random.default_rng(5).normal(size=(33, 4))
    batch, jacobians = sensitivity(program, None, X, tol=1e-10)
    for b in (0, 17, 32):
        alone, jacobian = sensitivity(program, None, X[b], tol=1e-10)
        assert (alone.outputs == batch.outputs[b]).all() and (jacobian["x"] == jacobians["x"][b]).all()
        assert jacobian["x"].shape == (3, 4)


@pytest.mark.parametrize("scheme", [homotopy, sequential])
def test_directions_in_several_runs_give_the_same(scheme, monkeypatch):
    """Four entries in runs of 1, of 2 (and of 2, the last one half empty, for width enough for three)."""
    program, X = scheme(network(6)), np.random.default_rng(7).normal(size=(3, 4))
    solution, together = sensitivity(program, None, X)
    width = module._width(program)
    for wide in (1, 2, 3):
        monkeypatch.setattr(module, "WIDTH", wide * width)
        again, apart = sensitivity(program, None, X)
        assert_allclose(apart["x"], together["x"], atol=1e-13)
        assert (again.outputs == solution.outputs).all() and again.states.shape == solution.states.shape


@pytest.mark.parametrize("scheme", [homotopy, sequential])
def test_the_solution_is_that_of_the_system_alone(scheme):
    program, X = scheme(network(8)), np.random.default_rng(9).normal(size=(5, 4))
    solution, _ = sensitivity(program, None, X, dense=True)
    plain = gpac.solve(program, inputs=X, tol=TOL, dense=True)
    assert set(solution.named) == set(plain.named)
    for name in ("outputs", "states", "t", "steps", "orders", "space"):
        assert (getattr(solution, name) == getattr(plain, name)).all()
    assert_allclose(solution.length, plain.length, rtol=1e-12)
    times = [0.25, 0.75, plain.t[0]]
    np.testing.assert_array_equal(solution.at(times), plain.at(times))


def test_large_derivatives_do_not_spoil_the_solution():
    """Lorenz to t = 20: derivatives of some thousand beside states of some ten."""
    system = problem("Lorenz").system
    solution, jacobian = sensitivity(system, 20.0)
    plain = gpac.solve(system, 20.0, tol=TOL)
    assert (solution.outputs == plain.outputs).all() and abs(jacobian["initial"]).max() > 1e3


def test_a_trajectory_that_fails_leaves_its_neighbours_their_derivatives():
    y = sympy.Symbol("y")
    system = PIVP({y: y**2}, {y: 0})
    solution, jacobian = sensitivity(system, 1.0, initial=[[0.5], [2.0], [-1.0]])
    assert list(solution.status) == [Status.REACHED, Status.BLOW_UP, Status.REACHED]
    J = jacobian["initial"]
    assert np.isnan(J[1]).all()
    assert_allclose(J[[0, 2], 0, 0], [4, 0.25], rtol=1e-12)  # 1 / (1 - y0 t)^2


def test_mistakes_are_told():
    with pytest.raises(gpac.ShapeError, match=r"cannot differentiate by 'x'; the system has inputs \['a', 'b'\]"):
        sensitivity(growth(), 1.0, {"a": 1, "b": 1}, names=["x"])
    with pytest.raises(gpac.GpacError, match="no inputs to differentiate by"):
        sensitivity(Circuit({"y": integral(1)}), 1.0)
    with pytest.raises(gpac.GpacError, match="expected names of inputs"):
        sensitivity(growth(), 1.0, {"a": 1, "b": 1}, names=[])
    with pytest.raises(gpac.GpacError, match="takes initial="):
        sensitivity(problem("tan").system, 1.0, inputs=[1])
