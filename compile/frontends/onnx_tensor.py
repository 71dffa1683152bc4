"""The numbers of one ONNX tensor, exactly as the file has them.

Source: onnx.proto, message TensorProto (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from onnx import TensorProto

from compile.frontends.onnx_file import Placed
from gpac.allowance import earn
from gpac.errors import LoadError, NumberError

LARGEST_DATA = 2**31
"""Bytes of one file of external data."""


@dataclass(frozen=True)
class _Kind:
    """How one ONNX type is stored: in raw bytes, and in which list of the message otherwise."""

    raw: str
    field: str


KINDS: dict[int, _Kind] = {
    TensorProto.FLOAT: _Kind("<f4", "float_data"),
    TensorProto.DOUBLE: _Kind("<f8", "double_data"),
    TensorProto.FLOAT16: _Kind("<u2", "int32_data"),
    TensorProto.BFLOAT16: _Kind("<u2", "int32_data"),
    TensorProto.INT8: _Kind("<i1", "int32_data"),
    TensorProto.INT16: _Kind("<i2", "int32_data"),
    TensorProto.INT32: _Kind("<i4", "int32_data"),
    TensorProto.INT64: _Kind("<i8", "int64_data"),
    TensorProto.UINT8: _Kind("<u1", "int32_data"),
    TensorProto.UINT16: _Kind("<u2", "int32_data"),
    TensorProto.UINT32: _Kind("<u4", "uint64_data"),
    TensorProto.UINT64: _Kind("<u8", "uint64_data"),
    TensorProto.BOOL: _Kind("<u1", "int32_data"),
}


def read_tensor(stored: TensorProto | Placed, folder: Path, masks: bool = False) -> np.ndarray:
    """The values of a tensor; external data is looked for in `folder` and never outside it.

    With `masks`, entries may be -inf.

    Returns
    -------
    np.ndarray
        Of the tensor's shape and type (bfloat16 as float32, its superset). Read-only where it is
        a view of the file's bytes.

    Raises
    ------
    LoadError
        If the type is not a real number, the data does not fill the shape, or an external file is missing.
    NumberError
        If a value is NaN or infinite.
    """
    tensor = stored.tensor if isinstance(stored, Placed) else stored
    kind = KINDS.get(tensor.data_type)
    if kind is None:
        raise LoadError(
            f"the tensor {tensor.name!r} has the type {type_name(tensor.data_type)}; supported are "
            f"{', '.join(type_name(t) for t in KINDS)}"
        )
    shape = tuple(tensor.dims)
    if any(length < 0 for length in shape):
        raise LoadError(f"the tensor {tensor.name!r} has the shape {shape}, with a negative size")
    values = _decoded(tensor.data_type, _stored(stored, kind, math.prod(shape), folder))
    if values.size != math.prod(shape):
        raise LoadError(
            f"the tensor {tensor.name!r} has {values.size} values, expected {math.prod(shape)} for its shape {shape}"
        )
    values = values.reshape(shape)
    _check_finite(values, tensor.name, masks)
    return values


def type_name(data_type: int) -> str:
    """The name of an ONNX element type, such as FLOAT."""
    known = data_type in TensorProto.DataType.values()
    return TensorProto.DataType.Name(data_type) if known else f"number {data_type}"


def _stored(stored: TensorProto | Placed, kind: _Kind, count: int, folder: Path) -> np.ndarray:
    tensor = stored.tensor if isinstance(stored, Placed) else stored
    if tensor.data_location == TensorProto.EXTERNAL:
        return _external(tensor, kind, count, folder)
    if isinstance(stored, Placed) or tensor.HasField("raw_data"):
        length = stored.end - stored.begin if isinstance(stored, Placed) else len(tensor.raw_data)
        if length != count * np.dtype(kind.raw).itemsize:
            raise LoadError(
                f"the tensor {tensor.name!r} has {length} bytes, which do not fill its shape "
                f"{tuple(tensor.dims)} of {type_name(tensor.data_type)}"
            )
        if isinstance(stored, Placed):
            return np.fromfile(stored.file, dtype=kind.raw, count=count, offset=stored.begin)
        return np.frombuffer(tensor.raw_data, dtype=kind.raw)
    field = getattr(tensor, kind.field)
    if kind.field != "int32_data":
        return np.array(field, dtype=kind.raw)
    wide = np.array(field, dtype=np.int32)
    values = wide.astype(kind.raw)
    if (values != wide).any():
        raise LoadError(f"the tensor {tensor.name!r} has values outside the type {type_name(tensor.data_type)}")
    return values


def _decoded(data_type: int, stored: np.ndarray) -> np.ndarray:
    if data_type == TensorProto.FLOAT16:
        return stored.view("<f2")
    if data_type == TensorProto.BFLOAT16:  # the upper half of a float32
        return (stored.astype(np.uint32) << 16).view(np.float32)
    return stored != 0 if data_type == TensorProto.BOOL else stored


def _external(tensor: TensorProto, kind: _Kind, count: int, folder: Path) -> np.ndarray:
    entries = {entry.key: entry.value for entry in tensor.external_data}
    file = _external_file(tensor.name, entries.get("location", ""), folder)
    itemsize = np.dtype(kind.raw).itemsize
    start = _bytes(tensor.name, entries, "offset", 0)
    length = _bytes(tensor.name, entries, "length", count * itemsize)
    size = file.stat().st_size
    if size > LARGEST_DATA:
        raise LoadError(
            f"the file {file.name!r} with the tensor {tensor.name!r} has {size} bytes, expected at most 2 GiB"
        )
    if length != count * itemsize or start + length > size:
        raise LoadError(
            f"the tensor {tensor.name!r} needs {count * itemsize} bytes from byte {start} of "
            f"{file.name!r}, which has {size} (declared length {length})"
        )
    earn(file, size)
    return np.fromfile(file, dtype=kind.raw, count=count, offset=start)


def _external_file(name: str, location: str, folder: Path) -> Path:
    """The named file, links followed; it must lie in `folder` or below."""
    root = folder.resolve()
    file = (root / location).resolve()
    if not location or Path(location).is_absolute() or not file.is_relative_to(root):
        raise LoadError(f"the tensor {name!r} is said to be in {location!r}, which is outside the model's folder")
    if not file.is_file():
        raise LoadError(
            f"the tensor {name!r} is stored in the file {location!r}, which is not beside the model; put it there"
        )
    return file


def _bytes(name: str, entries: dict[str, str], key: str, default: int) -> int:
    text = entries.get(key, str(default))
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise LoadError(f"the tensor {name!r} has the external {key} {text[:40]!r}, expected a number of bytes")
    return int(text)


def _check_finite(values: np.ndarray, name: str, masks: bool) -> None:
    bad = ~np.isfinite(values) if values.dtype.kind == "f" else np.zeros(0, dtype=bool)
    if bad.any() and not (masks and np.isneginf(values[bad]).all()):
        where = [int(i) for i in np.argwhere(bad)[0]]
        raise NumberError(f"expected finite numbers, the tensor {name!r} has {values[tuple(where)]} at {where}")
