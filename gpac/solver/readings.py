"""Polynomials of any wire on a step from those of the states, for engines that are not Taylor series.

Wires are sums and products of states, time and constants. Where the states are polynomials, so is every wire,
of a degree that the circuit tells; it is computed in full, so that it is as accurate as the states, meets their
values at both ends of the step, and needs no fit.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..circuit import Circuit
from ..wire import Integral, Linear, Product, Time, Wire
from .series import Array, Series


def degree(circuit: Circuit, wires: Sequence[Wire], of_states: int) -> int:
    """Largest degree in t of the wires where the states are polynomials of degree `of_states`."""
    found: dict[Wire, int] = dict.fromkeys(circuit.integrals, of_states)
    source = circuit.source
    for w in circuit.wires:
        if isinstance(w, Linear):
            found[w] = max((found[source(x)] for _, x in w.terms), default=0)
        elif isinstance(w, Product):
            found[w] = found[source(w.left)] + found[source(w.right)]
        elif not isinstance(w, Integral):
            found[w] = int(isinstance(w, Time))
    return max((found[source(w)] for w in wires), default=0)


def polynomials(
    series: Series,
    wires: Sequence[Wire],
    states: Array,
    inputs: dict[str, Array],
    begin: Array,
    unit: Array,
    top: int,
) -> Array:
    """Coefficients of wires, side by side, in powers of (t - begin) / unit.

    Parameters
    ----------
    series : Series
    wires : sequence of Wire
    states : (K + 1, block, dim, lane)
        Coefficients of the states, in these powers.
    inputs : mapping from name to (block, size, lane)
    begin, unit : (block, lane)
    top : int
        What `degree` says of the wires, or more.

    Returns
    -------
    (block, lane, top + 1, m)
    """
    xp = series.xp
    count = max(len(states), top + 1)
    c, rates = series.allocate(count - 1, len(begin))
    c[: len(states), :, : series.dim] = states
    series.values(c, inputs, begin, still=True)
    if not all(isinstance(series.circuit.source(w), Integral) for w in wires):
        for k in range(1, top + 1):
            series.order(c, rates, k, readings=True, states=False, unit=unit)
    found = [c[: top + 1, :, series.place(w)] for w in wires] or [c[: top + 1, :, :0]]
    return xp.concatenate(found, axis=2).transpose(1, 3, 0, 2)
