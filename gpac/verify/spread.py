"""What is known of all solutions beside the centre, and how it spreads over one step.

The prover follows one exact point at full precision, the centre. The distance d of any solution in question from it
(with the distances of constants that have symbols as further components, which rest) is known in low precision:

    d = C e + B r + w,   -1 <= e_l, r_l <= 1,   |w_i| <= rest_i,   and   |d_i| <= bound_i.

The symbols e_l say where in its box an input lies: they are the same at all times and in all parts, so that C, the
first-order dependence on the inputs, forgets nothing. The symbols r_l are of this time only.

Over a step, 0 <= s <= 1, d' = S(s) d (+ g, what uncertain constants without symbols contribute) holds exactly, with
S(s) in A_0 + A_1 s + ... + A_M s**M +- Delta (`slopes`; the A_j are midpoints of coefficients). Why a step is right:

1. Tube. The distances start below `bound`; by `growth` they stay below `anywhere` as long as they stay in the tube D
   for which S was made; `anywhere` < D in every component, so none of them is the first to leave the tube.
2. Let X(s) = X_0 + ... + X_K s**K with X_0 = (C B) and (k + 1) X_{k+1} = sum of A_j X_{k-j}; then X' - A X is what
   A X has in degrees K and above. Write d = X (e, r) + w. Then w(0) is what it was, and
   w' = S w + (A X - X') (e, r) + (S - A) X (e, r) + g: by `growth`, |w| stays below the solution of r' = G r + f, with
   G from S and f a bound on the last three, where |S - A| <= Delta.
3. So d(1) = X(1) (e, r) + w(1), and what the centre loses in rounding joins w. And |d(1)| is below the bound of step 1,
   with decay this time. Both hold, so of each component the narrower bound may be taken, and if a component is known
   much better by its bound, its rows in C and B may be put to 0 and its rest to the bound: |d_i| is below it whatever
   the symbols are.
4. What w holds becomes columns of B with symbols of their own, a diagonal. When there are too many columns, they are
   put into a frame B = Q diag(rho): with Q^-1 enclosed, |Q^-1 B r| <= |Q^-1 B| 1 =: rho. Q comes from a QR
   decomposition in doubles of the columns, longest first, and need not be exactly orthogonal.

Parts with many states have no frame (B is empty) and let w grow by 2; where nothing depends on inputs and the bounds
have hardly grown, only step 1 is done.
Sources: Lohner, "Computation of guaranteed enclosures" (1992); Mrozek and Zgliczynski, Annales Polonici Mathematici 74
(2000) 237-259 (doubletons); Kuehn, Computing 61 (1998) 47-67 (columns kept for several steps).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import flint

from ..precision import working_precision
from .distances import BITS, ZERO, Distances, reframed, size_of, sizes_of
from .growth import Row, flow, without_decay
from .matrix import Ball
from .models import coefficients, hull
from .slopes import OUTSIDE, Step, slopes

MOST_BITS = 512
TRIES, REFINEMENTS, MOST_TERMS = 12, 2, 60
NEGLIGIBLE = 2**30
TINY = flint.arb(2) ** -4000


@dataclass(frozen=True, eq=False)
class Spread:
    """The distances after a step, and what was met on the way: G, and how far the bounds went beyond the start."""

    after: Distances
    growth: list[Row]
    anywhere: list[Ball]


def spread(step: Step, before: Distances, guess: list[Ball], lost: list[Ball], framed: bool) -> Spread | None:
    """The distances at the end of a step from those at its start; None if no tube closes.

    Parameters
    ----------
    guess : how far the bounds may go beyond the start, by component; only a guess
    lost : how far the new centre can be from the centre's solution, by state
    framed : whether more than the bounds of step 1 is wanted
    """
    with working_precision(BITS):
        found = _closed(step, before.bound, guess)
        if found is None:
            return None
        rows, growth, tube, anywhere = found
        lost = [*lost, *[ZERO] * (len(anywhere) - len(lost))]
        if not framed:
            decays = any(i in row and row[i] < 0 for i, row in enumerate(growth))
            ends = flow(growth, [[*before.bound, flint.arb(1)]]) if decays else [anywhere]
            if ends is None:
                return None
            bound = [(a + b).upper() for a, b in zip(ends[0], lost, strict=False)]
            return Spread(Distances([[] for _ in bound], [[] for _ in bound], bound, bound), growth, anywhere)
        for _ in range(REFINEMENTS + 1):
            both = _both(rows, growth, before, lost)
            if both is None:
                return None
            after, along, met = both
            anywhere = [min(a, b) for a, b in zip(anywhere, along, strict=True)]
            if not _worth_while(after, met, tube, anywhere):
                break
            tube = anywhere  # all solutions are in there as well
            rows = slopes(step, tube)
            growth = _growth(rows, len(tube)) or growth
        return Spread(reframed(after, len(step.path)), growth, anywhere)


def _worth_while(after: Distances, met: list[Ball], tube: list[Ball], anywhere: list[Ball]) -> bool:
    """Whether a narrower tube would make the rest much smaller, and the rest matters."""
    much = any(m * 2**10 > b and 4 * m > r for r, b, m in zip(after.rest, after.bound, met, strict=True))
    return much and any(4 * a < 3 * b for a, b in zip(anywhere, tube, strict=True))


# -- the tube, and S in it -----------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Matrix:
    """S: coefficients of its middle, Delta (matrices over all components), and g (one entry per component)."""

    middle: list[Any]
    delta: Any
    pushed: list[Ball]


def _closed(
    step: Step, bound: list[Ball], guess: list[Ball]
) -> tuple[list[Row], list[Row], list[Ball], list[Ball]] | None:
    """Rows of S over a tube that holds all solutions; G with g as a last column; the tube; bounds inside it."""
    start = [*bound, flint.arb(1)]
    tube = [(b + g + TINY).upper() for b, g in zip(bound, guess, strict=True)]
    for _ in range(TRIES):
        rows = slopes(step, tube)
        growth = _growth(rows, len(tube))
        if growth is None:
            return None
        ends = flow(without_decay(growth), [start])
        if ends is None:
            return None
        anywhere = ends[0][:-1]
        if all(a < b for a, b in zip(anywhere, tube, strict=True)):
            return rows, growth, tube, anywhere
        tube = [(2 * a + TINY).upper() for a in anywhere]
    return None


def _growth(rows: list[Row], size: int) -> list[Row] | None:
    """Rows of G, with g as a last column; None where a number is not finite."""
    growth: list[Row] = []
    for n, row in enumerate(rows):
        new: Row = {}
        for j, x in row.items():
            ball = hull(x)
            if not ball.is_finite():
                return None
            new[size if j == OUTSIDE else j] = ball.upper() if j == n else ball.abs_upper()
        growth.append(new)
    return [*growth, *({} for _ in range(size + 1 - len(rows)))]


def _parted(rows: list[Row], size: int) -> _Matrix:
    """Rows of S as middle, Delta and g."""
    terms = max((len(coefficients(x)) for row in rows for x in row.values()), default=0) or 1  # 0 is no coefficient
    middle = [[ZERO] * (size * size) for _ in range(terms)]
    delta, pushed = [ZERO] * (size * size), [ZERO] * size
    for i, row in enumerate(rows):
        for j, x in row.items():
            if j == OUTSIDE:
                pushed[i] = x.abs_upper()
                continue
            for k, a in enumerate(coefficients(x)):
                middle[k][i * size + j] = a.mid()
                delta[i * size + j] = delta[i * size + j] + a.rad()
    return _Matrix([flint.arb_mat(size, size, m) for m in middle], flint.arb_mat(size, size, delta), pushed)


# -- steps 2, 3 and 4 ----------------------------------------------------------------------------------------


def _both(
    rows: list[Row], growth: list[Row], before: Distances, lost: list[Ball]
) -> tuple[Distances, list[Ball], list[Ball]] | None:
    """The distances after the step by symbols and by bounds; bounds all along the step; what Delta contributes."""
    size, width = len(before.bound), len(before.symbols[0])
    matrix = _parted(rows, size)
    carried = _carried(matrix.middle, [[*c, *b] for c, b in zip(before.symbols, before.frame, strict=True)])
    met = (matrix.delta * _column(carried.reach)).entries()
    forces = [(a + b + c).upper() for a, b, c in zip(carried.forced, met, matrix.pushed, strict=True)]
    pushed = [row | {size + 1: f} for row, f in zip(growth[:size], forces, strict=True)] + [{}, {}]
    one = flint.arb(1)
    ends = flow(pushed, [[*before.bound, one, ZERO], [*before.rest, ZERO, one]])
    along = flow(without_decay(pushed), [[*before.rest, ZERO, one]])
    if ends is None or along is None:
        return None
    rest = [(w + r + x).upper() for w, r, x in zip(ends[1], carried.rounded, lost, strict=False)]
    known = [(size_of(row) + r).upper() for row, r in zip(carried.end, rest, strict=True)]
    bound = [min(k, (b + x).upper()) for k, b, x in zip(known, ends[0], lost, strict=False)]
    end = [row if 2 * b >= k else None for row, b, k in zip(carried.end, bound, known, strict=True)]
    none = [ZERO] * len(carried.end[0])
    after = Distances(
        [(row or none)[:width] for row in end],
        [(row or none)[width:] for row in end],
        [b if row is None else r for row, b, r in zip(end, bound, rest, strict=True)],
        bound,
    )
    return after, [(a + b).upper() for a, b in zip(carried.reach, along[0], strict=False)], met


@dataclass(frozen=True, eq=False)
class _Carried:
    """X(1) (midpoints, and the sum of the radii of each row), sup |X| 1 over the step, and |A X - X'| 1."""

    end: list[list[Ball]]
    rounded: list[Ball]
    reach: list[Ball]
    forced: list[Ball]


