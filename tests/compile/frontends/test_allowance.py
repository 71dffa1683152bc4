"""What small files may ask for is bounded; networks that people have are not refused."""

import json
import time

import numpy as np
import pytest
from mutants import load_mutant, memory
from onnx_models import chain, node

from compile import load
from gpac.errors import LoadError

MOST_SECONDS, MOST_MEMORY = 2, 2**28


def declared(layers, shape):
    return json.dumps({"format": "gpac network", "version": 1, "input": shape, "layers": layers}).encode()


def weights(*shape):
    return np.ones(shape).tolist()


CONV = {"layer": "conv", "weight": weights(64, 3, 3, 3), "bias": ["sqrt(2)"] * 64, "padding": 1}
WIDER = {"layer": "conv", "weight": weights(64, 1, 3, 3), "bias": [0.5] * 64, "padding": 1, "groups": 64}
HUGE = {
    "irrational biases of an image": declared([CONV, {"layer": "tanh"}], [3, 224, 224]),
    "many large values": declared([CONV, *[WIDER] * 40], [3, 224, 224]),
    "norms of large values": declared([{"layer": "layer_norm"}] * 50, [2**21, 2]),
    "many small units": declared([{"layer": "add", "of": [0] * 20000}] * 5, [2]),
    "a mask of 2^20 tokens": declared(
        [
            {
                "layer": "multi_head_attention",
                "heads": 1,
                "causal": True,
                "in_weight": weights(3, 1),
                "out_weight": [[1.0]],
            }
        ],
        [2**20, 1],
    ),
    "a sequence of 4000 steps": declared([{"layer": "lstm", "cells": [[[weights(8, 1), weights(8, 2)]]]}], [4000, 1]),
    "groups without members": declared([{"layer": "softmax", "groups": [0, 2**31]}], [2]),
    "a long pool": declared([{"layer": "average_pool", "kernel": 64, "stride": 1}], [1, 2**16]),
    "a pool with uneven padding": declared(
        [{"layer": "average_pool", "kernel": 3, "stride": 1, "padding": 1, "count_padding": False}], [1, 2000, 2000]
    ),
    "a maximum of all": declared(
        [{"layer": "reshape", "shape": [-1]}, {"layer": "max", "groups": [0] * 9, "within": 1}], [9, 2**18]
    ),
    "fractions of a constant": chain(
        [node("Expand", "v", "n"), node("Div", "expand", "d")]
        + [
            node("Div", "div", "d", name=f"a{k}") if not k else node("Div", f"a{k - 1}", "d", name=f"a{k}")
            for k in range(9)
        ]
        + [node("Add", "x", "a8")],
        {"v": np.ones(1), "n": np.array([2**18]), "d": np.array([3.0])},
        (2**18,),
    ),
    "repeated constants": chain(
        [
            node("Expand", "v", "n"),
            *(node("Concat", "expand", "expand", axis=0, name=f"c{k}") for k in range(30)),
            node("Sum", *(f"c{k}" for k in range(30)), "x", name="y"),
        ],
        {"v": np.ones(1), "n": np.array([2**21])},
        (2**22,),
    ),
    "a transposed input": chain([node("Transpose", "x", perm=[1, 0]), node("Tanh", "transpose")], {}, (2**20, 4)),
    "a long resize": chain(
        [node("Resize", "x", "e", "z", mode="cubic")],
        {"e": np.zeros(0, np.float32), "z": np.float32([1, 1, 4096, 256])},
        (1, 1, 4, 1),
    ),
    "a deep sum of lines": chain(
        [
            *(node("Add", "x" if not k else f"a{k - 1}", "one", name=f"a{k}") for k in range(3000)),
            node("Mul", "a2999", "x", name="y"),
        ],
        {"one": np.ones(1)},
        (3,),
    ),
    "sums along a long axis": chain([node("CumSum", "x", "a")], {"a": np.array(1)}, (1, 2**17)),
    "a batch of 256": chain(
        [node("Conv", "x", "k", pads=[1, 1, 1, 1])], {"k": np.ones((4, 1, 3, 3))}, (256, 1, 60, 60)
    ),
}


@pytest.mark.parametrize("name", HUGE)
def test_what_a_small_file_may_cost_is_bounded(tmp_path, name):
    data = HUGE[name]
    path = tmp_path / ("file.json" if isinstance(data, bytes) else "file.onnx")
    data = data if isinstance(data, bytes) else data.SerializeToString()
    seconds, more = load_mutant(path, data)
    if seconds > 1:  # on a machine with much else to do: once more
        seconds = min(seconds, load_mutant(path, data)[0])
    assert seconds < MOST_SECONDS and more < MOST_MEMORY + 10 * len(data)


def test_two_convolutions_of_a_photograph_are_no_absurd_network(tmp_path):
    path = tmp_path / "block.json"
    second = CONV | {"weight": weights(64, 1, 3, 3), "groups": 64}
    pool = {"layer": "average_pool", "kernel": 2}
    path.write_bytes(declared([CONV, {"layer": "tanh"}, second, {"layer": "tanh"}, pool], [3, 224, 224]))
    before = memory(reset=True)
    assert load(path).outputs == 64 * 112 * 112
    assert memory() - before < MOST_MEMORY


def test_too_much_is_refused_with_a_sentence(tmp_path):
    path = tmp_path / "many.json"
    path.write_bytes(HUGE["many large values"])
    with pytest.raises(LoadError, match="too many or too large for a file of its size"):
        load(path)


def test_what_is_counted_starts_anew_for_every_file(tmp_path):
    path = tmp_path / "again.json"
    path.write_bytes(declared([{"layer": "layer_norm"}], [1000, 1000]))
    begin = time.process_time()
    for _ in range(5):
        assert load(path).outputs == 10**6
    assert time.process_time() - begin < 5


def test_a_text_in_many_places_is_read_once(tmp_path):
    data = declared([{"layer": "dense", "weight": [[1.0]] * 10**5, "bias": ["sqrt(2)/2"] * 10**5}], [1])
    seconds, more = load_mutant(tmp_path / "texts.json", data)
    assert seconds < MOST_SECONDS and more < MOST_MEMORY
