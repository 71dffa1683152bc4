"""Lower a circuit to its Taylor recurrences: what moves, where it lies, and which operations make it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..circuit import Circuit, driving, time_degrees
from ..exact import to_doubles, to_floats
from ..graph import closure, operands
from ..wire import Integral, Linear, Product, Time, Wire
from .recurrences import (
    Clock,
    Contract,
    Follow,
    Increase,
    Operand,
    Operation,
    Recurrences,
    Square,
    Sum,
    Term,
    Times,
    operands_of,
)


def recurrences(circuit: Circuit, watch: Iterable[Wire] = (), precision: str = "double") -> Recurrences:
    """Lower a circuit; the polynomials of the wires `watch` are to be kept."""
    return _Lowering(circuit, tuple(watch), precision).result()


class _Lowering:
    def __init__(self, circuit: Circuit, watch: tuple[Wire, ...], precision: str) -> None:
        self.circuit, self.precision = circuit, precision
        self.degree = time_degrees(circuit)
        self.watch = tuple(circuit.source(w) for w in watch)
        needed = driving(circuit) | self._behind(self.watch)
        self.moving = [w for w in circuit.wires if w in needed and self.degree[w] > 0]
        self.data: list[np.ndarray] = []
        self.index: list[np.ndarray] = []
        self.data_size = self.index_size = 0
        self.parameters: dict[Wire, int] = {}
        self.still_size = 0
        self.operand: dict[Wire, Operand] = {}
        self._place()

    def _behind(self, wires: Iterable[Wire]) -> set[Wire]:
        """The wires and the units they are made of, up to integrators."""
        source = self.circuit.source
        return closure(wires, lambda w: [] if isinstance(w, Integral) else map(source, operands(w)))

    def _place(self) -> None:
        """Give every moving unit its places."""
        history, variables = self._histories()
        states = list(self.circuit.integrals)
        at = series = rates = 0
        for wire in [*states, *(w for w in self.moving if not isinstance(w, Integral))]:
            keeps, paces = wire in history, wire in variables
            self.operand[wire] = Operand(
                at,
                wire.size,
                self.degree[wire],
                series=series if keeps else -1,
                rates=rates if paces else -1,
            )
            at += wire.size
            series += wire.size * keeps
            rates += wire.size * paces
        self.sizes = at, series, rates

    def _histories(self) -> tuple[set[Wire], set[Wire]]:
        """Units whose series, and variables whose rates, are convolved or read later."""
        source = self.circuit.source
        history: set[Wire] = {*self.circuit.integrals, *(w for w in self.watch if self.degree[w] > 0)}
        variables: set[Wire] = set()
        for wire in self.moving:
            if isinstance(wire, Product):
                left, right = source(wire.left), source(wire.right)
                if self.degree[left] and self.degree[right]:
                    history |= {left, right}
            elif isinstance(wire, Integral):
                u, v = source(wire.integrand), source(wire.variable)
                if isinstance(v, Time) or not self.degree[u]:
                    continue
                if self._self_factor(u, v) is not None:
                    history.add(v)
                else:
                    history.add(u)
                    variables.add(v)
        return history, variables

    def _self_factor(self, u: Wire, v: Wire) -> np.ndarray | None:
        """The factor a when u is a times v: the integral of a v dv is a half square."""
        if u is v:
            return np.ones(1)
        if isinstance(u, Linear) and u.bias is None and len(u.terms) == 1:
            matrix, x = u.terms[0]
            if self.circuit.source(x) is v and not hasattr(matrix, "tocsr") and matrix.ndim < 2:
                return np.atleast_1d(matrix)
        return None

    def result(self) -> Recurrences:
        operations = [self._operation(w) for w in self.moving]
        first = [o for o in operations if isinstance(o, Increase)]
        rest = [o for o in operations if not isinstance(o, Increase)]
        states = tuple(self.operand[w] for w in self.circuit.integrals)
        nonzero = tuple(
            (self.operand[w].at, self.operand[w].at + w.size) for w in self.circuit.integrals if "0" not in w.signs
        )
        watched = tuple(self._operand(w) for w in self.watch)
        now, series, rates = self.sizes
        return Recurrences(
            tuple(_used(first + rest, states, watched)),
            np.concatenate([np.zeros(0), *self.data] if self.precision == "double" else [np.zeros((0, 2)), *self.data]),
            np.concatenate([np.zeros(0, dtype=np.int64), *self.index]),
            states,
            nonzero,
            tuple(self.parameters),
            watched,
            now,
            series,
            rates,
        )

    def _operand(self, wire: Wire) -> Operand:
        wire = self.circuit.source(wire)
        if wire in self.operand:
            return self.operand[wire]
        if wire not in self.parameters:
            self.parameters[wire] = self.still_size
            self.still_size += wire.size
        return Operand(self.parameters[wire], wire.size, 0, still=True)

    def _store(self, numbers: np.ndarray) -> int:
        """Put exact numbers into the table; returns their place."""
        at, flat = self.data_size, numbers.reshape(-1)
        self.data.append(to_floats(flat) if self.precision == "double" else np.stack(to_doubles(flat), axis=1))
        self.data_size += numbers.size
        return at

    def _store_index(self, *numbers: np.ndarray) -> int:
        at = self.index_size
        for part in numbers:
            self.index.append(np.asarray(part, dtype=np.int64).reshape(-1))
            self.index_size += len(self.index[-1])
        return at

    def _operation(self, wire: Wire) -> Operation:
        out = self.operand[wire]
        if isinstance(wire, Time):
            return Clock(out)
        if isinstance(wire, Linear):
            terms = tuple(self._term(m, x) for m, x in wire.terms)
            return Sum(out, terms, self._store(wire.bias) if wire.bias is not None else -1)
        if isinstance(wire, Product):
            left, right = self._operand(wire.left), self._operand(wire.right)
            if wire.einsum is None:
                return Times(out, left, right)
            return Contract(out, left, right, self._pairs(wire))
        assert isinstance(wire, Integral)
        return self._integral(wire, out)

    def _integral(self, wire: Integral, out: Operand) -> Operation:
        u, v = self.circuit.source(wire.integrand), self.circuit.source(wire.variable)
        if isinstance(v, Time):
            return Increase(out, self._operand(u))
        factor = self._self_factor(u, v)
        if factor is not None:
            return Square(out, self.operand[v], len(factor), self._store(factor))
        return Follow(out, self._operand(u), self._operand(v))

    def _pairs(self, wire: Product) -> int:
        out, left, right = wire.pairs()
        by_entry = np.argsort(out, kind="stable")
        pointers = np.searchsorted(out[by_entry], np.arange(wire.size + 1))
        return self._store_index(pointers, left[by_entry], right[by_entry])

    def _term(self, matrix: Any, wire: Wire) -> Term:
        operand = self._operand(wire)
        if hasattr(matrix, "tocsr"):
            rows = matrix.tocsr()
            return Term("sparse", operand, self._store(rows.data), self._store_index(rows.indptr, rows.indices))
        if matrix.ndim == 0:
            if abs(matrix[()]) == 1:
                return Term("plus" if matrix > 0 else "minus", operand)
            return Term("scalar", operand, self._store(matrix))
        kind = "diagonal" if matrix.ndim == 1 else "dense"
        return Term(kind, operand, self._store(matrix))


def _used(operations: list[Operation], states: tuple[Operand, ...], watched: tuple[Operand, ...]) -> list[Operation]:
    """The operations that something reads: a factor folded into a half square is not."""
    by_place = {o.out.at: o for o in operations}
    waiting = [o.at for o in (*states, *watched) if not o.still]
    read: set[int] = set()
    while waiting:
        at = waiting.pop()
        if at not in read:
            read.add(at)
            waiting += [o.at for o in operands_of(by_place[at]) if not o.still]
    return [o for o in operations if o.out.at in read]
