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
from functools import cached_property
from math import log
from typing import Any

import numpy as np

from gpac.circuit import Circuit
from gpac.errors import NumberError, ShapeError
from gpac.exact import exact_array, to_arb, to_exact, to_floats
from gpac.program import Program
from gpac.wire import inputs, integral, linear, time, wire

from ..activations import RULES
from ..balls import Enclosure, apply, ball_vector
from ..network import Network
from ..operations import Activation, Affine, dense
from ..schemes.settings import Still
from ..schemes.units import activated
from .ranges import BITS, INCREASING, SLACK, weighted_rows
from .steps import positive

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
    import flint

    W = model.recurrent
    diagonal = np.diag(W)
    own = np.maximum(diagonal, 0) if model.activation in INCREASING else np.abs(diagonal)
    sizes = np.abs(W) - np.diag(np.abs(diagonal)) + np.diag(own)  # exact: the diagonal is replaced
    v = _scaling(sizes)
    with flint.ctx.workprec(BITS):
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


def equilibrium(model: Equilibrium, rate: Any = 1) -> Circuit:
    """One autonomous circuit whose output "y" tends to the equilibrium network's output, at a proven rate.

    Input "x" (p,). Start values are rational; leave `t` out and the program runs until its bound says enough.
    """
    rate, n = positive(rate, "rate"), model.size
    z, x = wire("z", n), inputs("x", model.incoming.shape[1])
    s, invariants = activated(Network(n, [Activation(model.activation)]), 1, z, Still("1"))
    terms: list[Any] = [(model.recurrent, s), (model.incoming, x), (-1.0, z)]
    z.define(integral(linear([(rate, linear(terms, model.bias))]), time(), 0, name="z"))
    y = linear([(model.last.weight, s)], model.last.bias)
    limit = EquilibriumLimit(model, contraction(model), rate)
    return Circuit({"y": y}, Program("equilibrium", "limit", limit=limit, invariants=invariants))


@dataclass(frozen=True, eq=False)
class EquilibriumLimit:
    """|y(t) - y*| <= read-out * slope * exp(-rate (1 - m) t) * |W s(0) + U x + b| / (1 - m)."""

    model: Equilibrium
    proof: Contraction
    rate: Fraction

    def __str__(self) -> str:
        speed = float((1 - self.proof.m).lower() * float(self.rate))
        return f"the distance from the limit falls at least like exp(-{speed:.3g} t)"

    def time(self, inputs: dict[str, Any], error: Any) -> float:
        """A time after which every output is within `error` of the network's, for one input x."""
        import flint

        error = to_exact(error)
        if not error > 0:
            raise NumberError(f"expected a positive error, got {error!r}")
        with flint.ctx.workprec(BITS):
            first = self._first([to_exact(v) for v in np.asarray(inputs["x"]).tolist()])
            if not first > 0:
                return 1.0
            needed = float(first.log().upper()) - log(error.numerator) + log(error.denominator)
            speed = float(((1 - self.proof.m) * to_arb(self.rate)).lower())
        return max(needed, 1e-9) / speed * (1 + SLACK)

    def error(self, inputs: dict[str, Any], t: Any) -> Ball:
        """A ball whose upper end bounds the distance of every output from its limit at time t."""
        decay = (-(1 - self.proof.m) * to_arb(self.rate) * to_arb(t)).exp()
        return decay * self._first(inputs["x"])

    def _first(self, x: Any) -> Ball:
        """The bound at t = 0."""
        zeros = [to_arb(0)] * self.model.size
        distance = self.proof.norm(_residual(self.model, zeros, ball_vector(x))) / (1 - self.proof.m)
        return distance * self._reading

    @cached_property
    def _reading(self) -> Ball:
        """From the norm of z to the largest change of an output."""
        v = to_floats(np.array(self.proof.scaling, dtype=object))
        return to_arb(float(weighted_rows(self.model.last.weight, v).max()) * (1 + SLACK)) * self.model.slope


