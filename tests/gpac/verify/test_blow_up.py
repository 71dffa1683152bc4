"""Ends of coupled systems: enclosed to the digits asked, at the time that a closed form or another road gives."""

import math
from fractions import Fraction

import flint
import mpmath
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

from gpac import PIVP, Circuit, bilinear, inputs, integral, product, prove, reference, wire
from gpac.exact import to_exact
from gpac.verify import Answer
from gpac.verify.ends.polynomials import compose, derivative, multiply, value

X, Y, Z, T = sympy.symbols("x y z t")
EXACT = mpmath.mp.clone()
EXACT.dps = 250


def ends_at(proof, truth, digits: int, slack: int = 240) -> bool:
    """Whether the proof is ENDS with `truth` (known to `slack` digits) in an interval narrower than 10**-digits."""
    assert proof.answer is Answer.ENDS, str(proof)
    low, high = proof.end
    rounding = EXACT.mpf(10) ** -slack
    return low <= truth + rounding and truth - rounding <= high and high - low < EXACT.mpf(10) ** -digits


def system(equations: dict, start: list) -> PIVP:
    return PIVP(equations, dict(zip(equations, start, strict=True)))


# -- closed forms --------------------------------------------------------------------------------------------

CLOSED = {
    "x' = y' = xy": (system({X: X * Y, Y: X * Y}, [1, 2]), EXACT.log(2)),
    "y = x for ever": (system({X: X**2 + Y, Y: X * Y + Y}, [1, 1]), EXACT.log(2)),
    "y'' = 6 y^2, Weierstrass": (system({Y: Z, Z: 6 * Y**2}, [1, 0]), EXACT.beta(EXACT.mpf(1) / 6, 0.5) / 6),
    "y'' = 2 y^3, lemniscate": (system({Y: Z, Z: 2 * Y**3}, [1, 0]), EXACT.ellipk(-1)),
    "tan, and what it drives": (system({Y: 1 + Y**2, Z: Y - Z}, [0, 1]), EXACT.pi / 2),
    "tan from its second derivative": (system({Y: Z, Z: 2 * Y * Z}, [0, 1]), EXACT.pi / 2),
    "a logarithm beside": (system({X: X**2, Y: X, Z: Y - Z * X}, [2, 0, 1]), EXACT.mpf(1) / 2),
    "an essential singularity beside": (system({X: X**2, Y: X**2 * Y}, [1, 1]), EXACT.mpf(1)),
    "y ends before x": (system({X: X**2, Y: X * Y**2}, [1, Fraction(1, 2)]), 1 - EXACT.exp(-2)),
    "thirds that must cancel": (system({X: X**2 / 3, Y: X * Y / 3 + Z, Z: Z * X / 3 - Y}, [1, 1, 1]), EXACT.mpf(3)),
    "a rate of 1e300": (system({X: 10**300 * X**2, Y: 10**300 * X * Y + X}, [1, 1]), EXACT.mpf(10) ** -300),
    "spirals": (system({X: X**2, Y: -X * Y - 3 * X * Z, Z: 3 * X * Y - X * Z}, [1, 1, 1]), EXACT.mpf(1)),
    "downwards": (system({X: -X * Y, Y: -X * Y}, [-1, -2]), EXACT.log(2)),
}


@pytest.mark.parametrize("name", CLOSED)
def test_ends_of_closed_forms(name):
    pivp, truth = CLOSED[name]
    assert ends_at(prove(pivp, 3 + truth, digits=25), truth, 25)


@pytest.mark.parametrize("digits", [1, 5, 100])
def test_ends_are_as_narrow_as_asked(digits):
    """The equianharmonic function of Weierstrass."""
    pivp, truth = CLOSED["y'' = 6 y^2, Weierstrass"]
    assert ends_at(prove(pivp, 2, digits=digits), truth, digits)


def test_a_bilinear_circuit_ends_where_its_matrix_has_an_eigenvalue():
    """Y' = Y^2: Y = (1/Y0 - t)^-1 blows up along a matrix of rank one, whose direction depends on the start."""
    y = wire("y", 4)
    y.define(integral(bilinear("ij,jk->ik", y, y, (2, 2), (2, 2)), None, [1, Fraction(1, 2), 1, 2], name="y"))
    truth = 2 / (3 + EXACT.sqrt(3))
    assert ends_at(prove(Circuit({"y": y}), 2, digits=30), truth, 30)


def _riccati(n: int, a, b, c, d, start) -> PIVP:
    y = sympy.Matrix(n, n, sympy.symbols(f"y:{n * n}"))
    rate = (c + a * y + y * b + y * d * y).expand()
    return PIVP(dict(zip(y, rate, strict=True)), dict(zip(y, start, strict=True)))


