"""Ranges over a box from its faces: where an output rises with an input, it is largest where that input is.

The symbols -1 <= e_l <= 1 say where in the box an input lies. Let V_l = m_l +- r_l contain the derivative of an output
f by e_l at all points of the box. If V_l has one sign, then f takes its largest value on a face, where e_l is at an
end; over the face, which has fewer symbols and so narrower derivatives, one looks again, and at a corner f is the image
of a point. Where no V_l has a known sign, for any point c of the box

    f(e) <= f(c) + sum over l of the largest V_l (e_l - c_l),

which is narrowest for c_l = m_l / r_l. The same holds from below, with all signs turned.
Sources: monotonicity, Moore 1966; the best points, Baumann, BIT 28 (1988) 80-87.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeAlias

import flint

from ..exact import to_arb
from .affine import Symbols
from .matrix import Ball

Face: TypeAlias = tuple[Fraction | None, ...]
"""A number from -1 to 1 for every symbol of the box that is fixed, None for those that are not."""
WORTH = 0.995
"""An output is looked at again if that may make it narrower by this factor."""
MOST_LOOKS = 32
PARTS = 64
ZERO = flint.arb(0)


@dataclass(frozen=True, eq=False)
class Seen:
    """Balls of all outputs over a face; rows with their derivatives by its free symbols, None where not wanted."""

    balls: list[Ball]
    rows: list[Symbols] | None


def narrowed(whole: Seen, count: int, look: Callable[[Face], Seen | None]) -> list[Ball]:
    """The balls of all outputs over a box, cut to what is seen on its faces.

    Parameters
    ----------
    whole : what is known of the box itself
    count : number of its symbols
    look : what is seen on a face; None where nothing is found
    """
    search = _Search((None,) * count, whole, look)
    return [search.ball(n) for n in range(len(whole.balls))]


class _Search:
    def __init__(self, box: Face, whole: Seen, look: Callable[[Face], Seen | None]) -> None:
        self.box, self.look = box, look
        self.known: dict[Face, Seen | None] = {box: whole}

    def ball(self, n: int) -> Ball:
        """Output n over the box."""
        whole = self.known[self.box]
        assert whole is not None
        largest, least = self._largest(n, 1, self.box), self._largest(n, -1, self.box)
        if largest is None or least is None:
            return whole.balls[n]
        return whole.balls[n].intersection(largest.union(-least))

    def _largest(self, n: int, side: int, face: Face) -> Ball | None:
        """Upper bound on `side` times output n over a face; None if nobody has looked at it."""
        seen = self._seen(face)
        if seen is None:
            return None
        bound = (side * seen.balls[n]).upper()
        row = None if seen.rows is None else seen.rows[n]
        if not row or not _promising(row, seen.balls[n]):
            return bound
        turned = [side * v for v in row]
        further, beyond = _inner(face, _ends(turned)), ZERO
        if further == face:
            place = [_best(v) for v in turned]
            further, beyond = _inner(face, place), _beyond(turned, place)
        found = self._largest(n, side, further)
        return bound if found is None else bound.min(found + beyond).upper()

    def _seen(self, face: Face) -> Seen | None:
        if face not in self.known and len(self.known) <= MOST_LOOKS:
            self.known[face] = self.look(face)
        return self.known.get(face)


def _promising(row: list[Ball], ball: Ball) -> bool:
    """Whether derivatives may make the ball narrower."""
    definite = any(_sign(v) for v in row)
    expected = sum((abs(v.mid()) if definite else v.rad() for v in row), ZERO)
    return bool(expected < WORTH * ball.rad())


def _sign(v: Ball) -> int:
    return 1 if v > 0 else -1 if v < 0 else 0


def _ends(row: list[Ball]) -> list[Fraction | None]:
    """Where the largest value is taken, as far as it is known; anywhere where f does not depend on the symbol."""
    return [Fraction(_sign(v) or 1) if _sign(v) or v == 0 else None for v in row]


def _best(v: Ball) -> Fraction:
    """m / r, in parts of PARTS, cut off at -1 and 1."""
    ratio = float(v.mid() / v.rad()) if v.rad() > 0 else 0.0
    return Fraction(round(PARTS * min(1.0, max(-1.0, ratio))), PARTS)


def _inner(face: Face, place: Sequence[Fraction | None]) -> Face:
    """The face with its free symbols put to the values in `place`."""
    left = iter(place)
    return tuple(next(left) if c is None else c for c in face)


def _beyond(row: list[Ball], place: list[Fraction]) -> Ball:
    """Upper bound on the sum of V_l (e_l - c_l) over all e."""
    terms = [
        (v.upper() * (1 - c)).max(-v.lower() * (1 + c)).max(ZERO) for v, c in zip(row, map(to_arb, place), strict=True)
    ]
    return sum(terms, ZERO).upper()
