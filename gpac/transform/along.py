"""Which integrators are functions of their variable, entry by entry, so that dy = u dv needs no integrator.

Let y = y0 + integral of u dv where u depends on v alone: through constants, entry-by-entry sums and products,
and integrators of such wires with respect to such wires. Then u changes with the inputs only as v does: a
change du along time and a change d'u from input to input are the same multiple of dv and d'v. So
r = d'y - u d'v obeys dr = d'u dv - du d'v = 0 and keeps its value at t = 0, which is zero where the start
value y0 is the same function of v(0), or where neither depends on the inputs.

This is what makes derivatives of neurons cheap and accurate: d'u = (1 - u^2) d'z keeps its relative accuracy
where the variational equation of u' = (1 - u^2) z' would lose it by a factor cosh(z)^2.
"""

from __future__ import annotations

from collections.abc import Set
from functools import lru_cache
from typing import Any

import numpy as np

from ..circuit import Circuit
from ..elementary import TABLE
from ..exact import to_sympy
from ..functions.start import value_at_start
from ..graph import moves
from ..wire import Constant, Input, Integral, Linear, Product, Start, Time, Wire


class Along:
    """Finds these integrators in one circuit; `dependent` are the wires that depend on the inputs in question."""

    def __init__(self, circuit: Circuit, dependent: Set[Wire]) -> None:
        self.source, self.dependent = circuit.source, dependent

    def follows(self, y: Integral) -> bool:
        """Whether dy = u dv holds for y = y0 + integral of u dv, at all times.

        Tried are the variable v, then the variable of v if it is an integrator itself, and so on.
        """
        base = self.source(y.variable)
        while not isinstance(base, Time):
            group = self._group(y, base)
            if group is not None and self._starts_agree(group, base):
                return True
            if not isinstance(base, Integral):
                return False
            base = self.source(base.variable)
        return False

    def _group(self, y: Integral, base: Wire) -> set[Integral] | None:
        """All integrators between y and `base`, or None if anything besides `base` drives them."""
        group: set[Integral] = set()
        seen: set[Wire] = {base}
        stack: list[Wire] = [y]
        while stack:
            w = stack.pop()
            if w in seen or self._still(w):
                continue
            seen.add(w)
            if base.size > 1 and w.size != base.size:
                return None
            if isinstance(w, Integral):
                group.add(w)
                stack += [self.source(w.integrand), self.source(w.variable)]
            elif isinstance(w, Product) and (base.size == 1 or w.einsum is None):
                stack += [self.source(w.left), self.source(w.right)]
            elif isinstance(w, Linear) and (base.size == 1 or self._entrywise(w)):
                stack += [self.source(x) for _, x in w.terms]
            else:
                return None
        return group

    def _still(self, w: Wire) -> bool:
        """Whether the wire is the same for all times and all inputs in question."""
        return isinstance(w, Constant) or (w not in self.dependent and not moves(w))

    def _entrywise(self, w: Linear) -> bool:
        return all(m.ndim < 2 or self._still(self.source(x)) for m, x in w.terms)

    def _starts_agree(self, group: set[Integral], base: Wire) -> bool:
        """Whether dy = u dv at t = 0 for all of the group."""
        if self._fixed(base) and all(map(self._fixed, group)):
            return True  # both sides are zero
        import sympy

        x = sympy.Symbol("x", real=True)
        known: dict[Wire, Any] = {base: x}
        for y in group:
            value, u, v = (self._at_start(w, known) for w in (y, self.source(y.integrand), self.source(y.variable)))
            if value is None or u is None or v is None:
                return False
            if not _vanishes(sympy.diff(value, x) - u * sympy.diff(v, x)):
                return False
        return True

    def _fixed(self, w: Wire) -> bool:
        """Whether the value at t = 0 is the same for all inputs in question, as far as is easily seen."""
        w = self.source(w)
        if w not in self.dependent:
            return True
        if isinstance(w, Integral):
            return not isinstance(w.initial, Start) or self._fixed(w.initial.wire)
        if isinstance(w, Linear):
            return all(self._fixed(x) for _, x in w.terms)
        if isinstance(w, Product):
            zero = (_zero_at_start(self.source(x)) for x in (w.left, w.right))
            return any(zero) or (self._fixed(w.left) and self._fixed(w.right))
        return not isinstance(w, Input)

    def _at_start(self, w: Wire, known: dict[Wire, Any]) -> Any:
        """Value of every entry at t = 0 as one expression of the base's, or None where entries differ."""
        if w not in known:
            known[w] = self._formula(w, known)
        return known[w]

    def _formula(self, w: Wire, known: dict[Wire, Any]) -> Any:
        if isinstance(w, Constant):
            return _common(w.values)
        if isinstance(w, Integral):
            if not isinstance(w.initial, Start):
                return _common(w.initial)
            import sympy

            argument = self._at_start(self.source(w.initial.wire), known)
            function = TABLE[w.initial.function].sympy
            return None if argument is None else function(sympy, argument, *w.initial.parameters)
        if isinstance(w, Product) and w.einsum is None:
            left, right = (self._at_start(self.source(x), known) for x in (w.left, w.right))
            return None if left is None or right is None else left * right
        if isinstance(w, Linear):
            total = to_sympy(0) if w.bias is None else _common(w.bias)
            for matrix, operand in w.terms:
                factor = None if matrix.ndim == 2 else _common(np.atleast_1d(matrix))
                value = self._at_start(self.source(operand), known)
                if total is None or factor is None or value is None:
                    return None
                total = total + factor * value
            return total
        return None


def _zero_at_start(w: Wire) -> bool:
    value = value_at_start(w)
    return value is not None and not any(value)


def _common(values: np.ndarray) -> Any:
    """The one value that all entries have, or None."""
    first = values.flat[0]
    return to_sympy(first) if all(v == first for v in values.flat) else None


@lru_cache(maxsize=256)
def _vanishes(expression: Any) -> bool:
    """Whether an expression is found to be zero everywhere."""
    import sympy

    return bool(expression == 0 or sympy.simplify(expression) == 0)
