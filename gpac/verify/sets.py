"""Inputs as they are given: exact numbers, or sets of them as balls; and the symbols of these sets."""

from __future__ import annotations

from typing import Any

import flint

from ..arguments import check_signs, named_inputs
from ..circuit import Circuit
from ..errors import ShapeError
from ..exact import to_arb, to_exact
from ..schedule import Schedule
from .affine import Symbols


def exact_inputs(system: Circuit | Schedule, inputs: Any) -> dict[str, list[Any]]:
    import numpy as np

    out = {}
    for name, value in named_inputs(system, inputs).items():
        width = system.inputs[name]
        if isinstance(value, np.ndarray):
            value = value.ravel() if value.size == width else value
        entries = list(value) if hasattr(value, "__len__") else [value]
        if len(entries) != width or any(hasattr(v, "__len__") for v in entries):
            raise ShapeError(f"input {name!r} must be {width} numbers (one trajectory), got shape {np.shape(value)}")
        out[name] = [v if type(v).__name__ == "arb" else to_exact(v) for v in entries]
        for ball in map(to_arb, out[name]):
            check_signs(name, system.input_signs[name], not ball >= 0, ball.contains(0), not ball <= 0)
    return out


def is_box(value: Any) -> bool:
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
