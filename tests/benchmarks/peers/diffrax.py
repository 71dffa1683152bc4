"""diffrax: float64, compiled by XLA; one shared step for the batch, or `vmap` with a step per trajectory."""

from __future__ import annotations

from collections.abc import Callable

import diffrax
import jax
import jax.numpy as jnp
import numpy as np

from ..jobs import BETA, RHO, SIGMA
from ..worker import Task
from . import forms

jax.config.update("jax_enable_x64", True)
NAME = "diffrax"
VERSION = f"{diffrax.__version__} (jax {jax.__version__})"
SOLVERS = {"dopri8": diffrax.Dopri8, "tsit5": diffrax.Tsit5}
MOST_STEPS = 100_000
_compiled: dict = {}


def variants(job: Task) -> list[str]:
    """Both solvers, both ways of batching; for the hard homotopy dopri8 in every form."""
    ways = ("shared step", "vmap")
    if job.name == "J1DD":
        return []
    if job.name == "MNIST":
        shared = [f"dopri8 shared step, state {form}" for form in (*forms.FORMS, "pair, d relative")]
        return [*shared, "dopri8 vmap, state pair", "dopri8 vmap, state z"]
    return [f"{solver} {way}" for solver in SOLVERS for way in ways]


def prepare(job: Task, variant: str, tol: float) -> Callable[[], np.ndarray]:
    """Compiled once per form; the tolerance is an argument of the compiled function."""
    form = variant.split("state ")[-1].split(",")[0] if "state" in variant else "u"
    right, start, arguments = _system(job, form)
    key = job.name, variant
    if key not in _compiled:
        _compiled[key] = jax.jit(_solver(right, SOLVERS[variant.split()[0]](), job.t, "shared" in variant))
    atol = np.full(start.shape[1], tol)
    if "relative" in variant:
        atol[forms.slope_places(job.widths)] *= 1e-12
    given = jnp.asarray(start), arguments, jnp.asarray(tol), jnp.asarray(atol)

    def run() -> np.ndarray:
        end, reached = jax.block_until_ready(_compiled[key](*given))
        if not np.all(reached):
            raise ArithmeticError("the end was not reached")
        end = np.asarray(end)
        return end if job.kind != "homotopy" else job.answer(forms.neurons(form, end, job.widths))

    return run


def _system(job: Task, form: str) -> tuple[Callable, np.ndarray, jax.Array]:
    """Right side of one trajectory f(t, y, argument), starts (B, n), arguments (B, k)."""
    if job.kind == "lorenz":
        return _lorenz, job["start"], jnp.zeros((len(job["start"]), 0))
    if job.kind == "neural ode":
        a1, b, a2 = (jnp.asarray(job[name]) for name in ("a1", "b", "a2"))
        return lambda t, h, _: a2 @ jnp.tanh(a1 @ h + b), job["start"], jnp.zeros((len(job["start"]), 0))
    layers = [(jnp.asarray(w), jnp.asarray(b)) for w, b in job.layers]
    dense = [lambda du, w=w, b=b: w @ du + b for w, b in layers]
    cuts = list(np.cumsum(forms.part_widths(form, job.widths))[:-1])

    def right(t: jax.Array, y: jax.Array, c: jax.Array) -> jax.Array:
        return jnp.concatenate(forms.rates(form, dense, c, jnp.split(y, cuts), jnp.tanh))

    return right, np.tile(forms.start(form, job.widths), (len(job["c"]), 1)), jnp.asarray(job["c"])


def _lorenz(t: jax.Array, y: jax.Array, _: jax.Array) -> jax.Array:
    return jnp.stack([SIGMA * (y[1] - y[0]), y[0] * (RHO - y[2]) - y[1], y[0] * y[1] - BETA * y[2]])


def _solver(right: Callable, solver: diffrax.AbstractSolver, t: float, shared: bool) -> Callable:
    term = diffrax.ODETerm(jax.vmap(right, (None, 0, 0)) if shared else right)

    def solve(y: jax.Array, arguments: jax.Array, rtol: jax.Array, atol: jax.Array) -> tuple:
        control = diffrax.PIDController(rtol=rtol, atol=atol)
        result = diffrax.diffeqsolve(
            term, solver, 0.0, t, None, y, arguments, stepsize_controller=control, max_steps=MOST_STEPS, throw=False
        )
        return result.ys[-1], result.result == diffrax.RESULTS.successful

    return solve if shared else jax.vmap(solve, (0, 0, None, None))