def enclose_equilibrium(model: Equilibrium, x: Any, digits: int = 50) -> Enclosure:
    """The network's exact outputs at one input, by Newton-like steps and the certificate: no differential equation.

    Parameters
    ----------
    x : (p,) exact numbers
    """
    import flint

    proof = contraction(model)
    bits = int(3.33 * digits) + 64
    while bits < 1 << 16:
        with flint.ctx.workprec(bits):
            z, far = _fixed_point(model, proof, ball_vector([to_exact(v) for v in x]), digits)
            balls = [v + flint.arb(0, (far * to_arb(s)).abs_upper()) for v, s in zip(z, proof.scaling, strict=True)]
            values = [RULES[model.activation].ball(v, None) for v in balls]
            out = apply(model.last, [values], model.last.width([model.size]))
            found = Enclosure(tuple(out), bits)
            if found.digits >= digits:
                return found
        bits *= 2
    raise NumberError(f"{digits} digits of the equilibrium need more than {bits} bits")


def _fixed_point(model: Equilibrium, proof: Contraction, x: list[Ball], digits: int) -> tuple[list[Ball], Ball]:
    """A point near z*, exact, and a bound on how far it is in the certificate's norm."""
    import flint

    inverse = flint.arb_mat(model.size, model.size, _float_inverse(model, x).ravel().tolist())
    z = [to_arb(v) for v in _float_point(model, x).tolist()]
    best = None
    for _ in range(60 + digits):
        residual = _residual(model, z, x)
        far = proof.norm(residual) / (1 - proof.m)
        if best is not None and not far.abs_upper() < best[1].abs_upper():
            break
        best = z, far
        change = (inverse * flint.arb_mat(model.size, 1, residual)).entries()
        z = [(a + b).mid() for a, b in zip(z, change, strict=True)]
    assert best is not None
    return best


def _residual(model: Equilibrium, z: list[Ball], x: list[Ball]) -> list[Ball]:
    """W s(z) + U x + b - z."""
    s = [RULES[model.activation].ball(v, None) for v in z]
    target = apply(Affine((model.recurrent, model.incoming), model.bias), [s, x], model.size)
    return [a - b for a, b in zip(target, z, strict=True)]


def _float_point(model: Equilibrium, x: list[Ball]) -> np.ndarray:
    """z* in float64, by the flow's damped iteration."""
    W, c = model.recurrent, model.incoming @ np.array([float(v.mid()) for v in x]) + to_floats(model.bias)
    damping = 1 / (1 + max(0.0, -float(np.diag(W).min())) * float(model.slope.upper()))
    z = np.zeros(model.size)
    for _ in range(10_000):
        change = W @ RULES[model.activation].arrays(z, None) + c - z
        z = z + damping * change
        if np.abs(change).max() <= 1e-15 * (1 + np.abs(z).max()):
            break
    return z


def _float_inverse(model: Equilibrium, x: list[Ball]) -> np.ndarray:
    """About (I - W s'(z*))^-1, for Newton's step."""
    z, small = _float_point(model, x), 1e-6
    arrays = RULES[model.activation].arrays
    slopes = (arrays(z + small, None) - arrays(z - small, None)) / (2 * small)
    return np.linalg.inv(np.eye(model.size) - model.recurrent * slopes)


def _scaling(sizes: np.ndarray) -> np.ndarray:
    """Positive doubles v that make max of (sizes v)_i / v_i small: Perron's vector, zeros lifted a little."""
    found = [np.ones(len(sizes))]
    for lift in (1e-3, 1e-6, 1e-9, 1e-12):
        values, vectors = np.linalg.eig(sizes + lift * max(float(sizes.max()), 1e-9))
        v = np.abs(vectors[:, np.argmax(values.real)].real)
        found.append(np.maximum(v / v.max(), 1e-12))
    return min(found, key=lambda v: float((sizes @ v / v).max()))
