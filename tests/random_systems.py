"""Random polynomial systems by number, and what the prover says of them held against the reference at twice the digits.

`PYTHONPATH=. python tests/random_systems.py FIRST COUNT` judges many and prints what came of them.
"""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from time import perf_counter

import mpmath
import numpy as np
import sympy

from gpac import PIVP, Proof, Status, prove, reference, solve
from gpac.exact import to_exact
from gpac.verify import Answer

SECONDS = 0.6
MOST_BITS = 1000


@dataclass(frozen=True)
class Case:
    """System number `number`, when it is read, and the digits asked."""

    number: int
    kind: str
    system: PIVP
    t: Fraction
    digits: int

    def __str__(self) -> str:
        return f"case {self.number} ({self.kind}), {self.digits} digits at t = {self.t}:\n{self.system}"


def case(number: int) -> Case:
    """The same system for the same number, everywhere: dimension 1 to 6, degree 2 to 4, times from 1/64 to 8."""
    rng = np.random.default_rng([2024, number])
    kind = str(rng.choice(["any", "any", "turning", "chain", "forced", "doubles"]))
    dim, degree = int(rng.integers(1, 7)), int(rng.integers(2, 5))
    symbols = sympy.symbols(f"a:{dim}")
    numbers = _double if kind == "doubles" else _fraction
    equations = {}
    for k, symbol in enumerate(symbols):
        pool = symbols[: k + 1] if kind == "chain" else symbols
        rate = numbers(rng) * _monomial(rng, pool, degree)
        for _ in range(int(rng.integers(0, 4))):
            rate += numbers(rng) * _monomial(rng, pool, int(rng.integers(0, degree + 1)))
        equations[symbol] = rate
    if kind == "turning":
        equations = _turning(rng, symbols, degree)
    if kind == "forced" and dim > 1:  # the last variable is time
        equations[symbols[-1]] = sympy.Integer(1)
    start = {s: numbers(rng) for s in symbols}
    t = Fraction(int(2 ** rng.uniform(0, 9)), 64)
    return Case(number, kind, PIVP(equations, start), t, int(rng.integers(3, 26)))


def _turning(rng: np.random.Generator, symbols: tuple, degree: int) -> dict:
    """|y| stays or falls: pairs of variables turn at polynomial speed, some are damped by odd powers."""
    equations = dict.fromkeys(symbols, sympy.Integer(0))
    for _ in range(2 * len(symbols)):
        i, j = rng.integers(0, len(symbols), 2)
        speed = _fraction(rng) * _monomial(rng, symbols, degree - 1)
        equations[symbols[i]] -= speed * symbols[j]
        equations[symbols[j]] += speed * symbols[i]
        if i == j:
            equations[symbols[i]] -= abs(_fraction(rng)) * symbols[i] ** (1 if degree < 3 else 3)
    return equations


def _monomial(rng: np.random.Generator, symbols: tuple, degree: int) -> sympy.Expr:
    return sympy.Mul(*(symbols[k] for k in rng.integers(0, len(symbols), degree)))


def _fraction(rng: np.random.Generator) -> sympy.Rational:
    return sympy.Rational(int(rng.choice([-3, -2, -1, 1, 2, 3])), int(rng.integers(1, 5)))


def _double(rng: np.random.Generator) -> sympy.Rational:
    return sympy.Rational(*float(rng.normal()).as_integer_ratio())


def judge(case: Case, seconds: float = SECONDS) -> Answer:
    """Prove a case and assert what must hold of the answer; the answer is returned, for counting."""
    proof = prove(case.system, case.t, digits=case.digits, seconds=seconds, max_bits=MOST_BITS)
    if proof.answer is Answer.PROVEN:
        assert distance(proof, case.system, case.t, case.digits) <= 0, case
    elif proof.answer is Answer.ENDS:
        low, high = proof.end
        own = pole(case.system)
        assert 0 < low <= own and low <= high < mpmath.mpf(case.t.numerator) / case.t.denominator, case
        if own > high and high - low < 1e-12 * high:  # else the end is only bounded: some of the states end there
            assert uneven(case.system, low) < 0.02, case
    else:
        assert proof.reason, case
    return proof.answer


