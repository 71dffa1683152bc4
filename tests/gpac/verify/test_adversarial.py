"""Cases meant to break a prover: poles just after the end, cancellation, stiffness, scales of 1e300, no time."""

from fractions import Fraction

import flint
import mpmath
import numpy as np
import pytest
import sympy

import gpac
from gpac import PIVP, Circuit, inputs, integral, linear, product, prove, wire
from gpac import functions as fn
from gpac.errors import NumberError
from gpac.verify import Answer

X, Y, Z = sympy.symbols("x y z")
EXACT = mpmath.mp.clone()
EXACT.dps = 900


def holds(proof, truth, digits: int) -> bool:
    """Whether every output is proven to the digits asked and its ball holds `truth`, known to 900 digits."""
    assert proof.answer is Answer.PROVEN, str(proof)
    narrow = all(r < EXACT.mpf(10) ** -digits for r in proof.rad)
    off = [abs(EXACT.mpf(m) - EXACT.mpf(v)) for m, v in zip(proof.mid, truth, strict=True)]
    rounding = [abs(EXACT.mpf(v)) * EXACT.ldexp(1, -2900) for v in truth]  # of the truth: a ball may be exact
    return narrow and all(d <= r + e for d, r, e in zip(off, proof.rad, rounding, strict=True))


# -- poles ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gap", [2, 6, 14])
def test_a_pole_just_after_the_end(gap):
    """y' = y^2 from 1 ends at t = 1; 10**-gap before it y is 10**gap."""
    t = 1 - Fraction(1, 10**gap)
    proof = prove(PIVP({Y: Y**2}, {Y: 1}), t, digits=20)
    assert proof.contains(10**gap) and proof.digits >= 20
    both = prove(PIVP({Y: Y**2, Z: Y}, {Y: 1, Z: 0}), t, digits=20)  # z = -log(1 - t)
    assert holds(both, [EXACT.mpf(10) ** gap, gap * EXACT.log(10)], 20)


@pytest.mark.parametrize("gap", [2, 6, 12, 25])
def test_a_pole_just_before_the_end(gap):
    proof = prove(PIVP({Y: Y**2}, {Y: 1}), 1 + Fraction(1, 10**gap), digits=20)
    assert proof.answer is Answer.ENDS
    assert proof.end[0] <= 1 <= proof.end[1] < 1 + EXACT.mpf(10) ** -gap


def test_an_end_at_the_pole_itself_is_not_said_to_be_reached():
    proof = prove(PIVP({Y: Y**2}, {Y: 1}), 1, digits=5, seconds=2, max_bits=400)
    assert proof.answer is not Answer.PROVEN


def test_two_components_whose_poles_are_close_together():
    """x ends at 1, y at 1 + 1e-9: the first end counts."""
    start = Fraction(1) / (1 + Fraction(1, 10**9))
    proof = prove(PIVP({X: X**2, Y: Y**2}, {X: 1, Y: start}), 2, digits=15)
    assert proof.answer is Answer.ENDS and proof.end[0] <= 1 <= proof.end[1] < 1 + 1e-10


@pytest.mark.parametrize("start", [Fraction(1, 10**12), Fraction(-1, 10**12)])
def test_a_start_almost_at_an_unstable_rest(start):
    """y' = y - y^3 from +-1e-12: leaves 0 exponentially and tends to +-1."""
    t = 40
    grown = EXACT.mpf(start.numerator) / start.denominator * EXACT.exp(t)
    truth = grown / EXACT.sqrt(1 - EXACT.mpf(10) ** -24 + grown**2)
    assert holds(prove(PIVP({Y: Y - Y**3}, {Y: start}), t, digits=25), [truth], 25)


