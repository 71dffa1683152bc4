"""Direct evaluation in balls against mpmath on the same exact numbers."""

from fractions import Fraction

import mpmath
import numpy as np
import pytest

from compile import Affine, Network, Sigmoid, Tanh, dense, enclose_forward, scale
from gpac import NumberError, ShapeError
from gpac.exact import to_fractions


def small() -> Network:
    rng = np.random.default_rng(4)
    third = scale(Fraction(1, 3), 0.25)
    layers = [third, dense(rng.normal(size=(4, 3)), rng.normal(size=4)), Tanh()]
    return Network(3, [*layers, dense(rng.normal(size=(2, 4)), [0.1, 0.2]), Sigmoid()])


def by_mpmath(network: Network, x: list, digits: int) -> list:
    with mpmath.workdps(digits):
        mp = mpmath.mp
        value = [mp.mpf(v.numerator) / v.denominator for v in x]
        for layer in network.layers:
            if isinstance(layer, Affine) and layer.weight.ndim == 0:
                f, o = to_fractions(layer.weight)[()], to_fractions(layer.bias)[0]
                value = [v * f.numerator / f.denominator + mp.mpf(o.numerator) / o.denominator for v in value]
            elif layer == Tanh():
                value = [mp.tanh(v) for v in value]
            elif layer == Sigmoid():
                value = [1 / (1 + mp.exp(-v)) for v in value]
            else:
                rows = zip(layer.weight.tolist(), layer.bias.tolist(), strict=True)
                value = [mp.fdot(row, value) + b for row, b in rows]
        return [+v for v in value]


@pytest.mark.parametrize("digits", [5, 40, 200])
def test_balls_contain_the_outputs_and_are_as_narrow_as_asked(digits):
    x = [Fraction(1, 7), Fraction(-2, 3), Fraction(5)]
    exact = enclose_forward(small(), x, digits=digits)
    truth = by_mpmath(small(), x, 2 * digits + 30)
    assert exact.contains(truth)
    assert exact.digits >= digits
    # a number twice the radius away is not in the ball
    assert not exact.contains([t + 4 * r for t, r in zip(truth, exact.rad, strict=True)])


def test_floats_are_the_dyadics_they_are_not_decimals():
    wire = Network(1, [dense([[1.0]])])
    assert enclose_forward(wire, [0.1]).contains([0.1])
    assert not enclose_forward(wire, [0.1]).contains([Fraction(1, 10)])


def test_input_of_the_wrong_width_is_named():
    with pytest.raises(ShapeError, match="3 numbers"):
        enclose_forward(small(), [1.0, 2.0])


def test_too_few_bits_allowed_is_said():
    with pytest.raises(NumberError, match="need more than 64 bits"):
        enclose_forward(small(), [0, 0, 0], digits=50, max_bits=64)
