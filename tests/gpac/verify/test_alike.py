"""Parts that are one system under clocks of different speed: closed forms, the same without common runs, steps."""

import itertools
from fractions import Fraction

import flint
import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compile import Network, Sigmoid, Tanh, dense, enclose_forward, sequential
from gpac import Circuit, constant, inputs, integral, linear, product, prove, time, wire
from gpac.precision import working_precision
from gpac.verify import Answer, enclose
from gpac.verify.alike import Orbit, families
from gpac.verify.balls import BallSeries, groups
from gpac.verify.invariants import Watch
from gpac.verify.order import best_order
from gpac.verify.outcome import Limits

RATES = st.lists(st.floats(-30, 30) | st.sampled_from([0.0, 1e-12, -1e-300, 1.0, 1.0]), min_size=4, max_size=9)


def driven(size, start, slope, offset):
    """y' = a (offset + c + slope y) for inputs a and c, one each."""
    a, c, y = inputs("a", size), inputs("c", size), wire("y", size)
    rate = linear([(slope, y), (1, c)], offset)
    y.define(integral(rate, product(time(), a), start, name="y"))
    return Circuit({"y": y})


def squared(size, sign):
    """y' = a (1 + sign y**2) from 0: tan or tanh."""
    a, y = inputs("a", size), wire("y", size)
    rate = linear([(sign, product(y, y))], [1] * size)
    y.define(integral(rate, product(time(), a), 0, name="y"))
    return Circuit({"y": y})


def exactly(function, rates, *others):
    with mpmath.workdps(60):
        return [
            function(mpmath.mpf(a), *(mpmath.mpf(x) for x in more)) for a, *more in zip(rates, *others, strict=True)
        ]


def alone(monkeypatch, *arguments, **named):
    """The proof without common runs."""
    with monkeypatch.context() as patched:
        patched.setattr(enclose, "families", lambda *_: [])
        return prove(*arguments, **named)


@settings(deadline=None, max_examples=30)
@given(rates=RATES)
def test_neurons_of_any_speed_are_enclosed(rates):
    proof = prove(squared(len(rates), -1), 1, rates, digits=25)
    assert proof.contains(exactly(mpmath.tanh, rates)) and proof.digits >= 25


