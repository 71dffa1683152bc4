"""The ball holds the truth and is narrow; the judge is a closed form, or mpmath at twice the digits."""

import itertools
from fractions import Fraction
from math import ceil

import flint
import mpmath
import numpy as np
import pytest
import scipy.sparse
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st
from problems import PROBLEMS, problem

import gpac
from compile import Network, Sigmoid, Tanh, dense, enclose_forward, homotopy, relaxation, sequential
from gpac import PIVP, Circuit, Phase, Schedule, bilinear, inputs, integral, linear, product, prove, reference, wire
from gpac import functions as fn
from gpac.verify import Answer, outcome, prover

Y, Z = sympy.symbols("y z")
FAST = [p for p in PROBLEMS if p.name != "Lorenz"]  # t = 20 is for the engines; here it runs to t = 3


def mp(digits: int):
    context = mpmath.mp.clone()
    context.dps = digits
    return context


def holds(proof, truth, digits: int) -> bool:
    """Whether every output is proven, narrow and within its radius of `truth` (which has its own tiny error)."""
    assert proof.answer is Answer.PROVEN, str(proof)
    narrow = all(r < mpmath.mpf(10) ** -digits for r in proof.rad)
    exact = mp(60 + 3 * digits)
    return narrow and all(
        abs(exact.mpf(m) - exact.mpf(v)) <= r for m, v, r in zip(proof.mid, truth, proof.rad, strict=True)
    )


def lorenz() -> PIVP:
    x, y, z = sympy.symbols("x y z")
    return PIVP({x: 10 * (y - x), y: x * (28 - z) - y, z: x * y - sympy.Rational(8, 3) * z}, {x: 1, y: 1, z: 1})


# -- closed forms --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("problem", FAST, ids=repr)
@pytest.mark.parametrize("digits", [3, 50])
def test_every_closed_form_lies_in_its_ball(problem, digits):
    assert holds(prove(problem.system, problem.t, digits=digits), problem.truth(3 * digits + 60), digits)


def test_thirty_turns_of_the_circle_do_not_widen_the_ball_by_wrapping():
    proof = prove(PIVP({Y: -Z, Z: Y}, {Y: 1, Z: 0}), 30, digits=30)
    assert holds(proof, [mp(120).cos(30), mp(120).sin(30)], 30)
    assert proof.bits < 30 * 3.33 + 32 + 64


def test_lorenz_to_three_agrees_with_the_reference():
    proof = prove(lorenz(), 3, digits=15)
    assert holds(proof, reference(lorenz(), 3, bits=110).outputs, 15)


def test_tan_just_before_its_pole():
    t = Fraction(15707, 10000)
    proof = prove(PIVP({Y: 1 + Y**2}, {Y: 0}), t, digits=20)
    assert holds(proof, [mp(120).tan(mp(120).mpf(15707) / 10000)], 20)


@pytest.mark.parametrize(
    ("t", "exact"),
    [
        (Fraction(1, 3), Fraction(1, 3)),
        (0.1, Fraction(0.1)),
        (Fraction(1, 10**400), Fraction(1, 10**400)),
        (Fraction(1, 2) - Fraction(1, 2**300), Fraction(1, 2) - Fraction(1, 2**300)),
    ],
)
def test_the_end_time_is_the_number_given(t, exact):
    proof = prove(PIVP({Y: 1}, {Y: 0}), t, digits=30)
    assert proof.contains(exact) and proof.digits >= 30
    growth = prove(PIVP({Y: Y}, {Y: 1}), t, digits=30)
    assert holds(growth, [mp(150).exp(mp(150).mpf(exact.numerator) / exact.denominator)], 30)


def test_the_end_time_may_be_a_symbolic_constant():
    assert prove(PIVP({Y: Z, Z: -Y}, {Y: 0, Z: 1}), sympy.pi, digits=40).contains([0, -1])


@pytest.mark.parametrize("number", [Fraction(1, 3), 0.1, sympy.sqrt(2), sympy.exp(-1), sympy.log(3) ** 2, 5])
def test_inputs_are_the_exact_numbers_given(number):
    x = inputs("x")
    circuit = Circuit({"y": fn.exp(product(gpac.time(), x))})
    proof = prove(circuit, 1, [number], digits=40)
    exact = mp(150)
    symbolic = sympy.Rational(number) if isinstance(number, float) else sympy.sympify(number)
    value = exact.mpf(str(sympy.N(symbolic, 140)))
    assert holds(proof, [exact.exp(value)], 40)


