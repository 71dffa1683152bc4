"""Values of wires at t = 0: right in both arithmetics, and the same bits in every batch, chunk and thread."""

from functools import partial

import mpmath
import numpy as np
import pytest
import scipy.sparse
from numpy.testing import assert_allclose, assert_array_equal

import gpac
from gpac import bilinear, constant, inputs, linear
from gpac import functions as fn
from gpac.elementary import TABLE
from gpac.pair import Pair, leading
from gpac.repeated import Repeated
from gpac.solver import start
from gpac.solver.series import Series
from gpac.wire import Start

MP = mpmath.mp.clone()
MP.dps = 40
RNG = np.random.default_rng(5)
DENSE, BIAS = RNG.normal(size=(70, 6)), RNG.normal(size=70)
SPARSE = scipy.sparse.random(30, 70, 0.3, random_state=5, format="csr")
BLOCK = RNG.normal(size=(4, 3))
STEEP = np.array([1.0, 30.0, 200.0])


def circuit() -> gpac.Circuit:
    """Every kind of unit between inputs and start values."""
    x, s = inputs("x", 6), inputs("s")
    hidden = fn.tanh(linear([(DENSE, x)], BIAS))
    spread = SPARSE @ hidden + s
    form = bilinear("ij,j->i", spread, x, (5, 6), (6,))
    rows = linear([(Repeated(BLOCK, 2), x)])
    steep = gpac.integral(0, initial=Start("sech_squared", linear([(STEEP, s)])))
    ends = {"hidden": hidden, "form": form * s, "rows": rows + constant(np.arange(8.0)), "steep": steep}
    return gpac.Circuit(ends | {"start": gpac.integral(1, initial=0.5 * s), "time": gpac.time() + s})


def expected(x: np.ndarray, s: np.ndarray) -> np.ndarray:
    """The same by NumPy, of the outputs in their order; x (6, B), s (1, B)."""
    hidden = np.tanh(DENSE @ x + BIAS[:, None])
    form = np.einsum("ijb,jb->ib", (SPARSE @ hidden + s).reshape(5, 6, -1), x) * s
    rows = np.concatenate([BLOCK @ x[:3], BLOCK @ x[3:]]) + np.arange(8.0)[:, None]
    return np.concatenate([hidden, form, rows, 1 / np.cosh(STEEP[:, None] * s) ** 2, 0.5 * s, s])


def given(batch: int, precision: str) -> dict:
    rng = np.random.default_rng(6)
    x, s = rng.normal(size=(batch, 6)).T, rng.uniform(-1, 1, size=(batch, 1)).T
    return {"x": x, "s": s} if precision == "double" else {n: Pair(a, 1e-20 * a) for n, a in (("x", x), ("s", s))}


def values(inputs: dict, batch: int, precision: str, workers: int = 1) -> list[np.ndarray]:
    """Of the outputs at t = 0: the doubles, or both parts."""
    machine = circuit()
    wires = list(map(machine.source, machine.outputs.values()))
    found = start.at_start(Series(machine, np, precision), inputs, batch, wires, workers)
    return [found] if precision == "double" else [found.high, found.low]


@pytest.mark.parametrize("precision", ["double", "double-double"])
def test_values_at_the_start_are_those_of_the_formulas(precision):
    inputs = given(37, precision)
    judge = expected(*(leading(a) for a in inputs.values()))
    assert_allclose(values(inputs, 37, precision)[0], judge, rtol=1e-11, atol=1e-13)


def test_slopes_of_tanh_are_right_far_out_too():
    x = np.append(np.linspace(-350, 350, 701), [800, -1e300])
    with np.errstate(over="ignore"):
        found = TABLE["sech_squared"].arrays(np, x)
    judge = [float(MP.sech(v) ** 2) for v in x.tolist()]
    assert_allclose(found, judge, rtol=8 * 2.0**-53)  # cosh to two roundings, its inverse, the square of it


@pytest.mark.parametrize(("precision", "batch"), [("double", 1003), ("double-double", 19)])
def test_a_start_has_the_same_bits_in_every_batch_and_chunk_and_thread(monkeypatch, precision, batch):
    inputs = given(batch, precision)
    of = partial(values, precision=precision)
    whole = of(inputs, batch)
    monkeypatch.setattr(start, "BYTES", 2 * 8 * 16 * 200)  # a block or two at a time
    for workers in (1, 2):
        assert_array_equal(of(inputs, batch, workers=workers), whole)
    for some in (slice(0, 1), slice(15, 18), slice(batch - 2, batch), slice(1, 18)):
        part = {name: a[:, some] for name, a in inputs.items()}
        assert_array_equal(of(part, some.stop - some.start), [a[:, some] for a in whole])
