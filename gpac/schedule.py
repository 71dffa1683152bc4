"""A schedule: circuits run one after the other, values handed on by name.

An analytic system cannot switch its vector field at a time; a schedule can. Which of the two a program is
shows in its type.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from .circuit import Circuit
from .errors import CircuitError, ShapeError
from .program import Program
from .wire import Wire


@dataclass(frozen=True, eq=False)
class Phase:
    """One circuit and how long it runs (an exact number)."""

    circuit: Circuit
    duration: Fraction


@dataclass(frozen=True, eq=False)
class Schedule:
    """Phases run in order; a phase's inputs are the schedule's inputs or outputs of earlier phases, by name."""

    phases: tuple[Phase, ...]
    program: Program = field(default_factory=Program)

    def __post_init__(self) -> None:
        if not self.phases:
            raise CircuitError("expected a schedule to have at least one phase, got none")
        sizes: dict[str, int] = {}
        for number, phase in enumerate(self.phases):
            if not phase.duration > 0:
                raise CircuitError(f"phase {number} must last a positive time, got {phase.duration}")
            for name, size in phase.circuit.inputs.items():
                if sizes.setdefault(name, size) != size:
                    raise ShapeError(f"phase {number} reads {name!r} with size {size}, but it has size {sizes[name]}")
            sizes |= {name: wire.size for name, wire in phase.circuit.outputs.items()}

    @property
    def inputs(self) -> Mapping[str, int]:
        """Names and sizes of what the caller must give."""
        needed: dict[str, int] = {}
        made: set[str] = set()
        for phase in self.phases:
            needed |= {n: size for n, size in phase.circuit.inputs.items() if n not in made | set(needed)}
            made |= set(phase.circuit.outputs)
        return needed

    @property
    def input_signs(self) -> Mapping[str, str]:
        """What is declared of the signs of the inputs, by name, where a phase first reads them."""
        signs: dict[str, str] = {}
        for phase in self.phases:
            signs = dict(phase.circuit.input_signs) | signs
        return signs

    @property
    def outputs(self) -> Mapping[str, Wire]:
        """Wires read at the end of the last phase."""
        return self.phases[-1].circuit.outputs

    @property
    def duration(self) -> Fraction:
        """Total time."""
        return sum((phase.duration for phase in self.phases), Fraction(0))

    @property
    def dim(self) -> int:
        """Dimension of the state over all phases."""
        return sum(phase.circuit.dim for phase in self.phases)

    @property
    def degree(self) -> int:
        """Largest circuit degree of any phase."""
        return max(phase.circuit.degree for phase in self.phases)

    @property
    def weights(self) -> int:
        """Number of stored matrix entries."""
        return sum(phase.circuit.weights for phase in self.phases)

    def __reduce__(self) -> Any:
        from .packing import reduced

        return reduced(self)

    def __repr__(self) -> str:
        return f"Schedule({len(self.phases)} phases; {self.dim} states, {self.weights} weights)"
