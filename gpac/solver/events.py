"""Events: what a caller asks for, how they are found on the polynomials of the steps, and what is told of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..errors import GpacError
from ..pair import each_part, leading
from ..wire import Wire
from .arithmetic import Array, arithmetic_of
from .roots import bernstein, crossings, ending_sign, sort_keys
from .rows import Rows, joined


@dataclass(frozen=True)
class Event:
    """Something to be noticed: a value changes its sign.

    Parameters
    ----------
    wire : Wire, name of an output, or for a PIVP an expression
        Any wire made of the circuit's wires; for a PIVP a polynomial of its variables with rational
        coefficients. Every entry of a vector is watched by itself.
    direction : 0, 1 or -1
        1 asks for rising values only, -1 for falling ones, in the order in which the run meets them (backward in
        time, too).
    terminal : bool
        Whether it ends its own trajectory.
    name : str, optional
        By default the name of the wire or output, or the expression.
    entry : int, optional
        Watch this entry of a vector only.

    Notes
    -----
    An event is a change of sign. A value that touches zero and turns back is none. A trajectory that starts at
    zero, or within the tolerance of it, has no event there: the event before may have put it there (a sign
    change in the first step counts only where the terms of the step's polynomial have grown beyond 4 `tol`
    times the largest). A zero met exactly at the end time is an event. A value that is zero for all times but
    for rounding has the sign changes of its rounding.
    """

    wire: Any
    direction: int = 0
    terminal: bool = False
    name: str | None = None
    entry: int | None = None

    def __post_init__(self) -> None:
        if isinstance(self.direction, bool) or self.direction not in (-1, 0, 1):
            raise GpacError(
                f"an event's direction must be 1 (rising), -1 (falling) or 0 (both), got {self.direction!r}"
            )
        if not isinstance(self.terminal, (bool, np.bool_)):
            raise GpacError(f"an event's terminal must be True or False, got {self.terminal!r}")
        whole = isinstance(self.entry, (int, np.integer)) and not isinstance(self.entry, bool)
        if self.entry is not None and not (whole and self.entry >= 0):
            raise GpacError(f"an event's entry must be a whole number from 0 on, got {self.entry!r}")
        if self.name is not None and not isinstance(self.name, str):
            raise GpacError(f"an event's name must be text, got {self.name!r}")
        if self.wire is None or isinstance(self.wire, (bool, int, float, complex, np.ndarray)):
            raise GpacError(f"an event needs a wire, an output's name or an expression, got {self.wire!r}")


def as_events(events: Any) -> tuple[Event, ...]:
    """Events as asked: one, several, or by name; wires and expressions stand for plain events. All get names."""
    if isinstance(events, Mapping):
        listed = [replace(_as_event(e), name=_text(name)) for name, e in events.items()]
    elif isinstance(events, (Event, Wire, str)) or not isinstance(events, Iterable):
        listed = [_as_event(events)]
    else:
        listed = [_as_event(e) for e in events]
    named = [e if e.name is not None else replace(e, name=_name(e, k)) for k, e in enumerate(listed)]
    names = [e.name for e in named]
    for name in names:
        if names.count(name) > 1:
            raise GpacError(f"two events are called {name!r}; give each a name of its own")
    return tuple(named)


def _as_event(value: Any) -> Event:
    return value if isinstance(value, Event) else Event(value)


def _text(name: Any) -> str:
    if not isinstance(name, str):
        raise GpacError(f"events by name need text as names, got {name!r}")
    return name


def _name(event: Event, number: int) -> str:
    if isinstance(event.wire, Wire):
        return event.wire.name or f"event {number}"
    return str(event.wire)


@dataclass(frozen=True, eq=False, repr=False)
class Events:
    """Events that were met, by trajectory, and for each in the order in which it met them; arrays on the host.

    Attributes
    ----------
    trajectory : int64, (n,)
    name : str array, (n,)
    entry : int64, (n,)
        Which entry of the wire.
    t : float64, (n,)
        Unit: time. As near to the sign change of the step's polynomial as the arithmetic allows.
    direction : int64, (n,)
        1 where the value rises through zero along the run, -1 where it falls.
    outputs : float64, (n, m)
        All outputs at the event; NaN in a schedule before its last phase.
    states : float64, (n, dim)
        All integrators at the event, those of the phase in a schedule, filled up with NaN.
    phase : int64, (n,)
        Number of the phase of a schedule, else 0.

    Notes
    -----
    With precision="double-double", t, outputs and states are `gpac.Pair`s.
    """

    trajectory: np.ndarray
    name: np.ndarray
    entry: np.ndarray
    t: Array
    direction: np.ndarray
    outputs: Array
    states: Array
    phase: np.ndarray

    def __len__(self) -> int:
        return len(self.t)

    def __repr__(self) -> str:
        return f"Events({len(self)} on {len(np.unique(self.trajectory))} trajectories)"

    def select(self, name: str | None = None, trajectory: int | None = None, entry: int | None = None) -> Events:
        """Those of one event, of one trajectory, of one entry, or of all that are given.

        >>> import gpac, sympy
        >>> c, s = sympy.symbols("c s")
        >>> circle = gpac.PIVP({c: -s, s: c}, {c: 1, s: 0})
        >>> met = gpac.solve(circle, t=10, events={"right": c, "top": c - s}).events
        >>> (met.select("right").t / np.pi).round(12)
        array([0.5, 1.5, 2.5])
        """
        some = np.ones(len(self), dtype=bool)
        for values, wanted in ((self.name, name), (self.trajectory, trajectory), (self.entry, entry)):
            if wanted is not None:
                some &= values == wanted
        return self.where(some)

    def where(self, some: np.ndarray) -> Events:
        """Those chosen by a mask or an index array."""
        return Events(*(getattr(self, f)[some] for f in self.__dataclass_fields__))

    def numbered(self, first: int) -> Events:
        """The same, trajectories counted from `first` on."""
        return replace(self, trajectory=self.trajectory + first)

    @staticmethod
    def joined(parts: list[Events]) -> Events:
        """Those of consecutive trajectories, one after the other; states are filled up with NaN to the most."""
        dim = max(part.states.shape[1] for part in parts)
        filled = [replace(part, states=_wider(part.states, dim)) for part in parts]
        return Events(*(joined([getattr(p, f) for p in filled]) for f in Events.__dataclass_fields__))


def _wider(states: Array, dim: int) -> Array:
    """Rows filled up with NaN to `dim` entries."""
    missing = (0, 0), (0, dim - states.shape[1])
    return each_part(lambda part: np.pad(part, missing, constant_values=np.nan), states)


@dataclass(frozen=True)
class Watched:
    """Columns in which events are looked for.

    Attributes
    ----------
    columns : int64, (E,)
        Among the watched entries.
    event, entry, direction : int64, (E,)
        Number of the event, entry of its wire, direction asked.
    terminal : bool, (E,)
    """

    columns: np.ndarray
    event: np.ndarray
    entry: np.ndarray
    direction: np.ndarray
    terminal: np.ndarray


@dataclass(frozen=True)
class Hits:
    """Events found on rows, by row, then by place in the step (0 to 1); `number` is that of the watched column."""

    row: np.ndarray
    number: np.ndarray
    place: Array
    direction: np.ndarray

    def where(self, some: np.ndarray) -> Hits:
        """Those chosen by a mask."""
        return Hits(self.row[some], self.number[some], self.place[some], self.direction[some])


def found_on(rows: Rows, watched: Watched, signs: np.ndarray, tol: float) -> Hits:
    """Events on rows; `signs` (B, E), the sign of every trajectory's last value so far (0: none yet), is brought on.

    Nothing after the first terminal event of a trajectory is returned.
    """
    power, end = rows.on_unit(watched.columns)  # (K + 1, rows, E), (rows, E)
    before = _signs_before(rows, power, end, signs)
    found = crossings(power.reshape(len(power), -1), before.reshape(-1), end.reshape(-1))
    row, number = np.divmod(found.column, max(1, len(watched.columns)))
    late = ~(rows.first[row] & _still_small(power[:, row, number], found.place, tol))
    hits = _joined(Hits(row, number, found.place, found.direction).where(late), _last_zeros(rows, power, end))
    asked = watched.direction[hits.number]
    hits = hits.where((asked == 0) | (asked == hits.direction))
    return _until_terminal(
        rows, hits.where(np.lexsort((hits.number, *sort_keys(hits.place), hits.row))), watched.terminal
    )


def _still_small(power: Array, place: Array, tol: float) -> np.ndarray:
    """Whether all terms of polynomials (K + 1, n) are, so near to 0, nothing beside the largest of them at 1."""
    power, place = leading(power), leading(place)
    size = np.abs(power[-1])
    for row in power[-2::-1]:
        size = size * place + np.abs(row)
    return size <= 4 * tol * np.abs(power).max(axis=0, initial=0.0)


def _signs_before(rows: Rows, power: Array, end: Array, signs: np.ndarray) -> np.ndarray:
    """Sign (rows, E) with which every row is entered; `signs` become those with which trajectories are left."""
    after = np.sign(leading(end))
    zero = np.nonzero(after == 0)
    after[zero] = _arriving_at_zero(power[:, zero[0], zero[1]])
    index = np.where(after != 0, np.arange(len(after))[:, None], -1)
    latest = np.maximum.accumulate(index, axis=0) if len(index) else index
    known = latest >= rows.opening[:, None]  # a row of the same trajectory said so
    left = np.where(known, np.take_along_axis(after, np.maximum(latest, 0), axis=0), signs[rows.ids])
    before = np.empty_like(left)
    before[1:] = left[:-1]
    opens = np.arange(len(left)) == rows.opening
    before[opens] = signs[rows.ids[opens]]
    closes = np.append(opens[1:], True)[: len(opens)]
    signs[rows.ids[closes]] = left[closes]
    return before


def _last_zeros(rows: Rows, power: Array, end: Array) -> Hits:
    """Zeros met exactly where a trajectory's run ends: nothing comes after that could decide."""
    row, number = np.nonzero((leading(end) == 0) & rows.final[:, None])
    arriving = _arriving_at_zero(power[:, row, number])
    hits = Hits(row, number, _ones(power, len(row)), -arriving.astype(np.int64))
    return hits.where(arriving != 0)


