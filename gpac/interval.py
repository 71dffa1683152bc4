"""Intervals as they are given: mpmath's `iv`, pairs (low, high) of exact numbers, and Arb balls."""

from __future__ import annotations

from typing import Any

from .errors import NumberError
from .exact import to_arb, to_exact
from .precision import working_precision

MARGIN = 64
"""Bits for the middle of an interval beyond its width."""


def is_interval(value: Any) -> bool:
    """Whether a value means a set of numbers: `mpmath.iv`, a tuple, or a ball that is not exact."""
    if hasattr(value, "_mpi_") or isinstance(value, tuple):
        return True
    return type(value).__name__ == "arb" and not value.is_exact()


def ends(value: Any) -> tuple[Any, Any]:
    """Exact lower and upper end of an interval, or twice the number where it is one.

    >>> ends((0, "1/3"))
    (Fraction(0, 1), Fraction(1, 3))
    """
    low, high = _given(value)
    with working_precision(4 * MARGIN):
        if to_arb(low) > to_arb(high):
            raise NumberError(f"expected an interval whose lower end comes first, got {value}")
    return low, high


def to_ball(value: Any) -> Any:
    """A ball that contains the interval, as wide as it is but for 2**-29 of its width; an exact number where both ends
    are the same. It does not go beyond the end that is nearer to 0, where that is a dyadic number.
    """
    import flint

    if type(value).__name__ == "arb":
        return _finite(value)
    low, high = ends(value)
    if low == high:
        return low
    with working_precision(4096):
        width = to_arb(high) - to_arb(low)
        if not width > 0:
            raise NumberError(f"expected an interval whose ends can be told apart at 4096 bits, got {value}")
        half = flint.arb(0, width.upper() / 2)
        radius = half.rad()
        near = to_arb(low) + radius if abs(to_arb(low)) <= abs(to_arb(high)) else to_arb(high) - radius
        exponent = _exponent(near.abs_upper()) - _exponent(radius)
    with working_precision(4096 if near.is_exact() else MARGIN + max(0, exponent)):
        return near + half


def _given(value: Any) -> tuple[Any, Any]:
    if hasattr(value, "_mpi_"):
        import mpmath

        low, high = (to_exact(mpmath.mp.make_mpf(part)) for part in value._mpi_)
        return low, high
    if isinstance(value, tuple):
        if len(value) != 2:
            raise NumberError(f"expected an interval as a pair (low, high), got {len(value)} numbers")
        return to_exact(value[0]), to_exact(value[1])
    if type(value).__name__ == "arb":
        from .verify.proof import to_fraction

        middle, radius = to_fraction(_finite(value).mid()), to_fraction(value.rad())
        return middle - radius, middle + radius
    return to_exact(value), to_exact(value)


def _finite(ball: Any) -> Any:
    if not ball.is_finite():
        raise NumberError(f"expected a finite ball, got {ball}")
    return ball


def _exponent(x: Any) -> int:
    man, exp = x.man_exp()
    return int(exp) + int(man).bit_length()