def _riccati_pole(n: int, a, b, c, d, start, near: float):
    """The zero of det W near a time, where Y = U / W with U' = A U + C W and W' = -D U - B W."""
    mp = mpmath.mp.clone()
    mp.dps = 45

    def numbers(m):
        return [[mp.mpf(int(x.p)) / int(x.q) for x in row] for row in m.tolist()]

    blocks = sympy.Matrix.vstack(sympy.Matrix.hstack(a, c), sympy.Matrix.hstack(-d, -b))
    matrix, first = mp.matrix(numbers(blocks)), mp.matrix([*numbers(start), *mp.eye(n).tolist()])
    return mp.findroot(lambda t: mp.det((mp.expm(matrix * t) * first)[n:, :]), (near, near + 1e-8), tol=1e-70)


@pytest.mark.parametrize("n", [2, 3])
def test_matrix_riccati_equations_end_where_their_linear_systems_say(n):
    numbers = sympy.Matrix(n, n, lambda i, j: sympy.Rational((3 * i + 2 * j) % 5 - 1, 1 + i * j))
    a, b, c, d, start = numbers, numbers.T - sympy.eye(n), sympy.eye(n) + numbers / 7, sympy.eye(n), numbers / 3
    proof = prove(_riccati(n, a, b, c, d, start), 4, digits=20)
    assert proof.answer is Answer.ENDS, str(proof)
    truth = _riccati_pole(n, a, b, c, d, start, float(proof.end[0]))
    assert ends_at(proof, truth, 20, 35)


# -- other roads ---------------------------------------------------------------------------------------------


def _laurent(pole, free, s, terms: int = 60):
    """y and y' at pole + s for y'' = 6 y^2 + t, by the series at a pole; `free` is its coefficient of s^4."""
    c = {-2: EXACT.mpf(1)}
    for n in range(-1, terms):
        total = 6 * sum(c[i] * c[n - 2 - i] for i in range(-1, n) if -2 < n - 2 - i < n)
        total += pole * (n == 2) + (n == 3)
        c[n] = free if n == 4 else total / (n * (n - 1) - 12)
    return sum(x * s**n for n, x in c.items()), sum(n * x * s ** (n - 1) for n, x in c.items())


def test_the_first_pole_of_painleve_one_is_where_its_laurent_series_fits():
    """y(0) = y'(0) = 0: two numbers, the pole and the coefficient of s^4, from y and y' a little before."""
    painleve = system({Y: Z, Z: 6 * Y**2 + T, T: 1}, [0, 0, 0])
    proof = prove(painleve, 3, digits=25)
    assert proof.answer is Answer.ENDS
    before = Fraction(5, 2)
    y, z, _ = reference(painleve, before, bits=200).outputs
    t = EXACT.mpf(before.numerator) / before.denominator

    def misfit(pole, free):
        values = _laurent(pole, free, t - pole)
        return [values[0] - EXACT.mpf(y), values[1] - EXACT.mpf(z)]

    truth = EXACT.findroot(misfit, (2.6155712, 0.0), tol=1e-60)[0]
    assert ends_at(proof, truth, 25, 45)


def test_two_charts_of_one_system_agree():
    """x + y and x - y in place of x and y: other polynomials, other weights on the way, the same end."""
    one = prove(system({X: X * Y + X, Y: X**2 - Y}, [1, 1]), 4, digits=30)
    a, b = (X + Y) / 2, (X - Y) / 2
    f, g = a * b + a, a**2 - b
    other = prove(system({X: sympy.expand(f + g), Y: sympy.expand(f - g)}, [2, 0]), 4, digits=30)
    assert one.answer is other.answer is Answer.ENDS
    assert max(one.end[0], other.end[0]) <= min(one.end[1], other.end[1]) and other.end[1] - other.end[0] < 1e-30


# -- what does not end ---------------------------------------------------------------------------------------

LASTING = {
    "exp exp": (system({X: X * Y, Y: Y}, [2, 1]), 5),
    "a normal law backwards": (system({X: X * Y, Y: 1}, [1, 0]), 20),
    "logistic, with a companion": (system({X: 1000 * X - X**2, Y: X * (1 - Y)}, [1, 5]), 1),
    "a pole that is complex": (system({X: X**2 - Y**2, Y: 2 * X * Y}, [1, Fraction(1, 10**8)]), 3),
    "a rest state at 10^5": (system({X: X**2 - X**3 / 10**5, Y: X - Y}, [1, 0]), Fraction(101, 100)),
}


@pytest.mark.parametrize("name", LASTING)
def test_solutions_that_exist_are_not_said_to_end(name):
    pivp, t = LASTING[name]
    proof = prove(pivp, t, digits=5, seconds=5)
    assert proof.answer is not Answer.ENDS, str(proof)
    if name == "a pole that is complex":
        start = EXACT.mpc(1, EXACT.mpf(10) ** -8)
        truth = start / (1 - 3 * start)
        assert all(abs(m - v) <= r for m, r, v in zip(proof.mid, proof.rad, (truth.real, truth.imag), strict=True))


