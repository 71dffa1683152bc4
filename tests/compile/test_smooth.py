"""Smooth stand-ins for functions with kinks: how far they are, proven and seen, alone and through networks."""

from fractions import Fraction

import flint
import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from judge import judge

import gpac
from compile import (
    Activation,
    Multiply,
    Network,
    Node,
    Softmax,
    dense,
    distance,
    enclose_forward,
    forward,
    homotopy,
    load,
    relaxation,
    save,
    sequential,
)
from compile.activations import RULES, Smooth
from compile.activations.kinked import width_at
from compile.activations.maximum import tournament
from compile.groups import Groups
from compile.operations import Maximum
from compile.schemes.conditioning import predicted_digits_lost
from compile.slopes import slope_over
from gpac import CircuitError, NumberError, ShapeError
from gpac.invariants import prove_invariants
from gpac.verify import checker

mp = mpmath.mp
THOUSANDTH = Fraction(1, 1000)
ORIGINAL = {
    "relu": lambda x: max(x, mp.zero),
    "abs": abs,
    "clip": lambda x, low, high: min(max(x, low), high),
    "hardswish": lambda x: x * min(max(x + 3, mp.zero), mp.mpf(6)) / 6,
    "elu": lambda x, factor, a, b: factor * (x if x > 0 else a * mpmath.expm1(b * x)),
}
CASES = [
    ("relu", ()),
    ("abs", ()),
    ("clip", (-1, 2)),
    ("clip", (0, 6)),
    ("clip", (Fraction(-1, 3), Fraction(1, 7))),
    ("hardswish", ()),
    ("elu", (1, 1, 1)),
    ("elu", (Fraction(21, 20), Fraction(5, 3), 1)),
    ("elu", (2, Fraction(1, 2), 4)),
    ("elu", (1, Fraction(-1, 2), 1)),
]


def activation(name, numbers=(), delta=THOUSANDTH):
    return Activation(name, Smooth(delta, numbers))


def values(operation, points, digits=50):
    """The stand-in in balls of these digits."""
    return enclose_forward(Network(len(points), [operation]), points, digits=digits).mid


@pytest.mark.parametrize("delta", [Fraction(1, 2), THOUSANDTH, Fraction(1, 10**20)])
@pytest.mark.parametrize(("name", "numbers"), CASES)
def test_a_stand_in_is_within_delta_everywhere_and_reaches_most_of_it(name, numbers, delta):
    kinks = {0, 3, -3, *(Fraction(v) for v in numbers)}
    steps = [Fraction(k, 4) for k in range(-80, 81)] + [10**6, -(10**6)]
    near = [sign * delta * Fraction(2) ** k for k in range(-6, 7) for sign in (1, -1)]
    points = sorted({*steps, *kinks, *(k + d for k in kinks for d in near)})
    found = values(activation(name, numbers, delta), points)
    rule = RULES[name].kinks
    with mpmath.workdps(50):
        exact = [mp.mpf(Fraction(v).numerator) / Fraction(v).denominator for v in numbers]
        gaps = []
        for x, y in zip(points, found, strict=True):
            x = Fraction(x)
            gaps.append(y - ORIGINAL[name](mp.mpf(x.numerator) / x.denominator, *exact))
            with flint.ctx.workprec(200):
                enclosed = rule.gap(flint.arb(flint.fmpq(x.numerator, x.denominator)), Smooth(delta, numbers))
            assert abs(gaps[-1] - mp.mpf(enclosed.mid().str(45, radius=False))) < mp.mpf(10) ** -40
        allowed = mp.mpf(delta.numerator) / delta.denominator
        worst = max(map(abs, gaps))
        assert worst <= allowed * (1 + mp.mpf(10) ** -18)
        assert worst >= allowed / 4
        if name in ("relu", "abs"):
            assert abs(max(gaps) - allowed) < mp.mpf(10) ** -45  # at the kink
            assert min(gaps) >= 0


