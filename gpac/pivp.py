"""The normal form: a polynomial initial value problem y' = p(y), y(0) = y0 with exact numbers.

Polynomials are sparse, over the rationals, in sympy's polynomial rings. Start values are fractions or
constant sympy expressions such as sin(1), evaluated at whatever precision is asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING, Any

from .errors import CircuitError, NumberError
from .exact import Exact, to_exact, to_sympy

if TYPE_CHECKING:
    from .circuit import Circuit


@dataclass(frozen=True, init=False)
class PIVP:
    """y' = p(y), y(0) = y0.

    Parameters
    ----------
    equations : mapping from sympy symbol to expression
        Right sides, polynomials of the symbols with rational coefficients; floats are the dyadic
        rationals that they are.
    initial : mapping from sympy symbol to number
        Exact start values.
    outputs : mapping from name to expression, optional
        Polynomials of the symbols to be read; by default every variable.

    Raises
    ------
    CircuitError
        If a right side is not a polynomial of the variables, or a start value is missing.

    >>> import sympy
    >>> x, y = sympy.symbols("x y")
    >>> print(PIVP({x: x*(1 - y), y: y*(x - 1)}, {x: 2, y: 1}))
    x' = -x*y + x,  x(0) = 2
    y' = x*y - y,   y(0) = 1
    """

    variables: tuple[Any, ...]
    polynomials: tuple[Any, ...]
    initial: tuple[Exact, ...]
    outputs: tuple[tuple[str, Any], ...]

    def __init__(
        self, equations: Mapping[Any, Any], initial: Mapping[Any, Any], outputs: Mapping[str, Any] | None = None
    ) -> None:
        variables = tuple(equations)
        if not variables:
            raise CircuitError("expected at least one equation, got none")
        missing = [str(v) for v in variables if v not in initial]
        surplus = [str(v) for v in initial if v not in equations]
        if missing or surplus:
            what = f"{missing[0]} has no start value" if missing else f"{surplus[0]} has a start value but no equation"
            raise CircuitError(f"equations and start values must name the same variables: {what}")
        ring = _ring(variables)
        polynomials = tuple(_polynomial(ring, f"{v}'", equations[v]) for v in variables)
        read = outputs if outputs is not None else {str(v): v for v in variables}
        object.__setattr__(self, "variables", variables)
        object.__setattr__(self, "polynomials", polynomials)
        object.__setattr__(self, "initial", tuple(to_exact(initial[v]) for v in variables))
        object.__setattr__(self, "outputs", tuple((str(n), _polynomial(ring, n, e)) for n, e in read.items()))

    @property
    def ring(self) -> Any:
        """The sympy polynomial ring of the right sides."""
        return self.polynomials[0].ring

    @property
    def dim(self) -> int:
        """Number of variables."""
        return len(self.variables)

    @property
    def degree(self) -> int:
        """Total degree of the vector field."""
        return max((sum(monomial) for p in self.polynomials for monomial in p), default=0)

    def expressions(self) -> dict[Any, Any]:
        """Right sides as sympy expressions, by variable."""
        return {v: p.as_expr() for v, p in zip(self.variables, self.polynomials, strict=True)}

    def to_circuit(self, free_start: bool = False) -> Circuit:
        """One integrator per variable; with `free_start` the start values are an input named "initial"."""
        from .transform.expand import pivp_to_circuit

        if free_start not in self._circuits:
            self._circuits[free_start] = pivp_to_circuit(self, free_start)
        return self._circuits[free_start]

    @cached_property
    def _circuits(self) -> dict[bool, Circuit]:
        return {}

    def to_latex(self) -> str:
        """The system as a LaTeX `aligned` environment, without dollar signs."""
        import sympy

        rows = [
            rf"{sympy.latex(v)}' &= {sympy.latex(p.as_expr())}, & {sympy.latex(v)}(0) &= {sympy.latex(to_sympy(c))}"
            for v, p, c in zip(self.variables, self.polynomials, self.initial, strict=True)
        ]
        return "\\begin{aligned}\n" + " \\\\\n".join(rows) + "\n\\end{aligned}"

    def __reduce__(self) -> Any:
        outputs = {name: p.as_expr() for name, p in self.outputs}
        return PIVP, (self.expressions(), dict(zip(self.variables, self.initial, strict=True)), outputs)

    def _repr_latex_(self) -> str:
        return f"${self.to_latex()}$"

    def __str__(self) -> str:
        left = [f"{v}' = {p.as_expr()}," for v, p in zip(self.variables, self.polynomials, strict=True)]
        width = max(map(len, left))
        starts = [f"{v}(0) = {to_sympy(c)}" for v, c in zip(self.variables, self.initial, strict=True)]
        rows = [f"{a.ljust(width)}  {b}" for a, b in zip(left, starts, strict=True)]
        names = {str(v) for v in self.variables}
        read = [f"{name} = {p.as_expr()}" for name, p in self.outputs if name not in names or str(p.as_expr()) != name]
        return "\n".join([*rows, *read])

    def __repr__(self) -> str:
        names = ", ".join(map(str, self.variables[:4])) + (", ..." if self.dim > 4 else "")
        terms = sum(len(p) for p in self.polynomials)
        return f"PIVP({names}; dimension {self.dim}, degree {self.degree}, {terms} monomials)"


def _ring(variables: Sequence[Any]) -> Any:
    from sympy import QQ, Symbol
    from sympy.polys.rings import PolyRing

    for v in variables:
        if not isinstance(v, Symbol):
            raise CircuitError(f"expected sympy symbols as variables, got {v!r}")
    if len({str(v) for v in variables}) < len(variables):
        raise CircuitError("two variables print alike; give every variable a name of its own")
    return PolyRing(list(variables), QQ)


def _polynomial(ring: Any, name: str, expression: Any) -> Any:
    """An expression as an element of the ring, floats taken as dyadic rationals."""
    import sympy
    from sympy.polys.polyerrors import BasePolynomialError

    expression = sympy.sympify(expression)
    unknown = expression.free_symbols - set(ring.symbols)
    if unknown:
        raise CircuitError(
            f"the right side of {name} uses {', '.join(sorted(map(str, unknown)))}, which has no equation; "
            "time is a variable with t' = 1, a constant a variable with right side 0"
        )
    dyadic = {f: to_sympy(f) for f in expression.atoms(sympy.Float)}
    try:
        polynomial = ring.from_expr(expression.xreplace(dyadic))
    except (ValueError, BasePolynomialError, NumberError) as error:
        raise CircuitError(
            f"the right side of {name} is {expression}, not a polynomial with rational coefficients; write "
            "functions with gpac.functions in a Circuit, and irrational constants as start values"
        ) from error
    return polynomial


def fraction(coefficient: Any) -> Fraction:
    """A coefficient of a ring over QQ as a Fraction, whichever integers sympy runs on."""
    return Fraction(int(coefficient.numerator), int(coefficient.denominator))
