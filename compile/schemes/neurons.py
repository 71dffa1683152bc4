"""What all schemes share: linear layers as wires, and neurons as (u, d) pairs.

Every activation is written with u = tanh(z): sigmoid(z) = (1 + tanh(z/2))/2. The halves stay exact linear
units of their own; they are not rounded into the weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from gpac.program import Invariant
from gpac.wire import Wire, linear, product

from ..network import Dense, Scale, Sigmoid, Tanh

HALF = Fraction(1, 2)


def linear_wire(layers: Sequence[Dense | Scale], x: Wire, ramp: Wire | None = None) -> Wire:
    """The linear layers applied to a wire; with `ramp`, every offset is multiplied by that wire."""
    for layer in layers:
        matrix, offset = (layer.weight, layer.bias) if isinstance(layer, Dense) else (layer.factor, layer.offset)
        if isinstance(layer, Scale) and len(matrix) == 1:
            matrix = matrix[0]
        if ramp is None:
            x = linear([(matrix, x)], offset)
        elif offset.any():
            x = linear([(matrix, x), (offset.reshape(-1, 1), ramp)])
        else:
            x = linear([(matrix, x)])
    return x


def argument(activation: Tanh | Sigmoid, z: Wire) -> Wire:
    """What tanh is applied to: z itself, or z/2 for a sigmoid."""
    return linear([(HALF, z)]) if isinstance(activation, Sigmoid) else z


def activated(activation: Tanh | Sigmoid, u: Wire, ramp: Wire | None = None) -> Wire:
    """The activation's value from u = tanh(argument): u itself, or (1 + u)/2 (the 1 ramped if asked)."""
    if isinstance(activation, Tanh):
        return u
    return linear([(HALF, u)], HALF) if ramp is None else linear([(HALF, u), (HALF, ramp)])


def pair_invariant(number: int, u: Wire, d: Wire) -> Invariant:
    """u^2 + d = 1 in every neuron of a layer."""
    return Invariant(f"u{number}^2 + d{number}", linear([(1, product(u, u)), (1, d)]), Fraction(1))
