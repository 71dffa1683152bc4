"""How far a residual network can be from its neural ODE: an a-priori bound of Euler's method, from the weights.

For h' = f(h) let, wherever flow and network can get in the time T, |f_i| <= s_i, |J_ij| <= G_ij for the Jacobian J,
and m be a bound on its logarithmic norm, max over i of (J_ii + sum over j != i of |J_ij|). One step of size h adds at
most h^2/2 |G s| to the error, as |h''| = |J f|, and the flow multiplies it by exp(m t) in a time t:

    |ResNet - flow| <= h^2/2 |G s| (1 + exp(m h) + ... + exp(m (T - h))) = h^2/2 |G s| (exp(m T) - 1)/(exp(m h) - 1)

in the largest norm. It is never above the classical (h M / 2l)(exp(l T) - 1) with l = |A2| |A1|, M = |A2|^2 |A1| for
f = A2 tanh(A1 h + b). Source: Hairer, Norsett and Wanner, Solving Ordinary Differential Equations I, section II.3
(Lady Windermere's fan) and I.10 (logarithmic norms).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gpac.errors import NumberError, ShapeError
from gpac.exact import to_exact

from ..balls import enclose_forward
from ..field import Field, as_field
from ..network import Network
from ..ranges import SLACK, logarithmic_norm, over_box
from .steps import positive

PARTS = (1, 4, 16, 64, 256, 1024)
"""Numbers of parts in which the time is taken to bound where the flow can get."""


@dataclass(frozen=True)
class Growth:
    """Upper bounds for a field f on a box, in the largest norm.

    Attributes
    ----------
    size : of |f|
    lipschitz : of |J|
    norm : of the logarithmic norm of J, perhaps negative
    second : of |J f|, the second derivative of a solution
    """

    size: float
    lipschitz: float
    norm: float
    second: float


def growth(network: Network, radius: float) -> Growth:
    """The bounds on |h_j| <= radius for the field of a network (n -> n)."""
    found = over_box(network, radius)
    steep = found.steepness
    size, lipschitz, second = (
        float(v.max()) * (1 + SLACK) for v in (found.size, steep.sum(axis=1), steep @ found.size)
    )
    return Growth(size, lipschitz, logarithmic_norm(found), second)


def euler_bound(field: Network | Field, x: Any, duration: Any = 1, depth: int = 1) -> float:
    """An upper bound on |ResNet(x) - flow(x)|, the largest over the entries of the state.

    Parameters
    ----------
    field : Network (n -> n), or a `Field` of the state alone
    x : (n,) exact numbers, where both start
    duration, depth : T and the number N of residual blocks

    Raises
    ------
    NumberError
        If by its weights the field may leave every bounded set before T.

    >>> from compile import Tanh
    >>> euler_bound(Network(1, [Tanh()]), [0.5], depth=10) < 0.0860  # (e - 1)/20 = 0.0859
    True
    """
    field = as_field(field)
    if field.reads != ("state",):
        raise ShapeError(f"expected a field of the state alone, got one that reads {field.reads}; add what moves to it")
    end = float(positive(duration, "duration")) * (1 + SLACK)
    radius = max(abs(float(to_exact(v))) for v in np.asarray(x, dtype=object).ravel().tolist()) * (1 + SLACK)
    step = end / depth
    kept = _kept(field.network, radius, step)
    found = growth(field.network, kept if kept is not None else _reach(field.network, radius, end))
    m = found.norm if abs(found.norm) > 1e-6 else 1e-6  # a larger norm gives a larger bound
    with np.errstate(over="ignore", invalid="ignore"):
        fan = np.expm1(m * end) / np.expm1(m * step)
        return float(np.nan_to_num(step**2 / 2 * found.second * fan * (1 + SLACK), nan=np.inf, posinf=np.inf))


def _kept(network: Network, radius: float, step: float) -> float | None:
    """A box that neither flow nor Euler's method leaves, for a logarithmic norm m < 0: R >= |f(0)| / -m.

    f(h) = f(0) + A h with A a mean of Jacobians; |h + step f(h)| <= (1 + step m) |h| + step |f(0)| as long as
    step |J_ii| <= 1, and |h|' <= m |h| + |f(0)| for the flow.
    """
    first = max(float(b.abs_upper()) for b in enclose_forward(network, np.zeros(network.size), digits=12).balls)
    tried = radius
    for _ in range(20):
        found = over_box(network, tried)
        m = growth(network, tried).norm
        if not m < 0 or not step * float(-np.diag(found.low).min()) <= 1 - SLACK:
            return None
        if first * (1 + SLACK) <= -m * tried:
            return tried
        tried = first / -m * (1 + 2.0**-20)
    return None


def _reach(network: Network, radius: float, end: float) -> float:
    """R such that flow and Euler's method from |h| <= radius stay in |h| <= R up to the end.

    The end is reached in parts of length d: from R to any R+ with R + d S(R+) <= R+, S(R) the bound on |f|.
    """
    for parts in PARTS:
        reached: float | None = radius
        for _ in range(parts):
            reached = _part(network, reached, end / parts) if reached is not None else None
        if reached is not None:
            return reached
    raise NumberError(f"no bound on the values of {network!r} up to this time: by its weights the flow may blow up")


def _part(network: Network, radius: float, d: float) -> float | None:
    tried = radius
    for _ in range(40):
        needed = (radius + d * float(over_box(network, tried).size.max())) * (1 + SLACK)
        if needed <= tried:
            return tried
        if not np.isfinite(needed):
            return None
        tried = needed * (1 + 2.0**-20)
    return None
