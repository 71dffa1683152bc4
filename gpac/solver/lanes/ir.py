"""A few words for writing loops over vectors of lanes in LLVM's intermediate language."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from llvmlite import ir

DOUBLE, INT, BOOL = ir.DoubleType(), ir.IntType(64), ir.IntType(1)
POINTER = ir.PointerType()

Value = Any
"""A value of the intermediate language: a vector of lanes, or an integer."""


@dataclass
class Loop:
    """A counted loop: `index` and `carried` inside, `carry` the new values, `results` after it."""

    index: Value
    carried: list[Value]
    carry: list[Value] = field(default_factory=list)
    results: list[Value] = field(default_factory=list)


class Code:
    """Builds one function whose values are vectors of `lanes` doubles.

    Integers are i64 scalars; places in memory are counted in vectors.
    """

    def __init__(self, module: ir.Module, name: str, arguments: Sequence[ir.Type], lanes: int) -> None:
        self.module, self.lanes = module, lanes
        self.alignment = min(64, 8 * lanes)  # memory starts on cache lines; vectors may be shorter than they are
        self.vector, self.integers = ir.VectorType(DOUBLE, lanes), ir.VectorType(INT, lanes)
        self.mask = ir.VectorType(BOOL, lanes)
        self.function = ir.Function(module, ir.FunctionType(INT, arguments), name)
        self.function.attributes.add("nounwind")  # written with it alone is, in llvmlite, what follows:
        self.function.attributes.alignstack = self.alignment  # vectors on the stack do not straddle cache lines
        for argument in self.function.args:
            if argument.type == POINTER:
                argument.add_attribute("noalias")
        self.build = ir.IRBuilder(self.function.append_basic_block("entry"))

    # numbers

    def integer(self, value: int | Value) -> Value:
        """An i64 constant."""
        return INT(value) if isinstance(value, int) else value

    def number(self, value: float) -> Value:
        """The same double in every lane."""
        return ir.Constant(self.vector, [value] * self.lanes)

    def whole(self, value: int) -> Value:
        """The same i64 in every lane."""
        return ir.Constant(self.integers, [value] * self.lanes)

    def add(self, a: int | Value, b: int | Value) -> Value:
        """Sum of two integers."""
        if isinstance(a, int) and isinstance(b, int):
            return a + b
        if isinstance(b, int) and b == 0:
            return a
        return self.build.add(self.integer(a), self.integer(b))

    def times(self, a: int | Value, b: int | Value) -> Value:
        """Product of two integers."""
        if isinstance(a, int) and isinstance(b, int):
            return a * b
        return self.build.mul(self.integer(a), self.integer(b))

    def minus(self, a: int | Value, b: int | Value) -> Value:
        """Difference of two integers."""
        if isinstance(a, int) and isinstance(b, int):
            return a - b
        return self.build.sub(self.integer(a), self.integer(b))

    def smaller(self, a: int | Value, b: int | Value) -> Value:
        """Minimum of two integers."""
        if isinstance(a, int) and isinstance(b, int):
            return min(a, b)
        a, b = self.integer(a), self.integer(b)
        return self.build.select(self.build.icmp_signed("<", a, b), a, b)

    def larger(self, a: int | Value, b: int | Value) -> Value:
        """Maximum of two integers."""
        if isinstance(a, int) and isinstance(b, int):
            return max(a, b)
        a, b = self.integer(a), self.integer(b)
        return self.build.select(self.build.icmp_signed(">", a, b), a, b)

    def intrinsic(self, name: str, *values: Value) -> Value:
        """One of LLVM's functions on vectors of doubles, such as "fma"."""
        kind = ir.FunctionType(self.vector, [self.vector] * len(values))
        full = f"llvm.{name}.v{self.lanes}f64"
        function = self.module.globals.get(full) or ir.Function(self.module, kind, full)
        return self.build.call(function, values)

    def fma(self, a: Value, b: Value, c: Value) -> Value:
        """a b + c, rounded once."""
        return self.intrinsic("fma", a, b, c)

    def absolute(self, a: Value) -> Value:
        """|a|."""
        return self.intrinsic("fabs", a)

    def least(self, a: Value, b: Value) -> Value:
        """The smaller of two; b where either is NaN."""
        return self.build.select(self.build.fcmp_ordered("<", a, b), a, b)

    def greatest(self, a: Value, b: Value) -> Value:
        """The larger of two; b where either is NaN."""
        return self.build.select(self.build.fcmp_ordered(">", a, b), a, b)

    def bits(self, a: Value) -> Value:
        """The bit patterns of doubles."""
        return self.build.bitcast(a, self.integers)

    def double(self, a: Value) -> Value:
        """The doubles with these bit patterns."""
        return self.build.bitcast(a, self.vector)

    # memory

    def at(self, base: Value, place: int | Value) -> Value:
        """Address of the vector `place`."""
        return self.build.gep(base, [self.integer(place)], source_etype=self.vector)

    def load(self, base: Value, place: int | Value) -> Value:
        """Read the vector at `place`."""
        return self.build.load(self.at(base, place), typ=self.vector, align=self.alignment)

    def store(self, value: Value, base: Value, place: int | Value) -> None:
        """Write the vector at `place`."""
        self.build.store(value, self.at(base, place), align=self.alignment)

    def scalar(self, base: Value, place: int | Value) -> Value:
        """Read one double of a table."""
        return self.build.load(self.build.gep(base, [self.integer(place)], source_etype=DOUBLE), typ=DOUBLE, align=8)

    def spread(self, value: Value) -> Value:
        """One double in every lane."""
        undefined = ir.Constant(self.vector, ir.Undefined)
        first = self.build.insert_element(undefined, value, ir.IntType(32)(0))
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), self.lanes), [0] * self.lanes)
        return self.build.shuffle_vector(first, undefined, zeros)

    def whole_at(self, base: Value, place: int | Value) -> Value:
        """Read one i64 of a table."""
        return self.build.load(self.build.gep(base, [self.integer(place)], source_etype=INT), typ=INT, align=8)

    def put_whole(self, value: Value, base: Value, place: int | Value) -> None:
        """Write one i64 of a table."""
        self.build.store(self.integer(value), self.build.gep(base, [self.integer(place)], source_etype=INT), align=8)

    # control

    @contextmanager
    def loop(self, start: int | Value, stop: int | Value, carried: Sequence[Value] = ()) -> Iterator[Loop]:
        """for index in range(start, stop), with values carried from turn to turn."""
        build = self.build
        start, stop = self.integer(start), self.integer(stop)
        before = build.block
        body, after = build.append_basic_block("body"), build.append_basic_block("after")
        build.cbranch(build.icmp_signed("<", start, stop), body, after)
        build.position_at_end(body)
        index = build.phi(INT)
        index.add_incoming(start, before)
        inside = [build.phi(v.type) for v in carried]
        for phi, value in zip(inside, carried, strict=True):
            phi.add_incoming(value, before)
        loop = Loop(index, list(inside))
        yield loop
        assert len(loop.carry) == len(inside), "every carried value is carried on"
        step = build.add(index, INT(1))
        last = build.block
        build.cbranch(build.icmp_signed("<", step, stop), body, after)
        index.add_incoming(step, last)
        build.position_at_end(after)
        for phi, first, value in zip(inside, carried, loop.carry, strict=True):
            phi.add_incoming(value, last)
            result = build.phi(value.type)
            result.add_incoming(first, before)
            result.add_incoming(value, last)
            loop.results.append(result)

    @contextmanager
    def entries(self, size: int) -> Iterator[int | Value]:
        """Every entry of a unit: a loop, or the number 0 alone."""
        if size == 1:
            yield 0
        else:
            with self.loop(0, size) as loop:
                yield loop.index

    @contextmanager
    def when(self, condition: Value) -> Iterator[None]:
        """Do this if the condition holds."""
        with self.build.if_then(condition):
            yield
