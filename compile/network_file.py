"""Networks as JSON inside program files: the bound of a relaxation is computed from the network itself.

    {"size": n, "name": text, "input_shape": null or [n, ...], "nodes": [node, ...]}
    node: {"inputs": [value, ...], ...} and one of
        "affine": {"matrices": [array, ...], "bias": array}
        "activation": {"name": text, "parameter": null or number}
        "multiply": null or ["ij,j->i", [2, 3], [3]]
        "softmax": {"labels": [group, ...], "result": "softmax", "log_softmax" or "logsumexp"}

Numbers and arrays are those of `gpac.export.numbers`; value 0 is the input, value k the result of node k, from 1.
"""

from __future__ import annotations

import re
from fractions import Fraction
from math import prod
from typing import Any

import numpy as np

from gpac.errors import LoadError
from gpac.export import register_limit
from gpac.export.numbers import (
    MOST_ENTRIES,
    ArrayReader,
    ArrayWriter,
    Json,
    fields,
    items,
    read_number,
    read_rational,
    shown,
    whole,
    word,
    write_number,
)

from .groups import Groups
from .network import Network, Node
from .operations import Activation, Affine, Multiply, Operation, Softmax
from .schemes.relaxation_limit import RelaxationLimit

MOST_EXTENTS = 2**24
_EINSUM = re.compile(r"[A-Za-z]{0,8},[A-Za-z]{0,8}->[A-Za-z]{0,8}")
_RESULTS = ("softmax", "log_softmax", "logsumexp")


def network_to_data(network: Network, arrays: ArrayWriter) -> Json:
    """A network as the JSON described above."""
    shape = None if network.input_shape is None else list(network.input_shape)
    nodes = [{"inputs": list(node.inputs)} | _operation(node.operation, arrays) for node in network.nodes]
    return {"size": network.size, "name": network.name, "input_shape": shape, "nodes": nodes}


def network_from_data(data: Json, arrays: ArrayReader) -> Network:
    """The network that JSON describes."""
    size, name, shape, nodes = fields(data, "size", "name", "input_shape", "nodes")
    extents = None if shape is None else tuple(_extent(n) for n in items(shape, "a shape"))
    rows = [_node(row, arrays) for row in items(nodes, "a list of nodes")]
    return Network(_extent(size), rows, word(name, "a name"), extents)


def _extent(data: Json) -> int:
    return whole(data, 1, MOST_ENTRIES, "a size")


def _operation(operation: Operation, arrays: ArrayWriter) -> dict[str, Json]:
    if isinstance(operation, Affine):
        matrices = [arrays.write(m) for m in operation.matrices]
        return {"affine": {"matrices": matrices, "bias": arrays.write(operation.bias)}}
    if isinstance(operation, Activation):
        parameter = None if operation.parameter is None else write_number(operation.parameter)
        return {"activation": {"name": operation.name, "parameter": parameter}}
    if isinstance(operation, Multiply):
        return {"multiply": operation.einsum and [operation.einsum[0], *map(list, operation.einsum[1:])]}
    return {"softmax": {"labels": operation.groups.labels.tolist(), "result": operation.result}}


def _node(data: Json, arrays: ArrayReader) -> Node:
    kind = next((k for k in _READERS if isinstance(data, dict) and k in data), None)
    if kind is None:
        raise LoadError(f"expected a node with one of {', '.join(_READERS)}, got {shown(data)}")
    inputs, body = fields(data, "inputs", kind)
    values = tuple(whole(k, 0, MOST_ENTRIES, "a value") for k in items(inputs, "a list of values"))
    return Node(_READERS[kind](body, arrays), values)


def _affine(data: Json, arrays: ArrayReader) -> Affine:
    matrices, bias = fields(data, "matrices", "bias")
    offset = arrays.read(bias)
    if offset.ndim != 1 or hasattr(offset, "tocsr"):
        raise LoadError(f"expected a bias that is a vector, got shape {offset.shape}")
    return Affine(tuple(arrays.read(m) for m in items(matrices, "a list of matrices")), offset)


def _activation(data: Json, _: ArrayReader) -> Activation:
    name, parameter = fields(data, "name", "parameter")
    number = None if parameter is None else read_number(parameter)
    if isinstance(number, Fraction) and number.denominator == 1:
        number = int(number)
    return Activation(word(name, "an activation"), number)


def _multiply(data: Json, _: ArrayReader) -> Multiply:
    if data is None:
        return Multiply()
    if not isinstance(data, list) or len(data) != 3 or not _EINSUM.fullmatch(str(data[0])):
        raise LoadError(f"expected an einsum such as ['ij,j->i', [2, 3], [3]], got {shown(data)}")
    left, right = (tuple(_extent(n) for n in items(shape, "extents")) for shape in data[1:])
    if prod((*left, *right)) > MOST_EXTENTS:
        raise LoadError(f"expected an einsum of at most {MOST_EXTENTS} products, got {shown(data)}")
    return Multiply((data[0], left, right))


def _softmax(data: Json, _: ArrayReader) -> Softmax:
    labels, result = fields(data, "labels", "result")
    groups = items(labels, "a list of group numbers")
    if result not in _RESULTS:
        raise LoadError(f"expected one of {', '.join(_RESULTS)}, got {shown(result)}")
    return Softmax(Groups(np.array([whole(k, 0, len(groups), "the number of a group") for k in groups])), result)


_READERS: dict[str, Any] = {
    "affine": _affine,
    "activation": _activation,
    "multiply": _multiply,
    "softmax": _softmax,
}


def _write_limit(limit: RelaxationLimit, arrays: ArrayWriter) -> Json:
    return {"network": network_to_data(limit.network, arrays), "rate": write_number(limit.rate)}


def _read_limit(data: Json, arrays: ArrayReader) -> RelaxationLimit:
    network, rate = fields(data, "network", "rate")
    limit = RelaxationLimit(network_from_data(network, arrays), read_rational(rate))
    if not limit.rate > 0:
        raise LoadError(f"expected a positive rate, got {shown(rate)}")
    limit.check()
    return limit


register_limit("relaxation", RelaxationLimit, _write_limit, _read_limit)
