"""Equilibrium networks: the output is read off the solution z* of z = W s(z) + U x + b, by a flow that tends to it.

z' = rate (W s(z) + U x + b - z) from z = 0. With D the slopes of s between two states, every entry in [0, L] (in
[-L, L] where s is not monotone), the logarithmic norm of W D in the norm max |z_i|/v_i is at most

    m = max over i of (w_ii^+ v_i + sum over j != i of |w_ij| v_j) L / v_i        (|w_ii| where s is not monotone).

For m < 1 there is exactly one z*, every flow obeys |z(t) - z*| <= exp(-rate (1 - m) t) |z(0) - z*|, and
|z - z*| <= |W s(z) + U x + b - z| / (1 - m) at every z: the certificate is the scaling v and this m, computed in
balls. Sources: Bai, Kolter and Koltun, NeurIPS 2019 (arXiv 1909.01377); the norm: Soderlind, BIT 46 (2006);
Jafarpour, Davydov, Proskurnikov and Bullo, NeurIPS 2021 (arXiv 2106.03194).
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from gpac.errors import NumberError, ShapeError
from gpac.exact import exact_array, to_arb, to_exact
from gpac.precision import working_precision

from ..activations import RULES
from ..balls import apply
from ..network import Network
from ..operations import Activation, Affine, dense
from ..ranges import BITS, INCREASING

Ball = Any


@dataclass(frozen=True, eq=False)
class Equilibrium:
    """z = recurrent s(z) + incoming x + bias; the output is readout(s(z)), without a read-out s(z) itself.

    Parameters
    ----------
    recurrent : (n, n), incoming : (n, p), bias : (n,) or None
    activation : name of an s that is defined everywhere with a bounded slope
    readout : Affine of s(z), optional
    """

    recurrent: Any
    incoming: Any
    bias: Any = None
    activation: str = "tanh"
    readout: Affine | None = None

    def __post_init__(self) -> None:
        W, U = (np.asarray(m, dtype=np.float64) for m in (self.recurrent, self.incoming))
        n = len(W)
        bias = np.zeros(n) if self.bias is None else exact_array(self.bias)
        if W.shape != (n, n) or U.ndim != 2 or len(U) != n or bias.shape != (n,):
            raise ShapeError(
                f"expected recurrent (n, n), incoming (n, p) and bias (n,), got {W.shape}, {U.shape} and {bias.shape}"
            )
        for name, value in (("recurrent", W), ("incoming", U), ("bias", bias)):
            object.__setattr__(self, name, value)
        Network(n, [dense(W), self.last])  # the check of the read-out
        rule = RULES[Activation(self.activation).name]
        if rule.nonnegative or rule.polynomial or not self.slope.is_finite():
            raise NumberError(f"{self.activation!r} has no bounded slope; take tanh, sigmoid, softplus or the like")

    @property
    def size(self) -> int:
        """Entries of z."""
        return len(self.recurrent)

    @property
    def last(self) -> Affine:
        """The read-out, the identity if there is none."""
        return self.readout if self.readout is not None else Affine((np.array(1.0),), np.zeros(1))

    @property
    def slope(self) -> Ball:
        """L: a ball whose upper end bounds |s'| everywhere."""
        import flint

        return RULES[self.activation].slope(flint.arb("inf"), None)


def residual(model: Equilibrium, z: list[Ball], x: list[Ball]) -> list[Ball]:
    """W s(z) + U x + b - z."""
    s = [RULES[model.activation].ball(v, None) for v in z]
    target = apply(Affine((model.recurrent, model.incoming), model.bias), [s, x], model.size)
    return [a - b for a, b in zip(target, z, strict=True)]


@dataclass(frozen=True, eq=False)
class Contraction:
    """Proof that the flow contracts: m < 1 in the norm max |z_i|/v_i."""

    scaling: tuple[Fraction, ...]
    m: Ball

    def norm(self, values: list[Ball]) -> Ball:
        """max |z_i|/v_i of balls."""
        largest = to_arb(0)
        for value, v in zip(values, self.scaling, strict=True):
            largest = largest.max(abs(value) / to_arb(v))
        return largest


def contraction(model: Equilibrium) -> Contraction:
    """The certificate; the scaling is found in float64 and m is then bounded in balls.

    Raises
    ------
    NumberError
        If m < 1 cannot be proven: there may be several equilibria, or none that the flow tends to.
    """
    return contraction_with(model, _scaling(_sizes(model)))


def contraction_with(model: Equilibrium, v: np.ndarray) -> Contraction:
    """The certificate with a given scaling, positive doubles (n,): m is bounded in balls.

    Raises
    ------
    NumberError
        If m < 1 cannot be proven with it.
    """
    import flint

    sizes = _sizes(model)
    with working_precision(BITS):
        column = flint.arb_mat(len(v), 1, v.tolist())
        rows = (flint.arb_mat(len(v), len(v), sizes.ravel().tolist()) * column).entries()
        m = flint.arb(0)
        for row, scale in zip(rows, v.tolist(), strict=True):
            m = m.max(row / scale * model.slope)
    if not m < 1:
        raise NumberError(
            f"expected a contraction, but the logarithmic norm of the recurrent weights is only bounded by "
            f"{float(m.upper()):.4g}, which must be below 1; scale the weights down or train with a smaller norm"
        )
    return Contraction(tuple(to_exact(x) for x in v.tolist()), m)


def _sizes(model: Equilibrium) -> np.ndarray:
    """The sizes that the row sums of m are made of (n, n)."""
    diagonal = np.diag(model.recurrent)
    own = np.maximum(diagonal, 0) if model.activation in INCREASING else np.abs(diagonal)
    return np.abs(model.recurrent) - np.diag(np.abs(diagonal)) + np.diag(own)  # exact: the diagonal is replaced


def _scaling(sizes: np.ndarray) -> np.ndarray:
    """Positive doubles v that make max of (sizes v)_i / v_i small: Perron's vector, zeros lifted a little."""
    found = [np.ones(len(sizes))]
    for lift in (1e-3, 1e-6, 1e-9, 1e-12):
        values, vectors = np.linalg.eig(sizes + lift * max(float(sizes.max()), 1e-9))
        v = np.abs(vectors[:, np.argmax(values.real)].real)
        found.append(np.maximum(v / v.max(), 1e-12))
    return min(found, key=lambda v: float((sizes @ v / v).max()))
