"""The homotopy of a tanh network as an initial value problem for tools that know arrays and no circuits.

With z_1' = c and z_l' = W_l u_{l-1}' + b_l, all from zero at t = 0, there is a choice of state:

    "u"     u' = (1 - u^2) z'. Shortest; a neuron that saturates and comes back multiplies errors by cosh(z)^2.
    "pair"  u' = d z', d' = -2 u d z', d = 1 from the start. Polynomial too, and d can keep its relative accuracy.
    "z"     z itself, with the tool's own tanh. Not polynomial, best conditioned.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

FORMS = ("u", "pair", "z")


def rates(form: str, dense: Sequence[Callable], c: Any, state: Sequence[Any], tanh: Callable) -> list[Any]:
    """Time derivatives of the parts of the state: one per layer, or u and d per layer for "pair".

    `dense[l]` maps a layer's u' to the next layer's z'.
    """
    out: list[Any] = []
    dz, du = c, None
    for k in range(len(dense) + 1):
        if k:
            dz = dense[k - 1](du)
        if form == "pair":
            u, d = state[2 * k], state[2 * k + 1]
            du = d * dz
            out += [du, -2 * u * du]
        else:
            u = state[k] if form == "u" else tanh(state[k])
            du = (1 - u * u) * dz
            out.append(du if form == "u" else dz)
    return out


def part_widths(form: str, widths: Sequence[int]) -> list[int]:
    """Sizes of the parts of the state."""
    return [w for w in widths for _ in range(2 if form == "pair" else 1)]


def start(form: str, widths: Sequence[int]) -> np.ndarray:
    """State at t = 0, (n,)."""
    zero_one = (0.0, 1.0) if form == "pair" else (0.0,)
    return np.concatenate([np.full(w, v) for w in widths for v in zero_one])


def slope_places(widths: Sequence[int]) -> np.ndarray:
    """For "pair": which entries of the state are slopes d, bool (n,)."""
    return start("pair", widths) == 1


def neurons(form: str, state: np.ndarray, widths: Sequence[int]) -> np.ndarray:
    """All u side by side, (B, n), from states (B, n or 2n)."""
    if form == "pair":
        return state[:, ~slope_places(widths)]
    return np.tanh(state) if form == "z" else state
