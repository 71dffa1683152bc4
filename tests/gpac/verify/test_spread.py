"""How far solutions part from the centre: seen from outside, through boxes of start values and rates."""

import itertools
from fractions import Fraction

import flint
import mpmath
import numpy as np
import pytest
import sympy

import gpac
from gpac import PIVP, Circuit, inputs, integral, linear, product, prove, wire
from gpac.precision import working_precision
from gpac.verify import Answer, boxes, distances
from gpac.verify.growth import flow

Y, Z, W = sympy.symbols("y z w")


def spread_of(system, t, box=None, start=None, digits: int = 1):
    """Midpoints and radii at the end, for balls as inputs or start values."""
    proof = prove(system, t, box, initial=start, digits=digits)
    assert proof.answer is Answer.PROVEN, str(proof)
    return proof.mid, proof.rad


@pytest.mark.parametrize("rate", [-20, -1, 1, 3])
@pytest.mark.parametrize("radius", [1e-3, 1e-12, 1e-300])
def test_one_linear_state_spreads_exactly_as_it_grows(rate, radius):
    with mpmath.workdps(400):
        (mid,), (rad,) = spread_of(PIVP({Y: rate * Y}, {Y: 1}), 1, start=[flint.arb(1, radius)], digits=310)
        wanted = mpmath.mpf(radius) * mpmath.exp(rate)
        assert (
            abs(mid - mpmath.exp(rate)) + wanted * (1 - mpmath.mpf(2) ** -20)
            <= rad
            <= 1.001 * wanted + mpmath.mpf("1e-310")
        )


@pytest.mark.parametrize("coupling", [1, 30])
def test_a_cascade_spreads_along_its_chain(coupling):
    """Triangular with positive couplings: exp(t A) r is attained, at the corner of the box."""
    system = PIVP({Y: -Y, Z: coupling * Y - 2 * Z, W: coupling * Z - 50 * W}, {Y: 0, Z: 0, W: 0})
    r = 1e-5
    mid, rad = spread_of(system, 2, start=[flint.arb(0, r), 0, 0])
    matrix = mpmath.matrix([[-1, 0, 0], [coupling, -2, 0], [0, coupling, -50]])
    wanted = mpmath.expm(2 * matrix) * mpmath.matrix([r, 0, 0])
    for m, got, want in zip(mid, rad, wanted, strict=True):
        assert abs(m) + want * (1 - 1e-12) <= got <= 1.01 * want


@pytest.mark.parametrize("radius", ["1e-20", "1e-400", "1e-4000"])
@pytest.mark.parametrize("t", [Fraction(2, 5), Fraction(1, 10), Fraction(7, 8)])
def test_radii_too_small_for_doubles_spread_all_the_same(radius, t):
    """y' = z, z' = y from y = r: cosh and sinh are attained, and radii only ever round up."""
    with mpmath.workdps(60):
        _, rad = spread_of(PIVP({Y: Z, Z: Y}, {Y: 0, Z: 0}), t, start=[flint.arb(0, flint.arb(radius)), 0])
        r, at = mpmath.mpf(radius), mpmath.mpf(t.numerator) / t.denominator
        for got, want in zip(rad, [r * mpmath.cosh(at), r * mpmath.sinh(at)], strict=True):
            assert want <= got <= 1.0001 * want


def test_a_rotation_widens_at_most_as_its_entries_in_magnitude_allow():
    r = 1e-6
    mid, rad = spread_of(PIVP({Y: -Z, Z: Y}, {Y: 1, Z: 0}), 3, start=[flint.arb(1, r), flint.arb(0, r)])
    for a, b in [(1, 1), (1, -1), (-1, 1), (0.3, -1)]:
        y, z = 1 + a * 0.999 * r, b * 0.999 * r
        ends = [y * mpmath.cos(3) - z * mpmath.sin(3), y * mpmath.sin(3) + z * mpmath.cos(3)]
        assert all(abs(e - m) <= g for e, m, g in zip(ends, mid, rad, strict=True))
    assert max(rad) <= 1.01 * r * mpmath.exp(3)


def test_an_uncertain_constant_pushes_an_exact_start_value():
    x = inputs("x")
    y = wire("y")
    y.define(integral(linear([(1, x), (-1, y)]), None, 0, name="y"))
    (mid,), (rad,) = spread_of(Circuit({"y": y}), 3, [flint.arb(2, 1e-4)])
    reach = 1 - mpmath.exp(-3)
    assert abs(mid - 2 * reach) + 0.9999999 * 1e-4 * reach <= rad <= 1.01e-4 * reach


def test_constants_behind_a_product_and_a_matrix_push_too():
    x, y = inputs("x", 2), wire("y", 2)
    rate = linear([(np.array([[1.0, 2.0], [0.0, 1.0]]), product(x, x)), ([-1, -2], y)])
    y.define(integral(rate, None, 0, name="y"))
    r = 1e-6
    mid, rad = spread_of(Circuit({"y": y}), 1, [flint.arb(1, r), flint.arb(-3, r)])
    for a, b in [(1, -1), (-1, 1), (1, 1), (0, 0)]:
        p, q = (1 + 0.999 * a * r) ** 2, (-3 + 0.999 * b * r) ** 2
        ends = [(p + 2 * q) * (1 - mpmath.exp(-1)), q * (1 - mpmath.exp(-2)) / 2]
        assert all(abs(e - m) <= g for e, m, g in zip(ends, mid, rad, strict=True))
    assert rad[0] <= 1.01 * 14 * r * (1 - mpmath.exp(-1)) and rad[1] <= 1.01 * 6 * r * (1 - mpmath.exp(-2)) / 2


