"""Machine code that carries error bounds along trajectories: what is written down for one step, over vectors of lanes.

One trajectory a lane. Each group of lanes goes forward over all its steps and back again, so that what the way back
needs of each step stays in the cache. Additions, products and roots are rounded to nearest as IEEE 754 has it; a
product that only goes into one sum is not rounded by itself, which makes fewer errors than are counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from llvmlite import ir

from ..solver.lanes.ir import DOUBLE, INT, POINTER, Code, Value
from .trace import Number, Trace

POINTERS = (
    "order",  # trajectories, lane after lane
    "offsets",  # first row of each trajectory, and one more
    "place",  # where a row's polynomials are
    "figures",  # of each row
    "polynomials",
    "given",  # of each trajectory
    "start",
    "out",
    "features",  # vectors that the code needs for itself, and so are the following
    "state",
    "tape",
    "control",  # groups of lanes: first, stop
)


@dataclass(frozen=True, eq=False)
class Written:
    """Operations, and the numbers asked for."""

    trace: Trace
    asked: Sequence[Any]

    @property
    def key(self) -> tuple[Any, ...]:
        """All that code for it depends on."""
        return self.trace.operations, [operand(n) for n in self.asked]


@dataclass(frozen=True)
class Sizes:
    """How many numbers there are of each kind, for one lane."""

    dim: int
    orders: int
    figures: int
    given: int
    front: int
    tape: int
    back: int

    @property
    def features(self) -> int:
        """Polynomials, figures, where the next step starts, whether there is none, and what is given."""
        return self.dim * self.orders + self.figures + self.dim + 1 + self.given


@dataclass(frozen=True, eq=False)
class Step:
    """One step written down: forward from (features, front) to (front, tape), backward from (tape, back) to back.

    `first` gives the front from start errors, and `last` the back to begin with; nothing need go back.
    """

    first: Written
    forward: Written
    sizes: Sizes
    last: Written | None = None
    backward: Written | None = None

    @property
    def key(self) -> str:
        """All that the code depends on."""
        parts = self.first, self.forward, self.last, self.backward
        return repr(([w.key for w in parts if w], self.sizes))


def module(step: Step, lanes: int) -> ir.Module:
    """The function "run" over groups of trajectories."""
    made = ir.Module("bounds")
    _Scan(made, step, lanes).emit()
    return made


class _Scan:
    def __init__(self, made: ir.Module, step: Step, lanes: int) -> None:
        self.step, self.sizes, self.lanes = step, step.sizes, lanes
        self.code = Code(made, "run", [POINTER] * len(POINTERS), lanes)
        self.pointer = dict(zip(POINTERS, self.code.function.args, strict=True))

    def emit(self) -> None:
        code = self.code
        control = self.pointer["control"]
        with code.loop(code.whole_at(control, 0), code.whole_at(control, 1)) as group:
            self._group(code.times(group.index, self.lanes))
        code.build.ret(INT(0))

    def _group(self, first: Value) -> None:
        code, sizes, pointer = self.code, self.sizes, self.pointer
        who = [code.whole_at(pointer["order"], code.add(first, lane)) for lane in range(self.lanes)]
        begin = [code.whole_at(pointer["offsets"], w) for w in who]
        ends = [code.whole_at(pointer["offsets"], code.add(w, 1)) for w in who]
        counts = [code.minus(e, b) for b, e in zip(begin, ends, strict=True)]
        longest = counts[0]
        for count in counts[1:]:
            longest = code.larger(longest, count)
        self._gather("given", [code.times(w, sizes.given) for w in who], sizes.given, sizes.features - sizes.given)
        self._gather("start", [code.times(w, sizes.dim) for w in who], sizes.dim, 0)
        self._put(self._written(self.step.first, [("features", sizes.dim)]), "state", 0, None)
        with code.loop(0, longest) as step:
            rows = [code.add(b, code.smaller(step.index, code.minus(c, 1))) for b, c in zip(begin, counts, strict=True)]
            self._features(rows, [code.minus(e, 1) for e in ends])
            values = self._written(self.step.forward, [("features", sizes.features), ("state", sizes.front)])
            self._put(values[: sizes.front], "state", 0, self._active(step.index, counts))
            self._put(values[sizes.front :], "tape", code.times(step.index, sizes.tape), None)
        if self.step.last and self.step.backward:
            self._put(self._written(self.step.last, []), "state", sizes.front, None)
            self._back(self.step.backward, longest, counts)
        self._scatter(who, sizes.front + sizes.back)

    def _back(self, backward: Written, longest: Value, counts: Sequence[Value]) -> None:
        """Over all steps, from the end."""
        code, sizes = self.code, self.sizes
        with code.loop(0, longest) as step:
            number = code.minus(code.minus(longest, 1), step.index)
            places = [("tape", sizes.tape), ("state", sizes.back)]
            shifts = {"tape": code.times(number, sizes.tape), "state": sizes.front}
            values = self._written(backward, places, shifts)
            self._put(values, "state", sizes.front, self._active(number, counts))

    def _active(self, number: Value, counts: Sequence[Value]) -> Value:
        """Lanes whose trajectories have a step of this number."""
        mask = ir.Constant(self.code.mask, ir.Undefined)
        for lane, count in enumerate(counts):
            less = self.code.build.icmp_signed("<", number, count)
            mask = self.code.build.insert_element(mask, less, ir.IntType(32)(lane))
        return mask

    def _features(self, rows: Sequence[Value], ends: Sequence[Value]) -> None:
        """All that a step needs to know besides the front; `ends` are the last rows."""
        code, sizes, pointer = self.code, self.sizes, self.pointer
        wide = sizes.dim * sizes.orders
        place = [code.times(code.whole_at(pointer["place"], row), wide) for row in rows]
        after = [code.smaller(code.add(row, 1), end) for row, end in zip(rows, ends, strict=True)]
        following = [code.times(code.whole_at(pointer["place"], row), wide) for row in after]
        self._gather("polynomials", place, wide, 0)
        self._gather("figures", [code.times(row, sizes.figures) for row in rows], sizes.figures, wide)
        self._gather("polynomials", following, sizes.dim, wide + sizes.figures, sizes.orders)
        last = [code.build.uitofp(code.build.icmp_signed("==", r, e), DOUBLE) for r, e in zip(rows, ends, strict=True)]
        code.store(self._vector(last), pointer["features"], wide + sizes.figures + sizes.dim)

    def _vector(self, numbers: Sequence[Value]) -> Value:
        vector = ir.Constant(self.code.vector, ir.Undefined)
        for lane, number in enumerate(numbers):
            vector = self.code.build.insert_element(vector, number, ir.IntType(32)(lane))
        return vector

    def _gather(self, table: str, first: Sequence[Value], count: int, target: int, stride: int = 1) -> None:
        """`count` numbers for each lane, from `first` on, into the features."""
        code = self.code
        with code.loop(0, count) as loop:
            shift = code.times(loop.index, stride)
            numbers = [code.scalar(self.pointer[table], code.add(f, shift)) for f in first]
            code.store(self._vector(numbers), self.pointer["features"], code.add(loop.index, target))

    def _scatter(self, who: Sequence[Value], count: int) -> None:
        """The state of every lane, to its trajectory."""
        code, build = self.code, self.code.build
        with code.loop(0, count) as loop:
            vector = code.load(self.pointer["state"], loop.index)
            for lane, w in enumerate(who):
                spot = code.add(code.times(w, count), loop.index)
                number = build.extract_element(vector, ir.IntType(32)(lane))
                build.store(number, build.gep(self.pointer["out"], [spot], source_etype=DOUBLE), align=8)

    def _put(self, values: Sequence[Value], table: str, first: Any, active: Value | None) -> None:
        code = self.code
        for i, value in enumerate(values):
            place = code.add(first, i)
            if active is not None:
                value = code.build.select(active, value, code.load(self.pointer[table], place))
            code.store(value, self.pointer[table], place)

    def _written(
        self, written: Written, inputs: Sequence[tuple[str, int]], shifts: dict[str, Any] | None = None
    ) -> list[Value]:
        """Values of what was written down, whose inputs lie in these tables one after the other."""
        tables = [(name, i) for name, size in inputs for i in range(size)]

        def read(number: int) -> Value:
            name, place = tables[number]
            return self.code.load(self.pointer[name], self.code.add((shifts or {}).get(name, 0), place))

        return Emission(self.code, written, read).values()


class Emission:
    """Code for the numbers asked for; `read` loads inputs."""

    def __init__(self, code: Code, written: Written, read: Callable[[int], Value]) -> None:
        self.code, self.read = code, read
        self.operations, self.asked = written.trace.operations, [operand(n) for n in written.asked]
        self.uses = self._uses()
        self.found: dict[int, Value] = {}

    def _uses(self) -> Counter[int]:
        """How often each operation is used by one that is used, or asked for."""
        uses = Counter(o for o in self.asked if isinstance(o, int))
        for place in range(len(self.operations) - 1, -1, -1):
            if uses[place]:
                uses.update(o for o in self.operations[place][1:] if isinstance(o, int))
        return uses

    def values(self) -> list[Value]:
        """All of them."""
        for place, (name, *operands) in enumerate(self.operations):
            if self.uses[place] and name != "input":
                self.found[place] = self._operation(name, *operands)
        return [self._value(o) for o in self.asked]

    def _operation(self, name: str, *operands: Any) -> Value:
        build = self.code.build
        if name in ("fadd", "fsub"):
            return self._sum(operands[0], operands[1], name == "fsub")
        values = [self._value(o) for o in operands]
        match name:
            case "less" | "at most":
                a, b, x, y = values
                return build.select(build.fcmp_ordered("<" if name == "less" else "<=", a, b), x, y)
            case "rounded":
                return values[0]
            case "fmul" | "fdiv" | "fneg":
                return getattr(build, name)(*values)
        return self.code.intrinsic(name, *values)

    def _value(self, operand: Any) -> Value:
        if not isinstance(operand, int):
            return self.code.number(operand)
        name, *operands = self.operations[operand]
        return self.read(int(operands[0])) if name == "input" else self.found[operand]

    def _sum(self, a: Any, b: Any, negative: bool) -> Value:
        build, one, other = self.code.build, self._factors(a), self._factors(b)
        if other is not None:
            x, y = other
            return self.code.fma(build.fneg(x) if negative else x, y, self._value(a))
        right = self._value(b)
        if one is not None:
            return self.code.fma(*one, build.fneg(right) if negative else right)
        return build.fsub(self._value(a), right) if negative else build.fadd(self._value(a), right)

    def _factors(self, operand: Any) -> tuple[Value, Value] | None:
        """Of a product that goes into one sum only."""
        if isinstance(operand, int) and self.uses[operand] == 1 and self.operations[operand][0] == "fmul":
            _, a, b = self.operations[operand]
            return self._value(a), self._value(b)
        return None


def operand(number: Any) -> int | float:
    """The place of a number that was written down, or a known one."""
    return number.place if isinstance(number, Number) else float(number)
