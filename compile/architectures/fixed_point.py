"""The outputs of an equilibrium network in balls, by its equation alone: the judge of its flow."""

from __future__ import annotations

from typing import Any

import numpy as np

from gpac.errors import NumberError
from gpac.exact import to_arb, to_exact, to_floats
from gpac.precision import working_precision

from ..activations import RULES
from ..balls import Enclosure, apply, ball_vector
from .equilibrium import Contraction, Equilibrium, contraction, residual

Ball = Any


def enclose_equilibrium(model: Equilibrium, x: Any, digits: int = 50) -> Enclosure:
    """The network's exact outputs at one input, by Newton-like steps and the certificate: no differential equation.

    Parameters
    ----------
    x : (p,) exact numbers
    """
    import flint

    proof = contraction(model)
    bits = int(3.33 * digits) + 64
    while bits < 1 << 16:
        with working_precision(bits):
            z, far = _fixed_point(model, proof, ball_vector([to_exact(v) for v in x]), digits)
            balls = [v + flint.arb(0, (far * to_arb(s)).abs_upper()) for v, s in zip(z, proof.scaling, strict=True)]
            values = [RULES[model.activation].ball(v, None) for v in balls]
            out = apply(model.last, [values], model.last.width([model.size]))
            found = Enclosure(tuple(out), bits)
            if found.digits >= digits:
                return found
        bits *= 2
    raise NumberError(f"{digits} digits of the equilibrium need more than {bits} bits")


def _fixed_point(model: Equilibrium, proof: Contraction, x: list[Ball], digits: int) -> tuple[list[Ball], Ball]:
    """A point near z*, exact, and a bound on how far it is in the certificate's norm."""
    import flint

    inverse = flint.arb_mat(model.size, model.size, _float_inverse(model, x).ravel().tolist())
    z = [to_arb(v) for v in _float_point(model, x).tolist()]
    best = None
    for _ in range(60 + digits):
        missing = residual(model, z, x)
        far = proof.norm(missing) / (1 - proof.m)
        if best is not None and not far.abs_upper() < best[1].abs_upper():
            break
        best = z, far
        change = (inverse * flint.arb_mat(model.size, 1, missing)).entries()
        z = [(a + b).mid() for a, b in zip(z, change, strict=True)]
    assert best is not None
    return best


def _float_point(model: Equilibrium, x: list[Ball]) -> np.ndarray:
    """z* in float64, by the flow's damped iteration."""
    W, c = model.recurrent, model.incoming @ np.array([float(v.mid()) for v in x]) + to_floats(model.bias)
    damping = 1 / (1 + max(0.0, -float(np.diag(W).min())) * float(model.slope.upper()))
    z = np.zeros(model.size)
    for _ in range(10_000):
        change = W @ RULES[model.activation].arrays(z, None) + c - z
        z = z + damping * change
        if np.abs(change).max() <= 1e-15 * (1 + np.abs(z).max()):
            break
    return z


def _float_inverse(model: Equilibrium, x: list[Ball]) -> np.ndarray:
    """About (I - W s'(z*))^-1, for Newton's step."""
    z, small = _float_point(model, x), 1e-6
    arrays = RULES[model.activation].arrays
    slopes = (arrays(z + small, None) - arrays(z - small, None)) / (2 * small)
    return np.linalg.inv(np.eye(model.size) - model.recurrent * slopes)
