"""Run a circuit piece by piece, a schedule phase by phase, and gather what came out."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ..circuit import Circuit
from ..errors import GpacError
from ..exact import exact_array
from ..pair import each_part, leading
from ..schedule import Schedule
from .arithmetic import Doubles, arithmetic
from .choice import Choice, choose
from .doubts import Doubts
from .fates import judged
from .interrupt import completed
from .results import REACHED, STOPPED, WALL_CLOCK
from .series import Series
from .solution import Dense, host
from .start import at_start
from .task import Advance, Batch, Limits, Pieces, Settings
from .threads import processors

if TYPE_CHECKING:
    from .findings import Stage
    from .observation import Observation


@dataclass(frozen=True)
class Call:
    """What stays the same over all pieces and phases of one call of `solve`."""

    settings: Settings
    limits: Limits
    backend: str
    method: str
    xp: Any
    progress: Callable[[float], None] | None
    observation: Observation | None

    @property
    def num(self) -> Doubles:
        """The arithmetic, on the host."""
        return arithmetic(self.settings.precision, np)


def run_circuit(circuit: Circuit, inputs: dict, ends: Any, call: Call, last: bool = True) -> dict:
    """Pieces of the batch one after the other; arrays (B, ...) by name."""
    xp, batch = call.xp, len(ends)
    settings = replace(call.settings, watch=tuple(circuit.outputs.values()))
    chosen = partial(_chosen, circuit, call, last)
    choice, doubts = chosen(settings), Doubts(circuit, settings, chosen, xp)
    series = Series.of(circuit, xp, settings.precision)
    done = 0

    def told(ended: int) -> None:
        nonlocal done
        done += ended
        if call.progress:
            call.progress(min(1.0, done / max(1, batch)))  # a piece that memory did not hold is begun twice

    limits = replace(call.limits, tell=told)
    parts: list[Advance] = []
    stopped = False

    def advance(some: slice) -> Advance:
        count = some.stop - some.start
        given = {n: a[:, some] for n, a in inputs.items()}
        state = at_start(series, given, count, circuit.integrals, limits.threads or processors())
        piece = Batch(given, state, series.num.zeros((count,)), ends[some])
        code = STOPPED if stopped else _end_code(parts, limits)
        if code is None:
            part = judged(circuit, piece, choice.engine.advance(piece, limits), settings, xp)
            return doubts.settled(piece, part, limits)
        if code != STOPPED:  # whoever is told might stop the run once more
            told(count)
        return _untouched(piece, code, settings)

    def advance_or_stop(some: slice) -> Advance:
        nonlocal stopped
        try:
            return advance(some)
        except KeyboardInterrupt:  # outside of an engine's steps, before its answer was there
            stopped = True
            return advance(some)

    size = _in_pieces(advance_or_stop, parts, batch, choice.engine.piece)

    def gathered() -> dict:
        engine = str(choice) + doubts.note
        if size < choice.engine.piece:
            engine += f"; memory held {size} trajectories at a time"
        found = {"engine": engine, "stages": _stages(parts, batch, last, call)}
        return _gathered(parts, circuit, settings, xp) | found

    return completed(gathered) if last else gathered()


def _chosen(circuit: Circuit, call: Call, last: bool, settings: Settings) -> Choice:
    """The engine, observed where something is to be found."""
    chosen = partial(choose, xp=call.xp, backend=call.backend, method=call.method)
    if call.observation is None:
        return chosen(circuit, settings)
    from .observer import observing

    return observing(circuit, settings, call.observation, last, chosen)


def _stages(parts: list[Advance], batch: int, last: bool, call: Call) -> list[Stage]:
    """What was found on the way; nothing where nothing was asked for."""
    if call.observation is None:
        return []
    from .findings import Stage, gathered

    return [Stage(gathered(parts), np.arange(batch), call.num.zeros((batch,)), last)]


def _in_pieces(advance: Callable[[slice], Advance], parts: list[Advance], batch: int, size: int) -> int:
    """Add pieces of `size` to `parts`, smaller ones once memory does not suffice; returns the last size."""
    low = 0
    while low < batch:
        high = min(batch, low + size)
        try:
            parts.append(advance(slice(low, high)))
            low = high
        except MemoryError:  # CuPy's error for a device that is full is one too
            if high - low == 1:
                raise
            size = (high - low) // 2
    return size


def _end_code(parts: list[Advance], limits: Limits) -> int | None:
    """Why no further piece is begun: Ctrl-C or the clock."""
    if parts and bool((parts[-1].code == STOPPED).any()):
        return STOPPED
    return WALL_CLOCK if time.monotonic() > limits.deadline else None


def _untouched(piece: Batch, code: int, settings: Settings) -> Advance:
    """A piece that was never begun."""
    count = len(piece.t)
    num = arithmetic(settings.precision, np)
    nothing, zeros = np.full(count, np.nan), np.zeros(count)
    m = sum(w.size for w in settings.watch)
    size = np.abs(host(leading(piece.state))).max(axis=0, initial=0.0)
    begin, coefficients = num.zeros((0,)), num.zeros((0, 1, m))
    none = Pieces(np.zeros(0, dtype=int), begin, np.zeros(0), np.zeros(0), coefficients) if settings.keep else None
    readings = num.zeros((m, count))
    readings[...] = np.nan
    return Advance(np.full(count, code), piece.t, piece.state, readings, zeros, zeros, nothing, size, none)


def _gathered(parts: list[Advance], circuit: Circuit, settings: Settings, xp: Any) -> dict:
    m = sum(w.size for w in circuit.outputs.values())
    num = arithmetic(settings.precision, xp)
    rows = {"states": ("state", circuit.dim), "outputs": ("readings", m)}
    out: dict[str, Any] = {}
    for field, (name, width) in rows.items():
        found = [each_part(xp.asarray, getattr(p, name)).T for p in parts] or [num.zeros((0, width))]
        out[field] = found[0] if len(found) == 1 else num.joined(found)
    out["t"] = num.joined([num.zeros((0,)), *(each_part(xp.asarray, p.t) for p in parts)])
    for field in ("code", "steps", "orders", "length", "space"):
        figures = [xp.asarray(getattr(p, field)) for p in parts] or [xp.zeros(0)]
        out[field] = figures[0] if len(figures) == 1 else xp.concatenate(figures)
    out["code"], out["steps"] = (out[field].astype(int, copy=False) for field in ("code", "steps"))
    out["dense"] = _dense(parts, host(leading(out["t"])), m, settings.precision) if settings.keep else None
    return out


def _dense(parts: list[Advance], end: np.ndarray, m: int, precision: str) -> Dense:
    """Steps of all pieces, as one."""
    num = arithmetic(precision, np)
    ids, first, top = [np.zeros(0, dtype=int)], 0, 1
    kept = [p.pieces for p in parts if p.pieces is not None]
    for piece, part in zip(kept, parts, strict=True):
        ids.append(piece.ids + first)
        first += len(part.code)
        top = max(top, piece.coefficients.shape[1])
    coefficients = num.zeros((sum(len(p.ids) for p in kept), top, m))
    at = 0
    for p in kept:
        coefficients[at : at + len(p.ids), : p.coefficients.shape[1]] = p.coefficients
        at += len(p.ids)
    begin = num.joined([num.zeros((0,)), *(p.begin for p in kept)])
    step, unit = (np.concatenate([np.zeros(0), *(getattr(p, name) for p in kept)]) for name in ("step", "unit"))
    return Dense.of(Pieces(np.concatenate(ids), begin, step, unit, coefficients), end)


def run_schedule(schedule: Schedule, t: Any, inputs: dict, count: int, call: Call) -> dict:
    """Phase after phase; a trajectory that fails keeps the code and time of its failure."""
    if t is not None and (np.ndim(t) or t != schedule.duration):
        raise GpacError(f"a schedule runs its own phases for {schedule.duration} in all; leave t out (got {t!r})")
    xp, num = call.xp, arithmetic(call.settings.precision, call.xp)
    values = dict(inputs)
    total: dict = {}
    stages: list[Stage] = []
    alive = xp.arange(count)
    for number, phase in enumerate(schedule.phases):

        def told(fraction: float, number: int = number) -> None:
            if call.progress:
                call.progress((number + fraction) / len(schedule.phases))

        needed = {n: values[n][:, alive] for n in phase.circuit.inputs}
        ends = num.zeros((len(alive),))
        ends[...] = num.numbers(exact_array([phase.duration]))
        last = phase is schedule.phases[-1]
        part = run_circuit(phase.circuit, needed, ends, replace(call, progress=told), last)
        begin = host(total["t"])[host(alive)] if total else call.num.zeros((count,))
        stages += [replace(stage, ids=host(alive), begin=begin) for stage in part["stages"]]
        at = 0
        for name, wire in phase.circuit.outputs.items():
            values[name] = num.zeros((wire.size, count))
            values[name][...] = xp.nan
            values[name][:, alive] = part["outputs"].T[at : at + wire.size]
            at += wire.size
        total = _after(total, part, alive, count, num)
        alive = alive[part["code"] == REACHED]
    return total | {"stages": stages}


def _after(total: dict, part: dict, alive: Any, count: int, num: Doubles) -> dict:
    """Add one phase's figures to those of the phases before."""
    if not total:
        return part
    out = dict(total)
    for name in ("t", "steps", "orders", "length"):
        out[name] = total[name].copy()
        out[name][alive] = out[name][alive] + part[name]
    out["space"] = total["space"].copy()
    out["space"][alive] = num.xp.maximum(out["space"][alive], part["space"])
    out["code"] = total["code"].copy()
    out["code"][alive] = part["code"]
    if not out["engine"].endswith(part["engine"]):
        out["engine"] += f"; then {part['engine']}"
    for name in ("states", "outputs"):
        out[name] = num.zeros((count, part[name].shape[1]))
        out[name][...] = num.xp.nan
        out[name][alive] = part[name]
    if part["dense"] is not None:
        later = total["t"][leading(total["t"]).argmax()] if count else 0.0
        out["dense"] = part["dense"].placed(host(alive), count, host(later))
    return out
