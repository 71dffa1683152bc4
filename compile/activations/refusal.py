"""What is refused unless a distance is given for its smooth stand-in, or altogether; and why."""

from __future__ import annotations

JUMPS = frozenset(("sign", "floor", "ceil", "round", "argmax", "where", "hardshrink", "threshold", "thresholded_relu"))
"""Functions with a jump: no continuous function stays close to them."""

KINKS = frozenset(
    (
        *("relu", "relu6", "leaky_relu", "prelu", "rrelu", "elu", "selu", "celu", "hardtanh", "hardsigmoid"),
        *("hardswish", "softshrink", "softsign", "shrink", "abs", "max", "min", "maximum", "minimum", "max_pool"),
        *("adaptive_max_pool", "clip", "clamp"),
    )
)
"""Functions with a kink: no polynomial differential equation computes them exactly, but some come close."""

NOT_ANALYTIC = JUMPS | KINKS


def refusal(name: str, known: tuple[str, ...] = ()) -> str:
    """Why an activation of this name is not in the table."""
    if name in KINKS:
        return (
            f"{name!r} is not analytic (it has a kink), so no polynomial differential equation computes it exactly; "
            "give smooth=delta, such as smooth=1e-3, to replace it by an analytic function within delta of it, or use "
            "an analytic activation such as gelu, silu or softplus"
        )
    if name in JUMPS:
        return (
            f"{name!r} is not analytic (it has a jump), so no polynomial differential equation computes it, and none "
            "stays close to it, which smooth=delta would need"
        )
    return f"expected an activation among {', '.join(known)}, got {name!r}"


def jump(name: str, why: str) -> str:
    """Why a function that has a jump for these of its numbers, and a kink for others, is refused with smooth=delta."""
    return f"{name!r} has a jump here ({why}), so no continuous function stays within a small distance of it"
