"""Run batches on a CUDA device: the queue of trajectories, launches of bounded length, and what they left."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from ...circuit import Circuit
from ...errors import NumberError
from ..lanes.engine import lane_order
from ..recurrences import Recurrences, Sum, recurrences
from ..results import BLOW_UP, MAX_STEPS, STOPPED, UNDERFLOW, WALL_CLOCK
from ..results import REACHED as END
from ..series import Series
from ..solution import host
from ..task import Advance, Batch, Limits, Pieces, Settings
from .compile import DeviceKernel, Kernel
from .layout import Arithmetic, Layout, layout
from .source import Steps, source

Array = Any
RUNNING, REACHED, STUCK, SPENT = range(4)
"""Fates of a trajectory, as in step.h."""
NEXT, KEPT, ENDED = range(3)
"""Places in `control`, as in step.h."""
TURN_SECONDS = 0.05
"""How long a launch takes, about: Ctrl-C, the clock and progress are looked at between launches."""
RECORD_BYTES = 256 * 2**20
QUEUE_BYTES = 2 * 2**30
LEAST_TOLERANCE = {Arithmetic.FLOAT: 4 * 2.0**-23, Arithmetic.DOUBLE: 0.0, Arithmetic.DOUBLE_DOUBLE: 0.0}


class CudaEngine:
    """Taylor series in a kernel written for the circuit: its steps and their bits are those of the lanes engine.

    Parameters
    ----------
    circuit, settings : see `gpac.solver.task`
    xp : module
        cupy; numpy with a `build` that runs kernels on the processor.
    arithmetic : Arithmetic
        In double-double, states and readings of `Advance` have a last axis (high, low), and so may a batch's
        state; inputs and weights are doubles.
    build : callable
        Makes a kernel of (text, layout, bytes of shared memory per block).
    """

    def __init__(
        self,
        circuit: Circuit,
        settings: Settings,
        xp: Any,
        arithmetic: Arithmetic = Arithmetic.DOUBLE,
        build: Callable[[str, Layout, int], Kernel] = DeviceKernel,
    ) -> None:
        if settings.tol < LEAST_TOLERANCE[arithmetic]:
            least = LEAST_TOLERANCE[arithmetic]
            raise NumberError(f"tol must be at least {least:.2g} in float32, got {settings.tol!r}; use float64 for less")
        self.settings, self.xp, self.arithmetic = settings, xp, arithmetic
        self.order = lane_order(settings.tol)
        self.series, self.recurrences = Series(circuit, xp), recurrences(circuit, settings.watch)
        self.layout = layout(self.recurrences, self.order, arithmetic)
        steps = Steps(self.order, settings.tol, settings.floor, settings.length, settings.keep)
        text = source(self.recurrences, steps, self.layout, arithmetic)
        self.number_bytes = 4 * arithmetic.value
        shared = self.number_bytes * self.layout.arena * self.layout.groups if self.layout.shared else 0
        self.kernel = build(text, self.layout, shared)
        weights = np.float32 if arithmetic is Arithmetic.FLOAT else np.float64
        self.data = xp.asarray(_by_columns(self.recurrences).astype(weights))
        self.index = xp.asarray(self.recurrences.index.astype(np.int32))
        r = self.recurrences
        self.row_size = (self.order + 1) * len(r.moving_watched)
        each = self.number_bytes * (r.dim + r.still_size + len(r.moving_watched)) + 8 * 8
        self.piece = max(1, QUEUE_BYTES // each)
        self.name = f"Taylor series of order {self.order} in a CUDA kernel, {self.layout}"

    def advance(self, batch: Batch, limits: Limits) -> Advance:
        """Advance every trajectory of the batch as far as the limits allow, in launches of bounded length."""
        run = _Run(self, batch, limits)
        stop = run.go()
        return self._answer(batch, run, stop)

    def numbers(self, array: Array) -> Array:
        """Doubles (or pairs high, low) as numbers of the arithmetic."""
        xp = self.xp
        if self.arithmetic is Arithmetic.DOUBLE_DOUBLE:
            pairs = array if array.ndim == 3 else xp.stack([array, xp.zeros_like(array)], axis=-1)
            return xp.ascontiguousarray(pairs, dtype=float)
        return xp.ascontiguousarray(array, dtype=np.float32 if self.arithmetic is Arithmetic.FLOAT else float)

    def in_place(self, array: Array) -> Array:
        """(entries, B) as the kernel keeps it: one trajectory after the other where a group shares one."""
        return self.numbers(array if self.layout.group == 1 else array.swapaxes(0, 1))

    def back(self, array: Array) -> Array:
        """(entries, B), or (entries, B, 2), as float64."""
        return (array if self.layout.group == 1 else array.swapaxes(0, 1)).astype(float)

    def empty(self, entries: int, count: int) -> Array:
        """NaN numbers, (entries, B) as the kernel keeps it."""
        return self.in_place(self.xp.full((entries, count), self.xp.nan))

    def _answer(self, batch: Batch, run: _Run, stop: int) -> Advance:
        xp = self.xp
        length, space = run.figures[:, 0], run.figures[:, 1]
        steps, fate = run.counts.T
        state = self.back(run.state)
        start = _largest(batch.state, xp)
        grown = ~(_largest(state, xp) < 1e3 * xp.maximum(1.0, start))
        code = xp.full(len(steps), stop or STOPPED)
        code[fate == REACHED] = END
        code[fate == SPENT] = MAX_STEPS
        code = xp.where(fate == STUCK, xp.where(grown, BLOW_UP, UNDERFLOW), code)
        readings = self._watched(self.back(run.readings), self.back(run.parameters))
        lead = (slice(None),) + (None,) * (readings.ndim - 2)
        readings = xp.where((code == END)[lead], readings, xp.nan)
        return Advance(
            code,
            run.times(),
            state,
            readings,
            steps,
            steps * float(self.order),
            length if self.settings.length else xp.full(len(length), xp.nan),
            xp.maximum(space, start),
            run.pieces() if self.settings.keep else None,
        )

    def _watched(self, moving: Array, parameters: Array, still: float = 1.0) -> Array:
        """All watched values (m, B): those that move, and `still` times the parameters among them."""
        rows, at = [moving[:0]], 0
        for operand in self.recurrences.watched:
            if operand.still:
                rows.append(still * parameters[operand.at : operand.at + operand.size])
            else:
                rows.append(moving[at : at + operand.size])
                at += operand.size
        return self.xp.concatenate(rows, axis=0)


class _Run:
    """One batch on the device: its queue, and what its steps left."""

    def __init__(self, engine: CudaEngine, batch: Batch, limits: Limits) -> None:
        self.engine, self.limits = engine, limits
        xp, r = engine.xp, engine.recurrences
        self.count = count = len(batch.t_end)
        self.state = engine.in_place(batch.state).copy()
        self.parameters = engine.in_place(engine.series.still(batch.inputs, count, r.parameters))
        start = xp.array(batch.t, dtype=float)
        pairs = engine.arithmetic is Arithmetic.DOUBLE_DOUBLE
        self.clocks = xp.stack([start, xp.zeros_like(start)], axis=-1) if pairs else start
        self.ends = xp.array(batch.t_end, dtype=float)
        self.readings = engine.empty(len(r.moving_watched), count)
        self.figures = xp.tile(xp.asarray([0.0, 0.0, 1.0, xp.inf]), (count, 1))  # length, space, unit, cap
        self.counts = xp.zeros((count, 2), dtype=np.int64)
        self.seats = xp.full(max(1, min(engine.kernel.seats, count)), -1, dtype=np.int64)
        self.control = xp.zeros(3, dtype=np.uint64)
        layout = engine.layout
        own = 0 if layout.shared else layout.arena * len(self.seats)
        self.arena = xp.zeros(own * engine.number_bytes // 8 + 1)
        self.room = 0
        self.rows = self.begins = self.spans = self.polynomials = None
        if engine.settings.keep:
            self._make_room(max(1, RECORD_BYTES // (engine.number_bytes * max(1, engine.row_size))))
        self.kept: list[tuple[np.ndarray, ...]] = []

    def _make_room(self, room: int) -> None:
        """Memory for the polynomials of so many steps, emptied after every launch."""
        engine, xp = self.engine, self.engine.xp
        self.room = room
        self.rows = xp.full(room, -1, dtype=np.int64)
        self.begins = xp.zeros((room, 2) if self.clocks.ndim == 2 else room)
        self.spans = xp.zeros((room, 2))
        self.polynomials = engine.in_place(xp.zeros((engine.row_size, room)))

    def go(self) -> int:
        """Launch until all have ended or a limit is met; returns why it stopped short, 0 if it did not."""
        turns, told = 8, 0
        try:
            while told < self.count:
                since = time.perf_counter()
                ended = self._launch(turns)
                turns = max(1, min(2 * turns, round(turns * TURN_SECONDS / max(1e-9, time.perf_counter() - since))))
                self.limits.tell(ended - told)
                told = ended
                if told < self.count and time.monotonic() > self.limits.deadline:
                    return WALL_CLOCK
        except KeyboardInterrupt:
            return STOPPED
        return 0

    def _launch(self, turns: int) -> int:
        """Let every seat make so many steps; returns how many trajectories have ended so far."""
        engine = self.engine
        queue = self.state, self.parameters, self.clocks, self.ends, self.readings, self.figures, self.counts
        record = self.rows, self.begins, self.spans, self.polynomials
        tables = engine.data, engine.index, self.arena
        sizes = np.int64(self.count), np.int64(len(self.seats)), np.int64(self.room)
        limits = np.float64(self.limits.max_steps), np.int64(turns)
        engine.kernel(len(self.seats), (*queue, self.seats, self.control, *tables, *record, *sizes, *limits))
        following, kept, ended = (int(n) for n in host(self.control))
        if engine.settings.keep:
            self._collect(min(kept, self.room))
        if following >= self.count and ended < self.count:  # nobody waits: those at work move together
            self.seats = self.seats[self.seats >= 0]
        return ended

    def _collect(self, kept: int) -> None:
        """Take the kept steps out of the device's memory."""
        self.control[KEPT] = 0
        rows = host(self.rows[:kept])
        real = rows >= 0
        by_row = self.polynomials[:, :kept].swapaxes(0, 1) if self.engine.layout.group == 1 else self.polynomials[:kept]
        parts = rows, host(self.begins[:kept]), host(self.spans[:kept]), host(by_row)
        self.kept.append(tuple(part[real] for part in parts))

    def times(self) -> Array:
        """Where the trajectories are."""
        return self.clocks[:, 0] if self.clocks.ndim == 2 else self.clocks

    def pieces(self) -> Pieces:
        """The polynomials kept, as doubles."""
        engine = self.engine
        orders, moving = engine.order + 1, len(engine.recurrences.moving_watched)
        empty = tuple(host(a[:0]) for a in (self.rows, self.begins, self.spans))
        parts = [*self.kept, (*empty, np.zeros((0, *self.kept[0][3].shape[1:])))] if self.kept else None
        if parts is None:
            m = sum(o.size for o in engine.recurrences.watched)
            return Pieces(*empty[:2], np.zeros(0), np.zeros((0, orders, m)))
        rows, begins, spans, polynomials = (np.concatenate(p) for p in zip(*parts, strict=True))
        if polynomials.ndim == 3:
            polynomials, begins = polynomials[..., 0], begins[:, 0]
        step, unit = spans.T
        polynomials = polynomials.astype(float).reshape(len(rows), orders, moving).transpose(1, 2, 0)
        polynomials = polynomials / unit ** np.arange(orders)[:, None, None]
        still = host(engine.back(self.parameters))
        still = (still[..., 0] if still.ndim == 3 else still)[:, rows]
        watched = [_host_watched(engine.recurrences, p, still if k == 0 else 0 * still) for k, p in enumerate(polynomials)]
        return Pieces(rows, begins, step, np.stack(watched).transpose(2, 0, 1))


def _host_watched(r: Recurrences, moving: np.ndarray, parameters: np.ndarray) -> np.ndarray:
    """All watched rows (m, steps): those that move, and parameters among them."""
    rows, at = [moving[:0]], 0
    for operand in r.watched:
        if operand.still:
            rows.append(parameters[operand.at : operand.at + operand.size])
        else:
            rows.append(moving[at : at + operand.size])
            at += operand.size
    return np.concatenate(rows, axis=0)


def _largest(state: Array, xp: Any) -> Array:
    """Largest magnitude over the state (dim, B) or (dim, B, 2)."""
    high = state[..., 0] if state.ndim == 3 else state
    return xp.abs(high).max(axis=0) if len(high) else xp.zeros(high.shape[1])


def _by_columns(r: Recurrences) -> np.ndarray:
    """The table of weights with every dense matrix stored by columns: neighbouring threads read neighbours."""
    data = r.data.copy()
    for operation in r.operations:
        if isinstance(operation, Sum):
            for term in operation.terms:
                if term.kind == "dense":
                    shape = operation.out.size, term.operand.size
                    some = slice(term.data, term.data + shape[0] * shape[1])
                    data[some] = r.data[some].reshape(shape).T.reshape(-1)
    return data
