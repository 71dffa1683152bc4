"""A network's outputs over a box of inputs: affine forms with float64 coefficients and proven rounding.

Every value is c + G e + (something of size r), with one vector e of symbols in [-1, 1] for the whole network: one
for each input that is not a single number, and one for what each activation leaves out. tanh and sigmoid are cut
down to lines of the smallest slope that they have on the range: what is left is then monotone, and its range is that
of its ends, which Arb evaluates. Other operations forget what their operands have in common.
Sources: de Figueiredo and Stolfi, Numerical Algorithms 37 (2004) 147-158 (affine arithmetic); Singh, Gehr, Mirman,
Pueschel and Vechev, NeurIPS 2018 (the lines).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np

from gpac.bounds.models import TINY, UNIT, UP, Matrix, nearest
from gpac.errors import NumberError, ShapeError
from gpac.interval import ends
from gpac.precision import working_precision

from .balls import apply
from .boxes import Box
from .network import Network, last_use
from .operations import Activation, Affine, Operation

Floats = np.ndarray

UNIMODAL = {"tanh": lambda u: 1 - u * u, "sigmoid": lambda u: u * (1 - u)}
"""Activations whose slope falls on either side of 0, and the slope from the value."""
BITS = 80


@dataclass(frozen=True, eq=False)
class Zonotope:
    """Vectors c + G e + d with |e| <= 1 and |d| <= r, entry by entry.

    Attributes
    ----------
    c : float64, (n,)
    G : float64, (n, symbols)
    r : float64, (n,), >= 0
    """

    c: Floats
    G: Floats
    r: Floats

    @cached_property
    def radius(self) -> Floats:
        """Largest distance from c, (n,)."""
        return (np.abs(self.G).sum(axis=1) + self.r) * UP

    @property
    def lower(self) -> Floats:
        """No point is below, (n,)."""
        return np.nan_to_num(np.nextafter(self.c - self.radius, -np.inf), nan=-np.inf, posinf=np.inf, neginf=-np.inf)

    @property
    def upper(self) -> Floats:
        """No point is above, (n,)."""
        return np.nan_to_num(np.nextafter(self.c + self.radius, np.inf), nan=np.inf, posinf=np.inf, neginf=-np.inf)

    def below(self, one: int, others: Floats) -> Floats:
        """Lower bounds of entry `one` minus each of the others."""
        slope = np.abs(self.G[one] - self.G[others]).sum(axis=1)
        centre = self.c[one] - self.c[others]
        rounding = 4 * UNIT * (np.abs(self.c[one]) + np.abs(self.c[others]) + self.radius[one] + self.radius[others])
        return centre - (slope + self.r[one] + self.r[others] + rounding) * UP


@dataclass(frozen=True, eq=False)
class Prepared:
    """A network with its exact weights as doubles and bounds on what these leave out."""

    network: Network

    @cached_property
    def affine(self) -> dict[int, tuple[list[Matrix], tuple[Floats, Floats]]]:
        """Matrices and biases by node number."""
        found = {}
        for number, node in enumerate(self.network.nodes, 1):
            if isinstance(node.operation, Affine):
                bias = np.broadcast_to(node.operation.bias, (self.network.widths[number],))
                found[number] = [Matrix.of(m) for m in node.operation.matrices], nearest(bias)
        return found

    def over(self, low: Floats, high: Floats, upto: int | None = None) -> Zonotope:
        """Outputs (of node `upto`) for all inputs in a box of doubles (size,); nothing is lost by rounding."""
        nodes = self.network.nodes[:upto]
        last, values = last_use(self.network), [_box(low, high)]
        for number, node in enumerate(nodes, 1):
            operands = [values[k] for k in node.inputs]
            with np.errstate(over="ignore", invalid="ignore"):  # what overflows is bounded by nothing
                values.append(self._apply(number, node.operation, operands, max(v.G.shape[1] for v in values)))
            for k in node.inputs:
                if last[k] == number:
                    values[k] = Zonotope(values[k].c, np.zeros((0, values[k].G.shape[1])), values[k].r)
        return values[-1]

    def _apply(self, number: int, operation: Operation, operands: Sequence[Zonotope], symbols: int) -> Zonotope:
        if isinstance(operation, Affine):
            return _affine(*self.affine[number], operands, symbols)
        if isinstance(operation, Activation) and operation.name in UNIMODAL:
            return _curve(operation.name, operands[0], symbols)
        return _anything(operation, operands, self.network.widths[number], symbols)


def enclose_box(network: Network, low: Any, high: Any = None) -> tuple[Floats, Floats]:
    """Bounds on the network's exact outputs over all inputs between `low` and `high`.

    Parameters
    ----------
    low, high : float64, (size,)
        The box's corners, as the doubles they are. Without `high`, `low` is the box itself: a pair (low, high) of exact
        numbers, an `mpmath.iv` number, a `flint.arb` or a number for each input.

    Returns
    -------
    lower, upper : float64, (m,)

    Notes
    -----
    Affine forms: first order in the box is kept, so that small boxes give nearly the true range.

    >>> from compile import Network, Tanh, dense
    >>> network = Network(1, [dense([[1.0], [1.0]]), Tanh(), dense([[1.0, -1.0]])])   # tanh(x) - tanh(x)
    >>> lower, upper = enclose_box(network, [0.4], [0.5])
    >>> bool(-0.01 < lower[0] <= 0 <= upper[0] < 0.01)
    True
    """
    if high is None:
        low, high = _corners(network, low)
    least, most = (np.asarray(x, dtype=np.float64).reshape(-1) for x in (low, high))
    if not len(least) == len(most) == network.size:
        raise ShapeError(f"expected corners of {network.size} numbers, got {np.shape(low)} and {np.shape(high)}")
    if not (np.isfinite([least, most]).all() and (least <= most).all()):
        raise NumberError("expected finite corners with low <= high in every entry")
    out = Prepared(network).over(least, most)
    return out.lower, out.upper


def _corners(network: Network, box: Any) -> tuple[Floats, Floats]:
    """Doubles around a box."""
    entries = list(box)
    if len(entries) != network.size:
        raise ShapeError(f"expected a box of {network.size} intervals, got {len(entries)}")
    pairs = [ends(v) for v in entries]
    if not all(isinstance(v, Fraction) for pair in pairs for v in pair):
        raise NumberError("expected a box with rational ends, got symbolic constants")
    low, high = (np.array(side, dtype=object) for side in zip(*pairs, strict=True))
    return Box(low, high).doubles()


def _box(low: Floats, high: Floats) -> Zonotope:
    c = low / 2 + high / 2
    radius = np.nextafter(np.maximum(high - c, c - low), np.inf)
    wide = np.flatnonzero(high > low)
    G = np.zeros((len(c), len(wide)))
    G[wide, np.arange(len(wide))] = radius[wide]
    return Zonotope(c, G, np.where(high > low, 0.0, np.where(c == low, 0.0, radius)))


def _padded(G: Floats, symbols: int) -> Floats:
    return np.pad(G, ((0, 0), (0, symbols - G.shape[1])))


def _affine(
    matrices: list[Matrix], bias: tuple[Floats, Floats], operands: Sequence[Zonotope], symbols: int
) -> Zonotope:
    c, off = bias[0].copy(), bias[1] + TINY
    G, size, count = np.zeros((len(c), symbols)), np.abs(c), len(matrices) + 1
    for matrix, x in zip(matrices, operands, strict=True):
        columns = np.concatenate([x.c[:, None], x.G], axis=1)
        image = np.broadcast_to(matrix.times(columns[None])[0], (len(c), columns.shape[1]))
        c = c + image[:, 0]
        G[:, : x.G.shape[1]] += image[:, 1:]
        whole = ((np.abs(x.c) + x.radius) * UP)[:, None]
        size = size + np.broadcast_to(matrix.bound(whole), (len(c), 1))[:, 0]
        beside = matrix.bound(x.r[:, None]) + matrix.beside(whole)
        off = off + np.broadcast_to(beside, (len(c), 1))[:, 0]
        count += matrix.terms
    return Zonotope(c, G, (off + count * UNIT * size) * UP)


def _curve(name: str, x: Zonotope, symbols: int) -> Zonotope:
    """f(z) = slope z + something monotone, for the smallest slope on the range of z."""
    import flint

    from .activations import RULES

    n = len(x.c)
    slope, middle, rest = np.zeros(n), np.zeros(n), np.full(n, np.inf)
    f, of_value = RULES[name].ball, UNIMODAL[name]
    with working_precision(BITS):
        for i, (low, high) in enumerate(zip(x.lower.tolist(), x.upper.tolist(), strict=True)):
            if not (np.isfinite(low) and np.isfinite(high)):
                continue
            at_low, at_high = f(flint.arb(low), None), f(flint.arb(high), None)
            least = min(float(of_value(at_low).lower()), float(of_value(at_high).lower()))
            slope[i] = max(0.0, least * (1 - 2.0**-40)) if least > 1e-300 else 0.0
            below, above = (at_low - slope[i] * flint.arb(low)), (at_high - slope[i] * flint.arb(high))
            middle[i] = float(((below + above) / 2).mid())
            rest[i] = float((above - middle[i]).union(below - middle[i]).abs_upper()) * UP + TINY
    c = slope * x.c + middle
    rounding = 3 * UNIT * (slope * (np.abs(x.c) + x.radius) + np.abs(middle))
    G = np.zeros((n, symbols + n))
    G[:, : x.G.shape[1]] = slope[:, None] * x.G
    G[np.arange(n), symbols + np.arange(n)] = (rest + slope * x.r + rounding) * UP
    return Zonotope(c, G, np.full(n, TINY))


def _anything(operation: Operation, operands: Sequence[Zonotope], width: int, symbols: int) -> Zonotope:
    """Any operation on ranges, in balls."""
    import flint

    with working_precision(BITS):
        ranges = [
            [flint.arb(a).union(flint.arb(b)) for a, b in zip(x.lower.tolist(), x.upper.tolist(), strict=True)]
            for x in operands
        ]
        balls = apply(operation, ranges, width)
        c = np.array([float(b.mid()) if b.is_finite() else 0.0 for b in balls])
        wide = [
            float((b - m).abs_upper()) * UP + TINY if b.is_finite() else np.inf
            for b, m in zip(balls, c.tolist(), strict=True)
        ]
    G = np.zeros((width, symbols + width))
    G[np.arange(width), symbols + np.arange(width)] = wide
    return Zonotope(c, G, np.zeros(width))
