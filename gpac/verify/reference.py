"""A second opinion: Taylor steps in mpmath at any precision. No bounds; nothing is proven here.

Its code is a third road besides the float64 engine and the ball prover.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, log
from typing import Any

import numpy as np

from ..arguments import System, as_runnable, named_inputs
from ..circuit import Circuit, time_degrees
from ..elementary import TABLE
from ..errors import GpacError, NumberError, SolveError
from ..exact import to_exact, to_mpf
from ..schedule import Schedule
from ..wire import Constant, Input, Integral, Linear, Product, Start, Time, Wire


@dataclass(frozen=True, eq=False)
class Reference:
    """Outputs at the end time as mpmath numbers, and what the run took.

    `products` counts multiplications of numbers of `bits` bits, the unit of bit-operation models.
    """

    outputs: tuple[Any, ...]
    bits: int
    steps: int
    order: int
    products: int


def reference(
    system: System, t: Any = None, inputs: Any = None, *, bits: int = 128, initial: Any = None, order: int | None = None
) -> Reference:
    """Solve at a working precision of `bits` bits, for one input; local errors are about 2**-bits.

    Parameters
    ----------
    t : exact number, optional
        End time, not negative; may be left out where the program has a horizon.
    order : int, optional
        Order of the Taylor steps; by default the one that is cheapest at this precision.
    """
    import mpmath

    if bits < 2:
        raise NumberError(f"expected at least 2 bits, got {bits}")
    runnable = as_runnable(system, initial)
    given = named_inputs(runnable, {"initial": initial} if initial is not None else inputs)
    context = mpmath.mp.clone()
    context.prec = bits
    values = {n: [to_mpf(v, context) for v in np.ravel(np.asarray(e, dtype=object))] for n, e in given.items()}
    order = order or max(4, ceil(0.5 * bits * log(2)) + 1)
    steps = products = 0
    for circuit, end in _phases(runnable, t):
        solver = _Solver(circuit, values, context, order)
        values = values | solver.run(to_mpf(end, context))
        steps, products = steps + solver.steps, products + solver.products
    outputs = tuple(v for name in runnable.outputs for v in values[name])
    return Reference(outputs, bits, steps, order, products)


def _phases(system: Circuit | Schedule, t: Any) -> list[tuple[Circuit, Any]]:
    if isinstance(system, Schedule):
        return [(phase.circuit, phase.duration) for phase in system.phases]
    end = system.program.horizon if t is None else t
    if end is None:
        raise GpacError("t is missing: say until when to solve")
    if not to_exact(end) >= 0:
        raise NumberError(f"t must not be negative, got {end!r}; turn the signs of all rates for a run backward")
    return [(system, end)]


class _Solver:
    """One circuit in one mpmath context."""

    def __init__(self, circuit: Circuit, inputs: dict[str, list], context: Any, order: int) -> None:
        self.circuit, self.inputs, self.mp, self.order = circuit, inputs, context, order
        self.steps = self.products = 0
        self.degree = time_degrees(circuit)
        self.rows = {
            w: [(_rows(m, w.size, context), circuit.source(x)) for m, x in w.terms]
            for w in circuit.wires
            if isinstance(w, Linear)
        }

    def run(self, end: Any) -> dict[str, list]:
        """All outputs at time `end`, starting at 0."""
        mp, t = self.mp, self.mp.mpf(0)
        c = self._series(None, t, 0)
        while t < end:
            c = self._series(self._states(c), t, self.order)
            h = min(end - t, self._step(c))
            while True:
                if not t + h > t:
                    raise SolveError(f"the step became too small at t = {mp.nstr(t, 10)}; the solution may end there")
                state: dict[Wire, list] = {w: [mp.polyval(s[::-1], h) for s in c[w]] for w in self.circuit.integrals}
                self.products += self.order * self.circuit.dim
                there = end if h == end - t else t + h
                after = self._series(state, there, 1)
                if self._agrees(c, after, h):
                    break
                h /= 2
            t, c = there, after
            self.steps += 1
        return {name: [s[0] for s in c[self.circuit.source(w)]] for name, w in self.circuit.outputs.items()}

    def _agrees(self, c: dict[Wire, list], after: dict[Wire, list], h: Any) -> bool:
        """Whether the polynomials arrive with the slopes that the circuit has there: gaps can hide a series' growth."""
        mp = self.mp
        for w in self.circuit.integrals:
            for series, end in zip(c[w], after[w], strict=True):
                slope = mp.polyval([k * a for k, a in enumerate(series)][:0:-1], h)
                if abs(slope - end[1]) * h > 64 * self.order * mp.eps * max(1, abs(end[0]), abs(end[1] * h)):
                    return False
        return True

    def _states(self, c: dict[Wire, list]) -> dict[Wire, list]:
        return {w: [s[0] for s in c[w]] for w in self.circuit.integrals}

    def _step(self, c: dict[Wire, list]) -> Any:
        """Jorba and Zou's step from the last two coefficients, in the sup norm."""
        mp = self.mp
        size = [max((abs(s[k]) for w in self.circuit.integrals for s in c[w]), default=mp.mpf(0)) for k in (0, -2, -1)]
        goal = max(size[0], mp.mpf(1)) * mp.eps
        steps = [mp.root(goal / s, k) for s, k in ((size[1], self.order - 1), (size[2], self.order)) if s]
        return min(steps, default=mp.inf)

    def _series(self, state: dict[Wire, list] | None, t: Any, order: int) -> dict[Wire, list]:
        """Coefficients 0..order of every unit; without a state, from the start values."""
        c: dict[Wire, list] = {w: [[] for _ in range(w.size)] for w in self.circuit.wires}
        for k in range(order + 1):
            for wire in self.circuit.wires:
                if k <= self.degree[wire]:
                    for series, value in zip(c[wire], self._order(wire, c, state, t, k), strict=True):
                        series.append(value)
        return c

    def _order(self, wire: Wire, c: dict[Wire, list], state: dict[Wire, list] | None, t: Any, k: int) -> list:
        mp, source = self.mp, self.circuit.source
        if isinstance(wire, Constant):
            return [to_mpf(v, mp) for v in wire.values]
        if isinstance(wire, Input):
            return self.inputs[wire.key]
        if isinstance(wire, Time):
            return [t if k == 0 else mp.mpf(1)]
        if isinstance(wire, Linear):
            out = [mp.mpf(0)] * wire.size if k or wire.bias is None else [to_mpf(b, mp) for b in wire.bias]
            for rows, operand in self.rows[wire]:
                if k <= self.degree[operand]:
                    x = [s[k] for s in c[operand]]
                    self.products += sum(map(len, rows))
                    out = [v + sum((a * x[j] for j, a in row), mp.mpf(0)) for v, row in zip(out, rows, strict=True)]
            return out
        if isinstance(wire, Product):
            left, right = c[source(wire.left)], c[source(wire.right)]
            out = [mp.mpf(0)] * wire.size
            for o, i, j in zip(*wire.pairs(), strict=True):
                out[o] += self._convolve(left[i], right[j], k)
            return out
        assert isinstance(wire, Integral)
        if k == 0:
            return state[wire] if state is not None else self._start(wire, c)
        u, v = c[source(wire.integrand)], c[source(wire.variable)]
        if isinstance(source(wire.variable), Time):
            return [u[i if len(u) > 1 else 0][k - 1] / k if k <= len(u[0]) else mp.mpf(0) for i in range(wire.size)]
        rates = [[j * s[j] for j in range(len(s))] for s in v]
        count = range(wire.size)
        return [self._convolve(rates[i if len(v) > 1 else 0], u[i if len(u) > 1 else 0], k) / k for i in count]

    def _start(self, wire: Integral, c: dict[Wire, list]) -> list:
        if isinstance(wire.initial, Start):
            arguments = c[self.circuit.source(wire.initial.wire)]
            function = TABLE[wire.initial.function].mpmath
            return [function(self.mp, s[0], *wire.initial.parameters) for s in arguments]
        return [to_mpf(v, self.mp) for v in wire.initial]

    def _convolve(self, a: list, b: list, k: int) -> Any:
        terms = [(a[j], b[k - j]) for j in range(max(0, k - len(b) + 1), min(k, len(a) - 1) + 1)]
        self.products += len(terms)
        return self.mp.fdot(terms)


def _rows(matrix: Any, size: int, context: Any) -> list[list[tuple[int, Any]]]:
    """Nonzero entries (column, value) of every row."""
    if matrix.ndim < 2:
        return [[(i, to_mpf(matrix[i] if matrix.ndim else matrix[()], context))] for i in range(size)]
    dense = matrix.toarray() if hasattr(matrix, "tocsr") else matrix
    return [[(j, to_mpf(v, context)) for j, v in enumerate(row) if v] for row in dense.tolist()]
