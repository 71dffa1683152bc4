"""The stages of the main job one by one: compile a network to a file; solve, prove or measure a program."""

from __future__ import annotations

import io
import json
import re
import sys
from argparse import Namespace
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from gpac import export
from gpac.arguments import System
from gpac.circuit import Circuit
from gpac.description import describe
from gpac.errors import GpacError, LoadError
from gpac.exact import to_exact
from gpac.files import replace_file
from gpac.pivp import PIVP
from gpac.schedule import Schedule

from .frontends import load
from .report.inputs import inputs_name, numbers, read_arrays
from .schemes import clocked, flow, homotopy, relaxation, sequential

Progress = Callable[[float], None]
NETWORKS = (".onnx", ".yml", ".yaml")
SCHEMES: dict[str, Callable[..., Circuit | Schedule]] = {
    "homotopy": homotopy,
    "sequential": sequential,
    "relaxation": relaxation,
    "clocked": clocked,
    "flow": flow,
}
SETTINGS = {
    "homotopy": ("base",),
    "relaxation": ("rate", "form"),
    "clocked": ("error", "reach"),
    "flow": ("duration",),
}
"""What each scheme can be told besides the network; options of the same names."""
SHOWN = 10
"""Trajectories whose outputs are printed."""


def compile_network(options: Namespace) -> int:
    """`gpac compile`: the analog program of a network as a file."""
    program = _compiled(options.network, options)
    export.save(program, options.out)
    print(f"{options.out}: {describe(program)}\n  weights: {program.weights}")
    return 0


def solve(options: Namespace, progress: Progress) -> int:
    """`gpac solve`: run all inputs of a file; exit code 1 if a trajectory did not reach its end."""
    from gpac.solver import Status
    from gpac.solver import solve as run

    program = read_program(options)
    check_place(options.out, (".npz", ".npy", ".csv"))
    t = None if options.t is None else float(to_exact(options.t))
    solution = run(program, t, tol=options.tol, progress=progress, **_given(program, options.inputs))
    statuses = np.ravel(solution.status)
    if Status.STOPPED in statuses:
        raise KeyboardInterrupt
    if options.out:
        replace_file(Path(options.out), _table(Path(options.out), solution))
    print(f"{len(statuses)} inputs; engine: {solution.engine}")
    for row in np.atleast_2d(solution.outputs)[:SHOWN]:
        print(" ".join(f"{v:.17g}" for v in row))
    if len(statuses) > SHOWN:
        where = f" in {options.out}" if options.out else "; --out FILE keeps them"
        print(f"... {len(statuses) - SHOWN} more{where}")
    for index in np.flatnonzero(statuses != Status.REACHED)[:SHOWN]:
        print(f"input {index}: {statuses[index]} t = {np.ravel(solution.t)[index]:.17g}", file=sys.stderr)
    return 0 if solution.ok else 1


def prove(options: Namespace, progress: Progress) -> int:
    """`gpac prove`: enclose the outputs of one input; exit code 1 if nothing is proven about them."""
    from gpac.verify import Answer
    from gpac.verify import prove as run

    program = read_program(options)
    check_place(options.out, (".json",))
    check_place(options.certificate, (".json",))
    given = _row(_given(program, options.inputs), options.row)
    limits = {"digits": options.digits, "seconds": options.seconds}
    proof = run(program, options.t, progress=progress, **limits, **given)
    print(proof)
    if options.out:
        balls = {n: b.str(options.digits + 5, radius=True) for n, b in zip(proof.names, proof.balls, strict=True)}
        figures = {name: getattr(proof, name) for name in ("bits", "steps", "order")}
        shown = {"answer": proof.answer.name, "reason": proof.reason, "outputs": balls} | figures
        replace_file(Path(options.out), json.dumps(shown, indent=1) + "\n")
    if options.certificate and proof.answer is Answer.PROVEN:
        proof.certificate(options.certificate, seconds=options.seconds)
        print(f"certificate: {options.certificate}")
    return 0 if proof.answer is Answer.PROVEN else 1


def measure(options: Namespace, progress: Progress) -> int:
    """`gpac measure`: what growing numbers of correct bits cost, for one input."""
    from gpac.complexity import measure as run

    program = read_program(options)
    check_place(options.out, (".json",))
    given = _row(_given(program, options.inputs), options.row)
    cost = run(program, options.t, bits=options.bits, progress=progress, **given)
    print(cost)
    if options.out:
        shown = {
            "table": [vars(row) for row in cost.table],
            "fits": {name: vars(fit) for name, fit in cost.fits.items()},
            **{name: getattr(cost, name) for name in ("time", "length", "space", "steps", "order", "digits_lost")},
        }
        replace_file(Path(options.out), json.dumps(shown, indent=1) + "\n")
    return 0


