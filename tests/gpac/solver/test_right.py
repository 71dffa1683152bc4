"""What y' needs, and nothing else."""

import numpy as np
from numpy.testing import assert_allclose

import gpac
from compile import Network, Tanh, dense, homotopy
from gpac import Circuit, integral, linear
from gpac import functions as fn
from gpac.solver.right import RightSide, needs
from gpac.solver.series import LANES, Series
from gpac.wire import Linear


def pair() -> Circuit:
    """A small neural flow: y' = A tanh(B y)."""
    rng = np.random.default_rng(0)
    y = gpac.wire("y", 3)
    y.define(integral(rng.normal(size=(3, 5)) @ fn.tanh(rng.normal(size=(5, 3)) @ y), None, [0.5, -1, 0.25], name="y"))
    return Circuit({"y": y})


def test_a_network_needs_each_matrix_once():
    """The value of the outer matrix, the rate of the inner one."""
    values, rates = needs(pair())
    assert [w.width for w in values if isinstance(w, Linear) and w.terms[0][0].ndim == 2] == [3]
    assert [w.width for w in rates if isinstance(w, Linear) and w.terms[0][0].ndim == 2] == [5]


def test_it_is_the_first_order_of_the_series():
    """The whole of order 0 and 1, and that which is needed, give the same y'."""
    rng = np.random.default_rng(1)
    layers = [dense(rng.normal(size=(4, 2)), rng.normal(size=4)), Tanh(), dense(rng.normal(size=(1, 4)), np.ones(1))]
    u = gpac.wire("u")
    u.define(
        integral(
            linear([(-1, u)]) * gpac.time() ** 2, fn.sin(gpac.time()) * fn.exp(-gpac.time()) + gpac.time(), 1, name="u"
        )
    )
    for circuit in (pair(), homotopy(Network(2, layers)), Circuit({"u": u})):
        series = Series(circuit, np)
        given = {name: rng.normal(size=(1, size, LANES)) for name, size in circuit.inputs.items()}
        state, t = rng.uniform(-1, 1, size=(1, circuit.dim, LANES)), np.full((1, LANES), 0.7)
        found = []
        for right in (RightSide(series), None):
            c, slack = series.allocate(1, 1)
            c[0][:, : circuit.dim] = state
            series.values(c, given, np.zeros((1, LANES)), still=True)
            if right is None:
                series.values(c, given, t, still=False)
                series.order(c, slack, 1)
            found.append(right(c, slack, given, t) if right else c[1][:, : circuit.dim])
        assert_allclose(found[0], found[1], rtol=1e-14, atol=0)
        assert np.abs(found[0]).max() > 0
