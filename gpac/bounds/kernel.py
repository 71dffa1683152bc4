"""Compiled bounds for circuits of few states: one step is written down, and run over all trajectories of a batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from ..solver.lanes.machine import Compiled, registers
from .chain import Back, Front, Reached, arrived, back, backward, forward, front, jumps
from .chain import Tape as TapeOfStep
from .compare import Spread, compared, compared_at_last
from .models import Array, Model
from .scan import POINTERS, Sizes, Step, Written, module
from .skeleton import Interval, Skeleton, Spans
from .steps import Steps, local
from .trace import LONGEST, TooLong, Trace, rounded
from .units import Units

FIGURES = 4
"""Of each step: begin, h, bound on the inexactness of h, and h in the unit of time of its polynomials."""

MOST_WITH_MATRICES = 25_000
"""Operations of a step with matrices; more are not worth their compilation, for bounds on arrays are fast then."""

Fields = TypeVar("Fields")


@cache
def _own_source() -> str:
    """The text of what writes this code, besides the lanes': when it changes, so does the code."""
    here = Path(__file__).parent
    return "".join((here / name).read_text() for name in ("scan.py", "kernel.py"))


class Kernel:
    """Code for one circuit, one order of its polynomials, and one attempt (`tube`, `slopes`)."""

    def __init__(self, units: Units, orders: int, tube: float, slopes: int) -> None:
        self.slopes = slopes
        self.names = tuple(units.circuit.inputs)
        self.step = _step(units, orders, tube, slopes)
        self.lanes = registers()[0]
        key = f"bounds of {self.lanes} lanes: {self.step.key}\n{_own_source()}"
        self.code = Compiled(key, lambda: str(module(self.step, self.lanes)), len(POINTERS))

    def reach(
        self, skeleton: Skeleton, spans: Spans, inputs: Mapping[str, Interval], start: Array
    ) -> tuple[Reached, Array]:
        """Bounds at the end of all trajectories, each of which has a step, and the doubles there, (dim, B).

        `start` (dim, B) bounds the errors at the start.
        """
        offsets = skeleton.offsets
        relative = spans.h / skeleton.unit[skeleton.place]
        figures = np.stack([spans.begin, spans.h, spans.h_off, relative], axis=1)
        given = [part for n in self.names for part in (inputs[n].mid, inputs[n].off)]
        sizes, count, steps = self.step.sizes, len(offsets) - 1, np.diff(offsets)
        order = np.argsort(-steps, kind="stable")
        order = np.concatenate([order, np.full(-count % self.lanes, order[-1])])
        out = np.empty((count, sizes.front + sizes.back))
        memory = {
            "order": order,
            "offsets": offsets,
            "place": np.ascontiguousarray(skeleton.place, dtype=np.int64),
            "figures": figures,
            "polynomials": np.ascontiguousarray(skeleton.coefficients),
            "given": np.ascontiguousarray(np.concatenate([np.zeros((0, count)), *given]).T),
            "start": np.ascontiguousarray(start.T),
            "out": out,
            "features": self._vectors(sizes.features),
            "state": self._vectors(sizes.front + sizes.back),
            "tape": self._vectors(sizes.tape * int(steps.max())),
            "control": np.array([0, len(order) // self.lanes]),
        }
        self.code.run(*(memory[name].ctypes.data for name in POINTERS))
        dim = sizes.dim
        end = out.T[sizes.front - dim : sizes.front]
        with np.errstate(all="ignore"):
            if not self.slopes:
                return compared_at_last(_shaped(Spread, out.T, dim)), end
            now, late = _shaped(Front, out.T, dim), _shaped(Back, out.T[sizes.front :], dim)
            return arrived(late, start, now.lost, end), end

    def _vectors(self, count: int) -> Array:
        """Room for vectors, from the start of a cache line on."""
        raw = np.empty(max(1, count) * self.lanes + 8)
        shift = -raw.ctypes.data % 64 // 8
        return raw[shift:]


def _step(units: Units, orders: int, tube: float, slopes: int) -> Step:
    """One step written down: with matrices, or by comparison where `slopes` is 0."""
    n, first, one = units.circuit.dim, Trace(), Trace(MOST_WITH_MATRICES if slopes else LONGEST)
    steps, following, end = _features(one, units, orders)
    start = first.inputs(n, 1)
    jump = jumps(steps.c, following, end)
    given = sum(2 * m.c.shape[1] for m in steps.inputs.values())
    none = [0.0] * n  # the doubles at the end, which are carried along
    if not slopes:
        carried = [*_flat(compared(units, steps, jump, _inputs(one, Spread, n), tube)), *jump.end.reshape(-1)]
        sizes = Sizes(n, orders, FIGURES, given, len(carried), 0, 0)
        return Step(Written(first, [*_flat(Spread(start, np.zeros(1))), *none]), Written(one, carried), sizes)
    after, tape = forward(local(units, steps, tube, slopes), jump, _inputs(one, Front, n))
    last, other = Trace(), Trace()
    before = _inputs(other, TapeOfStep, n), _inputs(other, Back, n)
    carried, shown, turned = [*_flat(after), *jump.end.reshape(-1)], _flat(tape), _flat(backward(*before))
    return Step(
        Written(first, [*_flat(front(start)), *none]),
        Written(one, [*carried, *shown]),
        Sizes(n, orders, FIGURES, given, len(carried), len(shown), len(turned)),
        Written(last, _flat(back((n, 1)))),
        Written(other, turned),
    )


def _features(trace: Trace, units: Units, orders: int) -> tuple[Steps, Array, Array]:
    """A step, where the next one starts, and whether there is none: inputs in the order of `Sizes.features`."""
    n = units.circuit.dim
    raw = trace.inputs(n, orders, 1)
    begin, h, h_off, relative = trace.inputs(FIGURES, 1)
    following, end = trace.inputs(n, 1), trace.inputs(1)
    inputs = {}
    for name, size in units.circuit.inputs.items():
        mid, off = trace.inputs(size, 1), trace.inputs(size, 1)
        inputs[name] = Model(mid[None], off)
    c, power = np.empty((orders, n, 1), dtype=object), np.ones(1, dtype=object)
    for k in range(orders):
        c[k] = rounded(raw[:, k] * power)
        power = power * relative
    return Steps(c, begin, h, h_off, inputs), following, end


SQUARE = ("frame", "skew", "across", "psi")
"""Fields that are matrices; `lost` is a number, and all others are vectors."""


def _shape(name: str, n: int) -> tuple[int, ...]:
    return (n, n) if name in SQUARE else () if name == "lost" else (n,)


def _inputs(trace: Trace, kind: type[Fields], n: int) -> Fields:
    return kind(*(trace.inputs(*_shape(f.name, n), 1) for f in fields(kind)))  # type: ignore[arg-type]


def _flat(record: Any) -> list[Any]:
    """All entries, one row."""
    return [number for f in fields(record) for number in np.asarray(getattr(record, f.name)).reshape(-1)]


def _shaped(kind: type[Fields], numbers: Array, n: int) -> Fields:
    """Fields from numbers (count, B) below each other."""
    parts, at = [], 0
    for f in fields(kind):  # type: ignore[arg-type]
        shape = _shape(f.name, n)
        size = int(np.prod(shape))
        parts.append(numbers[at : at + size].reshape(*shape, -1))
        at += size
    return kind(*parts)


__all__ = ["FIGURES", "Kernel", "TooLong"]
