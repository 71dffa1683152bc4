"""What a compiled program says of itself: exact or limit, its horizon, its invariants."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal, Protocol

from .wire import Wire


class Limit(Protocol):
    """A program whose output converges: how long to run it, and a proven bound on how far off it still is.

    `inputs` maps input names to vectors.
    """

    def time(self, inputs: dict[str, Any], error: Any) -> float:
        """When to read the outputs so that they are within `error` (exact) of their limits, for one input of doubles.

        Computed in float64; what holds at that time is what `error` says.
        """

    def error(self, inputs: dict[str, Any], t: Any) -> Any:
        """A ball whose upper end bounds the distance of every output from its limit at time t."""


@dataclass(frozen=True)
class Invariant:
    """A polynomial of wires that stays constant: `wire` equals `value` at all times.

    For watching a run: read `wire` as one more output. `gpac.prove` checks it in the balls after every step; no other
    engine uses it by itself.
    """

    name: str
    wire: Wire
    value: Fraction


@dataclass(frozen=True)
class Program:
    """Claims of a circuit about itself.

    Parameters
    ----------
    scheme : str
        Who made it; empty for a circuit written by hand.
    claim : "exact" or "limit"
        Whether the output at the horizon *is* the wanted value, or tends to it.
    horizon : Fraction, optional
        When to read the outputs of an exact program.
    limit : Limit, optional
        The convergence bound of a limit program.
    invariants : tuple of Invariant
    """

    scheme: str = ""
    claim: Literal["exact", "limit"] = "exact"
    horizon: Fraction | None = None
    limit: Limit | None = None
    invariants: tuple[Invariant, ...] = ()
