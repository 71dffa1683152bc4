"""How far the smooth network of a report is from the network in the file."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from ..balls import Enclosure, enclose_forward
from ..distance import distance
from ..network import Network, forward


@dataclass(frozen=True, eq=False)
class Nearness:
    """Figures on the distance.

    Attributes
    ----------
    delta : what every function with a kink was allowed
    everywhere : proven bound on any output for all inputs (inf where there is none)
    proven : largest proven bound over the inputs judged
    judged : their number
    seen : largest difference of both networks in float64, over all inputs
    forward : outputs of the network with kinks (B, m)
    exact : its outputs at the first input, in balls
    """

    delta: Fraction
    everywhere: float
    proven: float
    judged: int
    seen: float
    forward: np.ndarray
    exact: Enclosure


def nearness(
    network: Network, delta: Fraction, x: np.ndarray, outputs: np.ndarray, judged: int, digits: int
) -> Nearness:
    """The figures for inputs x (B, size) at which the smooth network has `outputs`."""
    kinked = forward(network.original, x)
    bounds = [float(distance(network, row).bound) for row in x[:judged]]
    return Nearness(
        delta,
        float(network.distance()),
        max(bounds),
        len(bounds),
        float(np.abs(outputs - kinked).max()),
        kinked,
        enclose_forward(network.original, x[0], digits=digits),
    )


def words(near: Nearness) -> str:
    """The figures in a sentence."""
    everywhere = f"{near.everywhere:.3g}" if np.isfinite(near.everywhere) else "not bounded"
    return (
        f"Functions with kinks are replaced by analytic ones within {float(near.delta):.3g} of them. The outputs are "
        f"proven to be within {near.proven:.3g} of the network's own on the first {near.judged} inputs, for all "
        f"inputs the bound is {everywhere}; the largest difference seen, in float64, is {near.seen:.3g}."
    )


def near_figures(near: Nearness, digits: int) -> dict[str, Any]:
    """The same as plain data."""
    return {
        "delta": str(near.delta),
        "bound_for_all_inputs": near.everywhere if np.isfinite(near.everywhere) else None,
        "largest_proven_bound": near.proven,
        "inputs_judged": near.judged,
        "largest_difference_seen": near.seen,
        "network_itself_at_first_input": [b.str(digits + 3, radius=True) for b in near.exact.balls],
    }
