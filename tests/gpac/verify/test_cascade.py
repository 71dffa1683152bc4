"""Widths carried layer by layer: closed forms, sampled solutions, and the matrix of slopes beside them."""

import itertools
from fractions import Fraction

import flint
import mpmath
import numpy as np
import pytest
import scipy.linalg
import scipy.sparse
import sympy
from networks import MOVES, Pair, grow, mlp

import gpac
from compile import Network, Sigmoid, Tanh, dense, enclose_forward, homotopy
from compile.build import as_network
from compile.value import network_input
from gpac import PIVP, Circuit, bilinear, inputs, integral, linear, product, prove, reference, wire
from gpac.precision import working_precision
from gpac.verify import Answer, part
from gpac.verify.wide import sums
from gpac.wire import Start

Y, Z, W = sympy.symbols("y z w")


@pytest.fixture(autouse=True)
def _in_layers(monkeypatch):
    """Carry every width layer by layer, however few states a part has."""
    monkeypatch.setattr(part, "MOST_IN_MATRIX", 0)


def spread_of(system, t, box=None, start=None):
    proof = prove(system, t, box, initial=start, digits=20)
    assert proof.answer is Answer.PROVEN, str(proof)
    return proof.mid, proof.rad


@pytest.mark.parametrize("rate", [-20, -1, 1, 3])
@pytest.mark.parametrize("radius", [1e-3, 1e-12])
def test_one_linear_state_spreads_exactly_as_it_grows(rate, radius):
    (mid,), (rad,) = spread_of(PIVP({Y: rate * Y}, {Y: 1}), 1, start=[flint.arb(1, radius)])
    with mpmath.workdps(60):
        wanted = mpmath.mpf(radius) * mpmath.exp(rate)
        assert abs(mid - mpmath.exp(rate)) + wanted * (1 - 1e-6) <= rad <= 1.01 * wanted + mpmath.mpf(10) ** -20


def test_a_cascade_spreads_along_its_chain():
    """exp(t A) r is attained, at the corner of the box; what feeds a state counts with its largest value per step."""
    system = PIVP({Y: -Y, Z: 3 * Y - 2 * Z, W: 3 * Z - 5 * W}, {Y: 0, Z: 0, W: 0})
    mid, rad = spread_of(system, Fraction(1, 4), start=[flint.arb(0, 1e-5), 0, 0])
    wanted = mpmath.expm(mpmath.matrix([[-1, 0, 0], [3, -2, 0], [0, 3, -5]]) / 4) * mpmath.matrix([1e-5, 0, 0])
    for m, got, want in zip(mid, rad, wanted, strict=True):
        assert (
            abs(m) + want * (1 - 1e-9) <= got <= 8 * want
        )  # in one step, what comes through two links counts as if it were there at once


@pytest.mark.parametrize("make", [np.asarray, scipy.sparse.csr_matrix])
def test_matrices_products_and_uncertain_constants_push(make):
    x, y = inputs("x", 2), wire("y", 2)
    rate = linear([(make([[1.0, 2.0], [0.0, 1.0]]), product(x, x)), ([-1, -2], y)])
    y.define(integral(rate, None, 0, name="y"))
    r = 1e-6
    mid, rad = spread_of(Circuit({"y": y}), 1, [flint.arb(1, r), flint.arb(-3, r)])
    for a, b in [(1, -1), (-1, 1), (1, 1), (0, 0)]:
        p, q = (1 + 0.999 * a * r) ** 2, (-3 + 0.999 * b * r) ** 2
        ends = [(p + 2 * q) * (1 - mpmath.exp(-1)), q * (1 - mpmath.exp(-2)) / 2]
        assert all(abs(e - m) <= g for e, m, g in zip(ends, mid, rad, strict=True))
    assert rad[0] <= 1.01 * 14 * r * (1 - mpmath.exp(-1)) and rad[1] <= 1.01 * 6 * r * (1 - mpmath.exp(-2)) / 2


def _matrix_flow() -> Circuit:
    y = wire("Y", 4)
    y.define(integral(-bilinear("ij,jk->ik", y, y, (2, 2), (2, 2)), None, [2, 1, -1, 1], name="Y"))
    return Circuit({"Y": y})


@pytest.mark.parametrize("seed", range(6))
def test_sampled_points_of_a_box_end_inside(seed):
    rng = np.random.default_rng(seed)
    system = PIVP({Y: Y * Z - Y + W**2, Z: 1 - Y**2 - Z / 2, W: Z - W * Y}, {Y: 0, Z: 0, W: 0})
    centre, radius = rng.uniform(-1, 1, 3), 10.0 ** rng.uniform(-8, -4)
    t = Fraction(int(rng.integers(1, 20)), 10)
    proof = prove(system, t, initial=[flint.arb(c, radius) for c in centre], digits=2)
    assert proof.answer is Answer.PROVEN, str(proof)
    for _ in range(4):
        point = [float(c + 0.999 * radius * rng.choice([-1, 1, rng.uniform(-1, 1)])) for c in centre]
        truth = reference(system, t, initial=point, bits=120).outputs
        assert all(abs(v - m) <= r for v, m, r in zip(truth, proof.mid, proof.rad, strict=True))


