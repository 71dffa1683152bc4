"""Images of boxes by faces and corners: exact where outputs rise with inputs, and never too narrow.

By default a few random boxes; RANDOM_BOXES=1000 in the environment judges so many.
"""

import os
from fractions import Fraction
from itertools import product as combinations
from math import e

import flint
import mpmath
import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

import gpac
from compile import Tanh, dense, enclose_forward, homotopy, sequential
from compile.network import Network
from gpac import PIVP, Circuit, Phase, Schedule, inputs, integral, linear, product, prove, reference, wire
from gpac import functions as fn
from gpac.elementary import TABLE
from gpac.verify import Answer, boxes, faces
from gpac.verify.jets import jet
from gpac.wire import Start

COUNT = int(os.environ.get("RANDOM_BOXES", "20"))
X, Y, Z = sympy.symbols("x y z")
LORENZ = PIVP({X: 10 * (Y - X), Y: X * (28 - Z) - Y, Z: X * Y - sympy.Rational(8, 3) * Z}, {X: 1, Y: 1, Z: 1})
LOTKA = PIVP({X: X * (1 - Y), Y: Y * (X - 1)}, {X: 2, Y: 1})


def box(centre, radius):
    return [flint.arb(c, radius) for c in centre]


def grid(centre, radius, count=40):
    """Corners, middles of edges and faces, inner points."""
    n = len(centre)
    unit = np.vstack([list(combinations((-1, 0, 1), repeat=n)), np.random.default_rng(4).uniform(-1, 1, (count, n))])
    return np.array(centre) + radius * unit


def ratios(proof, images, error=1e-12):
    """Width of every ball over the range of the images, which lie inside (they are off by `error` at most)."""
    assert proof.answer is Answer.PROVEN, str(proof)
    mid, rad = (np.array([float(v) for v in part]) for part in (proof.mid, proof.rad))
    assert (np.abs(images - mid) <= rad + error * (1 + np.abs(images))).all()
    return 2 * rad / np.ptp(images, axis=0)


@pytest.mark.parametrize(
    ("system", "t", "centre", "radius"),
    [(LORENZ, 2, (1, 1, 1), 1e-3), (LOTKA, 1, (2, 1), 0.05), (LOTKA, 3, (2, 1), 0.01)],
)
def test_outputs_that_rise_or_fall_with_every_input_have_their_exact_range(system, t, centre, radius):
    images = gpac.solve(system, t=t, initial=grid(centre, radius), tol=1e-15).outputs
    assert max(ratios(prove(system, t, initial=box(centre, radius), digits=1), images)) <= 1.0001


def neural_flow():
    """h' = A2 tanh(A1 h + b) on two states, 16 neurons."""
    rng = np.random.default_rng(2)
    h = wire("h", 2)
    neurons = fn.tanh(linear([(rng.normal(size=(16, 2)), h)], rng.normal(size=16)))
    return Circuit({"h": h.define(inputs("x", 2) + integral(linear([(rng.normal(size=(2, 16)) / 4, neurons)])))})


@pytest.mark.parametrize("radius", [1e-3, 0.01])
def test_a_flow_of_neurons_has_its_exact_range(radius):
    circuit, centre = neural_flow(), (0.3, -0.4)
    images = gpac.solve(circuit, t=1, inputs=grid(centre, radius), tol=1e-15).outputs
    proof = prove(circuit, 1, box(centre, radius), digits=1)
    assert max(ratios(proof, images)) <= 1.0001
    for signs in ((1, 1), (1, -1)):
        corner = [Fraction(c) + s * Fraction(radius) for c, s in zip(centre, signs, strict=True)]
        assert proof.contains(reference(circuit, 1, corner, bits=90).outputs)


