"""Write a circuit's kernel: its recurrences as CUDA C++, between headers that are the same for all circuits."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ...circuit import UNBOUNDED
from ..recurrences import (
    Clock,
    Contract,
    Follow,
    Increase,
    Operand,
    Operation,
    Recurrences,
    Square,
    Sum,
    Term,
    Times,
    operands_of,
)
from .layout import Arithmetic, Layout

TYPES = {
    Arithmetic.FLOAT: ("float", "float", "double"),
    Arithmetic.DOUBLE: ("double", "double", "double"),
    Arithmetic.DOUBLE_DOUBLE: ("struct DoubleDouble", "double", "struct DoubleDouble"),
}
"""Types of the numbers of a series, of sizes among them, and of times."""
ROUNDING = {Arithmetic.FLOAT: (2.0**-52, 2.0**-23), Arithmetic.DOUBLE: (2.0**-52,) * 2}
ROUNDING[Arithmetic.DOUBLE_DOUBLE] = (2.0**-102,) * 2
"""Unit of rounding of times and of numbers."""
SLACK = {Arithmetic.FLOAT: 1e2, Arithmetic.DOUBLE: 1e4, Arithmetic.DOUBLE_DOUBLE: 1e4}
"""Roundings that the check of the slope lets pass."""
GAUSS = ((0.06943184420297371, 0.17392742256872693), (0.33000947820757187, 0.32607257743127307))
"""Nodes and weights of 4-point Gauss-Legendre on (0, 1); the other two mirror them."""


@dataclass(frozen=True)
class Steps:
    """What is fixed when the kernel is written: see `gpac.solve`; `floor` is atol / tol."""

    order: int
    tol: float
    floor: float
    length: bool
    keep: bool


def source(recurrences: Recurrences, steps: Steps, layout: Layout, arithmetic: Arithmetic) -> str:
    """The text of the kernel `run`; it includes nothing."""
    writer = _Writer(recurrences, layout)
    parts = [
        _settings(recurrences, steps, layout, arithmetic, writer),
        *(_header(name) for name in ("number.h", "group.h", "work.h")),
        writer.text(),
        _header("step.h"),
    ]
    return "\n".join(parts)


@cache
def _header(name: str) -> str:
    return (Path(__file__).parent / name).read_text()


def _settings(r: Recurrences, steps: Steps, layout: Layout, arithmetic: Arithmetic, places: _Writer) -> str:
    number, weight, moment = TYPES[arithmetic]
    of_time, of_numbers = ROUNDING[arithmetic]
    bits = 100 if arithmetic is Arithmetic.FLOAT else 1000
    gauss = [*GAUSS, *((1 - x, w) for x, w in GAUSS)]
    watched = len(r.moving_watched)
    numbers = {
        "ORDER": steps.order,
        "WINDOW": max(2, steps.order - max(2, steps.order // 5)),
        "GROUP": layout.group,
        "BLOCK": layout.block,
        "BLOCKS": layout.blocks(arithmetic),
        "ARENA": layout.arena,
        "REGISTERS": int(layout.registers),
        "SHARED": int(layout.shared),
        "KEEP": int(steps.keep),
        "LENGTH": int(steps.length),
        "DIM": r.dim,
        "NOW": r.now_size,
        "SERIES": places.series_size,
        "RATES": places.rates_size,
        "STATES": places.states_size,
        "STILL": r.still_size,
        "WATCHED": watched,
        "TOL": _double(steps.tol),
        "LOG_TOL": _double(math.log2(steps.tol)),
        "FLOOR": _double(steps.floor),
        "TIME_ROUNDING": _double(of_time),
        "SLACK": _double(SLACK[arithmetic] * of_numbers),
        "SMALLEST_UNIT": _double(2.0**-bits),
        "LARGEST_UNIT": _double(2.0**bits),
        "LARGEST_WEIGHT": "1e30" if arithmetic is Arithmetic.FLOAT else "1e100",
        "GAUSS_NODES": "{" + ", ".join(_double(x) for x, _ in gauss) + "}",
        "GAUSS_WEIGHTS": "{" + ", ".join(_double(w) for _, w in gauss) + "}",
    }
    lines = [f"// Taylor steps of order {steps.order}: {layout}."]
    lines += [f"#define {name} {value}" for name, value in numbers.items()]
    lines += [f"typedef {number} Number;", f"typedef {weight} Lead;", f"typedef {moment} Moment;"]
    return "\n".join(lines) + "\n"


def _double(a: float) -> str:
    return a.hex() if math.isfinite(a) else "INFINITE"


class _Writer:
    """One function per unit, and those that call them in order."""

    def __init__(self, recurrences: Recurrences, layout: Layout) -> None:
        self.recurrences, self.layout = recurrences, layout
        self.literal = layout.registers and layout.group == 1
        """Sparse structure is written out, entry by entry."""
        self.series: dict[int, int] = {}
        self.rates: dict[int, int] = {}
        self.series_size = self.rates_size = self.states_size = 0
        self._place()

    def _place(self) -> None:
        """Places of series: those of all threads, or with registers those that each thread has of its own."""
        r, states = self.recurrences, {s.at for s in self.recurrences.states}
        others = [o.out for o in r.operations if o.out.at not in states]
        for out in [*r.states, *others]:
            room = self.layout.room(out.size)
            if out.series >= 0:
                self.series[out.series] = self.series_size
                self.series_size += room
            if out.rates >= 0:
                self.rates[out.rates] = self.rates_size
                self.rates_size += room
            if out.at in states:
                self.states_size = self.series_size

    def _first(self, operand: Operand) -> int:
        """The place of a unit's first series."""
        return self.series[operand.series]

    def _history(self, operand: Operand, entry: str = "") -> str:
        """The place of an entry's series."""
        return f"{self._first(operand)} + {entry or _of(operand)}"

    def text(self) -> str:
        units = [self._unit(n, o) for n, o in enumerate(self.recurrences.operations)]
        return "\n".join([*units, self._values(), self._order(), self._nonzero(), self._states(), self._watched()])

    # the functions

    def _unit(self, number: int, operation: Operation) -> str:
        out = operation.out
        where = f"now[{out.at}, {out.at + out.size})"
        lines = [f"// {type(operation).__name__}: {where}"]
        lines += [f"INLINE void unit_{number}(Work& w, int k, Number inverse) {{"]
        if self.literal and _is_sparse(operation):
            for e in range(out.size):
                lines += ["    {", *_indented(self._entry(operation, e), 2), "    }"]
        else:
            lines += [f"    EACH(e, i, {out.size}) {{", *_indented(self._entry(operation, None), 2), "    }"]
        return "\n".join([*lines, "}\n"])

    def _values(self) -> str:
        """Order 0; states are read from their series."""
        lines = ["// Order 0 of every unit from the states and the time.", "INLINE void values(Work& w) {"]
        for state in self.recurrences.states:
            lines += [f"    EACH(e, i, {state.size}) w.now[{state.at} + e] = w.series({self._first(state)} + i, 0);"]
        some = [(n, o) for n, o in enumerate(self.recurrences.operations) if _has_value(o)]
        lines += self._calls(some, {s.at for s in self.recurrences.states}, "0", "number(0.0)")
        return "\n".join([*lines, "}\n"])

    def _order(self) -> str:
        lines = ["// Order k >= 1 of every unit from the orders below.", "INLINE void order(Work& w, int k) {"]
        lines += ["    const Number inverse = reciprocal(k);"]
        lines += self._calls(list(enumerate(self.recurrences.operations)), set(), "k", "inverse")
        return "\n".join([*lines, "}\n"])

    def _calls(self, some: list[tuple[int, Operation]], fresh: set[int], k: str, inverse: str) -> Iterator[str]:
        """Calls with a barrier wherever a thread reads what others may just have written, or still read."""
        for number, operation in some:
            crossed = {o.at for o in _crossed(operation) if not o.still}
            if crossed & fresh:
                yield "    together();"
                fresh = set()
            bounded = k != "0" and operation.out.degree < UNBOUNDED
            # a polynomial in time: nothing above its degree but one zero
            guard = f"if (k <= {int(operation.out.degree) + 1}) " if bounded else ""
            yield f"    {guard}unit_{number}(w, {k}, {inverse});"
            fresh = fresh | {operation.out.at}
            if isinstance(operation, Increase) and crossed:  # it reads the order below, soon to be overwritten
                yield "    together();"
                fresh = set()

    def _nonzero(self) -> str:
        ranges = [f"(e >= {low} && e < {high})" for low, high in self.recurrences.nonzero]
        lines = ["// States proven never zero count relative to themselves.", "INLINE bool is_nonzero(int e) {"]
        return "\n".join([*lines, f"    return {' || '.join(ranges) or 'false'};", "}\n"])

    def _states(self) -> str:
        lines = ["// Entries of the state, the places of their series, and whether this thread speaks for them."]
        lines += ["template <class Do>", "INLINE void each_state(Do visit) {"]
        for state in self.recurrences.states:
            where = f"{state.at} + e, {self._first(state)} + i, speaks({state.size})"
            lines += [f"    EACH(e, i, {state.size}) visit({where});"]
        return "\n".join([*lines, "}\n"])

    def _watched(self) -> str:
        lines = ["// The watched entries that move, and the places of their series.", "template <class Do>"]
        lines += ["INLINE void each_watched(Do visit) {"]
        at = 0
        for operand in self.recurrences.watched:
            if not operand.still:
                lines += [f"    EACH(e, i, {operand.size}) visit({at} + e, {self._first(operand)} + i);"]
                at += operand.size
        return "\n".join([*lines, "}\n"])

    # one entry of a unit

    def _entry(self, operation: Operation, entry: int | None) -> list[str]:
        match operation:
            case Clock():
                lines = ["Number value = k ? number(k == 1 ? w.unit : 0.0) : as_number(w.clock);"]
            case Sum():
                lines = self._sum(operation, entry)
            case Times(_, left, right):
                lines = [f"Number value = {self._product(left, '', right, '')};"]
            case Contract():
                lines = self._contract(operation, entry)
            case Increase(_, integrand):
                lines = [f"Number value = {self._increase(integrand)};"]
            case Follow(_, integrand, variable):
                lines = [f"Number value = {self._follow(integrand, variable)};"]
            case Square(_, base, factors, data):
                factor = f"w.weight({data}{' + e' if factors > 1 else ''})"
                lines = [f"Number value = times({factor}, half_square(w, {self._history(base)}, k));"]
        out, places = operation.out, "e, i" if entry is None else f"{entry}, {entry}"
        series, rates = self.series.get(out.series, -1), self.rates.get(out.rates, -1)
        return [*lines, f"put<{out.at}, {series}, {rates}>(w, {places}, k, value);"]

    def _get(self, operand: Operand, e: str) -> str:
        """The coefficient of the present order; a still operand has one at order 0 only."""
        e = e if operand.size > 1 else "0"
        return f"w.still({operand.at} + {e})" if operand.still else f"w.now[{operand.at} + {e}]"

    def _sum(self, operation: Sum, entry: int | None) -> list[str]:
        """Entrywise terms first, then matrices, each row one running sum."""
        e = "e" if entry is None else str(entry)
        lines = ["Number value = number(0.0);"]
        begun = operation.bias >= 0
        if begun:
            lines += [f"if (k == 0) value = w.weight({operation.bias} + {e});"]
        by_entry = [t for t in operation.terms if t.kind not in ("dense", "sparse")]
        matrices = [t for t in operation.terms if t.kind in ("dense", "sparse")]
        for n, term in enumerate([*by_entry, *matrices]):
            first = n == 0 and not begun and term.kind not in ("dense", "sparse")
            text = self._term(term, operation.out.size, e, entry, first)
            lines += ["if (k == 0) {", *_indented(text, 1), "}"] if term.operand.still else text
        return lines

    def _term(self, term: Term, rows: int, e: str, entry: int | None, first: bool) -> list[str]:
        x = self._get(term.operand, e)
        match term.kind:
            case "plus":
                return [f"value = {x if first else f'plus(value, {x})'};"]
            case "minus":
                return [f"value = {f'negative({x})' if first else f'minus(value, {x})'};"]
            case "scalar" | "diagonal":
                factor = f"w.weight({term.data}{f' + {e}' if term.kind == 'diagonal' else ''})"
                return [f"value = {f'times({factor}, {x})' if first else f'fused({factor}, {x}, value)'};"]
            case "dense":  # the table holds it by columns
                weight = f"w.weight({term.data} + c * {rows} + {e})"
                return [
                    f"UNROLL for (int c = 0; c < {term.operand.size}; ++c)",
                    f"    value = accumulated({weight}, {self._get(term.operand, 'c')}, value);",
                    "value = settled(value);",
                ]
            case _:
                return self._sparse(term, rows, e, entry)

    def _sparse(self, term: Term, rows: int, e: str, entry: int | None) -> list[str]:
        columns = term.index + rows + 1

        def product(j: str, column: str) -> str:
            return f"value = accumulated(w.weight({term.data} + {j}), {self._get(term.operand, column)}, value);"

        if entry is not None:
            index = self.recurrences.index
            low, high = index[term.index + entry], index[term.index + entry + 1]
            return [*(product(str(j), str(index[columns + j])) for j in range(low, high)), "value = settled(value);"]
        return [
            f"for (int j = w.index[{term.index} + {e}]; j < w.index[{term.index + 1} + {e}]; ++j)",
            "    " + product("j", f"w.index[{columns} + j]"),
            "value = settled(value);",
        ]

    def _product(self, left: Operand, i: str, right: Operand, j: str, total: str = "") -> str:
        """Order k of left[i] right[j], added to `total`; of the same entry of both where i and j are left out."""
        a, b = self._get(left, i or "e"), self._get(right, j or "e")
        plain = f"fused({a}, {b}, {total})" if total else f"times({a}, {b})"
        if left.still or right.still:
            return plain
        places = f"{self._history(left, i)}, {self._history(right, j)}"
        if not total and min(left.degree, right.degree) >= UNBOUNDED:
            return f"k ? convolved(w, {places}, k) : {plain}"
        low = f"larger(0, k - {int(right.degree)})" if right.degree < UNBOUNDED else "0"
        high = f"smaller(k, {int(left.degree)})" if left.degree < UNBOUNDED else "k"
        return f"k ? convolved(w, {places}, k, {low}, {high} + 1, {total or 'number(0.0)'}) : {plain}"

    def _contract(self, operation: Contract, entry: int | None) -> list[str]:
        first = operation.index + operation.out.size + 1
        pairs = int(self.recurrences.index[operation.index + operation.out.size])
        lines = ["Number value = number(0.0);"]

        def product(i: str, j: str) -> str:
            return f"value = {self._product(operation.left, i, operation.right, j, 'value')};"

        if entry is not None:
            index = self.recurrences.index
            low, high = index[operation.index + entry], index[operation.index + entry + 1]
            return lines + [product(str(index[first + n]), str(index[first + pairs + n])) for n in range(low, high)]
        return [
            *lines,
            f"for (int n = w.index[{operation.index} + e]; n < w.index[{operation.index + 1} + e]; ++n) {{",
            f"    const int l = w.index[{first} + n], r = w.index[{first + pairs} + n];",
            "    " + product("l", "r"),
            "}",
        ]

    def _increase(self, u: Operand) -> str:
        if u.still:
            return f"times({self._get(u, 'e')}, number(k == 1 ? w.unit : 0.0))"
        below = f"w.series({self._history(u)}, k - 1)" if u.series >= 0 else self._get(u, "e")
        return f"times({below}, scaled(inverse, w.unit))"

    def _follow(self, u: Operand, v: Operand) -> str:
        """(1/k) sum over j = 1..k of (j v_j) u_{k-j}."""
        if u.still:
            return f"times({self._get(u, 'e')}, {self._get(v, 'e')})"
        places = f"{self.rates[v.rates]} + {_of(v)}, {self._history(u)}"
        if min(u.degree, v.degree) >= UNBOUNDED:
            return f"times(paced(w, {places}, k), inverse)"
        low = f"larger(1, k - {int(u.degree)})" if u.degree < UNBOUNDED else "1"
        high = f"smaller(k, {int(v.degree)})" if v.degree < UNBOUNDED else "k"
        return f"times(paced(w, {places}, k, {low}, {high} + 1), inverse)"


def _of(operand: Operand) -> str:
    """The place among a unit's series that an entrywise operation reads."""
    return "i" if operand.size > 1 else "0"


def _indented(lines: list[str], by: int) -> list[str]:
    return ["    " * by + line for line in lines]


def _is_sparse(operation: Operation) -> bool:
    if isinstance(operation, Sum):
        return any(t.kind == "sparse" for t in operation.terms)
    return isinstance(operation, Contract)


def _has_value(operation: Operation) -> bool:
    """Whether order 0 is computed: an integral's is the state."""
    return isinstance(operation, (Clock, Sum, Times, Contract))


def _crossed(operation: Operation) -> list[Operand]:
    """Operands of which a thread reads entries that belong to others."""
    whole: Callable[[Operand], bool] = lambda o: o.size != operation.out.size  # noqa: E731
    if isinstance(operation, Contract):
        return [operation.left, operation.right]
    if isinstance(operation, Sum):
        return [t.operand for t in operation.terms if t.kind in ("dense", "sparse") or whole(t.operand)]
    return [o for o in operands_of(operation) if whole(o)]
