"""The arithmetics in which series run on lanes: double, and double-double (about 31 digits).

Double-double: T. J. Dekker, Numerische Mathematik 18 (1971) 224-242, with products by fused multiply-add.
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
    digits_of_unit = 53

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
        """A number of a table of doubles, in every lane."""
        return (self.code.spread(self.code.scalar(base, place)), *self.zero()[1:])

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

    def reciprocal(self, k: Value) -> Number:
        """1/k for a whole number k, a vector of doubles."""
        return (self.code.build.fdiv(self.code.number(1.0), k),)

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
    digits_of_unit = 104

    def add(self, a: Number, b: Number) -> Number:
        """a + b, error below 2**-104 relative (Joldes, Muller, Popescu, ACM TOMS 44 (2017), algorithm 6)."""
        s, e = self._two_sum(a[0], b[0])
        t, f = self._two_sum(a[1], b[1])
        build = self.code.build
        s, e = self._quick_sum(s, build.fadd(e, t))
        return self._quick_sum(s, build.fadd(e, f))

    def multiply(self, a: Number, b: Number) -> Number:
        """a b, error below 2**-102 relative."""
        build = self.code.build
        p = build.fmul(a[0], b[0])
        e = self.code.fma(a[0], b[0], build.fneg(p))
        e = self.code.fma(a[0], b[1], self.code.fma(a[1], b[0], e))
        return self._quick_sum(p, e)

    def fma(self, a: Number, b: Number, c: Number) -> Number:
        """a b + c."""
        return self.add(self.multiply(a, b), c)

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
