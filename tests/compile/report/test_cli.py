"""`gpac report` as a user meets it: a page and its data, or one sentence and exit code 2."""

import json
import os
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from compile import Activation, Network, Tanh, dense
from compile.cli import main
from compile.report.run import SCHEMES, _obstacle

ROOT = Path(__file__).parents[3]
RING = ROOT / "examples" / "networks" / "ring_tanh_2_3_1.onnx"
RING_INPUTS = ROOT / "examples" / "data" / "ring_test.npz"
SHARED = ROOT.parent / "shared" / "networks"


@pytest.fixture(scope="module")
def ring(tmp_path_factory):
    out = tmp_path_factory.mktemp("ring")
    assert main(["report", str(RING), "--inputs", str(RING_INPUTS), "--digits", "20", "--out", str(out)]) == 0
    return out


def test_the_data_say_what_was_computed_and_proven(ring):
    data = json.loads((ring / "ring_tanh_2_3_1.json").read_text())
    assert data["samples"]["count"] == 400
    assert set(data["schemes"]) == {"homotopy", "sequential", "relaxation"}
    for scheme in data["schemes"].values():
        assert scheme["largest_difference_to_forward"] < 1e-12
        assert scheme["accuracy"] == data["accuracy"] == 1.0
        assert scheme["proof"]["answer"] == "PROVEN" and scheme["proof"]["digits"] >= 20
        assert scheme["proof"]["meets_direct_evaluation"] is True
        assert [row["bits"] for row in scheme["cost_of_bits"]["table"]] == [16, 32, 64, 128, 256]
        assert 0 <= scheme["digits_lost"] < 3


class Reader(HTMLParser):
    def __init__(self):
        super().__init__()
        self.titles, self.drawings, self.open, self.outside = [], 0, [], []

    def handle_starttag(self, tag, attrs):
        self.drawings += tag == "svg"
        self.open.append(tag)
        self.outside += [v for k, v in attrs if k in ("src", "href") and v and not v.startswith("#")]

    def handle_data(self, data):
        if self.open and self.open[-1] == "h2":
            self.titles.append(data)

    def handle_endtag(self, tag):
        if tag in self.open:
            while self.open.pop() != tag:
                pass


def test_the_page_is_whole_and_loads_nothing_from_outside(ring):
    reader = Reader()
    reader.feed((ring / "ring_tanh_2_3_1.html").read_text())
    assert reader.drawings == 6  # trajectories, digits, grid, three costs
    assert "A grid of inputs carried through the layers" in reader.titles
    assert reader.outside == []


def test_nothing_but_page_and_data_is_left_in_the_folder(ring):
    assert sorted(p.name for p in ring.iterdir()) == ["ring_tanh_2_3_1.html", "ring_tanh_2_3_1.json"]


def model(tmp_path, op="Tanh", weight=None, external=None):
    weight = np.eye(2, dtype=np.float32) if weight is None else weight
    tensor = numpy_helper.from_array(weight, "w")
    if external:
        onnx.external_data_helper.set_external_data(tensor, location=external)
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"], name="first"),
        helper.make_node(op, ["h"], ["y"], name="second"),
    ]
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 2]) for n in "xy"]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], [tensor])
    path = tmp_path / "net.onnx"
    path.write_bytes(helper.make_model(graph).SerializeToString())
    return path


def refused(capsys, *arguments):
    """Run, and return the one sentence on stderr."""
    assert main(["report", *map(str, arguments)]) == 2
    out, err = capsys.readouterr()
    lines = [line for line in err.splitlines() if not line.endswith(" ...")]
    assert len(lines) == 1 and lines[0].startswith("gpac: ") and "Traceback" not in err and out == ""
    return lines[0]


def test_a_missing_file_is_refused(tmp_path, capsys):
    assert "nothing.onnx" in refused(capsys, tmp_path / "nothing.onnx", "--out", tmp_path / "o")


def test_a_truncated_file_is_refused(tmp_path, capsys):
    half = tmp_path / "half.onnx"
    half.write_bytes(RING.read_bytes()[:300])
    assert "half.onnx" in refused(capsys, half, "--out", tmp_path / "o")


def test_an_unsupported_node_is_named_with_its_place_and_the_reason(tmp_path, capsys):
    sentence = refused(capsys, model(tmp_path, "Relu"), "--out", tmp_path / "o")
    assert "Relu" in sentence and "second" in sentence and "2 of 2" in sentence and "not analytic" in sentence


def test_absent_external_weights_are_named(tmp_path, capsys):
    assert "weights.bin" in refused(capsys, model(tmp_path, external="weights.bin"), "--out", tmp_path / "o")


def test_nan_weights_are_refused(tmp_path, capsys):
    weight = np.array([[1, np.nan], [0, 1]], dtype=np.float32)
    assert "nan" in refused(capsys, model(tmp_path, weight=weight), "--out", tmp_path / "o").lower()


@pytest.mark.parametrize(
    ("array", "word"),
    [(np.zeros((4, 3)), "(4, 3)"), (np.full((4, 2), np.nan), "NaN"), (np.zeros((0, 2)), "empty")],
)
def test_inputs_of_the_wrong_width_or_with_nan_or_none_at_all_are_refused(tmp_path, capsys, array, word):
    np.savez(tmp_path / "in.npz", inputs=array)
    assert word in refused(capsys, RING, "--inputs", tmp_path / "in.npz", "--out", tmp_path / "o")


