"""A circuit: named wires to be read, the units behind them in order, and the check that it is well formed.

Well formed (Graca and Costa, J. Complexity 19 (2003), "polynomial circuits"): every wire is defined, every
loop crosses an integrator, and every integrator's variable is time or a polynomial of integrator outputs
and time. Such circuits compute exactly the components of polynomial initial value problems.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from .errors import CircuitError, ShapeError
from .graph import closure, moves, operands
from .program import Program
from .wire import Forward, Input, Integral, Linear, Product, Time, Wire, as_wire, describe, source

if TYPE_CHECKING:
    from .pivp import PIVP

UNBOUNDED = 10**9


@dataclass(frozen=True, eq=False)
class Circuit:
    """Shannon's machine: wires to read by name, and all units they need.

    Parameters
    ----------
    outputs : mapping from name to wire
        The wires to be read. A forward wire `gpac.wire(name)` used anywhere inside stands for the entry
        of that name.
    program : Program
        What the circuit says of itself: horizon, exact or limit, invariants.

    Raises
    ------
    CircuitError
        If the circuit is not well formed; the message names the wires.

    >>> import gpac
    >>> y = gpac.wire("y")
    >>> gpac.Circuit({"y": gpac.integral(1 + y * y)})
    Circuit(y; 1 state, 0 weights)
    """

    outputs: Mapping[str, Wire]
    program: Program = field(default_factory=Program)

    def __post_init__(self) -> None:
        if not self.outputs:
            raise CircuitError("expected at least one wire to read, got none")
        named = {str(name): as_wire(wire) for name, wire in self.outputs.items()}
        object.__setattr__(self, "outputs", MappingProxyType(named))
        _ = self.wires  # the check

    @cached_property
    def wires(self) -> tuple[Wire, ...]:
        """All units, each after what it needs at the same order of its Taylor series."""
        _check_inputs(self._reached)
        for wire in self.integrals:
            if not moves(wire.variable):
                raise CircuitError(
                    f"{describe(wire)} integrates with respect to {describe(wire.variable)}, which is not "
                    "reached through integrators or time: it never moves, so the integral would stay put"
                )
        names = {self.source(wire): name for name, wire in self.outputs.items()}
        return _in_order(self._reached, self.source, names)

    @cached_property
    def _reached(self) -> list[Wire]:
        return _reached(self.outputs)

    @cached_property
    def slot(self) -> Mapping[Wire, int]:
        """Position of every unit in `wires`."""
        return {wire: k for k, wire in enumerate(self.wires)}

    def source(self, wire: Wire) -> Wire:
        """The unit behind a wire, forward references by name included."""
        wire = source(wire)
        if isinstance(wire, Forward):
            if wire.name is None or wire.name not in self.outputs:
                raise CircuitError(f"{describe(wire)} is used but never defined, and is not an input or an output")
            target = source(self.outputs[wire.name])
            if isinstance(target, Forward):
                raise CircuitError(f"algebraic loop: {describe(wire)} is defined as itself; put an integrator in")
            if target.size != wire.size:
                raise ShapeError(f"{describe(wire)} is used with size {wire.size} but has size {target.size}")
            return target
        return wire

    @cached_property
    def prepared(self) -> dict[str, tuple[Any, Any]]:
        """Room for what solvers work out for this circuit, to be used again; see `gpac.solver.prepared`."""
        return {}

    def index(self, wire: Wire) -> int:
        """Position in `wires` of the unit behind a wire."""
        return self.slot[self.source(wire)]

    @cached_property
    def inputs(self) -> Mapping[str, int]:
        """Names and sizes of the inputs."""
        return {w.key: w.size for w in self.wires if isinstance(w, Input)}

    @cached_property
    def input_signs(self) -> Mapping[str, str]:
        """What is declared of the signs of the inputs, by name."""
        return {w.key: w.signs for w in self.wires if isinstance(w, Input)}

    @cached_property
    def integrals(self) -> tuple[Integral, ...]:
        """The integrators, breadth first from the outputs; their outputs, side by side, are the state."""
        return tuple(w for w in self._reached if isinstance(w, Integral))

    @property
    def dim(self) -> int:
        """Dimension of the state: number of scalar integrators."""
        return sum(w.size for w in self.integrals)

    @property
    def weights(self) -> int:
        """Number of stored matrix entries."""
        return sum(
            matrix.nnz if hasattr(matrix, "nnz") else matrix.size
            for w in self.wires
            if isinstance(w, Linear)
            for matrix, _ in w.terms
            if matrix.ndim
        )

    @cached_property
    def degree(self) -> int:
        """Largest degree of a state's rate as a polynomial of the states, counted on the circuit (not expanded)."""
        _, rate = degrees(self)
        return max((rate[w] for w in self.integrals), default=0)

    def to_pivp(self, inputs: Mapping[str, Any] | None = None) -> PIVP:
        """The same machine as a polynomial initial value problem; `inputs` become exact constants."""
        from .transform.expand import circuit_to_pivp

        return circuit_to_pivp(self, inputs or {})

    def __reduce__(self) -> Any:
        from .packing import reduced

        return reduced(self)

    def __repr__(self) -> str:
        names = list(self.outputs)
        shown = ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")
        plural = "" if self.dim == 1 else "s"
        return f"Circuit({shown}; {self.dim} state{plural}, {self.weights} weights)"


