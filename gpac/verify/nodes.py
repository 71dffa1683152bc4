"""Polynomials as shared sums and products of scalars: what a certificate is written in.

An expression is a `Fraction` or a node: a variable, a sum a_0 + a_1 z_1 + ... with rational
coefficients, or a product of two nodes. Equal expressions are one node.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, TypeAlias


@dataclass(frozen=True, order=True)
class Node:
    """Place in the list of all nodes; a type of its own, so that none is taken for a constant."""

    place: int


Expression: TypeAlias = Fraction | Node


@dataclass
class Nodes:
    """All nodes of one certificate, each after its operands."""

    rows: list[tuple] = field(default_factory=list)
    known: dict[tuple, Node] = field(default_factory=dict)

    def _node(self, row: tuple) -> Node:
        if row not in self.known:
            self.known[row] = Node(len(self.rows))
            self.rows.append(row)
        return self.known[row]

    def row(self, node: Node) -> tuple:
        """("variable", number), ("sum", constant, (factor, node), ...) or ("product", node, node)."""
        return self.rows[node.place]

    def variable(self, number: int) -> Node:
        """The node of variable `number`."""
        return self._node(("variable", number))

    def variables(self, expressions: Iterable[Expression]) -> list[int]:
        """Numbers of the variables that the expressions read."""
        rows = map(self.row, self.behind(expressions))
        return sorted(rest[0] for kind, *rest in rows if kind == "variable")

    def add(self, terms: Iterable[tuple[Fraction, Expression]], constant: Fraction = Fraction(0)) -> Expression:
        """constant + sum of factor * expression."""
        factors: dict[Node, Fraction] = {}
        for factor, x in terms:
            if isinstance(x, Fraction):
                constant += factor * x
            else:
                factors[x] = factors.get(x, Fraction(0)) + factor
        kept = [(a, x) for x, a in factors.items() if a]
        if not kept:
            return constant
        if len(kept) == 1 and kept[0][0] == 1 and not constant:
            return kept[0][1]
        return self._node(("sum", constant, *sorted(kept, key=lambda pair: pair[1])))

    def multiply(self, x: Expression, y: Expression) -> Expression:
        """x * y."""
        if isinstance(x, Fraction):
            return self.add([(x, y)])
        if isinstance(y, Fraction):
            return self.add([(y, x)])
        return self._node(("product", min(x, y), max(x, y)))

    def operands(self, node: Node) -> list[Node]:
        """Nodes that a node is made of."""
        kind, *rest = self.row(node)
        return [] if kind == "variable" else rest if kind == "product" else [x for _, x in rest[1:]]

    def behind(self, roots: Iterable[Expression]) -> list[Node]:
        """All nodes that the expressions need, in order."""
        found: set[Node] = set()
        stack = [x for x in roots if not isinstance(x, Fraction)]
        while stack:
            node = stack.pop()
            if node not in found:
                found.add(node)
                stack += self.operands(node)
        return sorted(found)

    def write(self, roots: list[Expression], place: dict[int, int]) -> tuple[list[list[Any]], list[int]]:
        """Units in the form of the file, and where the roots are; `place` gives the variables' numbers in the file."""
        units: list[list[Any]] = []
        at: dict[Expression, int] = {}
        for node in self.behind(roots):
            kind, *rest = self.row(node)
            if kind == "variable":
                at[node] = place[rest[0]]
                continue
            if kind == "product":
                units.append(["product", at[rest[0]], at[rest[1]]])
            else:
                units.append(["sum", str(rest[0]), *([str(a), at[x]] for a, x in rest[1:])])
            at[node] = len(place) + len(units) - 1
        for x in roots:
            if isinstance(x, Fraction) and x not in at:
                units.append(["sum", str(x)])
                at[x] = len(place) + len(units) - 1
        return units, [at[x] for x in roots]
