"""Vector fields of neural ODEs: A2 s(A1 h + b), s(w h + b), w s(h) + b, with weights constant or polynomial in t.

Where weights are given as a sequence, entry k is the coefficient of t^k and the field reads the time besides the state.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gpac.errors import ShapeError
from gpac.exact import to_exact

from ..build import as_network, linear
from ..compose import applied
from ..field import Field, as_field
from ..network import Network
from ..operations import Activation, dense
from ..value import Value, affine, network_input


def two_layers(outer: Any, inner: Any, bias: Any = None, activation: str = "tanh") -> Network:
    """h' = outer s(inner h + bias): outer (n, m), inner (m, n)."""
    inner = np.asarray(inner, dtype=np.float64)
    return Network(inner.shape[1], [dense(inner, bias), Activation(activation), dense(outer)], "A2 s(A1 h + b)")


def activation_outside(weight: Any, bias: Any = None, activation: str = "tanh") -> Network:
    """h' = s(weight h + bias)."""
    weight = np.asarray(weight, dtype=np.float64)
    return Network(weight.shape[1], [dense(weight, bias), Activation(activation)], "s(w h + b)")


def activation_inside(weight: Any, bias: Any = None, activation: str = "tanh") -> Network:
    """h' = weight s(h) + bias: no activation jumps where the weights do."""
    weight = np.asarray(weight, dtype=np.float64)
    return Network(weight.shape[1], [Activation(activation), dense(weight, bias)], "w s(h) + b")


def outside_in_time(weights: Sequence[Any], biases: Sequence[Any] = (), activation: str = "tanh") -> Field:
    """h' = s(w(t) h + b(t)), w(t) = sum of weights[k] t^k, b(t) = sum of biases[k] t^k."""
    h, t = _state_and_time(weights)
    return _field(_moving(weights, biases, h, t).apply(activation))


def inside_in_time(weights: Sequence[Any], biases: Sequence[Any] = (), activation: str = "tanh") -> Field:
    """h' = w(t) s(h) + b(t), the coefficients as in `outside_in_time`."""
    h, t = _state_and_time(weights)
    return _field(_moving(weights, biases, h.apply(activation), t))


def switched(fields: Sequence[Network], times: Sequence[Any], sharpness: Any) -> Field:
    """fields[0] + sum of sigmoid(sharpness (t - times[k])) (fields[k + 1] - fields[k]): one analytic system.

    It tends to the fields one after the other, switched at `times`; the state is off by O(1/sharpness) near a switch
    and O(1/sharpness^2) after it, where what comes before and after the switch cancels. `flow` of
    the pieces (fields[0], times[0]), ... has jumps instead: a schedule, exact.
    """
    if len(fields) != len(times) + 1 or any(as_field(f).reads != ("state",) for f in fields):
        raise ShapeError(f"expected fields of the state, one more than the times between them, got {len(fields)}")
    n = fields[0].size
    parts = network_input((n + 1,))
    h, t = parts[:n], parts[n:]
    values = [applied(f, h) for f in fields]
    total = values[0]
    for before, after, time in zip(values, values[1:], times, strict=False):
        gate = (t * to_exact(sharpness) + -to_exact(sharpness) * to_exact(time)).apply("sigmoid")
        total = total + gate * (after - before)
    return _field(total)


def _state_and_time(weights: Sequence[Any]) -> tuple[Value, Value]:
    shapes = {np.shape(w) for w in weights}
    if len(shapes) != 1 or len(set(next(iter(shapes)))) != 1 or len(next(iter(shapes))) != 2:
        raise ShapeError(f"expected square weight matrices of one shape, one per power of t, got {sorted(shapes)}")
    ((n, _),) = shapes
    parts = network_input((n + 1,))
    return parts[:n], parts[n:]


def _moving(weights: Sequence[Any], biases: Sequence[Any], h: Value, t: Value) -> Value:
    """w(t) h + b(t)."""
    total = linear(h, np.asarray(weights[0]), biases[0] if len(biases) else None)
    for k in range(1, max(len(weights), len(biases))):
        power = t if k == 1 else t.apply("square") if k == 2 else t.apply("power", k)
        if k < len(weights):
            total = total + power * linear(h, np.asarray(weights[k]))
        if k < len(biases):
            total = total + affine([(np.asarray(biases[k], dtype=np.float64).reshape(-1, 1), power)], 0, h.shape)
    return total


def _field(rates: Value) -> Field:
    return Field(as_network(rates, "weights polynomial in t"), ("state", "time"))
