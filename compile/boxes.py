"""Boxes of inputs with rational corners."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

Floats = np.ndarray


@dataclass(frozen=True, eq=False)
class Box:
    """A box with rational corners, and doubles around it."""

    low: Floats
    high: Floats

    @staticmethod
    def of(low: Floats, high: Floats, least: Floats | None, most: Floats | None) -> Box:
        """The part of a box that lies within limits, where there are any."""
        return Box(low if least is None else np.maximum(low, least), high if most is None else np.minimum(high, most))

    def holds(self, x: Floats) -> bool:
        """Whether an exact point is inside."""
        return bool((self.low <= x).all() and (x <= self.high).all())

    def doubles(self) -> tuple[Floats, Floats]:
        """Corners of the smallest box of doubles around it."""
        return _rounded(self.low, -1), _rounded(self.high, 1)


def _rounded(values: Floats, side: int) -> Floats:
    """Doubles on one side of exact numbers."""
    out = np.array([float(v) for v in values])
    wrong = np.array([side * (Fraction(float(f)) - v) < 0 for f, v in zip(out, values, strict=True)])
    return np.where(wrong, np.nextafter(out, side * np.inf), out)
