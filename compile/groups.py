"""Entries of a vector in groups: the rows over which a softmax runs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from gpac.errors import ShapeError


@dataclass(frozen=True, eq=False)
class Groups:
    """Entry i belongs to group labels[i]; labels are 0, ..., count - 1, none of them empty."""

    labels: np.ndarray

    def __post_init__(self) -> None:
        labels = np.asarray(self.labels)
        if labels.ndim != 1 or labels.dtype.kind not in "iu" or not labels.size:
            raise ShapeError(f"expected a vector of group numbers, got shape {labels.shape} of {labels.dtype}")
        if labels.min() < 0 or labels.max() >= labels.size or not np.bincount(labels).all():
            raise ShapeError("expected group numbers 0, 1, ... without a gap")
        object.__setattr__(self, "labels", labels)

    @property
    def size(self) -> int:
        """Number of entries."""
        return len(self.labels)

    @cached_property
    def sizes(self) -> np.ndarray:
        """Entries in every group (count,)."""
        return np.bincount(self.labels)

    @property
    def count(self) -> int:
        """Number of groups."""
        return len(self.sizes)

    @cached_property
    def members(self) -> list[list[int]]:
        """Places of the entries of every group."""
        order = np.argsort(self.labels, kind="stable")
        return [part.tolist() for part in np.split(order, np.cumsum(self.sizes)[:-1])]

    @cached_property
    def summing(self) -> Any:
        """Sparse (count, size): the sum over every group."""
        from scipy.sparse import csr_matrix

        return csr_matrix((np.ones(self.size), (self.labels, np.arange(self.size))), (self.count, self.size))

    @cached_property
    def spreading(self) -> Any:
        """Sparse (size, count): a group's number for each of its entries."""
        return self.summing.T.tocsr()

    def sums(self, x: np.ndarray) -> np.ndarray:
        """(B, size) to (B, count)."""
        return (self.summing @ x.T).T

    def largest(self, x: np.ndarray) -> np.ndarray:
        """(B, size) to (B, count): the largest entry of every group."""
        order = np.argsort(self.labels, kind="stable")
        begins = np.concatenate([[0], np.cumsum(self.sizes)[:-1]])
        return np.maximum.reduceat(x[:, order], begins, axis=1) if len(x) else np.zeros((0, self.count))

    def spread(self, values: np.ndarray) -> np.ndarray:
        """(B, count) to (B, size)."""
        return values[:, self.labels]
