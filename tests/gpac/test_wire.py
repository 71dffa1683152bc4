"""Arithmetic on wires: values, sizes, signs, and what is refused."""

from fractions import Fraction

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import gpac
from gpac import CircuitError, NumberError, ShapeError, bilinear, constant, declared, inputs, integral, linear
from gpac import functions as fn
from gpac.wire import Constant, Linear, Product, Start

X, Y, S = [1.5, -2.0, 0.25], [3.0, 0.5, -4.0], [-0.75]
M = np.array([[1.0, 2.0, -1.0], [0.5, 0.0, 4.0]])


def value(make) -> np.ndarray:
    """What the wire that `make(x, y, s)` returns carries for x = X, y = Y, s = S; dyadics, so no rounding."""
    x, y, s = inputs("x", 3), inputs("y", 3), inputs("s")
    keep = gpac.Circuit({"out": make(x, y, s), "all": linear([(np.ones((1, 3)), x), (np.ones((1, 3)), y), (1, s)])})
    return gpac.solve(keep, t=1, inputs={"x": X, "y": Y, "s": S}).named["out"]


x, y, s = map(np.array, (X, Y, S))
EXPRESSIONS = {
    "x + y": (lambda x, y, s: x + y, x + y),
    "x - y": (lambda x, y, s: x - y, x - y),
    "-x": (lambda x, y, s: -x, -x),
    "+x": (lambda x, y, s: +x, x),
    "x*y": (lambda x, y, s: x * y, x * y),
    "s*x": (lambda x, y, s: s * x, s * x),
    "x + s": (lambda x, y, s: x + s, x + s),
    "s - x": (lambda x, y, s: s - x, s - x),
    "2*x": (lambda x, y, s: 2 * x, 2 * x),
    "x + 1": (lambda x, y, s: x + 1, x + 1),
    "1 - x": (lambda x, y, s: 1 - x, 1 - x),
    "x - y.": (lambda x, y, s: x - np.array(Y), x - y),
    "y. - x": (lambda x, y, s: np.array(Y) - x, y - x),
    "y.*x": (lambda x, y, s: np.array(Y) * x, y * x),
    "y.*s": (lambda x, y, s: np.array(Y) * s, y * s),
    "y. + s": (lambda x, y, s: np.array(Y) + s, y + s),
    "x/4": (lambda x, y, s: x / 4, x / 4),
    "x/y.": (lambda x, y, s: x / np.array([0.5, 2, -4]), x / np.array([0.5, 2, -4])),
    "x**1": (lambda x, y, s: x**1, x),
    "x**5": (lambda x, y, s: x**5, x**5),
    "x**6": (lambda x, y, s: x**6, x**6),
    "s**0": (lambda x, y, s: s**0 + 0 * s, s**0),
    "M@x": (lambda x, y, s: M @ x, M @ x),
    "lists@x": (lambda x, y, s: M.tolist() @ x, M @ x),
    "sparse@x": (lambda x, y, s: scipy.sparse.csr_matrix(M) @ x, M @ x),
    "M@x + s": (lambda x, y, s: M @ x + s, M @ x + s),
    "M@(x*y) - M@x": (lambda x, y, s: M @ (x * y) - M @ x, M @ (x * y) - M @ x),
    "x + y - 2*x - y": (lambda x, y, s: x + y - 2 * x - y, -x),
    "2*(x - 3*y) + y": (lambda x, y, s: 2 * (x - 3 * y) + y, 2 * (x - 3 * y) + y),
    "x - x": (lambda x, y, s: x - x, 0 * x),
    "constants": (lambda x, y, s: constant([1, 2, 3]) * constant([4, 5, 6]) + 0 * x, np.array([4, 10, 18])),
    "diagonal": (lambda x, y, s: linear([([1, 2, 3], x), (-1, s)], 1), np.array([1, 2, 3]) * x - s + 1),
    "outer": (lambda x, y, s: bilinear("i,j->ij", x, y, (3,), (3,)), np.outer(x, y).ravel()),
    "dot": (lambda x, y, s: bilinear("i, i ->", x, y, (3,), (3,)), [x @ y]),
    "row sums": (lambda x, y, s: bilinear("ij,k->i", x, s, (3, 1), (1,)), x * s),
}


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_operators_do_what_numpy_does(name):
    make, truth = EXPRESSIONS[name]
    assert_array_equal(value(make), truth)


def test_the_zeroth_power_keeps_the_size():
    assert (inputs("x", 3) ** 0).size == 3


def test_thirds_stay_thirds():
    third = inputs("x") / 3
    (matrix, _), *_ = third.terms
    assert matrix[()] == Fraction(1, 3)
    assert (third * 3).terms[0][0][()] == 1


def test_a_sum_of_plain_multiples_is_one_unit():
    a, b, c = inputs("a", 2), inputs("b", 2), inputs("c", 2)
    total = a + b - 2 * c + a
    assert isinstance(total, Linear)
    assert {w.name: float(m[()]) for m, w in total.terms} == {"a": 2.0, "b": 1.0, "c": -2.0}


