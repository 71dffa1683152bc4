"""Relaxation: an autonomous system whose outputs tend to the network's, with a proven rate.

z_l' = alpha (W_l u_{l-1} + b_l - z_l), u_l = integral of d_l dz_l. Each layer relaxes to its target while the
target itself settles, so the errors e_l = |z_l - z_l*| obey e_l' <= -alpha e_l + alpha K_l e_{l-1}, which gives

    e_l(t) <= exp(-alpha t) sum_{j < l} (alpha t)^j / j! * K_l ... K_{l-j+1} * m_{l-j},

K_l the row-sum norm of layer l and m_l a bound on |z_l*|, the error at t = 0. This exact sum, not its
exponential estimate, decides how long the program runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import exp, inf, lgamma, log
from typing import Any

import numpy as np

from gpac.circuit import Circuit
from gpac.errors import NumberError
from gpac.exact import to_arb, to_exact, to_floats
from gpac.functions import tanh_pair
from gpac.program import Invariant, Program
from gpac.wire import Wire, inputs, integral, linear, time, wire

from ..network import Dense, Network, Scale, Sigmoid, chain
from .neurons import activated, argument, linear_wire, pair_invariant

ROUNDING = 1 + 1e-9
"""Covers the rounding of float64 sums of fewer than 10^6 non-negative terms."""
TINY = 1e-300
"""Covers what underflow takes from a product."""


def relaxation(network: Network, rate: int | Fraction = 1) -> Circuit:
    """Compile a network into one autonomous circuit whose output "y" converges to the network's output.

    `rate` is alpha, exact. The program knows how long it must run for a given error: leave `t` out.
    """
    if not rate > 0:
        raise NumberError(f"expected a positive rate, got {rate!r}")
    value: Wire = inputs("x", network.size)
    invariants: list[Invariant] = []
    for number, (layers, activation) in enumerate(chain(network.layers), 1):
        target = linear_wire(layers, value)
        if activation is None:
            value = target
            break
        target = argument(activation, target)
        loop = wire(f"z{number}", target.size)
        z = loop.define(integral(linear([(rate, target), (-Fraction(rate), loop)]), time(), 0, name=f"z{number}"))
        u, d = tanh_pair(z, name=f"u{number}", initial=(0, 1))
        invariants.append(pair_invariant(number, u, d))
        value = activated(activation, u)
    limit = RelaxationLimit.of(network, Fraction(rate))
    return Circuit({"y": value}, Program("relaxation", "limit", limit=limit, invariants=tuple(invariants)))


@dataclass(frozen=True, eq=False)
class RelaxationLimit:
    """The bound above, for one network.

    Attributes
    ----------
    gains : tuple of float
        K_l for l = 2, ..., L, upper bounds.
    bounds : tuple of float
        m_l for l = 2, ..., L.
    last : float
        Upper bound on |output error| / e_L.
    """

    network: Network
    rate: Fraction
    gains: tuple[float, ...]
    bounds: tuple[float, ...]
    last: float

    @staticmethod
    def of(network: Network, rate: Fraction) -> RelaxationLimit:
        """Norms of the network's layers."""
        gains, bounds, last = [], [], 1.0
        sigmoid = False
        for layers, activation in chain(network.layers):
            norm, offset = _norms(layers, 0.5 if sigmoid else 1.0, 0.5 if sigmoid else 0.0)
            half = 0.5 if isinstance(activation, Sigmoid) else 1.0
            if activation is None:
                last = norm
                break
            gains.append(half * norm)
            bounds.append(half * (norm + offset))
            sigmoid = isinstance(activation, Sigmoid)
            last = 0.5 if sigmoid else 1.0
        return RelaxationLimit(network, rate, tuple(gains[1:]), tuple(bounds[1:]), last)

    @property
    def depth(self) -> int:
        """Number of activation layers."""
        return len(self.gains) + 1 if self.network.neurons else 0

    def time(self, inputs: dict[str, Any], error: Any) -> float:
        """A time after which every output is within `error` of the network's, for one input x."""
        error = to_exact(error)
        if not error > 0:
            raise NumberError(f"expected a positive error, got {error!r}")
        goal = log(error.numerator) - log(error.denominator)
        start = self._start(np.asarray(to_floats(np.asarray(inputs["x"]))))
        low, high = 0.0, 1.0
        while self._log_bound(start, high) > goal:
            low, high = high, 2 * high
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if self._log_bound(start, middle) > goal else (low, middle)
        return high / float(self.rate) * ROUNDING

    def error(self, inputs: dict[str, Any], t: Any) -> Any:
        """A ball whose upper end bounds the distance of every output from its limit at time t."""
        import flint

        if not self.depth:
            return flint.arb(0)
        s = to_arb(t) * to_arb(self.rate)
        m = [self._first_argument(inputs["x"]), *map(flint.arb, self.bounds)]
        total, weight = flint.arb(0), flint.arb(1)
        for j in range(self.depth):
            if j:
                weight = weight * flint.arb(self.gains[-j]) * s / j
            total = total + weight * m[-1 - j]
        return total * (-s).exp() * flint.arb(self.last)

    def _first_argument(self, x: Any) -> Any:
        """Ball bound on |z_1*|."""
        from ..balls import ball_vector, linear_balls

        layers, activation = chain(self.network.layers)[0]
        values = [abs(v) for v in linear_balls(layers, ball_vector(x))]
        largest = values[0]
        for v in values[1:]:
            largest = largest.max(v)
        return largest / 2 if isinstance(activation, Sigmoid) else largest

    def _start(self, x: np.ndarray) -> list[float]:
        layers, activation = chain(self.network.layers)[0]
        for layer in layers:
            x = layer.weight @ x + to_floats(layer.bias) if isinstance(layer, Dense) else _scaled(layer, x)
        half = 0.5 if isinstance(activation, Sigmoid) else 1.0
        return [half * float(np.abs(x).max()) * (1 + 1e-9) + 1e-300, *self.bounds]

    def _log_bound(self, m: list[float], s: float) -> float:
        """Logarithm of the bound at alpha t = s; terms are added in logarithms, K may be huge."""
        logs, gain = [], 0.0
        for j in range(self.depth):
            if j:
                gain += log(self.gains[-j]) if self.gains[-j] > 0 else -inf
            if m[-1 - j] > 0:
                logs.append(gain + log(m[-1 - j]) + (j * log(s) - lgamma(j + 1) if j else 0.0))
        if not logs or not self.last:
            return -inf
        top = max(logs)
        return -inf if top == -inf else top + log(sum(exp(v - top) for v in logs)) + log(self.last) - s


def _scaled(layer: Scale, x: np.ndarray) -> np.ndarray:
    return x * to_floats(layer.factor) + to_floats(layer.offset)


def _norms(layers: tuple[Dense | Scale, ...], norm: float, offset: float) -> tuple[float, float]:
    """Upper bounds on the row-sum norm and on the offset's size of linear layers after x -> norm x + offset."""
    for layer in layers:
        if isinstance(layer, Dense):
            size, shift = float(np.abs(layer.weight).sum(axis=1).max()), layer.bias
        else:
            size, shift = float(np.abs(to_floats(layer.factor)).max()), layer.offset
        norm = norm * size * ROUNDING + TINY
        offset = (offset * size + float(np.abs(to_floats(shift)).max())) * ROUNDING + TINY
    return norm, offset
