"""Live PyTorch modules: what is read computes what the module computes, and what cannot be read is named."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

torch = pytest.importorskip("torch")
nn = torch.nn

from torch_zoo import ZOO, function  # noqa: E402

import gpac  # noqa: E402
from compile import enclose_forward, forward, homotopy, sequential  # noqa: E402
from compile.frontends.torch_graph import from_torch  # noqa: E402
from compile.schemes.conditioning import digits_lost, predicted_digits_lost  # noqa: E402
from gpac import LoadError, NumberError  # noqa: E402


def agrees(module, shape, seed=0, atol=1e-12):
    """`forward` against the module in float64 on random inputs; the network."""
    torch.manual_seed(seed)
    network = from_torch(module, torch.zeros(shape))
    x = np.random.default_rng(seed).normal(size=(3, network.size))
    double = module.double().eval()
    with torch.no_grad():
        outputs = [double(torch.tensor(row).reshape(shape)) for row in x]
    truth = np.array([(y[0] if isinstance(y, tuple) else y).numpy().reshape(-1) for y in outputs])
    assert_allclose(forward(network, x), truth, rtol=1e-12, atol=atol)
    return network


@pytest.mark.parametrize("name", ZOO)
def test_the_zoo_agrees_with_forward_and_loses_the_digits_predicted(name):
    """Sequential to 1e-12 relative at the tolerance of reports; both to one digit more than predicted at the least."""
    make, shape = ZOO[name]
    torch.manual_seed(3)
    network = from_torch(make(), torch.zeros(shape))
    x = np.random.default_rng(0).normal(size=(3, network.size))
    truth = forward(network, x)
    exact = np.array([[float(v) for v in enclose_forward(network, row, digits=25).mid] for row in x])
    for scheme in (sequential, homotopy):
        program = scheme(network)
        if scheme is sequential:
            got = gpac.solve(program, inputs=x, tol=1e-14).check().outputs
            assert (np.abs(got - truth) <= 1e-12 * np.maximum(1, np.abs(truth))).all()
        least = gpac.solve(program, inputs=x, tol=2e-16).check().outputs
        assert digits_lost(least, exact) <= predicted_digits_lost(network, x, scheme.__name__) + 1


@pytest.mark.parametrize("name", ZOO)
def test_what_is_read_computes_what_the_module_computes(name):
    make, shape = ZOO[name]
    torch.manual_seed(3)
    # sin(30 x) magnifies roundings by 30 a layer
    network = agrees(make(), shape, atol=1e-10 if name == "siren" else 1e-12)
    if name != "unbatched mlp" and shape[0] == 1:
        assert network.input_shape == shape[1:]


@pytest.mark.parametrize("name", ZOO)
def test_the_schemes_and_balls_compute_it_too(name):
    make, shape = ZOO[name]
    torch.manual_seed(3)
    network = from_torch(make(), torch.zeros(shape))
    x = np.random.default_rng(1).normal(size=(2, network.size)) / 2
    truth = forward(network, x)
    exact = enclose_forward(network, x[0], digits=18)
    size = max(1.0, np.abs(truth).max())
    loose = 1000 if name == "siren" else 1  # sin(30 x) magnifies the error of a step by 30 a layer
    assert_allclose([float(m) for m in exact.mid], truth[0], rtol=0, atol=1e-13 * size * loose)
    for scheme, tolerance in ((sequential, 1e-12), (homotopy, 1e-10)):
        got = gpac.solve(scheme(network), inputs=x, tol=1e-14).check().outputs
        assert_allclose(got, truth, rtol=0, atol=tolerance * size * loose, err_msg=scheme.__name__)


def test_weights_are_the_modules_numbers():
    module = nn.Linear(3, 2)
    (node,) = from_torch(module, torch.zeros(1, 3)).nodes
    assert np.array_equal(node.operation.weight, module.weight.detach().numpy().astype(np.float64))
    assert module.weight.dtype == torch.float32 and module.training  # and the module is as it was


REFUSED = {
    "relu": (nn.ReLU(), r"node 1 of 1, relu 'relu': 'relu' is not analytic"),
    "leaky": (nn.LeakyReLU(), "'leaky_relu' is not analytic"),
    "elu": (nn.ELU(), "'elu' is not analytic"),
    "hard tanh": (nn.Hardtanh(), "'hardtanh' is not analytic"),
    "hard swish": (nn.Hardswish(), "'hardswish' is not analytic"),
    "max pool": (nn.MaxPool1d(2), "'max_pool' is not analytic"),
    "abs": (function(torch.abs), "'abs' is not analytic"),
    "clamp": (function(lambda x: x.clamp(-1, 1)), "'clamp' is not analytic"),
    "softsign": (nn.Softsign(), "'abs' is not analytic"),
    "unknown": (function(lambda x: torch.lgamma(x)), "lgamma 'lgamma': this operator is not supported; supported are"),
    "root of anything": (function(torch.sqrt), "plus a positive constant"),
    "batch statistics": (nn.BatchNorm1d(2, track_running_stats=False), "normalises over the batch"),
    "constant": (function(lambda x: torch.ones(2)), "does not depend on its input"),
    "branch on the input": (function(lambda x: x if x.sum() > 0 else -x), "PyTorch cannot export Wrapped"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_is_named(name):
    module, message = REFUSED[name]
    with pytest.raises(LoadError, match=message):
        from_torch(module, torch.zeros(1, 2, 4))


def test_bad_arguments_are_named():
    with pytest.raises(LoadError, match=r"expected a torch.nn.Module and an example tensor, got function and list"):
        from_torch(lambda x: x, [1])
    with pytest.raises(LoadError, match=r"expected one input of floats, and others of integers, got \['torch.float32'"):
        from_torch(nn.Bilinear(2, 2, 1), (torch.zeros(1, 2), torch.zeros(1, 2)))
    module = nn.Linear(2, 1)
    module.weight.data[0, 1] = float("nan")
    with pytest.raises((LoadError, NumberError), match="nan"):
        from_torch(module, torch.zeros(1, 2))
