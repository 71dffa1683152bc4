"""Tangents of circuits: against closed forms in mpmath, against sympy's Jacobians, and proven."""

from fractions import Fraction

import mpmath
import numpy as np
import pytest
import scipy.sparse
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

import gpac
from compile import Network, Sigmoid, Tanh, dense, homotopy, relaxation, sequential
from gpac import Circuit, CircuitError, Phase, Schedule, bilinear, inputs, integral, linear, product, wire
from gpac import functions as fn
from gpac.elementary import TABLE
from gpac.program import Program
from gpac.transform.along import Along
from gpac.transform.tangent import tangent
from gpac.wire import Linear, Start

MP = mpmath.mp.clone()
MP.prec = 160
SMALL = st.fractions(-2, 2, max_denominator=4)
x, y, z = sympy.symbols("x y z")


def read(system, t, given) -> dict[str, list]:
    """Outputs by name, from a run with 160 bits."""
    found = iter(gpac.reference(system, t=t, inputs=given, bits=160).outputs)
    return {name: [next(found) for _ in range(w.size)] for name, w in system.outputs.items()}


def assert_equal(got, expected):
    assert len(got) == len(expected)
    for one, other in zip(got, expected, strict=True):
        assert abs(one - other) <= MP.mpf(10) ** -40 * max(1, abs(other))  # 48 digits less what the steps lose


@st.composite
def systems(draw) -> gpac.PIVP:
    variables = [x, y, z][: draw(st.integers(1, 3))]
    exponents = st.tuples(*[st.integers(0, 3)] * len(variables)).filter(lambda e: sum(e) <= 3)

    def polynomial() -> sympy.Expr:
        terms = draw(st.lists(st.tuples(SMALL, exponents), max_size=3))
        return sum(
            (sympy.Rational(c) * sympy.prod(v**k for v, k in zip(variables, e, strict=True)) for c, e in terms),
            sympy.S(0),
        )

    return gpac.PIVP({v: polynomial() for v in variables}, {v: draw(SMALL) for v in variables})


@settings(max_examples=60, deadline=None)
@given(system=systems(), data=st.data())
def test_the_tangent_of_a_polynomial_system_is_its_variational_system(system, data):
    """d(y)' = J(y) d(y) from the given direction, with sympy's Jacobian."""
    direction = [data.draw(SMALL) for _ in system.variables]
    given = {"initial": list(system.initial), "d(initial)": direction}
    varied = tangent(system.to_circuit(free_start=True)).to_pivp(given)
    moved = [sympy.Symbol(f"d({v})") for v in system.variables]
    field = system.expressions()
    jacobian = sympy.Matrix(list(field.values())).jacobian(list(field))
    expected = field | dict(zip(moved, jacobian * sympy.Matrix(moved), strict=True))
    got = varied.expressions()
    assert set(got) == set(expected)
    assert {v: sympy.expand(got[v] - expected[v]) for v in expected} == dict.fromkeys(expected, 0)
    start = dict(zip(varied.variables, varied.initial, strict=True))
    assert start == dict(zip([*system.variables, *moved], [*system.initial, *direction], strict=True))