@pytest.mark.parametrize("start", [1 - Fraction(1, 10**20), 1 + Fraction(1, 10**20)])
def test_a_start_almost_at_the_border_between_decay_and_blow_up(start):
    """y' = y^2 - y: y = 1/(1 - (1 - 1/y0) e^t)."""
    y0 = EXACT.mpf(start.numerator) / start.denominator
    assert holds(prove(PIVP({Y: Y**2 - Y}, {Y: start}), 30, digits=20), [1 / (1 - (1 - 1 / y0) * EXACT.exp(30))], 20)
    late = prove(PIVP({Y: Y**2 - Y}, {Y: start}), 60, digits=10)
    if start < 1:
        assert holds(late, [1 / (1 - (1 - 1 / y0) * EXACT.exp(60))], 10)
    else:
        end = -EXACT.log(1 - 1 / y0)
        assert late.answer is Answer.ENDS and late.end[0] <= end <= late.end[1]


# -- stiffness and cancellation ------------------------------------------------------------------------------


def test_a_relaxation_ten_thousand_times_faster_than_its_clock():
    """z' = 1e4 (sin t - z): the closed form, and tanh(z) along with it."""
    a, z = 10**4, wire("z")
    z.define(integral(linear([(a, fn.sin(gpac.time())), (-a, z)]), None, 0, name="z"))
    b, t = EXACT.mpf(a), EXACT.mpf(1) / 50
    truth = (b * b * EXACT.sin(t) - b * EXACT.cos(t) + b * EXACT.exp(-b * t)) / (1 + b * b)
    proof = prove(Circuit({"z": z, "u": fn.tanh(z)}), Fraction(1, 50), digits=15)
    assert holds(proof, [truth, EXACT.tanh(truth)], 15)


@pytest.mark.parametrize("far", [26, 40])
def test_a_neuron_that_saturates_and_comes_back(far):
    """z = far sin(t) to t = 3: the relative size of 1 - tanh(z)^2 falls to cosh(far)^-2, and u must recover."""
    t = gpac.time()
    z = linear([(far, fn.sin(t))])
    proof = prove(Circuit({"u": fn.tanh(z)}), 3, digits=20)
    assert holds(proof, [EXACT.tanh(far * EXACT.sin(3))], 20)
    u = wire("u")  # without the pair: u' = (1 - u^2) z', which loses cosh(far)^2
    u.define(integral(linear([(-1, product(u, u))], 1), z, 0, name="u"))
    assert holds(prove(Circuit({"u": u}), 3, digits=20), [EXACT.tanh(far * EXACT.sin(3))], 20)


def test_what_grows_and_falls_back_keeps_its_digits():
    """y = exp(60 sin t) at pi: through 1e26 and back to 1."""
    y, (s, c) = Y, (X, Z)
    system = PIVP({s: c, c: -s, y: 60 * c * y}, {s: 0, c: 1, y: 1}, {"y": y})
    assert holds(prove(system, sympy.pi, digits=30), [EXACT.mpf(1)], 30)


def test_a_difference_of_large_exponentials():
    system = PIVP({X: X, Y: -Y}, {X: 1, Y: 1}, {"one": X * Y, "difference": X - X**2 * Y})
    assert holds(prove(system, 50, digits=30), [EXACT.mpf(1), EXACT.mpf(0)], 30)


# -- scales --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1e300, 1e-300, -1e300, 5e-324])
def test_linear_equations_at_every_scale(scale):
    start = Fraction(scale)
    value = EXACT.mpf(start.numerator) / start.denominator
    digits = 310 if abs(scale) < 1 else 5
    proof = prove(PIVP({X: -Y, Y: X}, {X: start, Y: 0}), 1, digits=digits)
    assert holds(proof, [value * EXACT.cos(1), value * EXACT.sin(1)], digits)


def test_numbers_that_no_double_holds():
    start = Fraction(10) ** 400
    proof = prove(PIVP({Y: -Y}, {Y: start}), 1, digits=5)
    assert holds(proof, [EXACT.mpf(10) ** 400 * EXACT.exp(-1)], 5)
    fast = prove(PIVP({Y: 1000 * Y, X: Y - X}, {Y: 1, X: 0}), Fraction(8, 10), digits=5)
    assert holds(fast, [EXACT.exp(800), (EXACT.exp(800) - EXACT.exp("-0.8")) / 1001], 5)


