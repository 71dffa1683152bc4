"""Closed forms and golden numbers: the ball of each holds what mpmath says of the formula, at twice the digits.

The formulas are those of textbooks; elliptic functions by the parameter m = k^2, as in Abramowitz and Stegun 16.
"""

from fractions import Fraction

import mpmath
import pytest
import sympy

from gpac import PIVP, prove
from gpac.verify import Answer

MP = mpmath.mp.clone()
MP.dps = 120
A, B, C, D, E, F = sympy.symbols("a b c d e f")
R = sympy.Rational
HALF = MP.mpf(1) / 2


def _elliptic(name: str, t, m=HALF):
    return MP.ellipfun(name, MP.mpf(t), m=m)


def _lambert(t):
    return MP.lambertw(MP.mpf(t)).real


def _airy(derivative):
    ai, bi = MP.airyai, MP.airybi
    return MP.pi * (
        bi(0, derivative=1) * ai(2, derivative=derivative) - ai(0, derivative=1) * bi(2, derivative=derivative)
    )


ROOT_PI = MP.sqrt(MP.pi)
FORMS = {
    # name: equations, start, t, values
    "Bernoulli": ({A: A - A**3}, {A: R(1, 2)}, 2, [1 / MP.sqrt(1 + 3 * MP.exp(-4))]),
    "Riccati up": ({A: 2 + A**2}, {A: 0}, 1, [MP.sqrt(2) * MP.tan(MP.sqrt(2))]),
    "power 5": ({A: A**5}, {A: R(1, 2)}, 3, [(16 - MP.mpf(12)) ** -(HALF / 2)]),
    "error function": ({A: B, B: -2 * C * B, C: 1}, {A: 0, B: 1, C: 0}, 1, [ROOT_PI / 2 * MP.erf(1), MP.exp(-1), 1]),
    # w e^w = t: w' = e^-w / (1 + w) with p = e^-w and r = 1/(1 + w)
    "Lambert W": (
        {A: B * C, B: -B * B * C, C: -(C**3) * B},
        {A: 0, B: 1, C: 1},
        1,
        [_lambert(1), _lambert(1), 1 / (1 + _lambert(1))],
    ),
    "tanh": ({A: 1 - A**2}, {A: 0}, 1, [MP.tanh(1)]),
    "Jacobi": (
        {A: B * C, B: -A * C, C: -A * B / 2},
        {A: 0, B: 1, C: 1},
        1,
        [_elliptic(name, 1) for name in ("sn", "cn", "dn")],
    ),
    "Duffing": ({A: B, B: -(A**3)}, {A: 1, B: 0}, 3, [_elliptic("cn", 3), -_elliptic("sn", 3) * _elliptic("dn", 3)]),
    # h' = 3 tanh(h) from asinh(1/8), u = tanh(h), d = 1 - u^2: sinh(h) grows like e^3t
    "tanh flow": (
        {A: 3 * B, B: 3 * B * C, C: -6 * B**2 * C},
        {A: sympy.asinh(R(1, 8)), B: sympy.tanh(sympy.asinh(R(1, 8))), C: R(64, 65)},
        1,
        [MP.asinh(MP.exp(3) / 8), MP.tanh(MP.asinh(MP.exp(3) / 8)), 1 / (1 + MP.exp(6) / 64)],
    ),
    "replicator": (
        {s: s * (k - (A + 2 * B + 3 * C)) for k, s in enumerate((A, B, C), 1)},
        {A: R(1, 2), B: R(1, 3), C: R(1, 6)},
        2,
        [MP.exp(2 * k) * w / (3 * MP.exp(2) + 2 * MP.exp(4) + MP.exp(6)) for k, w in ((1, 3), (2, 2), (3, 1))],
    ),
    # u' = v (y - u v), v' = u (y - u v), y = 1: m = u v is logistic at rate 2
    "two-layer gradient flow": (
        {A: B * (1 - A * B), B: A * (1 - A * B)},
        {A: R(1, 10), B: R(1, 10)},
        2,
        [1 / MP.sqrt(1 + 99 * MP.exp(-4))] * 2,
    ),
    "heavy ball": (
        {A: B, B: -2 * B - 5 * A},
        {A: 1, B: -1},
        3,
        [MP.exp(-3) * MP.cos(6), -MP.exp(-3) * (MP.cos(6) + 2 * MP.sin(6))],
    ),
    # a'' = t a from 1 with slope 0: pi (Bi'(0) Ai(t) - Ai'(0) Bi(t))
    "Airy": ({A: B, B: C * A, C: 1}, {A: 1, B: 0, C: 0}, 2, [_airy(0), _airy(1), 2]),
    "Toda of two": (  # a' = 2 b^2, b' = -2 a b from b = 1: a = tanh(2t), b = sech(2t)
        {A: 2 * B**2, B: -2 * A * B},
        {A: 0, B: 1},
        2,
        [MP.tanh(4), MP.sech(4)],
    ),
    "tracking oracle": ({A: -B * A, B: 1 - B**2}, {A: 1, B: 0}, 5, [1 / MP.cosh(5), MP.tanh(5)]),
    "constants": (  # pi/4, log 2 and sqrt 2 at t = 1
        {A: B, B: -2 * C * B**2, C: 1, D: E, E: -(E**2), F: F * E / 2},
        {A: 0, B: 1, C: 0, D: 0, E: 1, F: 1},
        1,
        [MP.pi / 4, HALF, 1, MP.log(2), HALF, MP.sqrt(2)],
    ),
}
"""Equations, start values, time, and the values there."""

