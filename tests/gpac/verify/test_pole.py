"""When a solution ends: the enclosure holds the time of blow-up and is narrow, and nothing else is said to end."""

from fractions import Fraction

import flint
import mpmath
import numpy as np
import pytest
import sympy

from gpac import PIVP, Circuit, Phase, Schedule, bilinear, constant, inputs, integral, product, prove, wire
from gpac.exact import to_exact
from gpac.verify import Answer

Y, Z = sympy.symbols("y z")
EXACT = mpmath.mp.clone()
EXACT.dps = 80


def ends_at(proof, truth, width: float) -> bool:
    """Whether the proof is ENDS with `truth` in an interval of at most `width`."""
    assert proof.answer is Answer.ENDS, str(proof)
    low, high = proof.end
    return low <= truth <= high and high - low <= width


@pytest.mark.parametrize("digits", [1, 15, 40])
def test_tan_ends_at_half_pi(digits):
    assert ends_at(prove(PIVP({Y: 1 + Y**2}, {Y: 0}), Fraction(8, 5), digits=digits), EXACT.pi / 2, 1e-8)


@pytest.mark.parametrize(
    ("rate", "start", "end"),
    [
        (Y**2, 1, EXACT.mpf(1)),
        (-(Y**2), -1, EXACT.mpf(1)),
        (Y**3, 1, EXACT.mpf(1) / 2),
        (Y**3, -1, EXACT.mpf(1) / 2),
        (Y**4, Fraction(1, 2), EXACT.mpf(8) / 3),
        (-(Y**4), -1, EXACT.mpf(1) / 3),
        (Y**2 - 1, 2, EXACT.log(3) / 2),
        (1 - Y**2, -2, EXACT.log(3) / 2),
        (Y**2 + Y, 1, EXACT.log(2)),
    ],
    ids=str,
)
def test_scalar_equations_end_where_their_formulas_do(rate, start, end):
    assert ends_at(prove(PIVP({Y: rate}, {Y: start}), 4, digits=15), end, 1e-12)


@pytest.mark.parametrize(
    ("rate", "start"),
    [(Y**2, -1), (-(Y**2), 1), (-(Y**3), -2), (Y**2 - 1, Fraction(-1, 2)), (Y**2 - Y**3, 3), (Y - Y**3, -5), (Y, 1)],
    ids=str,
)
def test_solutions_that_exist_for_ever_are_not_said_to_end(rate, start):
    assert prove(PIVP({Y: rate}, {Y: start}), 20, digits=5).answer is Answer.PROVEN


def test_a_polynomial_with_a_root_just_above_does_not_end():
    """y' = y^2 (10^6 - y): tends to 10^6, after it has grown through many powers of two."""
    proof = prove(PIVP({Y: Y**2 * (10**6 - Y) / 10**6}, {Y: 1}), 2, digits=5, max_steps=400)
    assert proof.answer is not Answer.ENDS


@pytest.mark.parametrize("digits", [1, 5, 15, 40])
def test_one_of_two_coupled_components_ends(digits):
    proof = prove(PIVP({Y: 1 + Y**2, Z: Y - Z}, {Y: 0, Z: 1}), 2, digits=digits)
    assert ends_at(proof, EXACT.pi / 2, 1e-4)


def test_the_earliest_of_several_parts_counts():
    y = wire("y", 3)
    y.define(integral(product(y, y), None, [Fraction(1, 2), 2, -1], name="y"))
    assert ends_at(prove(Circuit({"y": y}), 5), EXACT.mpf(1) / 2, 1e-12)
    z = wire("z", 3)
    z.define(integral(product(z, z), None, [2, Fraction(1, 2), 1], name="z"))
    assert ends_at(prove(Circuit({"z": z}), 5), EXACT.mpf(1) / 2, 1e-12)


