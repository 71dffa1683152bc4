"""A feed-forward network as frozen data: what every front end produces and every scheme consumes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from gpac.errors import NumberError, ShapeError
from gpac.exact import exact_array, to_floats


@dataclass(frozen=True, eq=False)
class Dense:
    """weight @ x + bias.

    `weight` is float64 (n_out, n_in), `bias` an exact array (n_out,); both are taken as the dyadics they are.
    """

    weight: np.ndarray
    bias: np.ndarray

    def __repr__(self) -> str:
        return f"Dense({' -> '.join(map(str, self.weight.shape[::-1]))})"


@dataclass(frozen=True, eq=False)
class Scale:
    """factor * x + offset, entry by entry; exact arrays of shape (n,) or (1,), such as a normalisation 1/s."""

    factor: np.ndarray
    offset: np.ndarray

    def __repr__(self) -> str:
        return f"Scale({max(len(self.factor), len(self.offset))} entries)"


@dataclass(frozen=True)
class Tanh:
    """tanh of every entry."""


@dataclass(frozen=True)
class Sigmoid:
    """1/(1 + exp(-x)) of every entry."""


Layer: TypeAlias = Dense | Scale | Tanh | Sigmoid
ACTIVATIONS = (Tanh, Sigmoid)


@dataclass(frozen=True, eq=False)
class Network:
    """Layers applied in order to a vector of `size` numbers (images are flattened row by row).

    Parameters
    ----------
    size : int
        Number of inputs.
    layers : sequence of layers
        Identities and reshapes leave no layer.
    name : str
        For titles and messages.
    input_shape : tuple of int, optional
        Shape of one input as the file declares it; its product is `size`.

    Raises
    ------
    ShapeError
        If a layer does not fit the one before; the message names both.
    NumberError
        If a weight is NaN or infinite.
    """

    size: int
    layers: tuple[Layer, ...]
    name: str = "network"
    input_shape: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", tuple(self.layers))
        width = self.size
        for number, layer in enumerate(self.layers, 1):
            try:
                width = _width_after(layer, width)
            except (ShapeError, NumberError) as error:
                raise type(error)(f"layer {number} of {self.name!r}, {layer!r}: {error}") from None

    @property
    def widths(self) -> tuple[int, ...]:
        """Number of values before the first layer and after every layer."""
        widths = [self.size]
        for layer in self.layers:
            widths.append(_width_after(layer, widths[-1]))
        return tuple(widths)

    @property
    def outputs(self) -> int:
        """Number of outputs."""
        return self.widths[-1]

    @property
    def neurons(self) -> int:
        """Number of activations, over all layers."""
        widths = self.widths
        return sum(widths[k] for k, layer in enumerate(self.layers) if isinstance(layer, ACTIVATIONS))

    @property
    def weights(self) -> int:
        """Number of weights and biases."""
        return sum(la.weight.size + la.bias.size for la in self.layers if isinstance(la, Dense))

    def __repr__(self) -> str:
        dense = [str(la.weight.shape[0]) for la in self.layers if isinstance(la, Dense)]
        kinds = sorted({type(la).__name__.lower() for la in self.layers if isinstance(la, ACTIVATIONS)})
        return f"Network({'-'.join([str(self.size), *dense])} {'/'.join(kinds) or 'linear'}, {self.weights} weights)"


def _width_after(layer: Layer, width: int) -> int:
    if isinstance(layer, Dense):
        if layer.weight.ndim != 2 or layer.weight.shape[1] != width:
            raise ShapeError(f"expected a weight matrix with {width} columns, got shape {layer.weight.shape}")
        if layer.bias.shape != (layer.weight.shape[0],):
            raise ShapeError(f"expected a bias of shape ({layer.weight.shape[0]},), got {layer.bias.shape}")
        _finite(layer.weight, "weight")
        _finite(layer.bias, "bias")
        return len(layer.bias)
    if isinstance(layer, Scale):
        for array in (layer.factor, layer.offset):
            if array.shape not in ((1,), (width,)):
                raise ShapeError(f"expected 1 or {width} numbers, got shape {array.shape}")
            _finite(array, "number")
    elif not isinstance(layer, ACTIVATIONS):
        raise ShapeError(f"expected Dense, Scale, Tanh or Sigmoid, got {type(layer).__name__}")
    return width


def _finite(array: np.ndarray, what: str) -> None:
    if array.dtype != object and not np.isfinite(array).all():
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise NumberError(f"expected finite weights, got {array[where]} at {what}{list(where)}")


def dense(weight: Any, bias: Any = None) -> Dense:
    """A dense layer from arrays; without `bias` it is zero."""
    weight = np.asarray(weight, dtype=np.float64)
    return Dense(weight, np.zeros(len(weight)) if bias is None else exact_array(bias))


def as_rows(network: Network, x: Any) -> tuple[np.ndarray, bool]:
    """Inputs as float64 rows (B, size), and whether a single one was given; images are flattened."""
    x = np.asarray(x, dtype=np.float64)
    if not np.isfinite(x).all():
        raise NumberError("the inputs have NaN or inf in them; expected finite numbers")
    if x.shape == (network.size,) or (network.input_shape and x.shape == tuple(network.input_shape)):
        return x.reshape(1, network.size), True
    if x.ndim < 2 or int(np.prod(x.shape[1:])) != network.size:
        raise ShapeError(
            f"expected inputs of shape ({network.size},) or (B, {network.size}) for {network!r}, got {x.shape}"
        )
    return x.reshape(len(x), network.size), False


def forward(network: Network, x: Any) -> np.ndarray:
    """Plain float64 evaluation.

    Parameters
    ----------
    x : float64, (size,) or (B, size) or (B, *input_shape)

    Returns
    -------
    float64, (m,) or (B, m)
    """
    rows, single = as_rows(network, x)
    for layer in network.layers:
        rows = _apply(layer, rows)
    return rows[0] if single else rows


def carried(network: Network, x: Any) -> list[np.ndarray]:
    """Float64 values after every activation and at the output: pictures of a grid through the layers."""
    rows, _ = as_rows(network, x)
    stages = [rows]
    for layer in network.layers:
        rows = _apply(layer, rows)
        if isinstance(layer, ACTIVATIONS):
            stages.append(rows)
    if network.layers and not isinstance(network.layers[-1], ACTIVATIONS):
        stages.append(rows)
    return stages


def _apply(layer: Layer, rows: np.ndarray) -> np.ndarray:
    if isinstance(layer, Dense):
        return rows @ layer.weight.T + to_floats(layer.bias)
    if isinstance(layer, Scale):
        return rows * to_floats(layer.factor) + to_floats(layer.offset)
    return np.tanh(rows) if isinstance(layer, Tanh) else 0.5 + 0.5 * np.tanh(0.5 * rows)


def chain(layers: Sequence[Layer]) -> list[tuple[tuple[Dense | Scale, ...], Tanh | Sigmoid | None]]:
    """The network as stages: linear layers, then one activation (None for a linear end)."""
    stages: list[tuple[tuple[Dense | Scale, ...], Tanh | Sigmoid | None]] = []
    linear: list[Dense | Scale] = []
    for layer in layers:
        if isinstance(layer, (Dense, Scale)):
            linear.append(layer)
        else:
            stages.append((tuple(linear), layer))
            linear = []
    if linear or not stages:
        stages.append((tuple(linear), None))
    return stages
