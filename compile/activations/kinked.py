"""relu, abs, clip, hardswish and elu: each with a smooth stand-in that stays within delta of it everywhere.

r(z) is the rest of width e at z (see `smooth.py`), 0 < r <= e/2. Stand-in minus function is

    relu        r(z)                                                      e = 2 delta
    abs         2 r(z)                                                    e = delta
    clip        r(z - low) - r(z - high)                                  e <= 2 delta
    hardswish   z (r(z + 3) - r(z - 3))/6,           in [-e/4, 0]         e <= min(4 delta, 2)
    elu         factor (r + a exp(-b n) (exp(b (e/2 - r)) - 1)),  n = max(-z, 0)

hardswish(z) = z (|z + 3| - |z - 3| + 6)/12: the gap is even, and for z >= 0 its size is at most z r(z - 3)/6, which
is largest at z = 3 for e < 3: beyond, (3 + t)(s - t) with s = sqrt(t^2 + e^2) has the slope (s - t)(1 - (3 + t)/s) < 0.
elu(z) = factor (relu(z) + a (exp(-b relu(-z)) - 1)): elu, selu and celu. Its gap is convex in r where a > 0, so at
most the larger of its ends e/2 and a (exp(b e/2) - 1); for a < 0 it lies between -|a| (exp(b e/2) - 1) and e/2.

A kink away from 0, where the argument starts, has a width for which sqrt(kink^2 + e^2) is rational, so that start
values stay rational: e = E (2 L + E)/(2 (L + E)) <= E, for a kink at distance L and the width E allowed.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np

from gpac.errors import NumberError
from gpac.exact import to_arb
from gpac.functions import exp, modulus_pair
from gpac.program import Invariant
from gpac.wire import Wire, declared, linear, product

from .rule import Array, Ball, Carried, Kinks, Rule, Setting
from .smooth import Balls, Floats, Piece, Smooth, hull

HALF = Fraction(1, 2)
ZERO, ONE, SIXTH = Fraction(0), Fraction(1), Fraction(1, 6)
IDENTITY = (ZERO, ONE, ZERO)


def width_at(kink: Fraction, allowed: Fraction) -> tuple[Fraction, Fraction]:
    """A width e <= `allowed` and sqrt(kink^2 + e^2), both rational."""
    far = abs(kink)
    if not far:
        return allowed, allowed
    width = allowed * (2 * far + allowed) / (2 * (far + allowed))
    return width, (2 * far**2 + 2 * far * allowed + allowed**2) / (2 * (far + allowed))


def _modulus(z: Wire, kink: Fraction, allowed: Fraction, label: str, setting: Setting) -> tuple[Wire, Invariant]:
    """sqrt((z - kink)^2 + e^2)."""
    width, start = width_at(kink, allowed)
    shifted = linear([(1, z)], -kink) if kink else z
    first = setting.start("circle_sine", shifted, -kink / start, width)
    second = setting.start("circle_cosine", shifted, width / start, width)
    u, w, modulus = modulus_pair(shifted, width, label, (first, second))
    circle = linear([(1, product(u, u)), (1, product(w, w))])
    return modulus, Invariant(f"{label}_u^2 + {label}_w^2", circle, ONE)


# -- relu and abs ----------------------------------------------------------------------------------------------


def _relu(z: Wire, p: Smooth, setting: Setting) -> Carried:
    modulus, circle = _modulus(z, ZERO, 2 * p.delta, f"kink{setting.label}", setting)
    return Carried(linear([(HALF, z), (HALF, modulus)], -p.delta), p.delta, (circle,))


def _abs(z: Wire, p: Smooth, setting: Setting) -> Carried:
    modulus, circle = _modulus(z, ZERO, p.delta, f"kink{setting.label}", setting)
    return Carried(declared(linear([(1, modulus)], -p.delta), "0+"), p.delta, (circle,))


# -- clip ------------------------------------------------------------------------------------------------------


def _clip(z: Wire, p: Smooth, setting: Setting) -> Carried:
    low, high = p.numbers
    up, first = _modulus(z, low, 2 * p.delta, f"low{setting.label}", setting)
    down, second = _modulus(z, high, 2 * p.delta, f"high{setting.label}", setting)
    start = (width_at(low, 2 * p.delta)[1] - width_at(high, 2 * p.delta)[1]) / 2
    part = linear([(HALF, up), (-HALF, down)], -start)
    return Carried(part, start + (low + high) / 2, (first, second))


def _clip_gap(z: Any, p: Smooth, of: Any) -> Any:
    low, high = ((v, width_at(v, 2 * p.delta)[0]) for v in p.numbers)
    return of.rest(z - of.number(low[0]), low[1]) - of.rest(z - of.number(high[0]), high[1])


def _clip_pieces(p: Smooth) -> tuple[Piece, ...]:
    low, high = p.numbers
    flat = (Piece(None, low, (low, ZERO, ZERO)), Piece(high, None, (high, ZERO, ZERO)))
    return flat[0], Piece(low, high, IDENTITY), flat[1]


def _check_clip(p: Smooth) -> None:
    if len(p.numbers) != 2 or not p.numbers[0] < p.numbers[1]:
        raise NumberError(f"expected a lower and a larger upper end for 'clip', got {list(map(float, p.numbers))}")


# -- hardswish -------------------------------------------------------------------------------------------------

THREE = Fraction(3)


def _hardswish_width(p: Smooth) -> Fraction:
    return min(4 * p.delta, Fraction(2))


def _hardswish(z: Wire, p: Smooth, setting: Setting) -> Carried:
    up, first = _modulus(z, -THREE, _hardswish_width(p), f"low{setting.label}", setting)
    down, second = _modulus(z, THREE, _hardswish_width(p), f"high{setting.label}", setting)
    return Carried(product(z, linear([(SIXTH / 2, up), (-SIXTH / 2, down)], HALF)), 0, (first, second))


def _hardswish_gap(z: Any, p: Smooth, of: Any) -> Any:
    width = width_at(THREE, _hardswish_width(p))[0]
    return z * (of.rest(z + 3, width) - of.rest(z - 3, width)) / 6


# -- elu, selu, celu -------------------------------------------------------------------------------------------


def _elu_half(p: Smooth) -> Fraction:
    """e/2 such that |factor| max(e/2, |a| (exp(b e/2) - 1)) <= delta, as exp(s) - 1 <= s/(1 - s)."""
    factor, a, b = p.numbers
    allowed = p.delta / abs(factor)
    return min(allowed, allowed / (b * (abs(a) + allowed)))


def _elu(z: Wire, p: Smooth, setting: Setting) -> Carried:
    factor, a, b = p.numbers
    half = _elu_half(p)
    modulus, circle = _modulus(z, ZERO, 2 * half, f"kink{setting.label}", setting)
    decayed = exp(linear([(b / 2, z), (-b / 2, modulus)], b * half))
    part = linear([(factor / 2, z), (factor / 2, modulus), (factor * a, decayed)], -factor * (half + a))
    return Carried(part, factor * half, (circle,))


def _elu_gap(z: Any, p: Smooth, of: Any) -> Any:
    factor, a, b = p.numbers
    half = _elu_half(p)
    rest = of.rest(z, 2 * half)
    grown = of.exp(-of.number(b) * of.below(z)) * of.expm1(of.number(b) * (of.number(half) - rest))
    return of.number(factor) * (rest + of.number(a) * grown)


def _elu_pieces(p: Smooth) -> tuple[Piece, ...]:
    factor, a, b = p.numbers
    left = Piece(None, ZERO, (-factor * a, ZERO, ZERO), (factor * a, b))
    return left, Piece(ZERO, None, (ZERO, factor, ZERO))


def _elu_of(x: Array, p: Smooth) -> Array:
    factor, a, b = map(float, p.numbers)
    return factor * np.where(x > 0, x, a * np.expm1(b * np.minimum(x, 0)))


def _elu_slope(_: Ball, p: Smooth) -> Ball:
    factor, a, b = p.numbers
    return abs(to_arb(factor)) * to_arb(1).max(abs(to_arb(a * b)) * to_arb(b * _elu_half(p)).exp())


def _check_elu(p: Smooth) -> None:
    if len(p.numbers) != 3 or not p.numbers[0] or not p.numbers[2] > 0:
        raise NumberError(
            "expected a factor other than 0, a slope a and a positive b for 'elu' (b = 1/a for celu), got "
            f"{list(map(float, p.numbers))}"
        )


# -- the table -------------------------------------------------------------------------------------------------


def _rule(
    name: str,
    exact: Callable[[Array, Smooth], Array],
    pieces: Callable[[Smooth], tuple[Piece, ...]],
    gap: Callable[[Any, Smooth, Any], Any],
    circuit: Callable[[Wire, Smooth, Setting], Carried],
    slope: Callable[[Ball, Smooth], Ball],
    size: Callable[[Ball, Smooth], Ball],
    check: Callable[[Smooth], None] | None = None,
) -> Rule:
    """A rule from a function's pieces and the gap of its stand-in."""

    def gap_ball(z: Ball, p: Smooth) -> Ball:
        largest = to_arb(p.delta)
        whole = largest.union(-largest)
        found = gap(z, p, Balls) if p.delta else to_arb(0)
        return found.intersection(whole) if found.is_finite() else whole

    def over_pieces(z: Ball, p: Smooth, of: Callable[[Piece, Ball], Ball]) -> Ball:
        parts = ((piece, piece.part(z)) for piece in pieces(p))
        return hull([of(piece, part) for piece, part in parts if part is not None])

    def ball(z: Ball, p: Smooth) -> Ball:
        return over_pieces(z, p, Piece.value) + gap_ball(z, p)

    def arrays(x: Array, p: Smooth) -> Array:
        return exact(x, p) + gap(x, p, Floats) if p.delta else exact(x, p)

    def checked(p: Smooth) -> None:
        if check is None and p.numbers:
            raise NumberError(f"expected no numbers besides delta for {name!r}, got {len(p.numbers)}")
        if check is not None:
            check(p)

    kinks = Kinks(gap_ball, lambda z, p: over_pieces(z, p, Piece.slope), pieces, checked)
    return Rule(arrays, ball, circuit, slope, size, parameter="smooth", kinks=kinks)


