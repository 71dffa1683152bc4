"""What does the ring network do to the plane? A grid of inputs carried through its layers, as one picture."""

import sys
import tempfile
from pathlib import Path

from compile import forward, load
from compile.report.inputs import read_samples
from compile.report.pictures import grid

here = Path(__file__).parent
network = load(here / "networks" / "ring_tanh_2_3_1.onnx")
samples = read_samples(here / "data" / "ring_test.npz", network)
right = ((forward(network, samples.x)[:, 0] > 0) == samples.labels).mean()

picture = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp()) / "ring.png"
grid(network, samples).savefig(picture, dpi=110)
print(f"{picture}: {right:.0%} of the points on the right side")
assert right == 1.0
