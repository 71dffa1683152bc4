"""Systems as bytes, to be sent to other processes and machines.

Wires are compared by identity, close loops and form chains of any length. So every wire that an object
mentions is written once, in one flat table whose rows refer to each other by number: what was one wire is one
wire again, and no recursion follows a chain.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from typing import Any

from .circuit import Circuit
from .graph import operands
from .schedule import Schedule
from .wire import Forward, Wire


def pack(value: Any) -> bytes:
    """Bytes from which `unpack` makes an equal object, wires and circuits in any place of it included.

    Objects that share wires must be packed together, as a tuple say, if they shall share them afterwards.
    """
    seen: dict[Wire, int] = {}
    body = _written(value, seen)
    stack = list(seen)
    while stack:
        wire = stack.pop()
        for other in (*operands(wire), *(wire.target if isinstance(wire, Forward) else ())):
            if other not in seen:
                seen[other] = len(seen)
                stack.append(other)
    kinds = [type(wire) for wire in seen]
    return pickle.dumps((kinds, _written([vars(wire) for wire in seen], seen), body))


def unpack(packed: bytes) -> Any:
    """The object of which `pack` made these bytes; like `pickle`, for bytes from a source that is trusted."""
    kinds, rows, body = pickle.loads(packed)
    wires = [object.__new__(kind) for kind in kinds]
    for wire, row in zip(wires, _Reader(io.BytesIO(rows), wires).load(), strict=True):
        vars(wire).update(row)
    return _Reader(io.BytesIO(body), wires).load()


def reduced(value: Any) -> tuple[Callable[[bytes], Any], tuple[bytes]]:
    """What `__reduce__` of a wire or circuit says, so that `pickle` and `copy` take this road."""
    return unpack, (pack(value),)


class _Writer(pickle.Pickler):
    """Pickles with numbers in place of wires."""

    def __init__(self, file: io.BytesIO, numbers: dict[Wire, int]) -> None:
        super().__init__(file, pickle.HIGHEST_PROTOCOL)
        self.numbers = numbers

    def persistent_id(self, value: Any) -> int | None:
        return self.numbers.setdefault(value, len(self.numbers)) if isinstance(value, Wire) else None

    def reducer_override(self, value: Any) -> Any:
        """Circuits and schedules as what they are made of, not as the bytes that their `__reduce__` gives."""
        if isinstance(value, Circuit):
            return Circuit, (dict(value.outputs), value.program)
        if isinstance(value, Schedule):
            return Schedule, (value.phases, value.program)
        return NotImplemented


class _Reader(pickle.Unpickler):
    """Reads what a `_Writer` wrote."""

    def __init__(self, file: io.BytesIO, wires: list[Wire]) -> None:
        super().__init__(file)
        self.wires = wires

    def persistent_load(self, number: int) -> Wire:
        return self.wires[number]


def _written(value: Any, numbers: dict[Wire, int]) -> bytes:
    file = io.BytesIO()
    _Writer(file, numbers).dump(value)
    return file.getvalue()
