"""Architectures read as differential equations: vector fields, and networks that are their discretisations."""

from .bounds import Growth, euler_bound, growth
from .equilibrium import Contraction, Equilibrium, contraction
from .fields import activation_inside, activation_outside, inside_in_time, outside_in_time, switched, two_layers
from .fixed_point import enclose_equilibrium
from .fractal import HEUN, MIDPOINT, Fractal
from .gap import Gap, measure_gap
from .hamiltonian import antisymmetric_field, canonical, energy, hamiltonian_field, separable
from .momentum import momentum_field, momentum_inverse, momentum_resnet
from .multistep import lm_limit, lm_resnet, root_condition
from .polynet import poly_nested, poly_sum
from .recurrent import gru_field, hidden_state, lstm_field
from .relaxed import equilibrium
from .revnet import coupled, revnet, revnet_inverse
from .steps import euler, resnet, unrolled

__all__ = [
    "HEUN",
    "MIDPOINT",
    "Contraction",
    "Equilibrium",
    "Fractal",
    "Gap",
    "Growth",
    "activation_inside",
    "activation_outside",
    "antisymmetric_field",
    "canonical",
    "contraction",
    "coupled",
    "enclose_equilibrium",
    "energy",
    "equilibrium",
    "euler",
    "euler_bound",
    "growth",
    "gru_field",
    "hamiltonian_field",
    "hidden_state",
    "inside_in_time",
    "lm_limit",
    "lm_resnet",
    "lstm_field",
    "measure_gap",
    "momentum_field",
    "momentum_inverse",
    "momentum_resnet",
    "outside_in_time",
    "poly_nested",
    "poly_sum",
    "resnet",
    "revnet",
    "revnet_inverse",
    "root_condition",
    "separable",
    "switched",
    "two_layers",
    "unrolled",
]
