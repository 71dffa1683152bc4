"""Network to analog program: one scheme per file."""

from .flow import flow
from .homotopy import homotopy
from .relaxation import relaxation
from .sequential import sequential

__all__ = ["flow", "homotopy", "relaxation", "sequential"]
