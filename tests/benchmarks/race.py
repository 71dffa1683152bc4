"""The settings that reach the error asked, against each other: round after round, so that noise hits all alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from .jobs import Bound, Job
from .screen import BEHIND, Screen, Trial
from .tools import OURS, Refused, Tool, Worker

EACH = 3  # settings of one tool in a race
CLOSE = 1.5  # a tool's further settings race if they took at most so many times its fastest


@dataclass(frozen=True)
class Row:
    """A line of the table. `seconds` holds one number per round, or one in all for a setting that did not race."""

    trial: Trial
    seconds: tuple[float, ...]
    ratio: float
    cold: float | None = None
    warm: float | None = None


@dataclass(frozen=True)
class Result:
    """One job at one bound: lines by time, and what dropped out, with the reason."""

    job: Job
    bound: Bound
    rows: tuple[Row, ...]
    refusals: Mapping[tuple[str, str], str]


def run(
    job: Job, tools: Sequence[Tool], folder: Path, core: int, rounds: int, say: Callable[[str], None]
) -> tuple[list[Result], dict[str, str]]:
    """All bounds of one job, and the tools' versions; every tool is started anew and ends with the job."""
    file = folder / f"{job.name}.npz"
    job.save(file)
    screen = Screen(job, file, say)
    workers = {}
    for tool in tools:
        try:
            workers[tool.name] = Worker(tool, folder, core)
        except Refused as refusal:
            screen.refusals[tool.name, "all"] = str(refusal)
            say(f"{tool.name} does not start: {refusal}")
    try:
        versions = {name: worker.version for name, worker in workers.items()}
        return [_bound(screen, workers, bound, core, rounds) for bound in job.bounds], versions
    finally:
        for worker in workers.values():
            worker.close()


def _bound(screen: Screen, workers: dict[str, Worker], bound: Bound, core: int, rounds: int) -> Result:
    good: list[Trial] = []
    screen.refusals.clear()
    for name in sorted(workers, key=lambda n: n == OURS):  # peers first: they set the pace
        for variant in _variants(screen, workers[name]):
            others = [t.seconds for t in good if OURS not in (t.tool, name)]  # ours is never given up
            best = min(others, default=float("inf"))
            trial = screen.walk(workers[name], variant, bound, best)
            good += [trial] if trial else []
            if not workers[name].alive:  # it took too long and was ended
                workers[name] = Worker(workers[name].tool, screen.file.parent, core)
    racing = _racing(good)
    times = _rounds(screen, workers, racing, rounds)
    peers = [t for t in racing if t.tool != OURS]
    pace = min(peers, key=lambda t: median(times[t]), default=None)
    rows = []
    for trial in good:
        took = times.get(trial, (trial.seconds,))
        against = times[pace] if pace else took
        pairs = zip(took, against, strict=True) if trial in times else [(took[0], median(against))]
        ratio = median([a / b for a, b in pairs])
        rows.append(Row(trial, tuple(took), ratio if pace else float("nan")))
    rows.sort(key=lambda row: median(row.seconds))
    rows = [_with_first_call(screen, workers, row, core) if _leads(row, rows) else row for row in rows]
    return Result(screen.job, bound, tuple(rows), dict(screen.refusals))


def _variants(screen: Screen, worker: Worker) -> list[str]:
    try:
        return worker.ask("variants", job=str(screen.file))["variants"]
    except Refused as refusal:
        screen.refusals[worker.tool.name, "all"] = str(refusal)
        return []


def _racing(good: Sequence[Trial]) -> list[Trial]:
    pace = min((t.seconds for t in good if t.tool != OURS), default=float("inf"))
    racing: list[Trial] = []
    for name in {t.tool: None for t in good}:
        own = sorted((t for t in good if t.tool == name), key=lambda t: t.seconds)
        near = [t for t in own if t.seconds <= CLOSE * own[0].seconds][:EACH]
        racing += own if name == OURS else [t for t in near if t.seconds <= BEHIND * pace]
    return racing


def _rounds(
    screen: Screen, workers: Mapping[str, Worker], racing: list[Trial], rounds: int
) -> dict[Trial, list[float]]:
    times: dict[Trial, list[float]] = {t: [] for t in racing}
    for number in range(rounds):
        for trial in racing[number % max(1, len(racing)) :] + racing[: number % max(1, len(racing))]:
            setting = {"variant": trial.variant, "tol": trial.tol}
            answer = workers[trial.tool].ask("run", job=str(screen.file), **setting)
            times[trial].append(answer["seconds"])
        screen.say(f"{screen.job.name} round {number + 1} of {rounds}")
    return times


def _leads(row: Row, rows: Sequence[Row]) -> bool:
    """The fastest raced line of its tool, or any of ours."""
    return row.trial.tool == OURS or (
        len(row.seconds) > 1 and row is next(r for r in rows if r.trial.tool == row.trial.tool)
    )


def _with_first_call(screen: Screen, workers: Mapping[str, Worker], row: Row, core: int) -> Row:
    """First call in a new process, with empty caches on disk and with what that call left there."""
    tool, first = workers[row.trial.tool].tool, []
    with TemporaryDirectory() as empty:
        for _ in range(2):
            worker = Worker(tool, Path(empty), core)
            save = str(Path(empty) / "answer.npy")
            setting = {"variant": row.trial.variant, "tol": row.trial.tol}
            first.append(worker.ask("prepare", job=str(screen.file), save=save, **setting)["first"])
            worker.close()
    return Row(row.trial, row.seconds, row.ratio, *first)
