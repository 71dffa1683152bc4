"""Small ONNX models made in tests, and their judge: the reference evaluator of onnx."""

from __future__ import annotations

import numpy as np
from numpy.testing import assert_allclose
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from compile import forward, load


def node(op, *inputs, name=None, **attributes):
    """A node whose output is named after it."""
    name = name or op.lower()
    return helper.make_node(op, list(inputs), [name], name=name, **attributes)


def chain(nodes, constants=None, shape=(1, 4), opset=17, kind=TensorProto.DOUBLE):
    """A model from the input x through `nodes`; the last node gives the output."""
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", kind, shape)],
        [helper.make_tensor_value_info(nodes[-1].output[0], kind, None)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in (constants or {}).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def loaded(folder, model):
    path = folder / "net.onnx"
    path.write_bytes(model.SerializeToString())
    return load(path)


def agrees(folder, model, shape):
    """Load the model, compare three runs with the reference evaluator in float64, return the network."""
    network, judge = loaded(folder, model), ReferenceEvaluator(model)
    for x in np.random.default_rng(1).normal(size=(3, *shape)):
        expected = judge.run(None, {"x": x})[0]
        # some ten roundings of 2**-53 on sums of at most fifty terms
        assert_allclose(forward(network, x.ravel()), np.ravel(expected), rtol=1e-12, atol=1e-13)
    return network
