"""Compile modules for this processor with LLVM; keep the machine code on disk between runs."""

from __future__ import annotations

import ctypes
import hashlib
import os
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import llvmlite
import llvmlite.binding as llvm


def _target() -> Any:
    """A new target machine for this processor; an engine takes its own over."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = llvm.Target.from_default_triple()
    return target.create_target_machine(cpu=llvm.get_host_cpu_name(), features=_features(), opt=2, jit=True)


@cache
def _features() -> str:
    return str(llvm.get_host_cpu_features().flatten())


@cache
def registers() -> tuple[int, int]:
    """Doubles in a vector register of this processor, and how many such registers it has."""
    found = llvm.get_host_cpu_features()
    if found.get("avx512f"):
        return 8, 32
    if found.get("avx2") or found.get("avx"):
        return 4, 16
    return 2, 32 if found.get("neon") else 16


def cache_folder() -> Path:
    """Where compiled code is kept: $GPAC_CACHE, or gpac-compile in the user's cache folder."""
    if "GPAC_CACHE" in os.environ:
        return Path(os.environ["GPAC_CACHE"])
    base = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA") or Path.home() / ".cache"
    return Path(base) / "gpac-compile"


@cache
def _own_source() -> str:
    """The text of the modules that write code: when they change, so does the code they write."""
    here = Path(__file__).parent
    return "".join(path.read_text() for path in sorted(here.glob("*.py")))


class Compiled:
    """One module's function "run", ready to be called; keeps the machine code alive.

    `key` says all that the code depends on; `text` writes it in LLVM's language and is called only where
    no earlier run has left the machine code. `polish` has LLVM's optimizer go over it.
    """

    def __init__(self, key: str, text: Callable[[], str], arguments: int, polish: bool = False) -> None:
        whole = "\n".join([llvmlite.__version__, llvm.get_host_cpu_name(), _features(), _own_source(), key])
        path = cache_folder() / f"{hashlib.sha256(whole.encode()).hexdigest()[:32]}.o"
        code = _read(path)
        if code is None:
            module = llvm.parse_assembly(text())
            if polish:
                _polish(module)
            code = _target().emit_object(module)
            _write(path, code)
        self._engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), _target())
        self._engine.add_object_file(llvm.ObjectFileRef.from_data(code))
        self._engine.finalize_object()
        address = self._engine.get_function_address("run")
        self.run = ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_void_p] * arguments)(address)


def _polish(module: Any) -> None:
    """LLVM's optimizer, for its loops; vectors are there already, and calls are shared on purpose."""
    options = llvm.create_pipeline_tuning_options(speed_level=3)
    options.loop_unrolling, options.loop_vectorization, options.slp_vectorization = True, False, False
    options.inlining_threshold = 0
    passes = llvm.create_pass_builder(_target(), options)
    passes.getModulePassManager().run(module, passes)


def _read(path: Path) -> bytes | None:
    """Code kept by an earlier run, if it is there and whole."""
    try:
        kept = path.read_bytes()
    except OSError:
        return None
    digest, code = kept[:32], kept[32:]
    return code if hashlib.sha256(code).digest() == digest else None


def _write(path: Path, code: bytes) -> None:
    """Keep code for the next run; a folder that cannot be written to only costs time."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            file.write(hashlib.sha256(code).digest() + code)
        os.replace(file.name, path)
    except OSError:
        return
