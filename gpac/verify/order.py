"""How far a Taylor step goes: order of the series for a working precision, and when to compute it in fixed point."""

from __future__ import annotations

from math import ceil, log

FIXED_BITS = 300
"""From this precision on, coefficients are computed in fixed point with fast products (measured)."""
SCOUT_ORDER, SCOUT_BITS = 48, 128
"""The short expansion that tells how long a step in fixed point will be."""
BLOCKED_ORDER = 256
"""From this order on, the bound on what a step leaves out sums up terms in blocks."""


def in_fixed_point(bits: int) -> bool:
    """Whether coefficients are computed in fixed point at this precision."""
    return bits >= FIXED_BITS


def best_order(bits: int) -> int:
    """Order of the steps, from how fast their terms shall fall off.

    Steps are exp(-decay) of the radius of convergence, so that their number grows like exp(decay), and their order
    is bits log(2) / decay. With products term by term a run costs about exp(decay) / decay**2, which is least at
    2; with fast products about exp(decay) / decay, which is least at 1.
    """
    decay = 1 + 1 / (1 + bits / 1000) if in_fixed_point(bits) else 2.0
    order = max(8, ceil(log(2) * bits / decay) + 2)
    return order + 2 * (block_length(order) - 1)


def block_length(order: int) -> int:
    """Orders whose terms are summed up together in bounds; pairs of blocks then overlap by twice this length."""
    return max(1, order // 64) if order >= BLOCKED_ORDER else 1
