"""A trained sigmoid network, 784-6x200-10, as a homotopy: the file is not part of the project."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from compile import Affine, Network, enclose_forward, load
from gpac.exact import to_floats

from .jobs import Bound, Job


def mnist(folder: Path) -> Job | str:
    """The job on 20 test images, or why it cannot be run; the right answers are the network's, in balls."""
    file, images = folder / "mnist_sigmoid_6x200.onnx", folder / "mnist_20_images.npz"
    if not (file.exists() and images.exists()):
        return f"it needs {file.name} and {images.name} in {folder}, which are not there"
    network = load(file)
    with np.load(images) as stored:
        x = np.asarray(stored["images"], dtype=float).reshape(-1, network.size)
    right = np.array([[float(v) for v in enclose_forward(network, image, digits=30).mid] for image in x])
    arrays = as_tanh(network, x) | {"x": x, "onnx": np.array(str(file))}
    title = f"homotopy of a trained sigmoid network 784-6x200-10 x {len(x)}, outputs at t = 1"
    return Job("MNIST", title, "homotopy", 1.0, arrays, right, (Bound(1e-12),))


def as_tanh(network: Network, x: np.ndarray) -> dict[str, np.ndarray]:
    """The same network with tanh neurons, for the peers: w2, b2, ... of every layer, and c before the first neuron.

    sigmoid(z) = (1 + tanh(z/2))/2: halves go into the weights exactly, into the offsets with one rounding.
    """
    arrays: dict[str, np.ndarray] = {}
    affine = [layer for layer in network.layers if isinstance(layer, Affine)]
    dense = [layer for layer in affine if layer.weight.ndim == 2]
    for layer in affine:
        if layer.weight.ndim < 2:  # numbers scaled before the first layer
            x = x * to_floats(layer.weight) + to_floats(layer.bias)
    arrays["c"] = (x @ dense[0].weight.T + to_floats(dense[0].bias)) / 2
    for number, layer in enumerate(dense[1:], 2):
        half = 1 if number == len(dense) else 2  # the last layer ends in no neuron
        offset = to_floats(layer.bias) + layer.weight.sum(axis=1) / 2
        arrays[f"w{number}"], arrays[f"b{number}"] = layer.weight / 2 / half, offset / half
    return arrays
