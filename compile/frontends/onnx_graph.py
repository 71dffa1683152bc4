"""ONNX files: a graph of analytic operators becomes a `Network`.

The graph is followed node by node with a batch of one, so every shape is known; what does not depend on the input is
folded into constants on the side. Supported are files of current and of older PyTorch exporters and their
like. Source: https://onnx.ai/onnx/repo-docs/IR.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from onnx import GraphProto, NodeProto, TensorProto, ValueInfoProto, helper

from compile.build import as_network
from compile.frontends.onnx_file import Placed, read_model
from compile.frontends.onnx_fold import FOLDERS, fold
from compile.frontends.onnx_kinks import KINKED, kinked
from compile.frontends.onnx_operators import ACTIVATIONS, COMPARISONS, OPERATORS, ROOTS
from compile.frontends.onnx_shape import MOVES, move
from compile.frontends.onnx_step import FLOATS, Compared, Operand, Step, check_size
from compile.frontends.onnx_tensor import read_tensor, type_name
from compile.network import Network
from compile.value import Shape, Value, network_input
from gpac.allowance import spend
from gpac.errors import GpacError, LoadError, NumberError, ShapeError
from gpac.exact import exact_array

REDUCTIONS = ("ReduceLogSumExp", "ReduceMean", "ReduceSum", "ReduceSumSquare")
RECURRENT = {"activations", "direction", "hidden_size", "layout"}
RESIZING = {
    *("antialias", "axes", "coordinate_transformation_mode", "cubic_coeff_a", "exclude_outside", "extrapolation_value"),
    *("keep_aspect_ratio_policy", "mode", "nearest_mode"),
}
CONVOLUTION = {"auto_pad", "dilations", "group", "kernel_shape", "pads", "strides"}
Stored: TypeAlias = np.ndarray | TensorProto | Placed
TOKENS = (TensorProto.INT32, TensorProto.INT64)
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
    **{op: (most, read) for op, (_, _, most, read) in KINKED.items()},
    "AveragePool": (1, {"auto_pad", "ceil_mode", "count_include_pad", "dilations", "kernel_shape", "pads", "strides"}),
    "BatchNormalization": (5, {"epsilon", "momentum", "spatial", "training_mode", "is_test"}),
    "Cast": (1, {"to", "saturate"}),
    "CastLike": (2, {"saturate"}),
    "Concat": (2**31, {"axis"}),
    "Constant": (0, {"value", "value_float", "value_floats", "value_int", "value_ints"}),
    "ConstantOfShape": (1, {"value"}),
    "Conv": (3, CONVOLUTION),
    "ConvTranspose": (3, CONVOLUTION | {"output_padding", "output_shape"}),
    "CumSum": (2, {"exclusive", "reverse"}),
    "DepthToSpace": (1, {"blocksize", "mode"}),
    "DequantizeLinear": (3, {"axis", "block_size"}),
    "Dropout": (3, {"ratio", "seed", "is_test"}),
    "Einsum": (2, {"equation"}),
    "Expand": (2, set()),
    "Flatten": (1, {"axis"}),
    "GRU": (6, RECURRENT | {"linear_before_reset"}),
    "Gather": (2, {"axis"}),
    "GatherElements": (2, {"axis"}),
    "GatherND": (2, {"batch_dims"}),
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
    "OneHot": (3, {"axis"}),
    "Pad": (4, {"mode", "pads", "value"}),
    "Pow": (2, set()),
    "RMSNormalization": (2, {"axis", "epsilon", "stash_type"}),
    "RNN": (6, RECURRENT),
    "Range": (3, set()),
    "Reshape": (2, {"allowzero", "shape"}),
    "Resize": (4, RESIZING),
    "Shape": (1, {"start", "end"}),
    "Slice": (5, {"starts", "ends", "axes"}),
    "SpaceToDepth": (1, {"blocksize"}),
    "Split": (2, {"axis", "num_outputs", "split"}),
    "Squeeze": (2, {"axes"}),
    "Sum": (2**31, set()),
    "Swish": (1, {"alpha"}),
    "Tile": (2, set()),
    "Transpose": (1, {"perm"}),
    "Trilu": (2, {"upper"}),
    "Unsqueeze": (2, {"axes"}),
    "Upsample": (2, {"mode", "scales"}),
    "Where": (3, set()),
    "ai.onnx.ml.Scaler": (1, {"offset", "scale"}),
    "ai.onnx.ml.ZipMap": (1, None),
}
"""The supported operators, with the inputs and attributes that are read (None: any): more may change the meaning."""


@dataclass
class _Walk:
    """How far the graph has been followed."""

    folder: Path
    constants: dict[str, Stored]  # tensors of the file are read where they are used
    values: dict[str, Operand]  # what depends on the input
    opset: int
    embedded: set[str] = field(default_factory=set)  # what an embedding of the tokens would give
    smooth: Fraction | None = None  # how far an analytic function may be from one with kinks


def read_onnx(path: Path, fixed: Mapping[str, Any] | None = None, smooth: Fraction | None = None) -> Network:
    """The network in an ONNX file; with `smooth`, functions with kinks within that distance.

    The input may have a leading batch axis, of size 1 or symbolic: `Network.input_shape` is without it.
    Weights stay the numbers of the file, constants divide exactly; data in files beside the model is read.
    Inputs named in `fixed` are constants. An input of tokens (integers) that is not fixed goes into one embedding,
    whose rows, real numbers, are the network's input then.

    Raises
    ------
    LoadError
        If the file is damaged or truncated, data is missing, there is more than one input or output, or
        a node is not supported; the message names the node and its place.
    NumberError
        If a weight is NaN or infinite, or not a float64 number.
    """
    model, placed = read_model(path)
    graph = model.graph
    if not graph.node or not graph.output or not model.opset_import:
        raise LoadError("it has no nodes, no output or no opset; expected a whole ONNX model")
    if graph.sparse_initializer:
        raise LoadError("it has sparse weights, which are not supported; export them dense")
    opset = max((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), default=1)
    walk, input_shape = _start(graph, placed, path.parent, opset, fixed or {})
    walk.smooth = smooth
    chosen, needed = _chosen(graph)
    for number, node in enumerate(graph.node, 1):
        if (needed is not None and not needed & set(node.output)) or walk.embedded & set(node.output):
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


def _start(
    graph: GraphProto, placed: dict[int, Placed], folder: Path, opset: int, fixed: Mapping[str, Any]
) -> tuple[_Walk, Shape]:
    """The walk before the first node, and the shape of one input."""
    constants: dict[str, Stored] = {t.name: placed.get(k, t) for k, t in enumerate(graph.initializer)}
    inputs = {value.name: value for value in graph.input if value.name not in constants}
    for name, number in fixed.items():
        if name not in inputs:
            raise LoadError(f"expected fixed inputs among {', '.join(inputs)[:200]}, got {name!r:.60}")
        constants[name] = _fixed(inputs.pop(name), number)
    if len(inputs) != 1:
        raise LoadError(
            f"expected one input, got {len(inputs)}: {', '.join(inputs)[:200]}; fix others with load(..., fixed=...)"
        )
    (entry,) = inputs.values()
    shape, walk = _input_shape(entry), _Walk(folder, constants, {}, opset)
    walk.values[entry.name] = network_input(shape)
    if entry.type.tensor_type.elem_type in TOKENS:  # its shape is known, nothing else of it can be used
        name, shape = _embedding(walk, graph, entry.name, shape)
        walk.values[name] = network_input(shape)
        walk.embedded.add(name)
    return walk, shape[1:] if len(shape) > 1 and shape[0] == 1 else shape


def _embedding(walk: _Walk, graph: GraphProto, name: str, shape: Shape) -> tuple[str, Shape]:
    """The output of the one embedding that tokens go into, and its shape."""
    readers = [node for node in graph.node if name in node.input and node.op_type not in ("Shape", "Size")]
    if len(readers) == 1 and readers[0].op_type == "Gather" and list(readers[0].input[1:]) == [name]:
        table, axes = _value(walk, readers[0].input[0], False), [a.i for a in readers[0].attribute]
        if table is not None and table.ndim == 2 and not any(axes):
            return readers[0].output[0], (*shape, table.shape[1])
    raise LoadError(
        f"the integers of the input {name!r} do not go straight into one embedding (a Gather of rows), which would be "
        f"the network's input; fix them with load(..., fixed={{{name!r}: ...}})"
    )


def _fixed(value: ValueInfoProto, numbers: Any) -> np.ndarray:
    """Given numbers for an input, of its type and shape."""
    kind, array = value.type.tensor_type, np.asarray(numbers)
    whole = array.dtype.kind in "iub"
    if not (whole or (array.dtype.kind == "f" and kind.elem_type in FLOATS)):
        raise LoadError(f"expected numbers of type {type_name(kind.elem_type)} for {value.name!r}, got {array.dtype}")
    sizes = [dim.dim_value for dim in kind.shape.dim]
    if array.ndim == len(sizes) - 1 and sizes[0] in (0, 1):
        array = array[None]
    if array.ndim != len(sizes) or any(n and n != m for n, m in zip(sizes, array.shape, strict=True)):
        raise LoadError(f"expected numbers of shape {tuple(sizes)} for {value.name!r}, got {array.shape}")
    return array.astype(np.int64) if whole and kind.elem_type not in FLOATS else exact_array(array)


def _input_shape(value: ValueInfoProto) -> Shape:
    """The declared shape, with 1 for a symbolic batch."""
    kind = value.type.tensor_type
    if kind.elem_type not in (*FLOATS, *TOKENS):
        raise LoadError(
            f"the input {value.name!r} has the type {type_name(kind.elem_type)}, expected floats, or tokens as INT64"
        )
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
        results = _moved(step, walk.smooth)
    elif step.op in OPERATORS and step.op not in FOLDERS:  # such as a matrix times an initial state of zeros
        results = OPERATORS[step.op](step)
    else:
        results = fold(step)
    results = results if isinstance(results, list) else [results]
    for output, result in zip(node.output, results, strict=False):
        if isinstance(result, np.ndarray):
            spend(result.size if result.dtype != object else 16 * result.size)
        if output and result is not None:
            (walk.constants if isinstance(result, np.ndarray) else walk.values)[output] = result


def _moved(step: Step, smooth: Fraction | None) -> Any:
    if step.op in KINKED:
        return kinked(step, smooth)
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
    if isinstance(value, np.ndarray):
        return value
    array = read_tensor(value, walk.folder, masks)
    spend(array.size)
    return array


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
