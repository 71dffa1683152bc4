"""Large files: time and memory grow in proportion, and a layer on many tokens is kept once."""

import subprocess
import sys
import time
import tracemalloc

import numpy as np
import onnx
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from onnx import TensorProto, helper, numpy_helper
from onnx_models import agrees, chain, node

from compile import forward, homotopy, load, save, sequential
from compile.build import as_network, linear
from compile.frontends.onnx_file import read_model
from compile.value import network_input
from gpac.errors import LoadError
from gpac.repeated import Repeated

rng = np.random.default_rng(1)


def deep(path, width, dtype=np.float32):
    """A file of four square layers with tanh."""
    nodes, tensors, last = [], [], "x"
    for k in range(4):
        weight = (rng.normal(size=(width, width)) / width**0.5).astype(dtype)
        tensors.append(numpy_helper.from_array(weight, f"w{k}"))
        nodes += [node("Gemm", last, f"w{k}", name=f"g{k}", transB=1), node("Tanh", f"g{k}", name=f"t{k}")]
        last = f"t{k}"
    kind = TensorProto.FLOAT if dtype == np.float32 else TensorProto.DOUBLE
    ends = [helper.make_tensor_value_info(name, kind, (1, width)) for name in ("x", last)]
    graph = helper.make_graph(nodes, "deep", ends[:1], ends[1:], tensors)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))


def test_a_hundred_thousand_weights_compile_at_once(tmp_path):
    deep(tmp_path / "net.onnx", 158)
    seconds = []
    for _ in range(5):
        begin = time.process_time()
        network = load(tmp_path / "net.onnx")
        homotopy(network)
        sequential(network)
        seconds.append(time.process_time() - begin)
    assert network.weights > 99_000 and min(seconds) < 0.2


MEASURE = """
import resource, sys
import scipy.sparse
from compile import homotopy, load
import compile.frontends.onnx_graph
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
load(sys.argv[1]); before = peak()
network = load(sys.argv[2]); homotopy(network)
print(network.weights, peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read as Linux counts it")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_large_file_is_not_held_twice(tmp_path, dtype):
    deep(tmp_path / "small.onnx", 20)
    deep(tmp_path / "large.onnx", 1400, dtype)  # 7.8 million weights
    files = [str(tmp_path / "small.onnx"), str(tmp_path / "large.onnx")]
    run = subprocess.run([sys.executable, "-c", MEASURE, *files], capture_output=True, text=True, check=True)
    weights, peak = map(int, run.stdout.split())
    # the weights as doubles, one tensor as it is in the file, and a little
    assert weights > 7_000_000 and peak < 8 * weights + 1400**2 * np.dtype(dtype).itemsize + 2**24


def test_a_layer_on_many_tokens_is_kept_once(tmp_path):
    T, d = 64, 128
    up, down = rng.normal(size=(4 * d, d)) / d, rng.normal(size=(d, 4 * d)) / d
    weights = up.nbytes + down.nbytes
    tracemalloc.start()
    x = network_input((T, d))
    network = as_network(linear(linear(x, up, np.ones(4 * d)).apply("tanh"), down))
    circuits = homotopy(network), sequential(network)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 * weights  # T times the weights would be 64
    assert network.weights == 2 * 4 * d * d + 4 * d * T + 1 and all(circuits)
    row = rng.normal(size=(T, d))
    assert_allclose(forward(network, row.ravel()).reshape(T, d), np.tanh(row @ up.T + 1) @ down.T, rtol=0, atol=1e-13)
    save(network, tmp_path / "net.json")
    (kept,) = load(tmp_path / "net.json").layers[0].matrices
    assert isinstance(kept, Repeated) and kept.count == T
    assert_array_equal(kept.block, up)


def test_matrices_on_both_sides_of_rows_agree_with_the_reference(tmp_path):
    nodes = [node("MatMul", "x", "w"), node("Tanh", "matmul"), node("MatMul", "v", "tanh", name="y")]
    constants = {"w": rng.normal(size=(4, 3)), "v": rng.normal(size=(2, 5))}
    agrees(tmp_path, chain(nodes, constants, (2, 5, 4)), (2, 5, 4))


def test_the_message_is_the_librarys_whatever_is_left_in_the_file(tmp_path):
    deep(tmp_path / "net.onnx", 40)
    model, placed = read_model(tmp_path / "net.onnx")
    whole = onnx.load(str(tmp_path / "net.onnx"))
    assert sorted(placed) == [0, 1, 2, 3]
    data = (tmp_path / "net.onnx").read_bytes()
    for k, tensor in enumerate(whole.graph.initializer):
        assert data[placed[k].begin : placed[k].end] == tensor.raw_data
        tensor.ClearField("raw_data")
    assert model == whole


@pytest.mark.parametrize(
    "bad", [b"\x0b", b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f", b"\x3a\x05\x2a\x7f", b"\x00"]
)
def test_a_message_out_of_format_is_refused(tmp_path, bad):
    (tmp_path / "net.onnx").write_bytes(bad)
    with pytest.raises(LoadError, match="not an ONNX file"):
        load(tmp_path / "net.onnx")
