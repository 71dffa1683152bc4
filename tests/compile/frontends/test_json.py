"""Networks in JSON: what is written is read back exactly, what a person writes is read, the rest is refused."""

from fractions import Fraction

import numpy as np
import pytest
import sympy
from numpy.testing import assert_array_equal
from onnx_models import chain, loaded, node

from compile import Activation, Affine, Multiply, Network, Node, Softmax, Tanh, dense, forward, load, save, scale
from compile.frontends.json_network import declared
from compile.groups import Groups
from gpac.errors import GpacError, LoadError, NumberError

rng = np.random.default_rng(12)


def matrices(operation):
    return [m.toarray() if hasattr(m, "tocsr") else m for m in operation.matrices]


def same(a, b):
    """Two networks have the same operations on the same values, with the same numbers."""
    assert (a.size, a.input_shape, a.name, len(a.nodes)) == (b.size, b.input_shape, b.name, len(b.nodes))
    for one, two in zip(a.nodes, b.nodes, strict=True):
        assert one.inputs == two.inputs and type(one.operation) is type(two.operation)
        if isinstance(one.operation, Affine):
            for m, n in zip(matrices(one.operation), matrices(two.operation), strict=True):
                assert m.shape == n.shape and (m == n).all()
            assert one.operation.bias.tolist() == two.operation.bias.tolist()
            assert [hasattr(m, "tocsr") for m in one.operation.matrices] == [
                hasattr(m, "tocsr") for m in two.operation.matrices
            ]
        elif isinstance(one.operation, Softmax):
            assert one.operation.result == two.operation.result
            assert_array_equal(one.operation.groups.labels, two.operation.groups.labels)
        else:
            assert one.operation == two.operation
    return True


def every_operation():
    exact = np.array([Fraction(1, 3), sympy.sqrt(2) / 2 + sympy.sin(1), Fraction(1, 10**30)], dtype=object)
    nodes = [
        Node(dense(rng.uniform(size=(3, 2)), exact), (0,)),
        Node(Activation("rsqrt", Fraction(1, 7)), (1,)),
        Node(Activation("power", 3), (1,)),
        Node(Activation("factor", 1 / sympy.sqrt(3)), (2,)),
        Node(Multiply(("i,j->ij", (3,), (3,))), (3, 4)),
        Node(Softmax(Groups(np.array([0, 1, 2, 0, 1, 2, 0, 1, 2])), "log_softmax"), (5,)),
        Node(Softmax(Groups(np.repeat(np.arange(3), 3)), "logsumexp"), (6,)),
        Node(Affine((np.array(-1.0), exact, np.eye(3)), np.array([0.1])), (7, 3, 1)),
        Node(scale(Fraction(2, 3), 5e-300), (8,)),
        Node(Multiply(), (9, 7)),
        Node(Affine((), np.array([1e30, -0.5, 2.0])), ()),
        Node(Multiply(), (10, 11)),
    ]
    return Network(2, nodes, "all of them", (2, 1))


def test_every_operation_is_read_back_exactly(tmp_path):
    network = every_operation()
    save(network, tmp_path / "all of them.json")
    back = load(tmp_path / "all of them.json")
    assert same(back, network)
    x = rng.normal(size=(5, 2))
    assert_array_equal(forward(back, np.abs(x)), forward(network, np.abs(x)))


@pytest.mark.parametrize("bits", [32, 64])
def test_large_and_sparse_weights_are_read_back_bit_by_bit(tmp_path, bits):
    w = rng.normal(size=(40, 50)).astype(f"f{bits // 8}")
    image = [node("Conv", "x", "k"), node("Tanh", "conv"), node("Flatten", "tanh"), node("Gemm", "flatten", "w")]
    model = chain(image, {"k": rng.normal(size=(5, 1, 2, 2)), "w": rng.normal(size=(80, 40))}, (1, 1, 5, 5))
    network = loaded(tmp_path, model)
    network = Network(25, [*network.nodes, dense(rng.normal(size=(50, 40))), Tanh(), dense(w)], "net", (1, 5, 5))
    save(network, tmp_path / "net.json")
    assert same(load(tmp_path / "net.json"), network)
    text = (tmp_path / "net.json").read_text()
    assert f"float{bits}" in text and '"sparse"' in text
    assert len(text.splitlines()) == 6 + len(network.nodes) + 2  # the head, one line a layer, the end


