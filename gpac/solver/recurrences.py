"""A circuit's Taylor recurrences as a flat list of operations, for the engines that generate code.

Every moving unit has entries in `now`, its coefficients of the order being computed. Units whose history is
convolved, and all states, also have entries in `series`; variables of integration have their rates k c_k in
`rates`. Units that never move (inputs, constants and what is made of them) are parameters of a trajectory.

The recurrences are those of Newton and Moore (R. E. Moore, Interval Analysis, 1966, chapter 11), with
Shannon's integral of u dv as (1/k) sum of u_{k-j} j v_j, and the integral of a u du as a half square.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..wire import Wire


@dataclass(frozen=True)
class Operand:
    """Entries [at, at + size) of `now`, or of the parameters if it is `still`.

    `series` and `rates` are the places of its history, -1 where none is kept; `degree` bounds its degree in t.
    """

    at: int
    size: int
    degree: int
    still: bool = False
    series: int = -1
    rates: int = -1


@dataclass(frozen=True)
class Term:
    """One matrix times one operand; `kind` is "plus", "minus", "scalar", "diagonal", "dense" or "sparse".

    Its numbers start at `data` in the recurrences' table; a sparse matrix has its row pointers and columns
    at `index` of the index table.
    """

    kind: str
    operand: Operand
    data: int = -1
    index: int = -1


@dataclass(frozen=True)
class Clock:
    """Time itself."""

    out: Operand


@dataclass(frozen=True)
class Sum:
    """A linear combination; `bias` is the place of its offset, -1 where there is none."""

    out: Operand
    terms: tuple[Term, ...]
    bias: int


@dataclass(frozen=True)
class Times:
    """Entrywise product of two operands."""

    out: Operand
    left: Operand
    right: Operand


@dataclass(frozen=True)
class Contract:
    """Bilinear form: entry i sums left[l] * right[r] over the pairs from pointer i to pointer i + 1.

    `index` is the place of the pointers (out.size + 1), then of all l and r in turn.
    """

    out: Operand
    left: Operand
    right: Operand
    index: int


@dataclass(frozen=True)
class Increase:
    """Integral of `integrand` over time."""

    out: Operand
    integrand: Operand


@dataclass(frozen=True)
class Follow:
    """Integral of `integrand` with respect to `variable`."""

    out: Operand
    integrand: Operand
    variable: Operand


@dataclass(frozen=True)
class Square:
    """Integral of a u du, half the square of u times a; the factors a are one number or one per entry at `data`."""

    out: Operand
    base: Operand
    factors: int
    data: int


Operation = Clock | Sum | Times | Contract | Increase | Follow | Square


@dataclass(frozen=True, eq=False)
class Recurrences:
    """What an engine needs to advance a circuit: operations in order, tables, and sizes.

    Attributes
    ----------
    operations : in the order of evaluation; `Increase` first, since it reads the order below
    data : float64 table of all weights, in double-double precision (weights, 2) with what their doubles leave out
    index : int64 table of sparse structure
    states : Operand of every integrator, side by side in the order of the circuit's state
    nonzero : entries of the state that are proven never zero
    parameters : still wires in the order of their places
    watched : operands whose polynomials are kept, in the order asked
    """

    operations: tuple[Operation, ...]
    data: np.ndarray
    index: np.ndarray
    states: tuple[Operand, ...]
    nonzero: tuple[tuple[int, int], ...]
    parameters: tuple[Wire, ...]
    watched: tuple[Operand, ...]
    now_size: int
    series_size: int
    rates_size: int

    @property
    def dim(self) -> int:
        """Dimension of the state."""
        return sum(s.size for s in self.states)

    @property
    def still_size(self) -> int:
        """Numbers per trajectory that never move."""
        return sum(w.size for w in self.parameters)

    @property
    def structure(self) -> tuple[Any, ...]:
        """Everything but the numbers: circuits of one structure share their code."""
        sizes = self.now_size, self.series_size, self.rates_size, self.still_size
        return self.operations, self.states, self.nonzero, self.watched, sizes

    @property
    def moving_watched(self) -> tuple[int, ...]:
        """Places of the series of the watched entries that move."""
        return tuple(w.series + e for w in self.watched if not w.still for e in range(w.size))

    @property
    def moving_runs(self) -> tuple[tuple[int, int, int], ...]:
        """The same in runs of neighbours: number of the first watched entry, its place, and how many they are."""
        runs: list[tuple[int, int, int]] = []
        for number, place in enumerate(self.moving_watched):
            first, at, size = runs[-1] if runs else (0, -1, 0)
            if runs and at + size == place:
                runs[-1] = (first, at, size + 1)
            else:
                runs.append((number, place, 1))
        return tuple(runs)


def operands_of(operation: Operation) -> tuple[Operand, ...]:
    """What an operation reads."""
    match operation:
        case Sum():
            return tuple(t.operand for t in operation.terms)
        case Times() | Contract():
            return operation.left, operation.right
        case Increase():
            return (operation.integrand,)
        case Follow():
            return operation.integrand, operation.variable
        case Square():
            return (operation.base,)
        case _:
            return ()


def read_now(operation: Operation) -> list[Operand]:
    """What moves and an operation reads of the present order alone; the rest it reads from histories."""
    read: tuple[Operand, ...] = ()
    match operation:
        case Sum():
            read = operands_of(operation)
        case Times() | Contract() if operation.left.still or operation.right.still:
            read = operands_of(operation)
        case Increase() if operation.integrand.series < 0:
            read = operands_of(operation)
        case Follow() if operation.integrand.still:
            read = (operation.variable,)
    return [operand for operand in read if not operand.still]
