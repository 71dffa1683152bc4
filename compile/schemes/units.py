"""What all schemes share: operations of a network as wires, whose values all start at 0."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gpac.errors import CircuitError
from gpac.program import Invariant
from gpac.wire import Wire, bilinear, constant, linear, product

from ..activations import RULES
from ..activations.softmax import softmax_circuit
from ..network import Network
from ..operations import Activation, Affine, Multiply, Softmax


def affine(operation: Affine, wires: Sequence[Wire], ramp: Wire | None = None) -> Wire:
    """The affine map of wires; with `ramp`, its offset is multiplied by that wire."""
    terms: list[Any] = list(zip(operation.matrices, wires, strict=True))
    if not operation.bias.any():
        return linear(terms) if terms else constant(operation.bias)
    if ramp is None:
        return linear(terms, operation.bias) if terms else constant(operation.bias)
    return linear([*terms, (operation.bias.reshape(-1, 1), ramp)])


def multiply(operation: Multiply, left: Wire, right: Wire) -> Wire:
    """The product of two wires."""
    return (
        product(left, right)
        if operation.einsum is None
        else bilinear(operation.einsum[0], left, right, *operation.einsum[1:])
    )


def activated(network: Network, number: int, z: Wire, setting: Any) -> tuple[Wire, tuple[Invariant, ...]]:
    """Value of the activation or softmax that is node `number`, driven by its argument z, and its invariants."""
    operation = network.nodes[number - 1].operation
    if isinstance(operation, Softmax):
        carried = softmax_circuit(operation.groups, operation.result, z, setting)
    else:
        assert isinstance(operation, Activation)
        carried = RULES[operation.name].circuit(z, operation.parameter, setting)
    return setting.value(carried.part, carried.constant), carried.invariants


_ANYWHERE = (
    "tanh sigmoid softplus log_sigmoid silu mish tanhshrink gaussian erf gelu gelu_tanh exp sin cos arctan square "
    "power factor rsqrt sqrt reciprocal log"
)
ANYWHERE = frozenset(_ANYWHERE.split(" "))
"""Activations whose circuits ask the setting for their start values, so that arguments may start anywhere."""


def check_anywhere(network: Network, number: int) -> None:
    """Raise `CircuitError` if the activation that is node `number` can only start at its base."""
    node = network.nodes[number - 1]
    if isinstance(node.operation, Activation) and node.operation.name not in ANYWHERE:
        raise CircuitError(
            f"layer {number} of {network.name!r}, {node!r}: its circuit starts at one place only, not at any base; "
            "compile without base="
        )


def check_argument(network: Network, number: int, z: Wire) -> None:
    """Raise `CircuitError` if node `number` is defined for arguments >= 0 alone and z is not proven to be one."""
    node = network.nodes[number - 1]
    nonnegative = isinstance(node.operation, Activation) and RULES[node.operation.name].nonnegative
    if nonnegative and "-" in z.signs:
        raise CircuitError(
            f"layer {number} of {network.name!r}, {node!r}: expected an argument that is proven never to be negative, "
            "such as a sum of squares"
        )