# -- sizes, stiffness, gaps, time ----------------------------------------------------------------------------


@pytest.mark.parametrize("start", [Fraction(1, 10**30), Fraction(-1, 10**30), Fraction(10**30), Fraction(1, 7)])
def test_decay_keeps_its_digits_at_every_scale(start):
    proof = prove(PIVP({Y: -Y}, {Y: start}), 1, digits=60)
    assert holds(proof, [mp(250).mpf(start.numerator) / start.denominator * mp(250).exp(-1)], 60)


@pytest.mark.parametrize("start", [Fraction(1, 10**30), Fraction(10**6), Fraction(1, 3)])
def test_quadratic_decay_keeps_its_digits_at_every_scale(start):
    proof = prove(PIVP({Y: -(Y**2)}, {Y: start}), 2, digits=50)
    assert proof.contains(1 / (1 / start + 2)) and proof.digits >= 50


def test_a_stiff_relaxation_shrinks_what_it_forgets():
    goal, z = [1.0, -0.5], wire("z", 2)
    z.define(integral(linear([(-1000, z)], 1000 * np.array(goal)), None, 0, name="z"))
    exact = mp(120)
    truth = [exact.mpf(g) * (1 - exact.exp(-1000)) for g in goal]
    proof = prove(Circuit({"z": z, "u": fn.tanh(z)}), 1, digits=15)
    assert holds(proof, [*truth, *map(exact.tanh, truth)], 15)


def test_a_forced_system_agrees_with_quadrature():
    t = gpac.time()
    proof = prove(Circuit({"y": integral(fn.sin(t**2) * fn.exp(-t / 10))}), 5, digits=20)
    exact = mp(60)
    truth = exact.quad(lambda s: exact.sin(s * s) * exact.exp(-s / 10), exact.linspace(0, 5, 11))
    assert holds(proof, [truth], 20)


def test_exp_of_a_high_power_steps_over_its_gaps():
    exact = mp(300)
    proof = prove(Circuit({"y": fn.exp(gpac.time() ** 20)}), Fraction(13, 10), digits=20)
    assert holds(proof, [exact.exp(exact.mpf("1.3") ** 20)], 20)


def test_an_integral_with_respect_to_a_product_of_integrators():
    t = gpac.time()
    y = wire("y")
    y.define(integral(y, product(fn.sin(t), fn.cos(t)), 1, name="y"))
    exact = mp(120)
    assert holds(prove(Circuit({"y": y}), 3, digits=30), [exact.exp(exact.sin(3) * exact.cos(3))], 30)


# -- vectors, matrices, bilinear units -----------------------------------------------------------------------

A = np.array([[0.0, 1.0, 0.0], [-2.0, -0.5, 0.25], [0.0, 0.125, -1.0]])


@pytest.mark.parametrize("matrix", [A, scipy.sparse.csr_matrix(A)], ids=["dense", "sparse"])
def test_linear_systems_match_the_matrix_exponential(matrix):
    y = wire("y", 3)
    y.define(integral(linear([(matrix, y)], [0, 0, 1]), None, [1, 0, Fraction(1, 3)], name="y"))
    exact = mp(100)
    block = exact.zeros(4)
    for i, j in np.ndindex(3, 3):
        block[i, j] = A[i, j]
    block[2, 3] = 1
    truth = exact.expm(2 * block) * exact.matrix([1, 0, exact.mpf(1) / 3, 1])
    assert holds(prove(Circuit({"y": y}), 2, digits=30), list(truth)[:3], 30)


@pytest.mark.parametrize("make", [np.asarray, scipy.sparse.csr_matrix], ids=["dense", "sparse"])
def test_neurons_that_share_a_layer_of_constants_each_read_their_own_row(make):
    x, z = inputs("x", 3), wire("z", 3)
    weights = np.array([[1.0, 2, 3], [4, 5, 6], [7, 8, 9]])
    z.define(integral(linear([(make(weights), x), (-1, z)]), None, 0, name="z"))
    values = [Fraction(1, 2), Fraction(1, 4), 1]
    truth = [mp(100).mpf(float(g)) * (1 - mp(100).exp(-1)) for g in weights @ [0.5, 0.25, 1]]
    assert holds(prove(Circuit({"z": z}), 1, values, digits=20), truth, 20)


