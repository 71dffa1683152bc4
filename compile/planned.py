"""Sparse matrices that are written out when something reads their entries, not when a file is loaded.

A convolution of a few weights has an entry for every weight and every place of the image: a file of 10 KB may declare
a matrix of 1 GB. Loading needs its shape alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, eq=False)
class Planned:
    """A sparse matrix of doubles of this shape with `nnz` stored entries, which `build` makes."""

    shape: tuple[int, int]
    nnz: int
    build: Callable[[], Any]
    ndim = 2

    def tocsr(self) -> Any:
        """The matrix written out."""
        return self.build().tocsr()
