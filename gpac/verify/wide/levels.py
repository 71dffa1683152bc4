"""Levels of a part: units that wait for each other together, after all that they read.

A deep network is a cascade: a layer reads the layers below it and none of those above. What is known of one level over
a step is known before the next is looked at. A part without such an order is one level.
Source: strongly connected components in topological order, Tarjan, SIAM J. Comput. 1 (1972) 146-160.
"""

from __future__ import annotations

from ...wire import Linear, Wire
from ..balls import BallSeries, Group


def read_by(series: BallSeries, w: Wire) -> list[Wire]:
    """The units that a unit reads."""
    if isinstance(w, Linear):
        return [x for _, x in series.matrices[w]]
    return list(series.sides.get(w, ()))


def levels(series: BallSeries, group: Group) -> list[Group]:
    """The part cut into levels, each after those that it reads; within a level in the part's own order."""
    reads = {w: [x for x in read_by(series, w) if x in group] for w in group}
    number = {w: n for n, w in enumerate(group)}
    return [{w: group[w] for w in sorted(found, key=number.__getitem__)} for found in _components(reads)]


def _components(reads: dict[Wire, list[Wire]]) -> list[list[Wire]]:
    """Tarjan's algorithm without recursion; components come after those that they read."""
    seen: dict[Wire, int] = {}
    lowest: dict[Wire, int] = {}
    stack: list[Wire] = []
    on_stack: set[Wire] = set()
    found: list[list[Wire]] = []
    for root in reads:
        path = [] if root in seen else [(root, iter(reads[root]))]
        while path:
            w, rest = path[-1]
            if w not in seen:
                seen[w] = lowest[w] = len(seen)
                stack.append(w)
                on_stack.add(w)
            x = next(rest, None)
            if x is None:
                path.pop()
                if path:
                    lowest[path[-1][0]] = min(lowest[path[-1][0]], lowest[w])
                if lowest[w] == seen[w]:
                    cut = stack.index(w)
                    found.append(stack[cut:])
                    on_stack.difference_update(stack[cut:])
                    del stack[cut:]
            elif x not in seen:
                path.append((x, iter(reads[x])))
            elif x in on_stack:
                lowest[w] = min(lowest[w], seen[x])
    return found