def test_dense_rows_of_constants_may_be_symbolic():
    x, z = inputs("x", 2), wire("z", 2)
    z.define(integral(linear([([[1, sympy.pi], [sympy.sqrt(2), 0]], x), ([1, -1], z)]), None, 0, name="z"))
    exact = mp(100)
    truth = [(1 + 2 * exact.pi) * (exact.e - 1), exact.sqrt(2) * (1 - exact.exp(-1))]
    assert holds(prove(Circuit({"z": z}), 1, [1, 2], digits=20), truth, 20)


def test_a_bilinear_unit_whose_entries_run_apart():
    y = wire("y", 2)
    y.define(integral(bilinear("i,i->i", y, y, (2,), (2,)), None, [0.5, -0.25], name="y"))
    assert prove(Circuit({"y": y}), 1, digits=30).contains([1, Fraction(-1, 5)])


def test_a_bilinear_unit_with_a_constant_side():
    x, y = inputs("x", 4), wire("y", 2)
    y.define(integral(bilinear("ij,j->i", x, y, (2, 2), (2,)), None, [1, 0], name="y"))
    proof = prove(Circuit({"y": y}), 2, [0, -1, 1, 0], digits=30)
    assert holds(proof, [mp(100).cos(2), mp(100).sin(2)], 30)


def test_a_matrix_square_agrees_with_the_inverse():
    y = wire("Y", 9)
    y.define(integral(-bilinear("ij,jk->ik", y, y, (3, 3), (3, 3)), None, [2, 1, 0, 0, 1, 0, 1, 0, 3], name="Y"))
    start = sympy.Matrix(3, 3, [2, 1, 0, 0, 1, 0, 1, 0, 3])
    truth = (start.inv() + 2 * sympy.eye(3)).inv()
    proof = prove(Circuit({"Y": y}), 2, digits=30)
    assert proof.contains([Fraction(int(v.p), int(v.q)) for v in truth]) and proof.digits >= 30


def test_entries_that_nobody_reads_do_no_harm():
    both = linear([(np.array([[1.0], [2.0]]), gpac.time())])
    first = integral(linear([(scipy.sparse.csr_matrix([[1.0, 0.0]]), both)]), name="first")
    assert prove(Circuit({"first": first}), 1, digits=30).contains(Fraction(1, 2))


def test_start_values_may_be_functions_of_inputs():
    x = inputs("x", 2)
    moving = linear([(1, x), (np.ones((2, 1)), gpac.time())])
    proof = prove(Circuit({"y": fn.tanh(moving), "s": fn.sin(moving)}), 1, [Fraction(1, 3), -2], digits=30)
    exact = mp(100)
    at = [exact.mpf(4) / 3, exact.mpf(-1)]
    assert holds(proof, [*map(exact.tanh, at), *map(exact.sin, at)], 30)


# -- sets of inputs ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("radius", [1e-3, 1e-9])
def test_the_ball_of_a_box_holds_the_image_of_every_point(radius):
    """tan(t + arctan y0) maps intervals to intervals, so its ends give the narrowest ball possible."""
    proof = prove(PIVP({Y: 1 + Y**2}, {Y: 0}), 1, initial=[flint.arb(0.25, radius)], digits=3)
    exact = mp(50)
    images = [exact.tan(1 + exact.atan(exact.mpf(0.25) + s * exact.mpf(radius) / 4)) for s in range(-4, 5)]
    assert all(abs(v - proof.mid[0]) <= proof.rad[0] for v in images)
    assert proof.rad[0] <= 1.6 * (images[-1] - images[0]) / 2


def test_a_box_that_decays_becomes_narrow():
    proof = prove(PIVP({Y: -3 * Y}, {Y: 1}), 5, initial=[flint.arb(1, 0.01)], digits=2)
    exact = mp(50)
    assert all(abs(v * exact.exp(-15) - proof.mid[0]) <= proof.rad[0] for v in (exact.mpf(0.99) + 1e-17, 1, 1.0099))
    assert proof.rad[0] <= 1.01 * 0.01 * exact.exp(-15)


def test_a_box_of_rates_moves_every_solution():
    x, y = inputs("x", 2), wire("y", 2)
    y.define(integral(product(x, y) - product(y, product(y, y)), None, [0.5, 1], name="y"))
    box = [flint.arb(1, 1e-4), flint.arb(-1, 1e-4)]
    proof = prove(Circuit({"y": y}), 2, box, digits=3)
    for corner in [(1.0, -1.0), (1 + 9.9e-5, -1 - 9.9e-5), (1 - 9.9e-5, -1 + 9.9e-5), (1 + 5e-5, -1)]:
        truth = reference(Circuit({"y": y}), 2, list(corner), bits=120).outputs
        assert all(abs(v - m) <= r for v, m, r in zip(truth, proof.mid, proof.rad, strict=True))
    assert max(proof.rad) < 4e-4