GOLDEN = {
    "tanh": "0.7615941559557649",
    "Lambert W": "0.5671432904097838",
    "Jacobi": "0.8030018248956439",
    "tracking oracle": "0.013475",
}
"""First outputs, as printed in the literature."""


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("digits", [15, 50])
def test_the_ball_holds_the_closed_form(name, digits):
    equations, start, t, truth = FORMS[name]
    proof = prove(PIVP(equations, start), t, digits=digits)
    assert proof.answer is Answer.PROVEN and proof.digits >= digits
    for value, mid, rad in zip(truth, proof.mid, proof.rad, strict=True):
        assert abs(MP.mpf(mid) - value) <= rad + MP.mpf(10) ** -110  # the rounding of the formula
    if name in GOLDEN:
        printed = MP.mpf(GOLDEN[name])
        assert abs(MP.mpf(proof.mid[0]) - printed) <= MP.mpf(10) ** -(len(GOLDEN[name]) - 2)


def test_a_golden_number_is_the_error_function_at_one():
    equations, start, t, _ = FORMS["error function"]
    proof = prove(PIVP(equations, start, {"area": A}), t, digits=30)
    assert abs(2 * MP.mpf(proof.mid[0]) / MP.sqrt(MP.pi) - MP.mpf("0.8427007929497149")) < 1e-16


def test_the_swish_of_mish_starts_at_three_fifths():
    """Mish is z w, w = tanh(log(1 + e^z)); in p = e^z: w = (p^2 + 2p)/(p^2 + 2p + 2), at z = 0 three fifths."""
    p, r = A, B
    square = p**2 + 2 * p + 2  # r = 1/square, r' = -r^2 (2p + 2) p
    system = PIVP({p: p, r: -(r**2) * (2 * p + 2) * p}, {p: 1, r: R(1, 5)}, {"w": (square - 2) * r})
    softplus = MP.log(1 + MP.e)
    proof = prove(system, 1, digits=40)
    assert abs(MP.mpf(proof.mid[0]) - MP.tanh(softplus)) <= proof.rad[0] and proof.digits >= 40
    early = prove(system, Fraction(1, 10**40), digits=30)
    assert abs(MP.mpf(early.mid[0]) - MP.mpf(3) / 5) < 1e-30
