"""`gpac.certify`: proven bounds on the errors of a solution, after the fact."""

from __future__ import annotations

import time as clock
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from ..circuit import Circuit
from ..errors import GpacError, NumberError, ShapeError
from ..schedule import Schedule
from ..solver.progress import shown
from ..solver.solution import Solution, Status, host
from ..solver.task import Limits
from .models import TINY, UP, Array
from .phase import MOST_COMPILED, Course, nearest_double
from .skeleton import Interval

PIECE, LARGE_PIECE = 2**20, 2**22
"""Coefficients of a piece of the batch, which are made and looked at together: of few states, and of more."""
TIME = "the time allowed was used up before it was looked at"


@dataclass(frozen=True, eq=False)
class Certification:
    """What is proven about a solution's outputs.

    Attributes
    ----------
    error : float64, (S, m)
        Every output of trajectory which[s] is within error[s] of the exact value; inf where nothing is proven.
    which : int64, (S,)
        The trajectories looked at.
    reasons : object array of str, (S,)
        Why a trajectory is not certified; "" where it is.
    names : tuple of str, (m,)
        Names of the output entries.
    seconds, solving : float
        Processor time of it all, and of the part that computed polynomials anew.
    """

    error: Array
    which: Array
    reasons: Array
    names: tuple[str, ...]
    seconds: float
    solving: float

    @property
    def certified(self) -> Array:
        """Which of them have a finite bound on every output; bool, (S,)."""
        return np.isfinite(self.error).all(axis=1)

    @property
    def worst(self) -> Array:
        """The largest bound of each trajectory, (S,)."""
        return self.error.max(axis=1, initial=0.0)

    def check(self) -> Certification:
        """Return self, or raise `GpacError` for the first trajectory that is not certified."""
        for index in np.flatnonzero(~self.certified):
            raise GpacError(f"trajectory {self.which[index]} is not certified: {self.reasons[index]}")
        return self

    def __repr__(self) -> str:
        good = self.certified
        worst = f", largest error {self.worst[good].max():.3g}" if good.any() else ""
        return f"Certification({good.sum()} of {len(good)} trajectories{worst}; {self.seconds:.3g} s)"


def certify(
    solution: Solution,
    sample: int | Sequence[int] | None = None,
    *,
    max_steps: int = 100_000,
    max_seconds: float | None = None,
    progress: Callable[[float], None] | bool | None = None,
) -> Certification:
    """Bounds, proven, on how far the outputs of a batch are from the exact ones.

    Parameters
    ----------
    solution : Solution
        As `gpac.solve` returned it, in double precision, with outputs at one end time for each trajectory (no grid,
        no derivatives). It remembers the system and the inputs; it needs no dense=True.
    sample : int or sequence of int, optional
        So many trajectories, evenly spaced over the batch, or these. Default: all.
    max_steps : int
        Steps allowed to each trajectory (to each phase of a schedule).
    max_seconds : float, optional
        Wall-clock time after which no further piece of the batch is begun.
    progress : callable or True, optional
        Called with the fraction of trajectories done; True shows a bar on standard error.

    Returns
    -------
    Certification
        Trajectories that cannot be certified have an infinite error and a reason. Ctrl-C returns what is done.

    Raises
    ------
    GpacError
        If the solution does not say what was solved, or is of a kind that is not certified.

    Notes
    -----
    The theorem is about the exact system: the numbers of the system as they are (8/3 is 8/3), the inputs as the
    doubles that were given, the time that `solution.t` says (for a schedule its exact duration). Of a limit
    program it speaks of the outputs at that time, not of the limit. It does not depend on how the solution was
    made: any numbers in its place are judged as well.

    Method: Taylor polynomials of all states are computed anew at the smallest tolerance, on compiled lanes; their
    defect is bounded in Taylor models with float64 coefficients and proven rounding errors
    (`gpac.bounds.models`), and what defects do later by matrices that follow the flow (`gpac.bounds.steps`,
    `gpac.bounds.chain`). Above 24 states Mueller's comparison without matrices comes first (`gpac.bounds.compare`),
    cheaper and wider; above 96 there is nothing else, and it does not see decay: stiff systems of many states
    run out of bounds. For batches of many steps all of this becomes machine code (`gpac.bounds.kernel`; seconds,
    once, kept on disk), which also computes the first orders of the defect twice as long (`gpac.bounds.sharp`): its
    bounds are tighter, tenfold on the Lorenz equations, than those for few trajectories.

    >>> import gpac, sympy
    >>> y = sympy.Symbol("y")
    >>> solution = gpac.solve(gpac.PIVP({y: y}, {y: 1}), t=1, tol=1e-9)
    >>> bound = gpac.certify(solution).check().error[0, 0]
    >>> bool(abs(solution.outputs[0] - 2.718281828459045235) <= bound < 1e-9)
    True
    """
    question = solution.question
    if question is None:
        raise GpacError(
            "this solution does not say what was solved: certify one that gpac.solve returned for end times, "
            "in double precision, without a grid of times and without derivatives="
        )
    if max_seconds is not None and not max_seconds > 0:
        raise NumberError(f"max_seconds must be positive, got {max_seconds!r}")
    begun = clock.process_time()
    end = float("inf") if max_seconds is None else clock.monotonic() + max_seconds
    outputs = np.atleast_2d(np.asarray(host(solution.outputs)))
    which = _chosen(sample, len(outputs))
    dim, steps = question.system.dim, 2 + np.mean(np.atleast_1d(host(solution.steps))[which]) if len(which) else 1
    size = max(1, int((PIECE if dim <= MOST_COMPILED else LARGE_PIECE) / (26 * max(1, dim) * steps)))
    inputs = {n: np.asarray(host(a)) for n, a in question.inputs.items()}
    run = _Run(question.system, inputs, solution, outputs, max(1.0, len(which) / size))
    error, reasons = np.full((len(which), outputs.shape[1]), np.inf), np.full(len(which), TIME, dtype=object)
    with shown(progress) as told:
        try:
            for low in range(0, len(which), size):
                if clock.monotonic() > end:
                    break
                some = slice(low, low + size)
                error[some], reasons[some] = run.piece(which[some], Limits(max_steps, end))
                if told:
                    told(min(1.0, (low + size) / len(which)))
        except KeyboardInterrupt:
            reasons[reasons == TIME] = "the run was interrupted before it was looked at"
    return Certification(error, which, reasons, _names(question.system), clock.process_time() - begun, run.solving)


