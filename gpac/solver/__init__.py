"""Solve: batches of polynomial initial value problems in float64 or double-double."""

from .batch import solve
from .solution import Dense, Solution, Status

__all__ = ["Dense", "Solution", "Status", "solve"]
