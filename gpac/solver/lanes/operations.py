"""Emit one operation of the recurrences at one order: into a function of its own, or among others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...circuit import UNBOUNDED
from ..recurrences import Clock, Contract, Follow, Increase, Operand, Operation, Square, Sum, Times
from .coefficients import Coefficients
from .convolve import ALONE, FIRST, SECOND, Convolution, Convolved
from .ir import DOUBLE, INT, Value
from .number import Number
from .sums import SumCode


class OperationCode:
    """Code of operations at one order in one function.

    Parameters
    ----------
    coefficients : Coefficients
    place : str
        Whether the order is computed alone, or as the first or second of a pair.
    """

    def __init__(self, coefficients: Coefficients, place: str) -> None:
        self.coefficients, self.place = coefficients, place
        self.get, self.put, self.history = coefficients.get, coefficients.put, coefficients.history
        self.code, self.num, self.memory = coefficients.code, coefficients.num, coefficients.memory
        self.k, self.entries = coefficients.k, coefficients.shape.entries
        self.convolution = Convolution(self.code, self.num, self.memory)
        if not isinstance(self.k, int):
            self.inverse = self.num.reciprocal(coefficients.k_vector)
            self.unit = self.code.load(self.memory["unit"], 0)
            self.pace = tuple(self.code.build.fmul(part, self.unit) for part in self.inverse)

    def emit(self, operation: Operation, live: bool) -> None:
        """The operation's coefficient of this order; at order 0 integrators keep what they have.

        `live` is whether it is read from `now`.
        """
        self.coefficients.live = live
        match operation:
            case Clock():
                self._clock(operation)
            case Sum():
                SumCode(self.coefficients).emit(operation)
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
            self.put(operation.out, 0, self.num.load(self.memory["clock"], 0))
        else:
            self.put(operation.out, 0, (self._pace_of_one(), *self.num.zero()[1:]))

    def _pace_of_one(self) -> Value:
        """A lane's unit of time at order 1, and 0 above."""
        first = self.code.build.icmp_signed("==", self.k, INT(1))
        one = self.code.spread(self.code.build.select(first, DOUBLE(1.0), DOUBLE(0.0)))
        return self.code.build.fmul(one, self.unit)

    def _blocks(self, size: int, work: Callable[[list[Any]], None]) -> None:
        """Do the work for every entry of a unit, some entries at once: their sums run side by side."""
        many = min(self.entries, size)
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
                self.put(out, e, value)

        self._blocks(out.size, work)

    def _contract(self, operation: Contract) -> None:
        code, index, out, table = self.code, self.memory["index"], operation.out, self.coefficients.at(operation.index)
        with code.entries(out.size) as e:
            low = code.whole_at(index, code.add(table, e))
            high = code.whole_at(index, code.add(code.add(table, 1), e))
            pairs = code.whole_at(index, code.add(table, out.size))
            with self.num.sum_loop(low, high, [self.num.zero()]) as loop:
                at = code.add(code.add(table, out.size + 1), loop.index)
                left, right = code.whole_at(index, at), code.whole_at(index, code.add(at, pairs))
                loop.next += self._products(operation, [(None, left, right)], loop.sums)
            self.put(out, e, loop.totals[0])

    def _entry(self, operand: Operand, e: Any) -> Any:
        return e if operand.size > 1 else 0

    def _products(
        self, operation: Times | Contract, factors: list[tuple[Any, Any, Any]], totals: list[Number] | None
    ) -> list[Number]:
        """Order k of left[i] right[j] for every (entry of the product, i, j), added to the totals."""
        num, left, right = self.num, operation.left, operation.right
        if isinstance(self.k, int) or left.still or right.still:
            pairs = [(self.get(left, i), self.get(right, j)) for _, i, j in factors]
            if totals is None:
                return [num.multiply(a, b) for a, b in pairs]
            return [num.fma(a, b, total) for (a, b), total in zip(pairs, totals, strict=True)]
        low = self.code.larger(0, self.code.minus(self.k, right.degree)) if right.degree < UNBOUNDED else 0
        high = self.code.smaller(self.k, left.degree) if left.degree < UNBOUNDED else self.k
        sums = [
            Convolved(self.history(left, i, 0), self.history(right, j, self.k), self._kept(operation.out, e))
            for e, i, j in factors
        ]
        alone = isinstance(operation, Contract) or min(left.degree, right.degree) < UNBOUNDED
        return self._convolve("series", sums, low, high, totals, alone)

    def _kept(self, out: Operand, entry: Any) -> Any:
        return None if entry is None else self.code.add(self.coefficients.at(out.at), entry)

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
                value = self.num.multiply(self.get(u, self._entry(u, e)), pace)
            elif u.series >= 0:
                below = self.num.load(
                    self.memory["series"], self.history(u, self._entry(u, e), self.code.minus(self.k, 1))
                )
                value = self.num.multiply(below, self.pace)
            else:
                value = self.num.multiply(self.get(u, self._entry(u, e)), self.pace)
            self.put(out, e, value)

    def _follow(self, operation: Follow) -> None:
        """(1/k) sum over j = 1..k of (j v_j) u_{k-j}."""
        u, v, out = operation.integrand, operation.variable, operation.out
        code, num = self.code, self.num

        def work(entries: list[Any]) -> None:
            pairs = [(self._entry(v, e), self._entry(u, e)) for e in entries]
            if u.still:
                values = [num.multiply(self.get(u, i), self.get(v, j)) for j, i in pairs]
            else:
                low = code.larger(1, code.minus(self.k, u.degree)) if u.degree < UNBOUNDED else 1
                high = code.smaller(self.k, v.degree) if v.degree < UNBOUNDED else self.k
                sums = [
                    Convolved(self.history(v, j, 0, "rates"), self.history(u, i, self.k), self._kept(out, e))
                    for e, (j, i) in zip(entries, pairs, strict=True)
                ]
                totals = self._convolve("rates", sums, low, high, None, min(u.degree, v.degree) < UNBOUNDED)
                values = [num.multiply(total, self.inverse) for total in totals]
            for e, value in zip(entries, values, strict=True):
                self.put(out, e, value)

        self._blocks(out.size, work)

    def _square(self, operation: Square) -> None:
        """a (u_0 u_k + u_1 u_{k-1} + ... + half of the middle square); the first order of a pair is even."""
        base, out = operation.base, operation.out
        code, num, series = self.code, self.num, self.memory["series"]
        half = code.build.lshr(code.add(self.k, 1), INT(1))
        even = code.build.icmp_signed("==", code.build.and_(self.k, INT(1)), INT(0))
        factor = (code.spread(code.build.select(even, DOUBLE(0.5), DOUBLE(0.0))), *num.zero()[1:])

        def work(entries: list[Any]) -> None:
            firsts = [self.history(base, self._entry(base, e), 0) for e in entries]
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
                place = code.add(self.coefficients.at(operation.data), e if operation.factors > 1 else 0)
                self.put(out, e, num.multiply(num.table(self.memory["data"], place), total))

        self._blocks(out.size, work)
