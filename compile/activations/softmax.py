"""Softmax, its logarithm and log-sum-exp as integrators.

With o = z - (a constant of each group) and S = sum over the group of the integral of p do, the system is
dp = p (do - dS), p = 1/n at z = 0: S is log-sum-exp(o) - ln n, and p keeps its *relative* accuracy however small it
gets. The shift by the group's mean makes S >= 0, so that an error in the sum of the p's, which goes like exp(-S),
is not amplified over the whole path.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from gpac.exact import exact_array
from gpac.functions.start import start
from gpac.program import Invariant
from gpac.wire import Forward, Wire, integral, linear, wire

from ..groups import Groups
from .rule import Carried, Setting


def softmax_circuit(groups: Groups, result: str, z: Wire, setting: Setting) -> Carried:
    """The circuit of a `Softmax` operation for a z that starts at 0."""
    label = setting.label
    sizes = groups.sizes[groups.labels]
    averaging = groups.summing.multiply(1 / sizes[None, :]).tocsr()  # any shift will do: 1/n may be rounded
    mean = linear([(averaging, z)])
    o = linear([(1, z), (-groups.spreading, mean)])
    p = wire(f"p{label}", z.size)
    area = integral(p, o, 0, name=f"area{label}")
    grown = linear([(groups.summing, area)])
    log_p = linear([(1, o), (-groups.spreading, grown)])
    uniform = exact_array(np.array([Fraction(1, int(n)) for n in sizes], dtype=object))
    if setting.start("exp", o, None) is not None:
        return _from_anywhere(groups, result, mean, p, (o, grown), label)
    p.define(integral(p, log_p, uniform, name=f"p{label}", signs="+"))
    whole = Invariant(f"sum of p{label}", linear([(groups.summing, p)]), Fraction(1))
    if result == "softmax":
        return Carried(linear([(1, p)], -uniform), uniform, (whole,))
    logs = _logs(groups.sizes)
    if result == "log_softmax":
        return Carried(log_p, -logs[groups.labels], (whole,))
    return Carried(linear([(1, mean), (1, grown)]), logs, (whole,))


def _from_anywhere(groups: Groups, result: str, mean: Wire, p: Forward, path: tuple[Wire, Wire], label: str) -> Carried:
    """The same for a z that starts anywhere: what S is there is held by integrators that stand still."""
    o, grown = path
    powers = integral(0, None, start("exp", o), name=f"exp{label}", signs="+")
    total = linear([(groups.summing, powers)])
    grown = linear([(1, grown), (1, integral(0, None, start("log", total), name=f"log{label}"))])
    log_p = linear([(1, o), (-groups.spreading, grown)])
    p.define(integral(p, log_p, start("exp", log_p), name=f"p{label}", signs="+"))
    whole = Invariant(f"sum of p{label}", linear([(groups.summing, p)]), Fraction(1))
    part = {"softmax": p, "log_softmax": log_p}.get(result) or linear([(1, mean), (1, grown)])
    return Carried(part, 0, (whole,))


def _logs(sizes: np.ndarray) -> np.ndarray:
    import sympy

    return np.array([Fraction(0) if n == 1 else sympy.log(int(n)) for n in sizes], dtype=object)
