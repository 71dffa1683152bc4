"""Threads that carry one queue of trajectories through groups of lanes, and look up from time to time."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from ...pair import Pair
from ..interrupt import undisturbed
from ..results import STOPPED, WALL_CLOCK
from ..task import Limits
from .memory import CONTROL, NAMES, REACHED, RECORD
from .record import Spare

if TYPE_CHECKING:
    from .engine import LaneEngine

TURN_SECONDS = 0.02
"""How long compiled code runs before it looks up: for Ctrl-C, the clock and progress."""
FIRST_TURNS = 256
MOST_TURNS = 2**20


class Crew:
    """Threads that work through one queue: what they share, and what they have kept.

    `start` (dim, B) are the states that the queue is to be filled with.
    """

    def __init__(
        self, engine: LaneEngine, start: Any, queue: dict[str, np.ndarray], limits: Limits, spare: Spare
    ) -> None:
        self.engine, self.start, self.queue, self.limits, self.spare = engine, start, queue, limits, spare
        self.kept: list[tuple[int, tuple[np.ndarray, ...]]] = []
        self.stop = 0
        self.lock = threading.Lock()

    def interrupt(self) -> None:
        """Ctrl-C: whoever is at work leaves off when it looks up."""
        self.stop = STOPPED

    def work(self, begin: int, end: int) -> None:
        """Carry the trajectories from `begin` to `end` through one group of lanes."""
        try:
            self._fill(begin, end)
        except KeyboardInterrupt:
            self.interrupt()
            self._fill(begin, end)
        if self.stop:
            return
        memory = self.engine.memory(self.spare)
        control = dict(zip(CONTROL, range(len(CONTROL)), strict=True))
        numbers = memory["control"]
        numbers[control["next"]], numbers[control["stop"]] = begin, end
        numbers[control["max_steps"]] = self.limits.max_steps
        turns, told, pointers = FIRST_TURNS, 0, self._pointers(memory)
        try:
            while True:
                numbers[control["turns"]] = turns
                since = time.perf_counter()
                with undisturbed():  # what a turn has made is taken as a whole
                    busy = int(self.engine.code.run(*pointers))
                    spent = max(1e-6, time.perf_counter() - since)
                    turns = max(1, min(2 * turns, round(turns * TURN_SECONDS / spent), MOST_TURNS))
                    if numbers[control["kept"]] + self.engine.lanes > numbers[control["room"]]:
                        self._collect(memory, numbers, control["kept"])
                        pointers = self._pointers(memory)
                    ended = int(numbers[control["next"]]) - begin - busy
                    if ended > told:
                        with self.lock:
                            self.limits.tell(ended - told)
                    told = ended
                    if time.monotonic() > self.limits.deadline:
                        self.stop = WALL_CLOCK
                if not busy or self.stop:
                    break
        except KeyboardInterrupt:
            self.stop = STOPPED
        if self.stop:
            self._flush(memory, control)
        self._collect(memory, numbers, control["kept"])

    def _fill(self, begin: int, end: int) -> None:
        """Write the states into the queue: the processor that does so has them near when it begins."""
        state = self.queue["state"][begin:end]
        if isinstance(self.start, Pair):
            state[..., 0], state[..., 1] = self.start.high[:, begin:end].T, self.start.low[:, begin:end].T
        else:
            state[...] = self.start[:, begin:end].T

    def _pointers(self, memory: dict[str, np.ndarray]) -> list[int]:
        arrays = {**memory, **self.queue, "data": self.engine.data, "index": self.engine.recurrences.index}
        return [arrays[name].ctypes.data for name in NAMES]

    def _collect(self, memory: dict[str, np.ndarray], numbers: np.ndarray, at: int) -> None:
        """Take the kept steps away together with their memory, and leave new memory."""
        if not self.engine.settings.keep:
            return
        kept, numbers[at] = int(numbers[at]), 0
        taken = kept, tuple(memory[name] for name in RECORD)
        memory |= self.engine.room(self.spare)
        with self.lock:
            self.kept.append(taken)

    def _flush(self, memory: dict[str, np.ndarray], control: dict[str, int]) -> None:
        """One more step for those at work, so that they write down where they are."""
        numbers = memory["control"]
        at_work = memory["ids"][memory["ids"] >= 0].copy()
        numbers[control["stop"]] = numbers[control["next"]]
        numbers[control["max_steps"]], numbers[control["turns"]] = 0, 1
        self.engine.code.run(*self._pointers(memory))
        fate = self.queue["counts"][:, 1]
        fate[at_work] = np.where(fate[at_work] == REACHED, REACHED, 0)
