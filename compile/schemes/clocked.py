"""Clocked: layer after layer in one analytic system; gates that open one after the other stand in for phases.

The argument z of an activation in layer l relaxes to what the network says it is while its gate is open,

    z_l' = A gamma_l(t) (W_l u_{l-1} + b_l - z_l),   du = d dz,   dd = -2 u du,

everything from rational values. No analytic system can switch its vector field, and the gates are never shut; what
leaks drives z towards the same target. So the output at t = L + 1 is near the network's, by a proven bound, and after
every further round of the clock it is nearer.

The bound: from t = l - 1/2 on let the layers before l be within e of their limits; then at all t >= l + 1/2 the
argument of layer l is within K e + m exp(-A G_l), K the norm of the way to it, m its distance at l - 1/2 and G_l the
integral of gamma_l over its slot. In the first round m is at most twice the largest size that z can have.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np

from gpac.circuit import Circuit
from gpac.errors import NumberError
from gpac.exact import to_arb, to_exact, to_floats
from gpac.precision import working_precision
from gpac.program import Program
from gpac.wire import Wire, integral, linear, product, time, wire

from ..distance import stated
from ..network import Network
from .bound import BITS, ROUNDING, Ball, Spread, State
from .gates import Gates, clock
from .pursuit import pursued
from .sequential import layers_of

MOST_ROUNDS = 1000
LARGEST_RATE = 10**9


def clocked(network: Network, error: Any = Fraction(1, 10**9), reach: Any = 1, sharpness: Any = 10) -> Circuit:
    """Compile a network into one analytic system that runs layer after layer by a clock, output "y".

    Parameters
    ----------
    error, reach : exact positive numbers
        At t = L + 1, L the number of layers of activations, every output is within `error` of the network's for all
        inputs whose entries are at most `reach` in size. The rate A is the least power of 2 (times 1, 5/4, 3/2 or
        7/4) for which that is proven. For other inputs and other errors the program says itself how long to run it.
    sharpness : exact positive number
        k of the gates: how much a gate favours its own layer.

    Raises
    ------
    NumberError
        If no bound can be stated for the network, or the error asked needs a rate above 10**9.
    """
    goal, reach, sharpness = to_exact(error), to_exact(reach), to_exact(sharpness)
    if not min(goal, reach, sharpness) > 0:
        raise NumberError(f"expected positive numbers, got error={error!r}, reach={reach!r}, sharpness={sharpness!r}")
    layers = layers_of(network)
    gates = clock(max(layers), sharpness) if max(layers) else None
    limit = ClockedLimit(network, _rate(network, gates, goal, reach), gates, goal, reach)
    opening = gates.wires() if gates else []

    def gated(number: int, target: Wire, start: Any, name: str) -> Wire:
        return _gated(target, opening[layers[number] - 1], limit.rate, start, name)

    output, invariants = pursued(network, gated)
    program = Program("clocked", "limit", limit=limit, invariants=invariants)
    return Circuit({"y": output}, stated(program, network))


def _gated(target: Wire, gate: Wire, rate: Fraction, start: Any, name: str) -> Wire:
    """z' = rate gate (target - z) from z = start."""
    loop = wire(name, target.size)
    pull = linear([(rate, target), (-rate, loop)])
    return loop.define(integral(product(gate, pull), time(), start, name=name))


def _rate(network: Network, gates: Gates | None, goal: Fraction, reach: Fraction) -> Fraction:
    """The least of 1, 5/4, 3/2, 7/4, 2, 5/2, 3, ... with which one round is enough."""

    power = Fraction(1)
    while power <= LARGEST_RATE:
        for quarter in (4, 5, 6, 7):
            limit = ClockedLimit(network, power * Fraction(quarter, 4), gates, goal, reach)
            if limit.keeps_promise():
                return limit.rate
        power *= 2
    raise NumberError(f"an error of {float(goal):.3g} at t = L + 1 needs a rate above {LARGEST_RATE}; ask for less")


@dataclass(frozen=True, eq=False)
class ClockedLimit:
    """The bound above, for one network, rate A and clock; `promise` is the error at t = L + 1 for inputs in reach."""

    network: Network
    rate: Fraction
    gates: Gates | None
    promise: Fraction
    reach: Fraction
    kind = "clocked"

    @property
    def round_end(self) -> Fraction:
        """L + 1."""
        return Fraction(1 + (self.gates.count if self.gates else 0))

    def __str__(self) -> str:
        return (
            f"within {float(self.promise):.3g} at t = {self.round_end} for inputs up to {float(self.reach):.4g} in "
            "size, and nearer after every further round of the clock"
        )

    def keeps_promise(self) -> bool:
        """Whether the bound after one round is within `promise` for all inputs in reach."""
        with working_precision(BITS):
            return bool(self.after(1, [to_arb(self.reach)]) <= to_arb(self.promise))

    def time(self, inputs: dict[str, Any], error: Any) -> float:
        """End of the first round after which every output is within `error` of the network's, for one input x."""
        error = to_exact(error)
        if not error > 0:
            raise NumberError(f"expected a positive error, got {error!r}")
        with working_precision(BITS):
            sizes = self._spread.sizes(np.asarray(to_floats(np.asarray(inputs["x"]))))
            for rounds in range(1, MOST_ROUNDS):
                if self.after(rounds, sizes) <= to_arb(error):
                    return float(self.round_end + (rounds - 1) * self._period) * ROUNDING
        raise NumberError(f"an error of {float(error):.3g} is not reached in {MOST_ROUNDS} rounds; compile for less")

    def error(self, inputs: dict[str, Any], t: Any) -> Ball:
        """A ball whose upper end bounds the distance of every output from its limit at time t."""
        rounds, ends = 0, self.round_end - Fraction(1, 2)
        while rounds < MOST_ROUNDS and to_arb(t) >= to_arb(ends + rounds * self._period):
            rounds += 1
        return self.after(rounds, self._spread.ball_sizes(inputs["x"]))

    def after(self, rounds: int, sizes: list[Ball]) -> Ball:
        """A bound on the error after so many rounds, from the sizes of the values that do not move."""
        import flint

        distance: dict[int, Ball] = {}

        def starting(k: int, z: State, start: Ball) -> tuple[Ball, ...]:
            distance[k] = 2 * z.size.max(start)
            return (distance[k],)

        def settling(k: int, z: State, _: Ball) -> tuple[Ball, ...]:
            assert self.gates is not None
            shrunk = (-to_arb(self.rate) * self.gates.areas[self._layers[k] - 1]).exp()
            distance[k] = distance[k] * shrunk + sum(z.c, flint.arb(0))
            return (distance[k],)

        c = self._spread.error(sizes, starting)
        for _ in range(rounds):
            c = self._spread.error(sizes, settling)
        return sum(c, flint.arb(0)).abs_upper()

    @cached_property
    def _spread(self) -> Spread:
        return Spread(self.network)

    @cached_property
    def _layers(self) -> list[int]:
        return layers_of(self.network)

    @property
    def _period(self) -> Fraction:
        return self.gates.longest_period if self.gates else Fraction(1)
