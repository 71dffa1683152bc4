"""Read and write coefficients of one order in the memory of a group of lanes.

Memory, counted in numbers of one vector per part: `now` (entry), `series` and `rates` (entry, order), `kept`
(entry: what the first of two orders leaves to the second), `still` (parameter), and the tables of weights and
of sparse structure. Every lane has its own unit of time, a power of two near its step: coefficients of order
k are c_k unit**k, which neither overflow nor round differently.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..recurrences import Operand
from .ir import DOUBLE, Code, Value
from .memory import Shape
from .number import Double, Number


class Coefficients:
    """Code for coefficients in one function.

    Parameters
    ----------
    code, num : Code, Double
    memory : pointers by name
    shape : Shape
    stride : int
        Numbers between the series of one entry and the next.
    k : 0, or an integer of the code
        The order.
    slots : sequence of integers of the code, optional
        What the places in an operation stand for, where several operations share one function.

    Attributes
    ----------
    live : bool
        Whether what is written is read from `now`.
    """

    def __init__(
        self,
        code: Code,
        num: Double,
        memory: Mapping[str, Value],
        shape: Shape,
        stride: int,
        k: Any,
        slots: Sequence[Value] | None = None,
    ) -> None:
        self.code, self.num, self.memory, self.shape, self.stride = code, num, memory, shape, stride
        self.k, self.slots, self.live = k, slots, True
        if not isinstance(k, int):
            self.k_vector = code.spread(code.build.sitofp(k, DOUBLE))

    def at(self, place: int) -> Any:
        """What a place of an operation stands for."""
        return place if self.slots is None else self.slots[place]

    def history(self, operand: Operand, entry: Any, k: Any, of: str = "series") -> Any:
        """The place of an entry's coefficient of order k in `series` or in `rates`."""
        first = self.at(operand.series if of == "series" else operand.rates)
        return self.code.add(self.code.times(self.code.add(first, entry), self.stride), k)

    def get(self, operand: Operand, entry: Any) -> Number:
        """The coefficient of the present order; a still operand has one at order 0 only."""
        entry = entry if operand.size > 1 else 0
        if operand.series >= 0 and isinstance(self.k, int):
            return self.num.load(self.memory["series"], self.history(operand, entry, 0))
        place = self.code.add(self.at(operand.at), entry)
        return self.num.load(self.memory["still" if operand.still else "now"], place)

    def put(self, out: Operand, entry: Any, value: Number) -> None:
        """Write the coefficient of the present order wherever it is read."""
        if self.live:
            self.num.store(value, self.memory["now"], self.code.add(self.at(out.at), entry))
        if out.series >= 0:
            self.num.store(value, self.memory["series"], self.history(out, entry, self.k))
        if out.rates >= 0 and not isinstance(self.k, int):
            rate = self.num.multiply(value, (self.k_vector, *self.num.zero()[1:]))
            self.num.store(rate, self.memory["rates"], self.history(out, entry, self.k, "rates"))
