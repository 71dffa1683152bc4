"""Walks over the units behind a wire."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from .wire import Constant, Input, Integral, Linear, Product, Start, Time, Wire, source


def operands(wire: Wire) -> list[Wire]:
    """The wires plugged into a unit (forward references not followed)."""
    if isinstance(wire, Linear):
        return [w for _, w in wire.terms]
    if isinstance(wire, Product):
        return [wire.left, wire.right]
    if isinstance(wire, Integral):
        start = [wire.initial.wire] if isinstance(wire.initial, Start) else []
        return [wire.integrand, wire.variable, *start]
    return []


def closure(wires: Iterable[Wire], follow: Callable[[Wire], Iterable[Wire]]) -> set[Wire]:
    """The wires and all that is reached from them, where `follow` tells what a wire leads to."""
    found: set[Wire] = set()
    waiting = list(wires)
    while waiting:
        wire = waiting.pop()
        if wire not in found:
            found.add(wire)
            waiting += follow(wire)
    return found


def moves(wire: Wire) -> bool:
    """Whether a wire is reached through integrators or time (else it is constant in time)."""
    stack, seen = [source(wire)], set()
    while stack:
        wire = stack.pop()
        if wire in seen:
            continue
        seen.add(wire)
        if isinstance(wire, (Integral, Time)) or (not isinstance(wire, (Constant, Input, Linear, Product))):
            return True  # a wire not yet defined closes a loop, and loops run through integrators
        if isinstance(wire, Linear):
            stack += [source(w) for _, w in wire.terms]
        elif isinstance(wire, Product):
            stack += [source(wire.left), source(wire.right)]
    return False
