"""Flow: neural ODEs h' = N(h), the network N a vector field, exactly and from rational start values.

Along the flow every activation follows its argument: for h' = A2 tanh(A1 h + b) the pair of u = tanh(A1 h + b) obeys
du = d dz, dd = -2u du with dz = A1 dh. At the start u is tanh(A1 h0 + b), which is no polynomial of h0: phases of
their own, layer after layer as in the sequential scheme, run every activation from its rational start value to where
the flow begins, and hand the states of its integrators on. Where weights jump, h stays as it is and the activations
that jump with them are run again; those whose argument has not changed go on (in h' = w tanh(h) + b none jumps).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

import numpy as np

from gpac.circuit import Circuit
from gpac.errors import NumberError, ShapeError
from gpac.exact import to_exact
from gpac.functions.start import start as started
from gpac.program import Program
from gpac.schedule import Phase, Schedule
from gpac.wire import Wire, inputs, integral, linear, time, wire

from ..field import Field, as_field, clock
from ..network import Network
from ..operations import Affine, Softmax
from ..value import selection
from .flow_distance import stated_flow
from .stages import Known, driven, stages


def flow(
    vector_field: Network | Field | Sequence[tuple[Network | Field, Any]],
    duration: Any = 1,
    *,
    start: Network | None = None,
    readout: Network | None = None,
    augment: int = 0,
) -> Circuit | Schedule:
    """Compile a neural ODE: the output "y" is h(T), or readout(h(T)), for h' = N(h) from the input "x".

    Parameters
    ----------
    vector_field : Network (n -> n), `Field`, or a sequence of (Network or Field, duration)
        The right side. A `Field` may read the input x and the time t besides the state h; a sequence gives weights
        that are constant piece by piece, t running on from piece to piece.
    duration : exact positive number
        T, the time of the flow; not with a sequence, which has its own.
    start : Network, optional
        h(0) = start(x); without it h(0) = x.
    readout : Network, optional
        What is read of the state at the end.
    augment : int
        Extra dimensions of the state that start at 0 (augmented neural ODEs).

    Returns
    -------
    Schedule
        Phases of duration 1 that make start values, then the flow; the program is exact. A `Circuit` if one phase
        does it all: a field, a start and a readout without activations.

    Notes
    -----
    Dupont, Doucet and Teh, Augmented Neural ODEs (NeurIPS 2019). The states h and (u, d) have dimension n + 2m for m
    neurons; where d = 1 - u^2 is eliminated, n + m.

    >>> import numpy as np, gpac
    >>> from compile import Network, Tanh, dense
    >>> program = flow(Network(1, [Tanh(), dense([[2.0]])]), 0.5)  # sinh h(t) = sinh(h0) exp(2t)
    >>> program
    Schedule(2 phases; 5 states, 1 weights)
    >>> y = gpac.solve(program, inputs=[0.25], tol=1e-14).outputs
    >>> float(np.round(np.sinh(y[0]) / np.sinh(0.25) - np.e, 12))
    0.0
    """
    pieces = _pieces(vector_field, duration)
    size = pieces[0].right.size
    first = size - augment
    if augment < 0 or first < 1:
        raise ShapeError(f"expected 0 to {size - 1} extra dimensions for a state of {size} numbers, got {augment}")
    x = inputs("x", _inputs(pieces, start, first))
    if readout is not None and readout.size != size:
        raise ShapeError(f"expected a read-out of the {size} entries of the state, got one of {readout.size}")
    phases, h = _start(start, x, first, size)
    for number, piece in enumerate(pieces):
        phases += piece.run(h, x, pieces[number + 1 : number + 2], readout)
        h = inputs("h", size)
    if readout is not None and _active(readout):
        phases += stages(readout, h, "readout_", Known(), end="y")[0]
    program = Program("flow", "exact", sum((phase.duration for phase in phases), Fraction(0)))
    program = stated_flow(program, [(piece.right, piece.duration) for piece in pieces], start, readout)
    if len(phases) == 1:
        (phase,) = phases
        return Circuit(phase.circuit.outputs, replace(program, invariants=phase.circuit.program.invariants))
    return Schedule(tuple(phases), program)


@dataclass(frozen=True, eq=False)
class _Piece:
    """A field with constant weights, from `begin` for `duration`; `known` is what has been handed on to it."""

    number: int
    right: Field
    begin: Fraction
    duration: Fraction
    known: Known = field(default_factory=Known)

    def run(self, h: Wire, x: Wire, after: Sequence[_Piece], readout: Network | None) -> list[Phase]:
        """The phases that make the activations at h, and the flow from there."""
        network, size = self.right.network, self.right.size
        argument = self.right.wire(h, x, clock(self.begin))
        phases, _ = stages(network, argument, f"piece{self.number}_", self.known)
        t = time()
        state = wire("h", size)
        moving = driven(network, self.right.wire(state, x, clock(self.begin, t)), self.known)
        state.define(integral(moving.value, t, started("identity", h), name="h"))
        outputs: dict[str, Wire] = {}
        if after:
            outputs["h"] = state
            outputs |= self._hand_on(after[0], moving.activations)
        elif readout is None or _active(readout):
            outputs["y" if readout is None else "h"] = state
        else:
            outputs["y"] = stages(readout, state, "", Known())[1]
        program = Program("flow", horizon=self.duration, invariants=moving.invariants)
        return [*phases, Phase(Circuit(outputs, program), self.duration)]

    def _hand_on(self, after: _Piece, moving: Any) -> dict[str, Wire]:
        """Activations whose argument the next piece's weights do not change."""
        outputs: dict[str, Wire] = {}
        after.known.constants.update(self.known.constants)
        for k in _unchanged(self.right, after.right):
            handed = self.known.activations[k]
            after.known.activations[k] = handed
            if k in moving:
                value, cells = moving[k]
                outputs |= handed.outputs(value, cells)
        return outputs