@settings(max_examples=15, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**31))
def test_sampled_points_of_a_box_end_inside(seed):
    rng = np.random.default_rng(seed)
    equations = {Y: Y * Z - Y, Z: 1 - Y**2 - Z / 2}
    centre, radius = rng.uniform(-1, 1, 2), 10.0 ** rng.uniform(-8, -3)
    t = Fraction(int(rng.integers(1, 30)), 10)
    system = PIVP(equations, {Y: 0, Z: 0})
    proof = prove(system, t, initial=[flint.arb(c, radius) for c in centre], digits=2)
    assert proof.answer is Answer.PROVEN
    for _ in range(3):
        point = [float(c + 0.999 * radius * rng.choice([-1, 1, rng.uniform(-1, 1)])) for c in centre]
        truth = reference(system, t, initial=point, bits=120).outputs
        assert all(abs(v - m) <= r for v, m, r in zip(truth, proof.mid, proof.rad, strict=True))
    assert max(proof.rad) <= radius * mpmath.exp(4 * float(t))  # the Jacobian's row sums stay below 4 there


@pytest.mark.parametrize(("start", "far"), [(1, 0.0), (flint.arb(1, 1e-6), 0.999e-6)])
def test_parts_with_very_many_states_are_enclosed_too(start, far):
    """All entries feed on one hub, so that they form one part."""
    n, x, hub = 260, inputs("x"), wire("hub")
    hub.define(integral(-hub, None, 1, name="hub"))
    y = integral(linear([(np.arange(1.0, n + 1).reshape(-1, 1) / n, product(x, hub))]), None, 0, name="y")
    proof = prove(Circuit({"y": y}), 1, [start], digits=2, seconds=10)
    assert proof.answer is Answer.PROVEN, str(proof)
    for i in (0, 100, 259):
        for s in (-1, 1):
            value = (1 - mp(50).exp(-1)) * ((i + 1) / n) * (1 + s * far)
            assert abs(value - proof.mid[i]) <= proof.rad[i] < 1e-3


def test_a_box_far_narrower_than_asked_keeps_the_digits_asked():
    proof = prove(PIVP({Y: 50 * Y}, {Y: 1}), 2, initial=[flint.arb(1, flint.arb("1e-80"))], digits=15)
    assert holds(proof, [mp(200).exp(100)], 15)


# -- random systems ------------------------------------------------------------------------------------------

small = st.builds(Fraction, st.integers(-3, 3), st.integers(1, 4))


@st.composite
def systems(draw):
    dim = draw(st.integers(1, 4))
    symbols = sympy.symbols(f"a:{dim}")
    equations = {}
    for symbol in symbols:
        rate = sympy.Integer(0)
        for _ in range(draw(st.integers(1, 4))):
            factors = draw(st.lists(st.sampled_from(symbols), max_size=3))
            number = draw(small)
            rate += sympy.Rational(number.numerator, number.denominator) * sympy.Mul(*factors)
        equations[symbol] = rate
    start = {s: draw(small.filter(bool)) for s in symbols}
    return PIVP(equations, start), Fraction(draw(st.integers(1, 40)), 16)


@settings(max_examples=15, deadline=None, derandomize=True)
@given(case=systems(), digits=st.sampled_from([2, 12, 30]))
def test_random_systems_hold_the_reference_at_twice_the_digits(case, digits):
    system, t = case
    proof = prove(system, t, digits=digits, seconds=0.3, max_bits=400)
    if proof.answer is Answer.PROVEN:
        truth = reference(system, t, bits=max(ceil(6.65 * digits), proof.bits) + 60).outputs
        assert holds(proof, truth, digits)
    elif proof.answer is Answer.ENDS:
        assert 0 < proof.end[0] <= proof.end[1] < mpmath.mpf(t.numerator) / t.denominator
    else:
        assert proof.reason


