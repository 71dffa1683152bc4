"""The second opinion in mpmath against closed forms: it bounds nothing, so its digits are counted here."""

from fractions import Fraction

import mpmath
import pytest
import sympy
from problems import PROBLEMS

import gpac
from gpac import PIVP, Circuit, Phase, Schedule, inputs, integral, product, reference
from gpac import functions as fn


def lost_digits(system, t, truth, bits: int, **given) -> float:
    """Digits lost against `bits` bits, relative to max(1, |truth|)."""
    found = reference(system, t, bits=bits, **given).outputs
    with mpmath.workprec(2 * bits + 100):
        worst = max(abs(a - b) / max(1, abs(b)) for a, b in zip(found, truth, strict=True))
        return float(mpmath.log10(worst * mpmath.mpf(2) ** bits)) if worst else 0.0


@pytest.mark.parametrize("problem", [p for p in PROBLEMS if p.name != "Lorenz"], ids=repr)
@pytest.mark.parametrize("bits", [80, 170])
def test_closed_forms_come_out_to_all_but_a_few_digits(problem, bits):
    assert lost_digits(problem.system, problem.t, problem.truth(150), bits) < 6


@pytest.mark.parametrize("power", [3, 5, 20])
@pytest.mark.parametrize("order", [None, 16])
def test_gaps_in_a_series_do_not_end_the_step_early(power, order):
    """Where the last two coefficients vanish, others do not: a step chosen from those two alone is endless."""
    with mpmath.workdps(120):
        truth = [mpmath.exp(mpmath.mpf(11) ** power / mpmath.mpf(10) ** power)]
    circuit = Circuit({"y": fn.exp(gpac.time() ** power)})
    assert lost_digits(circuit, Fraction(11, 10), truth, 128, order=order) < 6


def test_more_bits_agree_to_the_digits_of_fewer():
    x, y, z = sympy.symbols("x y z")
    system = PIVP({x: 10 * (y - x), y: x * (28 - z) - y, z: x * y - sympy.Rational(8, 3) * z}, {x: 1, y: 1, z: 1})
    few, many = (reference(system, 3, bits=bits) for bits in (90, 130))
    assert all(abs(a - b) < mpmath.mpf(2) ** -65 for a, b in zip(few.outputs, many.outputs, strict=True))
    assert many.products > few.products and many.order > few.order


def test_phases_hand_on_their_values():
    a = inputs("a")
    first = Circuit({"m": integral(product(a, a), name="m")})
    m = inputs("m")
    second = Circuit({"y": fn.exp(product(gpac.time(), m))})
    schedule = Schedule((Phase(first, Fraction(1, 2)), Phase(second, Fraction(2))))
    with mpmath.workdps(60):
        assert lost_digits(schedule, None, [mpmath.exp(2 * mpmath.mpf("4.5"))], 128, inputs=[3]) < 4


def test_a_run_into_a_pole_is_an_error():
    y = sympy.Symbol("y")
    with pytest.raises(gpac.GpacError):
        reference(PIVP({y: y**2}, {y: 1}), 2, bits=64)


def test_negative_times_are_refused():
    y = sympy.Symbol("y")
    with pytest.raises(gpac.NumberError, match="t must not be negative, got -1"):
        reference(PIVP({y: y}, {y: 1}), -1)
