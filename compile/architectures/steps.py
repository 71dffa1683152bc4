"""Residual networks: one layer is one step of a method for h' = f(h, t), unrolled into a network.

A method is a function (rates, h, t, step) -> h at t + step, written with values; rates(h, t) is the vector field.
Source of the reading: E, Commun. Math. Stat. 5 (2017); Lu, Zhong, Li and Dong, ICML 2018 (arXiv 1710.10121).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any, TypeAlias

from gpac.errors import NumberError, ShapeError
from gpac.exact import exact_array, to_exact

from ..build import as_network
from ..compose import applied
from ..field import Field, as_field
from ..network import Network
from ..value import Value, affine, network_input

Rates: TypeAlias = Callable[[Value, Fraction], Value]
Method: TypeAlias = Callable[[Rates, Value, Fraction, Fraction], Value]


def euler(rates: Rates, h: Value, t: Fraction, step: Fraction) -> Value:
    """The residual block h + step f(h): Euler's method, of order 1."""
    return weighted((1, h), (step, rates(h, t)))


def unrolled(
    method: Method,
    fields: Network | Field | Sequence[Network | Field],
    duration: Any = 1,
    depth: int | None = None,
    start: Network | None = None,
) -> Network:
    """The network whose layers are the steps of `method` from 0 to `duration`.

    Parameters
    ----------
    fields : Network (n -> n) or `Field`, or a sequence of them
        One field for all layers, of which there are `depth`, or one per layer.
    duration : exact positive number
        Each step is duration / number of layers, exactly.
    start : Network, optional
        h(0) = start(x); without it h(0) = x.

    >>> import numpy as np
    >>> from compile import Tanh, forward
    >>> resnet = unrolled(euler, Network(1, [Tanh()]), depth=2)
    >>> forward(resnet, [0.5]).round(4), (0.5 + np.tanh(0.5) / 2 + np.tanh(0.5 + np.tanh(0.5) / 2) / 2).round(4)
    (array([1.0429]), np.float64(1.0429))
    """
    layers = _layers(fields, depth)
    step = positive(duration, "duration") / len(layers)
    x = network_input((start.size if start is not None else layers[0].size,))
    h = applied(start, x) if start is not None else x
    for number, field in enumerate(layers):
        h = method(lambda v, t, f=field: f.value(v, x, t), h, number * step, step)  # type: ignore[misc]
    return as_network(h, f"{getattr(method, '__name__', 'method')} {len(layers)}")


def resnet(fields: Any, duration: Any = 1, depth: int | None = None, start: Network | None = None) -> Network:
    """The residual network of these blocks: `unrolled(euler, ...)`."""
    return unrolled(euler, fields, duration, depth, start)


def weighted(*terms: tuple[Any, Value]) -> Value:
    """sum of number * value over values of one shape, as one affine map."""
    return affine([(exact_array(to_exact(a)).reshape(()), v) for a, v in terms], 0, terms[0][1].shape)


def positive(value: Any, what: str) -> Fraction:
    """An exact positive rational."""
    number = to_exact(value)
    if not isinstance(number, Fraction) or not number > 0:
        raise NumberError(f"expected a positive rational number as the {what}, got {value!r}")
    return number


def _layers(fields: Any, depth: int | None) -> list[Field]:
    if isinstance(fields, (Network, Field)):
        if depth is None or depth < 1:
            raise ShapeError(f"expected a depth of at least 1 for a field that all layers share, got {depth}")
        return [as_field(fields)] * depth
    layers = [as_field(f) for f in fields]
    if not layers or depth not in (None, len(layers)):
        raise ShapeError(f"expected at least one field, as many as the depth, got {len(layers)} and depth {depth}")
    return layers
