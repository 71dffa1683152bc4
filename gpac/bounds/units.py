"""A circuit in Taylor models: values of all units on the steps of a batch, their rates, and their gradients."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..circuit import Circuit
from ..elementary import TABLE
from ..graph import closure, operands
from ..precision import working_precision
from ..wire import Constant, Input, Integral, Linear, Product, Start, Time, Wire
from .models import UP, Array, Matrix, Model, above, combine, multiply, nearest
from .trace import zeros

Models = dict[Wire, Model]


@dataclass(frozen=True, eq=False)
class Units:
    """One circuit, its numbers made ready."""

    circuit: Circuit

    @cached_property
    def matrices(self) -> dict[Wire, list[tuple[Matrix, Wire]]]:
        """Of every linear combination."""
        source = self.circuit.source
        linear = [w for w in self.circuit.wires if isinstance(w, Linear)]
        return {w: [(Matrix.of(m), source(x)) for m, x in w.terms] for w in linear}

    @cached_property
    def biases(self) -> dict[Wire, tuple[Array, Array]]:
        """Of linear combinations that have one."""
        return {w: nearest(w.bias) for w in self.circuit.wires if isinstance(w, Linear) and w.bias is not None}

    @cached_property
    def pairs(self) -> dict[Wire, tuple[Array, Array, Matrix]]:
        """Of bilinear products: entries on the left, on the right, and the matrix that sums their products."""
        from scipy.sparse import csr_array

        out: dict[Wire, tuple[Array, Array, Matrix]] = {}
        for w in self.circuit.wires:
            if isinstance(w, Product) and w.einsum is not None:
                o, left, right = w.pairs()
                ones = csr_array((np.ones(len(o)), (o, np.arange(len(o)))), shape=(w.size, len(o)))
                out[w] = left, right, Matrix.of(ones)
        return out

    @cached_property
    def rated(self) -> set[Wire]:
        """Units whose rates the integrators' rates are made of."""

        def follow(wire: Wire) -> Iterable[Wire]:
            needs = [wire.variable] if isinstance(wire, Integral) else operands(wire)
            return map(self.circuit.source, needs)

        return closure(self.circuit.integrals, follow)

    @cached_property
    def driving(self) -> set[Wire]:
        """Units that the integrators' rates are made of."""
        source = self.circuit.source
        roots = [w for i in self.circuit.integrals for w in (source(i.integrand), source(i.variable))]
        return closure(roots, lambda wire: map(source, [] if isinstance(wire, Integral) else operands(wire)))

    def values(self, state: Models, inputs: Mapping[str, Model], t: Model, orders: int, only: set[Wire]) -> Models:
        """Models of the units asked for, all of whose operands must be among them."""
        found: Models = dict(state)
        for w in self.circuit.wires:
            if w in only and w not in found:
                found[w] = self._value(w, found, inputs, t, orders)
        return found

    def _value(self, w: Wire, found: Models, inputs: Mapping[str, Model], t: Model, orders: int) -> Model:
        if isinstance(w, Constant):
            values, off = nearest(w.values)
            return Model(values[None, :, None], off[:, None])
        if isinstance(w, Input):
            return inputs[w.key]
        if isinstance(w, Time):
            return t
        if isinstance(w, Linear):
            return combine([(m, found[x]) for m, x in self.matrices[w]], self.biases.get(w))
        assert isinstance(w, Product)
        left, right = self._sides(w)
        return self._product(w, found[left], found[right], orders)

    def _sides(self, w: Product) -> tuple[Wire, Wire]:
        return self.circuit.source(w.left), self.circuit.source(w.right)

    def _product(self, w: Wire, a: Model, b: Model, orders: int) -> Model:
        if w not in self.pairs:
            return multiply(a, b, orders)
        left, right, sums = self.pairs[w]
        return combine([(sums, multiply(a.of(left), b.of(right), orders))], None)

    def rates(self, values: Models, step: Model, orders: int) -> Models:
        """Derivatives by s of the units that have any; `step` is that of time."""
        found: Models = {}
        for w in self.circuit.wires:
            if w not in self.rated:
                continue
            if isinstance(w, Time):
                found[w] = step
            elif isinstance(w, Linear):
                terms = [(m, found[x]) for m, x in self.matrices[w] if x in found]
                if terms:
                    found[w] = combine(terms, None)
            elif isinstance(w, Integral):
                u, v = self.circuit.source(w.integrand), self.circuit.source(w.variable)
                found[w] = multiply(values[u], found[v], orders)
            elif isinstance(w, Product):
                left, right = self._sides(w)
                parts = [self._product(w, found[left], values[right], orders)] if left in found else []
                parts += [self._product(w, values[left], found[right], orders)] if right in found else []
                if parts:
                    found[w] = added(parts)
        return found

    def gradients(self, values: Models, rates: Models, orders: int) -> Model:
        """The Jacobian of the integrators' rates by s: coefficients (orders, n, n, rows)."""
        slope, of_rate = self._value_gradients(values, orders), Models()
        for w in self.circuit.wires:
            if w not in self.rated or isinstance(w, Time):
                continue
            parts: list[Model] = []
            if isinstance(w, Linear):
                terms = [(m, of_rate[x]) for m, x in self.matrices[w] if x in of_rate]
                parts = [combine(terms, None)] if terms else []
            elif isinstance(w, Integral):
                u, v = self.circuit.source(w.integrand), self.circuit.source(w.variable)
                parts = [multiply(slope[u], rates[v].along(), orders)] if u in slope else []
                parts += [multiply(values[u].along(), of_rate[v], orders)] if v in of_rate else []
            elif isinstance(w, Product):
                a, b = self._sides(w)
                for slopes, numbers in ((of_rate, values), (slope, rates)):
                    if a in slopes and b in numbers:
                        parts.append(self._product(w, slopes[a], numbers[b].along(), orders))
                    if b in slopes and a in numbers:
                        parts.append(self._product(w, numbers[a].along(), slopes[b], orders))
            if parts:
                of_rate[w] = added(parts)
        rows = max(values[w].c.shape[-1] for w in self.circuit.integrals)
        return _stacked([(of_rate.get(w), w.size) for w in self.circuit.integrals], self.circuit.dim, rows)

    def _value_gradients(self, values: Models, orders: int) -> Models:
        n, at = self.circuit.dim, 0
        slope: Models = {}
        for state in self.circuit.integrals:
            unit = np.zeros((1, state.size, n, 1))
            unit[0, np.arange(state.size), at + np.arange(state.size), 0] = 1
            slope[state] = Model(unit, 0.0)
            at += state.size
        for w in self.circuit.wires:
            if w not in self.driving or w in slope:
                continue
            if isinstance(w, Linear):
                terms = [(m, slope[x]) for m, x in self.matrices[w] if x in slope]
                if terms:
                    slope[w] = combine(terms, None)
            elif isinstance(w, Product):
                a, b = self._sides(w)
                parts = [self._product(w, slope[a], values[b].along(), orders)] if a in slope else []
                parts += [self._product(w, values[a].along(), slope[b], orders)] if b in slope else []
                if parts:
                    slope[w] = added(parts)
        return slope

    def start(self, inputs: Mapping[str, Model]) -> Models:
        """Start values of the integrators: models of one coefficient."""
        source = self.circuit.source

        def follow(wire: Wire) -> Iterable[Wire]:
            if not isinstance(wire, Integral):
                return map(source, operands(wire))
            return [source(wire.initial.wire)] if isinstance(wire.initial, Start) else []

        needed, found = closure(self.circuit.integrals, follow), Models()
        for w in self.circuit.wires:
            if w not in needed:
                continue
            if not isinstance(w, Integral):
                found[w] = self._value(w, found, inputs, Model(np.zeros((1, 1, 1)), 0.0), 1)
            elif isinstance(w.initial, Start):
                x = found[source(w.initial.wire)]
                found[w] = x if w.initial.function == "identity" else _elementary(w.initial, x)
            else:
                values, off = nearest(w.initial)
                found[w] = Model(values[None, :, None], off[:, None])
        return {w: found[w] for w in self.circuit.integrals}