def test_what_a_person_writes_is_read(tmp_path):
    text = """{"format": "gpac network", "version": 1, "name": "by hand", "input": [1, 4, 4], "layers": [
        {"layer": "conv", "weight": [[[[1, -1], [0.5, "1/3"]]]], "bias": ["sqrt(2)/2"], "stride": 2, "name": "c"},
        {"layer": "tanh"},
        {"layer": "add", "of": [2, "c"]},
        {"layer": "flatten"},
        {"layer": "dense", "weight": [[1, 2, 3, 4], [0.1, 0, 0, 1e-3]], "bias": [0, 1]},
        {"layer": "softmax"}]}"""
    (tmp_path / "hand.json").write_text(text)
    with pytest.raises(NumberError, match=r"layer 1 of 6, 'conv'.*'weight'.*float64 numbers exactly"):
        load(tmp_path / "hand.json")
    (tmp_path / "hand.json").write_text(text.replace('"1/3"', "0.25"))
    network = load(tmp_path / "hand.json")
    assert network.name == "by hand" and network.input_shape == (1, 4, 4) and network.outputs == 2
    x = rng.normal(size=(4, 4))
    kernel = np.array([[1, -1], [0.5, 0.25]])
    blocks = np.array([[(x[i : i + 2, j : j + 2] * kernel).sum() for j in (0, 2)] for i in (0, 2)]).ravel() + 0.5**0.5
    z = np.array([[1, 2, 3, 4], [0.1, 0, 0, 1e-3]]) @ (np.tanh(blocks) + blocks) + [0, 1]
    assert np.abs(forward(network, x.ravel()) - np.exp(z) / np.exp(z).sum()).max() < 1e-14


