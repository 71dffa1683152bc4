"""Where the tools are, and how to talk to one: a process of its own, bound to one core, one thread."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

TESTS = Path(__file__).parent.parent
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
    "JAX_PLATFORMS": "cpu",
}
OURS = "gpac"
BYTECODE = {"PYTHONDONTWRITEBYTECODE": ""}
"""Every tool's modules are compiled once, as an installation leaves them."""
PEERS = ("heyoka", "diffrax", "scipy", "numbalsoda", "torchdiffeq")


class Refused(Exception):
    """The tool answered with an error, died, or did not answer in time."""


@dataclass(frozen=True)
class Tool:
    """A tool and the interpreter that has it."""

    name: str
    interpreter: Path

    @property
    def module(self) -> str:
        """What the worker imports, within `benchmarks`."""
        return "ours" if self.name == OURS else f"peers.{self.name}"


def found(peers: Path | None) -> tuple[list[Tool], list[str]]:
    """All tools with the first interpreter that has them, this one or one of a folder's; and the missing ones."""
    folders = sorted(peers.iterdir()) if peers else []
    interpreters = [Path(sys.executable), *(f / "bin" / "python" for f in folders if (f / "bin" / "python").exists())]
    tools, missing = [Tool(OURS, interpreters[0])], []
    for name in PEERS:
        has = [path for path in interpreters if _has(path, name)]
        if has:
            tools.append(Tool(name, has[0]))
        else:
            missing.append(name)
    return tools, missing


def _has(interpreter: Path, package: str) -> bool:
    look = f"import sys; from importlib.util import find_spec; sys.exit(find_spec({package!r}) is None)"
    return subprocess.run([interpreter, "-c", look], cwd=TESTS, check=False).returncode == 0


class Worker:
    """A running tool. What it caches on disk goes into the folder `home`."""

    def __init__(self, tool: Tool, home: Path, core: int) -> None:
        path = os.pathsep.join([str(TESTS), str(TESTS.parent)] if tool.name == OURS else [str(TESTS)])
        cache = str(home / ".cache")
        places = {"HOME": str(home), "XDG_CACHE_HOME": cache, "GPAC_CACHE": cache, "PYTHONPATH": path}
        self.tool = tool
        self.process = subprocess.Popen(
            [tool.interpreter, "-m", "benchmarks.worker", tool.module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=TESTS,
            env=os.environ | ONE_THREAD | places | BYTECODE,
            preexec_fn=lambda: os.sched_setaffinity(0, {core}),
        )
        self.version = self._answer(60.0)["version"]

    def ask(self, do: str, limit: float = 120.0, **more: Any) -> dict:
        """Send a command and wait at most `limit` seconds."""
        assert self.process.stdin
        try:
            self.process.stdin.write(json.dumps({"do": do, **more}).encode() + b"\n")
            self.process.stdin.flush()
        except (BrokenPipeError, ValueError):  # ValueError: closed by `close`
            raise Refused("the process has died") from None
        return self._answer(limit)

    def _answer(self, limit: float) -> dict:
        assert self.process.stdout
        pipe, line, end = self.process.stdout.fileno(), b"", monotonic() + limit
        with selectors.DefaultSelector() as selector:
            selector.register(pipe, selectors.EVENT_READ)
            while not line.endswith(b"\n"):
                if not selector.select(max(0.0, end - monotonic())):
                    self.close()
                    raise Refused(f"no answer in {limit:g} s")
                some = os.read(pipe, 65536)
                if not some:
                    raise Refused("the process has died")
                line += some
        answer = json.loads(line)
        if "refused" in answer:
            raise Refused(answer["refused"])
        return answer

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self.process.poll() is None

    def close(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.communicate()