def test_a_matrix_flow_keeps_its_digits():
    proof = prove(_matrix_flow(), 1, digits=30)
    truth = (sympy.Matrix(2, 2, [2, 1, -1, 1]).inv() + sympy.eye(2)).inv()
    assert proof.contains([Fraction(int(v.p), int(v.q)) for v in truth]) and proof.digits >= 30


@pytest.mark.parametrize("sizes", [(3, 6, 6, 2), (3, 4, 4, 4, 4, 2)])
@pytest.mark.parametrize("activation", [Tanh, Sigmoid])
def test_networks_lose_hardly_more_bits_than_with_a_matrix_of_slopes(sizes, activation, monkeypatch):
    rng = np.random.default_rng(len(sizes))
    nodes = []
    for n, m in itertools.pairwise(sizes):
        nodes += [dense(2 * rng.normal(size=(m, n)), rng.normal(size=m)), activation()]
    network, x = Network(sizes[0], nodes[:-1]), rng.normal(size=sizes[0])
    proof = prove(homotopy(network), inputs=x, digits=20)
    assert proof.digits >= 20 and proof.contains(enclose_forward(network, x, digits=60).mid)
    monkeypatch.setattr(part, "MOST_IN_MATRIX", 256)
    beside = prove(homotopy(network), inputs=x, digits=20)
    assert proof.bits <= beside.bits + 20


def test_a_part_of_more_states_than_a_matrix_serves(monkeypatch):
    """Two layers of 70 neurons: 280 states that hang together."""
    monkeypatch.undo()
    assert part.MOST_IN_MATRIX == 256
    rng = np.random.default_rng(0)
    weights = [rng.normal(size=shape) / 5 for shape in [(70, 3), (70, 70), (2, 70)]]
    network = Network(3, [node for w in weights for node in (dense(w), Tanh())][:-1])
    proof = prove(homotopy(network), inputs=[0.5, -1.0, 2.0], digits=12)
    assert proof.digits >= 12 and proof.contains(enclose_forward(network, [0.5, -1.0, 2.0], digits=40).mid)
    assert proof.bits < 12 * 3.33 + 32 + 80


@pytest.mark.parametrize("seed", range(6))
def test_networks_of_any_shape_contain_what_they_are_in_balls(seed):
    """Skips, products, softmax, norms and all activations: the homotopy in levels, and the network directly."""
    rng = np.random.default_rng(seed)
    x = network_input((3,))
    pairs = [Pair(x, lambda v: v)]
    for move in rng.choice(MOVES, 6):
        pairs.append(grow(pairs, move, rng))
    network, point = as_network(pairs[-1].value, "grown"), rng.normal(size=3)
    proof = prove(homotopy(network), inputs=point, digits=15)
    assert proof.digits >= 15 and proof.contains(enclose_forward(network, point, digits=60).mid)


@pytest.mark.parametrize("seed", range(3))
def test_images_of_points_of_a_box_lie_in_the_box_of_outputs(seed):
    rng = np.random.default_rng(seed)
    network, centre, radius = mlp(3, 5, 4, 2, seed=seed), rng.normal(size=3), 1e-6
    proof = prove(homotopy(network), inputs=[flint.arb(c, radius) for c in centre], digits=3)
    assert proof.answer is Answer.PROVEN, str(proof)
    for corner in itertools.product((-0.999, 0.999), repeat=3):
        point = centre + radius * np.array(corner)
        truth = enclose_forward(network, point, digits=40).mid
        assert all(abs(v - m) <= r for v, m, r in zip(truth, proof.mid, proof.rad, strict=True))
    assert max(proof.rad) < 1e-3


def test_a_gap_in_the_series_does_not_stop_a_proof():
    proof = prove(PIVP({Y: 1, Z: 30 * Y**29}, {Y: 0, Z: 0}), 2, digits=20)
    assert proof.digits >= 20 and proof.contains([2, 2**30])


def test_an_end_that_is_no_rational_number_is_reached():
    proof = prove(PIVP({Y: Z, Z: -Y}, {Y: 0, Z: 1}), sympy.pi / 3, digits=25)
    assert proof.digits >= 25 and proof.contains([sympy.sqrt(3) / 2, sympy.Rational(1, 2)])


def test_heat_on_a_ring_of_more_states_than_a_matrix_serves(monkeypatch):
    """All states act on each other: y = 2 + (-1)**i falls to 2 like exp(-100 t)."""
    monkeypatch.undo()
    n = 300
    ring = scipy.sparse.diags([1.0, 1.0, -2.0, 1.0, 1.0], [1 - n, -1, 0, 1, n - 1], shape=(n, n)).tocsr() * 25.0
    y = wire("y", n)
    y.define(integral(linear([(ring, y)]), None, [3 - 2 * (i % 2) for i in range(n)], name="y"))
    proof = prove(Circuit({"y": linear([(np.eye(2, n), y)])}), Fraction(1, 16), digits=12)
    with mpmath.workdps(40):
        rest = mpmath.exp(-mpmath.mpf(100) / 16)
        assert proof.digits >= 12 and proof.contains([2 + rest, 2 - rest])


