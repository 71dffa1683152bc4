"""Limits and distances of compiled programs as JSON in program files: what their bounds are computed from.

    "relaxation"   {"network": network, "rate": number}
    "clocked"      {"network": network, "rate": number, "error": number, "reach": number, "gates": null or
                   {"sharpness": number, "directions": [array, array], "starts": array}}
    "equilibrium"  {"recurrent": array, "incoming": array, "bias": array, "activation": name, "readout": null or
                   [matrix, bias], "rate": number, "scaling": array}
    "kinks"        network: the program's outputs are compared with those of the network with kinks

A network is the object of `compile.frontends.json_network`; its large arrays stand in the program file's table, under
names such as "array 3" (`gpac.export.arrays`). Bounds are computed again: what a file promises is refused if it is not
kept by the network in it. That the equations beside it are those of that network is not checked.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np

from gpac.errors import LoadError
from gpac.export.arrays import ArrayReader, ArrayWriter
from gpac.export.numbers import read_rational, write_number
from gpac.export.text import Json, fields, pair, shown, word

from .architectures.equilibrium import Equilibrium, contraction_with
from .architectures.relaxed import EquilibriumLimit
from .distance import Nearby
from .frontends.json_network import network_from_data, network_to_data
from .network import Network
from .operations import Affine
from .schemes.clocked import ClockedLimit
from .schemes.gates import Gates
from .schemes.relaxation_limit import RelaxationLimit
from .schemes.sequential import layers_of


def to_data(part: Any, arrays: ArrayWriter) -> Json:
    """A limit or a distance as the JSON described above."""
    write: Callable[[Any, ArrayWriter], Json] = _FORMS[part.kind][0]
    return write(part, arrays)


def from_data(kind: str, data: Json, arrays: ArrayReader) -> Any:
    """The limit or distance that JSON describes."""
    return _FORMS[kind][1](data, arrays)


# -- networks ------------------------------------------------------------------------------------------------


def _network(network: Network, arrays: ArrayWriter) -> Json:
    return network_to_data(network, arrays.write)


def _read_network(data: Json, arrays: ArrayReader) -> Network:
    return network_from_data(data, arrays.read)


def _kinks(near: Nearby, arrays: ArrayWriter) -> Json:
    return _network(near.network, arrays)


def _read_kinks(data: Json, arrays: ArrayReader) -> Nearby:
    return Nearby(_read_network(data, arrays))


# -- limits --------------------------------------------------------------------------------------------------


def _relaxation(limit: RelaxationLimit, arrays: ArrayWriter) -> Json:
    return {"network": _network(limit.network, arrays), "rate": write_number(limit.rate)}


def _read_relaxation(data: Json, arrays: ArrayReader) -> RelaxationLimit:
    network, rate = fields(data, "network", "rate")
    limit = RelaxationLimit(_read_network(network, arrays), _positive(rate))
    limit.check()
    return limit


def _clocked(limit: ClockedLimit, arrays: ArrayWriter) -> Json:
    numbers = {"rate": limit.rate, "error": limit.promise, "reach": limit.reach}
    data = {name: write_number(value) for name, value in numbers.items()}
    gates = None if limit.gates is None else _gates(limit.gates, arrays)
    return {"network": _network(limit.network, arrays), **data, "gates": gates}


def _gates(gates: Gates, arrays: ArrayWriter) -> Json:
    directions = [arrays.write(side) for side in gates.directions]
    return {
        "sharpness": write_number(gates.sharpness),
        "directions": directions,
        "starts": arrays.write(gates.starts),
    }


def _read_clocked(data: Json, arrays: ArrayReader) -> ClockedLimit:
    network, rate, error, reach, gates = fields(data, "network", "rate", "error", "reach", "gates")
    read = _read_network(network, arrays)
    count = max(layers_of(read))
    if (gates is None) != (not count):
        raise LoadError(f"expected gates for the {count} layers of the network, got {shown(gates)}")
    clock = None if gates is None else _read_gates(gates, count, arrays)
    limit = ClockedLimit(read, _positive(rate), clock, _positive(error), _positive(reach))
    if not limit.keeps_promise():
        raise LoadError(f"it promises an error of {shown(error)} after one round, which its network and rate exceed")
    return limit


def _read_gates(data: Json, count: int, arrays: ArrayReader) -> Gates:
    sharpness, directions, starts = fields(data, "sharpness", "directions", "starts")
    a, b = (_doubles(side, (count,), arrays) for side in pair(directions, "two arrays of directions"))
    return Gates(_positive(sharpness), (a, b), _above_zero(_doubles(starts, (count,), arrays)))


def _equilibrium(limit: EquilibriumLimit, arrays: ArrayWriter) -> Json:
    model = limit.model
    readout = None if model.readout is None else [arrays.write(m) for m in (model.readout.weight, model.readout.bias)]
    return {
        **{name: arrays.write(getattr(model, name)) for name in ("recurrent", "incoming", "bias")},
        "activation": model.activation,
        "readout": readout,
        "rate": write_number(limit.rate),
        "scaling": arrays.write(np.array(limit.proof.scaling, dtype=np.float64)),
    }


def _read_equilibrium(data: Json, arrays: ArrayReader) -> EquilibriumLimit:
    names = ("recurrent", "incoming", "bias", "activation", "readout", "rate", "scaling")
    recurrent, incoming, bias, activation, readout, rate, scaling = fields(data, *names)
    weights = [arrays.read(entry) for entry in (recurrent, incoming, bias)]
    read = None if readout is None else [arrays.read(m) for m in pair(readout, "a read-out [matrix, bias]")]
    last = None if read is None else Affine((read[0],), read[1])
    model = Equilibrium(weights[0], weights[1], weights[2], word(activation, "an activation"), last)
    v = _above_zero(_doubles(scaling, (model.size,), arrays))
    return EquilibriumLimit(model, contraction_with(model, v), _positive(rate))


def _positive(data: Json) -> Fraction:
    number = read_rational(data)
    if not number > 0:
        raise LoadError(f"expected a positive number, got {shown(data)}")
    return number


def _doubles(data: Json, shape: tuple[int, ...], arrays: ArrayReader) -> np.ndarray:
    array = arrays.read_dense(data, shape, "an array")
    if array.dtype != np.float64:
        raise LoadError(f"expected doubles, got {shown(data)}")
    return array


def _above_zero(array: np.ndarray) -> np.ndarray:
    if not (array > 0).all():
        raise LoadError(f"expected positive numbers, got {float(array.min())}")
    return array


_FORMS: dict[str, tuple[Callable[..., Json], Callable[[Json, ArrayReader], Any]]] = {
    "relaxation": (_relaxation, _read_relaxation),
    "clocked": (_clocked, _read_clocked),
    "equilibrium": (_equilibrium, _read_equilibrium),
    "kinks": (_kinks, _read_kinks),
}
