"""Prove: raise the working precision until every output is enclosed to the digits asked."""

from __future__ import annotations

import time as clock
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from math import ceil
from typing import Any

from ..arguments import System, as_runnable, check_signs, named_inputs
from ..circuit import Circuit
from ..errors import GpacError, NumberError, ShapeError
from ..exact import to_arb, to_exact
from ..precision import working_precision
from ..schedule import Schedule
from .affine import Symbols, size
from .enclose import run
from .magnitude import log2_ball
from .outcome import Ends, Limits, Reached, Stuck
from .proof import Answer, Proof, Question, dyadic_to_mpf, to_fraction

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
        Floats, `Fraction`, sympy constants, mpmath numbers. A `flint.arb` is the set it is: the balls then
        contain the images of all its points, and are as wide as that makes them.
    digits : int
        Every radius will be below 10**-digits. Where inputs are boxes whose images are wider than that, the balls are
        PROVEN as well, as wide as that makes them.
    initial : (n,) exact numbers, optional
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
        PROVEN with balls; ENDS with an enclosure of the time where the solution ceases to exist; or
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
    radii are small enough. For a limit program the ball contains the
    *limit*: its bound at time t is part of the radius.

    >>> import gpac, mpmath, sympy
    >>> y = sympy.Symbol("y")
    >>> proof = gpac.prove(gpac.PIVP({y: y}, {y: 1}), t=1, digits=20)
    >>> mpmath.nstr(proof.mid[0], 20), proof.digits >= 20
    ('2.7182818284590452354', True)
    """
    if not isinstance(digits, int) or digits < 1:
        raise NumberError(f"expected digits to be a positive integer, got {digits!r}")
    runnable = as_runnable(system, initial)
    given = _exact_inputs(runnable, {"initial": initial} if initial is not None else inputs)
    end = _end_time(runnable, t, given, digits)
    if split is not None or width is not None:
        from .split import prove_in_pieces

        count, narrow = pieces_wanted(split, width)

        def one(part: dict, left: float | None) -> Proof:
            return prove(runnable, t, part, digits=digits, max_bits=max_bits, max_steps=max_steps, seconds=left)

        return prove_in_pieces(runnable, end, given, count, narrow, one, seconds, progress or (lambda _: None))
    deadline = None if seconds is None else clock.monotonic() + seconds
    boxes = any(_is_box(v) for entries in given.values() for v in entries)
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
    radii = [log2_ball(v.rad()) or 0.0 for entries in given.values() for v in entries if _is_box(v)]
    boxes, widest = bool(radii), max(radii, default=0.0)
    goal = digits * LOG2_10
    bits = ceil(goal) + 32 + 2 * (_phase_count(system) - 1)
    if boxes and -widest < goal + 16:  # rounding is to be far below the width of the boxes
        bits = max(bits, ceil(-widest) + 32) + 16
    missing, reached = float("inf"), 0.0
    while bits <= max_bits:
        outcome, last = _attempt(system, end, given, limits, progress, bits)
        reached = float(last)
        if isinstance(outcome, Ends):
            return _ends(outcome, bits, digits, end)
        if isinstance(outcome, Reached):
            balls = _all_outputs(outcome, far, bits)
            before, missing = missing, _missing_bits(balls, goal)
            if missing <= 0 or (boxes and (before - missing < 0.05 or _mostly_symbols(outcome))):
                figures = (reached, bits, outcome.steps, outcome.order)
                return Proof(Answer.PROVEN, balls, _names(system), "", None, *figures)
            bits = bits + (32 if boxes else ceil(missing) + 8) if missing < float("inf") else 2 * bits
        elif outcome.missing:
            bits += ceil(outcome.missing) + 8
        elif not outcome.wide or (boxes and bits > 4 * goal + 256):
            return _unknown(outcome, reached, bits)
        else:
            bits = max(2 * bits, 64)
    reason = f"More than {max_bits} bits would be needed; the last try got to t = {reached:.6g}."
    return Proof(Answer.UNKNOWN, reason=reason, reached=reached, bits=bits)


def _attempt(
    system: Circuit | Schedule, end: Any, given: dict, limits: Limits, progress: Callable[[float], None], bits: int
) -> tuple[Reached | Stuck | Ends, Any]:
    """One run at a working precision; also the time it got to."""

    with working_precision(bits):
        values, symbols = _with_symbols(given)
        if isinstance(system, Circuit):
            outcome = run(system, end, values, limits, progress, symbols)
            return outcome, outcome.t if isinstance(outcome, Stuck) else to_arb(end).mid()
        steps, order, done = 0, 0, Fraction(0)
        hulls: dict[str, list[Any]] = {}
        for number, phase in enumerate(system.phases):
            outcome = run(
                phase.circuit,
                phase.duration,
                values,
                limits,
                _share(progress, number, len(system.phases)),
                symbols,
            )
            if isinstance(outcome, Ends):
                low, high = to_arb(outcome.low + done).lower(), to_arb(outcome.high + done).upper()
                return replace(outcome, low=to_fraction(low), high=to_fraction(high)), done
            if isinstance(outcome, Stuck):
                return outcome, done + outcome.t
            values |= outcome.outputs
            symbols |= outcome.rows
            hulls |= outcome.hulls
            steps, order, done = steps + outcome.steps, max(order, outcome.order), done + phase.duration
        outputs = {name: values[name] for name in system.outputs}
        rows = {name: symbols[name] for name in system.outputs}
        return Reached(outputs, rows, {n: hulls[n] for n in outputs}, steps, order), done


def _with_symbols(given: dict) -> tuple[dict[str, list[Any]], dict[str, list[Symbols]]]:
    """Inputs as balls, boxes as their centres with a symbol for each entry that has a radius."""
    import flint

    count = sum(_is_box(v) for entries in given.values() for v in entries)
    values: dict[str, list[Any]] = {}
    symbols: dict[str, list[Symbols]] = {}
    number = 0
    for name, entries in given.items():
        values[name], symbols[name] = [], []
        for v in entries:
            row: Symbols = None
            if _is_box(v):
                row = [flint.arb(0)] * count
                row[number], number = v.rad(), number + 1
            values[name].append(v.mid() if _is_box(v) else to_arb(v))
            symbols[name].append(row)
    return values, symbols


def _share(progress: Callable[[float], None], number: int, count: int) -> Callable[[float], None]:
    """The progress of one phase as a part of the whole."""
    return lambda fraction: progress((number + fraction) / count)


def _exact_inputs(system: Circuit | Schedule, inputs: Any) -> dict[str, list[Any]]:
    import numpy as np

    out = {}
    for name, value in named_inputs(system, inputs).items():
        width = system.inputs[name]
        if isinstance(value, np.ndarray):
            value = value.ravel() if value.size == width else value
        entries = list(value) if hasattr(value, "__len__") else [value]
        if len(entries) != width or any(hasattr(v, "__len__") for v in entries):
            raise ShapeError(f"input {name!r} must be {width} numbers (one trajectory), got shape {np.shape(value)}")
        out[name] = [v if type(v).__name__ == "arb" else to_exact(v) for v in entries]
        for ball in map(to_arb, out[name]):
            if not ball.is_finite():
                raise NumberError(f"input {name!r} must be finite numbers or bounded intervals, got {ball}")
            check_signs(name, system.input_signs[name], not ball >= 0, ball.contains(0), not ball <= 0)
    return out


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


def _all_outputs(outcome: Reached, far: Any, bits: int) -> tuple[Any, ...]:
    """All output balls, widened by the distance from the limit where the program has one."""
    import flint

    balls = [ball for entries in outcome.hulls.values() for ball in entries]
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


def _mostly_symbols(outcome: Reached) -> bool:
    """Whether the outputs are hardly wider than their first-order dependence on the inputs: no bits make that less."""
    return all(
        100 * size(row) >= 99 * hull.rad()
        for name, hulls in outcome.hulls.items()
        for hull, row in zip(hulls, outcome.rows[name], strict=True)
    )


def _is_box(value: Any) -> bool:
    return type(value).__name__ == "arb" and not value.is_exact()


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