def test_inputs_are_never_unpickled(tmp_path, capsys):
    np.save(tmp_path / "in.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    assert "in.npy" in refused(capsys, RING, "--inputs", tmp_path / "in.npy", "--out", tmp_path / "o")


def test_an_output_folder_that_cannot_be_written_is_refused_before_any_work(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert "cannot write" in refused(capsys, RING, "--out", tmp_path / "file" / "folder")


def test_bad_input_leaves_nothing_behind(tmp_path, capsys):
    refused(capsys, model(tmp_path, "Relu"), "--out", tmp_path / "o")
    assert list((tmp_path / "o").iterdir()) == []


def test_a_senseless_number_of_digits_ends_with_code_2(tmp_path):
    with pytest.raises(SystemExit) as stop:
        main(["report", str(RING), "--digits", "0"])
    assert stop.value.code == 2


def test_importing_gpac_is_cheap_and_loads_no_engine():
    code = "import sys, gpac; print([m for m in ('scipy', 'matplotlib', 'onnx', 'flint', 'sympy') if m in sys.modules])"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert run.stdout.strip() == "[]"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["verisig_acc_tanh.yml", "verisig_mc_sig_2x16.yml"])
def test_networks_of_others_agree_under_every_scheme(tmp_path, name):
    if not (SHARED / name).is_file():
        pytest.skip(f"{name} is not beside this checkout")
    assert main(["report", str(SHARED / name), "--out", str(tmp_path)]) == 0
    data = json.loads((tmp_path / name.replace(".yml", ".json")).read_text())
    assert all(s["largest_difference_to_forward"] <= 1e-11 for s in data["schemes"].values())


def test_a_graph_with_branches_gets_its_page(tmp_path):
    """x * softmax(gelu(W x) + x): every scheme runs and is proven."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["z"]),
        helper.make_node("Gelu", ["z"], ["g"]),
        helper.make_node("Add", ["g", "x"], ["s"]),
        helper.make_node("Softmax", ["s"], ["p"], axis=-1),
        helper.make_node("Mul", ["p", "x"], ["y"]),
    ]
    weight = numpy_helper.from_array(np.array([[1, 0.5], [-0.5, 2]], dtype=np.float32), "w")
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, (1, 2)) for n in ("x", "y")]
    graph = helper.make_graph(nodes, "g", values[:1], values[1:], [weight])
    path = tmp_path / "branches.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)]), path)
    np.save(tmp_path / "x.npy", np.random.default_rng(0).uniform(-1, 1, (20, 2)))
    assert (
        main(["report", str(path), "--inputs", str(tmp_path / "x.npy"), "--digits", "12", "--out", str(tmp_path)]) == 0
    )
    data = json.loads((tmp_path / "branches.json").read_text())
    assert set(data["schemes"]) == {"homotopy", "sequential", "relaxation"} and not data["left_out"]
    for scheme in data["schemes"].values():
        assert scheme["largest_difference_to_forward"] < 1e-11
        assert scheme["proof"]["answer"] == "PROVEN" and scheme["proof"]["meets_direct_evaluation"] is True


def test_a_network_with_kinks_is_reported_within_delta(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("compile.report.run.SMALL", 0)  # the cost of bits is measured on other networks
    monkeypatch.delitem(SCHEMES, "homotopy")
    file = model(tmp_path, "Relu", np.array([[1.0, -0.5], [0.25, 2.0]], dtype=np.float32))
    np.save(tmp_path / "x.npy", np.random.default_rng(0).uniform(-1, 1, (20, 2)))
    options = ["--inputs", str(tmp_path / "x.npy"), "--digits", "5", "--out", str(tmp_path / "out")]
    assert main(["report", str(file), "--smooth", "1/4", *options]) == 0
    assert "Functions with kinks are replaced by analytic ones within 0.25 of them" in capsys.readouterr().out
    data = json.loads((tmp_path / "out" / "net.json").read_text())
    near = data["smooth"]
    assert near["delta"] == "1/4" and near["inputs_judged"] == 20
    assert 0.05 < near["largest_difference_seen"] <= near["largest_proven_bound"] * (1 + 1e-12)
    assert near["largest_proven_bound"] <= near["bound_for_all_inputs"] <= 0.2500001
    assert len(near["network_itself_at_first_input"]) == 2
    assert {s["claim"] for s in data["schemes"].values()} == {"within", "limit"}
    page = (tmp_path / "out" / "net.html").read_text()
    assert "the network itself, with kinks" in page and "smooth network's exact output" in page


def test_what_smooth_cannot_be_is_said(tmp_path, capsys):
    file = model(tmp_path, "Relu")
    assert "give smooth=delta" in refused(capsys, file, "--out", tmp_path / "out")
    assert "a rational number of at least 0" in refused(capsys, file, "--smooth", "-1", "--out", tmp_path / "out")
    assert "expected smooth to be positive" in refused(capsys, file, "--smooth", "0", "--out", tmp_path / "out")


def test_a_scheme_that_cannot_run_is_left_out_with_the_reason():
    tower = Network(1, [dense([[9.0]])] + [Activation("exp")] * 5, "tower")
    assert "its values cannot be bounded" in _obstacle("relaxation", tower, np.ones(1))
    steep = Network(2, [dense(1e6 * np.eye(2)), Tanh()] * 80, "steep")
    assert "more than 1000" in _obstacle("relaxation", steep, np.ones(2))
    assert _obstacle("homotopy", steep, np.ones(2)) == ""
