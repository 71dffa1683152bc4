"""What a compiled program says of itself: exact, limit or within delta; its horizon; its invariants."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Literal, Protocol

from .errors import CircuitError
from .exact import to_exact
from .wire import Wire

KINDS: dict[str, str] = {}
"""Kinds of limits and distances that can be saved, and the modules that do it."""


def register_kinds(module: str, *kinds: str) -> None:
    """Teach files kinds of limits and distances, which name their `kind`.

    `module` is imported when one is saved or loaded, not before. It has `to_data(part, arrays)`, which gives JSON, and
    `from_data(kind, data, arrays)`; arrays are written and read as `gpac.export.arrays` has them.
    """
    KINDS.update(dict.fromkeys(kinds, module))


class Limit(Protocol):
    """A program whose output converges: how long to run it, and a proven bound on how far off it still is.

    `inputs` maps input names to vectors. One that can be saved has a registered `kind`.
    """

    def time(self, inputs: dict[str, Any], error: Any) -> float:
        """When to read the outputs so that they are within `error` (exact) of their limits, for one input of doubles.

        Computed in float64; what holds at that time is what `error` says.
        """

    def error(self, inputs: dict[str, Any], t: Any) -> Any:
        """A ball whose upper end bounds the distance of every output from its limit at time t."""


class Near(Protocol):
    """A program whose function stands for another one, and how far that is, input by input.

    One that can be saved has a registered `kind`.
    """

    def bound(self) -> float:
        """Upper bound on every difference, for any input; inf where there is none."""

    def differences(self, inputs: dict[str, Any], bits: int) -> tuple[Any, ...]:
        """Balls around every output minus what was asked for, for exact inputs (or balls) by name."""


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
    """Claims of a circuit about itself. `gpac.describe` puts them into words, with what it counts on the circuit.

    Parameters
    ----------
    scheme : str
        Who made it; empty for a circuit written by hand.
    claim : "exact", "limit" or "within"
        Whether the output at the horizon *is* the wanted value, tends to it, or is within `delta` of it.
    horizon : Fraction, optional
        When to read the outputs of an exact program.
    limit : Limit, optional
        The convergence bound of a limit program.
    invariants : tuple of Invariant
    delta : Fraction, optional
        A proven bound on how far, in any output, the function that is computed (of a limit program: its limit) is
        from the one that was asked for. Of an exact program there is none.
    near : Near, optional
        The same for one input, closer; what a proof needs to speak of the function that was asked for. A program
        within a distance that depends on the input alone has no `delta`.
    region : str
        Of a program that is what it claims to be around some inputs alone: where. Empty: everywhere.
    constants : tuple of exact numbers
        Irrational numbers that the program generates on its way, from rational start values.
    """

    scheme: str = ""
    claim: Literal["exact", "limit", "within"] = "exact"
    horizon: Fraction | None = None
    limit: Limit | None = None
    invariants: tuple[Invariant, ...] = ()
    delta: Fraction | None = None
    near: Near | None = None
    region: str = ""
    constants: tuple[Any, ...] = ()

    def __post_init__(self) -> None:
        if self.claim not in ("exact", "limit", "within"):
            raise CircuitError(f"expected a claim 'exact', 'limit' or 'within', got {self.claim!r}")
        if self.near is not None and self.claim == "exact":
            raise CircuitError("a program that is near to what is wanted cannot claim to be exact")
        if self.delta is not None and (self.claim == "exact" or not self.delta >= 0):
            raise CircuitError(f"expected no delta for the claim 'exact' and none below 0, got {self.delta}")
        if self.delta is None and self.near is None and self.claim == "within":
            raise CircuitError("a program that claims to be within delta of what is wanted must say its delta")

    def approximating(self, delta: Any, near: Near | None = None) -> Program:
        """The same program, whose function is within `delta` (exact, >= 0) of the one that was asked for.

        With `near`, which knows the distance for each input, `delta` may be None: there is no bound for all inputs.
        """
        total = None if delta is None else to_exact(delta) + (self.delta or 0)
        return replace(self, claim="within" if self.claim == "exact" else self.claim, delta=total, near=near)
