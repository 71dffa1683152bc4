"""Network to analog program: one scheme per file."""

from .clocked import clocked
from .homotopy import homotopy
from .relaxation import relaxation
from .sequential import sequential

__all__ = ["clocked", "homotopy", "relaxation", "sequential"]
