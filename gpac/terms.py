"""Degree and number of monomials of an expanded vector field, and beforehand whether it is small enough to expand."""

from __future__ import annotations

from math import comb
from typing import Any

import numpy as np

from .circuit import Circuit
from .errors import ShapeError
from .wire import Input, Integral, Linear, Product, Time, Wire

MOST_TERMS = 20_000
"""Monomials, counted with repetition on the way, up to which a vector field is expanded to be counted."""
MOST_STATES = 200


def expanded(circuits: list[Circuit]) -> tuple[int | None, int | None, str]:
    """Degree and number of monomials, or why there are none."""
    states, terms = max(c.dim for c in circuits), sum(map(most_terms, circuits))
    if states > MOST_STATES or terms > MOST_TERMS:
        return None, None, f"{states} states, up to {terms:.2g} terms"
    try:
        fields = [_field(c) for c in circuits]
    except ShapeError as error:
        return None, None, str(error)
    monomials = [m for field in fields for p in field for m in p]
    return max(map(sum, monomials), default=0), len(monomials), ""


def _field(circuit: Circuit) -> list[Any]:
    """Rates of all states, and of a clock where t remains, for inputs that are unlike each other."""
    from random import Random

    import sympy

    from .pivp import ring_of
    from .transform.expand import expand, terminals

    draw = Random(1)
    ring = ring_of([*sympy.symbols(f"s:{circuit.dim}"), sympy.Symbol("t")])
    given = {n: [ring.ground_new(draw.getrandbits(40) + 1) for _ in range(k)] for n, k in circuit.inputs.items()}
    value, rate = terminals(circuit, given, ring), dict[Wire, list]()
    expand(circuit, value, rate, ring)
    field = [p for w in circuit.integrals for p in rate[w]]
    return field + ([ring.one] if any(m[-1] for p in field for m in p) else [])


def most_terms(circuit: Circuit, cut: Any = (), wires: Any = None) -> float:
    """Upper bound on the number of monomials that an expansion handles, repetitions counted; nothing is expanded.

    Entries of wires in `cut` and of their rates count as one each; `wires` are those to be expanded, in order.
    """
    wires = wires or circuit.wires
    known: list[Wire] = [*(w for w in wires if isinstance(w, (Integral, Input, Time))), *cut]
    symbols = sum(w.size for w in known) + sum(w.size for w in cut)
    value = {w: (np.ones(w.size), 1) for w in (*circuit.integrals, *known)}  # counts, and the degree
    rate = {w: (np.ones(w.size), 1) for w in cut}
    src, total = circuit.source, 0.0
    for w in wires:
        if isinstance(w, Linear):
            value[w] = _capped(*_sum_of(w, value, circuit, w.bias is not None), symbols)
        elif isinstance(w, Product):
            value[w] = _capped(*_product_of(w, value[src(w.left)], value[src(w.right)]), symbols)
        elif w not in value:
            value[w] = np.ones(w.size), 0
    for w in wires:
        if isinstance(w, Linear):
            rate[w] = _capped(*_sum_of(w, rate, circuit, False), symbols)
        elif isinstance(w, Product):
            left, right = src(w.left), src(w.right)
            (a, m), (b, n) = _product_of(w, rate[left], value[right]), _product_of(w, value[left], rate[right])
            rate[w] = _capped(a + b, max(m, n), symbols)
        elif isinstance(w, Integral):
            (u, m), (dv, n) = value[src(w.integrand)], rate[src(w.variable)]
            rate[w] = np.broadcast_to(u * dv, (w.size,)), m + n
        else:
            rate[w] = np.full(w.size, float(isinstance(w, Time))), 0
        total += float(rate[w][0].sum())
    return total


def _capped(counts: np.ndarray, degree: int, symbols: int) -> tuple[np.ndarray, int]:
    """There are no more monomials than a full polynomial of the degree has."""
    return np.minimum(counts, comb(symbols + degree, degree) if degree < 20 else np.inf), degree


def _sum_of(w: Linear, of: dict[Wire, tuple[np.ndarray, int]], circuit: Circuit, bias: bool) -> tuple[np.ndarray, int]:
    total, degree = np.full(w.size, float(bias)), 0
    for matrix, operand in w.terms:
        counts, d = of[circuit.source(operand)]
        total, degree = total + ((matrix != 0) @ counts if matrix.ndim == 2 else (matrix != 0) * counts), max(degree, d)
    return total, degree


def _product_of(w: Product, left: tuple[np.ndarray, int], right: tuple[np.ndarray, int]) -> tuple[np.ndarray, int]:
    (a, m), (b, n) = left, right
    if w.einsum is None:
        return a * b, m + n
    words, left_shape, right_shape = w.einsum
    return np.einsum(words, a.reshape(left_shape), b.reshape(right_shape)).reshape(-1), m + n
