"""torchdiffeq on PyTorch, float64: batched arrays with one shared step."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torchdiffeq

from ..jobs import BETA, RHO, SIGMA
from ..worker import Task
from . import forms

torch.set_num_threads(1)
torch.set_grad_enabled(False)
torch.set_default_dtype(torch.float64)
NAME = "torchdiffeq"
VERSION = f"{torchdiffeq.__version__} (torch {torch.__version__})"


def variants(job: Task) -> list[str]:
    """dopri8, and dopri5 where it has a chance."""
    if job.name == "J1DD":
        return []
    if job.name == "MNIST":
        return [f"dopri8 shared step, state {form}" for form in ("pair", "z")]
    return ["dopri8 shared step", "dopri5 shared step"]


def prepare(job: Task, variant: str, tol: float) -> Callable[[], np.ndarray]:
    """A right side on (B, n) tensors, and `odeint`."""
    form = variant.split("state ")[-1] if "state" in variant else "u"
    right, start = _system(job, form)
    given = torch.tensor(np.ascontiguousarray(start))
    times = torch.tensor([0.0, job.t])

    def run() -> np.ndarray:
        end = torchdiffeq.odeint(right, given, times, rtol=tol, atol=tol, method=variant.split()[0])[-1].cpu().numpy()
        return end if job.kind != "homotopy" else job.answer(forms.neurons(form, end, job.widths))

    return run


def _system(job: Task, form: str) -> tuple[Callable, np.ndarray]:
    if job.kind == "lorenz":
        return _lorenz, job["start"]
    if job.kind == "neural ode":
        a1, b, a2 = (torch.tensor(job[name]) for name in ("a1", "b", "a2"))
        return lambda t, h: torch.tanh(h @ a1.T + b) @ a2.T, job["start"]
    layers = [(torch.tensor(w.T.copy()), torch.tensor(b)) for w, b in job.layers]
    dense = [lambda du, w=w, b=b: du @ w + b for w, b in layers]
    sizes = forms.part_widths(form, job.widths)
    c = torch.tensor(job["c"])

    def right(t: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return torch.cat(forms.rates(form, dense, c, torch.split(y, sizes, 1), torch.tanh), 1)

    return right, np.tile(forms.start(form, job.widths), (len(c), 1))


def _lorenz(t: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    a, b, c = y.unbind(1)
    return torch.stack([SIGMA * (b - a), a * (RHO - c) - b, a * b - BETA * c], 1)
