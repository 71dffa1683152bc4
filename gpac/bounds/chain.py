"""Steps one after the other: how the distance from the solver's polynomials adds up along trajectories.

Forward, the error e at the start of each step is enclosed in a box turned so that its axes follow what the flow does
(Lohner 1987: QR factors of the step's matrix times the last frame); that shows that the tube of `steps` is not left.
Backward from the end, exact sums of what every step contributes there: with any matrices Psi,

    e_N = Psi_0 e_0 + sum over steps of (Psi_k e_k - Psi_{k-1} e_{k-1}),

and with Psi_{k-1} near Psi_k A_k these differences are small and are bounded one by one (dual weighted residuals,
Becker and Rannacher, Acta Numerica 10 (2001)). Jumps between polynomials are known numbers and keep their signs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..pair import two_sum
from .models import UNIT, UP, Array
from .steps import Local, image, product

LOOSE = 4
"""Radii so many times larger than the defects make them are worth another try."""


@dataclass(frozen=True, eq=False)
class Jumps:
    """From the end of every step's polynomial to where the next one starts, `value` within `off`; (dim, rows).

    After a trajectory's last step the jump goes to the doubles next to it, `end`, (dim, B).
    """

    value: Array
    off: Array
    end: Array


@dataclass(frozen=True, eq=False)
class Reached:
    """At the end: the solution is within `radius` of end + `shift`, (dim, B).

    `held` (B,) tells where that is proven, `loose` (B,) where most of the radius comes from truncated Jacobians and
    wide tubes, so that more coefficients would give less.
    """

    shift: Array
    radius: Array
    held: Array
    loose: Array


def jumps(c: Array, offsets: Array, start: Array) -> Jumps:
    """Of polynomials c (K + 1, dim, rows); trajectories without steps stay at `start` (dim, B)."""
    partial, rounding = np.zeros(c.shape[1:]), np.zeros(c.shape[1:])
    for k in range(len(c) - 1, 0, -1):
        partial = partial + c[k]
        rounding = rounding + np.abs(partial)
    sum_, low = two_sum(c[0], partial)
    end = start.copy()
    some = np.flatnonzero(np.diff(offsets))
    last = offsets[some + 1] - 1
    end[:, some] = sum_[:, last]
    target = np.empty(c.shape[1:])
    target[:, :-1] = c[0][:, 1:]
    target[:, last] = sum_[:, last]
    difference, rest = two_sum(sum_, -target)
    value = difference + (rest + low)
    off = (UNIT * (rounding + 2 * np.abs(value) + 2 * np.abs(rest) + 2 * np.abs(low)) + 1e-300) * UP
    return Jumps(value, off, end)


def reach(local: Local, jump: Jumps, offsets: Array, start: Array) -> Reached:
    """All trajectories of consecutive rows from start errors (dim, B) to the end."""
    with np.errstate(all="ignore"):
        return _backward(local, jump, offsets, start, _forward(local, jump, offsets, start))


@dataclass(frozen=True, eq=False)
class _Sizes:
    """Bounds on |e| at the start of each step and all over it, on |z(1) - z(0)|, and on the defect's share in that.

    All (dim, rows); `held` (B,) tells whether they are proven.
    """

    before: Array
    whole: Array
    pushed: Array
    defect: Array
    held: Array


def _forward(local: Local, jump: Jumps, offsets: Array, start: Array) -> _Sizes:
    """Sizes of errors on all steps."""
    n, count = start.shape
    before, whole, pushed, shares = (np.zeros(jump.value.shape) for _ in range(4))
    held = np.isfinite(start).all(axis=0)
    frame = np.repeat(np.eye(n)[:, :, None], count, axis=2)
    skew, turned, size = np.zeros(frame.shape), start.copy(), start.copy()
    steps = np.diff(offsets)
    for k in range(int(steps.max(initial=0))):
        some = np.flatnonzero(steps > k)
        row = offsets[some] + k
        weights, defect, across = local.weights[:, row], local.defect[:, row], local.across[:, :, row]
        largest = (size[:, some] / weights).max(axis=0) + (defect / weights).sum(axis=0)
        sup = weights * (largest * local.growth[row]) * UP
        held[some] &= (sup < local.tube[row]).all(axis=0)
        share = image(local.pushed[:, :, row], defect)
        push = (share + image(local.sticky[:, :, row], sup)) * UP
        before[:, row], whole[:, row], pushed[:, row], shares[:, row] = size[:, some], sup, push, share
        jumped = (np.abs(jump.value[:, row]) + jump.off[:, row]) * UP
        old, moved = frame[:, :, some], product(across, frame[:, :, some])
        new = _orthogonal(moved, turned[:, some])
        back = new.transpose(1, 0, 2)
        turns, sizes = np.abs(back), np.abs(across)
        rounding = UNIT * (2 * n + 2) * product(turns, product(sizes, np.abs(old)))
        turn = np.abs(product(back, moved)) + rounding
        through = np.abs(product(back, across)) + UNIT * n * product(turns, sizes)
        rest = image(local.missed[:, :, row], sup) + jumped
        slip = image(skew[:, :, some], size[:, some])
        new_turned = (image(turn, turned[:, some]) + image(through, slip + push) + image(turns, rest)) * UP
        box, new_skew = (sup + jumped) * UP, _skew(new)
        size[:, some] = np.minimum(box, (image(np.abs(new), new_turned) + image(new_skew, box)) * UP)
        turned[:, some], frame[:, :, some], skew[:, :, some] = new_turned, new, new_skew
    return _Sizes(before, whole, pushed, shares, held)


def _backward(local: Local, jump: Jumps, offsets: Array, start: Array, sizes: _Sizes) -> Reached:
    """What all steps contribute to the end."""
    n, count = start.shape
    psi = np.repeat(np.eye(n)[:, :, None], count, axis=2)
    shift, radius, least = (np.zeros((n, count)) for _ in range(3))
    steps = np.diff(offsets)
    for k in range(int(steps.max(initial=0))):
        some = np.flatnonzero(steps > k)
        row = offsets[some + 1] - 1 - k
        late, across, jumped = psi[:, :, some], local.across[:, :, row], jump.value[:, row]
        size = np.abs(late)
        rounding = UNIT * (n + 2) * (image(size, np.abs(jumped)) + np.abs(shift[:, some]))
        shift[:, some] += image(late, jumped)
        early = product(late, across)
        slack = UNIT * (n + 1) * product(size, np.abs(across))
        add = image(size, jump.off[:, row] + image(local.missed[:, :, row], sizes.whole[:, row])) + rounding
        add = add + image(np.abs(early) + slack, sizes.pushed[:, row]) + image(slack, sizes.before[:, row])
        radius[:, some] = (radius[:, some] + add) * UP
        least[:, some] += image(np.abs(early), sizes.defect[:, row]) + image(size, jump.off[:, row])
        psi[:, :, some] = early
    from_start = image(np.abs(psi), start)
    radius = (radius + from_start) * UP
    loose = (radius > LOOSE * (least + from_start) + 2.0**-50 * np.abs(jump.end)).any(axis=0)
    held = sizes.held & np.isfinite(radius).all(axis=0) & np.isfinite(shift).all(axis=0)
    return Reached(np.where(held, shift, 0.0), np.where(held, radius, np.inf), held, loose)


def _skew(frame: Array) -> Array:
    """Bound on |1 - Q Q^T|."""
    n = len(frame)
    unit, back = np.eye(n)[:, :, None], frame.transpose(1, 0, 2)
    rounding = UNIT * (n + 1) * (unit + product(np.abs(frame), np.abs(back)))
    return (np.abs(unit - product(frame, back)) + rounding) * UP


def _orthogonal(matrices: Array, widths: Array) -> Array:
    """Nearly orthogonal factors of matrices, columns first that carry most (Gram-Schmidt, twice)."""
    lengths = np.sqrt((matrices**2).sum(axis=0)) * widths
    order = np.argsort(-lengths, axis=0)
    columns = np.take_along_axis(matrices, order[None], axis=1)
    frame = np.zeros(matrices.shape)
    for i in range(len(matrices)):
        v = columns[:, i]
        norm = np.sqrt((v**2).sum(axis=0))
        for _ in range(2 if i else 0):
            for j in range(i):
                v = v - (frame[:, j] * v).sum(axis=0) * frame[:, j]
        length = np.sqrt((v**2).sum(axis=0))
        lost = ~(length > 1e-8 * norm)
        v = v / np.where(lost, 1.0, length)
        if lost.any():
            v[:, lost] = _another(frame[:, :i, lost])
        frame[:, i] = v
    return frame


def _another(columns: Array) -> Array:
    """A unit vector across the columns given (n, i, trajectories)."""
    n = len(columns)
    rest = np.eye(n)[:, :, None] - np.einsum("ikr,jkr->ijr", columns, columns)
    best = np.argmax(np.nan_to_num((rest**2).sum(axis=0)), axis=0)
    v = rest[:, best, np.arange(rest.shape[2])]
    for j in range(columns.shape[1]):
        v = v - (columns[:, j] * v).sum(axis=0) * columns[:, j]
    return v / np.sqrt((v**2).sum(axis=0))
