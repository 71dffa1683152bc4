"""The trajectories of one batch on the device: launches of bounded length, and the steps that are kept."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from ...pair import each_part
from ..arithmetic import Doubles, arithmetic
from ..recurrences import Recurrences
from ..results import STOPPED, WALL_CLOCK
from ..solution import host
from ..start import at_start
from ..task import Batch, Limits, Pieces

if TYPE_CHECKING:
    from .engine import CudaEngine

Array = Any
NEXT, KEPT, ENDED = range(3)
"""Places in `control`, as in step.h."""
TURN_SECONDS = 0.05
"""How long a launch takes, about: Ctrl-C, the clock and progress are looked at between launches."""
RECORD_BYTES = 256 * 2**20


class Queue:
    """What step.h calls the queue, and the seats of the groups that work through it.

    State and time of every trajectory are those of its last step that counted, whenever a launch has ended.
    """

    def __init__(self, engine: CudaEngine, batch: Batch) -> None:
        self.engine = engine
        xp, r = engine.xp, engine.recurrences
        self.count = count = len(batch.t_end)
        self.state = engine.packed(batch.state)
        self.parameters = engine.packed(at_start(engine.series, batch.inputs, count, r.parameters))
        self.clocks, self.ends = engine.moments(batch.t), engine.moments(batch.t_end)
        self.readings = engine.packed(engine.series.num.zeros((len(r.moving_watched), count)) * xp.nan)
        self.figures = xp.tile(xp.asarray([0.0, 0.0, 1.0, xp.inf]), (count, 1))  # length, space, unit, cap
        self.counts = xp.zeros((count, 2), dtype=np.int64)
        self.seats = xp.full(max(1, min(engine.kernel.seats, count)), -1, dtype=np.int64)
        self.control = xp.zeros(3, dtype=np.uint64)
        own = 0 if engine.layout.shared else engine.layout.arena * len(self.seats)
        self.arena = xp.zeros(own * engine.number_bytes // 8 + 1)
        self.record = _Record(engine) if engine.settings.keep else None

    def run(self, limits: Limits) -> int:
        """Launch until all have ended or a limit is met; returns why it stopped short, 0 if it did not."""
        turns, told = 8, 0
        try:
            while told < self.count:
                since = time.perf_counter()
                ended = self._launch(turns, limits.max_steps)
                turns = max(1, min(2 * turns, round(turns * TURN_SECONDS / max(1e-9, time.perf_counter() - since))))
                if ended > told:
                    limits.tell(ended - told)
                told = ended
                if told < self.count and time.monotonic() > limits.deadline:
                    return WALL_CLOCK
        except KeyboardInterrupt:
            return STOPPED
        return 0

    def _launch(self, turns: int, max_steps: int) -> int:
        """Let every seat make so many steps; returns how many trajectories have ended so far."""
        engine, record = self.engine, self.record
        queue = self.state, self.parameters, self.clocks, self.ends, self.readings, self.figures, self.counts
        tables = engine.data, engine.index, self.arena
        kept = record.arrays if record else (None,) * 4
        sizes = np.int64(self.count), np.int64(len(self.seats)), np.int64(record.room if record else 0)
        limits = np.float64(max_steps), np.int64(turns)
        engine.kernel(len(self.seats), (*queue, self.seats, self.control, *tables, *kept, *sizes, *limits))
        following, rows, ended = (int(n) for n in host(self.control))
        if record:
            record.collect(rows)
            self.control[KEPT] = 0
        if following >= self.count and ended < self.count:  # nobody waits: those at work move together
            self.seats = self.seats[self.seats >= 0]
        return ended

    def pieces(self) -> Pieces:
        """The polynomials kept, in doubles or pairs."""
        assert self.record is not None, "asked for only where they are kept"
        engine, num = self.engine, arithmetic(self.engine.settings.precision, np)
        rows, begins, spans, polynomials = self.record.all()
        still = each_part(lambda p: host(p)[:, rows], engine.unpacked(self.parameters))
        step, unit = spans.T
        r, orders = engine.recurrences, engine.order + 1
        by_order = polynomials.astype(float).reshape(len(rows), orders, len(r.moving_watched), *polynomials.shape[2:])
        coefficients = num.zeros((len(rows), orders, sum(o.size for o in r.watched)))
        for k in range(orders):
            moving = engine.parts(by_order[:, k].swapaxes(0, 1))
            coefficients[:, k] = watched_values(r, moving, still if k == 0 else still * 0.0, num).T
        return Pieces(rows, engine.parts(begins), step, unit, coefficients)


class _Record:
    """Room on the device for the polynomials of some steps, emptied after every launch."""

    def __init__(self, engine: CudaEngine) -> None:
        xp, self.by_row = engine.xp, engine.layout.group > 1
        self.room = room = max(1, RECORD_BYTES // (engine.number_bytes * max(1, engine.row_size)))
        rows = xp.full(room, -1, dtype=np.int64)
        polynomials = engine.packed(engine.series.num.zeros((engine.row_size, room)))
        self.arrays = rows, engine.moments(engine.series.num.zeros((room,))), xp.zeros((room, 2)), polynomials
        self.kept: list[tuple[np.ndarray, ...]] = []

    def collect(self, kept: int) -> None:
        """Bring the steps of one launch to the host; those that did not count are left."""
        *short, polynomials = self.arrays
        rows, begins, spans = (host(a[:kept]) for a in short)
        polynomials = polynomials[:kept] if self.by_row else polynomials[:, :kept].swapaxes(0, 1)
        real = rows >= 0
        self.kept.append((rows[real], begins[real], spans[real], host(polynomials)[real]))

    def all(self) -> tuple[np.ndarray, ...]:
        """Trajectory (rows,), begin (rows,) or (rows, 2), (step, unit), polynomials (rows, orders * m)."""
        if not self.kept:
            self.collect(0)
        return tuple(np.concatenate(parts) for parts in zip(*self.kept, strict=True))


def watched_values(r: Recurrences, moving: Any, parameters: Any, num: Doubles) -> Any:
    """All watched values (m, ...): those that move, and parameters among them."""
    rows, at = [moving[:0]], 0
    for operand in r.watched:
        if operand.still:
            rows.append(parameters[operand.at : operand.at + operand.size])
        else:
            rows.append(moving[at : at + operand.size])
            at += operand.size
    return num.joined(rows)
