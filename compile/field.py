"""A network as a vector field: h' = N(h), N(h, x) or N(h, x, t)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, TypeAlias

import numpy as np

from gpac.errors import ShapeError
from gpac.exact import to_exact
from gpac.wire import Wire, constant, linear

from .build import gather
from .compose import applied
from .network import Network
from .value import Value, selection

Part: TypeAlias = Literal["state", "input", "time"]


@dataclass(frozen=True, eq=False)
class Field:
    """h' = network(parts), the parts one after the other in one vector.

    Parameters
    ----------
    network : Network
        Its outputs are the rates of the n entries of the state h.
    reads : sequence of "state", "input", "time"
        What the network's input consists of: the state (n entries), the program's input x, held constant, and t.

    Raises
    ------
    ShapeError
        If the network's input does not have the size of its parts.
    """

    network: Network
    reads: Sequence[Part] = ("state",)

    def __post_init__(self) -> None:
        reads = tuple(self.reads)
        object.__setattr__(self, "reads", reads)
        known = ("state", "input", "time")
        if len(set(reads)) < len(reads) or not set(reads) <= set(known) or "state" not in reads:
            raise ShapeError(f"expected a field to read 'state' and perhaps 'input' and 'time', once each, got {reads}")
        if (self.held > 0) != ("input" in reads) or self.held < 0:
            raise ShapeError(
                f"a field that reads {' and '.join(reads)} gives the rates of {self.size} entries of the state, so its "
                f"network cannot have {self.network.size} inputs"
            )

    @property
    def size(self) -> int:
        """Entries of the state."""
        return self.network.outputs

    @property
    def held(self) -> int:
        """Entries of the program's input that it reads."""
        return self.network.size - self.size - ("time" in self.reads)

    def wire(self, state: Wire, x: Wire | None, t: Wire) -> Wire:
        """The network's input as a wire."""
        parts = self._parts(state, x, t)
        if len(parts) == 1:
            return parts[0]
        ends = np.cumsum([0, *(part.size for part in parts)])
        columns = [selection(np.arange(a, b), self.network.size).T.tocsr() for a, b in pairwise(ends)]
        return linear(list(zip(columns, parts, strict=True)))

    def value(self, state: Value, x: Value | None = None, t: Any = 0) -> Value:
        """The rates as a value of a network in the making, at an exact time t."""
        parts = self._parts(state, x, to_exact(t))
        return applied(self.network, parts[0] if len(parts) == 1 else _joined(parts))

    def _parts(self, state: Any, x: Any, t: Any) -> list[Any]:
        if x is None and self.held:
            raise ShapeError(f"this field reads an input of {self.held} numbers besides the state, got none")
        return [{"state": state, "input": x, "time": t}[name] for name in self.reads]


def as_field(field: Any) -> Field:
    """A field as it is; a network as the field that reads the state alone."""
    if isinstance(field, Field):
        return field
    if not isinstance(field, Network):
        raise ShapeError(f"expected a Network or a Field as the right side, got {type(field).__name__}")
    if field.size != field.outputs:
        raise ShapeError(
            f"expected a network with as many outputs as inputs, got {field.size} and {field.outputs}; one that reads "
            'more than the state says so: Field(network, ("state", "input", "time"))'
        )
    return Field(field)


def _joined(parts: list[Any]) -> Value:
    arrays = [p.reshape(-1) if isinstance(p, Value) else np.array([p], dtype=object) for p in parts]
    return gather(arrays, np.arange(sum(a.size for a in arrays)))


def clock(begin: Any, t: Wire | None = None) -> Wire:
    """The time of a flow as a wire: t + begin, or `begin` alone."""
    return constant(begin) if t is None else linear([(1, t)], to_exact(begin))
