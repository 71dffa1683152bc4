"""This project against every peer that is installed: `PYTHONPATH=.. python -m benchmarks [job ...]` from `tests/`."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from . import proofs, race, scaling, table
from .jobs import JOBS
from .tools import OURS, PEERS, found

SCALING = "scaling"
EVERY = (*JOBS, *proofs.JOBS, SCALING)


def main() -> None:
    """Read the command line, run the jobs, print the tables."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("jobs", nargs="*", metavar="job", help=f"{', '.join(EVERY)}; by default all")
    parser.add_argument("--more", action="store_true", help="J4 to 3000 and 10000 digits, which takes minutes")
    parser.add_argument("--tools", nargs="+", metavar="tool", help=f"{OURS}, {', '.join(PEERS)}; by default all found")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--core", type=int, default=max(os.sched_getaffinity(0)), help="the core that all run on")
    parser.add_argument("--write", action="store_true", help="put the tables into RESULTS.md too")
    asked = parser.parse_args()
    if unknown := [job for job in asked.jobs if job not in EVERY]:
        parser.error(f"expected jobs out of {', '.join(EVERY)}, got {unknown[0]}")
    peers = Path(os.environ["PEERS"]) if os.environ.get("PEERS") else None
    if peers and not peers.is_dir():
        parser.error(f"PEERS must be a folder with a virtual environment per folder, got {peers}")
    tools, missing = found(peers)
    tools = [tool for tool in tools if not asked.tools or tool.name in asked.tools]
    print("tools: " + ", ".join(f"{tool.name} in {tool.interpreter}" for tool in tools))
    for name in missing:
        print(f"MISSING: {name} is neither installed here nor in a folder of PEERS; its times are not in the tables")
    for name in asked.jobs or EVERY:
        if name == SCALING or name in proofs.JOBS:
            section = scaling.tables(_say) if name == SCALING else proofs.table(name, asked.more, peers, _say)
            print(f"\n{section}", flush=True)
            if asked.write:
                table.write(name, section)
            continue
        job = JOBS[name]()
        if isinstance(job, str):
            print(f"SKIPPED: {name}, because {job}")
            continue
        load, begin = os.getloadavg()[0], perf_counter()
        with TemporaryDirectory() as folder:
            results, versions = race.run(job, tools, Path(folder), asked.core, asked.rounds, _say)
        section = table.markdown(results, versions, asked.rounds, load)
        print(f"\n{section}\n({name}: {perf_counter() - begin:.0f} s)\n", flush=True)
        if asked.write:
            table.write(name, section)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
