"""The checker stands alone, proves only what is true, and refuses files that lie or have been tampered with."""

import ast
import copy
import json
import random
import re
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import mpmath
import pytest
import sympy
from problems import problem

import gpac
from gpac.verify import certificate, checker

X, Y = sympy.symbols("x y")
LOTKA = gpac.PIVP({X: X * (1 - Y), Y: Y * (X - 1)}, {X: 2, Y: 1})
SOURCE = Path(checker.__file__)


def written(proof, folder) -> dict:
    path = folder / "certificate.json"
    proof.certificate(path)
    return json.loads(path.read_text())


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Certificates of five kinds: a number, a system, a pole nearby, a box, a start value that must be made first."""
    import flint

    folder = tmp_path_factory.mktemp("certificates")
    w = gpac.wire("w")
    w.define(gpac.integral(1 - w * w, None, 0))
    then = gpac.inputs("w", 1)
    schedule = gpac.Schedule(
        (
            gpac.Phase(gpac.Circuit({"w": w}), Fraction(1)),
            gpac.Phase(gpac.Circuit({"v": gpac.functions.sin(gpac.time() * then)}), Fraction(1, 2)),
        )
    )
    proofs = (
        gpac.prove(gpac.PIVP({X: X}, {X: 1}), 1, digits=6),
        gpac.prove(LOTKA, 1, digits=12),
        gpac.prove(problem("tan").system, Fraction(7, 5), digits=5),
        gpac.prove(LOTKA, Fraction(1, 2), initial=[flint.arb(2, 0.01), flint.arb(1, 0.001)], digits=1),
        gpac.prove(gpac.PIVP({X: -X * Y, Y: X}, {X: sympy.sin(1), Y: 0}), 1, digits=6),
        gpac.prove(schedule, digits=5),
    )
    return [written(proof, folder) for proof in proofs]


def verdict(data) -> bool:
    """Whether the checker accepts; anything but its own two refusals is an error of the checker."""
    try:
        checker.check(checker.parse(data if isinstance(data, str) else json.dumps(data)))
    except (checker.BadFile, checker.Refused):
        return False
    return True


# -- it stands alone -----------------------------------------------------------------------------------------


def test_the_checker_imports_the_standard_library_only_and_fits_one_sitting():
    tree = ast.parse(SOURCE.read_text())
    modules = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            modules.add(node.module)
        elif isinstance(node, ast.Name):
            assert node.id not in ("eval", "exec", "compile", "__import__", "globals", "getattr", "setattr")
    assert modules == {"fractions", "json", "math", "operator", "re", "sys", "typing"}
    assert len(SOURCE.read_text().splitlines()) < 400


def test_the_checker_runs_from_a_folder_where_there_is_nothing_else(files, tmp_path):
    (tmp_path / "checker.py").write_text(SOURCE.read_text())
    (tmp_path / "good.json").write_text(json.dumps(files[1]))
    wrong = copy.deepcopy(files[1])
    wrong["statement"]["outputs"][0][2] = "2.5"
    (tmp_path / "wrong.json").write_text(json.dumps(wrong))
    (tmp_path / "bad.json").write_text("{}")

    def run(name):
        command = [sys.executable, "-I", "-S", "checker.py", name]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)

    good = run("good.json")
    assert good.returncode == 0 and good.stdout.endswith("VERIFIED.\n") and "#0 = x * y" in good.stdout
    assert run("wrong.json").returncode == 1 and "NOT VERIFIED" in run("wrong.json").stdout
    for name in ("bad.json", "missing.json", "."):
        result = run(name)
        assert result.returncode == 2 and result.stderr.startswith("not a certificate") and not result.stdout


# -- what it proves is true: coarse arithmetic, few terms, long steps ------------------------------------------


def coarse_box(statement, bits, order, lengths, terms):
    """The box after steps of given lengths with tubes found at this order, or None where none holds."""
    search = certificate._Search(statement, bits, float("inf"))
    search.order, search.box = order, checker.start_box(statement, bits)
    box = search.box
    (phase,) = statement.phases
    for h in lengths:
        model = checker.series(phase.units, phase.rates, search.box[0], h, order, bits)
        found = search._tube(phase, model, h, min(terms, order))
        if found is None:
            return None
        step = checker.Step(h, order, {v: [search.box[0][v][0], *found[0][v]] for v in phase.rates})
        box = search.box = checker.check_step(phase, step, bits, search.box, "here")
    return checker.end_boxes(statement, box, bits)


COARSE = {
    "exp": lambda mp, t: [mp.exp(t)],
    "tan": lambda mp, t: [mp.tan(t)],
    "circle": lambda mp, t: [mp.cos(t), mp.sin(t)],
    "logistic": lambda mp, t: [1 / (1 + 9 * mp.exp(-t))],
    "Gaussian": lambda mp, t: [mp.exp(-t * t / 2)],
    "Jacobi sn, cn, dn": lambda mp, t: [mp.ellipfun(kind, t, m=mp.mpf(1) / 2) for kind in ("sn", "cn", "dn")],
}


@pytest.mark.parametrize("name", COARSE)
def test_boxes_of_coarse_steps_hold_the_closed_form(name):
    proof = gpac.prove(problem(name).system, 1, digits=3)
    claims = [("0", "1")] * len(proof.balls)
    statement = checker.parse_statement(certificate.statement(proof.question).to_json(claims, str))
    random_ = random.Random(name)
    context, held, narrow = mpmath.mp.clone(), 0, 0
    context.prec = 200
    for _ in range(250):
        bits, order = random_.randint(4, 40), random_.randint(1, 8)
        lengths = [Fraction(random_.randint(1, 40), random_.choice((40, 64, 77))) for _ in range(random_.randint(1, 4))]
        ends = coarse_box(statement, bits, order, lengths, random_.randint(1, 6))
        if ends is None:
            continue
        t = sum(lengths)
        truth = COARSE[name](context, context.mpf(t.numerator) / t.denominator)
        for value, (centre, radius) in zip(truth, ends, strict=True):
            distance = abs(value - context.mpf(centre.numerator) / centre.denominator)
            limit = context.mpf(radius.numerator) / radius.denominator
            assert distance <= limit, (bits, order, lengths)
            held, narrow = held + 1, narrow + (limit < 20 * distance)
    assert held > 100 and narrow > held / 20  # the bounds are not idly wide: many are within 20 times the error


def test_a_start_box_is_followed_to_first_order_in_its_width():
    """x' = -y, y' = x: a square of half width r turns; after a quarter of the circle each half width is r again."""
    statement = {
        "variables": [["x", "1", "1e-6"], ["y", "0", "1e-6"]],
        "phases": [
            {"duration": "1", "units": [["sum", "0", ["-1", 1]]], "rates": [[0, 2], [1, 0]]},
        ],
        "units": [],
        "outputs": [["x", 0, "0", "1"], ["y", 1, "0", "1"]],
    }
    quarter = Fraction(157079632679, 10**11)
    ends = coarse_box(checker.parse_statement(statement), 80, 30, [quarter / 4] * 4, 8)
    assert all(abs(radius * 10**6 - 1) < Fraction(1, 10**9) for _, radius in ends)
    centres = [float(centre) for centre, _ in ends]
    assert centres == pytest.approx([0, 1], abs=1e-10)


# -- tampering -----------------------------------------------------------------------------------------------


def leaves(node, path=()):
    """Paths of all numbers, names and words in a file."""
    pairs = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    if not isinstance(node, dict | list):
        yield path
    for key, child in pairs:
        yield from leaves(child, (*path, key))


def at(data, path):
    for key in path:
        data = data[key]
    return data


def put(data, path, value):
    at(data, path[:-1])[path[-1]] = value


RUN = re.compile("0x[0-9a-f]+|[0-9]+")


def moved(value, number, by):
    """The value with its run of digits `number` (one of "0x2f", "12/5", "1.25e-9") moved by so many units."""
    runs = list(RUN.finditer(str(value)))
    if not runs:
        return f"{value}x"  # a name or a word
    run = runs[number % len(runs)]
    new = max(0, int(run[0], 0 if "x" in run[0] else 10) + by)
    text = str(value)[: run.start()] + (f"{new:#x}" if "x" in run[0] else str(new).zfill(len(run[0])))
    text += str(value)[run.end() :]
    return int(text) if isinstance(value, int) else text


def negated(value):
    return -value if isinstance(value, int) else value[1:] if value[:1] == "-" else f"-{value}"


def digit_changed(value, random_):
    text = str(value)
    places = [i for i, c in enumerate(text) if c.isdigit()]
    if not places:
        return f"{text[::-1]}_"
    i = random_.choice(places)
    new = text[:i] + random_.choice("0123456789") + text[i + 1 :]
    return int(new) if isinstance(value, int) else new


def mutate(data, paths, random_):
    """One change somewhere; returns the changed file."""
    data = copy.deepcopy(data)
    path = random_.choice(paths)
    value, kind = at(data, path), random_.randrange(12)
    if kind == 0:
        put(data, path, digit_changed(value, random_))
    elif kind == 1:
        put(data, path, negated(value))
    elif kind == 2:
        put(data, path, type(value)(0))
    elif kind == 3:
        other = random_.choice(paths)
        put(data, path, at(data, other))
        put(data, other, value)
    elif kind == 4:
        put(data, path, f"{value}{random_.choice(['0', '1', 'e1', 'e-1', 'e9', '/2', '.5'])}")
    elif kind == 5:
        put(data, path, random_.choice([None, True, False, 1.0, [], {}, "NaN", "inf", "", "1e99999", 10**30]))
    elif kind == 6:
        del at(data, path[:-1])[path[-1]]
    elif kind == 7 and len(path) > 1 and isinstance(at(data, path[:-1]), list):
        at(data, path[:-1]).insert(path[-1], value)
    elif kind == 8 and len(path) > 2:
        del at(data, path[:-2])[path[-2]]
    elif kind == 9 and len(path) > 2 and isinstance(at(data, path[:-2]), list):
        rows = at(data, path[:-2])
        i, j = random_.randrange(len(rows)), random_.randrange(len(rows))
        rows[i], rows[j] = rows[j], rows[i]
    elif kind == 10:
        put(data, path, moved(value, random_.randrange(3), random_.choice((-7, -2, 2, 7, 1000))))
    else:
        put(data, path, moved(value, random_.randrange(3), random_.choice((-1, 1))))
    return data


class Truth:
    """Outputs of a statement by Taylor series in mpmath, from the middle and corners of its start box: no bounds."""

    def __init__(self):
        self.context, self.known = mpmath.mp.clone(), {}
        self.context.dps = 60

    def number(self, text):
        x = Fraction(int(text, 16)) if "x" in text and "/" not in text else None
        if x is None and "x" in text:
            above, below = text.split("/")
            x = Fraction(int(above, 16), int(below, 16))
        x = Fraction(text) if x is None else x
        return self.context.mpf(x.numerator) / x.denominator

    def holds(self, statement) -> bool:
        """Whether all outputs lie in their boxes, from every start tried."""
        boxes = [(self.number(c), self.number(r)) for _, c, r in statement["variables"]]
        key = json.dumps([[row[1:] for row in statement["variables"]], statement["phases"]])
        if key not in self.known:
            starts = {tuple(c + sign * r for c, r in boxes) for sign in (-1, 0, 1)}
            starts.add(tuple(c + (-1) ** i * r for i, (c, r) in enumerate(boxes)))
            self.known[key] = [self.end(statement["phases"], list(start)) for start in starts]
        units = self.units(statement["units"])
        for state in self.known[key]:
            nodes = [[x] for x in state]
            self.append(units, nodes, len(state), 0)
            for _, j, centre, radius in statement["outputs"]:
                if abs(nodes[j][0] - self.number(centre)) > self.number(radius) + self.context.mpf(10) ** -50:
                    return False
        return True

    def units(self, rows):
        return [
            ("sum", self.number(first), [(self.number(a), j) for a, j in rest])
            if kind == "sum"
            else (kind, first, *rest)
            for kind, first, *rest in rows
        ]

    def append(self, units, nodes, count, k):
        """Coefficient k of all units to the lists after the `count` variables."""
        nodes += [[] for _ in range(count + len(units) - len(nodes))]
        for i, (kind, first, rest) in enumerate(units, count):
            if kind == "sum":
                new = sum((a * nodes[j][k] for a, j in rest), first if k == 0 else self.context.mpf(0))
            else:
                new = self.context.fdot(nodes[first][: k + 1], nodes[rest][k::-1])
            nodes[i].append(new)

    def end(self, phases, state):
        for phase in phases:
            units, h = self.units(phase["units"]), self.number(phase["duration"]) / 24
            for _ in range(24):
                nodes = [[x] for x in state]
                for k in range(36):
                    self.append(units, nodes, len(state), k)
                    rates = {v: nodes[j][k] * h / (k + 1) for v, j in phase["rates"]}
                    for v in range(len(state)):
                        nodes[v].append(rates.get(v, self.context.mpf(0)))
                state = [sum(row) for row in nodes[: len(state)]]
        return state


def test_every_number_moved_by_one_or_negated_or_zeroed_is_refused_or_leaves_a_true_statement(files):
    truth, count = Truth(), 0
    for data in files:
        assert verdict(data) and truth.holds(data["statement"])
        for path in leaves(data):
            value = at(data, path)
            ones = [moved(value, number, by) for number in range(3) for by in (-1, 1)]
            for new in (*ones, negated(value), type(value)(0)):
                changed = copy.deepcopy(data)
                put(changed, path, new)
                count += 1
                if verdict(changed):
                    assert truth.holds(changed["statement"]), path
    assert count > 2000


def test_ten_thousand_mutations_are_refused_or_leave_a_true_statement(files):
    random_, truth = random.Random(2026), Truth()
    accepted = changed = refused = 0
    for data in files:
        paths = list(leaves(data))
        for _ in range(10_000 // len(files) + 1):
            mutant = mutate(data, paths, random_)
            if not verdict(mutant):
                refused += 1
                continue
            accepted += 1
            if mutant["statement"] != data["statement"]:
                changed += 1
                assert truth.holds(mutant["statement"]), mutant["statement"]
    assert refused + accepted >= 10_000 and refused > 5_000 and changed > 20


# -- files that lie, and files that are none -----------------------------------------------------------------


def steps_of(data):
    return data["proof"]["phases"][0]["steps"]


def changed(change):
    def apply(data):
        data = copy.deepcopy(data)
        change(data)
        return json.dumps(data)

    return apply


def cut(data, length):
    """Keep so many numbers of every row of every step."""
    for _, rows in steps_of(data):
        for row in rows:
            del row[length:]


def setter(*path_and_value):
    *path, value = path_and_value
    return changed(lambda data: put(data, path, value))


LIES = {
    "a negative step and one that makes up for it": changed(
        lambda d: (
            steps_of(d).insert(0, ["-1/4", steps_of(d)[0][1]]) or steps_of(d).insert(0, ["1/4", steps_of(d)[0][1]])
        )
    ),
    "a step of length zero": changed(lambda d: steps_of(d).insert(0, ["0", steps_of(d)[0][1]])),
    "a step of 10^9": setter("proof", "phases", 0, "steps", 0, 0, "1000000000"),
    "one step of all the duration": changed(lambda d: steps_of(d).__setitem__(slice(None), [["1", steps_of(d)[0][1]]])),
    "no steps": setter("proof", "phases", 0, "steps", []),
    "a longer duration": setter("statement", "phases", 0, "duration", "2"),
    "a shorter duration": setter("statement", "phases", 0, "duration", "999/1000"),
    "tubes without width": changed(
        lambda d: [row.__setitem__(slice(1, None), ["0x0"] * (len(row) - 1)) for _, rows in steps_of(d) for row in rows]
    ),
    "another right side": setter("statement", "phases", 0, "rates", 0, 1, 0),
    "another start": setter("statement", "variables", 0, 1, "2000000001/1000000000"),
    "a wide start": setter("statement", "variables", 0, 2, "1/1000"),
    "a claim too narrow": setter("statement", "outputs", 0, 3, "1e-60"),
    "fewer bits": setter("proof", "bits", 90),
    "order one": changed(lambda d: d["proof"]["phases"][0].update(order=1) or cut(d, 3)),
}

NO_CERTIFICATES = {
    "nothing": lambda d: "",
    "no JSON": lambda d: "certificate",
    "a list": lambda d: "[]",
    "NaN": lambda d: json.dumps(d).replace('"1"', "NaN", 1),
    "a float": lambda d: json.dumps(d).replace('"1"', "1.0", 1),
    "NaN as text": setter("statement", "variables", 0, 1, "NaN"),
    "infinity as text": setter("statement", "outputs", 0, 3, "inf"),
    "a fraction by zero": setter("statement", "variables", 0, 1, "1/0"),
    "a true order": setter("proof", "phases", 0, "order", True),
    "a true node": setter("statement", "phases", 0, "rates", 0, 1, True),
    "a true version": lambda d: json.dumps(d | {"version": True}),
    "another version": lambda d: json.dumps(d | {"version": 2}),
    "another format": lambda d: json.dumps(d | {"format": "certificate"}),
    "an added key": lambda d: json.dumps(d | {"note": "trust me"}),
    "a missing key": lambda d: json.dumps({k: v for k, v in d.items() if k != "proof"}),
    "a key twice": lambda d: json.dumps(d)[:-1] + ', "statement": {}}',
    "a huge integer": lambda d: json.dumps(d).replace('"bits": ', '"bits": ' + "9" * 5000, 1),
    "a huge number as text": setter("statement", "variables", 0, 1, "9" * 5000),
    "a huge exponent": setter("statement", "variables", 0, 1, "1e999999999"),
    "too many bits": setter("proof", "bits", 10**8),
    "too high an order": setter("proof", "phases", 0, "order", 10**8),
    "depth": lambda d: "[" * 200_000 + "]" * 200_000,
    "depth inside": lambda d: json.dumps(d).replace('"2"', "[" * 50_000 + "]" * 50_000, 1),
    "a missing variable in a step": changed(lambda d: steps_of(d)[0][1].pop()),
    "a radius less in one row": changed(lambda d: steps_of(d)[0][1][0].pop()),
    "a fraction in a step": setter("proof", "phases", 0, "steps", 0, 1, 0, 0, "1/3"),
    "a negative radius": setter("proof", "phases", 0, "steps", 0, 1, 0, 2, "-0x1"),
    "a negative start radius": setter("statement", "variables", 0, 2, "-1"),
    "a node that comes later": setter("statement", "phases", 0, "units", 0, 1, 2),
    "a node that does not exist": setter("statement", "phases", 0, "rates", 0, 1, 99),
    "a negative node": setter("statement", "phases", 0, "rates", 0, 1, -1),
    "two rates for a variable": setter("statement", "phases", 0, "rates", 1, 0, 0),
    "a name twice": setter("statement", "variables", 1, 0, "x"),
    "a name with a new line": setter("statement", "variables", 1, 0, "y = 0\nVERIFIED."),
    "no outputs": setter("statement", "outputs", []),
    "no variables": setter("statement", "variables", []),
    "a phase of the proof too few": setter("proof", "phases", []),
    "an unknown unit": setter("statement", "phases", 0, "units", 0, 0, "quotient"),
    "white space in a number": setter("statement", "variables", 0, 1, " 2"),
    "underscores in a number": setter("statement", "variables", 0, 1, "2_0"),
    "digits of another script": setter("statement", "variables", 0, 1, "\u0662"),
}


@pytest.mark.parametrize("name", LIES)
def test_files_that_lie_are_refused(files, name, tmp_path, capsys):
    path = tmp_path / "file.json"
    path.write_text(LIES[name](files[1]))
    assert checker.main([str(path)]) == 1
    assert capsys.readouterr().out.splitlines()[-1].startswith("NOT VERIFIED")


@pytest.mark.parametrize("name", NO_CERTIFICATES)
def test_files_that_are_no_certificates_are_told_from_those_that_lie(files, name, tmp_path, capsys):
    path = tmp_path / "file.json"
    path.write_text(NO_CERTIFICATES[name](files[1]))
    assert checker.main([str(path)]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("not a certificate: ") and "VERIFIED" not in captured.out
    assert len(captured.err.splitlines()) == 1 and len(captured.err) < 300


def test_bytes_that_are_no_text_are_no_certificate(tmp_path):
    (tmp_path / "file.json").write_bytes(b"\xff\xfe\x00{")
    assert checker.main([str(tmp_path / "file.json")]) == 2
