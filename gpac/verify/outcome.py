"""How a run can end: all outputs enclosed, stuck, or at the end of the solution."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from .affine import Symbols
from .matrix import Ball


@dataclass(frozen=True)
class Limits:
    """When a run gives up: steps of one part, and the widest useful ball (as a power of two).

    With a `goal`, balls are to be narrower than 2**-goal in the end: a part that loses bits too fast for that stops.
    With `most_states`, a part that has more stops before its first step.
    With `ends`, the end of a solution is looked for where it grows; it counts if it lies before `last` (by default the
    end of the run).
    """

    max_steps: int = 20_000
    widest: int = -4
    stop: Callable[[], bool] = field(default=lambda: False)
    goal: float | None = None
    most_states: int | None = None
    ends: bool = True
    last: Any = None


@dataclass(frozen=True)
class Reached:
    """Balls of all outputs at the end, and their rows of symbols (`affine`); `hulls` contain both."""

    outputs: dict[str, list[Ball]]
    rows: dict[str, list[Symbols]]
    hulls: dict[str, list[Ball]]
    steps: int
    order: int


@dataclass(frozen=True)
class Stuck:
    """A run that did not get to the end: why, when, and how many bits more it seems to need, if that is the reason."""

    reason: str
    t: Fraction
    wide: bool
    steps: int
    order: int
    missing: float = 0.0


@dataclass(frozen=True)
class Ends:
    """The solution ends between `low` and `high` (dyadic numbers), before the time asked for."""

    low: Fraction
    high: Fraction
    tight: bool
    steps: int
    order: int
