"""Three schemes, one truth: the network's plain evaluation. And what each scheme says of itself."""

from fractions import Fraction

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

import gpac
from compile import (
    Network,
    Sigmoid,
    Tanh,
    clocked,
    dense,
    enclose_forward,
    forward,
    homotopy,
    relaxation,
    scale,
    sequential,
)
from gpac import NumberError


def layers_of(kinds: str, seed: int = 0, size: int = 3, gain: float = 1.0) -> Network:
    """A network from a word: d dense, t tanh, s sigmoid, f factors that are fractions, o one factor."""
    rng = np.random.default_rng(seed)
    width, layers = size, []
    for kind in kinds:
        if kind == "d":
            new = int(rng.integers(2, 6))
            layers.append(dense(gain * rng.normal(size=(new, width)) / np.sqrt(width), rng.normal(size=new)))
            width = new
        elif kind == "f":
            factors = [Fraction(int(rng.integers(-9, 10)), 7) for _ in range(width)]
            layers.append(scale(factors, [Fraction(1, 3)] * width))
        elif kind == "o":
            layers.append(scale(Fraction(1, 3), 0.25))
        else:
            layers.append({"t": Tanh(), "s": Sigmoid()}[kind])
    return Network(size, layers, kinds)


KINDS = ["dtd", "dsd", "dtdsdtd", "ddtdd", "fdtodt", "dofdsfd", "dt", "ds", "t", "st", "ts", "dtsd", "d", "fod", ""]
SCHEMES = {"homotopy": homotopy, "sequential": sequential, "relaxation": relaxation}


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("kinds", KINDS)
def test_every_scheme_computes_the_network(kinds, scheme):
    network = layers_of(kinds, seed=len(kinds))
    x = np.random.default_rng(9).normal(size=(6, 3))
    solution = gpac.solve(SCHEMES[scheme](network), inputs=x, tol=1e-12).check()
    # 1e-12 per step, and weights of order 1 pass errors on; for the limit 1e-12 more
    assert_allclose(solution.outputs, forward(network, x), rtol=0, atol=3e-11)


@settings(max_examples=15, deadline=None)
@given(
    kinds=st.text("dtsfo", max_size=6),
    seed=st.integers(0, 2**32 - 1),
    scale=st.sampled_from([1e-3, 1.0, 5.0]),
)
def test_random_words_of_layers(kinds, seed, scale):
    network = layers_of(kinds, seed, size=2)
    x = scale * np.random.default_rng(seed).normal(size=(3, 2))
    truth = forward(network, x)
    for scheme in SCHEMES.values():
        got = gpac.solve(scheme(network), inputs=x, tol=1e-11).check().outputs
        assert_allclose(got, truth, rtol=1e-9, atol=1e-9)  # up to six layers, each may pass errors on tenfold


@pytest.mark.parametrize("scheme", SCHEMES)
def test_many_digits_agree_with_balls_of_the_network(scheme):
    """Not just to float64: 40 digits, and thirds are thirds."""
    network = layers_of("fdtods", seed=3, size=2)
    x = [Fraction(1, 3), Fraction(-2, 7)]
    end = 150 if scheme == "relaxation" else None
    run = gpac.reference(SCHEMES[scheme](network), end, inputs=x, bits=160)
    exact = enclose_forward(network, x, digits=45)
    with mpmath.workdps(50):
        assert max(abs(a - mpmath.mpf(b)) for a, b in zip(run.outputs, exact.mid, strict=True)) < mpmath.mpf(10) ** -40


def test_a_saturated_network_is_computed_to_tolerance():
    """Arguments up to some 100: slopes of 1e-80 on the way."""
    network = layers_of("dtdtd", seed=4, gain=20.0)
    x = np.random.default_rng(1).normal(size=(5, 3))
    for scheme in (sequential, relaxation):  # the homotopy's own conditioning is worse: it passes through zero
        got = gpac.solve(scheme(network), inputs=x, tol=1e-12).check().outputs
        # one weight of 20 after another multiplies errors of 1e-12 a step
        assert_allclose(got, forward(network, x), rtol=0, atol=1e-8)


