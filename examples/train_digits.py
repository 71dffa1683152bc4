"""How well does a tanh network with 32 and 16 hidden neurons read handwritten digits?

It trains the layers 64-32-16-10 on the 8 x 8 images that come with scikit-learn, keeping 360 of the 1797 for
the test, and writes `networks/digits_tanh_64_32_16_10.onnx` and `data/digits_test.npz` beside this file: the
network and the test images that the other examples compile. Needs torch, onnx, onnxscript and scikit-learn.
"""

from pathlib import Path

import numpy as np
import torch
from export import export_network
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

HERE = Path(__file__).parent
SEED = 0


def split_digits(n_test: int = 360):
    """Training images, test images, training labels, test labels.

    Images are float32, shape (N, 64), in [0, 1]; labels are int64, shape (N,).
    """
    pixels, labels = load_digits(return_X_y=True)
    images = (pixels / 16).astype(np.float32)  # pixels are integers from 0 to 16: the division is exact
    return train_test_split(images, labels.astype(np.int64), test_size=n_test, stratify=labels, random_state=SEED)


def train(images: torch.Tensor, labels: torch.Tensor, epochs: int = 300) -> nn.Module:
    """The trained network; full batches, so the seed of the weights decides everything."""
    torch.manual_seed(SEED)
    network = nn.Sequential(nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 16), nn.Tanh(), nn.Linear(16, 10))
    # The decay keeps the weights small, hence the compiled equations tame.
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01, weight_decay=1e-4)
    for _ in range(epochs):
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(images), labels).backward()
        optimizer.step()
    return network


def accuracy(network: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> float:
    """Share of the images whose largest logit is that of the label."""
    with torch.no_grad():
        return (network(images).argmax(dim=1) == labels).double().mean().item()


def main() -> None:
    torch.set_num_threads(1)  # sums in a fixed order: the same network on every run
    train_images, test_images, train_labels, test_labels = map(torch.from_numpy, split_digits())
    network = train(train_images, train_labels)
    export_network(network, test_images, HERE / "networks/digits_tanh_64_32_16_10.onnx", any_batch=True)
    (HERE / "data").mkdir(exist_ok=True)
    np.savez_compressed(HERE / "data/digits_test.npz", images=test_images.numpy(), labels=test_labels.numpy())

    found = accuracy(network, test_images, test_labels)
    trained = accuracy(network, train_images, train_labels)
    print(f"training accuracy {trained:.4f} on {len(train_images)} images")
    print(f"test accuracy     {found:.4f} on {len(test_images)} images")
    assert found > 0.95


if __name__ == "__main__":
    main()
