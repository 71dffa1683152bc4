"""What activations ask of a scheme: irrational constants, and positive paths for roots and quotients.

On a ramp t from 0 to 1 an irrational constant is a wire that starts at a rational value and ends at the constant
(co-homotopy): ln q as ln(1 + (q - 1) t), and v^(-1/2) along a v that starts at 1, with pi = 4 arctan(1). So every
start value stays rational. In a program without such a ramp the constants stand in the circuit as they are.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np

from gpac import functions as fn
from gpac.errors import NumberError
from gpac.exact import exact_array, to_exact
from gpac.functions.start import start, value_at_start
from gpac.wire import Wire, constant, declared, linear


@dataclass(frozen=True, eq=False)
class Ramp:
    """A program in which t runs from 0 to 1: homotopy, or one phase of a schedule."""

    t: Wire
    label: str = ""
    made: dict[Any, Wire] = field(default_factory=dict)

    def named(self, label: str) -> Ramp:
        """The same ramp for the node of this label."""
        return Ramp(self.t, label, self.made)

    @property
    def constants(self) -> tuple[Any, ...]:
        """The irrational constants that were made."""
        return tuple(e for e in self.made if not e.is_Rational)

    def constant(self, expression: Any) -> Wire:
        """A wire from a rational number at t = 0 to the positive constant at t = 1."""
        if expression not in self.made:
            self.made[expression] = _path(expression, self.t)
        return self.made[expression]

    def raised(self, z: Wire, offset: Any) -> Wire:
        """z + 1 - (1 - offset) t: positive up to t = 1 for a z that is never negative."""
        return declared(linear([(1, z), (to_exact(offset) - 1, self.t)], 1), "+")

    def start(self, function: str, z: Wire, at_base: Any, *parameters: Any) -> Any:
        """z starts at its base."""
        return at_base

    def value(self, part: Wire, value: Any) -> Wire:
        """A wire that starts at 0, as `part` does, and ends at `part` + `value`."""
        values = np.atleast_1d(exact_array(value))
        if not values.any():
            return part
        values = np.broadcast_to(values, (part.size,))
        irrational = {v for v in values.tolist() if hasattr(v, "free_symbols")}
        rational = exact_array(np.array([Fraction(0) if v in irrational else v for v in values.tolist()], dtype=object))
        uniform = len(set(rational.tolist())) == 1
        terms: list[Any] = [(1, part)]
        if rational.any():
            terms.append((rational[0] if uniform else rational.reshape(-1, 1), self.t))
        for expression in sorted(irrational, key=str):
            chosen = np.array([float(v == expression) for v in values.tolist()])
            sign = -1 if expression.is_negative else 1
            path = self._from_zero(sign * expression)
            terms.append((float(sign) if chosen.all() else sign * chosen.reshape(-1, 1), path))
        return linear(terms)

    def _from_zero(self, expression: Any) -> Wire:
        """The constant's path less what it starts at."""
        path = self.constant(expression)
        first = value_at_start(path)
        assert first is not None
        return linear([(1, path), (first[0], self.t)], -first[0]) if first[0] else path


@dataclass(frozen=True, eq=False)
class Still:
    """A program without a ramp: constants are themselves. With `anywhere`, arguments start anywhere."""

    label: str = ""
    anywhere: bool = False

    def named(self, label: str) -> Still:
        """The same for the node of this label."""
        return Still(label, self.anywhere)

    def constant(self, expression: Any) -> Wire:
        """The constant itself."""
        return constant([expression])

    def raised(self, z: Wire, offset: Any) -> Wire:
        """z + offset; for a z that starts at its base 1 - offset, from 1."""
        return declared(linear([(1, z)], to_exact(offset)), "+")

    def start(self, function: str, z: Wire, at_base: Any, *parameters: Any) -> Any:
        """`at_base`, or what the function is where z starts."""
        return start(function, z, *parameters) if self.anywhere else at_base

    def value(self, part: Wire, value: Any) -> Wire:
        """`part` + `value`."""
        values = np.atleast_1d(exact_array(value))
        return linear([(1, part)], values) if values.any() else part


def _path(expression: Any, t: Wire) -> Wire:
    """ln of a positive rational, or the root of a rational or of a rational times pi or 1/pi."""
    import sympy

    if isinstance(expression, sympy.log) and expression.args[0].is_Rational and expression.args[0] > 0:
        return fn.log(declared(linear([(to_exact(expression.args[0] - 1), t)], 1), "+"))
    inverse_square = 1 / expression**2
    if inverse_square.is_Rational and inverse_square > 0:
        return fn.rsqrt(declared(linear([(to_exact(inverse_square) - 1, t)], 1), "+"))
    of_pi = inverse_square / sympy.pi
    if of_pi.is_Rational and of_pi > 0:
        arc = fn.arctan(t)
        return fn.rsqrt(declared(linear([(-1, t), (4 * to_exact(of_pi), arc)], 1), "+"))
    if expression.is_Rational:
        return linear([(to_exact(expression), t)])
    raise NumberError(
        f"the constant {expression} has no path from a rational value here; supported are logarithms of rationals and "
        "square roots of rationals and of rationals over pi"
    )
