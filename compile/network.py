"""A network as frozen data: a DAG of few operations, what every front end produces and every scheme consumes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any

import numpy as np

from gpac.errors import NumberError, ShapeError

from .operations import Affine, Operation, delta_of, with_kinks


@dataclass(frozen=True, eq=False)
class Node:
    """An operation on earlier values: value 0 is the network's input, value k the result of node k (from 1)."""

    operation: Operation
    inputs: tuple[int, ...]

    def __repr__(self) -> str:
        return repr(self.operation)


@dataclass(frozen=True, eq=False)
class Network:
    """Nodes in order, each reading earlier values; the last one is the output.

    Parameters
    ----------
    size : int
        Number of inputs: one vector (images are flattened row by row).
    nodes : sequence of operations and nodes
        An operation alone reads the value before it, so a list of operations is a chain.
    name : str
        For titles and messages.
    input_shape : tuple of int, optional
        Shape of one input as the file declares it; its product is `size`.

    Raises
    ------
    ShapeError
        If a node does not fit what it reads; the message names it.
    NumberError
        If a weight is NaN or infinite.
    """

    size: int
    nodes: Sequence[Any]
    name: str = "network"
    input_shape: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        nodes = []
        for number, entry in enumerate(self.nodes, 1):
            nodes.append(entry if isinstance(entry, Node) else Node(entry, (number - 1,)))
        object.__setattr__(self, "nodes", tuple(nodes))
        if self.input_shape is not None and prod(self.input_shape) != self.size:
            raise ShapeError(f"expected an input shape of {self.size} numbers, got {self.input_shape}")
        _ = self.widths  # the check
        unread = [k for k, last in enumerate(last_use(self)[1:-1], 1) if not last]
        if unread:
            raise ShapeError(
                f"layer {unread[0]} of {self.name!r}, {self.nodes[unread[0] - 1]!r}: nothing reads its value"
            )

    @cached_property
    def widths(self) -> tuple[int, ...]:
        """Number of entries of the input and of every node's value."""
        widths = [self.size]
        for number, node in enumerate(self.nodes, 1):
            try:
                widths.append(_width(node, widths))
            except (ShapeError, NumberError) as error:
                raise type(error)(f"layer {number} of {self.name!r}, {node!r}: {error}") from None
        return tuple(widths)

    @property
    def layers(self) -> tuple[Operation, ...]:
        """The operations, in order."""
        return tuple(node.operation for node in self.nodes)

    @property
    def outputs(self) -> int:
        """Number of outputs."""
        return self.widths[-1]

    @property
    def neurons(self) -> int:
        """Number of entries that pass through an activation or a softmax; products are none."""
        return sum(width for node, width in zip(self.nodes, self.widths[1:], strict=True) if node.operation.nonlinear)

    @property
    def weights(self) -> int:
        """Number of stored matrix entries and of their biases."""
        count = 0
        for layer in self.layers:
            matrices = [m for m in layer.given if m.ndim == 2] if isinstance(layer, Affine) else []
            stored = sum(m.nnz if hasattr(m, "nnz") else m.size for m in matrices)
            count += stored + (len(layer.bias) if matrices and isinstance(layer, Affine) else 0)
        return count

    @property
    def smooth(self) -> bool:
        """Whether functions with kinks are in it, as their smooth stand-ins or as they are."""
        return any(delta_of(layer) is not None for layer in self.layers)

    @cached_property
    def original(self) -> Network:
        """The network with kinks that this one stands for: for `forward` and `enclose_forward`; no scheme takes it."""
        nodes = tuple(Node(with_kinks(node.operation), node.inputs) for node in self.nodes)
        return Network(self.size, nodes, self.name, self.input_shape)

    def distance(self, x: Any = None) -> Any:
        """A proven bound on how far any output is from that of `original`, at an input or (without x) at all inputs.

        An mpmath number, inf where there is no bound; x may hold balls. More is said by `compile.distance.distance`.
        """
        from .distance import distance

        return distance(self, x).bound

    def __repr__(self) -> str:
        kinds = sorted({la.name for la in self.layers if la.nonlinear})
        chain = all(node.inputs == (k,) for k, node in enumerate(self.nodes))
        single = [la.given[0] for la in self.layers if isinstance(la, Affine) and la.arity == 1]
        dense = [m for m in single if m.ndim == 2]
        sizes = [self.size, *(m.shape[0] for m in dense)] if chain and len(dense) < 12 else [self.size, self.outputs]
        dots = "-" if chain and len(dense) < 12 else "-...-"
        return f"Network({dots.join(map(str, sizes))} {'/'.join(kinds) or 'linear'}, {self.weights} weights)"


def _width(node: Node, widths: list[int]) -> int:
    operation = node.operation
    if not isinstance(operation, Operation):
        raise ShapeError(
            f"expected an operation such as dense(W, b), Tanh() or Multiply(), got {type(operation).__name__}"
        )
    if len(node.inputs) != operation.arity:
        raise ShapeError(f"expected {operation.arity} inputs, got {len(node.inputs)}")
    bad = [k for k in node.inputs if not 0 <= k < len(widths)]
    if bad:
        raise ShapeError(f"expected inputs among the values 0 to {len(widths) - 1} before it, got {bad[0]}")
    return operation.width([widths[k] for k in node.inputs])


def as_rows(network: Network, x: Any) -> tuple[np.ndarray, bool]:
    """Inputs as float64 rows (B, size), and whether a single one was given; images are flattened."""
    x = np.asarray(x, dtype=np.float64)
    if not np.isfinite(x).all():
        raise NumberError("the inputs have NaN or inf in them; expected finite numbers")
    if x.shape == (network.size,) or (network.input_shape and x.shape == tuple(network.input_shape)):
        return x.reshape(1, network.size), True
    if x.ndim < 2 or int(np.prod(x.shape[1:])) != network.size:
        raise ShapeError(
            f"expected inputs of shape ({network.size},) or (B, {network.size}) for {network!r}, got {x.shape}"
        )
    return x.reshape(len(x), network.size), False


def forward(network: Network, x: Any) -> np.ndarray:
    """Plain float64 evaluation.

    Parameters
    ----------
    x : float64, (size,) or (B, size) or (B, *input_shape)

    Returns
    -------
    float64, (m,) or (B, m)
    """
    rows, single = as_rows(network, x)
    result = _values(network, rows)[-1]
    return result[0] if single else result


def carried(network: Network, x: Any) -> list[np.ndarray]:
    """Float64 values of the input, after every activation and at the output: pictures of a grid on its way."""
    rows, _ = as_rows(network, x)
    values = _values(network, rows, keep=True)
    shown = [k for k, node in enumerate(network.nodes, 1) if node.operation.nonlinear]
    if network.nodes and len(network.nodes) not in shown:
        shown.append(len(network.nodes))
    return [values[k] for k in (0, *shown)]


def _values(network: Network, rows: np.ndarray, keep: bool = False) -> list[np.ndarray]:
    """All values; those read for the last time are let go unless `keep`."""
    last = last_use(network)
    values: list[Any] = [rows]
    for number, node in enumerate(network.nodes, 1):
        operands = [values[k] for k in node.inputs]
        value = node.operation.arrays(*operands)
        values.append(np.broadcast_to(value, (len(rows), network.widths[number])))
        for k in node.inputs:
            if last[k] == number and not keep:
                values[k] = None
    return values


def last_use(network: Network) -> list[int]:
    """For every value the last node that reads it."""
    last = [0] * len(network.widths)
    for number, node in enumerate(network.nodes, 1):
        for k in node.inputs:
            last[k] = number
    return last
