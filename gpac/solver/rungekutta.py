"""Runge-Kutta steps of order 8 (DOP853) for a batch: every trajectory has its own time, step, error and fate.

Source: Hairer, Norsett, Wanner, Solving Ordinary Differential Equations I, sections II.4 (step size), II.5 (error
estimate), II.6 (continuous extension of order 7) and II.10 (the method).

The rates of the states are order 1 of their Taylor series: an integrator of u with respect to v has the rate u v',
and the rate of v follows from those of what it is made of. As in `arrays.py`, trajectories sit in blocks of lanes
and errors of nonzero states count relative to their own size.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from ..circuit import Circuit
from . import readings
from .arithmetic import Doubles
from .dop853 import CONTINUOUS, FIFTH, STAGES, THIRD, C
from .interrupt import undisturbed
from .results import MAX_STEPS, REACHED, STOPPED, UNDERFLOW, WALL_CLOCK, Results
from .right import RightSide
from .series import LANES, Array, Series, largest, to_blocks
from .solution import host
from .task import EPS, Advance, Batch, Limits, Pieces, Settings

ORDER = 8
CHUNK_BYTES = 64 * 2**20
"""Stages held at a time."""
LARGEST_WEIGHT = 1e100
SAFETY, SHRINK, GROW = 0.9, 0.2, 10.0
"""Of the step that the error allows, how much is taken; how far a step may fall and rise."""
GAUSS = np.polynomial.legendre.leggauss(4)


def _continuous() -> np.ndarray:
    """Powers of x = (t - begin) / h in F0 x + F1 x (1 - x) + F2 x^2 (1 - x) + ...: (8, 7)."""
    columns, basis = [], np.polynomial.Polynomial([1.0])
    for k in range(7):
        basis = basis * np.polynomial.Polynomial([1.0, -1.0] if k % 2 else [0.0, 1.0])
        columns.append(np.pad(basis.coef, (0, 8 - len(basis.coef))))
    return np.stack(columns, axis=1)


POWERS = _continuous()


class RungeKuttaEngine:
    """DOP853 on arrays: the work of a step does not grow with the tolerance. NumPy or CuPy."""

    def __init__(self, circuit: Circuit, settings: Settings, xp: Any) -> None:
        self.series, self.settings = Series.of(circuit, xp), settings
        stages = len(C) if settings.keep or settings.length else 13
        block = 8 * LANES * ((stages + 4) * circuit.dim + 2 * (self.series.width + self.series.rate_width))
        self.piece = LANES * max(1, CHUNK_BYTES // max(1, block))
        self.name = f"Runge-Kutta of order {ORDER} (DOP853) on {xp.__name__} arrays, {LANES} lanes a block"

    def advance(self, batch: Batch, limits: Limits) -> Advance:
        """Advance every trajectory of the batch as far as the limits allow."""
        return Run(self.series, batch, self.settings, limits).go()


class Run:
    """Trajectories of one circuit that are advanced together; each keeps to itself."""

    def __init__(self, series: Series, batch: Batch, settings: Settings, limits: Limits) -> None:
        self.series, self.settings, self.limits, self.xp = series, settings, limits, series.xp
        self.dense, self.right = settings.keep or settings.length, RightSide(series)
        xp, count = self.xp, len(batch.t_end)
        self.inputs = {name: to_blocks(value, xp) for name, value in batch.inputs.items()}
        self.t, self.t_end, self.ids = (
            to_blocks(row[None], xp)[:, 0] for row in (batch.t, batch.t_end, xp.arange(count))
        )
        self.live = xp.arange(self.t.size).reshape(self.t.shape) < count  # others only fill the last block
        self.state = to_blocks(batch.state, xp)
        self.results = Results(Doubles(xp), count, series.dim, sum(w.size for w in settings.watch))
        self.pieces: list[tuple[Array, ...]] = []
        self.degree = readings.degree(series.circuit, settings.watch, len(POWERS) - 1)
        self._allocate()
        space = largest(self.state, xp)
        self.results.space[self.ids[self.live]] = space[self.live]

    def go(self) -> Advance:
        """Advance until every trajectory has ended or a limit is met."""
        with np.errstate(all="ignore"):
            self._rates(self.t, self.state, self.stages[0])
            self.h = self._first_step()
            try:
                while bool(self.live.any()):
                    with undisturbed():
                        if time.monotonic() > self.limits.deadline:
                            self._retire(self.live, WALL_CLOCK)
                        self._compact()
                        self._step()
            except KeyboardInterrupt:
                self._retire(self.live, STOPPED)
        return self.results.advance(self._pieces(), self.settings.length)

    def _allocate(self) -> None:
        """Room for stages, and values of the units that stay the same."""
        xp = self.xp
        self.c, self.slack = self.series.allocate(1, len(self.live))
        self.stages = xp.zeros((len(C) if self.dense else 13, *self.state.shape))
        self.work = xp.empty(self.state.shape)
        with np.errstate(all="ignore"):
            self.series.values(self.c, self.inputs, self.t, still=True)

    def _rates(self, t: Array, state: Array, out: Array) -> None:
        """y' at time t (block, lane) of states (block, dim, lane)."""
        self.c[0][:, : self.series.dim] = state
        out[...] = self.right(self.c, self.slack, self.inputs, t)

    def _sum(self, weights: dict[int, float]) -> Array:
        """Stages times weights, one after the other: no bit depends on the number of blocks."""
        total = self.xp.zeros(self.state.shape)
        for j, weight in weights.items():
            self.xp.multiply(self.stages[j], weight, out=self.work)
            total += self.work
        return total

    def _stage(self, number: int, t: Array, h: Array) -> Array:
        """Evaluate a stage; returns the state where it lies."""
        at = self._sum(STAGES[number])
        at *= h[:, None]
        at += self.state
        self._rates(t, at, self.stages[number])
        return at

    def _step(self) -> None:
        xp = self.xp
        h, t_new, last = self._taken()
        for number in range(1, 12):
            self._stage(number, self.t + C[number] * h, h)
        new = self._stage(12, t_new, h)
        error = self._error(new, h)
        good = self.live & (error <= 1)
        ended = good & last
        lanes = self._readings(t_new) if bool(ended.any()) else None
        length = self._extend(new, h, good) if self.dense else xp.zeros(h.shape)
        factor = xp.clip(SAFETY * error ** (-1 / ORDER), SHRINK, xp.where(good, GROW, 1.0))
        self.h = xp.abs(h) * xp.where(xp.isfinite(error), factor, SHRINK)
        self.t = xp.where(good, t_new, self.t)
        self.state = xp.where(good[:, None], new, self.state)
        self.stages[0] = xp.where(good[:, None], self.stages[12], self.stages[0])
        order = xp.full(h.shape, ORDER)
        self.results.count(self.ids[good], length[good], order[good], largest(self.state, xp)[good])
        self._retire(ended, REACHED, lanes)
        self._retire(self.live & (self.results.steps[self.ids] >= self.limits.max_steps), MAX_STEPS)

    def _taken(self) -> tuple[Array, Array, Array]:
        """The steps to try, signed, where they lead, and which are the last; who cannot move any more is let go."""
        xp = self.xp
        left = xp.abs(self.t_end - self.t)
        last = self.live & (self.h >= left * (1 - 4 * EPS))
        h = xp.where(last, left, self.h)
        stuck = self.live & ~last & ~(h > 4 * EPS * xp.abs(self.t))
        if bool(stuck.any()):
            self._retire(stuck, UNDERFLOW)
        after = xp.where(last, self.t_end, self.t + xp.copysign(xp.where(self.live, h, 0.0), self.t_end - self.t))
        return after - self.t, after, last  # steps by what the clock can add: rounding of time costs no accuracy

    def _allowed(self) -> Array:
        """The error that a step may make."""
        return self.settings.tol * self.xp.maximum(largest(self.state, self.xp), self.settings.floor)

    def _norm(self, array: Array, state: Array) -> Array:
        """Largest magnitude, entries of nonzero states relative to their size in `state`: (block, lane)."""
        xp = self.xp
        size = xp.abs(array)
        scale = xp.maximum(largest(self.state, xp), self.settings.floor)
        for wire in self.series.circuit.integrals:
            if "0" not in wire.signs:
                at = self.series.place(wire)
                size[:, at] *= xp.minimum(scale[:, None] / xp.abs(state[:, at]), LARGEST_WEIGHT)
        return largest(size, xp)

    def _error(self, new: Array, h: Array) -> Array:
        """Estimated error over what is allowed; NaN where the step left the numbers."""
        xp = self.xp
        fifth, third = self._norm(self._sum(FIFTH), new), self._norm(self._sum(THIRD), new)
        error = xp.abs(h) * fifth * (fifth / xp.hypot(fifth, 0.1 * third))
        lost = ~xp.isfinite(largest(new, xp) + largest(self.stages[12], xp))
        return xp.where(lost, xp.nan, xp.where(fifth == 0, 0.0, error / self._allowed()))

    def _first_step(self) -> Array:
        """A step by the sizes of y, y' and y'' (section II.4)."""
        xp, allowed = self.xp, self._allowed()
        if not self.series.dim:
            return xp.abs(self.t_end - self.t)
        size = self._norm(self.state, self.state) / allowed
        rate = self._norm(self.stages[0], self.state) / allowed
        left = xp.abs(self.t_end - self.t)
        h = xp.where((size < 1e-5) | (rate < 1e-5), 1e-6, 0.01 * size / rate)
        h = xp.where(xp.isfinite(h) & (h > 0), xp.minimum(h, left), 1e-6)
        signed = xp.copysign(h, self.t_end - self.t)
        self._rates(self.t + signed, self.state + signed[:, None] * self.stages[0], self.stages[1])
        bend = self._norm(self.stages[1] - self.stages[0], self.state) / allowed / h
        steep = xp.maximum(rate, bend)
        second = xp.where(steep <= 1e-15, xp.maximum(1e-6, 1e-3 * h), (0.01 / steep) ** (1 / ORDER))
        return xp.where(xp.isfinite(second), xp.minimum(100 * h, second), h)

    def _extend(self, new: Array, h: Array, good: Array) -> Array:
        """Polynomials of the step: keep them if asked, and return the lengths of its pieces of curve."""
        xp = self.xp
        for number in range(13, len(C)):
            self._stage(number, self.t + C[number] * h, h)
        delta, h_ = new - self.state, h[:, None]
        first, end = h_ * self.stages[0], h_ * self.stages[12]
        terms = [delta, first - delta, 2 * delta - end - first, *(h_ * self._sum(CONTINUOUS[k]) for k in range(4))]
        states = xp.zeros((len(POWERS), *self.state.shape))
        states[0] = self.state
        for k in range(1, len(POWERS)):
            for weight, term in zip(POWERS[k], terms, strict=True):
                if weight:
                    states[k] += float(weight) * term
        if self.settings.keep:
            begin, unit, watch = self.t, xp.where(h == 0, 1.0, h), self.settings.watch
            kept = readings.polynomials(self.series, watch, states, self.inputs, begin, unit, self.degree)
            self.pieces.append((self.ids[good], begin[good], h[good], unit[good], kept[good]))
        return self._length(states)

    def _length(self, states: Array) -> Array:
        """Length of the step's piece of curve: Gauss-Legendre on |h y'|, 4 nodes."""
        total = self.xp.zeros(self.t.shape)
        for node, weight in zip((GAUSS[0] + 1) / 2, GAUSS[1] / 2, strict=True):
            rate = self.xp.zeros(self.state.shape)
            for k in range(len(states) - 1, 0, -1):
                rate = rate * float(node) + k * states[k]
            total = total + float(weight) * self.xp.sqrt((rate * rate).sum(axis=1))
        return total

    def _readings(self, t: Array) -> Array:
        """The watched wires at time t where the last stage was evaluated: (block, lane, m)."""
        self.series.values(self.c, self.inputs, t, still=False)
        found = [self.c[0][:, self.series.place(w)] for w in self.settings.watch] or [self.c[0][:, :0]]
        return self.xp.concatenate(found, axis=1).transpose(0, 2, 1)

    def _retire(self, who: Array, code: int, lanes: Array | None = None) -> None:
        """Write down the trajectories that end now and let their lanes go."""
        if not bool(who.any()):
            return
        self.live = self.live & ~who
        states = self.state.transpose(0, 2, 1)[who]
        none = self.xp.full((len(states), self.results.readings.shape[1]), self.xp.nan)
        self.results.end(self.ids[who], code, self.t[who], states, none if lanes is None else lanes[who])
        if code != STOPPED:  # those have not ended, and whoever is told might stop the run once more
            self.limits.tell(len(states))

    def _compact(self) -> None:
        """Once half of the blocks would do, move the living trajectories together."""
        alive = int(self.live.sum())
        if alive > self.live.size // 2 or len(self.live) == 1:
            return
        xp = self.xp

        def packed(array: Array) -> Array:
            return to_blocks(array.transpose(1, 0, 2)[:, self.live], xp)

        self.inputs = {name: packed(value) for name, value in self.inputs.items()}
        self.state, first = packed(self.state), packed(self.stages[0])
        rows = [packed(a[:, None])[:, 0] for a in (self.t, self.t_end, self.h, self.ids)]
        self.t, self.t_end, self.h, self.ids = rows
        self.live = xp.arange(self.t.size).reshape(self.t.shape) < alive
        self._allocate()
        self.stages[0] = first

    def _pieces(self) -> Pieces | None:
        """The polynomials kept."""
        if not self.settings.keep:
            return None
        m = self.results.readings.shape[1]
        shapes = (0,), (0,), (0,), (0,), (0, self.degree + 1, m)
        kept = [[host(part) for part in piece] for piece in self.pieces]
        kept.append([np.zeros(shape, dtype=int if n == 0 else float) for n, shape in enumerate(shapes)])
        return Pieces(*(np.concatenate(parts) for parts in zip(*kept, strict=True)))
