"""Files made by Keras's exporter and skl2onnx, judged by what onnxruntime computed from them."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose
from onnx import TensorProto, helper
from onnx_models import chain, loaded, node

import gpac
from compile import enclose_forward, forward, homotopy, load, sequential
from gpac.errors import LoadError

FOLDER = Path(__file__).parents[2] / "data" / "exporters"
NAMES = sorted(path.stem for path in FOLDER.glob("*.onnx"))


def judged(name):
    with np.load(FOLDER / "outputs.npz") as file:
        return file[f"{name}_x"], file[f"{name}_y"]


def test_the_files_are_there():
    assert len(NAMES) == 9


@pytest.mark.parametrize("name", NAMES)
def test_a_stored_file_computes_what_onnxruntime_computed(name):
    network, (x, y) = load(FOLDER / f"{name}.onnx"), judged(name)
    assert_allclose(forward(network, x), y, rtol=0, atol=2e-6)  # a float32 run, values of about 1
    exact = enclose_forward(network, x[0], digits=20)
    assert_allclose([float(m) for m in exact.mid], forward(network, x[0]), rtol=0, atol=1e-14)
    for scheme in (sequential, homotopy):
        got = gpac.solve(scheme(network), inputs=x[:1].astype(float), tol=1e-14).check().outputs[0]
        assert_allclose(got, forward(network, x[0]), rtol=0, atol=1e-11)


@pytest.mark.parametrize("package", ["keras", "skl2onnx"])
def test_files_made_now_compute_what_onnxruntime_computes(tmp_path, package, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    for needed in (package, "onnxruntime", "torch" if package == "keras" else "sklearn"):
        pytest.importorskip(needed)
    monkeypatch.syspath_prepend(FOLDER)
    monkeypatch.delitem(sys.modules, "make_exports", raising=False)
    import make_exports

    if package == "keras":
        models = [next(make_exports.keras_models())]
    else:
        models = [(name, model, x.shape[1:]) for name, model, x in make_exports.sklearn_models()]
    for name, model, shape in models:
        path = tmp_path / f"{name}.onnx"
        if package == "keras":
            model(np.zeros((1, *shape), dtype="float32"))
            model.export(path, format="onnx", verbose=False)
        else:
            from skl2onnx import to_onnx

            path.write_bytes(to_onnx(model, np.zeros((1, *shape), dtype=np.float32)).SerializeToString())
        x, y = make_exports.runtime_outputs(path, shape)
        assert_allclose(forward(load(path), x), y, rtol=0, atol=2e-6)


def test_probabilities_are_the_output_and_the_label_is_left_out():
    network, (_, y) = load(FOLDER / "sklearn_three_classes.onnx"), judged("sklearn_three_classes")
    assert network.outputs == y.shape[1] == 3
    assert_allclose(y.sum(axis=1), 1, rtol=1e-6)


def test_a_scaler_subtracts_and_multiplies_exactly(tmp_path):
    scaler = helper.make_node(
        "Scaler", ["x"], ["y"], domain="ai.onnx.ml", offset=[0.5, 0.25, 0, 1], scale=[2.0, 3, 1, 0.5]
    )
    network = loaded(tmp_path, chain([scaler]))
    assert forward(network, [1, 1, 1, 1]).tolist() == [1.0, 2.25, 1.0, 0.0]
    short = helper.make_node("Scaler", ["x"], ["y"], domain="ai.onnx.ml", offset=[0.5, 0.25], scale=[2.0])
    with pytest.raises(LoadError, match="expected 4 offsets and factors, got 2 and 1"):
        loaded(tmp_path, chain([short]))


def test_operators_of_other_domains_are_refused_by_name(tmp_path):
    made = helper.make_node("TreeEnsembleRegressor", ["x"], ["y"], domain="ai.onnx.ml", name="trees")
    with pytest.raises(LoadError, match=r"node 1 of 1, ai\.onnx\.ml\.TreeEnsembleRegressor 'trees'.*not supported"):
        loaded(tmp_path, chain([made]))
    made = helper.make_node("Tanh", ["x"], ["y"], domain="com.example", name="mine")
    with pytest.raises(LoadError, match=r"com\.example\.Tanh 'mine': this operator is not supported"):
        loaded(tmp_path, chain([made]))


def test_two_outputs_of_floats_are_refused(tmp_path):
    model = chain([node("Tanh", "x"), node("Sigmoid", "tanh")])
    model.graph.output.append(helper.make_tensor_value_info("tanh", TensorProto.DOUBLE, None))
    with pytest.raises(LoadError, match="one output of floats, got 2: sigmoid, tanh"):
        loaded(tmp_path, model)
