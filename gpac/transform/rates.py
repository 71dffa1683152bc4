"""The right side of a circuit as a circuit without integrators: states in, their rates out.

Every integrator's output becomes an input, and the rate of every wire follows from the rates of those it is made
of: a sum's is the sum, a product's has two terms, an integrator of u with respect to v has the rate u v'. The
tangent of this circuit is the Jacobian of the right side, exact and without an expansion into polynomials.
"""

from __future__ import annotations

import numpy as np

from ..circuit import Circuit
from ..wire import Constant, Input, Integral, Linear, Product, Time, Wire, constant


def state_name(number: int) -> str:
    """Name of the input that stands for the integrator of this number."""
    return f"state {number}"


def rate_name(number: int) -> str:
    """Name of the output that is the rate of the integrator of this number."""
    return f"rate {number}"


def rates(circuit: Circuit) -> Circuit:
    """y' of every integrator, as outputs "rate 0", "rate 1", ... of a circuit of inputs and time.

    Its inputs are those of `circuit` that the rates need, and "state 0", "state 1", ... for the outputs of
    `circuit.integrals`. It holds sums and products only: its outputs at a time are those of their operands.

    >>> import gpac, sympy
    >>> y = sympy.Symbol("y")
    >>> right = rates(gpac.PIVP({y: 1 + y**2}, {y: 0}).to_circuit())
    >>> list(right.inputs), list(right.outputs), right.dim
    (['state 0'], ['rate 0'], 0)
    """
    source = circuit.source
    value: dict[Wire, Wire] = {w: Input(w.size, name=state_name(n)) for n, w in enumerate(circuit.integrals)}
    for w in circuit.wires:
        if isinstance(w, (Constant, Input, Time)):
            value[w] = w
        elif isinstance(w, Linear):
            value[w] = Linear(tuple((m, value[source(x)]) for m, x in w.terms), w.bias, w.size)
        elif isinstance(w, Product):
            value[w] = Product(value[source(w.left)], value[source(w.right)], w.einsum)
    found: dict[Wire, Wire] = {}
    for w in circuit.wires:
        rate = _rate(w, circuit, value, found)
        if rate is not None:
            found[w] = rate
    outputs = [found.get(w, constant(np.zeros(w.size))) for w in circuit.integrals]
    return Circuit({rate_name(n): w for n, w in enumerate(outputs)})


def _rate(w: Wire, circuit: Circuit, value: dict[Wire, Wire], found: dict[Wire, Wire]) -> Wire | None:
    """How fast a wire moves; None where it stays."""
    source = circuit.source
    if isinstance(w, Time):
        return constant(1)
    if isinstance(w, Linear):
        terms = tuple((m, found[source(x)]) for m, x in w.terms if source(x) in found)
        return Linear(terms, None, w.size) if terms else None
    if isinstance(w, Product):
        left, right = source(w.left), source(w.right)
        parts: list[Wire] = []
        if left in found:
            parts.append(Product(found[left], value[right], w.einsum))
        if right in found:
            parts.append(Product(value[left], found[right], w.einsum))
        return None if not parts else parts[0] if len(parts) == 1 else parts[0] + parts[1]
    if isinstance(w, Integral):
        u, v = source(w.integrand), source(w.variable)
        if isinstance(v, Time):
            return value[u]
        return Product(value[u], found[v]) if v in found else None
    return None
