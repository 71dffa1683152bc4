"""Nodes of a network in the making: frozen, compared by identity."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gpac.allowance import UNIT, spend
from gpac.errors import ShapeError

from .operations import Affine, Matrix, Operation

LARGEST_VALUE = 2**22
"""Numbers in one value: 64 channels of 224 x 224 fit, or an image of 1000 x 1000 in colour."""


@dataclass(frozen=True, eq=False)
class Unit:
    """A node in the making: an operation on other units, or the network's input (no operation).

    `index` is set where entry i is entry index[i] of the one operand.
    """

    size: int
    operation: Operation | None = None
    operands: tuple[Unit, ...] = ()
    index: np.ndarray | None = None


def unit_of(operation: Operation, *operands: Unit) -> Unit:
    """An operation on units, sizes checked."""
    size = operation.width([u.size for u in operands])
    if size > LARGEST_VALUE:
        raise ShapeError(f"expected values of at most {LARGEST_VALUE} numbers, got {size}")
    given = (operation.bias, *operation.given) if isinstance(operation, Affine) else ()
    spend(sum(vector.shape[0] for vector in given if vector.ndim == 1), UNIT)
    return Unit(size, operation, operands)


def is_one(matrix: Matrix) -> bool:
    """Whether a matrix is the number 1."""
    return not hasattr(matrix, "tocsr") and matrix.ndim == 0 and matrix == 1
