"""The invariants that a program claims, checked: exactly on the circuit, and measured along runs.

An invariant says that a polynomial I of the states keeps its value c. With p the vector field it does so if I = c at
the start and the derivative grad I . p is (I - c) times a polynomial: then I - c obeys a linear equation that starts
at 0. Whether I - c divides the derivative is decided in exact arithmetic. Wires that do not follow from the states in
I enter as arbitrary functions, symbols with a symbol as their rate: what drives a layer does not matter to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .circuit import Circuit
from .description import MOST_TERMS, most_terms, ties
from .errors import CircuitError, GpacError, NumberError, ShapeError
from .exact import to_sympy
from .graph import closure, operands
from .program import Invariant
from .schedule import Schedule
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
        for invariant in circuit.program.invariants:
            _prove(invariant, Circuit({"invariant": invariant.wire}))


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
    def of(invariant: Invariant, circuit: Circuit) -> _Part:
        source = circuit.source
        inside = closure(
            [source(invariant.wire)], lambda w: [] if isinstance(w, Integral) else map(source, operands(w))
        )
        users: dict[Wire, list[Wire]] = {}
        for w in circuit.wires:
            for x in operands(w):
                users.setdefault(source(x), []).append(w)
        following = closure(ties(invariant.wire), lambda w: users.get(w, []))
        wires = [w for w in circuit.wires if w in inside or w in following]
        needed = {source(x): None for w in wires for x in operands(w)}
        return _Part(wires, [w for w in needed if w not in set(wires)])

    @property
    def integrals(self) -> list[Integral]:
        return [w for w in self.wires if isinstance(w, Integral)]


def _prove(invariant: Invariant, circuit: Circuit) -> None:
    import sympy

    part = _Part.of(invariant, circuit)
    symbols = sum(w.size for w in (*part.integrals, *part.drivers, *part.drivers)) + sum(circuit.inputs.values())
    terms = most_terms(circuit, part.drivers, part.wires)
    if symbols > MOST_SYMBOLS or terms > MOST_TERMS:
        raise NumberError(
            f"the invariant {invariant.name} has {symbols} symbols and up to {terms:.2g} terms when expanded; "
            "measure its drift"
        )
    starts = [w.initial for w in part.integrals if not isinstance(w.initial, Start)]
    if len(starts) < len(part.integrals):
        raise NumberError(f"the invariant {invariant.name} starts at functions of inputs; measure its drift")
    try:
        value, rate, ring = _expanded(part, circuit)
    except ShapeError as error:
        raise NumberError(f"the invariant {invariant.name} is not expanded: {error}") from None
    start = dict.fromkeys([ring.symbols[0]], sympy.Integer(0))
    for w, initial in zip(part.integrals, starts, strict=True):
        start |= {x.as_expr(): to_sympy(c) for x, c in zip(value[w], initial, strict=True)}
    motion = {ring.gens[0]: ring.one}
    for moving in (*part.integrals, *part.drivers):
        motion |= dict(zip(value[moving], rate[moving], strict=True))
    for i, entry in enumerate(value[circuit.source(invariant.wire)]):
        place = f"the invariant {invariant.name}, entry {i}"
        excess = entry - ring.from_expr(to_sympy(invariant.value))
        first = sympy.simplify(excess.as_expr().xreplace(start).rewrite(sympy.exp))
        if first != 0:
            raise CircuitError(f"{place}: expected {invariant.value} at t = 0, got {invariant.value} + {first}")
        present = [x for x, degree in zip(ring.gens, excess.degrees(), strict=True) if degree > 0]
        change = sum((excess.diff(x) * motion.get(x, ring.zero) for x in present), ring.zero)
        if change and not (excess and not change.rem(excess)):
            raise CircuitError(f"{place}: its derivative {change.as_expr()} is not a multiple of what it keeps at 0")


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
