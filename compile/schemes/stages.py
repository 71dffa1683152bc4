"""A network at a given argument, layer after layer, and the same network following an argument that moves.

`stages` makes phases as the sequential scheme does, each from rational start values, and hands on what every
activation is and where its integrators stand. `driven` is one circuit in which the same integrators go on from
there along a moving argument.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from gpac.circuit import Circuit
from gpac.program import Invariant, Program
from gpac.schedule import Phase
from gpac.transform.restart import integrators, restarted
from gpac.wire import Start, Wire, inputs, product, time, wire

from ..network import Network
from ..operations import Affine, Multiply
from .continued import Continued
from .settings import Ramp
from .units import activated, affine, check_argument, multiply


@dataclass(frozen=True, eq=False)
class Handed:
    """An activation between phases, as inputs of the next one: its value, and the states of its integrators."""

    value: Wire
    cells: tuple[Wire, ...]

    def outputs(self, value: Wire, cells: Any) -> dict[str, Wire]:
        """The entries that hand `value` and `cells` on under these names."""
        names = [str(w.name) for w in (self.value, *self.cells)]
        return dict(zip(names, (value, *cells), strict=True))


@dataclass
class Known:
    """What phases have handed on so far: activations by number of their node, irrational constants."""

    activations: dict[int, Handed] = field(default_factory=dict)
    constants: dict[Any, Wire] = field(default_factory=dict)


def stages(network: Network, argument: Wire, tag: str, known: Known, end: str = "") -> tuple[list[Phase], Wire]:
    """Phases of duration 1 that make the activations not yet `known`, and the network's value after them.

    `argument` is a wire of inputs alone. The names of what is handed on begin with `tag`. With `end`, the last
    phase hands on nothing but the network's value under that name.
    """
    values: dict[int, Wire] = {0: argument} | {k: handed.value for k, handed in known.activations.items()}
    layer = _layers(network)
    missing = [k for k, node in enumerate(network.nodes, 1) if node.operation.nonlinear and k not in values]
    phases = []
    for number in sorted({layer[k] for k in missing}):
        last = bool(end) and number == max(layer[k] for k in missing)
        here = [k for k in missing if layer[k] == number]
        live, outputs, program = _stage(network, here, values, tag, known)
        if last:
            outputs = {end: live[len(network.nodes)]}
        values |= {k: known.activations[k].value for k in here}
        phases.append(Phase(Circuit(outputs, program), Fraction(1)))
    _fill(network, values, Continued(known.constants))
    return phases, values[len(network.nodes)]


def _stage(
    network: Network, here: list[int], values: dict[int, Wire], tag: str, known: Known
) -> tuple[dict[int, Wire], dict[str, Wire], Program]:
    """Activations of one layer: all values while they move, what is handed on, and what the phase says of itself."""
    t = time()
    ramp = Ramp(t)
    live = dict(values)
    _fill(network, live, ramp)
    outputs: dict[str, Wire] = {}
    invariants: list[Invariant] = []
    for k in here:
        target = live[network.nodes[k - 1].inputs[0]]
        check_argument(network, k, target)
        z = wire(f"{tag}z{k}", target.size)
        z.define(product(t, target))
        live[k], kept = activated(network, k, z, ramp.named(f"{k}"))
        invariants += kept
        cells = integrators([live[k]], [z, *ramp.made.values()])
        handed = Handed(
            inputs(f"{tag}value{k}", live[k].size, live[k].signs),
            tuple(inputs(f"{tag}cell{k}_{i}", c.size, c.signs) for i, c in enumerate(cells)),
        )
        known.activations[k] = handed
        outputs |= handed.outputs(live[k], cells)
    _fill(network, live, ramp)
    for expression in sorted(ramp.made.keys() - known.constants.keys(), key=str):
        name = f"constant{len(known.constants)}"
        known.constants[expression] = inputs(name, 1, "+")
        outputs[name] = ramp.made[expression]
    program = Program("sequential", horizon=Fraction(1), invariants=tuple(invariants), constants=ramp.constants)
    return live, outputs, program


@dataclass(frozen=True, eq=False)
class Driven:
    """A network along a moving argument: its value, and its moving activations with their integrators."""

    value: Wire
    activations: Mapping[int, tuple[Wire, tuple[Wire, ...]]]
    invariants: tuple[Invariant, ...]


def driven(network: Network, argument: Wire, known: Known) -> Driven:
    """The network following `argument`, its integrators started at what is `known`."""
    moving = _moving(network)
    values: dict[int, Wire] = {0: argument}
    values |= {k: handed.value for k, handed in known.activations.items() if k not in moving}
    activations: dict[int, tuple[Wire, tuple[Wire, ...]]] = {}
    invariants: list[Invariant] = []
    for k, node in enumerate(network.nodes, 1):
        if k in values:
            continue
        if not node.operation.nonlinear:
            values[k] = _combined(network, k, values, Continued(known.constants))
            continue
        target = values[node.inputs[0]]
        check_argument(network, k, target)
        z = wire(f"z{k}", target.size)
        value, kept = activated(network, k, z, Continued(known.constants, f"{k}"))
        cells = integrators([value], [z])
        begin: dict[Wire, Any] = {
            c: Start("identity", w) for c, w in zip(cells, known.activations[k].cells, strict=True)
        }
        copies = restarted([value, *(i.wire for i in kept), *cells], begin, [z])
        z.define(target)
        values[k] = copies[0]
        invariants += [Invariant(i.name, w, i.value) for i, w in zip(kept, copies[1:], strict=False)]
        activations[k] = copies[0], tuple(copies[1 + len(kept) :])
    return Driven(values[len(network.nodes)], activations, tuple(invariants))


def _fill(network: Network, values: dict[int, Wire], setting: Any) -> None:
    """Add the affine maps and products whose operands are there."""
    for k, node in enumerate(network.nodes, 1):
        if k not in values and not node.operation.nonlinear and all(i in values for i in node.inputs):
            values[k] = _combined(network, k, values, setting)


def _combined(network: Network, k: int, values: dict[int, Wire], setting: Any) -> Wire:
    """Node k, which has no integrators of its own."""
    operation, operands = network.nodes[k - 1].operation, [values[i] for i in network.nodes[k - 1].inputs]
    if isinstance(operation, Affine):
        return affine(operation, operands)
    if isinstance(operation, Multiply):
        return multiply(operation, *operands)
    return activated(network, k, operands[0], setting)[0]


def _layers(network: Network) -> list[int]:
    """For every value the largest number of activations on a way to it, itself included."""
    layers = [0]
    for node in network.nodes:
        layers.append(max((layers[k] for k in node.inputs), default=0) + node.operation.nonlinear)
    return layers


def _moving(network: Network) -> set[int]:
    """Values that depend on the network's input."""
    moving = {0}
    for k, node in enumerate(network.nodes, 1):
        if moving & set(node.inputs):
            moving.add(k)
    return moving
