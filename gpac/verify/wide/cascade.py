"""How far solutions can be from a step's polynomials in a part with very many states: level by level, as vectors.

Write d_w = w - p_w for the distance of a unit from its polynomial, all along the step, 0 <= s <= 1, with rates d_w'.
The polynomials miss what they make of each other by m_w, in rate by m_w' (`series`). Then exactly

    sum        d = M d_x + m                       d' = M d_x' + m'
    product    d = d_x y + p_x d_y + m             d' = d_x' y + p_x' d_y + d_x y' + p_x d_y' + m'
    integral                                       d' = d_u v' + p_u d_v' + m'                   (u dv)

where y, y', v' are the true ones. What is known of the units of lower levels (bounds on |d| and |d'| at all s) goes
into these equations as it is, so that a level is a system in the distances r_i of its own integrators alone, and

    r_i' <= own_i r_i + sum over j != i of a_ij r_j + b_i.

Signs are kept along units that act entry by entry, and on diagonals: `own_i` is the upper end of the slope, which is
negative where a neuron forgets. In the sum, r_j is replaced by `room_j`; if the solutions of these scalar comparison
equations stay below `room`, no component is the first to leave it: so all stay there, the true solution exists over
the step, and what was assumed of y, y', v' holds. Then the units of the level have bounds, and the next level follows.
In a network of l layers errors thus grow as a polynomial of degree l in the sums |W| of the weights, and not in steps.
All bounds are in units of the last place of the polynomials, so that doubles have the room.
Sources: Mueller's comparison theorem (1927); logarithmic norms, Dahlquist 1959, Lozinskii 1958; a block triangular
system solved block by block, as quasimonotone comparison systems in Walter, "Ordinary Differential Equations" (1998).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from ...wire import Integral, Linear, Product, Time, Wire
from ..balls import Group
from .series import Polynomials
from .upward import Floats, Range, growth, up

ROUNDS = 24
SETTLED = 5
LEAST, MOST = 2.0**-6, 0.75
REFINEMENTS, ENOUGH = 3, 0.9

Slopes = dict[Wire, Range]
"""By integrator of the level, of the same size: how entry i depends on entry i of that integrator."""


@dataclass(frozen=True, eq=False)
class Distance:
    """sum of slopes times the distances of integrators of the level, and at most `rest` besides."""

    slopes: Slopes
    rest: Floats

    def size(self, room: dict[Wire, Floats]) -> Floats:
        """Upper bounds, if the integrators' distances are at most `room`."""
        found = self.rest
        for w, slope in self.slopes.items():
            found = found + up(slope.size() * room[w])
        return up(found, 1 + len(self.slopes))

    def times(self, factor: Range) -> Distance:
        return Distance({w: x * factor for w, x in self.slopes.items()}, up(self.rest * factor.size()))

    def __add__(self, other: Distance) -> Distance:
        slopes = dict(self.slopes)
        for w, x in other.slopes.items():
            slopes[w] = slopes[w] + x if w in slopes else x
        return Distance(slopes, up(self.rest + other.rest))


