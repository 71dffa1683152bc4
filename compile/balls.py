"""Direct evaluation of a network in ball arithmetic: the judge that knows nothing of differential equations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np

from gpac.errors import NumberError, ShapeError
from gpac.exact import to_arb, to_exact
from gpac.verify.proof import balls_contain, proven_digits, to_mpf_exactly

from .network import Dense, Layer, Network, Scale, Tanh

Ball = Any


@dataclass(frozen=True, eq=False)
class Enclosure:
    """Balls around the network's exact outputs, as mpmath numbers; same readings as `gpac.Proof`."""

    balls: tuple[Ball, ...]
    bits: int

    @property
    def mid(self) -> tuple[Any, ...]:
        """Midpoints, exact."""
        return tuple(to_mpf_exactly(b.mid()) for b in self.balls)

    @property
    def rad(self) -> tuple[Any, ...]:
        """Radii, exact."""
        return tuple(to_mpf_exactly(b.rad()) for b in self.balls)

    @property
    def digits(self) -> int:
        """Largest D such that every radius is at most 10**-D."""
        return proven_digits(self.balls)

    def contains(self, values: Any) -> bool:
        """Whether each number given lies in its ball for certain."""
        return balls_contain(self.balls, values, self.bits)

    def overlaps(self, other: Any) -> bool:
        """Whether every ball meets its counterpart in another enclosure or proof."""
        return all(a.overlaps(b) for a, b in zip(self.balls, other.balls, strict=True))


def enclose_forward(network: Network, x: Any, digits: int = 50, max_bits: int = 1 << 16) -> Enclosure:
    """The network's exact real outputs at one input, each in a ball of radius below 10**-digits.

    Parameters
    ----------
    x : (size,) exact numbers
        Floats are the dyadics that they are.
    """
    import flint

    entries = _entries(network, x)
    bits = ceil(digits * 3.3219280948873626) + 32
    while bits <= max_bits:
        with flint.ctx.workprec(bits):
            values = [to_arb(v) for v in entries]
            for layer in network.layers:
                values = _apply(layer, values)
        if all(b.is_finite() for b in values) and proven_digits(tuple(values)) >= digits:
            return Enclosure(tuple(values), bits)
        bits = ceil(1.5 * bits)
    raise NumberError(f"{digits} digits of {network!r} need more than {max_bits} bits; raise max_bits")


def _entries(network: Network, x: Any) -> list[Any]:
    entries = np.ravel(np.asarray(x, dtype=object)).tolist()
    if len(entries) != network.size:
        raise ShapeError(f"expected one input of {network.size} numbers for {network!r}, got {len(entries)}")
    return [to_exact(v) for v in entries]


def ball_vector(x: Any) -> list[Ball]:
    """Exact numbers or balls as balls at the working precision."""
    return [v if type(v).__name__ == "arb" else to_arb(v) for v in list(x)]


def linear_balls(layers: Sequence[Dense | Scale], values: list[Ball]) -> list[Ball]:
    """Linear layers applied to balls."""
    for layer in layers:
        values = _apply(layer, values)
    return values


def _apply(layer: Layer, values: list[Ball]) -> list[Ball]:
    import flint

    if isinstance(layer, Dense):
        column = flint.arb_mat(len(values), 1, values)
        rows, columns = layer.weight.shape
        sums = (flint.arb_mat(rows, columns, layer.weight.ravel().tolist()) * column).entries()
        return [s + to_arb(b) for s, b in zip(sums, layer.bias.tolist(), strict=True)]
    if isinstance(layer, Scale):
        factor, offset = (np.broadcast_to(a, (len(values),)).tolist() for a in (layer.factor, layer.offset))
        return [v * to_arb(a) + to_arb(b) for v, a, b in zip(values, factor, offset, strict=True)]
    if isinstance(layer, Tanh):
        return [v.tanh() for v in values]
    return [1 / (1 + (-v).exp()) for v in values]