def test_golden_values():
    (zero,) = values(activation("relu", delta=Fraction(1, 2000)), [0])  # the square root form of width 1/1000
    assert abs(zero - mp.mpf("5.0e-4")) < 1e-18
    (one,) = values(Activation("relu", Smooth(0)), [Fraction(-1, 3)])
    assert one == 0


@given(st.fractions(-100, 100), st.fractions(Fraction(1, 10**9), 10))
def test_widths_away_from_zero_have_rational_roots(kink, allowed):
    width, root = width_at(kink, allowed)
    assert 0 < width <= allowed
    assert root**2 == kink**2 + width**2
    assert width >= allowed / 2


@given(st.lists(st.integers(0, 4), min_size=2, max_size=14), st.integers(0, 2**32 - 1))
def test_a_maximum_is_at_most_delta_too_large(raw, seed):
    _, labels = np.unique(raw, return_inverse=True)
    groups = Groups(labels)
    if not tournament(groups).rounds:
        with pytest.raises(ShapeError, match="at least two entries"):
            Maximum(groups, THOUSANDTH)
        return
    x = np.random.default_rng(seed).normal(size=(5, groups.size)) * [[1e-4], [1e-3], [1.0], [0.0], [100.0]]
    largest = groups.largest(x)
    more = Maximum(groups, THOUSANDTH).arrays(x) - largest
    assert (more >= -1e-13).all() and (more <= 1e-3 + 1e-13).all()  # roundings of numbers up to 300
    assert np.array_equal(Maximum(groups, 0).arrays(x), largest)
    network = Network(groups.size, [Maximum(groups, THOUSANDTH)])
    for row, exact in ((x[1], largest[1]), (x[2], largest[2])):
        middle = np.array([float(m) for m in distance(network, row).mid])
        assert np.abs(middle - (forward(network, row) - exact)).max() < 1e-15


# -- through networks --------------------------------------------------------------------------------------------


def kinked_network(seed, delta, width=5, layers=4):
    """Random layers with every kind of operation between them."""
    rng = np.random.default_rng(seed)
    names = [*CASES, ("max", ()), ("tanh", ()), ("gelu", ()), ("softmax", ()), ("gate", ()), ("log_softmax", ())]
    nodes, last = [], 0
    size = width
    for _ in range(layers):
        nodes.append(Node(dense(rng.normal(size=(width, size)) / np.sqrt(size), rng.normal(size=width)), (last,)))
        last, size = len(nodes), width
        name, numbers = names[rng.integers(len(names))]
        if name == "max":
            nodes.append(Node(Maximum(Groups(np.array([0, 1, 0, 1, 0])), delta), (last,)))
            size = 2
        elif name.endswith("softmax"):
            nodes.append(Node(Softmax(Groups(np.array([0, 1, 0, 1, 0])), name), (last,)))
        elif name == "gate":
            nodes += [Node(Activation("sigmoid"), (last,)), Node(activation("relu", delta=delta), (last,))]
            nodes.append(Node(Multiply(), (last + 1, last + 2)))
        elif name in ("tanh", "gelu"):
            nodes.append(Node(Activation(name), (last,)))
        else:
            nodes.append(Node(activation(name, numbers, delta), (last,)))
        last = len(nodes)
    nodes.append(Node(dense(rng.normal(size=(2, size))), (last,)))
    return Network(width, nodes, f"random {seed}")


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([Fraction(1, 2), Fraction(1, 100), Fraction(1, 10**6)]))
def test_no_output_is_further_off_than_the_distance(seed, delta):
    network = kinked_network(seed, delta)
    rng = np.random.default_rng(seed + 1)
    x = rng.normal(size=(200, network.size))
    seen = forward(network, x) - forward(network.original, x)
    everywhere = float(network.distance())
    noise = 1e-13 * max(1.0, np.abs(forward(network, x)).max())
    assert np.abs(seen).max() <= everywhere + noise
    for row, more in zip(x[:5], seen[:5], strict=True):
        for ball, value in zip(distance(network, row).balls, more, strict=True):
            assert float(ball.lower()) - noise <= value <= float(ball.upper()) + noise
    centre, radius = x[5], 0.125
    box = [flint.arb(v, radius) for v in centre]
    inside = centre + rng.uniform(-radius, radius, (200, network.size))
    off = forward(network, inside) - forward(network.original, inside)
    for ball, column in zip(distance(network, box).balls, off.T, strict=True):
        if ball.is_finite():
            assert float(ball.lower()) - noise <= column.min() and column.max() <= float(ball.upper()) + noise


