"""The units of circuits as rows of JSON, each after those that it reads; only "wire" rows refer forward.

    {"unit": "constant", "name", "signs", "values": array}
    {"unit": "input",    "name", "signs", "size": n}
    {"unit": "time",     "name", "signs"}
    {"unit": "linear",   "name", "signs", "size": n, "terms": [[array, row], ...], "bias": array or null}
    {"unit": "product",  "name", "signs", "left": row, "right": row, "einsum": null or ["ij,j->i", [2, 3], [3]]}
    {"unit": "integral", "name", "signs", "integrand": row, "variable": row, "initial": array, or
                         {"function": "tanh", "of": row, "parameters": [number, ...]}}
    {"unit": "wire",     "name", "signs", "size": n, "is": row, or null for the output of that name}

Arrays are those of `gpac.export.arrays`; names are text or null, signs some of "-0+".
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable
from dataclasses import replace
from math import prod
from typing import Any

from ..elementary import TABLE
from ..errors import GpacError, LoadError
from ..graph import operands
from ..signs import known
from ..wire import Constant, Forward, Input, Integral, Linear, Product, Start, Time, Wire, bilinear, product
from .arrays import MOST_ENTRIES, ArrayReader, ArrayWriter
from .numbers import read_number, write_number
from .text import Json, fields, items, pair, shown, whole, word

MOST_PAIRS = 2**24
"""Products of two numbers in one bilinear unit."""


def write_units(wires: Iterable[Wire], arrays: ArrayWriter) -> tuple[list[Json], dict[Wire, int]]:
    """Rows for the wires and all that they need, and the row of each."""
    place = _in_order(wires)
    return [_row(wire, place, arrays) for wire in place], place


def read_units(rows: Json, arrays: ArrayReader) -> list[Wire]:
    """The wires of all rows, in their order."""
    wires: list[Wire] = []
    open_ends: list[tuple[Forward, int]] = []
    for number, row in enumerate(items(rows, "a list of units")):
        try:
            wire = _read(row, wires, arrays)
            if isinstance(wire, Forward) and row["is"] is not None:
                open_ends.append((wire, whole(row["is"], 0, len(rows) - 1, "the row of a unit")))
        except GpacError as error:
            raise LoadError(f"unit {number}: {error}") from None
        wires.append(wire)
    for forward, target in open_ends:
        forward.define(wires[target])
    return wires


def _in_order(wires: Iterable[Wire]) -> dict[Wire, int]:
    """Numbers of the wires and of all behind them, operands first; what is behind a forward wire comes later."""
    order: dict[Wire, int] = {}
    waiting = deque(wires)
    while waiting:
        stack = [waiting.popleft()]
        while stack:
            wire = stack[-1]
            needs = [w for w in operands(wire) if w not in order]
            if wire not in order and needs:
                stack += needs
                continue
            stack.pop()
            if wire not in order:
                order[wire] = len(order)
                waiting += wire.target if isinstance(wire, Forward) else ()
    return order


def _row(wire: Wire, place: dict[Wire, int], arrays: ArrayWriter) -> Json:
    kind = "wire" if isinstance(wire, Forward) else type(wire).__name__.lower()
    row: dict[str, Json] = {"unit": kind, "name": wire.name, "signs": wire.signs}
    if isinstance(wire, Constant):
        row["values"] = arrays.write(wire.values)
    elif isinstance(wire, Input):
        row["size"] = wire.size
    elif isinstance(wire, Linear):
        terms = [[arrays.write(matrix), place[w]] for matrix, w in wire.terms]
        row |= {"size": wire.size, "terms": terms, "bias": None if wire.bias is None else arrays.write(wire.bias)}
    elif isinstance(wire, Product):
        einsum = None if wire.einsum is None else [wire.einsum[0], *map(list, wire.einsum[1:])]
        row |= {"left": place[wire.left], "right": place[wire.right], "einsum": einsum}
    elif isinstance(wire, Integral):
        row |= {"integrand": place[wire.integrand], "variable": place[wire.variable]}
        row["initial"] = _written_start(wire.initial, place, arrays)
    elif isinstance(wire, Forward):
        row |= {"size": wire.size, "is": place[wire.target[0]] if wire.target else None}
    elif not isinstance(wire, Time):
        raise GpacError(f"expected one of Shannon's units to write to a file, got {type(wire).__name__}")
    return row


def _written_start(initial: Any, place: dict[Wire, int], arrays: ArrayWriter) -> Json:
    if not isinstance(initial, Start):
        return arrays.write(initial)
    parameters = [write_number(p) for p in initial.parameters]
    return {"function": initial.function, "of": place[initial.wire], "parameters": parameters}


def _read(row: Json, wires: list[Wire], arrays: ArrayReader) -> Wire:
    """The wire of one row; those before it are known."""
    kind = row.get("unit") if isinstance(row, dict) else None
    if not isinstance(kind, str) or kind not in _KEYS:
        raise LoadError(f"expected one of the units {', '.join(_KEYS)}, got {shown(row)}")
    _, name, signs, *rest = fields(row, "unit", "name", "signs", *_KEYS[kind])
    head: dict[str, Any] = {
        "name": None if name is None else word(name, "a name"),
        "signs": known(word(signs, "signs")),
    }
    if kind == "constant":
        values = arrays.read(rest[0])
        if values.ndim != 1 or not values.size or hasattr(values, "tocsr"):
            raise LoadError(f"expected a vector of at least one number, got shape {values.shape}")
        return Constant(values, **head)
    if kind == "input":
        return Input(_size(rest[0]), **head)
    if kind == "time":
        return Time(**head)
    if kind == "wire":
        return Forward(_size(rest[0]), **head)
    if kind == "linear":
        return _linear(rest, head, wires, arrays)
    left, right = (wires[whole(k, 0, len(wires) - 1, "the row of an earlier unit")] for k in rest[:2])
    if kind == "product":
        return replace(_product(left, right, rest[2]), **head)
    size = max(left.size, right.size)
    if {left.size, right.size} - {1, size}:
        raise LoadError(f"expected sides of one size, or of size 1, got {left.size} and {right.size}")
    return Integral(left, right, _start(rest[2], size, wires, arrays), **head)


_KEYS = {
    "constant": ("values",),
    "input": ("size",),
    "time": (),
    "linear": ("size", "terms", "bias"),
    "product": ("left", "right", "einsum"),
    "integral": ("integrand", "variable", "initial"),
    "wire": ("size", "is"),
}


def _size(data: Json) -> int:
    return whole(data, 1, MOST_ENTRIES, "a size")


def _linear(rest: list[Json], head: dict[str, Any], wires: list[Wire], arrays: ArrayReader) -> Linear:
    size, terms = _size(rest[0]), []
    for entry in items(rest[1], "a list of terms"):
        data, k = pair(entry, "a term [matrix, row]")
        matrix = arrays.read(data)
        wire = wires[whole(k, 0, len(wires) - 1, "the row of an earlier unit")]
        if matrix.shape != (size, wire.size) and not (matrix.shape in ((), (size,)) and wire.size == size):
            raise LoadError(f"a matrix of shape {matrix.shape} does not take size {wire.size} to size {size}")
        terms.append((matrix, wire))
    if not terms:
        raise LoadError("expected at least one term in a sum, got none")
    bias = None if rest[2] is None else arrays.read_dense(rest[2], (size,), "a bias")
    return Linear(tuple(terms), bias, size, **head)


def _product(left: Wire, right: Wire, einsum: Json) -> Product:
    if einsum is None:
        return product(left, right)
    if not isinstance(einsum, list) or len(einsum) != 3 or not _EINSUM.fullmatch(str(einsum[0])):
        raise LoadError(f"expected an einsum such as ['ij,j->i', [2, 3], [3]], got {shown(einsum)}")
    shapes = [
        tuple(whole(n, 1, MOST_PAIRS, "an extent") for n in items(shape, "a list of extents")) for shape in einsum[1:]
    ]
    words = einsum[0].split("->")[0].split(",")
    extents = {c: n for letters, shape in zip(words, shapes, strict=True) for c, n in zip(letters, shape, strict=False)}
    if prod(extents.values()) > MOST_PAIRS:
        raise LoadError(f"expected a bilinear unit of at most {MOST_PAIRS} products, got {shown(einsum)}")
    return bilinear(einsum[0], left, right, *shapes)


_EINSUM = re.compile(r"[A-Za-z]{0,8},[A-Za-z]{0,8}->[A-Za-z]{0,8}")


def _start(data: Json, size: int, wires: list[Wire], arrays: ArrayReader) -> Any:
    if not isinstance(data, dict) or "function" not in data:
        return arrays.read_dense(data, (size,), "initial values")
    function, of, parameters = fields(data, "function", "of", "parameters")
    if not isinstance(function, str) or function not in TABLE:
        raise LoadError(f"expected a function out of {', '.join(TABLE)}, got {shown(function)}")
    wire = wires[whole(of, 0, len(wires) - 1, "the row of an earlier unit")]
    numbers = tuple(read_number(p) for p in items(parameters, "a list of parameters"))
    if len(numbers) != (function == "power") or wire.size not in (1, size):
        came = f"size {wire.size} and {len(numbers)} parameters"
        raise LoadError(f"expected {function} of a wire of size 1 or {size} and its parameters, got {came}")
    return Start(function, wire, numbers)
