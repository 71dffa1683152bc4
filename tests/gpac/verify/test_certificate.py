"""Proofs write certificates of what they prove; the checker accepts them, and the claims hold the truth."""

import json
from fractions import Fraction
from itertools import pairwise

import flint
import mpmath
import numpy as np
import pytest
import sympy
from problems import PROBLEMS, problem

import gpac
from compile import Network, Tanh, dense, enclose_forward, homotopy, relaxation, sequential
from compile.cli import main
from gpac import PIVP, Circuit, GpacError, functions, inputs, integral, linear, prove, wire
from gpac.verify import Answer, Proof, checker

X, Y, Z = sympy.symbols("x y z")
LOTKA = PIVP({X: X * (1 - Y), Y: Y * (X - 1)}, {X: 2, Y: 1})
LORENZ = PIVP({X: 10 * (Y - X), Y: X * (28 - Z) - Y, Z: X * Y - sympy.Rational(8, 3) * Z}, {X: 1, Y: 1, Z: 1})
FAST = [p for p in PROBLEMS if p.name != "Lorenz"]


def certified(proof, path, seconds=None):
    """The claims (name, centre, radius) of a proof's certificate, which the checker has accepted."""
    proof.certificate(path, seconds)
    statement, *_ = certificate = checker.parse(path.read_text())
    checker.check(certificate)
    return [(name, centre, radius) for name, _, centre, radius in statement.outputs]


def lie_in(claims, truth, digits=None):
    """Whether numbers (mpmath) lie in the claimed boxes; with digits, whether these are as narrow as that."""
    context = mpmath.mp.clone()
    context.dps = 400
    narrow = digits is None or all(radius == Fraction(1, 10**digits) for *_, radius in claims)
    return narrow and all(
        abs(context.mpf(v) - context.mpf(c.numerator) / c.denominator) <= context.mpf(r.numerator) / r.denominator
        for v, (_, c, r) in zip(truth, claims, strict=True)
    )


def network(*sizes, seed=3):
    random = np.random.default_rng(seed)
    layers = []
    for a, b in pairwise(sizes):
        layers += [dense(random.normal(size=(b, a)), random.normal(size=b) / 2), Tanh()]
    return Network(sizes[0], tuple(layers[:-1]))


# -- what is certified is true -------------------------------------------------------------------------------


@pytest.mark.parametrize("problem", FAST, ids=repr)
def test_every_closed_form_lies_in_what_is_certified(problem, tmp_path):
    claims = certified(prove(problem.system, problem.t, digits=20), tmp_path / "file")
    assert lie_in(claims, problem.truth(60), 20)


@pytest.mark.parametrize(
    ("system", "t", "digits"),
    [(LOTKA, 1, 30), (LORENZ, 1, 15), (LORENZ, 3, 15), (problem("tan").system, Fraction(3, 2), 50), (LOTKA, 1, 200)],
    ids=["Lotka-Volterra", "Lorenz", "Lorenz to 3", "tan", "200 digits"],
)
def test_certificates_agree_with_a_solver_without_bounds(system, t, digits, tmp_path):
    claims = certified(prove(system, t, digits=digits), tmp_path / "file")
    assert lie_in(claims, gpac.reference(system, t, bits=4 * digits + 100).outputs, digits)


@pytest.mark.parametrize("scheme", [homotopy, sequential])
@pytest.mark.parametrize("sizes", [(2, 4, 1), (2, 3, 3, 2)], ids=str)
def test_networks_are_certified_under_both_exact_schemes(scheme, sizes, tmp_path):
    net, x = network(*sizes), [0.3, -0.7]
    claims = certified(prove(scheme(net), inputs=x, digits=25), tmp_path / "file")
    assert lie_in(claims, enclose_forward(net, x, digits=60).mid, 25)


def test_a_limit_program_is_certified_at_the_time_when_it_is_read(tmp_path):
    net, x = network(2, 4, 1), [0.3, -0.7]
    claims = certified(prove(relaxation(net), inputs=x, digits=12), tmp_path / "file")
    assert lie_in(claims, enclose_forward(net, x, digits=60).mid, 12)
    (phase,) = json.loads((tmp_path / "file").read_text())["statement"]["phases"]
    assert Fraction(phase["duration"]) > 5


