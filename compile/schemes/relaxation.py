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
from gpac.program import Program
from gpac.wire import Wire, integral, linear, time, wire

from ..distance import stated
from ..network import Network
from .pursuit import pursued
from .quadratic import quadratic
from .relaxation_limit import RelaxationLimit


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
    if form == "quadratic":
        output, invariants = quadratic(network, rate)
    else:
        output, invariants = pursued(network, lambda _, target, start, name: _relaxed(target, rate, start, name))
    limit = RelaxationLimit(network, to_exact(rate))
    limit.check()
    program = Program("relaxation", "limit", limit=limit, invariants=invariants)
    return Circuit({"y": output}, stated(program, network))


def _relaxed(target: Wire, rate: int | Fraction, start: Any, name: str) -> Wire:
    """z' = rate (target - z) from z = start."""
    loop = wire(name, target.size)
    rate = to_exact(rate)
    return loop.define(integral(linear([(rate, target), (-rate, loop)]), time(), start, name=name))
