"""Exact arrays as JSON: small ones as lists one can read, large ones as the bytes they are made of.

    [[0.5, -1.25], ["1/3", "sqrt(2)/2"]]              numbers as in `gpac.export.numbers`, row by row
    {"shape": [200, 784], "float32": "AACAPwAA..."}   little-endian bytes in base64; float64 and int32 likewise
    {"shape": [3, 4], "sparse": {"starts": [...], "columns": [...], "values": [...]}}    rows of a sparse matrix
    {"block": [[1.0, 2.0]], "count": 3}               the block on each of 3 rows (`gpac.repeated.Repeated`)
    "array 3"                                         in program files: array 3 of the file's table, from 0

`starts` and `columns` are those of a compressed sparse row matrix: row i has its numbers at places starts[i] up to
starts[i+1]. One number as `values` stands for all of them.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass, field
from hashlib import sha256
from math import prod
from typing import Any

import numpy as np

from ..allowance import spend
from ..errors import LoadError
from ..exact import exact_array
from ..repeated import Repeated
from .numbers import read_number, write_number
from .text import Json, fields, items, shown, whole

READABLE = 1000
"""Arrays of at most so many numbers are written as lists."""
SHARED = 32
"""Arrays of more numbers stand in a table, once."""
MOST_ENTRIES = 2**26
MOST_AXES = 8
TEXT = 32
"""Numbers of eight bytes that a text becomes."""
KINDS = {"float32": "<f4", "float64": "<f8", "int32": "<i4"}


def write_array(array: np.ndarray) -> Json:
    """An exact array, of floats or of exact numbers, as what `read_array` reads."""
    if array.dtype == object:
        entries = np.empty(array.size, dtype=object)
        entries[:] = [write_number(v) for v in array.flat]
        return entries.reshape(array.shape).tolist()
    if array.size <= READABLE:
        return array.tolist()
    with np.errstate(over="ignore", invalid="ignore"):
        single = array.astype("<f4")
    return _packed(array, "float32" if (single == array).all() else "float64")


def write_integers(array: np.ndarray) -> Json:
    """Integers below 2^31 as what `read_integers` reads."""
    return array.tolist() if array.size <= READABLE else _packed(array, "int32")


def write_matrix(matrix: Any) -> Json:
    """An exact array, or a sparse or repeated matrix of doubles."""
    if isinstance(matrix, Repeated):
        return {"block": write_array(matrix.block), "count": matrix.count}
    if not hasattr(matrix, "tocsr"):
        return write_array(matrix)
    rows = matrix.tocsr()
    same = rows.nnz > 0 and (rows.data == rows.data[0]).all()
    parts = {"starts": write_integers(rows.indptr), "columns": write_integers(rows.indices)}
    parts["values"] = float(rows.data[0]) if same else write_array(rows.data)
    return {"shape": list(rows.shape), "sparse": parts}


def read_array(data: Json) -> np.ndarray:
    """An exact array from what `write_array` writes, or a person."""
    if isinstance(data, dict) and "shape" in data:
        return exact_array(_unpacked(data, ("float32", "float64")))
    try:
        array = np.asarray(data, dtype=object) if _has_exact(data) else np.asarray(data)
    except ValueError:
        raise LoadError("expected rows of one length, got rows of several") from None
    if array.dtype != object:
        if array.dtype.kind not in "fiu":
            raise LoadError(f"expected numbers, got {shown(data)}")
        return exact_array(data if array.dtype.kind == "f" else array)
    texts = {v: read_number(v) for v in {v for v in array.flat if isinstance(v, str)}}
    spend(TEXT * len(texts))
    flat = np.empty(array.size, dtype=object)
    flat[:] = [texts[v] if isinstance(v, str) else read_number(v) for v in array.flat]
    return exact_array(flat.reshape(array.shape))


def read_integers(data: Json) -> np.ndarray:
    """An array of integers."""
    array = _unpacked(data, ("int32",)) if isinstance(data, dict) else np.asarray(data)
    if array.dtype.kind not in "iu" and array.size:
        raise LoadError(f"expected integers, got {shown(data)}")
    return array.astype(np.int64)


def read_matrix(data: Json) -> Any:
    """An exact array, or a sparse or repeated matrix."""
    if isinstance(data, dict) and "block" in data:
        entry, count = fields(data, "block", "count")
        block = read_array(entry)
        if block.ndim != 2 or block.dtype != np.float64 or not block.size:
            raise LoadError(f"expected a block of doubles (m, n), got shape {block.shape}")
        return Repeated(block, whole(count, 1, MOST_ENTRIES // max(block.shape), "a number of rows"))
    return _read_sparse(data) if isinstance(data, dict) and "sparse" in data else read_array(data)


@dataclass
class ArrayWriter:
    """Arrays of a program file: long ones go into a table, equal ones once."""

    table: list[Json] = field(default_factory=list)
    places: dict[bytes, int] = field(default_factory=dict)

    def write(self, array: Any) -> Json:
        """An exact array or a matrix of doubles, or its name in the table."""
        data = write_matrix(array)
        if array.dtype == object or (array.nnz if hasattr(array, "tocsr") else array.size) <= SHARED:
            return data
        key = sha256(json.dumps(data).encode()).digest()
        if key not in self.places:
            self.places[key] = len(self.table)
            self.table.append(data)
        return f"array {self.places[key]}"


@dataclass
class ArrayReader:
    """Arrays of a program file."""

    table: list[Any]

    @classmethod
    def of(cls, rows: Json) -> ArrayReader:
        """Read the table itself."""
        return cls([read_matrix(row) for row in items(rows, "a list of arrays")])

    def read(self, data: Json) -> Any:
        """A float64 or object array, or a sparse or repeated matrix."""
        place = re.fullmatch("array ([0-9]{1,9})", data) if isinstance(data, str) else None
        if place is None:
            return read_matrix(data)
        return self.table[whole(int(place[1]), 0, len(self.table) - 1, "the number of an array in the table")]

    def read_dense(self, data: Json, shape: tuple[int, ...], what: str) -> np.ndarray:
        """An array that must be dense and of a shape."""
        array = self.read(data)
        if hasattr(array, "tocsr") or array.shape != shape:
            raise LoadError(f"expected {what} of shape {shape}, got {array.shape}")
        return array


def _packed(array: np.ndarray, kind: str) -> dict[str, Json]:
    data = np.ascontiguousarray(array, dtype=KINDS[kind])
    return {"shape": list(array.shape), kind: base64.b64encode(data.data).decode("ascii")}


def _unpacked(data: dict[str, Json], kinds: tuple[str, ...]) -> np.ndarray:
    found = [kind for kind in kinds if kind in data]
    if len(found) != 1:
        got = [shown(key) for key in list(data)[:5]]
        raise LoadError(f"expected an array as a list, or its shape and {' or '.join(kinds)}, got {', '.join(got)}")
    shape, text = _shape(data, {"shape", found[0]}), data[found[0]]
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError, TypeError) as error:
        raise LoadError(f"expected base64 as {found[0]} ({error})") from None
    count, size = prod(shape), np.dtype(KINDS[found[0]]).itemsize
    if len(raw) != count * size:
        raise LoadError(f"{len(raw)} bytes do not fill the shape {shape} of {found[0]}: expected {count * size}")
    return np.frombuffer(raw, KINDS[found[0]]).reshape(shape)


def _shape(data: dict[str, Json], keys: set[str]) -> list[int]:
    shape = data.get("shape")
    if set(data) != keys or not isinstance(shape, list) or not all(type(n) is int and n > 0 for n in shape):
        raise LoadError(f"expected {' and '.join(sorted(keys))}, the shape a list of sizes, got {shown(shape)}")
    if len(shape) > MOST_AXES or max(shape, default=1) > MOST_ENTRIES:
        raise LoadError(f"expected at most {MOST_AXES} sizes of at most {MOST_ENTRIES}, got {shown(shape)}")
    return shape


def _has_exact(data: Json) -> bool:
    """Whether a number that is no double of its own is among nested lists."""
    if isinstance(data, list):
        return any(map(_has_exact, data))
    return isinstance(data, (str, bool, dict)) or (isinstance(data, int) and abs(data) > 2**53)


def _read_sparse(data: Json) -> Any:
    from scipy.sparse import csr_matrix

    rows, columns = (*_shape(data, {"shape", "sparse"}), 0, 0)[:2]
    parts = data["sparse"]
    if not isinstance(parts, dict) or set(parts) != {"starts", "columns", "values"} or not rows * columns:
        raise LoadError("expected a sparse matrix with rows and columns, and its starts, columns and values")
    starts, places = read_integers(parts["starts"]), read_integers(parts["columns"])
    if starts.shape != (rows + 1,) or places.ndim != 1 or (np.diff([0, *starts, len(places)]) < 0).any():
        raise LoadError(f"expected {rows + 1} growing starts of a sparse matrix, up to its {len(places)} columns")
    if starts[0] != 0 or starts[-1] != len(places):
        raise LoadError(f"expected the starts of a sparse matrix to go from 0 to {len(places)}")
    if len(places) and not (places.min() >= 0 and places.max() < columns):
        raise LoadError(f"expected columns from 0 to {columns - 1} in a sparse matrix of {columns}")
    values = read_array(parts["values"])
    if values.dtype != np.float64 or values.shape not in ((), places.shape):
        raise LoadError(f"expected one double for each of the {len(places)} columns of a sparse matrix")
    return csr_matrix((np.broadcast_to(values, places.shape).copy(), places, starts), (rows, columns))
