"""Is a trained network the same function as its three analog programs? Proven, for one input of the ring network."""

from pathlib import Path

import numpy as np

import gpac
from compile import enclose_forward, forward, homotopy, load, relaxation, sequential

here = Path(__file__).parent
network = load(here / "networks" / "ring_tanh_2_3_1.onnx")
inputs = np.load(here / "data" / "ring_test.npz")["inputs"]

direct = enclose_forward(network, inputs[0], digits=30)
print(f"direct evaluation   {direct.balls[0].str(30)}")
for scheme in (homotopy, sequential, relaxation):
    program = scheme(network)
    batch = gpac.solve(program, inputs=inputs, tol=1e-14)
    difference = np.abs(batch.outputs - forward(network, inputs)).max()
    proof = gpac.prove(program, inputs=inputs[0], digits=30)
    print(f"{scheme.__name__:19s} {proof.balls[0].str(30)}  float64 differs by {difference:.0e}")
    assert direct.overlaps(proof) and proof.digits >= 30 and difference < 1e-12
