"""What tests of flows share: a judge that knows no polynomial systems, small weights, and the fit of an order."""

from __future__ import annotations

import numpy as np
from scipy.integrate import solve_ivp

import gpac
from compile.architectures import activation_outside

rng = np.random.default_rng(0)
W, C = rng.normal(size=(3, 3)) / 2, rng.normal(size=3) / 2
A1, A2 = rng.normal(size=(5, 3)) / 2, rng.normal(size=(3, 5)) / 2
X = rng.normal(size=(4, 3))
FIELD = activation_outside(W, C)
DEPTHS = (32, 64, 128, 256)


def runge_kutta(field, h0, end):
    """DOP853 at 1e-13 on a function of (t, h) written in numpy."""
    solution = solve_ivp(field, (0, end), h0, method="DOP853", rtol=1e-13, atol=1e-13)
    assert solution.success
    return solution.y[:, -1]


def solved(program, x):
    """The program's outputs at 1e-14."""
    return gpac.solve(program, inputs=x, tol=1e-14).check().outputs


def order(depths, errors):
    """Slope of -log(error) over log(depth)."""
    return -np.polyfit(np.log(depths), np.log(errors), 1)[0]
