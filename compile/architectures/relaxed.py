"""An equilibrium network as a limit program: z' = rate (W s(z) + U x + b - z) from z = 0, with its proven rate."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from math import log
from typing import Any

import numpy as np

from gpac.circuit import Circuit
from gpac.errors import NumberError
from gpac.exact import to_arb, to_exact, to_floats
from gpac.precision import working_precision
from gpac.program import Program
from gpac.wire import inputs, integral, linear, time, wire

from ..balls import ball_vector
from ..network import Network
from ..operations import Activation
from ..ranges import BITS, SLACK, weighted_rows
from ..schemes.settings import Still
from ..schemes.units import activated
from .equilibrium import Contraction, Equilibrium, contraction, residual
from .steps import positive

Ball = Any


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
    kind = "equilibrium"

    def __str__(self) -> str:
        speed = float((1 - self.proof.m).lower() * float(self.rate))
        return f"the distance from the limit falls at least like exp(-{speed:.3g} t)"

    def time(self, inputs: dict[str, Any], error: Any) -> float:
        """A time after which every output is within `error` of the network's, for one input x."""

        error = to_exact(error)
        if not error > 0:
            raise NumberError(f"expected a positive error, got {error!r}")
        with working_precision(BITS):
            first = self._first([to_exact(v) for v in np.asarray(inputs["x"]).tolist()])
            if not first.abs_upper() > 0:
                return 1.0  # it starts where it ends
            needed = float(first.abs_upper().log().upper()) - log(error.numerator) + log(error.denominator)
            speed = float(((1 - self.proof.m) * to_arb(self.rate)).lower())
        return max(needed, 1e-9) / speed * (1 + SLACK)

    def error(self, inputs: dict[str, Any], t: Any) -> Ball:
        """A ball whose upper end bounds the distance of every output from its limit at time t."""
        decay = (-(1 - self.proof.m) * to_arb(self.rate) * to_arb(t)).exp()
        return decay * self._first(inputs["x"])

    def _first(self, x: Any) -> Ball:
        """The bound at t = 0."""
        zeros = [to_arb(0)] * self.model.size
        distance = self.proof.norm(residual(self.model, zeros, ball_vector(x))) / (1 - self.proof.m)
        return distance * self._reading

    @cached_property
    def _reading(self) -> Ball:
        """From the norm of z to the largest change of an output."""
        v = to_floats(np.array(self.proof.scaling, dtype=object))
        return to_arb(float(weighted_rows(self.model.last.weight, v).max()) * (1 + SLACK)) * self.model.slope
