"""Sets of inputs and start values: the ball holds the image of every point, and is hardly wider than the images."""

from fractions import Fraction
from itertools import pairwise

import flint
import mpmath
import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

import gpac
from compile import Network, Sigmoid, Tanh, dense, forward, homotopy, sequential
from gpac import PIVP, Circuit, Phase, Schedule, inputs, integral, linear, product, prove, reference, wire
from gpac import functions as fn
from gpac.elementary import TABLE
from gpac.errors import InvariantError
from gpac.exact import to_arb
from gpac.program import Invariant, Program
from gpac.verify import Answer, affine, distances, part, spread
from gpac.verify.jets import jet
from gpac.wire import Start

X, Y, Z = sympy.symbols("x y z")
LORENZ = PIVP({X: 10 * (Y - X), Y: X * (28 - Z) - Y, Z: X * Y - sympy.Rational(8, 3) * Z}, {X: 1, Y: 1, Z: 1})
LOTKA = PIVP({X: sympy.Rational(3, 2) * X - X * Y, Y: -3 * Y + X * Y}, {X: 1, Y: 1})


def box(centre, radius):
    return [flint.arb(float(c), radius) for c in centre]


def points(centre, radius, count, seed=1):
    """Corners, points on faces and inner points; the centre; shape (count + 1, n)."""
    rng = np.random.default_rng(seed)
    unit = rng.uniform(-1, 1, (count, len(centre)))
    unit[: count // 2] = np.sign(unit[: count // 2])
    for row in unit[count // 2 : 3 * count // 4]:
        row[rng.integers(len(centre))] = rng.choice([-1, 1])
    return np.array(centre) + radius * np.vstack([unit, np.zeros(len(centre))])


def over_estimation(proof, images, error=1e-13):
    """Width of every ball over the range of the images, which must lie inside (they are off by `error` at most)."""
    assert proof.answer is Answer.PROVEN, str(proof)
    mid, rad = (np.array([float(v) for v in part]) for part in (proof.mid, proof.rad))
    assert (np.abs(images - mid) <= rad + error * (1 + np.abs(images))).all()
    return 2 * rad / np.ptp(images, axis=0)


def inside(proof, truth):
    return all(abs(v - m) <= r for v, m, r in zip(truth, proof.mid, proof.rad, strict=True))


# -- hardly wider than the truth -----------------------------------------------------------------------------


def test_a_box_of_side_1e_6_on_lorenz_stays_tight_to_t_2():
    start = points([1, 1, 1], 5e-7, 800)
    images = gpac.solve(LORENZ, t=2, initial=start, tol=1e-15).outputs
    assert max(over_estimation(prove(LORENZ, 2, initial=box([1, 1, 1], 5e-7), digits=6), images)) <= 1.01


def test_sixteen_turns_do_not_widen_a_box():
    """The exact image of a box under a rotation has half width r (|cos| + |sin|) in both components."""
    proof = prove(PIVP({X: Y, Y: -X}, {X: 1, Y: 0}), 100, initial=box([1, 0], 0.01), digits=3)
    wanted = mpmath.mpf(0.01) * (abs(mpmath.cos(100)) + abs(mpmath.sin(100)))
    assert all(wanted * (1 - mpmath.mpf(10) ** -9) <= r <= 1.001 * wanted for r in proof.rad)


def tanh_flow(pair: bool, n: int = 16) -> Circuit:
    """h' = A2 tanh(A1 h + b) from h(0) = x, as a polynomial system: 18 states, or 34 with the slopes of tanh."""
    rng = np.random.default_rng(7)
    a1, b, a2 = rng.normal(size=(n, 2)), rng.normal(size=n), rng.normal(size=(2, n)) / 4
    x, h = inputs("x", 2), wire("h", 2)
    z = linear([(a1, h)], b)
    s = wire("s", n)
    s.define(fn.tanh(z) if pair else integral(1 - product(s, s), z, Start("tanh", linear([(a1, x)], b)), name="s"))
    h.define(x + integral(linear([(a2, s)]), None, 0, name="moved"))
    return Circuit({"h": h})


@pytest.mark.parametrize("pair", [False, True])
def test_start_values_made_of_inputs_keep_their_dependence(pair):
    circuit, centre = tanh_flow(pair), [0.5, -0.25]
    images = gpac.solve(circuit, t=1, inputs=points(centre, 1e-3, 800), tol=1e-15).outputs
    proof = prove(circuit, 1, box(centre, 1e-3), digits=4)
    assert max(over_estimation(proof, images)) <= 1.02


def test_a_box_of_lotka_volterra_is_as_narrow_as_its_images():
    images = gpac.solve(LOTKA, t=1, initial=points([1, 1], 1e-6, 800), tol=1e-15).outputs
    assert max(over_estimation(prove(LOTKA, 1, initial=box([1, 1], 1e-6), digits=6), images)) <= 1.001


@pytest.mark.parametrize("t", [Fraction(1, 2), 7])
def test_linear_systems_have_the_widths_of_the_matrix_exponential(t):
    """Start values and a constant from a box: |exp(t A)| r, attained at a corner."""
    matrix = np.array([[-1.0, 3, 0, 1], [-3, -1, 0.5, 0], [0, 2, -40, 1], [0, 0, 0, 0]])
    x, y = inputs("x", 4), wire("y", 3)
    rate = linear([(matrix[:3, :3], y), (matrix[:3, 3:], linear([(np.eye(4)[3:], x)]))])
    y.define(integral(rate, None, Start("identity", linear([(np.eye(4)[:3], x)])), name="y"))
    r = [1e-3, 1e-9, 1e-5, 1e-4]
    proof = prove(Circuit({"y": y}), t, [flint.arb(c, w) for c, w in zip([1, -1, 0.5, 2], r, strict=True)], digits=10)
    with mpmath.workdps(30):
        image = mpmath.expm(mpmath.matrix(matrix.tolist()) * (mpmath.mpf(t.numerator) / t.denominator))
        for i, rad in enumerate(proof.rad):
            wanted = sum(abs(image[i, j]) * mpmath.mpf(r[j]) for j in range(4))
            assert wanted * (1 - mpmath.mpf(10) ** -9) <= rad <= wanted * (1 + mpmath.mpf(10) ** -5)


def test_many_inputs_that_act_through_few_sums_cost_one_symbol_each():
    rng = np.random.default_rng(3)
    weights, x = rng.normal(size=(3, 40)), inputs("x", 40)
    y = fn.tanh(product(gpac.time(), linear([(weights, x)])))
    centre, r = rng.normal(size=40) / 40, 1e-9
    proof = prove(Circuit({"y": y, "sum": linear([(np.ones((1, 3)), y)])}), 1, box(centre, r), digits=12)
    slope = (1 - np.tanh(weights @ centre) ** 2)[:, None] * weights
    wanted = r * np.abs(np.vstack([slope, slope.sum(axis=0)])).sum(axis=1)
    assert np.allclose([float(v) for v in proof.rad], wanted, rtol=1e-6)


# -- networks ------------------------------------------------------------------------------------------------


def network(sizes, activation, seed=5):
    rng = np.random.default_rng(seed)
    layers = []
    for n, m in pairwise(sizes):
        layers += [dense(rng.normal(size=(m, n)) / 2, rng.normal(size=m) / 2), activation()]
    return Network(sizes[0], layers[:-1])


@pytest.mark.parametrize("scheme", [sequential, homotopy])
@pytest.mark.parametrize(("sizes", "activation"), [((2, 8, 8, 2), Sigmoid), ((5, 6, 6, 6, 1), Tanh)])
def test_the_output_box_of_a_network_is_as_narrow_as_its_images(scheme, sizes, activation):
    net = network(sizes, activation)
    centre, r = np.linspace(-1, 1, sizes[0]), 1e-6
    images = forward(net, points(centre, r, 3000))
    assert max(over_estimation(prove(scheme(net), inputs=box(centre, r), digits=8), images)) <= 1.1


def test_two_phases_remember_what_their_inputs_have_in_common():
    """u and v = -u of the first phase cancel in the second."""
    x, a, b = inputs("x"), inputs("a"), inputs("b")
    first = Circuit({"a": fn.sin(product(gpac.time(), x)), "b": -fn.sin(product(gpac.time(), x))})
    y = wire("y")
    y.define(integral(linear([(1, a), (1, b), (-1, y)]), None, 1, name="y"))
    schedule = Schedule((Phase(first, Fraction(1)), Phase(Circuit({"y": y}), Fraction(2))))
    proof = prove(schedule, inputs=[flint.arb(0.5, 1e-3)], digits=3)
    assert inside(proof, [mpmath.exp(-2)]) and proof.rad[0] < 1e-5


# -- nothing is left out -------------------------------------------------------------------------------------

small = st.builds(Fraction, st.integers(-3, 3), st.integers(1, 4))


@st.composite
def cases(draw):
    """A random polynomial system, a box of start values, and a time."""
    n = draw(st.integers(1, 4))
    symbols = sympy.symbols(f"a:{n}")
    equations = {}
    for symbol in symbols:
        rate = sympy.Integer(0)
        for _ in range(draw(st.integers(1, 3))):
            number = draw(small)
            factors = draw(st.lists(st.sampled_from(symbols), max_size=3))
            rate += sympy.Rational(number.numerator, number.denominator) * sympy.Mul(*factors)
        equations[symbol] = rate
    centre = [draw(st.integers(-8, 8)) / 8 for _ in symbols]
    radii = [draw(st.sampled_from([0.0, 1e-12, 1e-6, 1e-3, 0.03])) for _ in symbols]
    return PIVP(equations, dict.fromkeys(symbols, 0)), centre, radii, Fraction(draw(st.integers(1, 24)), 16)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(case=cases(), signs=st.lists(st.sampled_from([-1, 1, 0.5, -0.25]), min_size=8, max_size=8))
def test_corners_and_inner_points_of_random_boxes_end_inside(case, signs):
    system, centre, radii, t = case
    start = [flint.arb(c, r) if r else c for c, r in zip(centre, radii, strict=True)]
    proof = prove(system, t, initial=start, digits=2, seconds=1, max_bits=300)
    if proof.answer is not Answer.PROVEN:
        return
    for factors in (signs[:4], signs[4:]):
        point = [Fraction(c) + Fraction(r) * Fraction(s) for c, r, s in zip(centre, radii, factors, strict=False)]
        truth = reference(system, t, initial=point, bits=proof.bits + 60).outputs
        assert inside(proof, truth), (point, truth)


@settings(max_examples=8, deadline=None, derandomize=True)
@given(
    function=st.sampled_from(["tanh", "exp", "sin", "cos", "arctan", "identity", "tan"]),
    radius=st.sampled_from([1e-9, 1e-3, 0.05]),
    seed=st.integers(0, 2**31),
)
def test_images_through_start_values_products_and_constants_are_inside(function, radius, seed):
    rng = np.random.default_rng(seed)
    x, y = inputs("x", 2), wire("y", 2)
    z = linear([(rng.integers(-4, 5, (2, 2)) / 4, x)], [0.25, -0.25])
    rate = linear([(1, product(z, y)), (-1, y), (0.5, product(x, x))])
    y.define(integral(rate, None, Start(function, z), name="y"))
    circuit = Circuit({"y": y, "square": product(y, y), "cross": product(y, z), "function": fn.exp(z)})
    centre = rng.integers(-4, 5, 2) / 8
    proof = prove(circuit, Fraction(3, 4), box(centre, radius), digits=1)
    for signs in ((1, 1), (1, -1), (-0.5, -1)):
        point = [Fraction(c) + Fraction(radius) * Fraction(s) for c, s in zip(centre, signs, strict=True)]
        truth = reference(circuit, Fraction(3, 4), {"x": point}, bits=120).outputs
        assert inside(proof, truth)


def sharp_images():
    """Proofs with points whose images are near the ends of what may be claimed: anything left out would show."""
    square = PIVP({X: X**2}, {X: 0})
    for r in (1e-2, 1e-4):  # x / (1 - t x): convex in x, so that the images are not within the first order
        proof = prove(square, Fraction(1, 2), initial=[flint.arb(1, r)], digits=3)
        ends = [Fraction(1) + s * Fraction(r) for s in (-1, 1)]
        yield proof, [[1 / (1 / mpmath.mpf(p.numerator) * p.denominator - mpmath.mpf(0.5))] for p in ends]
    growth = prove(PIVP({X: X}, {X: 1}), 1, digits=20)
    yield growth, [[mpmath.exp(1)]]
    x, y = inputs("x"), wire("y")
    y.define(integral(linear([(0, y)]), None, Start("exp", x), name="y"))
    proof = prove(Circuit({"y": y, "square": product(y, y)}), 1, [flint.arb(0, 0.01)], digits=3)
    yield proof, [[mpmath.exp(s * mpmath.mpf(0.01)), mpmath.exp(2 * s * mpmath.mpf(0.01))] for s in (-1, 1)]


def nothing_is_left_out():
    with mpmath.workdps(60):
        return all(inside(proof, image) for proof, images in sharp_images() for image in images)


def _without_delta(rows, size, parted=spread._parted):
    found = parted(rows, size)
    return spread._Matrix(found.middle, flint.arb_mat(size, size), found.pushed)


def _without_rest(before, states, framed=spread.reframed):
    nothing = [flint.arb(0)] * len(before.rest)
    return framed(distances.Distances(before.symbols, before.frame, nothing, before.bound), states)


def _straight(function, x, parameters=(), jet=affine.jet):
    value, slope, _ = jet(function, x, parameters)
    return value, slope, flint.arb(0)


@pytest.mark.parametrize(
    ("module", "name", "wrong"),
    [
        (spread, "_parted", _without_delta),
        (spread, "reframed", _without_rest),
        (affine, "jet", _straight),
    ],
    ids=["no second order", "the rest is dropped", "start values taken for linear"],
)
def test_an_enclosure_that_leaves_something_out_is_found_out(monkeypatch, module, name, wrong):
    assert nothing_is_left_out()
    monkeypatch.setattr(module, name, wrong)
    assert not nothing_is_left_out()


def test_steps_that_are_too_long_are_safe_because_of_the_remainder(monkeypatch):
    def proven():
        proof = prove(PIVP({X: X * Y, Y: -Y}, {X: 1, Y: 2}), 1, digits=12)
        with mpmath.workdps(60):
            y = 2 * mpmath.exp(-1)
            return inside(proof, [mpmath.exp(2 - y), y])

    length = part.radius_of_convergence
    monkeypatch.setattr(part, "radius_of_convergence", lambda c, *more: 8 * length(c, *more))
    assert proven()
    right = part.tail
    monkeypatch.setattr(part, "tail", lambda *x: {w: [flint.arb(0)] * w.size for w in x[4] if w in right(*x)})
    assert not proven()


# -- answers -------------------------------------------------------------------------------------------------


def test_a_box_too_large_names_the_component_the_time_and_the_slope():
    proof = prove(LORENZ, 10, initial=box([1, 1, 1], 0.1), digits=2)
    assert proof.answer is Answer.UNKNOWN and 0.1 < proof.reached < 2
    assert "got to t = " in proof.reason and "is known to +-" in proof.reason and "integrator '" in proof.reason
    assert "most of its growth comes through integrator" in proof.reason and "with a slope up to" in proof.reason


def rotor(value, more=0):
    """x' = y, y' = -x, claimed to keep x^2 + y^2 = value."""
    x, y = wire("x"), wire("y")
    x.define(integral(y, None, 1, name="x"))
    y.define(integral(-x, None, more, name="y"))
    energy = product(x, x) + product(y, y)
    return Circuit({"x": x}, Program(invariants=(Invariant("energy", energy, Fraction(value)),)))


def test_an_invariant_that_holds_is_checked_in_silence():
    assert prove(rotor(1), 20, digits=30).digits >= 30
    net = network((2, 3, 1), Tanh)
    assert prove(sequential(net), inputs=box([0.5, -1], 1e-3), digits=2).answer is Answer.PROVEN


def test_an_invariant_that_the_balls_exclude_is_an_error_of_its_own():
    with pytest.raises(InvariantError, match="invariant energy should be 1 at all times, but at t = "):
        prove(rotor(1, Fraction(1, 10**12)), 20, digits=30)


def test_invariants_find_an_enclosure_that_is_wrong(monkeypatch):
    right = part.evaluate
    monkeypatch.setattr(part, "evaluate", lambda c, h: right(c, h) + flint.arb(2) ** -60)
    with pytest.raises(InvariantError):
        prove(rotor(1), 20, digits=30)


PARAMETERS = {
    "power": [Fraction(3, 2)],
    "bell_area": [Fraction(1, 2)],
    "circle_sine": [Fraction(1)],
    "circle_cosine": [Fraction(1)],
}


@pytest.mark.parametrize("function", sorted(TABLE))
def test_start_values_have_their_derivatives_over_boxes(function):
    parameters = PARAMETERS.get(function, [])
    found = jet(function, flint.arb(0.75, 0.01), tuple(parameters))
    with mpmath.workdps(40):
        for x in ("0.741", "0.75", "0.759"):
            truth = mpmath.taylor(lambda v: TABLE[function].mpmath(mpmath.mp, v, *parameters), mpmath.mpf(x), 2)
            for ball, coefficient, factorial in zip(found, truth, (1, 1, 2), strict=True):
                assert ball.contains(to_arb(coefficient * factorial)) and float(ball.rad()) < 0.5


def test_slopes_that_are_all_zero_keep_the_box_as_it_is():
    x, y = inputs("x"), wire("y")
    y.define(integral(linear([([[0]], y), ([[0]], product(y, y))]), None, Start("identity", x), name="y"))
    proof = prove(Circuit({"y": y}), 1, [flint.arb(1, 1e-3)], digits=2)
    assert proof.contains(Fraction(999, 1000) + Fraction(1, 10**6)) and float(proof.rad[0]) < 1.001e-3