def _carried(middle: list[Any], columns: list[list[Ball]]) -> _Carried:
    """X from X(0), at a precision at which rounding does not matter."""
    bits = BITS
    while True:
        with working_precision(bits):
            found = _series(middle, columns)
        if bits >= MOST_BITS or all(r * 2**30 <= s for r, s in zip(found.rounded, found.reach, strict=True)):
            return found
        bits *= 2


def _series(middle: list[Any], columns: list[list[Ball]]) -> _Carried:
    size, width = len(columns), len(columns[0])
    terms = [flint.arb_mat(size, width, [x for row in columns for x in row])]
    sizes = [sizes_of(terms[0])]
    end, reach, small = terms[0], sizes[0], 0
    while len(terms) <= MOST_TERMS and small < 2:
        k = len(terms)
        new = middle[0] * terms[-1]
        for a, x in zip(middle[1:], terms[-2::-1], strict=False):
            new = new + a * x
        terms.append(new / k)
        sizes.append(sizes_of(terms[-1]))
        end, reach = end + terms[-1], [a + b for a, b in zip(reach, sizes[-1], strict=True)]
        small = small + 1 if all(b * NEGLIGIBLE <= a for a, b in zip(reach, sizes[-1], strict=True)) else 0
    forced = flint.arb_mat(size, 1)
    above = flint.arb_mat(size, size)
    last = len(terms) - 1
    for j in range(len(middle) - 1, -1, -1):
        above = above + flint.arb_mat(size, size, [abs(a) for a in middle[j].entries()])
        if j <= last:
            forced = forced + above * _column(sizes[last - j])
    entries = end.tolist()
    return _Carried(
        [[x.mid() for x in row] for row in entries],
        [sum((x.rad() for x in row), ZERO).upper() for row in entries],
        [x.upper() for x in reach],
        [x.upper() for x in forced.entries()],
    )


def _column(vector: list[Ball]) -> Any:
    return flint.arb_mat(len(vector), 1, vector)
