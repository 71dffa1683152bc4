"""How far a distance can grow over a step at most: componentwise logarithmic norms.

If every component of w obeys |w_i|' <= G_ii |w_i| + sum over j != i of G_ij |w_j| + f_i with G_ij, f_i >= 0 off the
diagonal, then |w| stays below the solution of the linear equation r' = G r + f that starts at or above |w(0)|. For
w' = S w + g, G_ii is the upper end of S_ii and G_ij the largest magnitude of S_ij: a negative S_ii shrinks the
distance, which plain ball arithmetic cannot see.
Source: Dahlquist 1959, Lozinskii 1958; the componentwise form is Mueller's comparison theorem (1927).
"""

from __future__ import annotations

from typing import Any, TypeAlias

import flint

from .matrix import Ball

Row: TypeAlias = dict[int, Any]
"""A sparse row: column to ball."""
TERMS = 200
NEGLIGIBLE = 2**26


MORE = 24
"""Negligible terms that are added for the sake of small entries, whose terms may not fall off yet."""


def flow(rows: list[Row], starts: list[list[Ball]]) -> list[list[Ball]] | None:
    """Upper bounds on exp(G) r for every r in `starts`, G >= 0 off the diagonal; None if no bound is found.

    Parameters
    ----------
    rows : upper bounds on the entries of G, exact balls, one row per component
    starts : vectors of exact balls >= 0, one entry per component

    Notes
    -----
    exp(-a) times the series of exp(G + a), which has no negative term.
    """
    n = len(rows)
    diagonal = [row[i] for i, row in enumerate(rows) if i in row]
    shift = -min(diagonal) if diagonal and min(diagonal) < 0 else flint.arb(0)
    zero = flint.arb(0)
    entries = [row.get(j, zero) + shift if i == j else row.get(j, zero) for i, row in enumerate(rows) for j in range(n)]
    matrix = flint.arb_mat(n, n, entries)
    term = flint.arb_mat(n, len(starts), [vector[i] for i in range(n) for vector in starts])
    total = term
    more = 0
    for k in range(1, TERMS + 1):
        term = matrix * term / k
        total = total + term
        if _small(term, total):
            rest = _rest(matrix, term, k)
            if rest is not None and _small(rest, total):
                break
            more += 1
            if more > MORE:
                break
    rest = _remaining(matrix, term, k)
    if rest is None:
        return None
    ends = ((total + rest) * (-shift).exp()).entries()
    bounds = [ball.upper() for ball in ends]
    return [bounds[column :: len(starts)] for column in range(len(starts))] if _finite(bounds) else None


def without_decay(rows: list[Row]) -> list[Row]:
    """The same with nothing negative on the diagonal: its solutions never fall, so their ends bound them all along."""
    return [row | {i: flint.arb(0)} if i in row and row[i] < 0 else row for i, row in enumerate(rows)]


def add(total: Row, row: Row, factor: Ball) -> None:
    """total += factor * row."""
    for j, a in row.items():
        total[j] = total[j] + factor * a if j in total else factor * a


def largest(balls: list[Ball]) -> Ball:
    """An exact ball that no ball given exceeds."""
    found = balls[0]
    for ball in balls[1:]:
        found = found.max(ball)
    return found.upper()


def _finite(balls: list[Ball]) -> bool:
    return all(ball.is_finite() for ball in balls)


def _small(term: Any, total: Any) -> bool:
    """Whether a term is negligible in every entry."""
    return all(b * NEGLIGIBLE <= a for a, b in zip(total.entries(), term.entries(), strict=True))


def _rest(matrix: Any, term: Any, k: int) -> Any:
    """Bound on the terms after the k-th, T_k + 2 T_(k+1), if T_(k+2) <= T_k / 4, else None.

    G + a has no negative entry, so T_(k+2m) <= T_k / 4^m and T_(k+1+2m) <= T_(k+1) / 4^m follow for all m. Terms are
    held against those two before: of states that move each other in turn, one may be zero where the next is not.
    """
    following = matrix * term / (k + 1)
    after = matrix * following / (k + 2)
    falls = all(4 * b <= a for a, b in zip(term.entries(), after.entries(), strict=True))
    return term + 2 * following if falls else None


def _remaining(matrix: Any, term: Any, k: int) -> Any:
    """Bound on the terms after the k-th.

    Where they do not fall off entry by entry, the norm of G bounds them, and with it all entries alike, however small
    some of them are.
    """
    rest = _rest(matrix, term, k)
    if rest is not None:
        return rest
    norm = largest([sum(row, flint.arb(0)) for row in matrix.tolist()])
    if not 2 * norm <= k + 1:
        return None
    return flint.arb_mat(term.nrows(), term.ncols(), [largest(term.entries())] * (term.nrows() * term.ncols()))
