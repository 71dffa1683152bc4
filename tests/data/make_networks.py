"""What do the two exporters of torch write for the same network?

Makes the ONNX files beside this one, which the tests of the ONNX reader load:

- `ring_old_exporter.onnx`: the network of `examples/train_ring.py`, trained again, by the old exporter.
- `sigmoid_flatten_new.onnx`, `sigmoid_flatten_old.onnx`: `Normalised` below, with seeded random weights, by
  the current and by the old exporter. Its input has the fixed shape (1, 1, 4, 4).

Run it as `python tests/data/make_networks.py`. Needs torch, onnx and onnxscript.
"""

import sys
from pathlib import Path

import torch
from torch import nn

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1] / "examples"))

from export import export_network  # noqa: E402
from train_ring import sample_sets, trained_network  # noqa: E402


class Normalised(nn.Module):
    """(x - mean) / std, flattened to 16 numbers, then 16-6-3 with a sigmoid.

    The mean is a number of the program and the std a buffer of the module, since exporters store the two
    differently.
    """

    def __init__(self):
        super().__init__()
        self.mean = 0.5
        self.register_buffer("std", torch.tensor([0.25, 0.5, 0.75, 1.0]))  # one per column
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(16, 6), nn.Sigmoid(), nn.Linear(6, 3))

    def forward(self, x):
        return self.layers((x - self.mean) / self.std)


def main() -> None:
    torch.set_num_threads(1)  # as in train_ring.py: the same weights
    points = torch.from_numpy(sample_sets(400, seed=1)[0])
    export_network(trained_network(), points, HERE / "ring_old_exporter.onnx", any_batch=True, dynamo=False)

    torch.manual_seed(0)
    network, image = Normalised(), torch.rand(1, 1, 4, 4)
    export_network(network, image, HERE / "sigmoid_flatten_new.onnx", any_batch=False)
    export_network(network, image, HERE / "sigmoid_flatten_old.onnx", any_batch=False, dynamo=False)


if __name__ == "__main__":
    main()
