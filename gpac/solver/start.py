"""What wires carry at t = 0, for a batch: start values of integrators, and units that never move."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial, reduce
from operator import add

import numpy as np

from ..circuit import Circuit
from ..graph import closure, operands
from ..wire import Constant, Input, Integral, Linear, Product, Start, Wire
from .series import LANES, Array, Series, to_blocks
from .threads import share

BYTES = 2**19
"""Values that are held at a time: as many as a cache close to the core has room for."""
ENOUGH = 4
"""So many times that for each thread are worth the thread."""


def at_start(series: Series, inputs: dict[str, Array], batch: int, wires: Sequence[Wire], workers: int = 1) -> Array:
    """Values (entries, B) of wires at t = 0 from inputs (size, B), in blocks of lanes as all else.

    On NumPy with so many threads, where there is work for them.
    """
    num, needed = series.num, _behind(series.circuit, wires)
    blocks = -(-batch // LANES)
    out = num.zeros((blocks, LANES, sum(w.size for w in wires)))
    at, rest = 0, []
    for wire in wires:
        place = slice(at, at + wire.size)
        if isinstance(wire, Integral) and not isinstance(wire.initial, Start):
            out[:, :, place] = num.numbers(wire.initial)
        else:
            rest.append((place, wire))
        at = place.stop
    at_once = max(1, BYTES // (8 * num.parts * LANES * max(1, sum(w.size for w in needed))))

    def part(low: int) -> None:
        some = slice(low, min(blocks, low + at_once))
        lanes = slice(some.start * LANES, min(batch, some.stop * LANES))
        given = {name: value[:, lanes] for name, value in inputs.items()}
        values: dict[Wire, Array] = {}
        with np.errstate(all="ignore"):
            for wire in needed:
                values[wire] = _value(series, wire, values, given, some.stop - some.start)
        for place, wire in rest:
            out[some, :, place] = values[wire].transpose(0, 2, 1)

    parts = range(0, blocks if rest else 0, at_once)
    share(part, parts, min(workers, len(parts) // ENOUGH) if series.xp is np else 1)
    return out.reshape(blocks * LANES, at)[:batch].T


def _behind(circuit: Circuit, wires: Sequence[Wire]) -> list[Wire]:
    """The wires and what their values at t = 0 are made of, in the order of evaluation."""

    def follow(wire: Wire) -> Iterable[Wire]:
        if not isinstance(wire, Integral):
            return map(circuit.source, operands(wire))
        return [circuit.source(wire.initial.wire)] if isinstance(wire.initial, Start) else []

    found = closure(wires, follow)
    return [w for w in circuit.wires if w in found]


def _value(series: Series, wire: Wire, values: dict[Wire, Array], inputs: dict[str, Array], blocks: int) -> Array:
    """(block, entry, lane)."""
    num, source = series.num, series.circuit.source

    def everywhere(column: Array) -> Array:
        full = num.zeros((blocks, wire.size, LANES))
        full[...] = column
        return full

    match wire:
        case Constant():
            return everywhere(num.numbers(wire.values)[:, None])
        case Input():
            return num.each(partial(to_blocks, xp=series.xp), inputs[wire.key])
        case Linear():
            terms = [num.apply(matrix, values[operand]) for matrix, operand in series.matrices[wire]]
            bias = [series.bias[wire]] if wire in series.bias else []
            return reduce(add, [*terms, *bias]) if terms else everywhere(bias[0] if bias else 0.0)
        case Product():
            left, right = values[source(wire.left)], values[source(wire.right)]
            return left * right if wire.einsum is None else num.contract(left[None], right[None], wire)
        case Integral():
            if isinstance(wire.initial, Start):
                return num.start(wire.initial, values[source(wire.initial.wire)])
            return everywhere(num.numbers(wire.initial)[:, None])
    return everywhere(0.0)  # time