@pytest.mark.parametrize("scheme", [sequential, homotopy])
def test_derivatives_are_handed_on_between_phases_and_through_neurons(scheme):
    rng = np.random.default_rng(6)
    layers = [
        dense(rng.normal(size=(5, 3)) / 2, rng.normal(size=5)),
        Tanh(),
        dense(rng.normal(size=(4, 5)) / 2),
        Tanh(),
    ]
    network, centre = Network(3, [*layers, dense(rng.normal(size=(2, 4)))]), (0.25, -0.5, 0.125)
    proof = prove(scheme(network), inputs=box(centre, 0.01), digits=1)
    points = grid(centre, 0.01, 30)
    images = np.array([[float(b.mid()) for b in enclose_forward(network, p, digits=20).balls] for p in points])
    assert max(ratios(proof, images)) <= 1.0001


def test_a_least_value_inside_of_the_box_is_not_lost():
    """z = x^2 + y with x of both signs, but more of one: y leads to a face, on which there is a best point."""
    system = PIVP({X: 0, Y: 0, Z: X**2 + Y}, {X: 0, Y: 0, Z: 0}, {"z": Z})
    proof = prove(system, 1, initial=[flint.arb(0.2, 0.25), flint.arb(1, 0.5), 0], digits=1)
    low, high = proof.mid[0] - proof.rad[0], proof.mid[0] + proof.rad[0]
    assert 0.5 - 0.05 < low <= 0.5 and 1.5 + 0.45**2 <= high < 1.5 + 0.45**2 + 0.005


def test_an_output_that_only_some_inputs_move_is_exact():
    proof = prove(PIVP({X: X**2 / 4, Y: -Y}, {X: 1, Y: 1}), 1, initial=box((1, 1), 0.125), digits=1)
    ends = [1 / (1 / x - 0.25) for x in (0.875, 1.125)]
    assert float(proof.rad[0]) == pytest.approx((ends[1] - ends[0]) / 2, rel=1e-6)
    assert float(proof.rad[1]) == pytest.approx(0.125 / e, rel=1e-6)


def test_many_inputs_and_narrow_boxes_keep_the_cheap_road(monkeypatch):
    looked = []
    monkeypatch.setattr(boxes, "tangent", lambda *given: looked.append(given))
    assert prove(LORENZ, 1, initial=box((1, 1, 1), 1e-9), digits=5).answer is Answer.PROVEN
    x = inputs("x", 9)
    circuit = Circuit({"y": fn.tanh(product(gpac.time(), linear([(np.ones((1, 9)), product(x, x))])))})
    assert prove(circuit, 1, box([0.1] * 9, 0.01), digits=1).answer is Answer.PROVEN
    assert not looked


def test_names_that_look_like_derivatives_do_no_harm():
    y = wire("e0(x)")
    circuit = Circuit({"e0(x)": y.define(integral(product(y, y), None, Start("identity", inputs("x"))))})
    proof = prove(circuit, 0.5, [flint.arb(1, 0.1)], digits=1)
    assert float(proof.rad[0]) == pytest.approx((1 / (1 / 1.1 - 0.5) - 1 / (1 / 0.9 - 0.5)) / 2, rel=1e-6)


def test_a_schedule_whose_last_phase_folds_its_input():
    """y = 2 sin(x)^2 over both phases: least at 0, inside of the box."""
    x, a = inputs("x"), inputs("a")
    first = Circuit({"a": fn.sin(product(gpac.time(), x))})
    second = Circuit({"y": integral(linear([(2, product(a, a))]), None, 0, name="y")})
    schedule = Schedule((Phase(first, Fraction(1)), Phase(second, Fraction(1))))
    proof = prove(schedule, inputs=[flint.arb(0.2, 0.25)], digits=1)
    low, high, largest = proof.mid[0] - proof.rad[0], proof.mid[0] + proof.rad[0], 2 * mpmath.sin(0.45) ** 2
    assert -0.2 < low <= 0 and largest <= high < largest + 0.06


