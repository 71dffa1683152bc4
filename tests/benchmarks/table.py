"""Results as Markdown, and their place in RESULTS.md, one section per job."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

from .race import Result, Row

RESULTS = Path(__file__).with_name("RESULTS.md")
HEAD = """# Measured against other tools

Written by `make bench WRITE=1`, a section per job. One core, one thread, all tools in one run, round after round.
In every round a run below 0.1 s is repeated for 0.1 s, and the median of three more counts: the first ones find the
caches full of other tools' data, and a processor that has slept.
Error: largest deviation of a trajectory over max(1, its largest right value), over the trajectories with a stored
right answer. Only settings within the bound count; of every form of a tool the fastest tolerance that reaches it.
Ratio: median over the rounds of time over the time of the fastest peer in that round. Set-up: first call in a new
process less the median run, imports of the peer itself excluded; cold with empty caches on disk, warm with what the
cold call left there. "once": too slow to race, one run (below 0.3 s the fastest of four). "Shared step": the whole
batch takes one step. States "u", "pair" and "z": see `peers/forms.py`; "z" is not a polynomial system.
"""
COLUMNS = (
    "tool", "variant", "tol asked", "median ms", "min-max ms", "error max", "error median", "ratio",
    "set-up s, cold / warm",
)  # fmt: skip


def markdown(results: Sequence[Result], versions: Mapping[str, str], rounds: int, load: float) -> str:
    """One job's section."""
    named = ", ".join(f"{name} {version}" for name, version in versions.items())
    lines = [
        f"## {results[0].job.name}: {results[0].job.title}",
        "",
        f"{machine()}; load average before it {load:.1f}; {named}.",
    ]
    for result in results:
        lines += ["", f"**{result.bound}**, {rounds} rounds", "", _line(COLUMNS), _line(["---"] * len(COLUMNS))]
        lines += [_line(_cells(row)) for row in result.rows]
        lines += [""] + [f"- {tool}, {what}: {why}" for (tool, what), why in result.refusals.items()]
    return "\n".join(lines).rstrip() + "\n"


def write(name: str, section: str) -> None:
    """Put one job's section into RESULTS.md, in place of the one that is there."""
    text = RESULTS.read_text() if RESULTS.exists() else HEAD
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    block = f"{begin}\n{section}{end}\n"
    place = re.compile(re.escape(begin) + ".*?" + re.escape(end) + "\n", re.DOTALL)
    RESULTS.write_text(place.sub(lambda _: block, text) if place.search(text) else f"{text.rstrip()}\n\n{block}")


def machine() -> str:
    """Kind of machine, cores and SIMD level; no names."""
    facts = dict.fromkeys(("model name", "flags"), "")
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            key, _, value = line.partition(":")
            facts[key.strip()] = value.strip()
    except OSError:
        pass
    flags = facts["flags"].split()
    simd = next((name for flag, name in (("avx512f", "AVX-512"), ("avx2", "AVX2")) if flag in flags), "no AVX2 seen")
    family = f" (family {facts['cpu family']} model {facts['model']})" if "cpu family" in facts else ""
    kind = facts["model name"] or platform.machine()
    return f"{kind}{family}, {os.cpu_count()} cores, {simd}, Python {platform.python_version()}"


def _cells(row: Row) -> list[str]:
    trial, took = row.trial, [1e3 * s for s in row.seconds]
    spread = f"{min(took):.3g}-{max(took):.3g}" if len(took) > 1 else "once"
    setup = [f"{max(0.0, s - median(row.seconds)):.2f}" for s in (row.cold, row.warm) if s is not None]
    ratio = f"{row.ratio:.2f}" if row.ratio == row.ratio else "no peer"
    return [
        trial.tool, trial.variant, f"{trial.tol:.1e}", f"{median(took):.3g}", spread, f"{trial.worst:.1e}",
        f"{trial.median:.1e}", ratio, " / ".join(setup),
    ]  # fmt: skip


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
