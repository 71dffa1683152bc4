"""GRU and LSTM in continuous time: golden counts, the usual cells as their steps, Runge-Kutta, torchdiffeq."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from flows import runge_kutta, solved
from numpy.testing import assert_allclose

import gpac
from compile import Field, flow, forward
from compile.architectures import gru_field, hidden_state, lstm_field, resnet
from compile.build import as_network, concatenate
from compile.compose import zeros
from compile.layers.recurrent import Cell, lstm
from compile.value import network_input
from gpac import CircuitError, NumberError


def cell(gates: int, hidden: int, inputs: int, seed: int = 0) -> Cell:
    rng = np.random.default_rng(seed)
    draw = [rng.normal(size=s) / np.sqrt(hidden) for s in ((gates * hidden, inputs), (gates * hidden, hidden))]
    return Cell(*draw, rng.normal(size=gates * hidden), rng.normal(size=gates * hidden))


def sigmoid(v):
    return 1 / (1 + np.exp(-v))


def parts(weights: Cell, k: int, x, h):
    """W x + b and U h + c of gate k, in numpy."""
    n = weights.hidden
    rows = slice(k * n, (k + 1) * n)
    own = weights.input_weight[rows] @ x + weights.input_bias[rows]
    return own, weights.hidden_weight[rows] @ h + weights.hidden_bias[rows]


def gru_rates(weights: Cell, x, h, reset_after: bool):
    r, z = (sigmoid(sum(parts(weights, k, x, h))) for k in (0, 1))
    own, hidden = parts(weights, 2, x, h)
    n = np.tanh(own + r * hidden) if reset_after else np.tanh(sum(parts(weights, 2, x, r * h)))
    return (1 - z) * (n - h)


def lstm_rates(weights: Cell, x, state, rate):
    c, h = np.split(state, 2)
    i, f, g, o = (sum(parts(weights, k, x, h)) for k in range(4))
    return np.concatenate([(sigmoid(f) - 1) * c + sigmoid(i) * np.tanh(g), rate * (sigmoid(o) * np.tanh(c) - h)])


@pytest.mark.parametrize("reset_after", [True, False])
def test_a_continuous_gru_is_its_equation(reset_after):
    weights, x = cell(3, 4, 3), np.random.default_rng(1).normal(size=(2, 3))
    program = flow(gru_field(weights, reset_after), 3, start=zeros(3, 4))
    truth = [runge_kutta(lambda t, h, v=v: gru_rates(weights, v, h, reset_after), np.zeros(4), 3.0) for v in x]
    assert_allclose(solved(program, x), truth, rtol=0, atol=1e-12)
    proof = gpac.prove(program, inputs=x[0], digits=15)
    assert proof.digits >= 15
    assert_allclose([float(m) for m in proof.mid], truth[0], rtol=0, atol=1e-12)


def test_a_gru_whose_input_moves():
    """x(t) = (sin t, t^2, 1): the field composed with a path of the time."""
    weights = cell(3, 4, 3)
    given = network_input((5,))
    h, t = given[:4], given[4:]
    path = concatenate([t.apply("sin"), t.apply("square"), 0 * t + 1])
    field = Field(as_network(gru_field(weights).value(h, path)), ("state", "time"))
    start = np.array([0.5, -0.25, 0.0, 1.0])
    truth = runge_kutta(lambda t, h: gru_rates(weights, np.array([np.sin(t), t * t, 1]), h, True), start, 2.0)
    assert_allclose(solved(flow(field, 2), start), truth, rtol=0, atol=1e-12)


@pytest.mark.parametrize("reset_after", [True, False])
def test_the_usual_gru_is_an_euler_step_of_size_one(reset_after):
    """Three steps with the same input, written in numpy: h+ = z h + (1 - z) n."""
    weights, x = cell(3, 4, 3), np.random.default_rng(2).normal(size=3)
    h = np.zeros(4)
    for _ in range(3):
        h = h + gru_rates(weights, x, h, reset_after)
    network = resnet(gru_field(weights, reset_after), 3, 3, start=zeros(3, 4))
    assert_allclose(forward(network, x), h, rtol=1e-13)


def test_the_state_of_a_gru_stays_in_its_box():
    """|h_i| <= max(1, |h_i(0)|), at all times, for large weights."""
    weights = cell(3, 3, 2)
    weights = Cell(*(8 * m for m in (weights.input_weight, weights.hidden_weight)))
    program = flow(gru_field(weights), 20, start=zeros(2, 3))
    run = gpac.solve(program, inputs=np.random.default_rng(3).normal(size=(5, 2)), tol=1e-12, dense=True).check()
    times = np.linspace(float(program.duration) - 20, float(program.duration), 100)
    assert np.abs(run.at(times)).max() <= 1 + 1e-10
    assert np.abs(run.outputs).max() > 0.5


def test_golden_counts_of_the_gru():
    """THEORY 13, n = 8: dimension 32, degrees 2 (h), 4 and 4 (gates), 7 (g), once every d = 1 - u^2 is put in."""
    import sympy

    n = 8
    last = flow(gru_field(cell(3, n, 1), reset_after=False), start=zeros(1, n)).phases[-1].circuit
    assert last.dim == n + 3 * 2 * n  # with the d's
    pivp = sparse_weights(n)
    equations = pivp.expressions()
    slopes = {v: 1 - sympy.Symbol(str(v).replace("_slope", "")) ** 2 for v in equations if "_slope" in str(v)}
    degrees: dict[str, set[int]] = {}
    for v, e in equations.items():
        if v not in slopes:
            name = str(v).split("_")[0]
            degrees.setdefault(name, set()).add(sympy.Poly(e.xreplace(slopes), *equations).total_degree())
    assert len(equations) - len(slopes) == 4 * n
    assert sorted(max(d) for d in degrees.values()) == [2, 4, 4, 7]


def sparse_weights(n: int):
    """The same system with two entries per row of every matrix, which keeps the polynomials short."""
    eye = np.eye(n) + np.roll(np.eye(n), 1, axis=1) / 2
    weights = Cell(np.ones((3 * n, 1)), np.vstack([eye] * 3))
    last = flow(gru_field(weights, reset_after=False), start=zeros(1, n)).phases[-1].circuit
    return last.to_pivp({name: np.full(size, 0.25) for name, size in last.inputs.items()})


def test_a_continuous_lstm_is_implicit_and_says_so():
    with pytest.raises(CircuitError, match=r"the gate o = .* reads h itself; give lag=rate"):
        lstm_field(cell(4, 3, 2))
    with pytest.raises(NumberError, match="positive rational"):
        lstm_field(cell(4, 3, 2), lag=0)


@pytest.mark.parametrize("lag", [1, Fraction(7, 2)])
def test_the_lagged_lstm_is_its_equation(lag):
    weights, x = cell(4, 3, 2), np.random.default_rng(4).normal(size=(2, 2))
    program = flow(lstm_field(weights, lag), 2, start=zeros(2, 6), readout=hidden_state(weights))
    truth = [runge_kutta(lambda t, s, v=v: lstm_rates(weights, v, s, float(lag)), np.zeros(6), 2.0)[3:] for v in x]
    assert_allclose(solved(program, x), truth, rtol=0, atol=1e-12)


def test_the_lag_vanishes_as_its_rate_grows():
    """At h(T) the lagged form misses h = o tanh(c) by O(1/rate)."""
    weights, x = cell(4, 3, 2), np.random.default_rng(5).normal(size=2)
    misses = []
    for lag in (16, 32, 64):
        c, h = np.split(solved(flow(lstm_field(weights, lag), 2, start=zeros(2, 6)), x), 2)
        misses.append(np.abs(sigmoid(sum(parts(weights, 3, x, h))) * np.tanh(c) - h).max())
    assert_allclose(np.log2(misses[0] / misses[1]), 1, atol=0.15)
    assert_allclose(np.log2(misses[1] / misses[2]), 1, atol=0.1)


def test_the_usual_lstm_is_a_step_of_size_one_in_which_h_reads_the_new_c():
    """Gates from the old h, c+ = c + rate of c, h+ = h + rate of h at c+: PyTorch's cell as `layers.lstm` has it."""
    weights, x = cell(4, 3, 2), np.random.default_rng(6).normal(size=2)
    sequence = network_input((2,))
    twice = as_network(lstm(sequence.reshape(1, 2).broadcast_to((2, 2)), [[weights]]).hidden)
    c, h = np.zeros(3), np.zeros(3)
    field = lstm_field(weights, 1).network
    for _ in range(2):
        new = c + forward(field, [*c, *h, *x])[:3]
        h = h + forward(field, [*new, *h, *x])[3:]
        c = new
    assert_allclose(forward(twice, x), h, rtol=1e-12)


def test_torchdiffeq_finds_the_same():
    """Its dopri5 in float64 on PyTorch's GRUCell (its dopri8 stops at 4e-9 here)."""
    torch = pytest.importorskip("torch")
    torchdiffeq = pytest.importorskip("torchdiffeq")
    weights, x = cell(3, 4, 3), np.random.default_rng(7).normal(size=3)
    module = torch.nn.GRUCell(3, 4, dtype=torch.float64)
    with torch.no_grad():
        module.weight_ih[:], module.weight_hh[:] = map(torch.tensor, (weights.input_weight, weights.hidden_weight))
        module.bias_ih[:], module.bias_hh[:] = map(torch.tensor, (weights.input_bias, weights.hidden_bias))
        given = torch.tensor(x)[None]
        times = torch.tensor([0.0, 2.0], dtype=torch.float64)
        found = torchdiffeq.odeint(
            lambda t, h: module(given, h) - h,
            torch.zeros(1, 4, dtype=torch.float64),
            times,
            rtol=1e-12,
            atol=1e-12,
            method="dopri5",
        )[-1, 0].numpy()
    assert_allclose(solved(flow(gru_field(weights), 2, start=zeros(3, 4)), x), found, rtol=0, atol=1e-10)
