"""Order-adaptive Taylor steps for a batch: every trajectory has its own time, step, order and fate.

Step size: Jorba and Zou, Experimental Mathematics 14 (2005) 99-117, with the radius of convergence read off
the last third of the coefficients, so that gaps in a series do not hide its growth. After each step the
polynomial's slope at the new point is held against the circuit's: a step that fails is halved.

Every trajectory has its own unit of time, a power of two near its step, and coefficients are in powers of time in
that unit: whatever the sizes of states and times, none of them leaves the range of doubles.

States that are proven or declared nonzero (exponentials, the slopes 1 - tanh^2 of neurons) are kept accurate
relative to their own size: a slope of 1e-20 multiplies everything that follows when its neuron comes back.
"""

from __future__ import annotations

import math
import time
from functools import partial
from typing import Any

import numpy as np

from ..circuit import Circuit
from .arithmetic import Doubles, arithmetic
from .interrupt import undisturbed
from .powers import power_of_two, powers_of
from .results import MAX_STEPS, REACHED, STOPPED, UNDERFLOW, WALL_CLOCK, Results
from .rows import joined
from .series import LANES, Array, Series, largest, to_blocks
from .solution import host
from .task import EPS, Advance, Batch, Limits, Pieces, Settings

LARGEST_WEIGHT = 1e100
UNIT_BITS = 16
"""A trajectory whose coefficients overflow tries again with a unit of time this many bits smaller."""
GAUSS = np.polynomial.legendre.leggauss(4)
CHUNK_BYTES = 64 * 2**20
"""Coefficients held at a time by a processor."""
DEVICE_BYTES = 2 * 2**30
"""And by a device, which is slow on small arrays."""


