"""Emit linear combinations of one order: matrices, diagonals, single weights."""

from __future__ import annotations

from typing import Any

from ..recurrences import Sum, Term
from .coefficients import Coefficients
from .number import Number


class SumCode:
    """Code of linear combinations among the operations of one order."""

    def __init__(self, coefficients: Coefficients) -> None:
        self.coefficients, self.k, self.shape = coefficients, coefficients.k, coefficients.shape
        self.code, self.num, self.memory = coefficients.code, coefficients.num, coefficients.memory

    def emit(self, operation: Sum) -> None:
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
                total = num.table(self.memory["data"], code.add(self.coefficients.at(operation.bias), row))
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
            self.coefficients.put(operation.out, code.add(first, i), total)

    def _entry_term(self, term: Term, row: Any, total: Number | None) -> Number:
        num, x = self.num, self.coefficients.get(term.operand, row)
        if term.kind == "plus":
            return x if total is None else num.add(total, x)
        if term.kind == "minus":
            return num.negative(x) if total is None else num.subtract(total, x)
        first = self.coefficients.at(term.data)
        place = first if term.kind == "scalar" else self.code.add(first, row)
        factor = num.table(self.memory["data"], place)
        return num.multiply(factor, x) if total is None else num.fma(factor, x, total)

    def _dense(self, term: Term, first: Any, sums: list[Number]) -> list[Number]:
        """Rows from `first` on, whose weights lie column by column: see `packed`.

        A few rows alone would wait for one multiply-add after the other: their columns go into several sums.
        """
        code, num, columns, rows = self.code, self.num, term.operand.size, len(sums)
        strands = min(columns, max(1, self.shape.sums // rows))
        tile = code.add(self.coefficients.at(term.data), code.times(first, columns))

        def added(column: Any, totals: list[Number]) -> list[Number]:
            x, at = self.coefficients.get(term.operand, column), code.add(tile, code.times(column, rows))
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
        code, index, table = self.code, self.memory["index"], self.coefficients.at(term.index)
        low = code.whole_at(index, code.add(table, row))
        high = code.whole_at(index, code.add(code.add(table, 1), row))
        with self.num.sum_loop(low, high, [total]) as loop:
            column = code.whole_at(index, code.add(code.add(table, rows + 1), loop.index))
            weight = self.num.table(self.memory["data"], code.add(self.coefficients.at(term.data), loop.index))
            loop.next.append(self.num.accumulate(weight, self.coefficients.get(term.operand, column), loop.sums[0]))
        return self.num.settle(loop.totals[0])