def test_a_power_takes_logarithmically_many_products():
    found, stack = set(), [inputs("x") ** 20]
    while stack:
        wire = stack.pop()
        if isinstance(wire, Product) and wire not in found:
            found.add(wire)
            stack += [wire.left, wire.right]
    assert len(found) == 5  # 20 = 10 + 10, 10 = 5 + 5, 5 = 2 + 2 + 1, 2 = 1 + 1


def test_numbers_become_constants_only():
    assert isinstance(constant(0.1), Constant)
    assert constant(0.1).values[0] == 0.1
    assert constant([Fraction(1, 3)]).values[0] == Fraction(1, 3)


# -- what is refused -----------------------------------------------------------------------------------------

REFUSED = {
    "sizes of a sum": (lambda x, z: x + z, "must have one size.*'x' gives 3.*'z' gives 2"),
    "sizes of a product": (lambda x, z: x * z, "'x'.*size 3.*'z'.*size 2"),
    "matrix": (lambda x, z: np.ones((2, 2)) @ x, r"shape \(2, 2\).*'x' of size 3"),
    "bias": (lambda x, z: linear([(1, x)], [1, 2]), "bias has 2"),
    "tensor": (lambda x, z: np.ones((1, 3, 3)) @ x, r"shape \(1, 3, 3\)"),
    "integral": (lambda x, z: integral(x, None, [1, 2]), "sizes must agree or be 1"),
    "variable": (lambda x, z: integral(x, integral(z)), "sizes must agree or be 1"),
    "initial value": (lambda x, z: integral(x, initial=z), "size 3.*initial value size 2; sizes must agree or be 1"),
    "bilinear": (lambda x, z: bilinear("ij,j->i", x, z, (2, 2), (2,)), "size 3.*shape"),
    "input size": (lambda x, z: inputs("q", 0), "at least 1"),
    "definition": (lambda x, z: gpac.wire("loop", 3).define(z), "'loop' has size 3.*size 2"),
    "empty constant": (lambda x, z: constant([]), "expected a number or a vector"),
    "matrix constant": (lambda x, z: constant([[1, 2]]), "shape"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_sizes_that_do_not_fit_are_told_apart(name):
    make, message = REFUSED[name]
    with pytest.raises(ShapeError, match=message):
        make(inputs("x", 3), inputs("z", 2))


@pytest.mark.parametrize("bad", [np.nan, np.inf, [1.0, np.nan, 0.0], scipy.sparse.csr_matrix([[np.nan, 0, 0]])])
def test_numbers_that_are_not_finite_are_refused(bad):
    with pytest.raises(NumberError, match="finite"):
        linear([(bad, inputs("x", 3))])


def test_division_by_zero_is_refused():
    with pytest.raises(NumberError, match="zero entry"):
        inputs("x", 2) / np.array([1.0, 0.0])


def test_division_needs_a_sign():
    y = integral(1, None, [1, 2, 3], name="y")
    with pytest.raises(CircuitError, match=r"integrator 'y'.*not proven to be nonzero.*declared"):
        1 / y
    assert (gpac.time() / declared(y, "+")).size == 3
    assert (1 / integral(1, None, -1, signs="-")).signs == "-"
    assert (1 / (1 + gpac.time() ** 2)).size == 1


RUNS = {
    "lanes": {"backend": "compiled"},
    "arrays": {"backend": "numpy"},
    "Runge-Kutta": {"method": "rungekutta"},
    "lanes in double-double": {"backend": "compiled", "precision": "double-double", "tol": 1e-28},
    "arrays in double-double": {"backend": "numpy", "precision": "double-double", "tol": 1e-28},
}


def decay(from_start: bool) -> gpac.Circuit:
    """u' = -(u_1 u_3, u_2 u_1, u_3 u_2) from u(0) = M'(s, s/4) + 1/3, written either way."""
    u, start = gpac.wire("u", 3), linear([(M.T @ np.array([[1], [0.25]]), inputs("s"))], [Fraction(1, 3)])
    rate = -gpac.product(u, linear([(np.roll(np.eye(3), 1, axis=0), u)]))
    return gpac.Circuit({"u": integral(rate, initial=start) if from_start else start + integral(rate)})


@pytest.mark.parametrize("how", RUNS)
def test_an_integral_from_a_wire_is_the_wire_plus_the_integral(how):
    given = np.array([[0.5], [1.25], [2.0]])
    one, other = (gpac.solve(decay(c), 1, given, **RUNS[how]).check() for c in (True, False))
    assert_allclose(one.outputs, other.outputs, rtol=1e-11)
    if one.outputs_low is not None:
        assert_allclose(one.outputs - other.outputs + (one.outputs_low - other.outputs_low), 0, atol=1e-26)


def test_an_integral_from_a_wire_is_proven_like_the_sum():
    one, other = (gpac.prove(decay(c), 1, [Fraction(5, 4)], digits=25) for c in (True, False))
    judge = gpac.reference(decay(False), 1, [Fraction(5, 4)], bits=240).outputs
    assert one.contains(judge)
    assert all(ball.overlaps(same) for ball, same in zip(one.balls, other.balls, strict=True))


def test_initial_values_are_exact_numbers_where_a_wire_has_them():
    assert integral(1, initial=constant([Fraction(1, 3), 2])).initial.tolist() == [Fraction(1, 3), 2]
    assert integral([1, 2], initial=constant(3)).initial.tolist() == [3, 3]


@pytest.mark.parametrize(
    ("make", "value"), [(lambda s: s, 0.5), (lambda s: Start("exp", s), np.exp(0.5))], ids=["wire", "function"]
)
def test_one_start_serves_every_entry(make, value):
    wide = gpac.Circuit({"y": integral([1, 2, 3], initial=make(inputs("s")))})
    ends = value + np.array([1, 2, 3])
    assert_allclose(gpac.solve(wide, 1, [0.5]).outputs, ends, rtol=1e-14)
    assert_allclose([float(b.mid()) for b in gpac.prove(wide, 1, [0.5], digits=20).balls], ends, rtol=1e-14)


@pytest.mark.parametrize("initial", [gpac.time(), 1 + integral(1, None, 1), gpac.wire("later")], ids=repr)
def test_an_integral_does_not_start_on_a_wire_that_moves(initial):
    with pytest.raises(CircuitError, match=r"constant in time, got .*which moves or is not yet defined.*t = 0 give"):
        integral(1, initial=initial)


def test_a_wire_has_one_source():
    loop = gpac.wire("loop")
    loop.define(inputs("x"))
    with pytest.raises(CircuitError, match="'loop' is defined twice"):
        loop.define(inputs("x"))


@pytest.mark.parametrize("exponent", [0.5, Fraction(1, 2), "2"])
def test_exponents_are_integers(exponent):
    with pytest.raises(CircuitError, match="integer exponent"):
        inputs("x", signs="+") ** exponent


@pytest.mark.parametrize("signs", ["", "x", "++-?"])
def test_signs_are_signs(signs):
    with pytest.raises(CircuitError, match="subset of '-0\\+'"):
        inputs("x", signs=signs)


# -- signs ---------------------------------------------------------------------------------------------------


@given(a=st.integers(-3, 3), b=st.integers(-3, 3), signs=st.tuples(*[st.sampled_from(["-", "0", "+"])] * 2))
def test_signs_of_sums_and_products_hold_for_every_value(a, b, signs):
    """Whatever values of the declared signs come in, the sign of the result is one of those derived."""
    sizes = {"-": -2, "0": 0, "+": 3}
    u, v = (inputs(n, signs=g) for n, g in zip("uv", signs, strict=True))
    p, q = (sizes[g] for g in signs)
    for wire, number in ((a * u + b * v, a * p + b * q), (u * v + a, p * q + a), (u * u - b * v, p * p - b * q)):
        assert "-0+"[int(np.sign(number)) + 1] in wire.signs


@pytest.mark.parametrize(
    ("make", "signs"),
    [
        (lambda x, p: x * x, "0+"),
        (lambda x, p: x * x + p, "+"),
        (lambda x, p: -(x * x) - p, "-"),
        (lambda x, p: p - x * x, "-0+"),
        (lambda x, p: p * p, "+"),
        (lambda x, p: 1 / integral(p, None, 1, signs="+"), "+"),
        (lambda x, p: gpac.time(), "0+"),
        (lambda x, p: fn.exp(gpac.time()), "+"),
        (lambda x, p: fn.sigmoid(gpac.time()), "+"),
        (lambda x, p: constant([1, 0]), "0+"),
        (lambda x, p: constant([-1, 2]), "-+"),
        (lambda x, p: np.array([[1.0, 1.0]]) @ inputs("p2", 2, signs="+"), "+"),
        (lambda x, p: np.array([[1.0, -1.0]]) @ inputs("p2", 2, signs="+"), "-0+"),
    ],
)
def test_signs_are_found(make, signs):
    assert make(inputs("x"), inputs("p", signs="+")).signs == signs


def test_declared_signs_survive_in_a_sum():
    assert (declared(inputs("x"), "+") + 1).signs == "+"


def test_functions_of_inputs_have_signs_too():
    p = inputs("p", signs="+")
    found = {f.__name__: f(p).signs for f in (fn.exp, fn.sqrt, fn.reciprocal, fn.sigmoid)}
    assert found == dict.fromkeys(("exp", "sqrt", "reciprocal", "sigmoid"), "+")


def test_a_sparse_matrix_has_one_number_in_a_place():
    x = inputs("x", 2)
    thrice = (np.array([1e16, 1.0, -1e16]), np.array([0, 0, 0]), np.array([0, 3, 3]))
    with pytest.raises(NumberError, match="one number in a place"):
        linear([(scipy.sparse.csr_matrix(thrice, shape=(2, 2)), x)])
    turned = scipy.sparse.csr_matrix((np.array([1.0, 2.0]), np.array([1, 0]), np.array([0, 2, 2])), shape=(2, 2))
    assert (linear([(turned, x)]).terms[0][0].toarray() == [[2, 1], [0, 0]]).all()