def _pieces(vector_field: Any, duration: Any) -> list[_Piece]:
    if isinstance(vector_field, (Network, Field)):
        vector_field = [(vector_field, duration)]
    elif duration != 1:
        raise ShapeError(f"expected no duration besides those of the pieces, got {duration!r}")
    pieces: list[_Piece] = []
    begin = Fraction(0)
    if isinstance(vector_field, str) or not isinstance(vector_field, Iterable):
        raise ShapeError(f"expected a Network, a Field or pieces (Field, duration), got {type(vector_field).__name__}")
    for network, length in vector_field:
        length = to_exact(length)
        if not isinstance(length, Fraction) or not length > 0:
            raise NumberError(f"expected a positive rational number as the duration of a flow, got {length!r}")
        pieces.append(_Piece(len(pieces), as_field(network), begin, length))
        begin += length
    if not pieces:
        raise ShapeError("expected at least one piece (Network or Field, duration), got none")
    if len({piece.right.size for piece in pieces}) > 1:
        raise ShapeError(f"expected pieces of one state size, got {[piece.right.size for piece in pieces]}")
    return pieces


def _inputs(pieces: list[_Piece], start: Network | None, first: int) -> int:
    """Size of the program's input, which the start and the fields must agree on."""
    size = start.size if start is not None else first
    if start is not None and start.outputs != first:
        raise ShapeError(f"expected a start network with {first} outputs, got {start.outputs}")
    held = {piece.right.held for piece in pieces} - {0}
    if held - {size}:
        raise ShapeError(
            f"the start reads {size} inputs, the fields {sorted(held)}: expected one size; a state that does not start "
            "at the input needs start=, for instance zeros(inputs, size)"
        )
    return size


def _start(start: Network | None, x: Wire, first: int, size: int) -> tuple[list[Phase], Wire]:
    """Phases that compute h(0), and its wire."""
    phases, h = stages(start, x, "start_", Known()) if start is not None else ([], x)
    return phases, h if first == size else linear([(selection(np.arange(first), size).T.tocsr(), h)])


def _active(network: Network) -> bool:
    return any(node.operation.nonlinear for node in network.nodes)


def _unchanged(one: Field, other: Field) -> list[int]:
    """Activations that are the same functions of state, input and time in both fields."""
    if one.reads != other.reads or one.network.size != other.network.size:
        return []
    same = {0}
    for k, (a, b) in enumerate(zip(one.network.nodes, other.network.nodes, strict=False), 1):
        if a.inputs == b.inputs and same >= set(a.inputs) and _equal(a.operation, b.operation):
            same.add(k)
    return [k for k in sorted(same - {0}) if one.network.nodes[k - 1].operation.nonlinear]


def _equal(a: Any, b: Any) -> bool:
    if type(a) is not type(b):
        return False
    if isinstance(a, Softmax):
        return a.result == b.result and np.array_equal(a.groups.labels, b.groups.labels)
    if isinstance(a, Affine):
        same = len(a.matrices) == len(b.matrices) and np.array_equal(a.bias, b.bias)
        return same and all(map(_equal_matrices, a.matrices, b.matrices))
    return bool(a == b)


def _equal_matrices(a: Any, b: Any) -> bool:
    if hasattr(a, "tocsr") or hasattr(b, "tocsr"):
        both = hasattr(a, "tocsr") and hasattr(b, "tocsr") and a.shape == b.shape
        return both and (a.tocsr() != b.tocsr()).nnz == 0
    return np.array_equal(a, b)
