"""What a node of a network does: affine maps, activations, products, softmax, maxima. Values are flat vectors.

Each operation is frozen data. How it is evaluated in float64 is here; in balls, in `compile.balls`; as an
analog circuit, in `compile.schemes`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property, partial
from math import prod
from typing import Any, Literal, TypeAlias

import numpy as np

from gpac.errors import NumberError, ShapeError
from gpac.exact import exact_array, to_floats
from gpac.repeated import Repeated

from .activations import RULES, Smooth, refusal, to_delta
from .activations.maximum import Tournament, maximum_arrays, tournament
from .groups import Groups
from .planned import Planned

Matrix: TypeAlias = Any
"""A number (times the identity), a diagonal (n,), a dense array, `scipy.sparse` or `Repeated` (m, n); exact."""


@dataclass(frozen=True, eq=False)
class Affine:
    """sum of matrix @ input over the inputs, plus bias: any linear map, kept in the structure it has.

    Parameters
    ----------
    given : sequence of matrices
        One per input; none for a constant. A `Planned` one is written out when `matrices` is read.
    bias : exact array (m,) or (1,), the latter for every entry
    """

    given: tuple[Matrix, ...]
    bias: np.ndarray
    name = "affine"
    nonlinear = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "given", tuple(m if isinstance(m, Planned) else _matrix(m) for m in self.given))
        object.__setattr__(self, "bias", np.atleast_1d(exact_array(self.bias)))

    @property
    def arity(self) -> int:
        """Number of inputs."""
        return len(self.given)

    @property
    def matrices(self) -> tuple[Matrix, ...]:
        """The matrices with all their entries; planned ones are written out once."""
        if any(isinstance(m, Planned) for m in self.given):
            object.__setattr__(self, "given", tuple(_matrix(m) for m in self.given))
        return self.given

    def __reduce__(self) -> Any:
        return Affine, (self.matrices, self.bias)  # plans are functions, which are not copied

    @property
    def weight(self) -> Matrix:
        """The matrix of an affine map of one input."""
        (matrix,) = self.matrices
        return matrix

    def width(self, sizes: Sequence[int]) -> int:
        """Size of the result for inputs of these sizes."""
        rows = [_rows(matrix, size) for matrix, size in zip(self.given, sizes, strict=True)]
        if self.bias.ndim != 1 or len({*rows, len(self.bias)} - {1} | set(rows)) > 1:
            expected = f"({rows[0]},)" if len(set(rows)) == 1 else f"for terms of sizes {rows}"
            raise ShapeError(f"expected a bias of shape {expected}, got {self.bias.shape}")
        return rows[0] if rows else len(self.bias)

    def arrays(self, *rows: np.ndarray) -> np.ndarray:
        """Float64 values (B, n) of the inputs to (B, m)."""
        total: Any = to_floats(self.bias)
        for matrix, x in zip(self.matrices, rows, strict=True):
            total = total + _times(matrix, x)
        return total

    def __repr__(self) -> str:
        shapes = [m.shape[::-1] if m.ndim == 2 else (max(m.size, len(self.bias)),) for m in self.given]
        return f"Affine({', '.join(' -> '.join(map(str, s)) for s in shapes) or f'constant {len(self.bias)}'})"


@dataclass(frozen=True)
class Activation:
    """A function of every entry, by its name in `compile.activations.RULES`.

    `parameter` is what some of them take besides, exact: the exponent of "power", the offset of "rsqrt", a `Smooth`
    for functions with kinks.
    """

    name: str
    parameter: Any = None
    arity = 1

    def __post_init__(self) -> None:
        if self.name not in RULES:
            raise ShapeError(refusal(self.name))
        RULES[self.name].check(self.name, self.parameter)

    @property
    def nonlinear(self) -> bool:
        """Whether its circuit needs integrators; powers are products alone."""
        return not RULES[self.name].polynomial

    def width(self, sizes: Sequence[int]) -> int:
        """Size of the result for inputs of these sizes."""
        return sizes[0]

    def arrays(self, x: np.ndarray) -> np.ndarray:
        """Float64 values (B, n) to (B, n)."""
        return RULES[self.name].arrays(x, self.parameter)

    def __repr__(self) -> str:
        return self.name.capitalize() + (f"({self.parameter})" if self.parameter is not None else "")


Tanh = partial(Activation, "tanh")
Sigmoid = partial(Activation, "sigmoid")


@dataclass(frozen=True)
class Multiply:
    """The product of two inputs: entry by entry, or a bilinear einsum of them seen as arrays.

    `einsum` is (subscripts, shape of the first, shape of the second), e.g. ("ij,jk->ik", (2, 3), (3, 4)).
    """

    einsum: tuple[str, tuple[int, ...], tuple[int, ...]] | None = None
    name = "multiply"
    arity = 2
    nonlinear = False

    def width(self, sizes: Sequence[int]) -> int:
        """Size of the result for inputs of these sizes."""
        if self.einsum is None:
            if sizes[0] != sizes[1]:
                raise ShapeError(f"expected two values of one size to multiply, got {sizes[0]} and {sizes[1]}")
            return sizes[0]
        for size, shape in zip(sizes, self.einsum[1:], strict=True):
            if prod(shape) != size:
                raise ShapeError(f"expected a value of shape {shape} in {self.einsum[0]!r}, got {size} numbers")
        return prod(self.shape)

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """Shape of an einsum's result."""
        assert self.einsum is not None
        words, left, right = self.einsum
        letters, out = words.split("->")
        extent = dict(zip(letters.replace(",", ""), (*left, *right), strict=True))
        return tuple(extent[c] for c in out)

    def arrays(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Float64 values (B, n), (B, k) to (B, m)."""
        if self.einsum is None:
            return a * b
        words, left, right = self.einsum
        first, second, out = words.replace("->", ",").split(",")
        subscripts = f"Z{first},Z{second}->Z{out}"
        result = np.einsum(subscripts, a.reshape(-1, *left), b.reshape(-1, *right), optimize=True)
        return result.reshape(len(result), -1)

    def __repr__(self) -> str:
        return f"Multiply({self.einsum[0] if self.einsum else 'entries'})"


@dataclass(frozen=True, eq=False)
class Softmax:
    """exp(x_i) over the sum of exp(x_j) in its group, its logarithm, or the logarithm of the sum itself.

    `result` is "softmax", "log_softmax" (both keep the size) or "logsumexp" (one entry per group).
    """

    groups: Groups
    result: Literal["softmax", "log_softmax", "logsumexp"] = "softmax"
    arity = 1
    nonlinear = True

    @property
    def name(self) -> str:
        """What it is called in messages."""
        return self.result

    def width(self, sizes: Sequence[int]) -> int:
        """Size of the result for inputs of these sizes."""
        if sizes[0] != self.groups.size:
            raise ShapeError(f"expected {self.groups.size} values in {self.groups.count} groups, got {sizes[0]}")
        return self.groups.count if self.result == "logsumexp" else sizes[0]

    def arrays(self, x: np.ndarray) -> np.ndarray:
        """Float64 values (B, n) to (B, m)."""
        top = self.groups.largest(x)
        shifted = x - self.groups.spread(top)
        exp = np.exp(shifted)
        total = self.groups.sums(exp)
        if self.result == "softmax":
            return exp / self.groups.spread(total)
        return shifted - self.groups.spread(np.log(total)) if self.result == "log_softmax" else top + np.log(total)

    def __repr__(self) -> str:
        return f"{self.result.capitalize()}({self.groups.size} in {self.groups.count} groups)"


@dataclass(frozen=True, eq=False)
class Maximum:
    """The largest entry of each group, within `delta` of it (0: the maximum); see `compile.activations.maximum`."""

    groups: Groups
    delta: Fraction
    arity = 1
    nonlinear = True
    name = "max"

    def __post_init__(self) -> None:
        object.__setattr__(self, "delta", to_delta(self.delta))
        if self.groups.sizes.max() < 2:
            raise ShapeError("expected a group of at least two entries to take the largest of")

    @cached_property
    def plan(self) -> Tournament:
        """Who meets whom."""
        return tournament(self.groups)

    def width(self, sizes: Sequence[int]) -> int:
        """Size of the result for inputs of these sizes."""
        if sizes[0] != self.groups.size:
            raise ShapeError(f"expected {self.groups.size} values in {self.groups.count} groups, got {sizes[0]}")
        return self.groups.count

    def arrays(self, x: np.ndarray) -> np.ndarray:
        """Float64 values (B, n) to (B, m)."""
        return maximum_arrays(self.plan, self.delta, x)

    def __repr__(self) -> str:
        return f"Max({self.groups.size} in {self.groups.count} groups; {Smooth(self.delta)})"


Operation: TypeAlias = Affine | Activation | Multiply | Softmax | Maximum


def delta_of(operation: Operation) -> Fraction | None:
    """How far an operation may be from one with kinks that it stands for; None for all others."""
    if isinstance(operation, Maximum):
        return operation.delta
    smooth = operation.parameter if isinstance(operation, Activation) else None
    return smooth.delta if isinstance(smooth, Smooth) else None


def with_kinks(operation: Operation) -> Operation:
    """The operation with kinks that a smooth one stands for; others as they are."""
    if isinstance(operation, Maximum):
        return replace(operation, delta=Fraction(0))
    if isinstance(operation, Activation) and isinstance(operation.parameter, Smooth):
        return replace(operation, parameter=replace(operation.parameter, delta=Fraction(0)))
    return operation


def dense(weight: Any, bias: Any = None) -> Affine:
    """weight @ x + bias; without `bias` it is zero. `weight` (m, n) is an array of doubles or sparse."""
    if not hasattr(weight, "tocsr"):
        weight = np.asarray(weight, dtype=np.float64)
    if weight.ndim != 2:
        raise ShapeError(f"expected a weight matrix (m, n), got shape {weight.shape}")
    return Affine((weight,), np.zeros(weight.shape[0]) if bias is None else bias)


def scale(factor: Any, offset: Any = 0) -> Affine:
    """factor * x + offset, entry by entry: numbers, or vectors of the size of x."""
    factor = exact_array(factor)
    return Affine((factor.reshape(()) if factor.size == 1 else factor,), offset)


def _matrix(matrix: Matrix) -> Matrix:
    if isinstance(matrix, Repeated):
        data = matrix.data
    elif hasattr(matrix, "tocsr"):
        matrix = matrix.tocsr()
        data = matrix.data
    else:
        matrix = data = matrix if isinstance(matrix, np.ndarray) else exact_array(matrix)
    if data.dtype.kind not in "fO":
        matrix = matrix.astype(np.float64) if hasattr(matrix, "tocsr") else exact_array(matrix)
    if data.dtype.kind == "f" and not np.isfinite(data).all():
        dense_matrix = matrix.tocoo() if hasattr(matrix, "tocsr") else matrix
        raise NumberError(f"expected finite weights, got {_first_bad(dense_matrix)}")
    return matrix


def _first_bad(matrix: Any) -> str:
    if hasattr(matrix, "tocsr"):
        k = int(np.argmin(np.isfinite(matrix.data)))
        return f"{matrix.data[k]} at weight[{matrix.row[k]}, {matrix.col[k]}]"
    where = tuple(int(i) for i in np.argwhere(~np.isfinite(matrix))[0])
    return f"{matrix[where]} at weight{list(where)}"


def _rows(matrix: Matrix, size: int) -> int:
    if matrix.ndim > 2:
        raise ShapeError(f"expected a number, a vector or a matrix of weights, got shape {matrix.shape}")
    if matrix.ndim == 0:
        return size
    if matrix.shape[-1] != size:
        what = f"a weight matrix with {size} columns" if matrix.ndim == 2 else f"1 or {size} factors"
        raise ShapeError(f"expected {what}, got shape {matrix.shape}")
    return matrix.shape[0]


def _times(matrix: Matrix, x: np.ndarray) -> np.ndarray:
    if isinstance(matrix, Repeated):
        return matrix.on_blocks(x, 1)
    if hasattr(matrix, "tocsr"):
        return (matrix @ x.T).T
    return x @ to_floats(matrix).T if matrix.ndim == 2 else x * to_floats(matrix)
