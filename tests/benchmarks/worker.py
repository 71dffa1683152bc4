"""The loop in which a tool runs, in an interpreter of its own: JSON lines in, JSON lines out. Needs NumPy only.

A tool is a module with NAME, VERSION, `variants(job)` (names of its forms and settings for a job, none if it
does not fit) and `prepare(job, variant, tol)`, which builds the system and returns a function without
arguments that solves the batch and returns float64 (B, m), or (B, m, 2) for sums of two doubles.

    {"do": "variants", "job": file}                           -> {"variants": [...]}
    {"do": "prepare", "job": file, "variant": v, "tol": x, "save": file}   -> {"first": seconds}
    {"do": "run", "job": file, "variant": v, "tol": x}        -> {"seconds": seconds}, prepared before if need be

A short run is repeated for a while, and the median of three more counts: the first ones find the caches full of other
tools' data, and a processor that has slept.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np

SHORT = 0.1
"""Seconds of a run up to which it is made several times, and for how long before it counts."""


@dataclass(frozen=True, eq=False)
class Task:
    """A job as a tool sees it."""

    name: str
    kind: str
    t: float
    arrays: dict[str, np.ndarray]

    def __getitem__(self, name: str) -> np.ndarray:
        return self.arrays[name]

    @property
    def layers(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """(weight, bias) of the hidden layers after the first."""
        last = max(int(name[1:]) for name in self.arrays if name[0] == "w")
        return [(self[f"w{k}"], self[f"b{k}"]) for k in range(2, last)]

    @property
    def widths(self) -> list[int]:
        """Neurons of every hidden layer."""
        return [self["c"].shape[1], *(len(b) for _, b in self.layers)]

    def answer(self, neurons: np.ndarray) -> np.ndarray:
        """From all neurons at t = 1, (B, n), what the job asks for."""
        if self.name != "MNIST":
            return neurons
        weight, bias = self[f"w{len(self.widths) + 1}"], self[f"b{len(self.widths) + 1}"]
        return neurons[:, -weight.shape[1] :] @ weight.T + bias


@cache
def task(path: str) -> Task:
    """Read a job's file."""
    with np.load(path) as stored:
        arrays = {name: stored[name] for name in stored.files}
    return Task(str(arrays.pop("name")), str(arrays.pop("kind")), float(arrays.pop("t")), arrays)


def serve(tool: Any) -> None:
    """Answer commands until the input ends; whatever the tool prints goes to stderr."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    ready: dict[tuple[str, float], Callable[[], np.ndarray]] = {}
    print(json.dumps({"name": tool.NAME, "version": tool.VERSION}), file=answers, flush=True)
    for line in sys.stdin:
        try:
            answer = _answer(tool, json.loads(line), ready)
        except Exception as error:
            answer = {"refused": f"{type(error).__name__}: {error}"[:400]}
        print(json.dumps(answer), file=answers, flush=True)


def _answer(tool: Any, command: dict, ready: dict) -> dict:
    if command["do"] == "variants":
        return {"variants": list(tool.variants(task(command["job"])))}
    job = task(command["job"])
    key = command["variant"], command["tol"]
    if command["do"] == "prepare":
        begin = perf_counter()
        run = tool.prepare(job, *key)
        result = run()
        first = perf_counter() - begin
        np.save(command["save"], result)
        ready[key] = run
        return {"first": first}
    if key not in ready:
        ready[key] = tool.prepare(job, *key)
        ready[key]()
    seconds = spent = _seconds(ready[key])
    if seconds < SHORT:
        while spent < SHORT:
            spent += _seconds(ready[key])
        seconds = median(_seconds(ready[key]) for _ in range(3))
    return {"seconds": seconds}


def _seconds(run: Callable[[], np.ndarray]) -> float:
    begin = perf_counter()
    run()
    return perf_counter() - begin


if __name__ == "__main__":
    serve(import_module(f"benchmarks.{sys.argv[1]}"))
