"""Where polynomials change sign in [0, 1], for many polynomials at once.

Sign changes are counted on Bernstein coefficients: by Descartes' rule a polynomial has at most as many roots
in an interval as its coefficients there have sign variations, and an odd number apart from that. Intervals
with two variations or more are halved by de Casteljau's rule (Lane and Riesenfeld, BIT 21 (1981) 112-117)
until each has one variation, hence one root, or none. Only then is a root refined: by Newton's method, held
in its interval by bisection.

Everything is done column by column: what is found for a polynomial does not depend on its neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import comb

import numpy as np

from .task import EPS

TINY = 1e-300
"""Stands for a zero whose sign is taken from one side; polynomials are scaled to size 1."""
HALVINGS = 52
ROUNDS = 200
"""Evaluations allowed to a root; bisection alone needs 53, and every second evaluation bisects or converges fast."""


@dataclass(frozen=True)
class Crossings:
    """Sign changes, ordered by column, then by place.

    Attributes
    ----------
    column : int64, (n,)
        Which polynomial.
    place : float64, (n,)
        Where in [0, 1].
    direction : int64, (n,)
        1 where the value rises through zero, -1 where it falls.
    """

    column: np.ndarray
    place: np.ndarray
    direction: np.ndarray


def crossings(power: np.ndarray, before: np.ndarray | None = None, end: np.ndarray | None = None) -> Crossings:
    """Every place in [0, 1] where a polynomial changes sign.

    Parameters
    ----------
    power : float64, (K + 1, n), K >= 1
        Coefficients of n polynomials in powers of x. Must be finite.
    before : float64, (n,), optional
        Sign of each just before 0 (1, -1, or 0 for unknown). It decides about a polynomial that is exactly zero
        at 0: with the opposite sign after it, 0 is a sign change. Unknown means that 0 is none.
    end : float64, (n,), optional
        Values at 1, where they are known better than by summing the coefficients.

    Returns
    -------
    Crossings

    Notes
    -----
    Roots of even multiplicity, where the sign is the same on both sides, are not sign changes. An exact zero
    at 1 is left to the polynomial that goes on from there. The number is right if the values between
    neighbouring roots exceed (K + 1) 2**-50 times the sum of the coefficients' magnitudes; of roots closer
    than that, all are found but for pairs.

    >>> found = crossings(np.array([[0.08], [-0.6], [1.0]]))  # (x - 0.2) (x - 0.4)
    >>> found.place.round(15), found.direction
    (array([0.2, 0.4]), array([-1,  1]))
    """
    scale = np.abs(power).max(axis=0, initial=0.0)
    if end is not None:
        scale = np.maximum(scale, np.abs(end))
    some = np.flatnonzero(scale > 0)
    power = np.ldexp(power[:, some], -np.frexp(scale[some])[1])
    end = None if end is None else np.ldexp(end[some], -np.frexp(scale[some])[1])
    known = np.zeros(len(some)) if before is None else np.asarray(before, dtype=float)[some]
    total = _sum(np.abs(power))
    value = _sum(power) if end is None else end
    quiet = np.abs(power[0]) > total - np.abs(power[0]) + 4 * len(power) * EPS * total  # a_0 outweighs the rest
    busy = np.flatnonzero(~(quiet & (power[0] * value > 0)))
    power, known, some = power[:, busy], known[busy], some[busy]
    b = bernstein(power)
    if end is not None:
        b[-1] = end[busy]
    b = _with_signed_ends(b, known)
    column, left, width, sign = _isolated(b, 4 * len(power) * EPS * total[busy])
    place = _refined(power[:, column], left, left + width, sign)
    order = np.lexsort((place, column))
    return Crossings(some[column[order]], place[order], -sign[order].astype(np.int64))


def bernstein(power: np.ndarray) -> np.ndarray:
    """Coefficients (K + 1, n) in the Bernstein basis of [0, 1] from those in powers of x."""
    K = len(power) - 1
    b = np.array(power, dtype=float)
    for k in range(1, K):
        b[k] /= comb(K, k)
    for k in range(1, K + 1):
        b[k:] = b[k:] + b[k - 1 : -1]
    return b


def variations(b: np.ndarray) -> np.ndarray:
    """Number of sign variations of each column, zeros left out; the first row must not be zero."""
    count = np.zeros(b.shape[1], dtype=np.int64)
    sign = np.sign(b[0])
    for row in b[1:]:
        count += sign * row < 0
        sign = np.where(row == 0, sign, np.sign(row))
    return count


def ending_sign(b: np.ndarray) -> np.ndarray:
    """Sign just before 1: that of the last Bernstein coefficient that is not zero; 0 if all are."""
    sign = np.sign(b[0])
    for row in b[1:]:
        sign = np.where(row == 0, sign, np.sign(row))
    return sign


def _with_signed_ends(b: np.ndarray, before: np.ndarray) -> np.ndarray:
    """Zeros at 0 and 1 replaced by tiny numbers with the sign that holds before them."""
    first = np.where(before != 0, before, ending_sign(b[::-1]))
    b[0] = np.where(b[0] == 0, TINY * first, b[0])
    b[-1] = np.where(b[-1] == 0, TINY * ending_sign(b), b[-1])
    return b


def _isolated(b: np.ndarray, noise: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Intervals with one sign change each: column, left end, width, sign at the left end."""
    column, left, width = np.arange(b.shape[1]), np.zeros(b.shape[1]), 1.0
    found: list[tuple[np.ndarray, ...]] = [(column[:0], left[:0], left[:0], left[:0])]
    for depth in range(HALVINGS + 1):
        count = variations(b) if b.shape[1] else column[:0]
        unclear = (np.abs(b).max(axis=0, initial=0.0) <= noise[column]) | (depth == HALVINGS)
        one = (count == 1) | (unclear & (count % 2 == 1))
        found.append((column[one], left[one], np.full(int(one.sum()), width), np.sign(b[0, one])))
        more = (count > 1) & ~unclear
        if not more.any():
            break
        low, high = _halves(b[:, more])
        width /= 2
        column, left = np.tile(column[more], 2), np.concatenate([left[more], left[more] + width])
        b = np.concatenate([low, high], axis=1)
    columns, lefts, widths, signs = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return columns, lefts, widths, signs


