"""Prove: raise the working precision until every output is enclosed to the digits asked."""

from __future__ import annotations

import time as clock
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from math import ceil
from typing import Any

from ..arguments import System, as_runnable
from ..circuit import Circuit
from ..errors import GpacError, NumberError
from ..exact import to_arb, to_exact
from ..precision import working_precision
from ..schedule import Schedule
from .attempt import attempt
from .boxes import by_faces, hulls_of, mostly_symbols
from .magnitude import log2_ball
from .outcome import Ends, Limits, Reached, Stuck
from .proof import Answer, Proof, Question, dyadic_to_mpf
from .sets import count_boxes, exact_inputs, is_box

WIDEST_POINT, WIDEST_BOX = -4, -1
"""Widest useful ball as a power of two, relative to the state: for inputs that are numbers, and for boxes."""
LOG2_10 = 3.3219280948873626


def prove(
    system: System,
    t: Any = None,
    inputs: Any = None,
    *,
    digits: int = 15,
    initial: Any = None,
    max_bits: int = 1 << 16,
    max_steps: int = 20_000,
    seconds: float | None = None,
    progress: Callable[[float], None] | None = None,
    split: int | None = None,
    width: float | None = None,
) -> Proof:
    """Enclose every output to the digits asked: a theorem about exactly the input given, or UNKNOWN.

    Parameters
    ----------
    system : Circuit, Schedule or PIVP
    t : exact positive number, optional
        End time (a float is the dyadic it is); left out, the program's own horizon.
    inputs : (n,) exact numbers, or a mapping from input name to such
        Floats, `Fraction`, sympy constants, mpmath numbers. A `flint.arb`, an `mpmath.iv` number or a pair (low, high)
        of exact numbers is the set it is: the balls then contain the images of all its points, and are as wide as that
        makes them.
    digits : int
        Every radius will be below 10**-digits. Where inputs are boxes whose images are wider than that, the balls are
        PROVEN as well, as wide as that makes them.
    initial : (n,) exact numbers or sets, optional
        For a PIVP: start values in place of its own.
    max_bits, max_steps, seconds
        Limits on working precision, steps of one part of the system, and wall-clock time.
    split, width : int, float, optional
        Cut a box of inputs into at most so many pieces (64 where only `width` is given), each along the entry that
        moves the widest output most, until every piece's balls are narrower than `width`. The balls are then the
        hull of all pieces, and `Proof.pieces` has their own proofs.

    Returns
    -------
    Proof
        PROVEN with balls; ENDS with an enclosure of the time where the solution ceases to exist, narrower than
        10**-digits where that can be (for inputs that are numbers); or
        UNKNOWN with the reason and how far it got: where a bound grew too large, of which integrator, and through
        which entry of the Jacobian.

    Raises
    ------
    InvariantError
        If the balls exclude what the circuit claims to stay constant.

    Notes
    -----
    Taylor series in Arb balls, unit by unit; every step's remainder is bounded by `gpac.verify.tail`, and how sets
    of solutions spread around the exact centre by `gpac.verify.spread`. The working precision is raised until the
    radii are small enough. Over a box of up to 8 inputs, balls that are wider than to first order are cut to what
    derivatives prove about its faces, `gpac.verify.faces`, which took 2 to 35 times as long as the box itself where it
    was measured. For a limit program the ball contains the *limit*: its bound at time t is part of the radius.

    >>> import gpac, mpmath, sympy
    >>> y = sympy.Symbol("y")
    >>> proof = gpac.prove(gpac.PIVP({y: y}, {y: 1}), t=1, digits=20)
    >>> mpmath.nstr(proof.mid[0], 20), proof.digits >= 20
    ('2.7182818284590452354', True)
    """
    if not isinstance(digits, int) or digits < 1:
        raise NumberError(f"expected digits to be a positive integer, got {digits!r}")
    runnable = as_runnable(system, initial)
    given = exact_inputs(runnable, {"initial": initial} if initial is not None else inputs)
    end = _end_time(runnable, t, given, digits)
    if split is not None or width is not None:
        from .split import prove_in_pieces

        count, narrow = pieces_wanted(split, width)

        def one(part: dict, left: float | None) -> Proof:
            return prove(runnable, t, part, digits=digits, max_bits=max_bits, max_steps=max_steps, seconds=left)

        return prove_in_pieces(runnable, end, given, count, narrow, one, seconds, progress or (lambda _: None))
    deadline = None if seconds is None else clock.monotonic() + seconds
    boxes = count_boxes(given) > 0
    limits = Limits(
        max_steps=max_steps,
        widest=WIDEST_BOX if boxes else WIDEST_POINT,
        stop=lambda: deadline is not None and clock.monotonic() > deadline,
        goal=None if boxes else digits * LOG2_10,
    )
    with working_precision(64):  # proofs take turns
        far = _distance_from_limit(runnable, given, end, digits)
        if far is not None and not far < to_arb(Fraction(1, 10**digits)):
            reason = f"At t = {float(end):.6g} the bound on the distance from the limit is only {float(far):.2g}."
            return Proof(Answer.UNKNOWN, reason=reason)
        proof = _with_rising_precision(
            runnable, end, given, limits, progress or (lambda _: None), digits, max_bits, far
        )
        return replace(proof, question=Question(runnable, end, given, digits))


