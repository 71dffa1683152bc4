"""Certificates: a proof as a file that `checker.py` verifies by itself.

The file is JSON. Rational numbers are text, "-8/3", or hexadecimal for long ones, "0x1f/0x20"; nodes are numbers:
variables count from 0, the units of a phase follow them. No key may be missing, none added.

    format     "gpac certificate"
    version    1
    statement  the theorem
        variables  [name, centre, radius] of the start box, one per variable
        phases     run one after the other:
            duration  rational
            units     ["sum", constant, [factor, node], ...] or ["product", node, node]
            rates     [variable, node]: the derivative of each variable that moves in this phase
        units      units over the variables at the end
        outputs    [name, node, centre, radius]: what is claimed
    proof      why it holds
        bits       the boxes below are integers in units of 2**-bits
        phases     one per phase:
            order  degree of the polynomials that the checker makes
            steps  [length, [[centre, R_0, R_1, ..., R_M] per variable that moves, in the order of `rates`]]:
                   every solution within R_0 of the centre stays within R_0 + R_1 s + ... + R_M s**M of the checker's
                   polynomial at the fraction s of the step

Irrational start values and coefficients are not numbers of the file: phases before the first make them, such as sin(1)
by s' = c, c' = -s for one unit of time (`constants.py`). The theorem is about these equations.

What is written here is looked for with the checker's own functions, in longer and longer numbers, until the outputs are
narrow enough; only the checker is trusted, and it has accepted the file before it gets its name.
"""

from __future__ import annotations

import json
import time as clock
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, frexp, inf, log2
from pathlib import Path
from typing import Any

from ..errors import GpacError
from ..exact import to_text as text
from ..files import replace_file
from . import checker
from .proof import Proof, to_fraction
from .statement import statement

LOG2_10 = 3.3219280948873626
LN2 = 0.6931471805599453
GUARD = 64
MOST_WIDER = 1
"""Bits by which the claims about boxes may be wider than the balls of the proof: the checker's bounds are plainer."""
MORE_BITS = 16
"""How many times the working precision of the prover is tried at most."""
MOST_STEPS = 20_000
HALVINGS = 12
FEWEST_RADII, MOST_RADII = 6, 24
COARSE_BITS, COARSE_ORDER = 96, 24


def write_certificate(proof: Proof, path: Any, seconds: float | None = None) -> None:
    """Write the certificate of a proof.

    Each output is claimed to lie within 10**-digits of a decimal number, digits being those asked for; where the inputs
    are boxes, within the proof's own ball, or in up to twice its radius where the checker's plain bounds need that; the
    file says what it claims. Of a limit program the file speaks about the outputs at the time when they are read, not
    about their limits; of a program near to what was asked for (`Proof.original`) about its own outputs.

    Parameters
    ----------
    proof : Proof
        PROVEN, made by `gpac.prove`.
    path : path-like
        The file; it is replaced at once, or left alone where something fails.
    seconds : float, optional
        Time allowed.

    Raises
    ------
    GpacError
        If the system is too large to write number by number, has constants that no file can make from rational
        numbers, or if the checker's plain bounds are much wider than the balls of the proof.
    """
    if proof.question is None:
        raise GpacError("expected a proof made by gpac.prove, got one that does not say what it is about")
    deadline = inf if seconds is None else clock.monotonic() + seconds
    theorem = statement(proof.question)
    boxes = any(type(v).__name__ == "arb" and not v.is_exact() for row in proof.question.inputs.values() for v in row)
    data = theorem.to_json(_claims(proof, boxes), text)
    most_bits = min(checker.MAX_BITS, MORE_BITS * proof.bits + 2**12)
    content = json.dumps(_with_proof(data, boxes, most_bits, deadline), separators=(",", ":"))
    checker.check(checker.parse(content))
    replace_file(Path(path), content + "\n")


def _claims(proof: Proof, boxes: bool) -> list[tuple[str, str]]:
    """Centre and radius of every output, as written in the file."""
    assert proof.question is not None
    digits = proof.question.digits
    if boxes or digits > 1000:
        radii = [to_fraction(b.rad()) if boxes else Fraction(1, 10**digits) for b in proof.balls]
        return [(text(to_fraction(b.mid())), text(r)) for b, r in zip(proof.balls, radii, strict=True)]
    return [(_decimal(to_fraction(b.mid()), digits + 3), f"1e-{digits}") for b in proof.balls]


