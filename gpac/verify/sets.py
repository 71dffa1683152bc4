"""Inputs as they are given: exact numbers, or sets of them as balls; and the symbols of these sets."""

from __future__ import annotations

from typing import Any

import flint
import numpy as np

from ..arguments import check_signs, named_inputs
from ..circuit import Circuit
from ..errors import NumberError, ShapeError
from ..exact import to_arb, to_exact
from ..interval import is_interval, to_ball
from ..schedule import Schedule
from .affine import Symbols


def exact_inputs(system: Circuit | Schedule, inputs: Any) -> dict[str, list[Any]]:
    """Inputs by name: exact numbers, and balls for what was given as a set."""
    out = {}
    for name, value in named_inputs(system, inputs).items():
        out[name] = [_entry(name, v) for v in _entries(name, value, system.inputs[name])]
        for ball in map(to_arb, out[name]):
            check_signs(name, system.input_signs[name], not ball >= 0, ball.contains(0), not ball <= 0)
    return out


def _entries(name: str, value: Any, width: int) -> list[Any]:
    if isinstance(value, np.ndarray) and value.size == width:
        value = value.ravel()
    entries = list(value) if hasattr(value, "__len__") else [value]
    if len(entries) == width and not any(hasattr(v, "__len__") and not is_interval(v) for v in entries):
        return entries
    raise ShapeError(
        f"input {name!r} must be {width} numbers or intervals (one trajectory), got shape {_shape(value)}; an interval "
        "is a pair in round brackets, (low, high), an mpmath iv number or a flint.arb"
    )


def _shape(value: Any) -> Any:
    try:
        return np.shape(value)
    except ValueError:  # numbers beside lists
        return (len(value),)


def _entry(name: str, value: Any) -> Any:
    try:
        return to_ball(value) if type(value).__name__ == "arb" or is_interval(value) else to_exact(value)
    except NumberError as error:
        raise NumberError(f"input {name!r}: {error}") from error


def is_box(value: Any) -> bool:
    """Whether an input is a ball with a width."""
    return type(value).__name__ == "arb" and not value.is_exact()


def count_boxes(given: dict) -> int:
    """How many numbers are boxes, which is how many symbols there are."""
    return sum(is_box(v) for entries in given.values() for v in entries)


def with_symbols(given: dict) -> tuple[dict[str, list[Any]], dict[str, list[Symbols]]]:
    """Inputs as balls, boxes as their centres with a symbol for each entry that has a radius."""
    count = count_boxes(given)
    values: dict[str, list[Any]] = {}
    symbols: dict[str, list[Symbols]] = {}
    number = 0
    for name, entries in given.items():
        values[name], symbols[name] = [], []
        for v in entries:
            row: Symbols = None
            if is_box(v):
                row = [flint.arb(0)] * count
                row[number], number = v.rad(), number + 1
            values[name].append(v.mid() if is_box(v) else to_arb(v))
            symbols[name].append(row)
    return values, symbols
