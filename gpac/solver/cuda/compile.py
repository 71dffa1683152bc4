"""Compile a kernel's text for the device at hand and launch it, through CuPy."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Protocol

import numpy as np

from .layout import Layout

OPTIONS = ("--std=c++17", "--fmad=false")
"""No contraction: products are fused where the text says so, and nowhere else."""


class Kernel(Protocol):
    """A kernel `run` that can be launched.

    `seats` is how many groups of threads the machine holds at a time.
    """

    seats: int

    def __call__(self, seats: int, arguments: tuple[Any, ...]) -> None:
        """Run so many groups; arguments are arrays of the machine (None: not used), int64 and float64 numbers."""
        ...


class DeviceKernel:
    """A kernel on the current CUDA device."""

    def __init__(self, text: str, layout: Layout, shared_bytes: int) -> None:
        import cupy

        self.layout, self.shared_bytes = layout, shared_bytes
        self.kernel = _function(text, cupy.cuda.Device().id)
        if shared_bytes > 48 * 1024:  # more than that is given only to those who ask
            self.kernel.max_dynamic_shared_size_bytes = shared_bytes
        blocks = cupy.cuda.driver.occupancyMaxActiveBlocksPerMultiprocessor(
            self.kernel.kernel.ptr, layout.block, shared_bytes
        )
        processors = cupy.cuda.Device().attributes["MultiProcessorCount"]
        self.seats = max(1, blocks) * processors * layout.groups

    def __call__(self, seats: int, arguments: tuple[Any, ...]) -> None:
        """Launch; None stands for a null pointer."""
        grid = -(-seats // self.layout.groups)
        given = tuple(np.int64(0) if a is None else a for a in arguments)
        self.kernel((grid,), (self.layout.block,), given, shared_mem=self.shared_bytes)


@lru_cache(maxsize=256)
def _function(text: str, device: int) -> Any:
    """CuPy keeps the machine code on disk between runs; within one, this keeps it loaded."""
    import cupy

    return cupy.RawModule(code=text, options=OPTIONS, backend="nvrtc").get_function("run")
