"""How far a relaxation still is from its limit: a bound for every network, and from it the time to run.

With s = alpha t, every value is within exp(-s) * (sum over j of c_j s^j / j!) of its limit, in every entry; how the c
go through a network is in `compile.schemes.bound`. The argument z of an activation obeys
e' <= -alpha e + alpha e_target, which puts the distance m at the start before the c's of the target,
(m, c_0, c_1, ...). For a chain this is

    e_l(t) <= exp(-alpha t) sum_{j < l} (alpha t)^j / j! * K_l ... K_{l-j+1} * m_{l-j},

K_l the row-sum norm of layer l and m_l a bound on |z_l*|. This exact sum, not its exponential estimate, decides how
long the program runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from math import exp, inf, lgamma, log
from typing import Any

import numpy as np

from gpac.errors import NumberError
from gpac.exact import to_arb, to_exact, to_floats
from gpac.precision import working_precision

from ..network import Network
from .bound import BITS, ROUNDING, Ball, Spread, State


@dataclass(frozen=True, eq=False)
class RelaxationLimit:
    """The bound above, for one network and rate alpha."""

    network: Network
    rate: Fraction
    kind = "relaxation"

    @cached_property
    def _spread(self) -> Spread:
        return Spread(self.network)

    def check(self) -> None:
        """Raise `NumberError` if no bound can be stated; the message names the node."""
        _ = self._terms

    @cached_property
    def _terms(self) -> int:

        with working_precision(BITS):
            return len(self._spread.error(self._spread.unit_sizes(), _relaxing))

    def __str__(self) -> str:
        rest = " times a constant" if self._terms < 2 else f" times a polynomial of degree {self._terms - 1} in t"
        rate = f"{self.rate} " if self.rate != 1 else ""
        return f"the error is at most exp(-{rate}t){rest}" if self._terms else "there is nothing to wait for"

    def time(self, inputs: dict[str, Any], error: Any) -> float:
        """A time after which every output is within `error` of the network's, for one input x."""
        error = to_exact(error)
        if not error > 0:
            raise NumberError(f"expected a positive error, got {error!r}")
        goal = log(error.numerator) - log(error.denominator)
        with working_precision(BITS):
            sizes = self._spread.sizes(np.asarray(to_floats(np.asarray(inputs["x"]))))
            uppers = [c.upper() for c in self._spread.error(sizes, _relaxing)]
            logs = [float(c.log().upper()) if c > 0 else -inf for c in uppers]
        low, high = 0.0, 1.0
        while _log_bound(logs, high) > goal:
            low, high = high, 2 * high
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if _log_bound(logs, middle) > goal else (low, middle)
        return high / float(self.rate) * ROUNDING

    def error(self, inputs: dict[str, Any], t: Any) -> Ball:
        """A ball whose upper end bounds the distance of every output from its limit at time t."""
        import flint

        s = to_arb(t) * to_arb(self.rate)
        total, weight = flint.arb(0), flint.arb(1)
        for j, c in enumerate(self._spread.error(self._spread.ball_sizes(inputs["x"]), _relaxing)):
            if j:
                weight = weight * s / j
            total = total + weight * c
        return total * (-s).exp()


def _relaxing(_: int, z: State, base: Ball) -> tuple[Ball, ...]:
    return (z.size + base, *z.c)


def _log_bound(logs: list[float], s: float) -> float:
    """Logarithm of the bound at alpha t = s; terms are added in logarithms, they may be huge."""
    terms = [c + (j * log(s) - lgamma(j + 1) if j else 0.0) for j, c in enumerate(logs) if c > -inf]
    if not terms:
        return -inf
    top = max(terms)
    return top + log(sum(exp(v - top) for v in terms)) - s
