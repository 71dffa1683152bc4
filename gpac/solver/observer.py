"""An engine round an engine: advances in windows of steps, looks for events and extremes, stops where one ends a run.

Windows have 32 steps at first and twice as many each time, counted for each trajectory by itself, so that what
is found, and every bit, does not depend on the batch. The last step of a window is searched with the next one:
a step's polynomial is made to meet the following step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from ..circuit import Circuit
from .choice import Choice
from .events import Hits, first_terminal, found_on
from .extremes import Extremes, extremes_on
from .findings import COLUMNS, Found
from .observation import Observation, Plan
from .results import BLOW_UP, EVENT, MAX_STEPS, STOPPED, UNDERFLOW
from .rows import Rows, values_at
from .solution import host
from .task import Advance, Batch, Engine, Limits, Pieces, Settings

WINDOW = 32
LONGEST = 4096
"""Steps of the first window, and of the longest."""
MEMORY = 256 * 2**20
COEFFICIENTS = 24
"""Bytes of polynomials held at a time, and coefficients to a polynomial, about."""

Array = np.ndarray
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

    def advance(self, batch: Batch, limits: Limits) -> Advance:
        """Advance every trajectory of the batch as far as the limits and terminal events allow."""
        return _Run(self, batch, limits).go()


class _Run:
    """One batch on its way; arrays in its order, on the host."""

    def __init__(self, observer: Observer, batch: Batch, limits: Limits) -> None:
        plan, count = observer.plan, len(batch.t)
        self.plan, self.settings, self.engine, self.limits = plan, observer.settings, observer.engine, limits
        self.batch, self.like = batch, batch.state
        self.state = np.empty(batch.state.shape)
        self.state[plan.order] = host(batch.state)
        self.t, self.t_end = host(batch.t).astype(float), host(batch.t_end)
        self.code = np.full(count, STOPPED)
        self.readings = np.full((plan.outputs, count), np.nan)
        self.steps, self.orders, self.length = np.zeros(count, dtype=np.int64), np.zeros(count), np.zeros(count)
        self.start = np.abs(self.state).max(axis=0, initial=0.0)
        self.space = self.start.copy()
        self.alive = np.arange(count)
        self.begun = np.zeros(count, dtype=bool)
        self.signs = np.zeros((count, len(plan.events.columns)))
        self.extremes = Extremes.none(count, len(plan.extremes))
        self.held = _no_pieces(sum(w.size for w in plan.watch))
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
            self._search(Rows.of(self.held, self.t, self.begun), _rows_of_none(self.held), self.space)
        return self._advance()

    def _window(self, steps: int, final: bool) -> None:
        """So many steps for every living trajectory, as many trajectories at a time as memory holds."""
        width = sum(w.size for w in self.plan.watch)
        many = max(1, MEMORY // (8 * steps * COEFFICIENTS * max(1, width)))
        waiting = self.alive
        going = [waiting[:0]]
        for low in range(0, len(waiting), many):
            ids = waiting[low : low + many]
            going.append(self._some(ids, steps, final))
            self.limits.tell(len(ids) - len(going[-1]))
        self.alive = np.concatenate(going)

    def _some(self, ids: Array, steps: int, final: bool) -> Array:
        """One window of some trajectories; returns those that go on."""
        advance = self.engine.advance(self._part(ids), Limits(steps, self.limits.deadline))
        code = host(advance.code)
        going = (code == MAX_STEPS) & (not final)
        self.t[ids], self.state[:, ids] = host(advance.t), host(advance.state)
        self.readings[:, ids] = host(advance.readings)[: self.plan.outputs]
        self.steps[ids] += host(advance.steps).astype(np.int64)
        self.orders[ids] += host(advance.orders)
        self.length[ids] += host(advance.length)
        space = self.space.copy()
        self.space[ids] = np.maximum(space[ids], host(advance.space))
        self.code[ids] = np.where(going, STOPPED, self._fate(ids, code))
        assert advance.pieces is not None
        mine = np.isin(self.held.ids, ids)
        rows = Rows.of(_joined([_some_of(self.held, mine), _renamed(advance.pieces, ids)]), self.t, self.begun)
        waiting = rows.final & np.isin(rows.ids, ids[going])
        self._search(rows.where(~waiting), rows.where(waiting), space)
        going &= self.code[ids] != EVENT
        waiting &= np.isin(rows.ids, ids[going])
        self.held = _joined([_some_of(self.held, ~mine), _pieces(rows.where(waiting))])
        if (code == STOPPED).any():
            raise KeyboardInterrupt  # the engine was told to stop
        return ids[going]

    def _search(self, rows: Rows, later: Rows, space: Array) -> None:
        """Events and extremes on rows; `later` are those that follow them, `space` is that of the windows before."""
        rows = self._until_events(rows, later, space)
        self.begun[rows.ids] = True
        self._extend_extremes(rows)
        if self.settings.keep:
            self.kept.append(Pieces(rows.ids, rows.begin, rows.step, rows.coefficients[..., : self.plan.outputs]))

    def _part(self, ids: Array) -> Batch:
        xp = _module(self.like)
        inputs = {name: a[:, xp.asarray(ids)] for name, a in self.batch.inputs.items()}
        return Batch(inputs, xp.asarray(self.state[:, ids]), xp.asarray(self.t[ids]), xp.asarray(self.t_end[ids]))

    def _fate(self, ids: Array, code: Array) -> Array:
        """Codes, where growth counts from the start of the run and not of the window."""
        stuck = (code == BLOW_UP) | (code == UNDERFLOW)
        with np.errstate(invalid="ignore"):
            size = np.abs(self.state[:, ids]).max(axis=0, initial=0.0)
            grown = ~(size < 1e3 * np.maximum(1.0, self.start[ids]))
        return np.where(stuck, np.where(grown, BLOW_UP, UNDERFLOW), code)

    def _until_events(self, rows: Rows, later: Rows, space: Array) -> Rows:
        """Note the events on rows; rows up to the terminal ones are returned, the last of them shortened."""
        watched = self.plan.events
        if not len(watched.columns) or not len(rows.ids):
            return rows
        hits = found_on(rows, watched, self.signs, self.settings.tol)
        self._note(rows, hits)
        row, place = first_terminal(rows, hits, watched.terminal)
        ended = np.flatnonzero(row < len(rows.ids))
        if not len(ended):
            return rows
        kept, lost = self._cut(rows, later, row, place)
        self._end(ended, row[ended], place[ended], rows)
        ended_rows = np.isin(kept.ids, ended)
        steps = np.bincount(lost.ids, minlength=len(self.code))[ended]
        self.orders[ended] *= 1 - steps / self.steps[ended]
        self.steps[ended] -= steps
        if self.settings.length:
            self._shorten(ended, rows, lost, row[ended], place[ended])
        sizes = np.abs(kept.coefficients[:, 0][:, self.plan.states]).max(axis=1, initial=0.0)
        self.space[ended] = space[ended]
        np.maximum.at(self.space, kept.ids[ended_rows], sizes[ended_rows])
        self.space[ended] = np.maximum(self.space[ended], np.abs(self.state[:, ended]).max(axis=0, initial=0.0))
        return kept

    def _note(self, rows: Rows, hits: Hits) -> None:
        """Write down events with all outputs and states."""
        c, local = rows.coefficients[hits.row], hits.place * rows.step[hits.row]
        values = values_at(c, local)
        watched = self.plan.events
        time = rows.times(hits.row, hits.place)
        which = watched.event[hits.number], watched.entry[hits.number]
        outputs, states = values[:, : self.plan.outputs], values[:, self.plan.states]
        self.found.append((rows.ids[hits.row], *which, time, hits.direction, outputs, states))

    def _cut(self, rows: Rows, later: Rows, row: Array, place: Array) -> tuple[Rows, Rows]:
        """Rows up to terminal events, and rows after them."""
        number = np.arange(len(rows.ids))
        limit = row[rows.ids]
        here = number == limit
        step = np.where(here, place[rows.ids] * rows.step, rows.step)
        until = np.where(here, rows.times(number, place[rows.ids]), rows.until)
        end = rows.end.copy()
        end[here] = values_at(rows.coefficients[here], step[here])
        shortened = replace(rows, step=step, until=until, end=end)
        past = np.zeros(len(self.code), dtype=bool)
        past[np.flatnonzero(row < len(rows.ids))] = True
        lost = _joined([_pieces(rows.where(number > limit)), _pieces(later.where(past[later.ids]))])
        none = np.zeros(len(lost.ids))
        after = Rows(lost.ids, lost.begin, lost.step, lost.coefficients, lost.coefficients[:, 0], none, none, none)
        return shortened.where(number <= limit), after

    def _end(self, ended: Array, row: Array, place: Array, rows: Rows) -> None:
        """Put trajectories where their terminal event is."""
        values = values_at(rows.coefficients[row], place * rows.step[row])
        self.code[ended] = EVENT
        self.t[ended] = rows.times(row, place)
        self.state[self.plan.order[:, None], ended] = values[:, self.plan.states].T
        self.readings[:, ended] = values[:, : self.plan.outputs].T

    def _shorten(self, ended: Array, rows: Rows, lost: Rows, row: Array, place: Array) -> None:
        """Take the way after the event off the length."""
        np.subtract.at(self.length, lost.ids, self._lengths(lost.coefficients, 0 * lost.step, lost.step))
        step = rows.step[row]
        self.length[ended] -= self._lengths(rows.coefficients[row], place * step, step)

    def _lengths(self, coefficients: Array, low: Array, high: Array) -> Array:
        """Length of the curve of all states between two times after a step's begin, by Gauss-Legendre."""
        rate = coefficients[:, 1:, self.plan.states] * np.arange(1.0, coefficients.shape[1])[:, None]
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
        kept = _joined([_no_pieces(m), *self.kept]) if self.settings.keep else None
        return Advance(
            xp.asarray(self.code),
            xp.asarray(self.t),
            xp.asarray(self.state[self.plan.order]),
            xp.asarray(self.readings),
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
        none = (whole, whole, whole, np.zeros(0), whole, np.zeros((0, m)), np.zeros((0, dim)))
        parts = [np.concatenate(p) for p in zip(none, *self.found, strict=True)]
        order = np.argsort(parts[0], kind="stable")
        columns: dict[str, Any] = {n: p[order] for n, p in zip(COLUMNS, parts, strict=True)}
        return Found(**columns, extremes=self.extremes, parts=self.plan.parts)


def _module(array: Any) -> Any:
    """The array module that an array belongs to."""
    if isinstance(array, np.ndarray):
        return np
    import cupy

    return cupy


def _pieces(rows: Rows) -> Pieces:
    return Pieces(rows.ids, rows.begin, rows.step, rows.coefficients)


def _no_pieces(m: int) -> Pieces:
    return Pieces(np.zeros(0, dtype=np.int64), np.zeros(0), np.zeros(0), np.zeros((0, 1, m)))


def _rows_of_none(like: Pieces) -> Rows:
    return Rows.of(_some_of(like, np.zeros(len(like.ids), dtype=bool)), np.zeros(0), np.zeros(0, dtype=bool))


def _some_of(pieces: Pieces, some: Array) -> Pieces:
    """Steps chosen by a mask."""
    return Pieces(pieces.ids[some], pieces.begin[some], pieces.step[some], pieces.coefficients[some])


def _renamed(pieces: Pieces, ids: Array) -> Pieces:
    """The same steps, trajectories called by their numbers in the batch."""
    return replace(pieces, ids=ids[pieces.ids])


def _joined(parts: list[Pieces]) -> Pieces:
    """Steps of all, polynomials filled up to one order."""
    top = max(p.coefficients.shape[1] for p in parts)
    padded = [np.pad(p.coefficients, ((0, 0), (0, top - p.coefficients.shape[1]), (0, 0))) for p in parts]
    ids, begin, step = (np.concatenate([getattr(p, f) for p in parts]) for f in ("ids", "begin", "step"))
    return Pieces(ids, begin, step, np.concatenate(padded))