@pytest.mark.parametrize("bad", ["nan", "inf", "[0 +/- inf]"])
def test_boxes_without_bounds_are_refused(bad):
    circuit = Circuit({"y": integral(inputs("x"), None, 0)})
    with pytest.raises(NumberError, match="'x' must be finite numbers or bounded intervals"):
        prove(circuit, 1, [flint.arb(bad)], digits=2)


@pytest.mark.parametrize(("scale", "digits"), [(1e40, 5), (1e-300, 310)])
def test_quadratic_equations_at_every_scale(scale, digits):
    """Steps grow with the time that has passed, so that 1/y0 small takes many of them."""
    start = Fraction(scale)
    proof = prove(PIVP({Y: -(Y**2)}, {Y: start}), 1, digits=digits)
    assert proof.contains(start / (1 + start)) and proof.digits >= digits


@pytest.mark.parametrize("scale", [1e300, 1e-300])
def test_clocks_that_run_at_extreme_rates(scale):
    """y' = scale y^2 over a time of 1/(2 scale) doubles y."""
    rate = Fraction(scale)
    proof = prove(PIVP({Y: sympy.Rational(rate.numerator, rate.denominator) * Y**2}, {Y: 1}), 1 / (2 * rate), digits=20)
    assert proof.contains(2) and proof.digits >= 20


def test_components_of_very_different_sizes():
    tiny, huge = Fraction(1e-300), Fraction(1e300)
    system = PIVP({X: Y, Y: -X, Z: Z * X * Y}, {X: 1, Y: 0, Z: tiny}, {"z": Z, "big": Z + huge})
    value = EXACT.mpf(tiny.numerator) / tiny.denominator * EXACT.exp(-(EXACT.sin(1) ** 2) / 2)
    large = EXACT.mpf(huge.numerator)
    assert holds(prove(system, 1, digits=320), [value, value + large], 320)


# -- hardly any time, hardly any width -----------------------------------------------------------------------


@pytest.mark.parametrize("t", [5e-324, 1e-300, Fraction(1, 10**1000)])
def test_a_time_so_short_that_nothing_happens(t):
    proof = prove(PIVP({Y: 1 + Y**2, X: Y}, {Y: Fraction(1, 3), X: 0}), t, digits=20)
    third = EXACT.mpf(1) / 3
    assert proof.answer is Answer.PROVEN and proof.digits >= 20
    assert abs(proof.mid[0] - third) <= proof.rad[0] + EXACT.mpf(10) ** -299  # at rate 10/9
    assert abs(proof.mid[1]) <= proof.rad[1] + EXACT.mpf(10) ** -300


@pytest.mark.parametrize("t", [0, -1, Fraction(-1, 10**300), float("nan"), float("inf")])
def test_times_that_are_not_positive_are_refused(t):
    with pytest.raises(gpac.NumberError):
        prove(PIVP({Y: Y}, {Y: 1}), t)


def test_a_box_without_width_is_the_point():
    system, point = PIVP({X: X * (1 - Y), Y: Y * (X - 1)}, {X: 2, Y: 1}), [Fraction(3, 2), Fraction(3, 4)]
    one = prove(system, 1, initial=point, digits=30)
    other = prove(system, 1, initial=[flint.arb(1.5, 0), flint.arb(0.75, 0)], digits=30)
    assert str(one) == str(other) and one.digits >= 30


@pytest.mark.parametrize("radius", [1e-300, 1e-30])
def test_a_box_of_almost_no_width_holds_its_ends(radius):
    system = PIVP({Y: Y**2}, {Y: 1})
    proof = prove(system, Fraction(1, 2), initial=[flint.arb(1, radius)], digits=15)
    r = Fraction(radius)
    for start in (1 - r, Fraction(1), 1 + r):
        assert proof.contains(1 / (1 / start - Fraction(1, 2)))
    assert proof.digits >= 15


def test_many_neurons_that_never_move_are_exact():
    x, y = inputs("x", 3), wire("y", 3)
    y.define(integral(linear([(np.zeros((3, 3)), y), (0, x)]), None, [1, Fraction(1, 3), 0], name="y"))
    assert prove(Circuit({"y": y}), 10**6, [1e300, 0, -1e300], digits=30).contains([1, Fraction(1, 3), 0])
