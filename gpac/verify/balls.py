"""Taylor coefficients of a circuit in ball arithmetic, unit by unit and entry by entry.

Every coefficient is an Arb ball that contains the true one, at flint's working precision. The code shares
nothing with the float64 engine but the circuit.
"""

from __future__ import annotations

from collections.abc import Iterable
from operator import mul
from typing import Any, TypeAlias

import flint

from ..circuit import Circuit, driving, time_degrees
from ..elementary import TABLE
from ..exact import to_arb
from ..wire import Constant, Input, Integral, Linear, Product, Start, Time, Wire
from .matrix import Ball, BallMatrix

Values: TypeAlias = dict[Wire, list[Any]]
"""Entries of wires: balls, or for series lists of balls; None where an entry is not followed."""
Group: TypeAlias = dict[Wire, list[int]]
"""Entries that belong to one part of the system which runs by itself."""


class BallSeries:
    """Recurrences of one circuit with given inputs, at the working precision in force when it is made.

    Parameters
    ----------
    circuit : Circuit
    inputs : dict from name to list of balls
    """

    def __init__(self, circuit: Circuit, inputs: dict[str, list[Ball]]) -> None:
        self.circuit, self.inputs = circuit, inputs
        self.degree = time_degrees(circuit)
        self.driving = driving(circuit)
        self.matrices = {
            w: [(BallMatrix(m), circuit.source(x)) for m, x in w.terms] for w in circuit.wires if isinstance(w, Linear)
        }
        self.pairs = {w: list(zip(*map(list, w.pairs()), strict=True)) for w in circuit.wires if isinstance(w, Product)}
        self.sides: dict[Wire, tuple[Wire, Wire]] = {}
        for w in circuit.wires:
            if isinstance(w, Product):
                self.sides[w] = circuit.source(w.left), circuit.source(w.right)
            elif isinstance(w, Integral):
                self.sides[w] = circuit.source(w.integrand), circuit.source(w.variable)
        self.still: Values = {}
        for wire in circuit.wires:
            if self.degree[wire] == 0:
                self.still[wire] = self._value(wire, self.still, flint.arb(0))

    def start(self) -> Values:
        """State at t = 0."""
        values = dict(self.still)
        for wire in self.circuit.wires:
            if isinstance(wire, Integral):
                values[wire] = self._initial(wire, values)
            elif self.degree[wire]:
                values[wire] = self._value(wire, values, flint.arb(0))
        return {w: values[w] for w in self.circuit.integrals}

    def values(self, state: Values, t: Ball) -> Values:
        """All units at time t."""
        values = dict(self.still) | state
        for wire in self.circuit.wires:
            if wire not in values:
                values[wire] = self._value(wire, values, t)
        return values

    def expand(self, state: Values, t: Ball, order: int, group: Group, still: Values) -> Values:
        """Coefficients 0..order of the group's entries around time t; `still` are the constant units."""
        c: Values = {w: [None] * w.size for w in group}
        rates: Values = {w: [None] * w.size for w in group}
        for wire, entries in group.items():
            for i in entries:
                c[wire][i], rates[wire][i] = [], []
        for wire, balls in still.items():
            c[wire] = [None if b is None else [b] for b in balls]
        for k in range(order + 1):
            for wire, entries in group.items():
                self._order(wire, entries, c, rates, state, t, k)
        return c

    def _order(
        self,
        wire: Wire,
        entries: list[int],
        c: Values,
        rates: Values,
        state: Values,
        t: Ball,
        k: int,
    ) -> None:
        """Append order k to a unit's entries, and k times it to its rates."""
        if k > self.degree[wire]:
            return
        if isinstance(wire, Integral):
            new = [state[wire][i] for i in entries] if k == 0 else self._integrate(wire, entries, c, rates, k)
        elif isinstance(wire, Linear):
            new = self._combine(wire, entries, c, k)
        elif isinstance(wire, Product):
            new = self._multiply(wire, entries, c, k)
        else:
            new = [t if k == 0 else flint.arb(1)]  # time
        for i, ball in zip(entries, new, strict=True):
            c[wire][i].append(ball)
            rates[wire][i].append(ball * k)

    def _integrate(self, wire: Integral, entries: list[int], c: Values, rates: Values, k: int) -> list[Ball]:
        """(1/k) sum over j of u_{k-j} * (j v_j)."""
        u, v = self.sides[wire]
        if isinstance(v, Time):
            return [_at(_entry(c[u], i), k - 1) / k for i in entries]
        return [_convolve(_entry(rates[v], i), _entry(c[u], i), k) / k for i in entries]

    def _combine(self, wire: Linear, entries: list[int], c: Values, k: int) -> list[Ball]:
        total = [to_arb(wire.bias[i]) if k == 0 and wire.bias is not None else flint.arb(0) for i in entries]
        for matrix, operand in self.matrices[wire]:
            if operand not in c or self.degree[operand] < k:  # not in c: none of these entries reads it
                continue
            if matrix.kind < 2:
                parts = [matrix.multiple(i) * _at(c[operand][i], k) for i in entries]
            else:
                parts = matrix.apply([None if s is None else _at(s, k) for s in c[operand]], entries)
            total = [a + b for a, b in zip(total, parts, strict=True)]
        return total

    def _multiply(self, wire: Product, entries: list[int], c: Values, k: int) -> list[Ball]:
        left, right = (c[side] for side in self.sides[wire])
        if wire.einsum is None:
            return [_convolve(_entry(left, i), _entry(right, i), k) for i in entries]
        out = dict.fromkeys(entries, flint.arb(0))
        for o, i, j in self.pairs[wire]:
            if o in out:
                out[o] = out[o] + _convolve(left[i], right[j], k)
        return list(out.values())

    def _initial(self, wire: Integral, values: Values) -> list[Ball]:
        if isinstance(wire.initial, Start):
            function = TABLE[wire.initial.function].balls
            arguments = values[self.circuit.source(wire.initial.wire)]
            return [function(None, x, *wire.initial.parameters) for x in arguments]
        return [to_arb(v) for v in wire.initial]

    def _value(self, wire: Wire, values: Values, t: Ball) -> list[Ball]:
        if isinstance(wire, Constant):
            return [to_arb(v) for v in wire.values]
        if isinstance(wire, Input):
            return self.inputs[wire.key]
        if isinstance(wire, Time):
            return [t]
        if isinstance(wire, Linear):
            total = [flint.arb(0)] * wire.size if wire.bias is None else [to_arb(b) for b in wire.bias]
            for matrix, operand in self.matrices[wire]:
                total = [a + b for a, b in zip(total, matrix.apply(values[operand]), strict=True)]
            return total
        assert isinstance(wire, Product)
        left, right = (values[side] for side in self.sides[wire])
        out = [flint.arb(0)] * wire.size
        for o, i, j in self.pairs[wire]:
            out[o] = out[o] + left[i] * right[j]
        return out


