"""One run at a working precision, of a circuit or of all phases of a schedule."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import Any

from ..circuit import Circuit
from ..exact import to_arb
from ..precision import working_precision
from ..schedule import Schedule
from .enclose import run
from .outcome import Ends, Limits, Reached, Stuck
from .proof import to_fraction
from .sets import with_symbols


def attempt(
    system: Circuit | Schedule, end: Any, given: dict, limits: Limits, progress: Callable[[float], None], bits: int
) -> tuple[Reached | Stuck | Ends, Any]:
    """One run at a working precision; also the time it got to."""

    with working_precision(bits):
        values, symbols = with_symbols(given)
        if isinstance(system, Circuit):
            outcome = run(system, end, values, limits, progress, symbols)
            return outcome, outcome.t if isinstance(outcome, Stuck) else to_arb(end).mid()
        steps, order, done = 0, 0, Fraction(0)
        hulls: dict[str, list[Any]] = {}
        for number, phase in enumerate(system.phases):
            outcome = run(
                phase.circuit,
                phase.duration,
                values,
                limits,
                _share(progress, number, len(system.phases)),
                symbols,
            )
            if isinstance(outcome, Ends):
                low, high = to_arb(outcome.low + done).lower(), to_arb(outcome.high + done).upper()
                return replace(outcome, low=to_fraction(low), high=to_fraction(high)), done
            if isinstance(outcome, Stuck):
                return outcome, done + outcome.t
            values |= outcome.outputs
            symbols |= outcome.rows
            hulls |= outcome.hulls
            steps, order, done = steps + outcome.steps, max(order, outcome.order), done + phase.duration
        outputs = {name: values[name] for name in system.outputs}
        rows = {name: symbols[name] for name in system.outputs}
        return Reached(outputs, rows, {n: hulls[n] for n in outputs}, steps, order), done


def _share(progress: Callable[[float], None], number: int, count: int) -> Callable[[float], None]:
    """The progress of one phase as a part of the whole."""
    return lambda fraction: progress((number + fraction) / count)
