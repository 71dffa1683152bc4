"""The stages of the command line: each alone does what the function of its name does."""

import json
from fractions import Fraction
from pathlib import Path

import mpmath
import numpy as np
import pytest
import sympy

import gpac
from compile import Network, clocked, dense, enclose_forward, forward, homotopy, load, relaxation, save, sequential
from compile.cli import main

ROOT = Path(__file__).parents[2]
RING = ROOT / "examples" / "networks" / "ring_tanh_2_3_1.onnx"
RELU = ROOT / "examples" / "networks" / "ring_relu_2_8_8_1.onnx"
INPUTS = ROOT / "examples" / "data" / "ring_test.npz"
COMPILED = ("homotopy", "sequential", "relaxation", "clocked")
Y, Z = sympy.symbols("y z")


def run(*arguments) -> int:
    return main([str(a) for a in arguments])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Every scheme's program of the ring network, compiled by the command."""
    place = tmp_path_factory.mktemp("programs")
    for scheme in COMPILED:
        assert run("compile", RING, "--scheme", scheme, "-o", place / f"{scheme}.json") == 0
    return place


@pytest.mark.parametrize("scheme", COMPILED)
def test_a_compiled_file_solves_as_the_network_does(folder, scheme, tmp_path, capsys):
    out = tmp_path / "out.npz"
    assert run("solve", folder / f"{scheme}.json", "--inputs", INPUTS, "--tol", "1e-13", "--out", out) == 0
    with np.load(out) as solved, np.load(INPUTS) as given:
        assert set(solved["status"]) == {"REACHED"}
        expected = forward(load(RING), given["inputs"])
        np.testing.assert_allclose(solved["outputs"], expected, rtol=0, atol=1e-11)
    assert "400 inputs" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["outputs.npy", "outputs.csv"])
def test_a_network_is_solved_without_a_file_between(name, tmp_path):
    assert run("solve", RING, "--scheme", "homotopy", "--inputs", INPUTS, "--out", tmp_path / name) == 0
    found = np.load(tmp_path / name) if name.endswith("npy") else np.loadtxt(tmp_path / name, delimiter=",", ndmin=2)
    assert found.reshape(-1, 1).shape == (400, 1)


@pytest.mark.parametrize("scheme", COMPILED)
def test_a_compiled_file_is_proven_and_certified(folder, scheme, tmp_path, capsys):
    out, file = tmp_path / "proof.json", tmp_path / "certificate.json"
    proven = ("prove", folder / f"{scheme}.json", "--inputs", INPUTS, "--row", 7, "--digits", 20, "--out", out)
    assert run(*proven, *(("--certificate", file) if scheme == "sequential" else ())) == 0
    with np.load(INPUTS) as given:
        exact = enclose_forward(load(RING), given["inputs"][7], digits=40)
    data = json.loads(out.read_text())
    assert data["answer"] == "PROVEN" and set(data["outputs"]) == {"y"}
    middle, radius = data["outputs"]["y"].strip("[]").split(" +/- ")
    context = mpmath.mp.clone()
    context.dps = 60
    assert abs(context.mpf(middle) - context.mpf(exact.mid[0])) <= context.mpf(radius) < 1e-20
    assert "y = [" in capsys.readouterr().out
    if scheme == "sequential":
        assert run("check", file) == 0


