"""SciPy: DOP853 on the whole batch stacked as one system, so that all trajectories share their steps."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy
from scipy.integrate import solve_ivp

from ..jobs import BETA, RHO, SIGMA
from ..worker import Task
from . import forms

NAME = "scipy"
VERSION = scipy.__version__
LEAST_RTOL = 2.3e-14  # below it SciPy warns and takes this


def variants(job: Task) -> list[str]:
    """One, or one per form of a homotopy that is hard to keep accurate."""
    if job.name == "J1DD":
        return []
    stacked = "DOP853 shared step"
    if job.name != "MNIST":
        return [stacked]
    return [f"{stacked}, state {form}" for form in (*forms.FORMS, "pair, d relative")]


def prepare(job: Task, variant: str, tol: float) -> Callable[[], np.ndarray]:
    """A right side on (n, B) arrays, and `solve_ivp`."""
    if job.kind == "lorenz":
        right, start = _lorenz, job["start"]
    elif job.kind == "neural ode":
        a1, b, a2, start = (job[name] for name in ("a1", "b", "a2", "start"))

        def right(h: np.ndarray) -> np.ndarray:
            return a2 @ np.tanh(a1 @ h + b[:, None])
    else:
        return _homotopy(job, variant, tol)
    return lambda: _solve(right, start, job.t, tol)


def _lorenz(y: np.ndarray) -> np.ndarray:
    a, b, c = y
    return np.stack([SIGMA * (b - a), a * (RHO - c) - b, a * b - BETA * c])


def _homotopy(job: Task, variant: str, tol: float) -> Callable[[], np.ndarray]:
    form = variant.split("state ")[-1].split(",")[0] if "state" in variant else "u"
    c = np.ascontiguousarray(job["c"].T)
    widths = job.widths
    cuts = np.cumsum(forms.part_widths(form, widths))[:-1]
    dense = [lambda du, w=w, b=b[:, None]: w @ du + b for w, b in job.layers]

    def right(y: np.ndarray) -> np.ndarray:
        return np.concatenate(forms.rates(form, dense, c, np.split(y, cuts), np.tanh))

    start = np.tile(forms.start(form, widths), (c.shape[1], 1))
    atol = np.full(start.shape, tol)
    if "relative" in variant:
        atol[:, forms.slope_places(widths)] *= 1e-12
    return lambda: job.answer(forms.neurons(form, _solve(right, start, job.t, tol, atol), widths))


def _solve(right: Callable, start: np.ndarray, t: float, tol: float, atol: np.ndarray | None = None) -> np.ndarray:
    shape = start.T.shape
    absolute = tol if atol is None else atol.T.ravel()
    solution = solve_ivp(
        lambda _, y: right(y.reshape(shape)).ravel(),
        (0.0, t),
        start.T.ravel(),
        method="DOP853",
        rtol=max(tol, LEAST_RTOL),
        atol=absolute,
        t_eval=[t],
    )
    if not solution.success:
        raise ArithmeticError(solution.message)
    return solution.y[:, -1].reshape(shape).T
