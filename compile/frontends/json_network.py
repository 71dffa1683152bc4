"""Networks in JSON, the format of this project: readable, exact, versioned.

    {
      "format": "gpac network",
      "version": 1,
      "name": "ring",
      "input": [2],
      "layers": [
        {"layer": "dense", "weight": [[1.5, -0.25], [0.1, 2.0]], "bias": [0.0, "1/3"]},
        {"layer": "tanh"},
        {"layer": "add", "of": [1, 2]}
      ]
    }

"input" is the shape of one input; the last layer is the output, and the input must be read. Layers are described in
`compile.frontends.json_reading`, numbers in `gpac.export.numbers` and arrays in `gpac.export.arrays`: a decimal is the
nearest float64, a text such as "1/3" or "sqrt(2)" the exact number. What `save` writes are affine maps, activations,
products, softmaxes and maxima on flat vectors, and is read back node by node; `load` reads all other layers too.
Program files embed the same object (`compile.program_file`). Nothing in a file is ever executed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from compile.activations import Smooth
from compile.build import as_network
from compile.frontends.json_reading import Tensors, add_layer
from compile.network import Network, Node
from compile.operations import Activation, Affine, Maximum, Multiply, Softmax
from compile.value import Value, network_input
from gpac.errors import GpacError, LoadError, NumberError, ShapeError
from gpac.export.arrays import write_integers, write_matrix
from gpac.export.numbers import write_number
from gpac.export.text import parse, shown
from gpac.files import replace_file

FORMAT, VERSION = "gpac network", 1
MOST_BRACKETS = 2**20
"""Lists and objects in one file; each costs far more memory than its letters."""
DEEPEST = 120
"""Levels of lists and objects; weights have eight, constants at most a hundred."""


def save(network: Network, path: str | os.PathLike[str]) -> None:
    """Write a network as JSON, every number exactly.

    Parameters
    ----------
    path : path of a file that ends in .json
        It is replaced at once, or left as it was.

    Raises
    ------
    LoadError
        If the name does not end in .json.
    GpacError
        If the file cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() != ".json":
        raise LoadError(f"expected a name that ends in .json, got {path.name!r}; load tells formats by their suffix")
    replace_file(path, _laid_out(network_to_data(network)))


def network_to_data(network: Network, write: Callable[[Any], Any] = write_matrix) -> dict[str, Any]:
    """A network as the object described above.

    Parameters
    ----------
    write : function of a matrix or a bias, optional
        What stands in its place, for instance the name under which it is kept elsewhere.

    Raises
    ------
    GpacError
        If nothing reads the network's input.
    """
    if not any(0 in node.inputs for node in network.nodes):
        raise GpacError(f"the network {network.name!r} does not read its input: there is no file of such a network")
    shape = network.input_shape if network.input_shape is not None else (network.size,)
    layers = [_described(node, k, write) for k, node in enumerate(network.nodes, 1)]
    return {"format": FORMAT, "version": VERSION, "name": network.name, "input": list(shape), "layers": layers}


def _laid_out(document: dict[str, Any]) -> str:
    """One line per layer."""
    lines = [json.dumps(layer, allow_nan=False) for layer in document["layers"]]
    begin = ",\n  ".join(f'"{key}": {json.dumps(value)}' for key, value in document.items() if key != "layers")
    return f'{{\n  {begin},\n  "layers": [\n    ' + ",\n    ".join(lines) + "\n  ]\n}\n"


def _described(node: Node, number: int, write: Callable[[Any], Any]) -> dict[str, Any]:
    operation = node.operation
    entry: dict[str, Any] = {"layer": operation.name}
    if node.inputs != (number - 1,):
        entry["of"] = list(node.inputs)
    if isinstance(operation, Affine):
        return entry | _affine(operation, write)
    if isinstance(operation, Maximum):
        kept = {"groups": write_integers(operation.groups.labels)}
        return entry | kept | {"within": write_number(operation.delta)}
    if isinstance(operation, Activation) and isinstance(operation.parameter, Smooth):
        names = {"clip": ("low", "high"), "elu": ("factor", "a", "b")}.get(operation.name, ())
        numbers = zip(names, map(write_number, operation.parameter.numbers), strict=True)
        return entry | dict(numbers) | {"within": write_number(operation.parameter.delta)}
    if isinstance(operation, Activation):
        return entry if operation.parameter is None else entry | {"parameter": write_number(operation.parameter)}
    if isinstance(operation, Multiply):
        if operation.einsum is None:
            return entry
        words, left, right = operation.einsum
        return entry | {"einsum": words, "shapes": [list(left), list(right)]}
    assert isinstance(operation, Softmax)
    return entry | {"groups": write_integers(operation.groups.labels)}


