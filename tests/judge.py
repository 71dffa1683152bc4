"""How a network is judged: by a function written without the project, by balls, and by every scheme."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.testing import assert_allclose

import gpac
from compile import Network, enclose_forward, forward, homotopy, relaxation, sequential

SCHEMES = {"homotopy": homotopy, "sequential": sequential, "relaxation": relaxation}


def judge(
    network: Network,
    expected: Callable[[np.ndarray], Any],
    x: np.ndarray,
    schemes: tuple[str, ...] = ("homotopy", "sequential", "relaxation"),
    rtol: float = 1e-12,
) -> None:
    """Assert that everything computes `expected`, a function of one input of the network's shape.

    `forward` to 1e-13 of the largest output, the middle of balls to `forward`'s rounding, the sequential scheme to
    `rtol` of max(1, largest output), the others to 100 times that (they pass errors on through the layers).
    """
    shape = network.input_shape or (network.size,)
    truth = np.array([np.asarray(expected(row.reshape(shape)), dtype=float).reshape(-1) for row in x])
    size = max(1.0, float(np.abs(truth).max()))
    outputs = forward(network, x)
    assert_allclose(outputs, truth, rtol=0, atol=1e-13 * size)  # some hundred roundings
    exact = enclose_forward(network, x[0], digits=18)
    assert_allclose(np.array([float(m) for m in exact.mid]), truth[0], rtol=0, atol=1e-13 * size)
    for name in schemes:
        program = SCHEMES[name](network)
        got = gpac.solve(program, inputs=x, tol=1e-14).check().outputs
        slack = 1 if name == "sequential" else 100
        assert_allclose(got, outputs, rtol=0, atol=slack * rtol * size, err_msg=name)
