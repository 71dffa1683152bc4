"""What a caller says about a run besides the system and its inputs, checked and brought to one form."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from numbers import Real
from typing import Any

import numpy as np

from ..errors import GpacError, NumberError
from .task import EPS, Limits, Settings

LEAST_TOL = {"double": EPS / 2, "double-double": 2.0**-100, "single": 2.0**-21}
"""Smallest tolerance: what the arithmetics have."""
MOST_STEPS = 2**53
"""Steps that engines can count."""


def settings_of(tol: Any, atol: Any, dense: Any, length: Any, precision: Any) -> Settings:
    """What is asked of every step."""
    if precision not in LEAST_TOL:
        raise GpacError(f"expected precision 'double', 'double-double' or 'single', got {precision!r}")
    if not LEAST_TOL[precision] <= _number(tol) <= 0.1:
        others = ", ".join(f"precision={n!r} has {least:.2g}" for n, least in LEAST_TOL.items() if n != precision)
        raise NumberError(
            f"tol must lie between {LEAST_TOL[precision]:.2g}, what precision={precision!r} has ({others}), "
            f"and 0.1, got {tol!r}; for more digits use gpac.prove"
        )
    atol = tol if atol is None else atol
    if not 0 < _number(atol) < math.inf:
        raise NumberError(f"atol must be positive and finite, got {atol!r}")
    return Settings(float(tol), float(atol), (), _flag("dense", dense), _flag("length", length), precision)


def limits_of(max_steps: Any, max_seconds: Any, threads: Any) -> Limits:
    """When an engine stops short."""
    limits = Limits(_count("max_steps", max_steps), threads=None if threads is None else _count("threads", threads))
    if max_seconds is None:
        return limits
    if not _number(max_seconds) > 0:
        raise NumberError(f"max_seconds must be positive, got {max_seconds!r}; leave it out for no limit")
    return replace(limits, deadline=time.monotonic() + float(max_seconds))


def seconds_left(deadline: float) -> float | None:
    """What is left of the time allowed, as `max_seconds`; the least that can be given where there is none."""
    return None if deadline == math.inf else max(1e-9, deadline - time.monotonic())


def check_progress(progress: Any) -> None:
    """Raise `GpacError` for what can be told nothing."""
    if not (progress is None or isinstance(progress, bool) or callable(progress)):
        raise GpacError(f"progress must be True, or a function of the fraction that is done, got {progress!r}")


def _count(name: str, value: Any) -> int:
    number = _number(value)
    if not (number >= 1 and (number == math.inf or number.is_integer())):
        raise NumberError(f"{name} must be at least 1, a whole number, got {value!r}")
    return int(min(number, MOST_STEPS))


def _number(value: Any) -> float:
    """A double; NaN for what is no real number."""
    return float(value) if isinstance(value, Real) else math.nan


def _flag(name: str, value: Any) -> bool:
    if not isinstance(value, (bool, np.bool_)):
        raise GpacError(f"{name} must be True or False, got {value!r}")
    return bool(value)
