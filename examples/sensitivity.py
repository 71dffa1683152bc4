"""How sensitive is the digits network's answer to each pixel, and is that derivative right?"""

from pathlib import Path

import mpmath
import numpy as np

import gpac
from compile import Affine, forward, homotopy, load
from gpac.transform.tangent import tangent

HERE = Path(__file__).parent
network = load(HERE / "networks" / "digits_tanh_64_32_16_10.onnx")
image = np.load(HERE / "data" / "digits_test.npz")["images"][0].reshape(64).astype(float)

program = homotopy(network)
jacobian = gpac.solve(program, inputs=image, tol=1e-14, derivatives="x").check().jacobian["x"]  # (10, 64)

digit = int(forward(network, image).argmax())
pixel = int(abs(jacobian[digit]).argmax())
print(f"the network says {digit}; row {pixel // 8}, column {pixel % 8} changes that score most:")
print(f"by {jacobian[digit, pixel]:+.15f} per unit of grey")

varied = tangent(program)  # the variational circuit: outputs y and d(y), inputs x and the direction d(x)
print(f"{program} becomes {varied}")
proof = gpac.prove(varied, inputs={"x": image, "d(x)": np.eye(64)[pixel]}, digits=20)
proven = proof.check().mid[10 + digit]
print(f"   {mpmath.nstr(proven, 20)} is proven to {proof.digits} digits")

activation = image  # the chain rule by hand, layer by layer
truth = np.eye(64)
for layer in network.layers:
    if isinstance(layer, Affine):
        activation, truth = layer.weight @ activation + layer.bias.astype(float), layer.weight @ truth
    else:
        activation = np.tanh(activation)
        truth = (1 - activation**2)[:, None] * truth
print(f"largest difference to the chain rule in float64: {abs(jacobian - truth).max():.1e}")
assert abs(jacobian - truth).max() < 1e-12 and abs(proven - jacobian[digit, pixel]) < 1e-12
assert proof.digits >= 20 and varied.dim == program.dim
