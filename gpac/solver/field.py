"""The right side y' = f(t, y) of a circuit for one trajectory, and its exact Jacobian."""

from __future__ import annotations

import numpy as np

from ..circuit import Circuit
from ..transform.rates import rate_name, rates, state_name
from ..transform.tangent import derivative_name, tangent
from .series import LANES, Series

LABEL = "d"


class Field:
    """f and its Jacobian for one circuit; `at` gives them for one trajectory.

    The Jacobian is the tangent of the circuit of rates (`gpac.transform.rates`), evaluated for unit directions,
    one a lane: exact but for rounding, for vector wires as for scalar ones, at the cost of one evaluation of f per
    state. Polynomials expanded from a network would have to be written out term by term.
    """

    def __init__(self, circuit: Circuit) -> None:
        self.circuit, self.series = circuit, Series(circuit, np)
        right = rates(circuit)
        names = [state_name(n) for n in range(len(circuit.integrals)) if state_name(n) in right.inputs]
        varied = tangent(right, names, (LABEL,))
        assert isinstance(varied, Circuit)
        self.varied = Series(varied, np)
        self.places = [self.series.place(w) for w in circuit.integrals]

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
        series = self.field.series
        self.clock[...] = t
        self.c[0][0, : self.dim] = y[:, None]
        with np.errstate(all="ignore"):
            series.values(self.c, self.inputs, self.clock, still=False)
            series.order(self.c, self.slack, 1)
        return self.c[1][0, : self.dim, 0].copy()

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
