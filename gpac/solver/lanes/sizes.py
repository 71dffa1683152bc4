"""How large states and coefficients are, lane by lane: what lengths of steps and their checks are made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .group import SIDE_BY_SIDE, Group
from .ir import Value
from .number import Number

LARGEST_WEIGHT = 1e100


class Sizes:
    """Code for sizes in the function of a group."""

    def __init__(self, group: Group) -> None:
        self.code, self.num, self.pointer = group.code, group.num, group.pointer
        self.recurrences, self.stride = group.recurrences, group.stride

    def of(self, number: Callable[[Any, Any], Number]) -> Value:
        """Largest of a number (entry, place of its series) over the state by magnitude, NaN where one is."""
        magnitude = self._largest(0, self.recurrences.dim, lambda e: number(e, self.code.times(e, self.stride))[0])
        return self.code.double(magnitude)

    def _largest(self, begin: int, stop: int, value: Callable[[Any], Value]) -> Value:
        """Bit pattern of the largest magnitude over the states from `begin` to `stop`; 0 over none.

        Patterns of positive doubles are ordered as they are.
        """
        code = self.code

        def larger(a: Value, b: Value) -> Value:
            return code.build.select(code.build.icmp_signed(">", a, b), a, b)

        largest = code.whole(0)
        full = (stop - begin) // SIDE_BY_SIDE
        if full:
            with code.loop(0, full, [largest] * SIDE_BY_SIDE) as loop:
                first = code.add(code.times(loop.index, SIDE_BY_SIDE), begin)
                for i, running in enumerate(loop.carried):
                    loop.carry.append(larger(code.bits(code.absolute(value(code.add(first, i)))), running))
            for running in loop.results:
                largest = larger(running, largest)
        for e in range(begin + full * SIDE_BY_SIDE, stop):
            largest = larger(code.bits(code.absolute(value(e))), largest)
        return largest

    def weigh(self, scale: Value) -> None:
        """How much more than others the entries of nonzero states count."""
        code, build = self.code, self.code.build
        for low, high in self.recurrences.nonzero:
            with code.loop(low, high) as loop:
                state = self.num.load(self.pointer["series"], code.times(loop.index, self.stride))[0]
                weight = build.fdiv(scale, code.absolute(state))
                code.store(code.least(weight, code.number(LARGEST_WEIGHT)), self.pointer["weights"], loop.index)

    def weighted(self, k: Value) -> Value:
        """Bit pattern of the largest coefficient of order k, nonzero states counted relative to themselves."""
        code, build = self.code, self.code.build

        def plain(e: Any) -> Value:
            return self.num.load(self.pointer["series"], code.add(code.times(e, self.stride), k))[0]

        def weighted(e: Any) -> Value:
            return build.fmul(plain(e), code.load(self.pointer["weights"], e))

        at, found = 0, []
        for low, high in (*self.recurrences.nonzero, (self.recurrences.dim, self.recurrences.dim)):
            found += [self._largest(at, low, plain), self._largest(low, high, weighted)]
            at = high
        largest = found[0]
        for other in found[1:]:
            largest = build.select(build.icmp_signed(">", other, largest), other, largest)
        return largest
