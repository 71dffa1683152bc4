"""A network whose activations pursue their arguments: what the relaxation and the clocked scheme share.

The argument z of every activation is a state that moves towards its target, what the network says it is, and the
activation's integrators follow z. The schemes differ in how z moves.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gpac.program import Invariant
from gpac.wire import Wire, inputs

from ..activations import RULES
from ..network import Network
from ..operations import Activation, Affine, Multiply, Operation
from .settings import Still
from .units import activated, affine, check_argument, multiply


def pursued(network: Network, pursuing: Callable[[int, Wire, Any, str], Wire]) -> tuple[Wire, tuple[Invariant, ...]]:
    """The output, and the invariants; `pursuing(node, target, start, name)` is the argument z of node number `node`."""
    values: list[Wire] = [inputs("x", network.size)]
    invariants: list[Invariant] = []
    count = 0
    for number, node in enumerate(network.nodes, 1):
        operands = [values[k] for k in node.inputs]
        if isinstance(node.operation, Affine):
            values.append(affine(node.operation, operands))
        elif isinstance(node.operation, Multiply):
            values.append(multiply(node.operation, *operands))
        else:
            check_argument(network, number, operands[0])
            z = operands[0]
            if node.operation.nonlinear:
                count += 1
                z = pursuing(number, z, base(node.operation), f"z{count}")
            value, kept = activated(network, number, z, Still(str(count)))
            values.append(value)
            invariants += kept
    return values[-1], tuple(invariants)


def base(operation: Operation) -> Any:
    """Where the argument of an activation starts: its value there is known and rational."""
    return RULES[operation.name].base(operation.parameter) if isinstance(operation, Activation) else 0
