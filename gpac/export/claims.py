"""What a program says of itself (`gpac.program.Program`) as JSON.

{"scheme": name, "claim": "exact", "limit" or "within", "horizon": number or null, "limit": part or null,
 "invariants": [[name, row, number], ...], "delta": number or null, "near": part or null, "region": text,
 "constants": [number, ...]}

part  {"kind": name, "data": what that kind needs}: a limit or a distance, made by another package, which has
      registered its kinds (`gpac.program.register_kinds`)
"""

from __future__ import annotations

from fractions import Fraction
from importlib import import_module
from typing import Any

from ..errors import GpacError, LoadError
from ..program import KINDS, Invariant, Program
from ..wire import Wire
from .arrays import ArrayReader, ArrayWriter
from .numbers import read_number, read_rational, write_number
from .text import Json, fields, items, pair, shown, whole, word


def claims_to_data(program: Program, place: dict[Wire, int], arrays: ArrayWriter) -> Json:
    """The claims, `place` the row of every wire.

    Raises
    ------
    GpacError
        For a limit or a distance of a kind that no package has registered.
    """
    return {
        "scheme": program.scheme,
        "claim": program.claim,
        "horizon": None if program.horizon is None else write_number(program.horizon),
        "limit": _part(program.limit, arrays),
        "invariants": [[i.name, place[i.wire], write_number(i.value)] for i in program.invariants],
        "delta": None if program.delta is None else write_number(program.delta),
        "near": _part(program.near, arrays),
        "region": program.region,
        "constants": [write_number(c) for c in program.constants],
    }


def claims_from_data(data: Json, wires: list[Wire], arrays: ArrayReader) -> Program:
    """The claims that JSON describes."""
    names = ("scheme", "claim", "horizon", "limit", "invariants", "delta", "near", "region", "constants")
    scheme, claim, horizon, limit, invariants, delta, near, region, constants = fields(data, *names)
    if claim not in ("exact", "limit", "within") or (limit is not None and claim != "limit"):
        raise LoadError(f"expected the claim 'exact', 'within' or, with a limit, 'limit', got {shown(claim)}")
    within = None if delta is None else read_rational(delta)
    other = _read_part(near, arrays, "distance", ("bound", "differences"))
    if within is not None and other is not None and not other.bound() <= within:
        raise LoadError(f"it claims to be within {shown(delta)}, nearer than can be proven for the network in it")
    return Program(
        word(scheme, "a scheme"),
        claim,
        None if horizon is None else _positive(horizon),
        _read_part(limit, arrays, "limit", ("time", "error")),
        tuple(_invariant(entry, wires) for entry in items(invariants, "a list of invariants")),
        within,
        other,
        word(region, "a region"),
        tuple(read_number(c) for c in items(constants, "a list of constants")),
    )


def _part(part: Any, arrays: ArrayWriter) -> Json:
    if part is None:
        return None
    kind = getattr(part, "kind", None)
    if kind not in KINDS:
        raise GpacError(f"a {type(part).__name__} cannot be written to a file: no package has registered its kind")
    return {"kind": kind, "data": import_module(KINDS[kind]).to_data(part, arrays)}


def _read_part(data: Json, arrays: ArrayReader, what: str, methods: tuple[str, ...]) -> Any:
    if data is None:
        return None
    kind, body = fields(data, "kind", "data")
    if not isinstance(kind, str) or kind not in KINDS:
        raise LoadError(f"its {what} is of the kind {shown(kind)}; import the package that made it first, e.g. compile")
    part = import_module(KINDS[kind]).from_data(kind, body, arrays)
    if not all(hasattr(part, method) for method in methods):
        raise LoadError(f"expected a {what}, got {shown(kind)}")
    return part


def _positive(data: Json) -> Fraction:
    horizon = read_rational(data)
    if not horizon > 0:
        raise LoadError(f"expected a positive horizon, got {shown(data)}")
    return horizon


def _invariant(data: Json, wires: list[Wire]) -> Invariant:
    name, *rest = items(data, "an invariant [name, row, number]")
    k, value = pair(rest, "an invariant [name, row, number]")
    wire = wires[whole(k, 0, len(wires) - 1, "the row of a unit")]
    return Invariant(word(name, "a name"), wire, read_rational(value))
