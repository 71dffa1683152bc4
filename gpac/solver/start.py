"""What wires carry at t = 0, for a batch: start values of integrators, and units that never move."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial, reduce
from operator import iadd
from typing import Any

import numpy as np

from ..circuit import Circuit
from ..graph import closure, operands
from ..wire import Constant, Input, Integral, Linear, Product, Start, Wire
from .series import LANES, Array, Series
from .threads import share

BYTES = 2**20
"""Values that are held at a time: as many as a cache close to the core has room for."""
BESIDE = 8
"""Numbers left free after each row: rows that begin an odd number of cache lines apart do not displace each other."""
ENOUGH = 2
"""So many times that for each thread are worth the thread."""


def at_start(series: Series, inputs: dict[str, Array], batch: int, wires: Sequence[Wire], workers: int = 1) -> Array:
    """Values (entries, B) of wires at t = 0 from inputs (size, B).

    Trajectories fill whole blocks of lanes, so that one gets the same bits alone or among a million. On NumPy with so
    many threads, where there is work for them.
    """
    num, needed = series.num, _behind(series.circuit, wires)
    width = -(-batch // LANES) * LANES
    out = num.empty((sum(w.size for w in wires), width + BESIDE))
    at, rest = 0, []
    for wire in wires:
        place = slice(at, at + wire.size)
        if isinstance(wire, Integral) and not isinstance(wire.initial, Start):
            out[place] = num.numbers(wire.initial)[:, None]
        else:
            rest.append((place, wire))
        at = place.stop
    at_once = LANES * max(1, BYTES // (8 * num.parts * LANES * max(1, sum(w.size for w in needed))))

    def part(low: int) -> None:
        high = min(width, low + at_once)
        given = {name: value[:, low : min(batch, high)] for name, value in inputs.items()}
        values: dict[Wire, Array] = {}
        with np.errstate(all="ignore"):
            for wire in needed:
                values[wire] = _value(series, wire, values, given, high - low)
        for place, wire in rest:
            out[place, low:high] = values[wire]

    parts = range(0, width if rest else 0, at_once)
    share(part, parts, min(workers, len(parts) // ENOUGH) if series.xp is np else 1)
    return out[:, :batch]


def _behind(circuit: Circuit, wires: Sequence[Wire]) -> list[Wire]:
    """The wires and what their values at t = 0 are made of, in the order of evaluation."""

    def follow(wire: Wire) -> Iterable[Wire]:
        if not isinstance(wire, Integral):
            return map(circuit.source, operands(wire))
        return [circuit.source(wire.initial.wire)] if isinstance(wire.initial, Start) else []

    found = closure(wires, follow)
    return [w for w in circuit.wires if w in found]


def _value(series: Series, wire: Wire, values: dict[Wire, Array], inputs: dict[str, Array], width: int) -> Array:
    """(entry, trajectory) for so many trajectories, whole blocks."""
    num, source = series.num, series.circuit.source

    def everywhere(column: Array) -> Array:
        full = num.empty((wire.size, width))
        full[...] = column
        return full

    match wire:
        case Constant():
            return everywhere(num.numbers(wire.values)[:, None])
        case Input():
            return num.each(partial(_filled, width=width, xp=series.xp), inputs[wire.key])
        case Linear():
            terms = [_joined(num.apply(matrix, _blocks(values[x]))) for matrix, x in series.matrices[wire]]
            bias = [series.bias[wire]] if wire in series.bias else []
            return reduce(iadd, [*terms, *bias]) if terms else everywhere(bias[0] if bias else 0.0)
        case Product():
            left, right = values[source(wire.left)], values[source(wire.right)]
            if wire.einsum is None:
                return left * right
            return _joined(num.contract(_blocks(left)[None], _blocks(right)[None], wire))
        case Integral():
            if isinstance(wire.initial, Start):
                return num.start(wire.initial, values[source(wire.initial.wire)])
            return everywhere(num.numbers(wire.initial)[:, None])
    return everywhere(0.0)  # time


def _filled(array: Array, width: int, xp: Any) -> Array:
    """(entry, trajectory) filled up with copies of the last trajectory."""
    missing = width - array.shape[1]
    if missing:
        array = xp.concatenate([array, xp.repeat(array[:, -1:], missing, axis=1)], axis=1)
    return xp.ascontiguousarray(array)


def _blocks(array: Array) -> Array:
    """(entry, trajectory) as (block, entry, lane), the same memory."""
    return array.reshape(array.shape[0], -1, LANES).transpose(1, 0, 2)


def _joined(blocks: Array) -> Array:
    """(block, entry, lane) as (entry, trajectory)."""
    return blocks.transpose(1, 0, 2).reshape(blocks.shape[1], -1)
