"""Sequential: layer after layer, a schedule, exact.

In its phase a layer's argument z is constant and is switched on as t z, t from 0 to 1: u' = d z, d' = -2 u u' runs
from u = 0, d = 1 and u ends at tanh(z). Every neuron is a system of its own and moves in one direction only, which
makes this the best conditioned scheme. Source of the idea, for sigmoids: Ivanov et al., HSCC 2019 (Verisig).

In a DAG an activation's layer is the largest number of activations on a way to it, itself included. A phase runs all
activations of its layer at once, and computes, from what earlier phases hand it, the linear maps and products that
lead to them.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

from gpac.circuit import Circuit
from gpac.program import Invariant, Program
from gpac.schedule import Phase, Schedule
from gpac.wire import Wire, inputs, product, time

from ..distance import stated
from ..network import Network
from ..operations import Affine, Multiply
from .settings import Ramp
from .units import activated, affine, check_argument, multiply


def sequential(network: Network) -> Schedule:
    """Compile a network into a schedule with one phase of duration 1 per layer of activations.

    Input "x" (network.size,), output "y"; what phase l hands on to later ones is called "layer<l>", or
    "layer<l>_<k>" where there is more than one.
    """
    plan = _Plan(network)
    signs: dict[int, str] = {}
    phases = []
    for phase in range(1, plan.count + 1):
        ramp = Ramp(time())
        wires, invariants = _run(plan, phase, signs, ramp)
        handed = [k for k in plan.names if plan.made[k] == phase]
        signs |= {k: wires[k].signs for k in handed}
        outputs = {plan.names[k]: wires[k] for k in handed}
        if phase == plan.count:
            outputs["y"] = wires[len(network.nodes)]
        program = Program("sequential", horizon=Fraction(1), invariants=tuple(invariants), constants=ramp.constants)
        phases.append(Phase(Circuit(outputs, program), Fraction(1)))
    return Schedule(tuple(phases), stated(Program("sequential", "exact", Fraction(plan.count)), network))


def layers_of(network: Network) -> list[int]:
    """For the input and every value the largest number of activations on a way to it, itself included."""
    layers = [0]
    for node in network.nodes:
        layers.append(max((layers[k] for k in node.inputs), default=0) + node.operation.nonlinear)
    return layers


@dataclass(frozen=True, eq=False)
class _Plan:
    """Which phase makes which value of a network, and what they hand on."""

    network: Network

    @cached_property
    def made(self) -> list[int]:
        """The phase, from 1, that makes each value; 0 for the input.

        Activations are made in the phase of their layer; what follows from them is made in the next one, from
        numbers that no longer move. The last phase also makes all that follows its activations.
        """
        layers = layers_of(self.network)
        later = [not node.operation.nonlinear for node in self.network.nodes]
        last = max(1, layers[-1])
        return [0, *(min(last, layer + moved) for layer, moved in zip(layers[1:], later, strict=True))]

    @property
    def count(self) -> int:
        """Number of phases."""
        return max(1, self.made[-1])

    @cached_property
    def names(self) -> dict[int, str]:
        """Names of the values that a later phase reads."""
        made, nodes = self.made, enumerate(self.network.nodes, 1)
        read = sorted({k for number, node in nodes for k in node.inputs if 0 < made[k] < made[number]})
        several, place, names = Counter(made[k] for k in read), Counter[int](), {}
        for k in read:
            place[made[k]] += 1
            names[k] = f"layer{made[k]}" + (f"_{place[made[k]]}" if several[made[k]] > 1 else "")
        return names

    @cached_property
    def labels(self) -> dict[int, str]:
        """Labels for the wires of activations."""
        active = [k for k, node in enumerate(self.network.nodes, 1) if node.operation.nonlinear]
        several = Counter(self.made[k] for k in active)
        return {k: f"{self.made[k]}" + (f"_{k}" if several[self.made[k]] > 1 else "") for k in active}


def _run(plan: _Plan, phase: int, signs: dict[int, str], ramp: Ramp) -> tuple[dict[int, Wire], list[Invariant]]:
    """Wires of the values that one phase makes."""
    network = plan.network
    wires: dict[int, Wire] = {0: inputs("x", network.size)}
    wires |= {k: inputs(name, network.widths[k], signs[k]) for k, name in plan.names.items() if plan.made[k] < phase}
    invariants: list[Invariant] = []
    for number, node in enumerate(network.nodes, 1):
        if plan.made[number] != phase:
            continue
        operands = [wires[k] for k in node.inputs]
        if isinstance(node.operation, Affine):
            wires[number] = affine(node.operation, operands)
        elif isinstance(node.operation, Multiply):
            wires[number] = multiply(node.operation, *operands)
        else:
            check_argument(network, number, operands[0])
            z = product(ramp.t, operands[0]) if node.operation.nonlinear else operands[0]
            wires[number], kept = activated(network, number, z, ramp.named(plan.labels.get(number, "")))
            invariants += kept
    return wires, invariants
