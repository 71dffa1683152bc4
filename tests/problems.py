"""Small systems with known solutions: every engine runs them all.

`exact` evaluates a closed form in a given mpmath context, at whatever precision that context has. `condition`
bounds how far an error of size 1, relative to the largest state of its time and made anywhere along the way,
moves the outputs: tolerances of tests are multiples of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import mpmath
import numpy as np
import sympy

import gpac
from gpac import PIVP, Circuit, bilinear, integral, linear, product, wire
from gpac import functions as fn

HALF = Fraction(1, 2)


@dataclass(frozen=True)
class Problem:
    """y' = p(y) from 0 to t, and what it gives there."""

    name: str
    system: PIVP | Circuit
    t: Fraction
    exact: Callable[[Any, Any], list]
    condition: float

    def truth(self, digits: int = 50) -> list:
        """Outputs at time t as mpmath numbers of so many digits."""
        context = mpmath.mp.clone()
        context.dps = digits + 10
        t = context.mpf(self.t.numerator) / self.t.denominator
        return [context.mpf(v) for v in self.exact(context, t)]

    def __repr__(self) -> str:
        return self.name


def _exp() -> Problem:
    y = sympy.Symbol("y")
    return Problem("exp", PIVP({y: y}, {y: 1}), Fraction(3), lambda mp, t: [mp.exp(t)], 21)


def _circle() -> Problem:
    c, s = sympy.symbols("c s")
    system = PIVP({c: -s, s: c}, {c: 1, s: 0})
    return Problem("circle", system, Fraction(10), lambda mp, t: [mp.cos(t), mp.sin(t)], 1)


def _tan() -> Problem:
    """Errors grow like y' = 1 + y^2, which is 200 at t = 3/2, 0.07 before the pole."""
    y = sympy.Symbol("y")
    return Problem("tan", PIVP({y: 1 + y**2}, {y: 0}), Fraction(3, 2), lambda mp, t: [mp.tan(t)], 200)


def _square() -> Problem:
    y = sympy.Symbol("y")
    return Problem("y' = y^2", PIVP({y: y**2}, {y: 1}), Fraction(9, 10), lambda mp, t: [1 / (1 - t)], 100)


def _logistic() -> Problem:
    y = sympy.Symbol("y")
    system = PIVP({y: y - y**2}, {y: Fraction(1, 10)})
    return Problem("logistic", system, Fraction(5), lambda mp, t: [1 / (1 + 9 * mp.exp(-t))], 3)


def _riccati() -> Problem:
    y = sympy.Symbol("y")
    root = PIVP({y: y**2 - 2}, {y: 0})
    return Problem("Riccati", root, Fraction(3), lambda mp, t: [-mp.sqrt(2) * mp.tanh(mp.sqrt(2) * t)], 1)


def _tanh_flow() -> Problem:
    """y' = w tanh(y): sinh y(t) = sinh(y0) exp(w t), one way out and one way in."""
    w = [1, -2]
    y = wire("y", 2)
    y.define(integral(linear([(w, fn.tanh(y))]), None, [0.5, 1], name="y"))

    def exact(mp: Any, t: Any) -> list:
        return [mp.asinh(mp.sinh(y0) * mp.exp(a * t)) for y0, a in ((mp.mpf(1) / 2, 1), (mp.mpf(1), -2))]

    return Problem("tanh flow", Circuit({"y": y}), Fraction(2), exact, 16)


def _gaussian() -> Problem:
    x, v = sympy.symbols("x v")
    system = PIVP({v: -x * v, x: 1}, {v: 1, x: 0}, {"v": v})
    return Problem("Gaussian", system, Fraction(3), lambda mp, t: [mp.exp(-t * t / 2)], 3)


def _arctan() -> Problem:
    y, w, v = sympy.symbols("y w v")
    system = PIVP({y: w, w: -2 * v * w, v: w - 2 * v**2}, {y: 0, w: 1, v: 0}, {"y": y, "w": w})
    return Problem("arctan", system, Fraction(5), lambda mp, t: [mp.atan(t), 1 / (1 + t * t)], 30)


def _lambert() -> Problem:
    """W(1) = 0.5671432904097838..., the library system of degree 4."""
    w, e, u = sympy.symbols("w e u")
    system = PIVP({w: e * u, e: -(e**2) * u, u: -(u**3) * e}, {w: 0, e: 1, u: 1}, {"w": w})
    return Problem("Lambert W", system, Fraction(1), lambda mp, t: [mp.lambertw(t).real], 4)


def _sigmoid_flow() -> Problem:
    """y' = sigmoid(y), y(0) = 0: y - exp(-y) = t - 1."""
    y = wire("y")
    y.define(integral(fn.sigmoid(y), None, 0, name="y"))
    return Problem(
        "sigmoid flow", Circuit({"y": y}), Fraction(2), lambda mp, t: [t - 1 + mp.lambertw(mp.exp(1 - t)).real], 4
    )


def _jacobi() -> Problem:
    s, c, d = sympy.symbols("sn cn dn")
    system = PIVP({s: c * d, c: -s * d, d: -s * c / 2}, {s: 0, c: 1, d: 1})

    def exact(mp: Any, t: Any) -> list:
        return [mp.ellipfun(kind, t, m=mp.mpf(1) / 2) for kind in ("sn", "cn", "dn")]

    return Problem("Jacobi sn, cn, dn", system, Fraction(1), exact, 3)


