"""The zoo of PyTorch modules through files: both of PyTorch's ONNX exporters, judged by onnxruntime and PyTorch."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")
onnxruntime = pytest.importorskip("onnxruntime")

from torch_zoo import ZOO  # noqa: E402

import gpac  # noqa: E402
from compile import enclose_forward, forward, homotopy, load, sequential  # noqa: E402


def exported(module, shape, path, dynamo):
    torch.manual_seed(3)
    module = module.eval()
    options = {} if dynamo else {"opset_version": 17}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(module, (torch.zeros(shape),), str(path), dynamo=dynamo, verbose=False, **options)


@pytest.mark.parametrize("dynamo", [True, False], ids=["current", "old"])
@pytest.mark.parametrize("name", ZOO)
def test_a_file_computes_what_the_module_computes(tmp_path, name, dynamo):
    make, shape = ZOO[name]
    torch.manual_seed(3)
    module, path = make(), tmp_path / "net.onnx"
    try:
        exported(module, shape, path, dynamo)
    except Exception as error:
        pytest.skip(f"PyTorch's exporter fails: {type(error).__name__}: {str(error)[:100]}")
    network = load(path)
    x = np.random.default_rng(1).normal(size=(3, network.size)).astype(np.float32) / 2
    with torch.no_grad():
        outputs = [module.double()(torch.tensor(row, dtype=torch.float64).reshape(shape)) for row in x]
    truth = np.array([(y[0] if isinstance(y, tuple) else y).numpy().reshape(-1) for y in outputs])
    ours = forward(network, x)
    size = max(1.0, np.abs(truth).max()) * (100 if name == "siren" else 1)  # sin(30 x) magnifies roundings
    # constants such as sqrt(2) or 1/sqrt(d) are float32 in the file: the file's function is not quite the module's
    assert_allclose(ours, truth, rtol=0, atol=3e-6 * size)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    entry = session.get_inputs()[0].name
    runs = [session.run(None, {entry: row.reshape(shape)})[0].reshape(-1) for row in x]
    # a float32 run
    assert_allclose(
        ours, np.array(runs), rtol=0, atol=2e-5 * max(1.0, np.abs(truth).max()) * (100 if name == "siren" else 1)
    )


SMALL = ["mlp", "unbatched mlp", "gelu", "silu", "mish", "softplus", "gaussian", "softmax head", "norm by hand", "glu"]


@pytest.mark.parametrize("name", SMALL)
def test_every_judge_agrees_on_a_small_file_of_doubles(tmp_path, name):
    make, shape = ZOO[name]
    torch.manual_seed(3)
    module, path = make().double().eval(), tmp_path / "net.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(module, (torch.zeros(shape, dtype=torch.float64),), str(path), dynamo=True, verbose=False)
    network = load(path)
    x = np.random.default_rng(2).normal(size=network.size) / 2
    with torch.no_grad():
        truth = module(torch.tensor(x).reshape(shape)).numpy().ravel()
    assert_allclose(forward(network, x), truth, rtol=0, atol=1e-11)  # the exporter rounds an eps of 1e-4 to float32
    try:
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except Exception as error:
        assert "NOT_IMPLEMENTED" in str(error)  # some operators of onnxruntime are for float32 alone
    else:
        ours = session.run(None, {session.get_inputs()[0].name: x.reshape(shape)})[0].ravel()
        assert_allclose(forward(network, x), ours, rtol=0, atol=1e-13)
    exact = enclose_forward(network, x, digits=30)
    assert_allclose([float(m) for m in exact.mid], forward(network, x), rtol=0, atol=1e-14)
    for scheme in (sequential, homotopy):
        solved = gpac.solve(scheme(network), inputs=x, tol=1e-14).check().outputs
        assert_allclose(np.ravel(solved), forward(network, x), rtol=0, atol=1e-12)
    proof = gpac.prove(homotopy(network), inputs=x, digits=15)
    assert proof.digits >= 15 and proof.contains(exact.mid)
