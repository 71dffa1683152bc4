"""Layers from JSON: one object per layer.

Every object has "layer" (a key of `compile.frontends.json_layers.LAYERS`, or the name of an activation) and the
parameters of that layer. It reads the value of the layer before it, or those that "of" names: a number or a list,
where 0 is the network's input and k the k-th layer; "name" gives a layer a name that "of" can use instead.
Weights are arrays in the forms of `gpac.export.arrays`; in an architecture also names of tensors.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from compile.activations import NOT_ANALYTIC, RULES, refusal
from compile.frontends.json_layers import LAYERS, Layer
from compile.layers.recurrent import Cell
from compile.value import Value
from gpac.errors import LoadError, NumberError
from gpac.export.arrays import read_array, read_integers, read_matrix
from gpac.export.numbers import read_number
from gpac.export.text import shown

Tensors = Callable[[str], Any]
ANALYTIC = {name for name, rule in RULES.items() if rule.kinks is None}


def add_layer(entry: Any, known: dict[Any, Value], tensors: Tensors | None) -> Value:
    """The value of one more layer; `known` has the values before it by number and by name."""
    if not isinstance(entry, dict) or not isinstance(entry.get("layer"), str):
        raise LoadError(f'expected a layer as an object with a name as its "layer", got {shown(entry)}')
    kind, operands = entry["layer"], [_known(known, k) for k in _sources(entry, known)]
    if kind in NOT_ANALYTIC and "within" not in entry:
        raise LoadError(
            f'{refusal(kind)}; in this file the delta of relu, abs, clip, hardswish, elu or max is "within"'
        )
    build = LAYERS.get(kind) or (_activation(kind) if kind in ANALYTIC else None)
    if build is None:
        raise LoadError(_unknown(kind))
    given = {key: value for key, value in entry.items() if key not in ("layer", "of", "name")}
    many = [p for p in inspect.signature(build).parameters.values() if p.kind is p.VAR_POSITIONAL]
    parameters = {p.name: p for p in inspect.signature(build).parameters.values() if p.kind is p.KEYWORD_ONLY}
    wrong = [key for key in given if key not in parameters]
    missing = [key for key, p in parameters.items() if p.default is p.empty and key not in given]
    if wrong or missing:
        what = f"{wrong[0]!r} is none of them" if wrong else f"{missing[0]!r} is missing"
        raise LoadError(f"expected the parameters {', '.join(parameters) or 'none'} of a layer {kind!r}; {what}")
    arity = len(inspect.signature(build).parameters) - len(parameters)
    if not many and len(operands) != arity:
        if "of" in entry or arity > 1:
            raise LoadError(f'expected {arity} values as "of" for a layer {kind!r}, got {len(operands)}')
        operands = operands[:arity]
    return build(*operands, **{key: _read(key, value, tensors) for key, value in given.items()})


def _sources(entry: dict[str, Any], known: dict[Any, Value]) -> list[Any]:
    of = entry.get("of", sum(isinstance(k, int) for k in known) - 1)
    return of if isinstance(of, list) else [of]


def _known(known: dict[Any, Value], source: Any) -> Value:
    if isinstance(source, bool) or not isinstance(source, (int, str)) or source not in known:
        raise LoadError(f"expected layers before this one, got {shown(source)}")
    return known[source]


def _unknown(kind: str) -> str:
    return f"expected a layer among {', '.join(sorted({*LAYERS, *ANALYTIC}))}, got {shown(kind)}"


def _read(key: str, entry: Any, tensors: Tensors | None) -> Any:
    """A parameter by its name."""
    try:
        return READERS[key](entry, tensors)
    except (LoadError, NumberError) as error:
        raise type(error)(f"its parameter {key!r}: {error}") from None


def _array(entry: Any, tensors: Tensors | None) -> Any:
    if entry is None:
        return None
    if isinstance(entry, str) and tensors is not None:
        return tensors(entry)
    return read_array(entry)


def _doubles(entry: Any, tensors: Tensors | None) -> Any:
    """Numbers in places where fractions would be rounded: they are refused."""
    array = _array(entry, tensors)
    if array is not None and array.dtype != np.float64:
        raise NumberError("expected numbers that are float64 numbers exactly")
    return array


def _matrices(entry: Any, tensors: Tensors | None) -> list[Any]:
    if not isinstance(entry, list):
        raise LoadError(f"expected a list of matrices, got {shown(entry)}")
    named = tensors is not None
    return [_array(m, tensors) if named and isinstance(m, str) else read_matrix(m) for m in entry]


def _cells(entry: Any, tensors: Tensors | None) -> list[list[Cell]]:
    """Per layer, per direction, the weights [input, hidden] or [input, hidden, input bias, hidden bias]."""
    try:
        found = [[[_doubles(w, tensors) for w in cell] for cell in layer] for layer in entry]
        if all(len(cell) in (2, 4) and cell[0].ndim == cell[1].ndim == 2 for layer in found for cell in layer):
            return [[Cell(*cell) for cell in layer] for layer in found]
    except (TypeError, AttributeError):
        pass
    raise LoadError("expected for each layer, for each direction, two matrices and perhaps two biases")


def _integers(entry: Any, _: Tensors | None) -> Any:
    values = read_integers(entry)
    return int(values) if values.ndim == 0 else values.tolist()


def _shapes(entry: Any, _: Tensors | None) -> list[list[int]]:
    shapes = [read_integers(s).reshape(-1).tolist() for s in entry] if isinstance(entry, list) else []
    if len(shapes) != 2:
        raise LoadError(f"expected two shapes, got {shown(entry)}")
    return shapes


def _indices(entry: Any, _: Tensors | None) -> np.ndarray:
    return read_integers(entry)


def _integer(entry: Any, _: Tensors | None) -> int:
    if type(entry) is not int:
        raise LoadError(f"expected an integer, got {shown(entry)}")
    return entry


def _number(entry: Any, _: Tensors | None) -> float:
    if isinstance(entry, bool) or not isinstance(entry, (int, float)):
        raise LoadError(f"expected a number, got {shown(entry)}")
    return float(entry)


def _exact(entry: Any, _: Tensors | None) -> Any:
    return entry if type(entry) is int else read_number(entry)


def _of_type(kind: type, what: str) -> Callable[[Any, Tensors | None], Any]:
    def read(entry: Any, _: Tensors | None) -> Any:
        if not isinstance(entry, kind):
            raise LoadError(f"expected {what}, got {shown(entry)}")
        return entry

    return read


_truth, _text = _of_type(bool, "true or false"), _of_type(str, "a text")
READERS: dict[str, Callable[[Any, Tensors | None], Any]] = {
    **dict.fromkeys(("weight", "mean", "variance", "in_weight", "out_weight"), _doubles),
    **dict.fromkeys(("bias", "values", "factor", "in_bias", "out_bias"), _array),
    **dict.fromkeys(("kernel", "stride", "padding", "dilation", "output_padding", "size", "shape", "order"), _integers),
    **dict.fromkeys(("groups", "index", "tokens"), _indices),
    **dict.fromkeys(("axis", "axes", "heads", "count"), _integer),
    **dict.fromkeys(("count_padding", "ceil", "causal", "reset_after"), _truth),
    **dict.fromkeys(("einsum", "result"), _text),
    "shapes": _shapes,
    "matrices": _matrices,
    "cells": _cells,
    "eps": _number,
    **dict.fromkeys(("parameter", "within", "low", "high", "a", "b"), _exact),
}


def _activation(name: str) -> Layer:
    def layer(x: Value, *, parameter: Any = None) -> Value:
        return x.apply(name, parameter)

    return layer