# -- the homotopy --------------------------------------------------------------------------------------------


def test_the_homotopy_is_an_exact_program_that_starts_at_rational_values():
    program = homotopy(layers_of("dtdsd"))
    assert (program.program.scheme, program.program.claim, program.program.horizon) == ("homotopy", "exact", 1)
    starts = np.concatenate([w.initial for w in program.integrals])
    assert set(starts.tolist()) == {0.0, 1.0}


def test_at_half_time_the_homotopy_is_the_network_with_half_the_input_and_half_the_offsets():
    network = layers_of("dtdtd", seed=6)
    half = Network(3, [la if la == Tanh() else dense(la.weight, la.bias / 2) for la in network.layers])
    x = np.random.default_rng(3).normal(size=(4, 3))
    got = gpac.solve(homotopy(network), t=0.5, inputs=x, tol=1e-13).outputs
    assert_allclose(got, forward(half, x / 2), atol=1e-11)


# -- invariants ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["homotopy", "relaxation"])
def test_u_squared_plus_d_stays_one_along_the_way(scheme):
    circuit = SCHEMES[scheme](layers_of("dtdsdt", seed=8))
    invariants = circuit.program.invariants
    assert [i.name for i in invariants] == ["u1^2 + d1", "u2^2 + d2", "u3^2 + d3"]
    watched = gpac.Circuit({i.name: i.wire for i in invariants})
    end = 1.0 if scheme == "homotopy" else 30.0
    x = np.random.default_rng(2).normal(size=(3, 3))
    solution = gpac.solve(watched, t=end, inputs=x, tol=1e-13, dense=True)
    assert_allclose(solution.at(np.linspace(0, end, 40)), 1.0, atol=1e-11)


def test_u_squared_plus_d_stays_one_in_every_phase():
    schedule = sequential(layers_of("dtdsd", seed=8))
    for phase in schedule.phases:
        (invariant,) = phase.circuit.program.invariants
        given = {n: np.linspace(-3, 3, size) for n, size in phase.circuit.inputs.items()}
        watched = gpac.Circuit({"one": invariant.wire})
        solution = gpac.solve(watched, t=1, inputs=given, tol=1e-13, dense=True)
        assert_allclose(solution.at(np.linspace(0, 1, 9)), 1.0, atol=1e-12)


# -- the sequential scheme -----------------------------------------------------------------------------------


def test_the_schedule_has_one_phase_per_activation():
    schedule = sequential(layers_of("fdtddsod"))
    assert [float(p.duration) for p in schedule.phases] == [1.0, 1.0]
    assert [list(p.circuit.outputs) for p in schedule.phases] == [["layer1"], ["y"]]
    assert schedule.program.horizon == 2
    assert dict(schedule.inputs) == {"x": 3}
    for phase in schedule.phases:
        assert phase.circuit.degree == 2


# -- the relaxation ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [1, Fraction(5, 2), 40])
@pytest.mark.parametrize("kinds", ["dtd", "dsd", "dtdsdtd", "fdtods", "ddtt", "st"])
def test_the_error_stays_below_its_bound_at_all_times(kinds, rate):
    network = layers_of(kinds, seed=5)
    circuit = relaxation(network, rate)
    for x in np.random.default_rng(7).normal(size=(3, 3)):
        solution = gpac.solve(circuit, t=30 / float(rate), inputs=x, tol=1e-13, dense=True).check()
        times = np.linspace(0, 30, 16) / float(rate)
        errors = np.abs(solution.at(times) - forward(network, x)).max(axis=1)
        bounds = [float(circuit.program.limit.error({"x": x}, float(s)).abs_upper()) for s in times]
        assert (errors <= np.array(bounds) + 1e-11).all()  # 1e-11: what the solver may add
        assert bounds[-1] < 1e-3 * bounds[0]  # and it says something
        assert errors[0] > 1e-3  # and there was something to say