def relus(delta, seed=0, width=8, depth=3):
    rng = np.random.default_rng(seed)
    layers, size = [], 3
    for _ in range(depth):
        layers += [dense(rng.normal(size=(width, size)) / np.sqrt(size), rng.normal(size=width) / 2)]
        layers += [activation("relu", delta=delta)]
        size = width
    return Network(3, [*layers, dense(rng.normal(size=(2, width)))])


def test_the_bound_for_all_inputs_is_within_a_hundred_times_the_worst_of_ten_thousand_and_falls_with_delta():
    x = np.random.default_rng(1).uniform(-1, 1, (10_000, 3))
    bounds = []
    for delta in (Fraction(1, 10), THOUSANDTH, Fraction(1, 10**5)):
        network = relus(delta)
        seen = np.abs(forward(network, x) - forward(network.original, x)).max()
        bounds.append(float(network.distance()))
        assert seen <= bounds[-1] <= 100 * seen
    assert bounds[0] / bounds[1] == pytest.approx(100, rel=1e-6)
    assert bounds[1] / bounds[2] == pytest.approx(100, rel=1e-6)
    # a single input off the kinks: second order in delta, and the bound is the distance itself
    wide, near = (relus(d).distance(x[0]) for d in (THOUSANDTH, Fraction(1, 10**5)))
    assert wide / near > 1000


def test_the_bound_of_a_chain_is_at_most_the_sum_of_products_of_norms():
    network = relus(THOUSANDTH)
    norms = [np.abs(la.weight).sum(axis=1).max() for la in network.layers[::2]]
    total = sum(np.prod(norms[k:]) for k in range(1, len(norms)))  # hidden layers, THEORY 2.3
    assert float(network.distance()) <= 1e-3 * total * (1 + 1e-6)


def test_products_of_unbounded_values_have_a_distance_at_each_input_alone():
    nodes = [Node(activation("relu"), (0,)), Node(Multiply(), (0, 1))]
    network = Network(2, nodes)
    assert network.distance() == mpmath.inf
    assert 0 < network.distance([1.0, -2.0]) < 1e-3
    program = homotopy(network).program
    assert (program.claim, program.delta) == ("within", None)
    assert "depends on the input" in gpac.describe(homotopy(network)).sentences()["output"]


@pytest.mark.parametrize("name", sorted(RULES))
def test_slopes_are_between_those_of_all_secants(name):
    rule = RULES[name]
    parameter = {"none": None, "exponent": 3, "offset": 0.5, "factor": 2.5}.get(rule.parameter)
    if rule.kinks is not None:
        parameter = Smooth(0, {"clip": (-1, 2), "elu": (2, Fraction(1, 2), 3)}.get(name, ()))
    for low, high in ((0.1, 0.1001), (0.5, 1.5), (2.75, 3.5), (0.0, 40.0), (-2.0, 1.0), (-3.5, -1.5)):
        if rule.nonnegative and low < 0:
            continue
        z = flint.arb(low).union(flint.arb(high))
        found = slope_over(rule, parameter, z)
        x = np.linspace(low, high, 2001)
        y = rule.arrays(x, parameter)
        secants = np.diff(y) / np.diff(x)
        noise = 1e-12 * (1 + np.abs(y).max()) / (x[1] - x[0])
        if found.is_finite():
            assert float(found.lower()) - noise <= secants.min() and secants.max() <= float(found.upper()) + noise


