"""Coverage-guided damage to the files that `compile.load` and `gpac.load` read; needs atheris.

`PYTHONPATH=. python tests/fuzz.py KIND COUNT [SEED]` loads so many files of one kind ("onnx", "json", "yaml",
"safetensors" or "program") and prints the longest time and the most memory. Any error but the project's ends the run
and names the file; slow and large ones are named as well. Files that reach new lines are kept and damaged further, in
their bytes by libFuzzer or in their parts as in `mutants.py`.
"""

from __future__ import annotations

import importlib
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from numpy.random import default_rng

KINDS = ("onnx", "json", "yaml", "safetensors", "program")
LONGEST, LARGEST = 2.0, 2**28
"""Seconds of process time, and bytes above ten times the file, from which on a file is named."""
READERS = [f"compile.frontends.{name}" for name in ("json_network", "onnx_graph", "verisig", "weights")]


def seeds(kind: str, folder: Path) -> list[bytes]:
    """Good files, and some damaged ones."""
    if kind != "program":
        return list(importlib.import_module("mutants").mutants(kind, 500, 0, folder))
    sys.path.insert(0, str(Path(__file__).parent / "gpac" / "export"))
    return [text.encode() for text in importlib.import_module("test_program").examples()]


def change(kind: str, data: bytes, draw: Any) -> bytes:
    """A file of this kind with one of its parts changed; as it was where it is no such file."""
    tools = importlib.import_module("mutants")
    if kind == "onnx":
        model = tools.ModelProto()
        model.ParseFromString(data)
        tools.change_part(model, draw)
        return bytes(model.SerializeToString())
    if kind == "program":
        return json.dumps(importlib.import_module("test_program").mutated(json.loads(data), draw)).encode()
    changed = bytearray(data)
    tools.change_token(changed, draw)
    return bytes(changed)


def mutator(kind: str) -> Any:
    """Changes of parts and of bytes in turn, for atheris."""
    import atheris

    def mutate(data: bytes, most: int, seed: int) -> bytes:
        draw = default_rng(seed)
        if draw.integers(2):
            try:
                changed = change(kind, data, draw)
            except Exception:  # what it is to change is damaged already
                changed = b""
            if 0 < len(changed) <= most:
                return changed
        return bytes(atheris.Mutate(data, most))

    return mutate


class Watch:
    """Loads files, and names what is wrong, slow or large."""

    def __init__(self, kind: str, folder: Path, count: int) -> None:
        self.kind, self.folder, self.left, self.count = kind, folder, count, 0
        self.slowest, self.largest = 0.0, 0

    def __call__(self, data: bytes) -> None:
        """One file."""
        if not data:
            return
        tools = importlib.import_module("mutants")
        path = self.folder / f"file.{'json' if self.kind == 'program' else self.kind}"
        loader = importlib.import_module("gpac").load if self.kind == "program" else None
        try:
            seconds, more = tools.load_mutant(path, data, loader)
        except BaseException:
            self._keep("not our error", data)
            raise
        self.count += 1
        self.slowest, self.largest = max(self.slowest, seconds), max(self.largest, more)
        if seconds > LONGEST or more > LARGEST + 10 * len(data):
            self._keep(f"{seconds:.2f} s, {more >> 20} MiB", data)
        if self.count == self.left:
            print(f"{self.kind}: {self.count} files, {self.slowest:.2f} s, {self.largest >> 20} MiB", flush=True)

    def _keep(self, why: str, data: bytes) -> None:
        kept = self.folder / f"kept{self.count}.{self.kind}"
        kept.write_bytes(data)
        print(f"{why}: {kept}", flush=True)


def main(kind: str, count: int, seed: int) -> None:
    """Load `count` files; libFuzzer ends the process itself."""
    try:
        import atheris
    except ImportError:
        sys.exit("nothing was fuzzed: this needs atheris (pip install atheris)")
    with atheris.instrument_imports(include=["compile", "gpac"]):
        for name in (*READERS, "gpac", "mutants"):
            importlib.import_module(name)
    folder = Path(tempfile.mkdtemp(prefix=f"fuzz-{kind}-"))
    corpus = folder / "seeds"
    corpus.mkdir()
    for k, data in enumerate(seeds(kind, folder)):
        (corpus / str(k)).write_bytes(data)
    options = [f"-runs={count + 100}", f"-seed={seed + 1}", "-max_len=20000", "-len_control=0", "-timeout=60"]
    arguments = [sys.argv[0], *options, "-rss_limit_mb=0", "-print_final_stats=1", str(corpus)]
    atheris.Setup(arguments, Watch(kind, folder, count), custom_mutator=mutator(kind))
    atheris.Fuzz()


if __name__ == "__main__":
    if len(sys.argv) < 3 or sys.argv[1] not in KINDS:
        sys.exit(__doc__)
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 0)
