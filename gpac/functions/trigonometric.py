"""sin, cos, tan and arctan."""

from __future__ import annotations

from ..wire import Wire, integral, linear, product, wire
from .start import carried, start


def sin_cos(x: Wire) -> tuple[Wire, Wire]:
    """(sin(x), cos(x)) of a moving wire, one pair of integrators: ds = c dx, dc = -s dx."""
    s, c = wire("sin", x.size), wire("cos", x.size)
    cosine = c.define(integral(linear([(-1, s)]), x, start("cos", x), name="cos"))
    return s.define(integral(c, x, start("sin", x), name="sin")), cosine


@carried("sin")
def sin(x: Wire) -> Wire:
    """sin(x): ds = c dx, dc = -s dx."""
    return sin_cos(x)[0]


@carried("cos")
def cos(x: Wire) -> Wire:
    """cos(x): ds = c dx, dc = -s dx."""
    return sin_cos(x)[1]


@carried("tan")
def tan(x: Wire) -> Wire:
    """tan(x): dy = (1 + y^2) dx; the solution ends where cos(x) reaches 0."""
    loop = wire("tan", x.size)
    return loop.define(integral(linear([(1, product(loop, loop))], 1), x, start("tan", x), name="tan"))


@carried("arctan")
def arctan(x: Wire) -> Wire:
    """arctan(x): dy = w dx with w = 1/(1 + x^2), dw = -2 x w^2 dx."""
    denominator = linear([(1, product(x, x))], 1)
    w = wire("arctan_slope", x.size)
    integrand = linear([(-2, product(x, product(w, w)))])
    slope = w.define(integral(integrand, x, start("reciprocal", denominator), name="arctan_slope", signs="+"))
    return integral(slope, x, start("arctan", x), name="arctan")
