"""Blow-ups under a loose tolerance are looked at again with a tighter one: errors may have made them.

The sign of a small component can decide about a pole: Robertson's problem has 4e-5 beside 1 and blows up where it
falls below 0, which a tolerance of 1e-3 does not prevent. Where the tighter run goes on, it is the answer.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from ..circuit import Circuit
from ..pair import leading
from .choice import Choice
from .fates import judged
from .results import BLOW_UP, STOPPED
from .rows import joined_pieces
from .solution import host
from .task import Advance, Batch, Limits, Settings

LOOSE = 1e-8
"""Tolerance above which a blow-up is in doubt."""
TIGHTER = 1e-4
"""By how much it is tightened."""
FURTHER = 1.1
"""How much further the tighter run must come: poles move by less."""


class Doubts:
    """Those of one circuit; `make` chooses an engine for other settings.

    What becomes of a trajectory does not depend on its neighbours.
    """

    def __init__(self, circuit: Circuit, settings: Settings, make: Callable[[Settings], Choice], xp: Any) -> None:
        self.circuit, self.settings, self.make, self.xp = circuit, settings, make, xp
        self.tight = replace(settings, tol=settings.tol * TIGHTER, atol=settings.atol * TIGHTER)
        self.count = 0

    @property
    def note(self) -> str:
        """How many trajectories were solved with the tighter tolerance, or nothing."""
        if not self.count:
            return ""
        whom = "1 trajectory that seemed" if self.count == 1 else f"{self.count} trajectories that seemed"
        return f"; {whom} to blow up with tol={self.settings.tol:.3g} solved with tol={self.tight.tol:.3g}"

    def settled(self, batch: Batch, part: Advance, limits: Limits) -> Advance:
        """What an engine made of a batch, doubtful trajectories solved once more where time allows."""
        ids = np.flatnonzero(host(part.code) == BLOW_UP)
        if self.settings.tol <= LOOSE or not len(ids) or time.monotonic() > limits.deadline:
            return part
        engine, quiet = self.make(self.tight).engine, replace(limits, tell=lambda ended: None)
        for low in range(0, len(ids), engine.piece):
            some = ids[low : low + engine.piece]
            given = batch.part(self.xp.asarray(some))
            other = judged(self.circuit, given, engine.advance(given, quiet), self.tight, self.xp)
            was, now = (np.abs(host(leading(t))) for t in (part.t, other.t))
            better = np.flatnonzero((now > FURTHER * was[some]) | (host(other.code) == STOPPED))
            if len(better):
                part = _replaced(part, some[better], other, better, self.xp)
                self.count += len(better)
        return part


def _replaced(part: Advance, ids: np.ndarray, other: Advance, local: np.ndarray, xp: Any) -> Advance:
    """Trajectories `ids` as they are in another answer, where they have the numbers `local`."""
    to, of = xp.asarray(ids), xp.asarray(local)
    new: dict[str, Any] = {}
    for name in ("code", "t", "steps", "orders", "length", "space", "state", "readings"):
        new[name] = getattr(part, name).copy()
        new[name][..., to] = getattr(other, name)[..., of]
    if part.pieces is not None and other.pieces is not None:
        more = other.pieces.where(np.isin(other.pieces.ids, local))
        more = replace(more, ids=ids[np.searchsorted(local, more.ids)])
        new["pieces"] = joined_pieces([part.pieces.where(~np.isin(part.pieces.ids, ids)), more])
    if part.found is not None:
        new["found"] = part.found.replaced(ids, other.found, local)
    return replace(part, **new)
