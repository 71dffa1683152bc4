"""What is known of an activation: its value in float64 and in balls, its circuit, and how steep it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np

from gpac.errors import NumberError, ShapeError
from gpac.exact import to_exact
from gpac.program import Invariant
from gpac.wire import Wire

from .refusal import refusal
from .smooth import Smooth

Ball: TypeAlias = Any
Array: TypeAlias = np.ndarray


class Setting(Protocol):
    """What a circuit of an activation asks of the scheme that it is part of."""

    @property
    def label(self) -> str:
        """Tells the wires of one node from those of others."""

    def constant(self, expression: Any) -> Wire:
        """A wire that holds the constant (a positive sympy expression) when the program ends."""

    def raised(self, z: Wire, offset: Any) -> Wire:
        """A positive wire that is z + offset when the program ends, for a z never negative; 1 where z is its base."""

    def start(self, function: str, z: Wire, at_base: Any, *parameters: Any) -> Any:
        """Start value function(z(0)) of an integrator: `at_base` (a number) in a program where z starts at its base.

        `function` is a key of `gpac.elementary.TABLE`.
        """


@dataclass(frozen=True, eq=False)
class Carried:
    """An activation as a circuit: its value is `part` + `constant`, and `part` starts at 0.

    `constant` is an exact number, or a vector of them, perhaps irrational.
    """

    part: Wire
    constant: Any = 0
    invariants: tuple[Invariant, ...] = ()


@dataclass(frozen=True)
class Kinks:
    """What is known besides of a function with kinks, whose parameter is a `Smooth`.

    Attributes
    ----------
    gap : (ball, parameter) to a ball that contains smooth stand-in minus function at all points of the ball
    slope : (ball, parameter) to a ball that contains all slopes of the function there, on both sides of kinks
    pieces : parameter to the branches of the function, from left to right
    check : raises if the numbers of the parameter are not what the function takes
    """

    gap: Callable[[Ball, Any], Ball]
    slope: Callable[[Ball, Any], Ball]
    pieces: Callable[[Any], tuple[Any, ...]]
    check: Callable[[Any], None]


@dataclass(frozen=True)
class Rule:
    """One activation; every function takes the parameter as its second argument.

    Attributes
    ----------
    arrays : float64 array to the same shape
    ball : ball to ball
    circuit : (z, parameter, setting) to `Carried`, for a wire z that starts at `base`
    slope : (R, parameter) to a ball whose upper end bounds |f'| on [-R, R]
    size : (R, parameter) to a ball whose upper end bounds |f| on [-R, R]
    parameter : what the parameter is
    polynomial : whether the circuit is made of products alone, without integrators
    nonnegative : whether it is defined for z >= 0 only; slope and size then hold from `base` up to R
    base : where z starts in a program without a ramp, from the parameter
    kinks : for a function with kinks; all else then is about its smooth stand-in
    """

    arrays: Callable[[Array, Any], Array]
    ball: Callable[[Ball, Any], Ball]
    circuit: Callable[[Wire, Any, Setting], Carried]
    slope: Callable[[Ball, Any], Ball]
    size: Callable[[Ball, Any], Ball]
    parameter: Literal["none", "exponent", "offset", "factor", "smooth"] = "none"
    polynomial: bool = False
    nonnegative: bool = False
    base: Callable[[Any], Any] = lambda _: 0
    kinks: Kinks | None = None

    def check(self, name: str, parameter: Any) -> None:
        """Raise if the parameter is not what the activation takes."""
        if self.kinks is not None:
            if not isinstance(parameter, Smooth):
                raise ShapeError(refusal(name))
            self.kinks.check(parameter)
            return
        if (parameter is None) != (self.parameter == "none"):
            wanted = "no parameter" if self.parameter == "none" else f"an {self.parameter} as its parameter"
            raise ShapeError(f"expected {wanted} for {name!r}, got {parameter!r}")
        if self.parameter == "exponent" and not (isinstance(parameter, int) and parameter >= 2):
            raise NumberError(f"expected a whole exponent of at least 2 for {name!r}, got {parameter!r}")
        if self.parameter == "offset" and not to_exact(parameter) > 0:
            raise NumberError(f"expected a positive offset for {name!r}, got {parameter!r}; at 0 it is not analytic")
        if self.parameter == "factor":
            to_exact(parameter)
