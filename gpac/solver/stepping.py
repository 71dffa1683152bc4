"""Order-adaptive Taylor steps for a batch: every trajectory has its own time, step, order and fate.

Step size: Jorba and Zou, Experimental Mathematics 14 (2005) 99-117, with the radius of convergence read off
the last third of the coefficients, so that gaps in a series do not hide its growth. After each step the
polynomial's slope at the new point is held against the circuit's: a step that fails is halved.

States that are proven or declared nonzero (exponentials, the slopes 1 - tanh^2 of neurons) are kept accurate
relative to their own size: a slope of 1e-20 multiplies everything that follows when its neuron comes back.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .results import BLOW_UP, MAX_STEPS, REACHED, STOPPED, UNDERFLOW, Results
from .series import LANES, Array, Series, largest
from .solution import Dense, host

EPS = float(np.finfo(float).eps)
LARGEST_WEIGHT = 1e100
GAUSS = np.polynomial.legendre.leggauss(4)


@dataclass(frozen=True)
class Settings:
    """Numbers that steer a run: see `gpac.solve`."""

    tol: float
    atol: float
    max_steps: int
    dense: bool

    @property
    def order(self) -> int:
        """Highest order: the one that reaches `tol` at least cost when a step is 1/e^2 of the radius."""
        return max(4, math.ceil(1 - 0.5 * math.log(self.tol)))


class Run:
    """Trajectories of one circuit that are advanced together; each keeps to itself.

    Parameters
    ----------
    series : Series
    inputs : dict of (size, B) arrays
    t_end : (B,) array
    """

    def __init__(self, series: Series, inputs: dict[str, Array], t_end: Array, settings: Settings) -> None:
        self.series, self.settings, self.xp = series, settings, series.xp
        xp, batch = self.xp, len(t_end)
        self.inputs = {name: _to_blocks(value, xp) for name, value in inputs.items()}
        self.t_end = _to_blocks(t_end[None], xp)[:, 0]
        self.ids = _to_blocks(xp.arange(batch)[None], xp)[:, 0]
        live = _to_blocks(xp.ones((1, batch), dtype=bool), xp)[:, 0]
        live.reshape(-1)[batch:] = False  # lanes that only fill the last block
        self.live = live
        blocks = len(live)
        self.t = xp.zeros((blocks, LANES))
        self.cap = xp.full((blocks, LANES), xp.inf)
        self.c, self.rates = series.allocate(settings.order, blocks)
        with np.errstate(all="ignore"):
            series.initial_state(self.c, self.inputs)
        self.first_scale = xp.maximum(largest(self.c[0][:, : series.dim], xp), 1.0)
        m = sum(w.size for w in series.circuit.outputs.values())
        self.results = Results(xp, batch, series.dim, m)
        self.results.space[self.ids[live]] = largest(self.c[0][:, : series.dim], xp)[live]
        self.pieces: list[tuple[Array, Array, Array]] = []

    def go(self, progress: Callable[[int], None], stop: bool = False) -> Results:
        """Advance until every trajectory has ended; `progress` is told how many ended. `stop` ends all at once."""
        with np.errstate(all="ignore"):
            self.series.order(self.c, self.rates, 1, self.settings.dense)
            if stop:
                self._retire(self.live, STOPPED, progress)
            try:
                while bool(self.live.any()):
                    self._compact()
                    self._step(progress)
            except KeyboardInterrupt:
                self._retire(self.live, STOPPED, progress)
        return self.results

    def _step(self, progress: Callable[[int], None]) -> None:
        xp, c, dim = self.xp, self.c, self.series.dim
        order, h = self._expand()
        h = xp.where(self.live, xp.minimum(h, self.cap), 0.0)
        left = self.t_end - self.t
        last = h >= left * (1 - 4 * EPS)
        h = xp.where(last, left, h)
        stuck = self.live & ~(h > 4 * EPS * self.t)
        if bool(stuck.any()):
            space = largest(c[0][:, :dim], xp)
            grown = ~(space < 1e3 * self.first_scale)
            self._retire(stuck & grown, BLOW_UP, progress)
            self._retire(stuck & ~grown, UNDERFLOW, progress)
            h = xp.where(self.live, h, 0.0)
        powers = _powers(h, order, len(c), xp)  # (K + 1, block, lane), 0 above a lane's own order
        old = c[0].copy()
        increment = xp.einsum("kbil,kbl->bil", c[:0:-1, :, :dim], powers[:0:-1])
        if not bool(xp.isfinite(increment).all()):  # an order that a lane does not use may have overflowed
            xp.copyto(c, 0.0, where=~self._used(order))
            increment = xp.einsum("kbil,kbl->bil", c[:0:-1, :, :dim], powers[:0:-1])
        slope = self._slope(powers)
        length = self._length(h, order)
        if self.settings.dense:
            polynomials, begin = self._polynomials(order), self.t.copy()
        t_old = self.t
        self.t = xp.where(last & self.live, self.t_end, self.t + h)
        c[0][:, :dim] = old[:, :dim] + increment
        self._restart()
        good = self.live & self._trusted(slope, h, order)
        if not bool((good | ~self.live).all()):
            self.t = xp.where(good, self.t, t_old)
            self.cap = xp.where(good, xp.inf, xp.where(self.live, h / 2, xp.inf))
            c[0][...] = xp.where(good[:, None], c[0], old)
            self._restart()
        else:
            self.cap = xp.where(self.live, xp.inf, self.cap)
        if self.settings.dense:
            self.pieces.append((self.ids[good], begin[good], polynomials[good]))
        self.results.count(self.ids[good], length[good], order[good], largest(c[0][:, :dim], xp)[good])
        self._retire(good & last, REACHED, progress)
        spent = self.live & (self.results.steps[self.ids] >= self.settings.max_steps)
        self._retire(spent, MAX_STEPS, progress)

    def _restart(self) -> None:
        """Orders 0 and 1 of every unit at the present state and time."""
        self.series.values(self.c, self.inputs, self.t, still=False)
        self.series.order(self.c, self.rates, 1, self.settings.dense)

    def _expand(self) -> tuple[Array, Array]:
        """Raise the order until every trajectory can take its step; returns orders and steps (block, lane).

        A trajectory stops at the first order (of 4, 8, 12, ... and the highest) that reaches its end in
        one step.
        """
        xp, c, dim, top = self.xp, self.c, self.series.dim, self.settings.order
        left = self.t_end - self.t
        scale = xp.maximum(largest(c[0][:, :dim], xp), self.settings.atol / self.settings.tol)
        weights = self._weights(scale)
        roots = [None, self._root(1, scale, weights)]
        order = xp.full(self.t.shape, top)
        step = xp.zeros(self.t.shape)
        open_ = self.live.copy()
        for k in range(2, top + 1):
            self.series.order(c, self.rates, k, self.settings.dense)
            roots.append(self._root(k, scale, weights))
            if k % 4 and k < top:
                continue
            radius = roots[k]
            for j in range(-(-2 * k // 3), k):
                radius = xp.minimum(radius, roots[j])
            h = self.settings.tol ** (1 / k) * radius
            done = open_ & ((h >= left) | (k == top))
            order, step = xp.where(done, k, order), xp.where(done, h, step)
            open_ &= ~done
            if not bool(open_.any()):
                break
        return order, step

    def _weights(self, scale: Array) -> list[tuple[slice, Array]]:
        """How much more than others the entries of nonzero states count, per wire: scale / |state|."""
        weights = []
        for wire in self.series.circuit.integrals:
            if "0" not in wire.signs:
                at = self.series.place(wire)
                weights.append((at, self.xp.minimum(scale[:, None] / self.xp.abs(self.c[0][:, at]), LARGEST_WEIGHT)))
        return weights

    def _root(self, k: int, scale: Array, weights: list[tuple[slice, Array]]) -> Array:
        """(scale / |c_k|)**(1/k), the radius that order k suggests; inf for a zero term, 0 for a NaN."""
        xp = self.xp
        magnitude = xp.abs(self.c[k][:, : self.series.dim])
        for at, weight in weights:
            magnitude[:, at] *= weight
        size = largest(magnitude, xp)
        root = (scale / size) ** (1 / k)
        return xp.where(xp.isfinite(size), root, 0.0)

    def _slope(self, powers: Array) -> Array:
        """h times the polynomial's derivative at the end of the step."""
        factors = powers * self.xp.arange(len(powers))[:, None, None]
        return self.xp.einsum("kbil,kbl->bil", self.c[:0:-1, :, : self.series.dim], factors[:0:-1])

    def _trusted(self, slope: Array, h: Array, order: Array) -> Array:
        """Whether the step's polynomial solves the equation at its far end, to 10 (order + 1) times the tolerance."""
        xp, dim = self.xp, self.series.dim
        if not dim:
            return xp.ones(h.shape, dtype=bool)
        now = h[:, None] * self.c[1][:, :dim]
        scale = xp.maximum(xp.abs(self.c[0][:, :dim]).max(axis=1), self.settings.atol / self.settings.tol)
        allowed = 10 * (order + 1) * self.settings.tol * scale + 1e4 * EPS * (scale + xp.abs(now).max(axis=1))
        return (xp.abs(slope - now).max(axis=1) <= allowed) & xp.isfinite(allowed)  # inf is no state to be at

    def _length(self, h: Array, order: Array) -> Array:
        """Length of the step's piece of curve: Gauss-Legendre on |y'|, 4 nodes."""
        xp, dim = self.xp, self.series.dim
        total = xp.zeros(h.shape)
        k = xp.arange(len(self.c))[:, None, None]
        for node, weight in zip((GAUSS[0] + 1) / 2, GAUSS[1] / 2, strict=True):
            factors = (_powers(h * float(node), order, len(self.c), xp) * k)[1:] / float(node)
            rate = xp.einsum("kbil,kbl->bil", self.c[1:, :, :dim], factors)  # h * y'
            total = total + float(weight) * xp.sqrt((rate * rate).sum(axis=1))
        return total

    def _polynomials(self, order: Array) -> Array:
        """Coefficients of all outputs (block, lane, K + 1, m), zero above each trajectory's order."""
        xp = self.xp
        wires = self.series.circuit.outputs.values()
        coefficients = xp.concatenate([self.c[:, :, self.series.place(w)] for w in wires], axis=2)
        return xp.where(self._used(order), coefficients, 0.0).transpose(1, 3, 0, 2)

    def _used(self, order: Array) -> Array:
        """Which orders each lane's step uses: (K + 1, block, 1, lane)."""
        return self.xp.arange(len(self.c))[:, None, None, None] <= order[None, :, None, :]

    def _retire(self, who: Array, code: int, progress: Callable[[int], None]) -> None:
        """Write down the trajectories that end now and let their lanes go."""
        if not bool(who.any()):
            return
        lanes = self.c[0].transpose(0, 2, 1)[who]  # (ended, width)
        self.live = self.live & ~who
        wires = self.series.circuit.outputs.values()
        outputs = self.xp.concatenate([lanes[:, self.series.place(w)] for w in wires], axis=1)
        self.results.end(self.ids[who], code, self.t[who], lanes[:, : self.series.dim], outputs)
        progress(len(lanes))

    def _compact(self) -> None:
        """Once half of the blocks would do, move the living trajectories together."""
        alive = int(self.live.sum())
        if alive > self.live.size // 2 or len(self.live) == 1:
            return
        xp = self.xp

        def packed(array: Array) -> Array:
            return _to_blocks(array.transpose(1, 0, 2)[:, self.live], xp)

        self.inputs = {name: packed(value) for name, value in self.inputs.items()}
        state = packed(self.c[0][:, : self.series.dim])
        rows = [packed(a[:, None])[:, 0] for a in (self.t, self.t_end, self.cap, self.first_scale, self.ids)]
        live = xp.zeros(rows[0].size, dtype=bool)
        live[:alive] = True
        self.t, self.t_end, self.cap, self.first_scale, self.ids = rows
        self.live = live.reshape(rows[0].shape)
        self.c, self.rates = self.series.allocate(self.settings.order, len(self.live))
        self.c[0][:, : self.series.dim] = state
        self.series.values(self.c, self.inputs, self.t, still=True)
        self.series.order(self.c, self.rates, 1, self.settings.dense)

    def dense_output(self) -> Dense:
        """The polynomials kept, grouped by trajectory."""
        kept = [[host(part) for part in piece] for piece in self.pieces]
        m = self.results.outputs.shape[1]
        ids = np.concatenate([p[0] for p in kept]) if kept else np.zeros(0, dtype=int)
        order = np.argsort(ids, kind="stable")
        counts = np.bincount(ids, minlength=len(self.results.t))
        empty = np.zeros((0, self.settings.order + 1, m))
        return Dense(
            np.concatenate([[0], np.cumsum(counts)]),
            np.concatenate([p[1] for p in kept] or [np.zeros(0)])[order],
            host(self.results.t),
            np.concatenate([p[2] for p in kept] or [empty])[order],
        )


def _powers(h: Array, order: Array, count: int, xp: Any) -> Array:
    """h**k for k < count, and 0 where k exceeds the lane's order."""
    powers = xp.empty((count, *h.shape))
    powers[0] = 1.0
    for k in range(1, count):
        powers[k] = powers[k - 1] * h
    return powers * (xp.arange(count)[:, None, None] <= order)


def _to_blocks(array: Array, xp: Any) -> Array:
    """(entries, B) -> (blocks, entries, LANES), the last block filled up with copies of the last trajectory."""
    entries, batch = array.shape
    blocks = max(1, -(-batch // LANES))
    filled = xp.concatenate([array, xp.repeat(array[:, -1:], blocks * LANES - batch, axis=1)], axis=1)
    return xp.ascontiguousarray(filled.reshape(entries, blocks, LANES).transpose(1, 0, 2))
