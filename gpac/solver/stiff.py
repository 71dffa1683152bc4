"""Implicit methods of SciPy for stiff trajectories, one after the other: Radau IIA of order 5, BDF, LSODA.

Sources: Hairer, Wanner, Solving Ordinary Differential Equations II, section IV.8 (Radau); Shampine, Reichelt, SIAM
Journal on Scientific Computing 18 (1997) 1-22 (BDF); Petzold, SIAM Journal on Scientific and Statistical Computing 4
(1983) 136-148 (LSODA). The Jacobian is exact (`field.py`).
"""

from __future__ import annotations

import time
import warnings
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np

from ..circuit import Circuit
from . import readings
from .arithmetic import Doubles
from .field import Field
from .interrupt import undisturbed
from .results import MAX_STEPS, REACHED, STOPPED, UNDERFLOW, WALL_CLOCK, Results
from .rows import joined_pieces
from .series import to_blocks
from .solution import host
from .task import EPS, Advance, Batch, Limits, Pieces, Settings

DEGREES = {"Radau": 3, "BDF": 5, "LSODA": 8}
"""Degree of the polynomial on a step; LSODA's higher ones (up to 12, for what is not stiff) are fitted."""
NAMES = {"Radau": "Radau IIA of order 5", "BDF": "BDF of order 1 to 5", "LSODA": "LSODA of order 1 to 12"}
SMALLEST = 1e-100
"""Size, relative to atol / tol, down to which nonzero states are kept accurate relative to themselves."""
GAUSS = np.polynomial.legendre.leggauss(4)


class StiffEngine:
    """SciPy's implicit methods with the exact Jacobian, on the processor.

    `tol` and `atol` are theirs: the estimated error of entry i of a step is at most atol + tol |y_i| (tol |y_i| for
    nonzero states), in the root mean square over the entries; tol below 100 times the machine's is taken as that.
    """

    def __init__(self, circuit: Circuit, settings: Settings, xp: Any = np, method: str = "Radau") -> None:
        self.circuit, self.settings, self.xp, self.method = circuit, settings, xp, method
        self.field = Field(circuit)
        self.degree = readings.degree(circuit, settings.watch, DEGREES[method])
        self.atol = np.full(circuit.dim, settings.atol)
        for wire in circuit.integrals:
            if "0" not in wire.signs:
                self.atol[self.field.series.place(wire)] = min(settings.atol, settings.atol * SMALLEST)
        self.piece = 4096
        self.name = f"{NAMES[method]} (SciPy) with the exact Jacobian, one trajectory at a time"

    def advance(self, batch: Batch, limits: Limits) -> Advance:
        """Advance every trajectory of the batch as far as the limits allow."""
        given = Batch({n: host(a) for n, a in batch.inputs.items()}, *map(host, (batch.state, batch.t, batch.t_end)))
        m = sum(w.size for w in self.settings.watch)
        results = Results(Doubles(np), len(given.t), self.circuit.dim, m)
        results.t[:], results.states[:] = given.t, given.state.T
        results.space[:] = np.abs(given.state).max(axis=0, initial=0.0)
        results.readings[:] = np.nan
        kept: list[Pieces] = []
        code = None
        for b in range(len(given.t)):
            try:
                if code is None and time.monotonic() > limits.deadline:
                    code = WALL_CLOCK
                if code is None:
                    ended = _Run(self, given, b, results, kept, limits).go()
                    code = ended if ended in (WALL_CLOCK, STOPPED) else None
                else:
                    results.code[b] = code
                limits.tell(1)
            except KeyboardInterrupt:
                code = STOPPED
        return self._answer(results, kept)

    def _answer(self, results: Results, kept: list[Pieces]) -> Advance:
        m = results.readings.shape[1]
        pieces = None
        if self.settings.keep:
            nothing = np.zeros(0)
            none = Pieces(nothing.astype(int), nothing, nothing, nothing, np.zeros((0, self.degree + 1, m)))
            pieces = joined_pieces([none, *kept])
        answer = results.advance(pieces, self.settings.length)
        figures = ("code", "t", "state", "readings", "steps", "orders", "length", "space")
        return replace(answer, **{name: self.xp.asarray(getattr(answer, name)) for name in figures})