@pytest.mark.parametrize(
    "ball", [flint.arb.nan(), flint.arb(0, float("inf")), flint.arb(float("inf")), flint.arb(0, 1e300)]
)
@pytest.mark.parametrize(("name", "numbers"), CASES)
def test_balls_without_end_claim_nothing_narrower_than_what_holds(name, numbers, ball):
    kinks, parameter = RULES[name].kinks, Smooth(THOUSANDTH, numbers)
    gap = kinks.gap(ball, parameter)
    at_zero = kinks.gap(flint.arb(0), parameter)
    if not ball > 0:
        assert gap.contains(at_zero)
    assert not (ball.is_nan() and gap.rad() < 5e-4)
    found = RULES[name].ball(ball, parameter)
    assert not found.is_finite() or found.contains(RULES[name].ball(flint.arb(2), parameter)) or ball > 0


# -- as programs -------------------------------------------------------------------------------------------------


def mixture(delta):
    rng = np.random.default_rng(3)
    layers = [dense(rng.normal(size=(6, 3)), rng.normal(size=6)), activation("relu", delta=delta)]
    layers += [dense(rng.normal(size=(7, 6))), Maximum(Groups(np.array([0, 0, 1, 1, 1, 2, 2])), delta)]
    layers += [dense(rng.normal(size=(4, 3))), activation("clip", (-1, 1), delta), Activation("tanh")]
    layers += [dense(rng.normal(size=(3, 4))), activation("elu", (1, 1, 1), delta), dense(rng.normal(size=(2, 3)))]
    return Network(3, layers, "mixture")


def test_every_scheme_computes_the_smooth_network():
    network = mixture(Fraction(1, 20))
    x = np.random.default_rng(4).normal(size=(3, 3))
    judge(network, lambda row: [float(m) for m in enclose_forward(network, row, digits=18).mid], x)
    for scheme in (homotopy, sequential, relaxation):
        prove_invariants(scheme(network))


@pytest.mark.parametrize("scheme", [homotopy, sequential, relaxation])
def test_a_proof_speaks_of_both_networks(scheme):
    network = relus(Fraction(1, 50), width=4, depth=2)
    x = [Fraction(1, 3), Fraction(-1, 2), Fraction(2, 5)]
    program = scheme(network)
    proof = gpac.prove(program, inputs=x, digits=10)
    smooth, itself = enclose_forward(network, x, digits=30), enclose_forward(network.original, x, digits=30)
    assert proof.contains(smooth.mid) and not proof.contains(itself.mid)
    assert all(ball.contains(m) for ball, m in zip(proof.original, itself.balls, strict=True))
    assert "for the function itself" in str(proof)
    claim = "limit" if scheme is relaxation else "within"
    assert program.program.claim == claim
    assert float(program.program.delta) == pytest.approx(float(network.distance()), rel=1e-8)
    plain = gpac.prove(scheme(Network(1, [Activation("tanh")])), inputs=[1], digits=10)
    assert plain.original is plain.balls


def test_a_certificate_is_about_the_smooth_network(tmp_path):
    network = Network(1, [dense([[1.0]]), activation("relu", delta=Fraction(1, 4)), dense([[2.0]])])
    proof = gpac.prove(homotopy(network), inputs=[Fraction(1, 3)], digits=6)
    proof.certificate(tmp_path / "relu.json")
    assert checker.main([str(tmp_path / "relu.json")]) == 0
    smooth = Fraction(1, 3) + mpmath.sqrt(mp.mpf(1) / 9 + mp.mpf(1) / 4)  # z + sqrt(z^2 + 1/4)
    assert abs(proof.mid[0] - smooth) < 1e-6 and proof.original[0].contains(flint.arb(2) / 3)


def test_a_proof_of_a_box_encloses_the_images_under_both_networks():
    network = relus(Fraction(1, 10), width=3, depth=1)
    box = [flint.arb(v, 2.0**-12) for v in (0.5, -0.25, 0.125)]
    proof = gpac.prove(sequential(network), inputs=box, digits=3).check()
    points = np.array([0.5, -0.25, 0.125]) + np.random.default_rng(0).uniform(-1, 1, (50, 3)) * 2.0**-12
    for ball, column in zip(proof.original, forward(network.original, points).T, strict=True):
        assert float(ball.lower()) <= column.min() and column.max() <= float(ball.upper())


