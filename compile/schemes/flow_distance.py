"""How far the flow of a field with smooth stand-ins is from the flow of the field with kinks, for all inputs.

Let |N - N~| <= delta everywhere and m bound the logarithmic norm of N~'s Jacobian everywhere, in the largest norm. Then
the distance e of the two flows obeys e' <= m e + delta: after a time T it is at most e(0) exp(m T) +
delta (exp(m T) - 1)/m. A start network adds its own distance at the beginning; a read-out multiplies by its Lipschitz
constant and adds its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from gpac.errors import CircuitError
from gpac.program import Program

from ..field import Field
from ..network import Network
from ..ranges import SLACK, Range, logarithmic_norm, over_box
from ..uniform import uniform_distances


def stated_flow(
    program: Program, pieces: Sequence[tuple[Field, Fraction]], start: Network | None, readout: Network | None
) -> Program:
    """The program with a proven bound on that distance, where a network in it has smooth stand-ins."""
    networks = [n for n in (start, *(field.network for field, _ in pieces), readout) if n is not None]
    if not any(n.smooth for n in networks):
        return program
    with np.errstate(over="ignore", invalid="ignore"):
        distance = _apart(start) if start is not None else 0.0
        for field, duration in pieces:
            m = _logarithmic_norm(field)
            if not np.isfinite(m):
                distance = np.inf
                break
            growth = np.exp(m * float(duration) * (1 + SLACK)) * (1 + SLACK)
            gained = np.expm1(m * float(duration) * (1 + SLACK)) / m * (1 + SLACK)
            distance = (distance * growth + _apart(field.network) * gained) * (1 + SLACK)
        if readout is not None:
            steep = over_box(readout, np.inf).steepness.sum(axis=1).max()
            distance = (distance * steep + _apart(readout)) * (1 + SLACK)
    if not np.isfinite(distance):
        raise CircuitError(
            "no bound for all inputs is known on how far this flow is from that with kinks: the field or its slope is "
            "unbounded; use activations without kinks"
        )
    return program.approximating(float(distance))


def _apart(network: Network) -> float:
    return float(max(uniform_distances(network))) if network.smooth else 0.0


def _logarithmic_norm(field: Field) -> float:
    """Of the Jacobian by the state, everywhere, and not within 1e-6 of 0: a larger one gives a larger bound."""
    begin = 0
    for part in field.reads:
        if part == "state":
            break
        begin += field.held if part == "input" else 1
    found = over_box(field.network, np.inf)
    columns = slice(begin, begin + field.size)
    norm = logarithmic_norm(Range(found.size, found.low[:, columns], found.high[:, columns]))
    return norm if abs(norm) > 1e-6 else 1e-6