def _affine(operation: Affine, write: Callable[[Any], Any]) -> dict[str, Any]:
    plain = len(operation.bias) == 1 and not operation.bias.any()
    bias = {} if plain else {"bias": write(operation.bias)}
    return {"matrices": [write(m) for m in operation.matrices]} | bias


def read_json(path: Path) -> Network:
    """The network in a JSON file.

    Raises
    ------
    LoadError
        If the file is no such JSON; the message names the layer and the parameter.
    NumberError
        If a number is NaN or infinite.
    """
    return network_from_data(parse_json(path.read_bytes()), None, path.stem)


def network_from_data(document: Any, tensors: Tensors | None = None, name: str = "network") -> Network:
    """The network that an object describes; texts in the places of weights go to `tensors`, if it is given.

    Raises
    ------
    LoadError, NumberError
        As `read_json`.
    """
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise LoadError(f'expected an object with "format": "{FORMAT}", got {shown(document)}')
    if document.get("version") != VERSION:
        raise LoadError(f"expected version {VERSION} of the format, got {shown(document.get('version'))}")
    plain = {key: value for key, value in document.items() if key not in ("format", "version")}
    return declared(plain, tensors, name)


def declared(architecture: Any, tensors: Tensors | None, name: str) -> Network:
    """The network of an object with "input" and "layers"; texts in the places of weights go to `tensors`."""
    if not isinstance(architecture, dict) or not {"input", "layers"} <= set(architecture) <= {
        "input",
        "layers",
        "name",
    }:
        found = list(architecture)[:8] if isinstance(architecture, dict) else shown(architecture)
        raise LoadError(f'expected an object with "input" and "layers" (and perhaps a "name"), got {found}')
    shape, layers = architecture["input"], architecture["layers"]
    if not isinstance(shape, (list, tuple)) or not all(type(n) is int and n > 0 for n in shape):
        raise LoadError(f'expected the sizes of one input as "input", got {shown(shape)}')
    if not isinstance(layers, (list, tuple)) or not layers:
        raise LoadError(f'expected a list of layers as "layers", got {shown(layers)}')
    known: dict[Any, Any] = {0: network_input(shape)}
    for number, entry in enumerate(layers, 1):
        title = entry.get("layer") if isinstance(entry, dict) else None
        try:
            known[number] = add_layer(entry, known, tensors)
        except (GpacError, ValueError, TypeError, LookupError) as error:
            kind = NumberError if isinstance(error, NumberError) else LoadError
            raise kind(f"layer {number} of {len(layers)}, {shown(title)}: {error}") from None
        if "name" in entry:
            if not isinstance(entry["name"], str) or entry["name"] in known:
                raise LoadError(f"layer {number}: expected a name that no other layer has, got {shown(entry['name'])}")
            known[entry["name"]] = known[number]
    given = architecture.get("name", name)
    title = given if isinstance(given, str) else name
    values = [known[k] for k in range(len(layers) + 1)]
    if _each_a_node(values):
        places = {v.unit: k for k, v in enumerate(values)}
        nodes = [Node(v.unit.operation, tuple(places[u] for u in v.unit.operands)) for v in values[1:]]
        return Network(values[0].size, nodes, title, tuple(shape))
    try:
        return as_network(values[-1], title, shape)
    except ShapeError:
        raise LoadError("its last layer does not depend on its input") from None


def _each_a_node(values: list[Value]) -> bool:
    """Whether every layer is one operation on the input and on layers, and is read: as in all files of `save`."""
    units = {v.unit for v in values}
    read = {u for unit in units for u in unit.operands} | {values[-1].unit}
    return len(units) == len(values) and read == units


def parse_json(data: bytes) -> Any:
    """The document as nested dicts, lists, numbers and texts, each key once."""
    if data.count(b"[") + data.count(b"{") > MOST_BRACKETS:
        raise LoadError(f"expected at most {MOST_BRACKETS} lists and objects; write large arrays in base64")
    _check_depth(data)
    return parse(data)


def _check_depth(data: bytes) -> None:
    """The parser recurses; brackets within texts only make this check stricter."""
    letters = np.frombuffer(data, dtype=np.uint8)
    opening = (letters == ord("[")) | (letters == ord("{"))
    closing = (letters == ord("]")) | (letters == ord("}"))
    steps = opening.astype(np.int8)
    steps[closing] = -1
    if len(steps) and int(np.cumsum(steps[steps != 0], dtype=np.int32).max(initial=0)) > DEEPEST:
        raise LoadError(f"it is nested more than {DEEPEST} levels deep")