@st.composite
def circuits(draw):
    """Feedback of a scalar and a pair through random units of every kind, vectors and scalars mixed."""
    s, y = wire("s"), wire("y", 2)
    x = inputs("x", 2)
    pool = [s, y, x, gpac.time()]
    vectors = lambda: draw(st.sampled_from([w for w in pool if w.size == 2]))  # noqa: E731
    anything = lambda: draw(st.sampled_from(pool))  # noqa: E731
    for _ in range(draw(st.integers(2, 6))):
        kind = draw(st.integers(0, 5))
        if kind == 0:
            pool.append(product(anything(), anything()))
        elif kind == 1:
            matrix = [[float(draw(small)) for _ in range(2)] for _ in range(2)]
            pool.append(linear([(matrix, vectors()), (draw(small), anything())], [draw(small), sympy.sqrt(2)]))
        elif kind == 2:
            matrix = scipy.sparse.csr_matrix([[0.0, float(draw(small))], [0.5, 0.0]])
            pool.append(linear([(matrix, vectors()), ([draw(small), 1], vectors())]))
        elif kind == 3:
            pool.append(bilinear("i,j->ij", vectors(), vectors(), (2,), (2,)))
            pool.append(linear([([[1, -1, 0, 0.5], [0, 0.25, 1, 0]], pool.pop())]))
        elif kind == 4:
            pool.append(bilinear("i,i->", vectors(), vectors(), (2,), (2,)))
        else:
            pool.append(fn.tanh(linear([(Fraction(1, 2), anything())])))
    moving = draw(st.sampled_from([gpac.time(), product(gpac.time(), gpac.time()), fn.sin(gpac.time())]))
    scalar = linear([([[0.5, -0.25]], vectors()), (-1, s)], Fraction(1, 3))
    s.define(integral(scalar, moving, draw(small), name="s"))
    vector = linear([(Fraction(1, 4), vectors()), (-1, y)])
    y.define(integral(vector, draw(st.sampled_from([gpac.time(), moving])), [draw(small), 1], name="y"))
    return Circuit({"s": s, "y": y, "last": pool[-1]}), Fraction(draw(st.integers(1, 12)), 10)


@settings(max_examples=15, deadline=None, derandomize=True)
@given(case=circuits(), digits=st.sampled_from([2, 15]), seed=st.integers(0, 2**31))
def test_random_circuits_hold_the_reference_and_the_images_of_boxes(case, digits, seed):
    circuit, t = case
    if "x" in circuit.inputs:
        rng = np.random.default_rng(seed)
        point, radius = rng.uniform(-1, 1, 2).tolist(), 1e-4
        given, box = {"x": point}, {"x": [flint.arb(p, radius) for p in point]}
        shifted = {"x": [p + radius * float(s) for p, s in zip(point, rng.uniform(-0.999, 0.999, 2), strict=True)]}
    else:
        given = box = shifted = {}
    proof = prove(circuit, t, given, digits=digits, seconds=1, max_bits=800)
    if proof.answer is Answer.PROVEN:
        assert holds(
            proof, reference(circuit, t, given, bits=max(ceil(6.65 * digits), proof.bits) + 40).outputs, digits
        )
    wide = prove(circuit, t, box, digits=1, seconds=1, max_bits=400)
    if wide.answer is Answer.PROVEN:
        truth = reference(circuit, t, shifted, bits=100).outputs
        assert all(abs(v - m) <= r for v, m, r in zip(truth, wide.mid, wide.rad, strict=True))


# -- networks ------------------------------------------------------------------------------------------------


def network(widths: list[int], activation, seed: int) -> tuple[Network, list[float]]:
    rng = np.random.default_rng(seed)
    layers = []
    for n, m in itertools.pairwise(widths):
        layers += [dense(rng.normal(size=(m, n)), rng.normal(size=m)), activation()]
    return Network(widths[0], layers[:-1]), rng.normal(size=widths[0]).tolist()


@pytest.mark.parametrize(("widths", "activation"), [([2, 3, 1], Tanh), ([3, 4, 4, 2], Sigmoid)])
@pytest.mark.parametrize("digits", [15, 40])
def test_three_programs_and_the_forward_pass_agree(widths, activation, digits):
    net, x = network(widths, activation, seed=7)
    forward = enclose_forward(net, x, digits)
    proofs = [forward, *(prove(scheme(net), inputs=x, digits=digits) for scheme in (homotopy, sequential, relaxation))]
    assert all(max(p.rad) < mpmath.mpf(10) ** -digits for p in proofs)
    for a in proofs:
        for b in proofs:
            assert all(p.overlaps(q) for p, q in zip(a.balls, b.balls, strict=True))


