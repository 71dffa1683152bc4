"""Run batches on a CUDA device: the queue of trajectories, launches of bounded length, and what they left."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...circuit import Circuit
from ...errors import NumberError
from ..lanes.engine import lane_order
from ..recurrences import Recurrences, Sum, recurrences
from ..results import BLOW_UP, MAX_STEPS, STOPPED, UNDERFLOW
from ..results import REACHED as END
from ..series import Series
from ..task import Advance, Batch, Limits, Settings
from .compile import DeviceKernel, Kernel
from .layout import Arithmetic, Layout, layout
from .queue import Queue, watched_values
from .source import Steps, source

Array = Any
RUNNING, REACHED, STUCK, SPENT = range(4)
"""Fates of a trajectory, as in step.h."""
QUEUE_BYTES = 2 * 2**30
MOST_WEIGHTS = 16 * 1024
"""Weights (128 KiB) that stay in a multiprocessor's cache: every trajectory reads all of them at every order."""
MOST_NUMBERS = 512 * 1024
"""Numbers of one trajectory's series."""
LEAST_TOLERANCE = {Arithmetic.FLOAT: 4 * 2.0**-23, Arithmetic.DOUBLE: 0.0, Arithmetic.DOUBLE_DOUBLE: 0.0}


def fits(circuit: Circuit, settings: Settings) -> bool:
    """Whether a kernel is the way: weights that stay near a multiprocessor, and series of bounded size."""
    r = recurrences(circuit, settings.watch)
    return len(r.data) <= MOST_WEIGHTS and layout(r, lane_order(settings.tol), Arithmetic.DOUBLE).arena <= MOST_NUMBERS


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
            raise NumberError(
                f"tol must be at least {least:.2g} in float32, got {settings.tol!r}; use float64 for less"
            )
        self.settings, self.xp, self.arithmetic = settings, xp, arithmetic
        self.order = lane_order(settings.tol)
        self.series, self.recurrences = Series(circuit, xp), recurrences(circuit, settings.watch)
        self.layout = layout(self.recurrences, self.order, arithmetic)
        steps = Steps(self.order, settings.tol, settings.floor, settings.length, settings.keep)
        text = source(self.recurrences, steps, self.layout, arithmetic)
        self.number_bytes = 4 * arithmetic.value
        self.kernel = build(text, self.layout, self.layout.shared_bytes(arithmetic))
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
        queue = Queue(self, batch)
        stop = queue.run(limits)
        return self._answer(batch, queue, stop)

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

    def moments(self, t: Array) -> Array:
        """Times (B,) as the kernel keeps them: doubles, or pairs of them."""
        return self.numbers(t[None])[0] if self.arithmetic is Arithmetic.DOUBLE_DOUBLE else t

    def _answer(self, batch: Batch, queue: Queue, stop: int) -> Advance:
        xp = self.xp
        length, space = queue.figures[:, 0], queue.figures[:, 1]
        steps, fate = queue.counts.T
        state = self.back(queue.state)
        start = _largest(batch.state, xp)
        grown = ~(_largest(state, xp) < 1e3 * xp.maximum(1.0, start))
        code = xp.full(len(steps), stop or STOPPED)
        code[fate == REACHED] = END
        code[fate == SPENT] = MAX_STEPS
        code = xp.where(fate == STUCK, xp.where(grown, BLOW_UP, UNDERFLOW), code)
        moving, parameters = self.back(queue.readings), self.back(queue.parameters)
        readings = watched_values(self.recurrences, moving, parameters, xp)
        lead = (slice(None),) + (None,) * (readings.ndim - 2)
        readings = xp.where((code == END)[lead], readings, xp.nan)
        return Advance(
            code,
            queue.clocks[:, 0] if queue.clocks.ndim == 2 else queue.clocks,
            state,
            readings,
            steps,
            steps * float(self.order),
            length if self.settings.length else xp.full(len(length), xp.nan),
            xp.maximum(space, start),
            queue.pieces() if self.settings.keep else None,
        )


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