def _ones(like: Array, count: int) -> Array:
    ones = arithmetic_of(like).zeros((count,))
    ones[:] = 1.0
    return ones


def _arriving_at_zero(power: Array) -> np.ndarray:
    """Signs just before 1 of polynomials (K + 1, n) that are zero there."""
    b = bernstein(power)
    b[-1] = 0.0
    return ending_sign(b)


def _joined(one: Hits, other: Hits) -> Hits:
    return Hits(*(joined([getattr(one, f), getattr(other, f)]) for f in one.__dataclass_fields__))


def _until_terminal(rows: Rows, hits: Hits, terminal: np.ndarray) -> Hits:
    """Hits up to the first terminal one of each trajectory, those at the same time included."""
    last_row, last_place = first_terminal(rows, hits, terminal)
    ids = rows.ids[hits.row]
    before = leading(last_place[ids] - hits.place) >= 0
    return hits.where((hits.row < last_row[ids]) | ((hits.row == last_row[ids]) & before))


def first_terminal(rows: Rows, hits: Hits, terminal: np.ndarray) -> tuple[np.ndarray, Array]:
    """Row and place of every trajectory's first terminal event, (B,) each; a row beyond all where it has none."""
    count = int(rows.ids.max(initial=-1)) + 1
    row, place = np.full(count, len(rows.ids)), _ones(hits.place, count)
    ends = np.flatnonzero(terminal[hits.number])[::-1]  # the first one is written last
    ids = rows.ids[hits.row[ends]]
    row[ids], place[ids] = hits.row[ends], hits.place[ends]
    return row, place
