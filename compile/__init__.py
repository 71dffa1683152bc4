"""Neural networks to analog programs: load, compile under a scheme, judge.

Write `from compile import load`; a bare `import compile` hides the builtin of that name.
"""

from __future__ import annotations

from gpac.program import register_kinds

from .balls import enclose_forward
from .distance import distance
from .field import Field
from .frontends import from_torch, load, save
from .network import Network, Node, forward
from .operations import Activation, Affine, Multiply, Sigmoid, Softmax, Tanh, dense, scale
from .pattern import pattern
from .robust import Robustness, Verdict, robust
from .schemes import clocked, flow, homotopy, relaxation, sequential
from .zonotope import enclose_box

register_kinds("compile.program_file", "relaxation", "clocked", "equilibrium", "kinks")

__all__ = [
    "Activation",
    "Affine",
    "Field",
    "Multiply",
    "Network",
    "Node",
    "Robustness",
    "Sigmoid",
    "Softmax",
    "Tanh",
    "Verdict",
    "clocked",
    "dense",
    "distance",
    "enclose_box",
    "enclose_forward",
    "flow",
    "forward",
    "from_torch",
    "homotopy",
    "load",
    "pattern",
    "relaxation",
    "robust",
    "save",
    "scale",
    "sequential",
]
