"""Images of boxes, cut to what is proven for faces of them: what `faces` looks at, and how that is proven."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import chain
from typing import Any, TypeAlias

from ..circuit import Circuit
from ..precision import working_precision
from ..schedule import Schedule
from ..transform.tangent import derivative_name, tangent
from .affine import Symbols, size
from .attempt import attempt
from .faces import WORTH, Face, Seen, narrowed
from .outcome import Limits, Reached
from .part import MOST_IN_MATRIX
from .proof import to_fraction
from .sets import count_boxes, is_box

System: TypeAlias = Circuit | Schedule
MOST_INPUTS = 8
"""Inputs with a width up to which derivatives by all of them are carried."""


def hulls_of(outcome: Reached) -> list[Any]:
    """Balls of all outputs."""
    return [ball for entries in outcome.hulls.values() for ball in entries]


def mostly_symbols(outcome: Reached) -> bool:
    """Whether the outputs are hardly wider than their first-order dependence on the inputs: no bits make that less."""
    return all(
        100 * size(row) >= 99 * hull.rad()
        for name, hulls in outcome.hulls.items()
        for hull, row in zip(hulls, outcome.rows[name], strict=True)
    )


def worth_derivatives(outcome: Reached) -> bool:
    """Whether there are few symbols, and some output is wider than its first-order dependence on them."""
    return any(
        row is not None and len(row) <= MOST_INPUTS and not size(row) >= WORTH * hull.rad()
        for name, hulls in outcome.hulls.items()
        for hull, row in zip(hulls, outcome.rows[name], strict=True)
    )


def on_face(given: dict, face: Face) -> dict[str, list[Any]]:
    """The inputs where symbols have the values in `face`: exact numbers, boxes where they are free."""
    left = iter(face)

    def entry(v: Any) -> Any:
        c = next(left) if is_box(v) else None
        return v if c is None else to_fraction(v.mid()) + to_fraction(v.rad()) * c

    return {name: [entry(v) for v in entries] for name, entries in given.items()}


def tangent_along(system: System, given: dict) -> tuple[System, dict[str, list[Any]]]:
    """The system with derivatives by all symbols as outputs, and its inputs, with the ways along which each leads."""
    labels = _labels(system, given)
    boxes = [(name, i) for name, entries in given.items() for i, v in enumerate(entries) if is_box(v)]
    names = list(dict.fromkeys(name for name, _ in boxes))
    ways = {derivative_name(a, name): [Fraction(0)] * len(given[name]) for a in labels for name in names}
    for label, (name, i) in zip(labels, boxes, strict=True):
        ways[derivative_name(label, name)][i] = to_fraction(given[name][i].rad())
    return tangent(system, names, labels), given | ways


def derivatives(moved: Reached, system: System, given: dict) -> list[Symbols]:
    """Rows that contain the derivatives of all outputs by the symbols, from what is reached by the tangent."""
    labels = _labels(system, given)
    columns = [chain(*(moved.hulls[derivative_name(label, name)] for name in system.outputs)) for label in labels]
    return [list(row) for row in zip(*columns, strict=True)]


def _labels(system: System, given: dict) -> list[str]:
    """A label per symbol, none of which makes a name that is taken."""
    phases = [system] if isinstance(system, Circuit) else [phase.circuit for phase in system.phases]
    longest = max(len(name) for circuit in phases for name in (*circuit.inputs, *circuit.outputs))
    return [f"{'e' * longest}{number}" for number in range(count_boxes(given))]


def by_faces(system: System, end: Any, given: dict, limits: Limits, bits: int, whole: Reached) -> list[Any]:
    """Balls of all outputs over a box, cut to what is proven for faces and corners of it."""
    small = replace(limits, most_states=MOST_IN_MATRIX)

    def reach(system: System, given: dict) -> Reached | None:
        outcome, _ = attempt(system, end, given, small, lambda _: None, bits)
        return outcome if isinstance(outcome, Reached) else None

    def seen(given: dict, outcome: Reached) -> Seen:
        moved = reach(*tangent_along(system, given)) if worth_derivatives(outcome) else None
        return Seen(hulls_of(outcome), None if moved is None else derivatives(moved, system, given))

    def look(face: Face) -> Seen | None:
        inner = on_face(given, face)
        outcome = reach(system, inner)
        return None if outcome is None else seen(inner, outcome)

    with working_precision(bits):
        return narrowed(seen(given, whole), count_boxes(given), look)