def distance(proof: Proof, system: PIVP, t: Fraction, digits: int) -> mpmath.mpf:
    """How far the reference at twice the digits is outside the balls, its own rounding granted; inf for a wide ball.

    The reference has 64 bits more than the proof at least, and is granted 24 of them: a ball may be exact.
    """
    bits = max(ceil(6.65 * digits), proof.bits) + 64
    context = mpmath.mp.clone()
    context.prec = 2 * bits
    if any(r >= context.mpf(10) ** -digits for r in proof.rad):
        return mpmath.inf
    truth = reference(system, t, bits=bits).outputs
    return max(
        abs(context.mpf(v) - context.mpf(m)) - context.mpf(r) - context.ldexp(1 + abs(context.mpf(v)), 24 - bits)
        for v, m, r in zip(truth, proof.mid, proof.rad, strict=True)
    )


def uneven(system: PIVP, end: mpmath.mpf) -> float:
    """How far the largest component is from a power of the distance to `end`, by the reference.

    Its growth over two factors of 10 of that distance, from 1e-7 to 1e-9 of the time: near 0 if it is infinite there.
    Where something grows like exp(1 / distance), which no step size can follow, nothing is said: 0.
    """
    if solve(system, t=float(end) * (1 - 1e-7), max_seconds=5).status is not Status.REACHED:
        return 0.0
    context = mpmath.mp.clone()
    context.prec = 256
    values, before = [list(system.initial)], Fraction(0)
    for k in (7, 8, 9):
        t = to_exact(end * (1 - context.mpf(10) ** -k))
        values.append(list(reference(system, t - before, bits=96, initial=values[-1], order=24).outputs))
        before = t
    largest = max(range(system.dim), key=lambda i: abs(values[-1][i]))
    first, second, third = (context.log(abs(v[largest])) for v in values[1:])
    return float(abs((third - second) / (second - first) - 1)) if third > second > first else float("inf")


def pole(system: PIVP) -> mpmath.mpf:
    """When the first component with an equation of its own is infinite: the integral of dy / p(y), by quadrature."""
    context = mpmath.mp.clone()
    context.dps = 50
    times = [context.inf]
    for symbol, rate, start in zip(system.variables, system.expressions().values(), system.initial, strict=True):
        if rate.free_symbols != {symbol} or sympy.degree(rate, symbol) < 2:
            continue
        coefficients = [context.mpf(int(c.p)) / int(c.q) for c in sympy.Poly(rate, symbol).all_coeffs()]
        times.append(_time_to_infinity(context, coefficients, context.mpf(start.numerator) / start.denominator))
    return min(times)


def _time_to_infinity(context: mpmath.ctx_mp.MPContext, p: list, y: mpmath.mpf) -> mpmath.mpf:
    way = context.sign(context.polyval(p, y))
    roots = context.polyroots(p, maxsteps=500, extraprec=400)
    if not way or any(abs(r.imag) < 1e-30 and (r.real - y) * way > 0 for r in roots):
        return context.inf
    # u = 1 / (1 + way (z - y)) runs from 1 to 0 as z runs from y to infinity
    return context.quad(lambda u: way / (u * u * context.polyval(p, y + way * (1 / u - 1))), [0, 1])


if __name__ == "__main__":
    first, count = map(int, sys.argv[1:3])
    begin, answers = perf_counter(), Counter()
    for number in range(first, first + count):
        before = perf_counter()
        try:
            answers[str(judge(case(number)).name)] += 1
        except Exception as error:
            answers["WRONG"] += 1
            print(f"{type(error).__name__} {error}\n{case(number)}", flush=True)
        if perf_counter() - before > 10 * SECONDS:
            print(f"slow: case {number} took {perf_counter() - before:.1f} s", flush=True)
    print(f"{first} .. {first + count - 1}: {dict(answers)} in {perf_counter() - begin:.0f} s")
