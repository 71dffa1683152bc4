"""One part of a circuit through time: Taylor polynomial in balls, its tail, and the spread of what is uncertain.

A centre without width is followed by Taylor polynomials; how far any other solution in question can be from it
is carried beside it in low precision: `spread`, with the first-order dependence on the inputs (`affine`), and
`wide` for parts with very many states.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from math import inf
from typing import Any

import flint

from ..exact import to_arb
from ..precision import working_precision
from ..wire import Integral, Wire, describe
from .affine import Rows, Symbols, whole
from .balls import BallSeries, Group, Values, evaluate, still_entries
from .basis import Basis
from .distances import MOST_FRAMED, Distances, reframed, size_of, start
from .ends.pole import Poles
from .fixed import expand_fixed
from .invariants import Watch
from .magnitude import dyadic, largest, log2_ball, radius_of_convergence, shortened, widest
from .matrix import Ball
from .models import model
from .order import SCOUT_BITS, SCOUT_ORDER, in_fixed_point
from .outcome import Ends, Limits, Stuck
from .pace import Pace
from .proof import to_fraction
from .slopes import Key, Step
from .spread import spread
from .stretch import Stretch
from .tail import tail
from .wide.steps import Wide

MOST_IN_MATRIX = 256
"""States of one part up to which a matrix says how its width spreads; above, bounds go through it layer by layer."""
PATIENCE = 2**8
"""How far above the rounding level bounds may grow before they get a frame."""
DEGREE = 8
"""Degree in time to which slopes are followed."""

END = object()


def at(rows: Rows, w: Wire, i: int) -> Symbols:
    """The row of symbols of entry i of a wire; None if it has none."""
    return rows[w][i] if w in rows else None


class Part:
    """One part of the system, which runs by itself with its own steps."""

    def __init__(
        self,
        series: BallSeries,
        group: Group,
        order: int,
        limits: Limits,
        still_rows: Rows,
        start_rows: Rows,
        watch: Watch,
    ) -> None:
        self.series, self.group, self.order, self.limits = series, group, order, limits
        self.integrals: dict[Wire, list[int]] = {w: entries for w, entries in group.items() if isinstance(w, Integral)}
        self.keys = [(w, i) for w, entries in self.integrals.items() for i in entries]
        self.in_matrix = len(self.keys) <= MOST_IN_MATRIX
        self.still = still_entries(series, group)
        self.moved = [
            (w, i)
            for w, balls in self.still.items()
            for i, b in enumerate(balls)
            if b is not None and at(still_rows, w, i) is not None
        ]
        self.basis = Basis([at(start_rows, w, i) for w, i in self.keys] + [at(still_rows, w, i) for w, i in self.moved])
        self.all_still = {w: list(balls) for w, balls in self.still.items()}
        for w, i in self.moved:
            self.all_still[w][i] = whole(self.still[w][i], still_rows[w][i])
        if not self.in_matrix:
            self.still = self.all_still
        self.centre = {w: _middles(balls) for w, balls in self.still.items()}
        self.sharp = all(b is None or b.is_exact() for balls in self.still.values() for b in balls)
        self.watch = watch.of(self.keys)
        self.seen: Callable[[Stretch], None] | None = None
        self.distances: Distances | None = None
        self.anywhere: list[Ball] = []
        self.growth: list[dict[int, Ball]] = []
        self.length = flint.arb(1)
        self.framed = False
        self.steps = 0
        self.poles: Poles | None = None
        self.wide = None if self.in_matrix else Wide(series, group, self.still, order)
        self.lost = self.wide.guess() if self.wide else 0.0  # in levels bits are lost early: no pace to go by
        self.pace = Pace(None if self.basis.count or self.lost else limits.goal)
        self.failed = "the Taylor remainder could not be bounded"

    def go(self, state: Values, near: Values, rows: Rows, end: Any) -> Stuck | Ends | None:
        """Advance the part's entries from 0 to `end`; None when it got there."""
        if self.limits.most_states is not None and len(self.keys) > self.limits.most_states:
            return self._stuck(f"a part has {len(self.keys)} states, more than wanted", Fraction(0), wide=False)
        if self.wide is None:
            self._begin(state)
        elif self.limits.goal is not None:
            missing = self.limits.goal + self.lost - flint.ctx.prec
            if missing > 0:
                return self._stuck("its levels lose more bits", Fraction(0), wide=True, missing=missing)
        outcome = self._go(near, end)
        if outcome is None:
            self._finish(state, near, rows)
        return outcome

    def _begin(self, state: Values) -> None:
        """Distances at the start: rows of symbols, and the radii of the balls beside them."""
        balls = [state[w][i] for w, i in self.keys] + [self.still[w][i] for w, i in self.moved]
        self.distances = start(self.basis.rows, [b.rad() for b in balls])
        if self.basis.count:
            self.framed, self.distances = True, reframed(self.distances, len(self.keys))

    def _finish(self, state: Values, near: Values, rows: Rows) -> None:
        """Write the entries at the end: balls beside the rows."""
        for n, (w, i) in enumerate(self.keys):
            state[w][i] = near[w][i]
            row: Symbols = None
            if self.distances is not None and self.basis.count:
                beside = size_of(self.distances.frame[n]) + self.distances.rest[n]
                row, lost = self.basis.back(self.distances.symbols[n])
                state[w][i] = near[w][i].mid() + flint.arb(0, beside + lost)
            if w in rows:
                rows[w][i] = row

    def _go(self, state: Values, end: Any) -> Stuck | Ends | None:
        t, found = Fraction(0), None
        jump, short = (2**6, 2.0**-6) if self.basis.count else (2**14, 2.0**-9)  # boxes grow too wide soon
        large = jump * largest(state, self.keys).max(1)
        endless = 2**50 // jump * large
        last = end if self.limits.last is None else self.limits.last
        while True:
            if self.steps >= self.limits.max_steps:
                return found or self._stuck(f"{self.steps} steps were not enough", t, wide=False)
            if self.limits.stop():
                return found or self._stuck("the time allowed was used up", t, wide=False)
            if len(self.keys) == 1 and self.steps < 3:  # early, while the balls are narrow
                found = self._pole(state, t, last)
                if found:
                    return found
            wide = self.wide
            moved = self._wide_step(wide, state, t, end) if wide else self._step(state, t, to_arb(end) - to_arb(t))
            if moved is None:
                reason = f"no step could be proven, however short: {self.failed}"
                return found or self._stuck(reason + self._blame(state), t, wide=True)
            self.steps += 1
            if widest(state, self.keys) > self.limits.widest:
                return found or self._stuck("the balls became too wide" + self._blame(state), t, wide=True)
            self.watch.check(state, to_arb(end if moved is END else t + moved))
            if moved is END:
                return None
            t += moved
            missing = self.pace.missing(
                widest(state, self.keys), log2_ball(largest(state, self.keys)) or 0.0, t, end, self.steps
            )
            if missing:
                return self._stuck("bits are lost too fast", t, wide=True, missing=missing)
            if largest(state, self.keys) > large and moved < short * float((to_arb(last) - to_arb(t)).abs_upper()):
                large *= jump
                found = self._pole(state, t, last) or found
                if found and found.tight:
                    return found
            if largest(state, self.keys) > endless and moved < 2.0**-30 * float((to_arb(end) - to_arb(t)).abs_upper()):
                reason = "the solution seems to leave every bounded set soon after, which could not be proven"
                return found or self._stuck(reason, t, wide=False)

    def _pole(self, state: Values, t: Fraction, last: Any) -> Ends | None:
        """An enclosure of the time where the part leaves every bounded set, if that lies before `last`."""
        if not self.limits.ends:
            return None
        self.poles = self.poles or Poles(self.series, self.all_still, self.keys)
        pole = self.poles.find(state, to_arb(t), to_arb(last), self.limits)
        if pole is None:
            return None
        low, high = to_fraction((to_arb(t) + pole.time).lower()), to_fraction((to_arb(t) + pole.time).upper())
        return Ends(max(low, t) if pole.all_exist else t, high, pole.all_exist, self.steps, self.order)

    def _step(self, state: Values, t: Fraction, left: Ball) -> Any:
        """One proven step: to the end (returns END) or shorter (returns its length); None if none can be proven.

        A step that cannot be proven is halved, or shortened as far as its tail asks for.
        """
        start: Values = {w: [None] * w.size for w in self.integrals}
        for w, i in self.keys:
            start[w][i] = state[w][i].mid()
        c, errors, unit = self._expand(start, t, left)
        h = self._length(c, self.order) * unit
        if errors is not None:
            h = min(h, unit)  # as far as the errors are bounded
        step, moved = (to_arb(h), h) if left.lower() > to_arb(h) else (left, END)
        for tries in range(40):
            if not h > 0:
                return None
            rest = tail(self.series, c, step / to_arb(unit), self.order, self.group, errors)
            excess = inf if rest is None else self._excess(rest, state)
            if rest is not None and excess <= 0:
                new = self._spread(c, rest, state, t, step, unit)
                if new is not None:
                    for (w, i), ball in new.items():
                        state[w][i] = ball
                    return moved
                self.failed = "no tube could be found that holds all solutions"
            moved = h = self._shorter(step, excess)
            if errors is not None and tries % 4 == 3:  # the unit was misjudged: errors count over all of it
                moved = h = h / 2
                c, errors, unit = self._expand(start, t, left, h)
            step = to_arb(h)
        return None

    def _wide_step(self, wide: Wide, state: Values, t: Fraction, end: Any) -> Any:
        """The same for a part with very many states."""
        found = wide.step(state, t, end)
        if found is None:
            self.failed = wide.failed
            return None
        new, moved = found
        for w, i in self.keys:
            state[w][i] = new[w][i]
        return END if moved is None else moved

    def _shorter(self, step: Ball, excess: float) -> Fraction:
        """Half of a step, or as much of it as makes a tail smaller by `excess` bits."""
        factor = 0.5 if excess <= 0 else max(0.5, 2.0 ** (-(excess + 4) / self.order))
        return shortened(to_fraction(step.lower()), factor)

    def _length(self, c: Values, order: int) -> Fraction:
        """A step, in the unit of the coefficients, whose tail should be near the rounding level."""
        return dyadic(radius_of_convergence(c, self.keys, order) * 2.0 ** (-flint.ctx.prec / self.order))

    def _expand(
        self, start: Values, t: Fraction, left: Ball, unit: Fraction | None = None
    ) -> tuple[Values, Values | None, Fraction]:
        """Coefficients in a unit of time, with bounds on errors outside of their balls if there are any.

        At high orders in fixed point, in the unit given or in that of the step that a short expansion lets expect.
        """
        if in_fixed_point(flint.ctx.prec):
            if unit is None:
                with working_precision(SCOUT_BITS):
                    scout = self.series.expand(start, to_arb(t), SCOUT_ORDER, self.group, self.centre)
                unit = self._length(scout, SCOUT_ORDER)
            if not to_arb(unit) < left:
                unit = shortened(to_fraction(left.upper()), 1 + 2.0**-16)  # a little more than what is left
            found = unit and expand_fixed(self.series, start, t, self.order, self.group, self.centre, unit)
            if found:
                return found.c, found.errors, unit
        return self.series.expand(start, to_arb(t), self.order, self.group, self.centre), None, Fraction(1)

    def _spread(
        self, c: Values, rest: dict[Wire, list[Ball]], state: Values, t: Fraction, step: Ball, unit: Fraction
    ) -> dict[Key, Ball] | None:
        """Balls that contain all solutions after the step, by entry; None if no bound is found."""
        own = step / to_arb(unit)
        ends = {(w, i): evaluate(c[w][i], own) + flint.arb(0, rest[w][i]) for w, i in self.keys}
        before = self.distances
        if before is None:
            return ends
        lost = [ends[key].rad() for key in self.keys]
        if before.sharp() and self.sharp:
            self.distances = start(before.symbols, lost + before.rest[len(lost) :])
            self._show(c, rest, [flint.arb(0)] * len(lost), t, step, unit)
            return ends
        if not self.framed and len(self.keys) <= MOST_FRAMED and self._grown(state):
            self.framed, before = True, reframed(before, len(self.keys))
        degree = DEGREE if self.framed else 0
        with working_precision(64):
            path = {(w, i): model(c[w][i], own, rest[w][i], degree) for w, i in self.keys}
            clock = model([to_arb(t), flint.arb(1)], step, flint.arb(0), degree)
        columns = {key: n for n, key in enumerate([*self.keys, *self.moved])}
        along = Step(self.series, self.group, self.still, path, clock, step, columns, degree)
        found = spread(along, before, self.anywhere or [4 * b for b in before.bound], lost, self.framed)
        if found is None:
            return None
        self.distances, self.anywhere, self.growth, self.length = found.after, found.anywhere, found.growth, step
        self._show(c, rest, found.anywhere, t, step, unit)
        radii = zip(self.keys, found.after.bound, strict=False)
        return {key: ends[key].mid() + flint.arb(0, radius) for key, radius in radii}

    def _show(
        self, c: Values, rest: dict[Wire, list[Ball]], far: list[Ball], t: Fraction, step: Ball, unit: Fraction
    ) -> None:
        """Hand a proven step to whoever looks on; `far` bounds the distances all along it."""
        if self.seen is not None:
            beside = {(w, i): (rest[w][i] + d).upper() for (w, i), d in zip(self.keys, far, strict=False)}
            self.seen(Stretch(t, step, unit, {(w, i): c[w][i] for w, i in self.keys}, beside))

    def _grown(self, state: Values) -> bool:
        """Whether the bounds are far above the rounding level."""
        level = flint.arb(2) ** -flint.ctx.prec * PATIENCE * (1 + largest(state, self.keys))
        return any(state[w][i].rad() > level for w, i in self.keys)

    def _excess(self, rest: dict[Wire, list[Ball]], state: Values) -> float:
        """How many bits the tail is too large: far above the rounding level."""
        bound = flint.arb(2) ** (16 - flint.ctx.prec) * (1 + largest(state, self.keys))
        sizes = [log2_ball(rest[w][i]) for w, i in self.keys if not rest[w][i] <= bound]
        level = log2_ball(bound)
        return max((size - level + 1 for size in sizes if size is not None and level is not None), default=0.0)

    def _blame(self, state: Values) -> str:
        """Which entry is known worst, and which entry of the Jacobian did most of that in the last step."""
        n = max(range(len(self.keys)), key=lambda k: log2_ball(state[self.keys[k][0]][self.keys[k][1]].rad()) or -1e9)
        text = f" ({_name(self.keys[n])} is known to +-{float(state[self.keys[n][0]][self.keys[n][1]].rad()):.2g}"
        if not self.growth or self.distances is None:
            return text + ")"
        names = [*self.keys, *self.moved]
        parts = {j: a * self.distances.bound[j] for j, a in self.growth[n].items() if j < len(names)}
        if not parts:
            return text + ")"
        j = max(parts, key=lambda k: float(parts[k].abs_upper()))
        slope = float(self.growth[n][j]) / float(self.length)
        return text + f"; most of its growth comes through {_name(names[j])}, with a slope up to {slope:.3g})"

    def _stuck(self, reason: str, t: Fraction, wide: bool, missing: float = 0.0) -> Stuck:
        return Stuck(reason, t, wide, self.steps, self.order, missing)


def _name(key: Key) -> str:
    wire, i = key
    return describe(wire) + (f"[{i}]" if wire.size > 1 else "")


def _middles(balls: list[Any]) -> list[Any]:
    return [None if b is None else b.mid() for b in balls]
