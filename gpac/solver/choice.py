"""Which engine advances a circuit: as asked, or by a cost model whose reasons are told."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from ..circuit import Circuit
from ..errors import GpacError
from ..wire import Linear
from .arrays import ArrayEngine
from .rungekutta import RungeKuttaEngine
from .stiff import StiffEngine
from .stiffness import WatchedEngine
from .task import Engine, Settings

METHODS = ("auto", "taylor", "rungekutta", "stiff", "Radau", "BDF", "LSODA")
WIDE = 2_000_000
"""Weights above which matrices no longer stay in a core's cache and BLAS on blocks of lanes is as good."""
COST = {"compiled": 300.0, "arrays": 30.0}
"""A Radau step (0.6 to 1 ms) in Taylor steps: of compiled lanes (some 3 us), of arrays (a lane of 16: some 30 us)."""


@dataclass(frozen=True)
class Choice:
    """An engine made for one circuit, and the sentence that says why this one."""

    engine: Engine
    reason: str

    def __str__(self) -> str:
        return f"{self.engine.name}: {self.reason}{getattr(self.engine, 'note', '')}"


def choose(circuit: Circuit, settings: Settings, xp: Any, backend: str, method: str = "auto") -> Choice:
    """The engine for a circuit whose inputs live in the array module `xp`."""
    check(backend, method)
    if method == "rungekutta":
        return Choice(RungeKuttaEngine(circuit, settings, xp), "asked for with method='rungekutta'")
    if method not in ("auto", "taylor"):
        name = "Radau" if method == "stiff" else method
        return Choice(StiffEngine(circuit, settings, xp, name), f"asked for with method={method!r}")
    choice = _taylor(circuit, settings, xp, backend)
    if method == "taylor":
        return choice
    cost = COST["arrays" if isinstance(choice.engine, ArrayEngine) else "compiled"]
    return Choice(WatchedEngine(choice.engine, circuit, settings, xp, cost), choice.reason)


def check(backend: str, method: str) -> None:
    """Raise `GpacError` if there is no such method, or none on this backend."""
    if method not in METHODS:
        known = ", ".join(map(repr, METHODS[:-1]))
        raise GpacError(f"expected method {known} or {METHODS[-1]!r}, got {method!r}")
    if method == "rungekutta" and backend == "compiled":
        raise GpacError(
            "method='rungekutta' runs on arrays: use backend='auto', 'numpy' or 'cupy', or method='taylor' "
            "with backend='compiled'"
        )
    if method in METHODS[3:] and backend in ("compiled", "cupy"):
        raise GpacError(
            f"method={method!r} runs SciPy's code on the processor, one trajectory at a time: use backend='auto' "
            f"or 'numpy', or method='taylor' with backend={backend!r}"
        )


def _taylor(circuit: Circuit, settings: Settings, xp: Any, backend: str) -> Choice:
    if xp.__name__ == "cupy":
        return Choice(ArrayEngine(circuit, settings, xp), "the inputs live on the device")
    if backend == "numpy":
        return Choice(ArrayEngine(circuit, settings, xp), "asked for with backend='numpy'")
    if backend == "compiled":
        return Choice(_lanes(circuit, settings), "asked for with backend='compiled'")
    if find_spec("llvmlite") is None:
        return Choice(ArrayEngine(circuit, settings, xp), "llvmlite is not installed")
    if _weights(circuit) > WIDE:
        return Choice(ArrayEngine(circuit, settings, xp), f"more than {WIDE} weights, best left to BLAS")
    return Choice(_lanes(circuit, settings), "the fastest for this size")


def _lanes(circuit: Circuit, settings: Settings) -> Engine:
    if find_spec("llvmlite") is None:
        raise GpacError("backend='compiled' needs llvmlite: pip install llvmlite, or use backend='numpy'")
    from .lanes.engine import LaneEngine

    return LaneEngine(circuit, settings)


def _weights(circuit: Circuit) -> int:
    """Numbers in the matrices that are applied at every order."""
    matrices = [m for w in circuit.wires if isinstance(w, Linear) for m, _ in w.terms]
    return sum(m.nnz if hasattr(m, "nnz") else m.size for m in matrices)