@pytest.mark.parametrize("different", ["start", "slope", "offset", "c", "nothing"])
def test_parts_with_their_own_numbers_are_kept_apart(different):
    size = 12
    numbers = {"start": [1.0] * size, "slope": [0.5] * size, "offset": [0.25] * size, "c": [-1.0] * size}
    if different in numbers:
        numbers[different] = [2.0, -0.5, 1.5] * (size // 3)
    rates = np.linspace(0.25, 3, size)
    start, slope, offset, c = numbers.values()
    system = driven(size, start, np.array(slope), offset)
    proof = prove(system, 1, {"a": rates, "c": c}, digits=20)

    def end(a, y, m, b, c):
        return (y + (b + c) / m) * mpmath.exp(a * m) - (b + c) / m

    assert proof.contains(exactly(end, rates, *numbers.values()))
    with working_precision(100):
        series = BallSeries(system, {"a": list(map(flint.arb, rates)), "c": list(map(flint.arb, c))})
        found = families(series, groups(series), series.start())
        assert len(found) == (1 if different == "nothing" else 3)


def test_clocks_that_start_elsewhere_are_kept_apart():
    """y' = (a t + b) dy-like: y = ∫ q dq with q = a t + b is (q(1)**2 - b**2) / 2, whatever moves with it."""
    rates, starts = [1.0, 2.0, 3.0, 4.0, 5.0], [0.0, 1.0, 0.0, 0.5, 0.0]
    a = inputs("a", 5)
    q = linear([(1, product(time(), a))], starts)
    proof = prove(Circuit({"y": integral(q, q, 0, name="y")}), 1, rates, digits=20)
    assert proof.contains([((r + b) ** 2 - b**2) / 2 for r, b in zip(rates, starts, strict=True)])


def test_parts_with_two_clocks_are_kept_apart():
    """y = ∫ (t - y) d(a t) reads t beside a t: y' = a (t - y) from 0 ends at 1 - (1 - exp(-a)) / a."""
    rates = [0.5, 1.0, 2.0, 3.0, 4.0]
    a, y = inputs("a", 5), wire("y", 5)
    rate = linear([(-1, y), (np.ones((5, 1)), time())])
    y.define(integral(rate, product(time(), a), 0, name="y"))
    t = product(time(), constant([1.0] * 5))
    z = wire("z", 5)
    z.define(integral(linear([(-1, z), (1, t)]), product(time(), a), 0, name="z"))
    right = exactly(lambda a: 1 - (1 - mpmath.exp(-a)) / a, rates)
    assert prove(Circuit({"y": y}), 1, rates, digits=20).contains(right)
    assert prove(Circuit({"z": z}), 1, rates, digits=20).contains(right)


def test_a_family_takes_the_steps_of_its_fastest_part(monkeypatch):
    rates = np.linspace(0.1, 3, 40)
    system = squared(40, -1)
    together, fastest = prove(system, 1, rates, digits=30), prove(squared(1, -1), 1, rates[-1:], digits=30)
    assert fastest.steps <= together.steps <= fastest.steps + 1
    separate = alone(monkeypatch, system, 1, rates, digits=30)
    assert separate.steps > 15 * together.steps
    for x, y, r, s in zip(together.mid, separate.mid, together.rad, separate.rad, strict=True):
        assert abs(x - y) <= r + s


def test_no_family_goes_beyond_a_pole(monkeypatch):
    """tan(a t) ends at pi / (2 a), which for the fastest part is before t = 1; the others would have got there."""
    rates = [0.5, 1.0, 1.25, 1.5, 3.0]
    for proof in (prove(squared(5, 1), 1, rates, digits=12), alone(monkeypatch, squared(5, 1), 1, rates, digits=12)):
        assert proof.answer is Answer.ENDS
        with mpmath.workdps(40):
            assert proof.end[0] <= mpmath.pi / 6 <= proof.end[1]
    for system, a in ((squared(5, 1), rates), (squared(4, 1), rates[:4])):
        t = Fraction(1, 2) if len(a) == 5 else 1
        assert prove(system, t, a, digits=20).contains(exactly(lambda x, t=t: mpmath.tan(x * t), a))


@pytest.mark.parametrize("radius", [1e-25, 1e-6, 1e-2])
def test_uncertain_clocks_make_states_uncertain_to_first_order(radius):
    """Numbers that come from an earlier phase are balls; two of these clocks may stand still or run back."""
    rates = [0.25, 0.5, 1.0, 2.0, -1.0, -2.0, -0.5, -0.125, 0.0, 1e-30]
    system = squared(len(rates), -1)
    with working_precision(120):
        series = BallSeries(system, {"a": [flint.arb(a, radius) for a in rates]})
        found = families(series, groups(series), series.start())
        assert [len(family.parts) for family in found] == [4, 4]
        for family in found:
            orbit = Orbit(series, family)
            orbit.run(series.start(), 1, best_order(120), Limits(), Watch(series, {}))
            assert sorted(orbit.reached) == [0, 1, 2, 3]
            for reached in orbit.reached.values():
                for (_, i), ball in reached.items():
                    a = flint.arb(rates[i])
                    ends = [(a + s * radius * flint.arb(0.999)).tanh() for s in (-1, 1)]
                    assert all(ball.contains(end) for end in ends)
                    steepest = 1 / (abs(a) - radius).cosh() ** 2
                    assert ball.rad() < (1 + 4 * radius) * radius * steepest + flint.arb(2) ** -100


def test_a_clock_known_too_little_is_left_to_a_run_of_its_own():
    """Its times span several steps, in none of which the states can be read."""
    system = squared(5, -1)
    with working_precision(60):
        series = BallSeries(system, {"a": [flint.arb(a) for a in (1, 2, 3, 4)] + [flint.arb(2, 1.5)]})
        (family,) = families(series, groups(series), series.start())
        orbit = Orbit(series, family)
        orbit.run(series.start(), 1, best_order(60), Limits(), Watch(series, {}))
    assert sorted(orbit.reached) == [0, 1, 2, 3]


@pytest.mark.parametrize("activation", [Tanh(), Sigmoid()])
@pytest.mark.parametrize("digits", [20, 110])
def test_layers_of_neurons_are_enclosed_in_few_steps(activation, digits):
    rng = np.random.default_rng(7)
    sizes = [6, 40, 40, 3]
    layers = [dense(rng.normal(size=(n, m)), rng.normal(size=n)) for m, n in itertools.pairwise(sizes)]
    network = Network(6, [layers[0], activation, layers[1], activation, layers[2]])
    for x in rng.normal(size=(3, 6)):
        proof = prove(sequential(network), inputs=x, digits=digits)
        assert proof.digits >= digits
        assert proof.contains(enclose_forward(network, x, digits=2 * digits).mid)
        assert proof.steps < 500
