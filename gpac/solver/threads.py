"""Work shared among threads: compiled code and NumPy let others run meanwhile."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from functools import cache, partial
from typing import Any


@cache
def processors() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def share(
    work: Callable[[Any], None], parts: Iterable[Any], count: int, interrupt: Callable[[], None] | None = None
) -> None:
    """Call work(part) for every part, in so many threads, this one among them, and wait for all.

    Of Ctrl-C `interrupt` is told, whose matter it is to have the others leave off; without it, it is raised.

    Each thread begins on a processor of its own and is left to the scheduler from there. By itself Linux may keep
    new ones on the caller's for some milliseconds, above all in virtual machines, whose idle processors look taken.
    """
    todo = iter(parts)

    def some() -> None:
        for part in todo:
            work(part)

    if count <= 1:
        some()
        return
    from concurrent.futures import ThreadPoolExecutor

    free, place = _places()
    with ThreadPoolExecutor(count - 1, initializer=free) as pool:
        try:
            futures = []
            for number in range(count - 1, 0, -1):
                place(number)  # a new thread begins where this one is
                futures.append(pool.submit(some))
            place(0)
            free()
            some()
            for future in futures:
                future.result()
        except KeyboardInterrupt:
            if interrupt is None:
                raise
            interrupt()
        finally:
            free()


def _places() -> tuple[Callable[[], None], Callable[[int], None]]:
    """What lets the calling thread run anywhere, and what moves it to a processor by number."""
    if not hasattr(os, "sched_setaffinity"):
        return lambda: None, lambda _: None
    allowed = os.sched_getaffinity(0)
    places = sorted(allowed)
    return partial(os.sched_setaffinity, 0, allowed), lambda n: os.sched_setaffinity(0, {places[n % len(places)]})
