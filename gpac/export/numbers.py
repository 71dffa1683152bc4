"""Exact numbers and arrays of them as JSON: nothing is rounded, and nothing that is read is executed.

number   text "-8/3"; long ones hexadecimal, "0x1f/0x20"; irrational constants as trees, ["sin", "1"], ["pi"],
         ["Mul", "2", ["Pow", "3", "1/2"]], of the functions in `gpac.exact.FUNCTIONS`, sums, products and powers
array    {"shape": [m, n], "numbers": [number, ...]}, row by row
         {"shape": [m, n], "float64": text}: base64 of little-endian doubles, row by row
         {"shape": [m, n], "starts": text, "columns": text, "float64": text}: a sparse matrix by compressed rows,
         base64 of little-endian 64-bit integers and doubles
         {"block": array, "count": n}: a matrix on each of n rows, `gpac.repeated.Repeated`
         a whole number k: array k of the file's table, where long ones stand once, each after those that it is made of
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from math import prod
from typing import Any

import numpy as np

from ..errors import GpacError, LoadError
from ..exact import FUNCTIONS, exact_array, to_exact, to_text
from ..repeated import Repeated

Json = Any

SHORT = 32
"""Entries up to which an array is written number by number."""
MOST_ENTRIES = 2**26
DEEPEST = 50
LONGEST = 1000
"""Letters of a name."""
_OPERATIONS = ("Add", "Mul", "Pow")
_CONSTANTS = ("pi", "E", "EulerGamma")
_DECIMAL = re.compile(r"-?[0-9]{1,4000}(/[0-9]{1,4000})?")
_HEXADECIMAL = re.compile(r"-?0x[0-9a-f]{1,1000000}/0x[0-9a-f]{1,1000000}")


def write_number(value: Any) -> Json:
    """An exact number as JSON; raises `GpacError` for constants that the format has no word for."""
    value = to_exact(value)
    return to_text(value) if isinstance(value, Fraction) else _tree(value)


def read_number(data: Json) -> Any:
    """The exact number that JSON stands for."""
    if isinstance(data, list):
        return to_exact(_expression(data, 0))
    if not isinstance(data, str) or not (_DECIMAL.fullmatch(data) or _HEXADECIMAL.fullmatch(data)):
        raise LoadError(f"expected a number as text, such as '-8/3', got {shown(data)}")
    base = 16 if "0x" in data else 10
    above, _, below = data.partition("/")
    denominator = int(below, base) if below else 1
    if not denominator:
        raise LoadError(f"expected a number, got a division by zero in {shown(data)}")
    return Fraction(int(above, base), denominator)


def read_rational(data: Json) -> Fraction:
    """A number that must be rational."""
    value = read_number(data)
    if not isinstance(value, Fraction):
        raise LoadError(f"expected a rational number, got {shown(data)}")
    return value


@dataclass
class ArrayWriter:
    """Arrays as JSON; long ones go into a table, equal ones once."""

    table: list[Json] = field(default_factory=list)
    places: dict[Any, int] = field(default_factory=dict)

    def write(self, array: Any) -> Json:
        """An exact array, or a sparse or repeated matrix of doubles."""
        if isinstance(array, Repeated):
            repeated = {"block": self.write(array.block), "count": array.count}
            return self._placed(str(repeated), repeated)
        if not hasattr(array, "tocsr"):
            return self._placed((array.shape, array.tobytes()), self._dense(array)) if _long(array) else _short(array)
        csr = array.tocsr()
        parts = {"starts": _base64(csr.indptr, "<i8"), "columns": _base64(csr.indices, "<i8")}
        data = {"shape": list(csr.shape), **parts, "float64": _base64(csr.data, "<f8")}
        return self._placed(tuple(map(str, data.values())), data)

    def _dense(self, array: np.ndarray) -> Json:
        return {"shape": list(array.shape), "float64": _base64(array, "<f8")}

    def _placed(self, key: Any, data: Json) -> int:
        if key not in self.places:
            self.places[key] = len(self.table)
            self.table.append(data)
        return self.places[key]


@dataclass
class ArrayReader:
    """Arrays from JSON, with the table that numbers in their place refer to."""

    table: list[Any]

    @classmethod
    def of(cls, rows: Json) -> ArrayReader:
        """Read the table itself."""
        if not isinstance(rows, list):
            raise LoadError(f"expected a list of arrays, got {shown(rows)}")
        reader = cls([])
        for row in rows:
            reader.table.append(reader.read(row))
        return reader

    def read(self, data: Json) -> Any:
        """A float64 or object array, or a sparse or repeated matrix."""
        if isinstance(data, int):
            return self.table[whole(data, 0, len(self.table) - 1, "the number of an array in the table")]
        if not isinstance(data, dict):
            raise LoadError(f"expected an array, got {shown(data)}")
        if data.keys() == {"block", "count"}:
            return self._repeated(data)
        shape = _shape(data.get("shape"))
        if data.keys() == {"shape", "numbers"}:
            return _read_numbers(data["numbers"], shape)
        if data.keys() == {"shape", "float64"}:
            return exact_array(_read_base64(data["float64"], "<f8", prod(shape)).reshape(shape))
        if data.keys() == {"shape", "starts", "columns", "float64"} and len(shape) == 2:
            return _read_sparse(data, shape)
        raise LoadError(f"expected an array with 'shape' and 'numbers' or 'float64', got the keys {shown(list(data))}")

    def _repeated(self, data: Json) -> Repeated:
        block = self.read(data["block"])
        if hasattr(block, "tocsr") or block.ndim != 2 or block.dtype != np.float64 or not block.size:
            raise LoadError(f"expected a block of doubles (m, n), got shape {block.shape}")
        return Repeated(block, whole(data["count"], 1, MOST_ENTRIES // max(block.shape), "a number of rows"))

    def read_dense(self, data: Json, shape: tuple[int, ...], what: str) -> np.ndarray:
        """An array that must be dense and of a shape."""
        array = self.read(data)
        if hasattr(array, "tocsr") or array.shape != shape:
            raise LoadError(f"expected {what} of shape {shape}, got {array.shape}")
        return array


# -- what every reader needs ---------------------------------------------------------------------------------


def fields(data: Json, *names: str) -> list[Json]:
    """The values of a JSON object that must have exactly these keys."""
    if not isinstance(data, Mapping) or data.keys() != set(names):
        got = sorted(data) if isinstance(data, Mapping) else data
        raise LoadError(f"expected an object with the keys {', '.join(names)}, got {shown(got)}")
    return [data[name] for name in names]


def items(data: Json, what: str) -> list[Json]:
    """A JSON list."""
    if not isinstance(data, list):
        raise LoadError(f"expected {what}, got {shown(data)}")
    return data


def pair(data: Json, what: str) -> list[Json]:
    """A JSON list of two."""
    if not isinstance(data, list) or len(data) != 2:
        raise LoadError(f"expected {what}, got {shown(data)}")
    return data


def whole(data: Json, low: int, high: int, what: str) -> int:
    """A whole number from `low` to `high`."""
    if type(data) is not int or not low <= data <= high:
        raise LoadError(f"expected {what}, a whole number from {low} to {high}, got {shown(data)}")
    return data


def word(data: Json, what: str) -> str:
    """Text of a sensible length that can be printed."""
    if not isinstance(data, str) or len(data) > LONGEST or not data.isprintable():
        raise LoadError(f"expected {what} in printable letters, at most {LONGEST}, got {shown(data)}")
    return data


def shown(data: Json) -> str:
    """Something out of a file for a message: one short line."""
    return printable(repr(data)[:80])


def printable(text: str) -> str:
    """Text on one line, of a sensible length, without control characters."""
    line = " ".join(text[:LONGEST].split())
    return "".join(letter if letter.isprintable() else "?" for letter in line)


# -- in detail -----------------------------------------------------------------------------------------------


def _tree(value: Any) -> Json:
    import sympy

    if value.is_Rational:
        return to_text(Fraction(int(value.p), int(value.q)))
    if str(value) in _CONSTANTS and value.is_Atom:
        return [str(value)]
    name = type(value).__name__
    if name not in (*_OPERATIONS, *FUNCTIONS) or getattr(sympy, name, None) is not value.func:
        raise GpacError(f"the constant {value} cannot be written to a file: the format has no {name}")
    return [name, *map(_tree, value.args)]


def _expression(data: Json, depth: int) -> Any:
    """A tree as a sympy expression, put together as it stands: nothing is simplified, no text is parsed."""
    import sympy

    if not isinstance(data, list):
        number = read_number(data)
        return sympy.Rational(number.numerator, number.denominator)
    if depth > DEEPEST or not data or not isinstance(data[0], str):
        raise LoadError(f"expected a constant such as ['sin', '1'], got {shown(data)}")
    name, *rest = data
    if name in _CONSTANTS and not rest:
        return getattr(sympy, name)
    fits = len(rest) == 1 if name in FUNCTIONS else len(rest) == 2 if name == "Pow" else name in ("Add", "Mul")
    if not fits or not rest:
        raise LoadError(f"expected a constant such as ['sin', '1'], got {shown(data)}")
    return getattr(sympy, name)(*(_expression(part, depth + 1) for part in rest), evaluate=False)


def _long(array: np.ndarray) -> bool:
    """Whether an array is written as bytes; -0.0 has no other form."""
    return array.dtype == np.float64 and bool(array.size > SHORT or np.signbit(array[array == 0]).any())


def _short(array: np.ndarray) -> Json:
    return {"shape": list(array.shape), "numbers": [write_number(v) for v in array.flat]}


def _base64(array: np.ndarray, kind: str) -> str:
    return base64.b64encode(np.ascontiguousarray(array, dtype=kind).tobytes()).decode("ascii")


def _shape(data: Json) -> tuple[int, ...]:
    if not isinstance(data, list) or len(data) > 2:
        raise LoadError(f"expected a shape of at most two numbers, got {shown(data)}")
    shape = tuple(whole(n, 0, MOST_ENTRIES, "an extent") for n in data)
    if prod(shape) > MOST_ENTRIES**2:
        raise LoadError(f"expected a smaller array, got the shape {shape}")
    return shape


def _read_numbers(data: Json, shape: tuple[int, ...]) -> np.ndarray:
    if not isinstance(data, list) or len(data) != prod(shape):
        raise LoadError(f"expected {prod(shape)} numbers for the shape {shape}, got {shown(data)}")
    array = np.empty(len(data), dtype=object)
    for k, entry in enumerate(data):
        array[k] = read_number(entry)
    return exact_array(array.reshape(shape))


def _read_base64(data: Json, kind: str, count: int | None = None) -> np.ndarray:
    try:
        raw = base64.b64decode(data, validate=True) if isinstance(data, str) else None
    except (binascii.Error, ValueError):
        raw = None
    if raw is None or len(raw) % 8 or (count is not None and len(raw) != 8 * count):
        raise LoadError(f"expected base64 of {'8-byte' if count is None else count} numbers, got {shown(data)}")
    return np.frombuffer(raw, dtype=kind).astype(kind[1:])


def _read_sparse(data: Json, shape: tuple[int, ...]) -> Any:
    from scipy.sparse import csr_matrix

    columns = _read_base64(data["columns"], "<i8")
    starts = _read_base64(data["starts"], "<i8", shape[0] + 1)
    values = exact_array(_read_base64(data["float64"], "<f8", len(columns)))
    if starts[0] != 0 or starts[-1] != len(columns) or (np.diff(starts) < 0).any():
        raise LoadError("expected starts of rows in order, from 0 to the number of entries of a sparse matrix")
    if ((columns < 0) | (columns >= shape[1])).any():
        raise LoadError(f"expected columns of a sparse matrix from 0 to {shape[1] - 1}")
    return csr_matrix((values, columns, starts), shape=shape)