def _halves(b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bernstein coefficients on both halves; a zero in the middle takes the sign that holds before it."""
    low, high = np.empty_like(b), b.copy()
    low[0] = b[0]
    for k in range(1, len(b)):
        high[:-k] = 0.5 * (high[:-k] + high[1 : len(b) - k + 1])
        low[k] = high[0]
    middle = np.where(low[-1] == 0, TINY * ending_sign(low), low[-1])
    low[-1] = high[0] = middle
    return low, high


def _refined(power: np.ndarray, low: np.ndarray, high: np.ndarray, sign: np.ndarray) -> np.ndarray:
    """The sign change in [low, high] of each column, to the last bits that its values determine."""
    low, high = low.copy(), high.copy()
    x, last = 0.5 * (low + high), high - low
    root = x.copy()
    active = np.arange(len(x))
    for _ in range(ROUNDS):
        if not len(active):
            break
        p, slope, noise = _horner(power[:, active], x[active])
        same = p * sign[active] > 0
        low[active] = np.where(same, x[active], low[active])
        high[active] = np.where(same, high[active], x[active])
        a, b = low[active], high[active]
        with np.errstate(all="ignore"):
            newton = x[active] - p / slope
        inside = (newton >= a) & (newton <= b)
        done = (np.abs(p) <= noise) | (b - a <= EPS * b)
        root[active] = np.where(inside, newton, x[active])
        fast = inside & (np.abs(newton - x[active]) <= 0.5 * last[active])
        following = np.where(fast, newton, 0.5 * (a + b))
        last[active] = np.abs(following - x[active])
        x[active] = following
        active = active[~done]
    return root


def _horner(power: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Value, slope, and what rounding may have done to the value."""
    value, slope, size = power[-1].copy(), np.zeros(len(x)), np.abs(power[-1])
    for row in power[-2::-1]:
        slope = slope * x + value
        value = value * x + row
        size = size * x + np.abs(row)
    return value, slope, EPS * size


def _sum(power: np.ndarray) -> np.ndarray:
    """Sum over the rows, the last first, one after the other: the same bits in any company."""
    total = power[-1].copy()
    for row in power[-2::-1]:
        total = total + row
    return total