def test_irrational_constants_are_made_from_rational_numbers(tmp_path):
    start = {X: sympy.sin(1) / 3, Y: sympy.sqrt(2) + sympy.pi, Z: sympy.exp(-sympy.tanh(sympy.Rational(1, 3)))}
    system = PIVP({X: Y - X, Y: -X, Z: X * Z}, start)
    claims = certified(prove(system, sympy.log(2), digits=30), tmp_path / "file")
    assert lie_in(claims, prove(system, sympy.log(2), digits=60).mid, 30)
    start = json.loads((tmp_path / "file").read_text())["statement"]["variables"]
    assert all(Fraction(centre).denominator == 1 and radius == "0" for _, centre, radius in start)


CONSTANTS = [
    *(f(q) for f in (sympy.sin, sympy.cos, sympy.tan, sympy.exp, sympy.atan) for q in (2, sympy.Rational(-7, 5))),
    *(f(q) for f in (sympy.sinh, sympy.cosh, sympy.tanh, sympy.sech) for q in (sympy.Rational(2, 3), -1)),
    *(sympy.log(q) for q in (3, sympy.Rational(1, 7))),
    *(sympy.Integer(q) ** sympy.Rational(1, 3) for q in (2, 11)),
    *(1 / sympy.cos(q) for q in (1, 2)),
    *(
        sympy.pi,
        sympy.E,
        1 / sympy.pi,
        sympy.sqrt(sympy.log(3)),
        sympy.pi**2 / 6,
        sympy.sqrt(3) - sympy.sin(sympy.exp(-1)),
    ),
]


@pytest.mark.parametrize("constant", CONSTANTS, ids=str)
def test_each_constant_is_made_exactly(constant, tmp_path):
    claims = certified(prove(PIVP({X: 0}, {X: constant}), 1, digits=20), tmp_path / "file")
    assert lie_in(claims, [constant.evalf(60)._to_mpmath(200)], 20)


FUNCTIONS = ("exp", "log", "sqrt", "sin", "cos", "tan", "tanh", "arctan", "reciprocal", "sigmoid")


@pytest.mark.parametrize("name", FUNCTIONS)
def test_start_values_that_are_functions_of_inputs_are_made_first(name, tmp_path):
    a = inputs("a", 2, signs="+")
    circuit = Circuit({"f": getattr(functions, name)(linear([([0.5, 0.25], a)]) + gpac.time() / 8)})
    given = {"a": [Fraction(5, 3), Fraction(1, 7)]}
    claims = certified(prove(circuit, 1, given, digits=20), tmp_path / "file")
    assert lie_in(claims, prove(circuit, 1, given, digits=50).mid, 20)


BIG = 10**300
HARD = {
    "huge values": (PIVP({X: X}, {X: BIG}), 1, 5, lambda mp: [BIG * mp.exp(1)]),
    "huge rates": (
        PIVP({X: BIG * Y, Y: -BIG * X}, {X: 1, Y: 0}),
        Fraction(1, BIG),
        15,
        lambda mp: [mp.cos(1), -mp.sin(1)],
    ),
    "tiny values": (PIVP({X: X * X * BIG}, {X: Fraction(1, BIG)}), Fraction(1, 2), 310, lambda mp: [mp.mpf(2) / BIG]),
    "a pole just after": (PIVP({X: X * X}, {X: 1}), 1 - Fraction(1, 10**6), 10, lambda mp: [10**6]),
    "hardly any time": (PIVP({X: X * X}, {X: 1}), Fraction(1, 10**40), 50, lambda mp: [1 + mp.mpf(10) ** -40]),
    "decay": (PIVP({X: -50 * X}, {X: 1}), 1, 30, lambda mp: [mp.exp(-50)]),
    "a saturated neuron": (PIVP({X: 26 * (1 - X**2)}, {X: 0}), 1, 15, lambda mp: [mp.tanh(26)]),
}