GOOD = '{"format": "gpac network", "version": 1, "input": [2], "layers": [LAYERS]}'
TANH = GOOD.replace("LAYERS", '{"layer": "tanh"}')
BAD = {
    "no JSON": ("{", "not valid JSON"),
    "another format": ('{"format": "x"}', 'expected an object with "format"'),
    "a list": ("[1]", "expected an object"),
    "a later version": (GOOD.replace("1,", "2,", 1).replace("LAYERS", "3"), "expected version 1 of the format, got 2"),
    "a key twice": (
        GOOD.replace('"input": [2]', '"input": [2], "input": [3]').replace("LAYERS", "3"),
        "'input' is given twice",
    ),
    "an unknown key": (GOOD.replace('"input": [2]', '"input": [2], "more": 1').replace("LAYERS", "3"), "'more'"),
    "no sizes": (GOOD.replace("[2]", "[2.5]").replace("LAYERS", "3"), 'expected the sizes of one input as "input"'),
    "an absurd input": (GOOD.replace("[2]", "[123456789012345]").replace("LAYERS", "3"), "numbers"),
    "no layers": (GOOD.replace("LAYERS", ""), "expected a list of layers"),
    "deep": ("[" * 100_000, "levels deep"),
    "many lists": ("[" + "[]," * 2**20 + "[]]", "base64"),
    "not UTF-8": (b'{"format": "\xff"}', "not valid JSON"),
    **{
        what: (GOOD.replace("LAYERS", layers), message)
        for what, layers, message in [
            ("no layer", "3", "layer 1 of 1, None: expected a layer as an object"),
            ("an unknown layer", '{"layer": "warp"}', "expected a layer among abs, adaptive_average_pool, add"),
            ("a kink", '{"layer": "relu"}', "'relu' is not analytic"),
            ("a wrong parameter", '{"layer": "tanh", "beta": 1}', "'beta' is none of them"),
            ("a missing parameter", '{"layer": "dense", "bias": [1]}', "'weight' is missing"),
            ("a wrong shape", '{"layer": "dense", "weight": [[1, 2, 3]]}', r"a weight of shape \(m, 2\), got \(1, 3\)"),
            ("a wrong bias", '{"layer": "dense", "weight": [[1, 2]], "bias": [1, 2]}', r"a bias of shape \(1,\)"),
            ("uneven rows", '{"layer": "dense", "weight": [[1, 2], [3]]}', "rows of one length"),
            ("a text that is no number", '{"layer": "scale", "factor": "__import__(1)"}', "an exact number such as"),
            ("a name", '{"layer": "scale", "factor": "x"}', "an exact number such as"),
            ("a tower", '{"layer": "scale", "factor": "9**9**9**9"}', "an exact number such as"),
            ("a long number", '{"layer": "scale", "factor": "' + "1" * 5000 + '"}', "at most 2000 letters"),
            ("true", '{"layer": "scale", "factor": true}', "expected a number, got True"),
            ("NaN", '{"layer": "scale", "factor": NaN}', "expected finite numbers, got NaN"),
            ("infinity", '{"layer": "scale", "factor": 1e999}', "finite"),
            ("a later layer", '{"layer": "tanh", "of": 1}', "expected layers before this one, got 1"),
            ("an unknown name", '{"layer": "tanh", "of": "later"}', "expected layers before this one, got 'later'"),
            ("a name twice", '{"layer": "tanh", "name": "a"}, {"layer": "tanh", "name": "a"}', "no other layer has"),
            ("two values", '{"layer": "tanh", "of": [0, 0]}', 'expected 1 values as "of"'),
            ("one value", '{"layer": "multiply"}', 'expected 2 values as "of"'),
            ("no base64", '{"layer": "shift", "values": {"shape": [2], "float32": "@"}}', "expected base64"),
            ("few bytes", '{"layer": "shift", "values": {"shape": [2], "float32": "AAAA"}}', "3 bytes do not fill"),
            ("no kind", '{"layer": "shift", "values": {"shape": [2]}}', "its shape and float32 or float64"),
            ("an einsum", '{"layer": "multiply", "of": [0, 0], "einsum": "i,j"}', "an einsum such as"),
            (
                "an absurd pool",
                '{"layer": "reshape", "shape": [1, 2]}, {"layer": "average_pool", "kernel": 5}',
                "window",
            ),
            ("a constant", '{"layer": "constant", "values": [1]}', "does not depend on its input"),
        ]
    },
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_network_is_refused_with_a_sentence(tmp_path, case):
    text, message = BAD[case]
    (tmp_path / "bad.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(GpacError, match=message) as caught:
        load(tmp_path / "bad.json")
    assert "\n" not in str(caught.value) and str(caught.value).startswith(f"cannot read {tmp_path}")


SPARSE = {
    "starts": {"starts": [0, 2], "columns": [0, 1, 1], "values": 1.0},
    "falling starts": {"starts": [0, 3, 2], "columns": [0, 1, 1], "values": 1.0},
    "a column too far": {"starts": [0, 1, 2], "columns": [0, 9], "values": 1.0},
    "a column before": {"starts": [0, 1, 2], "columns": [0, -1], "values": 1.0},
    "values": {"starts": [0, 1, 2], "columns": [0, 1], "values": [1.0]},
    "fractions": {"starts": [0, 1, 2], "columns": [0, 1], "values": "1/3"},
}


@pytest.mark.parametrize("case", SPARSE)
def test_a_sparse_matrix_out_of_bounds_never_reaches_the_library(case):
    layer = {"layer": "affine", "matrices": [{"shape": [2, 2], "sparse": SPARSE[case]}]}
    with pytest.raises(LoadError, match=r"layer 1 of 1, 'affine': its parameter 'matrices'"):
        declared({"input": [2], "layers": [layer]}, None, "net")


def test_only_json_is_written(tmp_path):
    with pytest.raises(LoadError, match=r"ends in \.json"):
        save(every_operation(), tmp_path / "net.onnx")
    with pytest.raises(GpacError, match="cannot write"):
        save(every_operation(), tmp_path / "nowhere" / "net.json")
