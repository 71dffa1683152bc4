"""What can be said of each step by itself, for all steps at once: its defect, and how it hands errors on.

On a step, with time as t = begin + h s, the solver has a polynomial P and the true solution is y = P + e. Then
e' = J e - d, where d = P' - h f(P) is the defect and J = h Df at a mean point. U with U(0) = 1 and U' near -U J is an
integrating factor: z = U e moves only by what is small,

    z' = (U' + U J) e - U d,     e(1) = A z(1) + (1 - A U(1)) e(1)

for any matrix A near the inverse of U(1). All of this is bounded rigorously; U and A are what float64 gives.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from .models import TINY, UNIT, UP, Array, Model
from .sharp import Sharp, differences
from .trace import larger, largest, where_less, written, zeros
from .units import Models, Units

SMALL = 8
"""Size of matrices up to which products are made entry by entry, for all rows at once."""


@dataclass(frozen=True, eq=False)
class Steps:
    """Polynomials on steps, the time they cover and the inputs they have.

    Attributes
    ----------
    c : float64, (K + 1, dim, rows)
        In powers of s, exactly what P is.
    begin, h, h_off : float64, (rows,)
        Start, length, and bound on the length's inexactness.
    inputs : models of one coefficient, (1, size, rows)
    """

    c: Array
    begin: Array
    h: Array
    h_off: Array
    inputs: Mapping[str, Model]

    def at(self, rows: Any) -> Steps:
        """Some of the steps."""
        inputs = {n: Model(m.c[..., rows], m.error[..., rows]) for n, m in self.inputs.items()}
        return Steps(self.c[..., rows], self.begin[rows], self.h[rows], self.h_off[rows], inputs)


@dataclass(frozen=True, eq=False)
class Local:
    """What holds on each step.

    Attributes
    ----------
    tube : (rows,)
        All of this holds while every entry of e stays below it.
    defect : (dim, rows)
        Bound on the integral of |d|.
    weights : (dim, rows), growth : (rows,)
        The largest |e_i| / weights_i is at most growth times what it was, plus the sum of defect / weights.
    across : (dim, dim, rows)
        A.
    pushed, sticky, missed : (dim, dim, rows)
        |z(1) - z(0)| is at most pushed @ defect + sticky @ sup |e|; missed bounds |1 - A U(1)|.
    """

    tube: Array
    defect: Array
    weights: Array
    growth: Array
    across: Array
    pushed: Array
    sticky: Array
    missed: Array

    @staticmethod
    def joined(parts: list[Local]) -> Local:
        """Blocks of rows as one."""
        return Local(*(np.concatenate([getattr(p, f.name) for p in parts], axis=-1) for f in fields(Local)))


def state_models(units: Units, steps: Steps) -> Models:
    """The polynomials by integrator."""
    models, at = Models(), 0
    for w in units.circuit.integrals:
        c = steps.c[:, at : at + w.size]
        models[w] = Sharp.exactly(c) if written(c) else Model(c, 0.0)
        at += w.size
    return models


def local(units: Units, steps: Steps, tube: float, slopes: int) -> Local:
    """All of it, for errors below `tube` times the largest entry of the step.

    `slopes` is the number of coefficients of Jacobians and integrating factors: what they leave out multiplies
    errors only.
    """
    radius = tube * larger(largest(np.abs(steps.c).sum(axis=0)), 1e-280)
    time, step = times(steps)
    around = {w: m.cut(slopes).wider(radius) for w, m in state_models(units, steps).items()}
    values = units.values(around, steps.inputs, time, slopes, units.driving)
    jacobian = units.gradients(values, units.rates(values, step, slopes), slopes)
    weights, growth = _growth(jacobian)
    return Local(radius, defects(units, steps), weights, growth, *_transfer(jacobian, slopes))


def defects(units: Units, steps: Steps) -> Array:
    """Bounds on the integrals of |P' - h f(P)|, (dim, rows)."""
    time, step = times(steps)
    polynomials = state_models(units, steps)
    values = units.values(polynomials, steps.inputs, time, len(steps.c), units.driving)
    rates = units.rates(values, step, len(steps.c))
    return np.concatenate([_defect(polynomials[w], rates[w]) for w in units.circuit.integrals])


def times(steps: Steps) -> tuple[Model, Model]:
    """t and its derivative by s."""
    t = Model(np.array([steps.begin, steps.h])[:, None], steps.h_off[None])
    return t, Model(steps.h[None, None], steps.h_off[None])


def _defect(p: Model, rate: Model) -> Array:
    """Bound on the integral of |p' - rate| over the step."""
    if isinstance(rate, Sharp):
        sizes, rounding = differences(p, rate)
    else:
        k = np.arange(1, len(p.c), dtype=float).reshape(-1, 1, 1)
        slope = k * p.c[1:]
        sizes = zeros((max(len(slope), len(rate.c)), *np.broadcast_shapes(p.c.shape[1:], rate.c.shape[1:])), p.c)
        sizes[: len(slope)] += slope
        sizes[: len(rate.c)] -= rate.c
        sizes, rounding = np.abs(sizes), UNIT * (2 * p.weight + rate.norm)
    means = 1 / np.arange(1, len(sizes) + 1, dtype=float).reshape(-1, 1, 1)
    return ((sizes * means).sum(axis=0) + rounding + rate.error + TINY) * UP


