"""The activations that have a polynomial system: one table, one family per file."""

from __future__ import annotations

from . import elementary, gaussian, kinked, roots, sigmoidal
from .refusal import JUMPS, KINKS, NOT_ANALYTIC
from .refusal import refusal as _refusal
from .rule import Carried, Kinks, Rule, Setting
from .smooth import Piece, Smooth, to_delta

RULES: dict[str, Rule] = {
    **sigmoidal.FAMILY,
    **gaussian.FAMILY,
    **elementary.FAMILY,
    **roots.FAMILY,
    **kinked.FAMILY,
}


def refusal(name: str) -> str:
    """Why an activation of this name is not in the table."""
    return _refusal(name, tuple(RULES))


__all__ = [
    "JUMPS",
    "KINKS",
    "NOT_ANALYTIC",
    "RULES",
    "Carried",
    "Kinks",
    "Piece",
    "Rule",
    "Setting",
    "Smooth",
    "refusal",
    "to_delta",
]
