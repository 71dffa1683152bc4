"""LM-ResNet: a linear two-step method, u_{j+1} = (1 - k) u_j + k u_{j-1} + step f(u_j).

Its first polynomial is r^2 - (1 - k) r - k = (r - 1)(r + k): the root condition (every root in the unit disc, those
on its border simple) is -1 < k <= 1. The method is consistent with (1 + k) u' = f(u): that is the flow it tends to.
Source: Lu, Zhong, Li and Dong, ICML 2018 (arXiv 1710.10121), section 3; the root condition is Dahlquist's.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from gpac.errors import NumberError
from gpac.exact import to_exact

from ..build import as_network
from ..compose import chained
from ..field import Field, as_field
from ..network import Network
from ..operations import scale
from ..value import network_input
from .steps import _layers, euler, positive, weighted


def root_condition(k: Any) -> str:
    """Whether the second root -k is inside the unit disc ("strong"), at -1 ("weak") or elsewhere ("violated")."""
    k = to_exact(k)
    if not -1 < k <= 1:
        return "violated"
    return "weak" if k == 1 else "strong"


def lm_resnet(
    fields: Network | Field | Sequence[Network | Field], k: Any, duration: Any = 1, depth: int | None = None
) -> Network:
    """The network u_0 = x, u_1 = u_0 + step f(u_0)/(1 + k), then two-step blocks; k is exact and may be negative.

    Raises
    ------
    NumberError
        If k violates the root condition: small errors would grow with the depth whatever the field.
    """
    k = to_exact(k)
    if root_condition(k) == "violated":
        raise NumberError(
            f"k = {k} violates the root condition of (r - 1)(r + k): expected -1 < k <= 1, else errors grow like "
            "|k|^depth (like the depth at k = -1)"
        )
    layers = _layers(fields, depth)
    step = positive(duration, "duration") / len(layers)
    x = network_input((layers[0].size,))
    before, u = x, euler(lambda v, t: layers[0].value(v, x, t), x, Fraction(0), step / (1 + k))
    for number, field in enumerate(layers[1:], 1):
        rate = field.value(u, x, number * step)
        before, u = u, weighted((1 - k, u), (k, before), (step, rate))
    return as_network(u, f"LM-ResNet {len(layers)}")


def lm_limit(field: Network | Field, k: Any) -> Field:
    """The vector field f/(1 + k) whose flow the network tends to."""
    field = as_field(field)
    slowed = chained(field.network, Network(field.size, [scale(1 / (1 + to_exact(k)))]))
    return Field(slowed, field.reads)
