"""What does the ring network do to the plane, and how do its analog programs get there? One picture."""

import sys
import tempfile
from pathlib import Path

from compile.report.pictures import grid
from compile.report.run import report

here = Path(__file__).parent
result = report(here / "networks" / "ring_tanh_2_3_1.onnx", here / "data" / "ring_test.npz")
folder = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp())
grid(result).savefig(folder / "ring.png", dpi=110)
print(f"{folder / 'ring.png'}: {result.accuracy:.0%} of the points on the right side")
assert result.accuracy == 1.0
