"""Errors of many states at once, without matrices: sizes of errors go through the circuit as sizes.

With N bounding |h Df| entry by entry around a step, |e| stays below exp(N) (|e(0)| + integral of |d|): Mueller's
comparison (1927) without the signs of the diagonal. N itself is never made: it acts unit by unit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..wire import Integral, Linear, Product, Time, Wire
from .chain import Jump, Reached
from .models import TINY, UP, Array
from .steps import Steps, defects, state_models, times
from .trace import larger, largest, where_at_most, where_less, written
from .units import Units

SLOPES = 8
TERMS, WRITTEN_TERMS = 80, 14
NEGLIGIBLE = 2.0**-20

Sizes = dict[Wire, Array]


@dataclass(frozen=True, eq=False)
class Spread:
    """Errors are below `size` (dim, B); `lost` (B,) is 0 while that is proven, and else inf or NaN."""

    size: Array
    lost: Array


def compared(units: Units, steps: Steps, jump: Jump, now: Spread, tube: float) -> Spread:
    """Over one step."""
    radius = tube * larger(largest(np.abs(steps.c).sum(axis=0)), 1e-280)
    sup = _Growth(units, steps, radius).exponential((now.size + defects(units, steps)) * UP)
    lost = now.lost + where_less(largest(sup), radius, 0.0, np.inf)
    return Spread((sup + np.abs(jump.value) + jump.off) * UP, lost)


def compared_at_last(now: Spread) -> Reached:
    """What is known at the end."""
    held = (now.lost == 0) & np.isfinite(now.size).all(axis=0)
    return Reached(np.zeros(now.size.shape), np.where(held, now.size, np.inf), held, ~held)


def reach_by_comparison(units: Units, steps: Steps, jump: Jump, offsets: Array, start: Array, tube: float) -> Reached:
    """All trajectories from start errors (dim, B) to the end; see `chain.reach`."""
    size, lost, counts = start.copy(), np.where(np.isfinite(start).all(axis=0), 0, np.inf), np.diff(offsets)
    with np.errstate(all="ignore"):
        for k in range(int(counts.max(initial=0))):
            some = np.flatnonzero(counts > k)
            row = offsets[some] + k
            jumped = Jump(jump.value[:, row], jump.off[:, row], jump.end[:, row])
            after = compared(units, steps.at(row), jumped, Spread(size[:, some], lost[some]), tube)
            size[:, some], lost[some] = after.size, after.lost
    return compared_at_last(Spread(size, lost))


class _Growth:
    """The operator N on the steps given."""

    def __init__(self, units: Units, steps: Steps, radius: Array) -> None:
        self.units = units
        time, step = times(steps)
        around = {w: m.cut(SLOPES).wider(radius) for w, m in state_models(units, steps).items()}
        values = units.values(around, steps.inputs, time, SLOPES, units.driving)
        rates = units.rates(values, step, SLOPES)
        self.value: Sizes = {w: m.size for w, m in values.items()}
        self.rate: Sizes = {w: m.size for w, m in rates.items()}

    def exponential(self, size: Array) -> Array:
        """Bound on exp(N) times sizes (dim, rows); inf where none is found."""
        term = total = size = size + TINY  # beside which nothing counts that underflows
        for k in range(1, WRITTEN_TERMS if written(size) else TERMS):
            before, term = term, self._apply(term) * (UP / k)
            total = (total + term) * UP
            if not written(term) and (term <= NEGLIGIBLE * total).all() and (2 * term <= before).all():
                break
        halves = where_at_most(self._apply(term) * (2 * UP / (k + 1)), term, 0.0, np.inf)
        return (total + term) * UP + largest(halves)  # and so do all that follow: N is monotone

    def _apply(self, size: Array) -> Array:
        """N times sizes (dim, rows)."""
        units = self.units
        source, change, at = units.circuit.source, Sizes(), 0
        for state in units.circuit.integrals:
            change[state] = size[at : at + state.size]
            at += state.size
        for w in units.circuit.wires:
            if w in units.driving and w not in change:
                found = self._through(w, change, self.value)
                if found is not None:
                    change[w] = found
        of_rate = Sizes()
        for w in units.circuit.wires:
            if w not in units.rated or isinstance(w, Time):
                continue
            parts: list[Array | None] = []
            if isinstance(w, Integral):
                u, v = source(w.integrand), source(w.variable)
                parts = [change[u] * self.rate[v] if u in change else None]
                parts += [self.value[u] * of_rate[v] if v in of_rate else None]
            elif isinstance(w, Linear):
                parts = [self._through(w, of_rate, self.rate)]
            elif isinstance(w, Product):
                parts = [self._crossed(w, of_rate, self.value), self._crossed(w, change, self.rate)]
            here = [p for p in parts if p is not None]
            if here:
                of_rate[w] = sum(here[1:], here[0])
        rows = size.shape[1]
        still = [np.zeros((w.size, rows)) for w in units.circuit.integrals]
        blocks = [of_rate.get(w, zero) for w, zero in zip(units.circuit.integrals, still, strict=True)]
        return (np.concatenate([np.broadcast_to(b, z.shape) for b, z in zip(blocks, still, strict=True)])) * UP

    def _through(self, w: Wire, change: Sizes, value: Sizes) -> Array | None:
        """How a unit's value can change."""
        if isinstance(w, Linear):
            parts = [(m.bound(change[x]) + m.beside(change[x])) for m, x in self.units.matrices[w] if x in change]
            return sum(parts[1:], parts[0]) if parts else None
        return self._crossed(w, change, value) if isinstance(w, Product) else None

    def _crossed(self, w: Product, change: Sizes, value: Sizes) -> Array | None:
        """|da| |b| + |a| |db| where either changes."""
        a, b = self.units.circuit.source(w.left), self.units.circuit.source(w.right)
        parts = [self._sizes(w, change[a], value[b])] if a in change and b in value else []
        parts += [self._sizes(w, value[a], change[b])] if b in change and a in value else []
        return sum(parts[1:], parts[0]) if parts else None

    def _sizes(self, w: Product, a: Array, b: Array) -> Array:
        if w not in self.units.pairs:
            return a * b
        left, right, sums = self.units.pairs[w]
        return sums.bound(a[left] * b[right])
