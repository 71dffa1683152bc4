"""The invariants that a program claims, checked: exactly on the circuit, and measured along runs.

An invariant says that a polynomial I of the states keeps its value c. With p the vector field it does so if I = c at
the start and the derivative grad I . p is (I - c) times a polynomial: then I - c obeys a linear equation that starts
at 0. Whether I - c divides the derivative is decided in exact arithmetic. Wires that do not follow from the states in
I enter as arbitrary functions, symbols with a symbol as their rate: what drives a layer does not matter to it. Where
that is not enough, all invariants are taken together, with the whole circuit: then the derivative of each must be in
the ideal of all, and they obey a linear system.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .circuit import Circuit
from .description import ties
from .errors import CircuitError, GpacError, NumberError, ShapeError
from .exact import to_sympy
from .graph import closure, operands
from .program import Invariant
from .schedule import Schedule
from .terms import MOST_TERMS, most_terms
from .wire import Constant, Input, Integral, Start, Time, Wire

MOST_SYMBOLS = 2000


def prove_invariants(system: Circuit | Schedule) -> None:
    """Prove every invariant that a program claims, for all inputs.

    Raises
    ------
    CircuitError
        If one does not hold; the message names it and where it fails.
    NumberError
        If it cannot be decided here: it is too large to be expanded, has irrational coefficients, or starts at
        functions of inputs. `invariant_drift` measures instead.
    """
    for circuit in _circuits(system):
        claimed = circuit.program.invariants
        try:
            for invariant in claimed:
                _prove([invariant], Circuit({"invariant": invariant.wire}), _Part.of)
        except (CircuitError, NumberError):
            _prove(claimed, Circuit({str(k): i.wire for k, i in enumerate(claimed)}), _Part.whole)


def invariant_drift(
    system: Circuit | Schedule, inputs: Any, t: Any = None, tol: float = 1e-14, **options: Any
) -> dict[str, np.ndarray]:
    """How far invariants get from their values on a run, by name: (B,), or a number for a single input.

    The largest distance over all times and entries, read off the polynomials of the steps. `options` go to
    `gpac.solve`.
    """
    from .solver import solve

    claimed = [i for circuit in _circuits(system) for i in circuit.program.invariants]
    wires = {str(k): i.wire for k, i in enumerate(claimed)}
    if not wires:
        return {}
    found = solve(system, t, inputs, tol=tol, extremes=wires, **options).check().extremes or {}
    drift: dict[str, np.ndarray] = {}
    for k, invariant in enumerate(claimed):
        low, _, high, _ = found[str(k)]
        value = float(invariant.value)
        far = np.maximum(np.abs(low - value), np.abs(high - value)).max(axis=-1)
        drift[invariant.name] = np.maximum(drift.get(invariant.name, 0.0), far)
    return drift


def _circuits(system: Circuit | Schedule) -> list[Circuit]:
    if not isinstance(system, (Circuit, Schedule)):
        raise GpacError(f"expected a Circuit or a Schedule, got {type(system).__name__}")
    return [p.circuit for p in system.phases] if isinstance(system, Schedule) else [system]


@dataclass(frozen=True, eq=False)
class _Part:
    """What of a circuit concerns an invariant: wires whose rates follow from its states, and those that drive them."""

    wires: list[Wire]
    drivers: list[Wire]

    @staticmethod
    def whole(_: Sequence[Invariant], circuit: Circuit) -> _Part:
        return _Part(list(circuit.wires), [])

    @staticmethod
    def of(invariants: Sequence[Invariant], circuit: Circuit) -> _Part:
        (invariant,), source = invariants, circuit.source
        inside = closure(
            [source(invariant.wire)], lambda w: [] if isinstance(w, Integral) else map(source, operands(w))
        )
        users: dict[Wire, list[Wire]] = {}
        for w in circuit.wires:
            for x in operands(w):
                users.setdefault(source(x), []).append(w)
        following = closure(ties(invariant.wire), lambda w: users.get(w, []))
        wires = [w for w in circuit.wires if w in inside or w in following]
        needed = {source(x): None for w in wires for x in _driving(w)}
        return _Part(wires, [w for w in needed if w not in set(wires)])

    @property
    def integrals(self) -> list[Integral]:
        return [w for w in self.wires if isinstance(w, Integral)]


def _driving(wire: Wire) -> list[Wire]:
    """What a unit's value and rate follow from: all that is plugged in, but for what gives a start value."""
    return [wire.integrand, wire.variable] if isinstance(wire, Integral) else operands(wire)