FUNCTIONS = {
    "sin": MP.cos,
    "cos": lambda v: -MP.sin(v),
    "tan": lambda v: MP.sec(v) ** 2,
    "tanh": lambda v: MP.sech(v) ** 2,
    "arctan": lambda v: 1 / (1 + v * v),
    "exp": MP.exp,
    "log": lambda v: 1 / v,
    "sqrt": lambda v: 1 / (2 * MP.sqrt(v)),
    "reciprocal": lambda v: -1 / v**2,
    "sigmoid": lambda v: MP.sech(v / 2) ** 2 / 4,
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_of_inputs_have_their_derivatives(name):
    """f(a + b t): derivatives f' and t f'; no integrator is added for a function of its variable."""
    a, b = inputs("a", 2, "+"), inputs("b", 1, "+")
    argument = gpac.declared(a + b * gpac.time(), "+")
    circuit = Circuit({"f": getattr(fn, name)(argument)})
    varied = tangent(circuit)
    assert varied.dim == circuit.dim
    t, values, speed = Fraction(1, 2), [Fraction(1, 4), Fraction(3, 4)], Fraction(3, 8)
    da, db = [1, -2], 3
    given = {"a": values, "b": [speed], "d(a)": da, "d(b)": [db]}
    ends = [MP.mpf(v.numerator) / v.denominator + MP.mpf(3) / 16 for v in values]
    expected = [FUNCTIONS[name](v) * (d + MP.mpf(db) / 2) for v, d in zip(ends, da, strict=True)]
    assert_equal(read(varied, t, given)["d(f)"], expected)


def test_a_real_power_has_its_derivative():
    a = inputs("a", 1, "+")
    circuit = Circuit({"f": fn.power(gpac.declared(a + gpac.time(), "+"), Fraction(1, 3))})
    assert tangent(circuit).dim == circuit.dim
    got = read(tangent(circuit), 1, {"a": [Fraction(1, 2)], "d(a)": [1]})["d(f)"]
    assert_equal(got, [MP.mpf(1.5) ** (-MP.mpf(2) / 3) / 3])


@pytest.mark.parametrize("name", sorted(TABLE))
def test_start_values_have_their_derivatives(name):
    """A wire that only starts at f(2a - 1/8) and then grows like t."""
    parameters = (Fraction(5, 2),) if name in ("power", "bell_area", "circle_sine", "circle_cosine") else ()
    a = inputs("a", 2)
    held = integral([1, 2], None, Start(name, linear([(2, a)], [-0.125, -0.125]), parameters))
    varied = tangent(Circuit({"f": held}))
    got = read(varied, 1, {"a": [0.25, 0.5], "d(a)": [1, -3]})["d(f)"]
    at = [MP.mpf(0.375), MP.mpf(0.875)]

    def function(v):
        return TABLE[name].mpmath(MP, v, *parameters)

    with MP.workprec(400):
        slopes = [MP.diff(function, v) for v in at]
    assert_equal(got, [2 * slopes[0], -6 * slopes[1]])


def test_a_start_value_that_is_a_function_of_a_matrix_times_inputs():
    """u' = 1 - u^2 from u(0) = tanh(A h + b): u = tanh(t + A h + b), whatever wires it is written with."""
    A, b = np.array([[1.0, -0.5], [0.25, 2.0]]), np.array([0.5, -1.0])
    h, u = inputs("h", 2), wire("u", 2)
    u.define(integral(1 - u * u, None, Start("tanh", linear([(A, h)], b)), name="u"))
    got = read(tangent(Circuit({"u": u})), 1, {"h": [0.5, -0.25], "d(h)": [1, 2]})["d(u)"]
    argument = A @ [0.5, -0.25] + b + 1
    assert_equal(got, [MP.sech(v) ** 2 * MP.mpf(d) for v, d in zip(argument, A @ [1, 2], strict=True)])


def test_a_start_value_that_does_not_follow_the_input_is_not_taken_for_a_function_of_it():
    """y = 1 + integral of y d(a + t) = exp(t), although y obeys dy = y dv as exp(v) does."""
    a, loop = inputs("a"), wire("y")
    loop.define(integral(loop, a + gpac.time(), 1, name="y"))
    circuit = Circuit({"y": loop, "e": fn.exp(a + gpac.time())})
    got = read(tangent(circuit), 1, {"a": [2], "d(a)": [1]})
    assert_equal(got["y"] + got["d(y)"] + got["d(e)"], [MP.e, 0, MP.e**3])


def test_a_function_of_another_entry_is_not_a_function_of_this_one():
    """y_i = integral of s_j ds_i with s = (a t, b t^2) and j the other entry."""
    t = gpac.time()
    a, b = inputs("a"), inputs("b")
    s = linear([([[1.0], [0.0]], a * t), ([[0.0], [1.0]], b * t * t)])
    swapped = np.array([[0.0, 1.0], [1.0, 0.0]]) @ s
    circuit = Circuit({"y": integral(swapped, s, 0, name="y")})
    values = {"a": [3], "b": [5]}
    got = [read(tangent(circuit), 2, values | {"d(a)": [da], "d(b)": [1 - da]}) for da in (1, 0)]
    # y = (a b t^3 / 3, 2 a b t^3 / 3)
    assert_equal(got[0]["y"], [MP.mpf(40), MP.mpf(80)])
    assert_equal(got[0]["d(y)"] + got[1]["d(y)"], [MP.mpf(v) / 3 for v in (40, 80, 24, 48)])


def test_an_integral_with_respect_to_a_product_of_moving_wires():
    """Integral of t dw with w = a t sin(b t)."""
    t, a, b = gpac.time(), inputs("a"), inputs("b")
    area = integral(t, a * (t * fn.sin(b * t)), 0, name="area")
    values = {"a": [2], "b": [3], "d(a)": [1], "d(b)": [-1]}
    got = read(tangent(Circuit({"area": area})), 1, values)["d(area)"]

    def closed(a, b):  # by parts: a sin b - a * integral of t sin(b t)
        return a * MP.sin(b) - a * (MP.sin(b) - b * MP.cos(b)) / b**2

    with MP.workprec(500):
        expected = MP.diff(closed, (2, 3), (1, 0)) - MP.diff(closed, (2, 3), (0, 1))
    assert_equal(got, [expected])


def test_an_einsum_of_moving_matrices():
    """Y' = -Y Y from Y0: Y = (Y0^-1 + t)^-1, dY = Y Y0^-1 dY0 Y0^-1 Y; a trace is read besides."""
    start, Y = inputs("start", 4), wire("Y", 4)
    Y.define(integral(-bilinear("ij,jk->ik", Y, Y, (2, 2), (2, 2)), None, Start("identity", start), name="Y"))
    trace = bilinear("ij,ji->", Y, Y, (2, 2), (2, 2))
    got = read(tangent(Circuit({"Y": Y, "trace": trace})), 1, {"start": [2, 1, 0, 1], "d(start)": [1, 0, 3, -1]})
    Y0, dY0 = MP.matrix([[2, 1], [0, 1]]), MP.matrix([[1, 0], [3, -1]])
    end = (Y0**-1 + MP.eye(2)) ** -1
    moved = end * Y0**-1 * dY0 * Y0**-1 * end
    both = end * moved + moved * end
    assert_equal(got["d(Y)"] + got["d(trace)"], [*moved, both[0, 0] + both[1, 1]])


def test_sparse_and_dense_matrices_are_shared_not_copied():
    A = np.array([[0.0, 1.0, 0], [-1, 0, 0.5], [0, 0, -1]])
    systems = []
    for matrix in (A, scipy.sparse.csr_matrix(A)):
        h = wire("h", 3)
        h.define(integral(linear([(matrix, h)]), None, Start("identity", inputs("start", 3)), name="h"))
        systems.append(Circuit({"h": h}))
    given = {"start": [1, 2, 3], "d(start)": [1, 0, -1]}
    truth = MP.expm(MP.matrix(A.tolist()) * 2) * MP.matrix([1, 0, -1])
    for circuit in systems:
        varied = tangent(circuit)
        assert_equal(read(varied, 2, given)["d(h)"], list(truth))
        matrices = [m for w in varied.wires if isinstance(w, Linear) for m, _ in w.terms if m.ndim == 2]
        assert len(matrices) == 2 and matrices[0] is matrices[1]


def test_what_does_not_depend_on_the_input_has_no_companion():
    t, a, b = gpac.time(), inputs("a"), inputs("b")
    circuit = Circuit({"s": fn.sin(t), "y": a * fn.cos(t) + b})
    varied = tangent(circuit, ["a"])
    assert set(varied.inputs) == {"a", "b", "d(a)"} and varied.dim == circuit.dim
    got = read(varied, 1, {"a": [2], "b": [3], "d(a)": [5]})
    assert_equal(got["d(s)"] + got["d(y)"], [MP.mpf(0), 5 * MP.cos(1)])


def test_an_input_that_only_shifts_the_variable_of_an_integral():
    """Integral of cos(t) d(t + a): the shift is constant in time."""
    a, t = inputs("a"), gpac.time()
    got = read(tangent(Circuit({"y": integral(fn.cos(t) + a * a, t + a)})), 2, {"a": [3], "d(a)": [1]})
    assert_equal(got["y"] + got["d(y)"], [MP.sin(2) + 18, MP.mpf(12)])


def test_a_wire_used_by_name_is_followed():
    circuit = Circuit({"y": integral(inputs("a") * wire("y"), None, 1)})
    assert_equal(read(tangent(circuit), 1, {"a": [2], "d(a)": [1]})["d(y)"], [MP.e**2])


def test_a_wire_of_size_one_serves_every_entry():
    """y' = a s with s' = b, s of size 1: y = y0 + a b t^2 / 2 and z = s y."""
    a, b = inputs("a", 3), inputs("b")
    s = integral(b, name="s")
    y = integral(a * s, None, [1, 2, 3], name="y")
    got = read(tangent(Circuit({"z": product(s, y)})), 2, {"a": [1, 2, 3], "b": [5], "d(a)": [0, 1, 0], "d(b)": [1]})
    # z = b t (y0 + a b t^2 / 2), dz = da b^2 t^3 / 2 + db (t y0 + a b t^3)
    assert_equal(got["d(z)"], [MP.mpf(v) for v in (2 + 40, 100 + 4 + 80, 6 + 120)])


def test_a_schedule_hands_derivatives_on():
    """Phase 1: y' = a y from b, one unit of time; phase 2: z' = y + a, two units."""
    a, b = inputs("a"), inputs("b")
    y, z = wire("y"), wire("z")
    y.define(integral(a * y, None, Start("identity", b), name="y"))
    z.define(integral(inputs("y") + a, name="z"))
    schedule = Schedule((Phase(Circuit({"y": y}), Fraction(1)), Phase(Circuit({"z": z}), Fraction(2))))
    varied = tangent(schedule)
    values = {"a": [1], "b": [3], "d(a)": [5], "d(b)": [7]}
    assert set(varied.inputs) == set(values)
    # z = 2 b exp(a) + 2 a
    assert_equal(read(varied, None, values)["d(z)"], [2 * 7 * MP.e + 5 * (2 * 3 * MP.e + 2)])


def test_a_phase_that_does_not_read_the_input_hands_on_zeros():
    first = Circuit({"y": integral(inputs("b"))})
    second = Circuit({"z": integral(inputs("a") * inputs("y"))})
    schedule = Schedule((Phase(first, Fraction(1)), Phase(second, Fraction(1))))
    values = {"a": [2], "b": [3], "d(a)": [1]}
    assert_equal(read(tangent(schedule, ["a"]), None, values)["d(z)"], [MP.mpf(3)])


def test_the_tangent_of_the_tangent_has_second_derivatives():
    """y = exp(a t): d/da twice is t^2 exp(a t)."""
    a, y = inputs("a"), wire("y")
    circuit = Circuit({"y": y.define(integral(a * y, None, 1, name="y"))})
    second = tangent(tangent(circuit), ["a"], ["e"])
    got = read(second, 2, {"a": [1], "d(a)": [1], "e(a)": [1]})
    assert_equal(got["e(d(y))"], [4 * MP.e**2])


def small_network() -> Network:
    rng = np.random.default_rng(2)
    layers = [dense(rng.normal(size=(3, 2)), [1, 0, -1]), Sigmoid(), dense(rng.normal(size=(2, 3))), Tanh()]
    return Network(2, layers)


@pytest.mark.parametrize(
    ("make", "t"),
    [
        (lambda: homotopy(small_network()), 1),
        (lambda: sequential(small_network()), None),
        (lambda: relaxation(small_network()), 2),
        (lambda: Circuit({"f": fn.log(gpac.declared(inputs("x", 2) + 1 + gpac.time(), "+"))}), 1),
        (lambda: Circuit({"f": fn.arctan(fn.sin(inputs("x", 2) * gpac.time()))}), 1),
        (lambda: Circuit({"f": fn.tanh(fn.exp(inputs("x", 2) + gpac.time()))}), 1),
    ],
    ids=["homotopy", "sequential", "relaxation", "log", "arctan of sin", "tanh of exp"],
)
def test_functions_of_their_variable_agree_with_the_variational_equations(make, t, monkeypatch):
    """The same derivatives with all integrators and without those that are not needed."""
    given = {"x": [0.75, 0.5], "d(x)": [1, -2]}
    short = tangent(make())
    monkeypatch.setattr(Along, "follows", lambda self, y: False)
    full = tangent(make())
    assert full.dim > short.dim
    one, other = read(short, t, given), read(full, t, given)
    for name in one:
        assert_equal(one[name], other[name])


def test_several_directions_share_the_system():
    a = inputs("a", 2)
    circuit = Circuit({"y": integral(product(a, a), name="y")})
    varied = tangent(circuit, labels=["d1", "d2", "d3"])
    assert list(varied.outputs) == ["y", "d1(y)", "d2(y)", "d3(y)"] and varied.dim == 8
    given = {"a": [2, 3], "d1(a)": [1, 0], "d2(a)": [0, 1], "d3(a)": [1, 1]}
    got = read(varied, 1, given)
    assert_equal(got["d1(y)"] + got["d2(y)"] + got["d3(y)"], [4, 0, 0, 6, 4, 6])


def test_the_derivative_is_proven_to_be_the_closed_form():
    """y = exp(a t) at a = 2/3, t = 1: dy/da = exp(2/3). Both as a circuit and as a PIVP."""
    a, y = inputs("a"), wire("y")
    varied = tangent(Circuit({"y": y.define(integral(a * y, None, 1, name="y"))}))
    given = {"a": [Fraction(2, 3)], "d(a)": [1]}
    truth = [MP.exp(MP.mpf(2) / 3)] * 2
    for proof in (gpac.prove(varied, t=1, inputs=given, digits=30), gpac.prove(varied.to_pivp(given), t=1, digits=30)):
        assert proof.contains(truth) and proof.digits >= 30


def test_the_derivative_of_a_neuron_is_proven():
    """tanh(w t + b) by w, with the start value tanh(b)."""
    w, b = inputs("w"), inputs("b")
    varied = tangent(Circuit({"u": fn.tanh(w * gpac.time() + b)}))
    given = {"w": [2], "b": [Fraction(1, 2)], "d(w)": [1], "d(b)": [1]}
    proof = gpac.prove(varied, t=1, inputs=given, digits=30)
    assert proof.contains([MP.tanh(2.5), 2 * MP.sech(2.5) ** 2])


def test_a_limit_programs_bound_is_not_claimed_for_derivatives():
    class Bound:
        def time(self, inputs, error):
            return 1.0

        def error(self, inputs, t):
            return 0

    a, y = inputs("a"), wire("y")
    y.define(integral(a - y, name="y"))
    varied = tangent(Circuit({"y": y}, Program("relaxed", "limit", limit=Bound())))
    assert varied.program.limit is None and varied.program.scheme == "relaxed"
    with pytest.raises(gpac.GpacError, match="t is missing"):
        gpac.solve(varied, inputs={"a": 1, "d(a)": 1})


def test_signs_are_not_claimed_for_derivatives():
    a = inputs("a", 2, "+")
    e = fn.exp(gpac.declared(a * gpac.time(), "+"))
    circuit = Circuit({"e": e, "y": integral(e * e), "h": fn.exp(a)})
    varied = tangent(circuit)
    assert set(circuit.wires) <= set(varied.wires)  # those keep what is known of them
    own = [varied.source(w) for name, w in varied.outputs.items() if name.startswith("d(")]
    assert len(own) == 3 and all(w.signs == "-0+" for w in own)


def test_mistakes_are_told():
    circuit = Circuit({"y": integral(inputs("a")), "d(a)": integral(inputs("b"))})
    with pytest.raises(CircuitError, match=r"names of inputs.*got 'x'; the system has 'a', 'b'"):
        tangent(circuit, ["x"])
    with pytest.raises(CircuitError, match="different labels"):
        tangent(circuit, ["b"], ["d", "d"])
    with pytest.raises(CircuitError, match=r"'d\(a\)' .*is taken; choose another label"):
        tangent(circuit, ["a"])
    with pytest.raises(CircuitError, match="no inputs"):
        tangent(Circuit({"y": integral(1)}), ["x"])
