"""The ways that values take under each scheme, in float64: samples of a program's run without running it."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from ..activations import RULES
from ..network import Network
from ..operations import Activation, Affine, Maximum, Operation, Softmax
from .pursuit import base

Ways = list[np.ndarray]
"""For the input and every node its value at some times (K, size), first at the start, last at the end."""

SAMPLES = 65
SETTLED = 24.0
"""alpha t after which a relaxation has ceased to move for float64's first digits, but for very deep networks."""


def homotopy_ways(network: Network, x: np.ndarray) -> Ways:
    """All values on the straight ray: input and offsets in proportion to t."""
    t = np.linspace(0.0, 1.0, SAMPLES)[:, None]
    values = [t * x]
    for node, width in zip(network.nodes, network.widths[1:], strict=True):
        operands = [values[k] for k in node.inputs]
        operation = node.operation
        if isinstance(operation, Affine):
            value = operation.arrays(*operands) - (1 - t) * Affine((), operation.bias).arrays()
        elif _raised(operation):
            assert isinstance(operation, Activation)
            offset = 1 + (float(operation.parameter) - 1) * t
            value = _on(operation, operands[0], offset) - _on(operation, 0.0, 1.0) * (1 - t)
        elif isinstance(operation, (Activation, Maximum, Softmax)) and operation.nonlinear:
            value = operation.arrays(operands[0]) - (1 - t) * operation.arrays(np.zeros_like(operands[0][:1]))
        else:
            value = operation.arrays(*operands)
        values.append(np.broadcast_to(value, (SAMPLES, width)))
    return values


def sequential_ways(network: Network, x: np.ndarray) -> Ways:
    """Every argument goes straight from 0 to where it ends: what is given is the value of every node at its end."""
    values = [x[None]]
    for node, width in zip(network.nodes, network.widths[1:], strict=True):
        value = node.operation.arrays(*(values[k][-1:] for k in node.inputs))
        values.append(np.broadcast_to(value, (1, width)))
    t = np.linspace(0.0, 1.0, SAMPLES)[:, None]
    return [t * v for v in values]


def relaxation_ways(network: Network, x: np.ndarray) -> Ways:
    """Euler steps of z' = target - z, with every activation at its argument."""
    step = SETTLED / 4 / SAMPLES
    arguments: dict[int, np.ndarray] = {}
    rows: list[list[np.ndarray]] = []
    for _ in range(4 * SAMPLES):
        values = [x[None]]
        for number, (node, width) in enumerate(zip(network.nodes, network.widths[1:], strict=True), 1):
            operands = [values[k] for k in node.inputs]
            if node.operation.nonlinear:
                target, begin = operands[0], float(base(node.operation))
                z = arguments.setdefault(number, np.full_like(target, begin))
                operands = [z]
                arguments[number] = z + step * (target - z)
            values.append(np.broadcast_to(node.operation.arrays(*operands), (1, width)))
        rows.append(values)
    return [np.concatenate(entries) for entries in zip(*rows, strict=True)]


WAYS: dict[str, Callable[[Network, np.ndarray], Ways]] = {
    "homotopy": homotopy_ways,
    "sequential": sequential_ways,
    "relaxation": relaxation_ways,
}


def sensitivities(network: Network, values: list[np.ndarray]) -> list[np.ndarray]:
    """Derivatives (m, size) of the m outputs by the input and every node's value, at values (1, size)."""
    m = network.outputs
    out = [np.zeros((m, width)) for width in network.widths]
    out[-1] = out[-1] + np.eye(m)
    for number in range(len(network.nodes), 0, -1):
        node = network.nodes[number - 1]
        operands = [values[k] for k in node.inputs]
        for k, part in zip(node.inputs, _backward(node.operation, out[number], operands), strict=True):
            out[k] = out[k] + part
    return out


def slope(operation: Activation, z: np.ndarray) -> np.ndarray:
    """f'(z), by differences."""
    size = np.abs(z) + 1.0
    if _raised(operation):
        size = np.abs(z) + float(operation.parameter)  # z - h + offset stays positive
    h = 1e-6 * size
    return (operation.arrays(z + h) - operation.arrays(z - h)) / (2 * h)


def _backward(operation: Operation, out: np.ndarray, operands: list[np.ndarray]) -> list[np.ndarray]:
    if isinstance(operation, Affine):
        return [_transposed(matrix, out) for matrix in operation.matrices]
    if isinstance(operation, Activation):
        return [out * slope(operation, operands[0])]
    if isinstance(operation, Maximum):
        largest = _winners(operation, operands[0])
        return [operation.groups.spread(out) * largest]
    if isinstance(operation, Softmax):
        groups, p = operation.groups, Softmax(operation.groups).arrays(operands[0])
        if operation.result == "logsumexp":
            return [groups.spread(out) * p]
        if operation.result == "log_softmax":
            return [out - p * groups.spread(groups.sums(out))]
        return [p * (out - groups.spread(groups.sums(out * p)))]
    a, b = operands
    if operation.einsum is None:
        return [out * b, out * a]
    words, left, right = operation.einsum
    first, second, result = words.replace("->", ",").split(",")
    out = out.reshape(-1, *operation.shape)
    a, b = a.reshape(left), b.reshape(right)
    to_left = np.einsum(f"Z{result},{second},{first}->Z{first}", out, b, np.ones(left), optimize=True)
    to_right = np.einsum(f"Z{result},{first},{second}->Z{second}", out, a, np.ones(right), optimize=True)
    return [to_left.reshape(-1, prod(left)), to_right.reshape(-1, prod(right))]


def _winners(operation: Maximum, z: np.ndarray) -> np.ndarray:
    """1 where an entry is the largest of its group, in equal parts where several are."""
    groups = operation.groups
    best = (z == groups.spread(groups.largest(z))).astype(np.float64)
    return np.asarray(best / groups.spread(groups.sums(best)))


def _transposed(matrix: Any, out: np.ndarray) -> np.ndarray:
    if hasattr(matrix, "tocsr"):
        return (matrix.T @ out.T).T
    floats = np.asarray(matrix, dtype=np.float64)
    return out @ floats if floats.ndim == 2 else out * floats


def _raised(operation: Operation) -> bool:
    return isinstance(operation, Activation) and RULES[operation.name].nonnegative


def _on(operation: Activation, z: Any, offset: Any) -> Any:
    """A root or quotient at z + offset, for an offset that moves."""
    return RULES[operation.name].arrays(z + offset - 1.0, 1.0)
