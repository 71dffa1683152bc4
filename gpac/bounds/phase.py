"""One circuit from start to end, for a batch: polynomials from the solver, bounds on how far off they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from importlib.util import find_spec
from typing import Any

import numpy as np

from ..circuit import Circuit
from ..graph import closure, operands
from ..solver.choice import choose
from ..solver.prepared import prepared
from ..solver.results import REACHED, STOPPED
from ..solver.task import Batch, Limits, Settings
from ..wire import Integral
from .chain import Reached, jumps, reach
from .compare import reach_by_comparison
from .models import UNIT, UP, Array, Model
from .skeleton import Interval, Skeleton, Spans, steps_of
from .steps import Local, local
from .units import Models, Units

FINEST = 1.2e-16
"""Tolerance of the polynomials: the smallest that doubles have, whatever the solution was computed with."""
ATTEMPTS = ((2.0**-20, 10), (2.0**-20, 14), (2.0**-20, 28), (2.0**-10, 28))
"""Errors that are allowed for, relative to the largest state, and coefficients of Jacobians: at first, and after
that for trajectories that could not be certified so, or not well."""
LARGE_ATTEMPTS = ((2.0**-20, 0), (2.0**-8, 0), (2.0**-20, 14))
"""The same for more than `FEW` states; 0 is the comparison without matrices."""
FEW = 24
MOST_DENSE = 96
"""States up to which matrices are made for every step at all."""
MOST_COMPILED = 8
"""States up to which matrices are carried along by compiled code."""
WORTH, WORTH_LARGE = 1000, 300
"""Steps of a batch that make up for the time of compiling, which is some seconds, once: so many times the square of the
number of states where there are matrices, and so many times that number where there are none."""
BLOCK = 2**21
"""Doubles that one set of models of all units should have at most: so many stay in a cache."""


@dataclass(frozen=True, eq=False)
class Ends:
    """Outputs by name at the end, and for each trajectory why they are not bounded ("" where they are)."""

    outputs: Mapping[str, Interval]
    reasons: Array


@dataclass(frozen=True, eq=False)
class Course:
    """A circuit made ready for many batches; a batch has one in `share` of all trajectories there will be."""

    circuit: Circuit
    share: float = 1.0
    spare: list = field(default_factory=list)
    last: list = field(default_factory=list)

    @cached_property
    def units(self) -> Units:
        """Its units."""
        return Units(self.circuit)

    @cached_property
    def read(self) -> set:
        """Units that the outputs are made of."""
        source = self.circuit.source
        roots = [source(w) for w in self.circuit.outputs.values()]
        return closure(roots, lambda w: [] if isinstance(w, Integral) else map(source, operands(w)))

    @cached_property
    def engine(self) -> Any:
        """Taylor series that keep the polynomials of all states."""
        settings = Settings(FINEST, FINEST, tuple(self.circuit.integrals), keep=True)
        return choose(self.circuit, settings, np, "auto", "taylor").engine

    def skeleton(self, inputs: Mapping[str, Interval], ends: Array, limits: Limits) -> Skeleton:
        """Polynomials for a batch."""
        count, dim, engine = len(ends), self.circuit.dim, self.engine
        given = {n: x.mid for n, x in inputs.items()}
        start = self._at_start(inputs, count).mid
        batch = Batch(given, start, np.zeros(count), ends.copy())
        if hasattr(engine, "recorded") and engine.row_size == dim * (engine.order + 1):
            out, record, _ = engine.recorded(batch, limits, self.spare)
            ids, shape = record.rows, (len(record.rows), dim, engine.order + 1)
            polynomials = record.polynomials.reshape(shape)
            begin, unit, memory = record.spans[:, 0], record.spans[:, 2], record.memory
        else:
            out = engine.advance(batch, limits)
            ids, polynomials = out.pieces.ids, np.ascontiguousarray(out.pieces.coefficients.transpose(0, 2, 1))
            begin, unit, memory = out.pieces.begin, out.pieces.unit, []
        if (out.code == STOPPED).any():
            raise KeyboardInterrupt
        ids = np.where(ids < 0, count, ids).astype(np.uint16 if count < 2**16 else int)  # short ones sort by digits
        offsets = np.concatenate([[0], np.cumsum(np.bincount(ids, minlength=count)[:count])])
        place = np.argsort(ids, kind="stable")[: offsets[-1]]
        return Skeleton(offsets, place, begin, unit, polynomials, start.T, out.code == REACHED, out.t, memory)

    def _at_start(self, inputs: Mapping[str, Interval], count: int) -> Interval:
        """States at the start; elementary functions in balls take their time, and the last ones are remembered."""
        if not self.last or self.last[0][0] is not inputs:
            self.last[:] = [(inputs, self._found_at_start(inputs, count))]
        return self.last[0][1]

    def _found_at_start(self, inputs: Mapping[str, Interval], count: int) -> Interval:
        models = self.units.start({n: Model(x.mid[None], x.off) for n, x in inputs.items()})
        shape = self.circuit.dim, count
        mid, off, at = np.empty(shape), np.empty(shape), 0
        for w in self.circuit.integrals:
            mid[at : at + w.size], off[at : at + w.size] = models[w].c[0], models[w].error
            at += w.size
        return Interval(mid, off)

    @property
    def _attempts(self) -> tuple[tuple[float, int], ...]:
        """What is tried on this circuit."""
        if self.circuit.dim <= FEW:
            return ATTEMPTS
        return LARGE_ATTEMPTS if self.circuit.dim <= MOST_DENSE else LARGE_ATTEMPTS[:2]

    def bounded(self, skeleton: Skeleton, inputs: Mapping[str, Interval], ends: Array, late: Array) -> Ends:
        """Bounds from polynomials: `ends` (B,) are doubles, the exact end times are within `late` of them."""
        count = len(ends)
        reasons = np.array([_stopped(r, t) for r, t in zip(skeleton.reached, skeleton.t, strict=True)], dtype=object)
        shift, radius = np.zeros((2, self.circuit.dim, count))
        radius[...] = np.inf
        end = np.zeros(radius.shape)
        whole = skeleton.reached & self._covered(skeleton, ends, late)
        reasons[skeleton.reached & ~whole] = "the solver's polynomials do not cover the time from 0 to its end"
        todo, begin = np.flatnonzero(whole), self._at_start(inputs, count)
        for tube, slopes in self._attempts:
            given = {n: x.where(todo) for n, x in inputs.items()}
            sides = skeleton.where(todo), given, begin.where(todo), ends[todo], late[todo]
            part, reached = self._reach(*sides, tube, slopes)
            better = part.radius.sum(axis=0) < radius[:, todo].sum(axis=0)
            kept = todo[better]
            shift[:, kept], radius[:, kept], end[:, kept] = (
                part.shift[:, better],
                part.radius[:, better],
                reached[:, better],
            )
            todo = todo[part.loose | ~part.held]
            if not len(todo):
                break
        lost = whole & ~np.isfinite(radius).all(axis=0)
        reasons[lost] = "the bound on the error grew beyond what its derivation allows"
        return Ends(self._readings(end, shift, radius, inputs, ends, late), reasons)

    def _covered(self, skeleton: Skeleton, ends: Array, late: Array) -> Array:
        """Whether the steps start at time 0; where there are none, whether there is anything to be covered."""
        some = np.flatnonzero(np.diff(skeleton.offsets))
        covered = (ends == 0) & (late == 0) | (self.circuit.dim == 0)
        covered[some] = skeleton.begin[skeleton.place[skeleton.offsets[some]]] == 0
        return covered

    def _reach(
        self,
        skeleton: Skeleton,
        inputs: Mapping[str, Interval],
        begin: Interval,
        ends: Array,
        late: Array,
        tube: float,
        slopes: int,
    ) -> tuple[Reached, Array]:
        """The end of every trajectory: distance from doubles, and these."""
        end = skeleton.start.T.copy()
        some = np.flatnonzero(np.diff(skeleton.offsets))
        first = end.copy()
        first[:, some] = skeleton.coefficients[skeleton.place[skeleton.offsets[some]], :, 0].T
        start = (np.abs(begin.mid - first) * (1 + 2 * UNIT) + begin.off) * UP
        if not self.circuit.dim or not len(some):
            held = np.isfinite(start).all(axis=0)
            return Reached(0.0 * start, start, held, ~held), end
        spans = Spans.of(skeleton, ends, late)
        kernel = self._kernel(skeleton, tube, slopes) if len(some) == len(ends) else None
        if kernel:
            return kernel.reach(skeleton, spans, inputs, start)
        steps = steps_of(skeleton, spans, inputs)
        last = np.zeros(len(spans.h))
        last[skeleton.offsets[some + 1] - 1] = 1
        jump = jumps(steps.c, np.roll(steps.c[0], -1, axis=-1), last)
        end[:, some] = jump.end[:, skeleton.offsets[some + 1] - 1]
        if not slopes:
            return reach_by_comparison(self.units, steps, jump, skeleton.offsets, start, tube), end
        width = self.circuit.dim + sum(w.size for w in self.units.driving)
        size = max(1, BLOCK // (width * (len(steps.c) + slopes * self.circuit.dim)))
        with np.errstate(all="ignore"):
            blocks = [
                local(self.units, steps.at(slice(low, low + size)), tube, slopes)
                for low in range(0, len(spans.h), size)
            ]
        return reach(Local.joined(blocks), jump, skeleton.offsets, start, end), end

    def _kernel(self, skeleton: Skeleton, tube: float, slopes: int) -> Any:
        """Compiled code for this attempt, where that is worth its while."""
        rows, dim = len(skeleton.place) * self.share, self.circuit.dim
        most, worth = (MOST_COMPILED, WORTH * dim**2) if slopes else (MOST_DENSE, WORTH_LARGE * dim)
        if dim > most or rows < worth or find_spec("llvmlite") is None:
            return None
        from .kernel import Kernel, TooLong

        orders = skeleton.coefficients.shape[2]

        def make() -> Any:
            try:
                return Kernel(self.units, orders, tube, slopes)
            except TooLong:
                return None

        return prepared(self.circuit, f"bounds {tube} {slopes}", orders, make)

    def _readings(
        self,
        end: Array,
        shift: Array,
        radius: Array,
        inputs: Mapping[str, Interval],
        ends: Array,
        late: Array,
    ) -> dict[str, Interval]:
        """Output wires from the states at the end."""
        middle = end + shift
        off = (radius + UNIT * np.abs(middle) * 2) * UP
        state, at = Models(), 0
        for w in self.circuit.integrals:
            state[w] = Model(middle[None, at : at + w.size], off[at : at + w.size])
            at += w.size
        given = {n: Model(x.mid[None], x.off) for n, x in inputs.items()}
        t = Model(ends[None, None], late[None])
        with np.errstate(all="ignore"):
            values = self.units.values(state, given, t, 1, self.read)
        out = {}
        for name, wire in self.circuit.outputs.items():
            model, shape = values[self.circuit.source(wire)], (wire.size, len(ends))
            out[name] = Interval(np.broadcast_to(model.c[0], shape), np.broadcast_to(model.error, shape))
        return out


def _stopped(reached: bool, t: float) -> str:
    return "" if reached else f"the solver's polynomials end at t = {t:.6g}"


def nearest_double(t: Fraction) -> tuple[float, float]:
    """A double near an exact number, and a bound on the distance."""
    value = float(t)
    return value, float(abs(t - Fraction(value))) * UP
