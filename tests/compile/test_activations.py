"""Every activation: its value against mpmath's formula, its circuit, its invariants and its bounds."""

from fractions import Fraction

import flint
import mpmath
import numpy as np
import pytest
import sympy
from judge import SCHEMES, judge
from numpy.testing import assert_allclose

import gpac
from compile import Activation, Network, dense, enclose_forward, homotopy, relaxation, sequential
from compile.activations import NOT_ANALYTIC, RULES, Smooth
from compile.build import as_network, linear
from compile.value import network_input
from gpac import CircuitError, NumberError, ShapeError

mp = mpmath.mp
OFFSET = Fraction(1, 100)
DELTA = Fraction(1, 4)


def modulus(x, kink, allowed):
    """sqrt((x - kink)^2 + e^2), with the width e that makes it rational at 0."""
    far, width = abs(kink), mpmath.mpf(allowed.numerator) / allowed.denominator
    if far:
        width = width * (2 * far + width) / (2 * (far + width))
    return mpmath.sqrt((x - kink) ** 2 + width**2)


def smooth_elu(x):
    factor, a, b, allowed = 2, mpmath.mpf(3) / 2, mpmath.mpf(1) / 2, mpmath.mpf(1) / 8
    half = min(allowed, allowed / (b * (a + allowed)))
    s = mpmath.sqrt(x**2 + (2 * half) ** 2)
    return factor * ((x + s) / 2 + a * (mpmath.exp(b * (x - s + 2 * half) / 2) - 1))


TRUTH = {
    "tanh": mpmath.tanh,
    "sigmoid": lambda x: 1 / (1 + mpmath.exp(-x)),
    "softplus": lambda x: mpmath.log(1 + mpmath.exp(x)),
    "log_sigmoid": lambda x: mpmath.log(1 / (1 + mpmath.exp(-x))),
    "silu": lambda x: x / (1 + mpmath.exp(-x)),
    "mish": lambda x: x * mpmath.tanh(mpmath.log(1 + mpmath.exp(x))),
    "tanhshrink": lambda x: x - mpmath.tanh(x),
    "gaussian": lambda x: mpmath.exp(-(x**2) / 2),
    "erf": mpmath.erf,
    "gelu": lambda x: x * mpmath.ncdf(x),
    "gelu_tanh": lambda x: x / 2 * (1 + mpmath.tanh(mpmath.sqrt(2 / mpmath.pi) * (x + mpmath.mpf("0.044715") * x**3))),
    "exp": mpmath.exp,
    "sin": mpmath.sin,
    "cos": mpmath.cos,
    "arctan": mpmath.atan,
    "square": lambda x: x**2,
    "power": lambda x: x**3,
    "factor": lambda x: x * mpmath.sqrt(3),
    "rsqrt": lambda x: 1 / mpmath.sqrt(x + mpmath.mpf(1) / 100),
    "sqrt": lambda x: mpmath.sqrt(x + mpmath.mpf(1) / 100),
    "reciprocal": lambda x: 1 / (x + mpmath.mpf(1) / 100),
    "log": lambda x: mpmath.log(x + mpmath.mpf(1) / 100),
    "relu": lambda x: (x + modulus(x, 0, 2 * DELTA)) / 2,
    "abs": lambda x: modulus(x, 0, DELTA),
    "clip": lambda x: (modulus(x, -1, 2 * DELTA) - modulus(x, 2, 2 * DELTA) + 1) / 2,
    "hardswish": lambda x: x * (modulus(x, -3, 4 * DELTA) - modulus(x, 3, 4 * DELTA) + 6) / 12,
    "elu": smooth_elu,
}
PARAMETERS = {
    **{"none": None, "exponent": 3, "offset": OFFSET, "factor": sympy.sqrt(3), "smooth": Smooth(DELTA)},
    "clip": Smooth(DELTA, (-1, 2)),
    "elu": Smooth(DELTA, (2, Fraction(3, 2), Fraction(1, 2))),
}
NAMES = sorted(RULES)


