"""An engine round an engine: advances in windows of steps, looks for events and extremes, stops where one ends a run.

Windows have 32 steps at first and twice as many each time, counted for each trajectory by itself, so that what
is found, and every bit, does not depend on the batch. The last step of a window is searched with the next one:
a step's polynomial is made to meet the following step.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np

from ..circuit import Circuit
from ..pair import each_part, leading
from .arithmetic import Doubles, arithmetic
from .choice import Choice
from .events import Hits, first_terminal, found_on
from .extremes import Extremes, extremes_on
from .findings import COLUMNS, Found
from .interrupt import undisturbed
from .observation import Observation, Plan
from .results import EVENT, MAX_STEPS, STOPPED
from .rows import Rows, joined, joined_pieces, values_at
from .solution import host
from .substeps import with_substeps
from .task import Advance, Array, Batch, Engine, Limits, Pieces, Settings

WINDOW = 32
LONGEST = 4096
"""Steps of the first window, and of the longest."""
MEMORY = 256 * 2**20
COEFFICIENTS = 24
"""Bytes of polynomials held at a time, and coefficients to a polynomial, about."""
AGAIN = 256
"""Steps allowed where half of a step is done again."""

GAUSS = np.polynomial.legendre.leggauss(4)


def observing(
    circuit: Circuit, settings: Settings, observation: Observation, last: bool, choose: Callable[..., Choice]
) -> Choice:
    """The engine that `choose(circuit, settings)` gives, observed if any of it concerns the circuit."""
    plan = observation.of(circuit, last)
    if not len(plan.events.columns) and not len(plan.extremes):
        return choose(circuit, settings)
    choice = choose(plan.circuit, replace(settings, watch=plan.watch, keep=True))
    return replace(choice, engine=Observer(plan, settings, choice.engine))


class Observer:
    """Speaks as engines do; what it finds comes in `Advance.found`."""

    def __init__(self, plan: Plan, settings: Settings, engine: Engine) -> None:
        self.plan, self.settings, self.engine = plan, settings, engine
        self.name, self.piece = engine.name, engine.piece

    @property
    def note(self) -> str:
        """What the engine has to say."""
        return getattr(self.engine, "note", "")

    def advance(self, batch: Batch, limits: Limits) -> Advance:
        """Advance every trajectory of the batch as far as the limits and terminal events allow."""
        return _Run(self, batch, limits).go()


class _Run:
    """One batch on its way; arrays in its order, on the host."""

    def __init__(self, observer: Observer, batch: Batch, limits: Limits) -> None:
        plan, count = observer.plan, len(batch.t)
        self.plan, self.settings, self.engine, self.limits = plan, observer.settings, observer.engine, limits
        self.batch, self.like, self.num = batch, leading(batch.state), arithmetic(observer.settings.precision, np)
        self.state = self.num.zeros(batch.state.shape)
        self.state[plan.order] = host(batch.state)
        self.t, self.t_end = host(batch.t).copy(), host(batch.t_end)
        self.code = np.full(count, STOPPED)
        self.readings = _unread(self.num, plan.outputs, count)
        self.steps, self.orders, self.length = np.zeros(count, dtype=np.int64), np.zeros(count), np.zeros(count)
        self.space = np.abs(leading(self.state)).max(axis=0, initial=0.0)
        self.alive = np.arange(count)
        self.begun = np.zeros(count, dtype=bool)
        self.signs = np.zeros((count, len(plan.events.columns)))
        self.extremes = Extremes.none(count, len(plan.extremes), self.num)
        self.held = _no_pieces(self.num, plan.width)
        self.states = np.empty(len(plan.states), dtype=np.int64)  # their columns, in the engine's order
        self.states[plan.order] = plan.states
        self.seen = np.unique(np.concatenate([plan.events.columns, plan.extremes]))
        self.kept: list[Pieces] = []
        self.found: list[tuple[Array, ...]] = []

    def go(self) -> Advance:
        """Window after window until every trajectory has ended or a limit is met."""
        window, taken = WINDOW, 0
        try:
            while len(self.alive):
                now = min(window, self.limits.max_steps - taken)
                taken, window = taken + now, min(2 * window, LONGEST)
                self._window(now, final=taken == self.limits.max_steps)
        except KeyboardInterrupt:  # those that were on their way stay STOPPED where the last window left them
            with suppress(KeyboardInterrupt), undisturbed():
                nothing = _unread(self.num, len(self.t), self.plan.width)
                rows = Rows.of(self.held, self.t, self.begun, nothing)
                self._search(rows, rows.where(~rows.final), self.space)
        return self._advance()

    def _window(self, steps: int, final: bool) -> None:
        """So many steps for every living trajectory, as many trajectories at a time as memory holds."""
        many = max(1, MEMORY // (8 * self.num.parts * steps * COEFFICIENTS * max(1, self.plan.width)))
        waiting = self.alive
        going = [waiting[:0]]
        for low in range(0, len(waiting), many):
            ids = waiting[low : low + many]
            going.append(self._some(ids, steps, final))
            self.limits.tell(len(ids) - len(going[-1]))
        self.alive = np.concatenate(going)

    def _some(self, ids: Array, steps: int, final: bool) -> Array:
        """One window of some trajectories; returns those that go on."""
        part = self._batch(ids, self.state[:, ids], self.t[ids], self.t_end[ids])
        advance = self.engine.advance(part, replace(self.limits, max_steps=steps, tell=_nobody))
        before, held, found, kept = [a[ids] for a in self._known()], self.held, len(self.found), len(self.kept)
        try:
            going = self._follow(ids, advance, final)
        except KeyboardInterrupt:  # what was searched in part counts as not begun
            with undisturbed():
                for array, old in zip(self._known(), before, strict=True):
                    array[ids] = old
                self.held, self.found, self.kept = held, self.found[:found], self.kept[:kept]
            raise
        if (host(advance.code) == STOPPED).any():
            raise KeyboardInterrupt  # the engine was told to stop
        return going

    def _known(self) -> tuple[Array, ...]:
        """What is known of every trajectory, the first axis counting them."""
        figures = self.t, self.state.T, self.readings.T, self.code, self.steps, self.orders, self.length, self.space
        return *figures, self.begun, self.signs, *self.extremes

    def _follow(self, ids: Array, advance: Advance, final: bool) -> Array:
        """Take some trajectories to where the engine has brought them; returns those that go on."""
        code = host(advance.code)
        going = (code == MAX_STEPS) & (not final)
        self.t[ids], self.state[:, ids] = host(advance.t), host(advance.state)
        values = _unread(self.num, len(self.t), self.plan.width)
        values[ids] = host(advance.readings).T
        self.readings[:, ids] = values[ids, : self.plan.outputs].T
        self.steps[ids] += host(advance.steps).astype(np.int64)
        self.orders[ids] += host(advance.orders)
        self.length[ids] += host(advance.length)
        space = self.space.copy()
        self.space[ids] = np.maximum(space[ids], host(advance.space))
        self.code[ids] = np.where(going, STOPPED, code)
        assert advance.pieces is not None
        mine = np.isin(self.held.ids, ids)
        pieces = joined_pieces([self.held.where(mine), replace(advance.pieces, ids=ids[advance.pieces.ids])])
        rows = Rows.of(pieces, self.t, self.begun, values)
        waiting = rows.final & np.isin(rows.ids, ids[going])
        self._search(rows.where(~waiting), rows.where(waiting), space)
        going &= self.code[ids] != EVENT
        waiting &= np.isin(rows.ids, ids[going])
        self.held = joined_pieces([self.held.where(~mine), rows.where(waiting).pieces])
        return ids[going]

    def _search(self, steps: Rows, later: Rows, space: Array) -> None:
        """Events and extremes on steps; `later` are those that follow them, `space` is that of the windows before."""
        self.begun[steps.ids] = True
        rows = with_substeps(steps, self.seen, self.states, self.settings, self._again)
        if len(self.plan.events.columns) and len(rows.ids):
            hits = found_on(rows, self.plan.events, self.signs, self.settings.tol)
            self._note(rows, hits)
            row, place = first_terminal(rows, hits, self.plan.events.terminal)
            ended = np.flatnonzero(row < len(rows.ids))
            if len(ended):
                self._end(ended, rows, row[ended], place[ended])
                rows = rows.until_(row, place)
                self._take_off(ended, steps, later, space)
        self._extend_extremes(rows)
        if self.settings.keep:
            self.kept.append(replace(rows.pieces, coefficients=rows.coefficients[..., : self.plan.outputs]))

    def _batch(self, ids: Array, state: Array, t: Array, t_end: Array) -> Batch:
        """Trajectories from a state (dim, n) on."""
        xp = _module(self.like)
        inputs = {name: a[:, xp.asarray(ids)] for name, a in self.batch.inputs.items()}
        return Batch(inputs, *(each_part(xp.asarray, a) for a in (state, t, t_end)))

    def _again(self, ids: Array, state: Array, t: Array, t_end: Array) -> Advance:
        """Steps done anew from given states."""
        limits = Limits(AGAIN, threads=self.limits.threads)
        advance = self.engine.advance(self._batch(ids, state, t, t_end), limits)
        if (host(advance.code) == STOPPED).any():
            raise KeyboardInterrupt
        return advance

    def _note(self, rows: Rows, hits: Hits) -> None:
        """Write down events with all outputs and states."""
        values = rows.values(hits.row, hits.place)
        watched = self.plan.events
        time = rows.times(hits.row, hits.place)
        which = watched.event[hits.number], watched.entry[hits.number]
        outputs, states = values[:, : self.plan.outputs], values[:, self.plan.states]
        self.found.append((rows.ids[hits.row], *which, time, hits.direction, outputs, states))

    def _end(self, ended: Array, rows: Rows, row: Array, place: Array) -> None:
        """Put trajectories where their terminal event is."""
        values = rows.values(row, place)
        self.code[ended] = EVENT
        self.t[ended] = rows.times(row, place)
        self.state[:, ended] = values[:, self.states].T
        self.readings[:, ended] = values[:, : self.plan.outputs].T

    def _take_off(self, ended: Array, steps: Rows, later: Rows, space: Array) -> None:
        """Take what lies after terminal events off the counts of steps, the length, and the space."""
        rows = steps.along(later)
        rows = rows.where(np.isin(rows.ids, ended))
        step, gone = leading(rows.step), leading(self.t[rows.ids] - rows.begin)
        local = np.clip(gone / np.where(step == 0, 1.0, step), 0.0, 1.0)
        lost = np.bincount(rows.ids[local == 0], minlength=len(self.t))[ended]
        self.orders[ended] *= 1 - lost / self.steps[ended]
        self.steps[ended] -= lost
        if self.settings.length:
            reach = step / rows.unit
            np.subtract.at(self.length, rows.ids, self._lengths(leading(rows.coefficients), local * reach, reach))
        self.space[ended] = np.maximum(space[ended], np.abs(leading(self.state)[:, ended]).max(axis=0, initial=0.0))
        sizes = np.abs(leading(rows.coefficients)[:, 0][:, self.states]).max(axis=1, initial=0.0)
        np.maximum.at(self.space, rows.ids[local > 0], sizes[local > 0])

    def _lengths(self, coefficients: Array, low: Array, high: Array) -> Array:
        """Length of the curve of all states between two times, in a step's own unit, by Gauss-Legendre."""
        rate = coefficients[:, 1:, self.states] * np.arange(1.0, coefficients.shape[1])[:, None]
        total = np.zeros(len(low))
        for node, weight in zip((GAUSS[0] + 1) / 2, GAUSS[1] / 2, strict=True):
            speed = values_at(rate, low + float(node) * (high - low))
            total += float(weight) * np.sqrt((speed * speed).sum(axis=1))
        return total * np.abs(high - low)

    def _extend_extremes(self, rows: Rows) -> None:
        if len(self.plan.extremes) and len(rows.ids):
            who, ids = np.unique(rows.ids, return_inverse=True)
            more = extremes_on(replace(rows, ids=ids), self.plan.extremes, len(who))
            self.extremes.put(who, self.extremes.of(who).with_(more))

    def _advance(self) -> Advance:
        xp, m = _module(self.like), self.plan.outputs
        length = self.length if self.settings.length else np.full(len(self.t), np.nan)
        kept = joined_pieces([_no_pieces(self.num, m), *self.kept]) if self.settings.keep else None
        return Advance(
            xp.asarray(self.code),
            each_part(xp.asarray, self.t),
            each_part(xp.asarray, self.state[self.plan.order]),
            each_part(xp.asarray, self.readings),
            xp.asarray(self.steps),
            xp.asarray(self.orders),
            xp.asarray(length),
            xp.asarray(self.space),
            kept,
            self._found(),
        )

    def _found(self) -> Found:
        """Events by trajectory, each one's in their order."""
        whole, m, dim = np.zeros(0, dtype=np.int64), self.plan.outputs, len(self.plan.states)
        none = (whole, whole, whole, self.num.zeros((0,)), whole, self.num.zeros((0, m)), self.num.zeros((0, dim)))
        parts = [joined(list(p)) for p in zip(none, *self.found, strict=True)]
        order = np.argsort(parts[0], kind="stable")
        columns: dict[str, Any] = {n: p[order] for n, p in zip(COLUMNS, parts, strict=True)}
        return Found(**columns, extremes=self.extremes, parts=self.plan.parts)


def _nobody(ended: int) -> None:
    """Who ends in a window is told when events have been looked for."""


def _module(array: Any) -> Any:
    """The array module that an array belongs to."""
    if isinstance(array, np.ndarray):
        return np
    import cupy

    return cupy


def _unread(num: Doubles, *shape: int) -> Array:
    """NaN everywhere."""
    values = num.zeros(shape)
    values[...] = np.nan
    return values


def _no_pieces(num: Doubles, m: int) -> Pieces:
    return Pieces(np.zeros(0, dtype=np.int64), num.zeros((0,)), np.zeros(0), np.zeros(0), num.zeros((0, 1, m)))
