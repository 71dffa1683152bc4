"""What a caller wants to be told of along the way, as wires; and which of it concerns which circuit."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..circuit import Circuit
from ..errors import CircuitError, GpacError
from ..graph import operands
from ..pivp import PIVP
from ..schedule import Schedule
from ..wire import Forward, Input, Integral, Wire, describe, source
from .events import Event, Watched, as_events

HIDDEN = "observed {}"


@dataclass(frozen=True)
class Seen:
    """A wire to be observed; `key` is what the caller calls it, `output` the name of the output that was asked for."""

    key: Hashable
    wire: Wire
    output: str | None = None

    @property
    def last(self) -> bool:
        """Whether it is observed in the last phase of a schedule only, the one that makes the outputs."""
        return self.output is not None


@dataclass(frozen=True)
class Observation:
    """Events and extremes asked of a whole system, wires found."""

    events: tuple[Event, ...]
    event_wires: tuple[Seen, ...]
    extremes: tuple[Seen, ...]

    def of(self, circuit: Circuit, last: bool) -> Plan:
        """What of it concerns one circuit."""
        events = [k for k, s in enumerate(self.event_wires) if (last or not s.last) and belongs(s.wire, circuit)]
        extremes = [k for k, s in enumerate(self.extremes) if (last or not s.last) and belongs(s.wire, circuit)]
        return Plan.of(circuit, self, events, extremes)

    @property
    def portable(self) -> dict[str, Any]:
        """The same question as arguments of `solve`: wires in place of expressions, extremes by number."""
        wires = [seen.output or seen.wire for seen in self.event_wires]
        events = [replace(event, wire=wire) for event, wire in zip(self.events, wires, strict=True)]
        extremes = {number: seen.output or seen.wire for number, seen in enumerate(self.extremes)}
        return {"events": events or None, "extremes": extremes or None}


def observation(system: Any, runnable: Circuit | Schedule, events: Any, extremes: Any) -> Observation | None:
    """What was asked with events= and extremes=, or None where nothing was.

    Raises
    ------
    GpacError
        If a wire, name or expression is not one of the system's.
    """
    listed = () if events is None else as_events(events)
    asked = _asked(runnable, extremes)
    if not listed and not asked:
        return None
    seen = tuple(_seen(system, runnable, e.wire, e.name or "", f"event {e.name!r}") for e in listed)
    for event, s in zip(listed, seen, strict=True):
        if event.entry is not None and event.entry >= s.wire.size:
            raise GpacError(
                f"event {event.name!r} asks for entry {event.entry}, but its wire has entries 0 to {s.wire.size - 1}"
            )
    return Observation(listed, seen, tuple(_seen(system, runnable, w, k, f"extremes of {k!r}") for k, w in asked))


def _asked(runnable: Circuit | Schedule, extremes: Any) -> list[tuple[Hashable, Any]]:
    """Extremes by what they shall be called."""
    if extremes is None or extremes is False:
        return []
    if extremes is True:
        return [(name, name) for name in runnable.outputs]
    if isinstance(extremes, Mapping):
        return list(extremes.items())
    if isinstance(extremes, (Wire, str)) or not isinstance(extremes, Iterable):
        return [(extremes, extremes)]
    return [(e, e) for e in extremes]


def _seen(system: Any, runnable: Circuit | Schedule, what: Any, key: Hashable, told: str) -> Seen:
    if isinstance(what, str):
        if what not in runnable.outputs:
            raise GpacError(f"{told}: there is no output {what!r}; the outputs are {list(runnable.outputs)}")
        return Seen(key, runnable.outputs[what], what)
    if not isinstance(what, Wire):
        wire = _from_expression(system, runnable, what, told)
    else:
        wire = what
        phases = [p.circuit for p in runnable.phases] if isinstance(runnable, Schedule) else [runnable]
        if not any(belongs(wire, c) for c in phases):
            where = "any phase's circuit" if isinstance(runnable, Schedule) else "the circuit"
            raise GpacError(
                f"{told}: {describe(wire)} is not made of wires of {where}; take wires that its outputs are made of, "
                "or give the wire as an output"
            )
    return Seen(key, wire)


def _from_expression(system: Any, runnable: Any, what: Any, told: str) -> Wire:
    """The wire of a polynomial of a PIVP's variables."""
    from ..transform.expand import expression_to_wire

    if not isinstance(system, PIVP) or not hasattr(what, "free_symbols"):
        one = "an expression in the PIVP's variables" if isinstance(system, PIVP) else "a wire"
        raise GpacError(f"{told}: expected the name of an output or {one}, got {what!r}")
    try:
        return expression_to_wire(system, runnable, what)
    except CircuitError as error:
        raise GpacError(f"{told}: {error}") from error