def test_the_bound_is_sharp_for_one_layer():
    """z = (1 - exp(-t)) z*: the first layer's bound is its error."""
    circuit = relaxation(Network(1, [dense([[2.0]]), Tanh()]))
    bound = circuit.program.limit.error({"x": [Fraction(3, 4)]}, 2)
    assert bound.contains(1.5 * mpmath.exp(-2))
    assert float(bound.rad()) < 1e-9


@pytest.mark.parametrize("error", [1e-1, 1e-3, 1e-6, 1e-9])
@pytest.mark.parametrize("kinds", ["dtd", "dtdsdtd", "fdtods"])
def test_the_horizon_is_enough_and_not_much_more(kinds, error):
    network, rate = layers_of(kinds, seed=2), Fraction(3, 2)
    limit = relaxation(network, rate).program.limit
    x = np.random.default_rng(1).normal(size=3)
    end = limit.time({"x": x}, error)
    # rtol: the bound's own float64 arithmetic is rounded up by 1e-9 a layer
    assert float(limit.error({"x": x}, end).abs_upper()) <= error * (1 + 1e-7)
    assert float(limit.error({"x": x}, end - 1e-3).abs_upper()) > error
    got = gpac.solve(relaxation(network, rate), t=end, inputs=x, tol=1e-13).outputs
    assert np.abs(got - forward(network, x)).max() <= error


def test_left_out_the_time_is_that_of_the_tolerance():
    network = layers_of("dtdsd", seed=2)
    circuit, x = relaxation(network), np.random.default_rng(1).normal(size=(4, 3))
    solution = gpac.solve(circuit, inputs=x, tol=1e-8)
    assert solution.t.tolist() == [circuit.program.limit.time({"x": row}, 1e-8) for row in x]
    assert_allclose(solution.outputs, forward(network, x), atol=1e-7)


def test_time_grows_by_one_per_factor_e():
    """Far out, alpha t grows like mu + (L - 1) log t: for one layer exactly like mu."""
    limit = relaxation(layers_of("dtd", seed=2), 2).program.limit
    times = [limit.time({"x": np.ones(3)}, np.exp(-mu)) for mu in (10, 11, 20)]
    assert_allclose(np.diff(times), [0.5, 4.5], rtol=1e-6)


@pytest.mark.parametrize("rate", [0, -1, Fraction(-1, 2)])
def test_the_rate_is_positive(rate):
    with pytest.raises(NumberError, match="positive rate"):
        relaxation(layers_of("dt"), rate)


def test_the_error_asked_is_positive():
    with pytest.raises(NumberError, match="positive error"):
        relaxation(layers_of("dt")).program.limit.time({"x": np.ones(3)}, 0)


def test_a_linear_network_has_nothing_to_wait_for():
    limit = relaxation(layers_of("dfd")).program.limit
    assert float(limit.error({"x": np.ones(3)}, 1).abs_upper()) == 0
    assert limit.time({"x": np.ones(3)}, 1e-12) < 1e-9


# -- counts --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kinds", "neurons", "depth"), [("dtd", 1, 1), ("dtdsd", 2, 2), ("dtdtdtd", 3, 3), ("ds", 1, 1), ("d", 0, 0)]
)
def test_dimensions_and_degrees(kinds, neurons, depth):
    network = layers_of(kinds, seed=1)
    N = network.neurons
    assert (N > 0) == (neurons > 0)
    # pairs (u, d); z besides under relaxation
    assert [scheme(network).dim for scheme in SCHEMES.values()] == [2 * N, 2 * N, 3 * N]
    expected = [depth + 1, 2, 3] if depth else [0, 0, 0]
    assert [scheme(network).degree for scheme in SCHEMES.values()] == expected


@pytest.mark.parametrize("scheme", [relaxation, clocked])
def test_the_time_counts_on_what_cancels_in_doubles(scheme):
    """1e17 + 1 - 1e17 is 0 in doubles and 1 in truth: at the time stated the error is as small as asked."""
    network = Network(3, [dense([[1.0, 1.0, 1.0]]), Tanh(), dense([[1.0]])])
    limit, x = scheme(network).program.limit, {"x": [1e17, 1.0, -1e17]}
    assert limit.error(x, limit.time(x, Fraction(1, 10**9))) < 1e-9
