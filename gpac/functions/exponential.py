"""exp, log, reciprocal, sqrt and real powers."""

from __future__ import annotations

from typing import Any

from ..exact import to_exact
from ..wire import Wire, integral, linear, product, wire
from .start import carried, start


@carried("exp", signs="+")
def exp(x: Wire) -> Wire:
    """exp(x): y = exp(x(0)) + integral of y dx. Always positive."""
    loop = wire("exp", x.size)
    return loop.define(integral(loop, x, start("exp", x), name="exp", signs="+"))


@carried("reciprocal", domain="-+", signs="=")
def reciprocal(x: Wire) -> Wire:
    """1/x: r = 1/x(0) - integral of r^2 dx, for an x proven or declared nonzero (`gpac.declared(x, "+")`)."""
    loop = wire("reciprocal", x.size)
    integrand = linear([(-1, product(loop, loop))])
    return loop.define(integral(integrand, x, start("reciprocal", x), name="reciprocal", signs=x.signs))


@carried("log", domain="+")
def log(x: Wire) -> Wire:
    """log(x) = log(x(0)) + integral of 1/x dx, for an x proven or declared positive."""
    return integral(reciprocal(x), x, start("log", x), name="log")


@carried("reciprocal_sqrt", domain="+", signs="+")
def rsqrt(x: Wire) -> Wire:
    """x^(-1/2): dq = -q^3/2 dx, for an x proven or declared positive."""
    q = wire("rsqrt", x.size)
    cube = product(product(q, q), q)
    return q.define(integral(linear([(-to_exact(0.5), cube)]), x, start("reciprocal_sqrt", x), name="rsqrt", signs="+"))


@carried("sqrt", domain="+", signs="+")
def sqrt(x: Wire) -> Wire:
    """sqrt(x): ds = q/2 dx with q = x^(-1/2), for an x proven or declared positive."""
    return integral(linear([(to_exact(0.5), rsqrt(x))]), x, start("sqrt", x), name="sqrt", signs="+")


def power(x: Wire, exponent: Any) -> Wire:
    """x**a for a real constant a: y' = a y r x', r = 1/x.

    x must be proven or declared positive, unless a is a natural number.
    """
    if isinstance(exponent, int) and exponent >= 0:
        return x**exponent
    return _real_power(x, exponent)


@carried("power", domain="+", signs="+")
def _real_power(x: Wire, exponent: Any) -> Wire:
    loop = wire("power", x.size)
    integrand = linear([(to_exact(exponent), product(loop, reciprocal(x)))])
    return loop.define(integral(integrand, x, start("power", x, exponent), name="power", signs="+"))
