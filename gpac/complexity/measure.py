"""The cost of n correct bits: for each n, the fewest working bits found that give them, and what the run took.

Time alone is no measure of an analog computation (speeding up the clock makes anything fast): curve length and
space stand beside it (Bournez, Graca and Pouly, J. ACM 64 (2017)).
"""

from __future__ import annotations

import time as clock
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, log2, log10
from typing import Any

import numpy as np

from ..arguments import System, as_runnable, named_inputs
from ..circuit import Circuit
from ..errors import GpacError, NumberError, SolveError
from ..schedule import Schedule
from ..solver import solve
from ..verify import prove, reference
from .fit import Fit, fit_line, fit_power

BITS = (16, 32, 64, 128, 256)
MOST_TRIES = 24
EPS_DIGITS = -log10(2.0**-53)


@dataclass(frozen=True)
class Row:
    """Cost of `bits` correct bits after the point in every output.

    `working_bits` is the precision of the run that gave them; `products` its multiplications,
    `bit_operations` = products * working_bits**2 (schoolbook), `seconds` on this machine in mpmath.
    """

    bits: int
    working_bits: int
    time: float
    steps: int
    order: int
    products: int
    bit_operations: int
    seconds: float


@dataclass(frozen=True, eq=False)
class Measurement:
    """Table, fits and the float64 run.

    Attributes
    ----------
    table : tuple of Row
    fits : dict from column name to Fit
        `working_bits` as a line, the others as powers of the number of bits asked.
    length, space, time : float
        Of the float64 run at its tightest tolerance. Units: state, state, time.
    steps : int
    order : float
    digits_lost : float
        Decimal digits that the float64 run lost: log10 of its error over 2**-53 max(1, |output|).
    """

    table: tuple[Row, ...]
    fits: dict[str, Fit]
    time: float
    length: float
    space: float
    steps: int
    order: float
    digits_lost: float

    def __str__(self) -> str:
        head = " bits working     time  steps  order   products    bit ops        s"
        rows = [
            f"{r.bits:5d} {r.working_bits:7d} {r.time:8.4g} {r.steps:6d} {r.order:6d} {r.products:10d} "
            f"{r.bit_operations:10.3g} {r.seconds:8.3g}"
            for r in self.table
        ]
        run = f"float64: time {self.time:g}, length {self.length:.6g}, space {self.space:.6g}, {self.steps} steps, "
        run += f"order {self.order:.1f}, {self.digits_lost:.1f} digits lost"
        return "\n".join([head, *rows, run, *(f"{name} = {fit}" for name, fit in self.fits.items())])

    def plot(self, path: str | None = None) -> Any:
        """Working bits, steps and bit operations against the bits asked; a matplotlib figure, saved if `path`."""
        from .picture import cost_figure

        figure = cost_figure(self)
        if path is not None:
            figure.savefig(path, dpi=150)
        return figure


def measure(
    system: System,
    t: Any = None,
    inputs: Any = None,
    *,
    bits: Sequence[int] = BITS,
    initial: Any = None,
    progress: Callable[[float], None] | None = None,
) -> Measurement:
    """Measure one run of a small system at growing precision, judged by proven outputs.

    Parameters
    ----------
    t, inputs, initial
        As for `gpac.prove`: exact numbers, one trajectory. A limit program runs, for n bits, until its bound
        is below 2**-(n + 1).
    bits : increasing positive ints
        Correct bits asked after the point. May be empty: then only the float64 run is measured.

    Raises
    ------
    GpacError
        If the outputs cannot be proven to the bits asked.

    Notes
    -----
    Cost: some ten mpmath runs per entry of `bits`; meant for up to about 50 states.
    """
    wanted = [int(n) for n in bits]
    if any(n < 1 for n in wanted) or wanted != sorted(set(wanted)):
        raise NumberError(f"expected increasing positive numbers of bits, got {list(bits)!r}")
    runnable = as_runnable(system, initial)
    given = {"initial": initial} if initial is not None else named_inputs(runnable, inputs)
    digits = ceil(max([*wanted, 60]) / log2(10)) + 3
    truth = prove(runnable, t, given, digits=digits).check()
    rows = []
    for done, n in enumerate(wanted):
        rows.append(_row(runnable, t, given, n, truth))
        if progress:
            progress((done + 1) / len(wanted))
    return _with_float64(runnable, t, given, truth, tuple(rows))


def _row(system: Circuit | Schedule, t: Any, given: dict, n: int, truth: Any) -> Row:
    end = _end(system, t, given, n)
    working = n
    for _ in range(MOST_TRIES):
        begin = clock.perf_counter()
        try:
            run = reference(system, end, given, bits=working)
        except SolveError:  # the outputs are proven, so the solution does go on: with too few bits it got stuck
            working += max(4, n // 4)
            continue
        seconds = clock.perf_counter() - begin
        short = _bits_missing(run.outputs, truth, n)
        if short <= 0:
            passed = float(system.duration if isinstance(system, Schedule) else end)
            return Row(n, working, passed, run.steps, run.order, run.products, run.products * working**2, seconds)
        working += max(1, ceil(short))
    raise GpacError(f"{n} correct bits were not reached with {working} working bits")


def _end(system: Circuit | Schedule, t: Any, given: dict, n: int) -> Any:
    limit = system.program.limit
    if t is not None or limit is None or isinstance(system, Schedule):
        return t if t is not None or isinstance(system, Schedule) else system.program.horizon
    floats = {name: np.array([float(v) for v in np.ravel(np.asarray(e, dtype=object))]) for name, e in given.items()}
    return limit.time(floats, Fraction(1, 2 ** (n + 1)))


def _bits_missing(outputs: Sequence[Any], truth: Any, n: int) -> float:
    """log2 of the largest error times 2**n; at most 0 when n bits are right."""
    import mpmath

    context = mpmath.mp.clone()
    context.prec = 4 * n + 200
    worst = max((abs(context.mpf(a) - context.mpf(b)) for a, b in zip(outputs, truth.mid, strict=True)), default=0)
    return float(context.log(worst, 2)) + n if worst else 0.0


def _with_float64(system: Circuit | Schedule, t: Any, given: dict, truth: Any, rows: tuple[Row, ...]) -> Measurement:
    floats = {name: np.array([float(v) for v in np.ravel(np.asarray(e, dtype=object))]) for name, e in given.items()}
    run = solve(system, None if t is None else float(t), floats or None, tol=1e-15, length=True).check()
    right = np.array([float(v) for v in truth.mid])
    error = float((np.abs(run.outputs - right) / np.maximum(1.0, np.abs(right))).max())
    lost = max(0.0, log10(error) + EPS_DIGITS) if error else 0.0
    n = [r.bits for r in rows]
    fits = {}
    if len(rows) >= 2:
        fits["working_bits"] = fit_line(n, [r.working_bits for r in rows])
        for name in ("steps", "order", "products", "bit_operations", "seconds"):
            fits[name] = fit_power(n, [getattr(r, name) for r in rows])
    figures = (float(run.t), float(run.length), float(run.space), int(run.steps), float(run.orders))
    return Measurement(rows, fits, *figures, lost)
