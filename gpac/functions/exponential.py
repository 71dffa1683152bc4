"""exp, log, reciprocal, sqrt and real powers."""

from __future__ import annotations

from typing import Any

from ..errors import CircuitError
from ..exact import to_exact
from ..wire import Wire, describe, integral, linear, product, wire
from .start import carried, start


@carried("exp")
def exp(x: Wire) -> Wire:
    """exp(x): y = exp(x(0)) + integral of y dx. Always positive."""
    loop = wire("exp", x.size)
    return loop.define(integral(loop, x, start("exp", x), name="exp", signs="+"))


@carried("reciprocal")
def reciprocal(x: Wire) -> Wire:
    """1/x: r = 1/x(0) - integral of r^2 dx, for an x proven or declared nonzero (`gpac.declared(x, "+")`)."""
    if "0" in x.signs:
        raise CircuitError(
            f"division by {describe(x)}, which is not proven to be nonzero; if it is, say so with "
            "gpac.declared(wire, '+') or '-' (or give the input its signs)"
        )
    loop = wire("reciprocal", x.size)
    integrand = linear([(-1, product(loop, loop))])
    return loop.define(integral(integrand, x, start("reciprocal", x), name="reciprocal", signs=x.signs))


@carried("log")
def log(x: Wire) -> Wire:
    """log(x) = log(x(0)) + integral of 1/x dx, for an x proven or declared positive."""
    _positive("log", x)
    return integral(reciprocal(x), x, start("log", x), name="log")


@carried("sqrt")
def sqrt(x: Wire) -> Wire:
    """sqrt(x) = x q with q = x^(-1/2): dq = -q^3/2 dx, for an x proven or declared positive."""
    _positive("sqrt", x)
    q = wire("rsqrt", x.size)
    cube = product(product(q, q), q)
    root = integral(linear([(-to_exact(0.5), cube)]), x, start("reciprocal_sqrt", x), name="rsqrt", signs="+")
    q.define(root)
    return integral(linear([(to_exact(0.5), root)]), x, start("sqrt", x), name="sqrt", signs="+")


@carried("power")
def power(x: Wire, exponent: Any) -> Wire:
    """x**a for a real constant a and an x proven or declared positive: y' = a y r x', r = 1/x."""
    if isinstance(exponent, int) and exponent >= 0:
        return x**exponent
    _positive("power", x)
    loop = wire("power", x.size)
    integrand = linear([(to_exact(exponent), product(loop, reciprocal(x)))])
    return loop.define(integral(integrand, x, start("power", x, exponent), name="power", signs="+"))


def _positive(function: str, x: Wire) -> None:
    if x.signs != "+":
        raise CircuitError(
            f"{function} of {describe(x)}, which is not proven to be positive; if it is, say so with "
            "gpac.declared(wire, '+')"
        )
