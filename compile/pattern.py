"""The branch of every function with kinks at one input: an analytic network, exact around that input.

Where relu, abs, clip, maximum and the like have arguments that are certainly off their kinks, the network around the
input is made of their branches: relu is the identity or 0, a maximum is the entry that wins. That network has no
kinks, so every scheme compiles it, and it *is* the network wherever the same branches are taken.

A box around the input of radius r (in the maximum norm) lies in that region if every argument stays within its
branch for all inputs of the box. By induction over the nodes the network is analytic on the box up to that node, so
an argument differs from that at the input by at most r times the row sum of its Jacobian over the box (mean value
theorem). Where all branches are affine the radius is the largest there is, up to rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np

from gpac.circuit import Circuit
from gpac.errors import NumberError, ShapeError
from gpac.exact import exact_array, to_arb, to_exact
from gpac.precision import working_precision
from gpac.schedule import Schedule

from .activations import RULES, Piece
from .balls import apply
from .build import as_network, placement
from .jacobian import Jacobian, Leaves, follow
from .network import Network
from .operations import Activation, Maximum, delta_of
from .schemes import sequential
from .value import Value, affine, network_input, new_value

Ball = Any
BITS = 128
TRIES = 40


@dataclass(frozen=True)
class Condition:
    """An argument of a function with kinks stays within its branch: entry `entry` of what node `node` reads.

    low < argument < high, a missing end being None; for a maximum the entry is larger than entry `other`.
    """

    node: int
    entry: int
    low: Fraction | None = None
    high: Fraction | None = None
    other: int | None = None

    def __str__(self) -> str:
        z = f"z[{self.entry}]"
        if self.other is not None:
            return f"layer {self.node}: {z} > z[{self.other}]"
        low = "" if self.low is None else f"{float(self.low):g} < "
        high = "" if self.high is None else f" < {float(self.high):g}"
        return f"layer {self.node}: {low}{z}{high}"


@dataclass(frozen=True, eq=False)
class Pattern:
    """A network without kinks, and where it is the network that it was made of.

    Attributes
    ----------
    network : Network
        Made of branches; every scheme compiles it.
    x : tuple of exact numbers
        The input whose branches these are.
    conditions : tuple of Condition
        The two networks agree exactly where all of them hold.
    radius : Fraction
        They are proven to hold at all inputs that differ from x by at most this in every entry.
    """

    network: Network
    x: tuple[Any, ...]
    conditions: tuple[Condition, ...]
    radius: Fraction

    def compile(self, scheme: Callable[[Network], Circuit | Schedule] = sequential) -> Circuit | Schedule:
        """The network's program, which says where it is that of the network with kinks."""
        made = scheme(self.network)
        return replace(made, program=replace(made.program, region=str(self)))

    def __str__(self) -> str:
        count = len(self.conditions)
        return (
            f"the network itself where {count} argument{'s' if count != 1 else ''} of functions with kinks keep their "
            f"branch: at least within {float(self.radius):.3g} of the input given, in every entry"
        )


def pattern(network: Network, x: Any, bits: int = BITS) -> Pattern:
    """The branches that a network takes at one input, as a network without kinks.

    Parameters
    ----------
    network : Network
        With kinks: loaded with `smooth=0`, or with any delta, which plays no part.
    x : (size,) exact numbers
    bits : int
        Working precision of the proof that the input lies strictly within its branches.

    Raises
    ------
    NumberError
        If an argument is not certainly off a kink; the message names it.
    """

    entries = tuple(to_exact(v) for v in np.ravel(np.asarray(x, dtype=object)).tolist())
    if len(entries) != network.size:
        raise ShapeError(f"expected one input of {network.size} numbers for {network!r}, got {len(entries)}")
    with working_precision(bits):
        chosen = _Branches(network.original, [to_arb(v) for v in entries])
        return Pattern(chosen.network(), entries, chosen.conditions(), chosen.radius())


