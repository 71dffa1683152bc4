"""Where a circuit's series live on a device, and how many threads share one trajectory: decided by their size."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from ..recurrences import Contract, Recurrences

REGISTERS = 180
"""32-bit registers that a thread's series may fill, of the 255 that it has; beyond 170 a few numbers may spill."""
WARP = 32
BLOCK = 128
"""Threads of a block that holds several trajectories."""
SHARED_BYTES = 76 * 1024
"""Shared memory of a block: two of them fit an A100's multiprocessor (164 KiB), three an H100's (228 KiB)."""
WIDEST_BLOCK = 256
THREADS_WANTED = 512
"""Threads at work on a multiprocessor: enough to hide the latency of arithmetic in double precision."""


class Arithmetic(Enum):
    """In what the series run; the value is the width of a number in 32-bit words."""

    FLOAT = 1
    DOUBLE = 2
    DOUBLE_DOUBLE = 4


ARITHMETICS = {
    "single": Arithmetic.FLOAT,
    "double": Arithmetic.DOUBLE,
    "double-double": Arithmetic.DOUBLE_DOUBLE,
}
"""By the name of the precision asked."""


@dataclass(frozen=True)
class Layout:
    """How a trajectory sits on the device.

    Attributes
    ----------
    group : threads that share one trajectory: 1, a power of two up to a warp, or a whole block
    registers : each thread has the series of its entries in registers, all loops are unrolled
    shared : the group's memory is shared memory; otherwise it is the device's
    block : threads per block
    arena : numbers of memory per group, 0 where a thread is alone with its registers
    """

    group: int
    registers: bool
    shared: bool
    block: int
    arena: int

    @property
    def groups(self) -> int:
        """Trajectories of one block."""
        return self.block // self.group

    def room(self, size: int) -> int:
        """Series that a unit takes: its entries, or with registers those of one thread."""
        return -(-size // self.group) if self.registers else size

    def shared_bytes(self, arithmetic: Arithmetic) -> int:
        """Shared memory of a block."""
        return 4 * arithmetic.value * self.arena * self.groups if self.shared else 0

    def blocks(self, arithmetic: Arithmetic) -> int:
        """Blocks that shall find room on a multiprocessor: the compiler limits registers accordingly."""
        if self.registers:
            return 1
        by_memory = 2 * SHARED_BYTES // max(1, self.shared_bytes(arithmetic))
        return max(1, min(THREADS_WANTED // self.block, by_memory))

    def __str__(self) -> str:
        if self.group == 1:
            return "one thread a trajectory, series in registers"
        memory = "registers" if self.registers else "shared memory" if self.shared else "device memory"
        who = f"{self.group} threads" if self.group <= WARP else f"one block of {self.group} threads"
        return f"{who} a trajectory, series in {memory}"


def layout(recurrences: Recurrences, order: int, arithmetic: Arithmetic) -> Layout:
    """The layout for series up to `order`."""
    r = recurrences
    series = (r.series_size + r.rates_size) * (order + 1)
    # a pair of doubles is a structure, and arrays of structures are not taken apart into registers
    if series * arithmetic.value <= REGISTERS and arithmetic is not Arithmetic.DOUBLE_DOUBLE:
        return Layout(1, True, False, BLOCK, 0)
    units = {o.at: o for o in [*r.states, *(p.out for p in r.operations)]}.values()
    width = max(o.size for o in units)
    group = min(WARP, _power(max(2, width)))
    own = sum(-(-o.size // group) * ((o.series >= 0) + (o.rates >= 0)) for o in units) * (order + 1)
    fits = own * arithmetic.value <= REGISTERS and arithmetic is not Arithmetic.DOUBLE_DOUBLE
    if fits and width > 1 and not any(isinstance(o, Contract) for o in r.operations):
        return Layout(group, True, True, BLOCK, _spread(r.now_size, group))
    needed = series + r.now_size + 2 * r.dim
    size = 4 * arithmetic.value * needed
    if size > SHARED_BYTES // 2 and width > WARP:
        group = min(WIDEST_BLOCK, _power(width))
    arena = _spread(needed, group)
    bytes_each = 4 * arithmetic.value * arena
    if group > WARP or bytes_each > SHARED_BYTES:
        return Layout(max(group, WARP), False, bytes_each <= SHARED_BYTES, max(group, WARP), arena)
    groups = 1 << (min(BLOCK // group, SHARED_BYTES // bytes_each).bit_length() - 1)
    return Layout(group, False, True, group * groups, arena)


def _power(a: int) -> int:
    """The power of two at or above a."""
    return 1 << (a - 1).bit_length()


def _spread(needed: int, group: int) -> int:
    """Room per group such that neighbouring groups of a warp meet different banks of shared memory."""
    odd = group if group < 16 else 0
    return -(-(needed - odd) // 16) * 16 + odd
