"""What a program is, in figures and in words: its claim, horizon, dimension, degrees, start values, invariants."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from .circuit import Circuit
from .errors import GpacError
from .exact import to_exact
from .graph import moves, operands
from .program import Program
from .schedule import Schedule
from .terms import expanded
from .wire import Constant, Input, Integral, Linear, Product, Start, Time, Wire, source


@dataclass(frozen=True)
class Tie:
    """An invariant in words: the polynomial called `name` keeps this value; it ties the states named."""

    name: str
    value: Fraction
    states: tuple[str, ...]


@dataclass(frozen=True)
class Description:
    """A program in figures; `str` puts them into sentences.

    Attributes
    ----------
    scheme, claim, delta, horizon, region
        As in `gpac.program.Program`.
    near : bool
        Whether the program knows the distance from what was asked for at each input.
    limit : str
        Of a limit program, what its bound says; else empty.
    phases : int
        1 for one analytic system; of a schedule the number of its phases.
    autonomous : bool
        Whether the rates of all states are polynomials of the states alone, without t.
    dim : int
        Number of states, over all phases.
    circuit_degree : int
        Largest degree of a rate, counted on the circuit, where t and the inputs count as numbers.
    degree, monomials : int or None
        Of the expanded vector field for generic inputs (of a schedule: largest degree, all monomials); a clock is
        one more variable. None where it was not expanded, for the reason `not_expanded`.
    rational_start : bool
        Whether every state starts at a rational number, for all inputs.
    starts : tuple of str
        Functions that give start values of other values at t = 0.
    starts_from_inputs : bool
        Whether inputs are among these.
    constants : tuple of exact numbers
        Irrational numbers in it: start values, coefficients, and those generated on the way.
    invariants : tuple of Tie
    """

    scheme: str
    claim: str
    delta: Fraction | None
    near: bool
    horizon: Fraction | None
    limit: str
    phases: int
    autonomous: bool
    dim: int
    circuit_degree: int
    degree: int | None
    monomials: int | None
    not_expanded: str
    rational_start: bool
    starts: tuple[str, ...]
    starts_from_inputs: bool
    constants: tuple[Any, ...]
    invariants: tuple[Tie, ...]
    region: str = ""

    @property
    def form(self) -> str:
        """ "system" or "schedule"."""
        return "system" if self.phases == 1 else "schedule"

    def sentences(self) -> dict[str, str]:
        """What `str` says, by subject."""
        near = "" if self.delta is None else f" within {float(self.delta):.3g} of what was asked for"
        if self.delta is None and self.near:
            near = " near what was asked for, at a distance that depends on the input"
        read = f", read at t = {self.horizon}" if self.horizon is not None else ""
        kind = "autonomous" if self.autonomous else "depends on t"
        form = f"one analytic system, {kind}" if self.phases == 1 else f"a schedule of {self.phases} phases"
        words = {"exact": "exact", "limit": f"a limit{near}", "within": near.strip()}[self.claim]
        expanded = f"{self.degree} expanded, {self.monomials} monomials"
        not_expanded = f"not expanded: {self.not_expanded}"
        start = "rational" if self.rational_start or self.starts else "irrational"
        of = ["polynomials" if f == "identity" else f for f in self.starts]
        start += f", and {', '.join(of)} of {'the inputs' if self.starts_from_inputs else 'constants'}" if of else ""
        ties = [f"{i.name} = {i.value} ({', '.join(i.states)})" for i in self.invariants]
        shown = ties[:6] + ([f"{len(ties) - 6} more"] if len(ties) > 6 else [])
        return {
            "output": words + read + "".join(f"; {more}" for more in (self.limit, self.region) if more),
            "form": form,
            "states": str(self.dim),
            "degree": f"{self.circuit_degree} on the circuit; {not_expanded if self.degree is None else expanded}",
            "start values": start,
            "constants": ", ".join(map(str, self.constants)) or "rational",
            "invariants": "; ".join(shown) or "none",
        }

    def __str__(self) -> str:
        rows = [f"{self.scheme or 'by hand'}"]
        return "\n".join(rows + [f"  {subject}: {words}" for subject, words in self.sentences().items()])


def describe(system: Circuit | Schedule) -> Description:
    """What a program says of itself and what can be counted on it.

    Cost: linear in the number of weights, but for the expansion, which is left out where it would be long.

    >>> import gpac
    >>> y = gpac.wire("y")
    >>> print(gpac.describe(gpac.Circuit({"y": y.define(gpac.integral(1 + y * y, initial=1))})))
    by hand
      output: exact
      form: one analytic system, autonomous
      states: 1
      degree: 2 on the circuit; 2 expanded, 2 monomials
      start values: rational
      constants: rational
      invariants: none
    """
    if not isinstance(system, (Circuit, Schedule)):
        raise GpacError(f"expected a Circuit or a Schedule to describe, got {type(system).__name__}")
    circuits = [p.circuit for p in system.phases] if isinstance(system, Schedule) else [system]
    program = system.program
    degree, monomials, reason = expanded(circuits)
    starts = sorted({w.initial.function for c in circuits for w in c.integrals if isinstance(w.initial, Start)})
    irrational = {v for c in circuits for v in _irrational_starts(c)}
    return Description(
        program.scheme,
        program.claim,
        program.delta,
        program.near is not None,
        program.horizon,
        "" if program.limit is None else str(program.limit),
        len(circuits),
        all(map(autonomous, circuits)),
        system.dim,
        system.degree,
        degree,
        monomials,
        reason,
        not starts and not irrational,
        tuple(starts),
        any(_from_inputs(w, c) for c in circuits for w in c.integrals),
        _sorted(irrational | {v for c in circuits for v in (*_coefficients(c), *c.program.constants)}),
        tuple(_tie(i.name, i.value, i.wire) for p in _programs(system, circuits) for i in p.invariants),
        program.region,
    )


def autonomous(circuit: Circuit) -> bool:
    """Whether no rate of a state needs the value of t (that t moves at rate 1 may be needed)."""
    met: set[tuple[Wire, bool]] = set()
    stack: list[tuple[Wire, bool]] = [
        (w, True) for w in circuit.integrals
    ]  # (wire, whether its rate or its value is needed)
    while stack:
        wire, rate = stack.pop()
        wire = circuit.source(wire)
        if (wire, rate) in met or (isinstance(wire, Integral) and not rate):
            continue
        met.add((wire, rate))
        if isinstance(wire, Time) and not rate:
            return False
        if isinstance(wire, Integral):
            stack += [(wire.integrand, False), (wire.variable, True)]
        elif isinstance(wire, Product) and rate:
            for one, other in ((wire.left, wire.right), (wire.right, wire.left)):
                if moves(circuit.source(one)):
                    stack += [(one, True), (other, False)]
        else:
            stack += [(w, rate) for w in operands(wire)]
    return True


def ties(wire: Wire) -> tuple[Integral, ...]:
    """The integrators whose outputs a wire is a polynomial of."""
    found: dict[Wire, None] = {}
    stack = [wire]
    while stack:
        unit = source(stack.pop())
        if unit not in found:
            found[unit] = None
            stack += [] if isinstance(unit, Integral) else operands(unit)[::-1]
    return tuple(u for u in found if isinstance(u, Integral))


def _tie(name: str, value: Fraction, wire: Wire) -> Tie:
    names = [w.name or f"an integrator of size {w.size}" for w in ties(wire)]
    return Tie(name, value, tuple(names))


def _programs(system: Circuit | Schedule, circuits: list[Circuit]) -> list[Program]:
    own = [c.program for c in circuits]
    return [system.program, *own] if isinstance(system, Schedule) else own


def _irrational_starts(circuit: Circuit) -> list[Any]:
    arrays = [w.initial for w in circuit.integrals if isinstance(w.initial, np.ndarray)]
    return [v for a in arrays for v in _irrational(a)]


def _from_inputs(wire: Wire, circuit: Circuit) -> bool:
    """Whether an integrator's start value is made of inputs."""
    met, stack = set(), [wire]
    while stack:
        unit = circuit.source(stack.pop())
        if isinstance(unit, Input):
            return True
        if unit in met:
            continue
        met.add(unit)
        if isinstance(unit, Integral):
            stack += [unit.initial.wire] if isinstance(unit.initial, Start) else []
        elif isinstance(unit, Linear) or not _zero_at_start(unit):
            stack += operands(unit)
    return False


def _zero_at_start(wire: Wire) -> bool:
    from .functions.start import value_at_start

    value = value_at_start(wire)
    return value is not None and not value.any()


def _coefficients(circuit: Circuit) -> list[Any]:
    """Irrational numbers among constants, matrices and offsets."""
    found: list[Any] = []
    for w in circuit.wires:
        if isinstance(w, Constant):
            found += _irrational(w.values)
        elif isinstance(w, Linear):
            arrays = [m for m, _ in w.terms] + ([] if w.bias is None else [w.bias])
            found += [v for a in arrays for v in _irrational(a)]
    return found


def _irrational(array: Any) -> list[Any]:
    return [v for v in array.flat if hasattr(v, "free_symbols")] if array.dtype == object else []


def _sorted(values: Any) -> tuple[Any, ...]:
    return tuple(sorted({to_exact(v) for v in values}, key=str))
