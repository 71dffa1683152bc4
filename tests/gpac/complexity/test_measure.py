"""What measuring must get right: the truth it judges by, the counts, and the fits."""

from fractions import Fraction

import numpy as np
import pytest
import sympy

import gpac
from gpac.complexity import fit_line, fit_power

y = sympy.Symbol("y")
GROWTH = gpac.PIVP({y: y}, {y: 1})


def test_working_bits_exceed_the_bits_asked_and_the_result_is_right_to_them():
    cost = gpac.measure(GROWTH, t=1, bits=[16, 64, 256])
    for row in cost.table:
        assert row.bits <= row.working_bits <= row.bits + 24
        run = gpac.reference(GROWTH, 1, bits=row.working_bits)
        with_room = sympy.E.evalf(200)
        assert abs(sympy.Float(run.outputs[0], 200) - with_room) <= sympy.Rational(1, 2**row.bits)


def test_digits_before_the_point_cost_working_bits_too():
    """exp(8) has twelve bits before the point; a single lucky rounding may save some, four together do not."""
    cost = gpac.measure(GROWTH, t=8, bits=[32, 64, 96, 128])
    surplus = [row.working_bits - row.bits for row in cost.table]
    assert 10 <= sum(surplus) / len(surplus) <= 20


def test_bit_operations_are_products_times_working_bits_squared():
    row = gpac.measure(GROWTH, t=1, bits=[32]).table[0]
    assert row.bit_operations == row.products * row.working_bits**2
    # one state, y' = y: no products but the powers of the step in evaluating the polynomial
    assert row.products == row.steps * row.order


def test_float64_figures_of_the_circle_are_its_geometry():
    c, s = sympy.symbols("c s")
    cost = gpac.measure(gpac.PIVP({c: -s, s: c}, {c: 1, s: 0}), t=Fraction(5, 2), bits=[])
    assert cost.length == pytest.approx(2.5, rel=1e-9)  # a unit circle at unit speed
    assert cost.space == pytest.approx(1.0, rel=1e-12)
    assert cost.time == 2.5
    assert cost.digits_lost < 1.5
    assert cost.table == () and cost.fits == {}


def test_fits_recover_the_laws_they_are_given():
    n = np.array([16, 32, 64, 128])
    line, power = fit_line(n, 3 + 2 * n), fit_power(n, 5 * n**1.5)
    assert (line.a, line.b, line.r2) == pytest.approx((3, 2, 1))
    assert (power.a, power.b, power.r2) == pytest.approx((5, 1.5, 1))


def test_the_table_and_the_picture_show_every_row(tmp_path):
    cost = gpac.measure(GROWTH, t=1, bits=[16, 32])
    assert len(str(cost).splitlines()) == 1 + 2 + 1 + len(cost.fits)
    cost.plot(str(tmp_path / "cost.png"))
    assert (tmp_path / "cost.png").stat().st_size > 1000


@pytest.mark.parametrize("bits", [[0], [32, 16], [16, 16]])
def test_bits_must_be_increasing_and_positive(bits):
    with pytest.raises(gpac.NumberError, match="increasing positive"):
        gpac.measure(GROWTH, t=1, bits=bits)


def test_a_solution_that_ends_cannot_be_measured_and_the_error_says_why():
    with pytest.raises(gpac.GpacError, match="does not exist that far"):
        gpac.measure(gpac.PIVP({y: y**2}, {y: 1}), t=2, bits=[16])