def test_parts_with_too_many_states_and_looks_that_find_nothing_leave_the_box_as_it_is(monkeypatch):
    asked = {"initial": box((1, 1, 1), 1e-3), "digits": 1}
    narrow = prove(LORENZ, 2, **asked)
    monkeypatch.setattr(boxes, "MOST_IN_MATRIX", 11)  # the tangent has twelve
    few = prove(LORENZ, 2, **asked)
    monkeypatch.setattr(boxes, "MOST_INPUTS", 2)
    plain = prove(LORENZ, 2, **asked)
    assert few.rad == plain.rad and all(a < b for a, b in zip(narrow.rad, plain.rad, strict=True))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 10**6), size=st.integers(1, 3), bend=st.sampled_from([0.05, 0.5, 2]), most=st.integers(0, 32)
)
def test_quadratic_functions_on_their_faces(seed, size, bend, most):
    """f = a + b e + e A e in plain balls: every value is inside; where all slopes have a sign, both ends are met."""
    rng = np.random.default_rng(seed)
    a, b, bends = rng.normal(), rng.normal(size=size), bend * rng.normal(size=(size, size))
    zero, pairs = flint.arb(0), list(combinations(range(size), repeat=2))
    left = iter(range(most))

    def value(e):
        linear = sum((float(b[i]) * e[i] for i in range(size)), flint.arb(a))
        return linear + sum((float(bends[i, j]) * e[i] * e[j] for i, j in pairs), zero)

    def slope(i, e):
        return float(b[i]) + sum((float(bends[i, j] + bends[j, i]) * e[j] for j in range(size)), zero)

    def seen(face):
        e = [flint.arb(0, 1) if c is None else flint.arb(float(c)) for c in face]
        return faces.Seen([value(e)], [[slope(i, e) for i, c in enumerate(face) if c is None]])

    def look(face):
        return seen(face) if next(left, None) is not None else None

    whole = seen((None,) * size)
    (ball,) = faces.narrowed(whole, size, look)
    points = np.vstack([list(combinations((-1, 0, 1), repeat=size)), rng.uniform(-1, 1, (100, size))])
    images = [float(a + b @ e + e @ bends @ e) for e in points]
    low, high = float(ball.lower()), float(ball.upper())
    assert low - 1e-12 <= min(images) and max(images) <= high + 1e-12
    if most == 32 and all(v > 0 or v < 0 for v in whole.rows[0]):
        assert high - low <= max(images) - min(images) + 1e-6


# -- nothing is left out -------------------------------------------------------------------------------------


def random_case(number):
    """A polynomial system of one to four variables, a box with some wide sides, and a time."""
    rng = np.random.default_rng([77, number])
    symbols = sympy.symbols(f"a:{int(rng.integers(1, 5))}")
    equations = {}
    for symbol in symbols:
        rate = sympy.Integer(0)
        for _ in range(int(rng.integers(1, 4))):
            factors = rng.integers(0, len(symbols), int(rng.integers(0, 4)))
            number = sympy.Rational(int(rng.choice([-3, -2, -1, 1, 2, 3])), int(rng.integers(1, 5)))
            rate += number * sympy.Mul(*(symbols[k] for k in factors))
        equations[symbol] = rate
    centre = rng.integers(-8, 9, len(symbols)) / 8
    radii = rng.choice([0.0, 2.0**-10, 2.0**-5, 2.0**-3, 2.0**-2], len(symbols))
    return PIVP(equations, dict.fromkeys(symbols, 0)), centre, radii, Fraction(int(rng.integers(1, 32)), 16)