SETTINGS = {
    "base": (["--base=1/3,-0.5"], lambda network: homotopy(network, ["1/3", -0.5])),
    "quadratic": (
        ["--scheme", "relaxation", "--form", "quadratic", "--rate", "3/2"],
        lambda network: relaxation(network, Fraction(3, 2), "quadratic"),
    ),
    "clocked": (
        ["--scheme", "clocked", "--error", "1/1000", "--reach", "2"],
        lambda network: clocked(network, Fraction(1, 1000), 2),
    ),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_of_a_scheme_are_those_of_its_function(name, tmp_path, capsys):
    options, scheme = SETTINGS[name]
    assert run("compile", RING, *options, "-o", tmp_path / "program.json") == 0
    gpac.save(scheme(load(RING)), tmp_path / "expected.json")
    assert (tmp_path / "program.json").read_text() == (tmp_path / "expected.json").read_text()
    assert str(gpac.describe(scheme(load(RING)))) in capsys.readouterr().out


def test_a_flow_and_a_smooth_network_are_compiled_too(tmp_path):
    field = Network(2, [dense([[0.0, 1.0], [-1.0, 0.0]])], "circle")
    save(field, tmp_path / "circle.json")
    options = ("--scheme", "flow", "--duration", "1/2", "-o", tmp_path / "flow.json")
    assert run("compile", tmp_path / "circle.json", *options) == 0
    y = gpac.solve(gpac.load(tmp_path / "flow.json"), inputs=[1, 0], tol=1e-14).outputs
    np.testing.assert_allclose(y, [np.cos(0.5), -np.sin(0.5)], rtol=0, atol=1e-13)
    (tmp_path / "x.csv").write_text("1,0\n")
    at_once = ("solve", tmp_path / "circle.json", "--scheme", "flow", "--inputs", tmp_path / "x.csv")
    assert run(*at_once, "--out", tmp_path / "y.npy") == 0
    np.testing.assert_allclose(np.load(tmp_path / "y.npy"), [[np.cos(1), -np.sin(1)]], rtol=0, atol=1e-11)
    assert run("compile", RELU, "--scheme", "sequential", "--smooth", "0.01", "-o", tmp_path / "relu.json") == 0
    again = gpac.load(tmp_path / "relu.json").program
    assert again.claim == "within" and again.near.network.smooth
    assert again.delta == sequential(load(RELU, smooth="0.01")).program.delta


def test_a_system_of_ones_own_goes_through_every_stage(tmp_path, capsys):
    program, start = tmp_path / "tan.json", tmp_path / "start.csv"
    gpac.save(gpac.PIVP({Y: 1 + Y**2}, {Y: 0}), program)
    start.write_text("0.5\n-0.5\n")
    assert run("prove", program, "--t", "3/2", "--digits", 30) == 0
    assert "14.10141994717171938764608365198775645" in capsys.readouterr().out
    assert run("solve", program, "--t", "0.5", "--inputs", start) == 0
    first, second = capsys.readouterr().out.splitlines()[-2:]
    assert float(first) == pytest.approx(np.tan(0.5 + np.arctan(0.5)), rel=1e-11)
    assert float(second) == pytest.approx(np.tan(0.5 - np.arctan(0.5)), rel=1e-11)
    assert run("measure", program, "--t", "1", "--bits", "16,32", "--out", tmp_path / "cost.json") == 0
    assert [row["bits"] for row in json.loads((tmp_path / "cost.json").read_text())["table"]] == [16, 32]
    assert run("prove", program, "--t", "2") == 1  # beyond the pole
    assert "ENDS" in capsys.readouterr().out
    assert run("solve", program, "--t", "2") == 1
    assert "leaves every bounded set" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["solve", "nothing.json"], "there is no such file"),
        (["solve", RING], "say how to compile it"),
        (["solve", "PROGRAM", "--scheme", "homotopy"], "is a program already"),
        (["solve", "PROGRAM"], "give --inputs FILE"),
        (["solve", "PROGRAM", "--inputs", "nothing.npz"], "nothing.npz"),
        (["solve", "PROGRAM", "--inputs", INPUTS, "--out", "outputs.txt"], "ends in .npz or .npy or .csv"),
        (["solve", "PROGRAM", "--inputs", INPUTS, "--out", "no/such/outputs.npy"], "there is no folder"),
        (["solve", "PROGRAM", "--inputs", INPUTS, "--tol", "7"], "tol"),
        (["prove", "PROGRAM", "--inputs", INPUTS, "--row", "400"], "--row from 0 to 399"),
        (
            ["compile", RING, "--rate", "2", "-o", "x.json"],
            "--rate is for --scheme relaxation; homotopy has",
        ),
        (
            ["compile", RING, "--scheme", "clocked", "--duration", "2", "-o", "x.json"],
            "--duration is for --scheme flow",
        ),
        (["compile", RING, "--scheme", "flow", "-o", "x.json"], "as many outputs as inputs"),
        (["compile", RING, "--base", "1,2,3", "-o", "x.json"], "expected a base of 2 numbers"),
        (["compile", RELU, "-o", "x.json"], "not analytic"),
        (["compile", RELU, "--smooth", "-1", "-o", "x.json"], "expected smooth to be"),
        (["solve", "PROGRAM", "--smooth", "0.1"], "is a program already"),
        (["compile", "nothing.onnx", "-o", "x.json"], "no such file"),
        (["compile", RING, "-o", "no/such/program.json"], "cannot write"),
    ],
)
def test_bad_input_is_one_sentence_and_code_2(folder, arguments, says, capsys):
    assert run(*(folder / "homotopy.json" if a == "PROGRAM" else a for a in arguments)) == 2
    out, err = capsys.readouterr()
    lines = [line for line in err.splitlines() if not line.endswith(" ...")]
    assert len(lines) == 1 and lines[0].startswith("gpac: ") and says in lines[0] and out == ""


@pytest.mark.parametrize("wrong", [["--t", "soon"], ["--t", "nan"], ["--digits", "0"]])
def test_a_senseless_option_ends_with_code_2(folder, wrong):
    with pytest.raises(SystemExit) as stop:
        run("prove", folder / "homotopy.json", *wrong)
    assert stop.value.code == 2
