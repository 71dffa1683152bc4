"""Labels of boxes of inputs: proven, refuted by an exact input, or left open."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from compile import Network, Sigmoid, Softmax, Tanh, Verdict, dense, enclose_forward, forward, load, robust
from compile.groups import Groups
from gpac import NumberError, ShapeError

NETWORKS = Path(__file__).parents[3] / "shared" / "networks"
LARGER = Network(2, [dense([[1.0, 0.0], [0.0, 1.0]]), Tanh()])
"""The larger of two inputs has the label."""


def _refutes(network: Network, x: np.ndarray, eps: float, found) -> None:
    """Check a counterexample against balls, and that it is within eps exactly."""
    assert found.verdict is Verdict.NO
    assert all(abs(a - Fraction(float(b))) <= Fraction(eps) for a, b in zip(found.counterexample, x, strict=True))
    balls = enclose_forward(network, found.counterexample, digits=30).balls
    if len(balls) == 1:
        assert balls[0] > 0 if found.other else balls[0] < 0
    else:
        assert balls[found.other] > balls[found.label]


@pytest.mark.parametrize("softmax", [False, True])
def test_a_threshold_that_is_known_is_met_from_both_sides(softmax):
    network = Network(2, [*LARGER.layers, Softmax(Groups(np.zeros(2, dtype=int)))]) if softmax else LARGER
    x, edge = [Fraction(1, 2), Fraction(0)], Fraction(1, 4)  # x0 - eps = x1 + eps
    closer = Fraction(1, 10**6)
    assert robust(network, x, edge - closer).verdict is Verdict.YES
    no = robust(network, x, edge + closer)
    assert no.verdict is Verdict.NO and no.label == 0 and no.other == 1
    assert no.counterexample[1] > no.counterexample[0]
    assert max(abs(a - b) for a, b in zip(no.counterexample, x, strict=True)) <= edge + closer
    at = robust(network, x, edge, max_boxes=200)  # equality at one corner: neither answer is true
    assert at.verdict is Verdict.UNKNOWN and at.boxes <= 201 and "budget" in at.reason


def test_limits_cut_the_box():
    assert robust(LARGER, [0.5, 0.0], 0.3, high=[1.0, 0.125]).verdict is Verdict.YES
    assert robust(LARGER, [0.5, 0.0], [0.3, 0.0]).verdict is Verdict.YES
    no = robust(LARGER, [0.5, 0.0], 0.3, low=0)
    assert no.verdict is Verdict.NO and min(no.counterexample) >= 0


@pytest.mark.parametrize("name", ["ring_tanh_2_3_1", "digits_tanh_64_32_16_10"])
def test_example_networks_at_growing_radius(name):
    network = load(f"examples/networks/{name}.onnx")
    rng = np.random.default_rng(0)
    verdicts = []
    for x in rng.uniform(-1, 1, (3, network.size)):
        for eps in (1e-3, 0.01, 0.1, 0.3):
            found = robust(network, x, eps, max_boxes=300)
            verdicts.append(found.verdict)
            if found.verdict is Verdict.NO:
                _refutes(network, x, eps, found)
            if found.verdict is Verdict.YES:
                points = np.clip(x + eps * rng.choice([-1.0, 0.0, 1.0], (500, network.size)), x - eps, x + eps)
                values = forward(network, points)
                labels = (values[:, 0] > 0).astype(int) if values.shape[1] == 1 else values.argmax(axis=1)
                assert (labels == found.label).all() and found.margin > 0
    assert {Verdict.YES, Verdict.NO} <= set(verdicts)


@pytest.mark.parametrize("name", ["verisig_acc_tanh.yml", "verisig_mc_sig_2x16.yml"])
def test_networks_of_others(name):
    if not (NETWORKS / name).exists():
        pytest.skip(f"the network {name} is not on this machine")
    network = load(NETWORKS / name)
    x = np.zeros(network.size)
    assert robust(network, x, 1e-4).verdict is Verdict.YES
    far = robust(network, x, 8.0, max_boxes=2000)
    assert far.verdict is not Verdict.YES
    if far.verdict is Verdict.NO:
        _refutes(network, x, 8.0, far)


def test_cutting_decides_what_one_box_does_not():
    rng = np.random.default_rng(3)
    network = Network(
        2, [dense(rng.normal(size=(8, 2)) * 3, rng.normal(size=8)), Sigmoid(), dense(rng.normal(size=(3, 8)))]
    )
    decided = [robust(network, x, 0.4, max_boxes=5000) for x in rng.uniform(-1, 1, (8, 2))]
    assert all(r.verdict is not Verdict.UNKNOWN for r in decided)
    assert any(r.verdict is Verdict.YES and r.boxes > 1 for r in decided)


def test_progress_and_a_clean_stop():
    told: list[float] = []
    assert robust(LARGER, [0.5, 0.0], 0.1, progress=told.append).verdict is Verdict.YES and told[-1] == 1.0
    late = robust(LARGER, [0.5, 0.0], Fraction(1, 4), seconds=0.05, max_boxes=10**9)
    assert late.verdict is Verdict.UNKNOWN and late.margin <= 0

    def stop(fraction: float) -> None:
        raise KeyboardInterrupt

    stopped = robust(LARGER, [0.5, 0.0], Fraction(1, 4), progress=stop)
    assert stopped.verdict is Verdict.UNKNOWN and "interrupted" in stopped.reason


def test_a_tie_at_the_input_itself_is_said():
    tie = robust(LARGER, [0.5, 0.5], 0.1)
    assert tie.verdict is Verdict.UNKNOWN and "told apart" in tie.reason


def test_wrong_questions_are_refused():
    with pytest.raises(NumberError, match="eps must be positive"):
        robust(LARGER, [0.0, 1.0], 0.0)
    with pytest.raises(ShapeError, match="x to be 2 numbers"):
        robust(LARGER, [0.0, 1.0, 2.0], 0.1)
    with pytest.raises(NumberError, match="outside of low and high"):
        robust(LARGER, [0.0, 1.0], 0.1, high=0.5)
    with pytest.raises(NumberError, match="max_boxes"):
        robust(LARGER, [0.0, 1.0], 0.1, max_boxes=0)
