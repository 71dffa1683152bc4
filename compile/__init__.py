"""Neural networks to analog programs: load, compile under a scheme, judge.

Write `from compile import load`; a bare `import compile` hides the builtin of that name.
"""

from __future__ import annotations

from . import network_file as _network_file  # noqa: F401  files learn what a relaxation is
from .balls import enclose_forward
from .frontends import from_torch, load
from .network import Network, Node, forward
from .operations import Activation, Affine, Multiply, Sigmoid, Softmax, Tanh, dense, scale
from .schemes import homotopy, relaxation, sequential

__all__ = [
    "Activation",
    "Affine",
    "Multiply",
    "Network",
    "Node",
    "Sigmoid",
    "Softmax",
    "Tanh",
    "dense",
    "enclose_forward",
    "forward",
    "from_torch",
    "homotopy",
    "load",
    "relaxation",
    "scale",
    "sequential",
]
