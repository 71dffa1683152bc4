"""Exact numbers in JSON: small arrays as lists one can read, large ones as the bytes they are made of.

    [0.5, -1.25, "1/3", "sqrt(2)/2"]                       numbers: a decimal is the nearest double, a text is exact
    {"shape": [200, 784], "float32": "AACAPwAA..."}        little-endian bytes in base64; float64 and int32 likewise
    {"shape": [3, 4], "sparse": {"starts": [...], "columns": [...], "values": [...]}}    rows of a sparse matrix
    {"block": [[1.0, 2.0]], "count": 3}                    the block on each of 3 rows of the vector

`starts` and `columns` are those of a compressed sparse row matrix: row i has its numbers at places starts[i] up to
starts[i+1]. One number as `values` stands for all of them. Texts are read by a parser of their own: nothing in a file
is ever executed.
"""

from __future__ import annotations

import ast
import base64
import binascii
from fractions import Fraction
from math import prod
from typing import Any

import numpy as np

from compile.allowance import spend
from compile.value import LARGEST_VALUE
from gpac.errors import LoadError
from gpac.exact import exact_array, to_exact
from gpac.repeated import Repeated

READABLE = 1000
"""Arrays of at most so many numbers are written as lists."""
LONGEST_TEXT = 2000
"""Letters of one exact number."""
TEXT, EXPRESSION = 32, 512
"""Numbers of eight bytes that a text becomes, and steps in which an irrational one is read."""
KINDS = {"float32": "<f4", "float64": "<f8", "int32": "<i4"}


def numbers_to_json(array: np.ndarray) -> Any:
    """An exact array, of floats or of exact numbers, as what `numbers_from_json` reads."""
    if array.dtype == object:
        texts = np.array([_text(v) for v in array.flat], dtype=object)
        return texts.reshape(array.shape).tolist()
    if array.size <= READABLE:
        return array.tolist()
    with np.errstate(over="ignore", invalid="ignore"):
        single = array.astype("<f4")
    kind = "float32" if (single == array).all() else "float64"
    return _packed(array, kind)


def integers_to_json(array: np.ndarray) -> Any:
    """Integers below 2^31 as what `integers_from_json` reads."""
    return array.tolist() if array.size <= READABLE else _packed(array, "int32")


def matrix_to_json(matrix: Any) -> Any:
    """A matrix of an affine map: a number, a vector, a dense or a sparse array."""
    if isinstance(matrix, Repeated):
        return {"block": numbers_to_json(matrix.block), "count": matrix.count}
    if not hasattr(matrix, "tocsr"):
        return numbers_to_json(matrix)
    rows = matrix.tocsr()
    same = rows.nnz > 0 and (rows.data == rows.data[0]).all()
    parts = {"starts": integers_to_json(rows.indptr), "columns": integers_to_json(rows.indices)}
    parts["values"] = float(rows.data[0]) if same else numbers_to_json(rows.data)
    return {"shape": list(rows.shape), "sparse": parts}


def exact_to_json(value: Any) -> Any:
    """One exact number: an integer or a float as it is, else its text."""
    return value if isinstance(value, (int, float)) else _text(value)


def numbers_from_json(entry: Any) -> np.ndarray:
    """An exact array from what `numbers_to_json` writes, or a person."""
    if isinstance(entry, dict):
        return exact_array(_unpacked(entry, ("float32", "float64")))
    try:
        array = np.array(entry, dtype=object) if _has_texts(entry) else np.asarray(entry)
    except ValueError:
        raise LoadError("expected rows of one length, got rows of several") from None
    if array.dtype != object:
        if array.dtype.kind not in "fiu":
            raise LoadError(f"expected numbers, got {shown(entry)}")
        return exact_array(entry if array.dtype.kind == "f" else array)
    texts = {v: exact_from_json(v) for v in {v for v in array.flat if isinstance(v, str)}}
    spend(TEXT * len(texts))
    flat = np.empty(array.size, dtype=object)
    flat[:] = [texts[v] if isinstance(v, str) else exact_from_json(v) for v in array.flat]
    return exact_array(flat.reshape(array.shape))


def integers_from_json(entry: Any) -> np.ndarray:
    """An array of integers."""
    array = _unpacked(entry, ("int32",)) if isinstance(entry, dict) else np.asarray(entry)
    if array.dtype.kind not in "iu" and array.size:
        raise LoadError(f"expected integers, got {shown(entry)}")
    return array.astype(np.int64)


def matrix_from_json(entry: Any) -> Any:
    """A matrix of an affine map."""
    if isinstance(entry, dict) and "block" in entry:
        if set(entry) != {"block", "count"} or type(entry["count"]) is not int:
            raise LoadError(f"expected the block and the count of a repeated matrix, got {list(entry)[:5]}")
        return Repeated(numbers_from_json(entry["block"]), entry["count"])
    if not isinstance(entry, dict) or "sparse" not in entry:
        return numbers_from_json(entry)
    from scipy.sparse import csr_matrix

    rows, columns = (*_shape(entry, {"shape", "sparse"}), 0, 0)[:2]
    parts = entry["sparse"]
    if not isinstance(parts, dict) or set(parts) != {"starts", "columns", "values"} or not rows * columns:
        raise LoadError("expected a sparse matrix with rows and columns, and its starts, columns and values")
    starts, places = integers_from_json(parts["starts"]), integers_from_json(parts["columns"])
    if starts.shape != (rows + 1,) or places.ndim != 1 or (np.diff([0, *starts, len(places)]) < 0).any():
        raise LoadError(f"expected {rows + 1} growing starts of a sparse matrix, up to its {len(places)} columns")
    if starts[0] != 0 or starts[-1] != len(places):
        raise LoadError(f"expected the starts of a sparse matrix to go from 0 to {len(places)}")
    if len(places) and not (places.min() >= 0 and places.max() < columns):
        raise LoadError(f"expected columns from 0 to {columns - 1} in a sparse matrix of {columns}")
    values = numbers_from_json(parts["values"])
    if values.dtype != np.float64 or values.shape not in ((), places.shape):
        raise LoadError(f"expected one double for each of the {len(places)} columns of a sparse matrix")
    return csr_matrix((np.broadcast_to(values, places.shape).copy(), places, starts), (rows, columns))


