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
from .steps import Local

LOOSE = 4
"""Radii so many times larger than the defects make them are worth another try."""


@dataclass(frozen=True, eq=False)
class Jumps:
    """From the end of every step's polynomial to where the next one starts, `value` within `off`; (rows, dim).

    After a trajectory's last step the jump goes to the doubles next to it, `end`, (B, dim).
    """

    value: Array
    off: Array
    end: Array


@dataclass(frozen=True, eq=False)
class Reached:
    """At the end: the solution is within `radius` of end + `shift`, (B, dim).

    `held` (B,) tells where that is proven, `loose` (B,) where most of the radius comes from truncated Jacobians and
    wide tubes, so that more coefficients would give less.
    """

    shift: Array
    radius: Array
    held: Array
    loose: Array


def jumps(c: Array, offsets: Array, start: Array) -> Jumps:
    """Of polynomials c (K + 1, dim, rows); trajectories without steps stay at `start` (B, dim)."""
    partial, rounding = np.zeros(c.shape[1:]), np.zeros(c.shape[1:])
    for k in range(len(c) - 1, 0, -1):
        partial = partial + c[k]
        rounding = rounding + np.abs(partial)
    sum_, low = two_sum(c[0], partial)
    end = start.copy()
    some = np.flatnonzero(np.diff(offsets))
    last = offsets[some + 1] - 1
    end[some] = sum_[:, last].T
    target = np.empty(c.shape[1:])
    target[:, :-1] = c[0][:, 1:]
    target[:, last] = sum_[:, last]
    difference, rest = two_sum(sum_, -target)
    value = difference + (rest + low)
    off = (UNIT * (rounding + 2 * np.abs(value) + 2 * np.abs(rest) + 2 * np.abs(low)) + 1e-300) * UP
    return Jumps(value.T, off.T, end)


def reach(local: Local, jump: Jumps, offsets: Array, start: Array) -> Reached:
    """All trajectories (B) of consecutive rows from start errors (B, dim) to the end."""
    with np.errstate(all="ignore"):
        return _backward(local, jump, offsets, start, _forward(local, jump, offsets, start))


@dataclass(frozen=True, eq=False)
class _Sizes:
    """Bounds on |e| at the start of each step and all over it, on |z(1) - z(0)|, and on the defect's share in that.

    All (rows, dim); `held` (B,) tells whether they are proven.
    """

    before: Array
    whole: Array
    pushed: Array
    defect: Array
    held: Array


def _forward(local: Local, jump: Jumps, offsets: Array, start: Array) -> _Sizes:
    """Sizes of errors on all steps."""
    count, n = start.shape
    before, whole, pushed, shares = (np.zeros(jump.value.shape) for _ in range(4))
    held = np.isfinite(start).all(axis=1)
    frame = np.broadcast_to(np.eye(n), (count, n, n)).copy()
    turned, size = start.copy(), start.copy()
    steps = np.diff(offsets)
    for k in range(int(steps.max(initial=0))):
        some = np.flatnonzero(steps > k)
        row = offsets[some] + k
        weights, defect, across = local.weights[row], local.defect[row], local.across[row]
        largest = (size[some] / weights).max(axis=1) + (defect / weights).sum(axis=1)
        sup = weights * (largest * local.growth[row])[:, None] * UP
        held[some] &= (sup < local.tube[row][:, None]).all(axis=1)
        share = _times(local.pushed[row], defect)
        push = (share + _times(local.sticky[row], sup)) * UP
        before[row], whole[row], pushed[row], shares[row] = size[some], sup, push, share
        jumped = (np.abs(jump.value[row]) + jump.off[row]) * UP
        old = frame[some]
        image = across @ old
        new = _orthogonal(image, turned[some])
        back = new.transpose(0, 2, 1)
        rounding = UNIT * (2 * n + 2) * (np.abs(back) @ (np.abs(across) @ np.abs(old)))
        turn = np.abs(back @ image) + rounding
        through = np.abs(back @ across) + UNIT * n * (np.abs(back) @ np.abs(across))
        rest = _times(local.missed[row], sup) + jumped
        skew = _times(_skew(old), size[some])
        turned[some] = (_times(turn, turned[some]) + _times(through, skew + push) + _times(np.abs(back), rest)) * UP
        frame[some] = new
        box = (sup + jumped) * UP
        size[some] = np.minimum(box, (_times(np.abs(new), turned[some]) + _times(_skew(new), box)) * UP)
    return _Sizes(before, whole, pushed, shares, held)