def _one(*_: Any) -> Ball:
    return to_arb(1)


def _with_delta(radius: Ball, p: Smooth) -> Ball:
    """|f(z)| <= |z| for the function itself."""
    return radius + to_arb(p.delta)


FAMILY = {
    "relu": _rule(
        "relu",
        lambda x, _: np.maximum(x, 0),
        lambda _: (Piece(None, ZERO, (ZERO, ZERO, ZERO)), Piece(ZERO, None, IDENTITY)),
        lambda z, p, of: of.rest(z, 2 * p.delta),
        _relu,
        _one,
        _with_delta,
    ),
    "abs": _rule(
        "abs",
        lambda x, _: np.abs(x),
        lambda _: (Piece(None, ZERO, (ZERO, -ONE, ZERO)), Piece(ZERO, None, IDENTITY)),
        lambda z, p, of: 2 * of.rest(z, p.delta),
        _abs,
        _one,
        _with_delta,
    ),
    "clip": _rule(
        "clip",
        lambda x, p: np.clip(x, float(p.numbers[0]), float(p.numbers[1])),
        _clip_pieces,
        _clip_gap,
        _clip,
        _one,
        lambda r, p: to_arb(max(map(abs, p.numbers)) + p.delta),
        _check_clip,
    ),
    "hardswish": _rule(
        "hardswish",
        lambda x, _: x * np.clip(x + 3, 0, 6) / 6,
        lambda _: (
            Piece(None, -THREE, (ZERO, ZERO, ZERO)),
            Piece(-THREE, THREE, (ZERO, HALF, SIXTH)),
            Piece(THREE, None, IDENTITY),
        ),
        _hardswish_gap,
        _hardswish,
        lambda *_: to_arb(Fraction(5, 3)),  # 1 from the clip; z (u(z+3) - u(z-3))/12 <= 2/3 up to 4, e^2/6 beyond
        _with_delta,
    ),
    "elu": _rule(
        "elu",
        _elu_of,
        _elu_pieces,
        _elu_gap,
        _elu,
        _elu_slope,
        lambda r, p: abs(to_arb(p.numbers[0])) * r.max(abs(to_arb(p.numbers[1]))) + to_arb(p.delta),
        _check_elu,
    ),
}
