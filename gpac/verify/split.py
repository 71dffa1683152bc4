"""Boxes of inputs in pieces: cut where it matters most, each piece proven by itself, their hull the answer."""

from __future__ import annotations

import heapq
import time as clock
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..circuit import Circuit
from ..errors import GpacError
from ..exact import to_arb
from ..precision import working_precision
from ..schedule import Schedule
from .proof import Answer, Proof

Ball = Any
Inputs = dict[str, list[Any]]

EXACT = 4096
"""Bits with which boxes are halved; what that rounds makes the halves wider, never narrower."""


@dataclass(frozen=True, eq=False)
class _Piece:
    """A part of the box and what is proven about it."""

    inputs: Inputs
    proof: Proof

    @property
    def width(self) -> float:
        """Of its widest output; inf where nothing is proven."""
        return _width(self.proof)


def prove_in_pieces(
    runnable: Circuit | Schedule,
    end: Any,
    given: Inputs,
    most: int,
    width: float,
    prove_one: Callable[[Inputs, float | None], Proof],
    seconds: float | None,
    progress: Callable[[float], None],
) -> Proof:
    """Prove at most `most` parts of a box, the widest image cut first, until all images are narrower than `width`.

    Parameters
    ----------
    given : inputs by name, some of them balls that are not exact
    prove_one : callable
        `prove_one(inputs, seconds)`: the proof for one part.

    Returns
    -------
    Proof
        Its balls contain the images of all parts; `pieces` are the parts' own proofs, and the inputs of each are in
        its `question`. Ctrl-C and the end of `seconds` leave the parts that are there.
    """
    deadline = None if seconds is None else clock.monotonic() + seconds

    def left() -> float | None:
        return None if deadline is None else max(1e-3, deadline - clock.monotonic())

    first = _Piece(given, prove_one(given, left()))
    waiting, number = [(-first.width, 0, first)], 0
    done: list[_Piece] = []
    try:
        while waiting and len(waiting) + len(done) < most and (deadline is None or clock.monotonic() < deadline):
            if waiting[0][2].width <= width:
                break
            piece = waiting[0][2]
            halves = [_Piece(half, prove_one(half, left())) for half in _halves(runnable, end, piece)]
            heapq.heappop(waiting)
            if not halves or (piece.width < np.inf and any(not h.width < np.inf for h in halves)):
                done.append(piece)  # nothing to be cut, or the halves lack the time that the whole had
                continue
            for half in halves:
                number += 1
                heapq.heappush(waiting, (-half.width, number, half))
            progress((len(waiting) + len(done)) / most)
    except KeyboardInterrupt:
        pass
    return _hull(first.proof, [*done, *(entry[2] for entry in waiting)])


def _width(proof: Proof) -> float:
    if proof.answer is not Answer.PROVEN:
        return float("inf")
    return max((2 * float(b.rad()) for b in proof.balls), default=0.0)


def _halves(runnable: Circuit | Schedule, end: Any, piece: _Piece) -> list[Inputs]:
    """Both halves along the input with most influence on the widest output; none where the box is a point."""
    import flint

    radii = {(n, i): _radius(v) for n, values in piece.inputs.items() for i, v in enumerate(values)}
    wide = {key: r for key, r in radii.items() if r > 0}
    if not wide:
        return []
    name, entry = max(wide, key=_influences(runnable, end, piece, wide).__getitem__)
    out: list[Inputs] = []
    with working_precision(EXACT):
        ball = to_arb(piece.inputs[name][entry])
        for side in (-1, 1):
            half = ball.mid() + side * ball.rad() / 2 + flint.arb(0, ball.rad() / 2)
            values = list(piece.inputs[name])
            values[entry] = half
            out.append(piece.inputs | {name: values})
    return out


def _radius(value: Any) -> float:
    return float(value.rad()) if type(value).__name__ == "arb" else 0.0


def _influences(
    runnable: Circuit | Schedule, end: Any, piece: _Piece, wide: Mapping[tuple[str, int], float]
) -> Mapping[tuple[str, int], float]:
    """Estimates of how far each uncertain entry moves the widest output (all of them, where none is known)."""
    from ..solver import solve

    middle = {n: np.array([float(v) for v in values]) for n, values in piece.inputs.items()}
    names = sorted({n for n, _ in wide})
    t = None if isinstance(runnable, Schedule) else float(end)
    try:
        jacobian = solve(runnable, t, middle, derivatives=names, tol=1e-6, max_seconds=60).jacobian
    except GpacError:
        return wide
    assert jacobian is not None
    rows = slice(None)
    if piece.proof.answer is Answer.PROVEN:
        row = int(np.argmax([float(b.rad()) for b in piece.proof.balls]))
        rows = slice(row, row + 1)
    moved = {(n, i): float(np.abs(jacobian[n][rows, i]).max()) * r for (n, i), r in wide.items()}
    return moved if all(np.isfinite(v) for v in moved.values()) and any(moved.values()) else wide


def _hull(first: Proof, pieces: list[_Piece]) -> Proof:
    """What the proofs of all pieces say together."""

    proofs = tuple(p.proof for p in pieces)
    figures: dict[str, Any] = {
        "bits": max(p.bits for p in proofs),
        "steps": sum(p.steps for p in proofs),
        "order": max(p.order for p in proofs),
        "reached": min(p.reached for p in proofs),
        "pieces": proofs,
        "question": first.question,
    }
    answers = {p.answer for p in proofs}
    if answers == {Answer.PROVEN}:
        with working_precision(figures["bits"] + 64):
            balls = list(proofs[0].balls)
            for proof in proofs[1:]:
                balls = [a.union(b) for a, b in zip(balls, proof.balls, strict=True)]
        return Proof(Answer.PROVEN, tuple(balls), proofs[0].names, **figures)
    if answers == {Answer.ENDS}:
        ends = [p.end for p in proofs if p.end is not None]
        hull = min(e[0] for e in ends), max(e[1] for e in ends)
        return Proof(Answer.ENDS, reason="It ends for every input of the box.", end=hull, **figures)
    bad = next(p for p in proofs if p.answer is not Answer.PROVEN)
    count = sum(p.answer is not Answer.PROVEN for p in proofs)
    told = bad.reason if bad.answer is Answer.UNKNOWN else f"{bad.answer.value} {bad.reason}"
    reason = f"Of {len(proofs)} pieces of the box {count} are not proven, the first of them because: {told}"
    return Proof(Answer.UNKNOWN, reason=reason, **figures)
