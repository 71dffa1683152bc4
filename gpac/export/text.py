"""JSON text, strictly; and what every reader of it needs: each asks for one form and refuses all others."""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import isfinite
from typing import Any

from ..errors import LoadError, NumberError

Json = Any

LONGEST = 1000
"""Letters of a name."""


def parse(content: str | bytes) -> Json:
    """Text as nested dicts, lists, numbers and texts.

    Raises
    ------
    LoadError
        If it is not JSON in UTF-8, or a key is given twice.
    NumberError
        If a number is NaN or infinite.
    """
    try:
        return json.loads(content, parse_float=_finite, parse_constant=_finite, object_pairs_hook=_once)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise LoadError(f"it is not valid JSON: {error}") from None


def _finite(number: str) -> float:
    if not isfinite(float(number)):
        raise NumberError(f"expected finite numbers, got {number[:60]}")
    return float(number)


def _once(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise LoadError(f"the key {shown(twice)} is given twice")
    return found


def fields(data: Json, *names: str) -> list[Json]:
    """The values of a JSON object that must have exactly these keys."""
    if not isinstance(data, Mapping) or data.keys() != set(names):
        got = ", ".join(shown(key) for key in sorted(data)[:8]) if isinstance(data, Mapping) else shown(data)
        raise LoadError(f"expected an object with the keys {', '.join(names)}, got {got or 'none'}")
    return [data[name] for name in names]


def items(data: Json, what: str) -> list[Json]:
    """A JSON list."""
    if not isinstance(data, list):
        raise LoadError(f"expected {what}, got {shown(data)}")
    return data


def pair(data: Json, what: str) -> list[Json]:
    """A JSON list of two."""
    if not isinstance(data, list) or len(data) != 2:
        raise LoadError(f"expected {what}, got {shown(data)}")
    return data


def whole(data: Json, low: int, high: int, what: str) -> int:
    """A whole number from `low` to `high`."""
    if type(data) is not int or not low <= data <= high:
        raise LoadError(f"expected {what}, a whole number from {low} to {high}, got {shown(data)}")
    return data


def word(data: Json, what: str) -> str:
    """Text of a sensible length that can be printed."""
    if not isinstance(data, str) or len(data) > LONGEST or not data.isprintable():
        raise LoadError(f"expected {what} in printable letters, at most {LONGEST}, got {shown(data)}")
    return data


def shown(data: Json) -> str:
    """Something out of a file for a message, in a few words."""
    if isinstance(data, (list, dict)):
        return f"{'a list' if isinstance(data, list) else 'an object'} of {len(data)}"
    return printable(repr(data[:60] if isinstance(data, str) else data)[:80])


def printable(text: str) -> str:
    """Text on one line, of a sensible length, without control characters."""
    line = " ".join(text[:LONGEST].split())
    return "".join(letter if letter.isprintable() else "?" for letter in line)
