"""Powers of steps, and powers of two near them, lane by lane."""

from __future__ import annotations

from typing import Any

from .arithmetic import Array, Doubles


def power_of_two(h: Array, xp: Any) -> Array:
    """The power of two at or below h, between 2**-1000 and 2**1000; 1 where h is no positive number."""
    good = xp.isfinite(h) & (h > 0)
    exponent = xp.clip(xp.frexp(xp.where(good, h, 1.0))[1] - 1, -1000, 1000)
    return xp.ldexp(xp.ones(h.shape), xp.where(good, exponent, 0))


def powers_of(h: Array, order: Array, count: int, num: Doubles) -> Array:
    """h**k for k < count, and 0 where k exceeds the lane's order."""
    powers = num.zeros((count, *h.shape))
    powers[0] = 1.0
    for k in range(1, count):
        powers[k] = powers[k - 1] * h
    num.clear(powers, num.xp.arange(count)[:, None, None] > order)
    return powers
