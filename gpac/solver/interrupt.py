"""Ctrl-C kept waiting while something is half done: a step, or an answer that is being written down."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import current_thread, main_thread
from typing import Any


@contextmanager
def undisturbed() -> Iterator[None]:
    """Ctrl-C is raised after the block and not in it. Python raises it in the main thread only."""
    handler = signal.getsignal(signal.SIGINT)
    if current_thread() is not main_thread() or not callable(handler):
        yield
        return
    came: list[int] = []
    signal.signal(signal.SIGINT, lambda number, frame: came.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        if came:
            signal.raise_signal(signal.SIGINT)


def completed(work: Callable[..., Any], *given: Any) -> Any:
    """What work(*given) returns, when all that Ctrl-C could stop is done."""
    done = False
    while not done:  # again if it came before the block was entered
        with suppress(KeyboardInterrupt), undisturbed():
            result, done = work(*given), True
    return result
