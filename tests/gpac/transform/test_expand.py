"""Circuit to polynomials and back: equal as mathematics, not as numbers."""

from fractions import Fraction

import numpy as np
import pytest
import scipy.sparse
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st
from problems import PROBLEMS

import gpac
from compile import Network, Sigmoid, Tanh, dense, homotopy
from gpac import PIVP, Circuit, ShapeError, bilinear, inputs, integral, linear
from gpac import functions as fn
from gpac.exact import to_sympy
from gpac.wire import Product

x, y, z, t = sympy.symbols("x y z t")
SMALL = st.fractions(-3, 3, max_denominator=8)


@st.composite
def systems(draw) -> PIVP:
    """Random polynomial systems of one to three variables, up to degree 4."""
    variables = [x, y, z][: draw(st.integers(1, 3))]
    exponents = st.tuples(*[st.integers(0, 4)] * len(variables)).filter(lambda e: sum(e) <= 4)

    def polynomial() -> sympy.Expr:
        terms = draw(st.lists(st.tuples(SMALL, exponents), max_size=4))
        return sum(
            (sympy.Rational(c) * sympy.prod(v**k for v, k in zip(variables, e, strict=True)) for c, e in terms),
            sympy.S(0),
        )

    return PIVP({v: polynomial() for v in variables}, {v: draw(SMALL) for v in variables})


@settings(max_examples=60, deadline=None)
@given(system=systems())
def test_a_pivp_comes_back_from_its_circuit(system):
    assert system.to_circuit().to_pivp() == system


@settings(max_examples=20, deadline=None)
@given(system=systems())
def test_a_free_start_is_an_input(system):
    circuit = system.to_circuit(free_start=True)
    assert dict(circuit.inputs) == {"initial": system.dim}
    assert circuit.to_pivp({"initial": list(system.initial)}) == system


@pytest.mark.parametrize("problem", [p for p in PROBLEMS if isinstance(p.system, PIVP)], ids=repr)
def test_problems_come_back_up_to_names(problem):
    """Outputs rename variables and set their order; the vector field is the same."""
    back = problem.system.to_circuit().to_pivp()
    same = {str(v): e for v, e in problem.system.expressions().items()}
    assert {str(v): e for v, e in back.expressions().items()} == same


@pytest.mark.parametrize(
    ("make", "truth"),
    [
        (lambda t: fn.sin(1 + t / 3), sympy.sin(1 + t / 3)),
        (lambda t: fn.exp(fn.cos(t)), sympy.exp(sympy.cos(t))),
        (lambda t: fn.arctan(t * t), sympy.atan(t**2)),
        (lambda t: fn.tanh(2 * t) * t, sympy.tanh(2 * t) * t),
        (lambda t: fn.sigmoid(fn.sin(t)), 1 / (1 + sympy.exp(-sympy.sin(t)))),
        (lambda t: fn.log(1 + t**2), sympy.log(1 + t**2)),
        (lambda t: fn.sqrt(1 + t**2), sympy.sqrt(1 + t**2)),
        (lambda t: fn.power(1 + t**2, Fraction(1, 3)), sympy.cbrt(1 + t**2)),
        (lambda t: integral(fn.sin(t), t * t), 2 * (sympy.sin(t) - t * sympy.cos(t))),
    ],
)
def test_expansions_satisfy_their_closed_form(make, truth):
    """All derivatives at 0 up to order 6 agree: the polynomials' by Lie derivatives, the truth's by sympy."""
    system = Circuit({"f": make(gpac.time())}).to_pivp()
    field = system.expressions()
    start = {v: to_sympy(c) for v, c in zip(field, system.initial, strict=True)}
    f = dict(system.outputs)["f"].as_expr()
    series = sympy.series(truth, t, 0, 7).removeO()
    for order in range(7):
        value = f.subs(start)
        expected = series.coeff(t, order) * sympy.factorial(order)
        assert abs(sympy.N(value - expected, 60, maxn=200)) < sympy.Float(10) ** -40
        f = sympy.expand(sum(sympy.diff(f, v) * rate for v, rate in field.items()))


def test_a_small_network_expands_to_the_system_of_the_homotopy():
    """u1' = d1 (W1 x + b1), u2' = d2 (W2 u1' + b2), d' = -2 u u', from u = 0 and d = 1."""
    w1, b1, w2, b2, v = (sympy.Rational(k, 4) for k in (3, -2, 5, 1, -6))
    network = Network(
        1,
        [dense([[0.75], [0.5]], [-0.5, 1]), Tanh(), dense([[1.25, 2.0]], [0.25]), Tanh(), dense([[-1.5]], [3])],
    )
    a = sympy.Rational(1, 3)
    system = homotopy(network).to_pivp({"x": [Fraction(1, 3)]})
    u, d = sympy.symbols("u1_0 u1_1"), sympy.symbols("u1_slope_0 u1_slope_1")
    u2, d2, clock = sympy.symbols("u2 u2_slope t")
    slopes = [w1 * a + b1, sympy.Rational(1, 2) * a + 1]
    rates = {u[i]: d[i] * slopes[i] for i in range(2)}
    rates |= {d[i]: -2 * u[i] * rates[u[i]] for i in range(2)}
    rates[u2] = d2 * (w2 * rates[u[0]] + 2 * rates[u[1]] + b2)
    rates[d2] = -2 * u2 * rates[u2]
    rates[clock] = sympy.S(1)
    start = {s: (1 if "slope" in str(s) else 0) for s in rates}
    got = system.expressions()
    assert {s: sympy.expand(got[s] - rates[s]) for s in rates} == dict.fromkeys(rates, 0)
    assert set(got) == set(rates)
    assert dict(zip(system.variables, system.initial, strict=True)) == start
    assert system.outputs[0][1].as_expr() == v * u2 + 3 * clock