def added(parts: list[Model]) -> Model:
    """The sum of models."""
    return parts[0] if len(parts) == 1 else combine([(ONE, p) for p in parts], None)


ONE = Matrix(np.array(1.0), np.array(1.0))


def _stacked(blocks: list[tuple[Model | None, int]], n: int, rows: int) -> Model:
    """Gradients of integrators below each other."""
    orders = max((len(b.c) for b, _ in blocks if b is not None), default=1)
    there = [b.c for b, _ in blocks if b is not None] + [b.error for b, _ in blocks if b is not None]
    c, error, at = zeros((orders, n, n, rows), *there), zeros((n, n, rows), *there), 0
    for block, size in blocks:
        if block is not None:
            c[: len(block.c), at : at + size] = block.c
            error[at : at + size] = block.error
        at += size
    return Model(c, error)


def _elementary(start: Start, x: Model) -> Model:
    """An elementary function of numbers, entry by entry in balls."""
    import flint

    function = TABLE[start.function].balls
    values, error = np.empty(x.c.shape[1:]), np.empty(x.c.shape[1:])
    wide = np.broadcast_to(x.error, x.c.shape[1:])
    with working_precision(80):
        for index in np.ndindex(values.shape):
            if not np.isfinite(wide[index]) or not np.isfinite(x.c[(0, *index)]):
                values[index], error[index] = 0.0, np.inf
                continue
            ball = function(None, flint.arb(float(x.c[(0, *index)]), float(wide[index])), *start.parameters)
            values[index] = float(ball.mid()) if ball.is_finite() else 0.0
            error[index] = above(ball - flint.arb(float(values[index]))) * UP if ball.is_finite() else np.inf
    return Model(values[None], error)
