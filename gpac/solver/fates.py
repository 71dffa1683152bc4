"""Why trajectories could not move on: engines say that they are stuck, the same judge for all of them says how."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ..circuit import Circuit
from ..pair import leading
from .results import BLOW_UP, OVERFLOW, UNDERFLOW
from .solution import host
from .task import Advance, Batch, Settings

GROWTH = 1e3
"""Times its size at the start, or the size below which states count as nothing: so much is a blow-up."""
LARGEST = {"single": 3e38, "double": np.finfo(float).max, "double-double": 1e290}
"""Largest numbers with which the arithmetics compute."""


def judged(circuit: Circuit, batch: Batch, advance: Advance, settings: Settings, xp: Any) -> Advance:
    """The same with codes BLOW_UP and OVERFLOW in place of UNDERFLOW, where one of them says it better.

    A trajectory blows up if its state has grown far; rates that are no numbers any more are an overflow.
    """
    stuck = np.flatnonzero(host(advance.code) == UNDERFLOW)
    if not len(stuck):
        return advance
    state, start = (np.abs(host(leading(a))[:, stuck]) for a in (advance.state, batch.state))
    first = start.max(axis=0, initial=settings.floor)
    with np.errstate(over="ignore", invalid="ignore"):
        grown = ~(state.max(axis=0, initial=0.0) < GROWTH * first)
    code = host(advance.code).copy()
    code[stuck[grown]] = BLOW_UP
    rest = stuck[~grown]
    if len(rest):
        code[rest[_overflown(circuit, batch, advance, rest, LARGEST[settings.precision])]] = OVERFLOW
    return replace(advance, code=xp.asarray(code))


def _overflown(circuit: Circuit, batch: Batch, advance: Advance, some: np.ndarray, largest: float) -> np.ndarray:
    """Whose rates are larger than any number."""
    from .field import Field

    inputs = {name: host(leading(a))[:, some] for name, a in batch.inputs.items()}
    state, t = host(leading(advance.state))[:, some], host(leading(advance.t))[some]
    rates = Field(circuit).rates(Batch(inputs, state, t, t))
    with np.errstate(invalid="ignore"):
        return ~(np.abs(rates).max(axis=0, initial=0.0) <= largest)
