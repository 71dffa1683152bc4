"""Analog programs as files: circuits, schedules and PIVPs with their claims, every number exact.

The file is JSON, with numbers as in `gpac.export.numbers` and arrays as in `gpac.export.arrays`. Units are rows that
refer to each other by their places (`gpac.export.units`). No key may be missing, none added.

    format    "gpac program"
    version   1
    arrays    long arrays, each once; elsewhere "array 3" stands for number 3, from 0
    units     rows, see `gpac.export.units`; empty for a PIVP
    system    one of
        {"circuit": {"outputs": [[name, row], ...], "program": claims}}
        {"schedule": {"phases": [{"duration": number, "circuit": {...}}, ...], "program": claims}}
        {"pivp": {"variables": [name, ...], "equations": [polynomial, ...], "initial": [number, ...],
                  "outputs": [[name, polynomial], ...]}}
        claims      see `gpac.export.claims`
        polynomial  [[coefficient, [[variable's place, exponent], ...]], ...]

Loading executes nothing. The symbols of a PIVP come back as plain ones, without assumptions.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..arguments import System
from ..circuit import Circuit
from ..errors import GpacError, LoadError
from ..files import replace_file
from ..pivp import PIVP
from ..schedule import Phase, Schedule
from ..wire import Wire
from .arrays import ArrayReader, ArrayWriter
from .claims import claims_from_data, claims_to_data
from .numbers import read_rational, write_number
from .pivp import pivp_from_data, pivp_to_data
from .text import Json, fields, items, pair, parse, printable, shown, whole, word
from .units import read_units, write_units

FORMAT, VERSION = "gpac program", 1
MOST_BYTES = 2**31
_DAMAGED = (ValueError, TypeError, LookupError, ArithmeticError, AttributeError, MemoryError, RecursionError)


def save(system: System, path: Any) -> None:
    """Write a circuit, schedule or PIVP to a file; what `load` makes of it gives the same bits and the same proofs.

    The file appears whole or not at all. Raises `GpacError` where it cannot be written, or holds a constant or a
    limit that the format has no word for.
    """
    replace_file(Path(path), _laid_out(to_data(system)))


def load(path: Any) -> Circuit | Schedule | PIVP:
    """Read a program that `save` wrote.

    Raises
    ------
    LoadError
        If the file is missing, damaged, not a program, or of another version; the message says where.
    """
    path = Path(path)
    try:
        if not path.is_file():
            raise LoadError("there is no such file")
        size = path.stat().st_size
        if not 0 < size <= MOST_BYTES:
            raise LoadError("the file is empty" if not size else f"expected at most 2 GiB, got {size} bytes")
        return from_data(parse(path.read_text(encoding="utf-8")))
    except GpacError as error:
        raise LoadError(f"cannot read {path}: {printable(str(error))}") from None
    except OSError as error:
        raise LoadError(f"cannot read {path}: {error.strerror or error}") from None
    except _DAMAGED as error:
        reason = f"{type(error).__name__}: {printable(str(error))}"
        raise LoadError(f"cannot read {path}: it is damaged ({reason})") from None


def to_data(system: System) -> Json:
    """A system as the JSON described above."""
    arrays = ArrayWriter()
    rows: list[Json] = []
    if isinstance(system, PIVP):
        body: Json = {"pivp": pivp_to_data(system)}
    elif isinstance(system, Schedule):
        rows, place = write_units([w for p in system.phases for w in _ends(p.circuit)], arrays)
        phases = [
            {"duration": write_number(p.duration), "circuit": _circuit(p.circuit, place, arrays)} for p in system.phases
        ]
        body = {"schedule": {"phases": phases, "program": claims_to_data(system.program, place, arrays)}}
    elif isinstance(system, Circuit):
        rows, place = write_units(_ends(system), arrays)
        body = {"circuit": _circuit(system, place, arrays)}
    else:
        raise GpacError(f"expected a Circuit, Schedule or PIVP to save, got {type(system).__name__}")
    return {"format": FORMAT, "version": VERSION, "arrays": arrays.table, "units": rows, "system": body}


def from_data(data: Json) -> Circuit | Schedule | PIVP:
    """The system that JSON describes."""
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise LoadError(f'it is not a program: expected "format": "{FORMAT}"')
    if data.get("version") != VERSION:
        raise LoadError(f"expected version {VERSION} of the format, got {shown(data.get('version'))}")
    _, _, table, rows, body = fields(data, "format", "version", "arrays", "units", "system")
    arrays = ArrayReader.of(table)
    wires = read_units(rows, arrays)
    kind = next(iter(body)) if isinstance(body, dict) and len(body) == 1 else None
    if kind == "pivp":
        return pivp_from_data(body[kind])
    if kind == "circuit":
        return _read_circuit(body[kind], wires, arrays)
    if kind == "schedule":
        phases, program = fields(body[kind], "phases", "program")
        pairs = [fields(phase, "duration", "circuit") for phase in items(phases, "a list of phases")]
        done = tuple(Phase(_read_circuit(c, wires, arrays), read_rational(d)) for d, c in pairs)
        return Schedule(done, claims_from_data(program, wires, arrays))
    raise LoadError(f"expected a circuit, a schedule or a pivp, got {shown(body)}")


# -- circuits ------------------------------------------------------------------------------------------------


def _ends(circuit: Circuit) -> list[Wire]:
    return [*circuit.outputs.values(), *(i.wire for i in circuit.program.invariants)]


def _circuit(circuit: Circuit, place: dict[Wire, int], arrays: ArrayWriter) -> Json:
    outputs = [[name, place[wire]] for name, wire in circuit.outputs.items()]
    return {"outputs": outputs, "program": claims_to_data(circuit.program, place, arrays)}


def _read_circuit(data: Json, wires: list[Wire], arrays: ArrayReader) -> Circuit:
    outputs, program = fields(data, "outputs", "program")
    named: dict[str, Wire] = {}
    for entry in items(outputs, "a list of outputs"):
        name, k = pair(entry, "an output [name, row]")
        if word(name, "a name") in named:
            raise LoadError(f"expected outputs of different names, got {shown(name)} twice")
        named[name] = wires[whole(k, 0, len(wires) - 1, "the row of a unit")]
    return Circuit(named, claims_from_data(program, wires, arrays))


def _laid_out(data: Json) -> str:
    """One row a line."""
    head = f'{{"format": {json.dumps(data["format"])}, "version": {data["version"]},'
    tables = [f'"{name}": [\n{_lines(data[name])}],' for name in ("arrays", "units")]
    return "\n".join([head, *tables, f'"system": {json.dumps(data["system"])}}}']) + "\n"


def _lines(rows: list[Json]) -> str:
    return ",\n".join(json.dumps(row) for row in rows) + ("\n" if rows else "")