@pytest.mark.parametrize("name", HARD)
def test_hard_cases_are_certified_too(name, tmp_path):
    system, t, digits, truth = HARD[name]
    context = mpmath.mp.clone()
    context.dps = 700
    assert lie_in(certified(prove(system, t, digits=digits), tmp_path / "file"), truth(context), digits)


def test_where_the_checker_would_need_too_many_bits_the_reason_is_said(tmp_path):
    stiff = PIVP({X: 5000 * (Y - X), Y: -X}, {X: 1, Y: 0})
    with pytest.raises(GpacError, match=r"the checker bounds errors by sizes .* more than \d+ bits"):
        prove(stiff, 1, digits=5).certificate(tmp_path / "file")


def random_system(random):
    """A polynomial system of dimension 1 to 4 and degree 1 to 3 with rational coefficients, and a time."""
    dim = int(random.integers(1, 5))
    variables = sympy.symbols(f"v0:{dim}")

    def rational():
        return sympy.Rational(int(random.integers(-12, 13)), int(random.integers(1, 8)))

    def polynomial():
        factors = [random.choice(dim, size=random.integers(0, 4)) for _ in range(random.integers(1, 5))]
        return sum((rational() * sympy.Mul(*(variables[i] for i in row)) for row in factors), sympy.Integer(0))

    system = PIVP({v: polynomial() for v in variables}, {v: rational() for v in variables})
    return system, Fraction(int(random.integers(1, 60)), int(random.integers(200, 2000)))


@pytest.mark.parametrize("seed", range(4))
def test_certificates_of_random_systems_hold_the_truth_of_twice_the_digits(seed, tmp_path):
    random, done = np.random.default_rng(seed), 0
    for _ in range(25):
        system, t = random_system(random)
        digits = int(random.integers(1, 25))
        proof = prove(system, t, digits=digits, max_steps=100, max_bits=500)
        if proof.answer is not Answer.PROVEN:
            continue
        try:
            claims = certified(proof, tmp_path / "file", seconds=3)
        except GpacError as reason:  # a system that contracts fast costs the checker many bits
            assert "the time allowed was used up" in str(reason)
            continue
        assert lie_in(claims, prove(system, t, digits=2 * digits + 5).mid, digits), (str(system), t)
        done += 1
    assert done > 17


# -- boxes ---------------------------------------------------------------------------------------------------


def test_a_box_of_starts_is_certified_about_as_narrowly_as_it_is_proven(tmp_path):
    proof = prove(LOTKA, 1, initial=[flint.arb(2, 1e-3), flint.arb(1, 1e-4)], digits=2)
    claims = certified(proof, tmp_path / "file")
    for corner in ((2.0009, 0.99991), (1.99901, 1.00009), (2, 1)):
        assert lie_in(claims, gpac.reference(LOTKA, 1, initial=corner, bits=100).outputs)
    for (*_, radius), proven in zip(claims, proof.rad, strict=True):
        assert float(proven) * (1 - 1e-12) <= radius <= 2 * float(proven)


def test_a_box_of_inputs_of_a_network_is_certified(tmp_path):
    net = network(2, 4, 1)
    proof = prove(homotopy(net), inputs=[flint.arb(0.3, 1e-4), flint.arb(-0.7, 1e-4)], digits=2)
    claims = certified(proof, tmp_path / "file")
    for x in ([0.30009, -0.69991], [0.29991, -0.70009], [0.3, -0.7]):
        assert lie_in(claims, enclose_forward(net, x, digits=30).mid)


# -- the file says what was proven -----------------------------------------------------------------------------


def test_the_file_is_about_the_system_the_input_and_the_time_of_the_proof(tmp_path, capsys):
    y = wire("y")
    y.define(integral(linear([(-0.5, y)], 0.25) * inputs("a", 1), None, 1))
    path = tmp_path / "file.json"
    claims = certified(prove(Circuit({"out": y}), Fraction(1, 3), [0.1], digits=10), path)
    exact = mpmath.mpf("0.5") + mpmath.mpf("0.5") * mpmath.exp(-mpmath.mpf(0.1) / 6)
    assert [name for name, *_ in claims] == ["out"] and lie_in(claims, [exact], 10)
    assert main(["check", str(path)]) == 0
    shown = capsys.readouterr().out
    assert "a = 3602879701896397/36028797018963968 +- 0" in shown and "out = 1 +- 0" in shown
    assert "For a time of 1/3:" in shown and "(-1/2) out" in shown and shown.endswith("+- 1e-10\nVERIFIED.\n")


