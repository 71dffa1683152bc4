"""The largest entry of each group: a knock-out tournament of smooth maxima of two.

    m(a, b) = (a + b + sqrt((a - b)^2 + e^2) - e)/2,        max(a, b) - e/2 <= m(a, b) <= max(a, b).

m is increasing in a and b with slopes that add up to 1, so after k rounds it is at most k e/2 too small. With
e = 2 delta/k, tournament + delta lies between the maximum and the maximum + delta. Every value starts at 0. An entry
without an opponent goes to the next round as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from gpac.functions import modulus_pair
from gpac.program import Invariant
from gpac.wire import Wire, linear, product

from ..groups import Groups
from .rule import Carried, Setting
from .smooth import Balls, Floats

HALF = Fraction(1, 2)
Round = tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True, eq=False)
class Tournament:
    """Rounds (first, second, idle): places of opponents and of the others among the values of the round before.

    The winners come first in the values of the next round, then the idle ones; `winners` are the places of the
    groups' winners after the last round.
    """

    rounds: tuple[Round, ...]
    winners: np.ndarray

    def play(self, values: Any, pick: Callable[[Any, np.ndarray], Any], meet: Callable[[Any, Any, Any], Any]) -> Any:
        """The winners; `pick` takes entries, `meet` gives winners followed by the idle."""
        for first, second, idle in self.rounds:
            values = meet(pick(values, first), pick(values, second), pick(values, idle))
        return pick(values, self.winners)

    def width(self, delta: Fraction) -> Fraction:
        """e."""
        return 2 * delta / len(self.rounds)


def tournament(groups: Groups) -> Tournament:
    """The tournament within every group."""
    members = groups.members
    rounds: list[Round] = []
    while any(len(m) > 1 for m in members):
        first = [i for m in members for i in m[: len(m) // 2 * 2 : 2]]
        second = [i for m in members for i in m[1::2]]
        idle = [m[-1] for m in members if len(m) % 2]
        following, won, waiting = [], 0, len(first)
        for m in members:
            games, odd = len(m) // 2, len(m) % 2
            following.append([*range(won, won + games), *([waiting] if odd else [])])
            won, waiting = won + games, waiting + odd
        rounds.append((np.array(first, dtype=int), np.array(second, dtype=int), np.array(idle, dtype=int)))
        members = following
    return Tournament(tuple(rounds), np.array([m[0] for m in members]))


def maximum_arrays(plan: Tournament, delta: Fraction, x: np.ndarray) -> np.ndarray:
    """Float64 values (B, n) to (B, groups)."""

    def meet(a: np.ndarray, b: np.ndarray, idle: np.ndarray) -> np.ndarray:
        larger = np.maximum(a, b)
        if delta:
            larger = larger + (Floats.rest(a - b, plan.width(delta)) - 0.5 * float(plan.width(delta)))
        return np.concatenate([larger, idle], axis=1)

    return plan.play(x, lambda v, places: v[:, places], meet) + float(delta)


def maximum_balls(plan: Tournament, delta: Fraction, values: list[Any]) -> list[Any]:
    """The same in balls."""

    def meet(first: list[Any], second: list[Any], idle: list[Any]) -> list[Any]:
        return [a.max(b) + loss(plan, delta, a - b) for a, b in zip(first, second, strict=True)] + idle

    return [v + Balls.number(delta) for v in plan.play(values, _pick, meet)]


def loss(plan: Tournament, delta: Fraction, difference: Any) -> Any:
    """m(a, b) - max(a, b), as a ball, from a ball around a - b."""
    if not delta:
        return Balls.number(0)
    width = plan.width(delta)
    return Balls.rest(difference, width) - Balls.number(width / 2)


def _pick(values: list[Any], places: np.ndarray) -> list[Any]:
    return [values[i] for i in places]


def maximum_circuit(plan: Tournament, delta: Fraction, z: Wire, setting: Setting) -> Carried:
    """The circuit of a `Maximum` operation for a z that starts at 0."""
    width = plan.width(delta)
    circles: list[Invariant] = []

    def meet(a: Wire, b: Wire, idle: Wire | None) -> Wire:
        label = f"round{len(circles) + 1}_{setting.label}"
        apart = linear([(1, a), (-1, b)])
        first, second = (setting.start(f"circle_{name}", apart, v, width) for name, v in (("sine", 0), ("cosine", 1)))
        u, w, modulus = modulus_pair(apart, width, label, (first, second))
        circle = linear([(1, product(u, u)), (1, product(w, w))])
        circles.append(Invariant(f"{label}_u^2 + {label}_w^2", circle, Fraction(1)))
        larger = linear([(HALF, a), (HALF, b), (HALF, modulus)], -width / 2)
        if idle is None:
            return larger
        from scipy.sparse import eye

        size = a.size + idle.size
        return linear([(eye(size, a.size, format="csr"), larger), (eye(size, idle.size, -a.size, format="csr"), idle)])

    return Carried(plan.play(z, _selected, meet), delta, tuple(circles))


def _selected(z: Wire, places: np.ndarray) -> Wire | None:
    from scipy.sparse import csr_matrix

    if not len(places):
        return None
    count = len(places)
    return linear([(csr_matrix((np.ones(count), (np.arange(count), places)), (count, z.size)), z)])
