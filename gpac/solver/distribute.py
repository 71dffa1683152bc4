"""Solve a batch on the workers of an executor: cut it, send the pieces, do lost ones again, put results together.

A worker runs the ordinary `gpac.solve` on its piece. The bits of a trajectory do not depend on the batch it is
in, so neither do they depend on the cuts, on who does which piece, or on how often it was begun.
"""

from __future__ import annotations

import os
import pickle
import sys
import time
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Executor, Future, ProcessPoolExecutor
from concurrent.futures import wait as wait_for
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from threading import Thread
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np

from ..arguments import array_module
from ..circuit import Circuit
from ..errors import GpacError, WorkerError
from ..packing import pack, unpack
from ..pair import each_part
from ..schedule import Schedule
from .gather import joined, mapped
from .series import LANES
from .settings import seconds_left
from .solution import Solution, Status, host

if TYPE_CHECKING:
    from .observation import Observation

PIECES_PER_WORKER = 4
"""So many that a slow worker is not waited for long and a lost one costs little."""
LARGEST = 8192 * LANES
"""Trajectories in a piece, at most."""
ATTEMPTS = 3
"""How often a piece may be lost with its worker."""
PATIENCE = 2.0
"""Seconds for which pieces in work are waited for after Ctrl-C, or past the time allowed."""
TURN_SECONDS = 1.0
"""How long to wait for results before looking at the clock."""


@dataclass(frozen=True)
class Job:
    """A batch to be solved in pieces.

    Attributes
    ----------
    system : Circuit or Schedule
    t : (B,) end times, or a (1, q) or (B, q) grid; for a schedule what its caller gave
    inputs : mapping from name to (size, B) array
    count : int
        B.
    options : dict
        Everything else that each worker's `solve` is told.
    deadline : float
        Compared with `time.monotonic()`.
    xp : module
        Where the inputs live, here and then on the worker: numpy or cupy.
    observation : Observation or None
        Events and extremes to be looked for.
    """

    system: Circuit | Schedule
    t: Any
    inputs: dict[str, Any]
    count: int
    options: dict[str, Any]
    deadline: float = float("inf")
    xp: Any = np
    observation: Observation | None = None

    @property
    def question(self) -> tuple[Circuit | Schedule, dict[str, Any]]:
        """What every worker is told: the system, and events and extremes on its wires."""
        return self.system, self.observation.portable if self.observation else {}

    @property
    def device(self) -> bool:
        """Whether the inputs live on a device."""
        return self.xp is not np

    def part(self, low: int, high: int) -> tuple[Any, dict[str, np.ndarray]]:
        """End times and inputs (high - low, size) of some of the trajectories, on the host."""
        shared = np.ndim(self.t) == 0 or len(self.t) != self.count
        t = self.t if shared else each_part(host, self.t[low:high])
        return t, {n: each_part(lambda p: host(p[:, low:high]).T.copy(), a) for n, a in self.inputs.items()}


def distribute(executor: Executor, job: Job, progress: Callable[[float], None] | None) -> Solution:
    """Solve a batch of at least one trajectory on the workers of an executor.

    Raises
    ------
    GpacError
        If the executor is none, or the system cannot be sent.
    WorkerError
        If a piece was lost with its worker `ATTEMPTS` times.
    """
    if not isinstance(executor, Executor):
        raise GpacError(
            f"expected a concurrent.futures.Executor as executor, got {type(executor).__name__}; "
            "a Dask client gives one with client.get_executor()"
        )
    run = _Distribution(executor, job, progress)
    run.go()
    parts = [_numbered(run.done.get(low) or _untouched(job, low, high, run.reason), low) for low, high in run.cuts]
    solution = joined(parts)
    extremes = solution.extremes
    if job.observation and extremes is not None:
        extremes = {seen.key: extremes[number] for number, seen in enumerate(job.observation.extremes)}
    solution = mapped(replace(solution, extremes=None), lambda a: a if a.dtype == object else job.xp.asarray(a))
    return replace(solution, extremes=extremes)


