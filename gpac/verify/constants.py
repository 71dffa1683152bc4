"""Irrational constants as values of polynomial systems: sin(1), tanh(x), sqrt(2), pi, each from rational start values.

f(x) is F(1) for F(tau) = f(a + tau (x - a)), which solves a polynomial system in tau with rational F(0) where f(a)
is rational: the "co-homotopy of constants". One unit of time makes all constants whose arguments are known.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable, Container
from dataclasses import dataclass, field
from fractions import Fraction
from math import nan
from typing import Any

from ..elementary import TABLE
from ..errors import GpacError
from ..exact import to_exact, to_sympy
from .nodes import Expression, Node, Nodes

ONE = Fraction(1)


def fit(name: str, used: Container[str]) -> str:
    """The name with nothing in it but what the file's names may have, and unlike those used."""
    letters = [c if c.isascii() else unicodedata.name(c, "_").split()[-1].lower() for c in name]
    plain = "".join(c if c.isalnum() or c in "_.[]" else "_" for word in letters for c in word)[:80]
    unique = plain = plain if plain[:1].isalpha() or plain[:1] == "_" else f"v{plain}"
    count = 1
    while unique in used:
        count += 1
        unique = f"{plain}.{count}"
    return unique


@dataclass
class Variables:
    """Names and start boxes (centre, radius) of a certificate's variables."""

    names: list[str] = field(default_factory=list)
    start: list[tuple[Fraction, Fraction]] = field(default_factory=list)

    def add(self, name: str, centre: Fraction = Fraction(0), radius: Fraction = Fraction(0)) -> int:
        """Number of a new variable; its name is made fit for the file, and its own."""
        self.names.append(fit(name, self.names))
        self.start.append((centre, radius))
        return len(self.names) - 1