def _decimal(x: Fraction, places: int) -> str:
    """The nearest decimal number of so many places."""
    units = str(abs(round(x * 10**places))).rjust(places + 1, "0")
    return f"{'-' if x < 0 else ''}{units[:-places]}.{units[-places:]}"


def _with_proof(data: dict[str, Any], boxes: bool, most_bits: int, deadline: float) -> dict[str, Any]:
    """The whole file: the statement, and steps found at a precision at which they prove it."""
    claim = checker.parse_statement(data)
    goal = max(-log2_of(radius) for *_, radius in claim.outputs)
    bits, before = max(0, ceil(goal)) + GUARD, inf
    while bits <= most_bits:
        try:
            search = _Search(claim, bits, deadline)
            phases, missing = search.run()
        except _TooWide as stopped:
            if boxes and bits > 4 * abs(goal) + 1024:
                raise GpacError(f"no certificate: from these input boxes, {stopped}") from None
            bits += max(GUARD, stopped.extra, bits // 2)
            continue
        stays = boxes and before - missing < 1
        if stays and missing <= MOST_WIDER:
            _widen(data["outputs"], search.needed)
        if missing <= (MOST_WIDER if stays else 0):
            proof = {"bits": bits, "phases": phases}
            return {"format": checker.FORMAT, "version": checker.VERSION, "statement": data, "proof": proof}
        if stays:
            raise GpacError(
                f"no certificate: from these input boxes the checker's plain bounds are 2^{missing:.1f} times as wide "
                "as the balls of the proof; ask for narrower inputs, or for single points"
            )
        bits, before = bits + ceil(missing) + 8, missing
    raise GpacError(
        f"no certificate: the checker bounds errors by sizes of derivatives alone, whatever their signs, and would "
        f"need more than {most_bits} bits here; ask for a shorter time"
    )


def _widen(outputs: list[list[Any]], needed: list[Fraction]) -> None:
    """Make the claimed radii as large as the checker's bounds, where these are larger."""
    for output, radius in zip(outputs, needed, strict=True):
        if radius > Fraction(output[3]):
            unit = Fraction(2) ** (ceil(log2_of(radius)) - 40)
            output[3] = text(ceil(radius / unit) * unit)


class _TooWide(Exception):
    """The bounds got out of hand; `extra` is how many more bits may help."""

    def __init__(self, reason: str, extra: int) -> None:
        super().__init__(reason)
        self.extra = extra


@dataclass
class _Search:
    """Looks for the steps of all phases at one precision."""

    claim: checker.Statement
    bits: int
    deadline: float

    def run(self) -> tuple[list[dict[str, Any]], float]:
        """The phases of the proof, and how many bits the outputs are too wide."""
        self.order = max(8, ceil(0.5 * LN2 * self.bits) + 2)
        self.box = checker.start_box(self.claim, self.bits)
        self.steps, self.guess, self.terms = 0, Fraction(1), FEWEST_RADII
        self.needed: list[Fraction] = []  # radii of the outputs that would be proven
        phases = [self._phase(phase) for phase in self.claim.phases]
        missing = -inf
        ends = checker.end_boxes(self.claim, self.box, self.bits)
        for (_, _, middle, allowed), (value, reached) in zip(self.claim.outputs, ends, strict=True):
            self.needed.append(abs(value - middle) + reached)
            left = allowed - abs(value - middle)
            missing = max(missing, log2_of(reached) - log2_of(left) if left > 0 else 8.0)
        return phases, missing

    def _phase(self, phase: checker.Phase) -> dict[str, Any]:
        left, steps = phase.duration, []
        if not phase.rates:
            return {"order": 1, "steps": [[text(left), []]]}
        longest = left
        while left:
            if self.steps > MOST_STEPS or clock.monotonic() > self.deadline:
                raise GpacError(f"no certificate: {self.steps} steps were not enough, or the time allowed was used up")
            wanted = min(left, longest, self._length(phase, left))
            step = self._step(phase, wanted)
            longest = left if step.h == wanted else 2 * step.h
            rows = [[f"{x:#x}" for x in step.tube[v]] for v in phase.rates]
            steps.append([text(step.h), rows])
            left -= step.h
            self.steps += 1
            self._stop_if_wide(phase, float((phase.duration - left) / phase.duration))
        return {"order": self.order, "steps": steps}

    def _stop_if_wide(self, phase: checker.Phase, done: float) -> None:
        """Raise `_TooWide` where what is known of a variable is hardly more than the size of the largest."""
        largest = max(abs(self.box[0][v][0]) for v in phase.rates)
        widest = max(self.box[1][v] + sum(map(abs, self.box[0][v][1:])) for v in phase.rates)
        if widest > max(1 << self.bits, largest) >> 4:
            raise _TooWide("the bounds became as wide as the solution is large", int(self.bits * min(4, 1 / done - 1)))

    def _length(self, phase: checker.Phase, left: Fraction) -> Fraction:
        """Step of 1/e^2 of the radius of convergence, estimated by short series; nothing depends on its being right."""
        shift = max(0, self.bits - COARSE_BITS)
        rows = [[row[0] >> shift] for row in self.box[0]]
        order, bits = min(self.order, COARSE_ORDER), self.bits - shift
        h = min(self.guess, left)
        for _ in range(60):
            q = checker.series(phase.units, phase.rates, rows, h, order, bits).q
            scale = log2(max([1 << bits, *(abs(q[v][0][0]) for v in phase.rates)]))
            ratio = 16.0
            for v in phase.rates:
                for k in range(-(-2 * order // 3), order + 1):
                    if q[v][0][k] not in (0, -1):
                        ratio = min(ratio, (scale - log2(abs(q[v][0][k]))) / k)
            h = _short(h, ratio)
            if -1 < ratio < 4 or h > 2**8 * left:
                break
        self.guess = h
        return _short(h, -self.bits / self.order)

    def _step(self, phase: checker.Phase, h: Fraction) -> checker.Step:
        """A step with a tube that holds, shorter than asked where none is found; `box` is then the one after it."""
        for _ in range(HALVINGS):
            model = checker.series(phase.units, phase.rates, self.box[0], h, self.order, self.bits)
            for terms in range(self.terms, MOST_RADII + 1, FEWEST_RADII):
                found = self._tube(phase, model, h, min(terms, self.order))
                if found is not None:
                    self.terms = terms
                    step = checker.Step(h, self.order, {v: [self.box[0][v][0], *found[0][v]] for v in phase.rates})
                    rows, radius = list(self.box[0]), list(self.box[1])
                    for v, image in found[1].items():
                        rows[v], radius[v] = [sum(layer) for layer in model.q[v]], sum(image)
                    self.box = rows, radius
                    return step
            h = h / 2
        raise _TooWide("no step could be found, however short", self.bits)

    def _tube(
        self, phase: checker.Phase, model: checker.Model, h: Fraction, last: int
    ) -> tuple[dict[int, list[int]], dict[int, list[int]]] | None:
        """Radii that Picard's operator does not leave, and its image: images of images, a little widened."""
        start = [[x] + [0] * last for x in self.box[1]]
        for v in phase.rates:
            start[v][0] = _round_up(self.box[1][v])
        limit = max(1 << self.bits, *(abs(self.box[0][v][0]) for v in phase.rates))
        for _ in range(last + 8):
            if any(x > limit for v in phase.rates for x in start[v]):
                return None
            r = checker.radii(phase.units, model, start, self.bits)
            image = checker.picard(phase, model, r, h, self.order)
            if all(a <= b for v in phase.rates for a, b in zip(image[v], start[v], strict=True)):
                return {v: start[v] for v in phase.rates}, image
            for v in phase.rates:
                start[v] = [start[v][0], *(_round_up(x + (x >> 6)) for x in image[v][1:])]
        return None


def _short(h: Fraction, power: float) -> Fraction:
    """h * 2**power with ten significant bits, so that times stay short numbers."""
    mantissa, exponent = frexp(2.0 ** (log2_of(h) + power))
    return Fraction(int(mantissa * 2**10)) * Fraction(2) ** (exponent - 10)


def _round_up(x: int) -> int:
    """A number of 24 significant bits that is not smaller."""
    shift = max(0, x.bit_length() - 24)
    return -(-x >> shift) << shift


def log2_of(x: Fraction) -> float:
    """log2 of a fraction of any size; -inf for 0."""
    if x <= 0:
        return -inf
    shift = x.numerator.bit_length() - x.denominator.bit_length()
    return shift + log2(float(x / Fraction(2) ** shift))