@dataclass(eq=False)
class Cascade:
    """One step; `value` and `rate` bound the distances of units so far, `after` those of integrators at its end.

    Parameters
    ----------
    radii : bounds on the distances of the integrators' entries at the start, in units of the last place
    shortest : the step ends between s = shortest and s = 1
    """

    polynomials: Polynomials
    radii: dict[Wire, Floats]
    shortest: float
    value: dict[Wire, Floats] = field(default_factory=dict)
    rate: dict[Wire, Floats] = field(default_factory=dict)
    after: dict[Wire, Floats] = field(default_factory=dict)

    def run(self) -> bool:
        """Go through all levels; False where no bound is found."""
        rules = self.polynomials.rules
        with np.errstate(over="ignore", invalid="ignore"):
            for w in rules.still:
                self.value[w], self.rate[w] = self.polynomials.misses(w)
            return all(self._level(level) for level in rules.levels)

    def _level(self, level: Group) -> bool:
        integrals: list[Wire] = [w for w in level if isinstance(w, Integral)]
        room = {w: up(self.radii[w] + 1) for w in integrals}
        before = 1.0
        for number in range(ROUNDS):
            tube = _Tube(self, level, room)
            rise = tube.rise(tube.anywhere())
            if rise < 0:
                self._close(level, tube.anywhere())
                return True
            if not rise < np.inf or (number >= SETTLED and rise > max(0.5, 0.9 * before)):
                return False
            fall = min(rise / before, MOST) if rise < 1 else 0.0  # what is still to come falls off like this
            before, ahead = max(rise, LEAST), 1 + LEAST + 2 * rise * fall / (1 - fall)  # it may be just 0
            settled = tube.settled()
            if settled is None:
                return False
            room = {w: up(x * ahead) for w, x in settled.items()}
        return False

    def _close(self, level: Group, room: dict[Wire, Floats]) -> None:
        """Write down what holds where the integrators' distances are known to be at most `room`."""
        for _ in range(REFINEMENTS if room else 0):
            before, room = room, _Tube(self, level, room).anywhere()
            if all((room[w] > ENOUGH * before[w])[level[w]].all() for w in room):
                break
        tube = _Tube(self, level, room)
        self.after |= tube.at_end(self.shortest)
        self.value |= {w: tube.value[w].size(room) for w in level}
        self.rate |= {w: tube.rate[w].size(room) for w in level}


