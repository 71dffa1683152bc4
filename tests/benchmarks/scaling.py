"""How the cost grows: with the batch, the width and depth of a network, the order of the series; and with threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np

import gpac
from compile import homotopy
from gpac.solver.threads import processors

from .jobs import layers
from .ours import lorenz, tanh_network

TITLE = "How the cost grows"
ROUNDS = 5
LONGEST = 20.0
"""Seconds after which a row is not repeated."""


def tables(say: Callable[[str], None]) -> str:
    """All tables as Markdown."""
    parts = [
        f"## {TITLE}",
        "",
        f"gpac {gpac.__version__}, median of {ROUNDS} runs in one process, code compiled before.",
    ]
    for heading, columns, rows in (
        ("Batch: Lorenz to t = 5, tol 1e-12, one thread", ("B", "ms", "us per trajectory"), _batch()),
        (
            "Width: homotopy of n-n-n-1 networks of tanh, 64 inputs, tol 1e-10, one thread",
            ("n", "compiled ms", "arrays ms", "chosen", "us per neuron, input and step", "kB per trajectory"),
            _width(),
        ),
        (
            "Depth: homotopy of networks of layers of 16, 64 inputs, tol 1e-10, one thread",
            ("layers", "ms", "steps", "us per neuron, input and step"),
            _depth(),
        ),
        (
            "Order: Lorenz to t = 5, 1024 trajectories, one thread; from order 25 on in double-double",
            ("order", "tol", "ms", "steps", "error max"),
            _order(),
        ),
        ("Threads: Lorenz to t = 5, 32768 trajectories, tol 1e-12", ("threads", "ms", "times one"), _threads()),
    ):
        say(heading)
        parts += ["", f"**{heading}**", "", _line(columns), _line(["---"] * len(columns))]
        for row in rows:
            say("  " + ", ".join(row))
            parts.append(_line(row))
    return "\n".join(parts) + "\n"


def _line(cells: Any) -> str:
    return "| " + " | ".join(cells) + " |"


def _seconds(run: Callable[[], Any]) -> tuple[float, Any]:
    """Median seconds of the runs after a first one, and what the last returned."""
    begin = perf_counter()
    result = run()
    if perf_counter() - begin > LONGEST:
        return perf_counter() - begin, result
    took = []
    for _ in range(ROUNDS):
        begin = perf_counter()
        result = run()
        took.append(perf_counter() - begin)
    return median(took), result


def _starts(count: int) -> np.ndarray:
    return 1 + np.random.default_rng(1).uniform(-0.5, 0.5, (count, 3))


def _batch() -> Iterator[tuple[str, ...]]:
    for count in (1, 10, 100, 1000, 10_000, 100_000, 1_000_000):
        start = _starts(count)
        took, _ = _seconds(lambda start=start: gpac.solve(lorenz(), t=5.0, initial=start, tol=1e-12, threads=1).check())
        yield f"{count}", f"{1e3 * took:.3g}", f"{1e6 * took / count:.3g}"


def _network(sizes: list[int]) -> Mapping[str, np.ndarray]:
    rng = np.random.default_rng(2)
    arrays = {}
    for k, (n, m) in enumerate(pairwise(sizes), 1):
        arrays[f"w{k}"], arrays[f"b{k}"] = rng.normal(size=(m, n)) / np.sqrt(n), rng.normal(size=m) / np.sqrt(n)
    assert layers(arrays) == len(sizes) - 1
    return arrays


def _width() -> Iterator[tuple[str, ...]]:
    for n in (8, 16, 32, 64, 128, 256, 512, 1024, 2048):
        program = homotopy(tanh_network(_network([n, n, n, 1])))
        X = np.random.default_rng(3).uniform(-1, 1, (64, n))
        took, ways = {}, ("compiled", "numpy")
        for way in ways:
            took[way], solution = _seconds(
                lambda program=program, X=X, way=way: gpac.solve(program, inputs=X, tol=1e-10, backend=way, threads=1)
            )
        chosen = gpac.solve(program, inputs=X[:1], tol=1e-10).engine.split(",")[0]
        each = 1e6 * min(took.values()) / (2 * n * 64 * solution.steps.mean())
        kilobytes = 8e-3 * (solution.orders.mean() + 1) * 6 * n
        yield (
            f"{n}",
            *(f"{1e3 * took[way]:.3g}" for way in ways),
            "compiled" if "compiled" in gpac.solve(program, inputs=X[:1], tol=1e-10).engine else chosen,
            f"{each:.2g}",
            f"{kilobytes:.3g}",
        )


def _depth() -> Iterator[tuple[str, ...]]:
    for depth in (1, 2, 4, 8, 16, 32, 64):
        program = homotopy(tanh_network(_network([16] * (depth + 1) + [1])))
        X = np.random.default_rng(3).uniform(-1, 1, (64, 16))
        took, solution = _seconds(
            lambda program=program, X=X: gpac.solve(program, inputs=X, tol=1e-10, threads=1).check()
        )
        steps = solution.steps.mean()
        yield f"{depth}", f"{1e3 * took:.3g}", f"{steps:.1f}", f"{1e6 * took / (16 * depth * 64 * steps):.2g}"


def _order() -> Iterator[tuple[str, ...]]:
    start, high = _starts(1024), {"precision": "double-double"}
    best = gpac.solve(lorenz(), t=5.0, initial=start, tol=1e-30, **high)
    tolerances = [(tol, {}) for tol in (1e-1, 1e-2, 1e-4, 1e-6, 1e-8, 1e-10, 1e-12, 1e-14, 2e-16)]
    for tol, more in [*tolerances, *((tol, high) for tol in (1e-20, 1e-25, 1e-29))]:
        took, solution = _seconds(
            lambda tol=tol, more=more: gpac.solve(
                lorenz(), t=5.0, initial=start, tol=tol, backend="compiled", threads=1, **more
            )
        )
        miss = solution.outputs - best.outputs
        if more:
            miss = miss + (solution.outputs_low - best.outputs_low)
        steps, worst = f"{solution.steps.mean():.1f}", f"{np.abs(miss).max():.1e}"
        yield f"{solution.orders[0]:.0f}", f"{tol:.0e}", f"{1e3 * took:.3g}", steps, worst


def _threads() -> Iterator[tuple[str, ...]]:
    start, one = _starts(32768), None
    for count in range(1, processors() + 1):
        took, _ = _seconds(
            lambda count=count: gpac.solve(lorenz(), t=5.0, initial=start, tol=1e-12, threads=count).check()
        )
        one = one or took
        yield f"{count}", f"{1e3 * took:.3g}", f"{one / took:.2f}"
