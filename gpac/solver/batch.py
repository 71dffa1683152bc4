"""`gpac.solve`: what a caller asks, checked, handed on, and what comes back as a `Solution`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arguments import System, array_module, as_runnable, batch_inputs, end_times, reals
from ..circuit import Circuit
from ..errors import GpacError, NumberError, ShapeError
from ..pair import Pair, each_part, leading
from ..schedule import Schedule
from .choice import check
from .gather import mapped
from .interrupt import completed
from .pieces import Call, run_circuit, run_schedule
from .progress import shown
from .results import status_names
from .settings import check_progress, limits_of, settings_of
from .solution import Question, Solution, host

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from .arithmetic import Doubles
    from .findings import Stage
    from .observation import Observation


def solve(
    system: System,
    t: Any = None,
    inputs: Any = None,
    *,
    initial: Any = None,
    tol: float = 1e-12,
    atol: float | None = None,
    precision: str = "double",
    dense: bool = False,
    length: bool = False,
    max_steps: int = 100_000,
    max_seconds: float | None = None,
    derivatives: bool | str | Sequence[str] = False,
    events: Any = None,
    extremes: Any = False,
    backend: str = "auto",
    method: str = "auto",
    threads: int | None = None,
    executor: Executor | None = None,
    progress: Callable[[float], None] | bool | None = None,
) -> Solution:
    """Integrate a system from 0 to t, for one input or a batch.

    Parameters
    ----------
    system : Circuit, Schedule or PIVP
    t : number, (B,) or (1, q) or (B, q) array, optional
        End time, or each trajectory's own; negative runs backward. With two axes it is a grid: times, all on
        one side of 0 and ordered away from it, at which the outputs are wanted. Left out, the program's own
        horizon is taken: a limit program runs until its bound says that `tol` is reached. A schedule always
        runs its phases.
    inputs : (n,) or (B, n) array, or a mapping from input name to such
        float64; NumPy or CuPy. Arrays with more axes are flattened row by row. In double-double precision also
        exact numbers (fractions, sympy and mpmath numbers) and `gpac.Pair`s; so are t and initial.
    initial : (n,) or (B, n) array, optional
        For a PIVP: start values in the order of `system.variables`, in place of its own.
    tol : float, between 1.2e-16 (double-double: 7.9e-31) and 0.1
        Largest local error of a step, relative to the largest state. Where the sign of a small component decides
        (Robertson's problem: 4e-5 beside 1, and it blows up below 0), tol must be well below its size; a trajectory
        that blows up with a tol above 1e-8 is looked at again with a tighter one, and `solution.engine` says so.
    atol : float, default `tol`
        Local error that is always accepted. Unit: state.
    precision : "double", "double-double" or "single"
        The arithmetic: about 16, 31 or 7 digits. In the second, weights and start values enter with all digits,
        and `solution.outputs_low` has what `solution.outputs` leaves out; give `tol` besides. The third is for
        kernels on a CUDA device.
    dense : bool
        Keep the polynomials of the outputs on every step, for `solution.at(times)`.
    length : bool
        Measure the length of the curve.
    max_steps : int
        Steps allowed to each trajectory (to each phase of a schedule).
    max_seconds : float, optional
        Wall-clock time allowed; trajectories that are not done by then have the status WALL_CLOCK.
    derivatives : True, or names of inputs
        Solve the variational equations too: `solution.jacobian[name]`, (B, m, n), holds the derivatives of the
        outputs by the entries of an input, at the same end times. A PIVP's start values are "initial".
    events : sequence of Event or wires, or a mapping from name to such, optional
        Sign changes to be located: see `gpac.Event` and `solution.events`. In a schedule, times count over all
        phases, and an event is looked for in every phase that has its wire.
    extremes : True, or wires, output names, or a mapping from name to such
        Measure smallest and largest values over the run, on the steps' polynomials and not only at their ends:
        `solution.extremes`. True means all outputs. Neither these nor events go with derivatives.
        In double-double precision both are located to its tolerance, and told as `gpac.Pair`s.
    backend : "auto", "compiled", "numpy" or "cupy"
        "auto" chooses by size and by where the inputs live; `solution.engine` says what was chosen, and why.
    method : "auto", "taylor", "rungekutta", "stiff", "Radau", "BDF" or "LSODA"
        "auto" takes Taylor steps; a trajectory whose steps are held back by stability goes on with Radau, and
        `solution.engine` says so. "stiff" is "Radau"; it and the next two are SciPy's, one trajectory at a time.
    threads : int, optional
        Threads of the compiled engine. Default: one for each processor, but one in each worker of an executor.
    executor : concurrent.futures.Executor, optional
        Solve on its workers, which have this package: processes, `dask.distributed.Client.get_executor()`,
        `mpi4py.futures`. The batch is cut into pieces. A piece whose worker is lost is sent again; if it is lost
        three times, `WorkerError` is raised. On processors of one kind the bits are those of one machine;
        `solution.engine` tells of several kinds.
    progress : callable or True, optional
        Called with the fraction of trajectories done; True shows a bar on standard error.

    Returns
    -------
    Solution
        Trajectories that end early have their own `status`; their neighbours are not disturbed.

    Notes
    -----
    The error estimate is a heuristic: `gpac.prove` gives bounds. On one back end a trajectory's bits do not
    depend on the batch it is in. Ctrl-C returns what is done.

    >>> import gpac, sympy
    >>> y = sympy.Symbol("y")
    >>> round(float(gpac.solve(gpac.PIVP({y: y}, {y: 1}), t=1).outputs[0]), 12)
    2.718281828459
    """
    settings, limits = settings_of(tol, atol, dense, length, precision), limits_of(max_steps, max_seconds, threads)
    check_progress(progress)
    options: dict[str, Any] = {"tol": tol, "atol": atol, "precision": precision, "dense": dense, "length": length}
    options |= {"max_steps": max_steps, "backend": backend, "method": method}
    if derivatives:
        if events is not None or extremes:
            raise GpacError("derivatives are solved for without events or extremes; ask for those in a second call")
        options |= {"threads": threads, "executor": executor}
        with shown(progress) as told:
            return _with_derivatives(system, t, inputs, initial, derivatives, options, limits.deadline, told)
    runnable = as_runnable(system, initial)
    if initial is not None:
        if inputs is not None:
            raise GpacError("a PIVP takes initial=, not inputs= besides")
        inputs = {"initial": initial}
    xp = array_module(inputs, backend)
    check(backend, method, precision)
    todo = _todo(runnable, t, inputs, settings.tol, xp, precision)
    asked = _asked(system, runnable, events, extremes)
    with shown(progress) as told:
        if executor is not None and todo.count:
            from .distribute import Job, distribute

            options["threads"] = threads or 1
            ends = todo.ends if todo.grid is None else todo.grid
            job = Job(runnable, ends, todo.inputs, todo.count, options, limits.deadline, xp, asked)
            solution = replace(distribute(executor, job, told), question=None)
            solution = mapped(solution, lambda a: a[0]) if todo.single else solution
        else:
            settings = settings if todo.grid is None else replace(settings, keep=True)
            solution = _solved(runnable, todo, Call(settings, limits, backend, method, xp, told, asked))
            solution = solution if todo.grid is None else completed(_on_grid, solution, todo.grid, dense)
    known = precision == "double" and todo.grid is None
    given = {name: a.copy("K") for name, a in todo.inputs.items()} if known else {}  # the caller may change them
    return replace(solution, question=Question(runnable, given) if known else None)


@dataclass(frozen=True, eq=False)
class _Todo:
    """A batch of `count` trajectories, or a single one: inputs (size, B), end times, and the grid if there is one."""

    inputs: dict[str, Any]
    ends: Any
    grid: Any
    count: int
    single: bool


def _todo(runnable: Circuit | Schedule, t: Any, inputs: Any, tol: float, xp: Any, precision: str) -> _Todo:
    arrays, batch = batch_inputs(runnable, inputs, xp, precision)
    t, grid = _grid(t, xp, precision)
    t_count = np.shape(t)[0] if np.ndim(t) == 1 else None
    if batch is None and t_count is not None and (grid is None or len(grid) > 1):  # one system, many end times
        arrays = {name: each_part(partial(xp.repeat, repeats=t_count, axis=1), a) for name, a in arrays.items()}
        batch = t_count
    count = 1 if batch is None else batch
    ends = t if isinstance(runnable, Schedule) else end_times(runnable, t, arrays, count, tol, xp, precision)
    return _Todo(arrays, ends, grid, count, batch is None)


def _solved(runnable: Circuit | Schedule, todo: _Todo, call: Call) -> Solution:
    """On this machine, up to the end times."""
    if isinstance(runnable, Schedule):
        parts = run_schedule(runnable, todo.ends, todo.inputs, todo.count, call)
    else:
        parts = run_circuit(runnable, todo.inputs, todo.ends, call)
    solution = completed(_solution, runnable.outputs, parts, todo.single, call.xp)
    if call.observation is None:
        return solution
    return completed(_with_findings, solution, call.observation, parts["stages"], todo.count, todo.single, call.num)


def _asked(system: System, runnable: Circuit | Schedule, events: Any, extremes: Any) -> Observation | None:
    """What is to be looked for on the way; nothing of it is loaded where nothing is."""
    if events is None and (extremes is None or extremes is False):
        return None
    from .observation import observation

    return observation(system, runnable, events, extremes)


def _with_derivatives(
    system: System,
    t: Any,
    inputs: Any,
    initial: Any,
    names: bool | str | Sequence[str],
    options: dict[str, Any],
    deadline: float,
    told: Callable[[float], None] | None,
) -> Solution:
    """The solution and its variational equations', each by a call of `solve` with the same options."""
    from .sensitivity import Turns, sensitivities

    if _axes(t) == 2:
        raise ShapeError("derivatives are taken at end times: give t as a number or (B,) array, not as a grid")
    turns = Turns(partial(solve, **options), deadline, told)
    asked = options["tol"], options["backend"], options["precision"]
    solution, jacobian = sensitivities(system, t, inputs, initial, names, turns.solve, *asked)
    turns.tell(1.0)
    return replace(solution, jacobian=jacobian, question=None)


def _grid(t: Any, xp: Any, precision: str) -> tuple[Any, Any]:
    """End times, and the grid (1, q) or (B, q) where t has two axes."""
    if _axes(t) != 2:
        return t, None
    grid = reals(t if isinstance(t, list) else host(t), "a grid t", np, precision)
    times = leading(grid)
    if not times.shape[1] or not np.isfinite(times).all():
        raise NumberError("a grid t must have finite times in it, at least one per row")
    sign = np.where(times[:, -1:] < 0, -1.0, 1.0)
    if (sign * times < 0).any() or (np.diff(sign * times, axis=1) < 0).any():
        raise NumberError("the times of a grid must lie on one side of 0 and be ordered away from it")
    ends = grid[:, -1]
    return (ends[0] if len(times) == 1 else each_part(xp.asarray, ends)), grid


def _axes(t: Any) -> int:
    try:
        return np.ndim(t)
    except ValueError as error:
        raise ShapeError(
            "the rows of a grid t must have one length; repeat their last times to fill them up"
        ) from error


def _with_findings(
    solution: Solution, asked: Observation, stages: list[Stage], count: int, single: bool, num: Doubles
) -> Solution:
    """The solution with what was found along the way."""
    from .findings import events_of, extremes_of

    m = solution.outputs.shape[-1]
    events = events_of(asked, stages, m, num) if asked.events else None
    extremes = extremes_of(asked, stages, count, single, num) if asked.extremes else None
    return replace(solution, events=events, extremes=extremes)


def _on_grid(solution: Solution, grid: np.ndarray, dense: bool) -> Solution:
    """The outputs at the times of a grid in place of those at its end."""
    times = grid if np.ndim(solution.t) else grid[0]
    pairs = solution.pair_at(times) if isinstance(grid, Pair) else None
    values = solution.at(times) if pairs is None else pairs.high
    named, at = {}, 0
    for name, old in solution.named.items():
        named[name] = values[..., at : at + old.shape[-1]]
        at += old.shape[-1]
    low = pairs and pairs.low
    return replace(solution, outputs=values, outputs_low=low, named=named, dense=solution.dense if dense else None)


def _solution(outputs: Mapping[str, Any], parts: dict, single: bool, xp: Any) -> Solution:
    named, at = {}, 0
    for name, wire in outputs.items():
        named[name] = leading(parts["outputs"])[:, at : at + wire.size]
        at += wire.size
    figures = {n: leading(parts[n]) for n in ("outputs", "states", "t", "steps", "length", "space")}
    figures |= {f"{n}_low": parts[n].low for n in ("outputs", "states", "t") if isinstance(parts[n], Pair)}
    figures["orders"] = parts["orders"] / xp.maximum(parts["steps"], 1)
    status = status_names(parts["code"])
    if single:
        figures = {n: a[0] for n, a in figures.items()}
        named = {n: a[0] for n, a in named.items()}
        status = status[0]
    return Solution(named=named, status=status, engine=parts["engine"], dense=parts["dense"], **figures)
