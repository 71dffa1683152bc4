"""A PIVP as JSON: see `gpac.export.program` for the format."""

from __future__ import annotations

from typing import Any

from ..errors import LoadError
from ..pivp import PIVP, fraction
from .numbers import read_number, read_rational, write_number
from .text import Json, fields, items, pair, whole, word

MOST_EXPONENT = 1000


def pivp_to_data(system: PIVP) -> Json:
    """What stands under "pivp" in the file."""
    return {
        "variables": [str(v) for v in system.variables],
        "equations": [_polynomial(p) for p in system.polynomials],
        "initial": [write_number(v) for v in system.initial],
        "outputs": [[name, _polynomial(p)] for name, p in system.outputs],
    }


def _polynomial(polynomial: Any) -> Json:
    rows = [[fraction(c), [[k, n] for k, n in enumerate(m) if n]] for m, c in polynomial.terms()]
    return [[write_number(c), powers] for c, powers in rows]


def pivp_from_data(data: Json) -> PIVP:
    """The PIVP that stands there; its symbols are plain ones."""
    import sympy

    variables, equations, initial, outputs = fields(data, "variables", "equations", "initial", "outputs")
    symbols = [sympy.Symbol(word(name, "a name")) for name in items(variables, "a list of variables")]
    if len(set(symbols)) < len(symbols):
        raise LoadError("expected variables of different names")
    rates = [_read_polynomial(p, symbols) for p in items(equations, "a list of equations")]
    starts = [read_number(v) for v in items(initial, "a list of start values")]
    if not len(symbols) == len(rates) == len(starts):
        raise LoadError(f"expected as many equations and start values as variables, {len(symbols)}")
    read = [pair(entry, "an output [name, polynomial]") for entry in items(outputs, "a list of outputs")]
    named = {word(name, "a name"): _read_polynomial(p, symbols) for name, p in read}
    if len(named) < len(read) or not named:
        raise LoadError("expected at least one output, and outputs of different names")
    return PIVP(dict(zip(symbols, rates, strict=True)), dict(zip(symbols, starts, strict=True)), named)


def _read_polynomial(data: Json, symbols: list[Any]) -> Any:
    import sympy

    terms = []
    for entry in items(data, "a list of monomials"):
        coefficient, powers = pair(entry, "a monomial [coefficient, powers]")
        number = read_rational(coefficient)
        factors = [sympy.Rational(number.numerator, number.denominator)]
        for power in items(powers, "a list of powers"):
            k, n = pair(power, "a power [variable, exponent]")
            symbol = symbols[whole(k, 0, len(symbols) - 1, "the place of a variable")]
            factors.append(symbol ** whole(n, 1, MOST_EXPONENT, "an exponent"))
        terms.append(sympy.Mul(*factors))
    return sympy.Add(*terms)
