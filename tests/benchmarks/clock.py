"""Process time of what takes up to minutes: the least of some runs."""

from __future__ import annotations

from collections.abc import Callable
from time import process_time
from typing import TypeVar

LONG = 20.0
"""Seconds after which nothing is repeated."""

Answer = TypeVar("Answer")


def fastest(run: Callable[[], Answer], rounds: int) -> tuple[float, Answer]:
    """Least process time of at most so many runs, and what the last returned."""
    took: list[float] = []
    while len(took) < rounds and sum(took) < LONG:
        begin = process_time()
        answer = run()
        took.append(process_time() - begin)
    return min(took), answer
