"""What a file may ask for: the more it holds, the larger a network it may declare.

A file of a few hundred bytes can declare values of millions of numbers, again and again. `load` therefore counts
what is built, and refuses what takes more than about 256 MiB and ten times the file, or some seconds. Networks built
in Python are not counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path

from .errors import LoadError

NUMBERS, STEPS = 2**24, 2**20
"""Numbers of eight bytes, and steps of about a microsecond, that any file may ask for: 64 x 224 x 224 values five
times, or 2^15 units."""
UNIT = 32
"""Steps of one unit."""
FRACTION = 4
"""Steps of one operation on a fraction."""


@dataclass
class Allowance:
    """What is left of it."""

    numbers: int
    steps: int
    files: set[Path] = field(default_factory=set)


_current: ContextVar[Allowance | None] = ContextVar("allowance", default=None)


@contextmanager
def allowed(size: int) -> Iterator[None]:
    """Count what is built from a file of `size` bytes: a number and a step more for each byte."""
    token = _current.set(Allowance(NUMBERS + size, STEPS + size))
    try:
        yield
    finally:
        _current.reset(token)


def earn(file: Path, size: int) -> None:
    """Another file, of `size` bytes, belongs to the network."""
    left = _current.get()
    if left is not None and file not in left.files:
        left.files.add(file)
        left.numbers += size
        left.steps += size


def spend(numbers: int = 0, steps: int = 0) -> None:
    """Take from what the file may ask for; raises `LoadError` where nothing is left."""
    left = _current.get()
    if left is None:
        return
    left.numbers -= numbers
    left.steps -= steps
    if left.numbers < 0 or left.steps < 0:
        raise LoadError("its values are too many or too large for a file of its size")