def pieces_wanted(split: int | None, width: float | None) -> tuple[int, float]:
    """How many pieces at most, and when their images are narrow enough."""
    count = 64 if split is None else split
    if not isinstance(count, int) or count < 1:
        raise NumberError(f"expected split to be a positive number of pieces, got {split!r}")
    if width is not None and not width > 0:
        raise NumberError(f"expected width to be positive, got {width!r}")
    return count, 0.0 if width is None else float(width)


def _with_rising_precision(
    system: Circuit | Schedule,
    end: Any,
    given: dict,
    limits: Limits,
    progress: Callable[[float], None],
    digits: int,
    max_bits: int,
    far: Any,
) -> Proof:
    """Run at more and more bits until the balls are narrow enough, or more bits make them no narrower."""
    widest = _widest_box(given)
    boxes = widest is not None
    goal = digits * LOG2_10
    bits = ceil(goal) + 32 + 2 * (_phase_count(system) - 1)
    if widest is not None and -widest < goal + 16:  # rounding is to be far below the width of the boxes
        bits = max(bits, ceil(-widest) + 32) + 16
    missing, reached = float("inf"), 0.0
    ends: tuple[Ends, int] | None = None
    while bits <= max_bits:
        outcome, last = attempt(system, end, given, limits, progress, bits)
        reached = float(last)
        if isinstance(outcome, Ends) and (ends is None or outcome.high - outcome.low < ends[0].high - ends[0].low):
            ends = outcome, bits
            missing = _log2(outcome.high - outcome.low) + goal
            if outcome.tight and missing > 0 and not boxes:
                bits += ceil(missing) + 8
                continue
        if isinstance(outcome, Ends) or ends is not None:  # narrow enough, or no narrower than before
            assert ends is not None
            return _ends(*ends, digits, end)
        if isinstance(outcome, Reached):
            balls = _widened(hulls_of(outcome), far, bits)
            before, missing = missing, _missing_bits(balls, goal)
            if missing <= 0 or (boxes and (before - missing < 0.05 or mostly_symbols(outcome))):
                if widest is not None and bits + widest > 16:  # else rounding is what makes the balls wide
                    balls = _widened(by_faces(system, end, given, limits, bits, outcome), far, bits)
                figures = (reached, bits, outcome.steps, outcome.order)
                return Proof(Answer.PROVEN, balls, _names(system), "", None, *figures)
            bits = bits + (32 if boxes else ceil(missing) + 8) if missing < float("inf") else 2 * bits
        elif outcome.missing:
            bits += ceil(outcome.missing) + 8
        elif not outcome.wide or (boxes and bits > 4 * goal + 256):
            return _unknown(outcome, reached, bits)
        else:
            bits = max(2 * bits, 64)
    if ends is not None:
        return _ends(*ends, digits, end)
    reason = f"More than {max_bits} bits would be needed; the last try got to t = {reached:.6g}."
    return Proof(Answer.UNKNOWN, reason=reason, reached=reached, bits=bits)


