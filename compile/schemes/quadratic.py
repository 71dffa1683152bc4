"""The relaxation as an exactly quadratic system, five variables per neuron.

With e = z - T, T the affine target of the argument z, and v = p + q s the activation, s = tanh(c z) (tanh: c = 1,
p = 0, q = 1; sigmoid: c = p = q = 1/2), carry u = 1 - s^2, k = u e, g = s e besides z and s:

    z' = -a e,   s' = -a c k,   u' = 2 a c s k,
    k' = 2 a c k g - a k + a u F,   g' = -a c k e - a g + a s F,

where a is the rate and -a F = T': with v' = -a q c k, F is the linear part of T applied to the q c k of the layers
before; where T does not move, F is 0 and u is not needed. e and F are linear in the states, so every rate is quadratic,
whatever the width, the depth and the skips. It is the relaxation of `compile.schemes.relaxation` in other coordinates:
the same z, the same bound. At the start z = s = g = 0, u = 1 and k = -T, affine in the input.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from gpac.errors import CircuitError
from gpac.exact import to_exact
from gpac.functions.start import start
from gpac.program import Invariant
from gpac.wire import Wire, inputs, integral, linear, product, time, wire

from ..network import Network
from ..operations import Activation, Affine
from .units import affine

FORMS = {"tanh": (Fraction(1), Fraction(0), Fraction(1)), "sigmoid": (Fraction(1, 2),) * 3}
"""(c, p, q) of the activations p + q tanh(c z)."""


@dataclass(frozen=True, eq=False)
class _Value:
    """A value v and F with v' = -rate F, None where it does not move."""

    wire: Wire
    flow: Wire | None = None


def quadratic(network: Network, rate: Any) -> tuple[Wire, tuple[Invariant, ...]]:
    """The output of the quadratic form, and its invariants.

    Raises
    ------
    CircuitError
        If the network has other nodes than affine maps, tanh and sigmoid.
    """
    values = [_Value(inputs("x", network.size))]
    invariants: list[Invariant] = []
    count = 0
    for number, node in enumerate(network.nodes, 1):
        operands = [values[k] for k in node.inputs]
        if isinstance(node.operation, Affine):
            values.append(_affine(node.operation, operands))
        elif isinstance(node.operation, Activation) and node.operation.name in FORMS:
            count += 1
            value, kept = _neuron(operands[0], to_exact(rate), *FORMS[node.operation.name], str(count))
            values.append(value)
            invariants += kept
        else:
            raise CircuitError(
                f"layer {number} of {network.name!r}, {node!r}: the quadratic form is for affine maps, tanh and "
                "sigmoid; use relaxation(network), whose form is cubic"
            )
    return values[-1].wire, tuple(invariants)


def _affine(operation: Affine, operands: list[_Value]) -> _Value:
    pairs = zip(operation.matrices, operands, strict=True)
    moving: list[Any] = [(matrix, v.flow) for matrix, v in pairs if v.flow is not None]
    return _Value(affine(operation, [v.wire for v in operands]), linear(moving) if moving else None)


def _neuron(target: _Value, a: Fraction, c: Fraction, p: Fraction, q: Fraction, label: str) -> tuple[_Value, tuple]:
    """The activation p + q tanh(c z) of a z that relaxes to the target."""
    size, t = target.wire.size, time()
    z, s, u, k, g = (wire(f"{letter}{label}", size) for letter in "zsukg")
    e = linear([(1, z), (-1, target.wire)])
    z.define(integral(linear([(-a, e)]), t, 0, name=f"z{label}"))
    s.define(integral(linear([(-a * c, k)]), t, 0, name=f"s{label}"))
    if target.flow is not None:
        u.define(integral(linear([(2 * a * c, product(s, k))]), t, 1, name=f"u{label}", signs="+"))
    else:  # no state depends on it
        u.define(linear([(-1, product(s, s))], 1))
    terms = [(2 * a * c, product(k, g)), (-a, k)]
    others = [(-a * c, product(k, e)), (-a, g)]
    if target.flow is not None:
        terms.append((a, product(u, target.flow)))
        others.append((a, product(s, target.flow)))
    k.define(integral(linear(terms), t, start("identity", linear([(-1, target.wire)])), name=f"k{label}"))
    g.define(integral(linear(others), t, 0, name=f"g{label}"))
    value = linear([(q, s)], p) if p else linear([(q, s)])
    unity = Invariant(f"s{label}^2 + u{label}", linear([(1, product(s, s)), (1, u)]), Fraction(1))
    kept = (
        *((unity,) if target.flow is not None else ()),
        Invariant(f"k{label} - u{label} e{label}", linear([(1, k), (-1, product(u, e))]), Fraction(0)),
        Invariant(f"g{label} - s{label} e{label}", linear([(1, g), (-1, product(s, e))]), Fraction(0)),
    )
    return _Value(value, linear([(q * c, k)])), kept
