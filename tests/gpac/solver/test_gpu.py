"""The array engine on a CUDA device, where there is one."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from problems import PROBLEMS

import gpac
from compile import Network, Sigmoid, dense, homotopy, relaxation, sequential

pytestmark = pytest.mark.gpu
cupy = pytest.importorskip("cupy", reason="CuPy is not installed (extra gpu)")


@pytest.fixture(autouse=True)
def device():
    try:
        cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        pytest.skip(f"no CUDA device: {error}")


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda p: p.name)
def test_a_device_gives_the_numbers_of_the_processor(problem):
    here = gpac.solve(problem.system, float(problem.t), tol=1e-12)
    there = gpac.solve(problem.system, float(problem.t), tol=1e-12, backend="cupy")
    assert np.allclose(cupy.asnumpy(there.outputs), here.outputs, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("scheme", [homotopy, sequential, relaxation])
def test_results_live_where_the_inputs_lived_and_have_the_same_bits_in_any_batch(scheme):
    rng = np.random.default_rng(0)
    layers = [dense(rng.normal(size=(20, 5)), rng.normal(size=20)), Sigmoid(), dense(rng.normal(size=(3, 20)))]
    program, x = scheme(Network(5, layers)), cupy.asarray(rng.normal(size=(100, 5)))
    together = gpac.solve(program, inputs=x)
    assert isinstance(together.outputs, cupy.ndarray)
    for k in (0, 17, 99):
        assert bool((gpac.solve(program, inputs=x[k]).outputs == together.outputs[k]).all())


def test_results_of_an_executor_live_where_the_inputs_lived():
    rng = np.random.default_rng(0)
    layers = [dense(rng.normal(size=(20, 5)), rng.normal(size=20)), Sigmoid(), dense(rng.normal(size=(3, 20)))]
    program, x = homotopy(Network(5, layers)), cupy.asarray(rng.normal(size=(100, 5)))
    here = gpac.solve(program, inputs=x)
    with ThreadPoolExecutor(1) as executor:
        there = gpac.solve(program, inputs=x, executor=executor)
    assert isinstance(there.outputs, cupy.ndarray)
    assert isinstance(there.steps, cupy.ndarray)
    assert bool((there.outputs == here.outputs).all())
