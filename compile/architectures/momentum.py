"""Momentum residual networks: y' = v, v' = f(y) - gamma v, and their invertible discretisation.

v+ = (1 - gamma step) v + step f(y), y+ = y + step v+: with momentum m = 1 - gamma step and V = step v this is
V+ = m V + (1 - m) F(y), y+ = y + V+ for the residual function F = (step/gamma) f.
Source: Sander, Ablin, Blondel and Peyre, ICML 2021 (arXiv 2102.07870).
"""

from __future__ import annotations

from typing import Any

from gpac.errors import NumberError
from gpac.exact import to_exact

from ..build import as_network, concatenate
from ..compose import applied
from ..network import Network
from ..value import Value, network_input
from .steps import positive, weighted


def momentum_field(f: Network, gamma: Any) -> Network:
    """The vector field (v, f(y) - gamma v) on the state (y, v)."""
    y, v = _state(f)
    return as_network(concatenate([v, weighted((1, applied(f, y)), (-to_exact(gamma), v))]), "momentum")


def momentum_resnet(f: Network, gamma: Any, duration: Any = 1, depth: int = 1) -> Network:
    """The network on (y, v); it starts at rest with v = 0."""
    step, kept = _momentum(gamma, duration, depth)
    y, v = _state(f)
    for _ in range(depth):
        v = weighted((kept, v), (step, applied(f, y)))
        y = weighted((1, y), (step, v))
    return as_network(concatenate([y, v]), f"momentum ResNet {depth}")


def momentum_inverse(f: Network, gamma: Any, duration: Any = 1, depth: int = 1) -> Network:
    """The inverse of `momentum_resnet`: y = y+ - step v+, v = (v+ - step f(y))/(1 - gamma step)."""
    step, kept = _momentum(gamma, duration, depth)
    if kept == 0:
        raise NumberError(f"gamma * step = 1 for gamma = {gamma} and {depth} steps: v is forgotten, take another depth")
    y, v = _state(f)
    for _ in range(depth):
        y = weighted((1, y), (-step, v))
        v = weighted((1 / kept, v), (-step / kept, applied(f, y)))
    return as_network(concatenate([y, v]), f"inverse momentum ResNet {depth}")


def _momentum(gamma: Any, duration: Any, depth: int) -> tuple[Any, Any]:
    step = positive(duration, "duration") / depth
    return step, 1 - to_exact(gamma) * step


def _state(f: Network) -> tuple[Value, Value]:
    both = network_input((2 * f.outputs,))
    return both[: f.outputs], both[f.outputs :]
