"""How far a network of N layers is from the flow it discretises, measured for many N, and the order of the method."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import gpac

from ..field import Field
from ..network import Network, forward
from ..schemes import flow
from .steps import Method, euler, unrolled


@dataclass(frozen=True, eq=False)
class Gap:
    """Largest difference over inputs and entries, by depth.

    Attributes
    ----------
    depths : (K,) numbers of layers
    differences : float64 (K,), unit: state
    """

    depths: tuple[int, ...]
    differences: np.ndarray

    @property
    def order(self) -> float:
        """Slope of -log(difference) over log(depth), fitted by least squares."""
        return float(-np.polyfit(np.log(self.depths), np.log(self.differences), 1)[0])


def measure_gap(
    field: Network | Field,
    x: Any,
    depths: Sequence[int] = (16, 32, 64, 128),
    duration: Any = 1,
    method: Method = euler,
    tol: float = 1e-14,
) -> Gap:
    """Unroll `method` at every depth and compare with the flow of `field`, solved to `tol`, at the inputs x (B, n)."""
    x = np.atleast_2d(np.asarray(x, dtype=np.float64))
    truth = gpac.solve(flow(field, duration), inputs=x, tol=tol).check().outputs
    found = [forward(unrolled(method, field, duration, depth), x) for depth in depths]
    return Gap(tuple(depths), np.array([np.abs(y - truth).max() for y in found]))
