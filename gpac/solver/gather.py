"""Solutions as trees of arrays: put pieces together along the batch, or do something to every array."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

import numpy as np

SHOWN = 4
"""Texts that are listed where pieces say different things."""


def joined(parts: list[Any]) -> Any:
    """Solutions of consecutive pieces as one; texts that differ are listed, objects use their class's `joined`."""
    first = parts[0]
    if first is None:
        return None
    if isinstance(first, str):
        texts = list(dict.fromkeys(parts))
        return "; ".join([*texts[:SHOWN], *([f"and {len(texts) - SHOWN} more"] if len(texts) > SHOWN else [])])
    if isinstance(first, Mapping):
        return {key: joined([part[key] for part in parts]) for key in first}
    if isinstance(first, np.ndarray):
        return np.concatenate(parts)
    if isinstance(first, tuple):
        return type(first)(*(joined(list(values)) for values in zip(*parts, strict=True)))
    if hasattr(type(first), "joined"):
        return type(first).joined(parts)
    return type(first)(**{f.name: joined([getattr(part, f.name) for part in parts]) for f in fields(first)})


def mapped(value: Any, change: Callable[[Any], Any]) -> Any:
    """A solution with `change` applied to every array that has one row for each trajectory."""
    if value is None or isinstance(value, str) or hasattr(type(value), "joined"):
        return value
    if isinstance(value, Mapping):
        return {key: mapped(each, change) for key, each in value.items()}
    if isinstance(value, tuple):
        return type(value)(*(mapped(each, change) for each in value))
    if hasattr(type(value), "__dataclass_fields__"):
        return type(value)(**{f.name: mapped(getattr(value, f.name), change) for f in fields(value)})
    return change(value)
