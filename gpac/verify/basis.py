"""The symbols of one part: those of the inputs, or, where these are more, one for each number they act through."""

from __future__ import annotations

import flint

from ..precision import working_precision
from .affine import Symbols, size
from .matrix import Ball


class Basis:
    """Rows of a part's start values and constants, over as few symbols as possible.

    Parameters
    ----------
    sources : rows over the symbols of the inputs; None for numbers without

    Attributes
    ----------
    rows : the same over the part's own symbols, zeros for numbers without
    count : how many symbols the part has

    Notes
    -----
    A neuron that reads one sum of 784 inputs needs one symbol, (sum of a_l e_l) / sum of |a_l|, which is put back
    afterwards. Taking the a_l e_l of several such sums for independent makes no difference to first order.
    """

    def __init__(self, sources: list[Symbols]) -> None:
        with working_precision(64):
            wide = [k for k, row in enumerate(sources) if row is not None and size(row) > 0]
            self.sources = [sources[k] or [] for k in wide]
            symbols = range(len(self.sources[0])) if wide else range(0)
            used = [e for e in symbols if any(row[e] != 0 for row in self.sources)]
            self.used, self.own = used, len(used) > len(wide)
            self.count = len(wide) if self.own else len(used)
            zero = flint.arb(0)
            self.rows = [[zero] * self.count for _ in sources]
            self.sizes = [size(row) for row in self.sources]
            for number, k in enumerate(wide):
                if self.own:
                    self.rows[k][number] = self.sizes[number]
                else:
                    self.rows[k] = [self.sources[number][e] for e in used]

    def back(self, row: list[Ball]) -> tuple[Symbols, Ball]:
        """A row over the symbols of the inputs, and what rounding adds."""
        new = [flint.arb(0)] * len(self.sources[0])
        with working_precision(64):
            if not self.own:
                for e, x in zip(self.used, row, strict=True):
                    new[e] = x
                return new, flint.arb(0)
            for x, source, all_of_it in zip(row, self.sources, self.sizes, strict=True):
                if x != 0:
                    new = [a + x * b / all_of_it for a, b in zip(new, source, strict=True)]
            return [a.mid() for a in new], sum((a.rad() for a in new), flint.arb(0)).upper()
