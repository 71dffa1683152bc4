"""Does a trajectory care who else is in its batch? A thousand Lorenz systems, together and one by one."""

import numpy as np
import sympy

import gpac

x, y, z = sympy.symbols("x y z")
lorenz = gpac.PIVP(
    {x: 10 * (y - x), y: x * (28 - z) - y, z: x * y - sympy.Rational(8, 3) * z},
    {x: 1, y: 1, z: 1},
)
starts = 1 + np.random.default_rng(1).uniform(-0.5, 0.5, (1000, 3))
together = gpac.solve(lorenz, t=1.0, initial=starts, tol=1e-12)
some = range(0, 1000, 100)
same = all((gpac.solve(lorenz, t=1.0, initial=starts[k], tol=1e-12).outputs == together.outputs[k]).all() for k in some)
print(f"the same bits: {same}; steps from {together.steps.min()} to {together.steps.max()}")
assert same and together.ok