def _chosen(sample: int | Sequence[int] | None, count: int) -> Array:
    """Numbers of the trajectories to be looked at."""
    if sample is None:
        return np.arange(count)
    if isinstance(sample, (int, np.integer)):
        if not sample >= 1:
            raise NumberError(f"sample must be a positive number of trajectories or a list of them, got {sample!r}")
        return np.unique(np.linspace(0, count - 1, min(int(sample), count)).astype(int)) if count else np.arange(0)
    which = np.asarray(sample)
    if which.ndim != 1 or which.dtype.kind not in "iu" or ((which < 0) | (which >= count)).any():
        raise ShapeError(f"sample must list trajectories from 0 to {count - 1}, got {sample!r}")
    return which


def _names(system: Circuit | Schedule) -> tuple[str, ...]:
    named = system.outputs.items()
    return tuple(n if w.size == 1 else f"{n}[{i}]" for n, w in named for i in range(w.size))


class _Run:
    """One solution's system made ready, and pieces of its batch."""

    def __init__(
        self, system: Circuit | Schedule, inputs: dict[str, Array], solution: Solution, outputs: Array, pieces: float
    ):
        self.inputs, self.outputs = inputs, outputs
        self.solving = 0.0
        self.t = np.atleast_1d(np.asarray(host(solution.t), dtype=float))
        self.status = np.atleast_1d(solution.status)
        self.phases: list[tuple[Course, Fraction | None]]
        if isinstance(system, Schedule):
            self.phases = [(Course(p.circuit, pieces), Fraction(p.duration)) for p in system.phases]
        else:
            self.phases = [(Course(system, pieces), None)]

    def piece(self, which: Array, limits: Limits) -> tuple[Array, Array]:
        """Errors and reasons of some trajectories."""
        error, reasons = np.full((len(which), self.outputs.shape[1]), np.inf), np.empty(len(which), dtype=object)
        reasons[:] = [str(s) if s is not Status.REACHED else "" for s in self.status[which]]
        left = np.flatnonzero(reasons == "")
        values = {n: Interval(a[:, which[left]], np.zeros((len(a), len(left)))) for n, a in self.inputs.items()}
        for course, duration in self.phases:
            ends, late = self.t[which[left]], np.zeros(len(left))
            if duration is not None:
                end, beside = nearest_double(duration)
                ends, late = np.full(len(left), end), np.full(len(left), beside)
            given = {n: values[n] for n in course.circuit.inputs}
            begun = clock.process_time()
            skeleton = course.skeleton(given, ends, limits)
            self.solving += clock.process_time() - begun
            out = course.bounded(skeleton, given, ends, late)
            course.spare.extend(skeleton.memory)
            good = out.reasons == ""
            reasons[left] = out.reasons
            left, values = left[good], {n: x.where(good) for n, x in (values | dict(out.outputs)).items()}
        last = [values[n] for n in self.phases[-1][0].circuit.outputs]
        mid = np.concatenate([x.mid for x in last]).T
        off = np.concatenate([x.off for x in last]).T
        away = np.abs(self.outputs[which[left]] - mid)
        error[left] = np.where(np.isfinite(away), (away * UP + off) * UP + TINY, np.inf)
        lost = left[~np.isfinite(error[left]).all(axis=1)]
        reasons[lost] = "the bound on its outputs is not finite"
        return error, reasons
