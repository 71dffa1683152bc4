"""The analog machine: build polynomial ODE systems, run them in batches, prove digits, measure the cost.

Shannon's General Purpose Analog Computer computes with y' = p(y). See README.md for a first session.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .circuit import Circuit
from .errors import CircuitError, GpacError, LoadError, NumberError, ShapeError, SolveError, WorkerError
from .pair import Pair
from .pivp import PIVP
from .schedule import Phase, Schedule
from .wire import bilinear, constant, declared, inputs, integral, linear, product, time, wire

if TYPE_CHECKING:
    from .bounds import Certification, certify
    from .complexity import Measurement, measure
    from .description import Description, describe
    from .export import load, save
    from .invariants import invariant_drift, prove_invariants
    from .solver import Event, Solution, Status, solve
    from .verify import Proof, prove, reference

__version__ = "0.1.0"

_LATER = {
    "solve": "solver",
    "Solution": "solver",
    "Status": "solver",
    "Event": "solver",
    "prove": "verify",
    "Proof": "verify",
    "reference": "verify",
    "Description": "description",
    "describe": "description",
    "invariant_drift": "invariants",
    "prove_invariants": "invariants",
    "certify": "bounds",
    "Certification": "bounds",
    "load": "export",
    "save": "export",
    "measure": "complexity",
    "Measurement": "complexity",
}

__all__ = [
    "PIVP",
    "Certification",
    "Circuit",
    "CircuitError",
    "Description",
    "Event",
    "GpacError",
    "LoadError",
    "Measurement",
    "NumberError",
    "Pair",
    "Phase",
    "Proof",
    "Schedule",
    "ShapeError",
    "Solution",
    "SolveError",
    "Status",
    "WorkerError",
    "bilinear",
    "certify",
    "constant",
    "declared",
    "describe",
    "inputs",
    "integral",
    "invariant_drift",
    "linear",
    "load",
    "measure",
    "product",
    "prove",
    "prove_invariants",
    "reference",
    "save",
    "solve",
    "time",
    "wire",
]


def __getattr__(name: str) -> Any:
    """Import the engines only when they are first used, so that `import gpac` stays cheap."""
    if name in _LATER:
        from importlib import import_module

        return getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