class _Branches:
    """The branches at one input: pieces by node for activations, winners by node for maxima."""

    def __init__(self, network: Network, x: list[Ball]) -> None:
        self.original, self.x = network, x
        self.pieces: dict[int, list[Piece]] = {}
        self.winners: dict[int, list[int]] = {}
        values = [x]
        for number, node in enumerate(network.nodes, 1):
            operands = [values[k] for k in node.inputs]
            if delta_of(node.operation) is not None:
                self._choose(number, operands[0])
            values.append(apply(node.operation, operands, network.widths[number]))

    def _choose(self, number: int, z: list[Ball]) -> None:
        operation = self.original.nodes[number - 1].operation
        if isinstance(operation, Maximum):
            groups = operation.groups.members
            self.winners[number] = [self._winner(number, z, members) for members in groups]
            return
        assert isinstance(operation, Activation)
        kinks = RULES[operation.name].kinks
        assert kinks is not None
        branches = kinks.pieces(operation.parameter)
        self.pieces[number] = [self._piece(number, i, v, branches) for i, v in enumerate(z)]

    def _piece(self, number: int, entry: int, z: Ball, branches: Sequence[Piece]) -> Piece:
        for piece in branches:
            if piece.inside(z):
                return piece
        raise NumberError(self._undecided(number, f"entry {entry} of its argument, {z.str(10)}, is not proven to be"))

    def _winner(self, number: int, z: list[Ball], members: list[int]) -> int:
        for i in members:
            if all(z[i] > z[j] for j in members if j != i):
                return i
        names = ", ".join(map(str, members[:8]))
        raise NumberError(self._undecided(number, f"the largest of its entries {names} is not proven to be"))

    def _undecided(self, number: int, what: str) -> str:
        node = self.original.nodes[number - 1]
        return (
            f"layer {number} of {self.original.name!r}, {node!r}: {what} off a kink, so the input has no pattern of "
            "branches around it; take another input, or more bits"
        )

    def network(self) -> Network:
        """The branches put together."""
        values: list[Value] = [network_input((self.original.size,))]
        for number, node in enumerate(self.original.nodes, 1):
            operands = [values[k] for k in node.inputs]
            if number in self.winners:
                values.append(operands[0].pick(np.array(self.winners[number])))
            elif number in self.pieces:
                values.append(_branch(operands[0], self.pieces[number]))
            else:
                values.append(new_value(node.operation, *operands))
        return as_network(values[-1], self.original.name, self.original.input_shape)

    def conditions(self) -> tuple[Condition, ...]:
        """What must hold for these branches to be taken."""
        found = []
        for number, node in enumerate(self.original.nodes, 1):
            for i, piece in enumerate(self.pieces.get(number, ())):
                found.append(Condition(number, i, piece.low, piece.high))
            if number in self.winners:
                assert isinstance(node.operation, Maximum)
                for i, members in zip(self.winners[number], node.operation.groups.members, strict=True):
                    found += [Condition(number, i, other=j) for j in members if j != i]
        return tuple(found)

    def radius(self) -> Fraction:
        """A radius that is proven: that of the Jacobian at the input, or the largest found by bisection below it."""
        low, high = Fraction(0), self._reach()
        if self.holds(high):
            return high
        for _ in range(TRIES):
            if low and high - low < low / 64:
                break
            middle = (low + high) / 2
            low, high = (middle, high) if self.holds(middle) else (low, middle)
        return low

    def _reach(self) -> Fraction:
        """The radius that the Jacobian at the input alone would give; a little less, to be proven."""
        smallest = 2.0**40
        for margin, slope in self._follow(Fraction(0)).margins:
            if float(slope) > 0:
                smallest = min(smallest, float(margin) / float(slope))
        return Fraction(smallest * (1 - 2.0**-20))

    def holds(self, radius: Fraction) -> bool:
        """Whether all branches are proven to be taken in the box of this radius."""
        try:
            self._follow(radius)
        except Leaves:
            return False
        return True

    def _follow(self, radius: Fraction) -> Jacobian:
        return follow(self.original, self.x, radius, self.pieces, self.winners)


def _branch(z: Value, pieces: Sequence[Piece]) -> Value:
    """The pieces, entry by entry, as few operations as they need."""
    c0, c1, c2 = (exact_array(np.array([p.polynomial[k] for p in pieces], dtype=object)) for k in range(3))
    terms: list[Any] = [(c1, z)]
    if c2.any():
        terms.append((c2, z.apply("square")))
    curved = [i for i, p in enumerate(pieces) if p.exp is not None]
    if curved:
        factors = [pieces[i].exp for i in curved]
        rates = exact_array(np.array([f[1] for f in factors if f], dtype=object))
        sizes = np.array([f[0] for f in factors if f], dtype=object)
        grown = (z.pick(np.array(curved)) * rates).apply("exp") * exact_array(sizes)
        terms.append((placement(np.array(curved), np.arange(len(curved)), (z.size, len(curved))), grown))
    return affine(terms, c0, z.shape)
