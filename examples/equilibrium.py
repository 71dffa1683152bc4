"""Does an equilibrium network have one answer? A proven contraction says so, and a flow computes it to 15 digits."""

import numpy as np

import gpac
from compile.architectures import Equilibrium, contraction, enclose_equilibrium, equilibrium

rng = np.random.default_rng(3)
recurrent = rng.normal(size=(8, 8)) / 8
model = Equilibrium(recurrent, rng.normal(size=(8, 3)), rng.normal(size=8))  # z = W tanh(z) + U x + b

proof = contraction(model)
print(f"largest row sum {np.abs(recurrent).sum(axis=1).max():.3f}, proven logarithmic norm {proof.m.str(6)} < 1")

x = [0.5, -1.0, 0.25]
program = equilibrium(model)  # z' = W tanh(z) + U x + b - z from z = 0
outputs = gpac.solve(program, inputs=x, tol=1e-12).check().outputs
print(program, "runs until", round(program.program.limit.time({"x": np.array(x)}, 1e-12), 1), "for 1e-12")

flowed = gpac.prove(program, inputs=x, digits=15)
direct = enclose_equilibrium(model, x, digits=40)  # Newton's steps in balls: no differential equation
print("first output:", direct.balls[0].str(30), "by the flow:", flowed.balls[0].str(16))
assert flowed.digits >= 15 and direct.overlaps(flowed)
assert np.abs(outputs - [float(m) for m in direct.mid]).max() < 1e-11

try:
    contraction(Equilibrium(30 * recurrent, np.ones((8, 3))))
except gpac.NumberError as error:
    print("thirty times the weights:", error)
else:
    raise AssertionError("thirty times the weights contract")
