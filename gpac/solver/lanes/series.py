"""Emit the functions that compute orders 0 and 1, or two later ones, of every unit for one group of lanes."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from llvmlite import ir

from ...circuit import UNBOUNDED
from ..recurrences import Operand, Operation, Recurrences, Term, read_now
from .coefficients import Coefficients
from .convolve import ALONE, FIRST, SECOND
from .ir import INT, POINTER, Code, Value
from .memory import MEMORY, Shape
from .number import Double
from .operations import OperationCode

VALUES = "values"
"""The place of order 0, beside `ALONE`, `FIRST` and `SECOND` of the others."""
PLACES = ("at", "series", "rates", "data", "index", "bias")
"""Fields of operations, operands and terms that say where something lies; -1 where there is nothing."""
FEW = 12
"""Operations up to which they are written out one after the other; more share functions where they are alike."""


class SeriesCode:
    """Code of one circuit's recurrences.

    Parameters
    ----------
    module : the module that gets the functions "start" (orders 0 and 1) and "pair" (k and k + 1)
    recurrences : Recurrences
    arithmetic : Double or DoubleDouble
    shape : Shape
    stride : int
        Numbers between the series of one entry and the next: highest order + 1, or more.
    """

    def __init__(
        self, module: ir.Module, recurrences: Recurrences, arithmetic: type[Double], shape: Shape, stride: int
    ) -> None:
        self.module, self.recurrences, self.arithmetic = module, recurrences, arithmetic
        self.shape, self.stride = shape, stride
        self.shared: dict[tuple[str, Operation, bool], ir.Function] | None = (
            {} if len(recurrences.operations) > FEW else None
        )
        # places of `now` that are read; nothing is written to others
        self.live = {operand.at for operation in recurrences.operations for operand in read_now(operation)}
        self.start = self._function("start", [VALUES, ALONE])
        self.pair = self._function("pair", [FIRST, SECOND])

    def _begin(self, name: str, slots: int = 0) -> tuple[Code, dict[str, Value], Value, list[Value]]:
        """A new function that takes the memory, the order and as many places: its code, memory, order, places."""
        code = Code(self.module, name, [POINTER] * len(MEMORY) + [INT] * (1 + slots), self.shape.lanes)
        code.function.linkage = "internal"
        given = list(code.function.args)
        return code, dict(zip(MEMORY, given, strict=False)), given[len(MEMORY)], given[len(MEMORY) + 1 :]

    def _function(self, name: str, places: list[str]) -> ir.Function:
        """All operations at orders 0 and 1, or at two later ones."""
        code, memory, k, _ = self._begin(name)
        num = self.arithmetic(code)
        for number, place in enumerate(places):
            order = 0 if place == VALUES else INT(1) if place == ALONE else code.add(k, number)
            coefficients = Coefficients(code, num, memory, self.shape, self.stride, order)
            emitter = OperationCode(coefficients, place)
            for operation in self.recurrences.operations:
                if place == VALUES and operation.out.at not in self.live and operation.out.series < 0:
                    continue  # nobody asks for it
                if place == VALUES or operation.out.degree >= UNBOUNDED:
                    self._emit(emitter, operation)
                else:  # a polynomial in time: nothing above its degree but one zero
                    with code.when(code.build.icmp_signed("<=", order, INT(operation.out.degree + 1))):
                        self._emit(emitter, operation)
        code.build.ret(INT(0))
        return code.function

    def _emit(self, emitter: OperationCode, operation: Operation) -> None:
        live = operation.out.at in self.live
        if self.shared is None or operation.out.size == 1:  # a call would be longer than the operation
            emitter.emit(operation, live)
            return
        alike, places = without_places(operation)
        key = emitter.place, alike, live
        if key not in self.shared:
            code, memory, k, slots = self._begin(f"{emitter.place}{len(self.shared)}", len(places))
            order = 0 if emitter.place == VALUES else k
            num = self.arithmetic(code)
            coefficients = Coefficients(code, num, memory, self.shape, self.stride, order, slots)
            OperationCode(coefficients, emitter.place).emit(alike, live)
            code.build.ret(INT(0))
            self.shared[key] = code.function
        code = emitter.code
        given = [*emitter.memory.values(), code.integer(emitter.k), *(INT(p) for p in places)]
        code.build.call(self.shared[key], given)


def without_places(operation: Operation) -> tuple[Operation, list[int]]:
    """The operation with its places in memory numbered through, and these places: alike operations become equal."""
    places: list[int] = []

    def numbered(value: Any) -> Any:
        if isinstance(value, (Operand, Term)) or value is operation:
            changed = {f.name: numbered_field(f.name, getattr(value, f.name)) for f in fields(value)}
            return replace(value, **changed)
        return tuple(map(numbered, value)) if isinstance(value, tuple) else value

    def numbered_field(name: str, value: Any) -> Any:
        if name in PLACES and value >= 0:
            places.append(value)
            return len(places) - 1
        return numbered(value)

    return numbered(operation), places
