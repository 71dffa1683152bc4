"""A clock of gates: positive functions of time, one per layer, that open one after the other, round after round.

With c = cos(w t), s = sin(w t) and a period 2 pi / w close to L + 1, the gate of layer l = 1, ..., L is

    gamma_l = g_l exp(k (a_l (c - 1) + b_l s)),   (a_l, b_l) near (cos(w l), sin(w l)),  g_l near exp(k (a_l - 1)),

largest near t = l. All numbers are rational; gamma_l obeys d gamma_l = k gamma_l (a_l dc + b_l ds). Source: Branicky,
Theor. Comput. Sci. 138 (1995); any nonnegative gates would do, these make the layers settle one after the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np

from gpac.exact import to_arb
from gpac.functions import sin_cos
from gpac.precision import working_precision
from gpac.wire import Wire, integral, linear, time, wire

from .bound import BITS

ABOVE_TWO_PI = Fraction(710, 113)
GRID = 2.0**-20


def clock(count: int, sharpness: Fraction) -> Gates:
    """`count` gates of sharpness k, directions rounded to multiples of 2**-20 and starts to doubles."""
    angles = float(_frequency(count)) * np.arange(1, count + 1)
    a, b = (np.round(f(angles) / GRID) * GRID for f in (np.cos, np.sin))
    return Gates(sharpness, (a, b), np.exp(float(sharpness) * (a - 1)))


@dataclass(frozen=True, eq=False)
class Gates:
    """The gates by their numbers.

    Parameters
    ----------
    sharpness : positive Fraction
        k.
    directions : pair of float64 (count,)
        (a_l) and (b_l).
    starts : positive float64 (count,)
        (g_l).
    """

    sharpness: Fraction
    directions: tuple[np.ndarray, np.ndarray]
    starts: np.ndarray

    @property
    def count(self) -> int:
        """Number of gates."""
        return len(self.starts)

    @property
    def frequency(self) -> Fraction:
        """w: a little less than 2 pi / (count + 1)."""
        return _frequency(self.count)

    @property
    def longest_period(self) -> Fraction:
        """Upper bound on 2 pi / w."""
        return ABOVE_TWO_PI / self.frequency

    def wires(self) -> list[Wire]:
        """The gates, made of one oscillator and one vector of integrators."""
        s, c = sin_cos(linear([(self.frequency, time())]))
        a, b = (np.array([self.sharpness * Fraction(v) for v in side.tolist()]) for side in self.directions)
        exponent = linear([(a, c), (b, s)])
        loop = wire("gates", self.count)
        gates = loop.define(integral(loop, exponent, self.starts, name="gates", signs="+"))
        return [linear([(np.eye(self.count)[k : k + 1], gates)]) for k in range(self.count)]

    @cached_property
    def areas(self) -> tuple[Any, ...]:
        """Balls around the integral of gamma_l over its slot, from l - 1/2 to l + 1/2."""

        with working_precision(BITS):
            return tuple(self._area(k).real for k in range(self.count))

    def _area(self, k: int) -> Any:
        import flint

        (a, b), w = (to_arb(float(side[k])) for side in self.directions), to_arb(self.frequency)
        sharpness, start = to_arb(self.sharpness), to_arb(float(self.starts[k]))

        def gate(t: Any, _: Any) -> Any:
            return start * (sharpness * (a * ((w * t).cos() - 1) + b * (w * t).sin())).exp()

        return flint.acb.integral(gate, flint.acb(k) + 0.5, flint.acb(k) + 1.5)


def _frequency(count: int) -> Fraction:
    return Fraction(25, 4) / (count + 1)
