"""Taylor coefficients of a circuit on arrays, unit by unit and order by order, for a batch at once.

Arrays have shape (order, block, entry, lane): trajectories sit in blocks of `LANES` lanes, whatever the
size of the batch. Every matrix product therefore has one fixed shape, and a trajectory gets the same bits
alone or among a million. The array module (numpy or cupy) is the one of the arrays given.
"""

from __future__ import annotations

from collections.abc import Set
from typing import Any

from ..circuit import Circuit, driving, time_degrees
from ..wire import Constant, Input, Integral, Linear, Product, Time, Wire
from .arithmetic import arithmetic
from .prepared import prepared

LANES = 16
"""Trajectories per block: wide enough for matrix products, narrow enough for a single trajectory."""

Array = Any


class Series:
    """Recurrences of one circuit for a given array module.

    Parameters
    ----------
    circuit : Circuit
    xp : module
        numpy or cupy.
    precision : "double" or "double-double"
        With the second, all arrays of numbers are `gpac.pair.Pair`s.

    Attributes
    ----------
    width : int
        Entries over all units; the first `dim` of them are the state.
    matrices, bias : dict
        Of linear combinations: (matrix, operand) of every term; a column, if there is one.
    """

    def __init__(self, circuit: Circuit, xp: Any, precision: str = "double") -> None:
        self.circuit, self.xp, self.dim = circuit, xp, circuit.dim
        self.num = arithmetic(precision, xp)
        self._place = self._places()
        self.width = sum(w.size for w in circuit.wires)
        self._degree = time_degrees(circuit)
        self._variables = self._rate_places()
        self.matrices = {w: [(self.num.matrix(m), circuit.source(x)) for m, x in w.terms] for w in self._linears()}
        self._driving = driving(circuit)
        self.bias = {w: self._column(w.bias) for w in self._linears() if w.bias is not None}

    @classmethod
    def of(cls, circuit: Circuit, xp: Any, precision: str = "double") -> Series:
        """The circuit's recurrences, made once for each array module and precision."""
        return prepared(circuit, "series", (xp.__name__, precision), lambda: cls(circuit, xp, precision))

    def _linears(self) -> list[Linear]:
        return [w for w in self.circuit.wires if isinstance(w, Linear)]

    def _places(self) -> dict[Wire, slice]:
        places, at = {}, 0
        others = [w for w in self.circuit.wires if not isinstance(w, Integral)]
        for wire in [*self.circuit.integrals, *others]:
            places[wire] = slice(at, at + wire.size)
            at += wire.size
        return places

    def _rate_places(self) -> dict[Wire, slice]:
        """Wires that some integrator takes as its variable: their rates k * c_k are kept beside."""
        places, at = {}, 0
        for integral in self.circuit.integrals:
            variable = self.circuit.source(integral.variable)
            if not isinstance(variable, Time) and variable not in places:
                places[variable] = slice(at, at + variable.size)
                at += variable.size
        self.rate_width = at
        return places

    def allocate(self, orders: int, blocks: int) -> tuple[Array, Array]:
        """Zeroed coefficients (orders + 1, blocks, width, LANES) and rates of variables beside them."""
        shape = (orders + 1, blocks)
        return (
            self.num.zeros((*shape, self.width, LANES)),
            self.num.zeros((*shape, self.rate_width, LANES)),
        )

    def place(self, wire: Wire) -> slice:
        """Where the entries of a wire lie along the third axis."""
        return self._place[self.circuit.source(wire)]

    def values(self, c: Array, inputs: dict[str, Array], t: Array, still: bool, only: Set[Wire] | None = None) -> None:
        """Write order 0 of every unit (or `only` of some) from the state c[0][:, :dim] at time t (block, lane).

        With `still`, units that are constant in time are written too (they need it only once).
        """
        for wire in self.circuit.wires:
            if only is not None and wire not in only:
                continue
            if not isinstance(wire, Integral) and (still or self._degree[wire] > 0):
                self._value(wire, c, inputs, t)

    def order(
        self,
        c: Array,
        rates: Array,
        k: int,
        readings: bool = False,
        states: bool = True,
        only: Set[Wire] | None = None,
        unit: Array | None = None,
    ) -> None:
        """Write order k >= 1 from the orders below: of all units that drive integrators, or of all of them.

        Without `states`, those of the integrators are taken as they are; `only` some units may be asked for.
        Orders are powers of time over `unit` (block, lane), which is 1 by default.
        """
        for wire in self.circuit.wires:
            if self._degree[wire] < k or not (readings or wire in self._driving):
                continue
            if (isinstance(wire, Integral) and not states) or (only is not None and wire not in only):
                continue
            at = self._place[wire]
            if isinstance(wire, Linear):
                c[k][:, at] = self._apply(wire, c, k)
            elif isinstance(wire, Product):
                c[k][:, at] = self._cauchy(wire, c, k)
            elif isinstance(wire, Integral):
                c[k][:, at] = self._integrate(wire, c, rates, k, unit)
            else:
                c[k][:, at] = 0.0 if k > 1 else 1.0 if unit is None else unit[:, None]  # time
            if wire in self._variables:
                rates[k][:, self._variables[wire]] = c[k][:, at] * float(k)

    def _column(self, values: Any) -> Array:
        return self.num.numbers(values)[:, None]

    def _value(self, wire: Wire, c: Array, inputs: dict[str, Array], t: Array | None) -> None:
        out = c[0][:, self._place[wire]]
        if isinstance(wire, Constant):
            out[...] = self._column(wire.values)
        elif isinstance(wire, Input):
            out[...] = inputs[wire.key]
        elif isinstance(wire, Time):
            out[...] = 0.0 if t is None else t[:, None, :]
        elif isinstance(wire, Linear):
            out[...] = self._apply(wire, c, 0)
            if wire in self.bias:
                out[...] = out + self.bias[wire]
        elif isinstance(wire, Product):
            out[...] = self._cauchy(wire, c, 0)

    def _apply(self, wire: Linear, c: Array, k: int) -> Array:
        total = None
        for matrix, operand in self.matrices[wire]:
            if self._degree[operand] < k:
                continue
            x = c[k][:, self._place[operand]]
            term = self.num.apply(matrix, x)
            total = term if total is None else total + term
        return 0.0 if total is None else total

    def _cauchy(self, wire: Product, c: Array, k: int) -> Array:
        left, right = self.circuit.source(wire.left), self.circuit.source(wire.right)
        low, high = max(0, k - self._degree[right]), min(k, self._degree[left])
        if low > high:
            return 0.0
        a, b = c[low : high + 1, :, self._place[left]], _down(c[:, :, self._place[right]], k - low, k - high)
        return self._products(a, b) if wire.einsum is None else self.num.contract(a, b, wire)

    def _products(self, a: Array, b: Array) -> Array:
        """Sum over the leading axis of a times b."""
        return a[0] * b[0] if len(a) == 1 else self.num.dot(a, b)

    def _integrate(self, wire: Integral, c: Array, rates: Array, k: int, unit: Array | None) -> Array:
        """Order k of the integral of u dv: (1/k) sum over j of u_{k-j} * (j v_j)."""
        u, v = self.circuit.source(wire.integrand), self.circuit.source(wire.variable)
        if isinstance(v, Time):
            if self._degree[u] < k - 1:
                return 0.0
            found = c[k - 1][:, self._place[u]] / float(k)
            return found if unit is None else self.num.each(lambda part: part * unit[:, None], found)
        low, high = max(1, k - self._degree[u]), min(k, self._degree[v])
        if low > high:
            return 0.0
        dv = rates[low : high + 1, :, self._variables[v]]
        return self._products(dv, _down(c[:, :, self._place[u]], k - low, k - high)) / float(k)