def test_u_squared_plus_d_is_an_invariant_of_the_expanded_system():
    """d/dt (u^2 + d) is the zero polynomial, not just zero along the way."""
    rng = np.random.default_rng(1)
    layers = [dense(rng.normal(size=(2, 2))), Sigmoid(), dense(rng.normal(size=(2, 2)), [1, 2]), Tanh()]
    program = homotopy(Network(2, layers))
    circuit = Circuit(dict(program.outputs) | {i.name: i.wire for i in program.program.invariants})
    system = circuit.to_pivp({"x": [1, Fraction(1, 7)]})
    field = system.expressions()
    checked = 0
    for name, polynomial in system.outputs:
        if "^2" in name:
            e = polynomial.as_expr()
            assert sympy.expand(sum(sympy.diff(e, v) * r for v, r in field.items())) == 0
            assert e.subs(dict(zip(field, system.initial, strict=True))) == 1
            checked += 1
    assert checked == 4


def test_an_einsum_is_the_matrix_product():
    A, B = sympy.Matrix(2, 3, sympy.symbols("a:6")), sympy.Matrix(3, 2, sympy.symbols("b:6"))
    a, b = gpac.wire("a", 6), gpac.wire("b", 6)
    a.define(integral(1, None, range(6), name="a"))
    b.define(integral(1, None, range(6, 12), name="b"))
    C = bilinear("ij,jk->ik", a, b, (2, 3), (3, 2))
    system = Circuit({"C": C, "tr": bilinear("ij,ji->", a, b, (2, 3), (3, 2))}).to_pivp()
    names = {f"a_{i}": s for i, s in enumerate(A)} | {f"b_{i}": s for i, s in enumerate(B)}
    got = [p.as_expr().subs({s: names[str(s)] for s in p.as_expr().free_symbols}) for _, p in system.outputs]
    product = A * B
    assert [sympy.expand(g - e) for g, e in zip(got, [*product, product.trace()], strict=True)] == [0] * 5


def test_matrices_of_every_kind_expand_alike():
    M = np.array([[1.0, 0, 0.5], [0, -2, 0]])
    v = integral(1, None, [1, 2, 3], name="v")
    dense_form = Circuit({"y": linear([(M, v)], [1, 0])}).to_pivp()
    sparse_form = Circuit({"y": linear([(scipy.sparse.csr_matrix(M), v)], [1, 0])}).to_pivp()
    assert dense_form == sparse_form
    v0, v1, v2 = dense_form.variables
    assert [p.as_expr() for _, p in dense_form.outputs] == [v0 + v2 / 2 + 1, -2 * v1]


@pytest.mark.parametrize("matrix", [[2.0], scipy.sparse.csr_matrix([[2.0]])], ids=["diagonal", "sparse"])
def test_a_matrix_of_one_row_serves_every_entry_of_a_sum(matrix):
    v, s = integral(1, None, [1, 2, 3], name="v"), integral(1, name="s")
    system = Circuit({"y": linear([(matrix, s), (1, v)])}).to_pivp()
    assert [len(p) for _, p in system.outputs] == [2, 2, 2]


def test_monomials_share_their_powers():
    circuit = PIVP({x: x**8 - 2 * x**4 + x**2 * y**2, y: x * y}, {x: 1, y: 1}).to_circuit()
    # x^2, x^4, x^8; x y and its square
    assert sum(isinstance(w, Product) for w in circuit.wires) == 5


def test_the_clock_appears_only_where_time_is_read():
    assert [str(v) for v in Circuit({"y": fn.sin(gpac.time())}).to_pivp().variables] == ["y", "cos"]
    assert [str(v) for v in Circuit({"y": integral(gpac.time())}).to_pivp().variables] == ["y", "t"]
    assert [str(v) for v in Circuit({"s": gpac.time() + 1}).to_pivp().variables] == ["t"]


def test_the_clock_takes_a_free_name():
    circuit = Circuit({"t": integral(gpac.time())})
    assert [str(v) for v in circuit.to_pivp().variables] == ["t", "t2"]


def test_equal_names_are_told_apart():
    circuit = Circuit({"a": integral(1, name="v"), "b": 2 * integral(2, name="v") + 2 * integral(3, name="v")})
    assert [str(v) for v in circuit.to_pivp().variables] == ["a", "v", "v2"]


def test_inputs_must_be_given_to_expand():
    circuit = Circuit({"y": integral(inputs("x", 2))})
    with pytest.raises(ShapeError, match=r"give input 'x' \(2 exact numbers\)"):
        circuit.to_pivp()
    with pytest.raises(ShapeError, match=r"'x' must have shape \(2,\), got \(3,\)"):
        circuit.to_pivp({"x": [1, 2, 3]})


def test_an_irrational_coefficient_is_refused():
    with pytest.raises(ShapeError, match=r"coefficient pi is irrational.*make the constant a state"):
        Circuit({"y": integral(gpac.constant(sympy.pi))}).to_pivp()


def test_start_values_of_inputs_become_symbolic_constants():
    system = Circuit({"y": fn.tanh(inputs("x") + gpac.time())}).to_pivp({"x": [Fraction(1, 3)]})
    assert system.initial[0] == sympy.tanh(sympy.Rational(1, 3))
