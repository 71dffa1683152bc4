"""The right side y' = f(t, y) on arrays: order 1 of the states' Taylor series, and nothing that it does not need.

An integrator of u with respect to v has the rate u v': of u it needs the value, of v the rate. A neuron's pair
u = tanh(z), d = 1 - u^2 needs z' and never z, so half of a network's matrix products fall away.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..circuit import Circuit
from ..wire import Integral, Linear, Product, Time, Wire
from .series import Array, Series


class RightSide:
    """y' of a circuit's states in arrays of its `Series`."""

    def __init__(self, series: Series) -> None:
        self.series = series
        self.values, self.rates = needs(series.circuit)

    def __call__(self, c: Array, slack: Array, inputs: dict[str, Array], t: Array) -> Array:
        """y' (block, dim, lane) at time t (block, lane) of the states c[0][:, :dim].

        `c` and `slack` are of `Series.allocate(1, ...)`; what never moves stands in c[0] already.
        """
        self.series.values(c, inputs, t, still=False, only=self.values)
        self.series.order(c, slack, 1, only=self.rates)
        return c[1][:, : self.series.dim]


def needs(circuit: Circuit) -> tuple[set[Wire], set[Wire]]:
    """Wires whose values, and wires whose rates, the rates of the states are made of."""
    source = circuit.source
    integrands = [source(w.integrand) for w in circuit.integrals]
    variables = [source(w.variable) for w in circuit.integrals if not isinstance(source(w.variable), Time)]
    rates = set(circuit.integrals) | _cone(circuit, variables)
    factors = [source(x) for w in rates if isinstance(w, Product) for x in (w.left, w.right)]
    return _cone(circuit, [*integrands, *factors]), rates | {w for w in circuit.wires if isinstance(w, Time)}


def _cone(circuit: Circuit, wires: Iterable[Wire]) -> set[Wire]:
    """Wires, and the sums and products behind them as far as the integrators."""
    found: set[Wire] = set()
    stack = list(wires)
    while stack:
        w = stack.pop()
        if w in found or isinstance(w, Integral):
            continue
        found.add(w)
        if isinstance(w, Linear):
            stack += [circuit.source(x) for _, x in w.terms]
        elif isinstance(w, Product):
            stack += [circuit.source(w.left), circuit.source(w.right)]
    return found
