"""What does a batch lose when a process that works on it is killed? Ten thousand pendulums on two processes."""

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import active_children, get_context

import numpy as np
import sympy

import gpac


def main() -> None:
    x, v = sympy.symbols("x v")
    pendulum = gpac.PIVP({x: v, v: -x + x**3 / 6}, {x: 0, v: 0})
    starts = np.random.default_rng(1).uniform(-1, 1, (10_000, 2))
    killed = []

    def kill_one(fraction: float) -> None:
        """Called whenever a piece is done; the first time, one of the processes goes."""
        if not killed:
            killed.append(active_children()[0])
            killed[0].kill()
            print(f"one of two processes killed after {fraction:.0%} of the batch")

    # any concurrent.futures.Executor serves: a cluster's is distributed.Client("host:8786").get_executor()
    with ProcessPoolExecutor(2, get_context("spawn")) as processes:
        there = gpac.solve(pendulum, t=50.0, initial=starts, executor=processes, progress=kill_one)
    here = gpac.solve(pendulum, t=50.0, initial=starts)
    same = bool((there.outputs == here.outputs).all() and (there.steps == here.steps).all())
    print(f"{there.ok=}, the bits of one process: {same}")
    assert killed and there.ok and same


if __name__ == "__main__":
    main()