class _Tube:
    """Distances of a level's units, where those of its integrators are at most `room`."""

    def __init__(self, cascade: Cascade, level: Group, room: dict[Wire, Floats]) -> None:
        self.cascade, self.level, self.room = cascade, level, room
        self.rules = cascade.polynomials.rules
        self.value: dict[Wire, Distance] = {}
        self.rate: dict[Wire, Distance] = {}
        for w in level:
            self.value[w] = self._value(w)
        for w in level:
            self.rate[w] = self._rate(w)

    def anywhere(self) -> dict[Wire, Floats]:
        """Bounds on the integrators' distances all along the step."""
        return self._bounds(lambda own: np.maximum(own, 0.0), self.room)

    def at_end(self, shortest: float) -> dict[Wire, Floats]:
        """Bounds on them at the end."""
        return self._bounds(lambda own: np.where(own < 0, own * shortest, own), self.room)

    def rise(self, found: dict[Wire, Floats]) -> float:
        """By how much of itself the room is exceeded most; negative where it is kept, undefined where anything is."""
        if not self.room:
            return -1.0
        return float(np.max(np.concatenate([(found[w] / self.room[w])[self.level[w]] for w in self.room]))) - 1

    def settled(self) -> dict[Wire, Floats] | None:
        """Where the bounds seem to come to rest if slopes and all else stay what they are: a proposal, or None."""
        room = self.room
        for _ in range(ROUNDS):
            found = self._bounds(lambda own: np.maximum(own, 0.0), room)
            rests = all((found[w] <= room[w] * (1 + LEAST))[self.level[w]].all() for w in room)
            room = {w: np.fmax(found[w], room[w]) for w in room}
            if rests:
                return room
        return None

    def _bounds(self, latest: Callable[[Floats], Floats], room: dict[Wire, Floats]) -> dict[Wire, Floats]:
        """r exp(own s) + push times the integral of exp(own s), where own s is at most `latest` of own."""
        if not room:
            return {}
        own = np.concatenate([self._own(w) for w in room])
        push = np.concatenate([self._others(w).size(room) for w in room])
        start = np.concatenate([self.cascade.radii[w] for w in room])
        found = up(start * growth(latest(own))[0] + push * growth(own)[1], 3)
        return dict(zip(room, np.split(found, np.cumsum([w.size for w in room])[:-1]), strict=True))

    def _own(self, w: Wire) -> Floats:
        """Upper bounds on how an integrator's entries act on themselves."""
        slope = self.rate[w].slopes.get(w)
        return np.zeros(w.size) if slope is None else slope.highest()

    def _others(self, w: Wire) -> Distance:
        """What all else pushes an integrator by."""
        return Distance({v: x for v, x in self.rate[w].slopes.items() if v is not w}, self.rate[w].rest)

    # -- units

    def _of(self, w: Wire) -> tuple[Distance, Distance]:
        """Distances of an operand, value and rate."""
        if w in self.level:
            return self.value[w], self.rate.get(w, Distance({}, np.full(w.size, np.nan)))
        return Distance({}, self.cascade.value[w]), Distance({}, self.cascade.rate[w])

    def _true(self, w: Wire, part: int) -> Range:
        """What true values, or rates, lie in."""
        distance = np.ldexp(self._of(w)[part].size(self.room), -self.cascade.polynomials.bits)
        return self.cascade.polynomials.ranges(w)[part].widened(up(distance))

    def _value(self, w: Wire) -> Distance:
        if isinstance(w, Integral):
            one = np.ones(w.size)
            return Distance({w: Range(one, 0 * one)}, 0 * one)
        missed = Distance({}, self.cascade.polynomials.misses(w)[0])
        if isinstance(w, Time):
            return missed
        if isinstance(w, Linear):
            return self._sum(w, 0) + missed
        assert isinstance(w, Product)
        left, right = self.rules.series.sides[w]
        x, y = self._of(left)[0], self._of(right)[0]
        if w.einsum is None:
            own = self._fitted(x, w).times(self._true(right, 0))
            return own + self._fitted(y, w).times(self.cascade.polynomials.ranges(left)[0]) + missed
        terms = [(x, True, self._true(right, 0)), (y, False, self.cascade.polynomials.ranges(left)[0])]
        return self._paired(w, [self._pairs(w, *term) for term in terms]) + missed

    def _rate(self, w: Wire) -> Distance:
        missed = Distance({}, self.cascade.polynomials.misses(w)[1])
        if isinstance(w, Time):
            return missed
        if isinstance(w, Linear):
            return self._sum(w, 1) + missed
        left, right = self.rules.series.sides[w]
        (x, dx), (y, dy) = self._of(left), self._of(right)
        p, dp = self.cascade.polynomials.ranges(left)
        terms = [(x, True, self._true(right, 1)), (dy, False, p)]
        if isinstance(w, Product):
            terms += [(dx, True, self._true(right, 0)), (y, False, dp)]
        if isinstance(w, Product) and w.einsum is not None:
            return self._paired(w, [self._pairs(w, *term) for term in terms]) + missed
        total = missed
        for distance, _, factor in terms:
            total = total + self._fitted(distance, w).times(factor)
        return total

    def _sum(self, w: Linear, part: int) -> Distance:
        total = Distance({}, np.zeros(w.size))
        for effect in self.rules.sums[w].effects:
            x = self._of(effect.operand)[part]
            if effect.own is None:
                total = total + Distance({}, effect.from_others(x.size(self.room)))
            else:
                others = effect.from_others(x.size(self.room))
                total = total + x.times(effect.own) + Distance({}, others + np.zeros(w.size))
        return total

    def _fitted(self, x: Distance, w: Wire) -> Distance:
        """A distance as a term of a unit's, entry by entry: slopes only on integrators of the same size."""
        if all(v.size == w.size for v in x.slopes):
            return x
        return Distance({}, x.size(self.room))

    def _pairs(self, w: Product, x: Distance, of_left: bool, factor: Range) -> Floats:
        """Per pair of entries that a unit multiplies: the distance of one side's times the size of the other's."""
        _, left, right = self.rules.indices[w]
        mine, its = (left, right) if of_left else (right, left)
        return up(x.size(self.room)[mine] * factor.size()[its])

    def _paired(self, w: Product, terms: list[Floats]) -> Distance:
        out = self.rules.indices[w][0]
        total = np.bincount(out, sum(terms), w.size)
        return Distance({}, up(total, len(terms) * out.size))
