"""What workers of test pools are made to do; a pool's processes import it by name."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

import gpac.solver.batch

MARK = 0.625
"""An input that singles a piece out."""


def die_once(flag: Path) -> None:
    """One worker solves the marked piece and dies before it can say so; `flag` remembers that it did."""
    _at_mark(lambda: _first(flag) and _die())


def die_always() -> None:
    """Whoever takes the marked piece dies."""
    _at_mark(_die)


def _at_mark(act: Any) -> None:
    solve = gpac.solver.batch.solve

    def watched(system: Any, t: Any, inputs: dict, **options: Any) -> Any:
        solution = solve(system, t, inputs, **options)
        if any(np.any(a == MARK) for a in inputs.values()):
            act()
        return solution

    gpac.solver.batch.solve = watched


def _die() -> None:
    os.kill(os.getpid(), 9)


def _first(flag: Path) -> bool:
    try:
        flag.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


class Raises:
    """Says that it is not there when a worker unpacks it."""

    def __reduce__(self) -> Any:
        return open, ("/there is no such file",)
