"""How many digits of tan(3/2) can be proven from y' = 1 + y^2, and where does that solution end?"""

from fractions import Fraction

import mpmath
import sympy

import gpac

y = sympy.Symbol("y")
tangent = gpac.PIVP({y: 1 + y**2}, {y: 0})
print(tangent)

proof = gpac.prove(tangent, t=Fraction(3, 2), digits=50)
print(proof)

beyond = gpac.prove(tangent, t=Fraction(8, 5), digits=50)
print(beyond)

with mpmath.workdps(80):
    assert proof.contains(mpmath.tan(mpmath.mpf(3) / 2)) and proof.digits >= 50
    low, high = beyond.end
    assert low < mpmath.pi / 2 < high and high - low < mpmath.mpf(10) ** -50
