"""Shorter steps where a watched wire's polynomial is not as good as the states'.

Steps are chosen for the states. A wire made of them may vary faster (the cube of a sine has its third harmonic),
and its polynomial of the same order then misses the value that the wire has at the far end. Such steps, and
only they, are done again in halves; the trajectory itself is not changed by that.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ..pair import leading
from .arithmetic import Array, arithmetic_of
from .results import REACHED
from .rows import Rows, joined_pieces, values_at
from .solution import host
from .task import Advance, Settings

HALVINGS = 8
Again = Callable[[np.ndarray, Array, Array, Array], Advance]
"""advance(ids, state, t, t_end): trajectories from a state (dim, n) on, with all steps kept."""


def rough(rows: Rows, columns: np.ndarray, states: np.ndarray, settings: Settings) -> np.ndarray:
    """Which rows miss, at their far end, one of the columns by more than eight times the tolerance."""
    c = rows.coefficients[:, :, columns]
    end = rows.end[:, columns]
    with np.errstate(all="ignore"):
        reach = rows.step / rows.unit
        missed = np.abs(leading(values_at(c, reach) - end))
        terms = values_at(np.abs(leading(c)), np.abs(leading(reach)))
    state = np.abs(leading(rows.coefficients)[:, 0][:, states]).max(axis=1, initial=settings.floor)
    size = np.maximum(np.maximum(np.abs(leading(c)[:, 0]), np.abs(leading(end))), state[:, None])
    return (missed > 8 * settings.tol * size + 16 * arithmetic_of(c).unit * terms).any(axis=1)


def with_substeps(rows: Rows, columns: np.ndarray, states: np.ndarray, settings: Settings, again: Again) -> Rows:
    """The same runs, steps that are too rough for the columns replaced by shorter ones."""
    bad = rough(rows, columns, states, settings)
    if not bad.any():
        return rows
    done, todo = [rows.where(~bad)], rows.where(bad)
    for _ in range(HALVINGS):
        if not len(todo.ids):
            break
        halves, failed = _halved(todo, states, again)
        bad = rough(halves, columns, states, settings)
        done += [todo.where(failed), halves.where(~bad)]
        todo = halves.where(bad)
    done.append(todo)
    pieces = joined_pieces([r.pieces for r in done])
    order = np.lexsort((np.abs(leading(pieces.begin - _starts(rows)[pieces.ids])), pieces.ids))
    return rows.with_steps(pieces.where(order))


def _starts(rows: Rows) -> Array:
    """Where the first row of each trajectory begins, by id."""
    starts = arithmetic_of(rows.begin).zeros((int(rows.ids.max(initial=-1)) + 1,))
    first = rows.opening == np.arange(len(rows.ids))
    starts[rows.ids[first]] = rows.begin[first]
    return starts


def _halved(rows: Rows, states: np.ndarray, again: Again) -> tuple[Rows, np.ndarray]:
    """Both halves of every row, and which rows could not be done again."""
    middle = rows.begin + 0.5 * rows.step
    one = again(rows.ids, rows.coefficients[:, 0][:, states].T, rows.begin, middle)
    two = again(rows.ids, host(one.state), middle, rows.until)
    good = (host(one.code) == REACHED) & (host(two.code) == REACHED)
    halves = []
    for advance, end in ((one, middle), (two, rows.until)):
        pieces = advance.pieces
        assert pieces is not None
        half = Rows.of(pieces, end, np.zeros(len(end), dtype=bool), host(advance.readings).T)
        half = half.where(good[half.ids])
        halves.append(replace(half, ids=rows.ids[half.ids]))
    return halves[0].along(halves[1]), ~good