def test_parts_that_do_not_read_every_operand_are_proven():
    """An entry that waits a round of the tournament is joined to others by rows without its entries."""
    network = Network(3, [Maximum(Groups(np.array([0, 0, 0])), Fraction(1, 10)), dense([[1.0]])])
    proof = gpac.prove(sequential(network), inputs=[1, 2, Fraction(1, 2)], digits=12)
    assert proof.contains(enclose_forward(network, [1, 2, Fraction(1, 2)], digits=20).mid)
    rng = np.random.default_rng(0)
    two = [Node(dense(rng.normal(size=(2, 2))), (0,)), Node(Activation("tanh"), (1,)), Node(Activation("sin"), (1,))]
    from compile import Affine
    from compile.build import placement

    places = [placement(rows, np.arange(2), (4, 2)) for rows in (np.arange(2), np.arange(2, 4))]
    side_by_side = Network(2, [*two, Node(Affine(tuple(places), np.zeros(1)), (2, 3)), Node(Activation("tanh"), (4,))])
    for scheme in (homotopy, sequential):
        proof = gpac.prove(scheme(side_by_side), inputs=[1, 2], digits=12)
        assert proof.contains(enclose_forward(side_by_side, [1, 2], digits=20).mid)


def test_kinks_of_every_kind_are_read_back_from_json(tmp_path):
    network = mixture(THOUSANDTH)
    save(network, tmp_path / "net.json")
    back = load(tmp_path / "net.json")
    assert [str(n) for n in back.nodes] == [str(n) for n in network.nodes]
    x = np.random.default_rng(0).normal(size=(5, 3))
    assert np.array_equal(forward(back, x), forward(network, x))
    assert back.distance() == network.distance()


# -- what is refused ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", [homotopy, sequential, relaxation])
def test_no_scheme_takes_a_network_with_its_kinks(scheme):
    for operation in (Activation("relu", Smooth(0)), Maximum(Groups(np.array([0, 0])), 0)):
        with pytest.raises(CircuitError, match=r"layer 1 of 'n'.*is not analytic.*give smooth=delta"):
            scheme(Network(2, [operation], "n"))


@pytest.mark.parametrize("delta", [-1, float("nan"), float("inf"), "ten", None, 1j])
def test_a_delta_that_is_no_distance_is_refused(delta):
    with pytest.raises(NumberError):
        Smooth(delta)


def test_numbers_that_fit_no_function_are_refused():
    with pytest.raises(NumberError, match="a lower and a larger upper end for 'clip'"):
        activation("clip", (1, 1))
    with pytest.raises(NumberError, match="a positive b for 'elu'"):
        activation("elu", (1, 1, -1))
    with pytest.raises(NumberError, match="no numbers besides delta for 'relu', got 1"):
        activation("relu", (1,))
    with pytest.raises(ShapeError, match="'relu' is not analytic"):
        Activation("relu", 2)
    with pytest.raises(ShapeError, match="expected one input of 3 numbers"):
        distance(relus(THOUSANDTH), [1.0])


def test_where_nothing_is_known_the_bound_is_infinite_not_missing():
    """exp of an unbounded argument: no bound for all inputs, one at each."""
    layers = [dense([[1.0], [0.0]]), activation("relu"), Activation("exp"), dense([[1.0, 0.0], [0.0, 1.0]])]
    network = Network(1, layers)
    assert network.distance() == mpmath.inf
    assert 0 < network.distance([2.0]) < 1.001e-3  # the entry without weights is off by exp(delta) - 1
    assert network.distance([flint.arb.nan()]) == mpmath.inf
    assert homotopy(network).program.delta is None


@pytest.mark.parametrize("scheme", ["homotopy", "sequential", "relaxation"])
def test_few_digits_are_predicted_to_be_lost(scheme):
    lost = predicted_digits_lost(mixture(Fraction(1, 20)), np.array([[0.3, -0.5, 0.2]]), scheme)
    assert 0 < lost < 3