def _entry(entries: list[Any], i: int) -> Any:
    """Entry i, or the only one of a wire of size 1."""
    return entries[i] if len(entries) > 1 else entries[0]


def _at(series: list[Ball], k: int) -> Ball:
    return series[k] if k < len(series) else flint.arb(0)


def _convolve(a: list[Ball], b: list[Ball], k: int) -> Ball:
    """Coefficient k of the product of two series given by their known coefficients."""
    low, high = max(0, k - len(b) + 1), min(k, len(a) - 1)
    total = flint.arb(0)
    if low > high:
        return total
    return sum(map(mul, a[low : high + 1], b[k - high : k - low + 1][::-1]), total)


def groups(series: BallSeries) -> list[Group]:
    """Parts of the moving system that run without each other: connected scalar entries.

    A layer whose neurons only see constants falls into one group per neuron, each with steps of its own.
    """
    circuit = series.circuit
    moving = [w for w in circuit.wires if w in series.driving and series.degree[w]]
    parent = {(w, i): (w, i) for w in moving for i in range(w.size) if not isinstance(w, Time)}

    def find(node: Any) -> Any:
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    for w in moving:
        for i, other, j in _links(w, series):
            if (w, i) in parent and (other, j) in parent:
                parent[find((w, i))] = find((other, j))
    clusters: dict[Any, Group] = {}
    for w in moving:
        for i in range(w.size):
            if (w, i) in parent:
                clusters.setdefault(find((w, i)), {}).setdefault(w, []).append(i)
    clock = [w for w in moving if isinstance(w, Time)]
    return [
        {w: [0] if w in clock else group[w] for w in moving if w in clock or w in group}
        for group in clusters.values()
        if any(isinstance(w, Integral) for w in group)  # else no integrator reads these entries
    ]


def still_entries(series: BallSeries, group: Group) -> Values:
    """The constant units that a group reads, as balls; None for entries that it does not read."""
    found: Values = {}
    for wire, entries in group.items():
        wanted = set(entries)
        for i, operand, j in _links(wire, series):
            if operand in series.still and i in wanted:
                found.setdefault(operand, [None] * operand.size)[j] = series.still[operand][j]
        for matrix, operand in series.matrices[wire] if isinstance(wire, Linear) else []:
            if operand in series.still and matrix.kind == 2:  # dense: every row reads every entry
                found[operand] = list(series.still[operand])
    return found


def _links(wire: Wire, series: BallSeries) -> Iterable[tuple[int, Wire, int]]:
    """Which entries of which wires each entry of a unit reads."""
    if isinstance(wire, Linear):
        for matrix, operand in series.matrices[wire]:
            if matrix.kind in (0, 1):
                yield from ((i, operand, i) for i in range(wire.size))
            elif matrix.kind == 3:
                yield from ((i, operand, j) for i, row in enumerate(matrix.rows) for j, _ in row)
            else:  # dense: a chain through all of them
                yield from ((i, operand, 0) for i in range(wire.size))
                yield from ((0, operand, j) for j in range(operand.size))
    elif isinstance(wire, Product):
        left, right = series.sides[wire]
        for o, i, j in series.pairs[wire]:
            yield o, left, i
            yield o, right, j
    elif isinstance(wire, Integral):
        for side in series.sides[wire]:
            yield from ((i, side, i if side.size > 1 else 0) for i in range(wire.size))


def evaluate(coefficients: list[Ball], h: Ball) -> Ball:
    """The polynomial's value at h, by Horner's scheme."""
    value = coefficients[-1]
    for c in reversed(coefficients[:-1]):
        value = value * h + c
    return value
