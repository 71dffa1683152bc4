"""Every compiled program says what it is: claims, counts and invariants, against what is known beforehand."""

from fractions import Fraction

import pytest
import sympy
from judge import SCHEMES
from networks import everything, mlp
from numpy.testing import assert_allclose

import gpac
from compile import Activation, Network, dense, homotopy, load, relaxation, sequential
from gpac.program import Invariant, Program


def eliminated(circuit: gpac.Circuit, inputs: dict) -> gpac.PIVP:
    """The expanded system with every d replaced by 1 - u^2: the form in which the literature counts."""
    states = {f"{w.name}": w for w in circuit.integrals}  # read by their names; the clock is only for outputs
    pivp = gpac.Circuit(states).to_pivp(inputs)
    names = {str(v): v for v in pivp.variables}
    instead = {v: 1 - names[n.replace("_slope", "")] ** 2 for n, v in names.items() if "_slope" in n}
    equations = {v: sympy.expand(e.xreplace(instead)) for v, e in pivp.expressions().items() if v not in instead}
    return gpac.PIVP(equations, {v: c for v, c in zip(pivp.variables, pivp.initial, strict=True) if v in equations})


@pytest.mark.parametrize(
    ("scheme", "dim", "degree", "plain_dim", "plain_degree"),
    [("homotopy", 16, 3, 8, 4), ("relaxation", 24, 3, 16, 3)],
)
def test_the_golden_dimensions_and_degrees(scheme, dim, degree, plain_dim, plain_degree):
    """A 2-4-4-1 tanh network: with pairs (u, d), and with d = 1 - u^2 put in, where theory says 8, 4 and 16, 3."""
    network = mlp(2, 4, 4, 1)
    assert network.weights == 37
    program = SCHEMES[scheme](network)
    said = gpac.describe(program)
    assert (said.dim, said.circuit_degree, said.degree) == (dim, degree, degree)
    x = [Fraction(3, 7), Fraction(-5, 11)]
    pivp = gpac.Circuit({w.name: w for w in program.integrals}).to_pivp({"x": x})
    assert (pivp.dim, pivp.degree, sum(len(p) for p in pivp.polynomials)) == (dim, said.degree, said.monomials)
    plain = eliminated(program, {"x": x})
    assert (plain.dim, plain.degree) == (plain_dim, plain_degree)


def test_the_golden_schedule():
    """Two modes of four variables of degree 2."""
    schedule = sequential(mlp(2, 4, 4, 1))
    said = gpac.describe(schedule)
    assert (said.form, said.phases, said.dim, said.circuit_degree, said.degree) == ("schedule", 2, 16, 2, 2)
    for phase in schedule.phases:
        given = {n: [Fraction(k + 2, 7) for k in range(size)] for n, size in phase.circuit.inputs.items()}
        plain = eliminated(phase.circuit, given)
        assert (plain.dim, plain.degree) == (4, 2)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_eliminating_the_slopes_gives_degree_two_per_layer(depth):
    plain = eliminated(homotopy(mlp(1, *[2] * depth, 1)), {"x": [Fraction(2, 3)]})
    assert (plain.dim, plain.degree) == (2 * depth, 2 * depth)


def test_what_each_scheme_says_in_words():
    network = load("examples/networks/ring_tanh_2_3_1.onnx")
    assert str(gpac.describe(homotopy(network))).splitlines() == [
        "homotopy",
        "  output: exact, read at t = 1",
        "  form: one analytic system, autonomous",
        "  states: 6",
        "  degree: 2 on the circuit; 2 expanded, 6 monomials",
        "  start values: rational",
        "  constants: rational",
        "  invariants: u1^2 + d1 = 1 (u1, u1_slope)",
    ]
    assert "a schedule of 1 phase," not in str(gpac.describe(sequential(network)))
    limit = gpac.describe(relaxation(network, Fraction(3, 2))).sentences()["output"]
    assert limit == "a limit; the error is at most exp(-3/2 t) times a constant"


