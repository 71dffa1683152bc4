"""What a caller may hand to `solve`, `prove` and `measure`, checked and brought to one shape."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import numpy as np

from .circuit import Circuit
from .errors import GpacError, NumberError, ShapeError
from .pivp import PIVP
from .schedule import Schedule

System = Circuit | Schedule | PIVP


def as_runnable(system: System, initial: Any) -> Circuit | Schedule:
    """A circuit or schedule; a PIVP becomes a circuit whose start values are an input where they are given."""
    if isinstance(system, PIVP):
        return system.to_circuit(free_start=initial is not None)
    if not isinstance(system, (Circuit, Schedule)):
        raise GpacError(f"expected a Circuit, Schedule or PIVP, got {type(system).__name__}")
    if initial is not None:
        raise GpacError("initial= sets the start of a PIVP; a circuit's start values are part of it, use inputs=")
    return system


def named_inputs(system: Circuit | Schedule, inputs: Any) -> dict[str, Any]:
    """Inputs by name, not yet checked for size. A bare array serves a system with one input."""
    needed = system.inputs
    if inputs is None:
        given: dict[str, Any] = {}
    elif isinstance(inputs, Mapping):
        given = dict(inputs)
    elif len(needed) == 1:
        given = {next(iter(needed)): inputs}
    else:
        raise ShapeError(f"expected inputs by name for {sorted(needed)}, got one {type(inputs).__name__}")
    unknown, missing = sorted(set(given) - set(needed)), sorted(set(needed) - set(given))
    if unknown:
        raise ShapeError(f"unknown input {unknown[0]!r}; the system has {sorted(needed) or 'no inputs'}")
    if missing:
        raise ShapeError(f"input {missing[0]!r} (size {needed[missing[0]]}) was not given")
    return given


def batch_inputs(system: Circuit | Schedule, inputs: Any, xp: Any) -> tuple[dict[str, Any], int | None]:
    """Inputs as float64 arrays (size, B), and B (None where a single trajectory was given)."""
    given = named_inputs(system, inputs)
    arrays: dict[str, Any] = {}
    sizes = set()
    for name, value in given.items():
        array = _floats(value, name, xp)
        width = system.inputs[name]
        if array.ndim == 0 and width == 1:
            array = array[None]
        if array.ndim > 2:  # images and the like: one row per trajectory
            array = array.reshape(len(array), -1)
        if array.ndim == 0 or array.shape[-1] != width:
            raise ShapeError(f"input {name!r} must have shape ({width},) or (B, {width}), got {array.shape}")
        if not bool(xp.isfinite(array).all()):
            raise NumberError(f"input {name!r} has NaN or inf in it; expected finite numbers")
        check_signs(
            name, system.input_signs[name], bool((array < 0).any()), bool((array == 0).any()), bool((array > 0).any())
        )
        if array.ndim == 2:
            sizes.add(len(array))
        arrays[name] = array
    if len(sizes) > 1:
        raise ShapeError(f"inputs come in batches of different sizes {sorted(sizes)}; they must agree")
    batch = sizes.pop() if sizes else None
    count = 1 if batch is None else batch
    return {n: xp.broadcast_to(a, (count, a.shape[-1])).T for n, a in arrays.items()}, batch


def check_signs(name: str, declared: str, negative: bool, zero: bool, positive: bool) -> None:
    """Raise `NumberError` if an input holds a sign that its circuit declared it never has."""
    for found, sign, word in ((negative, "-", "negative"), (zero, "0", "zero"), (positive, "+", "positive")):
        if found and sign not in declared:
            raise NumberError(f"input {name!r} was declared to have signs {declared!r} only, got a {word} number")


def _floats(value: Any, name: str, xp: Any) -> Any:
    try:
        return xp.asarray(value, dtype=xp.float64)
    except (TypeError, ValueError) as error:
        raise ShapeError(f"input {name!r} must be an array of numbers, got {type(value).__name__}: {error}") from error


def end_times(system: Circuit | Schedule, t: Any, inputs: dict[str, Any], batch: int, tol: float, xp: Any) -> Any:
    """End time of every trajectory (B,): given, or the program's own horizon for `tol`."""
    program = system.program
    if t is None and program.horizon is not None:
        t = float(program.horizon)
    if t is None and program.limit is not None:
        rows = {n: a.T.tolist() for n, a in inputs.items()}
        t = [program.limit.time({n: np.asarray(a[b]) for n, a in rows.items()}, tol) for b in range(batch)]
    if t is None:
        raise GpacError("t is missing: say until when to solve (this system has no horizon of its own)")
    try:
        times = xp.asarray(float(t) if isinstance(t, Fraction) else t, dtype=xp.float64)
    except (TypeError, ValueError) as error:
        raise NumberError(f"t must be a number or an array of numbers, got {t!r}") from error
    if times.shape not in ((), (batch,)):
        raise ShapeError(f"t must be a number or have shape ({batch},), got shape {times.shape}")
    if not bool(xp.isfinite(times).all()):
        raise NumberError(f"t must be finite, got {t!r}")
    return xp.broadcast_to(times, (batch,))


def array_module(values: Any, backend: str) -> Any:
    """numpy or cupy: as asked, or where the inputs live."""
    if backend not in ("auto", "compiled", "numpy", "cupy"):
        raise GpacError(f"expected backend 'auto', 'compiled', 'numpy' or 'cupy', got {backend!r}")
    leaves = list(values.values()) if isinstance(values, Mapping) else [values]
    on_device = any(type(v).__module__.split(".")[0] == "cupy" for v in leaves)
    if backend in ("numpy", "compiled") or (backend == "auto" and not on_device):
        return np
    try:
        import cupy

        cupy.cuda.runtime.getDeviceCount()
    except Exception as error:
        raise GpacError(
            "backend 'cupy' needs CuPy and a CUDA device: pip install 'gpac-compile[gpu]' on a machine that has "
            f"one, or use backend='numpy' ({type(error).__name__})"
        ) from error
    return cupy
