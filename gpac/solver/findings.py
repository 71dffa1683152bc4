"""What was found along the way, put together from pieces of a batch and phases of a schedule."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, replace

import numpy as np

from ..pair import each_part
from .arithmetic import Doubles
from .events import Events
from .extremes import Extremes
from .observation import Observation
from .rows import joined
from .task import Advance, Array

COLUMNS = ("trajectory", "event", "entry", "t", "direction", "outputs", "states")


@dataclass(frozen=True)
class Found:
    """What was found on trajectories of one circuit.

    Attributes
    ----------
    trajectory, event, entry, direction : int64, (n,)
        Local number of the trajectory; number of the event asked; entry; direction along the run.
    t : (n,)
    outputs, states : (n, m), (n, dim)
    extremes : Extremes, (B, X)
        Of several wires side by side.
    parts : number of the extremes asked, and their part of the X columns
    """

    trajectory: Array
    event: Array
    entry: Array
    t: Array
    direction: Array
    outputs: Array
    states: Array
    extremes: Extremes
    parts: tuple[tuple[int, slice], ...]

    def replaced(self, ids: np.ndarray, other: Found, local: np.ndarray) -> Found:
        """The same with trajectories `ids` as they are in another, which has them as `local` (ascending)."""
        mine, more = ~np.isin(self.trajectory, ids), np.isin(other.trajectory, local)
        theirs = replace(other, trajectory=ids[np.searchsorted(local, other.trajectory) % len(ids)])
        columns = {n: joined([getattr(self, n)[mine], getattr(theirs, n)[more]]) for n in COLUMNS}
        order = np.argsort(columns["trajectory"], kind="stable")
        extremes = Extremes(*(a.copy() for a in self.extremes))
        extremes.put(ids, other.extremes.of(local))
        return replace(self, **{n: a[order] for n, a in columns.items()}, extremes=extremes)


@dataclass(frozen=True)
class Stage:
    """What was found in one phase: of which trajectories, and (B,) times at which it began."""

    found: Found | None
    ids: Array
    begin: Array
    last: bool


def gathered(parts: list[Advance]) -> Found | None:
    """What was found on all pieces of a batch, trajectories numbered through."""
    some = next((p.found for p in parts if p.found is not None), None)
    if some is None:
        return None
    first, found = 0, []
    for part in parts:
        count = len(part.code)
        one = part.found or _nothing(some, count)
        found.append(replace(one, trajectory=one.trajectory + first))
        first += count
    columns = {n: joined([getattr(f, n) for f in found]) for n in COLUMNS}
    extremes = Extremes(*(joined(list(a)) for a in zip(*(f.extremes for f in found), strict=True)))
    return replace(some, **columns, extremes=extremes)


def _nothing(like: Found, count: int) -> Found:
    """Of trajectories that were never begun."""
    columns = {n: getattr(like, n)[:0] for n in COLUMNS}
    extremes = Extremes(*(_unknown(a[:0], count) for a in like.extremes))
    return replace(like, **columns, extremes=extremes)


def _unknown(none: Array, count: int) -> Array:
    """NaN in `count` rows like those of an array that has none."""
    return each_part(lambda part: np.full((count, *part.shape[1:]), np.nan), none)


def events_of(observation: Observation, stages: list[Stage], m: int, num: Doubles) -> Events:
    """Events of all phases: by trajectory, then in order of the run."""
    names = np.array([e.name for e in observation.events], dtype=str)
    whole = np.zeros(0, dtype=np.int64)
    none, nothing = num.zeros((0, m)), num.zeros((0, 0))
    parts = [Events(whole, names[whole], whole, num.zeros((0,)), whole, none, nothing, whole)]
    for number, stage in enumerate(stages):
        f = stage.found
        if f is None:
            continue
        outputs = f.outputs if stage.last else _unknown(none, len(f.t))
        who, t = stage.ids[f.trajectory], f.t + stage.begin[f.trajectory]
        phase = np.full(len(t), number)
        parts.append(Events(who, names[f.event], f.entry, t, f.direction, outputs, f.states, phase))
    joined = Events.joined(parts)
    return joined.where(np.argsort(joined.trajectory, kind="stable"))


def extremes_of(
    observation: Observation, stages: list[Stage], count: int, single: bool, num: Doubles
) -> dict[Hashable, Extremes]:
    """Extremes of all phases by what they were asked as."""
    totals = [Extremes.none(count, seen.wire.size, num) for seen in observation.extremes]
    for stage in stages:
        if stage.found is None:
            continue
        for number, columns in stage.found.parts:
            new = stage.found.extremes.columns(columns).later(stage.begin)
            totals[number].put(stage.ids, totals[number].of(stage.ids).with_(new))
    named = zip((seen.key for seen in observation.extremes), totals, strict=True)
    return {key: Extremes(*(a[0] for a in e)) if single else e for key, e in named}
