"""Exact start values: what a wire carries at t = 0, found symbolically where no input is involved."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import wraps
from typing import Any, TypeAlias

import numpy as np

from ..elementary import TABLE
from ..errors import CircuitError
from ..exact import exact_array, to_exact, to_fractions, to_sympy
from ..graph import moves, operands
from ..signs import ANY
from ..wire import Constant, Integral, Linear, Product, Start, Time, Wire, as_wire, constant, describe, integral, source

Function: TypeAlias = Callable[..., Wire]


def start(function: str, wire: Wire, *parameters: Any) -> np.ndarray | Start:
    """The initial value function(wire(0)): an exact array where it is known, else a `Start` to be evaluated."""
    parameters = tuple(to_exact(p) for p in parameters)
    at_zero = value_at_start(wire)
    if at_zero is None:
        return Start(function, wire, parameters)
    import sympy

    values = {v: to_exact(TABLE[function].sympy(sympy, to_sympy(v), *parameters)) for v in set(at_zero.tolist())}
    return exact_array(np.array([values[v] for v in at_zero], dtype=object))


def carried(name: str, domain: str = ANY, signs: str = ANY) -> Callable[[Function], Function]:
    """Decorate a function of a moving wire: of a wire constant in time it gives a constant.

    `domain` are the signs that x may have; `signs` those of the result ("=" for those of x).
    """

    def decorate(function: Function) -> Function:
        @wraps(function)
        def applied(x: Any, *parameters: Any) -> Wire:
            x = as_wire(x)
            if not set(x.signs) <= set(domain):
                raise CircuitError(
                    f"{name} of {describe(x)}, which is not proven to be {'positive' if domain == '+' else 'nonzero'}; "
                    "if it is, say so with gpac.declared(wire, '+') (or '-'), or give the input its signs"
                )
            if moves(x):
                return function(x, *parameters)
            value = start(name, x, *parameters)
            if isinstance(value, np.ndarray):
                return constant(value)
            return integral(0, None, value, name=name, signs=x.signs if signs == "=" else signs)

        return applied

    return decorate


def value_at_start(wire: Wire) -> np.ndarray | None:
    """Exact entries (object array) of a wire at t = 0, or None where they depend on an input or a loop.

    Only short expressions are followed: a matrix that does not act on zeros is left to the run.
    """
    known: dict[Wire, np.ndarray | None] = {}
    stack = [source(wire)]
    while stack:  # deep chains of sums would overflow a recursion
        wire = stack[-1]
        if wire not in known:
            known[wire] = None  # the answer to whoever asks in a loop
            stack += _needed(wire)
        else:
            known[wire] = _value_at_start(wire, known)
            stack.pop()
    return known[wire]


def _needed(wire: Wire) -> list[Wire]:
    return [source(w) for w in operands(wire)] if isinstance(wire, (Linear, Product)) else []


def _value_at_start(wire: Wire, known: dict[Wire, np.ndarray | None]) -> np.ndarray | None:
    if isinstance(wire, Constant):
        return to_fractions(wire.values)
    if isinstance(wire, Time):
        return to_fractions(np.zeros(1))
    if isinstance(wire, Integral) and isinstance(wire.initial, np.ndarray):
        return to_fractions(wire.initial)
    if isinstance(wire, Product):
        left, right = known[source(wire.left)], known[source(wire.right)]
        if _zero(left) or _zero(right):
            return _zeros(wire.size)
        return None if left is None or right is None or wire.einsum is not None else left * right
    if isinstance(wire, Linear):
        return _sum_at_start(wire, known)
    return None


def _sum_at_start(wire: Linear, known: dict[Wire, np.ndarray | None]) -> np.ndarray | None:
    total = _zeros(wire.size) if wire.bias is None else to_fractions(wire.bias)
    for matrix, operand in wire.terms:
        values = known[source(operand)]
        if _zero(values):
            continue
        if values is None or hasattr(matrix, "tocsr") or (matrix.ndim == 2 and matrix.shape[1] > 1):
            return None
        if matrix.ndim == 2:
            matrix = matrix[:, 0]
        total = total + to_fractions(matrix) * values if matrix.ndim else total + to_exact(matrix[()]) * values
    return total


def _zeros(size: int) -> np.ndarray:
    return np.full(size, Fraction(0), dtype=object)


def _zero(values: np.ndarray | None) -> bool:
    return values is not None and not values.any()
