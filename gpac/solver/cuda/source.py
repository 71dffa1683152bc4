"""Write a circuit's kernel: its recurrences as CUDA C++, between headers that are the same for all circuits."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ..recurrences import Recurrences
from .layout import Arithmetic, Layout
from .units import UnitCode

TYPES = {
    Arithmetic.FLOAT: ("float", "float", "double"),
    Arithmetic.DOUBLE: ("double", "double", "double"),
    Arithmetic.DOUBLE_DOUBLE: ("struct DoubleDouble", "double", "struct DoubleDouble"),
}
"""Types of the numbers of a series, of sizes among them, and of times."""
ROUNDING = {Arithmetic.FLOAT: (2.0**-52, 2.0**-23), Arithmetic.DOUBLE: (2.0**-52,) * 2}
ROUNDING[Arithmetic.DOUBLE_DOUBLE] = (2.0**-102,) * 2
"""Unit of rounding of times and of numbers."""
SLACK = {Arithmetic.FLOAT: 1e2, Arithmetic.DOUBLE: 1e4, Arithmetic.DOUBLE_DOUBLE: 1e4}
"""Roundings that the check of the slope lets pass."""
GAUSS = ((0.06943184420297371, 0.17392742256872693), (0.33000947820757187, 0.32607257743127307))
"""Nodes and weights of 4-point Gauss-Legendre on (0, 1); the other two mirror them."""


@dataclass(frozen=True)
class Steps:
    """What is fixed when the kernel is written: see `gpac.solve`; `floor` is atol / tol."""

    order: int
    tol: float
    floor: float
    length: bool
    keep: bool


def source(recurrences: Recurrences, steps: Steps, layout: Layout, arithmetic: Arithmetic) -> str:
    """The text of the kernel `run`; it includes nothing."""
    units = UnitCode(recurrences, layout)
    parts = [
        _settings(recurrences, steps, layout, arithmetic, units),
        *(_header(name) for name in ("number.h", "group.h", "work.h")),
        units.text(),
        _header("step.h"),
    ]
    return "\n".join(parts)


@cache
def _header(name: str) -> str:
    return (Path(__file__).parent / name).read_text()


def _settings(r: Recurrences, steps: Steps, layout: Layout, arithmetic: Arithmetic, units: UnitCode) -> str:
    number, weight, moment = TYPES[arithmetic]
    of_time, of_numbers = ROUNDING[arithmetic]
    bits = 100 if arithmetic is Arithmetic.FLOAT else 1000
    gauss = [*GAUSS, *((1 - x, w) for x, w in GAUSS)]
    watched = len(r.moving_watched)
    numbers = {
        "ORDER": steps.order,
        "WINDOW": max(2, steps.order - max(2, steps.order // 5)),
        "GROUP": layout.group,
        "BLOCK": layout.block,
        "BLOCKS": layout.blocks(arithmetic),
        "ARENA": layout.arena,
        "REGISTERS": int(layout.registers),
        "SHARED": int(layout.shared),
        "KEEP": int(steps.keep),
        "LENGTH": int(steps.length),
        "DIM": r.dim,
        "NOW": r.now_size,
        "SERIES": units.series_size,
        "RATES": units.rates_size,
        "STATES": units.states_size,
        "STILL": r.still_size,
        "WATCHED": watched,
        "TOL": _double(steps.tol),
        "LOG_TOL": _double(math.log2(steps.tol)),
        "FLOOR": _double(steps.floor),
        "TIME_ROUNDING": _double(of_time),
        "SLACK": _double(SLACK[arithmetic] * of_numbers),
        "SMALLEST_UNIT": _double(2.0**-bits),
        "LARGEST_UNIT": _double(2.0**bits),
        "LARGEST_WEIGHT": "1e30" if arithmetic is Arithmetic.FLOAT else "1e100",
        "GAUSS_NODES": "{" + ", ".join(_double(x) for x, _ in gauss) + "}",
        "GAUSS_WEIGHTS": "{" + ", ".join(_double(w) for _, w in gauss) + "}",
    }
    lines = [f"// Taylor steps of order {steps.order}: {layout}."]
    lines += [f"#define {name} {value}" for name, value in numbers.items()]
    lines += [f"typedef {number} Number;", f"typedef {weight} Lead;", f"typedef {moment} Moment;"]
    return "\n".join(lines) + "\n"


def _double(a: float) -> str:
    return a.hex() if math.isfinite(a) else "INFINITE"
