"""A program that comes back from a file is the same program; a file that is none is refused in a sentence."""

import copy
import json
from fractions import Fraction

import numpy as np
import pytest
import scipy.sparse
import sympy
from numpy.testing import assert_array_equal
from problems import PROBLEMS

import gpac
from compile import Activation, Affine, Multiply, Network, Node, Softmax, dense, homotopy, relaxation, sequential
from compile.groups import Groups
from gpac import PIVP, Circuit, Phase, Schedule, bilinear, constant, inputs, integral, linear, product, wire
from gpac import functions as fn
from gpac.export.program import from_data, to_data

Y, Z = sympy.symbols("y z")


def there_and_back(system, folder):
    """Through a file; what is written again is the same text."""
    gpac.save(system, folder / "one.json")
    again = gpac.load(folder / "one.json")
    gpac.save(again, folder / "two.json")
    assert (folder / "two.json").read_text() == (folder / "one.json").read_text()
    return again


def network() -> Network:
    """Every operation once: sparse and diagonal maps, offsets, activations with parameters, products, softmax."""
    rng = np.random.default_rng(1)
    sparse = scipy.sparse.csr_matrix(np.triu(rng.normal(size=(4, 4))))
    nodes = [
        dense(rng.normal(size=(4, 3)), rng.normal(size=4)),
        Activation("gelu"),
        Affine((sparse, np.array([0.5, -1.0, 2.0, 1.0])), np.zeros(4)),
        Activation("power", 2),
        Node(Multiply(), (2, 4)),
        Softmax(Groups(np.array([0, 0, 1, 1]))),
        Node(Multiply(("i,i->i", (4,), (4,))), (6, 2)),
    ]
    nodes[2] = Node(nodes[2], (2, 1))
    return Network(3, nodes, "all kinds")


# -- the same program ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("problem", PROBLEMS, ids=repr)
def test_a_system_that_comes_back_gives_the_same_bits(problem, tmp_path):
    again = there_and_back(problem.system, tmp_path)
    assert type(again) is type(problem.system)
    once, twice = (gpac.solve(s, t=problem.t, backend="numpy") for s in (problem.system, again))
    assert_array_equal(once.states, twice.states)
    assert_array_equal(once.outputs, twice.outputs)


@pytest.mark.parametrize("scheme", [homotopy, sequential, relaxation])
def test_a_compiled_network_comes_back_with_its_claims_and_its_proof(scheme, tmp_path):
    program, x = scheme(network()), np.array([0.25, -0.5, 1.0])
    again = there_and_back(program, tmp_path)
    assert repr(again) == repr(program) and again.program.claim == program.program.claim
    assert again.program.horizon == program.program.horizon
    assert [i.name for i in again.program.invariants] == [i.name for i in program.program.invariants]
    once, twice = (gpac.solve(p, inputs=x, t=3 if scheme is relaxation else None) for p in (program, again))
    assert_array_equal(once.states, twice.states)
    if scheme is relaxation:
        assert again.program.limit.time({"x": x}, 1e-9) == program.program.limit.time({"x": x}, 1e-9)
    else:
        proofs = [gpac.prove(p, inputs=x, digits=12) for p in (program, again)]
        assert str(proofs[0]) == str(proofs[1]) and proofs[0].digits >= 12


def test_a_wire_used_twice_is_one_wire_afterwards(tmp_path):
    again = there_and_back(homotopy(network()), tmp_path)
    needed = Circuit({str(i): v.wire for i, v in enumerate(again.program.invariants)}).integrals
    assert set(needed) <= set(again.integrals)


@pytest.mark.parametrize(
    "number",
    [
        Fraction(-1, 3),
        Fraction(1, 10**5000),
        Fraction(7**3000, 3**4000),
        5e-324,
        sympy.sin(1) * sympy.sqrt(2) / 3 + sympy.pi,
        sympy.exp(sympy.Rational(1, 3)) - sympy.E**sympy.pi,
        sympy.EulerGamma + sympy.log(2) ** sympy.Rational(3, 2),
    ],
    ids=["third", "tiny", "long", "least double", "sine", "exponential", "gamma"],
)
def test_numbers_come_back_exactly(number, tmp_path):
    system = PIVP({Y: -Y, Z: Y * Z / 3}, {Y: number, Z: 1}, {"product": Y * Z, "y": Y})
    assert there_and_back(system, tmp_path) == system


