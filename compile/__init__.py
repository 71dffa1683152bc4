"""Neural networks to analog programs: load, compile under a scheme, judge.

Write `from compile import load`; a bare `import compile` hides the builtin of that name.
"""

from __future__ import annotations

from .balls import enclose_forward
from .frontends import from_torch, load
from .network import Network, Node, forward
from .operations import Activation, Affine, Multiply, Sigmoid, Softmax, Tanh, dense, scale
from .robust import Robustness, Verdict, robust
from .schemes import homotopy, relaxation, sequential
from .zonotope import enclose_box

__all__ = [
    "Activation",
    "Affine",
    "Multiply",
    "Network",
    "Node",
    "Robustness",
    "Sigmoid",
    "Softmax",
    "Tanh",
    "Verdict",
    "dense",
    "enclose_box",
    "enclose_forward",
    "forward",
    "from_torch",
    "homotopy",
    "load",
    "relaxation",
    "robust",
    "scale",
    "sequential",
]
