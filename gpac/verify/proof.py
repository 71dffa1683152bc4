"""The result of a proof: balls as mpmath numbers, or the reason why there are none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from fractions import Fraction
from functools import cached_property
from typing import Any

from ..errors import GpacError
from ..exact import to_arb
from ..precision import working_precision


class Answer(Enum):
    """What was proven; the value is a sentence."""

    PROVEN = "Every output lies within its radius of its midpoint."
    ENDS = "The solution does not exist that far: it leaves every bounded set at a time within the enclosure."
    UNKNOWN = "Nothing is proven about the outputs."

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, eq=False)
class Question:
    """What was to be proven: a system, when to read it, its inputs by name, and to how many digits."""

    system: Any
    end: Any
    inputs: Mapping[str, list[Any]]
    digits: int


@dataclass(frozen=True, eq=False)
class Proof:
    """Enclosures of all outputs at the end time, about exactly the input given.

    Attributes
    ----------
    answer : Answer
    balls : tuple of flint.arb
        One per output entry, empty unless PROVEN. Of a program that is near to what was asked for (smooth stand-ins
        for functions with kinks), they enclose what the program computes; `original` encloses what was asked for.
    names : tuple of str
        Names of the output entries.
    reason : str
        For UNKNOWN and ENDS: what stood in the way, and how far the proof got.
    end : tuple of two mpmath numbers, optional
        For ENDS: lower and upper bound on the end of the interval of existence.
    reached : float
        Time to which the proof got.
    bits, steps, order : int
        Working precision of the last try, its steps over all parts, the highest order.
    question : Question, optional
        What the proof is about.
    pieces : tuple of Proof
        With split= or width=: the proofs for the parts of the box, whose inputs are in their `question`.
    """

    answer: Answer
    balls: tuple[Any, ...] = ()
    names: tuple[str, ...] = ()
    reason: str = ""
    end: tuple[Any, Any] | None = None
    reached: float = 0.0
    bits: int = 0
    steps: int = 0
    order: int = 0
    question: Question | None = None
    pieces: tuple[Proof, ...] = ()

    @cached_property
    def original(self) -> tuple[Any, ...]:
        """Balls for the function that was asked for, where the program computes one near to it: `balls` less the
        distance at this input. For other programs the balls themselves.
        """

        balls = self._proven()
        near = None if self.question is None else self.question.system.program.near
        if near is None or self.question is None:
            return balls
        differences = near.differences(dict(self.question.inputs), self.bits)
        with working_precision(self.bits):
            return tuple(b - d for b, d in zip(balls, differences, strict=True))

    @property
    def mid(self) -> tuple[Any, ...]:
        """Midpoints as mpmath numbers, exact."""
        return tuple(to_mpf_exactly(b.mid()) for b in self._proven())

    @property
    def rad(self) -> tuple[Any, ...]:
        """Radii as mpmath numbers, exact."""
        return tuple(to_mpf_exactly(b.rad()) for b in self._proven())

    @property
    def digits(self) -> int:
        """Largest D such that every radius is at most 10**-D (capped at 10^6 where a value is exact)."""
        return proven_digits(self._proven())

    def contains(self, values: Any) -> bool:
        """Whether the numbers given (one per output, or one number for one output) all lie in their balls.

        Exact numbers are compared exactly; a sympy constant is evaluated in balls at twice the precision.
        """
        return balls_contain(self._proven(), values, self.bits)

    def certificate(self, path: Any, seconds: float | None = None) -> None:
        """Write a file from which `gpac check FILE` verifies the outputs without any of this code.

        See `gpac.verify.certificate.write_certificate`, whose errors it raises.
        """
        from .certificate import write_certificate

        self._proven()
        write_certificate(self, path, seconds)

    def check(self) -> Proof:
        """Return self if the outputs are proven, else raise `GpacError` with the reason."""
        self._proven()
        return self

    def _proven(self) -> tuple[Any, ...]:
        if self.answer is not Answer.PROVEN:
            raise GpacError(f"{self.answer.value} {self.reason}".strip())
        return self.balls

    def __str__(self) -> str:
        if self.answer is not Answer.PROVEN:
            return f"{self.answer.name}: {self.answer.value} {self.reason}".strip()
        digits = min(self.digits, 60)
        rows = [f"{n} = {_shown(b, digits)}" for n, b in zip(self.names, self.balls, strict=True)]
        if self.original is not self.balls:
            rows += ["for the function itself that this program comes near to:"]
            rows += [f"{n} = {_shown(b, digits)}" for n, b in zip(self.names, self.original, strict=True)]
        return "\n".join(rows)

    def __repr__(self) -> str:
        what = f"{self.digits} digits of {len(self.balls)} outputs" if self.answer is Answer.PROVEN else self.reason
        return f"Proof({self.answer.name}: {what})"


def _shown(ball: Any, digits: int) -> str:
    """A ball with so many digits after the point."""
    man, exp = ball.abs_upper().man_exp()
    before = max(0, int((int(man).bit_length() + int(exp)) * 0.30103) + 1)
    return str(ball.str(max(1, digits + before), radius=True))


EXACT_DIGITS = 10**6


def proven_digits(balls: tuple[Any, ...]) -> int:
    """Largest D with every radius at most 10**-D."""
    import flint

    worst = EXACT_DIGITS
    for ball in balls:
        radius = ball.rad()
        if radius > 0:
            with working_precision(64):
                digits = int((-(radius.log() / flint.arb(10).log())).lower().floor().unique_fmpz())
            worst = min(worst, digits)
    return worst


def balls_contain(balls: tuple[Any, ...], values: Any, bits: int) -> bool:
    """Whether each number lies in its ball for certain."""

    values = list(values) if hasattr(values, "__len__") else [values]
    if len(values) != len(balls):
        raise GpacError(f"expected {len(balls)} numbers to compare with, got {len(values)}")
    with working_precision(2 * bits + 64):
        return all(ball.contains(to_arb(v)) for ball, v in zip(balls, values, strict=True))


def to_mpf_exactly(ball: Any) -> Any:
    """An exact ball (radius 0) as the mpmath number that it is, at any size."""
    import mpmath
    from mpmath.libmp import from_man_exp

    man, exp = ball.man_exp()
    return mpmath.mp.make_mpf(from_man_exp(int(man), int(exp)))


def dyadic_to_mpf(value: Fraction) -> Any:
    """A fraction with a power of two below the line as the mpmath number that it is."""
    import mpmath
    from mpmath.libmp import from_man_exp

    if value.denominator & (value.denominator - 1):
        raise ValueError(f"expected a power of two below the line, got {value}")
    return mpmath.mp.make_mpf(from_man_exp(value.numerator, 1 - value.denominator.bit_length()))


def to_fraction(ball: Any) -> Fraction:
    """An exact ball as a fraction."""
    man, exp = ball.man_exp()
    return Fraction(int(man)) * Fraction(2) ** int(exp)
