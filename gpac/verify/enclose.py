"""Enclose the outputs of a circuit: part after part of it, each with its own steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import Any

import flint

from ..circuit import Circuit
from ..exact import to_arb
from .affine import Affine, Rows, Symbols, whole
from .alike import Orbit, families
from .balls import BallSeries, Values, groups
from .invariants import Watch
from .matrix import Ball
from .order import best_order
from .outcome import Ends, Limits, Reached, Stuck
from .part import Part, at


def run(
    circuit: Circuit,
    end: Any,
    inputs: dict[str, list[Ball]],
    limits: Limits,
    progress: Callable[[float], None],
    symbols: dict[str, list[Symbols]] | None = None,
) -> Reached | Stuck | Ends:
    """Enclose all outputs at time `end` (exact number), at the working precision in force."""
    series = BallSeries(circuit, inputs)
    affine = Affine(series, {name: (symbols or {}).get(name) or [None] * len(inputs[name]) for name in circuit.inputs})
    state, rows = affine.start()
    if any(not b.is_finite() for balls in state.values() for b in balls):
        return Stuck("a start value is not finite at this precision", Fraction(0), True, 0, 0)
    final: Values = {w: list(balls) for w, balls in state.items()}
    near: Values = {w: [whole(b, at(rows, w, i)) for i, b in enumerate(balls)] for w, balls in state.items()}
    watch = Watch(series, affine.rows)
    parts = groups(series)
    steps, order = 0, best_order(flint.ctx.prec)
    ends: Ends | None = None
    done: set[int] = set()
    for family in [] if affine.depends else families(series, parts, state):
        orbit = Orbit(series, family)
        orbit.run(state, end, order, limits, watch)
        steps += orbit.steps
        for found in orbit.reached.values():
            for (w, i), ball in found.items():
                final[w][i] = near[w][i] = ball
        done |= {id(family.parts[n]) for n in orbit.reached}
    parts = [group for group in parts if id(group) not in done]
    limits = replace(limits, last=end)
    for number, group in enumerate(parts):
        part = Part(series, group, order, limits, affine.rows, rows, watch)
        outcome = part.go(final, near, rows, end)
        steps += part.steps
        if isinstance(outcome, Stuck):
            return outcome
        if outcome is not None:  # the other parts need to exist up to this time only
            ends = outcome if ends is None else _first(ends, outcome)
            end = ends.low
        progress((number + 1) / len(parts))
    if ends is not None:
        return ends
    watch.check(near, to_arb(end))
    return _reached(affine, final, near, rows, end, steps, order)


def _first(one: Ends, other: Ends) -> Ends:
    """The earlier of two ends, which may be the same time."""
    low, high = min(one.low, other.low), min(one.high, other.high)
    return Ends(low, high, one.tight and other.tight, one.steps + other.steps, max(one.order, other.order))


def _reached(affine: Affine, final: Values, near: Values, rows: Rows, end: Any, steps: int, order: int) -> Reached:
    """The outputs as sums of ball and symbols, and what these and the plain bounds have in common."""
    circuit = affine.series.circuit
    values, carried = affine.values(final, rows, to_arb(end))
    outputs = {name: values[circuit.source(w)] for name, w in circuit.outputs.items()}
    symbols = {name: carried.get(circuit.source(w), [None] * w.size) for name, w in circuit.outputs.items()}
    hulls = {name: list(map(whole, outputs[name], symbols[name])) for name in outputs}
    if affine.depends:
        plain = affine.plain_values(near, to_arb(end))
        for name, w in circuit.outputs.items():
            hulls[name] = [a.intersection(b) for a, b in zip(hulls[name], plain[circuit.source(w)], strict=True)]
    return Reached(outputs, symbols, hulls, steps, order)
