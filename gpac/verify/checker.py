"""Check a certificate: a file with a theorem about a polynomial differential equation and what proves it.

This file trusts nothing but Python's integers and fractions. It runs alone, as `python checker.py FILE`: exit code 0 if
the theorem is verified, 1 if the file does not prove it, 2 if the file is not a certificate (see `certificate.py`).

Theorem. Variables start anywhere in their boxes centre +- radius (rational numbers). Then come phases, one after
the other; in each, for its duration, some variables move by y_v' = value of a node, the others rest. Nodes are the
variables and the units, which are sums a_0 + a_1 z_1 + ... with rational a_i, and products z_1 z_2, of earlier nodes:
polynomials. The claim: from every start the solution exists to the end of the last phase, and there every output
(the value of a node) lies within its radius of its centre.

Why the checks prove it. All numbers below are integers in units of 2**-bits. Every variable whose start box has a
radius has a symbol e_l, -1 <= e_l <= 1, which says where in the box it starts. Fix the symbols. At the start of
a step, each variable lies within R_v0 of m_v + sum over l of e_l g_vl. Time is h s, 0 <= s <= 1, in a step of length h.
For every variable that moves the file gives a polynomial R_v(s) = R_v0 + R_v1 s + ... + R_vM s**M, coefficients >= 0,
M <= order; for one that rests, R_v(s) = R_v0.

1. `series` makes for each node a polynomial q(s) = q_0(s) + sum over l of e_l q_l(s), each "layer" q_l of degree at
   most `order`, by Taylor recurrences, every coefficient rounded down, products of two symbols left out. That q is
   nearly a Taylor polynomial is not used.
2. Let S be the set of continuous y with |y_v(s) - q_v(s)| <= R_v(s) on [0, 1]. `radii` finds for each node a
   polynomial r(s) such that for all y in S the node's value stays within r(s) of q(s), by induction:
   - sum: |sum a_i z_i - sum a_i q_i| <= sum |a_i| r_i, and less than 1 for the rounding of every coefficient;
   - product: |x y - q_x q_y| <= |q_x| r_y + |q_y| r_x + r_x r_y, where a polynomial is at most the sum of its
     |coefficients|, as 0 <= s <= 1. Left out of q_x q_y are: products of symbols, at most the sum of the
     |coefficients| in layers 1, 2, ... of one factor times that of the other; terms of degree above `order`, at most
     the sum of their |coefficients| times s**M; and less than 1 for the rounding of every coefficient.
3. Picard's operator takes y to start + h * integral of the rates. For y in S its image differs from q_v by at most
   R_v0 + h * integral of r(s) (with s**M for s**(M+1)) + s for every rounded coefficient + the integral of the
   rate's last term. `picard` computes this bound T_v(s), T_v0 = R_v0; `check_step` demands T_vk <= R_vk for all k. So
   the operator maps S, which is closed, convex and bounded, into itself; it is continuous and compact; by
   Schauder's theorem it has a fixed point in S, a solution. Polynomials are locally Lipschitz, so there is no other.
   It lies in the image of S: |y_v(1) - q_v(1)| <= T_v(1), and q_v(1) is the sum of coefficients, layer by layer.
4. The next step's m_v and R_v0 come from the file; `check_step` demands that they cover what the step before has
   reached, with the same g_vl. The steps must add up to the duration exactly. Outputs are computed from the final
   values as in 1 and 2, with degree 0. Induction over steps and phases gives the theorem, for all e_l.
"""

import json
import re
import sys
from fractions import Fraction
from math import lcm
from operator import mul
from typing import Any, NamedTuple

FORMAT, VERSION = "gpac certificate", 1
MAX_BYTES, MAX_BITS, MAX_ORDER, MAX_HEXADECIMAL, MAX_DECIMAL = 2**28, 2**18, 2**14, 2**18, 4000


class BadFile(Exception):
    """The file is not a certificate; the text says why."""


class Refused(Exception):
    """The file is a certificate, but does not prove its theorem; the text says where."""


class Sum(NamedTuple):  # (constant + sum of factor * node) / denominator, in integers
    denominator: int
    constant: int
    factors: list[int]
    nodes: list[int]


