"""Verisig's YAML against a plain evaluation of its tables, and files that must be refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from compile.frontends import load
from compile.network import forward
from compile.operations import Activation, Affine, Sigmoid, Tanh
from gpac.errors import GpacError, LoadError, NumberError

NETWORKS = Path(__file__).parents[3].parent / "shared" / "networks"
needs_networks = pytest.mark.skipif(not NETWORKS.is_dir(), reason="the folder of networks by others is not here")
GOOD = """\
activations: {1: Tanh, 2: linear}
offsets:
  1: [0.5, -1]
  2: [.25]
weights:
  1: [[1.0, 2.0, 3e-1], [4.0, +5.0, 6e-05]]
  2:
  - - -1.0
    - 0.1
"""


def loaded(folder, text):
    path = folder / "net.yml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load(path)


def refusal(folder, text, kind=LoadError):
    with pytest.raises(kind) as caught:
        loaded(folder, text)
    assert "\n" not in str(caught.value) and caught.value.__suppress_context__
    return str(caught.value)


def plain(tables, x):
    """The network as Verisig means it, from what yaml.safe_load makes of the file."""
    functions = {"Tanh": np.tanh, "Sigmoid": lambda v: 1 / (1 + np.exp(-v)), "Linear": lambda v: v}
    for k in sorted(tables["weights"]):
        x = functions[tables["activations"][k]](np.array(tables["weights"][k]) @ x + np.array(tables["offsets"][k]))
    return x


def test_a_small_file_gives_its_layers(tmp_path):
    network = loaded(tmp_path, GOOD)
    assert [type(layer) for layer in network.layers] == [Affine, Activation, Affine]
    assert network.size == 3 and network.name == "net"
    assert_array_equal(network.layers[0].weight, [[1, 2, 0.3], [4, 5, 6e-5]])
    assert_array_equal(network.layers[2].bias, [0.25])


@needs_networks
@pytest.mark.parametrize("name", ["verisig_acc_tanh.yml", "verisig_mc_sig_2x16.yml"])
def test_published_networks_agree_with_a_plain_evaluation(name):
    network = load(NETWORKS / name)
    tables = yaml.safe_load((NETWORKS / name).read_text())
    for x in np.random.default_rng(0).uniform(-1, 1, size=(20, network.size)):
        # some hundred roundings of 2**-53 on values below 100
        assert_allclose(forward(network, x), plain(tables, x), rtol=1e-12, atol=1e-12)


@given(widths=st.lists(st.integers(1, 4), min_size=2, max_size=5), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_what_yaml_writes_is_read_bit_for_bit(tmp_path_factory, widths, seed):
    draw = np.random.default_rng(seed)
    shapes = list(zip(widths[1:], widths[:-1], strict=True))
    weights = [draw.normal(size=shape) * 10.0 ** draw.integers(-30, 30, size=shape) for shape in shapes]
    kinds = [str(draw.choice(["Tanh", "Sigmoid", "Linear"])) for _ in weights]
    tables = {
        "weights": {k: w.tolist() for k, w in enumerate(weights, 1)},
        "offsets": {k: w[:, 0].tolist() for k, w in enumerate(weights, 1)},
        "activations": dict(enumerate(kinds, 1)),
    }
    network = loaded(tmp_path_factory.mktemp("yaml"), yaml.safe_dump(tables))
    read = [layer for layer in network.layers if isinstance(layer, Affine)]
    for layer, weight in zip(read, weights, strict=True):
        assert_array_equal(layer.weight, weight)
        assert_array_equal(layer.bias, weight[:, 0])
    expected = [{"Tanh": Tanh(), "Sigmoid": Sigmoid()}[kind] for kind in kinds if kind != "Linear"]
    assert [layer for layer in network.layers if not isinstance(layer, Affine)] == expected


REFUSED = {
    "no mapping": ("- 1\n- 2", "expected the keys weights, offsets, activations"),
    "nothing but a comment": ("# nothing", "expected the keys"),
    "a missing key": (GOOD.replace("offsets", "biases"), "biases"),
    "a ragged row": (GOOD.replace("[4.0, +5.0, 6e-05]", "[4.0, 5.0]"), "row 2 of the weights of layer 1 has 2 numbers"),
    "a word in a row": (GOOD.replace("+5.0", "five"), "position 2 of row 2 of the weights of layer 1, got 'five'"),
    "an underscore in a number": (GOOD.replace("+5.0", "5_0"), "'5_0'"),
    "a list in a row": (GOOD.replace("+5.0", "[]"), "a list of 0"),
    "a number for a row": (GOOD.replace("[4.0, +5.0, 6e-05]", "4.0"), "row 2 of the weights of layer 1, got '4.0'"),
    "an empty row": (GOOD.replace("[4.0, +5.0, 6e-05]", "[]"), "row 2 of the weights of layer 1"),
    "no rows": (GOOD.replace("[[1.0, 2.0, 3e-1], [4.0, +5.0, 6e-05]]", "[]"), "rows as the weights of layer 1"),
    "a word in the offsets": (GOOD.replace(" -1]", " x]"), "position 2 of the offsets of layer 1"),
    "too few offsets": (GOOD.replace("[0.5, -1]", "[0.5]"), "offsets of layer 1 are 1 numbers, expected 2"),
    "a layer that does not fit": (GOOD.replace("    - 0.1\n", ""), "weights of layer 2 have 1 columns, expected 2"),
    "an unknown activation": (GOOD.replace("linear", "Relu"), "'Relu' of layer 2 is not supported"),
    "a missing activation": (GOOD.replace(", 2: linear", ""), "activations for 1 layers"),
    "a gap": (GOOD.replace("2:", "3:"), "layer 2 is missing"),
    "a layer 0": (GOOD.replace("1:", "0:"), "layer 1 is missing"),
    "a layer with a name": (GOOD.replace("2:", "two:"), "'two'"),
    "a layer given twice": (GOOD.replace("2:", "1:"), "given twice"),
    "an alias": (GOOD.replace("[.25]", "&a [.25]").replace("- 0.1", "- *a"), "aliases (line 4)"),
    "bad syntax": (GOOD + "  ]", "not valid YAML at line"),
    "bytes that are no text": (b"weights: \xff\xfe\x00", "not valid YAML"),
    "two documents": (GOOD + "---\n" + GOOD, "not valid YAML"),
    "deep nesting": ("[" * 100_000, "nested too deeply"),
    "a list as a key": ("? [1]\n: 2", "expected a name or a number as a key (line 1), got a list of 1"),
    "a python object": ("!!python/object/apply:os.getcwd []", "expected the keys"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_network_is_refused_with_a_sentence(tmp_path, case):
    text, part = REFUSED[case]
    assert part in refusal(tmp_path, text)


@pytest.mark.parametrize("number", [".nan", "nan", "-.inf", ".Inf", "1e999", "-Infinity"])
def test_numbers_that_are_not_finite_are_refused_with_their_place(tmp_path, number):
    message = refusal(tmp_path, GOOD.replace("+5.0", number), NumberError)
    assert "position 2 of row 2 of the weights of layer 1" in message


def test_a_billion_laughs_are_refused_at_the_first(tmp_path):
    laughs = "a0: &a0 [lol, lol]\n" + "".join(f"a{k}: &a{k} [{f'*a{k - 1}, ' * 9}]\n" for k in range(1, 30))
    assert "line 1" in refusal(tmp_path, laughs)


def test_the_plain_python_loader_reads_the_same(tmp_path, monkeypatch):
    monkeypatch.delattr(yaml, "CBaseLoader", raising=False)
    assert_array_equal(loaded(tmp_path, GOOD).layers[0].weight, [[1, 2, 0.3], [4, 5, 6e-5]])
    assert "aliases" in refusal(tmp_path, REFUSED["an alias"][0])
    assert "nested" in refusal(tmp_path, REFUSED["deep nesting"][0])


def test_mutated_files_raise_nothing_but_our_errors(tmp_path):
    draw = np.random.default_rng(8)
    for k in range(3000):
        mutant = bytearray(GOOD.encode())
        for _ in range(draw.integers(1, 4)):
            at, length = int(draw.integers(len(mutant))), int(draw.integers(1, 12))
            way = draw.integers(5)
            if way == 0:
                mutant[at] = draw.integers(256)
            elif way == 1:
                mutant[at] = b"[]{}:,-&*!?|>'\"%@`# \n\t"[draw.integers(22)]
            elif way == 2:
                del mutant[at : at + length]
            elif way == 3:
                mutant[at:at] = mutant[at : at + length]
            elif len(mutant) > 60:
                del mutant[-length:]
        try:
            (tmp_path / f"{k}.yml").write_bytes(mutant)
            load(tmp_path / f"{k}.yml")
        except GpacError as error:
            assert "\n" not in str(error)
