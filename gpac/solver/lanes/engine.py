"""Run batches on compiled lanes: code made on first use, and the queue of trajectories for each thread."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from ...circuit import Circuit
from ...pair import Pair
from ..lowering import recurrences
from ..orders import series_order
from ..recurrences import Recurrences
from ..results import MAX_STEPS, STOPPED, UNDERFLOW
from ..results import REACHED as END
from ..series import Series
from ..start import at_start
from ..task import Advance, Batch, Limits, Pieces, Settings
from ..threads import processors, share
from .crew import Crew
from .machine import Compiled, registers
from .memory import (
    CONTROL,
    NAMES,
    REACHED,
    RECORD,
    REGISTERS,
    SPENT,
    STUCK,
    Shape,
    Steps,
    packed,
)
from .record import Record, Spare

RECORD_BYTES = 8 * 2**20
FIRST_CACHE = 32 * 2**10
QUEUE_BYTES = 256 * 2**20
PIECES = 8
"""Parts of the queue for each thread: who is done early takes another."""
PIECE = 256
"""Trajectories that each lane has in such a part, at least, so that few lanes wait for the last ones of it."""
PARTS_OF = {"double": 1, "double-double": 2}
"""Doubles in a number."""
SMALL = 128
"""Entries of all units up to which LLVM's optimizer is worth its 0.05 to 0.15 s: steps then take a tenth less."""
MOST_CODES = 256
"""Compiled circuits held in memory; the oldest go first."""
_codes: dict[tuple, Compiled] = {}


def _compiled(recurrences: Recurrences, steps: Steps, precision: str, shape: Shape, stride: int) -> Compiled:
    """The code that all circuits of one structure share; it depends on none of their numbers."""
    key = recurrences.structure, steps, precision, shape, stride
    if key not in _codes:

        def text() -> str:
            from .stepper import module  # takes a while to import, and code kept on disk does without

            return str(module(recurrences, precision, shape, stride, steps))

        made = Compiled(repr(key), text, len(NAMES), recurrences.now_size <= SMALL)
        if len(_codes) >= MOST_CODES:
            _codes.pop(next(iter(_codes)), None)
        _codes[key] = made
        return made
    return _codes[key]


