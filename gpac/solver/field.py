"""The right side y' = f(t, y) of a circuit for one trajectory, and its exact Jacobian."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from ..circuit import Circuit
from ..transform.rates import rate_name, rates, state_name
from ..transform.tangent import derivative_name, tangent
from .right import RightSide
from .series import LANES, Series, from_blocks, to_blocks
from .task import Batch

LABEL = "d"


class Field:
    """f and its Jacobian for one circuit; `at` gives them for one trajectory.

    The Jacobian is the tangent of the circuit of rates (`gpac.transform.rates`), evaluated for unit directions,
    one a lane: exact but for rounding, for vector wires as for scalar ones, at the cost of one evaluation of f per
    state. Polynomials expanded from a network would have to be written out term by term.
    """

    def __init__(self, circuit: Circuit) -> None:
        self.circuit, self.series = circuit, Series.of(circuit, np)
        self.right = RightSide(self.series)
        self.places = [self.series.place(w) for w in circuit.integrals]

    @cached_property
    def varied(self) -> Series:
        """The tangent of the circuit of rates."""
        right = rates(self.circuit)
        names = [name for name in map(state_name, range(len(self.places))) if name in right.inputs]
        varied = tangent(right, names, (LABEL,))
        assert isinstance(varied, Circuit)
        return Series(varied, np)

    def rates(self, batch: Batch) -> np.ndarray:
        """y' of every trajectory where it is: (dim, B)."""
        count = len(batch.t)
        state, t = to_blocks(batch.state, np), to_blocks(batch.t[None], np)[:, 0]
        given = {name: to_blocks(a, np) for name, a in batch.inputs.items()}
        c, slack = self.series.allocate(1, len(t))
        c[0][:, : self.series.dim] = state
        with np.errstate(all="ignore"):
            self.series.values(c, given, t, still=True)
            return from_blocks(self.right(c, slack, given, t), count, np)

    def at(self, inputs: dict[str, np.ndarray]) -> Trajectory:
        """The field of the trajectory with these inputs, name to (size,)."""
        return Trajectory(self, inputs)


class Trajectory:
    """f(t, y) and df/dy of one trajectory."""

    def __init__(self, field: Field, inputs: dict[str, np.ndarray]) -> None:
        self.field, self.dim = field, field.series.dim
        self.inputs = {name: np.broadcast_to(a[None, :, None], (1, len(a), LANES)) for name, a in inputs.items()}
        self.c, self.slack = field.series.allocate(1, 1)
        self.clock = np.zeros((1, LANES))
        with np.errstate(all="ignore"):
            field.series.values(self.c, self.inputs, self.clock, still=True)

    def rate(self, t: float, y: np.ndarray) -> np.ndarray:
        """y' at time t of the state y (dim,)."""
        self.clock[...] = t
        self.c[0][0, : self.dim] = y[:, None]
        with np.errstate(all="ignore"):
            return self.field.right(self.c, self.slack, self.inputs, self.clock)[0, :, 0].copy()

    def jacobian(self, t: float, y: np.ndarray) -> np.ndarray:
        """df_i/dy_j at time t and state y: (dim, dim)."""
        series, places = self.field.varied, self.field.places
        blocks = max(1, -(-self.dim // LANES))
        units = np.eye(self.dim, blocks * LANES).reshape(self.dim, blocks, LANES).transpose(1, 0, 2)
        given = {}
        for n, place in enumerate(places):
            given[state_name(n)] = y[None, place, None]
            given[derivative_name(LABEL, state_name(n))] = units[:, place]
        c, _ = series.allocate(0, blocks)
        with np.errstate(all="ignore"):
            series.values(c, {**self.inputs, **given}, np.full((blocks, LANES), float(t)), still=True)
        outputs = series.circuit.outputs
        rows = [c[0][:, series.place(outputs[derivative_name(LABEL, rate_name(n))])] for n in range(len(places))]
        found = np.concatenate([*rows, np.zeros((blocks, 0, LANES))], axis=1)
        return found.transpose(1, 0, 2).reshape(self.dim, -1)[:, : self.dim]
