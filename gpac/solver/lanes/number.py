"""The arithmetics in which series run on lanes: double, and double-double (about 31 digits).

Double-double: T. J. Dekker, Numerische Mathematik 18 (1971) 224-242, with products by fused multiply-add.
Errors are given in u = 2**-53.
A number is a tuple of vectors, leading part first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from .ir import Code, Value

Number = tuple[Value, ...]


class Double:
    """float64 vectors."""

    parts = 1
    unit = 2.0**-52

    def __init__(self, code: Code) -> None:
        self.code = code

    def zero(self) -> Number:
        """Zero in every lane."""
        return (self.code.number(0.0),) * self.parts

    def constant(self, value: float) -> Number:
        """The same number in every lane."""
        return (self.code.number(value), *self.zero()[1:])

    def load(self, base: Value, place: Any) -> Number:
        """Read the number whose first vector is number `place`."""
        first = self.code.times(place, self.parts)
        return tuple(self.code.load(base, self.code.add(first, p)) for p in range(self.parts))

    def store(self, a: Number, base: Value, place: Any) -> None:
        """Write a number."""
        first = self.code.times(place, self.parts)
        for p, part in enumerate(a):
            self.code.store(part, base, self.code.add(first, p))

    def table(self, base: Value, place: Any) -> Number:
        """Number `place` of a table, in every lane."""
        first = self.code.times(place, self.parts)
        return tuple(self.code.spread(self.code.scalar(base, self.code.add(first, p))) for p in range(self.parts))

    def add(self, a: Number, b: Number) -> Number:
        """a + b."""
        return (self.code.build.fadd(a[0], b[0]),)

    def subtract(self, a: Number, b: Number) -> Number:
        """a - b."""
        return self.add(a, self.negative(b))

    def negative(self, a: Number) -> Number:
        """-a."""
        return tuple(self.code.build.fneg(part) for part in a)

    def multiply(self, a: Number, b: Number) -> Number:
        """a b."""
        return (self.code.build.fmul(a[0], b[0]),)

    def fma(self, a: Number, b: Number, c: Number) -> Number:
        """a b + c."""
        return (self.code.fma(a[0], b[0], c[0]),)

    def accumulate(self, a: Number, b: Number, total: Number) -> Number:
        """a b + total within a long sum: any number is a total, and `settle` makes a number of it at the end."""
        return self.fma(a, b, total)

    def settle(self, total: Number) -> Number:
        """The number that was accumulated."""
        return total

    def reciprocal(self, k: Value) -> Number:
        """1/k for a whole number k, a vector of doubles."""
        return (self.code.build.fdiv(self.code.number(1.0), k),)

    def select(self, condition: Value, a: Number, b: Number) -> Number:
        """a where the condition holds, and else b."""
        return tuple(self.code.build.select(condition, x, y) for x, y in zip(a, b, strict=True))

    @contextmanager
    def sum_loop(self, start: Any, stop: Any, sums: Sequence[Number]) -> Iterator[Any]:
        """A loop that carries numbers: `loop.sums` inside, set `loop.next`; `loop.totals` after it."""
        flat = [part for s in sums for part in s]
        with self.code.loop(start, stop, flat) as loop:
            view = _Sums(self._grouped(loop.carried), loop.index)
            yield view
            loop.carry = [part for s in view.next for part in s]
        view.totals = self._grouped(loop.results)

    def _grouped(self, flat: list[Value]) -> list[Number]:
        return [tuple(flat[i : i + self.parts]) for i in range(0, len(flat), self.parts)]


class _Sums:
    def __init__(self, sums: list[Number], index: Value) -> None:
        self.sums, self.index = sums, index
        self.next: list[Number] = []
        self.totals: list[Number] = []


class DoubleDouble(Double):
    """Unevaluated sums of two float64 vectors."""

    parts = 2
    unit = 2.0**-102

    def add(self, a: Number, b: Number) -> Number:
        """a + b, error below 3 u**2 relative (Joldes, Muller, Popescu, ACM TOMS 44 (2017), algorithm 6)."""
        s, e = self._two_sum(a[0], b[0])
        t, f = self._two_sum(a[1], b[1])
        build = self.code.build
        s, e = self._quick_sum(s, build.fadd(e, t))
        return self._quick_sum(s, build.fadd(e, f))

    def multiply(self, a: Number, b: Number) -> Number:
        """a b, error below 6 u**2 relative (the same, algorithm 11)."""
        build = self.code.build
        p = build.fmul(a[0], b[0])
        e = self.code.fma(a[0], b[0], build.fneg(p))
        e = self.code.fma(a[0], b[1], self.code.fma(a[1], b[0], e))
        return self._quick_sum(p, e)

    def fma(self, a: Number, b: Number, c: Number) -> Number:
        """a b + c."""
        return self.add(self.multiply(a, b), c)

    def accumulate(self, a: Number, b: Number, total: Number) -> Number:
        """Compensated: errors are summed beside, and n products are off by less than (n + 8) 2**-106 of their sizes.

        Source: Ogita, Rump and Oishi, SIAM J. Sci. Comput. 26 (2005) 1955-1988, Dot2.
        """
        build = self.code.build
        p = build.fmul(a[0], b[0])
        e = self.code.fma(a[0], b[0], build.fneg(p))
        e = self.code.fma(a[0], b[1], self.code.fma(a[1], b[0], e))
        s, f = self._two_sum(total[0], p)
        return s, build.fadd(total[1], build.fadd(e, f))

    def settle(self, total: Number) -> Number:
        """The number that was accumulated."""
        return self._two_sum(*total)

    def reciprocal(self, k: Value) -> Number:
        """1/k for a whole number k, a vector of doubles."""
        build, one = self.code.build, self.code.number(1.0)
        q = build.fdiv(one, k)
        return q, build.fdiv(self.code.fma(build.fneg(q), k, one), k)

    def _two_sum(self, a: Value, b: Value) -> Number:
        build = self.code.build
        s = build.fadd(a, b)
        other = build.fsub(s, a)
        return s, build.fadd(build.fsub(a, build.fsub(s, other)), build.fsub(b, other))

    def _quick_sum(self, a: Value, b: Value) -> Number:
        build = self.code.build
        s = build.fadd(a, b)
        return s, build.fsub(b, build.fsub(s, a))
