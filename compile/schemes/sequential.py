"""Sequential: layer after layer, a schedule, exact.

In its phase a layer's argument z is constant, and u' = d z, d' = -2 u u' runs from u = 0, d = 1 for one unit of
time: u ends at tanh(z). Every neuron is a system of its own and moves in one direction only, which makes this
the best conditioned scheme. Source of the idea, for sigmoids: Ivanov et al., HSCC 2019 (Verisig).
"""

from __future__ import annotations

from fractions import Fraction

from gpac.circuit import Circuit
from gpac.functions import tanh_pair
from gpac.program import Program
from gpac.schedule import Phase, Schedule
from gpac.wire import Wire, inputs, product, time

from ..network import Network, chain
from .neurons import activated, argument, linear_wire, pair_invariant


def sequential(network: Network) -> Schedule:
    """Compile a network into a schedule with one phase of duration 1 per activation layer.

    Input "x" (network.size,), output "y"; phase l hands "layer<l>" on to the next.
    """
    stages = chain(network.layers)
    if stages[-1][1] is None and len(stages) > 1:  # the linear end is read off in the last phase
        body, end = stages[:-1], stages[-1][0]
    else:
        body, end = stages, ()
    phases = []
    value: Wire = inputs("x", network.size)
    for number, (layers, activation) in enumerate(body, 1):
        z = linear_wire(layers, value)
        if activation is None:
            phases.append(Phase(Circuit({"y": z}), Fraction(1)))
            break
        u, d = _neurons(argument(activation, z), number)
        name = "y" if number == len(body) else f"layer{number}"
        value = activated(activation, u)
        if name == "y":
            value = linear_wire(end, value)
        program = Program("sequential", horizon=Fraction(1), invariants=(pair_invariant(number, u, d),))
        phases.append(Phase(Circuit({name: value}, program), Fraction(1)))
        value = inputs(name, value.size)
    return Schedule(tuple(phases), Program("sequential", "exact", Fraction(len(phases))))


def _neurons(z: Wire, number: int) -> tuple[Wire, Wire]:
    """u and d with u' = d z for a z constant in time: functions of t z."""
    return tanh_pair(product(time(), z), name=f"u{number}", initial=(0, 1))
