"""Products of power series whose coefficients become known one after the other, in integers.

Order k of a product needs all earlier orders of its factors, which may depend on earlier orders of the product. The
orders are halved again and again: when the left half of [l, r) is known, what it contributes to the right half is
one product of polynomials (flint's); inside blocks of a few orders the sums are taken term by term.
Source: Fischer and Stockmeyer, J. Comput. Syst. Sci. 9 (1974); van der Hoeven, J. Symb. Comput. 34 (2002) 479-542.

The integers stand for multiples of 2**-bits, and the series in question fall off geometrically. The factor of a
block of small terms is cut to the digits that matter beside them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from operator import mul
from typing import Any, TypeAlias

import flint

Integers: TypeAlias = list[Any]
"""Coefficients as `flint.fmpz`, in multiples of 2**-bits."""

GUARD = 8
"""A cut changes sums by at most 2**-GUARD units of the last place."""
MOST_LEVELS = 100
"""Levels of halving; a coefficient gathers two cuts at each of them and two in its own block, 202 / 256 in all."""


class Convolution:
    """Coefficients of a * b in multiples of 4**-bits, for lists that grow: order by order, with `finish` in between.

    `at(k)` needs a and b up to order k; or b up to order k with b[0] = 0, and a up to order k - 1. With
    `short`, one of the two stays a polynomial of low degree, and everything is summed term by term.
    """

    def __init__(self, a: Integers, b: Integers, bits: int, short: bool) -> None:
        self.a, self.b, self.bits, self.short = a, b, bits, short
        self.low = 0  # start of the block that is summed term by term
        self.sums: dict[int, Any] = {}
        self.cuts: list[_Cut] = []

    @property
    def loss(self) -> int:
        """How far at most `at(k)` is from the true sum, in multiples of 2**-bits."""
        return 0 if self.short else 1

    def at(self, k: int) -> Any:
        """Coefficient k, within `loss` because factors have been cut."""
        if self.short or not self.low:
            return _convolve(self.a, self.b, k)
        total = self.sums.get(k, 0)
        for cut in self.cuts:
            total = total + cut.at(k)
        return total

    def start(self, low: int, high: int) -> None:
        """The orders low .. high - 1 are next, term by term."""
        if self.short or not low:
            return
        for k in range(self.low, low):
            self.sums.pop(k, None)
        self.low = low
        pairs = (self.a, self.b), (self.b, self.a)
        self.cuts = [_Cut(small, large, low, high, self.bits) for small, large in pairs]

    def finish(self, low: int, middle: int, high: int) -> None:
        """Orders below `middle` are known: add what those from `low` on contribute to middle .. high - 1."""
        if self.short:
            return
        if not low:
            self._add(flint.fmpz_poly(self.a[:middle]) * flint.fmpz_poly(self.b[:middle]), 0, 0, middle, high)
            return
        for small, large in ((self.a, self.b), (self.b, self.a)):
            block = small[low:middle]
            shift = _shift(_sum(map(abs, block)), self.bits)
            cut = _shifted(large[: high - low], shift)
            self._add(flint.fmpz_poly(block) * flint.fmpz_poly(cut), shift, low, middle, high)

    def _add(self, product: Any, shift: int, offset: int, middle: int, high: int) -> None:
        for k, x in enumerate(product.coeffs()[middle - offset : high - offset], middle):
            self.sums[k] = self.sums.get(k, 0) + (x << shift)


class _Cut:
    """The block of one factor from order `low` on, which is growing, against the first terms of the other."""

    def __init__(self, small: Integers, large: Integers, low: int, high: int, bits: int) -> None:
        self.small, self.large, self.low, self.bits = small, large[: high - low], low, bits
        self.known, self.total = low, flint.fmpz(0)
        self._cut()

    def at(self, k: int) -> Any:
        for x in self.small[self.known : k + 1]:
            self.total = self.total + abs(x)
            self.known += 1
        if self.shift > _shift(self.total, self.bits):
            self._cut()
        return _convolve(self.small[self.low : k + 1], self.head, k - self.low) << self.shift

    def _cut(self) -> None:
        self.shift = _shift(self.total, self.bits)
        self.head = _shifted(self.large, self.shift)


def _shift(total: Any, bits: int) -> int:
    """How many bits of a factor do not matter beside a block whose magnitudes add up to `total`."""
    return max(0, bits - GUARD - total.bit_length())


def _shifted(x: Integers, shift: int) -> Integers:
    return [v >> shift for v in x] if shift else x


def _sum(x: Iterable[Any]) -> Any:
    return sum(x, flint.fmpz(0))


def in_halves(low: int, high: int, base: int) -> Iterator[tuple[int, int, int]]:
    """The blocks (low, high, 0) of at most `base` orders in turn, and after left halves (low, middle, high)."""
    if high - low <= base:
        yield low, high, 0
        return
    middle = (low + high + 1) // 2  # a right half is never longer than what lies before it: no pair counts twice
    yield from in_halves(low, middle, base)
    yield low, middle, high
    yield from in_halves(middle, high, base)


def run_online(order: int, base: int, convolutions: list[Convolution], step: Callable[[int], Any]) -> None:
    """Call `step(k)` for k = 0 .. order, or until it says so, and keep the convolutions up to date."""
    assert (order + 1).bit_length() <= MOST_LEVELS
    for low, middle, high in in_halves(0, order + 1, base):
        if high:
            for convolution in convolutions:
                convolution.finish(low, middle, high)
            continue
        for convolution in convolutions:
            convolution.start(low, middle)
        for k in range(low, middle):
            if step(k):
                return


def _convolve(a: Integers, b: Integers, k: int) -> Any:
    low, high = max(0, k - len(b) + 1), min(k, len(a) - 1)
    return _sum(map(mul, a[low : high + 1], b[k - high : k - low + 1][::-1]))
