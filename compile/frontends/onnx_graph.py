"""ONNX files: a graph of analytic operators becomes a `Network`.

The graph is followed node by node with a batch of one, so every shape is known; what does not depend on the input is
folded into constants on the side. Supported are files of current and of older PyTorch exporters and their
like. Source: https://onnx.ai/onnx/repo-docs/IR.html
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import GraphProto, NodeProto, TensorProto, ValueInfoProto, helper

from compile.build import as_network
from compile.frontends.onnx_fold import FOLDERS, fold
from compile.frontends.onnx_operators import ACTIVATIONS, COMPARISONS, KINKS, OPERATORS, ROOTS
from compile.frontends.onnx_shape import MOVES, move
from compile.frontends.onnx_step import FLOATS, Compared, Operand, Step, check_size
from compile.frontends.onnx_tensor import read_tensor, type_name
from compile.network import Network
from compile.value import Shape, Value, network_input
from gpac.errors import GpacError, LoadError, NumberError, ShapeError

REDUCTIONS = ("ReduceLogSumExp", "ReduceMean", "ReduceSum", "ReduceSumSquare")
RECURRENT = {"activations", "direction", "hidden_size", "layout"}
CONVOLUTION = {"auto_pad", "dilations", "group", "kernel_shape", "pads", "strides"}
LABELS = (TensorProto.INT32, TensorProto.INT64, TensorProto.STRING, TensorProto.BOOL)
"""Types of outputs that are chosen classes: they jump, so they are no outputs of a network here."""
MASKING = frozenset(("Add", "Where", "Constant", *MOVES))
"""Operators whose constants may be masks, with entries of -inf."""

READ: dict[str, tuple[int, set[str] | None]] = {
    **{op: (1, set()) for op in (*ACTIVATIONS, *ROOTS, "IsNaN", "Neg", "Not", "Size")},
    **{op: (2, {"broadcast"}) for op in ("Add", "Div", "Mul", "Sub")},
    **{op: (2, {"axis", "broadcast"}) for op in ("And", "Equal", "Greater", "Less", "Or")},
    **{op: (2, {"axes", "keepdims", "noop_with_empty_axes"}) for op in REDUCTIONS},
    **{op: (1, {"axis"}) for op in ("LogSoftmax", "Softmax")},
    **dict.fromkeys(KINKS, (2**31, None)),
    "AveragePool": (1, {"auto_pad", "ceil_mode", "count_include_pad", "dilations", "kernel_shape", "pads", "strides"}),
    "BatchNormalization": (5, {"epsilon", "momentum", "spatial", "training_mode", "is_test"}),
    "Cast": (1, {"to", "saturate"}),
    "CastLike": (2, {"saturate"}),
    "Concat": (2**31, {"axis"}),
    "Constant": (0, {"value", "value_float", "value_floats", "value_int", "value_ints"}),
    "ConstantOfShape": (1, {"value"}),
    "Conv": (3, CONVOLUTION),
    "ConvTranspose": (3, CONVOLUTION | {"output_padding", "output_shape"}),
    "Dropout": (3, {"ratio", "seed", "is_test"}),
    "Einsum": (2, {"equation"}),
    "Expand": (2, set()),
    "Flatten": (1, {"axis"}),
    "GRU": (6, RECURRENT | {"linear_before_reset"}),
    "Gather": (2, {"axis"}),
    "Gelu": (1, {"approximate"}),
    "Gemm": (3, {"alpha", "beta", "transA", "transB", "broadcast"}),
    "GlobalAveragePool": (1, set()),
    "GreaterOrEqual": (2, set()),
    "GroupNormalization": (3, {"epsilon", "num_groups", "stash_type"}),
    "Identity": (1, set()),
    "InstanceNormalization": (3, {"epsilon"}),
    "LSTM": (8, RECURRENT | {"input_forget"}),
    "LayerNormalization": (3, {"axis", "epsilon", "stash_type"}),
    "LessOrEqual": (2, set()),
    "MatMul": (2, set()),
    "Mean": (2**31, set()),
    "Mod": (2, {"fmod"}),
    "Pad": (4, {"mode", "pads", "value"}),
    "Pow": (2, set()),
    "RMSNormalization": (2, {"axis", "epsilon", "stash_type"}),
    "RNN": (6, RECURRENT),
    "Range": (3, set()),
    "Reshape": (2, {"allowzero", "shape"}),
    "Shape": (1, {"start", "end"}),
    "Slice": (5, {"starts", "ends", "axes"}),
    "Split": (2, {"axis", "num_outputs", "split"}),
    "Squeeze": (2, {"axes"}),
    "Sum": (2**31, set()),
    "Swish": (1, {"alpha"}),
    "Tile": (2, set()),
    "Transpose": (1, {"perm"}),
    "Trilu": (2, {"upper"}),
    "Unsqueeze": (2, {"axes"}),
    "Where": (3, set()),
    "ai.onnx.ml.Scaler": (1, {"offset", "scale"}),
    "ai.onnx.ml.ZipMap": (1, None),
}
"""The supported operators, with the inputs and attributes that are read (None: any): more may change the meaning."""


@dataclass
class _Walk:
    """How far the graph has been followed."""

    folder: Path
    constants: dict[str, np.ndarray | TensorProto]  # tensors of the file are read where they are used
    values: dict[str, Operand]  # what depends on the input
    opset: int


def read_onnx(path: Path) -> Network:
    """The network in an ONNX file.

    The input may have a leading batch axis, of size 1 or symbolic: `Network.input_shape` is without it.
    Weights stay the numbers of the file, constants divide exactly; data in files beside the model is read.

    Raises
    ------
    LoadError
        If the file is damaged or truncated, data is missing, there is more than one input or output, or
        a node is not supported; the message names the node and its place.
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
    opset = max((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), default=1)
    walk, input_shape = _start(graph, path.parent, opset)
    chosen, needed = _chosen(graph)
    for number, node in enumerate(graph.node, 1):
        if needed is not None and not needed & set(node.output):
            continue
        try:
            _follow(walk, node)
        except GpacError as error:
            kind = type(error) if isinstance(error, NumberError) else LoadError
            raise kind(f"{_place(node, number, len(graph.node))}: {error}") from None
        except (ValueError, TypeError, LookupError, OverflowError) as error:
            raise LoadError(f"{_place(node, number, len(graph.node))}: it is not valid ({error})") from None
    output = _output(walk, chosen)
    try:
        return as_network(output, path.stem, input_shape)
    except ShapeError:
        raise LoadError(f"its output {chosen!r} does not depend on the input") from None