@pytest.mark.parametrize("gap", [3, 9, 15])
def test_values_just_before_and_ends_just_before_the_time_asked(gap):
    """x' = y' = xy from (1, 2): x = e^t / (2 - e^t)."""
    pivp = system({X: X * Y, Y: X * Y}, [1, 2])
    t = to_exact(EXACT.log(2) - EXACT.mpf(10) ** -gap)
    proof = prove(pivp, t, digits=15)
    truth = EXACT.exp(EXACT.mpf(t.numerator) / t.denominator)
    truth = truth / (2 - truth)
    assert proof.answer is Answer.PROVEN and abs(proof.mid[0] - truth) <= proof.rad[0] < EXACT.mpf(10) ** -15
    late = prove(pivp, to_exact(EXACT.log(2) + EXACT.mpf(10) ** -gap), digits=15)
    assert ends_at(late, EXACT.log(2), max(15, gap))


TWICE = {
    "scalars": (system({X: X**2, Y: Y**2}, [1, 1]), EXACT.mpf(1)),
    "scalars of other speed": (system({X: X**2, Y: 2 * Y**2}, [1, Fraction(1, 2)]), EXACT.mpf(1)),
    "the second a little earlier": (
        system({X: X**2, Y: Y**2}, [1, 1 + Fraction(1, 10**30)]),
        1 / (1 + EXACT.mpf(10) ** -30),
    ),
    "pairs": (system({X: X * Y, Y: X * Y, Z: Z * T, T: Z * T}, [1, 2, 2, 1]), EXACT.log(2)),
}


@pytest.mark.parametrize("name", TWICE)
def test_parts_that_end_at_the_same_time(name):
    pivp, truth = TWICE[name]
    assert ends_at(prove(pivp, 3, digits=20), truth, 20)


# -- boxes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("radius", [1e-3, 1e-10])
def test_a_box_ends_when_its_members_do(radius):
    """x' = y' = xy from (a, a + 1): the end is log(1 + 1/a)."""
    pivp = system({X: X * Y, Y: X * Y, Z: -Z}, [1, 2, 1])
    proof = prove(pivp, 3, initial=[flint.arb(1, radius), 2, 1], digits=15)
    assert proof.answer is Answer.ENDS
    low, high = proof.end
    for x in (1 - EXACT.mpf(radius), 1 + EXACT.mpf(radius)):
        assert low <= EXACT.log(2 / x) / (2 - x) <= high
    assert high - low < 10 * radius


def test_constants_that_are_boxes_count_with_all_their_values():
    """y' = a y^2 + 1, alone and as a system: the end is pi / (2 sqrt(a))."""
    a, y, z = inputs("a"), wire("y"), wire("z")
    y.define(integral(product(a, product(y, y)) + 1, None, 0, name="y"))
    z.define(integral(product(y, z), None, 1, name="z"))
    for circuit, radius in ((Circuit({"y": y}), 2.0**-6), (Circuit({"z": z}), 2.0**-10)):
        proof = prove(circuit, 4, [flint.arb(0.25, radius)], digits=5)
        assert proof.answer is Answer.ENDS
        first, last = (EXACT.pi / 2 / EXACT.sqrt(0.25 + r) for r in (radius, -radius))
        assert proof.end[0] <= first < last <= proof.end[1] < proof.end[0] + 30 * radius


# -- polynomials ---------------------------------------------------------------------------------------------

POLYNOMIALS = st.dictionaries(
    st.lists(st.sampled_from([0, 1, 2]), max_size=3).map(lambda e: tuple(sorted(e))),
    st.integers(-5, 5).filter(bool).map(flint.fmpq),
    max_size=4,
)


def _at(p, point):
    return sum((c * math.prod(point[n] for n in e) for e, c in p.items()), flint.fmpq(0))


@given(POLYNOMIALS, POLYNOMIALS, POLYNOMIALS)
@settings(max_examples=60, deadline=None)
def test_polynomials_multiply_compose_and_differentiate_as_their_values_say(p, q, r):
    point = {0: flint.fmpq(1, 2), 1: flint.fmpq(-3), 2: flint.fmpq(2, 3)}
    assert _at(multiply(p, q), point) == _at(p, point) * _at(q, point)
    assert _at(compose(p, {0: q, 2: r}), point) == _at(p, {0: _at(q, point), 1: point[1], 2: _at(r, point)})
    along = flint.fmpq_poly(_at(p, point | {1: flint.fmpq_poly([-3, 1])}))
    assert _at(derivative(p, 1), point) == along[1]
    assert value(p, {n: flint.arb(x) for n, x in point.items()}).overlaps(flint.arb(_at(p, point)))
