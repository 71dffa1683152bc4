"""The same units started elsewhere: a copy of some wires whose integrators begin at other values.

A phase of a schedule goes on where an earlier one stopped: its integrators start at what that one handed on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..graph import operands
from ..wire import Forward, Integral, Linear, Product, Start, Wire, source


def integrators(wires: Sequence[Wire], stops: Iterable[Wire] = ()) -> list[Integral]:
    """The integrators that `wires` are made of, in an order that depends on their structure alone.

    What feeds a wire of `stops` is left out. Start values are not followed.
    """
    return [w for w in _between(wires, stops) if isinstance(w, Integral)]


def restarted(
    wires: Sequence[Wire], initial: Mapping[Wire, np.ndarray | Start], stops: Iterable[Wire] = ()
) -> list[Wire]:
    """Copies of `wires` in which the integrators of `initial` start there, back to the wires of `stops`.

    The wires of `stops`, and what feeds them, stay as they are and are shared with the originals.

    >>> import gpac
    >>> y = gpac.wire("y")
    >>> y.define(gpac.integral(y, initial=1, name="y"))
    <integrator 'y'>
    >>> (copy,) = restarted([y], {source(y): np.array([2.0])})
    >>> gpac.solve(gpac.Circuit({"y": copy}), t=1, tol=1e-12).outputs.round(6)
    array([5.436564])
    """
    inner = [w for w in _between(wires, stops) if isinstance(w, (Linear, Product, Integral))]
    fresh: dict[Wire, Forward] = {w: Forward(w.size, name=w.name, signs=w.signs) for w in inner}

    def copy(w: Wire) -> Wire:
        return fresh.get(source(w), w)

    for w, forward in fresh.items():
        forward.define(_rewired(w, copy, initial))
    return [copy(w) for w in wires]


def _rewired(w: Wire, copy: Any, initial: Mapping[Wire, np.ndarray | Start]) -> Wire:
    if isinstance(w, Linear):
        return replace(w, terms=tuple((m, copy(x)) for m, x in w.terms))
    if isinstance(w, Product):
        return replace(w, left=copy(w.left), right=copy(w.right))
    assert isinstance(w, Integral)
    return replace(w, integrand=copy(w.integrand), variable=copy(w.variable), initial=initial.get(w, w.initial))


def _between(wires: Sequence[Wire], stops: Iterable[Wire]) -> list[Wire]:
    """Units reached from `wires` without passing a stop, depth first in the order of their operands."""
    ends = {source(w) for w in stops} | set(stops)
    found: dict[Wire, None] = {}
    stack = list(reversed(wires))
    while stack:
        w = stack.pop()
        while isinstance(w, Forward) and w not in ends and w.target:
            w = w.target[0]
        if w not in ends and w not in found:
            found[w] = None
            needs = operands(w)[:2] if isinstance(w, Integral) else operands(w)
            stack += reversed(needs)
    return list(found)