def _start(graph: GraphProto, folder: Path, opset: int) -> tuple[_Walk, Shape]:
    """The walk before the first node, and the shape of one input."""
    constants: dict[str, np.ndarray | TensorProto] = {tensor.name: tensor for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in constants]
    if len(inputs) != 1:
        raise LoadError(f"expected one input, got {len(inputs)}: {', '.join(value.name for value in inputs)[:200]}")
    shape = _input_shape(inputs[0])
    walk = _Walk(folder, constants, {inputs[0].name: network_input(shape)}, opset)
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
    """One node further: a constant more, or a value."""
    step = _step(walk, node)
    for output in node.output:
        if output and (output in walk.values or output in walk.constants):
            raise LoadError(f"its output {output!r} is already the name of another value")
    if step.op == "Constant":
        results: Any = _constant(step.attributes, walk.folder)
    elif step.op in COMPARISONS and isinstance(step.operand(0), Value):
        results = Compared(step.op, step.value(0), step.constant(1))
    elif step.moves and step.op not in ("IsNaN", "Shape", "Size"):
        results = _moved(step)
    elif step.op in OPERATORS and step.op not in FOLDERS:  # such as a matrix times an initial state of zeros
        results = OPERATORS[step.op](step)
    else:
        results = fold(step)
    results = results if isinstance(results, list) else [results]
    for output, result in zip(node.output, results, strict=False):
        if output and result is not None:
            (walk.constants if isinstance(result, np.ndarray) else walk.values)[output] = result


def _moved(step: Step) -> Any:
    if step.op in OPERATORS:
        return OPERATORS[step.op](step)
    if step.op in MOVES:
        return move(step)
    raise LoadError("it is supported on constants and shapes alone, not on values that depend on the input")


def _step(walk: _Walk, node: NodeProto) -> Step:
    op = node.op_type if node.domain in ("", "ai.onnx") else f"{node.domain}.{node.op_type}"
    if op not in READ:
        raise LoadError(f"this operator is not supported; supported are {', '.join(READ)}")
    most, read = READ[op]
    attributes = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    unread = sorted(set(attributes) - read) if read is not None else []
    if unread or len(node.input) > most:
        raise LoadError(
            f"its attribute {unread[0]!r} is not supported"
            if unread
            else f"expected at most {most} inputs, got {len(node.input)}"
        )
    if most and not (node.input and node.input[0]):
        raise LoadError("its input 1 is missing")
    if op == "Split":
        attributes["outputs"] = len(node.output)
    masks = op in MASKING
    inputs = tuple(walk.values[name] if name in walk.values else _value(walk, name, masks) for name in node.input)
    return Step(op, inputs, attributes, walk.opset)


def _value(walk: _Walk, name: str, masks: bool) -> np.ndarray | None:
    if not name:
        return None
    if name not in walk.constants:
        raise LoadError(f"its input {name!r} is nothing that the file gives before it")
    value = walk.constants[name]
    return read_tensor(value, walk.folder, masks) if isinstance(value, TensorProto) else value


def _constant(attributes: dict[str, Any], folder: Path) -> np.ndarray:
    if len(attributes) != 1:
        raise LoadError(f"expected one attribute with its value, got {len(attributes)}")
    ((name, value),) = attributes.items()
    if name == "value":
        if not isinstance(value, TensorProto):
            raise LoadError("expected a tensor as its value")
        return read_tensor(value, folder, masks=True)
    numbers = np.array(value, dtype=np.float32 if "float" in name else np.int64)
    if numbers.ndim != name.endswith("s"):
        raise LoadError(f"expected a number or a list of numbers as its attribute {name!r}")
    return numbers


def _chosen(graph: GraphProto) -> tuple[str, set[str] | None]:
    """The output's name, and the values that lead to it where others, such as a classifier's label, are left out."""
    outputs = [value for value in graph.output if value.type.tensor_type.elem_type not in LABELS]
    if len(outputs) != 1:
        names = ", ".join(value.name for value in graph.output)
        raise LoadError(f"expected one output of floats, got {len(outputs)}: {names[:200]}")
    name = outputs[0].name
    if len(graph.output) == 1:
        return name, None
    needed = {name}
    for node in reversed(graph.node):
        if needed & set(node.output):
            needed |= set(node.input)
    return name, needed


def _output(walk: _Walk, name: str) -> Value:
    if name in walk.constants:
        raise LoadError(f"its output {name!r} does not depend on the input")
    output = walk.values.get(name)
    if not isinstance(output, Value):
        raise LoadError(f"its output {name!r} is made by no node, or has entries of -inf")
    return output


def _place(node: NodeProto, number: int, count: int) -> str:
    operator = f"{node.domain}.{node.op_type}" if node.domain else node.op_type
    name = repr(node.name) if node.name else f"without a name, output {', '.join(map(str, node.output))!r}"
    return f"node {number} of {count}, {operator} {name}"
