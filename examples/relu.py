"""What does a ReLU network say in exact arithmetic, and how near does an analog program come to it?

ReLU has a kink, so no polynomial differential equation computes it. With smooth=delta every ReLU becomes
(z + sqrt(z^2 + 4 delta^2))/2, which is at most delta larger, and the network an analog program. How far its output is
from the network's own is proven for every input there is, and much closer for the input at hand. Around an input off
the kinks the branches that are taken make a program that is the network itself.
"""

from fractions import Fraction
from pathlib import Path

import numpy as np

import gpac
from compile import enclose_forward, forward, load, pattern, sequential

FILE = Path(__file__).parent / "networks" / "ring_relu_2_8_8_1.onnx"
POINT = [Fraction(1, 4), Fraction(-1, 2)]

network = load(FILE, smooth=Fraction(1, 1000))
everywhere, here = float(network.distance()), float(network.distance(POINT))
print(f"{network}: within {everywhere:.3g} of the ReLU network at all inputs, within {here:.3g} at this one")

points = np.random.default_rng(0).uniform(-1, 1, (10_000, 2))
seen = float(np.abs(forward(network, points) - forward(network.original, points)).max())
print(f"largest difference at 10 000 points: {seen:.3g}")

proof = gpac.prove(sequential(network), inputs=POINT, digits=15)
print(proof)

branches = pattern(network, POINT)
print(f"without kinks: {branches}")
exact = gpac.prove(branches.compile(), inputs=POINT, digits=30)
print(exact)

itself = enclose_forward(network.original, POINT, digits=40)
assert seen <= everywhere <= 100 * seen
assert all(wide.contains(ball) for wide, ball in zip(proof.original, itself.balls, strict=True))
assert itself.overlaps(exact)
