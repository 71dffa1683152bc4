"""The same theorem from two provers: Arb balls with majorants, and mpmath's intervals with Picard's box."""

from fractions import Fraction

import mpmath
import pytest
import sympy
from interval_prover import enclose
from random_systems import case

from gpac import PIVP, prove, reference
from gpac.verify import Answer

X, Y, Z = sympy.symbols("x y z")
R = sympy.Rational

SYSTEMS = {
    "growth": (PIVP({Y: Y}, {Y: 1}), Fraction(3)),
    "tan": (PIVP({Y: 1 + Y**2}, {Y: 0}), Fraction(1)),
    "circle": (PIVP({X: -Y, Y: X}, {X: 1, Y: 0}), Fraction(5, 2)),
    "Lotka-Volterra": (PIVP({X: X * (1 - Y), Y: Y * (X - 1)}, {X: 2, Y: 1}), Fraction(1)),
    "van der Pol": (PIVP({X: Y, Y: 5 * (1 - X**2) * Y - X}, {X: 2, Y: 0}), Fraction(1, 2)),
    "Lorenz": (
        PIVP({X: 10 * (Y - X), Y: X * (28 - Z) - Y, Z: X * Y - R(8, 3) * Z}, {X: 1, Y: 1, Z: 1}),
        Fraction(1, 8),
    ),
    "tanh": (PIVP({X: Y, Y: -2 * X * Y}, {X: 0, Y: 1}), Fraction(2)),
    "decay": (PIVP({X: -50 * X, Y: X - Y}, {X: R(1, 3), Y: R(1, 10**20)}), Fraction(1, 4)),
}


@pytest.mark.parametrize("name", SYSTEMS)
def test_two_provers_meet_and_both_hold_the_reference(name):
    assert agree(*SYSTEMS[name], digits=15)


@pytest.mark.parametrize("number", [1, 13, 14, 26, 29, 30])
def test_two_provers_meet_on_random_systems(number):
    chosen = case(number)
    assert agree(chosen.system, chosen.t, min(chosen.digits, 15))


def agree(system: PIVP, t: Fraction, digits: int) -> bool:
    """Whether both answer; where they do, their sets are held against each other and the reference."""
    proof = prove(system, t, digits=digits, seconds=5)
    if proof.answer is not Answer.PROVEN:
        return False
    context = mpmath.mp.clone()
    context.prec = 400
    truth = reference(system, t, bits=260).outputs
    for ours, radius, other, value in zip(proof.mid, proof.rad, enclose(system, t), truth, strict=True):
        low, high, middle = context.mpf(other.a), context.mpf(other.b), context.mpf(ours)
        # the reference's own rounding is granted 2**-200: a set may be a single number
        slack = (1 + abs(context.mpf(value))) * context.ldexp(1, -200)
        assert low <= middle + radius and middle - radius <= high
        assert low - slack <= value <= high + slack and abs(middle - value) <= radius + slack
        assert high - low < 1e-12 * (1 + abs(high)) and radius < context.mpf(10) ** -digits
    return True


def test_the_second_prover_refuses_to_pass_a_pole():
    with pytest.raises(ArithmeticError):
        enclose(PIVP({Y: Y**2}, {Y: 2**14}), Fraction(1, 2**13), bits=60, order=20)
