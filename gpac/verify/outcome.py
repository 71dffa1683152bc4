"""How a run can end: all outputs enclosed, stuck, or at the end of the solution."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction

from .affine import Symbols
from .matrix import Ball


@dataclass(frozen=True)
class Limits:
    """When a run gives up: steps of one part, and the widest useful ball (as a power of two)."""

    max_steps: int = 20_000
    widest: int = -4
    stop: Callable[[], bool] = field(default=lambda: False)


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
    """A run that did not get to the end: why, when, and the state there."""

    reason: str
    t: Fraction
    wide: bool
    steps: int
    order: int


@dataclass(frozen=True)
class Ends:
    """The solution ends between `low` and `high` (dyadic numbers), before the time asked for."""

    low: Fraction
    high: Fraction
    tight: bool
    steps: int
    order: int