def test_a_box_that_reaches_a_pole_is_not_proven():
    proof = prove(PIVP({Y: Y**2}, {Y: 1}), 1, initial=[flint.arb(1, 0.5)], digits=1, max_bits=200, seconds=5)
    assert proof.answer not in (Answer.PROVEN, Answer.ENDS)


def test_a_sum_driven_from_below_goes_on_after_orders_that_are_all_zero():
    """z' = -z + t^6 in a ring of states at rest, t^6 beside (1 + t)^6 in one wire: z has no order from 1 to 6."""
    n, t = 12, gpac.time()
    b = linear([([[1.0], [1.0]], t)], [0, 1])
    b2 = b * b
    ring = scipy.sparse.diags([1.0, 1.0, -3.0, 1.0, 1.0], [1 - n, -1, 0, 1, n - 1], shape=(n, n)).tocsr()
    z = wire("z", n)
    z.define(integral(linear([(ring, z), (np.tile([[1.0, 0.0]], (n, 1)), b2 * b2 * b2)]), None, np.zeros(n), name="z"))
    proof = prove(Circuit({"z": linear([(np.eye(1, n), z)])}), 1, digits=20)
    with mpmath.workdps(60):
        truth = mpmath.quad(lambda s: mpmath.exp(s - 1) * s**6, [0, 1])
        assert abs(proof.mid[0] - truth) <= proof.rad[0] < mpmath.mpf(10) ** -20


@pytest.mark.parametrize("subscripts", ["i,j->ij", "i,j->ji"])
def test_both_sides_of_a_wire_times_itself_count(subscripts):
    """z' = y y with y = x + (1 - x) exp(-t), one x in a box: the images of the box's ends are inside."""
    x, y = inputs("x", 2), wire("y", 2)
    y.define(integral(linear([(-1, y), (1, x)]), None, [1, 1], name="y"))
    z = integral(bilinear(subscripts, y, y, (2,), (2,)), None, np.zeros(4), name="z")
    proof = prove(Circuit({"z": z}), 1, [2, flint.arb(3, 0.01)], digits=6)
    with mpmath.workdps(40):
        for b in (mpmath.mpf("2.9901"), mpmath.mpf("3.0099")):
            e, f = 1 - mpmath.exp(-1), (1 - mpmath.exp(-2)) / 2
            own = {v: v * v + 2 * v * (1 - v) * e + (1 - v) ** 2 * f for v in (2, b)}
            mixed = 2 * b + (2 * (1 - b) - b) * e - (1 - b) * f
            truth = [own[2], mixed, mixed, own[b]]
            assert all(
                abs(m - v) <= r + mpmath.mpf(10) ** -30 for m, v, r in zip(proof.mid, truth, proof.rad, strict=True)
            )


@pytest.mark.parametrize("bits", [36, 53, 200])
def test_matrices_in_doubles_are_near_whatever_the_working_precision(bits):
    numbers = np.array([Fraction(1, 3), Fraction(-5, 7), sympy.pi], dtype=object)
    with working_precision(bits):
        found = sums._doubles(numbers)
    assert np.allclose(found, [1 / 3, -5 / 7, np.pi], rtol=2.0**-50, atol=0)


@pytest.mark.parametrize("seed", range(4))
def test_states_that_only_others_drive_may_need_just_the_room_they_have(seed):
    """y' = M y where the first state, in a box, moves all others: exp(M) of the box's ends is in the balls."""
    rng, n = np.random.default_rng(seed), 40
    matrix = np.zeros((n, n))
    matrix[0, 0] = rng.choice([-0.5, -1.0, 0.0, 0.125])
    for i in range(1, n):
        matrix[i, 0 if rng.random() < 0.8 else i - 1] = rng.uniform(-1, 1)
    x, y = inputs("x", n), wire("y", n)
    y.define(integral(linear([(scipy.sparse.csr_matrix(matrix), y)]), None, Start("identity", x), name="y"))
    start = np.where(np.arange(n) == 0, 0.5, rng.choice([0.0, 0.25, 0.5], n))
    proof = prove(Circuit({"y": y}), 1, [flint.arb(0.5, 1e-3), *start[1:].tolist()], digits=2)
    assert proof.answer is Answer.PROVEN, str(proof)
    for end in (-0.999e-3, 0.999e-3):
        truth = scipy.linalg.expm(matrix) @ (start + end * (np.arange(n) == 0))
        assert all(abs(float(m) - v) <= float(r) + 1e-12 for m, v, r in zip(proof.mid, truth, proof.rad, strict=True))
