"""Networks inside networks: a network applied to a value, one after the other, and constant ones."""

from __future__ import annotations

import numpy as np

from gpac.errors import ShapeError

from .build import as_network
from .network import Network
from .operations import dense
from .value import Unit, Value, network_input


def applied(network: Network, x: Value) -> Value:
    """The network's output at `x`, flat, as part of what is being built."""
    if x.size != network.size:
        raise ShapeError(f"expected a value of {network.size} numbers for {network!r}, got the shape {x.shape}")
    units = [x.unit]
    for number, node in enumerate(network.nodes, 1):
        units.append(Unit(network.widths[number], node.operation, tuple(units[k] for k in node.inputs)))
    return Value(units[-1], (network.outputs,))


def chained(*networks: Network, name: str = "network") -> Network:
    """The networks one after the other."""
    x = network_input((networks[0].size,))
    for network in networks:
        x = applied(network, x)
    return as_network(x, name)


def zeros(inputs: int, outputs: int) -> Network:
    """The network that gives `outputs` zeros whatever its input."""
    return Network(inputs, [dense(np.zeros((outputs, inputs)))], "zeros")