def _backward(local: Local, jump: Jumps, offsets: Array, start: Array, sizes: _Sizes) -> Reached:
    """What all steps contribute to the end."""
    count, n = start.shape
    psi = np.broadcast_to(np.eye(n), (count, n, n)).copy()
    shift, radius, least = (np.zeros((count, n)) for _ in range(3))
    steps = np.diff(offsets)
    for k in range(int(steps.max(initial=0))):
        some = np.flatnonzero(steps > k)
        row = offsets[some + 1] - 1 - k
        late, across = psi[some], local.across[row]
        size = np.abs(late)
        known = _times(late, jump.value[row])
        rounding = UNIT * (n + 2) * (_times(size, np.abs(jump.value[row])) + np.abs(shift[some]))
        shift[some] += known
        early = late @ across
        slack = UNIT * (n + 1) * (size @ np.abs(across))
        add = _times(size, jump.off[row] + _times(local.missed[row], sizes.whole[row])) + rounding
        add = add + _times(np.abs(early) + slack, sizes.pushed[row]) + _times(slack, sizes.before[row])
        radius[some] = (radius[some] + add) * UP
        least[some] += _times(np.abs(early), sizes.defect[row]) + _times(size, jump.off[row])
        psi[some] = early
    from_start = _times(np.abs(psi), start)
    radius = (radius + from_start) * UP
    loose = (radius > LOOSE * (least + from_start) + 2.0**-50 * np.abs(jump.end)).any(axis=1)
    held = sizes.held & np.isfinite(radius).all(axis=1) & np.isfinite(shift).all(axis=1)
    return Reached(np.where(held[:, None], shift, 0.0), np.where(held[:, None], radius, np.inf), held, loose)


def _times(matrices: Array, vectors: Array) -> Array:
    return (matrices @ vectors[..., None])[..., 0]


def _skew(frame: Array) -> Array:
    """Bound on |1 - Q Q^T|."""
    n = frame.shape[1]
    back = frame.transpose(0, 2, 1)
    return (np.abs(np.eye(n) - frame @ back) + UNIT * (n + 1) * (np.eye(n) + np.abs(frame) @ np.abs(back))) * UP


def _orthogonal(matrices: Array, widths: Array) -> Array:
    """Nearly orthogonal factors of matrices, columns first that carry most (Gram-Schmidt, twice)."""
    lengths = np.sqrt((matrices**2).sum(axis=1)) * widths
    order = np.argsort(-lengths, axis=1)
    columns = np.take_along_axis(matrices, order[:, None, :], axis=2)
    frame = np.zeros(matrices.shape)
    n = matrices.shape[1]
    for i in range(n):
        v = columns[:, :, i]
        norm = np.sqrt((v**2).sum(axis=1))
        for _ in range(2):
            for j in range(i):
                v = v - (frame[:, :, j] * v).sum(axis=1)[:, None] * frame[:, :, j]
        length = np.sqrt((v**2).sum(axis=1))
        lost = ~(length > 1e-8 * norm)
        v = v / np.where(lost, 1.0, length)[:, None]
        if lost.any():
            v[lost] = _another(frame[lost, :, :i])
        frame[:, :, i] = v
    return frame


def _another(columns: Array) -> Array:
    """A unit vector across the columns given (trajectories, n, i)."""
    n = columns.shape[1]
    rest = np.eye(n) - columns @ columns.transpose(0, 2, 1)
    best = np.argmax(np.nan_to_num((rest**2).sum(axis=1)), axis=1)
    v = rest[np.arange(len(rest)), :, best]
    for _ in range(2):
        v = v - (columns @ (columns.transpose(0, 2, 1) @ v[..., None]))[..., 0]
    return v / np.sqrt((v**2).sum(axis=1))[:, None]
