"""Network to analog program: one scheme per file."""

from .homotopy import homotopy
from .relaxation import relaxation
from .sequential import sequential

__all__ = ["homotopy", "relaxation", "sequential"]
