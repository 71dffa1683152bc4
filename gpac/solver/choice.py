"""Which engine advances a circuit: as asked, or by a cost model whose reasons are told.

Runge-Kutta steps (DOP853) are taken where they are asked for and never chosen. Processor milliseconds of one core
at tolerances 1e-3 / 1e-6 / 1e-9, and the errors reached at 1e-6:

    job                                compiled Taylor      NumPy Taylor     NumPy DOP853      errors at 1e-6
    Lorenz, t = 2, 1024 starts         0.56 / 0.70 / 0.91   18 / 34 / 47     16 / 28 / 54      9e-7, 6e-7, 1e-6
    neural ODE 2-16-2, 4096            1.5 / 2.2 / 3.0      44 / 82 / 135    37 / 60 / 110     8e-9, 2e-8, 3e-8
    neural ODE 64-256-64, 256          9.2 / 15 / 23        59 / 118 / 184   77 / 115 / 207    5e-9, 6e-9, 8e-9
    neural ODE 256-1024-256, 64        27 / 47 / 65         119 / 240 / 352  165 / 231 / 441   3e-9, 4e-9, 2e-9
    homotopy of 2-64-64-1, 1024        11 / 19 / 29         166 / 345 / 474  181 / 295 / 573   1e-8, 1e-8, 1e-9
    homotopy of 784-128-64-10, 256     5.2 / 8.0 / 11       40 / 75 / 115    49 / 74 / 143     2e-8, 2e-8, 9e-10
    homotopy of 16-6x64-1, 64          2.7 / 5.1 / 8.0      27 / 52 / 77     28 / 45 / 88      7e-8, 5e-8, 2e-9
    homotopy of MNIST 6x200, 20        206 / - / -          2180 / - / -     1460 / - / -      (1e-3: 6e-5, 1e-4, 3e-6)

So compiled Taylor steps are 4 to 60 times cheaper at every size; without them the two methods on arrays differ by
at most a factor 1.5 either way at the same tolerance, and Taylor polynomials are dense output for nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from ..circuit import Circuit
from ..errors import GpacError
from .prepared import prepared
from .stiffness import ExplicitEngine, WatchedEngine
from .task import Engine, Settings

METHODS = ("auto", "taylor", "rungekutta", "stiff", "Radau", "BDF", "LSODA")
MANY = 1000
"""Units of a circuit above which writing and compiling its code takes seconds."""


@dataclass(frozen=True)
class Choice:
    """An engine made for one circuit, and the sentence that says why this one."""

    engine: Engine
    reason: str

    def __str__(self) -> str:
        return f"{self.engine.name}: {self.reason}{getattr(self.engine, 'note', '')}"


def choose(circuit: Circuit, settings: Settings, xp: Any, backend: str, method: str = "auto") -> Choice:
    """The engine for a circuit whose inputs live in the array module `xp`."""
    check(backend, method, settings.precision)
    if method == "rungekutta":
        from .rungekutta import RungeKuttaEngine

        return Choice(RungeKuttaEngine(circuit, settings, xp), "asked for with method='rungekutta'")
    if method not in ("auto", "taylor"):
        from .stiff import StiffEngine

        name = "Radau" if method == "stiff" else method
        return Choice(StiffEngine(circuit, settings, xp, name), f"asked for with method={method!r}")
    engine, reason = _taylor(circuit, settings, xp, backend)
    if method == "taylor" or settings.precision != "double":  # the methods for stiff systems have no more than double
        return Choice(engine, reason)
    return Choice(WatchedEngine(engine, circuit, settings, xp), reason)


def check(backend: str, method: str, precision: str = "double") -> None:
    """Raise `GpacError` if there is no such method, or none on this backend or in this precision."""
    if method not in METHODS:
        known = ", ".join(map(repr, METHODS[:-1]))
        raise GpacError(f"expected method {known} or {METHODS[-1]!r}, got {method!r}")
    if method not in ("auto", "taylor") and precision != "double":
        raise GpacError(f"method={method!r} runs in doubles only: use method='taylor' with precision={precision!r}")
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


def _taylor(circuit: Circuit, settings: Settings, xp: Any, backend: str) -> tuple[ExplicitEngine, str]:
    if xp.__name__ == "cupy":
        return _on_device(circuit, settings, xp)
    if settings.precision == "single":
        raise GpacError("precision='single' runs on a CUDA device only: use backend='cupy', or leave precision= out")
    if backend == "numpy":
        return (_arrays(circuit, settings, xp), "asked for with backend='numpy'")
    if backend == "compiled":
        return (_lanes(circuit, settings), "asked for with backend='compiled'")
    if find_spec("llvmlite") is None:
        return (_arrays(circuit, settings, xp), "llvmlite is not installed")
    if len(circuit.wires) > MANY and settings.precision == "double":
        return (_arrays(circuit, settings, xp), f"more than {MANY} units take long to compile")
    return (_lanes(circuit, settings), "the fastest for this size")


def _on_device(circuit: Circuit, settings: Settings, xp: Any) -> tuple[ExplicitEngine, str]:
    from .cuda.engine import MOST_WEIGHTS, CudaEngine, fits

    if fits(circuit, settings):
        return (CudaEngine(circuit, settings, xp), "on the device, where a kernel is the fastest for this size")
    reason = f"on the device; with more than {MOST_WEIGHTS} weights or long series, best left to cuBLAS"
    return (_arrays(circuit, settings, xp), reason)


def _arrays(circuit: Circuit, settings: Settings, xp: Any) -> ExplicitEngine:
    from .arrays import ArrayEngine

    return ArrayEngine(circuit, settings, xp)


def _lanes(circuit: Circuit, settings: Settings) -> ExplicitEngine:
    if find_spec("llvmlite") is None:
        raise GpacError("backend='compiled' needs llvmlite: pip install llvmlite, or use backend='numpy'")
    from .lanes.engine import LaneEngine

    return prepared(circuit, "lanes", settings, lambda: LaneEngine(circuit, settings))
