"""Taylor steps first; a trajectory that stability holds back is handed to an implicit method.

Explicit steps on a decaying mode of eigenvalue L cannot be longer than a few |1 / L|, long after the mode itself is
gone: Hairer, Wanner, Solving Ordinary Differential Equations II, section IV.2. Steps of the Taylor engines then have
|h L| between 2 (tol = 1e-3) and 8 (tol = 1e-12), measured on van der Pol's, Robertson's and Prothero and Robinson's
problems, and the state hardly moves on each. Oscillations have imaginary eigenvalues and move all the time.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ..circuit import Circuit
from .interrupt import undisturbed
from .results import MAX_STEPS, STOPPED
from .rows import joined_pieces
from .solution import host
from .task import Advance, Batch, Engine, Limits, Pieces, Settings

if TYPE_CHECKING:
    from .field import Field

WINDOW = 1000
"""Steps after which the question is first asked; then after twice as many each time."""
HELD = 1.5
"""|h L| from which a step counts as held back by the eigenvalue L."""
DAMPED = 0.05
"""-Re L / |L| from which a mode that nothing drives has died out within the first window: exp(-0.05 * 2 * 1000)."""
STILL = 0.02
"""Part of its size by which a state that is held back moves in a step, at most."""
FEW = 10
"""How much longer an implicit step must be where explicit ones would use up `max_steps`."""
LARGEST = 1000
"""States above which the question is not asked: a dense Jacobian's factors would cost more than the steps."""
CHUNK = 4096


class ExplicitEngine(Engine, Protocol):
    """An engine that knows how many of its steps take as long as one of Radau's (0.6 to 1 ms, up to 100 states)."""

    radau_steps: float


class WatchedEngine:
    """An explicit engine whose stiff trajectories go on with Radau.

    Parameters
    ----------
    engine : ExplicitEngine
        Advances everything, in windows of `WINDOW` steps and more.
    """

    def __init__(self, engine: ExplicitEngine, circuit: Circuit, settings: Settings, xp: Any) -> None:
        self.engine, self.circuit, self.settings, self.xp = engine, circuit, settings, xp
        self.name, self.piece = engine.name, engine.piece
        self.stiff: list[float] = []
        self._field: Field | None = None

    @property
    def note(self) -> str:
        """What became of stiff trajectories so far, or nothing."""
        if not self.stiff:
            return ""
        first, last, count = min(self.stiff), max(self.stiff), len(self.stiff)
        times = f"t = {first:.6g}" if first == last else f"t = {first:.6g} to {last:.6g}"
        whom = "1 trajectory" if count == 1 else f"{count} trajectories"
        return f"; stiff: Radau from {times} for {whom}"

    def advance(self, batch: Batch, limits: Limits) -> Advance:
        """Advance every trajectory of the batch as far as the limits allow."""
        told, steps = _Told(limits), min(WINDOW, limits.max_steps)
        part = self.engine.advance(batch, replace(limits, max_steps=steps, tell=told))
        if steps == limits.max_steps or not bool((part.code == MAX_STEPS).any()):
            return part
        joined = _Joined(batch, self.settings, self.xp)
        begin, ids, window, left = host(batch.t), np.arange(len(batch.t)), WINDOW, limits.max_steps
        handed: list[tuple[np.ndarray, int]] = []
        try:
            while len(ids):
                left, window, code = left - steps, 2 * window, host(part.code)
                joined.add(ids, part, going=bool(left))
                ids, begin = ids[code == MAX_STEPS], begin[code == MAX_STEPS]
                if not left:
                    break
                told.again += len(ids)
                if (code == STOPPED).any():
                    raise KeyboardInterrupt
                stiff = self._held(joined.batch(ids), np.abs(host(joined.t)[ids] - begin) / steps, left)
                handed.append((ids[stiff], left))
                ids = ids[~stiff]
                if len(ids):
                    begin, steps = host(joined.t)[ids], min(window, left)
                    part = self.engine.advance(joined.batch(ids), replace(limits, max_steps=steps, tell=told))
            for some, left in handed:
                if len(some):
                    self._implicit(joined, some, replace(limits, max_steps=left, tell=told))
        except KeyboardInterrupt:
            pass
        return joined.answer()

    def _implicit(self, joined: _Joined, ids: np.ndarray, limits: Limits) -> None:
        from .stiff import StiffEngine

        self.stiff += host(joined.t)[ids].tolist()
        engine = StiffEngine(self.circuit, self.settings, self.xp)
        for low in range(0, len(ids), CHUNK):
            some = ids[low : low + CHUNK]
            part = engine.advance(joined.batch(some), limits)
            joined.add(some, part)
            if (host(part.code) == STOPPED).any():
                raise KeyboardInterrupt

    def _held(self, batch: Batch, h: np.ndarray, left: int) -> np.ndarray:
        """Which trajectories are stiff, given their mean steps so far and how many steps each may still take."""
        found = np.zeros(len(h), dtype=bool)
        if self.circuit.dim > LARGEST or not self.circuit.dim:
            return found
        if self._field is None:
            from .field import Field

            self._field = Field(self.circuit)
        some = Batch({n: host(a) for n, a in batch.inputs.items()}, *map(host, (batch.state, batch.t, batch.t_end)))
        size = np.maximum(np.abs(some.state).max(axis=0), self.settings.floor)
        for low in range(0, len(h), CHUNK):
            part = slice(low, low + CHUNK)
            rates = self._field.rates(some.part(part))
            moved = h[part] * np.abs(rates).max(axis=0) / size[part]
            for b in low + np.flatnonzero(moved < STILL):
                found[b] = self._verdict(
                    self._field, some.part(slice(b, b + 1)), h[b], rates[:, b - low], size[b], left
                )
        return found

    def _verdict(self, field: Field, one: Batch, h: float, rate: np.ndarray, size: float, left: int) -> bool:
        """Whether decaying modes hold this trajectory's steps back so much that implicit ones are cheaper.

        An implicit step of order 5 is estimated at 3 tol^(1/4) of the time in which the state, without its fast
        modes, moves by its own size.
        """
        at = field.at({n: a[:, 0] for n, a in one.inputs.items()})
        sign = 1.0 if one.t_end[0] >= one.t[0] else -1.0
        jacobian = sign * at.jacobian(float(one.t[0]), one.state[:, 0])
        if not (np.isfinite(jacobian).all() and np.isfinite(rate).all()):
            return False
        values, vectors = np.linalg.eig(jacobian)
        fast = (h * np.abs(values) > HELD) & (-values.real > DAMPED * np.abs(values))
        if not fast.any() or (h * values[~fast].real > HELD).any():
            return False
        slow = np.linalg.norm(_without(rate, vectors, fast), ord=np.inf)
        remaining = abs(float(one.t_end[0] - one.t[0]))
        implicit = min(remaining, 3 * self.settings.tol**0.25 * size / slow) if slow else remaining
        cost = self.engine.radau_steps * max(1.0, (len(rate) / 100) ** 2)
        return bool(implicit > cost * h or (remaining > left * h and implicit > FEW * h))


