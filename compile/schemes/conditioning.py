"""How many digits a scheme loses in float64 on a network: predicted before the run, to first order.

Every operation commits errors of about one rounding, eps = 2**-53, and the sensitivities of the outputs by every value
carry them to the end. What an activation u = f(z) commits depends on the way that z takes. In the pair u, d with
du = d dz, dd = -2 u du the two constants of motion are u^2 + d and a shift of z, and an error of one rounding anywhere
shifts z by about 1 + |z| roundings, never by cosh(z)^2; over its way z gathers V roundings, V its total variation. At
the end this makes

    |f(z)| + (1 + V) |f'(z)|      roundings.

A quotient r = 1/v keeps (error / r^2), so a rounding made where r was small is multiplied by the square of how much r
has grown; likewise q = v^(-1/2) with cubes, and what is integrated from them. The errors of all entries are taken as
independent. This is an estimate, no bound.
"""

from __future__ import annotations

from math import log10
from typing import Any

import numpy as np

from gpac.errors import GpacError
from gpac.exact import to_floats

from ..network import Network, as_rows
from ..operations import Activation, Affine, Maximum, Operation, Softmax
from .paths import WAYS, sensitivities, slope

EPS = 2.0**-53
POWERS = {"rsqrt": (-0.5, 3), "sqrt": (-0.5, 3), "reciprocal": (-1.0, 2), "log": (-1.0, 2), "arctan": (-1.0, 2)}
"""Of activations made of q = v^power: the power, and the power of q by which its error grows."""


def predicted_digits_lost(network: Network, x: Any, scheme: str) -> float:
    """Decimal digits of float64's 16 that a scheme is expected to lose on one input or the worst of several.

    Of the error relative to max(1, |output|), in roundings of 2**-53, the logarithm to base 10; 0 at best. This is what
    the arithmetic loses. The solver's tolerance adds its own: at tol=1e-14, 90 roundings, up to two digits.

    Parameters
    ----------
    x : float64, (size,) or (B, size)
    scheme : "homotopy", "sequential" or "relaxation"
    """
    if scheme not in WAYS:
        raise GpacError(f"expected a scheme among {', '.join(WAYS)}, got {scheme!r}")
    rows, _ = as_rows(network, x)
    return max((_digits(network, row, scheme) for row in rows), default=0.0)


def digits_lost(outputs: np.ndarray, exact: np.ndarray) -> float:
    """log10 of the largest error relative to max(1, |output|), over the unit roundoff 2**-53; 0 at best."""
    error = float((np.abs(outputs - exact) / np.maximum(1.0, np.abs(exact))).max())
    return max(0.0, log10(error / EPS)) if error else 0.0


def _digits(network: Network, row: np.ndarray, scheme: str) -> float:
    ways = WAYS[scheme](network, row)
    ends = WAYS["sequential"](network, row)
    ends = [way[-1:] for way in ends]
    carried = sensitivities(network, ends)
    total = np.zeros(network.outputs)
    for number, node in enumerate(network.nodes, 1):
        committed = _committed(node.operation, [ways[k] for k in node.inputs], ways[number], scheme)
        total = total + (carried[number] ** 2) @ (committed**2)
    error = np.sqrt(total) / np.maximum(1.0, np.abs(ends[-1][0]))
    return max(0.0, float(np.log10(max(1.0, error.max()))))


def _committed(operation: Operation, operands: list[np.ndarray], way: np.ndarray, scheme: str) -> np.ndarray:
    """Roundings that one node commits in every entry (size,)."""
    if isinstance(operation, Affine):
        squares = _floats(operation.bias) ** 2
        for matrix, operand in zip(operation.matrices, operands, strict=True):
            sizes = np.abs(operand[-1]) if scheme == "sequential" else _variation(operand)
            part = _squared(matrix)
            squares = squares + (part @ sizes**2 if matrix.ndim == 2 else part * sizes**2)
        return np.broadcast_to(np.sqrt(squares), way.shape[1:])
    if not operation.nonlinear:
        return np.abs(way[-1])
    if isinstance(operation, Maximum):  # slopes add up to 1
        return 1 + np.abs(way[-1]) + _variation(way)
    (z,) = operands
    variation = _variation(z)
    if isinstance(operation, Softmax):  # p keeps its relative accuracy
        return np.abs(way[-1]) * (1 + variation) if operation.result == "softmax" else 1 + np.abs(way[-1])
    assert isinstance(operation, Activation)
    usual = np.abs(way[-1]) + (1 + variation) * np.abs(slope(operation, z[-1:])[0])
    return usual + _of_power(operation, z, scheme) if operation.name in POWERS else usual


def _of_power(operation: Activation, z: np.ndarray, scheme: str) -> np.ndarray:
    """What the companion q = v^power of an activation adds."""
    power, grows = POWERS[operation.name]
    if operation.name == "arctan":
        v, x = 1 + z * z, z
    else:
        offset = float(operation.parameter)
        v = x = z + (offset if scheme == "relaxation" else np.linspace(1.0, offset, len(z))[:, None])
    q = v**power
    error = q**grows * np.maximum.accumulate(q ** (1 - grows), axis=0)
    if operation.name in ("rsqrt", "reciprocal"):
        return error[-1]
    return (np.abs(np.diff(x, axis=0)) * error[1:]).sum(axis=0)  # an integral of q


def _variation(way: np.ndarray) -> np.ndarray:
    return np.abs(way[0]) + np.abs(np.diff(way, axis=0)).sum(axis=0)


def _floats(matrix: Any) -> np.ndarray:
    return np.asarray(to_floats(matrix), dtype=np.float64)


def _squared(matrix: Any) -> Any:
    return matrix.multiply(matrix) if hasattr(matrix, "tocsr") else _floats(matrix) ** 2
