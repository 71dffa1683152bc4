"""Live PyTorch modules: `torch.export` gives the graph, and every ATen operator in it becomes layers.

The module is copied to float64 first, which changes no weight; what does not depend on the input (such as a
weight normalisation) is folded by PyTorch itself, in float64. Every value must have the shape that PyTorch says.
"""

from __future__ import annotations

import copy
import operator
from fractions import Fraction
from typing import Any

import numpy as np

from compile.build import as_network, gather, side_by_side
from compile.frontends.torch_kinks import KINKED, kinked
from compile.frontends.torch_operators import LAYERS, MOVES, SAME
from compile.layers import Masked
from compile.network import Network
from compile.value import Value, network_input
from gpac.errors import GpacError, LoadError, ShapeError

UNSUPPORTED = "this operator is not supported; supported are {}"


def from_torch(module: Any, example_input: Any, name: str | None = None, smooth: Fraction | None = None) -> Network:
    """The network that a `torch.nn.Module` computes at inference.

    Parameters
    ----------
    module : torch.nn.Module
        Not changed; a copy in eval mode is exported.
    example_input : torch.Tensor, or a tuple of the module's inputs
        One input of floats, of the shape wanted; a leading axis of size 1 is taken as the batch and left out of
        `Network.input_shape`. Its numbers do not matter. Inputs of integers, such as tokens, are constants of the
        network; where there is no input of floats, the rows of the embedding they go into are the network's input.
    smooth : Fraction, optional
        How far an analytic function may be from one with kinks, which are refused without it.

    Returns
    -------
    Network
        Its output is the module's first output, flattened. Weights are the module's numbers, exactly; batch norms
        are folded into factors rounded to doubles.

    Raises
    ------
    LoadError
        If PyTorch cannot export the module, or an operator is not supported; the message names the node.
    """
    torch = _torch()
    examples = example_input if isinstance(example_input, tuple) else (example_input,)
    if not isinstance(module, torch.nn.Module) or not all(isinstance(x, torch.Tensor) for x in examples):
        raise LoadError(
            f"expected a torch.nn.Module and an example tensor, got {type(module).__name__} and "
            f"{type(example_input).__name__}"
        )
    moving = [x for x in examples if x.is_floating_point()]
    if len(moving) > 1 or any(x.is_complex() for x in examples) or not examples:
        raise LoadError(f"expected one input of floats, and others of integers, got {[str(x.dtype) for x in examples]}")
    examples = tuple(x.detach().cpu() for x in examples)
    dtypes = [x.dtype for x in (*moving, *module.parameters()) if x.is_floating_point()]
    program = _exported(torch, module, examples, (*dtypes, torch.float32)[0])
    walk = _Walk(torch, program, examples, smooth)
    nodes = [node for node in program.graph.nodes if node.op == "call_function"]
    for number, node in enumerate(nodes, 1):
        try:
            walk.follow(node)
        except (GpacError, ValueError, TypeError, LookupError, RuntimeError) as error:
            raise LoadError(f"node {number} of {len(nodes)}, {_called(node)} {node.name!r}: {error}") from None
    output, shape = walk.output(), walk.input_shape
    title = name or type(module).__name__
    return as_network(output, title, shape[1:] if len(shape) > 1 and shape[0] == 1 else shape)


def _torch() -> Any:
    try:
        import torch
    except ImportError:
        raise LoadError("from_torch needs PyTorch: pip install 'gpac-compile[torch]'") from None
    return torch


def _exported(torch: Any, module: Any, examples: tuple[Any, ...], dtype: Any) -> Any:
    import warnings

    double = copy.deepcopy(module).cpu().double().eval()
    for part in double.modules():
        if isinstance(part, torch.nn.RMSNorm) and part.eps is None:
            part.eps = torch.finfo(dtype).eps  # the default: of the type in which the module would run
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.export.export(double, tuple(x.double() if x.is_floating_point() else x for x in examples))
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise LoadError(f"PyTorch cannot export {type(module).__name__} ({type(error).__name__}: {reason})") from None


