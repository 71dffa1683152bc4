"""Which engine advances a circuit: as asked, or by a cost model whose reasons are told."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from ..circuit import Circuit
from ..errors import GpacError
from ..wire import Linear
from .arrays import ArrayEngine
from .task import Engine, Settings

BACKENDS = ("auto", "compiled", "numpy", "cupy")
WIDE = 2_000_000
"""Weights above which matrices no longer stay in a core's cache and BLAS on blocks of lanes is as good."""


@dataclass(frozen=True)
class Choice:
    """An engine made for one circuit, and the sentence that says why this one."""

    engine: Engine
    reason: str

    def __str__(self) -> str:
        return f"{self.engine.name}: {self.reason}"


def choose(circuit: Circuit, settings: Settings, xp: Any, backend: str) -> Choice:
    """The engine for a circuit whose inputs live in the array module `xp`."""
    if xp.__name__ == "cupy":
        return _on_device(circuit, settings, xp)
    if backend == "numpy":
        return Choice(ArrayEngine(circuit, settings, xp), "asked for with backend='numpy'")
    if backend == "compiled":
        return Choice(_lanes(circuit, settings), "asked for with backend='compiled'")
    if find_spec("llvmlite") is None:
        return Choice(ArrayEngine(circuit, settings, xp), "llvmlite is not installed")
    if _weights(circuit) > WIDE:
        return Choice(ArrayEngine(circuit, settings, xp), f"more than {WIDE} weights, best left to BLAS")
    return Choice(_lanes(circuit, settings), "the fastest for this size")


def _on_device(circuit: Circuit, settings: Settings, xp: Any) -> Choice:
    from .cuda.engine import MOST_WEIGHTS, CudaEngine, fits

    if fits(circuit, settings):
        return Choice(CudaEngine(circuit, settings, xp), "on the device, where a kernel is the fastest for this size")
    reason = f"on the device; with more than {MOST_WEIGHTS} weights or long series, best left to cuBLAS"
    return Choice(ArrayEngine(circuit, settings, xp), reason)


def _lanes(circuit: Circuit, settings: Settings) -> Engine:
    if find_spec("llvmlite") is None:
        raise GpacError("backend='compiled' needs llvmlite: pip install llvmlite, or use backend='numpy'")
    from .lanes.engine import LaneEngine

    return LaneEngine(circuit, settings)


def _weights(circuit: Circuit) -> int:
    """Numbers in the matrices that are applied at every order."""
    matrices = [m for w in circuit.wires if isinstance(w, Linear) for m, _ in w.terms]
    return sum(m.nnz if hasattr(m, "nnz") else m.size for m in matrices)