def _shape(recurrences: Recurrences, stride: int, parts: int) -> Shape:
    """Registers side by side: four, as far as all series stay in the first cache; else rows and entries of a unit."""
    width, count = registers()
    per_lane = 8 * parts * stride * (recurrences.series_size + recurrences.rates_size)
    many = next((n for n in (4, 2) if n * width * per_lane <= FIRST_CACHE), 1)
    if many > 1:
        return Shape(many * width, (count - 8) // many, 4 // many, 8 // many)
    tile, entries = (20, 8) if count >= 32 and parts == 1 else (8, 4)  # measured: 4 to 10 % less than (8, 4)
    return Shape(width, tile, entries, 8)


class LaneEngine:
    """Taylor series in compiled code over vectors of lanes, one trajectory a lane."""

    radau_steps = 300.0  # of some 3 us

    def __init__(self, circuit: Circuit, settings: Settings, xp: Any = np) -> None:
        _keep_pages()
        self.settings, self.parts = settings, PARTS_OF[settings.precision]
        self.series = Series.of(circuit, np, settings.precision)
        self.recurrences = recurrences(circuit, settings.watch, settings.precision)
        self.order = series_order(settings.tol, self.recurrences, settings.precision)
        self.stride = self.order + 1 + self.order % 2
        shape = _shape(self.recurrences, self.stride, self.parts)
        self.lanes = shape.lanes
        steps = Steps(self.order, settings.tol, settings.floor, settings.length, settings.keep)
        r = self.recurrences
        self.code = _compiled(r, steps, settings.precision, shape, self.stride)
        self.data = packed(r, shape.tile)
        self.row_size = (self.order + 1) * len(r.moving_watched) * self.parts
        self.widths = 1, self.parts + 2, self.row_size
        self.rows = self.lanes * (max(1, RECORD_BYTES // (8 * self.lanes * max(1, self.row_size))) if steps.keep else 1)
        numbers = r.dim + r.still_size + len(r.moving_watched) + 8
        self.piece = max(4 * self.lanes, QUEUE_BYTES // (8 * self.parts * numbers))
        self.name = (
            f"Taylor series of order {self.order} in {settings.precision} precision, compiled for {self.lanes} lanes"
        )

    def advance(self, batch: Batch, limits: Limits) -> Advance:
        """Advance every trajectory as far as the limits allow, on as many threads, or one for each processor."""
        answer, record, parameters = self.recorded(batch, limits)
        return replace(answer, pieces=self._pieces(record, parameters)) if self.settings.keep else answer

    def recorded(self, batch: Batch, limits: Limits, spare: Spare | None = None) -> tuple[Advance, Record, Any]:
        """The same without `pieces`, what was kept as it was written, and the parameters of the trajectories.

        Memory is taken from `spare`, to which the caller may add that of records it has done with.
        """
        count = len(batch.t_end)
        workers = max(1, min(limits.threads or processors(), count // (4 * self.lanes)))
        queue = self._queue(batch, workers)
        crew = Crew(self, batch.state, queue, limits, [] if spare is None else spare)
        parts = 1 if workers == 1 else max(workers, min(PIECES * workers, count // (PIECE * self.lanes)))
        shares = [(count * p // parts, count * (p + 1) // parts) for p in range(parts)]
        share(lambda some: crew.work(*some), shares, workers, crew.interrupt)
        return self._answer(batch, queue, crew), Record.of(crew.kept, self.widths), self._unpacked(queue["parameters"])

    def _queue(self, batch: Batch, workers: int) -> dict[str, np.ndarray]:
        r, count = self.recurrences, len(batch.t_end)
        return {
            "state": np.empty((count, r.dim, *[2] * (self.parts - 1))),  # each thread fills in its part
            "parameters": self._packed(at_start(self.series, batch.inputs, count, r.parameters, workers).T),
            "times": self._packed(batch.t),
            "ends": self._packed(batch.t_end),
            "readings": np.full((count, len(r.moving_watched), *[2] * (self.parts - 1)), np.nan),
            "figures": np.zeros((count, 2)),
            "counts": np.zeros((count, 2), dtype=np.int64),
        }

    def _packed(self, numbers: Any) -> np.ndarray:
        """A copy with both parts of a number side by side, as the code reads them."""
        if isinstance(numbers, Pair):
            return np.ascontiguousarray(np.stack([numbers.high, numbers.low], axis=-1))
        return np.array(numbers, order="C", dtype=float)

    def _unpacked(self, numbers: np.ndarray) -> Any:
        return Pair(numbers[..., 0], numbers[..., 1]) if self.parts == 2 else numbers

    def memory(self, spare: Spare) -> dict[str, np.ndarray]:
        """Memory of one group of lanes, all of them free."""
        r, vector, number = self.recurrences, self.lanes, self.lanes * self.parts
        sizes = {
            "now": r.now_size * number,
            "series": r.series_size * self.stride * number,
            "rates": r.rates_size * self.stride * number,
            "kept": r.now_size * number,
            "still": r.still_size * number,
            "clock": number,
            "goal": number,
            "unit": vector,
            "old": r.dim * number,
            "slope": r.dim * number,
            "weights": r.dim * vector,
            "registers": len(REGISTERS) * vector,
            "ids": vector,
        }
        memory = _aligned(sizes) | self.room(spare)
        memory["ids"] = memory["ids"].view(np.int64)
        memory["ids"][:] = -1
        memory["control"] = np.zeros(len(CONTROL), dtype=np.int64)
        memory["control"][CONTROL.index("room")] = self.rows if self.settings.keep else 2**60
        return memory

    def room(self, spare: Spare) -> dict[str, np.ndarray]:
        """Memory for steps that are kept, fresh or spare; arrays in `RECORD`."""
        try:
            return dict(zip(RECORD, spare.pop(), strict=True))
        except IndexError:
            types = np.int64, float, float
            sizes = [self.rows * (w if self.settings.keep else 1) for w in self.widths]
            return {n: np.empty(size, dtype=t) for n, size, t in zip(RECORD, sizes, types, strict=True)}

    def _answer(self, batch: Batch, queue: dict[str, np.ndarray], crew: Crew) -> Advance:
        steps, fate = queue["counts"].T.copy()
        states, parameters = self._unpacked(queue["state"]), self._unpacked(queue["parameters"])
        meaning = {0: crew.stop or STOPPED, REACHED: END, STUCK: UNDERFLOW, SPENT: MAX_STEPS}
        code = np.array([meaning[n] for n in range(len(meaning))])[fate]
        length, space = queue["figures"].T.copy()
        readings = self._watched(self._unpacked(queue["readings"]), parameters)
        readings[code != END] *= np.nan
        return Advance(
            code,
            self._unpacked(queue["times"]),
            states.T,
            readings.T,
            steps,
            steps * float(self.order),
            length if self.settings.length else np.full(len(length), np.nan),
            space,
            None,
        )

    def _watched(self, moving: Any, parameters: Any) -> Any:
        """All watched values (rows, m): those that move, and parameters among them."""
        columns, at = [self.series.num.zeros((len(moving), 0))], 0
        for operand in self.recurrences.watched:
            if operand.still:
                columns.append(parameters[:, operand.at : operand.at + operand.size])
            else:
                columns.append(moving[:, at : at + operand.size])
                at += operand.size
        return self.series.num.joined(columns, axis=1)

    def _pieces(self, record: Record, parameters: Any) -> Pieces:
        num, parts = self.series.num, self.parts
        real = record.rows >= 0
        rows, spans, numbers = record.rows[real], record.spans[real], record.polynomials[real]
        shape = (len(rows), len(self.recurrences.moving_watched), self.order + 1)
        polynomials = self._unpacked(numbers.reshape(*shape, *([2] if parts == 2 else [])))
        still = parameters[rows]
        coefficients = num.zeros((len(rows), self.order + 1, sum(w.size for w in self.recurrences.watched)))
        for k in range(self.order + 1):
            coefficients[:, k] = self._watched(polynomials[:, :, k], still if k == 0 else still * 0.0)
        begin = self._unpacked(spans[:, :2]) if parts == 2 else spans[:, 0]
        return Pieces(rows, begin, spans[:, parts], spans[:, parts + 1], coefficients)


@cache
def _keep_pages() -> None:
    """Let the C library keep the memory of arrays that are freed: else those above 128 KiB are new pages every time.

    glibc raises that limit to the size of the largest block that was freed, up to 32 MiB (mallopt(3),
    M_MMAP_THRESHOLD), and hands back what is free at the end of its memory above twice as much. This block is never
    written to, so it costs nothing.
    """
    np.empty(2**25 - 2**16, dtype=np.uint8)


def _aligned(sizes: dict[str, int]) -> dict[str, np.ndarray]:
    """Zeros by name, each of them from a cache line on, in one piece of memory."""
    room = {name: 8 * max(1, -(-size // 8)) for name, size in sizes.items()}
    raw = np.zeros(sum(room.values()) + 8)
    at, parts = -raw.ctypes.data % 64 // 8, {}
    for name, size in room.items():
        parts[name] = raw[at : at + size]
        at += size
    return parts