class Product(NamedTuple):  # of two nodes: variables count from 0, units follow them
    left: int
    right: int


Unit = Sum | Product
Row = list[int]
Layers = list[Row]  # of one node: coefficients of q_0, q_1, ...
Box = tuple[list[Row], Row]  # of all variables at one time: m_v, g_v1, g_v2, ... in a row, and the radius around them


class Phase(NamedTuple):
    duration: Fraction
    units: list[Unit]
    rates: dict[int, int]  # variable: node


class Step(NamedTuple):
    h: Fraction
    order: int
    tube: dict[int, Row]  # m_v, R_v0, ..., R_vM by variable


class Statement(NamedTuple):
    names: list[str]
    start: list[tuple[Fraction, Fraction]]
    phases: list[Phase]
    units: list[Unit]
    outputs: list[tuple[str, int, Fraction, Fraction]]


Certificate = tuple[Statement, int, list[list[Step]]]  # with bits, and the steps by phase


class Model(NamedTuple):  # of all nodes over one step
    q: list[Layers]
    size: list[Row]  # |coefficients|, added over the layers
    lost: list[tuple[int, int]]  # of each unit: see `left_out`


# -- the mathematics -----------------------------------------------------------------------------------------


def series(units: list[Unit], rates: dict[int, int], rows: list[Row], h: Fraction, order: int, bits: int) -> Model:
    """Polynomials q of all nodes: coefficients 0..order, or only the first where nothing moves."""
    q: list[Layers] = [[[x] for x in row] for row in rows] + [[[] for _ in rows[0]] for _ in units]
    moving = [v in rates for v in range(len(rows))]
    for unit in units:
        moving.append(any(moving[j] for j in (unit.nodes if isinstance(unit, Sum) else unit)))
    for k in range(order + 1):
        for i, unit in enumerate(units, len(rows)):
            if k == 0 or moving[i]:
                for number, layer in enumerate(q[i]):
                    layer.append(_coefficient(unit, q, number, k, bits))
        if k < order:
            for v, j in rates.items():
                for layer, rate in zip(q[v], q[j], strict=True):
                    layer.append((rate[k] if k < len(rate) else 0) * h.numerator // (h.denominator * (k + 1)))
    size = [[sum(map(abs, column)) for column in zip(*layers, strict=True)] for layers in q]
    return Model(q, size, [left_out(unit, q, size) for unit in units])


def _coefficient(unit: Unit, q: list[Layers], number: int, k: int, bits: int) -> int:
    if isinstance(unit, Sum):
        pairs = [(a, q[j][number]) for a, j in zip(unit.factors, unit.nodes, strict=True)]
        total = unit.constant << bits if k == 0 and number == 0 else 0
        return sum((a * c[k] for a, c in pairs if k < len(c)), total) // unit.denominator
    x, y = q[unit.left], q[unit.right]
    total = _convolution(x[0], y[number], k)
    return (total if number == 0 else total + _convolution(x[number], y[0], k)) >> bits


def _convolution(x: Row, y: Row, k: int) -> int:
    if len(y) == 1:
        return x[k] * y[0] if k < len(x) else 0
    return x[0] * y[k] if len(x) == 1 else sum(map(mul, x[: k + 1], y[k::-1]))


def left_out(unit: Unit, q: list[Layers], size: list[Row]) -> tuple[int, int]:
    """What products of symbols, and terms of too high degree, contribute to a product; both 2**bits too large."""
    if isinstance(unit, Sum):
        return 0, 0
    mixed, high = 1, 0
    for j in unit:
        mixed *= sum(abs(c) for layer in q[j][1:] for c in layer)
    if len(size[unit.left]) > 1 and len(size[unit.right]) > 1:
        above = 0  # sum of the last i coefficients of the right factor, beside coefficient i of the left one
        for i, c in enumerate(size[unit.left]):
            high += c * above
            above += size[unit.right][-1 - i]
    return mixed, high


def radii(units: list[Unit], model: Model, start: list[Row], bits: int) -> list[Row]:
    """Polynomials r of all nodes from those of the variables."""
    r, total = list(start), [sum(c) for c in model.size]
    for unit, (mixed, high) in zip(units, model.lost, strict=True):
        if isinstance(unit, Sum):
            pairs = [(abs(a), r[j]) for a, j in zip(unit.factors, unit.nodes, strict=True)]
            new = [-(-sum(a * c[m] for a, c in pairs) // unit.denominator) for m in range(len(start[0]))]
        else:
            x, y = unit
            left, right = total[x] + sum(r[x]), total[y]
            new = [-(-(left * b + right * a) >> bits) for a, b in zip(r[x], r[y], strict=True)]
            new[0] += -(-mixed >> bits)
            new[-1] += -(-high >> bits)
        new[0] += sum(map(len, model.q[len(r)]))
        r.append(new)
    return r


def picard(phase: Phase, model: Model, r: list[Row], h: Fraction, order: int) -> dict[int, Row]:
    """T_v0 ... T_vM of the moving variables."""
    image = {}
    for v, j in phase.rates.items():
        last = len(r[v]) - 1
        bound = [r[v][0]] + [0] * last
        for m, radius in enumerate(r[j]):
            bound[min(m + 1, last)] += -(-radius * h.numerator // (h.denominator * (m + 1)))
        if len(model.size[j]) > order:
            bound[last] += -(-model.size[j][order] * h.numerator // (h.denominator * (order + 1)))
        bound[1] += order * len(model.q[v])
        image[v] = bound
    return image


def check_step(phase: Phase, step: Step, bits: int, box: Box, place: str) -> Box:
    """The box after the step, from the one before it."""
    rows, radius = list(box[0]), list(box[1])
    terms = max((len(row) for row in step.tube.values()), default=2) - 1
    start = [[x] + [0] * (terms - 1) for x in radius]
    for v, (middle, *tube) in step.tube.items():
        if abs(rows[v][0] - middle) + radius[v] > tube[0]:
            raise Refused(f"{place}: the box before it does not lie in its start box")
        rows[v], start[v] = [middle, *rows[v][1:]], tube
    model = series(phase.units, phase.rates, rows, step.h, step.order, bits)
    for v, image in picard(phase, model, radii(phase.units, model, start, bits), step.h, step.order).items():
        if any(a > b for a, b in zip(image, start[v], strict=True)):
            raise Refused(f"{place}: Picard's operator leaves the tube that is claimed")
        rows[v], radius[v] = [sum(layer) for layer in model.q[v]], sum(image)
    return rows, radius


def start_box(statement: Statement, bits: int) -> Box:
    """All variables at the start; the radius is for rounding centre and g."""
    wide = [v for v, (_, radius) in enumerate(statement.start) if radius]
    numbers = [[c, *(r if v == w else Fraction(0) for w in wide)] for v, (c, r) in enumerate(statement.start)]
    return [[(x.numerator << bits) // x.denominator for x in row] for row in numbers], [2] * len(numbers)


def end_boxes(statement: Statement, box: Box, bits: int) -> list[tuple[Fraction, Fraction]]:
    """Centre and radius of all outputs."""
    model = series(statement.units, {}, box[0], Fraction(0), 0, bits)
    r = radii(statement.units, model, [[x] for x in box[1]], bits)
    ends = [([layer[0] for layer in model.q[j]], r[j][0]) for _, j, _, _ in statement.outputs]
    return [(Fraction(c, 1 << bits), Fraction(sum(map(abs, g)) + x, 1 << bits)) for (c, *g), x in ends]


def check(certificate: Certificate) -> None:
    """Return if the file proves its theorem, else raise `Refused`."""
    statement, bits, proof = certificate
    box = start_box(statement, bits)
    for number, (phase, steps) in enumerate(zip(statement.phases, proof, strict=True)):
        if sum(step.h for step in steps) != phase.duration or any(step.h <= 0 for step in steps):
            raise Refused(f"phase {number}: its steps are not positive numbers that add up to its duration")
        for count, step in enumerate(steps):
            box = check_step(phase, step, bits, box, f"phase {number}, step {count}")
    ends = end_boxes(statement, box, bits)
    for (name, _, middle, allowed), (value, reached) in zip(statement.outputs, ends, strict=True):
        if abs(value - middle) + reached > allowed:
            raise Refused(f"output {name}: what is proven is wider than what is claimed")


# -- reading the file ----------------------------------------------------------------------------------------

_HEXADECIMAL = re.compile("(-?0x[0-9a-f]+)(?:/(0x[1-9a-f][0-9a-f]*))?")
_DECIMAL = re.compile(r"-?[0-9]+(/[1-9][0-9]*|(\.[0-9]+)?(e-?[0-9]{1,4})?)")
_NAME = re.compile(r"[A-Za-z_][\w.\[\]]{0,99}", re.ASCII)


def parse(text: str) -> Certificate:
    """The certificate in a file's text; raises `BadFile` for anything that is not one."""
    try:
        data = json.loads(text, object_pairs_hook=_no_duplicates)
    except (ValueError, RecursionError) as error:
        raise BadFile(f"expected JSON, but {error}") from None
    top = _object(data, "format", "version", "statement", "proof")
    if top["format"] != FORMAT or _integer(top["version"], 0, 10**9) != VERSION:
        raise BadFile(f"expected format {FORMAT!r}, version {VERSION}")
    statement = parse_statement(top["statement"])
    proof = _object(top["proof"], "bits", "phases")
    parts = zip(_list(proof["phases"], len(statement.phases)), statement.phases, strict=True)
    steps = [_steps(part, phase) for part, phase in parts]
    return statement, _integer(proof["bits"], 1, MAX_BITS), steps


def parse_statement(data: Any) -> Statement:
    """The theorem of a file."""
    data = _object(data, "variables", "phases", "units", "outputs")
    rows = [_list(entry, 3) for entry in _list(data["variables"])]
    names, start = [row[0] for row in rows], [(_rational(row[1]), _rational(row[2])) for row in rows]
    phases = []
    for entry in _list(data["phases"]):
        fields = _object(entry, "duration", "units", "rates")
        units = _units(fields["units"], len(names))
        pairs = [_list(pair, 2) for pair in _list(fields["rates"])]
        rates = {_integer(v, 0, len(names) - 1): _integer(j, 0, len(names) + len(units) - 1) for v, j in pairs}
        phases.append(Phase(_rational(fields["duration"]), units, rates))
        if len(rates) < len(pairs):
            raise BadFile("expected one rate for a variable in one phase")
    units = _units(data["units"], len(names))
    last, ends = len(names) + len(units) - 1, [_list(entry, 4) for entry in _list(data["outputs"])]
    outputs = [(name, _integer(j, 0, last), _rational(centre), _rational(radius)) for name, j, centre, radius in ends]
    for group in (names, [name for name, *_ in outputs]):
        if not all(isinstance(x, str) and _NAME.fullmatch(x) for x in group) or not 0 < len(set(group)) == len(group):
            raise BadFile("expected variables and outputs, with names of their own made of letters, digits and _ . [ ]")
    if any(radius < 0 for radius in [*(x[1] for x in start), *(x[3] for x in outputs)]):
        raise BadFile("expected radii, got a negative number")
    return Statement(names, start, phases, units, outputs)


def _units(data: Any, count: int) -> list[Unit]:
    units: list[Unit] = []
    for entry in _list(data):
        kind, *rest = _list(entry) or [None]
        last = count + len(units) - 1
        if kind == "product" and len(rest) == 2:
            units.append(Product(*(_integer(j, 0, last) for j in rest)))
        elif kind == "sum" and rest:
            pairs = [_list(pair, 2) for pair in rest[1:]]
            numbers = [_rational(x) for x in (rest[0], *(a for a, _ in pairs))]
            below = lcm(*(x.denominator for x in numbers))
            constant, *factors = (x.numerator * (below // x.denominator) for x in numbers)
            units.append(Sum(below, constant, factors, [_integer(j, 0, last) for _, j in pairs]))
        else:
            raise BadFile('expected units ["sum", constant, [factor, node], ...] or ["product", node, node]')
    return units


def _steps(data: Any, phase: Phase) -> list[Step]:
    fields, steps = _object(data, "order", "steps"), []
    order = _integer(fields["order"], 1, MAX_ORDER)
    for length, entries in (_list(entry, 2) for entry in _list(fields["steps"])):
        rows = [[_rational(x) for x in _list(row)] for row in _list(entries, len(phase.rates))]
        if any(x.denominator > 1 or (k and x < 0) for row in rows for k, x in enumerate(row)):
            raise BadFile("expected integer centres and integer radii, none negative")
        if len({len(row) for row in rows}) > 1 or any(not 2 < len(row) <= order + 2 for row in rows):
            raise BadFile("expected 2 to order + 1 radii for each variable of a step, as many for each")
        whole = ([x.numerator for x in row] for row in rows)
        steps.append(Step(_rational(length), order, dict(zip(phase.rates, whole, strict=True))))
    return steps


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) < len(pairs):
        raise BadFile("a key occurs twice in one object")
    return dict(pairs)


def _object(value: Any, *keys: str) -> dict[str, Any]:
    if not isinstance(value, dict) or set(value) != set(keys):
        raise BadFile(f"expected an object with the keys {', '.join(keys)}")
    return value


def _list(value: Any, length: int | None = None) -> list[Any]:
    if not isinstance(value, list) or length not in (None, len(value)):
        raise BadFile(f"expected a list{'' if length is None else f' of length {length}'}, got {_shown(value)}")
    return value


def _integer(value: Any, low: int, high: int) -> int:
    if type(value) is not int or not low <= value <= high:
        raise BadFile(f"expected an integer from {low} to {high}, got {_shown(value)}")
    return value


def _rational(value: Any) -> Fraction:
    if isinstance(value, str) and len(value) <= MAX_HEXADECIMAL and (match := _HEXADECIMAL.fullmatch(value)):
        return Fraction(int(match[1], 16), int(match[2] or "1", 16))
    if isinstance(value, str) and len(value) <= MAX_DECIMAL and _DECIMAL.fullmatch(value):
        return Fraction(value)
    raise BadFile(f"expected an exact number as text, '-1/3', '2.5e-9' or '0x1f/0x20', got {_shown(value)}")


def _shown(value: Any) -> str:
    return ascii(value)[:40] if isinstance(value, str | int | float) else f"a {type(value).__name__}"


# -- the command ---------------------------------------------------------------------------------------------


def describe(text: str) -> str:
    """The theorem of a file that `parse` has accepted, its numbers as they stand there."""
    data = json.loads(text)["statement"]
    names = [name for name, _, _ in data["variables"]]
    lines = ["Start:", *(f"  {name} = {centre} +- {radius}" for name, centre, radius in data["variables"])]
    for part in [*data["phases"], data]:
        nodes = names + [f"#{i}" for i in range(len(part["units"]))]
        lines.append(f"For a time of {part['duration']}:" if part is not data else "Then the solution exists, and:")
        for name, (kind, first, *rest) in zip(nodes[len(names) :], part["units"], strict=True):
            plus = [first, *(f"({a}) {nodes[j]}" for a, j in rest)] if kind == "sum" else []
            lines.append(f"  {name} = " + (" + ".join(plus) or f"{nodes[first]} * {nodes[rest[0]]}"))
        lines += [f"  {names[v]}' = {nodes[j]}" for v, j in part.get("rates", [])]
    lines += [f"  {name} = {nodes[j]} = {centre} +- {radius}" for name, j, centre, radius in data["outputs"]]
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    """Check one file, print its theorem; returns the exit code."""
    try:
        if len(arguments) != 1:
            raise BadFile("expected one file: checker.py FILE")
        with open(arguments[0], "rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise BadFile(f"expected at most {MAX_BYTES} bytes")
        certificate = parse(text := data.decode())
        print(describe(text))
        check(certificate)
    except (BadFile, OSError, UnicodeDecodeError) as reason:
        print(f"not a certificate: {reason}", file=sys.stderr)
        return 2
    except Refused as reason:
        print(f"NOT VERIFIED. {reason}")
        return 1
    print("VERIFIED.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
