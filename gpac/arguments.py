"""What a caller may hand to `solve`, `prove` and `measure`, checked and brought to one shape."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .circuit import Circuit
from .errors import GpacError, NumberError, ShapeError
from .exact import exact_array, to_doubles
from .pair import Pair, each_part, leading, two_sum
from .pivp import PIVP
from .schedule import Schedule
from .signs import ANY

System = Circuit | Schedule | PIVP
LONGEST = 1e300
"""Time up to which double-double numbers can be multiplied without overflow in their parts."""


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
    elif not needed:
        raise ShapeError("the system has no inputs: leave inputs= out (start values of a PIVP are given as initial=)")
    else:
        raise ShapeError(f"expected inputs by name for {sorted(needed)}, got one {type(inputs).__name__}")
    unknown, missing = sorted(set(given) - set(needed)), sorted(set(needed) - set(given))
    if unknown:
        raise ShapeError(f"unknown input {unknown[0]!r}; the system has {sorted(needed) or 'no inputs'}")
    if missing:
        raise ShapeError(f"input {missing[0]!r} (size {needed[missing[0]]}) was not given")
    return given


def batch_inputs(
    system: Circuit | Schedule, inputs: Any, xp: Any, precision: str = "double"
) -> tuple[dict[str, Any], int | None]:
    """Inputs as float64 arrays or `Pair`s (size, B), and B (None where a single trajectory was given)."""
    given = named_inputs(system, inputs)
    arrays: dict[str, Any] = {}
    sizes = set()
    for name, value in given.items():
        array = reals(value, f"input {name!r}", xp, precision)
        width = system.inputs[name]
        if array.ndim == 0 and width == 1:
            array = array[None]
        if array.ndim > 2:  # images and the like: one row per trajectory
            array = array.reshape(len(array), -1)
        if array.ndim == 0 or array.shape[-1] != width:
            raise ShapeError(f"input {name!r} must have shape ({width},) or (B, {width}), got {array.shape}")
        lead = leading(array)
        if not bool(xp.isfinite(lead).all()):
            raise NumberError(f"input {name!r} has NaN or inf in it; expected finite numbers")
        signs = system.input_signs[name]
        if signs != ANY:
            check_signs(name, signs, bool((lead < 0).any()), bool((lead == 0).any()), bool((lead > 0).any()))
        if array.ndim == 2:
            sizes.add(len(array))
        arrays[name] = array
    if len(sizes) > 1:
        raise ShapeError(f"inputs come in batches of different sizes {sorted(sizes)}; they must agree")
    batch = sizes.pop() if sizes else None
    count = 1 if batch is None else batch
    return {n: each_part(lambda p: xp.broadcast_to(p, (count, p.shape[-1])).T, a) for n, a in arrays.items()}, batch


def check_signs(name: str, declared: str, negative: bool, zero: bool, positive: bool) -> None:
    """Raise `NumberError` if an input holds a sign that its circuit declared it never has."""
    for found, sign, word in ((negative, "-", "negative"), (zero, "0", "zero"), (positive, "+", "positive")):
        if found and sign not in declared:
            raise NumberError(f"input {name!r} was declared to have signs {declared!r} only, got a {word} number")


def reals(value: Any, name: str, xp: Any, precision: str) -> Any:
    """Numbers as a float64 array, or as a `Pair` in double-double precision.

    Raises `ShapeError` for what is no array of real numbers, and `NumberError` where one of them is hidden by a mask
    or larger than any double.
    """
    try:
        if precision != "double-double":
            return xp.asarray(_real(np.asanyarray(value) if xp is np else value), dtype=xp.float64)
        if isinstance(value, Pair):
            return Pair(*two_sum(*(xp.asarray(part, dtype=xp.float64) for part in (value.high, value.low))))
        value = _real(value)
        if getattr(value, "dtype", np.dtype(object)).kind in "fiub" and value.dtype.itemsize <= 4:
            value = xp.asarray(value, dtype=xp.float64)
        if getattr(value, "dtype", None) == np.float64:
            return Pair(xp.asarray(value), xp.zeros(value.shape))
        return Pair(*map(xp.asarray, to_doubles(exact_array(value))))
    except NumberError as error:
        raise NumberError(f"{name}: {error}") from error
    except OverflowError as error:
        raise NumberError(f"{name}: expected numbers within the range of doubles, up to 1.8e308") from error
    except (TypeError, ValueError) as error:
        raise ShapeError(f"{name} must be an array of numbers, got {type(value).__name__}: {error}") from error


def _real(value: Any) -> Any:
    """The same, unless NumPy would make doubles of it that it does not mean."""
    kind = getattr(getattr(value, "dtype", None), "kind", "O")
    if kind in "cmMSV":
        raise TypeError(f"its entries are {value.dtype}, not real numbers")
    if np.ma.is_masked(value):
        raise NumberError("expected numbers everywhere, got an array with masked entries; fill or drop them")
    return value


def end_times(
    system: Circuit | Schedule,
    t: Any,
    inputs: dict[str, Any],
    batch: int,
    tol: float,
    xp: Any,
    precision: str = "double",
) -> Any:
    """End time of every trajectory (B,): given, or the program's own horizon for `tol`."""
    program = system.program
    if t is None:
        t = program.horizon
    if t is None and program.limit is not None:
        rows = {n: leading(a).T.tolist() for n, a in inputs.items()}
        t = [program.limit.time({n: np.asarray(a[b]) for n, a in rows.items()}, tol) for b in range(batch)]
    if t is None:
        raise GpacError("t is missing: say until when to solve (this system has no horizon of its own)")
    try:
        times = reals(t, "t", xp, precision)
    except NumberError:
        raise
    except (TypeError, ValueError) as error:
        raise NumberError(f"t must be a number or an array of numbers, got {t!r}") from error
    if times.shape not in ((), (batch,)):
        raise ShapeError(f"t must be a number or have shape ({batch},), got shape {times.shape}")
    if not bool(xp.isfinite(leading(times)).all()):
        raise NumberError(f"t must be finite, got {t!r}")
    if precision == "double-double" and bool((abs(leading(times)) > LONGEST).any()):
        raise NumberError(f"double-double products end near {LONGEST:g}: t must not lie beyond it, got {t!r}")
    return each_part(lambda p: xp.broadcast_to(p, (batch,)), times)


def array_module(values: Any, backend: str) -> Any:
    """numpy or cupy: as asked, or where the inputs live."""
    if backend not in ("auto", "compiled", "numpy", "cupy"):
        raise GpacError(f"expected backend 'auto', 'compiled', 'numpy' or 'cupy', got {backend!r}")
    leaves = [leading(v) for v in (values.values() if isinstance(values, Mapping) else [values])]
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
