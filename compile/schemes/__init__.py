"""Network to analog program: one scheme per file."""

from .clocked import clocked
from .flow import flow
from .homotopy import homotopy
from .relaxation import relaxation
from .sequential import sequential

__all__ = ["clocked", "flow", "homotopy", "relaxation", "sequential"]