def activation(name: str) -> Activation:
    return Activation(name, PARAMETERS[name] if name in PARAMETERS else PARAMETERS[RULES[name].parameter])


def arguments(name: str) -> list[float]:
    points = [0.0, 1e-9, 0.3, 1.0, 2.5, 6.0, 11.0]
    return points if RULES[name].nonnegative else [-p for p in points[::-1]] + points


def neurons(name: str) -> Network:
    """3 - 4 - 2 with the activation in the middle (of squares where it must be)."""
    rng = np.random.default_rng(1)
    h = linear(network_input((3,)), rng.normal(size=(4, 3)), rng.normal(size=4))
    h = h * h if RULES[name].nonnegative else h
    parameter = activation(name).parameter
    return as_network(linear(h.apply(name, parameter), rng.normal(size=(2, 4)), rng.normal(size=2)), name)


def truth_of(network: Network, name: str):
    """The same network in mpmath, from its matrices."""
    first, last = network.layers[0], network.layers[-1]

    def value(x):
        z = first.weight @ x + first.bias
        z = z * z if RULES[name].nonnegative else z
        with mpmath.workdps(30):
            u = np.array([TRUTH[name](mpmath.mpf(v)) for v in z])
            return [float(v) for v in last.weight @ u + last.bias]

    return value


def test_the_table_of_truth_is_complete():
    assert sorted(TRUTH) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_floats_and_balls_are_the_function(name):
    rule, parameter = RULES[name], activation(name).parameter
    points = arguments(name)
    with mpmath.workdps(60):
        truth = [TRUTH[name](mpmath.mpf(p)) for p in points]
    # atol: log(1 + small) and x - tanh(x) cancel, as they do in every library
    assert_allclose(
        rule.arrays(np.array(points), parameter), np.array([float(v) for v in truth]), rtol=4e-15, atol=4e-16
    )
    exact = enclose_forward(Network(len(points), [activation(name)]), points, digits=40)
    assert exact.contains(truth)


@pytest.mark.parametrize("name", NAMES)
def test_every_scheme_computes_it(name):
    network = neurons(name)
    x = np.random.default_rng(2).normal(size=(4, 3))
    # the roots end at values near 1/100 from 1: their system magnifies errors by up to 100**1.5
    rtol = 1e-11 if RULES[name].nonnegative else 1e-12
    judge(network, truth_of(network, name), x, rtol=rtol)


@pytest.mark.parametrize(
    ("name", "scheme"), [(n, s) for n in NAMES for s in SCHEMES if s == "homotopy" or not RULES[n].kinks]
)
def test_more_digits_than_float64_has(name, scheme):
    """Forty; for the relaxation, which runs long, twenty: exp(-65) is 10**-28, and slopes are at most 10**3."""
    network, x = neurons(name), [Fraction(1, 3), Fraction(-2, 7), Fraction(1, 5)]
    slow = scheme == "relaxation" and network.neurons > 0
    end = 65 if slow else 1 if scheme == "relaxation" else None
    run = gpac.reference(SCHEMES[scheme](network), end, inputs=x, bits=100 if slow else 170)
    exact = enclose_forward(network, x, digits=45)
    with mpmath.workdps(50):
        error = max(abs(a - mpmath.mpf(b)) for a, b in zip(run.outputs, exact.mid, strict=True))
        assert error < mpmath.mpf(10) ** (-20 if slow else -38)


@pytest.mark.parametrize("name", NAMES)
def test_start_values_are_rational(name):
    network = neurons(name)
    circuits = [homotopy(network), *(phase.circuit for phase in sequential(network).phases), relaxation(network)]
    for circuit in circuits:
        for integral in circuit.integrals:
            values = integral.initial
            assert isinstance(values, np.ndarray), f"{integral} starts at a function of an input"
            assert all(isinstance(v, (float, Fraction)) for v in values.tolist())
    starts = gpac.reference(gpac.Circuit({"y": homotopy(network).outputs["y"]}), 1e-30, inputs=[1, 2, 3], bits=100)
    assert all(abs(v) < 1e-25 for v in starts.outputs)  # every value starts at 0


