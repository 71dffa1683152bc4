"""Sums over histories, the inner loops of all series: for one order, or for two orders in one pass.

The sum for order k + 1 shares all but its two end terms with what is loaded for order k, one place further:
taking both along halves the loads, of which a core does no more per cycle than multiply-adds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .ir import Code, Value
from .number import Double, Number

ALONE, FIRST, SECOND = "alone", "first", "second"
"""Whether an order is computed for itself, as order 1 is, or as the first or second of a pair."""


@dataclass(frozen=True)
class Convolved:
    """Sum of left[a + j] right[b - j] over low <= j < stop; its share of the next order waits at `kept`."""

    a: Any
    b: Any
    kept: Any


class Convolution:
    """Code for sums over histories in one function.

    Parameters
    ----------
    code, num : Code, Double
    memory : pointers by name: "series", "rates" and "kept"
    """

    def __init__(self, code: Code, num: Double, memory: Mapping[str, Value]) -> None:
        self.code, self.num, self.memory = code, num, memory

    def alone(
        self, left: str, sums: Sequence[Convolved], low: Any, stop: Any, totals: Sequence[Number]
    ) -> list[Number]:
        """The totals with their sums added; the left sides lie in `left`, the right ones in the series."""
        num = self.num
        with num.sum_loop(low, stop, totals) as loop:
            for s, total in zip(sums, loop.sums, strict=True):
                x, y = self._term(left, s, loop.index)
                loop.next.append(num.accumulate(x, y, total))
        return [num.settle(total) for total in loop.totals]

    def first(
        self,
        left: str,
        sums: Sequence[Convolved],
        low: Any,
        stop: Any,
        totals: Sequence[Number],
        middles: Sequence[Number] = (),
    ) -> list[Number]:
        """The same, and on the way what the next order shares: left[a + j] right[b - j + 1] for j > low.

        `middles` take the place of left[a + stop] where the next order has one term more (half squares).
        """
        num, count = self.num, len(sums)
        zeros = [num.zero()] * count
        with num.sum_loop(low, stop, [*totals, *zeros, *zeros]) as loop:
            now, shared, before = (loop.sums[i * count : (i + 1) * count] for i in range(3))
            terms = [self._term(left, s, loop.index) for s in sums]
            loop.next += [num.accumulate(x, y, total) for (x, y), total in zip(terms, now, strict=True)]
            loop.next += [num.accumulate(x, y, total) for (x, _), y, total in zip(terms, before, shared, strict=True)]
            loop.next += [y for _, y in terms]
        now, shared, before = (loop.totals[i * count : (i + 1) * count] for i in range(3))
        for i, s in enumerate(sums):
            kept = num.accumulate(middles[i], before[i], shared[i]) if middles else shared[i]
            num.store(num.settle(kept), self.memory["kept"], s.kept)
        return [num.settle(total) for total in now]

    def second(self, left: str, sums: Sequence[Convolved], ends: Sequence[Any]) -> list[Number]:
        """What the order before has left, and the terms at the ends."""
        totals = []
        for s in sums:
            total = self.num.load(self.memory["kept"], s.kept)
            for j in ends:
                x, y = self._term(left, s, j)
                total = self.num.accumulate(x, y, total)
            totals.append(self.num.settle(total))
        return totals

    def _term(self, left: str, s: Convolved, j: Any) -> tuple[Number, Number]:
        code, num = self.code, self.num
        return num.load(self.memory[left], code.add(s.a, j)), num.load(self.memory["series"], code.minus(s.b, j))