def test_gpac_check_tells_a_false_theorem_from_no_certificate(tmp_path, capsys):
    path = tmp_path / "file.json"
    prove(LOTKA, 1, digits=10).certificate(path)
    data = json.loads(path.read_text())
    data["statement"]["outputs"][0][2] = "2"
    path.write_text(json.dumps(data))
    assert main(["check", str(path)]) == 1 and "NOT VERIFIED" in capsys.readouterr().out
    path.write_text("{}")
    assert main(["check", str(path)]) == 2 and "not a certificate" in capsys.readouterr().err


def test_names_that_a_file_cannot_hold_are_changed_and_kept_apart(tmp_path):
    a, b = sympy.symbols("y_1^2 y_1+2")
    claims = certified(prove(PIVP({a: b, b: -a}, {a: 1, b: 0}), 1, digits=10), tmp_path / "file")
    assert [name for name, *_ in claims] == ["y_1_2", "y_1_2.2"]
    greek = sympy.Symbol("\N{GREEK SMALL LETTER OMEGA}_1")
    claims = certified(prove(PIVP({greek: greek}, {greek: 1}), 1, digits=10), tmp_path / "file")
    assert [name for name, *_ in claims] == ["omega_1"]


def test_systems_at_rest_and_outputs_without_a_system_are_certified(tmp_path):
    assert lie_in(
        certified(prove(PIVP({X: 0}, {X: Fraction(1, 3)}), 2, digits=8), tmp_path / "a"), [mpmath.mpf(1) / 3], 8
    )
    plain = Circuit({"y": linear([(2, inputs("a", 1))], 1), "t": gpac.time() ** 2})
    assert lie_in(certified(prove(plain, 3, [0.5], digits=8), tmp_path / "b"), [2, 9], 8)


# -- what is refused -------------------------------------------------------------------------------------------


def test_what_is_not_proven_has_no_certificate(tmp_path):
    ends = prove(PIVP({X: X * X}, {X: 1}), 2, digits=5)
    assert ends.answer is Answer.ENDS
    for proof in (ends, Proof(Answer.UNKNOWN, reason="The time allowed was used up.")):
        with pytest.raises(GpacError, match=r"does not exist that far|Nothing is proven"):
            proof.certificate(tmp_path / "file")
    assert not list(tmp_path.iterdir())


def test_constants_that_cannot_be_made_are_named(tmp_path):
    proof = prove(PIVP({X: X}, {X: sympy.gamma(sympy.Rational(1, 3))}), 1, digits=5)
    with pytest.raises(GpacError, match=r"the constant gamma\(1/3\) is not one that a certificate can make"):
        proof.certificate(tmp_path / "file")
    assert not list(tmp_path.iterdir())


def test_a_system_too_large_to_write_number_by_number_is_refused_with_its_size(tmp_path):
    z = linear([(np.zeros((1000, 1001)), inputs("x", 1001))])
    proof = Proof(Answer.PROVEN, question=gpac.verify.Question(Circuit({"z": z}), Fraction(1), {}, 5))
    with pytest.raises(GpacError, match="up to 1000000 matrix entries and states; this system has 1001000"):
        proof.certificate(tmp_path / "file")


def test_too_little_time_and_a_folder_that_is_not_there_are_sentences(tmp_path):
    proof = prove(LOTKA, 1, digits=10)
    with pytest.raises(GpacError, match="the time allowed was used up"):
        proof.certificate(tmp_path / "file", seconds=0)
    with pytest.raises(GpacError, match=r"cannot write .*: No such file"):
        proof.certificate(tmp_path / "missing" / "file")
    assert not list(tmp_path.iterdir())


def test_a_file_that_was_there_stays_until_the_new_one_is_whole(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_text("before")
    proof = prove(LOTKA, 1, digits=10)
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(GpacError, match="No space left"):
        proof.certificate(path)
    assert path.read_text() == "before" and list(tmp_path.iterdir()) == [path]
