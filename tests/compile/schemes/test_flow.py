"""Flows of networks against closed forms, Runge-Kutta at 1e-13 on the native functions, and balls."""

from __future__ import annotations

from fractions import Fraction

import mpmath
import numpy as np
import pytest
from flows import runge_kutta, solved
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.linalg import expm

import gpac
from compile import Activation, Affine, Field, Multiply, Network, Node, Tanh, dense, flow, forward, scale
from compile.build import as_network, linear
from compile.compose import chained, zeros
from compile.value import network_input
from gpac import Circuit, NumberError, Schedule, ShapeError

ONE = np.array(1.0)


def matrices(seed: int, *shapes: tuple[int, ...]) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.normal(size=s) / np.sqrt(s[-1]) for s in shapes]


# -- closed forms --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("h0", [0.25, -1.5, 30.0, 1e-9])
def test_w_tanh_h_has_a_closed_form(h0):
    """h' = w tanh(h): sinh h(t) = sinh(h0) exp(w t); h0 = 30 is saturated: d = 3.5e-26."""
    w, end = -0.75, 2
    program = flow(Network(1, [Tanh(), dense([[w]])]), end)
    truth = np.arcsinh(np.sinh(h0) * np.exp(w * end))
    assert_allclose(solved(program, [h0]), [truth], rtol=1e-13)


def test_tanh_of_w_h_plus_b_has_a_closed_form():
    """h' = tanh(w h + b), z = w h + b: z' = w tanh(z)."""
    w, b, end, h0 = 1.5, -0.25, Fraction(3, 2), np.array([[0.1], [2.0]])
    program = flow(Network(1, [dense([[w]], [b]), Tanh()]), end)
    z = np.arcsinh(np.sinh(w * h0 + b) * np.exp(w * 1.5))
    assert_allclose(solved(program, h0), (z - b) / w, rtol=1e-13)


def test_a_linear_field_is_one_circuit_and_a_matrix_exponential():
    A, b = matrices(0, (4, 4), (4,))
    program = flow(Network(4, [dense(A, b)]), 2)
    assert isinstance(program, Circuit)
    assert (program.program.scheme, program.program.claim, program.program.horizon) == ("flow", "exact", 2)
    x = np.random.default_rng(1).normal(size=(3, 4))
    whole = expm(2 * np.block([[A, b[:, None]], [np.zeros((1, 5))]]))
    assert_allclose(solved(program, x), x @ whole[:4, :4].T + whole[:4, 4], rtol=1e-12, atol=1e-12)


def test_a_quadratic_field_needs_no_start_values_and_may_have_a_pole():
    """h' = h^2: 1/(1/h0 - t)."""
    program = flow(Network(1, [Activation("square")]), 2)
    assert isinstance(program, Circuit)
    assert_allclose(solved(program, [[0.25], [-1.0]]), [[0.5], [-1 / 3]], rtol=1e-13)
    assert gpac.prove(program, inputs=[1], digits=10).answer.name == "ENDS"


@pytest.mark.parametrize(("w", "h0"), [(0.75, 0.5), (-2.0, 12.0)])
def test_derivatives_by_the_input(w, h0):
    """d h(T)/d h0 = cosh(h0) exp(w T) / cosh h(T), through the handed start values."""
    run = gpac.solve(flow(Network(1, [Tanh(), dense([[w]])]), 2), inputs=[h0], tol=1e-13, derivatives=True)
    h = np.arcsinh(np.sinh(h0) * np.exp(2 * w))
    assert_allclose(run.jacobian["x"], [[np.cosh(h0) * np.exp(2 * w) / np.cosh(h)]], rtol=1e-10)


# -- every form against Runge-Kutta ---------------------------------------------------------------------------

