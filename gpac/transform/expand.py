"""Circuit to PIVP and back.

To a PIVP: one variable per scalar integrator (and a clock where time is read); values of all other wires are
polynomials of these, and the rate of an integrator is integrand times rate of its variable (Graca and Costa
2003). Expanding into monomials can be exponential in depth: it is done only when asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..elementary import TABLE
from ..errors import ShapeError
from ..exact import exact_array, to_exact, to_fractions, to_sympy
from ..pivp import PIVP, fraction, ring_of
from ..wire import (
    Constant,
    Input,
    Integral,
    Linear,
    Product,
    Start,
    Time,
    Wire,
    constant,
    inputs,
    linear,
    product,
    wire,
)

if TYPE_CHECKING:
    from ..circuit import Circuit


def circuit_to_pivp(circuit: Circuit, values: Mapping[str, Any]) -> PIVP:
    """The circuit with inputs fixed to exact numbers, expanded to polynomials.

    Start values that are functions of inputs become exact constants, such as tanh(1/3).
    """
    import sympy

    given = _input_values(circuit, values)
    names = _variable_names(circuit)
    symbols = {w: [sympy.Symbol(n) for n in names[w]] for w in circuit.integrals}
    t = sympy.Symbol(_free_name("t", {n for ns in names.values() for n in ns}))
    ring = ring_of([s for w in circuit.integrals for s in symbols[w]] + [t])
    numbers = {name: [_coefficient(v, ring) for v in entries] for name, entries in given.items()}
    value, rate = terminals(circuit, numbers, ring), dict[Wire, list]()
    expand(circuit, value, rate, ring)
    start = _starts(circuit, given)
    equations = {s: p.as_expr() for w in circuit.integrals for s, p in zip(symbols[w], rate[w], strict=True)}
    initial = {s: c for w in circuit.integrals for s, c in zip(symbols[w], start[w], strict=True)}
    outputs: dict[str, Any] = {}
    for name, w in circuit.outputs.items():
        entries = value[circuit.source(w)]
        outputs |= {name if len(entries) == 1 else f"{name}_{i}": p.as_expr() for i, p in enumerate(entries)}
    used = {s for e in [*equations.values(), *outputs.values()] for s in e.free_symbols}
    if t in used or not equations:  # the clock, where time itself is read
        equations[t], initial[t] = sympy.Integer(1), 0
    return PIVP(equations, initial, outputs)


def expand(circuit: Circuit, value: dict[Wire, list], rate: dict[Wire, list], ring: Any, wires: Any = None) -> None:
    """Add to `value` and `rate` the entries of every wire (or of `wires`, in order), as elements of a ring.

    `value` must have the integrators, inputs and time; what is there already is kept.
    """
    for w in wires or circuit.wires:
        if w not in value:
            value[w] = _value(w, value, ring, circuit)
    for w in wires or circuit.wires:
        if w not in rate:
            rate[w] = [ring.one] if isinstance(w, Time) else _rate(w, value, rate, ring, circuit)


def terminals(circuit: Circuit, given: Mapping[str, list], ring: Any) -> dict[Wire, list]:
    """Integrators and t as the first generators of a ring in their order, and inputs as they are given."""
    generators = iter(ring.gens)
    value: dict[Wire, list] = {w: [next(generators) for _ in range(w.size)] for w in circuit.integrals}
    t = next(generators)
    value |= {w: [t] for w in circuit.wires if isinstance(w, Time)}
    return value | {w: list(given[w.key]) for w in circuit.wires if isinstance(w, Input)}


def pivp_to_circuit(pivp: PIVP, free_start: bool) -> Circuit:
    """One integrator of size 1 per variable, products shared between monomials."""
    from ..circuit import Circuit
    from ..wire import integral

    names = [str(v) for v in pivp.variables]
    loops = [wire(n) for n in names]
    known: dict[tuple[int, ...], Wire] = {}
    start = inputs("initial", pivp.dim) if free_start else None
    for i, (loop, polynomial) in enumerate(zip(loops, pivp.polynomials, strict=True)):
        first: Any = pivp.initial[i]
        if start is not None:
            first = Start("identity", linear([(np.eye(pivp.dim)[i : i + 1], start)]))
        loop.define(integral(_sum_of_monomials(polynomial, loops, known), None, first, name=names[i]))
    return Circuit({n: _sum_of_monomials(p, loops, known) for n, p in pivp.outputs})


def expression_to_wire(pivp: PIVP, circuit: Circuit, expression: Any) -> Wire:
    """A polynomial of the variables of a PIVP as a wire over the integrators of the circuit made from it.

    Raises
    ------
    CircuitError
        If the expression is no polynomial of the variables, or takes a variable that no output needs.
    """
    from ..errors import CircuitError

    polynomial = PIVP(
        pivp.expressions(), dict(zip(pivp.variables, pivp.initial, strict=True)), {"the observed value": expression}
    )
    (_, p), integrals = polynomial.outputs[0], {w.name: w for w in circuit.integrals}
    for v, exponent in zip(pivp.variables, p.degrees(), strict=True):
        if exponent > 0 and str(v) not in integrals:
            raise CircuitError(f"{expression} takes {v}, which no output needs; give {v} as an output of the PIVP too")
    return _sum_of_monomials(p, [integrals.get(str(v)) for v in pivp.variables], {})


def _sum_of_monomials(polynomial: Any, loops: list, known: dict[tuple[int, ...], Wire]) -> Wire:
    bias: Any = 0
    terms = []
    for monomial, coefficient in polynomial.terms():
        if sum(monomial):
            terms.append((fraction(coefficient), _monomial(tuple(monomial), loops, known)))
        else:
            bias = fraction(coefficient)
    if len(terms) == 1 and terms[0][0] == 1 and not bias:
        return terms[0][1]
    return linear(terms, bias) if terms else constant(bias)


def _monomial(exponents: tuple[int, ...], loops: list, known: dict[tuple[int, ...], Wire]) -> Wire:
    """The product wire of a monomial, made of the halves of its factor list so that powers are shared."""
    if sum(exponents) == 1:
        return loops[exponents.index(1)]
    if exponents not in known:
        factors = [i for i, e in enumerate(exponents) for _ in range(e)]
        half = len(factors) // 2
        if all(e % 2 == 0 for e in exponents):
            left = right = tuple(e // 2 for e in exponents)
        else:
            left = tuple(factors[:half].count(i) for i in range(len(exponents)))
            right = tuple(factors[half:].count(i) for i in range(len(exponents)))
        known[exponents] = product(_monomial(left, loops, known), _monomial(right, loops, known))
    return known[exponents]


def _input_values(circuit: Circuit, values: Mapping[str, Any]) -> dict[str, np.ndarray]:
    out = {}
    for name, size in circuit.inputs.items():
        if name not in values:
            raise ShapeError(f"to write the circuit as polynomials, give input {name!r} ({size} exact numbers)")
        out[name] = to_fractions(np.atleast_1d(exact_array(values[name])))
        if out[name].shape != (size,):
            raise ShapeError(f"input {name!r} must have shape ({size},), got {out[name].shape}")
    return out


def _variable_names(circuit: Circuit) -> dict[Wire, list[str]]:
    used: set[str] = set()
    labels: dict[Wire, list[str]] = {}
    read = {circuit.source(w): n for n, w in reversed(list(circuit.outputs.items()))}
    for number, w in enumerate(circuit.integrals, 1):
        label = _free_name(read.get(w) or w.name or f"y{number}", used)
        used.add(label)
        labels[w] = [label] if w.size == 1 else [f"{label}_{i}" for i in range(w.size)]
        used |= set(labels[w])
    return labels


def _free_name(name: str, used: set[str]) -> str:
    number, candidate = 1, name
    while candidate in used:
        number += 1
        candidate = f"{name}{number}"
    return candidate


def _value(w: Wire, value: dict, ring: Any, circuit: Circuit) -> list:
    if isinstance(w, Constant):
        return [_coefficient(v, ring) for v in w.values]
    if isinstance(w, Linear):
        bias = None if w.bias is None else [_coefficient(b, ring) for b in w.bias]
        return _combine(w, value, bias, ring, circuit)
    assert isinstance(w, Product)
    return _multiply(w, value[circuit.source(w.left)], value[circuit.source(w.right)], ring)


def _rate(w: Wire, value: dict, rate: dict, ring: Any, circuit: Circuit) -> list:
    if isinstance(w, Linear):
        return _combine(w, rate, None, ring, circuit)
    if isinstance(w, Product):
        left, right = circuit.source(w.left), circuit.source(w.right)
        return [
            a + b
            for a, b in zip(
                _multiply(w, rate[left], value[right], ring), _multiply(w, value[left], rate[right], ring), strict=True
            )
        ]
    if isinstance(w, Integral):
        u, dv = value[circuit.source(w.integrand)], rate[circuit.source(w.variable)]
        return [u[i if len(u) > 1 else 0] * dv[i if len(dv) > 1 else 0] for i in range(w.size)]
    return [ring.zero] * w.size


def _combine(w: Linear, entries: dict, bias: list | None, ring: Any, circuit: Circuit) -> list:
    total = bias or [ring.zero] * w.size
    for matrix, operand in w.terms:
        x = entries[circuit.source(operand)]
        if matrix.ndim == 2:
            rows = matrix.toarray() if hasattr(matrix, "tocsr") else matrix
            term = [_dot(row, x, ring) for row in rows]
        else:
            term = [x[i] * _rational(matrix[i] if matrix.ndim else matrix[()]) for i in range(w.size)]
        total = [a + b for a, b in zip(total, term, strict=True)]
    return total


def _dot(row: np.ndarray, x: list, ring: Any) -> Any:
    total = ring.zero
    for coefficient, entry in zip(row, x, strict=True):
        if coefficient:
            total = total + entry * _rational(coefficient)
    return total


def _multiply(w: Product, left: list, right: list, ring: Any) -> list:
    out = [ring.zero] * w.size
    for o, i, j in zip(*w.pairs(), strict=True):
        out[o] = out[o] + left[i] * right[j]
    return out


def _rational(value: Any) -> Any:
    from sympy import QQ

    exact = to_exact(value)
    if not hasattr(exact, "numerator"):
        raise ShapeError(
            f"the coefficient {exact} is irrational; a PIVP has rational coefficients, make the constant a state"
        )
    return QQ(exact.numerator, exact.denominator)


def _coefficient(value: Any, ring: Any) -> Any:
    return ring.ground_new(_rational(value))


def _starts(circuit: Circuit, given: dict) -> dict[Wire, list]:
    """Exact start values of all integrators, as fractions or sympy constants."""
    import sympy

    at_zero: dict[Wire, list] = {}
    for w in circuit.wires:
        if isinstance(w, Integral):
            if isinstance(w.initial, Start):
                function = TABLE[w.initial.function].sympy
                arguments = at_zero[circuit.source(w.initial.wire)]
                at_zero[w] = [function(sympy, x, *w.initial.parameters) for x in arguments]
            else:
                at_zero[w] = [to_sympy(v) for v in w.initial]
        elif isinstance(w, Constant):
            at_zero[w] = [to_sympy(v) for v in w.values]
        elif isinstance(w, Input):
            at_zero[w] = [to_sympy(v) for v in given[w.key]]
        elif isinstance(w, Time):
            at_zero[w] = [sympy.Integer(0)]
        elif isinstance(w, Linear):
            at_zero[w] = _combine_sympy(w, at_zero, circuit)
        else:
            assert isinstance(w, Product)
            left, right = at_zero[circuit.source(w.left)], at_zero[circuit.source(w.right)]
            out = [sympy.Integer(0)] * w.size
            for o, i, j in zip(*w.pairs(), strict=True):
                out[o] = out[o] + left[i] * right[j]
            at_zero[w] = out
    return {w: [to_exact(v) for v in at_zero[w]] for w in circuit.integrals}


def _combine_sympy(w: Linear, at_zero: dict, circuit: Circuit) -> list:
    import sympy

    total = [sympy.Integer(0)] * w.size if w.bias is None else [to_sympy(b) for b in w.bias]
    for matrix, operand in w.terms:
        x = at_zero[circuit.source(operand)]
        for i in range(w.size):
            if matrix.ndim == 2:
                row = matrix[[i], :].toarray()[0] if hasattr(matrix, "tocsr") else matrix[i]
                total[i] += sum((to_sympy(c) * v for c, v in zip(row, x, strict=True) if c), sympy.Integer(0))
            else:
                total[i] += to_sympy(matrix[i] if matrix.ndim else matrix[()]) * x[i]
    return total
