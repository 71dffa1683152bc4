"""Run batches on a CUDA device: the queue of trajectories, launches of bounded length, and what they left."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...circuit import Circuit
from ...pair import Pair, each_part, leading
from ..lowering import recurrences
from ..orders import series_order
from ..recurrences import Recurrences, Sum
from ..results import MAX_STEPS, STOPPED, UNDERFLOW
from ..results import REACHED as END
from ..series import Series
from ..task import Advance, Batch, Limits, Settings
from .compile import DeviceKernel, Kernel
from .layout import ARITHMETICS, Arithmetic, Layout, layout
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


def fits(circuit: Circuit, settings: Settings) -> bool:
    """Whether a kernel is the way: weights that stay near a multiprocessor, and series of bounded size."""
    r = recurrences(circuit, settings.watch)
    sizes = layout(r, series_order(settings.tol, r, settings.precision), ARITHMETICS[settings.precision])
    return len(r.data) <= MOST_WEIGHTS and sizes.arena <= MOST_NUMBERS


class CudaEngine:
    """Taylor series in a kernel written for the circuit, step by step as in the lanes engine.

    Bits are the same too, but for flat matrices, whose columns lanes add up in several sums.

    Parameters
    ----------
    circuit, settings : see `gpac.solver.task`
        A precision of "single" is known here too: float32, with times in float64.
    xp : module
        cupy; numpy with a `build` that runs kernels on the processor.
    build : callable
        Makes a kernel of (text, layout, bytes of shared memory per block).
    """

    radau_steps = 300.0  # as lanes: where trajectories are few, neither is busy

    def __init__(
        self,
        circuit: Circuit,
        settings: Settings,
        xp: Any,
        build: Callable[[str, Layout, int], Kernel] = DeviceKernel,
    ) -> None:
        self.settings, self.xp = settings, xp
        self.arithmetic = arithmetic = ARITHMETICS[settings.precision]
        self.pairs = arithmetic is Arithmetic.DOUBLE_DOUBLE
        on_arrays = "double-double" if self.pairs else "double"
        self.series, self.recurrences = (
            Series.of(circuit, xp, on_arrays),
            recurrences(circuit, settings.watch, on_arrays),
        )
        self.order = series_order(settings.tol, self.recurrences, settings.precision)
        self.layout = layout(self.recurrences, self.order, arithmetic)
        steps = Steps(self.order, settings.tol, settings.floor, settings.length, settings.keep)
        text = source(self.recurrences, steps, self.layout, arithmetic)
        self.number_bytes = 4 * arithmetic.value
        self.kernel = build(text, self.layout, self.layout.shared_bytes(arithmetic))
        self.kind = np.float32 if arithmetic is Arithmetic.FLOAT else np.float64
        self.data = xp.asarray(_by_columns(self.recurrences).astype(self.kind))
        self.index = xp.asarray(self.recurrences.index.astype(np.int32))
        r = self.recurrences
        self.row_size = (self.order + 1) * len(r.moving_watched)
        each = self.number_bytes * (r.dim + r.still_size + len(r.moving_watched)) + 8 * 8
        self.piece = max(1, QUEUE_BYTES // each)
        self.name = f"Taylor series of order {self.order} in a CUDA kernel, {settings.precision}, {self.layout}"

    def advance(self, batch: Batch, limits: Limits) -> Advance:
        """Advance every trajectory of the batch as far as the limits allow, in launches of bounded length."""
        queue = Queue(self, batch)
        stop = queue.run(limits)
        return self._answer(batch, queue, stop)

    def moments(self, t: Any) -> Array:
        """A copy of times (B,) as the kernel keeps them: doubles, or both parts of pairs side by side."""
        if isinstance(t, Pair):
            return self.xp.stack([t.high, t.low], axis=-1)
        return self.xp.ascontiguousarray(self.xp.array(t, dtype=float))

    def packed(self, numbers: Any) -> Array:
        """A copy of (entries, B) as the kernel keeps it: by trajectory where a group of threads shares one."""
        array = self.moments(numbers).astype(self.kind)
        return self.xp.ascontiguousarray(array if self.layout.group == 1 else array.swapaxes(0, 1))

    def unpacked(self, array: Array) -> Any:
        """(entries, B) in doubles or pairs."""
        return self.parts((array if self.layout.group == 1 else array.swapaxes(0, 1)).astype(float))

    def parts(self, array: Array) -> Any:
        """A `Pair` where both parts lie side by side."""
        return Pair(array[..., 0], array[..., 1]) if self.pairs else array

    def _answer(self, batch: Batch, queue: Queue, stop: int) -> Advance:
        xp = self.xp
        length, space = queue.figures[:, 0], queue.figures[:, 1]
        steps, fate = queue.counts.T
        state = self.unpacked(queue.state)
        start = _largest(leading(batch.state), xp)
        code = xp.full(len(steps), stop or STOPPED)
        code[fate == REACHED] = END
        code[fate == SPENT] = MAX_STEPS
        code[fate == STUCK] = UNDERFLOW
        moving, parameters = self.unpacked(queue.readings), self.unpacked(queue.parameters)
        readings = watched_values(self.recurrences, moving, parameters, self.series.num)
        return Advance(
            code,
            self.parts(queue.clocks),
            state,
            each_part(lambda p: xp.where(code == END, p, xp.nan), readings),
            steps,
            steps * float(self.order),
            length if self.settings.length else xp.full(len(length), xp.nan),
            xp.maximum(space, start),
            queue.pieces() if self.settings.keep else None,
        )


def _largest(state: Array, xp: Any) -> Array:
    """Largest magnitude over the state (dim, B)."""
    return xp.abs(state).max(axis=0) if len(state) else xp.zeros(state.shape[1])


def _by_columns(r: Recurrences) -> np.ndarray:
    """The table of weights with every dense matrix stored by columns: neighbouring threads read neighbours."""
    data = r.data.copy()
    for operation in r.operations:
        if isinstance(operation, Sum):
            for term in operation.terms:
                if term.kind == "dense":
                    shape = operation.out.size, term.operand.size
                    some = slice(term.data, term.data + shape[0] * shape[1])
                    data[some] = r.data[some].reshape(*shape, -1).swapaxes(0, 1).reshape(data[some].shape)
    return data
