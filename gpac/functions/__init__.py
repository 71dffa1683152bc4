"""Generable functions as circuits: an expression becomes integrators with exact start values.

`fn.sin(x)` takes any wire x that time or integrators drive (an input or a constant gives a constant) and
returns a wire whose value is sin(x(t)) for all t. Source of the systems: the table in Graca and Costa,
J. Complexity 19 (2003) 644-664, and elementary calculus.
"""

from .exponential import exp, log, power, reciprocal, rsqrt, sqrt
from .modulus import modulus_pair
from .sigmoidal import sigmoid, tanh, tanh_pair
from .trigonometric import arctan, cos, sin, sin_cos, tan

__all__ = [
    "arctan",
    "cos",
    "exp",
    "log",
    "modulus_pair",
    "power",
    "reciprocal",
    "rsqrt",
    "sigmoid",
    "sin",
    "sin_cos",
    "sqrt",
    "tan",
    "tanh",
    "tanh_pair",
]