def degrees(circuit: Circuit) -> tuple[dict[Wire, int], dict[Wire, int]]:
    """Degrees of every wire and of its time derivative as polynomials of the states."""
    value: dict[Wire, int] = dict.fromkeys(circuit.integrals, 1)
    rate: dict[Wire, int] = {}
    source = circuit.source
    for w in circuit.wires:  # values: integrators are variables of degree 1
        if isinstance(w, Linear):
            value[w] = max((value[source(x)] for _, x in w.terms), default=0)
        elif isinstance(w, Product):
            value[w] = value[source(w.left)] + value[source(w.right)]
        elif not isinstance(w, Integral):
            value[w] = 0
    for w in circuit.wires:
        if isinstance(w, Linear):
            rate[w] = max((rate[source(x)] for _, x in w.terms), default=0)
        elif isinstance(w, Product):
            left, right = source(w.left), source(w.right)
            rate[w] = max(rate[left] + value[right], value[left] + rate[right])
        elif isinstance(w, Integral):
            rate[w] = value[source(w.integrand)] + rate[source(w.variable)]
        else:
            rate[w] = 0
    return value, rate


def time_degrees(circuit: Circuit) -> dict[Wire, int]:
    """Bound on the degree in t of every unit that is a polynomial in t; `UNBOUNDED` where none is known."""
    degree: dict[Wire, int] = dict.fromkeys(circuit.integrals, UNBOUNDED)
    for wire in circuit.wires:
        if isinstance(wire, Time):
            degree[wire] = 1
        elif isinstance(wire, Linear):
            degree[wire] = max((degree[circuit.source(x)] for _, x in wire.terms), default=0)
        elif isinstance(wire, Product):
            degree[wire] = degree[circuit.source(wire.left)] + degree[circuit.source(wire.right)]
        elif not isinstance(wire, Integral):
            degree[wire] = 0
    return degree


def driving(circuit: Circuit) -> set[Wire]:
    """Units that integrators need; the others are only read."""
    return closure(circuit.integrals, lambda wire: map(circuit.source, operands(wire)))


def _reached(outputs: Mapping[str, Wire]) -> list[Wire]:
    """Every unit that the outputs need, breadth first."""
    found: dict[Wire, None] = {}
    waiting = deque(outputs.values())
    while waiting:
        wire = source(waiting.popleft())
        if isinstance(wire, Forward):
            if wire.name is not None and wire.name in outputs:
                target = source(outputs[wire.name])
                if isinstance(target, Forward):
                    raise CircuitError(f"algebraic loop: {describe(wire)} is defined as itself; put an integrator in")
                if target.size != wire.size:
                    raise ShapeError(f"{describe(wire)} is used with size {wire.size} but has size {target.size}")
                waiting.append(target)
                continue
            users = [describe(w) for w in found if wire in map(source, operands(w))]
            raise CircuitError(
                f"{describe(wire)}, used by {' and '.join(users) or 'an output'}, is neither defined nor an input; "
                "call its define(), give it an entry in Circuit({...}), or use gpac.inputs"
            )
        if wire not in found:
            found[wire] = None
            waiting += operands(wire)
    return list(found)


def _check_inputs(wires: list[Wire]) -> None:
    sizes: dict[str, int] = {}
    for wire in wires:
        if isinstance(wire, Input) and sizes.setdefault(wire.key, wire.size) != wire.size:
            raise ShapeError(f"input {wire.name!r} is used with sizes {sizes[wire.key]} and {wire.size}")


def _in_order(wires: list[Wire], source: Any, names: dict[Wire, str]) -> tuple[Wire, ...]:
    graph: dict[Wire, list[Wire]] = {}
    for wire in wires:
        needs = operands(wire)
        if isinstance(wire, Integral):
            needs = needs[1:]  # the integrand is needed one order lower only
        graph[wire] = [source(w) for w in needs]
    try:
        return tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        raise CircuitError(_loop_message(error.args[1], names)) from None


def _loop_message(loop: list[Wire], names: dict[Wire, str]) -> str:
    path = " <- ".join(describe(w) if w.name or w not in names else f"output {names[w]!r}" for w in reversed(loop))
    if any(isinstance(w, Integral) for w in loop):
        return f"the rate of an integrator depends on itself without delay: {path}; no polynomial system defines it"
    return f"algebraic loop: {path}; a loop must pass through an integrator"
