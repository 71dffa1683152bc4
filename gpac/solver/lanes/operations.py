"""Emit one operation of the recurrences at one order: into a function of its own, or among others.

Memory, counted in numbers of one vector per part: `now` (entry), `series` and `rates` (entry, order), `kept`
(entry: what the first of two orders leaves to the second), `still` (parameter), and the tables of weights and
of sparse structure. Every lane has its own unit of time, a power of two near its step: coefficients of order
k are c_k unit**k, which neither overflow nor round differently.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ...circuit import UNBOUNDED
from ..recurrences import Clock, Contract, Follow, Increase, Operand, Operation, Square, Sum, Term, Times
from .convolve import ALONE, FIRST, SECOND, Convolution, Convolved
from .ir import DOUBLE, INT, Code, Value
from .memory import Shape
from .number import Double, Number


class OperationCode:
    """Code of operations at one order in one function.

    Parameters
    ----------
    code, num : Code, Double
    memory : pointers by name
    shape : Shape
    stride : int
        Numbers between the series of one entry and the next.
    k : 0, or an integer of the code
        The order.
    place : str
        Whether the order is computed alone, or as the first or second of a pair.
    slots : sequence of integers of the code, optional
        What the places in an operation stand for, where several operations share one function.
    """

    def __init__(
        self,
        code: Code,
        num: Double,
        memory: Mapping[str, Value],
        shape: Shape,
        stride: int,
        k: Any,
        place: str,
        slots: Sequence[Value] | None = None,
    ) -> None:
        self.code, self.num, self.memory, self.shape, self.stride = code, num, memory, shape, stride
        self.k, self.place, self.slots = k, place, slots
        self.convolution = Convolution(code, num, memory)
        if not isinstance(k, int):
            self.k_vector = code.spread(code.build.sitofp(k, DOUBLE))
            self.inverse = num.reciprocal(self.k_vector)
            self.unit = code.load(memory["unit"], 0)
            self.pace = tuple(code.build.fmul(part, self.unit) for part in self.inverse)

    def emit(self, operation: Operation, live: bool) -> None:
        """The operation's coefficient of this order; at order 0 integrators keep what they have.

        `live` is whether it is read from `now`.
        """
        self.live = live
        match operation:
            case Clock():
                self._clock(operation)
            case Sum():
                self._sum(operation)
            case Times():
                self._times(operation)
            case Contract():
                self._contract(operation)
            case Increase() if not isinstance(self.k, int):
                self._increase(operation)
            case Follow() if not isinstance(self.k, int):
                self._follow(operation)
            case Square() if not isinstance(self.k, int):
                self._square(operation)

    def _clock(self, operation: Clock) -> None:
        if isinstance(self.k, int):
            self._put(operation.out, 0, self.num.load(self.memory["clock"], 0))
        else:
            self._put(operation.out, 0, (self._pace_of_one(), *self.num.zero()[1:]))

    def _pace_of_one(self) -> Value:
        """A lane's unit of time at order 1, and 0 above."""
        first = self.code.build.icmp_signed("==", self.k, INT(1))
        one = self.code.spread(self.code.build.select(first, DOUBLE(1.0), DOUBLE(0.0)))
        return self.code.build.fmul(one, self.unit)

    # places

    def _at(self, place: int) -> Any:
        return place if self.slots is None else self.slots[place]

    def _history(self, operand: Operand, entry: Any, k: Any, of: str = "series") -> Any:
        first = self._at(operand.series if of == "series" else operand.rates)
        return self.code.add(self.code.times(self.code.add(first, entry), self.stride), k)

    def _get(self, operand: Operand, entry: Any) -> Number:
        """The coefficient of the present order; a still operand has one at order 0 only."""
        entry = entry if operand.size > 1 else 0
        if operand.series >= 0 and isinstance(self.k, int):
            return self.num.load(self.memory["series"], self._history(operand, entry, 0))
        place = self.code.add(self._at(operand.at), entry)
        return self.num.load(self.memory["still" if operand.still else "now"], place)

    def _put(self, out: Operand, entry: Any, value: Number) -> None:
        if self.live:
            self.num.store(value, self.memory["now"], self.code.add(self._at(out.at), entry))
        if out.series >= 0:
            self.num.store(value, self.memory["series"], self._history(out, entry, self.k))
        if out.rates >= 0 and not isinstance(self.k, int):
            rate = self.num.multiply(value, (self.k_vector, *self.num.zero()[1:]))
            self.num.store(rate, self.memory["rates"], self._history(out, entry, self.k, "rates"))

    # operations

    def _sum(self, operation: Sum) -> None:
        """Rows in tiles; matrices run through their columns with one running sum per row of the tile."""
        at_zero = isinstance(self.k, int)
        terms = [t for t in operation.terms if at_zero or not t.operand.still]
        tile = self.shape.tile if any(t.kind == "dense" for t in terms) else 1
        size = operation.out.size
        full = size // tile
        if full:
            with self.code.entries(full) as block:
                self._rows(operation, terms, self.code.times(block, tile), tile)
        if size % tile:
            self._rows(operation, terms, full * tile, size % tile)

    def _rows(self, operation: Sum, terms: list[Term], first: Any, count: int) -> None:
        code, num = self.code, self.num
        sums = []
        for i in range(count):
            row = code.add(first, i)
            total = None
            if isinstance(self.k, int) and operation.bias >= 0:
                total = num.table(self.memory["data"], code.add(self._at(operation.bias), row))
            for term in terms:
                if term.kind not in ("dense", "sparse"):
                    total = self._entry_term(term, row, total)
            sums.append(num.zero() if total is None else total)
        for term in terms:
            if term.kind == "dense":
                sums = self._dense(term, first, sums)
            elif term.kind == "sparse":
                sums = [self._sparse(term, operation.out.size, code.add(first, i), s) for i, s in enumerate(sums)]
        for i, total in enumerate(sums):
            self._put(operation.out, code.add(first, i), total)

    def _entry_term(self, term: Term, row: Any, total: Number | None) -> Number:
        num, x = self.num, self._get(term.operand, row)
        if term.kind == "plus":
            return x if total is None else num.add(total, x)
        if term.kind == "minus":
            return num.negative(x) if total is None else num.subtract(total, x)
        place = self._at(term.data) if term.kind == "scalar" else self.code.add(self._at(term.data), row)
        factor = num.table(self.memory["data"], place)
        return num.multiply(factor, x) if total is None else num.fma(factor, x, total)

    def _dense(self, term: Term, first: Any, sums: list[Number]) -> list[Number]:
        """Rows from `first` on, whose weights lie column by column: see `packed`.

        A few rows alone would wait for one multiply-add after the other: their columns go into several sums.
        """
        code, num, columns, rows = self.code, self.num, term.operand.size, len(sums)
        strands = min(columns, max(1, self.shape.sums // rows))
        tile = code.add(self._at(term.data), code.times(first, columns))

        def added(column: Any, totals: list[Number]) -> list[Number]:
            x, at = self._get(term.operand, column), code.add(tile, code.times(column, rows))
            weights = [num.table(self.memory["data"], code.add(at, i)) for i in range(rows)]
            return [num.accumulate(w, x, total) for w, total in zip(weights, totals, strict=True)]

        starts = [*sums, *(num.zero() for _ in range((strands - 1) * rows))]
        with num.sum_loop(0, columns // strands, starts) as loop:
            for strand in range(strands):
                column = code.add(code.times(loop.index, strands), strand)
                loop.next += added(column, loop.sums[strand * rows : (strand + 1) * rows])
        totals = loop.totals[:rows]
        for column in range(columns - columns % strands, columns):
            totals = added(column, totals)
        totals = [num.settle(total) for total in totals]
        for at in range(rows, strands * rows, rows):
            totals = [num.add(t, num.settle(u)) for t, u in zip(totals, loop.totals[at : at + rows], strict=True)]
        return totals

    def _sparse(self, term: Term, rows: int, row: Any, total: Number) -> Number:
        code, index, table = self.code, self.memory["index"], self._at(term.index)
        low = code.whole_at(index, code.add(table, row))
        high = code.whole_at(index, code.add(code.add(table, 1), row))
        with self.num.sum_loop(low, high, [total]) as loop:
            column = code.whole_at(index, code.add(code.add(table, rows + 1), loop.index))
            weight = self.num.table(self.memory["data"], code.add(self._at(term.data), loop.index))
            loop.next.append(self.num.accumulate(weight, self._get(term.operand, column), loop.sums[0]))
        return self.num.settle(loop.totals[0])

    def _blocks(self, size: int, work: Callable[[list[Any]], None]) -> None:
        """Do the work for every entry of a unit, some entries at once: their sums run side by side."""
        many = min(self.shape.entries, size)
        with self.code.entries(size // many) as block:
            first = self.code.times(block, many)
            work([self.code.add(first, i) for i in range(many)])
        if size % many:
            work([size - size % many + i for i in range(size % many)])

    def _times(self, operation: Times) -> None:
        out, left, right = operation.out, operation.left, operation.right

        def work(entries: list[Any]) -> None:
            factors = [(e, self._entry(left, e), self._entry(right, e)) for e in entries]
            for e, value in zip(entries, self._products(operation, factors, None), strict=True):
                self._put(out, e, value)

        self._blocks(out.size, work)

    def _contract(self, operation: Contract) -> None:
        code, index, out, table = self.code, self.memory["index"], operation.out, self._at(operation.index)
        with code.entries(out.size) as e:
            low = code.whole_at(index, code.add(table, e))
            high = code.whole_at(index, code.add(code.add(table, 1), e))
            pairs = code.whole_at(index, code.add(table, out.size))
            with self.num.sum_loop(low, high, [self.num.zero()]) as loop:
                at = code.add(code.add(table, out.size + 1), loop.index)
                left, right = code.whole_at(index, at), code.whole_at(index, code.add(at, pairs))
                loop.next += self._products(operation, [(None, left, right)], loop.sums)
            self._put(out, e, loop.totals[0])

    def _entry(self, operand: Operand, e: Any) -> Any:
        return e if operand.size > 1 else 0

    def _products(
        self, operation: Times | Contract, factors: list[tuple[Any, Any, Any]], totals: list[Number] | None
    ) -> list[Number]:
        """Order k of left[i] right[j] for every (entry of the product, i, j), added to the totals."""
        num, left, right = self.num, operation.left, operation.right
        if isinstance(self.k, int) or left.still or right.still:
            pairs = [(self._get(left, i), self._get(right, j)) for _, i, j in factors]
            if totals is None:
                return [num.multiply(a, b) for a, b in pairs]
            return [num.fma(a, b, total) for (a, b), total in zip(pairs, totals, strict=True)]
        low = self.code.larger(0, self.code.minus(self.k, right.degree)) if right.degree < UNBOUNDED else 0
        high = self.code.smaller(self.k, left.degree) if left.degree < UNBOUNDED else self.k
        sums = [
            Convolved(self._history(left, i, 0), self._history(right, j, self.k), self._kept(operation.out, e))
            for e, i, j in factors
        ]
        alone = isinstance(operation, Contract) or min(left.degree, right.degree) < UNBOUNDED
        return self._convolve("series", sums, low, high, totals, alone)

    def _kept(self, out: Operand, entry: Any) -> Any:
        return None if entry is None else self.code.add(self._at(out.at), entry)

    def _convolve(
        self, left: str, sums: list[Convolved], low: Any, high: Any, totals: list[Number] | None, alone: bool
    ) -> list[Number]:
        """Sums over low <= j <= high, in the manner that the order's place in its pair allows."""
        starts = totals or [self.num.zero() for _ in sums]
        if alone or self.place == ALONE:
            return self.convolution.alone(left, sums, low, self.code.add(high, 1), starts)
        if self.place == FIRST:
            return self.convolution.first(left, sums, low, self.code.add(high, 1), starts)
        return self.convolution.second(left, sums, [low, high])

    def _increase(self, operation: Increase) -> None:
        u, out = operation.integrand, operation.out
        with self.code.entries(out.size) as e:
            if u.still:
                pace = (self._pace_of_one(), *self.num.zero()[1:])
                value = self.num.multiply(self._get(u, self._entry(u, e)), pace)
            elif u.series >= 0:
                below = self.num.load(
                    self.memory["series"], self._history(u, self._entry(u, e), self.code.minus(self.k, 1))
                )
                value = self.num.multiply(below, self.pace)
            else:
                value = self.num.multiply(self._get(u, self._entry(u, e)), self.pace)
            self._put(out, e, value)

    def _follow(self, operation: Follow) -> None:
        """(1/k) sum over j = 1..k of (j v_j) u_{k-j}."""
        u, v, out = operation.integrand, operation.variable, operation.out
        code, num = self.code, self.num

        def work(entries: list[Any]) -> None:
            pairs = [(self._entry(v, e), self._entry(u, e)) for e in entries]
            if u.still:
                values = [num.multiply(self._get(u, i), self._get(v, j)) for j, i in pairs]
            else:
                low = code.larger(1, code.minus(self.k, u.degree)) if u.degree < UNBOUNDED else 1
                high = code.smaller(self.k, v.degree) if v.degree < UNBOUNDED else self.k
                sums = [
                    Convolved(self._history(v, j, 0, "rates"), self._history(u, i, self.k), self._kept(out, e))
                    for e, (j, i) in zip(entries, pairs, strict=True)
                ]
                totals = self._convolve("rates", sums, low, high, None, min(u.degree, v.degree) < UNBOUNDED)
                values = [num.multiply(total, self.inverse) for total in totals]
            for e, value in zip(entries, values, strict=True):
                self._put(out, e, value)

        self._blocks(out.size, work)

    def _square(self, operation: Square) -> None:
        """a (u_0 u_k + u_1 u_{k-1} + ... + half of the middle square); the first order of a pair is even."""
        base, out = operation.base, operation.out
        code, num, series = self.code, self.num, self.memory["series"]
        half = code.build.lshr(code.add(self.k, 1), INT(1))
        even = code.build.icmp_signed("==", code.build.and_(self.k, INT(1)), INT(0))
        factor = (code.spread(code.build.select(even, DOUBLE(0.5), DOUBLE(0.0))), *num.zero()[1:])

        def work(entries: list[Any]) -> None:
            firsts = [self._history(base, self._entry(base, e), 0) for e in entries]
            sums = [Convolved(f, code.add(f, self.k), self._kept(out, e)) for e, f in zip(entries, firsts, strict=True)]
            if self.place == SECOND:
                totals = self.convolution.second("series", sums, [0])
            else:
                middles = [num.load(series, code.add(f, code.build.lshr(self.k, INT(1)))) for f in firsts]
                starts = [num.multiply(num.multiply(m, m), factor) for m in middles]
                if self.place == ALONE:
                    totals = self.convolution.alone("series", sums, 0, half, starts)
                else:
                    totals = self.convolution.first("series", sums, 0, half, starts, middles)
            for e, total in zip(entries, totals, strict=True):
                place = code.add(self._at(operation.data), e if operation.factors > 1 else 0)
                self._put(out, e, num.multiply(num.table(self.memory["data"], place), total))

        self._blocks(out.size, work)