def judge(number):
    """The proof for a case, None if there is none; all images of a grid and inner points are in its balls."""
    system, centre, radii, t = random_case(number)
    start = [flint.arb(c, r) for c, r in zip(centre, radii, strict=True)]
    proof = prove(system, t, initial=start, digits=1, seconds=2, max_bits=300)
    if proof.answer is not Answer.PROVEN:
        return None
    points = grid(centre, radii, 30)
    images = gpac.solve(system, float(t), initial=points, tol=1e-13, backend="numpy").outputs
    mid, rad = (np.array([float(v) for v in part]) for part in (proof.mid, proof.rad))
    assert (np.abs(images - mid) <= rad + 1e-9 * (1 + np.abs(images))).all(), number
    n = int(np.argmax(np.ptp(images, axis=0)))
    for k in (images[:, n].argmin(), images[:, n].argmax()):  # the ends of the widest output, at many digits
        truth = reference(system, t, initial=[Fraction(v) for v in points[k]], bits=2 * proof.bits + 64).outputs
        with mpmath.workprec(2 * proof.bits):
            rounding = [mpmath.ldexp(1 + abs(v), -proof.bits) for v in truth]  # of the reference, where balls are exact
            pairs = zip(truth, proof.mid, proof.rad, rounding, strict=True)
            assert all(abs(v - m) <= r + d for v, m, r, d in pairs), (number, points[k])
    return proof


def test_images_of_random_boxes_are_inside(monkeypatch):
    narrower = []

    def counted(whole, count, look, right=faces.narrowed):
        balls = right(whole, count, look)
        narrower.append(any(a.rad() < 0.9 * b.rad() for a, b in zip(balls, whole.balls, strict=True)))
        return balls

    monkeypatch.setattr(boxes, "narrowed", counted)
    proven = [number for number in range(COUNT) if judge(number)]
    assert len(proven) >= COUNT / 2 and sum(narrower) >= COUNT / 4


def _forgetful(row, place):
    return flint.arb(0)


def _by_middle(v):
    return 1 if v.mid() > 0 else -1 if v.mid() < 0 else 0


@pytest.mark.parametrize(
    ("name", "wrong"),
    [("_beyond", _forgetful), ("_sign", _by_middle)],
    ids=["what is beyond the best point", "derivatives of one sign only in the middle"],
)
def test_what_is_left_out_is_found_out(monkeypatch, name, wrong):
    """y = x^2 for x from -0.05 to 0.45: its least value lies inside, its largest at an end."""
    system = PIVP({X: 0, Y: X**2}, {X: 0, Y: 0}, {"y": Y})

    def right():
        proof = prove(system, 1, initial=[flint.arb(0.2, 0.25), 0], digits=1)
        return proof.contains([Fraction(0.45) ** 2]) and proof.contains([0])

    assert right()
    monkeypatch.setattr(faces, name, wrong)
    assert not right()


@pytest.mark.parametrize("name", sorted(TABLE))
def test_slopes_and_bends_of_start_values_are_those_of_the_function(name):
    x, parameters = 0.7, {"power": (Fraction(3, 4),), "bell_area": (Fraction(1, 2),)}.get(name, ())
    parameters = (Fraction(3, 2),) if name.startswith("circle") else parameters
    mp = mpmath.mp.clone()
    mp.dps = 30
    value = [mp.diff(lambda s: TABLE[name].mpmath(mp, s, *parameters), mp.mpf(x), k) for k in range(3)]
    for ball, v in zip(jet(name, flint.arb(x, 1e-9), parameters), value, strict=True):
        assert abs(float(ball.mid()) - float(v)) <= float(ball.rad()) + 1e-12 and float(ball.rad()) < 1e-7


@pytest.mark.parametrize("name", ["reciprocal", "log", "power", "reciprocal_sqrt"])
def test_start_values_that_are_infinite_in_the_box_are_not_proven(name):
    y, parameters = wire("y"), (Fraction(-1, 2),) if name == "power" else ()
    circuit = Circuit({"y": y.define(integral(-y, None, Start(name, inputs("x"), parameters)))})
    proof = prove(circuit, 1, [flint.arb(0.125, 0.25)], digits=1)
    assert proof.answer is Answer.UNKNOWN and "not finite" in proof.reason