def _prove(invariants: Sequence[Invariant], circuit: Circuit, choose: Callable[..., _Part]) -> None:
    """Prove them together."""
    from sympy.polys.groebnertools import groebner

    part, names = choose(invariants, circuit), ", ".join(i.name for i in invariants)
    symbols = sum(w.size for w in (*part.integrals, *part.drivers, *part.drivers)) + sum(circuit.inputs.values())
    terms = most_terms(circuit, part.drivers, part.wires)
    if symbols > MOST_SYMBOLS or terms > MOST_TERMS:
        raise NumberError(
            f"the invariant {names} has {symbols} symbols and up to {terms:.2g} terms when expanded; measure its drift"
        )
    try:
        value, rate, ring = _expanded(part, circuit)
    except ShapeError as error:
        raise NumberError(f"the invariant {names} is not expanded: {error}") from None
    start = _starts(part, circuit, value, ring)
    motion = {ring.gens[0]: ring.one}
    for moving in (*part.integrals, *part.drivers):
        motion |= dict(zip(value[moving], rate[moving], strict=True))
    excesses = [[v - ring.from_expr(to_sympy(i.value)) for v in value[circuit.source(i.wire)]] for i in invariants]
    for invariant, entries in zip(invariants, excesses, strict=True):
        for i, excess in enumerate(entries):
            place = f"the invariant {invariant.name}, entry {i}"
            first = excess.as_expr().xreplace(start).rewrite("exp").simplify()
            if first != 0:
                raise CircuitError(f"{place}: expected {invariant.value} at t = 0, got {invariant.value} + {first}")
            present = [x for x, degree in zip(ring.gens, excess.degrees(), strict=True) if degree > 0]
            change = sum((excess.diff(x) * motion.get(x, ring.zero) for x in present), ring.zero)
            ideal = [others[i] for others in excesses if i < len(others) and others[i]]
            if len(ideal) > 1:
                ideal = groebner(ideal, ring)
            if change and not (ideal and not change.rem(ideal)):
                raise CircuitError(
                    f"{place}: its derivative {change.as_expr()} is not a multiple of what is 0 at the start"
                )


def _starts(part: _Part, circuit: Circuit, value: dict[Wire, list], ring: Any) -> dict[Any, Any]:
    """What stands for t and the states at t = 0."""
    import sympy

    start: dict[Any, Any] = {ring.symbols[0]: sympy.Integer(0)}
    later = []
    for w in part.integrals:
        if isinstance(w.initial, Start):
            later.append((w, w.initial))
        else:
            start |= {x.as_expr(): to_sympy(c) for x, c in zip(value[w], w.initial, strict=True)}
    for w, initial in later:
        given = circuit.source(initial.wire)
        if initial.function != "identity" or given not in value:
            raise NumberError(
                f"{w.name} starts at {initial.function} of its inputs; measure the drift of its invariants"
            )
        firsts = [v.as_expr().xreplace(start) for v in value[given]]
        start |= {x.as_expr(): c for x, c in zip(value[w], firsts, strict=True)}
    return start


def _expanded(part: _Part, circuit: Circuit) -> tuple[dict[Wire, list], dict[Wire, list], Any]:
    """Values and rates of the part's wires in a ring whose first generator is t."""
    import sympy

    from .pivp import ring_of
    from .transform.expand import expand

    free = [w for w in (*part.wires, *part.drivers) if isinstance(w, Input)]
    driving = [w for w in part.drivers if not isinstance(w, (Input, Time, Constant))]
    names = {w: sympy.symbols(f"v{k}_:{w.size}") for k, w in enumerate((*part.integrals, *free, *driving))}
    rates = {w: sympy.symbols(f"r{k}_:{w.size}") for k, w in enumerate(driving)}
    ring = ring_of([sympy.Symbol("t"), *(s for some in (*names.values(), *rates.values()) for s in some)])
    value = {w: [ring.from_expr(s) for s in some] for w, some in names.items()}
    value |= {w: [ring.gens[0]] for w in circuit.wires if isinstance(w, Time)}
    rate = {w: [ring.from_expr(s) for s in some] for w, some in rates.items()}
    others = [w for w in part.drivers if isinstance(w, (Input, Time, Constant))]
    expand(circuit, value, rate, ring, [*others, *part.wires])
    return value, rate, ring
