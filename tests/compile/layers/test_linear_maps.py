"""Convolutions, pooling and moves of entries, against plain loops (and PyTorch where it is installed)."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from judge import judge
from numpy.testing import assert_allclose

from compile import forward
from compile.build import as_network, concatenate, linear, matmul
from compile.layers import adaptive_average_pool, average_pool, conv, conv_transpose
from compile.value import constant, einsum, network_input
from gpac import NumberError, ShapeError


def conv_by_loops(x, w, b, stride, padding, dilation, groups):
    """Cross-correlation from its definition, one multiplication at a time; padding is (before, after)."""
    rank = w.ndim - 2
    x = np.pad(x, [(0, 0), *padding])
    out = [
        (n - d * (k - 1) - 1) // s + 1 for n, k, s, d in zip(x.shape[1:], w.shape[2:], stride, dilation, strict=True)
    ]
    y = np.zeros((w.shape[0], *out))
    for k in range(w.shape[0]):
        group = k // (w.shape[0] // groups)
        for o in product(*map(range, out)):
            for c in range(w.shape[1]):
                for tap in product(*map(range, w.shape[2:])):
                    place = tuple(o[a] * stride[a] + tap[a] * dilation[a] for a in range(rank))
                    y[(k, *o)] += w[(k, c, *tap)] * x[(group * w.shape[1] + c, *place)]
            y[(k, *o)] += b[k]
    return y


def transposed_by_loops(x, w, b, stride, padding, dilation, groups, extra):
    """Every entry of x adds a scaled kernel to the result."""
    rank, columns = w.ndim - 2, w.shape[1]
    full = [
        (n - 1) * s + d * (k - 1) + 1 + e
        for n, s, d, k, e in zip(x.shape[1:], stride, dilation, w.shape[2:], extra, strict=True)
    ]
    y = np.zeros((columns * groups, *full))
    for c in range(x.shape[0]):
        group = c // (x.shape[0] // groups)
        for i in product(*map(range, x.shape[1:])):
            for k in range(columns):
                for tap in product(*map(range, w.shape[2:])):
                    place = tuple(i[a] * stride[a] + tap[a] * dilation[a] for a in range(rank))
                    y[(group * columns + k, *place)] += x[(c, *i)] * w[(c, k, *tap)]
    cut = tuple(slice(p, n - q) for (p, q), n in zip(padding, full, strict=True))
    return y[(slice(None), *cut)] + np.reshape(b, (-1, *[1] * rank))


@st.composite
def convolutions(draw):
    rank, groups = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    small = st.integers(1, 3)
    numbers = lambda lo, hi: tuple(draw(st.integers(lo, hi)) for _ in range(rank))  # noqa: E731
    kernel, stride, dilation = numbers(1, 3), numbers(1, 3), numbers(1, 2)
    padding = tuple((draw(st.integers(0, 2)), draw(st.integers(0, 2))) for _ in range(rank))
    image = tuple(d * (k - 1) + 1 + draw(st.integers(0, 3)) for k, d in zip(kernel, dilation, strict=True))
    c, k = draw(small), draw(small)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return image, kernel, stride, dilation, padding, groups, c, k, rng


@settings(max_examples=40, deadline=None)
@given(convolutions())
def test_convolutions_are_their_definition(case):
    image, kernel, stride, dilation, padding, groups, c, k, rng = case
    x = rng.normal(size=(c * groups, *image))
    w, b = rng.normal(size=(k * groups, c, *kernel)), rng.normal(size=k * groups)
    y = conv(network_input(x.shape), w, b, stride, padding, dilation, groups)
    truth = conv_by_loops(x, w, b, stride, padding, dilation, groups)
    assert y.shape == truth.shape
    assert_allclose(forward(as_network(y), x.reshape(-1)), truth.reshape(-1), atol=1e-13)


@settings(max_examples=40, deadline=None)
@given(convolutions(), st.integers(0, 1))
def test_transposed_convolutions_are_their_definition(case, extra):
    image, kernel, stride, dilation, _, groups, c, k, rng = case
    x = rng.normal(size=(c * groups, *image))
    w, b = rng.normal(size=(c * groups, k, *kernel)), rng.normal(size=k * groups)
    extra = tuple(min(extra, s - 1) for s in stride)
    padding = tuple((min(1, d * (n - 1)), 0) for n, d in zip(kernel, dilation, strict=True))
    y = conv_transpose(network_input(x.shape), w, b, stride, padding, dilation, groups, extra)
    truth = transposed_by_loops(x, w, b, stride, padding, dilation, groups, extra)
    assert y.shape == truth.shape
    assert_allclose(forward(as_network(y), x.reshape(-1)), truth.reshape(-1), atol=1e-13)


@settings(max_examples=30, deadline=None)
@given(convolutions(), st.booleans(), st.booleans())
def test_average_pools_agree_with_torch(case, count_padding, ceil):
    torch = pytest.importorskip("torch")
    image, kernel, stride, _, _, groups, _, _, rng = case
    image = tuple(max(n, k) for n, k in zip(image, kernel, strict=True))
    padding = tuple(k // 2 for k in kernel)
    x = rng.normal(size=(groups, *image))
    pool = [torch.nn.AvgPool1d, torch.nn.AvgPool2d, torch.nn.AvgPool3d][len(image) - 1]
    truth = pool(kernel, stride, padding, ceil_mode=ceil, count_include_pad=count_padding)(torch.tensor(x)[None])[0]
    y = average_pool(network_input(x.shape), kernel, stride, padding, count_padding, ceil)
    assert y.shape == tuple(truth.shape)
    assert_allclose(forward(as_network(y), x.reshape(-1)), truth.numpy().reshape(-1), atol=1e-14)
    adaptive = [torch.nn.AdaptiveAvgPool1d, torch.nn.AdaptiveAvgPool2d, torch.nn.AdaptiveAvgPool3d][len(image) - 1]
    y = adaptive_average_pool(network_input(x.shape), kernel)
    truth = adaptive(kernel)(torch.tensor(x)[None])[0]
    assert_allclose(forward(as_network(y), x.reshape(-1)), truth.numpy().reshape(-1), atol=1e-14)


@settings(max_examples=30, deadline=None)
@given(convolutions())
def test_convolutions_agree_with_torch(case):
    torch = pytest.importorskip("torch")
    image, kernel, stride, dilation, padding, groups, c, k, rng = case
    rank, pads = len(image), tuple(p for p, _ in padding)
    x, w = rng.normal(size=(c * groups, *image)), rng.normal(size=(k * groups, c, *kernel))
    f = [torch.nn.functional.conv1d, torch.nn.functional.conv2d, torch.nn.functional.conv3d][rank - 1]
    truth = f(torch.tensor(x)[None], torch.tensor(w), None, stride, pads, dilation, groups)[0].numpy()
    y = conv(network_input(x.shape), w, None, stride, pads, dilation, groups)
    assert_allclose(forward(as_network(y), x.reshape(-1)), truth.reshape(-1), atol=1e-13)
    f = [
        torch.nn.functional.conv_transpose1d,
        torch.nn.functional.conv_transpose2d,
        torch.nn.functional.conv_transpose3d,
    ]
    w = rng.normal(size=(c * groups, k, *kernel))
    truth = f[rank - 1](torch.tensor(x)[None], torch.tensor(w), None, stride, 0, 0, groups, dilation)[0].numpy()
    y = conv_transpose(network_input(x.shape), w, None, stride, 0, dilation, groups)
    assert_allclose(forward(as_network(y), x.reshape(-1)), truth.reshape(-1), atol=1e-13)


def test_average_pool_by_hand():
    x = np.arange(12.0).reshape(1, 3, 4)
    pool = lambda *a, **k: forward(as_network(average_pool(network_input(x.shape), *a, **k)), x.reshape(-1))  # noqa: E731
    assert pool(2).tolist() == [2.5, 4.5]
    assert pool(2, 2, ceil=True, count_padding=False).tolist() == [2.5, 4.5, 8.5, 10.5]
    assert pool((3, 1), 1).tolist() == [4.0, 5.0, 6.0, 7.0]
    y = average_pool(network_input((1, 3)), 2, 1, 1, count_padding=False)
    assert forward(as_network(y), [3.0, 6.0, 9.0]).tolist() == [3.0, 4.5, 7.5, 9.0]


def test_a_third_of_a_mean_is_a_third():
    """1/n is exact: the mean of three ones is one in every arithmetic."""
    from compile import enclose_forward

    network = as_network(network_input((3,)).mean([0], keep=True))
    assert enclose_forward(network, [1, 1, 1], digits=100).contains([1])


def test_a_convolution_stays_sparse():
    x = network_input((3, 32, 32))
    (node,) = as_network(conv(x, np.ones((8, 3, 3, 3)), padding=1)).nodes
    matrix = node.operation.weight
    assert matrix.shape == (8 * 1024, 3 * 1024)
    assert matrix.nnz == 8 * 3 * (3 * 32 - 2) ** 2


def small_cnn(x, w1, w2, w3):
    h = np.tanh(conv_by_loops(x, w1, np.zeros(len(w1)), (1, 1), ((1, 1), (1, 1)), (1, 1), 1))
    h = h.reshape(len(w1), 3, 2, 3, 2).mean(axis=(2, 4))
    h = np.tanh(conv_by_loops(h, w2, np.ones(len(w2)), (2, 2), ((0, 0), (0, 0)), (1, 1), 1))
    return w3 @ h.reshape(-1)


def test_a_small_cnn_under_every_scheme():
    rng = np.random.default_rng(3)
    w1, w2, w3 = rng.normal(size=(2, 1, 3, 3)) / 3, rng.normal(size=(3, 2, 2, 2)) / 3, rng.normal(size=(2, 3))
    x = network_input((1, 6, 6))
    h = average_pool(conv(x, w1, padding=1).apply("tanh"), 2)
    h = conv(h, w2, np.ones(3), stride=2).apply("tanh")
    network = as_network(linear(h.reshape(-1), w3), "cnn", x.shape)
    judge(network, lambda v: small_cnn(v, w1, w2, w3), rng.normal(size=(2, 36)))


# -- moves of entries ----------------------------------------------------------------------------------------

X = np.random.default_rng(0).normal(size=(2, 3, 4))
MOVES = {
    "transpose": (lambda v: v.transpose(2, 0, 1), lambda a: a.transpose(2, 0, 1)),
    "reverse": (lambda v: v.transpose(), lambda a: a.transpose()),
    "slice": (lambda v: v[:, ::2, 1:3], lambda a: a[:, ::2, 1:3]),
    "index": (lambda v: v[1, 0], lambda a: a[1, 0]),
    "reshape": (lambda v: v.reshape(4, -1), lambda a: a.reshape(4, -1)),
    "two moves": (lambda v: v.transpose(1, 0, 2)[0].transpose(), lambda a: a.transpose(1, 0, 2)[0].transpose()),
    "moves that undo": (lambda v: v.transpose(1, 0, 2).transpose(1, 0, 2), lambda a: a),
    "concatenate": (
        lambda v: concatenate([v, v.apply("square"), v[:, :1]], 1),
        lambda a: np.concatenate([a, a * a, a[:, :1]], 1),
    ),
    "concatenate one": (lambda v: concatenate([v[1:], v[:1]], 0), lambda a: np.concatenate([a[1:], a[:1]], 0)),
    "sum": (lambda v: v.sum([0, 2]), lambda a: a.sum((0, 2))),
    "mean": (lambda v: v.mean([1], keep=True), lambda a: a.mean(1, keepdims=True)),
    "broadcast": (lambda v: v[:1].broadcast_to((5, 3, 4)), lambda a: np.broadcast_to(a[:1], (5, 3, 4))),
    "add": (lambda v: v + v[:, :1], lambda a: a + a[:, :1]),
    "subtract": (lambda v: v[0] - v, lambda a: a[0] - a),
    "add an array": (lambda v: 2 - v + X[0], lambda a: 2 - a + X[0]),
    "grow by an array": (lambda v: v[0, 0] + X, lambda a: a[0, 0] + X),
    "times an array": (lambda v: v[0] * X, lambda a: a[0] * X),
    "divide": (lambda v: v / 3, lambda a: a / 3),
    "negate": (lambda v: -v, lambda a: -a),
    "times": (lambda v: v * v[:, :1], lambda a: a * a[:, :1]),
    "outer": (lambda v: v[0, 0].reshape(4, 1) * v[1, :, 0].reshape(1, 3), lambda a: np.outer(a[0, 0], a[1, :, 0])),
    "times a scalar": (lambda v: v * v[0, 0, 0], lambda a: a * a[0, 0, 0]),
    "itself": (lambda v: v * v, lambda a: a * a),
    "matmul": (lambda v: matmul(v, v.transpose(0, 2, 1)), lambda a: a @ a.transpose(0, 2, 1)),
    "einsum": (lambda v: einsum("aij,bij->ab", v, v + 1), lambda a: np.einsum("aij,bij->ab", a, a + 1)),
    "linear": (lambda v: linear(v, X[0], X[0, :, 0]), lambda a: a @ X[0].T + X[0, :, 0]),
    "a constant": (lambda v: constant(X) * v, lambda a: X * a),
    "only a constant": (lambda v: constant(X[0]) + 0 * v[0], lambda a: X[0]),
    "softmax": (lambda v: v.softmax(1), lambda a: np.exp(a) / np.exp(a).sum(1, keepdims=True)),
    "log-softmax": (lambda v: v.softmax(-1, "log_softmax"), lambda a: a - np.log(np.exp(a).sum(2, keepdims=True))),
    "log-sum-exp": (lambda v: v.softmax(0, "logsumexp"), lambda a: np.log(np.exp(a).sum(0))),
}


@pytest.mark.parametrize("name", MOVES)
def test_values_behave_like_arrays(name):
    ours, numpys = MOVES[name]
    y = ours(network_input(X.shape))
    assert y.shape == numpys(X).shape
    network = as_network(y, name, X.shape)
    judge(network, numpys, np.random.default_rng(1).normal(size=(2, X.size)))


def test_moves_that_undo_each_other_leave_nothing():
    x = network_input((2, 3, 4))
    assert as_network(x.transpose(1, 0, 2).transpose(1, 0, 2).reshape(6, 4)).nodes == ()
    assert len(as_network(x.transpose(2, 1, 0)[1:].reshape(-1)[::2]).nodes) == 1


def test_what_does_not_fit_is_refused():
    x = network_input((2, 3))
    with pytest.raises(ShapeError, match=r"shape \(2, 3\) cannot take the shape \(4, 2\)"):
        x.reshape(4, 2)
    with pytest.raises(ShapeError, match=r"shapes \(2, 3\) and \(2, 2\) do not go together"):
        x + x[:, :2]
    with pytest.raises(ShapeError, match="plus a positive constant"):
        x / x
    with pytest.raises(NumberError, match="without zeros"):
        x / [1, 0, 2]
    with pytest.raises(ShapeError, match="expected a value of 4 channels"):
        conv(x, np.ones((2, 4, 1)))
    with pytest.raises(ShapeError, match="does not fit into the image"):
        conv(x, np.ones((2, 2, 9)))
    with pytest.raises(ShapeError, match="one network input, got 2"):
        as_network(x + network_input((2, 3)))
    with pytest.raises(ShapeError, match="one network input, got 0"):
        as_network(constant([1.0]))
