"""Inputs that are sets: pairs, mpmath's intervals and balls mean the same box, and anything else is a sentence."""

from fractions import Fraction

import flint
import mpmath
import numpy as np
import pytest
import sympy

import gpac
from compile import Tanh, dense, enclose_box, enclose_forward, homotopy, load
from compile.network import Network
from gpac import PIVP, NumberError, ShapeError, prove
from gpac.interval import ends, to_ball
from gpac.verify import Answer

X, Y = sympy.symbols("x y")
GROWTH = PIVP({X: X, Y: -Y}, {X: 1, Y: 1})
NETWORK = Network(2, [dense([[1.0, 0.5], [0.25, -1.0]]), Tanh(), dense([[1.0, 1.0]])])
WAYS = {
    "pair": lambda low, high: (low, high),
    "iv": lambda low, high: mpmath.iv.mpf([low, high]),
    "arb": lambda low, high: flint.arb((low + high) / 2, (high - low) / 2),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_box_of_start_values_may_be_given_in_three_ways(way):
    box = [WAYS[way](0.75, 1.25), WAYS[way](-0.5, 0.25)]
    proof = prove(GROWTH, 1, initial=box, digits=3)
    grown, shrunk = mpmath.e, 1 / mpmath.e
    for value in ([0.75 * grown, -0.5 * shrunk], [1.25 * grown, 0.25 * shrunk]):
        assert all(abs(v - m) <= r for v, m, r in zip(value, proof.mid, proof.rad, strict=True))
    assert proof.rad[0] <= 0.2500001 * grown and proof.rad[1] <= 0.3750001 * shrunk


@pytest.mark.parametrize("way", WAYS)
def test_a_box_of_inputs_of_a_network_may_be_given_in_three_ways(way):
    box = [WAYS[way](0.25, 0.375), WAYS[way](-0.5, -0.25)]
    proof = prove(homotopy(NETWORK), inputs=box, digits=3)
    lower, upper = enclose_box(NETWORK, box)
    for point in ([0.25, -0.5], [0.375, -0.25], [0.3, -0.4]):
        value = gpac.solve(homotopy(NETWORK), inputs=point, tol=1e-13).outputs[0]
        assert abs(value - float(proof.mid[0])) <= float(proof.rad[0]) + 1e-12
        assert lower[0] - 1e-12 <= value <= upper[0] + 1e-12
    least, most = enclose_box(NETWORK, [0.25, -0.5], [0.375, -0.25])
    assert (lower >= least - 1e-8).all() and (upper <= most + 1e-8).all()


def test_numbers_and_sets_may_stand_side_by_side():
    proof = prove(GROWTH, 1, initial=[(1, Fraction(4, 3)), sympy.sqrt(2)], digits=3)
    assert proof.answer is Answer.PROVEN
    assert proof.contains([sympy.E * Fraction(5, 4), sympy.sqrt(2) / sympy.E]) and proof.rad[1] < 1e-3
    assert not proof.contains([sympy.E * Fraction(7, 5), sympy.sqrt(2) / sympy.E])


@pytest.mark.parametrize(
    "pair",
    [
        (0, 0.3),
        (-0.3, 0),
        (Fraction(1, 3), Fraction(2, 3)),
        (10**30, 10**30 + 1),
        (-1e-300, 1e-300),
        (0.1, 7),
        (1e-12, 1.0),
        (-1.0, -(2.0**-200)),
    ],
)
def test_the_ball_of_an_interval_contains_it_and_is_hardly_wider(pair):
    ball, (low, high) = to_ball(pair), map(Fraction, pair)
    with gpac.precision.working_precision(2048):
        a, b = (
            Fraction(*[int(x) for x in (end.man_exp()[0], 1)]) * Fraction(2) ** int(end.man_exp()[1])
            for end in (ball.mid() - ball.rad(), ball.mid() + ball.rad())
        )
    assert a <= low <= high <= b and b - a <= (high - low) * (1 + Fraction(1, 2**28))
    near = min((low, high), key=abs)
    assert near.denominator & (near.denominator - 1) or near in (a, b)


def test_an_interval_of_one_point_is_that_number():
    assert to_ball((0.5, Fraction(1, 2))) == Fraction(1, 2) and to_ball(mpmath.iv.mpf(0.5)) == Fraction(1, 2)
    assert prove(GROWTH, 1, initial=[(1, 1), mpmath.iv.mpf(1)], digits=20).digits >= 20


def test_an_input_that_is_never_negative_may_start_at_zero():
    x, y = gpac.inputs("x", signs="0+"), gpac.wire("y")
    circuit = gpac.Circuit({"y": y.define(gpac.integral(x - y))})
    assert prove(circuit, 1, [(0, 0.3)], digits=2).answer is Answer.PROVEN
    with pytest.raises(NumberError, match="negative"):
        prove(circuit, 1, [(-0.1, 0.3)], digits=2)


@pytest.mark.parametrize(
    ("initial", "error", "words"),
    [
        ([(1, 0), 1], NumberError, "input 'initial': expected an interval whose lower end comes first"),
        ([(0, 1, 2), 1], NumberError, "expected an interval as a pair"),
        ([(0, float("inf")), 1], NumberError, "expected a finite number"),
        ([mpmath.iv.mpf([0, mpmath.inf]), 1], NumberError, "expected a finite number"),
        ([flint.arb("nan"), 1], NumberError, "expected a finite ball"),
        ([flint.arb("[1 +/- inf]"), 1], NumberError, "expected a finite ball"),
        ([("a", "b"), 1], NumberError, "expected a real number"),
        ([[0, 1], [0, 1]], ShapeError, "pair in round brackets"),
        (np.zeros((2, 2)), ShapeError, "pair in round brackets"),
        ([[0, 1], 1], ShapeError, "pair in round brackets"),
        ((0, 1, 2), ShapeError, "must be 2 numbers or intervals"),
    ],
)
def test_what_is_no_box_is_told(initial, error, words):
    with pytest.raises(error, match=words):
        prove(GROWTH, 1, initial=initial)


def test_what_takes_points_only_says_where_boxes_go():
    with pytest.raises(NumberError, match="enclose_box takes a box of inputs"):
        enclose_forward(NETWORK, [(0, 1), 1])


def test_the_distance_of_a_smooth_network_takes_boxes_of_every_kind():
    smooth = load("examples/networks/ring_relu_2_8_8_1.onnx", smooth=Fraction(1, 1000))
    found = [float(smooth.distance([way(0.25, 0.5), way(-0.5, -0.25)])) for way in WAYS.values()]
    assert 0 < found[0] < 1 and found == pytest.approx([found[0]] * 3, rel=1e-6)


def test_corners_of_an_input_box_are_told_apart_from_a_box():
    with pytest.raises(ShapeError, match="a box of 2 intervals"):
        enclose_box(NETWORK, [(0, 1)])
    with pytest.raises(NumberError, match="rational ends"):
        enclose_box(NETWORK, [(0, sympy.sqrt(2)), 1])
    with pytest.raises(NumberError, match="lower end comes first"):
        enclose_box(NETWORK, [(1, 0), 1])
    low, high = ends(flint.arb(1, 0.5))
    assert Fraction(1, 2) - Fraction(1, 2**28) < low <= Fraction(1, 2) and Fraction(3, 2) <= high
