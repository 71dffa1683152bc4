"""Solve: batches of polynomial initial value problems in float64 or double-double."""

from .batch import solve
from .events import Event, Events
from .extremes import Extremes
from .solution import Dense, Solution, Status

__all__ = ["Dense", "Event", "Events", "Extremes", "Solution", "Status", "solve"]
