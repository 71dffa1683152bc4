"""Homotopy: the whole network as one analytic system, exact at t = 1.

The input and every offset are switched on in proportion to t: z_1 = t (W_1 x + b_1), z_l = W_l u_{l-1} + t b_l.
Every value starts at 0 (an activation f as f(z) - f(0) + t f(0), an irrational f(0) along a path of its own), so
every start value is rational and known, and at t = 1 the outputs *are* the network's. As Shannon's integrators:
u_l = integral of d_l dz_l, d_l = 1 - 2 integral of u_l du_l. From a base input instead, the input alone is on its way.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np

from gpac.circuit import Circuit
from gpac.errors import ShapeError
from gpac.exact import exact_array, to_fractions
from gpac.program import Invariant, Program
from gpac.wire import Wire, constant, inputs, linear, product, time

from ..distance import stated
from ..network import Network
from ..operations import Affine, Multiply
from .settings import Ramp, Still
from .units import activated, affine, check_anywhere, check_argument, multiply


def homotopy(network: Network, base: Any = None) -> Circuit:
    """Compile a network into one circuit whose output "y" at t = 1 is the network's output, exactly.

    Inputs: "x" (network.size,). Circuit degree grows by one per layer, length can double per layer (measured
    on tent networks), and neurons that saturate and come back cost digits: `gpac.measure` reports them.

    Parameters
    ----------
    base : (size,) exact numbers, optional
        Compile the network around this input: along x(t) = base + t (x - base), with all offsets in full, the output
        at every t is the network's at x(t). Start values are then the activations at the base: functions of
        rational numbers, which every engine evaluates in its own arithmetic (the prover in balls). Without `base`
        the path starts where all values are 0 and every start value is rational.

    >>> from compile import Network, Tanh, dense
    >>> homotopy(Network(1, [dense([[2.0]]), Tanh(), dense([[1.0]])]))
    Circuit(y; 2 states, 2 weights)
    """
    t = time()
    ramp = Ramp(t) if base is None else Still(anywhere=True)
    values = [_first(network, t, base)]
    invariants: list[Invariant] = []
    count = 0
    for number, node in enumerate(network.nodes, 1):
        operands = [values[k] for k in node.inputs]
        if isinstance(node.operation, Affine):
            values.append(_affine(node.operation, operands, t, base is not None))
        elif isinstance(node.operation, Multiply):
            values.append(_Value(t, multiply(node.operation, *(v.wire for v in operands))))
        else:
            count += node.operation.nonlinear
            check_argument(network, number, operands[0].wire)
            if base is not None:
                check_anywhere(network, number)
            value, kept = activated(network, number, operands[0].wire, ramp.named(str(count)))
            values.append(_Value(t, value))
            invariants += kept
    constants = ramp.constants if isinstance(ramp, Ramp) else ()
    program = Program("homotopy", "exact", Fraction(1), invariants=tuple(invariants), constants=constants)
    return Circuit({"y": values[-1].wire}, stated(program, network))


def _first(network: Network, t: Wire, base: Any) -> _Value:
    """The input on its way."""
    x = inputs("x", network.size)
    if base is None:
        return _Value(t, still=x)
    start = exact_array(base).reshape(-1)
    if start.shape != (network.size,):
        raise ShapeError(f"expected a base of {network.size} numbers for {network!r}, got {start.size}")
    return _Value(t, still=linear([(1, x)], -to_fractions(start)), start=constant(start))


@dataclass(frozen=True, eq=False)
class _Value:
    """A value along the homotopy; where it is `start` + t * `still`, wires constant in time, `moving` is left out.

    Then t is multiplied when needed. `start` None is 0.
    """

    t: Wire
    moving: Wire | None = None
    still: Wire | None = None
    start: Wire | None = None

    @cached_property
    def wire(self) -> Wire:
        if self.moving is not None:
            return self.moving
        still = self.still if self.still is not None or self.start is None else constant(np.zeros(self.start.size))
        assert still is not None
        way = product(self.t, still)
        return way if self.start is None else linear([(1, self.start), (1, way)])


def _affine(operation: Affine, operands: list[_Value], t: Wire, based: bool) -> _Value:
    if any(v.moving is not None for v in operands):
        return _Value(t, affine(operation, [v.wire for v in operands], None if based else t))
    stills = [(matrix, v.still) for matrix, v in zip(operation.matrices, operands, strict=True) if v.still is not None]
    if not based:
        return _Value(t, still=affine(operation, [still for _, still in stills]))
    start = affine(operation, [v.start for v in operands if v.start is not None])
    return _Value(t, still=linear(stills) if stills else None, start=start)