def _without(rate: np.ndarray, vectors: np.ndarray, fast: np.ndarray) -> np.ndarray:
    """The part of a rate along the slow modes; all of it where that is larger or not to be told apart."""
    try:
        parts = np.linalg.solve(vectors, rate)
    except np.linalg.LinAlgError:
        return rate
    slow = (vectors[:, ~fast] @ parts[~fast]).real
    return slow if np.abs(slow).max(initial=0.0) < np.abs(rate).max() else rate


class _Told:
    """Passes on how many trajectories have ended; those that go on in another window are not counted twice."""

    def __init__(self, limits: Limits) -> None:
        self.limits, self.again = limits, 0

    def __call__(self, ended: int) -> None:
        known = min(ended, self.again)
        self.again -= known
        if ended > known:
            self.limits.tell(ended - known)


class _Joined:
    """What is known of each trajectory over all windows."""

    def __init__(self, batch: Batch, settings: Settings, xp: Any) -> None:
        self.start, self.keep, self.xp = batch, settings.keep, xp
        count, m = len(batch.t), sum(w.size for w in settings.watch)
        self.t, self.state = xp.array(batch.t), xp.array(batch.state)
        self.code, self.readings = xp.full(count, STOPPED), xp.full((m, count), xp.nan)
        self.steps, self.orders, self.length = xp.zeros(count, dtype=xp.int64), xp.zeros(count), xp.zeros(count)
        self.space = xp.abs(batch.state).max(axis=0) if len(batch.state) else xp.zeros(count)
        self.pieces: list[Pieces] = []

    def batch(self, ids: np.ndarray) -> Batch:
        """These trajectories from where they are."""
        some = self.xp.asarray(ids)
        inputs = {name: a[:, some] for name, a in self.start.inputs.items()}
        return Batch(inputs, self.state[:, some], self.t[some], self.start.t_end[some])

    def add(self, ids: np.ndarray, part: Advance, going: bool = False) -> None:
        """Go on with what an engine made of these trajectories; those `going` on are STOPPED until they end."""
        with undisturbed():
            self._add(ids, part, going)

    def _add(self, ids: np.ndarray, part: Advance, going: bool) -> None:
        xp, some = self.xp, self.xp.asarray(ids)
        self.code[some] = xp.where((part.code == MAX_STEPS) & going, STOPPED, part.code)
        self.t[some], self.state[:, some], self.readings[:, some] = part.t, part.state, part.readings
        self.steps[some] += xp.asarray(part.steps, dtype=xp.int64)
        self.orders[some] += part.orders
        self.length[some] += part.length
        self.space[some] = xp.maximum(self.space[some], part.space)
        if part.pieces is not None:
            self.pieces.append(replace(part.pieces, ids=ids[part.pieces.ids]))

    def answer(self) -> Advance:
        """All of it."""
        figures = self.code, self.t, self.state, self.readings, self.steps, self.orders, self.length, self.space
        return Advance(*figures, joined_pieces(self.pieces) if self.keep else None)
