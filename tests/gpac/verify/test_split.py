"""Boxes in pieces: the hull holds every image, gets narrower, and the pieces cover the box."""

from fractions import Fraction
from itertools import pairwise
from math import tan

import flint
import numpy as np
import pytest
import sympy

import gpac
from compile import enclose_forward, homotopy, load
from gpac import PIVP, NumberError, prove
from gpac.verify import Answer

Y = sympy.Symbol("y")
TANGENT = PIVP({Y: 1 + Y**2}, {Y: 0})


def _widths(proof) -> float:
    return max(2 * float(b.rad()) for b in proof.balls)


def test_pieces_tile_the_box_and_their_hull_nears_the_true_range():
    box = [flint.arb(0, 0.25)]
    whole, cut = prove(TANGENT, 0.5, initial=box, digits=3), prove(TANGENT, 0.5, initial=box, digits=3, split=16)
    true = tan(0.5 + np.arctan(0.25)) - tan(0.5 - np.arctan(0.25))
    assert true <= _widths(cut) < 1.1 * true
    assert whole.answer is not Answer.PROVEN or _widths(cut) < (1 + 1e-6) * _widths(whole)
    assert len(cut.pieces) == 16 and all(p.answer is Answer.PROVEN for p in cut.pieces)
    parts = sorted((p.question.inputs["initial"][0] for p in cut.pieces), key=lambda b: float(b.mid()))
    assert parts[0].contains(-0.25) and parts[-1].contains(0.25)
    for a, b in pairwise(parts):
        assert a.upper() >= b.lower()
    for start in np.linspace(-0.25, 0.25, 21):
        inside = prove(TANGENT, 0.5, initial=[Fraction(float(start))], digits=20)
        assert cut.balls[0].contains(inside.balls[0])
        assert any(
            p.question.inputs["initial"][0].contains(float(start)) and p.balls[0].contains(inside.balls[0])
            for p in cut.pieces
        )


def test_pieces_come_near_to_a_range_whose_least_value_lies_inside():
    """z(1/2) = y0^2 (e - 1)."""
    z = sympy.Symbol("z")
    system, box = PIVP({Y: Y, z: 2 * Y**2}, {Y: 0, z: 0}, {"z": z}), [flint.arb(0.0625, 0.25), 0]
    true = 0.3125**2 * (np.e - 1)
    whole, cut = (prove(system, 0.5, initial=box, digits=2, **more) for more in ({}, {"split": 16}))
    assert true <= _widths(cut) < 1.05 * true and _widths(cut) < 0.9 * _widths(whole)


def test_cutting_ends_when_the_images_are_narrow():
    proof = prove(TANGENT, 0.5, initial=[flint.arb(0, 0.25)], digits=3, width=0.2)
    assert all(_widths(p) <= 0.2 for p in proof.pieces) and 2 <= len(proof.pieces) < 20


def test_only_directions_that_matter_are_cut():
    a, b, y = sympy.symbols("a b y")
    system = PIVP({y: a * y, a: 0, b: -b}, {y: 1, a: 1, b: 1}, {"y": y})
    proof = prove(system, 1, initial=[1, flint.arb(1, 0.1), flint.arb(0, 1)], digits=2, split=8)
    assert proof.answer is Answer.PROVEN
    assert all(float(p.question.inputs["initial"][2].rad()) >= 1 for p in proof.pieces)
    assert all(float(p.question.inputs["initial"][1].rad()) < 0.03 for p in proof.pieces)


def test_a_network_over_a_box():
    network = load("examples/networks/ring_tanh_2_3_1.onnx")
    x, eps = np.array([0.25, -0.5]), 0.004
    box = [flint.arb(float(v), eps) for v in x]
    proof = prove(homotopy(network), inputs=box, digits=2, split=8)
    assert proof.answer is Answer.PROVEN and len(proof.pieces) == 8
    for point in x + eps * np.random.default_rng(0).uniform(-1, 1, (50, 2)):
        assert proof.balls[0].contains(enclose_forward(network, point, digits=20).balls[0])


def test_a_part_of_the_box_that_blows_up_is_told():
    mixed = prove(TANGENT, 1, initial=[flint.arb(0.5, 0.25)], digits=2, split=16)
    assert mixed.answer is Answer.UNKNOWN and "pieces of the box" in mixed.reason and len(mixed.pieces) == 16
    assert any(p.answer is Answer.PROVEN for p in mixed.pieces)


def test_time_and_interruptions_leave_what_is_there():
    def stop(fraction: float) -> None:
        raise KeyboardInterrupt

    proof = prove(TANGENT, 0.5, initial=[flint.arb(0, 0.03)], digits=2, split=64, progress=stop)
    assert proof.answer is Answer.PROVEN and len(proof.pieces) == 2
    short = prove(TANGENT, 0.5, initial=[flint.arb(0, 0.03)], digits=2, split=10**6, seconds=1.0)
    assert 1 <= len(short.pieces) < 10**6


def test_a_point_is_not_cut():
    proof = prove(TANGENT, 1, digits=10, split=8)
    assert len(proof.pieces) == 1 and proof.contains([float(np.tan(1.0))]) == gpac.prove(
        TANGENT, 1, digits=10
    ).contains([float(np.tan(1.0))])


def test_wrong_questions_are_refused():
    with pytest.raises(NumberError, match="split"):
        prove(TANGENT, 1, split=0)
    with pytest.raises(NumberError, match="width"):
        prove(TANGENT, 1, width=0)