def belongs(wire: Wire, circuit: Circuit) -> bool:
    """Whether a wire can be computed from what a circuit has: its integrators, inputs, time and constants."""
    integrals, stack, met = set(circuit.integrals), [wire], set()
    while stack:
        unit = source(stack.pop())
        if isinstance(unit, Forward):
            target = circuit.outputs.get(unit.name or "")
            if target is None or target.size != unit.size:
                return False
        elif isinstance(unit, Integral):
            if unit not in integrals:
                return False
        elif isinstance(unit, Input):
            if circuit.inputs.get(unit.key) != unit.size:
                return False
        elif unit not in met:
            stack += operands(unit)
        met.add(unit)
    return True


@dataclass(frozen=True)
class Plan:
    """What is observed of one circuit.

    Attributes
    ----------
    circuit : Circuit
        With further outputs for wires that it did not have.
    watch : wires to be read: the outputs, then others
    outputs : number of entries of the circuit's own outputs, the first that are watched
    order : int64, (dim,)
        Place in the state of `circuit` of every entry of the state that the caller knows.
    states : int64, (dim,)
        Columns of the integrators among the watched entries, in the caller's order.
    events : Watched
    extremes : int64, (X,)
        Columns of all extremes, side by side.
    parts : for each of the observation's extremes that this circuit has, its number and its part of these
    """

    circuit: Circuit
    watch: tuple[Wire, ...]
    outputs: int
    order: np.ndarray
    states: np.ndarray
    events: Watched
    extremes: np.ndarray
    parts: tuple[tuple[int, slice], ...]

    @property
    def width(self) -> int:
        """Number of watched entries."""
        return sum(w.size for w in self.watch)

    @staticmethod
    def of(circuit: Circuit, asked: Observation, events: list[int], extremes: list[int]) -> Plan:
        """Columns for the events and extremes of these numbers."""
        wires = [asked.event_wires[k].wire for k in events] + [asked.extremes[k].wire for k in extremes]
        larger = _with_wires(circuit, wires)
        own = tuple(circuit.outputs.values())
        further = [*wires, *circuit.integrals]
        watch, column = _columns(larger, own, further)
        spots = [_spots(asked.events[k], column[larger.source(asked.event_wires[k].wire)]) for k in events]
        whole = np.zeros(0, dtype=np.int64)
        counts = [len(s) for s, _ in spots]
        watched = Watched(
            np.concatenate([whole, *(s for s, _ in spots)]),
            np.repeat(np.array(events, dtype=np.int64), counts),
            np.concatenate([whole, *(e for _, e in spots)]),
            np.repeat(np.array([asked.events[k].direction for k in events], dtype=np.int64), counts),
            np.repeat(np.array([asked.events[k].terminal for k in events], dtype=bool), counts),
        )
        parts, chosen, at = [], [whole], 0
        for k in extremes:
            place = column[larger.source(asked.extremes[k].wire)]
            parts.append((k, slice(at, at + len(place))))
            chosen.append(place)
            at += len(place)
        states = [column[w] for w in circuit.integrals]
        return Plan(
            larger,
            watch,
            sum(w.size for w in own),
            _order(circuit, larger),
            np.concatenate([whole, *states]),
            watched,
            np.concatenate(chosen),
            tuple(parts),
        )


def _with_wires(circuit: Circuit, wires: list[Wire]) -> Circuit:
    """The circuit, with further outputs where it does not have these wires."""
    new: dict[str, Wire] = {}
    for wire in wires:
        behind = source(wire)
        if behind in circuit.slot or isinstance(behind, Forward) or wire in new.values():
            continue
        number = len(new)
        while HIDDEN.format(number) in {*circuit.outputs, *new}:
            number += 1
        new[HIDDEN.format(number)] = wire
    return Circuit({**circuit.outputs, **new}, circuit.program) if new else circuit


def _columns(circuit: Circuit, own: tuple[Wire, ...], further: list[Wire]) -> tuple[tuple[Wire, ...], dict]:
    """Wires to be watched, and the columns of every unit among them."""
    column: dict[Wire, np.ndarray] = {}
    watch, at = list(own), 0
    for wire in own:
        column.setdefault(circuit.source(wire), np.arange(at, at + wire.size))
        at += wire.size
    for wire in further:
        if circuit.source(wire) not in column:
            column[circuit.source(wire)] = np.arange(at, at + wire.size)
            watch.append(wire)
            at += wire.size
    return tuple(watch), column


def _spots(event: Event, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Columns and entries that an event watches."""
    entries = np.arange(len(columns)) if event.entry is None else np.array([int(event.entry)])
    return columns[entries], entries


def _order(circuit: Circuit, larger: Circuit) -> np.ndarray:
    """Where the entries of the one's state are in the other's; both have the same integrators."""
    place, at = {}, 0
    for wire in larger.integrals:
        place[wire] = np.arange(at, at + wire.size)
        at += wire.size
    return np.concatenate([np.zeros(0, dtype=np.int64), *(place[w] for w in circuit.integrals)])
