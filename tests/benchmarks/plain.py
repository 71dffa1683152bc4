"""What plain interval arithmetic makes of a box: every number a ball, nothing known of how they hang together."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import flint

import gpac
from compile import Network
from compile.balls import ball_values
from compile.jacobian import follow
from gpac.exact import to_arb
from gpac.precision import working_precision
from gpac.verify.balls import BallSeries, evaluate, groups, still_entries

ORDER, BITS = 24, 96


def flow_widths(system: Any, box: list[Any], t: Fraction, steps: int) -> list[float]:
    """Widths of the outputs after so many equal Taylor steps in balls; what the series leave out is not counted."""
    circuit = system.to_circuit(free_start=True) if isinstance(system, gpac.PIVP) else system
    (name,) = circuit.inputs
    with working_precision(BITS):
        series = BallSeries(circuit, {name: box})
        state, h = series.start(), to_arb(t / steps)
        parts = groups(series)
        for number in range(steps):
            for group in parts:
                c = series.expand(state, number * h, ORDER, group, still_entries(series, group))
                for wire in group:
                    if wire in state:
                        state[wire] = [
                            x if s is None else evaluate(s, h) for x, s in zip(state[wire], c[wire], strict=True)
                        ]
        values = series.values(state, to_arb(t))
        return [2 * float(b.rad()) for w in circuit.outputs.values() for b in values[circuit.source(w)]]


def forward_widths(network: Network, centre: list[float], radius: float) -> list[float]:
    """Widths of a network's outputs, layer after layer in balls."""
    with working_precision(BITS):
        return [2 * float(b.rad()) for b in ball_values(network, [flint.arb(c, radius) for c in centre])[-1]]


def mean_value_widths(network: Network, centre: list[float], radius: float) -> list[float]:
    """The same by the mean value form: f(c) + J (x - c), with the Jacobian over the box in balls."""
    with working_precision(BITS):
        found = follow(network, [flint.arb(c) for c in centre], Fraction(radius), {}, {})
        return [float(2 * to_arb(radius) * sum((abs(v).upper() for v in row), flint.arb(0))) for row in found.rows[-1]]
