"""Homotopy: the whole network as one analytic system, exact at t = 1.

The input and every offset are switched on in proportion to t: z_1 = t (W_1 x + b_1), z_l = W_l u_{l-1} + t b_l,
so everything starts at 0 (slopes at 1), every start value is rational, and at t = 1 the outputs *are* the
network's. As Shannon's integrators: u_l = integral of d_l dz_l, d_l = 1 - 2 integral of u_l du_l.
"""

from __future__ import annotations

from fractions import Fraction

from gpac.circuit import Circuit
from gpac.functions import tanh_pair
from gpac.program import Invariant, Program
from gpac.wire import Wire, inputs, product, time

from ..network import Network, chain
from .neurons import activated, argument, linear_wire, pair_invariant


def homotopy(network: Network) -> Circuit:
    """Compile a network into one circuit whose output "y" at t = 1 is the network's output, exactly.

    Inputs: "x" (network.size,). Circuit degree grows by one per layer, length can double per layer (measured
    on tent networks), and neurons that saturate and come back cost digits: `gpac.measure` reports them.

    >>> from compile.network import Network, Tanh, dense
    >>> homotopy(Network(1, [dense([[2.0]]), Tanh(), dense([[1.0]])]))
    Circuit(y; 2 states, 2 weights)
    """
    t = time()
    x = inputs("x", network.size)
    value: Wire = x
    invariants: list[Invariant] = []
    for number, (layers, activation) in enumerate(chain(network.layers), 1):
        z = product(t, linear_wire(layers, x)) if number == 1 else linear_wire(layers, value, ramp=t)
        if activation is None:
            value = z
            break
        u, d = tanh_pair(argument(activation, z), name=f"u{number}", initial=(0, 1))
        invariants.append(pair_invariant(number, u, d))
        value = activated(activation, u, ramp=t)
    program = Program("homotopy", "exact", Fraction(1), invariants=tuple(invariants))
    return Circuit({"y": value}, program)
