"""ONNX files: a chain of affine operators, tanh and sigmoid becomes a `Network`.

The chain is followed with a batch of one, so every shape is known; what does not depend on the input is
folded into constants on the side. Supported are files of current and of older PyTorch exporters and their
like. Source: https://onnx.ai/onnx/repo-docs/IR.html
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import GraphProto, NodeProto, TensorProto, ValueInfoProto, helper

from compile.frontends.onnx_fold import fold
from compile.frontends.onnx_layers import OPERATORS, merged
from compile.frontends.onnx_shape import FLOATS, RESHAPERS, Shape, Step, check_size
from compile.frontends.onnx_tensor import read_tensor, type_name
from compile.network import Network
from compile.operations import Operation
from gpac.errors import GpacError, LoadError

READ: dict[str, tuple[int, set[str]]] = {
    "Add": (2, {"broadcast"}),
    "Cast": (1, {"to", "saturate"}),
    "Concat": (2**31, {"axis"}),
    "Constant": (0, {"value", "value_float", "value_floats", "value_int", "value_ints"}),
    "Div": (2, {"broadcast"}),
    "Dropout": (3, {"ratio", "seed", "is_test"}),
    "Flatten": (1, {"axis"}),
    "Gather": (2, {"axis"}),
    "Gemm": (3, {"alpha", "beta", "transA", "transB", "broadcast"}),
    "Identity": (1, set()),
    "MatMul": (2, set()),
    "Mul": (2, {"broadcast"}),
    "Reshape": (2, {"allowzero", "shape"}),
    "Shape": (1, {"start", "end"}),
    "Sigmoid": (1, set()),
    "Slice": (5, {"starts", "ends", "axes"}),
    "Squeeze": (2, {"axes"}),
    "Sub": (2, {"broadcast"}),
    "Tanh": (1, set()),
    "Transpose": (1, {"perm"}),
    "Unsqueeze": (2, {"axes"}),
}
"""The supported operators, with the inputs and attributes that are read: any more may change the meaning."""


@dataclass
class _Walk:
    """How far the chain has been followed."""

    folder: Path
    constants: dict[str, np.ndarray | TensorProto]  # tensors of the file are read where they are used
    shapes: dict[str, Shape]  # of every value that depends on the input
    last: str  # the end of the chain so far
    layers: list[Operation] = field(default_factory=list)


def read_onnx(path: Path) -> Network:
    """The network in an ONNX file.

    The input may have a leading batch axis, of size 1 or symbolic: `Network.input_shape` is without it.
    Weights stay the numbers of the file, constants divide exactly; data in files beside the model is read.

    Raises
    ------
    LoadError
        If the file is damaged or truncated, data is missing, the graph is not a chain from one input to
        one output, or a node is not supported; the message names the node and its place.
    NumberError
        If a weight is NaN or infinite, or not a float64 number.
    """
    try:
        model = onnx.load(str(path), load_external_data=False)
    except DecodeError:
        raise LoadError("it is not an ONNX file, or only a part of one") from None
    graph = model.graph
    if not graph.node or not graph.output or not model.opset_import:
        raise LoadError("it has no nodes, no output or no opset; expected a whole ONNX model")
    if graph.sparse_initializer:
        raise LoadError("it has sparse weights, which are not supported; export them dense")
    walk, input_shape = _start(graph, path.parent)
    for number, node in enumerate(graph.node, 1):
        try:
            _follow(walk, node)
        except GpacError as error:
            raise type(error)(f"{_place(node, number, len(graph.node))}: {error}") from None
        except (ValueError, TypeError, LookupError, OverflowError) as error:
            raise LoadError(f"{_place(node, number, len(graph.node))}: it is not valid ({error})") from None
    _check_end(walk, graph)
    return Network(math.prod(input_shape), merged(tuple(walk.layers)), name=path.stem, input_shape=input_shape)


def _start(graph: GraphProto, folder: Path) -> tuple[_Walk, Shape]:
    """The walk before the first node, and the shape of one input."""
    constants: dict[str, np.ndarray | TensorProto] = {tensor.name: tensor for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in constants]
    if len(inputs) != 1:
        raise LoadError(f"expected one input, got {len(inputs)}: {', '.join(value.name for value in inputs)[:200]}")
    shape = _input_shape(inputs[0])
    walk = _Walk(folder, constants, {inputs[0].name: shape}, inputs[0].name)
    return walk, shape[1:] if len(shape) > 1 and shape[0] == 1 else shape


def _input_shape(value: ValueInfoProto) -> Shape:
    """The declared shape, with 1 for a symbolic batch."""
    kind = value.type.tensor_type
    if kind.elem_type not in FLOATS:
        raise LoadError(f"the input {value.name!r} has the type {type_name(kind.elem_type)}, expected a float type")
    shape = [dim.dim_value if dim.HasField("dim_value") else -1 for dim in kind.shape.dim]
    if len(shape) > 1 and shape[0] < 1:
        shape[0] = 1
    if not shape or min(shape) < 1:
        sizes = ", ".join(str(dim.dim_value or dim.dim_param or "?") for dim in kind.shape.dim)
        raise LoadError(f"the input {value.name!r} has the shape ({sizes}); only a leading batch may be open")
    check_size(tuple(shape))
    return tuple(shape)


def _follow(walk: _Walk, node: NodeProto) -> None:
    """One node further: a constant more, or the chain longer by the layers of the node."""
    step = _step(walk, node)
    output = node.output[0] if node.output else ""
    if output in walk.shapes or output in walk.constants:
        raise LoadError(f"its output {output!r} is already the name of another value")
    if step.op == "Constant":
        walk.constants[output] = _constant(step.attributes, walk.folder)
    elif step.moving < 0:
        walk.constants[output] = fold(step)
    else:
        _extend(walk, step, output)


def _extend(walk: _Walk, step: Step, output: str) -> None:
    if step.op in OPERATORS:
        layers, shape = OPERATORS[step.op](step)
        walk.layers.extend(layers)
    elif step.op in RESHAPERS and step.moving == 0:
        shape = RESHAPERS[step.op](step)
    else:
        raise LoadError("it is supported on constants and shapes alone, not on values that depend on the input")
    walk.shapes[output] = shape
    walk.last = output


def _step(walk: _Walk, node: NodeProto) -> Step:
    if node.op_type not in READ or node.domain not in ("", "ai.onnx"):
        raise LoadError(f"this operator is not supported; supported are {', '.join(READ)}")
    most, read = READ[node.op_type]
    attributes = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    unread = sorted(set(attributes) - read)
    if unread or len(node.input) > most:
        raise LoadError(
            f"its attribute {unread[0]!r} is not supported"
            if unread
            else f"expected at most {most} inputs, got {len(node.input)}"
        )
    if most and not (node.input and node.input[0]):
        raise LoadError("its input 1 is missing")
    moving = _moving(walk, node)
    inputs = tuple(None if name in walk.shapes else _value(walk, name) for name in node.input)
    shapes = [
        walk.shapes.get(name, () if value is None else value.shape)
        for name, value in zip(node.input, inputs, strict=True)
    ]
    return Step(node.op_type, inputs, moving, shapes[max(moving, 0)] if shapes else (), attributes)


def _moving(walk: _Walk, node: NodeProto) -> int:
    """The place of the input that is the end of the chain; -1 if all are constants."""
    places = [place for place, name in enumerate(node.input) if name in walk.shapes]
    if node.op_type == "Shape" or not places:
        return -1
    if len(places) > 1:
        raise LoadError("two of its inputs depend on the network's input; only chains are supported so far")
    if node.input[places[0]] != walk.last:
        raise LoadError(
            f"its input {node.input[places[0]]!r} was already used by an earlier node (a branch, such as a "
            "skip connection); only chains are supported so far"
        )
    return places[0]


def _value(walk: _Walk, name: str) -> np.ndarray | None:
    if not name:
        return None
    if name not in walk.constants:
        raise LoadError(f"its input {name!r} is nothing that the file gives before it")
    value = walk.constants[name]
    return read_tensor(value, walk.folder) if isinstance(value, TensorProto) else value


def _constant(attributes: dict[str, Any], folder: Path) -> np.ndarray:
    if len(attributes) != 1:
        raise LoadError(f"expected one attribute with its value, got {len(attributes)}")
    ((name, value),) = attributes.items()
    if name == "value":
        if not isinstance(value, TensorProto):
            raise LoadError("expected a tensor as its value")
        return read_tensor(value, folder)
    numbers = np.array(value, dtype=np.float32 if "float" in name else np.int64)
    if numbers.ndim != name.endswith("s"):
        raise LoadError(f"expected a number or a list of numbers as its attribute {name!r}")
    return numbers


def _check_end(walk: _Walk, graph: GraphProto) -> None:
    if len(graph.output) != 1:
        names = ", ".join(value.name for value in graph.output)
        raise LoadError(f"expected one output, got {len(graph.output)}: {names[:200]}")
    name = graph.output[0].name
    if name in walk.constants:
        raise LoadError(f"its output {name!r} does not depend on the input")
    if name != walk.last:
        raise LoadError(f"its output {name!r} is not the end of the chain of nodes, {walk.last!r}")


def _place(node: NodeProto, number: int, count: int) -> str:
    operator = f"{node.domain}.{node.op_type}" if node.domain else node.op_type
    name = repr(node.name) if node.name else f"without a name, output {', '.join(map(str, node.output))!r}"
    return f"node {number} of {count}, {operator} {name}"