class _Run:
    """One trajectory on its way."""

    def __init__(
        self, engine: StiffEngine, batch: Batch, b: int, results: Results, kept: list[Pieces], limits: Limits
    ) -> None:
        self.engine, self.results, self.kept, self.limits = engine, results, kept, limits
        self.ids = np.array([b])
        self.inputs = {n: a[:, b] for n, a in batch.inputs.items()}
        self.t, self.y, self.t_end = float(batch.t[b]), batch.state[:, b].copy(), float(batch.t_end[b])
        self.place = engine.field.at(self.inputs)
        self.steps: list[tuple[float, float, np.ndarray]] = []  # begin, step, coefficients in powers of (t - begin) / h

    def go(self) -> int:
        """Advance to the end or to a limit; the code of how it ended."""
        try:
            moves = self.engine.circuit.dim and self.t != self.t_end
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")  # the status says what SciPy warns of
                code = self._advance() if moves else self._stay()
        except KeyboardInterrupt:
            code = STOPPED
        with undisturbed():
            self._end(code)
        return code

    def _end(self, code: int) -> None:
        """Write down where the trajectory is, and its polynomials."""
        watched = np.full(self.results.readings.shape[1], np.nan)
        if code == REACHED:
            watched = self._watched([(self.t, 0.0, self.y[None])], 0)[0, 0]
        self.results.end(self.ids, code, np.array([self.t]), self.y[None], watched[None])
        if self.engine.settings.keep and self.steps:
            begin, h = (np.array(column) for column in list(zip(*self.steps, strict=True))[:2])
            coefficients = self._watched(self.steps, self.engine.degree)
            self.kept.append(Pieces(np.repeat(self.ids, len(h)), begin, h, np.where(h == 0, 1.0, h), coefficients))

    def _stay(self) -> int:
        """Nothing moves but time."""
        self._count(0, self.t_end - self.t, self.y[None])
        self.t = self.t_end
        return REACHED

    def _advance(self) -> int:
        try:
            solver = self._solver()
            for _ in range(self.limits.max_steps):
                if time.monotonic() > self.limits.deadline:
                    return WALL_CLOCK
                solver.step()
                if solver.status == "failed" or not np.isfinite(solver.y).all():
                    return UNDERFLOW
                if solver.t == self.t:
                    return UNDERFLOW
                with undisturbed():
                    self._take(solver)
                if solver.status == "finished":
                    return REACHED
        except (ValueError, np.linalg.LinAlgError):  # a matrix with NaN or inf in it
            return UNDERFLOW
        return MAX_STEPS

    def _take(self, solver: Any) -> None:
        """Go to where the solver has come."""
        dense, h = solver.dense_output(), float(solver.t) - self.t
        order = {"Radau": 5, "BDF": getattr(dense, "order", 0)}.get(self.engine.method) or len(dense.p) - 1
        self.y = np.array(solver.y)
        self._count(order, h, self._polynomial(dense, h) if self._asked() else self.y[None])
        self.t = float(solver.t)

    def _solver(self) -> Any:
        from scipy import integrate

        settings, span = self.engine.settings, (self.t, self.y, self.t_end)
        tolerances = {"rtol": max(settings.tol, 100 * EPS), "atol": self.engine.atol}
        return getattr(integrate, self.engine.method)(
            self.place.rate, *span, **tolerances, jac=lambda t, y: self.place.jacobian(t, y)
        )

    def _asked(self) -> bool:
        return self.engine.settings.keep or self.engine.settings.length

    def _polynomial(self, dense: Any, h: float) -> np.ndarray:
        """Coefficients (K + 1, dim) in powers of (t - begin) / h, which meet both ends of the step."""
        nodes, inverse = _nodes(DEGREES[self.engine.method])
        values = dense(self.t + nodes * h).T
        return np.concatenate([values[:1], inverse @ (values[1:] - values[0])])

    def _count(self, order: int, h: float, states: np.ndarray) -> None:
        """Add one step from self.t to self.t + h."""
        length = 0.0
        if self.engine.settings.length:
            powers = np.arange(1, len(states))
            for node, weight in zip((GAUSS[0] + 1) / 2, GAUSS[1] / 2, strict=True):
                length += float(weight) * float(np.linalg.norm((powers * node ** (powers - 1)) @ states[1:]))
        figures = np.array([length]), np.array([order]), np.array([np.abs(self.y).max(initial=0.0)])
        self.results.count(self.ids, *figures)
        if self.engine.settings.keep:
            self.steps.append((self.t, h, states))

    def _watched(self, steps: list[tuple[float, float, np.ndarray]], top: int) -> np.ndarray:
        """Polynomials of the watched wires: (steps, top + 1, m)."""
        series, watch = self.engine.field.series, self.engine.settings.watch
        begin, h = (to_blocks(np.array([[s[k] for s in steps]]), np)[:, 0] for k in (0, 1))
        states = np.stack([to_blocks(np.stack(rows, axis=1), np) for rows in zip(*(s[2] for s in steps), strict=True)])
        inputs = {n: a[None, :, None] for n, a in self.inputs.items()}
        found = readings.polynomials(series, watch, states, inputs, begin, np.where(h == 0, 1.0, h), top)
        return found.reshape(-1, *found.shape[2:])[: len(steps)]


@lru_cache
def _nodes(degree: int) -> tuple[np.ndarray, np.ndarray]:
    """Chebyshev points of [0, 1] with both ends, and what makes coefficients 1, 2, ... of values less the first."""
    nodes = (1 - np.cos(np.pi * np.arange(degree + 1) / degree)) / 2
    return nodes, np.linalg.inv(nodes[1:, None] ** np.arange(1, degree + 1))
