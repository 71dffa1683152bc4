"""The activations that have a polynomial system: one table, one family per file."""

from __future__ import annotations

from . import elementary, gaussian, roots, sigmoidal
from .rule import Carried, Rule, Setting

RULES: dict[str, Rule] = {**sigmoidal.FAMILY, **gaussian.FAMILY, **elementary.FAMILY, **roots.FAMILY}

NOT_ANALYTIC = frozenset(
    (
        *("relu", "relu6", "leaky_relu", "prelu", "rrelu", "elu", "selu", "celu", "thresholded_relu", "threshold"),
        *("hardtanh", "hardsigmoid", "hardswish", "hardshrink", "softshrink", "softsign", "shrink", "abs", "sign"),
        *("max", "min", "maximum", "minimum", "max_pool", "adaptive_max_pool", "clip", "clamp", "floor", "ceil"),
        *("round", "argmax", "where"),
    )
)
"""Functions with a kink or a jump: no polynomial differential equation computes them exactly."""


def refusal(name: str) -> str:
    """Why an activation of this name is not in the table."""
    if name in NOT_ANALYTIC:
        return (
            f"{name!r} is not analytic (it has a kink or a jump), so no polynomial differential equation computes it "
            "exactly; use an analytic activation such as gelu, silu or softplus"
        )
    return f"expected an activation among {', '.join(RULES)}, got {name!r}"


__all__ = ["NOT_ANALYTIC", "RULES", "Carried", "Rule", "Setting", "refusal"]
