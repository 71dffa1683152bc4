"""Sparse matrices that are written out when they are read: their shapes and counts are right before."""

import itertools
import pickle
import time

import numpy as np
import pytest
from mutants import memory

from compile.build import as_network, concatenate
from compile.layers import Sampling, average_pool, conv, conv_transpose, resize
from compile.network import forward
from compile.operations import Affine
from compile.planned import Planned
from compile.value import network_input
from gpac.errors import NumberError, ShapeError


def plans(network):
    return [(m, op, k) for op in network.layers if isinstance(op, Affine) for k, m in enumerate(op.given)]


@pytest.mark.parametrize(("kernel", "stride", "dilation"), list(itertools.product((1, 2, 5), (1, 3, 7), (1, 3))))
def test_a_plan_knows_the_shape_and_the_entries_of_its_matrix(kernel, stride, dilation):
    x = network_input((4, 4, 9))
    weight = np.random.default_rng(0).normal(size=(4, 2, kernel, kernel))
    made = 0
    for padding in (0, 1, 4):
        for layer in (conv, conv_transpose):
            try:
                y = layer(x, weight, None, stride, padding, dilation, 2)
            except ShapeError:  # the kernel does not fit
                continue
            for matrix, operation, k in plans(as_network(y)):
                written = operation.matrices[k]
                assert isinstance(matrix, Planned) and matrix.shape == written.shape and matrix.nnz == written.nnz
                made += 1
    assert made


def test_pools_sums_resizes_and_moves_are_planned_and_copied_whole():
    x = network_input((2, 4, 6))
    y = concatenate(
        [average_pool(x, 3, 2, 1, False), average_pool(x.transpose(0, 2, 1)[:, ::-1].transpose(0, 2, 1), 3, 2, 1)[:1]]
    )
    y = resize(y, (3, 4, 6), (1, 2, 2), Sampling("linear"))
    network = as_network(y + y.sum([0], keep=True))
    found = [(m, op, k) for m, op, k in plans(network) if isinstance(m, Planned)]
    assert len(found) > 5
    point = np.random.default_rng(1).normal(size=48)
    copied = pickle.loads(pickle.dumps(network))
    for matrix, operation, k in found:
        assert matrix.shape == operation.matrices[k].shape and matrix.nnz == operation.matrices[k].nnz
    np.testing.assert_array_equal(forward(network, point), forward(copied, point))


def test_a_large_convolution_of_a_few_weights_is_cheap_until_it_is_read():
    before, begin = memory(reset=True), time.process_time()
    y = conv(network_input((3, 224, 224)), np.ones((64, 3, 3, 3)), np.zeros(64), padding=1)
    assert y.shape == (64, 224, 224)
    assert time.process_time() - begin < 1 and memory() - before < 2**27  # written out: 1 GB


def test_weights_that_are_not_finite_are_refused_at_once():
    with pytest.raises(NumberError, match="finite"):
        conv(network_input((1, 4, 4)), np.full((1, 1, 2, 2), np.nan))


@pytest.mark.parametrize(("stride", "dilation"), [(0, 1), (1, 0), (-1, 1)])
def test_steps_that_stand_still_are_refused(stride, dilation):
    with pytest.raises(ShapeError, match="at least 1"):
        conv(network_input((1, 4, 4)), np.ones((1, 1, 2, 2)), None, stride, 0, dilation)


def test_steps_whose_products_would_overflow_are_refused():
    with pytest.raises(ShapeError, match="below"):
        conv(network_input((1, 4, 4)), np.ones((1, 1, 2, 2)), None, 1, 0, 2**62)
