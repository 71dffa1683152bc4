"""What a solver works out once for a circuit is kept with it: the next call that asks the same starts at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from ..circuit import Circuit

Made = TypeVar("Made")


def prepared(circuit: Circuit, what: str, key: Any, make: Callable[[], Made]) -> Made:
    """What `make()` gives, or gave for this circuit when it was last asked for with an equal key."""
    found = circuit.prepared.get(what)
    if found is None or found[0] != key:
        found = circuit.prepared[what] = key, make()
    return found[1]