class _Distribution:
    """One run: which pieces wait, which are in work, and what has come back."""

    def __init__(self, executor: Executor, job: Job, progress: Callable[[float], None] | None) -> None:
        self.executor, self.job, self.progress = executor, job, progress
        self.workers = worker_count(executor)
        self.cuts = cut(job.count, self.workers)
        self.waiting = deque(self.cuts)
        self.flying: dict[Future, tuple[tuple[int, int], Executor]] = {}
        self.done: dict[int, Solution] = {}
        self.lost: Counter[int] = Counter()
        self.reason = Status.WALL_CLOCK
        self.packed, self.name = _packed(job.question), uuid4().hex
        self.own: Executor | None = None

    def go(self) -> None:
        """Until every piece is done, or a limit is met."""
        try:
            while self._busy():
                self._send()
                for future in wait_for(self.flying, TURN_SECONDS, FIRST_COMPLETED).done:
                    self._take(future)
        except KeyboardInterrupt:
            self.reason = Status.STOPPED
            at_work = [future for future in self.flying if not future.cancel()]
            for future in wait_for(at_work, PATIENCE).done:
                if future.exception() is None:
                    self._keep(future)
        finally:
            for future in self.flying:
                future.cancel()
            if self.own is not None:
                self.own.shutdown(wait=False, cancel_futures=True)

    def _busy(self) -> bool:
        late = time.monotonic() - self.job.deadline
        return (bool(self.waiting) and late < 0) or (bool(self.flying) and late < PATIENCE)

    def _send(self) -> None:
        """Keep the workers busy; with a deadline no piece waits at a worker, for its clock starts here."""
        room = self.workers if self.job.deadline < float("inf") else 2 * self.workers
        while self.waiting and len(self.flying) < room and time.monotonic() < self.job.deadline:
            low, high = piece = self.waiting.popleft()
            t, inputs = self.job.part(low, high)
            options = self.job.options | {"max_seconds": seconds_left(self.job.deadline)}
            ticket = self.name, low, self.lost[low]  # Dask takes calls with equal arguments for one call
            try:
                future = self.executor.submit(_work, self.packed, t, inputs, options, self.job.device, ticket)
            except BrokenExecutor as error:
                self._again(piece, self.executor, error)
            else:
                self.flying[future] = piece, self.executor

    def _take(self, future: Future) -> None:
        """Keep a result, send a lost piece again, raise what the worker raised."""
        try:
            future.result()
        except _losses() as error:
            piece, executor = self.flying.pop(future)
            self._again(piece, executor, error)
        else:
            self._keep(future)
            if self.progress:
                self.progress(sum(len(s.t) for s in self.done.values()) / self.job.count)

    def _keep(self, future: Future) -> None:
        (low, _), _ = self.flying.pop(future)
        self.done[low] = future.result()

    def _again(self, piece: tuple[int, int], executor: Executor, error: BaseException) -> None:
        """Put a lost piece back in the queue, and workers in place of those that are gone."""
        low, high = piece
        self.lost[low] += 1
        if self.lost[low] >= ATTEMPTS:
            raise WorkerError(
                f"the worker was lost {ATTEMPTS} times while the piece of trajectories {low} to {high - 1} was at "
                f"work or waiting there; the last time with {type(error).__name__}: {error}. Is it out of memory? "
                "Solve this piece alone to see"
            ) from error
        self.waiting.appendleft(piece)
        if isinstance(error, BrokenExecutor) and executor is self.executor:
            self.executor = _anew(executor, error)
            if self.own is not None:
                self.own.shutdown(wait=False)
            self.own = self.executor


def cut(count: int, workers: int) -> list[tuple[int, int]]:
    """Pieces [low, high) of a batch, all but the last of one size, a multiple of the lanes of a block."""
    pieces = max(PIECES_PER_WORKER * workers, -(-count // LARGEST))
    size = LANES * -(-count // (LANES * pieces))
    return [(low, min(count, low + size)) for low in range(0, count, size)]


def worker_count(executor: Executor) -> int:
    """How many pieces an executor works on at a time: Dask, MPI, the standard library; else one for each processor."""
    if hasattr(executor, "_client"):
        return max(1, sum(executor._client.nthreads().values()))
    count = getattr(executor, "num_workers", None) or getattr(executor, "_max_workers", None)
    return count or os.cpu_count() or 1


def _losses() -> tuple[type[BaseException], ...]:
    """What it raises when a worker is gone."""
    dask = sys.modules.get("distributed")
    return BrokenExecutor, CancelledError, *((dask.KilledWorker,) if dask else ())


def _let_end(broken: Any) -> None:
    """Let the threads of a broken pool end, for whoever shuts it down.

    Before Python 3.12.1 they wait for ever where a dead process has not read all that is written to it
    (https://github.com/python/cpython/issues/94777): so somebody reads the rest.
    """
    queue = getattr(broken, "_call_queue", None)
    if queue is not None and os.name == "posix":
        with suppress(OSError):  # closed already
            Thread(target=_read_all, args=(os.dup(queue._reader.fileno()),), daemon=True).start()


def _read_all(pipe: int) -> None:
    with open(pipe, "rb", buffering=0) as rest:
        while rest.read(2**16):
            pass


def _anew(executor: Executor, error: BaseException) -> Executor:
    """Processes like those of a pool that is broken for good."""
    if type(executor) is not ProcessPoolExecutor:
        raise WorkerError(
            f"the workers of the {type(executor).__name__} are gone and it starts no others; hand over a fresh one"
        ) from error
    settings: Any = executor
    _let_end(settings)
    return ProcessPoolExecutor(
        settings._max_workers,
        settings._mp_context,
        settings._initializer,
        settings._initargs,
        max_tasks_per_child=settings._max_tasks_per_child,
    )


def _packed(question: tuple[Circuit | Schedule, dict[str, Any]]) -> bytes:
    try:
        return pack(question)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise GpacError(f"the system cannot be sent to other processes: {error}; solve it without executor=") from error


@lru_cache(maxsize=4)
def _question(packed: bytes) -> Any:
    """Pieces of one batch share the system, and what is kept with it."""
    return unpack(packed)


def _work(packed: bytes, t: Any, inputs: dict[str, np.ndarray], options: dict, device: bool, ticket: Any) -> Solution:
    """On the worker: solve one piece."""
    return _solved(_question(packed), t, inputs, options, device)


def _solved(question: Any, t: Any, inputs: dict[str, np.ndarray], options: dict, device: bool) -> Solution:
    """A piece's solution on the host, with the axis of trajectories even where there is but one."""
    from .batch import solve

    xp = array_module(None, "cupy" if device else "numpy")
    system, observed = question
    given = {name: each_part(xp.asarray, a) for name, a in inputs.items()}
    solution = solve(system, t, given, **observed, **options)
    solution = mapped(replace(solution, question=None), host)
    return solution if np.ndim(solution.t) else mapped(solution, lambda a: np.array([a]))


def _numbered(solution: Solution, first: int) -> Solution:
    """A piece's solution, trajectories of events counted in the whole batch."""
    events = solution.events
    return solution if events is None else replace(solution, events=events.numbered(first))


def _untouched(job: Job, low: int, high: int, reason: Status) -> Solution:
    """A piece that was never begun is what `solve` returns when it has no time."""
    options = job.options | {"max_seconds": 1e-9}
    solution = _solved(job.question, *job.part(low, high), options, job.device)
    status = np.empty(high - low, dtype=object)
    status[:] = reason
    return replace(solution, status=status)
