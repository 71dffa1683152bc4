"""Is the label the same for every input within eps? Yes with a proof, no with an input that shows it, or unknown.

Branch and bound: affine forms (`compile.zonotope`) bound how far every other output stays below that of the label;
a box on which this is not decided is cut in two where its inputs have most influence on the output that comes
closest. Boxes are tried in the order of how bad they look, and their worst corners as counterexamples.
"""

from __future__ import annotations

import heapq
import time as clock
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from fractions import Fraction
from typing import Any

import numpy as np

from gpac.errors import NumberError, ShapeError
from gpac.exact import exact_array, to_fractions
from gpac.precision import working_precision

from .balls import ball_values, enclose_forward
from .boxes import Box
from .network import Network, forward
from .operations import Softmax
from .zonotope import Floats, Prepared, Zonotope

DIGITS = (15, 30, 60)
"""Digits with which an input is tried as a counterexample, one after the other."""


class Verdict(Enum):
    """The answer; its value is a sentence."""

    YES = "Every input of the box has the label."
    NO = "An input of the box has another label."
    UNKNOWN = "Neither was proven."

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, eq=False)
class Robustness:
    """Whether all inputs of a box have one label.

    Attributes
    ----------
    verdict : Verdict
    label : int
        Number of the largest output at the input itself; of a network with one output, 1 if it is positive, else 0.
    counterexample : tuple of Fraction, optional
        For NO: an input of the box at which another output is larger for certain (a single output has another sign).
    other : int, optional
        For NO: the label there.
    margin : float
        Proven lower bound, over the whole box, on the label's output minus any other (on the distance of a single
        output from 0 on its side); before a last softmax. -inf before any box was looked at.
    boxes : int
        Boxes that were looked at.
    reason : str
        For UNKNOWN: what stood in the way.
    """

    verdict: Verdict
    label: int
    counterexample: tuple[Fraction, ...] | None = None
    other: int | None = None
    margin: float = -np.inf
    boxes: int = 0
    reason: str = ""

    def __repr__(self) -> str:
        told = f"label {self.label}, {self.boxes} boxes" + (f": {self.reason}" if self.reason else "")
        return f"Robustness({self.verdict.name}: {told})"


def robust(
    network: Network,
    x: Any,
    eps: Any,
    *,
    low: Any = None,
    high: Any = None,
    max_boxes: int = 10_000,
    seconds: float | None = None,
    progress: Callable[[float], None] | None = None,
) -> Robustness:
    """Whether the network gives one label to every input within eps of x, entry by entry.

    Parameters
    ----------
    x : (size,) exact numbers
        Floats are the dyadics that they are.
    eps : positive exact number, or (size,) of them that are not negative
    low, high : exact numbers or (size,), optional
        Inputs are within these besides, such as 0 and 1 for pixels.
    max_boxes : int
        Boxes looked at before the answer is UNKNOWN.
    seconds : float, optional
        Wall-clock time allowed.
    progress : callable, optional
        Called with the fraction of the box's volume that is decided.

    Returns
    -------
    Robustness
        About the network's exact real function: with smooth=delta that is the smooth one, and `network.original` is
        the one with kinks. Ctrl-C gives UNKNOWN with what was found.

    >>> from compile import Network, Tanh, dense
    >>> network = Network(2, [dense([[1.0, 0.0], [0.0, 1.0]]), Tanh()])   # the larger input has the label
    >>> robust(network, [0.5, 0.0], 0.2).verdict.name, robust(network, [0.5, 0.0], 0.3).verdict.name
    ('YES', 'NO')
    """
    if not max_boxes >= 1:
        raise NumberError(f"max_boxes must be at least 1, got {max_boxes!r}")
    centre = _vector(network, x, "x")
    radius = _vector(network, eps, "eps")
    if (radius < 0).any() or not (radius > 0).any():
        raise NumberError(f"eps must be positive, got {eps!r}")
    box = Box.of(centre - radius, centre + radius, _limit(network, low, "low"), _limit(network, high, "high"))
    if not box.holds(centre):
        raise NumberError("x itself lies outside of low and high")
    label = _label(network, centre)
    if label is None:
        return Robustness(Verdict.UNKNOWN, -1, reason="at x itself two outputs could not be told apart")
    search = _Search(network, box, label, max_boxes, seconds, progress or (lambda _: None))
    return search.run(centre)


def _vector(network: Network, values: Any, name: str) -> Floats:
    """Fractions (size,)."""
    array = to_fractions(exact_array(values)).reshape(-1)
    if len(array) == 1:
        array = np.repeat(array, network.size)
    if len(array) != network.size:
        raise ShapeError(f"expected {name} to be {network.size} numbers for {network!r}, got {len(array)}")
    if not all(isinstance(v, Fraction) for v in array):
        raise NumberError(f"expected {name} to be rational numbers, got symbolic constants")
    return array


def _limit(network: Network, value: Any, name: str) -> Floats | None:
    return None if value is None else _vector(network, value, name)


def _label(network: Network, x: Floats) -> int | None:
    """The label at an exact input, or None where it could not be decided."""
    depth = _depth(network)
    for digits in DIGITS:
        balls = _balls(network, x, depth, digits)
        if len(balls) == 1:
            if balls[0] > 0 or balls[0] < 0:
                return int(balls[0] > 0)
            continue
        best = max(range(len(balls)), key=lambda i: float(balls[i].mid()))
        if all(balls[best] > b for i, b in enumerate(balls) if i != best):
            return best
    return None