def test_a_box_ends_when_its_members_do():
    proof = prove(PIVP({Y: Y**2}, {Y: 1}), 3, initial=[flint.arb(1, 1e-7)], digits=2)
    assert proof.answer is Answer.ENDS
    low, high = proof.end
    assert low <= EXACT.mpf(1) / (1 + EXACT.mpf("0.9999e-7"))
    assert high >= EXACT.mpf(1) / (1 - EXACT.mpf("0.9999e-7")) and high - low < 4e-7


def test_the_leading_coefficient_may_come_from_inputs():
    a, y = inputs("a"), wire("y")
    y.define(integral(product(a, product(y, y)) + 1, None, 0, name="y"))
    assert ends_at(prove(Circuit({"y": y}), 4, [Fraction(1, 4)]), EXACT.pi, 1e-10)
    assert prove(Circuit({"y": y}), 4, [0]).contains(4)
    assert prove(Circuit({"y": y}), 4, [-1], digits=10).answer is Answer.PROVEN


def test_cancelling_leading_terms_do_not_end():
    """y^3 - y^3 written as two units: the rate is really 1 - y."""
    y = wire("y")
    cube = product(y, product(y, y))
    other = product(product(y, y), y)
    y.define(integral(cube - other + 1 - y, None, 5, name="y"))
    truth = 1 + 4 * EXACT.exp(-3)
    proof = prove(Circuit({"y": y}), 3, digits=15)
    assert abs(truth - proof.mid[0]) <= proof.rad[0] < 1e-15


def test_a_bilinear_system_that_ends_is_never_called_proven():
    y = wire("y", 4)
    y.define(integral(bilinear("ij,jk->ik", y, y, (2, 2), (2, 2)), None, np.array([1, 1, 0, 1]), name="y"))
    proof = prove(Circuit({"y": y}), 2, digits=5, seconds=5, max_bits=500)
    assert proof.answer is not Answer.PROVEN
    if proof.answer is Answer.ENDS:
        assert proof.end[0] <= 1 <= proof.end[1]


def test_growth_without_end_is_not_called_an_end():
    proof = prove(PIVP({Y: 30 * Y}, {Y: 1}), 10, digits=3, seconds=20)
    assert proof.answer is Answer.PROVEN
    with mpmath.workdps(300):
        assert abs(proof.mid[0] - mpmath.exp(300)) <= proof.rad[0]


def bent(a) -> Circuit:
    """y' = a y^2 from 1, with an a that never moves."""
    y = wire("y")
    y.define(integral(product(a, product(y, y)), None, 1, name="y"))
    return Circuit({"y": y})


@pytest.mark.parametrize("radius", [Fraction(1, 2), Fraction(1, 1000)])
def test_a_box_among_the_constants_ends_when_its_members_do(radius):
    proof = prove(bent(inputs("a")), 4, [flint.arb(1.5, float(radius))], digits=5)
    low, high = proof.end
    assert proof.answer is Answer.ENDS
    assert low <= 1 / EXACT.mpf(1.5 + float(radius)) and 1 / EXACT.mpf(1.5 - float(radius)) <= high


def test_a_box_some_of_whose_members_never_end_is_not_said_to_end():
    circuit = bent(inputs("a"))
    assert prove(circuit, 5, [-0.25], digits=5).answer is Answer.PROVEN
    assert prove(circuit, 5, [flint.arb(0.25, 0.5)], digits=5).answer is Answer.UNKNOWN


@pytest.mark.parametrize("before", [Fraction(1, 3), Fraction(2, 5), Fraction(1, 4)])
def test_an_end_after_a_phase_counts_from_the_start(before):
    x = wire("x")
    x.define(integral(-1 * x, None, 1, name="x"))
    proof = prove(Schedule((Phase(Circuit({"x": x}), before), Phase(bent(constant(1)), 3))), digits=8)
    assert proof.answer is Answer.ENDS
    low, high = map(to_exact, proof.end)
    assert low <= 1 + before <= high < low + Fraction(1, 10**5)
