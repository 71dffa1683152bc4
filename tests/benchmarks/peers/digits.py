"""Lotka-Volterra from (2, 1) to t = 1 with many digits, not proven: `python -m benchmarks.peers.digits TOOL DIGITS`.

Prints JSON: seconds of the fastest of three runs (fewer where it takes long), of set-up, and the first component.
"""

import json
import sys
from collections.abc import Callable
from math import log2
from time import perf_counter

LONG = 5.0


def heyoka(digits: int) -> tuple[Callable[[], str], float]:
    """heyoka's arbitrary precision (MPFR) in compact mode: unrolled code takes minutes to compile."""
    import heyoka as hy
    import numpy as np

    bits = int(digits * log2(10)) + 40
    x, y = hy.make_vars("x", "y")
    start = np.array([hy.real(2, bits), hy.real(1, bits)])
    begin = perf_counter()
    steps = hy.taylor_adaptive(
        [(x, x * (1.0 - y)), (y, y * (x - 1.0))],
        start.copy(),
        fp_type=hy.real,
        prec=bits,
        tol=hy.real(f"1e-{digits}", bits),
        compact_mode=True,
    )
    setup = perf_counter() - begin

    def run() -> str:
        steps.time = hy.real(0, bits)
        steps.state[:] = start
        steps.propagate_until(hy.real(1, bits))
        return str(steps.state[0])

    return run, setup


def mpmath(digits: int) -> tuple[Callable[[], str], float]:
    """mpmath.odefun: Taylor series by repeated evaluation."""
    import mpmath as library

    library.mp.dps = digits + 5

    def run() -> str:
        solution = library.odefun(lambda t, v: [v[0] * (1 - v[1]), v[1] * (v[0] - 1)], 0, [2, 1])
        return library.nstr(solution(1)[0], digits)

    return run, 0.0


if __name__ == "__main__":
    run, setup = {"heyoka": heyoka, "mpmath": mpmath}[sys.argv[1]](int(sys.argv[2]))
    took = []
    while len(took) < 3 and sum(took) < LONG:
        begin = perf_counter()
        value = run()
        took.append(perf_counter() - begin)
    print(json.dumps({"seconds": min(took), "setup": setup, "value": value}))
