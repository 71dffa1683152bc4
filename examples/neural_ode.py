"""How far is a residual network from its neural ODE? Both are proven; the distance halves as the depth doubles."""

import numpy as np

import gpac
from compile import enclose_forward, flow
from compile.architectures import HEUN, euler, euler_bound, two_layers, unrolled

rng = np.random.default_rng(1)
field = two_layers(rng.normal(size=(3, 6)) / 3, rng.normal(size=(6, 3)) / 2, rng.normal(size=6))  # A2 tanh(A1 h + b)
x = [0.5, -1.0, 0.25]

program = flow(field, 2)  # h' = field(h) up to T = 2, exact
proof = gpac.prove(program, inputs=x, digits=20)
print(program, "h(2) =", *(f"{float(m):.15f}" for m in proof.mid), f"proven to {proof.digits} digits")
assert proof.digits >= 20


def distance(method, depth: int) -> float:
    """Largest difference between the network of `depth` blocks, in balls, and the proven flow."""
    exact = enclose_forward(unrolled(method, field, 2, depth), x, digits=20)
    return max(float(abs(a - b)) for a, b in zip(exact.mid, proof.mid, strict=True))


print("blocks  ResNet - flow  a-priori bound  with two columns (Heun)")
rows = []
for depth in (16, 32, 64, 128):
    bound = euler_bound(field, x, 2, depth)
    rows.append((distance(euler, depth), distance(HEUN, depth), bound))
    print(f"{depth:6}  {rows[-1][0]:13.3e}  {bound:14.3e}  {rows[-1][1]:.3e}")
    assert rows[-1][0] <= bound

first, second = np.log2(np.array(rows)[:-1, :2] / np.array(rows)[1:, :2])[-1]
print(f"order of the residual network {first:.2f}, of the two columns {second:.2f}")
assert abs(first - 1) < 0.05 and abs(second - 2) < 0.05
