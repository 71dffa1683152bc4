"""Which settings of a tool reach the error asked: tolerances from loose to tight until one does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .jobs import Bound, Job
from .tools import Refused, Worker

DECADES = range(2, -5, -1)  # tolerance over bound, in powers of ten
MOST_HALVES = 6  # half decades tried upwards from the first tolerance that is good
SLOWEST = 30.0  # seconds of a run after which no tighter tolerance is tried
QUICK, QUICK_RUNS = 0.3, 4  # seconds
BEHIND = 10.0  # times the fastest peer, likewise


@dataclass(frozen=True)
class Trial:
    """A setting, the error that it reached, and the seconds of a warm run."""

    tool: str
    variant: str
    tol: float
    worst: float
    median: float
    seconds: float

    def error(self, bound: Bound) -> float:
        """The error that the bound speaks of."""
        return self.worst if bound.over == "max" else self.median


class Screen:
    """Trials of all tools on one job, each setting tried once."""

    def __init__(self, job: Job, file: Path, say: Callable[[str], None]) -> None:
        self.job, self.file, self.say = job, file, say
        self.trials: dict[tuple[str, str, float], Trial] = {}
        self.refusals: dict[tuple[str, str], str] = {}

    def trial(self, worker: Worker, variant: str, tol: float) -> Trial:
        """Prepare a setting, judge its answer, and time one run."""
        key = worker.tool.name, variant, tol
        if key not in self.trials:
            save = self.file.with_name("answer.npy")
            worker.ask("prepare", job=str(self.file), variant=variant, tol=tol, save=str(save))
            errors = self.job.errors(np.load(save))
            seconds = self._seconds(worker, variant, tol)
            self.trials[key] = trial = Trial(*key, float(errors.max()), float(np.median(errors)), seconds)
            told = f"{1e3 * seconds:.1f} ms, error {trial.worst:.1e}, median {trial.median:.1e}"
            self.say(f"{self.job.name} {trial.tool} {variant}, tol {tol:.2g}: {told}")
        return self.trials[key]

    def _seconds(self, worker: Worker, variant: str, tol: float) -> float:
        """A warm run, or the fastest of four where that is quick."""
        took = [worker.ask("run", job=str(self.file), variant=variant, tol=tol)["seconds"]]
        while len(took) < QUICK_RUNS and took[0] < QUICK:
            took.append(worker.ask("run", job=str(self.file), variant=variant, tol=tol)["seconds"])
        return min(took)

    def walk(self, worker: Worker, variant: str, bound: Bound, best: float) -> Trial | None:
        """The fastest trial within the bound; `best` are the seconds of the fastest peer so far."""
        tried: list[Trial] = []
        why = "not reached at any tolerance"
        try:
            for decade in DECADES:
                tried.append(self.trial(worker, variant, float(f"{bound.error * 10.0**decade:.3g}")))
                if tried[-1].error(bound) <= bound.error:
                    return self._looser(worker, bound, tried[-1])
                if len(tried) > 2 and tried[-1].error(bound) > 0.5 * tried[-3].error(bound):
                    break
                if tried[-1].seconds > min(SLOWEST, BEHIND * best):
                    why = "given up, too slow already"
                    break
        except Refused as refusal:
            why = str(refusal)
            if not tried:
                self._note(worker, variant, why)
                return None
        least = min(tried, key=lambda t: t.error(bound))
        best_error = f"{bound.over} error {least.error(bound):.1e} at tol {least.tol:.2g}"
        self._note(worker, variant, f"{why}: {best_error} in {1e3 * least.seconds:.4g} ms")
        return None

    def _looser(self, worker: Worker, bound: Bound, good: Trial) -> Trial:
        """The fastest of a trial within the bound and looser ones, in half decades, up to the first beyond it."""
        best = good
        for halves in range(1, MOST_HALVES + 1):
            try:
                looser = self.trial(worker, good.variant, float(f"{good.tol * 10.0 ** (halves / 2):.3g}"))
            except Refused:
                break
            if looser.error(bound) > bound.error:
                break
            best = min(best, looser, key=lambda t: t.seconds)
        return best

    def _note(self, worker: Worker, variant: str, reason: str) -> None:
        self.refusals[worker.tool.name, variant] = reason
        self.say(f"{self.job.name} {worker.tool.name} {variant}: {reason}")
