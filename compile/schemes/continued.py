"""What activations ask of a phase that goes on where earlier ones stopped: constants are values handed on."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

import numpy as np

from gpac.exact import exact_array, to_exact
from gpac.wire import Wire, constant, declared, linear


@dataclass(frozen=True, eq=False)
class Continued:
    """A setting whose irrational constants are inputs, made along paths in an earlier phase.

    So every integrator of every phase starts at a rational number or at a value handed on.
    """

    constants: dict[Any, Wire] = field(default_factory=dict)
    label: str = ""

    def named(self, label: str) -> Continued:
        """The same for the node of this label."""
        return replace(self, label=label)

    def constant(self, expression: Any) -> Wire:
        """The value that the constant's path ended at; the constant itself where no phase made one."""
        return self.constants[expression] if expression in self.constants else constant([expression])

    def start(self, function: str, z: Wire, at_base: Any, *parameters: Any) -> Any:
        """A start value at the activation's base: it is replaced by what is handed on."""
        return at_base

    def raised(self, z: Wire, offset: Any) -> Wire:
        """z + offset, for a z that is never negative."""
        return declared(linear([(1, z)], to_exact(offset)), "+")

    def value(self, part: Wire, value: Any) -> Wire:
        """`part` + `value`."""
        values = np.broadcast_to(np.atleast_1d(exact_array(value)), (part.size,)).tolist()
        irrational = {v for v in values if hasattr(v, "free_symbols")}
        bias = np.array([Fraction(0) if v in irrational else v for v in values], dtype=object)
        terms: list[Any] = [(1, part)]
        for expression in sorted(irrational, key=str):
            sign = -1 if expression.is_negative else 1
            chosen = np.array([float(sign * (v == expression)) for v in values])
            terms.append((chosen.reshape(-1, 1), self.constant(sign * expression)))
        return linear(terms, exact_array(bias))
