"""Weights in a safetensors file, put into an architecture that the caller declares.

The file is a header in JSON (names, types, shapes and places of the tensors) and the tensors' bytes. It is mapped into
memory, and each tensor is read where a layer asks for it. The format is read here and not by its package because that
one has no bfloat16 for NumPy. Source: https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from compile.frontends.json_network import declared, parse_json
from compile.network import Network
from gpac.errors import LoadError, NumberError
from gpac.export.text import shown

TYPES = {
    **{"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "BOOL": "?"},
    **{f"I{8 * n}": f"<i{n}" for n in (1, 2, 4, 8)},
    **{f"U{8 * n}": f"<u{n}" for n in (1, 2, 4, 8)},
}
LONGEST_HEADER = 100_000_000
"""Bytes; the format's own limit."""


def read_safetensors(path: Path, architecture: Any) -> Network:
    """The network that `architecture` declares, with the tensors of the file.

    Parameters
    ----------
    architecture : dict, or path of a JSON file with one
        {"input": [784], "layers": [{"layer": "dense", "weight": "fc1.weight", "bias": "fc1.bias"}, ...]}: what
        `compile.frontends.json_network` reads, where weights may be the names of tensors.

    Raises
    ------
    LoadError
        If a tensor is missing or does not fit its layer, or the file is damaged.
    NumberError
        If a weight is NaN or infinite.
    """
    file = open_tensors(path)
    if isinstance(architecture, (str, os.PathLike)):
        architecture = _read_architecture(Path(architecture))
    return declared(architecture, file.tensor, path.stem)


def _read_architecture(path: Path) -> Any:
    document = parse_json(path.read_bytes())
    if isinstance(document, dict):
        return {key: value for key, value in document.items() if key not in ("format", "version")}
    return document


@dataclass(frozen=True, eq=False)
class Tensors:
    """The tensors of a file: (type, shape, begin, end) by name, and the bytes behind the header."""

    entries: dict[str, tuple[str, tuple[int, ...], int, int]]
    data: np.ndarray

    def tensor(self, name: str) -> np.ndarray:
        """A tensor by name, exactly: float64 where it was a float of any size."""
        if name not in self.entries:
            some = ", ".join(sorted(self.entries)[:20])
            raise LoadError(f"there is no tensor {shown(name)} in the file; it has {some or 'none'}")
        kind, shape, begin, end = self.entries[name]
        values = self.data[begin:end].view(TYPES[kind]).reshape(shape)
        if kind == "BF16":  # the upper half of a float32
            values = (values.astype(np.uint32) << 16).view(np.float32)
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise NumberError(f"expected finite weights, the tensor {name!r} has NaN or inf in it")
        if values.dtype.itemsize == 8 and values.dtype.kind in "iu" and not _are_doubles(values):
            raise NumberError(f"expected weights that are doubles, the tensor {name!r} has integers beyond 2^53")
        return values.astype(np.float64)


def _are_doubles(values: np.ndarray) -> bool:
    return not values.size or (int(values.max()) <= 2**53 and int(values.min()) >= -(2**53))


def open_tensors(path: Path) -> Tensors:
    """The tensors of a safetensors file, all places checked."""
    size = path.stat().st_size
    begin = 8
    data = np.memmap(path, dtype=np.uint8, mode="r") if size else np.zeros(0, dtype=np.uint8)
    length = int.from_bytes(data[:begin].tobytes(), "little") if size >= begin else -1
    if not 0 <= length <= min(LONGEST_HEADER, size - begin):
        raise LoadError(f"it is no safetensors file, or only a part of one: a header of {length} bytes in {size}")
    header = parse_json(data[begin : begin + length].tobytes())
    if not isinstance(header, dict):
        raise LoadError(f"expected a header that is an object, got {shown(header)}")
    rest = size - begin - length
    entries = {name: _entry(name, value, rest) for name, value in header.items() if name != "__metadata__"}
    return Tensors(entries, data[begin + length :])


def _entry(name: str, entry: Any, size: int) -> tuple[str, tuple[int, ...], int, int]:
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise LoadError(f"expected dtype, shape and data_offsets of the tensor {shown(name)}, got {shown(entry)}")
    kind, shape, places = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(kind, str) or kind not in TYPES:
        raise LoadError(f"the tensor {shown(name)} has the type {shown(kind)}; supported are {', '.join(TYPES)}")
    for values in (shape, places):
        if not isinstance(values, list) or not all(type(n) is int and 0 <= n < 2**63 for n in values):
            raise LoadError(f"expected lists of integers as shape and data_offsets of the tensor {shown(name)}")
    if len(places) != 2 or not places[0] <= places[1] <= size or len(shape) > 32:
        raise LoadError(f"the tensor {shown(name)} is said to be in the bytes {places} of {size}; is the file whole?")
    expected = prod(shape) * np.dtype(TYPES[kind]).itemsize
    if expected != places[1] - places[0]:
        raise LoadError(
            f"the tensor {shown(name)} has {places[1] - places[0]} bytes, expected {expected} for {shape} of {kind}"
        )
    return kind, tuple(shape), places[0], places[1]