@pytest.mark.parametrize("scheme", ["homotopy", "relaxation"])
@pytest.mark.parametrize("name", NAMES)
def test_invariants_hold_along_the_way(name, scheme):
    circuit = SCHEMES[scheme](neurons(name))
    if not circuit.program.invariants:
        assert name in ("gaussian", "erf", "gelu", "exp", "sqrt", "log") or RULES[name].polynomial
        return
    watched = gpac.Circuit({i.name: i.wire for i in circuit.program.invariants})
    end = 1.0 if scheme == "homotopy" else 10.0
    run = gpac.solve(watched, t=end, inputs=np.ones((2, 3)) / 2, tol=1e-14, dense=True)
    assert_allclose(run.at(np.linspace(0, end, 20)), 1.0, atol=1e-10)


@pytest.mark.parametrize("radius", [0.1, 1.0, 7.0])
@pytest.mark.parametrize("name", NAMES)
def test_bounds_on_slope_and_size_hold_and_are_not_idle(name, radius):
    rule, parameter = RULES[name], activation(name).parameter
    low = 0.0 if rule.nonnegative else -radius
    x = np.linspace(low, radius, 200001)
    y = rule.arrays(x, parameter)
    slope, size = (float(f(flint.arb(radius), parameter).upper()) for f in (rule.slope, rule.size))
    steepest = np.abs(np.diff(y) / np.diff(x)).max()
    assert steepest <= slope * (1 + 1e-9) + 1e-9
    assert np.abs(y).max() <= size * (1 + 1e-12)
    if radius == 7.0:
        assert steepest >= slope / 2
        assert np.abs(y).max() >= size / 4


def test_golden_values():
    exact = lambda name, x: enclose_forward(Network(1, [Activation(name)]), [x], digits=20).mid[0]  # noqa: E731
    assert abs(exact("tanh", 1) - mpmath.mpf("0.7615941559557649")) < 1e-15
    assert abs(exact("erf", 1) - mpmath.mpf("0.8427007929497149")) < 1e-15
    mish = homotopy(Network(1, [Activation("mish")]))
    assert any(w.initial.tolist() == [Fraction(3, 5)] for w in mish.integrals)  # tanh(ln 2)


@pytest.mark.parametrize("name", sorted(NOT_ANALYTIC))
def test_kinks_are_refused_with_the_reason(name):
    with pytest.raises(ShapeError, match=f"'{name}' is not analytic"):
        Activation(name)


def test_unknown_names_and_wrong_parameters_are_refused():
    with pytest.raises(ShapeError, match=r"expected an activation among tanh, sigmoid,.*got 'tahn'"):
        Activation("tahn")
    with pytest.raises(ShapeError, match="expected no parameter for 'tanh', got 2"):
        Activation("tanh", 2)
    with pytest.raises(ShapeError, match="expected an offset as its parameter for 'rsqrt'"):
        Activation("rsqrt")
    with pytest.raises(NumberError, match="positive offset for 'rsqrt', got 0"):
        Activation("rsqrt", 0)
    with pytest.raises(NumberError, match=r"whole exponent of at least 2 for 'power', got 0.5"):
        Activation("power", 0.5)


@pytest.mark.parametrize("scheme", SCHEMES.values())
def test_a_root_of_what_may_be_negative_is_refused(scheme):
    network = Network(2, [dense(np.eye(2)), Activation("rsqrt", 1e-5)], "n")
    with pytest.raises(CircuitError, match=r"layer 2 of 'n', Rsqrt\(1e-05\): expected an argument that is proven"):
        scheme(network)


def test_a_relaxation_without_a_bound_is_refused_by_name():
    tower = [dense([[9.0]])] + [Activation("exp")] * 5
    with pytest.raises(NumberError, match="layer 6 of 'n', Exp: its values cannot be bounded"):
        relaxation(Network(1, tower, "n"))
