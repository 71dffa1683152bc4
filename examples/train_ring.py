"""Can a tanh network with three hidden neurons tell a disc from the ring around it?

Two neurons cannot separate the sets {|x| < 0.4} and {0.6 < |x| < 1} of the plane: whatever the weights, every
circle of the ring has a point that the network ranks no higher than the centre, and one no lower. Three can.
This trains 2-3-1 on 1000 points and writes `networks/ring_tanh_2_3_1.onnx` and `data/ring_test.npz` beside
this file. The network is right on every one of these points, though not on the whole sets: of a million other
points it gets 45 wrong, all with |x| between 0.6 and 0.603. A network 2-8-8-1 with ReLU is trained on the same
points, `networks/ring_relu_2_8_8_1.onnx`. Needs torch, onnx and onnxscript.
"""

from pathlib import Path

import numpy as np
import torch
from export import export_network
from torch import nn

HERE = Path(__file__).parent
SEED = 0


def sample_sets(n: int, seed: int):
    """Half of the `n` points uniform in the disc (label 0), half in the ring (label 1).

    Returns the points, float32, shape (n, 2), and the labels, int64, shape (n,).
    """
    generator = np.random.default_rng(seed)
    labels = np.repeat([0, 1], n // 2)
    inner, outer = np.array([0.0, 0.6])[labels], np.array([0.4, 1.0])[labels]
    # Uniform in area means that the squared radius is uniform.
    radius = np.sqrt(generator.uniform(inner**2, outer**2))
    angle = generator.uniform(0, 2 * np.pi, n)
    points = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return points.astype(np.float32), labels


def train(points: torch.Tensor, labels: torch.Tensor, epochs: int = 4000, relu: bool = False) -> nn.Module:
    """The trained network: its one logit is positive on the ring."""
    torch.manual_seed(SEED)
    network = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))
    if relu:
        network = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 1))
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    for _ in range(epochs):
        optimizer.zero_grad()
        nn.functional.binary_cross_entropy_with_logits(network(points)[:, 0], labels.float()).backward()
        optimizer.step()
    return network


def accuracy(network: nn.Module, points: torch.Tensor, labels: torch.Tensor) -> float:
    """Share of the points on the right side of logit zero."""
    with torch.no_grad():
        return ((network(points)[:, 0] > 0) == labels).double().mean().item()


def trained_network() -> nn.Module:
    """The network of `ring_tanh_2_3_1.onnx`."""
    return train(*map(torch.from_numpy, sample_sets(1000, SEED)))


def main() -> None:
    torch.set_num_threads(1)  # sums in a fixed order: the same network on every run
    network = trained_network()
    train_points, train_labels = map(torch.from_numpy, sample_sets(1000, SEED))
    test_points, test_labels = map(torch.from_numpy, sample_sets(400, SEED + 1))
    export_network(network, test_points, HERE / "networks/ring_tanh_2_3_1.onnx", any_batch=True)
    rectified = train(train_points, train_labels, epochs=1000, relu=True)
    export_network(rectified, test_points, HERE / "networks/ring_relu_2_8_8_1.onnx", any_batch=True)
    (HERE / "data").mkdir(exist_ok=True)
    np.savez_compressed(HERE / "data/ring_test.npz", inputs=test_points.numpy(), labels=test_labels.numpy())

    found = accuracy(network, train_points, train_labels)
    print(f"training accuracy {found:.4f} on {len(train_points)} points")
    print(f"test accuracy     {accuracy(network, test_points, test_labels):.4f} on {len(test_points)} points")
    print(f"ReLU on test data {accuracy(rectified, test_points, test_labels):.4f}")
    assert found == 1.0


if __name__ == "__main__":
    main()
