"""Steps one after the other: how the distance from the solver's polynomials adds up along trajectories.

Forward, the error e at the start of each step is enclosed in a box turned so that its axes follow what the flow does
(Lohner 1987: QR factors of the step's matrix times the last frame); that shows that the tube of `steps` is not left.
Backward from the end, exact sums of what every step contributes there: with any matrices Psi,

    e_N = Psi_0 e_0 + sum over steps of (Psi_k e_k - Psi_{k-1} e_{k-1}),

and with Psi_{k-1} near Psi_k A_k these differences are small and are bounded one by one (dual weighted residuals,
Becker and Rannacher, Acta Numerica 10 (2001)). Jumps between polynomials are known numbers and keep their signs.

`forward` and `backward` are one step each, over arrays whose last axis counts trajectories; `reach` runs them on
NumPy, and `gpac.bounds.kernel` makes machine code of them.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TypeVar

import numpy as np

from ..pair import two_sum
from .models import UNIT, UP, Array
from .steps import Local, image, product
from .trace import largest, smaller, where_less, written, zeros

LOOSE = 4
"""Radii so many times larger than the defects make them are worth another try."""

Fields = TypeVar("Fields")


@dataclass(frozen=True, eq=False)
class Jump:
    """From the end of every step's polynomial to where the next one starts, `value` within `off`; (dim, rows).

    A trajectory's last step jumps to the doubles next to its end. `end` are these doubles, on every step.
    """

    value: Array
    off: Array
    end: Array


@dataclass(frozen=True, eq=False)
class Front:
    """Errors at the start of a step lie in the box `size`, and in frame @ (box `turned`).

    `skew` bounds |1 - Q Q^T| of the frame Q, (dim, dim, B); `lost` (B,) is 0 while all of this is proven, and else
    inf or NaN.
    """

    frame: Array
    skew: Array
    turned: Array
    size: Array
    lost: Array


@dataclass(frozen=True, eq=False)
class Tape:
    """What the way back needs of a step: its matrix, and bounds (dim, B).

    `jump` is a known number, `rest` bounds what else is added at the step's end and `least` how much of that more
    coefficients cannot take away. |z(1) - z(0)| is at most `pushed`, of which `share` is the defect's; errors at the
    start are below `before`.
    """

    across: Array
    jump: Array
    rest: Array
    least: Array
    pushed: Array
    share: Array
    before: Array


@dataclass(frozen=True, eq=False)
class Back:
    """At the end: the solution is within `radius` of the end + `shift` for steps from here on, and e_N near psi e_k."""

    psi: Array
    shift: Array
    radius: Array
    least: Array


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


def jumps(c: Array, following: Array, last: Array) -> Jump:
    """From the ends of polynomials c (K + 1, dim, rows) to the doubles `following` (dim, rows).

    `last` (rows,) is 1 on the last step of a trajectory, after which nothing follows, and else 0.
    """
    partial, rounding = 0.0 * c[-1], 0.0 * c[-1]
    for k in range(len(c) - 1, 0, -1):
        partial = partial + c[k]
        rounding = rounding + np.abs(partial)
    sum_, low = two_sum(c[0], partial)
    target = where_less(last, 0.5, following, sum_)
    difference, rest = two_sum(sum_, -target)
    value = difference + (rest + low)
    off = (UNIT * (rounding + 2 * np.abs(value) + 2 * np.abs(rest) + 2 * np.abs(low)) + 1e-300) * UP
    return Jump(value, off, sum_)


def front(start: Array) -> Front:
    """Before the first step, for start errors (dim, B)."""
    n, count = start.shape
    frame = np.repeat(np.eye(n)[:, :, None], count, axis=2)
    return Front(frame, np.zeros(frame.shape), start.copy(), start.copy(), np.zeros(count))


def forward(local: Local, jump: Jump, now: Front) -> tuple[Front, Tape]:
    """Over one step."""
    n = len(now.size)
    largest_ = largest(now.size / local.weights) + (local.defect / local.weights).sum(axis=0)
    sup = local.weights * (largest_ * local.growth) * UP
    lost = now.lost + where_less(largest(sup), local.tube, 0.0, np.inf)
    share = image(local.pushed, local.defect)
    push = (share + image(local.sticky, sup)) * UP
    missed = image(local.missed, sup)
    jumped = (np.abs(jump.value) + jump.off) * UP
    moved = product(local.across, now.frame)
    new = _orthogonal(moved, now.turned)
    back = new.transpose(1, 0, 2)
    turns, sizes = np.abs(back), np.abs(local.across)
    rounding = UNIT * (2 * n + 2) * product(turns, product(sizes, np.abs(now.frame)))
    turn = np.abs(product(back, moved)) + rounding
    through = np.abs(product(back, local.across)) + UNIT * n * product(turns, sizes)
    slip = image(now.skew, now.size)
    turned = (image(turn, now.turned) + image(through, slip + push) + image(turns, missed + jumped)) * UP
    box, skew = (sup + jumped) * UP, _skew(new)
    size = smaller(box, (image(np.abs(new), turned) + image(skew, box)) * UP)
    tape = Tape(local.across, jump.value, (jump.off + missed) * UP, jump.off, push, share, now.size)
    return Front(new, skew, turned, size, lost), tape


def back(shape: tuple[int, int]) -> Back:
    """At the end of trajectories of shape (dim, B)."""
    psi = np.repeat(np.eye(shape[0])[:, :, None], shape[1], axis=2)
    return Back(psi, np.zeros(shape), np.zeros(shape), np.zeros(shape))


def backward(tape: Tape, now: Back) -> Back:
    """Over one step, from its end to its start."""
    n, size = len(now.shift), np.abs(now.psi)
    rounding = UNIT * (n + 2) * (image(size, np.abs(tape.jump)) + np.abs(now.shift))
    early = product(now.psi, tape.across)
    slack = UNIT * (n + 1) * product(size, np.abs(tape.across))
    add = image(size, tape.rest) + rounding + image(np.abs(early) + slack, tape.pushed) + image(slack, tape.before)
    least = now.least + image(np.abs(early), tape.share) + image(size, tape.least)
    return Back(early, now.shift + image(now.psi, tape.jump), (now.radius + add) * UP, least)


def arrived(now: Back, start: Array, lost: Array, end: Array) -> Reached:
    """What all of it amounts to, for start errors (dim, B)."""
    from_start = image(np.abs(now.psi), start)
    radius = (now.radius + from_start) * UP
    loose = (radius > LOOSE * (now.least + from_start) + 2.0**-50 * np.abs(end)).any(axis=0)
    held = (lost == 0) & np.isfinite(radius).all(axis=0) & np.isfinite(now.shift).all(axis=0)
    return Reached(np.where(held, now.shift, 0.0), np.where(held, radius, np.inf), held, loose)


def reach(local: Local, jump: Jump, offsets: Array, start: Array, end: Array) -> Reached:
    """All trajectories of consecutive rows from start errors (dim, B) to the end."""
    with np.errstate(all="ignore"):
        steps, now, tapes = np.diff(offsets), front(start), []
        for k in range(int(steps.max(initial=0))):
            some = np.flatnonzero(steps > k)
            row = offsets[some] + k
            after, tape = forward(_at(local, row), _at(jump, row), _at(now, some))
            _put(now, some, after)
            tapes.append(tape)
        late = back(start.shape)
        for k in range(len(tapes) - 1, -1, -1):
            some = np.flatnonzero(steps > k)
            _put(late, some, backward(tapes[k], _at(late, some)))
        return arrived(late, start, now.lost, end)


def _at(many: Fields, some: Array) -> Fields:
    """Some trajectories, or rows, of all fields."""
    return type(many)(*(getattr(many, f.name)[..., some] for f in fields(many)))  # type: ignore[arg-type]


def _put(many: Fields, some: Array, new: Fields) -> None:
    for f in fields(many):  # type: ignore[arg-type]
        getattr(many, f.name)[..., some] = getattr(new, f.name)


def _skew(frame: Array) -> Array:
    """Bound on |1 - Q Q^T|."""
    n = len(frame)
    unit, back = np.eye(n)[:, :, None], frame.transpose(1, 0, 2)
    rounding = UNIT * (n + 1) * (unit + product(np.abs(frame), np.abs(back)))
    return (np.abs(unit - product(frame, back)) + rounding) * UP


def _orthogonal(matrices: Array, widths: Array) -> Array:
    """Nearly orthogonal factors of matrices, columns first that carry most (Gram-Schmidt, twice)."""
    lengths = np.sqrt((matrices * matrices).sum(axis=0)) * widths
    columns = _sorted(matrices, lengths)
    frame = zeros(matrices.shape, matrices)
    for i in range(len(matrices)):
        v = columns[:, i]
        norm = np.sqrt((v * v).sum(axis=0))
        for _ in range(2 if i else 0):
            for j in range(i):
                v = v - (frame[:, j] * v).sum(axis=0) * frame[:, j]
        length = np.sqrt((v * v).sum(axis=0))
        if not written(v):
            lost = ~(length > 1e-8 * norm)
            v = v / np.where(lost, 1.0, length)
            if lost.any():
                v[:, lost] = _another(frame[:, :i, lost])
        else:
            v = v / length
        frame[:, i] = v
    return frame


def _sorted(matrices: Array, lengths: Array) -> Array:
    """Columns, the longest first."""
    if not written(matrices, lengths):
        return np.take_along_axis(matrices, np.argsort(-lengths, axis=0)[None], axis=1)
    columns, lengths = matrices.copy(), lengths.copy()
    for end in range(len(lengths) - 1, 0, -1):
        for i in range(end):
            a, b = lengths[i], lengths[i + 1]
            x, y = columns[:, i].copy(), columns[:, i + 1].copy()
            columns[:, i], columns[:, i + 1] = where_less(a, b, y, x), where_less(a, b, x, y)
            lengths[i], lengths[i + 1] = where_less(a, b, b, a), where_less(a, b, a, b)
    return columns


def _another(columns: Array) -> Array:
    """A unit vector across the columns given (n, i, trajectories)."""
    n = len(columns)
    rest = np.eye(n)[:, :, None] - np.einsum("ikr,jkr->ijr", columns, columns)
    best = np.argmax(np.nan_to_num((rest**2).sum(axis=0)), axis=0)
    v = rest[:, best, np.arange(rest.shape[2])]
    for j in range(columns.shape[1]):
        v = v - (columns[:, j] * v).sum(axis=0) * columns[:, j]
    return v / np.sqrt((v**2).sum(axis=0))
