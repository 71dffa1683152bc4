"""The theorem of a proof in the form of a certificate: scalar variables, phases, sums and products.

Every scalar integrator and input becomes a variable. Rates are written unit by unit, as the circuit has them: a
product rule for products, integrand times rate of the variable for integrators. Irrational start values and
coefficients are made first, in phases of their own (`constants.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from ..circuit import Circuit
from ..errors import GpacError
from ..schedule import Schedule
from ..wire import Constant, Input, Integral, Linear, Product, Start, Time, Wire
from .constants import ONE, Constants, Variables, fit
from .nodes import Expression, Node, Nodes
from .proof import Question, to_fraction

ZERO = Fraction(0)
MOST_TERMS = 10**6


@dataclass
class Statement:
    """Phases (duration, rates by variable) and outputs (name, expression) over shared nodes."""

    nodes: Nodes = field(default_factory=Nodes)
    variables: Variables = field(default_factory=Variables)
    phases: list[tuple[Fraction, dict[int, Expression]]] = field(default_factory=list)
    outputs: list[tuple[str, Expression]] = field(default_factory=list)

    def to_json(self, claims: list[tuple[str, str]], text: Callable[[Fraction], str]) -> dict[str, Any]:
        """The statement as it stands in the file, the outputs claimed to lie in these boxes (centre, radius)."""
        moved = {v for _, rates in self.phases for v in rates}
        read = [x for _, rates in self.phases for x in rates.values()] + [x for _, x in self.outputs]
        used = sorted(moved | set(self.nodes.variables(read))) or [self.variables.add("nothing")]
        place = {v: i for i, v in enumerate(used)}
        phases = []
        for duration, rates in self.phases:
            units, at = self.nodes.write(list(rates.values()), place)
            rows = [[place[v], node] for v, node in zip(rates, at, strict=True)]
            phases.append({"duration": text(duration), "units": units, "rates": rows})
        units, at = self.nodes.write([x for _, x in self.outputs], place)
        outputs = [[name, node, *box] for (name, _), node, box in zip(self.outputs, at, claims, strict=True)]
        names = [[self.variables.names[v], *map(text, self.variables.start[v])] for v in place]
        return {"variables": names, "phases": phases, "units": units, "outputs": outputs}


def statement(question: Question) -> Statement:
    """The system with its inputs as phases of scalar equations."""
    result = Statement()
    system, given = question.system, dict(question.inputs)
    _check_size(system)
    values: dict[str, list[Expression]] = {}
    if isinstance(system, Circuit):
        pairs = [(system, question.end)]
    else:
        pairs = [(phase.circuit, phase.duration) for phase in system.phases]
    for circuit, duration in pairs:
        outputs = _Translation(result, circuit, given, values).run(duration)
        values |= outputs
        given = {name: entries for name, entries in given.items() if name not in outputs}
    for name in system.outputs:
        for i, x in enumerate(values[name]):
            full = name if len(values[name]) == 1 else f"{name}[{i}]"
            result.outputs.append((fit(full, [known for known, _ in result.outputs]), x))
    return result


def _check_size(system: Circuit | Schedule) -> None:
    if system.weights + 10 * system.dim > MOST_TERMS:
        raise GpacError(
            f"a certificate is written number by number, which is sensible up to {MOST_TERMS} matrix entries and "
            f"states; this system has {system.weights} matrix entries and {system.dim} states"
        )


class _Translation:
    """One circuit: its variables, the phases that make its start values, and its own phase."""

    def __init__(
        self, result: Statement, circuit: Circuit, given: dict[str, Any], values: dict[str, list[Expression]]
    ) -> None:
        self.result, self.circuit, self.nodes = result, circuit, result.nodes
        self.given, self.values = given, values
        self.early = not result.phases
        self.constants = Constants(result.nodes, result.variables, early=self.early)
        self.value: dict[Wire, list[Expression]] = {}
        self.rate: dict[Wire, list[Expression]] = {}

    def run(self, duration: Any) -> dict[str, list[Expression]]:
        """Append the phases; returns the outputs at their end."""
        for wire in self.circuit.wires:
            if isinstance(wire, Input):
                self.values.setdefault(wire.key, [])
                if not self.values[wire.key]:
                    self.values[wire.key] = [self._input(wire, i) for i in range(wire.size)]
        starts = self._starts()
        own: dict[Wire, list[int]] = {w: self._names(w) for w in self.circuit.integrals}
        load: dict[int, Expression] = {}
        for w, variables in own.items():
            for v, x in zip(variables, starts[w], strict=True):
                box = self._box(x)
                if box is None:
                    load[v] = x
                else:
                    self.result.variables.start[v] = box
            self.value[w] = [self.nodes.variable(v) for v in variables]
        for w in self.circuit.wires:
            if w not in self.value:
                self.value[w] = self._value(w, self.value)
        for w in self.circuit.wires:
            self.rate[w] = self._rate(w)
        rates = {v: x for w, vs in own.items() for v, x in zip(vs, self.rate[w], strict=True) if x != ZERO}
        clocks = self.nodes.variables(x for w in self.value if isinstance(w, Time) for x in self.value[w])
        outputs = {name: self.value[self.circuit.source(w)] for name, w in self.circuit.outputs.items()}
        read = self.nodes.variables([*rates.values(), *(x for entries in outputs.values() for x in entries)])
        rates |= {v: ONE for v in clocks if v in read}
        end = self.constants.exact(duration)
        if not isinstance(end, Fraction):  # time runs that many times as fast, for one unit
            rates, end = {v: self.nodes.multiply(end, x) for v, x in rates.items()}, ONE
        phases = [(ONE, level) for level in self.constants.levels] + ([(ONE, load)] if load else []) + [(end, rates)]
        self.result.phases += phases
        return outputs

    def _input(self, wire: Input, i: int) -> Expression:
        value = self.given[wire.key][i]
        name = wire.key if wire.size == 1 else f"{wire.key}[{i}]"
        if type(value).__name__ == "arb":
            box = (to_fraction(value.mid()), to_fraction(value.rad()))
            return self.nodes.variable(self.result.variables.add(name, *box))
        if isinstance(value, Fraction):
            return self.nodes.variable(self.result.variables.add(name, value))
        return self.constants.exact(value)

    def _names(self, wire: Integral) -> list[int]:
        name = next((n for n, w in self.circuit.outputs.items() if self.circuit.source(w) is wire), wire.name) or "y"
        return [self.result.variables.add(name if wire.size == 1 else f"{name}[{i}]") for i in range(wire.size)]

    def _starts(self) -> dict[Wire, list[Expression]]:
        """Expressions of all units at the start, over inputs and constants."""
        found: dict[Wire, list[Expression]] = {}
        for w in self.circuit.wires:
            if isinstance(w, Time):
                found[w] = [ZERO]
            elif not isinstance(w, Integral):
                found[w] = self._value(w, found)
            elif isinstance(w.initial, Start):
                start = w.initial
                arguments = found[self.circuit.source(start.wire)]
                found[w] = [
                    self.constants.function(start.function, self._sharp(x), start.parameters) for x in arguments
                ]
            else:
                found[w] = [self.constants.exact(x) for x in w.initial]
        return found

    def _sharp(self, x: Expression) -> Expression:
        """The number itself where an expression of the start is one."""
        box = self._box(x)
        return x if box is None or box[1] else box[0]

    def _box(self, x: Expression) -> tuple[Fraction, Fraction] | None:
        """Centre and radius of an expression at the very start, or None where it comes about only later."""
        if isinstance(x, Fraction):
            return x, ZERO
        box: dict[Node, tuple[Fraction, Fraction]] = {}
        for node in self.nodes.behind([x]):
            kind, *rest = self.nodes.row(node)
            if kind == "variable":
                if not self.early or rest[0] in self.constants.level:
                    return None
                box[node] = self.result.variables.start[rest[0]]
            elif kind == "sum":
                centre = rest[0] + sum((a * box[y][0] for a, y in rest[1:]), ZERO)
                box[node] = centre, sum((abs(a) * box[y][1] for a, y in rest[1:]), ZERO)
            else:
                (a, r), (b, s) = box[rest[0]], box[rest[1]]
                box[node] = a * b, abs(a) * s + abs(b) * r + r * s
        return box[x]

    def _value(self, w: Wire, value: dict[Wire, list[Expression]]) -> list[Expression]:
        if isinstance(w, Constant):
            return [self.constants.exact(x) for x in w.values]
        if isinstance(w, Input):
            return self.values[w.key]
        if isinstance(w, Time):
            return [self.nodes.variable(self.result.variables.add("t"))]
        if isinstance(w, Linear):
            return self._combine(
                w, value, [self.constants.exact(b) for b in ([0] * w.size if w.bias is None else w.bias)]
            )
        assert isinstance(w, Product)
        return self._products(w, value[self.circuit.source(w.left)], value[self.circuit.source(w.right)])

    def _rate(self, w: Wire) -> list[Expression]:
        if isinstance(w, Time):
            return [ONE]
        if isinstance(w, Linear):
            return self._combine(w, self.rate, list[Expression]([ZERO]) * w.size)
        if isinstance(w, Product):
            left, right = self.circuit.source(w.left), self.circuit.source(w.right)
            first = self._products(w, self.rate[left], self.value[right])
            second = self._products(w, self.value[left], self.rate[right])
            return [self.nodes.add([(ONE, a), (ONE, b)]) for a, b in zip(first, second, strict=True)]
        if isinstance(w, Integral):
            u, v = self.value[self.circuit.source(w.integrand)], self.rate[self.circuit.source(w.variable)]
            return [self.nodes.multiply(_entry(u, i), _entry(v, i)) for i in range(w.size)]
        return [ZERO] * w.size

    def _combine(self, w: Linear, entries: dict[Wire, list[Expression]], bias: list[Expression]) -> list[Expression]:
        terms: list[list[tuple[Fraction, Expression]]] = [[(ONE, b)] for b in bias]
        for matrix, operand in w.terms:
            x = entries[self.circuit.source(operand)]
            for i, j, a in _matrix_entries(matrix, w.size):
                factor = self.constants.exact(a)
                if isinstance(factor, Fraction):
                    terms[i].append((factor, x[j]))
                else:
                    terms[i].append((ONE, self.nodes.multiply(factor, x[j])))
        return [self.nodes.add(row) for row in terms]

    def _products(self, w: Product, left: list[Expression], right: list[Expression]) -> list[Expression]:
        rows: list[list[tuple[Fraction, Expression]]] = [[] for _ in range(w.size)]
        for o, i, j in zip(*w.pairs(), strict=True):
            rows[o].append((ONE, self.nodes.multiply(left[i], right[j])))
        return [self.nodes.add(row) for row in rows]


def _entry(entries: list[Expression], i: int) -> Expression:
    return entries[i] if len(entries) > 1 else entries[0]


def _matrix_entries(matrix: Any, size: int) -> list[tuple[int, int, Any]]:
    """(row, column, entry) of a number, a diagonal, a dense or a sparse matrix; zeros left out."""
    if matrix.ndim == 0:
        return [(i, i, matrix[()]) for i in range(size) if matrix[()]]
    if matrix.ndim == 1:
        return [(i, i, a) for i, a in enumerate(matrix) if a]
    if hasattr(matrix, "tocsr"):
        rows = matrix.tocoo()
        return [(int(i), int(j), a) for i, j, a in zip(rows.row, rows.col, rows.data, strict=True) if a]
    return [(i, j, a) for i, row in enumerate(matrix) for j, a in enumerate(row) if a]
