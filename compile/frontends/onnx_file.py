"""ONNX files as a message without its large tensors, and where in the file these are: no byte is held twice.

A protobuf message is a list of fields, each with a tag (number * 8 + wire type) and its bytes. The library would read
the whole file and then copy the tensors out of it. Source: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import ModelProto, TensorProto

from gpac.errors import LoadError

GRAPH, INITIALIZER, RAW_DATA = 7, 5, 9
"""Numbers of the fields ModelProto.graph, GraphProto.initializer and TensorProto.raw_data."""
BYTES = 2
"""Wire type of messages, texts and bytes."""
LARGE = 4096
"""Bytes from which on a tensor is left in the file."""

Span = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Placed:
    """A tensor whose bytes are in the file, from `begin` to `end`."""

    tensor: TensorProto
    file: Path
    begin: int
    end: int


def read_model(path: Path) -> tuple[ModelProto, dict[int, Placed]]:
    """The model in a file, and the initializers, by their place, whose bytes were left there.

    Raises `LoadError` if the file is no such message.
    """
    model = ModelProto()
    try:
        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            slim, spans = _without_tensors(data)
            model.ParseFromString(slim)
    except (DecodeError, _Broken):
        raise LoadError("it is not an ONNX file, or only a part of one") from None
    tensors = model.graph.initializer
    if len(spans) != len(tensors):
        raise LoadError("it is not an ONNX file, or only a part of one")
    return model, {k: Placed(tensors[k], path, *span) for k, span in enumerate(spans) if span}


class _Broken(Exception):
    """A message that does not keep to the format."""


def _without_tensors(data: mmap.mmap) -> tuple[bytes, list[Span | None]]:
    """The message without large tensors, and for each initializer where its bytes are."""
    spans: list[Span | None] = []
    parts: list[bytes] = []
    for number, kind, begin, body, end in _fields(data, 0, len(data)):
        if (number, kind) != (GRAPH, BYTES):
            parts.append(data[begin:end])
            continue
        graph: list[bytes] = []
        for inner, wire, first, start, stop in _fields(data, body, end):
            if (inner, wire) == (INITIALIZER, BYTES):
                tensor, span = _without_data(data, start, stop)
                spans.append(span)
                graph.append(_field(INITIALIZER, tensor))
            else:
                graph.append(data[first:stop])
        parts.append(_field(GRAPH, b"".join(graph)))
    return b"".join(parts), spans


def _without_data(data: mmap.mmap, begin: int, end: int) -> tuple[bytes, Span | None]:
    fields = list(_fields(data, begin, end))
    raw = [field for field in fields if field[0] == RAW_DATA]
    if len(raw) != 1 or raw[0][1] != BYTES or raw[0][4] - raw[0][3] < LARGE:
        return data[begin:end], None
    rest = b"".join(data[first:stop] for number, _, first, _, stop in fields if number != RAW_DATA)
    return rest, (raw[0][3], raw[0][4])


def _fields(data: mmap.mmap, begin: int, end: int) -> Iterator[tuple[int, int, int, int, int]]:
    """Number, wire type, begin, begin of the body and end of every field."""
    at = begin
    while at < end:
        tag, body = _varint(data, at, end)
        kind = tag & 7
        if kind == 0:
            stop = _varint(data, body, end)[1]
        elif kind in (1, 5):
            stop = body + (8 if kind == 1 else 4)
        elif kind == BYTES:
            length, body = _varint(data, body, end)
            stop = body + length
        else:  # groups, which ONNX has none of
            raise _Broken
        if stop > end or tag < 8:
            raise _Broken
        yield tag >> 3, kind, at, body, stop
        at = stop


def _varint(data: mmap.mmap, at: int, end: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= end:
            break
        byte = data[at]
        value |= (byte & 127) << shift
        at += 1
        if byte < 128:
            return value, at
    raise _Broken


def _field(number: int, body: bytes) -> bytes:
    length, digits = len(body), bytearray()
    while length > 127:
        digits.append(length & 127 | 128)
        length >>= 7
    return bytes([number << 3 | BYTES, *digits, length]) + body