class ArrayEngine:
    """Taylor series on arrays, unit by unit: matrices stay matrix products. NumPy or CuPy."""

    radau_steps = 30.0  # of some 30 us in a lane of 16

    def __init__(self, circuit: Circuit, settings: Settings, xp: Any) -> None:
        self.series, self.settings = Series.of(circuit, xp, settings.precision), settings
        # reaches the tolerance at least cost when a step is 1/e^2 of the radius of convergence
        self.order = max(4, math.ceil(1 - 0.5 * math.log(settings.tol)))
        block = 8 * self.series.num.parts * LANES * (self.order + 1) * (self.series.width + self.series.rate_width)
        room = CHUNK_BYTES if xp is np else DEVICE_BYTES
        self.piece = LANES * max(1, room // max(1, block))
        self.name = (
            f"Taylor series of order up to {self.order} on {xp.__name__} arrays of {self.series.num.name} numbers, "
            f"{LANES} lanes a block"
        )

    def advance(self, batch: Batch, limits: Limits) -> Advance:
        """Advance every trajectory of the batch as far as the limits allow."""
        return Run(self.series, batch, self.settings, self.order, limits).go()


class Run:
    """Trajectories of one circuit that are advanced together; each keeps to itself."""

    def __init__(self, series: Series, batch: Batch, settings: Settings, order: int, limits: Limits) -> None:
        self.series, self.settings, self.limits, self.xp = series, settings, limits, series.xp
        self.top, self.num = order, series.num
        xp, num, count = self.xp, self.num, len(batch.t_end)
        blocks = partial(to_blocks, xp=xp)
        self.inputs = {name: num.each(blocks, value) for name, value in batch.inputs.items()}
        self.t, self.t_end = (num.each(blocks, row[None])[:, 0] for row in (batch.t, batch.t_end))
        self.ids = blocks(xp.arange(count)[None])[:, 0]
        live = to_blocks(xp.ones((1, count), dtype=bool), xp)[:, 0]
        live.reshape(-1)[count:] = False  # lanes that only fill the last block
        self.live = live
        self.cap, self.unit = xp.full(self.t.shape, xp.inf), xp.ones(self.t.shape)
        self.c, self.rates = series.allocate(order, len(live))
        self.c[0][:, : series.dim] = num.each(blocks, batch.state)
        with np.errstate(all="ignore"):
            self.series.values(self.c, self.inputs, self.t, still=True)
        m = sum(w.size for w in settings.watch)
        self.results = Results(num, count, series.dim, m)
        self.results.space[self.ids[live]] = self._space()[live]
        self.pieces: list[tuple[Array, ...]] = []

    def go(self) -> Advance:
        """Advance until every trajectory has ended or a limit is met."""
        with np.errstate(all="ignore"):
            self._first_unit()
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

    def _space(self) -> Array:
        """Largest state (block, lane)."""
        return largest(self.num.lead(self.c[0])[:, : self.series.dim], self.xp)

    def _first_unit(self) -> None:
        """Units of time in which states change by their own size, or the time left where that is less."""
        xp, left = self.xp, self.xp.abs(self.num.lead(self.t_end - self.t))
        self.series.order(self.c, self.rates, 1, self.settings.keep, unit=self.unit)
        rate = largest(self.num.lead(self.c[1])[:, : self.series.dim], xp)
        self.unit = power_of_two(xp.minimum(left, xp.maximum(self._space(), self.settings.floor) / rate), xp)
        self.series.order(self.c, self.rates, 1, self.settings.keep, unit=self.unit)

    def _step(self) -> None:
        xp, num, c, dim = self.xp, self.num, self.c, self.series.dim
        order, h, wrong = self._expand()
        h = xp.where(self.live & ~wrong, xp.minimum(h, self.cap), 0.0)
        gap = self.t_end - self.t
        left = xp.abs(num.lead(gap))
        last = ~wrong & (h >= left * (1 - 4 * EPS))
        h = xp.where(last, left, h)
        least = 4 * num.unit * xp.abs(num.lead(self.t))
        smaller = self.unit * 2.0**-UNIT_BITS
        again = self.live & wrong & (smaller > xp.maximum(least, 2.0**-1000))
        stuck = self.live & ~last & ~again & ~(h > least)
        if bool(stuck.any()):
            self._retire(stuck, UNDERFLOW)
            h = xp.where(self.live, h, 0.0)
        after = num.where(last & self.live, self.t_end, self.t + xp.copysign(h, num.lead(gap)))
        step = after - self.t  # by what the clock can add: rounding of time costs no accuracy
        h, unit = num.lead(step), self.unit
        relative = num.each(lambda part: part / unit, step)
        powers = powers_of(relative, order, len(c), num)  # (K + 1, block, lane), 0 above a lane's own order
        old = c[0].copy()
        increment = num.evaluate(c[1:, :, :dim], powers[1:])
        if not bool(xp.isfinite(num.lead(increment)).all()):  # an order that a lane does not use may have overflowed
            num.clear(c, ~self._used(order))
            increment = num.evaluate(c[1:, :, :dim], powers[1:])
        slope = self._slope(powers)
        length = self._length(num.lead(relative), order) if self.settings.length else xp.zeros(h.shape)
        if self.settings.keep:
            polynomials, begin = self._polynomials(order), self.t.copy()
        t_old = self.t
        self.t = after
        c[0][:, :dim] = old[:, :dim] + increment
        self.unit = xp.where(h != 0, power_of_two(xp.abs(h), xp), xp.where(again, smaller, unit))
        self._restart()
        good = self.live & ~wrong & self._trusted(slope, step, order)
        if not bool((good | ~self.live).all()):
            self.t = num.where(good, self.t, t_old)
            self.cap = xp.where(self.live & ~good & ~again, xp.abs(h) / 2, xp.inf)
            c[0][...] = num.where(good[:, None], c[0], old)
            self._restart()
        else:
            self.cap = xp.where(self.live, xp.inf, self.cap)
        if self.settings.keep:
            self.pieces.append((self.ids[good], begin[good], h[good], unit[good], polynomials[good]))
        self.results.count(self.ids[good], length[good], order[good], self._space()[good])
        self._retire(good & last, REACHED)
        self._retire(self.live & (self.results.steps[self.ids] >= self.limits.max_steps), MAX_STEPS)

    def _restart(self) -> None:
        """Orders 0 and 1 of every unit at the present state and time."""
        self.series.values(self.c, self.inputs, self.t, still=False)
        self.series.order(self.c, self.rates, 1, self.settings.keep, unit=self.unit)

    def _expand(self) -> tuple[Array, Array, Array]:
        """Raise the order until every trajectory can take its step; returns orders and steps (block, lane).

        The third says whose coefficients have overflowed, so that there is no step. A trajectory stops at the first
        order (of 4, 8, 12, ... and the highest) that reaches its end in one step. Polynomials that are kept have all
        orders: a wire that is only read may need them.
        """
        xp, c, top = self.xp, self.c, self.top
        left = xp.abs(self.num.lead(self.t_end - self.t))
        scale = xp.maximum(self._space(), self.settings.floor)
        weights = self._weights(scale)
        roots = [None, self._root(1, scale, weights)]
        order = xp.full(self.t.shape, top)
        step, wrong = xp.zeros(self.t.shape), xp.zeros(self.t.shape, dtype=bool)
        open_ = self.live.copy()
        for k in range(2, top + 1):
            self.series.order(c, self.rates, k, self.settings.keep, unit=self.unit)
            roots.append(self._root(k, scale, weights))
            if k % 4 and k < top:
                continue
            radius = roots[k]
            for j in range(-(-2 * k // 3), k):
                radius = xp.minimum(radius, roots[j])
            h = self.settings.tol ** (1 / k) * radius * self.unit
            done = open_ & ((h >= left) | (radius == 0) | (k == top))
            order, step = xp.where(done, k, order), xp.where(done, h, step)
            wrong |= done & (radius == 0)
            open_ &= ~done
            if not bool(open_.any()) and not self.settings.keep:
                break
        return order, step, wrong

    def _weights(self, scale: Array) -> list[tuple[slice, Array]]:
        """How much more than others the entries of nonzero states count, per wire: scale / |state|."""
        weights, state = [], self.num.lead(self.c[0])
        for wire in self.series.circuit.integrals:
            if "0" not in wire.signs:
                at = self.series.place(wire)
                weights.append((at, self.xp.minimum(scale[:, None] / self.xp.abs(state[:, at]), LARGEST_WEIGHT)))
        return weights

    def _root(self, k: int, scale: Array, weights: list[tuple[slice, Array]]) -> Array:
        """(scale / |c_k|)**(1/k), the radius that order k suggests; inf for a zero term, 0 for inf and NaN."""
        xp = self.xp
        magnitude = xp.abs(self.num.lead(self.c[k])[:, : self.series.dim])
        for at, weight in weights:
            magnitude[:, at] *= weight
        size = largest(magnitude, xp)
        root = (scale / size) ** (1 / k)
        return xp.where(xp.isfinite(size), root, 0.0)

    def _slope(self, powers: Array) -> Array:
        """h times the polynomial's derivative at the end of the step."""
        factors = powers * self.xp.arange(len(powers))[:, None, None]
        return self.num.evaluate(self.c[1:, :, : self.series.dim], factors[1:])

    def _trusted(self, slope: Array, step: Array, order: Array) -> Array:
        """Whether the step's polynomial solves the equation at its far end, to 10 (order + 1) times the tolerance."""
        xp, num, dim = self.xp, self.num, self.series.dim
        if not dim:
            return xp.ones(order.shape, dtype=bool)
        now = self.c[1][:, :dim] * num.each(lambda part: part / self.unit, step)[:, None]
        scale, rate = xp.maximum(self._space(), self.settings.floor), xp.abs(num.lead(now)).max(axis=1)
        allowed = 10 * (order + 1) * self.settings.tol * scale + 1e4 * num.unit * (scale + rate)
        return (xp.abs(num.lead(slope - now)).max(axis=1) <= allowed) & xp.isfinite(allowed)  # inf is no state to be at

    def _length(self, h: Array, order: Array) -> Array:
        """Length of the curve on a step of h units: Gauss-Legendre on |y'|, 4 nodes."""
        xp, dim = self.xp, self.series.dim
        c = self.num.lead(self.c)
        total = xp.zeros(h.shape)
        k = xp.arange(len(c))[:, None, None]
        for node, weight in zip((GAUSS[0] + 1) / 2, GAUSS[1] / 2, strict=True):
            factors = (powers_of(h * float(node), order, len(c), Doubles(xp)) * k)[1:] / float(node)
            rate = xp.einsum("kbil,kbl->bil", c[1:, :, :dim], factors)  # h * y'
            total = total + float(weight) * xp.sqrt((rate * rate).sum(axis=1))
        return total

    def _polynomials(self, order: Array) -> Array:
        """Coefficients of all watched wires (block, lane, K + 1, m)."""
        coefficients = self.num.joined([self.c[:, :, self.series.place(w)] for w in self.settings.watch], axis=2)
        finite = self.xp.isfinite(self.num.lead(coefficients))  # above the lane's own order one may have overflowed
        self.num.clear(coefficients, ~(self._used(order) | finite))
        return coefficients.transpose(1, 3, 0, 2)

    def _used(self, order: Array) -> Array:
        """Which orders each lane's step uses: (K + 1, block, 1, lane)."""
        return self.xp.arange(len(self.c))[:, None, None, None] <= order[None, :, None, :]

    def _retire(self, who: Array, code: int) -> None:
        """Write down the trajectories that end now and let their lanes go."""
        if not bool(who.any()):
            return
        lanes = self.c[0].transpose(0, 2, 1)[who]  # (ended, width)
        self.live = self.live & ~who
        readings = [lanes[:, self.series.place(w)] for w in self.settings.watch] or [lanes[:, :0]]
        watched = self.num.joined(readings, axis=1)
        self.results.end(self.ids[who], code, self.t[who], lanes[:, : self.series.dim], watched)
        if code != STOPPED:  # those have not ended, and whoever is told might stop the run once more
            self.limits.tell(len(lanes))

    def _compact(self) -> None:
        """Once half of the blocks would do, move the living trajectories together."""
        alive = int(self.live.sum())
        if alive > self.live.size // 2 or len(self.live) == 1:
            return
        xp, num = self.xp, self.num

        def packed(array: Array) -> Array:
            return to_blocks(array.transpose(1, 0, 2)[:, self.live], xp)

        self.inputs = {name: num.each(packed, value) for name, value in self.inputs.items()}
        state = num.each(packed, self.c[0][:, : self.series.dim])
        self.t, self.t_end = (num.each(packed, a[:, None])[:, 0] for a in (self.t, self.t_end))
        self.cap, self.unit, self.ids = (packed(row[:, None])[:, 0] for row in (self.cap, self.unit, self.ids))
        live = xp.zeros(self.ids.size, dtype=bool)
        live[:alive] = True
        self.live = live.reshape(self.ids.shape)
        self.c, self.rates = self.series.allocate(self.top, len(self.live))
        self.c[0][:, : self.series.dim] = state
        self.series.values(self.c, self.inputs, self.t, still=True)
        self.series.order(self.c, self.rates, 1, self.settings.keep, unit=self.unit)

    def _pieces(self) -> Pieces | None:
        """The polynomials kept."""
        if not self.settings.keep:
            return None
        num, m = arithmetic(self.settings.precision, np), self.results.readings.shape[1]
        kept = [[host(part) for part in piece] for piece in self.pieces]
        nothing = np.zeros(0)
        kept.append([nothing.astype(int), num.zeros((0,)), nothing, nothing, num.zeros((0, self.top + 1, m))])
        return Pieces(*(joined(list(parts)) for parts in zip(*kept, strict=True)))
