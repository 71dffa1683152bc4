"""|z| made analytic: sqrt(z^2 + e^2) from the point (u, w) = (z, e)/sqrt(z^2 + e^2) of the unit circle.

du = w^3 dz/e and dw = -w^2 u dz/e, and sqrt(z^2 + e^2) = z u + e w. That product is the largest of all products of
(z, e) with points of the circle, so an error along the circle, which grows when z comes back to 0 from afar, has no
effect of first order; one across the circle stays as it is. No more than the rounding of u and w is lost.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from ..errors import NumberError
from ..exact import to_exact
from ..wire import Wire, as_wire, integral, linear, product, wire


def modulus_pair(z: Wire, width: Any, name: str = "sign", initial: tuple[Any, Any] = (0, 1)) -> tuple[Wire, Wire, Wire]:
    """(u, w, sqrt(z^2 + width^2)) for u = z/sqrt(z^2 + width^2) and w = width/sqrt(z^2 + width^2).

    `initial` are the exact values of u and w at t = 0; (0, 1) is right for a z that starts at 0.
    """
    z, width = as_wire(z), to_exact(width)
    if not (isinstance(width, Fraction) and width > 0):
        raise NumberError(f"expected a positive rational width, got {width}; at 0 the function has a kink")
    u, w = wire(f"{name}_u", z.size), wire(f"{name}_w", z.size)
    scaled, square = linear([(1 / width, z)]), product(w, w)
    u.define(integral(product(square, w), scaled, initial[0], name=f"{name}_u"))
    w.define(integral(linear([(-1, product(square, u))]), scaled, initial[1], name=f"{name}_w", signs="+"))
    return u, w, linear([(1, product(z, u)), (width, w)])