class _Walk:
    """The graph followed node by node: `known` has a value, a tensor or a list of them for every node."""

    def __init__(self, torch: Any, program: Any, examples: tuple[Any, ...], smooth: Fraction | None) -> None:
        self.torch, self.program, self.smooth = torch, program, smooth
        self.known: dict[Any, Any] = {}
        self.tokens: set[Any] = set()  # nodes of integer inputs, where the input is what is embedded
        self.input_shape: tuple[int, ...] = ()
        signature = program.graph_signature
        given = dict(zip(signature.user_inputs, examples, strict=True))
        all_integers = not any(x.is_floating_point() for x in examples)
        for node in program.graph.nodes:
            if node.op != "placeholder":
                continue
            parameter = signature.inputs_to_parameters.get(node.name) or signature.inputs_to_buffers.get(node.name)
            if node.name in given:
                self.known[node] = given[node.name]
                if all_integers:
                    self.tokens.add(node)
                elif given[node.name].is_floating_point():
                    self.known[node] = self._input(given[node.name].shape)
            elif parameter is None:
                self.known[node] = program.constants[signature.inputs_to_lifted_tensor_constants[node.name]]
            else:
                stored = program.state_dict.get(parameter)
                self.known[node] = program.constants[parameter] if stored is None else stored

    def _input(self, shape: Any) -> Value:
        self.input_shape = tuple(shape)
        return network_input(self.input_shape)

    def follow(self, node: Any) -> None:
        """The values of one more node."""
        if _called(node) == "embedding" and node.args[1] in self.tokens:
            if self.input_shape:
                raise ShapeError("the tokens go into two embeddings; expected one, whose rows are the network's input")
            self.known[node] = self._input(node.meta["val"].shape)
            return
        arguments = [self._argument(a) for a in node.args]
        options = {k: self._argument(v) for k, v in node.kwargs.items()}
        if not any(isinstance(v, (Value, Masked)) for v in _flat([*arguments, *options.values()])):
            with self.torch.no_grad():
                self.known[node] = node.target(*arguments, **options)
            return
        if node.target is operator.getitem:
            result = arguments[0][arguments[1]]
        else:
            result = self._operator(_called(node), node, arguments, options)
        self._check_shape(node, result)
        self.known[node] = result

    def output(self) -> Value:
        """The first output."""
        (last,) = [node for node in self.program.graph.nodes if node.op == "output"]
        signature = self.program.graph_signature
        first = signature.user_outputs[0] if signature.user_outputs else None
        for node in last.args[0]:
            if getattr(node, "name", None) == first:
                value = self.known[node]
                if isinstance(value, Value):
                    return value
        raise LoadError("the module's first output does not depend on its input of floats, or on embedded tokens")

    def _argument(self, argument: Any) -> Any:
        if isinstance(argument, (list, tuple)):
            return [self._argument(a) for a in argument]
        return self.known[argument] if hasattr(argument, "op") and argument in self.known else argument

    def _operator(self, name: str, node: Any, arguments: list[Any], options: dict[str, Any]) -> Any:
        if name in SAME:
            return arguments[0]
        if name in MOVES:
            return self._moved(node, arguments, options)
        if name not in LAYERS and name not in KINKED:
            raise ShapeError(UNSUPPORTED.format(", ".join(sorted({*LAYERS, *MOVES, *SAME, *KINKED}))))
        plain, named = [_to_arrays(a) for a in arguments], {k: _to_arrays(v) for k, v in options.items()}
        if name in KINKED:
            return kinked(name, self.smooth, plain, named)
        return LAYERS[name](*plain, **named)

    def _moved(self, node: Any, arguments: list[Any], options: dict[str, Any]) -> Any:
        """An operator that only moves entries: PyTorch runs it on their places, counted from 1; 0 is filled in."""
        first = arguments[0]
        values = [_to_arrays(v) for v in (first if isinstance(first, list) else [first])]
        options = {k: v for k, v in options.items() if k not in ("dtype", "device", "memory_format")}
        fill = 0.0
        if _called(node) in ("constant_pad_nd", "pad"):
            arguments, options, fill = _padding(arguments, options)
        places = [self.torch.from_numpy(p + 1.0) for p in side_by_side(values)]
        moved = node.target(places if isinstance(first, list) else places[0], *arguments[1:], **options)
        if isinstance(moved, (list, tuple)):
            return [gather(values, m.long().numpy() - 1, fill) for m in moved]
        return gather(values, moved.long().numpy() - 1, fill)

    def _check_shape(self, node: Any, result: Any) -> None:
        expected = node.meta.get("val")
        pairs = zip(result, expected, strict=False) if isinstance(result, (list, tuple)) else [(result, expected)]
        for value, tensor in pairs:
            if isinstance(value, Value) and hasattr(tensor, "shape") and value.shape != tuple(tensor.shape):
                raise ShapeError(f"internal error: the shape {value.shape} is not PyTorch's {tuple(tensor.shape)}")


def _padding(arguments: list[Any], options: dict[str, Any]) -> tuple[list[Any], dict[str, Any], float]:
    """Arguments with which places are padded by 0, and the number that a constant padding fills in."""
    mode = [a for a in [*arguments[2:], options.get("mode")] if isinstance(a, str)]
    numbers = [a for a in arguments[2:] if isinstance(a, (int, float))] + [options.get("value")]
    fill = float(numbers[0] or 0)
    plain = not mode or mode[0] == "constant"
    return [*arguments[:2], *([] if plain else mode[:1])], {}, fill if plain else 0.0


def _called(node: Any) -> str:
    """The operator's name without namespace and overload: "conv2d" for aten.conv2d.default."""
    packet = getattr(node.target, "overloadpacket", None)
    return packet.__name__ if packet is not None else getattr(node.target, "__name__", str(node.target))


def _flat(arguments: Any) -> list[Any]:
    if isinstance(arguments, (list, tuple)):
        return [v for a in arguments for v in _flat(a)]
    return [arguments]


def _to_arrays(argument: Any) -> Any:
    """Tensors as numpy arrays, in lists too."""
    if isinstance(argument, list):
        return [_to_arrays(a) for a in argument]
    if hasattr(argument, "detach"):
        array = argument.detach().numpy()
        return array if array.dtype != np.float32 else array.astype(np.float64)
    return argument
