"""What is known of the signs of a wire's entries, as a subset of "-0+"; a divisor must lack "0"."""

from __future__ import annotations

from itertools import product as pairs
from typing import Any

from .errors import CircuitError

ANY = "-0+"
"""The signs that an entry may have when nothing is known."""


def known(signs: str) -> str:
    """The signs in their order; raises `CircuitError` for anything but a nonempty subset of "-0+"."""
    if not signs or set(signs) - set(ANY):
        raise CircuitError(f"expected signs to be a subset of '-0+', got {signs!r}")
    return "".join(s for s in ANY if s in signs)


def signs_of(array: Any) -> str:
    """Signs that occur among the entries of an exact array or sparse matrix."""
    values = array.data if hasattr(array, "tocsr") else array
    zero = "0" if hasattr(array, "tocsr") or (values == 0).any() else ""
    less = any(v < 0 for v in values.flat) if values.dtype == object else (values < 0).any()
    more = any(v > 0 for v in values.flat) if values.dtype == object else (values > 0).any()
    return ("-" if less else "") + zero + ("+" if more else "")


def times(left: str, right: str, square: bool = False) -> str:
    """Signs of a product; of x * x with `square`."""
    number = {"-": -1, "0": 0, "+": 1}
    signs = [(s, s) for s in left] if square else list(pairs(left, right))
    found = {number[a] * number[b] for a, b in signs}
    return "".join(s for s in ANY if number[s] in found)


def plus(left: str, right: str) -> str:
    """Signs of a sum."""
    found: set[str] = set()
    for a, b in pairs(left, right):
        found |= {a, b} - {"0"} if "0" in (a, b) and a != b else {a} if a == b else set(ANY)
    return "".join(s for s in ANY if s in found)