@pytest.mark.parametrize("t", [2, 7])
def test_a_relaxation_read_early_is_as_far_off_as_its_radius_says(t):
    net, x = network([2, 3, 3, 1], Tanh, seed=3)
    circuit = relaxation(net, rate=2)
    truth, early = enclose_forward(net, x, 30), reference(circuit, t, x, bits=120).outputs
    with flint.ctx.workprec(200):
        bound = circuit.program.limit.error({"x": x}, Fraction(t))
        far = max(abs(m - e) for m, e in zip(truth.mid, early, strict=True))
        assert far <= mpmath.mpf(float(bound.abs_lower())) <= 1e4 * far


# -- what cannot be proven -----------------------------------------------------------------------------------


@pytest.mark.parametrize("limits", [{"max_bits": 70}, {"seconds": 0.01}, {"max_steps": 1}])
def test_a_run_cut_short_says_that_nothing_is_proven(limits):
    proof = prove(lorenz(), 20, **limits)
    assert proof.answer is Answer.UNKNOWN and proof.reason and not proof.balls
    assert proof.reached < 20
    with pytest.raises(gpac.GpacError):
        proof.check()


def test_an_undefined_start_value_is_not_proven():
    x = inputs("x", signs="+")
    circuit = Circuit({"y": fn.log(linear([(1, x), (1, gpac.time())]))})
    try:
        proof = prove(circuit, 1, [-3], max_bits=300)
    except gpac.GpacError:
        return
    assert proof.answer is Answer.UNKNOWN


def test_a_limit_program_read_too_early_gives_up_soon():
    net, x = network([2, 3, 1], Tanh, seed=1)
    proof = prove(relaxation(net), t=3, inputs=x, digits=15, seconds=3)
    assert proof.answer is Answer.UNKNOWN and proof.bits < 1000


# -- exactness of what enters --------------------------------------------------------------------------------


def test_large_integers_beside_floats_stay_exact():
    y = wire("y", 2)
    y.define(integral(linear([(0, y)]), None, [2**53 + 1, 0.5], name="y"))
    assert prove(Circuit({"y": y}), 1, digits=5).contains([2**53 + 1, Fraction(1, 2)])


@pytest.mark.parametrize(
    "number",
    [
        sympy.zeta(3, sympy.Rational(1, 3)),
        sympy.gamma(sympy.Rational(1, 3)),
        sympy.Rational(2, 3) ** sympy.Rational(-5, 3),
        sympy.log(2) ** sympy.Rational(3, 2),
        sympy.pi**-3,
        sympy.sqrt(2) - sympy.sqrt(3) + sympy.E**sympy.pi,
        sympy.sech(1) ** 2,
    ],
    ids=str,
)
def test_symbolic_constants_are_enclosed_or_refused(number):
    try:
        proof = prove(PIVP({Y: 0}, {Y: 0}), 1, initial=[number], digits=30)
    except gpac.NumberError:
        return
    assert holds(proof, [mp(100).mpf(str(number.evalf(95)))], 30)


# -- schedules -----------------------------------------------------------------------------------------------


def test_a_schedule_that_ends_in_a_later_phase_counts_time_from_its_start():
    a = inputs("a")
    first = Circuit({"m": integral(product(a, a), name="m")})
    z, m = wire("z"), inputs("m")
    z.define(integral(product(m, 1 + product(z, z)), name="z"))
    proof = prove(Schedule((Phase(first, Fraction(1)), Phase(Circuit({"z": z}), Fraction(5)))), inputs=[1])
    assert proof.answer is Answer.ENDS
    low, high = proof.end
    assert low <= 1 + mp(60).pi / 2 <= high


def test_a_run_that_loses_bits_too_fast_stops_early_and_knows_how_many_more_it_needs(monkeypatch):
    """Lorenz loses some 1.3 bits per unit of time: the first run must not go to the end to find that out."""
    tries, run = [], prover.attempt

    def attempt(*asked):
        ended, last = run(*asked)
        tries.append((ended, float(last), asked[-1]))
        return ended, last

    monkeypatch.setattr(prover, "attempt", attempt)
    lorenz = problem("Lorenz").system
    proof = gpac.prove(lorenz, t=24, digits=15)
    (first, stopped, bits), (last, end, more) = tries[:2]
    assert first.missing > 0 and stopped < 8 and bits < 90
    assert isinstance(last, outcome.Reached) and end == 24 and more < 120
    assert proof.digits >= 15 and proof.contains(gpac.prove(lorenz, t=24, digits=30).mid)