def test_a_box_with_one_end_at_infinity_is_not_proven():
    """y' = y^2 from [0.5, 1.5] to t = 1: the upper half of the box has no solution that long."""
    proof = prove(PIVP({Y: Y**2}, {Y: 1}), 1, initial=[flint.arb(1, 0.5)], digits=1, max_bits=300, seconds=5)
    assert proof.answer is not Answer.PROVEN
    assert proof.answer is not Answer.ENDS


def test_a_wide_box_of_a_contracting_flow_is_followed():
    """y' = -y - y^3 is monotone: the ends of the box go to the ends of its image."""
    (mid,), (rad,) = spread_of(PIVP({Y: -Y - Y**3}, {Y: 0}), 2, start=[flint.arb(0, 0.04)])
    y0 = mpmath.mpf(0.04)
    end = mpmath.exp(-2) * y0 / mpmath.sqrt(1 + y0**2 * (1 - mpmath.exp(-4)))
    assert abs(mid) + end * (1 - 1e-9) <= rad <= 1.05 * end


def test_time_is_the_same_for_every_solution():
    t, y = gpac.time(), wire("y")
    y.define(integral(product(t, y), None, 1, name="y"))
    x = inputs("x")
    z = wire("z")
    z.define(integral(product(product(t, x), z), None, 1, name="z"))
    (mid,), (rad,) = spread_of(Circuit({"z": z}), 2, [flint.arb(-1, 1e-5)])
    ends = [mpmath.exp(2 * (-1 + s * 0.999e-5)) for s in (-1, 0, 1)]
    assert all(abs(e - mid) <= rad for e in ends) and rad <= 2.5 * (ends[2] - ends[0]) / 2
    assert prove(Circuit({"y": y}), 2, digits=30).digits >= 30


def test_states_are_no_wider_for_those_that_they_drive(monkeypatch):
    """Lorenz from a box, alone and with its derivatives by the first start value beside it, which move nothing."""
    monkeypatch.setattr(boxes, "MOST_INPUTS", 0)  # no faces: they would hide it
    x, y, z, *moved = sympy.symbols("x y z dx dy dz")
    rates = {x: 10 * (y - x), y: x * (28 - z) - y, z: x * y - sympy.Rational(8, 3) * z}
    beside = {
        d: sum(sympy.diff(rate, v) * e for v, e in zip(rates, moved, strict=True))
        for d, rate in zip(moved, rates.values(), strict=True)
    }
    box = [flint.arb(1, 0.005)] * 3
    alone = prove(PIVP(rates, dict.fromkeys(rates, 1)), 2, initial=box, digits=1)
    system = PIVP(rates | beside, dict.fromkeys([x, y, z], 1) | dict.fromkeys(moved, 0))
    both = prove(system, 2, initial=[*box, 1, 0, 0], digits=1)
    assert all(a <= 1.2 * b for a, b in zip(both.rad, alone.rad, strict=False))


def test_small_entries_keep_their_size_beside_large_ones():
    """Two distances that decay and hardly feel each other, of sizes 2^-170 and 2^-130, and a constant 1."""
    weak, strong = Fraction(1, 2**29), Fraction(1, 2**14)
    rows = [{0: -2.5, 1: float(weak)}, {0: float(strong), 1: -2.5}, {}]
    starts = [2.0**-170, 2.0**-130, 1.0]
    with working_precision(64):
        (ends,) = flow([{j: flint.arb(a) for j, a in row.items()} for row in rows], [list(map(flint.arb, starts))])
    turn = mpmath.sqrt(mpmath.mpf(2) ** -43)
    fall, even, odd = mpmath.exp(-2.5), mpmath.cosh(turn), mpmath.sinh(turn)
    first = fall * (even * starts[0] + odd * mpmath.sqrt(mpmath.mpf(2) ** -15) * starts[1])
    second = fall * (even * starts[1] + odd * mpmath.sqrt(mpmath.mpf(2) ** 15) * starts[0])
    for bound, truth in zip(ends, (first, second, 1), strict=True):
        assert truth * (1 - 1e-12) <= float(bound) <= 2 * truth


@pytest.mark.parametrize("exponent", [-20, -60, -100, -140])
def test_a_frame_holds_sums_with_columns_of_any_size(exponent):
    """Three blocks; what the first leaves to the others is tiny, and what they would take of it huge."""
    rows = [[2.0**exponent, 0.0, 1.0, 0.0, 0.0], [1.0, 1.0, 0.0, 1.0, 0.0], [1.0, 0.5, 0.0, 0.0, 1.0]]
    with working_precision(64):
        frame = distances._boxed([list(map(flint.arb, row)) for row in rows], [[0], [1], [2]])
    q = np.array([[float(x) for x in row] for row in frame])
    for signs in itertools.product((-1, 1), repeat=5):
        factors = np.linalg.solve(q, np.array(rows) @ signs)
        assert abs(factors).max() <= 1 + 1e-6