@dataclass
class Constants:
    """The constants that one circuit needs: their variables, and the rates by which each level makes its own."""

    nodes: Nodes
    variables: Variables
    levels: list[dict[int, Expression]] = field(default_factory=list)
    level: dict[int, int] = field(default_factory=dict)
    known: dict[Any, Expression] = field(default_factory=dict)
    estimates: dict[int, float] = field(default_factory=dict)
    early: bool = True  # nothing has moved before: the start boxes are still what they were

    def exact(self, value: Any) -> Expression:
        """An exact number as an expression; irrational ones become variables."""
        value = to_exact(value)
        return value if isinstance(value, Fraction) else self._symbolic(value)

    def function(self, name: str, x: Expression, parameters: tuple[Any, ...] = ()) -> Expression:
        """An entry of `gpac.elementary.TABLE` at an expression that rests."""
        import sympy

        if isinstance(x, Fraction):
            return self.exact(TABLE[name].sympy(sympy, to_sympy(x), *parameters))
        if name == "identity":
            return x
        key = (name, x, parameters)
        if key not in self.known:
            self.known[key] = self._make(name, x, *parameters)
        return self.known[key]

    def _symbolic(self, value: Any) -> Expression:
        import sympy

        if value.is_Rational:
            return Fraction(int(value.p), int(value.q))
        if value not in self.known:
            if value.is_Add:
                self.known[value] = self.nodes.add((ONE, self._symbolic(x)) for x in value.args)
            elif value.is_Mul:
                self.known[value] = self._product([self._symbolic(x) for x in value.args])
            elif value is sympy.E:
                self.known[value] = self._make("exp", ONE)
            elif value is sympy.pi:  # Machin 1706
                a, b = self._make("arctan", Fraction(1, 5)), self._make("arctan", Fraction(1, 239))
                self.known[value] = self.nodes.add([(Fraction(16), a), (Fraction(-4), b)])
            elif value.is_Pow:
                self.known[value] = self._power(*value.as_base_exp())
            elif type(value).__name__ in _NAMES and len(value.args) == 1:
                self.known[value] = self._make(_NAMES[type(value).__name__], self._symbolic(value.args[0]))
            else:
                raise GpacError(
                    f"the constant {value} is not one that a certificate can make from rational numbers; give the "
                    "system rational start values, or let integrators of its own produce the constant"
                )
        return self.known[value]

    def _power(self, base: Any, exponent: Any) -> Expression:
        import sympy

        x = ONE if base is sympy.E else self._symbolic(base)
        if base is sympy.E:
            return self._make("exp", self._symbolic(exponent))
        if exponent.is_Integer:
            value = self._product([x] * abs(int(exponent)))
            return value if exponent > 0 else self._make("reciprocal", value)
        if not exponent.is_Rational:
            raise GpacError(f"a certificate cannot make the constant {base**exponent}: the exponent is irrational")
        return self._make("power", x, to_exact(exponent))

    def _product(self, factors: list[Expression]) -> Expression:
        total: Expression = ONE
        for x in factors:
            total = self.nodes.multiply(total, x)
        return total

    def _make(self, name: str, x: Expression, *parameters: Any) -> Expression:
        """Variables that run for one unit of time and end at what is asked."""
        n = self.nodes
        if name in ("log", "sqrt", "reciprocal", "reciprocal_sqrt", "power"):
            return self._on_the_way_from_one(name, x, *parameters)
        if name == "exp":
            (y,) = self._new(x, "exp", 1)
            self._run(x, {y: n.multiply(x, y)})
            return y
        if name in ("sin", "cos", "tan"):
            s, c = self._new(x, "sin", 0, "cos", 1)
            self._run(x, {s: n.multiply(x, c), c: n.add([(-ONE, n.multiply(x, s))])})
            return s if name == "sin" else c if name == "cos" else n.multiply(s, self._make("reciprocal", c))
        if name in ("sinh", "cosh"):
            s, c = self._new(x, "sinh", 0, "cosh", 1)
            self._run(x, {s: n.multiply(x, c), c: n.multiply(x, s)})
            return s if name == "sinh" else c
        if name in ("tanh", "sech_squared", "sech"):
            u, d, v = self._new(x, "tanh", 0, "tanh_slope", 1, "sech", 1)
            rate = n.multiply(x, d)
            self._run(
                x,
                {
                    u: rate,
                    d: n.add([(Fraction(-2), n.multiply(u, rate))]),
                    v: n.add([(-ONE, n.multiply(n.multiply(x, u), v))]),
                },
            )
            return {"tanh": u, "sech_squared": d, "sech": v}[name]
        assert name == "arctan", name
        y, w, p = self._new(x, "arctan", 0, "arctan_slope", 1, "tau", 0)
        square = n.multiply(w, w)
        self._run(x, {y: n.multiply(x, w), w: n.add([(Fraction(-2), n.multiply(n.multiply(x, p), square))]), p: x})
        return y

    def _on_the_way_from_one(self, name: str, x: Expression, *parameters: Any) -> Expression:
        """Functions of z = 1 + tau (x - 1), or for negative x of z = -1 + tau (x + 1): r = 1/z, r' = -r^2 z'."""
        sign = -1 if self._estimate(x) < 0 else 1
        n = self.nodes
        slope = n.add([(ONE, x)], Fraction(-sign))
        (r,) = self._new(x, "reciprocal", sign)
        self._run(x, {r: n.add([(-ONE, n.multiply(n.multiply(r, r), slope))])})
        if name == "reciprocal":
            return r
        if name == "log":
            (y,) = self._new(x, "log", 0)
            self._run(x, {y: n.multiply(r, slope)})
            return y
        exponent = {"sqrt": Fraction(1, 2), "reciprocal_sqrt": Fraction(-1, 2)}.get(name) or to_exact(*parameters)
        (y,) = self._new(x, "power", 1)
        self.estimates[self.nodes.row(y)[1]] = abs(self._estimate(x)) ** float(exponent)
        self._run(x, {y: n.multiply(self.exact(exponent), n.multiply(n.multiply(r, slope), y))})
        return y

    def _new(self, x: Expression, *named: Any) -> list[Node]:
        """Variables for the functions named, with their start values; roughly what they will be is noted."""
        numbers = [
            self.variables.add(name, Fraction(start)) for name, start in zip(named[::2], named[1::2], strict=True)
        ]
        at = self._estimate(x)
        for number, name in zip(numbers, named[::2], strict=True):
            try:
                self.estimates[number] = _ROUGHLY[name](at)
            except (ArithmeticError, ValueError):
                self.estimates[number] = nan
        return [self.nodes.variable(number) for number in numbers]

    def _estimate(self, x: Expression) -> float:
        """Roughly the value of an expression at the start; nan where it is not known."""
        found: dict[Expression, float] = {}
        try:
            for node in self.nodes.behind([x]):
                kind, *rest = self.nodes.row(node)
                if kind == "variable":
                    start = float(self.variables.start[rest[0]][0]) if self.early else nan
                    found[node] = self.estimates.get(rest[0], start)
                elif kind == "sum":
                    found[node] = float(rest[0]) + sum(float(a) * found[y] for a, y in rest[1:])
                else:
                    found[node] = found[rest[0]] * found[rest[1]]
            return float(x) if isinstance(x, Fraction) else found[x]
        except OverflowError:
            return nan

    def _run(self, x: Expression, rates: dict[Node, Expression]) -> None:
        """Let variables move in the phase after all those that their argument needs."""
        level = 1 + max((self.level.get(v, -1) for v in self.nodes.variables([x])), default=-1)
        while len(self.levels) <= level:
            self.levels.append({})
        for node, rate in rates.items():
            (variable,) = self.nodes.variables([node])
            self.levels[level][variable] = rate
            self.level[variable] = level


_NAMES = {"atan": "arctan"} | {x: x for x in ("exp", "log", "sin", "cos", "tan", "sinh", "cosh", "tanh", "sech")}
_ROUGHLY: dict[str, Callable[[float], float]] = {
    **{name: getattr(math, name) for name in ("exp", "log", "sin", "cos", "sinh", "cosh", "tanh")},
    "arctan": math.atan,
    "sech": lambda x: 1 / math.cosh(x),
    "tanh_slope": lambda x: math.cosh(x) ** -2,
    "arctan_slope": lambda x: 1 / (1 + x * x),
    "tau": lambda x: x,
    "reciprocal": lambda x: 1 / x,
    "power": lambda _: math.nan,  # depends on the exponent: set where it is known
}