def _down(array: Array, first: int, last: int) -> Array:
    """Orders first, first - 1, ..., last."""
    return array[first : last - 1 if last else None : -1]


def largest(array: Array, xp: Any) -> Array:
    """Largest magnitude over the entries, (block, entry, lane) -> (block, lane); 0 where there are none."""
    return xp.abs(array).max(axis=1) if array.shape[1] else xp.zeros((array.shape[0], array.shape[2]))


def to_blocks(array: Array, xp: Any) -> Array:
    """(entries, B) -> (blocks, entries, LANES), the last block filled up with copies of the last trajectory."""
    entries, batch = array.shape
    blocks = max(1, -(-batch // LANES))
    missing = blocks * LANES - batch
    if missing:
        array = xp.concatenate([array, xp.repeat(array[:, -1:], missing, axis=1)], axis=1)
    return xp.ascontiguousarray(array.reshape(entries, blocks, LANES).transpose(1, 0, 2))


def from_blocks(blocks: Array, batch: int, xp: Any) -> Array:
    """(blocks, entries, LANES) -> (entries, B), without what only filled the last block."""
    entries = blocks.shape[1]
    return xp.ascontiguousarray(blocks.transpose(1, 0, 2)).reshape(entries, blocks.shape[0] * LANES)[:, :batch]