def _widest_box(given: dict) -> float | None:
    """Radius of the widest box among the inputs as a power of two; None where all are numbers."""
    radii = [log2_ball(v.rad()) or 0.0 for entries in given.values() for v in entries if is_box(v)]
    return max(radii, default=None)


def _end_time(system: Circuit | Schedule, t: Any, given: dict, digits: int) -> Any:
    program = system.program
    if isinstance(system, Schedule):
        if t is not None and to_exact(t) != system.duration:
            raise GpacError(f"a schedule runs its own phases for {system.duration} in all; leave t out (got {t!r})")
        return system.duration
    if t is None and program.horizon is not None:
        return program.horizon
    if t is None and program.limit is not None:
        import numpy as np

        floats = {name: np.array([float(v) for v in entries]) for name, entries in given.items()}
        return Fraction(ceil(program.limit.time(floats, Fraction(1, 10 ** (digits + 1)))))
    if t is None:
        raise GpacError("t is missing: say until when to prove (this system has no horizon of its own)")
    end = to_exact(t)
    if not end > 0:
        raise NumberError(f"t must be positive, got {t!r}")
    return end


def _distance_from_limit(system: Circuit | Schedule, given: dict, end: Any, digits: int) -> Any:
    """Upper bound on the distance of every output from its limit at the end; None for an exact program."""

    if system.program.limit is None:
        return None
    with working_precision(ceil(digits * LOG2_10) + 64):
        return system.program.limit.error(given, end).abs_upper()


def _widened(balls: Sequence[Any], far: Any, bits: int) -> tuple[Any, ...]:
    """The balls with the distance from the limit, where the program has one."""
    import flint

    if far is None:
        return tuple(balls)
    with working_precision(bits):
        return tuple(ball + flint.arb(0, far) for ball in balls)


def _missing_bits(balls: tuple[Any, ...], goal: float) -> float:
    """How many bits the widest ball lacks to a radius below 2**-goal; inf for a ball that is not finite."""
    missing = float("-inf")
    for ball in balls:
        if not ball.is_finite():
            return float("inf")
        size = log2_ball(ball.rad())
        if size is not None:
            missing = max(missing, size + goal)
    return missing


def _log2(width: Fraction) -> float:
    """Of a positive number, or of a number below all others of interest."""
    with working_precision(64):
        size = log2_ball(to_arb(width))
    return float("-inf") if size is None else size


def _phase_count(system: Circuit | Schedule) -> int:
    return len(system.phases) if isinstance(system, Schedule) else 1


def _names(system: Circuit | Schedule) -> tuple[str, ...]:
    return tuple(
        name if wire.size == 1 else f"{name}[{i}]" for name, wire in system.outputs.items() for i in range(wire.size)
    )


def _ends(outcome: Ends, bits: int, digits: int, end: Any) -> Proof:

    with working_precision(bits):
        shown = to_arb(outcome.low).union(to_arb(outcome.high)).str(digits, radius=True)
    low, high = dyadic_to_mpf(outcome.low), dyadic_to_mpf(outcome.high)
    reason = f"The end lies in {shown}, before t = {float(end):.6g}."
    return Proof(Answer.ENDS, (), (), reason, (low, high), float(low), bits, outcome.steps, outcome.order)


def _unknown(outcome: Stuck, reached: Any, bits: int) -> Proof:
    reason = f"The proof got to t = {float(reached):.6g}: {outcome.reason}."
    return Proof(Answer.UNKNOWN, (), (), reason, None, float(reached), bits, outcome.steps, outcome.order)
