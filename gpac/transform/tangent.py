"""The tangent of a circuit: its outputs and, beside them, their directional derivatives.

Every wire w gets a companion dw, how fast w changes when the inputs move in a given direction. Linear units
keep their matrices, a product gives two, and an integrator y = y0 + integral of u dv gives

    dy = dy0 + integral of du dv + integral of u d(dv),

the variational equations. Where y is a function of v alone, as tanh(z) is of z, dy = u dv already and no
integrator is needed (`along.py`). What does not depend on the inputs in question gets no companion.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np

from ..circuit import Circuit
from ..errors import CircuitError
from ..graph import moves, operands
from ..program import Program
from ..schedule import Schedule
from ..wire import Forward, Input, Integral, Linear, Product, Start, Wire, constant, inputs, linear, time, wire
from .along import Along
from .slope import slope_at_start

ONE = np.array(1.0)


def tangent(
    system: Circuit | Schedule, wrt: Iterable[str] | None = None, labels: Sequence[str] = ("d",)
) -> Circuit | Schedule:
    """The same program with directional derivatives of its outputs with respect to inputs as further outputs.

    Parameters
    ----------
    system : Circuit or Schedule
        A schedule's phases hand derivatives on by name, as they do values.
    wrt : names of inputs, default all
        Each becomes, for every label, one more input of its size: the direction, "d(x)" for input "x".
    labels : sequence of str
        One direction for each; several share the system they start from.

    Returns
    -------
    Circuit or Schedule
        Its outputs are the old ones, then for the first label the derivatives of all of them, such as "d(y)",
        then those for the next label. Derivatives are taken at fixed time. A limit program's bound does not
        hold for derivatives, so its tangent is no limit program: say until when to run it.

    Raises
    ------
    CircuitError
        If a name is no input, or the name of a derivative is taken.

    Notes
    -----
    Derivatives of derivatives: take the tangent of the tangent with another label.

    >>> import gpac
    >>> x, y = gpac.inputs("x"), gpac.wire("y")
    >>> growth = gpac.Circuit({"y": y.define(gpac.integral(x * y, initial=1))})
    >>> tangent(growth, ["x"]).to_pivp({"x": [2], "d(x)": [1]}).expressions()
    {y: 2*y, d(y): 2*d(y) + y}
    """
    names = tuple(system.inputs) if wrt is None else tuple(dict.fromkeys(wrt))
    unknown = [n for n in names if n not in system.inputs]
    if unknown:
        known = ", ".join(map(repr, system.inputs)) or "no inputs"
        raise CircuitError(f"expected names of inputs to differentiate by, got {unknown[0]!r}; the system has {known}")
    if not labels or len(set(labels)) < len(labels):
        raise CircuitError(f"expected one or more different labels of directions, got {list(labels)}")
    phases = [system] if isinstance(system, Circuit) else [phase.circuit for phase in system.phases]
    taken = {name for circuit in phases for name in (*circuit.inputs, *circuit.outputs)}
    clashes = sorted(taken & {derivative_name(label, name) for label in labels for name in taken})
    if clashes:
        raise CircuitError(f"the name {clashes[0]!r} of a derivative is taken; choose another label")
    if isinstance(system, Circuit):
        return _of_circuit(system, names, labels)
    return _of_schedule(system, names, labels)


def derivative_name(label: str, name: str) -> str:
    """Name of the derivative of input or output `name` in the direction `label`."""
    return f"{label}({name})"


def _of_schedule(schedule: Schedule, names: Sequence[str], labels: Sequence[str]) -> Schedule:
    carried = set(names)
    phases = []
    for phase in schedule.phases:
        circuit = _of_circuit(phase.circuit, [n for n in phase.circuit.inputs if n in carried], labels)
        phases.append(replace(phase, circuit=circuit))
        carried |= set(phase.circuit.outputs)
    return Schedule(tuple(phases), _program(schedule.program))


def _of_circuit(circuit: Circuit, names: Sequence[str], labels: Sequence[str]) -> Circuit:
    rules = _Rules(circuit, frozenset(names))
    outputs = dict(circuit.outputs)
    for label in labels:
        found = rules.direction(label)
        for name, output in circuit.outputs.items():
            none = constant(np.zeros(output.size))
            outputs[derivative_name(label, name)] = found.get(circuit.source(output), none)
    return Circuit(outputs, _program(circuit.program))


def _program(program: Program) -> Program:
    """What the program says of itself, but for its limit and its delta, which the derivatives do not share."""
    return replace(program, claim="exact", limit=None, delta=None, near=None)


class _Rules:
    """What dw is for every wire w of one circuit that depends on the inputs `names`."""

    def __init__(self, circuit: Circuit, names: frozenset[str]) -> None:
        self.circuit, self.names = circuit, names
        self.dependent = _dependents(circuit, names)
        along = Along(circuit, self.dependent)
        integrals = [w for w in circuit.integrals if w in self.dependent]
        self.along = {w for w in integrals if circuit.source(w.variable) in self.dependent and along.follows(w)}
        self.slopes: dict[Wire, Wire] = {}

    def direction(self, label: str) -> dict[Wire, Wire]:
        """dw by w, for the direction given as the inputs `label(name)`."""
        source = self.circuit.source
        made: dict[Wire, Wire] = {}
        ahead: dict[Wire, Forward] = {}  # an integrand's derivative is needed before it is made

        def of(w: Wire, early: bool = False) -> Wire | None:
            w = source(w)
            if w not in self.dependent or w in made or not early:
                return made.get(w)
            return ahead.setdefault(w, wire(w.name and derivative_name(label, w.name), w.size))

        for w in self.circuit.wires:
            if w not in self.dependent:
                continue
            if isinstance(w, Input):
                made[w] = inputs(derivative_name(label, w.key), w.size)
            elif isinstance(w, Linear):
                made[w] = Linear(tuple((m, dx) for m, x in w.terms if (dx := of(x)) is not None), None, w.size)
            elif isinstance(w, Product):
                made[w] = _of_product(w, of(w.left), of(w.right), source(w.left) is source(w.right))
            else:
                assert isinstance(w, Integral)
                dv = of(w.variable)
                if w in self.along:
                    assert dv is not None
                    made[w] = w.integrand * dv
                else:
                    name = w.name and derivative_name(label, w.name)
                    made[w] = self._of_integral(w, of(w.integrand, early=True), dv, self._start(w, of), name)
        for w, forward in ahead.items():
            forward.define(made[w])
        return made

    def _of_integral(
        self, w: Integral, du: Wire | None, dv: Wire | None, start: Start | None, name: str | None
    ) -> Wire:
        """start + integral of du dv + integral of u d(dv), the second with respect to the wire dv."""
        zeros = np.zeros(w.size)
        parts = []
        if dv is not None and moves(dv):
            parts.append((w.integrand, dv))
        if du is not None:
            parts.append((du, w.variable))
        if not parts:  # only the start moves
            parts.append((constant(np.zeros(w.size)), time()))
        starts: list = [zeros] * (len(parts) - 1) + [zeros if start is None else start]
        made = [Integral(u, v, first, name=name) for (u, v), first in zip(parts, starts, strict=True)]
        return _sum(made)

    def _start(self, w: Integral, of: Callable[[Wire], Wire | None]) -> Start | None:
        """dy0 = f'(x0) dx0 for y0 = f(x0), or None where it is zero."""
        if not isinstance(w.initial, Start):
            return None
        dx = of(w.initial.wire)
        if dx is None or w.initial.function == "identity":
            return None if dx is None else Start("identity", dx)
        if w not in self.slopes:
            self.slopes[w] = slope_at_start(w.initial)
        return Start("identity", self.slopes[w] * dx)


def _of_product(w: Product, left: Wire | None, right: Wire | None, square: bool) -> Wire:
    if square and left is not None and w.einsum is None:
        return linear([(2, w.left * left)])
    parts: list[Wire] = []
    if left is not None:
        parts.append(Product(left, w.right, w.einsum) if w.einsum else left * w.right)
    if right is not None:
        parts.append(Product(w.left, right, w.einsum) if w.einsum else w.left * right)
    return _sum(parts)


def _sum(parts: Sequence[Wire]) -> Wire:
    return parts[0] if len(parts) == 1 else Linear(tuple((ONE, p) for p in parts), None, parts[0].size)


def _dependents(circuit: Circuit, names: frozenset[str]) -> set[Wire]:
    """Wires that the named inputs reach."""
    users: dict[Wire, list[Wire]] = {}
    for w in circuit.wires:
        for x in operands(w):
            users.setdefault(circuit.source(x), []).append(w)
    found: set[Wire] = set()
    stack: list[Wire] = [w for w in circuit.wires if isinstance(w, Input) and w.key in names]
    while stack:
        w = stack.pop()
        if w not in found:
            found.add(w)
            stack += users.get(w, [])
    return found