def exact_from_json(entry: Any) -> Any:
    """One exact number."""
    if isinstance(entry, bool) or not isinstance(entry, (int, float, str)):
        raise LoadError(f"expected a number, got {shown(entry)}")
    return to_exact(_parsed(entry) if isinstance(entry, str) else entry)


def shown(entry: Any) -> str:
    """What came, in a few words."""
    if isinstance(entry, (list, dict)):
        return f"{'a list' if isinstance(entry, list) else 'an object'} of {len(entry)}"
    return repr(entry)[:60]


def _text(value: Any) -> str:
    return str(to_exact(value))


def _packed(array: np.ndarray, kind: str) -> dict[str, Any]:
    data = np.ascontiguousarray(array, dtype=KINDS[kind])
    return {"shape": list(array.shape), kind: base64.b64encode(data.data).decode("ascii")}


def _unpacked(entry: dict[str, Any], kinds: tuple[str, ...]) -> np.ndarray:
    found = [kind for kind in kinds if kind in entry]
    if len(found) != 1:
        raise LoadError(f"expected an array as a list, or its shape and {' or '.join(kinds)}, got {list(entry)[:5]}")
    shape, text = _shape(entry, {"shape", found[0]}), entry[found[0]]
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError, TypeError) as error:
        raise LoadError(f"expected base64 as {found[0]} ({error})") from None
    count, size = prod(shape), np.dtype(KINDS[found[0]]).itemsize
    if len(data) != count * size:
        raise LoadError(f"{len(data)} bytes do not fill the shape {shape} of {found[0]}: expected {count * size}")
    return np.frombuffer(data, KINDS[found[0]]).reshape(shape)


def _shape(entry: dict[str, Any], keys: set[str]) -> list[int]:
    shape = entry.get("shape")
    if set(entry) != keys or not isinstance(shape, list) or not all(type(n) is int and n > 0 for n in shape):
        raise LoadError(f"expected {' and '.join(sorted(keys))}, the shape a list of sizes, got {shown(shape)}")
    if len(shape) > 8 or max(shape, default=1) > LARGEST_VALUE:
        raise LoadError(f"expected at most 8 sizes of at most {LARGEST_VALUE}, got {shown(shape)}")
    return shape


def _has_texts(entry: Any) -> bool:
    """Whether a text, or an integer that is no double, is among nested lists."""
    if isinstance(entry, list):
        return any(map(_has_texts, entry))
    return isinstance(entry, (str, bool)) or (isinstance(entry, int) and abs(entry) > 2**53)


ARITHMETIC: dict[type, Any] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: a / b,
}
FUNCTIONS = ("exp", "log", "sqrt")


def _parsed(text: str) -> Any:
    """The number that a text such as "1/3" or "sqrt(2)/2" names."""
    if len(text) > LONGEST_TEXT:
        raise LoadError(f"expected an exact number of at most {LONGEST_TEXT} letters, got {len(text)}")
    try:
        return Fraction(text)
    except (ValueError, ZeroDivisionError):
        pass
    spend(steps=EXPRESSION)
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise LoadError(f"expected an exact number such as 1/3 or sqrt(2), got {shown(text)}") from None
    return _evaluated(tree, text)


def _evaluated(tree: Any, text: str) -> Any:
    """A constant of sympy from the syntax tree of an expression.

    Only integers, arithmetic, pi, and exp, log, sqrt and small powers of small fractions are known.
    """
    import sympy

    if isinstance(tree, ast.Constant) and type(tree.value) is int:
        return sympy.Integer(tree.value)
    if isinstance(tree, ast.Name) and tree.id == "pi":
        return sympy.pi
    if isinstance(tree, ast.UnaryOp) and isinstance(tree.op, ast.USub):
        return -_evaluated(tree.operand, text)
    if isinstance(tree, ast.BinOp):
        left, right = _evaluated(tree.left, text), _evaluated(tree.right, text)
        if type(tree.op) in ARITHMETIC and not (isinstance(tree.op, ast.Div) and right == 0):
            return ARITHMETIC[type(tree.op)](left, right)
        half = right.is_Rational and right.q == 2 and abs(right.p) < 8
        if isinstance(tree.op, ast.Pow) and half and left.is_Rational and left > 0:
            return left**right
    if isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name) and len(tree.args) == 1 and not tree.keywords:
        argument = _evaluated(tree.args[0], text)
        if tree.func.id in FUNCTIONS and argument.is_Rational and 0 < argument < 1000:
            return getattr(sympy, tree.func.id)(argument)
    raise LoadError(f"expected an exact number such as 1/3 or sqrt(2), got {shown(text)}")
