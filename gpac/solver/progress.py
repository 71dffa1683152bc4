"""A progress bar on the terminal, for runs that ask for one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

Told = Callable[[float], None]


@contextmanager
def shown(progress: Told | bool | None) -> Iterator[Told | None]:
    """What to tell the fraction done: the caller's function, a bar on standard error for True, or nobody."""
    if not isinstance(progress, bool):
        yield progress
    elif not progress:
        yield None
    else:
        from rich.console import Console
        from rich.progress import Progress

        with Progress(console=Console(stderr=True)) as bar:
            task = bar.add_task("trajectories", total=1.0)
            yield lambda fraction: bar.update(task, completed=fraction)