def _depth(network: Network) -> int:
    """Nodes up to the outputs that are compared: a last softmax over all of them does not change their order."""
    last = network.nodes[-1].operation
    if (
        isinstance(last, Softmax)
        and last.result != "logsumexp"
        and len(last.groups.members) == 1
        and len(network.nodes) > 1
    ):
        return network.nodes[-1].inputs[0] or len(network.nodes)
    return len(network.nodes)


def _balls(network: Network, x: Floats, depth: int, digits: int) -> list[Any]:

    from gpac.exact import to_arb

    if depth == len(network.nodes):
        try:
            return list(enclose_forward(network, x, digits).balls)
        except NumberError:
            pass
    with working_precision(int(3.33 * digits) + 96):
        return ball_values(network, [to_arb(v) for v in x], depth)[depth]


class _Search:
    """Branch and bound over one box."""

    def __init__(
        self,
        network: Network,
        box: Box,
        label: int,
        max_boxes: int,
        seconds: float | None,
        progress: Callable[[float], None],
    ) -> None:
        self.network, self.box, self.label, self.progress = network, box, label, progress
        self.max_boxes = max_boxes
        self.deadline = np.inf if seconds is None else clock.monotonic() + seconds
        self.prepared, self.depth = Prepared(network), _depth(network)
        self.width = network.widths[self.depth]
        self.others = np.array([i for i in range(self.width) if i != label])
        self.boxes, self.number = 0, 0

    def run(self, centre: Floats) -> Robustness:
        """Cut boxes until all are decided, one has a counterexample, or the budget is spent."""
        waiting: list[tuple[float, int, Floats, Floats, Floats, float]] = []
        safe, least, decided, reason = np.inf, -np.inf, 0.0, ""
        try:
            low, high = self.box.doubles()
            found = self._look(low, high, 1.0, waiting)
            if isinstance(found, tuple):
                return self._no(*found)
            safe, decided = (found, 1.0) if found is not None else (safe, decided)
            while waiting:
                if self.boxes >= self.max_boxes or clock.monotonic() > self.deadline:
                    reason, least = f"{self.boxes} boxes did not decide it, and the budget is spent", waiting[0][0]
                    break
                least, _, low, high, influence, share = heapq.heappop(waiting)
                k = int(np.argmax(influence))
                middle = low[k] / 2 + high[k] / 2
                if not low[k] < middle < high[k]:
                    reason = "a box as small as doubles allow remains undecided"
                    break
                for a, b in ((low[k], middle), (middle, high[k])):
                    first, second = low.copy(), high.copy()
                    first[k], second[k] = a, b
                    found = self._look(first, second, share / 2, waiting)
                    if isinstance(found, tuple):
                        return self._no(*found)
                    if found is not None:
                        safe, decided = min(safe, found), decided + share / 2
                self.progress(decided)
        except KeyboardInterrupt:
            reason = "the search was interrupted"
        if not reason:
            self.progress(1.0)
            return Robustness(Verdict.YES, self.label, margin=float(safe), boxes=self.boxes)
        margin = float(min(safe, least))
        return Robustness(Verdict.UNKNOWN, self.label, margin=margin, boxes=self.boxes, reason=reason)

    def _look(self, low: Floats, high: Floats, share: float, waiting: list) -> Any:
        """A box: its margin if that is positive, a counterexample, or None when it has to wait."""
        self.boxes += 1
        out = self.prepared.over(low, high, self.depth)
        margins, directions = self._margins(out)
        worst = int(np.argmin(margins))
        margin = float(margins[worst])
        if margin > 0:
            return margin
        wide = np.flatnonzero(high > low)
        direction = np.zeros(len(low))
        direction[wide] = directions[worst][: len(wide)]
        corner = np.where(direction > 0, low, np.where(direction < 0, high, low / 2 + high / 2))
        for point in (corner, low / 2 + high / 2):
            found = self._shows(point)
            if found:
                return found
        influence = np.abs(direction) if np.isfinite(direction).all() and direction.any() else high - low
        self.number += 1
        margin = margin if np.isfinite(margin) else -np.inf
        heapq.heappush(waiting, (margin, self.number, low, high, influence, share))
        return None

    def _margins(self, out: Zonotope) -> tuple[Floats, Floats]:
        """Lower bounds on the label's output minus the others, and the coefficients of these differences."""
        if self.width == 1:
            sign = 1 if self.label else -1
            margin = out.lower if self.label else -out.upper
            return margin, sign * out.G
        return out.below(self.label, self.others), out.G[self.label] - out.G[self.others]

    def _shows(self, point: Floats) -> tuple[Floats, int] | None:
        """An exact input near doubles, and its label, if that is another one for certain."""
        values = forward(self.network, point)
        guess = int(values[0] > 0) if self.width == 1 else int(np.argmax(values))
        if guess == self.label:
            return None
        exact = np.minimum(np.maximum(to_fractions(point), self.box.low), self.box.high)
        label = _label(self.network, exact)
        return None if label is None or label == self.label else (exact, label)

    def _no(self, point: Floats, label: int) -> Robustness:
        return Robustness(Verdict.NO, self.label, tuple(point), label, boxes=self.boxes)
