"""How far may an input move before the ring network's answer changes? A bracket, both ends proven."""

from fractions import Fraction
from pathlib import Path

from compile import Verdict, load, robust

network = load(Path(__file__).parent / "networks" / "ring_tanh_2_3_1.onnx")
x = [0.25, -0.5]

safe, broken = Fraction(0), Fraction(1)
while broken - safe > Fraction(1, 10**4):
    middle = (safe + broken) / 2
    answer = robust(network, x, middle)
    assert answer.verdict is not Verdict.UNKNOWN
    safe, broken = (middle, broken) if answer.verdict is Verdict.YES else (safe, middle)
last = robust(network, x, broken)
print(f"The sign of the output is the same for every input within {float(safe):.5f} of {x},")
print(f"and another one at {[float(v) for v in last.counterexample]}, within {float(broken):.5f}.")
assert last.verdict is Verdict.NO and 0.04 < safe < broken < 0.2