A1, A2, B = matrices(3, (5, 3), (3, 5), (5,))
W, C = matrices(4, (3, 3), (3,))
MOVES = ["dense", "dense", "add", "multiply", "softmax", "tanh", "softplus", "gelu", "sin", "gaussian", "arctan"]
FORMS = {
    "A2 tanh(A1 h + b)": ([dense(A1, B), Tanh(), dense(A2)], lambda h: A2 @ np.tanh(A1 @ h + B)),
    "tanh(w h + b)": ([dense(W, C), Tanh()], lambda h: np.tanh(W @ h + C)),
    "w tanh(h) + b": ([Tanh(), dense(W, C)], lambda h: W @ np.tanh(h) + C),
    "two hidden layers": (
        [dense(A1, B), Tanh(), dense(A2), Activation("sigmoid"), dense(W, C)],
        lambda h: W @ (1 / (1 + np.exp(-A2 @ np.tanh(A1 @ h + B)))) + C,
    ),
    "softplus: ln 2 along a path": (
        [dense(A1, B), Activation("softplus"), dense(-A2)],
        lambda h: -A2 @ np.log1p(np.exp(A1 @ h + B)),
    ),
    "silu": ([dense(W, C), Activation("silu")], lambda h: (W @ h + C) / (1 + np.exp(-W @ h - C))),
    "sin": ([dense(W, C), Activation("sin")], lambda h: np.sin(W @ h + C)),
    "gaussian": ([dense(W, C), Activation("gaussian")], lambda h: np.exp(-((W @ h + C) ** 2) / 2)),
    "arctan": ([dense(W, C), Activation("arctan")], lambda h: np.arctan(W @ h + C)),
    "h * tanh(w h)": (
        [dense(W, C), Tanh(), Node(Multiply(), (2, 0)), scale(-1)],
        lambda h: -h * np.tanh(W @ h + C),
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_form_is_its_neural_ode(form):
    nodes, field = FORMS[form]
    program = flow(Network(3, nodes), Fraction(5, 4))
    assert isinstance(program, Schedule) and program.program.claim == "exact"
    x = np.random.default_rng(5).normal(size=(2, 3))
    truth = [runge_kutta(lambda t, h: field(h), row, 1.25) for row in x]
    assert_allclose(solved(program, x), truth, rtol=0, atol=2e-12)  # DOP853's own error at 1e-13 per step


@pytest.mark.parametrize("name", ["gelu", "gelu_tanh", "mish", "erf", "log_sigmoid", "tanhshrink", "cos"])
def test_other_activations_as_fields(name):
    network = Network(3, [dense(W, C), Activation(name)])
    x = np.random.default_rng(6).normal(size=3)
    truth = runge_kutta(lambda t, h: forward(network, h), x, 1.0)
    assert_allclose(solved(flow(network), x), truth, rtol=0, atol=2e-12)


@settings(max_examples=8, deadline=None)
@given(moves=st.lists(st.sampled_from(MOVES), min_size=1, max_size=7), seed=st.integers(0, 2**32 - 1))
def test_random_dags_as_fields(moves, seed):
    """Shared values, products, skips; the last tanh keeps the flow from running away."""
    rng = np.random.default_rng(seed)
    values = [network_input((3,))]
    for move in moves:
        a, b = (values[int(rng.integers(len(values)))] for _ in range(2))
        if move == "dense":
            values.append(linear(a, rng.normal(size=(3, 3)), rng.normal(size=3)))
        elif move == "multiply":
            values.append(a.apply("tanh") * b.apply("sigmoid"))
        elif move == "add":
            values.append(a + 2 * b if a is not b else 3 * a)
        else:
            values.append(a.softmax() if move == "softmax" else a.apply(move))
    total = sum(values[-2:], values[0] * -1)
    network = as_network(linear(total.apply("tanh"), rng.normal(size=(3, 3))))
    x = rng.normal(size=3)
    truth = runge_kutta(lambda t, h: forward(network, h), x, 0.5)
    assert_allclose(solved(flow(network, Fraction(1, 2)), x), truth, rtol=0, atol=1e-10)


def test_softmax_norms_and_quotients_in_a_field():
    """h' = softmax(W h) * h / sqrt(mean(h^2) + 1/4) - h: integrators with start values of every kind."""
    h = network_input((3,))
    rooted = (h * h).mean([0], keep=True).apply("rsqrt", 0.25)
    network = as_network(linear(h, W).softmax() * h * rooted - h)
    x = np.random.default_rng(7).normal(size=(2, 3))
    truth = [runge_kutta(lambda t, v: forward(network, v), row, 1.0) for row in x]
    assert_allclose(solved(flow(network), x), truth, rtol=0, atol=2e-12)


def test_a_unit_that_does_not_move_is_read_where_it_is():
    """h' = tanh(1/2) - tanh(h): the first tanh has nothing to follow."""
    constant = Affine((), np.array([0.5]))
    nodes = [Node(constant, ()), Tanh(), Node(Tanh(), (0,)), Node(Affine((ONE, -ONE), 0), (2, 3))]
    program = flow(Network(1, nodes), 2)
    truth = runge_kutta(lambda t, h: np.tanh(0.5) - np.tanh(h), [2.0], 2.0)
    assert_allclose(solved(program, [2.0]), truth, rtol=0, atol=1e-12)


def test_a_live_module_as_field_and_torchdiffeq():
    """from_torch of an MLP; the judge is torchdiffeq's dopri5 at 1e-12 on the module itself."""
    torch = pytest.importorskip("torch")
    torchdiffeq = pytest.importorskip("torchdiffeq")
    from compile import from_torch

    torch.manual_seed(0)
    layers = [torch.nn.Linear(3, 8), torch.nn.Tanh(), torch.nn.Linear(8, 8), torch.nn.GELU(), torch.nn.Linear(8, 3)]
    module = torch.nn.Sequential(*layers).double()
    x = torch.randn(2, 3, dtype=torch.float64)
    times = torch.tensor([0.0, 2.0], dtype=torch.float64)
    with torch.no_grad():
        found = torchdiffeq.odeint(lambda t, h: module(h), x, times, rtol=1e-12, atol=1e-12, method="dopri5")[-1]
    program = flow(from_torch(module, x[:1]), 2)
    assert_allclose(solved(program, x.numpy()), found.numpy(), rtol=0, atol=1e-10)


# -- what a field may read ------------------------------------------------------------------------------------


def test_weights_polynomial_in_time():
    """h' = tanh((W + t V) h): reads the state and the time."""
    (V,) = matrices(8, (3, 3))
    parts = network_input((4,))
    h, t = parts[:3], parts[3:]
    network = as_network((linear(h, W) + t * linear(h, V)).apply("tanh"))
    field = Field(network, ("state", "time"))
    x = np.random.default_rng(9).normal(size=3)
    truth = runge_kutta(lambda t, h: np.tanh((W + t * V) @ h), x, 1.5)
    assert_allclose(solved(flow(field, Fraction(3, 2)), x), truth, rtol=0, atol=1e-12)


def test_time_runs_on_from_piece_to_piece():
    """h' = cos(t) h in two pieces is h0 exp(sin t)."""
    parts = network_input((2,))
    field = Field(as_network(parts[1].apply("cos") * parts[0].reshape(1)), ("state", "time"))
    program = flow([(field, Fraction(1, 3)), (field, Fraction(2, 3))])
    assert_allclose(solved(program, [2.0]), [2 * np.exp(np.sin(1))], rtol=1e-13)
    assert len(program.phases) == 3  # cos t goes on across the border: nothing is run again


def test_a_field_that_reads_the_input_and_starts_elsewhere():
    """h' = tanh(W h + U x) from h = 0."""
    (U,) = matrices(10, (3, 2))
    field = Field(Network(5, [dense(np.hstack([W, U])), Tanh()]), ("state", "input"))
    x = np.array([0.5, -2.0])
    truth = runge_kutta(lambda t, h: np.tanh(W @ h + U @ x), np.zeros(3), 2.0)
    assert_allclose(solved(flow(field, 2, start=zeros(2, 3)), x), truth, rtol=0, atol=1e-12)


def test_augmented_with_encoder_and_read_out():
    """start and read-out are networks of their own; two dimensions more, from zero."""
    encoder = Network(2, [dense(matrices(11, (3, 2))[0]), Tanh()])
    right = Network(5, [dense(matrices(12, (5, 5))[0]), Tanh()])
    head = Network(5, [Activation("sigmoid"), dense(matrices(13, (2, 5))[0])])
    x = np.array([[1.0, -0.5], [0.25, 2.0]])
    middle = [np.concatenate([forward(encoder, row), np.zeros(2)]) for row in x]
    ends = np.array([runge_kutta(lambda t, h: forward(right, h), h0, 1.0) for h0 in middle])
    for readout in (head, Network(5, [dense(np.eye(5)[1:3])]), None):
        program = flow(right, start=encoder, augment=2, readout=readout)
        truth = ends if readout is None else forward(readout, ends)
        assert_allclose(solved(program, x), truth, rtol=0, atol=1e-12)
        assert dict(program.inputs) == {"x": 2} and set(program.outputs) == {"y"}


# -- weights that jump ----------------------------------------------------------------------------------------


def test_weights_constant_piece_by_piece():
    """Inner weights jump: tanh(A1 h + b) is run again; the judge restarts too."""
    pieces = [Network(3, [dense(w, C), Tanh()]) for w in matrices(14, (3, 3), (3, 3), (3, 3))]
    lengths = [Fraction(1, 2), 1, Fraction(3, 4)]
    program = flow(list(zip(pieces, lengths, strict=True)))
    assert len(program.phases) == 6 and program.program.horizon == 3 + Fraction(9, 4)
    x = np.random.default_rng(15).normal(size=3)
    truth = x
    for network, length in zip(pieces, lengths, strict=True):
        truth = runge_kutta(lambda t, h, n=network: forward(n, h), truth, float(length))
    assert_allclose(solved(program, x), truth, rtol=0, atol=1e-12)


def test_w_tanh_h_goes_on_across_jumps():
    """Outer weights jump, tanh(h) does not: one phase of start values for three pieces."""
    weights = matrices(16, (3, 3), (3, 3), (3, 3))
    program = flow([(Network(3, [Tanh(), dense(w, C)]), Fraction(1, 2)) for w in weights])
    assert len(program.phases) == 4
    x = np.random.default_rng(17).normal(size=3)
    truth = x
    for w in weights:
        truth = runge_kutta(lambda t, h, w=w: w @ np.tanh(h) + C, truth, 0.5)
    assert_allclose(solved(program, x), truth, rtol=0, atol=1e-12)


def test_only_what_jumps_is_run_again():
    """The first layer stays, the second jumps: the reload has one phase, with the second layer's neurons alone."""
    first = [dense(A1, B), Activation("softplus")]
    pieces = [Network(3, [*first, dense(m), Tanh()]) for m in matrices(18, (3, 5), (3, 5))]
    program = flow([(piece, 1) for piece in pieces])
    assert [p.circuit.dim for p in program.phases] == [2 * 5 + 5 + 2, 6, 3 + 15 + 6, 6, 3 + 15 + 6]  # ln 2: 2 states
    x = np.random.default_rng(19).normal(size=3)
    truth = x
    for piece in pieces:
        truth = runge_kutta(lambda t, h, n=piece: forward(n, h), truth, 1.0)
    assert_allclose(solved(program, x), truth, rtol=0, atol=2e-12)


def test_cut_in_pieces_a_flow_is_the_same():
    """The group law: T = 1 at once, and as 1/4 + 3/4."""
    network = Network(3, FORMS["two hidden layers"][0])
    x = np.random.default_rng(20).normal(size=(2, 3))
    parts = flow([(network, Fraction(1, 4)), (network, Fraction(3, 4))])
    assert_allclose(solved(parts, x), solved(flow(network), x), rtol=0, atol=1e-13)


def test_the_reversed_field_leads_back():
    network = Network(3, FORMS["A2 tanh(A1 h + b)"][0])
    x = np.random.default_rng(21).normal(size=(2, 3))
    there_and_back = flow([(network, 2), (chained(network, Network(3, [scale(-1)])), 2)])
    assert_allclose(solved(there_and_back, x), x, rtol=0, atol=1e-12)


# -- what is proven -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["A2 tanh(A1 h + b)", "softplus: ln 2 along a path", "two hidden layers"])
def test_a_proof_contains_what_runge_kutta_finds(form):
    nodes, field = FORMS[form]
    x = [0.5, -1.25, 0.125]
    proof = gpac.prove(flow(Network(3, nodes), 1), inputs=x, digits=20)
    assert proof.digits >= 20
    truth = runge_kutta(lambda t, h: field(h), np.array(x), 1.0)
    assert_allclose([float(m) for m in proof.mid], truth, rtol=0, atol=1e-12)


def test_forty_digits_of_a_closed_form():
    program = flow(Network(1, [Tanh(), scale(Fraction(1, 3))]), 2)
    proof = gpac.prove(program, inputs=[Fraction(1, 7)], digits=40)
    with mpmath.workdps(60):
        truth = mpmath.asinh(mpmath.sinh(mpmath.mpf(1) / 7) * mpmath.exp(mpmath.mpf(2) / 3))
        assert proof.contains([truth])


def test_three_arithmetics_agree():
    """Balls, mpmath's Taylor series, and double-double batches."""
    program = flow([(Network(3, FORMS[form][0]), Fraction(1, 2)) for form in ("silu", "sin")])
    x = [Fraction(1, 2), -1, 0.25]
    proof = gpac.prove(program, inputs=x, digits=32)
    with mpmath.workdps(50):
        run = gpac.reference(program, inputs=x, bits=150)
        assert max(abs(a - b) for a, b in zip(run.outputs, proof.mid, strict=True)) < mpmath.mpf(10) ** -32
        pairs = gpac.solve(program, inputs=np.array([0.5, -1, 0.25]), precision="double-double", tol=1e-30).check()
        assert max(abs(a - b) for a, b in zip(pairs.outputs_mpf(), proof.mid, strict=True)) < mpmath.mpf(10) ** -27


def test_the_certificate_of_a_flow_is_accepted(tmp_path):
    from gpac.verify import checker

    program = flow(Network(2, [dense(W[:2, :2], C[:2]), Tanh()]), Fraction(1, 2))
    path = tmp_path / "flow.json"
    gpac.prove(program, inputs=[0.5, -1], digits=8).certificate(path)
    checker.check(checker.parse(path.read_text()))


def test_every_start_value_is_rational_or_handed_on():
    for form in FORMS:
        for phase in flow(Network(3, FORMS[form][0])).phases:
            for w in phase.circuit.integrals:
                assert isinstance(w.initial, np.ndarray) or w.initial.function == "identity"
                if isinstance(w.initial, np.ndarray):
                    assert not any(hasattr(v, "free_symbols") for v in w.initial.tolist())


def test_invariants_hold_along_the_flow():
    program = flow(Network(3, FORMS["A2 tanh(A1 h + b)"][0]), 2)
    (invariant,) = program.phases[-1].circuit.program.invariants
    last = program.phases[-1]
    watched = Circuit({"y": invariant.wire})
    schedule = Schedule((*program.phases[:-1], gpac.Phase(watched, last.duration)))
    run = gpac.solve(schedule, inputs=[0.5, 1.0, -1.0], tol=1e-14, dense=True)
    assert_allclose(run.at(np.linspace(1, 3, 20)), 1.0, rtol=0, atol=1e-13)


def test_the_cost_of_a_flow_is_measured():
    program = flow(Network(1, [Tanh(), dense([[0.5]])]), 1)
    cost = gpac.measure(program, inputs=[0.5], bits=[32, 64, 96])
    assert len(cost.table) == 3


# -- counts ---------------------------------------------------------------------------------------------------


def eliminated(circuit, inputs):
    """Dimension and degree of every variable once d = 1 - u^2 is put in."""
    import sympy

    pivp = circuit.to_pivp(inputs)
    equations = pivp.expressions()
    slopes = {v: 1 - sympy.Symbol(str(v).replace("_slope", "")) ** 2 for v in equations if "_slope" in str(v)}
    rest = {v: sympy.expand(e.subs(slopes)) for v, e in equations.items() if v not in slopes}
    return {str(v): sympy.Poly(e, *rest).total_degree() for v, e in rest.items()}


def test_golden_counts_of_w_tanh_h():
    """THEORY 13: d = 3, w constant: dimension 6 with the states, degree 3."""
    last = flow(Network(3, [Tanh(), dense(W, C)])).phases[-1].circuit
    assert last.dim == 9 and last.degree == 3  # with d = 1 - u^2 as a state of its own
    degrees = eliminated(last, {n: np.full(size, 0.5) for n, size in last.inputs.items()})
    assert len(degrees) == 6 and max(degrees.values()) == 3


def test_a_program_says_what_it_is():
    program = flow(Network(3, FORMS["tanh(w h + b)"][0]), Fraction(7, 2)).program
    assert (program.scheme, program.claim, program.horizon) == ("flow", "exact", Fraction(9, 2))


# -- bad input ------------------------------------------------------------------------------------------------

TANH = Network(2, [Tanh()])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: flow(Network(2, [dense(np.ones((3, 2)))])), ShapeError, "as many outputs as inputs"),
        (lambda: flow(TANH, 0), NumberError, "positive rational"),
        (lambda: flow(TANH, -1), NumberError, "positive rational"),
        (lambda: flow([]), ShapeError, "at least one piece"),
        (lambda: flow([(TANH, 1), (Network(3, [Tanh()]), 1)]), ShapeError, "one state size"),
        (lambda: flow([(TANH, 1)], 2), ShapeError, "no duration besides"),
        (lambda: flow(TANH, augment=2), ShapeError, "extra dimensions"),
        (lambda: flow(TANH, start=zeros(2, 1)), ShapeError, "start network with 2 outputs"),
        (lambda: flow("tanh"), ShapeError, "expected|piece"),
        (lambda: Field(TANH, ("time", "time")), ShapeError, "once each"),
        (lambda: Field(TANH, ("state", "input")), ShapeError, "cannot have 2 inputs"),
        (lambda: flow(Field(zeros(5, 2), ("state", "input"))), ShapeError, "needs start="),
        (lambda: flow(TANH, readout=zeros(3, 1)), ShapeError, "read-out"),
    ],
)
def test_bad_input_is_a_sentence(call, error, message):
    with pytest.raises(error, match=message):
        call()