def _growth(jacobian: Model) -> tuple[Array, Array]:
    """Weights (n, rows), and exp of the logarithmic norm in the weighted maximum norm (rows,).

    The weights are near the Perron vector of |J|, for which this norm is the smallest.
    """
    size, i = jacobian.size, np.arange(jacobian.c.shape[1])
    own = jacobian.c[:, i, i]
    upper = own[0] + larger(own[1:], 0.0).sum(axis=0) + jacobian.error[i, i] + 4 * len(own) * UNIT * size[i, i]
    weights = np.ones(size.shape[1:])
    for _ in range(4):
        weights = weights + image(size, weights)
        weights = larger(weights / largest(weights), 2.0**-20)
    beside = size.copy()
    beside[i, i] = 0
    rate = largest(upper + image(beside, weights) / weights * UP)
    return weights, exponential(larger(rate, 0.0) * UP + 2.0**-40)


def exponential(x: Array) -> Array:
    """Bound on exp(x) for x >= 0, tight while x is small; inf above 64, and for NaN.

    Powers of exp(x/64), whose series loses at most a tenth of its last term; all terms are positive, and 1600
    rounding errors of 2**-53 are less than 2**-40.
    """
    part = x * 2.0**-6
    total: Array = 1.1 / math.factorial(10)
    for k in range(9, -1, -1):
        total = total * part + 1 / math.factorial(k)
    for _ in range(6):
        total = total * total
    return where_less(part, 1 + 2.0**-30, total * (1 + 2.0**-40), math.inf)


def _transfer(jacobian: Model, slopes: int) -> tuple[Array, Array, Array, Array]:
    """A, and the bounds pushed, sticky and missed."""
    j, n = jacobian.c, jacobian.c.shape[1]
    unit = np.eye(n)[:, :, None]
    u = zeros((slopes, *j.shape[1:]), j)
    u[0] = unit
    for k in range(1, slopes):
        low = max(0, k - len(j))
        u[k] = -_products(u[low:k], j[k - 1 - low :: -1][: k - low]) * (1 / k)
    size = np.abs(u)
    norm, weight = size.sum(axis=0) * UP, np.tensordot(np.arange(slopes, dtype=float), size, 1) * UP
    rounding = UNIT * (slopes * n + slopes + 4) * (weight + product(norm, jacobian.norm) * UP)
    left = _product_tail(size, np.abs(j), slopes - 1)  # orders of U' + U J that do not vanish by construction
    sticky = (left + rounding + product(norm, jacobian.error) + TINY) * UP
    end = u.sum(axis=0)
    across = _inverse(end)
    inner = np.abs(unit - product(across, end))
    missed = (inner + UNIT * (2 * n + 2 * slopes + 2) * (unit + product(np.abs(across), norm)) + TINY) * UP
    return across, norm, sticky, missed


def _product_tail(a: Array, b: Array, count: int) -> Array:
    """Sum of a_j b_k over the orders j + k >= count."""
    later = np.cumsum(b[::-1], axis=0)[::-1]
    first = max(0, count - len(b) + 1)
    return _products(a[first:], later[[max(0, count - j) for j in range(first, len(a))]])


def product(a: Array, b: Array) -> Array:
    """Matrix products (n, n, rows), row by row."""
    return _products(a[None], b[None])


def _products(a: Array, b: Array) -> Array:
    """Sums over the first axis of products of (orders, n, n, rows)."""
    if a.shape[1] <= SMALL:
        return np.einsum("oikr,okjr->ijr", a, b)
    rows_first = (np.ascontiguousarray(x.transpose(0, 3, 1, 2)) for x in (a, b))
    return np.matmul(*rows_first).sum(axis=0).transpose(1, 2, 0)


def image(matrices: Array, vectors: Array) -> Array:
    """Matrices (n, n, rows) times vectors (n, rows)."""
    return np.einsum("ikr,kr->ir", matrices, vectors)


def _inverse(matrices: Array) -> Array:
    """Inverses roughly; what is singular or not finite becomes the unit matrix or NaN, which proves nothing."""
    if written(matrices):
        return _eliminated(matrices)
    rows_first = matrices.transpose(2, 0, 1)
    good = np.isfinite(rows_first).all(axis=(1, 2))
    safe = np.where(good[:, None, None], rows_first, np.eye(len(matrices)))
    try:
        return np.linalg.inv(safe).transpose(1, 2, 0)
    except np.linalg.LinAlgError:
        return np.linalg.pinv(safe).transpose(1, 2, 0)


def _eliminated(matrices: Array) -> Array:
    """Inverses by Gauss and Jordan without a search for pivots, and a step of Newton's after it."""
    n = len(matrices)
    left, right = matrices.copy(), np.broadcast_to(np.eye(n)[:, :, None], matrices.shape).astype(object)
    for k in range(n):
        pivot = 1.0 / left[k, k]
        left[k], right[k] = left[k] * pivot, right[k] * pivot
        for i in range(n):
            if i != k:
                factor = left[i, k]
                left[i], right[i] = left[i] - factor * left[k], right[i] - factor * right[k]
    return 2.0 * right - product(right, product(matrices, right))