def test_constants_and_whether_the_system_is_autonomous():
    network = Network(1, [dense([[2.0]], [1.0]), Activation("softplus"), dense([[1.0]], [0.5]), Activation("gelu")])
    ln2, root = sympy.log(2), 1 / sympy.sqrt(2 * sympy.pi)
    made = gpac.describe(homotopy(network))
    assert made.constants == tuple(sorted([ln2, root], key=str))
    assert made.rational_start
    assert not made.autonomous  # gelu's z * area, with z = ... + t b
    still = gpac.describe(relaxation(network))
    assert still.constants == made.constants
    assert still.autonomous
    assert still.degree is None
    assert "irrational" in still.not_expanded


def test_a_start_that_depends_on_an_input_is_said():
    from gpac import functions as fn

    x, t = gpac.inputs("x"), gpac.time()
    said = gpac.describe(gpac.Circuit({"y": fn.sin(x + t)}))
    assert (said.rational_start, said.starts) == (False, ("cos", "sin"))
    said = gpac.describe(gpac.Circuit({"y": fn.exp(t + 1)}))
    assert (said.rational_start, said.starts, said.constants) == (False, (), (sympy.E,))


def test_a_large_network_is_not_expanded():
    said = gpac.describe(homotopy(mlp(300, 300, 300, 1)))
    assert (said.degree, said.monomials, said.dim, said.circuit_degree) == (None, None, 1200, 3)
    assert said.not_expanded.startswith("1200 states, up to ")


def test_a_program_near_what_was_asked_for_says_how_near():
    circuit = homotopy(mlp(1, 1, 1))
    near = gpac.Circuit(circuit.outputs, circuit.program.approximating(Fraction(1, 1000)))
    words = gpac.describe(near).sentences()["output"]
    assert words == "within 0.001 of what was asked for, read at t = 1"


@pytest.mark.parametrize("scheme", SCHEMES)
def test_invariants_are_proven_and_kept(scheme):
    program = SCHEMES[scheme](everything())
    gpac.prove_invariants(program)
    said = gpac.describe(program).invariants
    assert len(said) >= 5
    assert all(tie.states for tie in said)
    end = 10 if scheme == "relaxation" else None
    drift = gpac.invariant_drift(program, [[0.5, -0.25, 1.0], [2.0, 1.0, 0.0]], end)
    assert set(drift) == {tie.name for tie in said}
    for far in drift.values():
        assert_allclose(far, 0, atol=1e-12)


def test_an_invariant_that_does_not_hold_is_found():
    circuit = homotopy(mlp(1, 2, 1))
    (true,) = circuit.program.invariants
    u, d = gpac.describe(circuit).invariants[0].states, gpac.product(true.wire, true.wire)
    assert u == ("u1", "u1_slope")
    (state,) = {w for w in circuit.integrals if w.name == "u1"}
    for false, message in [
        (Invariant("u", state, Fraction(0)), "is not a multiple"),
        (Invariant("u^2 + d", true.wire, Fraction(2)), r"expected 2 at t = 0, got 2 \+ -1"),
    ]:
        wrong = gpac.Circuit(circuit.outputs, Program(invariants=(false,)))
        with pytest.raises(gpac.CircuitError, match=message):
            gpac.prove_invariants(wrong)
    gpac.prove_invariants(gpac.Circuit(circuit.outputs, Program(invariants=(Invariant("square", d, Fraction(1)),))))
    wrong = gpac.Circuit(
        circuit.outputs, Program(horizon=Fraction(1), invariants=(Invariant("u", state, Fraction(0)),))
    )
    assert gpac.invariant_drift(wrong, [0.5])["u"] > 0.1


def test_what_cannot_be_decided_is_said():
    with pytest.raises(gpac.NumberError, match=r"2401 symbols and up to .* terms when expanded; measure its drift"):
        gpac.prove_invariants(homotopy(mlp(1, 1200, 1)))
    s, c, root = gpac.wire("s"), gpac.wire("c"), sympy.sqrt(2)
    one = Invariant("s^2 + c^2", s * s + c * c, Fraction(1))
    s.define(gpac.integral(root * c, name="s"))
    c.define(gpac.integral(-root * s, name="c", initial=1))
    circuit = gpac.Circuit({"s": s}, Program(horizon=Fraction(1), invariants=(one,)))
    with pytest.raises(gpac.NumberError, match=r"is not expanded: the coefficient -?sqrt\(2\) is irr"):
        gpac.prove_invariants(circuit)
    assert gpac.invariant_drift(circuit, None)["s^2 + c^2"] < 1e-13