def read_program(options: Namespace) -> System:
    """The program that the command is about: a file of `gpac compile`, or a network with a scheme."""
    if _is_network(Path(options.program)):
        if options.scheme is None:
            raise LoadError(f"{options.program} is a network: say how to compile it, --scheme {' or '.join(SCHEMES)}")
        return _compiled(options.program, options)
    if options.scheme is not None or options.smooth is not None:
        what = "--scheme" if options.scheme is not None else "--smooth"
        raise LoadError(f"{what} is for networks; {options.program} is a program already")
    return export.load(options.program)


def _is_network(path: Path) -> bool:
    """By the suffix; of files in JSON by the format that they begin with."""
    if path.suffix.lower() != ".json" or not path.is_file():
        return path.suffix.lower() in NETWORKS
    with path.open("rb") as file:
        return re.search(rb'"format"\s*:\s*"gpac network"', file.read(1000)) is not None


def check_place(path: str | None, suffixes: tuple[str, ...]) -> None:
    """See that a file can be written in its folder, before any work is done."""
    if path is None:
        return
    if Path(path).suffix.lower() not in suffixes:
        raise GpacError(f"expected a file to write that ends in {' or '.join(suffixes)}, got {path}")
    if not Path(path).parent.is_dir():
        raise GpacError(f"cannot write {path}: there is no folder {Path(path).parent}")


def _compiled(file: str, options: Namespace) -> Circuit | Schedule:
    given = {name: getattr(options, name, None) for names in SETTINGS.values() for name in names}
    given = {name: value for name, value in given.items() if value is not None}
    for scheme, names in SETTINGS.items():
        foreign = [name for name in names if name in given and scheme != options.scheme]
        if foreign:
            raise GpacError(f"--{foreign[0]} is for --scheme {scheme}; {options.scheme} has no such setting")
    return SCHEMES[options.scheme](load(file, smooth=options.smooth), **given)


def _given(program: System, file: str | None) -> dict[str, Any]:
    """Arguments `inputs` or, for a PIVP, `initial` from a file of numbers; each array (B, n)."""
    sizes = {"initial": program.dim} if isinstance(program, PIVP) else dict(program.inputs)
    if file is None and (not sizes or isinstance(program, PIVP)):
        return {}
    wanted = " and ".join(f"{name!r} ({size} numbers)" for name, size in sizes.items())
    if file is None:
        raise LoadError(f"the program reads {wanted}: give --inputs FILE")
    if not sizes:
        raise LoadError("the program reads no inputs: leave --inputs out")
    path = Path(file)
    arrays = read_arrays(path)
    if not sizes.keys() <= arrays.keys():
        if len(sizes) > 1:
            raise LoadError(f"expected arrays named {wanted} in {path}, found {', '.join(arrays) or 'nothing'}")
        arrays = {name: arrays[inputs_name(arrays, size, path)] for name, size in sizes.items()}
    rows = {name: _rows(numbers(arrays, name, path), size, path) for name, size in sizes.items()}
    return {"initial": rows["initial"]} if isinstance(program, PIVP) else {"inputs": rows}


def _rows(x: np.ndarray, size: int, path: Path) -> np.ndarray:
    if x.shape != (size,) and int(np.prod(x.shape[1:])) != size:
        raise LoadError(f"expected inputs of shape ({size},) or (B, {size}) in {path}, got {x.shape}")
    return x.reshape(-1, size)


def _row(given: dict[str, Any], row: int) -> dict[str, Any]:
    """One row of every array."""
    for value in given.values():
        arrays = value if isinstance(value, Mapping) else {"initial": value}
        for name, array in arrays.items():
            if not 0 <= row < len(array):
                raise LoadError(f"expected --row from 0 to {len(array) - 1} of the inputs {name!r}, got {row}")
    return {k: {n: a[row] for n, a in v.items()} if isinstance(v, Mapping) else v[row] for k, v in given.items()}


def _table(path: Path, solution: Any) -> bytes:
    """The outputs (B, m) as a file's content; .npz holds status, time and steps besides."""
    outputs, buffer = np.atleast_2d(solution.outputs), io.BytesIO()
    if path.suffix.lower() == ".npy":
        np.save(buffer, outputs)
    elif path.suffix.lower() == ".csv":
        np.savetxt(buffer, outputs, fmt="%.17g", delimiter=",")
    else:
        statuses = np.array([status.name for status in np.ravel(solution.status)])
        np.savez(buffer, outputs=outputs, t=np.ravel(solution.t), steps=np.ravel(solution.steps), status=statuses)
    return buffer.getvalue()
