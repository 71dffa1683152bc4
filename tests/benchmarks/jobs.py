"""The jobs: systems as plain arrays, right answers, and how large the error may be. Needs NumPy only.

A job is stored as one .npz file, from which every tool makes its system in the form that suits it best.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
REFERENCES = HERE / "references.npz"
NETWORKS = HERE.parents[2] / "shared" / "networks"
SIGMA, RHO, BETA = 10.0, 28.0, 8 / 3  # the double nearest to 8/3, for every tool


@dataclass(frozen=True)
class Bound:
    """The largest error that counts, taken over the trajectories by `over`: "max" or "median"."""

    error: float
    over: str = "max"

    def __str__(self) -> str:
        return f"{'error' if self.over == 'max' else 'median error'} <= {self.error:g}"


@dataclass(frozen=True, eq=False)
class Job:
    """A batch of initial value problems from 0 to `t`.

    Attributes
    ----------
    kind : "lorenz", "neural ode" or "homotopy"
        Which arrays there are: see the functions that make them.
    reference : float64, (R, m) or (R, m, 2)
        Right answers of the first R trajectories; with a last axis of 2, numbers are sums of two doubles.
    """

    name: str
    title: str
    kind: str
    t: float
    arrays: Mapping[str, np.ndarray]
    reference: np.ndarray
    bounds: tuple[Bound, ...]

    @property
    def batch(self) -> int:
        """Number of trajectories."""
        return len(self.arrays["c"] if self.kind == "homotopy" else self.arrays["start"])

    def errors(self, answer: np.ndarray) -> np.ndarray:
        """Largest deviation of a trajectory over max(1, largest right value): float64 (R,).

        `answer` is (B, m), or (B, m, 2) where a tool has more than double precision. Infinite where a
        trajectory of the batch is missing or not finite.
        """
        if len(answer) != self.batch or not np.isfinite(answer).all():
            return np.full(len(self.reference), np.inf)
        pairs = [a if a.ndim == 3 else np.stack([a, np.zeros_like(a)], axis=-1) for a in (answer, self.reference)]
        given, right = pairs[0][: len(self.reference)], pairs[1]
        off = np.abs((given[..., 0] - right[..., 0]) + (given[..., 1] - right[..., 1])).max(axis=1)
        off /= np.maximum(1.0, np.abs(right[..., 0]).max(axis=1))
        return off

    def save(self, path: Path) -> None:
        """Write what a tool needs to know: everything but the right answers."""
        np.savez(path, name=self.name, kind=self.kind, t=self.t, **self.arrays)


def lorenz_starts(wide: bool = False) -> np.ndarray:
    """(4096, 3): (1, 1, 1) +- 0.5; or of size 1/120 to 120, so that trajectories need very different steps."""
    u = np.random.default_rng(1).uniform(-0.5, 0.5, (4096, 3))
    if not wide:
        return 1.0 + u
    starts = np.sign(u) * 120.0 ** np.random.default_rng(11).uniform(-1, 1, (4096, 3))
    if REFERENCES.exists():  # powers differ in the last bit between machines: the judged ones are stored
        stored = _stored("J1W starts")
        starts[: len(stored)] = stored
    return starts


def neural_ode() -> dict[str, np.ndarray]:
    """h' = a2 tanh(a1 h + b), 16 neurons on 2 states, 4096 starts."""
    rng = np.random.default_rng(2)
    a1 = rng.standard_normal((16, 2)) / np.sqrt(2)
    b = rng.standard_normal(16) / np.sqrt(2)
    a2 = rng.standard_normal((2, 16)) / np.sqrt(16)
    return {"a1": a1, "b": b, "a2": a2, "start": rng.uniform(-1, 1, (4096, 2))}


def dense_network(sizes: tuple[int, ...], batch: int) -> dict[str, np.ndarray]:
    """Random layers w1, b1, w2, ... of a tanh network, inputs x (batch, sizes[0]), and c = w1 x + b1."""
    rng = np.random.default_rng(3)
    arrays = {}
    for number, (n, m) in enumerate(pairwise(sizes), 1):
        arrays[f"w{number}"] = rng.standard_normal((m, n)) / np.sqrt(n)
        arrays[f"b{number}"] = rng.standard_normal(m) / np.sqrt(n)
    x = rng.uniform(-1, 1, (batch, sizes[0]))
    return arrays | {"x": x, "c": x @ arrays["w1"].T + arrays["b1"]}


def hidden_values(arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """All neurons of a tanh network side by side, evaluated directly: what its homotopy must give at t = 1."""
    values = [np.tanh(arrays["c"])]
    for number in range(2, layers(arrays)):
        values.append(np.tanh(values[-1] @ arrays[f"w{number}"].T + arrays[f"b{number}"]))
    return np.concatenate(values, axis=1)


def layers(arrays: Mapping[str, np.ndarray]) -> int:
    """Number of dense layers; the last one makes the outputs."""
    return sum(name.startswith("w") for name in arrays)


def _stored(name: str) -> np.ndarray:
    with np.load(REFERENCES) as stored:
        return stored[name]


def _lorenz() -> Job:
    both = Bound(1e-14), Bound(1e-6)
    return Job("J1", "Lorenz x 4096, t = 5", "lorenz", 5.0, {"start": lorenz_starts()}, _stored("J1")[..., 0], both)


def _lorenz_wide() -> Job:
    both = Bound(1e-15, "median"), Bound(2e-7, "median")
    title = "Lorenz x 4096 from starts spread over four decades, t = 5"
    return Job("J1W", title, "lorenz", 5.0, {"start": lorenz_starts(wide=True)}, _stored("J1W")[..., 0], both)


def _lorenz_long() -> Job:
    """The first 256 trajectories of J1 beyond double precision."""
    start = {"start": lorenz_starts()[:256]}
    return Job("J1DD", "Lorenz x 256, t = 5, to 28 digits", "lorenz", 5.0, start, _stored("J1"), (Bound(1e-28),))


def _flow() -> Job:
    both = Bound(1e-12), Bound(1e-6)
    title = "neural ODE, 16 tanh on 2 states, x 4096, t = 1"
    return Job("J2", title, "neural ode", 1.0, neural_ode(), _stored("J2")[..., 0], both)


def _homotopy(name: str, sizes: tuple[int, ...], batch: int) -> Job:
    arrays = dense_network(sizes, batch)
    title = f"homotopy of a tanh network {'-'.join(map(str, sizes))} x {batch}, all neurons at t = 1"
    return Job(name, title, "homotopy", 1.0, arrays, hidden_values(arrays), (Bound(1e-12),))


def _mnist() -> Job | str:
    from .mnist import mnist

    return mnist(NETWORKS)


JOBS = {
    "J1": _lorenz,
    "J1W": _lorenz_wide,
    "J2": _flow,
    "J3": lambda: _homotopy("J3", (2, 64, 64, 1), 1024),
    "J3M": lambda: _homotopy("J3M", (784, 128, 64, 10), 256),
    "MNIST": _mnist,
    "J1DD": _lorenz_long,
}
"""By name, functions that make the job; a string says why there is none here."""
