"""Networks in Verisig's YAML: `weights`, `offsets` and `activations`, each by layer number from 1.

    activations: {1: Tanh, 2: Linear}
    offsets: {1: [0.5, -1.0], 2: [0.25]}
    weights:
      1: [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]     # one row per neuron
      2: [[-1.0, 1.0]]

Source: Ivanov, Weimer, Alur, Pappas and Lee, "Verisig", HSCC 2019, and the examples published with it.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from compile.network import Network
from compile.operations import Affine, Operation, Sigmoid, Tanh
from gpac.errors import LoadError, NumberError

KEYS = ("weights", "offsets", "activations")
ACTIVATIONS: dict[str, tuple[Operation, ...]] = {"tanh": (Tanh(),), "sigmoid": (Sigmoid(),), "linear": ()}
NUMBER = re.compile(r"[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?")
NOT_FINITE = re.compile(r"[-+]?\.?(nan|inf|infinity)", re.IGNORECASE)
DEEPEST = 5
"""Levels of a good file are four: the whole, `weights`, a layer, a row; one more gets a better message."""

ByLayer: TypeAlias = dict[int, Any]


def read_verisig(path: Path) -> Network:
    """The network in a YAML file of Verisig.

    Every decimal of the file becomes the nearest float64; from there on it is exact.

    Raises
    ------
    LoadError
        If the file is not such YAML; the message names the layer and the row.
    NumberError
        If a number is NaN or infinite.
    """
    tables = _tables(_parse(path.read_bytes()))
    layers: list[Operation] = []
    size = width = 0
    for k in sorted(tables["weights"]):
        dense = _dense(k, tables["weights"][k], tables["offsets"][k])
        size = size or dense.weight.shape[1]
        if k > 1 and dense.weight.shape[1] != width:
            raise LoadError(
                f"the weights of layer {k} have {dense.weight.shape[1]} columns, expected {width}, "
                f"the number of rows of layer {k - 1}"
            )
        width = len(dense.bias)
        layers += [dense, *_activation(k, tables["activations"][k])]
    return Network(size, tuple(layers), name=path.stem)


def _parse(data: bytes) -> Any:
    """The document as nested dicts, lists, texts and rows of numbers: nothing else is made, whatever the tags say."""
    import yaml

    loader: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
    builder = _Builder()
    try:
        for event in yaml.parse(data, Loader=loader):
            builder.take(event, type(event).__name__)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark else ""
        reason = getattr(error, "problem", None) or getattr(error, "reason", None) or type(error).__name__
        raise LoadError(f"it is not valid YAML{where}: {reason}") from None
    return builder.document


class _Builder:
    """A document from the events of its parser; a row becomes an array of numbers as soon as it is whole.

    Aliases and deep nesting, which make a small file take for ever, are refused at the first.
    """

    def __init__(self) -> None:
        self.document: Any = None
        self.documents = 0
        self.stack: list[Any] = []
        self.keys: list[Any] = []  # for every mapping in the stack, its key that waits for a value

    def take(self, event: Any, kind: str) -> None:
        """One event more."""
        line = event.start_mark.line + 1
        if getattr(event, "anchor", None) is not None:
            raise LoadError(f"anchors and aliases (line {line}) are not supported")
        if kind == "DocumentStartEvent":
            self.documents += 1
            if self.documents > 1:
                raise LoadError(f"it is not valid YAML at line {line}: expected a single document")
        elif kind == "ScalarEvent":
            self._add(event.value, line)
        elif kind in ("MappingStartEvent", "SequenceStartEvent"):
            self.stack.append({} if kind == "MappingStartEvent" else [])
            self.keys.append(None)
            if len(self.stack) > DEEPEST:
                raise LoadError(
                    f"line {line} is nested too deeply; expected {', '.join(KEYS)} with one list of rows for each layer"
                )
        elif kind in ("MappingEndEvent", "SequenceEndEvent"):
            value = self.stack.pop()
            self.keys.pop()
            self._add(_row(value) if isinstance(value, list) else value, line)

    def _add(self, value: Any, line: int) -> None:
        if not self.stack:
            self.document = value
        elif isinstance(self.stack[-1], list):
            self.stack[-1].append(value)
        elif self.keys[-1] is None:
            if not isinstance(value, str):
                raise LoadError(f"expected a name or a number as a key (line {line}), got {_shown(value)}")
            if value in self.stack[-1]:
                raise LoadError(f"the key {_shown(value)} is given twice (line {line})")
            self.keys[-1] = value
        else:
            self.stack[-1][self.keys[-1]] = value
            self.keys[-1] = None


def _row(texts: list[Any]) -> Any:
    """The numbers of a row, if it is one: texts take far more memory."""
    if not texts or not all(isinstance(t, str) and NUMBER.fullmatch(t) for t in texts):
        return texts
    numbers = np.array([float(t) for t in texts])
    return numbers if np.isfinite(numbers).all() else texts


def _tables(document: Any) -> dict[str, ByLayer]:
    if not isinstance(document, dict) or set(document) != set(KEYS):
        found = ", ".join(map(str, document)) if isinstance(document, dict) else "none"
        raise LoadError(f"expected the keys {', '.join(KEYS)} and no other, got {found[:200]}")
    tables = {key: _by_layer(key, document[key]) for key in KEYS}
    for key in KEYS[1:]:
        if len(tables[key]) != len(tables["weights"]):
            raise LoadError(f"there are {key} for {len(tables[key])} layers, but weights for {len(tables['weights'])}")
    return tables


def _by_layer(key: str, table: Any) -> ByLayer:
    if not isinstance(table, dict) or not table:
        raise LoadError(f"expected {key} by layer number (1: ..., 2: ...), got {_shown(table)}")
    numbers: ByLayer = {}
    for name, value in table.items():
        if not re.fullmatch("[0-9]{1,9}", str(name)):
            raise LoadError(f"expected layer numbers in {key}, got {_shown(name)}")
        numbers[int(name)] = value
    missing = sorted(set(range(1, len(table) + 1)) - set(numbers))
    if missing:
        raise LoadError(f"expected the layers 1 to {len(table)} in {key}; layer {missing[0]} is missing")
    return numbers


def _dense(k: int, rows: Any, offsets: Any) -> Affine:
    if not isinstance(rows, list) or not rows:
        raise LoadError(f"expected a list of rows as the weights of layer {k}, got {_shown(rows)}")
    parsed = [_numbers(f"row {r} of the weights of layer {k}", row) for r, row in enumerate(rows, 1)]
    for r, row in enumerate(parsed, 1):
        if len(row) != len(parsed[0]):
            raise LoadError(
                f"row {r} of the weights of layer {k} has {len(row)} numbers, expected {len(parsed[0])} as in row 1"
            )
    bias = _numbers(f"the offsets of layer {k}", offsets)
    if len(bias) != len(rows):
        raise LoadError(f"the offsets of layer {k} are {len(bias)} numbers, expected {len(rows)}, one for each row")
    return Affine((np.array(parsed, dtype=np.float64),), np.array(bias, dtype=np.float64))


def _numbers(what: str, texts: Any) -> Any:
    if isinstance(texts, np.ndarray):
        return texts
    if not isinstance(texts, list) or not texts:
        raise LoadError(f"expected a list of numbers as {what}, got {_shown(texts)}")
    return [_number(what, position, text) for position, text in enumerate(texts, 1)]


def _number(what: str, position: int, text: Any) -> float:
    if isinstance(text, str) and NUMBER.fullmatch(text):
        value = float(text)
        if math.isfinite(value):
            return value
    elif not isinstance(text, str) or not NOT_FINITE.fullmatch(text):
        raise LoadError(f"expected a number at position {position} of {what}, got {_shown(text)}")
    raise NumberError(f"expected a finite number at position {position} of {what}, got {_shown(text)}")


def _activation(k: int, name: Any) -> tuple[Operation, ...]:
    if not isinstance(name, str) or name.lower() not in ACTIVATIONS:
        raise LoadError(
            f"the activation {_shown(name)} of layer {k} is not supported; supported are Tanh, Sigmoid and Linear"
        )
    return ACTIVATIONS[name.lower()]


def _shown(value: Any) -> str:
    if isinstance(value, (dict, list, np.ndarray)):
        return f"a {'mapping' if isinstance(value, dict) else 'list'} of {len(value)}"
    return repr(value[:40])