def test_arrays_come_back_exactly(tmp_path):
    rng = np.random.default_rng(2)
    y, x = wire("y", 40), inputs("x", 6, signs="+")
    dense_part, sparse_part = rng.normal(size=(40, 40)), scipy.sparse.random(40, 40, 0.1, "csr", rng=rng)
    bias = np.array([-0.0] * 20 + [1.0] * 20)
    y.define(integral(linear([(dense_part, y), (sparse_part, y), (dense_part, y)], bias), None, np.arange(40.0)))
    pairs = bilinear("ij,jk->ik", x, x, (2, 3), (3, 2))
    moving = gpac.declared(linear([(1, pairs), (np.ones((4, 1)), gpac.time())]), "+")
    exact = constant([Fraction(1, 3), sympy.sqrt(2), 0, 1], name="exact")
    read = {"y": y, "p": fn.power(moving, Fraction(1, 3)), "log": product(fn.log(moving), exact)}
    system = Circuit(read)
    again = there_and_back(system, tmp_path)
    assert again.input_signs == {"x": "+"}
    given = {"x": [1.0, 2, 3, 4, 5, 6]}
    once, twice = (gpac.solve(s, 0.5, given, backend="numpy") for s in (system, again))
    assert_array_equal(once.outputs, twice.outputs)
    stored = json.loads((tmp_path / "one.json").read_text())["arrays"]
    shapes = [entry["shape"] for entry in stored if isinstance(entry, dict)]
    assert shapes == [[40, 40]] * 2  # one dense matrix used twice, one sparse


def test_a_schedule_whose_phases_share_a_wire_comes_back(tmp_path):
    a = inputs("a")
    first = Circuit({"m": integral(product(a, a), name="m")})
    z, m = wire("z"), inputs("m")
    z.define(integral(product(m, z), None, 1, name="z"))
    system = Schedule((Phase(first, Fraction(1, 3)), Phase(Circuit({"z": z, "m": m}), Fraction(1))))
    again = there_and_back(system, tmp_path)
    assert again.duration == Fraction(4, 3) and again.inputs == {"a": 1}
    assert str(gpac.prove(system, inputs=[2])) == str(gpac.prove(again, inputs=[2]))


# -- what is refused -----------------------------------------------------------------------------------------


def oscillator() -> Circuit:
    y = wire("y", 2)
    y.define(integral(linear([([[0, 1], [-1, 0]], y)]), None, [1, 0], name="y"))
    return Circuit({"y": y})


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "empty"),
        ("{", "not valid JSON"),
        ("[]", "not a program"),
        ('{"format": "gpac certificate", "version": 1}', "not a program"),
        ('{"format": "gpac program", "version": 2}', "version 1"),
        ('{"format": "gpac program", "version": 1, "version": 1}', "'version' is given twice"),
        ('{"format": "gpac program", "version": 1, "arrays": [], "units": [], "system": 0.5}', "a circuit"),
        ('{"format": "gpac program", "version": 1, "arrays": [], "units": [], "system": 1e999}', "finite numbers"),
        ('{"format": "gpac program", "version": 1, "arrays": [], "units": [], "system": {"net": 1}}', "a circuit"),
        ("[" * 100_000, "damaged"),
        ("\udc80", "damaged"),
    ],
)
def test_a_file_that_is_no_program_is_refused_in_a_sentence(content, says, tmp_path):
    path = tmp_path / "bad.json"
    path.write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(gpac.LoadError, match=says) as refusal:
        gpac.load(path)
    assert str(path) in str(refusal.value) and "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("place", "value", "says"),
    [
        (("units", 0, "unit"), "resistor", "expected one of the units"),
        (("units", 1, "signs"), "?", "signs"),
        (("units", 2, "terms", 0, 1), 7, "the row of an earlier unit"),
        (("units", 2, "terms", 0, 0, 0, 1), "__import__('os')", "an exact number such as"),
        (("units", 2, "terms", 0, 0, 0, 1), {"eval": [1]}, "a constant such as"),
        (("units", 2, "terms", 0, 0, 0, 1), "1/0", "division by zero"),
        (("units", 2, "terms", 0, 0), [[1, 0]], "does not take size"),
        (("units", 3, "initial"), [1], r"initial values of shape \(2,\), got \(1,\)"),
        (("units", 0, "is"), None, "neither defined nor an input"),
        (("system", "circuit", "outputs", 0, 1), -1, "the row of a unit"),
        (("system", "circuit", "program", "limit"), {"kind": "magic", "data": 1}, "claim"),
        (("system", "circuit", "program", "horizon"), "-1", "positive horizon"),
        (("system", "circuit", "program", "horizon"), {"sin": [1]}, "a rational number"),
        (("system", "circuit", "program", "claim"), "within", "must say its delta"),
        (("system", "circuit", "program", "delta"), "1", "no delta for the claim 'exact'"),
        (("system", "circuit", "program", "near"), {"kind": "magic", "data": 1}, "import the package that made it"),
        (("system", "circuit", "program", "constants"), [{"eval": [1]}], "a constant such as"),
    ],
)
def test_a_wrong_entry_is_named(place, value, says):
    data = to_data(oscillator())
    entry = data
    for key in place[:-1]:
        entry = entry[key]
    assert place[-1] in entry or isinstance(place[-1], int)
    entry[place[-1]] = value
    if place == ("units", 0, "is"):
        data["units"][0]["name"] = None
    with pytest.raises(gpac.GpacError, match=says):
        from_data(data)


