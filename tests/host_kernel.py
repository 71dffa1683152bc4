"""Run a CUDA kernel's text on the processor: the host's C++ compiler, and fibers for the threads of a block."""

import ctypes
import hashlib
import shutil
import subprocess
from pathlib import Path

import numpy as np

from gpac.solver.lanes.machine import cache_folder

COMPILER = next((path for name in ("g++", "clang++") if (path := shutil.which(name))), None)
HEADERS = Path(__file__).parent / "kernels"
OPTIONS = ("-std=c++17", "-O1", "-march=native", "-ffp-contract=off", "-fPIC", "-shared", "-w")
SEATS = 64


class HostKernel:
    """Stands in for `gpac.solver.cuda.compile.DeviceKernel`, with NumPy arrays."""

    def __init__(self, text, layout, shared_bytes):
        self.layout, self.shared_bytes, self.seats = layout, shared_bytes, SEATS
        whole = "\n".join([(HEADERS / "host.h").read_text(), text, (HEADERS / "launch.h").read_text()])
        folder = cache_folder()
        folder.mkdir(exist_ok=True)
        library = folder / f"{hashlib.sha256(whole.encode()).hexdigest()[:24]}.so"
        if not library.exists():
            code = library.with_suffix(".cpp")
            code.write_text(whole)
            done = subprocess.run(
                [COMPILER, *OPTIONS, "-o", library, code], capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, done.stderr[:4000]
        self.library = ctypes.CDLL(str(library))

    def __call__(self, seats, arguments):
        held = [_held(a) for a in arguments]
        pointers = (ctypes.c_void_p * len(held))(*(ctypes.addressof(h) for h in held))
        grid = -(-seats // self.layout.groups)
        code = self.library.launch(grid, self.layout.block, ctypes.c_size_t(self.shared_bytes), pointers)
        assert code != 1, "threads of the kernel wait at a barrier for others that never come"
        assert code == 0, "the kernel has written past the end of its shared memory"


def _held(a):
    if a is None:
        return ctypes.c_void_p(None)
    if isinstance(a, np.ndarray):
        assert a.flags.c_contiguous
        return ctypes.c_void_p(a.ctypes.data)
    return ctypes.c_double(a) if isinstance(a, np.floating) else ctypes.c_int64(a)
