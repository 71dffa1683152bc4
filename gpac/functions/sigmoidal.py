"""tanh and sigmoid, carried as the pair (u, d) with d = 1 - u^2.

u' = d z' and d' = -2 u u' is the well-conditioned form: d keeps its *relative* accuracy however small it
gets, so a neuron that saturates and comes back loses no more digits than its neighbours. The shorter
u' = (1 - u^2) z' multiplies every rounding error by cosh(z)^2 on the way back.
"""

from __future__ import annotations

from typing import Any

from ..exact import to_exact
from ..wire import Wire, as_wire, declared, integral, linear, wire
from .start import carried, start


def tanh_pair(z: Wire, name: str = "tanh", initial: tuple[Any, Any] | None = None) -> tuple[Wire, Wire]:
    """(u, d) = (tanh(z), 1 - tanh(z)^2) as integrators: du = d dz, dd = -2 u du.

    `initial` overrides the values at t = 0, which otherwise are tanh(z(0)) and sech(z(0))^2.
    """
    z = as_wire(z)
    u0, d0 = initial or (start("tanh", z), start("sech_squared", z))
    slope = wire(f"{name}_slope", z.size)
    u = integral(slope, z, u0, name=name)
    d = integral(linear([(-2, u)]), u, d0, name=f"{name}_slope", signs="+")
    slope.define(d)
    return u, d


@carried("tanh")
def tanh(z: Wire) -> Wire:
    """tanh(z), with its slope 1 - tanh(z)^2 as a companion integrator."""
    return tanh_pair(z)[0]


def sigmoid(z: Wire) -> Wire:
    """1/(1 + exp(-z)) = (1 + tanh(z/2))/2, always positive."""
    half = to_exact(0.5)
    u = tanh(linear([(half, as_wire(z))]))
    return declared(linear([(half, u)], half), "+")
