"""Homotopy: the whole network as one analytic system, exact at t = 1.

The input and every offset are switched on in proportion to t: z_1 = t (W_1 x + b_1), z_l = W_l u_{l-1} + t b_l.
Every value starts at 0 (an activation f as f(z) - f(0) + t f(0), an irrational f(0) along a path of its own), so
every start value is rational and known, and at t = 1 the outputs *are* the network's. As Shannon's integrators:
u_l = integral of d_l dz_l, d_l = 1 - 2 integral of u_l du_l.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

from gpac.circuit import Circuit
from gpac.program import Invariant, Program
from gpac.wire import Wire, inputs, product, time

from ..distance import stated
from ..network import Network
from ..operations import Affine, Multiply
from .settings import Ramp
from .units import activated, affine, check_argument, multiply


def homotopy(network: Network) -> Circuit:
    """Compile a network into one circuit whose output "y" at t = 1 is the network's output, exactly.

    Inputs: "x" (network.size,). Circuit degree grows by one per layer, length can double per layer (measured
    on tent networks), and neurons that saturate and come back cost digits: `gpac.measure` reports them.

    >>> from compile import Network, Tanh, dense
    >>> homotopy(Network(1, [dense([[2.0]]), Tanh(), dense([[1.0]])]))
    Circuit(y; 2 states, 2 weights)
    """
    t = time()
    ramp = Ramp(t)
    values = [_Value(t, still=inputs("x", network.size))]
    invariants: list[Invariant] = []
    count = 0
    for number, node in enumerate(network.nodes, 1):
        operands = [values[k] for k in node.inputs]
        if isinstance(node.operation, Affine):
            values.append(_affine(node.operation, operands, t))
        elif isinstance(node.operation, Multiply):
            values.append(_Value(t, multiply(node.operation, *(v.wire for v in operands))))
        else:
            count += node.operation.nonlinear
            check_argument(network, number, operands[0].wire)
            value, kept = activated(network, number, operands[0].wire, ramp.named(str(count)))
            values.append(_Value(t, value))
            invariants += kept
    program = Program("homotopy", "exact", Fraction(1), invariants=tuple(invariants), constants=ramp.constants)
    return Circuit({"y": values[-1].wire}, stated(program, network))


@dataclass(frozen=True, eq=False)
class _Value:
    """A value along the homotopy; `still` where it is t times a constant wire, which is multiplied by t when needed."""

    t: Wire
    moving: Wire | None = None
    still: Wire | None = None

    @cached_property
    def wire(self) -> Wire:
        if self.moving is not None:
            return self.moving
        assert self.still is not None
        return product(self.t, self.still)


def _affine(operation: Affine, operands: list[_Value], t: Wire) -> _Value:
    stills = [v.still for v in operands if v.still is not None]
    if len(stills) == len(operands):
        return _Value(t, still=affine(operation, stills))
    return _Value(t, affine(operation, [v.wire for v in operands], ramp=t))