def _matrix_exponential() -> Problem:
    """Y' = Y A from the identity, Y flattened row by row."""
    A = [[0, 1], [-2, -HALF]]
    Y = wire("Y", 4)
    matrix = np.kron(np.eye(2), np.array(A, dtype=float).T)
    Y.define(integral(linear([(matrix, Y)]), None, [1, 0, 0, 1], name="Y"))

    def exact(mp: Any, t: Any) -> list:
        return list(mp.expm(mp.matrix([[0, 1], [-2, -mp.mpf(1) / 2]]) * t))

    return Problem("matrix exponential", Circuit({"Y": Y}), Fraction(4), exact, 5)


def _matrix_riccati() -> Problem:
    """Y' = -Y Y: Y = (Y0^-1 + t)^-1."""
    start = [[2, 1], [0, 1]]
    Y = wire("Y", 4)
    square = bilinear("ij,jk->ik", Y, Y, (2, 2), (2, 2))
    Y.define(integral(-square, None, [2, 1, 0, 1], name="Y"))

    def exact(mp: Any, t: Any) -> list:
        return list((mp.matrix(start) ** -1 + t * mp.eye(2)) ** -1)

    return Problem("matrix Riccati", Circuit({"Y": Y}), Fraction(3), exact, 4)


def _absolute_value() -> Problem:
    """a tends to |x| with bounded states: a = sqrt(x^2 + (1 - x^2) exp(-t)), w = x/a."""
    x = Fraction(1, 100)
    w, a = sympy.symbols("w a")
    system = PIVP({w: (w - w**3) / 2, a: (sympy.Rational(1, 100) * w - a) / 2}, {w: x, a: 1})

    def exact(mp: Any, t: Any) -> list:
        value = mp.mpf(1) / 100
        root = mp.sqrt(value**2 + (1 - value**2) * mp.exp(-t))
        return [value / root, root]

    return Problem("|x|", system, Fraction(10), exact, 60)  # w grows by at most 1/0.01 before it settles


def _relaxed_layer() -> Problem:
    """z' = 3 (z* - z), u = tanh(z), d = 1 - u^2: one relaxed layer of three neurons."""
    goal, z = np.array([0.5, -1.25, 2.0]), wire("z", 3)
    z.define(integral(linear([(-3, z)], 3 * goal), None, 0, name="z"))
    u, d = fn.tanh_pair(z)

    def exact(mp: Any, t: Any) -> list:
        values = [mp.mpf(float(g)) * (1 - mp.exp(-3 * t)) for g in goal]
        return [*values, *(mp.tanh(v) for v in values), *(mp.sech(v) ** 2 for v in values)]

    return Problem("relaxed layer", Circuit({"z": z, "u": u, "d": d}), Fraction(2), exact, 10)


def _gaps() -> Problem:
    """exp(t^20), to a dyadic t: nineteen of twenty Taylor coefficients at 0 are zero."""
    return Problem(
        "exp(t^20)", Circuit({"y": fn.exp(gpac.time() ** 20)}), Fraction(35, 32), lambda mp, t: [mp.exp(t**20)], 410
    )


def _moving_product() -> Problem:
    """An integral with respect to a product: t^2 sin(t) from Int t d(t^2 sin t) / t."""
    t = gpac.time()
    area = integral(t, product(product(t, t), fn.sin(t)), 0, name="area")

    def exact(mp: Any, t: Any) -> list:  # by parts: t^3 sin t - Int t^2 sin t
        return [t**3 * mp.sin(t) + t**2 * mp.cos(t) - 2 * t * mp.sin(t) - 2 * mp.cos(t) + 2]

    return Problem("Int t d(t^2 sin t)", Circuit({"area": area}), Fraction(5), exact, 600)


LORENZ = (
    "13.793199595128618831604974260500204199864026076050",
    "12.951803936189898540046382709242627572257978361670",
    "34.901608681135142907112681819963835554108924392519",
)
"""x, y, z at t = 20 to 50 digits: gpac.reference with 300 and 400 bits (531 and 526 steps) agree to 70."""


def _lorenz() -> Problem:
    """The classical parameters from (1, 1, 1).

    Condition: states reach 48, and 1e-9 added to one of them at t = 0, 2, 5, 10 or 15 had grown at most
    6.4e3 times at t = 20.
    """
    x, y, z = sympy.symbols("x y z")
    equations = {x: 10 * (y - x), y: x * (28 - z) - y, z: x * y - sympy.Rational(8, 3) * z}
    system = PIVP(equations, {x: 1, y: 1, z: 1})
    return Problem("Lorenz", system, Fraction(20), lambda mp, t: [mp.mpf(v) for v in LORENZ], 48 * 7e3)


PROBLEMS = [
    make()
    for make in (
        _exp,
        _circle,
        _tan,
        _square,
        _logistic,
        _riccati,
        _tanh_flow,
        _gaussian,
        _arctan,
        _lambert,
        _sigmoid_flow,
        _jacobi,
        _matrix_exponential,
        _matrix_riccati,
        _absolute_value,
        _relaxed_layer,
        _gaps,
        _moving_product,
        _lorenz,
    )
]


def problem(name: str) -> Problem:
    """The problem of this name."""
    return next(p for p in PROBLEMS if p.name == name)
