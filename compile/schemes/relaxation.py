"""Relaxation: an autonomous system whose outputs tend to the network's, with a proven rate.

The argument z of every activation relaxes to what the network says it is, z' = alpha (target - z), while the target
itself settles, and u = integral of d dz follows it: for a chain, z_l' = alpha (W_l u_{l-1} + b_l - z_l). How far
everything still is from its limit is bounded in `compile.schemes.relaxation_limit`.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from gpac.circuit import Circuit
from gpac.errors import CircuitError, NumberError
from gpac.exact import to_exact
from gpac.program import Invariant, Program
from gpac.wire import Wire, inputs, integral, linear, time, wire

from ..activations import RULES
from ..distance import stated
from ..network import Network
from ..operations import Activation, Affine, Multiply, Operation
from .quadratic import quadratic
from .relaxation_limit import RelaxationLimit
from .settings import Still
from .units import activated, affine, check_argument, multiply


def relaxation(network: Network, rate: int | Fraction = 1, form: str = "cubic") -> Circuit:
    """Compile a network into one autonomous circuit whose output "y" converges to the network's output.

    The program knows how long it must run for a given error: leave `t` out.

    Parameters
    ----------
    rate : exact positive number
        alpha.
    form : "cubic" or "quadratic"
        "quadratic", for networks of affine maps, tanh and sigmoid, has five states per neuron instead of three and
        rates of degree 2: for chemical reactions and analog hardware. Its start values are affine in the input.
    """
    if not rate > 0:
        raise NumberError(f"expected a positive rate, got {rate!r}")
    if form not in ("cubic", "quadratic"):
        raise CircuitError(f"expected form 'cubic' or 'quadratic', got {form!r}")
    output, invariants = quadratic(network, rate) if form == "quadratic" else _cubic(network, rate)
    limit = RelaxationLimit(network, to_exact(rate))
    limit.check()
    program = Program("relaxation", "limit", limit=limit, invariants=invariants)
    return Circuit({"y": output}, stated(program, network))


def _cubic(network: Network, rate: int | Fraction) -> tuple[Wire, tuple[Invariant, ...]]:
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
                z = _relaxed(z, rate, base(node.operation), f"z{count}")
            value, kept = activated(network, number, z, Still(str(count)))
            values.append(value)
            invariants += kept
    return values[-1], tuple(invariants)


def base(operation: Operation) -> Any:
    """Where the argument of an activation starts: its value there is known and rational."""
    return RULES[operation.name].base(operation.parameter) if isinstance(operation, Activation) else 0


def _relaxed(target: Wire, rate: int | Fraction, start: Any, name: str) -> Wire:
    """z' = rate (target - z) from z = start."""
    loop = wire(name, target.size)
    rate = to_exact(rate)
    return loop.define(integral(linear([(rate, target), (-rate, loop)]), time(), start, name=name))
