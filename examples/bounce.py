"""When does a ball that keeps nine tenths of its speed at every bounce hit the floor for the tenth time?"""

import numpy as np
import sympy

import gpac

height, speed = sympy.symbols("height speed")
fall = gpac.PIVP({height: speed, speed: -1}, {height: 1, speed: 0})
floor = gpac.Event(height, terminal=True)

state, now = np.array([[1.0, 0.0], [2.0, 0.0], [4.0, 0.0]]), np.zeros(3)  # three balls, each with its own time
for _ in range(10):
    solution = gpac.solve(fall, t=100, initial=state, tol=1e-14, events=floor).check()
    now += solution.t
    state = solution.states * [1, -0.9]

# it falls for sqrt(2 h), then flies 2 sqrt(2 h) 0.9^k for the k-th time
first = np.sqrt(2 * np.array([1.0, 2.0, 4.0]))
expected = first * (1 + 2 * sum(0.9**k for k in range(1, 10)))
print("tenth time on the floor:", now.round(12))
print("closed form            :", expected.round(12))
assert np.abs(now - expected).max() < 1e-11
