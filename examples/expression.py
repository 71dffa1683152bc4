"""How does an expression of time become integrators, and how well are they solved?"""

import numpy as np

import gpac
from gpac import functions as fn

t = gpac.time()
damped = gpac.Circuit({"y": fn.sin(t**2) * fn.exp(-t / 10)})
print(damped.to_pivp())

solution = gpac.solve(damped, t=6, tol=1e-14, dense=True)
times = np.linspace(0, 6, 25)
error = np.abs(solution.at(times)[:, 0] - np.sin(times**2) * np.exp(-times / 10)).max()
print(f"largest error at 25 times: {error:.1e}, in {solution.steps} steps")
assert error < 1e-12
