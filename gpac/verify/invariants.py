"""What a circuit says stays constant, checked in the balls: a contradiction means that something here is wrong."""

from __future__ import annotations

from typing import Any

import flint

from ..errors import InvariantError
from ..exact import to_arb
from ..program import Invariant
from ..wire import Constant, Input, Integral, Linear, Product, Time, Wire
from .affine import Rows, whole
from .balls import BallSeries, Values
from .matrix import Ball, BallMatrix
from .slopes import Key


class Watch:
    """The invariants of a circuit, entry by entry, each with the integrator entries that it reads.

    Those that read integrators or inputs which the circuit does not have are left out.
    """

    def __init__(self, series: BallSeries, rows: Rows) -> None:
        self.series, self.rows = series, rows
        self.matrices: dict[Wire, list[tuple[BallMatrix, Wire]]] = {}
        self.entries: list[tuple[Invariant, int]] = []
        self.reading: dict[Key, list[tuple[Invariant, int, set[Key]]]] = {}
        inside = set(series.circuit.wires)
        for invariant in series.circuit.program.invariants:
            wire = series.circuit.source(invariant.wire)
            for i in range(wire.size):
                reads = self._reads(wire, i)
                if all(w in inside for w, _ in reads):
                    own = {key for key in reads if isinstance(key[0], Integral)}
                    self.entries.append((invariant, i))
                    if own:
                        self.reading.setdefault(next(iter(own)), []).append((invariant, i, own))

    def of(self, keys: list[Key]) -> _Checked:
        """The invariants that read nothing that moves but these entries."""
        own = set(keys)
        return _Checked(self, [(x, i) for key in keys for x, i, reads in self.reading.get(key, []) if reads <= own])

    def check(self, state: Values, t: Ball) -> None:
        """Compare all of them with the state at the end."""
        _Checked(self, self.entries).check(state, t)

    def _reads(self, wire: Wire, i: int) -> set[Key]:
        found: set[Key] = set()
        seen: set[Key] = set()
        waiting = [(wire, i)]
        while waiting:
            key = waiting.pop()
            if key not in seen:
                seen.add(key)
                if isinstance(key[0], (Integral, Input)):
                    found.add(key)
                else:
                    waiting += [(w, j) for _, w, j in self.operands(*key)]
        return found

    def operands(self, w: Wire, i: int) -> list[tuple[Any, Wire, int]]:
        """Operands of an entry: with their coefficients in a sum, with the other factor's entry in a product."""
        source = self.series.circuit.source
        if isinstance(w, Linear):
            if w not in self.matrices:
                known = self.series.matrices.get(w)
                self.matrices[w] = known or [(BallMatrix(m), source(x)) for m, x in w.terms]
            return [(a, x, j) for matrix, x in self.matrices[w] for j, a in matrix.row(i)]
        if isinstance(w, Product):
            left, right = source(w.left), source(w.right)
            if w.einsum is None:
                return [(None, left, i if left.size > 1 else 0), (None, right, i if right.size > 1 else 0)]
            rows = [(j, k) for o, j, k in zip(*map(list, w.pairs()), strict=True) if o == i]
            return [pair for j, k in rows for pair in ((None, left, j), (None, right, k))]
        return []


class _Checked:
    """Some of the invariants."""

    def __init__(self, watch: Watch, entries: list[tuple[Invariant, int]]) -> None:
        self.watch, self.entries = watch, entries

    def check(self, state: Values, t: Ball) -> None:
        """Raise `InvariantError` where the balls exclude the value that an invariant has."""
        known: dict[Key, Ball] = {}
        for invariant, i in self.entries:
            wire = self.watch.series.circuit.source(invariant.wire)
            ball = self._value(wire, i, state, t, known)
            if not ball.overlaps(to_arb(invariant.value)):
                which = invariant.name + (f"[{i}]" if wire.size > 1 else "")
                raise InvariantError(
                    f"the invariant {which} should be {invariant.value} at all times, but at t = {float(t):.6g} every "
                    f"solution has {ball.str(8)} there; either the circuit claims what does not hold, or the "
                    "enclosure is wrong: please report it"
                )

    def _value(self, w: Wire, i: int, state: Values, t: Ball, known: dict[Key, Ball]) -> Ball:
        if (w, i) not in known:
            known[w, i] = self._computed(w, i, state, t, known)
        return known[w, i]

    def _computed(self, w: Wire, i: int, state: Values, t: Ball, known: dict[Key, Ball]) -> Ball:
        series = self.watch.series
        if isinstance(w, Integral):
            return state[w][i]
        if w in series.still:
            return whole(series.still[w][i], self.watch.rows[w][i] if w in self.watch.rows else None)
        if isinstance(w, Time):
            return t
        if isinstance(w, Constant):
            return to_arb(w.values[i])
        values = [(a, self._value(x, j, state, t, known)) for a, x, j in self.watch.operands(w, i)]
        if isinstance(w, Linear):
            bias = flint.arb(0) if w.bias is None else to_arb(w.bias[i])
            return sum((a * x for a, x in values), bias)
        return sum((x * y for (_, x), (_, y) in zip(values[::2], values[1::2], strict=True)), flint.arb(0))
