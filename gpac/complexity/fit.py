"""How a cost grows: least-squares lines and powers through measured points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Fit:
    """A fitted law.

    Attributes
    ----------
    law : str
        "line" for a + b n, "power" for a n**b.
    a, b : float
    r2 : float
        Share of the variance explained (in logarithms for a power).
    """

    law: str
    a: float
    b: float
    r2: float

    def __str__(self) -> str:
        shape = f"{self.a:.4g} + {self.b:.4g} n" if self.law == "line" else f"{self.a:.3g} n^{self.b:.2f}"
        return f"{shape} (R2 = {self.r2:.4f})"


def fit_line(n: Sequence[float], cost: Sequence[float]) -> Fit:
    """Least-squares a + b n through at least two points."""
    a, b, r2 = _least_squares(np.asarray(n, dtype=float), np.asarray(cost, dtype=float))
    return Fit("line", a, b, r2)


def fit_power(n: Sequence[float], cost: Sequence[float]) -> Fit:
    """Least-squares a n**b in logarithms, for positive numbers.

    >>> print(fit_power([1, 2, 4], [3, 12, 48]))
    3 n^2.00 (R2 = 1.0000)
    """
    a, b, r2 = _least_squares(np.log(np.asarray(n, dtype=float)), np.log(np.asarray(cost, dtype=float)))
    return Fit("power", float(np.exp(a)), b, r2)


def _least_squares(x: np.ndarray, y: np.ndarray) -> tuple[float, float, float]:
    b, a = np.polyfit(x, y, 1)
    left = float(((y - a - b * x) ** 2).sum())
    total = float(((y - y.mean()) ** 2).sum())
    return float(a), float(b), 1.0 if total == 0 else 1 - left / total
