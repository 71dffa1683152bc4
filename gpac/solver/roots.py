"""Where polynomials change sign in [0, 1], for many polynomials at once.

Sign changes are counted on Bernstein coefficients: by Descartes' rule a polynomial has at most as many roots
in an interval as its coefficients there have sign variations, and an odd number apart from that. Intervals
with two variations or more are halved by de Casteljau's rule (Lane and Riesenfeld, BIT 21 (1981) 112-117)
until each has one variation, hence one root, or none. Only then is a root refined: by Newton's method, held
in its interval by bisection.

Everything is done column by column: what is found for a polynomial does not depend on its neighbours. Polynomials
in double-double arithmetic are given as `gpac.pair.Pair`s, and so are the places found.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import comb
from typing import Any

import numpy as np

from ..pair import Pair, each_part, leading
from .arithmetic import Array, arithmetic_of
from .task import EPS

TINY = 1e-300
"""Stands for a zero whose sign is taken from one side; polynomials are scaled to size 1."""
HALVINGS = 52
"""Of the interval, for each part of a number."""
ROUNDS = 400
"""Evaluations allowed to a root; bisection needs 53 for each part of a number, every second one bisects at least."""


@dataclass(frozen=True)
class Crossings:
    """Sign changes, ordered by column, then by place.

    Attributes
    ----------
    column : int64, (n,)
        Which polynomial.
    place : float64 or Pair, (n,)
        Where in [0, 1].
    direction : int64, (n,)
        1 where the value rises through zero, -1 where it falls.
    """

    column: np.ndarray
    place: Array
    direction: np.ndarray


def crossings(power: Array, before: np.ndarray | None = None, end: Array | None = None) -> Crossings:
    """Every place in [0, 1] where a polynomial changes sign.

    Parameters
    ----------
    power : float64 or Pair, (K + 1, n), K >= 1
        Coefficients of n polynomials in powers of x. Must be finite.
    before : float64, (n,), optional
        Sign of each just before 0 (1, -1, or 0 for unknown). It decides about a polynomial that is exactly zero
        at 0: with the opposite sign after it, 0 is a sign change. Unknown means that 0 is none.
    end : as power, (n,), optional
        Values at 1, where they are known better than by summing the coefficients.

    Returns
    -------
    Crossings

    Notes
    -----
    Roots of even multiplicity, where the sign is the same on both sides, are not sign changes. An exact zero
    at 1 is left to the polynomial that goes on from there. The number is right if the values between
    neighbouring roots exceed (K + 1) 2**-50 (in pairs 2**-100) times the sum of the coefficients' magnitudes;
    of roots closer than that, all are found but for two at a time.

    >>> found = crossings(np.array([[0.08], [-0.6], [1.0]]))  # (x - 0.2) (x - 0.4)
    >>> found.place.round(15), found.direction
    (array([0.2, 0.4]), array([-1,  1]))
    """
    scale, unit = np.abs(leading(power)).max(axis=0, initial=0.0), arithmetic_of(power).unit
    if end is not None:
        scale = np.maximum(scale, np.abs(leading(end)))
    some = np.flatnonzero(scale > 0)
    exponent = -np.frexp(scale[some])[1]
    power = each_part(lambda part: np.ldexp(part[:, some], exponent), power)
    end = None if end is None else each_part(lambda part: np.ldexp(part[some], exponent), end)
    known = np.zeros(len(some)) if before is None else np.asarray(before, dtype=float)[some]
    total = _sum(np.abs(leading(power)))
    first, value = leading(power[0]), leading(_sum(power) if end is None else end)
    quiet = np.abs(first) > total - np.abs(first) + 4 * len(power) * EPS * total  # a_0 outweighs the rest
    busy = np.flatnonzero(~(quiet & (first * value > 0)))
    power, known, some = power[:, busy], known[busy], some[busy]
    b = bernstein(power)
    if end is not None:
        b[-1] = end[busy]
    b = _with_signed_ends(b, known)
    column, left, width, sign = _isolated(b, 4 * len(power) * unit * total[busy])
    place = _refined(power[:, column], left, left + width, sign)
    order = np.lexsort((*sort_keys(place), column))
    return Crossings(some[column[order]], place[order], -sign[order].astype(np.int64))


def sort_keys(places: Array) -> tuple[np.ndarray, ...]:
    """What `np.lexsort` takes to order numbers: the last key counts first."""
    return (places.low, places.high) if isinstance(places, Pair) else (places,)


def bernstein(power: Array) -> Array:
    """Coefficients (K + 1, n) in the Bernstein basis of [0, 1] from those in powers of x."""
    K = len(power) - 1
    b = power.copy()
    for k in range(1, K):
        b[k] = b[k] / float(comb(K, k))
    for k in range(1, K + 1):
        b[k:] = b[k:] + b[k - 1 : -1]
    return b


def variations(b: Array) -> np.ndarray:
    """Number of sign variations of each column, zeros left out; the first row must not be zero."""
    b = leading(b)
    count = np.zeros(b.shape[1], dtype=np.int64)
    sign = np.sign(b[0])
    for row in b[1:]:
        count += sign * row < 0
        sign = np.where(row == 0, sign, np.sign(row))
    return count


def ending_sign(b: Array) -> np.ndarray:
    """Sign just before 1: that of the last Bernstein coefficient that is not zero; 0 if all are."""
    b = leading(b)
    sign = np.sign(b[0])
    for row in b[1:]:
        sign = np.where(row == 0, sign, np.sign(row))
    return sign


def _with_signed_ends(b: Array, before: np.ndarray) -> Array:
    """Zeros at 0 and 1 replaced by tiny numbers with the sign that holds before them."""
    _fill(b[0], np.where(before != 0, before, ending_sign(b[::-1])))
    _fill(b[-1], ending_sign(b))
    return b


def _fill(row: Array, sign: np.ndarray) -> None:
    """Write tiny numbers of these signs where a row is zero."""
    zero = leading(row) == 0
    row[zero] = TINY * sign[zero]


def _isolated(b: Array, noise: np.ndarray) -> tuple[np.ndarray, Array, np.ndarray, np.ndarray]:
    """Intervals with one sign change each: column, left end, width, sign at the left end."""
    num = arithmetic_of(b)
    column, left, width, deepest = np.arange(b.shape[1]), num.zeros((b.shape[1],)), 1.0, HALVINGS * num.parts
    found: list[tuple[Any, ...]] = [(column[:0], left[:0], noise[:0], noise[:0])]
    for depth in range(deepest + 1):
        count = variations(b) if b.shape[1] else column[:0]
        unclear = (np.abs(leading(b)).max(axis=0, initial=0.0) <= noise[column]) | (depth == deepest)
        one = (count == 1) | (unclear & (count % 2 == 1))
        found.append((column[one], left[one], np.full(int(one.sum()), width), np.sign(leading(b[0, one]))))
        more = (count > 1) & ~unclear
        if not more.any():
            break
        low, high = _halves(b[:, more])
        width /= 2
        column, left = np.tile(column[more], 2), num.joined([left[more], left[more] + width])
        b = num.joined([low, high], axis=1)
    columns, lefts, widths, signs = zip(*found, strict=True)
    return np.concatenate(columns), num.joined(lefts), np.concatenate(widths), np.concatenate(signs)


def _halves(b: Array) -> tuple[Array, Array]:
    """Bernstein coefficients on both halves; a zero in the middle takes the sign that holds before it."""
    low, high = b.copy(), b.copy()
    for k in range(1, len(b)):
        high[:-k] = 0.5 * (high[:-k] + high[1 : len(b) - k + 1])
        low[k] = high[0]
    _fill(low[-1], ending_sign(low))
    high[0] = low[-1]
    return low, high


def _refined(power: Array, low: Array, high: Array, sign: np.ndarray) -> Array:
    """The sign change in [low, high] of each column, to the last bits that its values determine."""
    num, low, high = arithmetic_of(power), low.copy(), high.copy()
    x, last = 0.5 * (low + high), leading(high - low)
    root = x.copy()
    active = np.arange(len(x))
    for _ in range(ROUNDS):
        if not len(active):
            break
        p, slope, noise = _horner(power[:, active], x[active])
        same = leading(p) * sign[active] > 0
        low[active] = num.where(same, x[active], low[active])
        high[active] = num.where(same, high[active], x[active])
        a, b = low[active], high[active]
        with np.errstate(all="ignore"):
            newton = x[active] - p / leading(slope)
            inside = (leading(newton - a) >= 0) & (leading(b - newton) >= 0)
        done = (np.abs(leading(p)) <= noise) | (leading(b - a) <= num.unit * leading(b))
        root[active] = num.where(inside, newton, x[active])
        with np.errstate(all="ignore"):
            fast = inside & (np.abs(leading(newton - x[active])) <= 0.5 * last[active])
        following = num.where(fast, newton, 0.5 * (a + b))
        last[active] = np.abs(leading(following - x[active]))
        x[active] = following
        active = active[~done]
    return root


def _horner(power: Array, x: Array) -> tuple[Array, Array, np.ndarray]:
    """Value, slope, and what rounding may have done to the value."""
    num = arithmetic_of(power)
    value, slope, size = power[-1].copy(), num.zeros((len(x),)), np.abs(leading(power[-1]))
    for k in range(len(power) - 2, -1, -1):
        slope = slope * x + value
        value = value * x + power[k]
        size = size * leading(x) + np.abs(leading(power[k]))
    return value, slope, num.unit * size


def _sum(power: Array) -> Array:
    """Sum over the rows, the last first, one after the other: the same bits in any company."""
    total = power[-1].copy()
    for k in range(len(power) - 2, -1, -1):
        total = total + power[k]
    return total
