"""The working precision of ball arithmetic, safe among threads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock

_TURN = RLock()


@contextmanager
def working_precision(bits: int) -> Iterator[None]:
    """Ball arithmetic at `bits` bits inside, and the caller's precision back afterwards.

    flint keeps one precision for the whole process, which every thread sees: whoever needs a certain one computes
    alone, and the other threads wait.
    """
    import flint

    with _TURN, flint.ctx.workprec(bits):
        yield
