"""PyTorch's modules with kinks: with smooth=0 what the module computes, with smooth=delta within delta of it."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch_zoo import function, seq  # noqa: E402

from compile import forward, from_torch  # noqa: E402
from gpac import LoadError  # noqa: E402

ROW, IMAGE = (1, 5), (1, 2, 7, 6)
CASES = {
    "relu": (nn.ReLU(), ROW),
    "relu6": (nn.ReLU6(), ROW),
    "leaky relu": (nn.LeakyReLU(0.2), ROW),
    "one slope": (nn.PReLU(), ROW),
    "a slope per channel": (nn.PReLU(2, init=0.3), IMAGE),
    "random slopes": (nn.RReLU(), ROW),
    "elu": (nn.ELU(0.7), ROW),
    "selu": (nn.SELU(), ROW),
    "celu": (nn.CELU(1.5), ROW),
    "hard tanh": (nn.Hardtanh(-0.5, 0.8), ROW),
    "hard sigmoid": (nn.Hardsigmoid(), ROW),
    "hard swish": (nn.Hardswish(), ROW),
    "soft shrink": (nn.Softshrink(0.3), ROW),
    "softsign": (nn.Softsign(), ROW),
    "threshold": (nn.Threshold(0.1, 0.1), ROW),
    "abs": (function(torch.abs), ROW),
    "clamp": (function(lambda x: x.clamp(-0.3, 0.4)), ROW),
    "clamp from below": (function(lambda x: x.clamp(min=-0.3)), ROW),
    "clamp from above": (function(lambda x: x.clamp(max=0.3)), ROW),
    "max along an axis": (function(lambda x: x.max(dim=1).values), ROW),
    "max of all": (function(lambda x: x.max()), ROW),
    "min of all": (function(lambda x: x.min()), ROW),
    "amax": (function(lambda x: x.amax(dim=(1, 2))), (1, 3, 4)),
    "amin": (function(lambda x: x.amin(dim=1, keepdim=True)), (1, 3, 4)),
    "maximum": (function(lambda x: torch.maximum(x, x.flip(1))), ROW),
    "minimum": (function(lambda x: torch.minimum(x, torch.tensor(0.2))), ROW),
    "max pool 1d": (nn.MaxPool1d(3, 2, 1), (1, 2, 9)),
    "max pool 2d": (nn.MaxPool2d(3, 2, 1, ceil_mode=True), IMAGE),
    "max pool dilated": (nn.MaxPool2d(2, 1, dilation=2), IMAGE),
    "max pool 3d": (nn.MaxPool3d(2), (1, 1, 4, 4, 5)),
    "adaptive max pool": (nn.AdaptiveMaxPool2d((3, 2)), IMAGE),
    "in place": (seq(nn.Linear(5, 4), nn.ReLU(inplace=True), nn.Hardtanh(inplace=True)), ROW),
    "a cnn": (
        seq(nn.Conv2d(2, 3, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.LeakyReLU(), nn.Flatten(), nn.Linear(27, 4)),
        IMAGE,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_it_is_the_module_and_stays_within_the_distance(name):
    module, shape = CASES[name]
    module = module.double().eval()
    itself = from_torch(module, torch.zeros(shape), smooth=0)
    smooth = from_torch(module, torch.zeros(shape), smooth=1e-3)
    x = 2 * np.random.default_rng(0).normal(size=(100, itself.size))
    with torch.no_grad():
        truth = np.array([module(torch.tensor(row).reshape(shape)).numpy().ravel() for row in x])
    assert_allclose(forward(itself, x), truth, rtol=1e-12, atol=1e-13)
    everywhere, seen = float(smooth.distance()), np.abs(forward(smooth, x) - truth).max()
    assert seen <= everywhere + 1e-13
    if name not in ("in place", "a cnn", "softsign"):
        assert 1e-5 < seen <= everywhere <= 1e-3 * (1 + 1e-6)


@pytest.mark.parametrize("name", [n for n in CASES if n not in ("in place", "a cnn", "threshold")])
def test_without_smooth_the_node_is_named(name):
    module, shape = CASES[name]
    with pytest.raises(LoadError, match=r"node \d of \d, .*is not analytic .it has a kink.*give smooth=delta"):
        from_torch(module, torch.zeros(shape))


@pytest.mark.parametrize("module", [nn.Hardshrink(), nn.Threshold(0.1, 20.0), function(torch.sign)])
def test_a_jump_is_refused_with_smooth_too(module):
    with pytest.raises(LoadError, match="jump"):
        from_torch(module, torch.zeros(ROW), smooth=1e-3)
    with pytest.raises(LoadError, match="a recurrent layer with relu is not supported"):
        from_torch(nn.RNN(2, 3, nonlinearity="relu"), torch.zeros(4, 1, 2), smooth=1e-3)
