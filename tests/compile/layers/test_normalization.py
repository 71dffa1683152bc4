"""Normalisation layers against their formulas in numpy, and PyTorch where it is installed."""

import numpy as np
import pytest
from judge import judge
from numpy.testing import assert_allclose

from compile import enclose_forward, forward
from compile.build import as_network, linear
from compile.layers import batch_norm, group_norm, instance_norm, layer_norm, rms_norm
from compile.value import network_input
from gpac import NumberError, ShapeError

RNG = np.random.default_rng(5)
W, b = RNG.normal(size=(4, 6)), RNG.normal(size=(4, 6))
c, d = RNG.normal(size=4), RNG.normal(size=4)
mean, variance = RNG.normal(size=4), RNG.uniform(0.3, 2, size=4)


def by_numpy(x, axes, eps, centre=True):
    x = x - x.mean(axes, keepdims=True) if centre else x
    return x / np.sqrt((x * x).mean(axes, keepdims=True) + eps)


column = c[:, None], d[:, None]
CASES = {
    "layer norm": (lambda v: layer_norm(v, 1, W[0], b[0]), lambda a: by_numpy(a, 1, 1e-5) * W[0] + b[0]),
    "layer norm of all": (lambda v: layer_norm(v, 2, W, b, 1e-3), lambda a: by_numpy(a, (0, 1), 1e-3) * W + b),
    "plain layer norm": (lambda v: layer_norm(v, 1), lambda a: by_numpy(a, 1, 1e-5)),
    "rms norm": (lambda v: rms_norm(v, 1, W[0], 1e-6), lambda a: by_numpy(a, 1, 1e-6, centre=False) * W[0]),
    "group norm": (
        lambda v: group_norm(v, 2, c, d),
        lambda a: by_numpy(a.reshape(2, 12), 1, 1e-5).reshape(4, 6) * column[0] + column[1],
    ),
    "instance norm": (lambda v: instance_norm(v), lambda a: by_numpy(a, 1, 1e-5)),
    "batch norm": (
        lambda v: batch_norm(v, mean, variance, c, d, 1e-5),
        lambda a: (a - mean[:, None]) / np.sqrt(variance + 1e-5)[:, None] * column[0] + column[1],
    ),
    "exact batch norm": (
        lambda v: batch_norm(v, mean, variance, c, d, 1e-5, exact=True),
        lambda a: (a - mean[:, None]) / np.sqrt(variance + 1e-5)[:, None] * column[0] + column[1],
    ),
    "large offset": (lambda v: layer_norm(v, 1, eps=4.0), lambda a: by_numpy(a, 1, 4.0)),
}


@pytest.mark.parametrize("name", CASES)
def test_norms_are_their_formulas(name):
    ours, formula = CASES[name]
    x = network_input((4, 6))
    network = as_network(ours(x), name, x.shape)
    judge(network, formula, np.random.default_rng(1).normal(size=(3, 24)))


@pytest.mark.parametrize("name", ["layer norm", "group norm", "exact batch norm"])
def test_norms_between_dense_layers(name):
    ours, formula = CASES[name]
    rng = np.random.default_rng(7)
    A, B = rng.normal(size=(24, 5)), rng.normal(size=(2, 24)) / 5
    x = network_input((5,))
    h = ours(linear(x, A).apply("tanh").reshape(4, 6)).reshape(-1).apply("gelu_tanh")
    from compile.activations import RULES

    def expected(v):
        return B @ RULES["gelu_tanh"].arrays(formula(np.tanh(A @ v).reshape(4, 6)).reshape(-1), None)

    # the relaxation's own bound grows with eps**-1.5 per norm: it runs long, and is right
    judge(as_network(linear(h, B), name), expected, rng.normal(size=(2, 5)))


def test_torch_agrees():
    torch = pytest.importorskip("torch")
    modules = {
        "layer norm": torch.nn.LayerNorm(6),
        "rms norm": torch.nn.RMSNorm(6, eps=1e-6),
        "group norm": torch.nn.GroupNorm(2, 4),
        "instance norm": torch.nn.InstanceNorm1d(4),
    }
    x = np.random.default_rng(2).normal(size=(4, 6))
    for name, module in modules.items():
        module = module.double()
        values = {"layer norm": (W[0], b[0]), "rms norm": (W[0],), "group norm": (c, d)}.get(name, ())
        with torch.no_grad():
            for parameter, array in zip(module.parameters(), values, strict=True):
                parameter.copy_(torch.tensor(array))
            y = CASES[name][0](network_input((4, 6)))
            truth = module(torch.tensor(x)[None])[0].numpy()
            assert_allclose(forward(as_network(y), x.reshape(-1)), truth.reshape(-1), atol=1e-14)


def test_an_exact_batch_norm_is_the_irrational_number():
    import mpmath

    y = batch_norm(network_input((1, 1)), [0.0], [2.0], [1.0], [0.0], eps=1.0, exact=True)
    with mpmath.workdps(60):
        assert enclose_forward(as_network(y), [1], digits=50).contains([1 / mpmath.sqrt(3)])


def test_what_does_not_fit_is_refused():
    x = network_input((4, 6))
    with pytest.raises(ShapeError, match="3 groups do not divide 4 channels"):
        group_norm(x, 3)
    with pytest.raises(NumberError, match="positive offset for 'rsqrt', got 0"):
        layer_norm(x, 1, eps=0)
    with pytest.raises(NumberError, match="variances that are not negative"):
        batch_norm(x, mean, -variance, c, d, 1e-5)
