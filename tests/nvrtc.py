"""CUDA's compiler from its pip package: machine code and the compiler's figures, on machines without a device."""

import ctypes
import re
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from gpac.solver.cuda.compile import OPTIONS


@dataclass(frozen=True)
class Figures:
    """What the compiler says of the kernel `run`: registers of a thread, and bytes that do not fit in them."""

    registers: int
    spilled: int
    stack: int


@cache
def library():
    """libnvrtc, or None where the package nvidia-cuda-nvrtc-cu12 is not installed."""
    try:
        spec = find_spec("nvidia.cuda_nvrtc")
    except ModuleNotFoundError:
        return None
    folders = [Path(f) for f in spec.submodule_search_locations] if spec else []
    found = [p for f in folders for p in [*f.glob("lib/libnvrtc.so.*"), *f.glob("bin/nvrtc64_*.dll")]]
    found = [p for p in found if "builtins" not in p.name and ".alt." not in p.name]
    return ctypes.CDLL(str(found[0])) if found else None


def figures(text: str, architecture: str) -> Figures:
    """Compile for an architecture such as "sm_90"."""
    nvrtc, program, size = library(), ctypes.c_void_p(), ctypes.c_size_t()
    assert nvrtc.nvrtcCreateProgram(ctypes.byref(program), text.encode(), b"kernel.cu", 0, None, None) == 0
    options = [o.encode() for o in (f"--gpu-architecture={architecture}", "--ptxas-options=-v", *OPTIONS)]
    code = nvrtc.nvrtcCompileProgram(program, len(options), (ctypes.c_char_p * len(options))(*options))
    nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    nvrtc.nvrtcGetProgramLog(program, log)
    nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
    said = log.value.decode()
    assert code == 0, said[:4000]

    def number(pattern: str) -> int:
        return int(re.search(pattern, said).group(1))

    stores, loads = number(r"(\d+) bytes spill stores"), number(r"(\d+) bytes spill loads")
    return Figures(number(r"Used (\d+) registers"), stores + loads, number(r"(\d+) bytes stack frame"))
