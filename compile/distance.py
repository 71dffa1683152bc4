"""How far a network with smooth stand-ins is from the network with kinks, proven, for one input, a box or all inputs.

Every value is followed as a pair of balls, v around the value in the network with kinks and d around how much larger
it is in the smooth one, over all inputs allowed:

    affine map                 d -> W d
    product a b                d -> b d_a + a d_b + d_a d_b
    activation f               d -> gap(v + d) + slope d,   slope: all slopes of f between v and v + d
    softmax p                  d_i -> p_i (d_i - sum_j p_j d_j)                        (mean value theorem)
    maximum                    the d of who wins for certain, else around both; plus what a round loses

The gap (stand-in minus function) is that at the argument itself, which is far below delta away from the kinks. For
one input this is compared with the plain difference of both networks in balls, and the narrower ball is taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from math import inf
from typing import Any

import numpy as np

from gpac.errors import ShapeError
from gpac.exact import to_arb, to_exact
from gpac.precision import working_precision
from gpac.program import Program

from .activations import RULES
from .activations.maximum import loss
from .activations.smooth import hull
from .balls import Enclosure, apply, ball_values
from .network import Network, last_use
from .operations import Activation, Affine, Maximum, Multiply, Operation, Softmax, with_kinks
from .slopes import slope_over
from .uniform import uniform_distances

Ball = Any
BITS = 128


@dataclass(frozen=True, eq=False)
class Distance(Enclosure):
    """Balls around smooth network minus network with kinks, one per output, for all inputs asked about."""

    @property
    def bound(self) -> Any:
        """No output differs by more than this (an mpmath number, inf where no bound is known)."""
        import mpmath

        if not all(b.is_finite() for b in self.balls):
            return mpmath.inf
        largest = self.balls[0].abs_upper()
        for ball in self.balls[1:]:
            largest = ball.abs_upper() if ball.abs_upper() > largest else largest
        return replace(self, balls=(largest,)).mid[0]


def distance(network: Network, x: Any = None, bits: int = BITS) -> Distance:
    """A proven enclosure of the network's outputs minus those of the network with kinks that it stands for.

    Parameters
    ----------
    network : Network
        Loaded with `smooth=delta`.
    x : (size,) exact numbers or balls (`flint.arb`), optional
        One input; a ball stands for all numbers in it. Left out: every input there is, see `compile.uniform`; for
        products of unbounded values there is no such bound.
    bits : int
        Working precision.

    Returns
    -------
    Distance
        `.bound` is the largest size, `.balls` say also in which direction.
    """
    import flint

    with working_precision(bits):
        if x is None:
            return Distance(tuple(flint.arb(0, float(e)) for e in uniform_distances(network)), bits)
        return Distance(tuple(_differences(network, _start(network, x))), bits)


def _start(network: Network, x: Any) -> list[Ball]:
    import flint

    entries = np.ravel(np.asarray(x, dtype=object)).tolist()
    if len(entries) != network.size:
        raise ShapeError(f"expected one input of {network.size} numbers for {network!r}, got {len(entries)}")
    return [v if isinstance(v, flint.arb) else to_arb(to_exact(v)) for v in entries]


@dataclass(frozen=True, eq=False)
class _Pair:
    """Balls around values with kinks, and around how much larger the smooth ones are."""

    value: list[Ball]
    more: list[Ball]

    @cached_property
    def smooth(self) -> list[Ball]:
        return [v + d for v, d in zip(self.value, self.more, strict=True)]

    @cached_property
    def between(self) -> list[Ball]:
        return [v.union(w) for v, w in zip(self.value, self.smooth, strict=True)]


def _differences(network: Network, x: list[Ball]) -> list[Ball]:
    last = last_use(network)
    pairs: list[Any] = [_Pair(x, [to_arb(0)] * len(x))]
    for number, node in enumerate(network.nodes, 1):
        operands = [pairs[k] for k in node.inputs]
        width = network.widths[number]
        value = apply(with_kinks(node.operation), [p.value for p in operands], width)
        pairs.append(_Pair(value, _more(node.operation, operands, width)))
        for k in node.inputs:
            if last[k] == number:
                pairs[k] = None
    found = pairs[-1].more
    if not all(v.is_exact() for v in x):
        return found
    smooth, kinked = (ball_values(n, x)[-1] for n in (network, network.original))
    return [_narrower(d, a - b) for d, a, b in zip(found, smooth, kinked, strict=True)]


def _narrower(a: Ball, b: Ball) -> Ball:
    """What two enclosures of one number leave."""
    if not a.is_finite() or not b.is_finite():
        return b if b.is_finite() else a
    return a.intersection(b)


def _more(operation: Operation, operands: Sequence[_Pair], width: int) -> list[Ball]:
    if isinstance(operation, Affine):
        return apply(replace(operation, bias=np.zeros(1)), [p.more for p in operands], width)
    if isinstance(operation, Multiply):
        a, b = operands
        terms = [apply(operation, pair, width) for pair in ((a.more, b.value), (a.smooth, b.more))]
        return [s + t for s, t in zip(*terms, strict=True)]
    (z,) = operands
    if isinstance(operation, Softmax):
        return _softmax(operation, z)
    if isinstance(operation, Maximum):
        return _maximum(operation, z)
    return [_activation(operation, w, between, d) for w, between, d in zip(z.smooth, z.between, z.more, strict=True)]


def _activation(operation: Activation, smooth: Ball, between: Ball, more: Ball) -> Ball:
    rule, parameter = RULES[operation.name], operation.parameter
    gap = rule.kinks.gap(smooth, parameter) if rule.kinks is not None else to_arb(0)
    return gap if more.is_zero() else gap + slope_over(rule, parameter, between) * more


def _softmax(operation: Softmax, z: _Pair) -> list[Ball]:
    if all(d.is_zero() for d in z.more):
        return [to_arb(0)] * operation.width([len(z.more)])
    p = shares(operation, z.between)
    out: list[Any] = [None] * len(z.more)
    means = []
    for members in operation.groups.members:
        whole = hull([z.more[i] for i in members])
        mean = sum((p[i] * z.more[i] for i in members), to_arb(0))
        means.append(_narrower(mean, whole) if whole.is_finite() else mean)
        for i in members:
            apart = z.more[i] - means[-1]
            out[i] = p[i] * apart if operation.result == "softmax" else apart
    return means if operation.result == "logsumexp" else out


def shares(operation: Softmax, values: list[Ball]) -> list[Ball]:
    """Softmax over balls: p_i = 1/(1 + sum over j of exp(z_j - z_i)), within [0, 1]."""
    whole = to_arb(Fraction(1, 2)).union(to_arb(0)).union(to_arb(1))
    out: list[Any] = [None] * len(values)
    for members in operation.groups.members:
        for i in members:
            others = sum(((values[j] - values[i]).exp() for j in members if j != i), to_arb(1))
            share = 1 / others
            out[i] = share.intersection(whole) if share.is_finite() else whole
    return out


def _maximum(operation: Maximum, z: _Pair) -> list[Ball]:
    """Both tournaments at once, on triples (value, smooth value, how much larger)."""
    plan, delta = operation.plan, operation.delta

    def meet(first: list[Any], second: list[Any], idle: list[Any]) -> list[Any]:
        return [_match(a, b) for a, b in zip(first, second, strict=True)] + idle

    def _match(a: Any, b: Any) -> Any:
        (v, w, d), (s, t, f) = a, b
        lost = loss(plan, delta, w - t)
        more = lost + (d if v > s and w > t else f if v < s and w < t else d.union(f))
        value = v.max(s)
        return value, w.max(t) + lost, more

    triples = list(zip(z.value, z.smooth, z.more, strict=True))
    winners = plan.play(triples, lambda values, places: [values[i] for i in places], meet)
    return [more + to_arb(delta) for _, _, more in winners]


@dataclass(frozen=True, eq=False)
class Nearby:
    """What a compiled program knows of the network with kinks that its own stands for: `gpac.program.Near`."""

    network: Network
    kind = "kinks"

    def bound(self) -> float:
        """Upper bound on all of them, for any input; inf where there is none."""
        return float(max(uniform_distances(self.network)))

    def differences(self, inputs: dict[str, Any], bits: int) -> tuple[Ball, ...]:
        """Balls around the outputs minus those of the network with kinks."""
        return distance(self.network, inputs["x"], max(bits, BITS)).balls


def stated(program: Program, network: Network) -> Program:
    """The program with what is to be said of the distance, where the network has smooth stand-ins."""
    if not network.smooth:
        return program
    near = Nearby(network)
    bound = near.bound()
    return program.approximating(bound if bound < inf else None, near)