def test_a_limit_of_an_unknown_kind_says_what_to_import():
    data = to_data(relaxation(Network(1, [dense([[1.0]]), Activation("tanh")])))
    data["system"]["circuit"]["program"]["limit"]["kind"] = "magic"
    with pytest.raises(gpac.LoadError, match="import the package that made it"):
        from_data(data)


def test_a_constant_that_the_format_cannot_say_is_refused_before_writing(tmp_path):
    with pytest.raises(gpac.GpacError, match="zeta"):
        gpac.save(PIVP({Y: Y}, {Y: sympy.zeta(3, sympy.Rational(1, 3))}), tmp_path / "no.json")
    assert list(tmp_path.iterdir()) == []


# -- fuzzing -------------------------------------------------------------------------------------------------


def examples() -> list[str]:
    """Texts of small files of every kind."""
    systems = [
        oscillator(),
        PIVP({Y: Y * Z / 3, Z: 1 - Y**3}, {Y: sympy.sin(1), Z: 0.1}, {"e": Y * Z}),
        *(scheme(network()) for scheme in (homotopy, sequential, relaxation)),
    ]
    return [json.dumps(to_data(system)) for system in systems]


SPARE = [
    *(None, True, -1, 0, 1, 2, 3, 10**30, 0.1, "", "1", "-1/3", "1/0", "sqrt(2)", "array 0", "AAAAAAAAAAA=", "x"),
    *([], {}, [2, 2], {"sin": [1]}),
]


def mutated(data, rng):
    """The JSON with one entry replaced, removed, doubled or exchanged for another of the file."""
    data = copy.deepcopy(data)
    places = []
    stack = [data]
    while stack:
        entry = stack.pop()
        keys = list(entry) if isinstance(entry, dict) else range(len(entry))
        places += [(entry, key) for key in keys]
        stack += [entry[key] for key in keys if isinstance(entry[key], (dict, list))]
    entry, key = places[rng.integers(len(places))]
    other, from_key = places[rng.integers(len(places))]
    kind = rng.integers(5)
    if kind == 0:
        del entry[key]
    elif kind == 1 and isinstance(entry, list):
        entry.insert(key, copy.deepcopy(entry[key]))
    elif kind == 2:
        entry[key] = copy.deepcopy(other[from_key])
    elif kind == 3 and isinstance(entry[key], str) and entry[key]:
        at = rng.integers(len(entry[key]))
        entry[key] = entry[key][:at] + chr(rng.integers(32, 127)) + entry[key][at + 1 :]
    else:
        entry[key] = SPARE[rng.integers(len(SPARE))]
    return data


def fuzz(count: int, seed: int, path) -> tuple[int, int]:
    """How many mutated files were refused, and how many read; anything but a sentence is an error."""
    rng, texts = np.random.default_rng(seed), examples()
    refused = 0
    for number in range(count):
        text = texts[rng.integers(len(texts))]
        if number % 4:
            text = json.dumps(mutated(json.loads(text), rng))
        else:
            at = rng.integers(len(text))
            text = text[:at] + chr(rng.integers(32, 127)) + text[at + int(rng.integers(0, 3)) :]
        path.write_text(text)
        try:
            system = gpac.load(path)
        except gpac.LoadError as error:
            refused += 1
            assert str(error).startswith(f"cannot read {path}: ") and str(error).isprintable(), text
            continue
        assert isinstance(system, (Circuit, Schedule, PIVP)) and repr(system)
    return refused, count - refused


def test_damaged_files_are_refused_or_read_as_what_they_say(tmp_path):
    refused, read = fuzz(1500, 0, tmp_path / "fuzzed.json")
    assert refused > 800 and read > 50
