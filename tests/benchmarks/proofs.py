"""Proven digits and boxes: jobs J4 and P1 to P9, ours beside unproven peers that are installed and figures of others.

The quoted figures were measured once with CAPD 6.1.0 (double intervals, and its MPFR version) and kv 0.4.61, compiled
C++, on an AMD EPYC of family 25, one core; neither comes from a package index, so they are not run here. Their inputs
were the systems below; the start of P4 is not on record, the one here is this project's own.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from pathlib import Path
from typing import Any

import flint
import mpmath
import numpy as np
import sympy

import gpac
from compile import enclose_forward, homotopy, load, sequential
from gpac.verify import Answer, Proof

from . import certified, network_boxes
from .clock import fastest
from .jobs import NETWORKS, neural_ode
from .ours import neural_ode_circuit
from .plain import flow_widths
from .table import machine
from .tools import TESTS, found

W, X, Y, Z = sympy.symbols("w x y z")
LOTKA = gpac.PIVP({X: X * (1 - Y), Y: Y * (X - 1)}, {X: 2, Y: 1})
LORENZ = gpac.PIVP({X: 10 * (Y - X), Y: X * (28 - Z) - Y, Z: X * Y - sympy.Rational(8, 3) * Z}, {X: 1, Y: 1, Z: 1})
VAN_DER_POL = gpac.PIVP({X: Y, Y: 5 * (1 - X**2) * Y - X}, {X: 2, Y: 0})
HENON_HEILES = gpac.PIVP(
    {X: Z, Y: W, Z: -X - 2 * X * Y, W: -Y - X**2 + Y**2},
    {X: 0, Y: sympy.Rational(1, 10), Z: sympy.Rational(1, 2), W: 0},
)
ROTATION = gpac.PIVP({X: -Y, Y: X}, {X: 1, Y: 0})
ROUNDS = 3
LIMIT, LIMIT_OF_NETWORKS = 120.0, 600.0
"""Seconds after which a peer, or a proof, is given up."""


@dataclass(frozen=True)
class Points:
    """A system from one exact start, to several numbers of digits; `quoted` by digits."""

    title: str
    system: gpac.PIVP
    t: Fraction
    digits: tuple[int, ...]
    quoted: dict[int, str]
    more: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False)
class Box:
    """A system from a box of starts of half-width `radius`."""

    title: str
    system: Any
    t: Fraction
    centre: tuple[float, ...]
    radius: float
    quoted: str


@dataclass(frozen=True)
class Image:
    """A trained network on one image, by schemes to numbers of digits; the file is not part of the project."""

    title: str
    network: str
    images: str
    rows: tuple[tuple[str, int], ...]


POINTS = {
    "J4": Points("Lotka-Volterra (2, 1) to t = 1", LOTKA, Fraction(1), (30, 100, 300, 1000), {}, (3000, 10_000)),
    "P1": Points(
        "Lotka-Volterra (2, 1) to t = 1",
        LOTKA,
        Fraction(1),
        (13, 30, 100, 300),
        {
            13: "CAPD 0.0007 (width 9e-15), kv 0.003 (5e-15)",
            30: "CAPD-MPFR 0.042, kv-dd 0.018",
            100: "CAPD-MPFR 0.56, kv-mpfr 2.6",
            300: "CAPD-MPFR 6.0, kv-mpfr 21.5",
        },
    ),
    "P2": Points(
        "Lorenz (1, 1, 1) to t = 30",
        LORENZ,
        Fraction(30),
        (2, 15),
        {2: "CAPD 0.165 (width 2e-3), kv 2.6 (2e-4)", 15: "CAPD-MPFR 10.8, kv-dd 9.4"},
    ),
    "P3": Points(
        "van der Pol, mu = 5, (2, 0) to t = 11.6",
        VAN_DER_POL,
        Fraction(116, 10),
        (13, 30),
        {13: "CAPD 0.016 (width 1e-13), kv 0.081 (4e-14)"},
    ),
    "P4": Points(
        "Henon-Heiles (0, 1/10, 1/2, 0) to t = 100",
        HENON_HEILES,
        Fraction(100),
        (13, 30),
        {13: "CAPD 0.071 (width 2e-12), kv 0.33 (2e-13)"},
    ),
}
BOXES = {
    "P5": Box(
        "Lorenz, box of half-width 1e-6 around (1, 1, 1), t = 2",
        LORENZ,
        Fraction(2),
        (1.0, 1.0, 1.0),
        1e-6,
        "CAPD 1.001 in 0.010 s, kv 1.000 in 0.072 s",
    ),
    "P6": Box(
        "rotation, box of half-width 0.01 around (1, 0), t = 100",
        ROTATION,
        Fraction(100),
        (1.0, 0.0),
        0.01,
        "CAPD 1.000 in 0.0004 s, kv 1.000 in 0.089 s",
    ),
    "P7": Box(
        "tanh flow of 16 neurons on 2 states, box of half-width 1e-3 around (0.3, -0.4), t = 1",
        None,
        Fraction(1),
        (0.3, -0.4),
        1e-3,
        "in its polynomial form CAPD 1.9 and 5.1 in 0.065 s, kv 1.9 and 5.0 in 1.1 s; native tanh 1.01-1.04, 1.003",
    ),
}
NETWORK_BOXES = "P8"
IMAGES = {
    "P9": Image(
        "trained sigmoid network 784-6x200-10 on one image, all outputs",
        "mnist_sigmoid_6x200.onnx",
        "mnist_20_images.npz",
        (("sequential", 30), ("sequential", 100), ("homotopy", 15)),
    )
}
JOBS = (*POINTS, *BOXES, NETWORK_BOXES, *IMAGES, certified.NAME)
"""Names of the jobs, in their order."""


def table(name: str, more: bool, peers: Path | None, say: Callable[[str], None]) -> str:
    """One job's section as Markdown; `more` asks for the rows that take minutes too."""
    if name == certified.NAME:
        return certified.table(say)
    job: Points | Box | Image | None = (POINTS | BOXES | IMAGES).get(name)
    title = "networks of Verisig, boxes around an input; widths over the true width" if job is None else job.title
    lines = [
        f"## {name}: {title}",
        "",
        f"{machine()}; gpac {gpac.__version__}; seconds of process time, one core.",
        "",
    ]
    if isinstance(job, Points):
        rows = _points(name, job, more, peers)
    elif isinstance(job, Image):
        rows = _images(job, NETWORKS)
    else:
        rows = _networks() if job is None else _boxes(job)
    for row in rows:
        say(f"{name}: {row}")
        lines.append(row)
    return "\n".join(lines) + "\n"


def _points(name: str, job: Points, more: bool, peers: Path | None) -> Iterator[str]:
    columns = ["digits", "proven s", "bits", "steps", "order", "largest radius"]
    columns += ["heyoka s, unproven", "mpmath.odefun s, unproven"] if name == "J4" else ["quoted, s"]
    yield from (_line(columns), _line(["---"] * len(columns)))
    for digits in (*job.digits, *(job.more if more else ())):
        seconds, proof = fastest(
            lambda d=digits: gpac.prove(job.system, job.t, digits=d, seconds=None if more else LIMIT),
            ROUNDS,
        )
        cells = [f"{digits}", f"{seconds:.3g}", f"{proof.bits}", f"{proof.steps}", f"{proof.order}", _radius(proof)]
        if name == "J4":
            cells += [_peer(tool, digits, peers, proof) for tool in ("heyoka", "mpmath")]
        else:
            cells.append(job.quoted.get(digits, ""))
        yield _line(cells)


def _boxes(job: Box) -> Iterator[str]:
    columns = ["width", "true width, sampled", "ratio", "plain intervals", "proven s", "bits", "steps", "quoted ratio"]
    yield from (_line(columns), _line(["---"] * len(columns)))
    box = [flint.arb(c, job.radius) for c in job.centre]
    system, given = job.system, {"initial": box}
    if system is None:
        system, given = neural_ode_circuit(neural_ode()), {"inputs": box}
    seconds, proof = fastest(lambda: gpac.prove(system, job.t, digits=1, seconds=LIMIT, **given), ROUNDS)
    true = _sampled(job, system)
    if proof.answer is not Answer.PROVEN:
        none = [proof.answer.name, " ".join(f"{w:.4g}" for w in true), "", ""]
        yield _line([*none, f"{seconds:.3g}", "", "", job.quoted])
        return
    widths = [2 * float(r) for r in proof.rad]
    ratios = [w / v for w, v in zip(widths, true, strict=True)]
    cells = [" ".join(f(v) for v in values) for f, values in (("{:.4g}".format, widths), ("{:.4g}".format, true))]
    naive = flow_widths(system, box, job.t, ceil(100 * job.t))
    cells += [" ".join(f"{r:.3f}" for r in ratios), " ".join(f"{w / v:.3g}" for w, v in zip(naive, true, strict=True))]
    cells += [f"{seconds:.3g}", f"{proof.bits}", f"{proof.steps}", job.quoted]
    yield _line(cells)


def _networks() -> Iterator[str]:
    yield from (_line(network_boxes.COLUMNS), _line(["---"] * len(network_boxes.COLUMNS)))
    yield from map(_line, network_boxes.rows(NETWORKS))


def _images(job: Image, folder: Path) -> Iterator[str]:
    columns = ["scheme", "digits", "proven s", "bits", "steps", "order", "largest radius", "network in balls inside"]
    yield from (_line(columns), _line(["---"] * len(columns)))
    if not (folder / job.network).exists() or not (folder / job.images).exists():
        yield _line([f"needs {job.network} and {job.images} in {folder}", *[""] * (len(columns) - 1)])
        return
    network = load(folder / job.network)
    with np.load(folder / job.images) as stored:
        x = np.asarray(stored["images"], dtype=float).reshape(-1, network.size)[0]
    for scheme, digits in job.rows:
        program = homotopy(network) if scheme == "homotopy" else sequential(network)
        seconds, proof = fastest(
            lambda d=digits, p=program: gpac.prove(p, inputs=x, digits=d, seconds=LIMIT_OF_NETWORKS),
            ROUNDS,
        )
        cells = [scheme, f"{digits}", f"{seconds:.3g}", f"{proof.bits}", f"{proof.steps}", f"{proof.order}"]
        right = enclose_forward(network, x, digits=digits + 45).mid
        inside = proof.answer is Answer.PROVEN and proof.contains(right)
        yield _line([*cells, _radius(proof), "yes" if inside else "no"])


def _sampled(job: Box, system: Any) -> list[float]:
    """Width of the range over corners, middles of edges and random points, in float64: at most the true width."""
    n = len(job.centre)
    grid = np.array(list(itertools.product((-1.0, 0.0, 1.0), repeat=n)))
    inner = np.random.default_rng(5).uniform(-1, 1, (1000, n))
    starts = np.array(job.centre) + job.radius * np.concatenate([grid, inner])
    given = {"inputs": starts} if job.system is None else {"initial": starts}
    ends = gpac.solve(system, t=float(job.t), tol=1e-15, **given).check().outputs
    return [float(w) for w in ends.max(axis=0) - ends.min(axis=0)]


def _radius(proof: Proof) -> str:
    return mpmath.nstr(max(proof.rad), 3) if proof.answer is Answer.PROVEN else proof.answer.name


def _peer(tool: str, digits: int, peers: Path | None, proof: Proof) -> str:
    """Seconds of a peer and how far it is from the proven ball, or why there are none."""
    homes = {t.name: t.interpreter for t in found(peers)[0]}
    interpreter = homes.get("gpac" if tool == "mpmath" else tool)
    if interpreter is None:
        return "not installed"
    command = [interpreter, "-m", "benchmarks.peers.digits", tool, str(digits)]
    try:
        done = subprocess.run(
            command,
            cwd=TESTS,
            env=os.environ | {"PYTHONPATH": str(TESTS)},
            capture_output=True,
            timeout=LIMIT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"no result in {LIMIT:g}"
    if done.returncode:
        return "failed"
    answer = json.loads(done.stdout)
    context = mpmath.mp.clone()
    context.dps = digits + 20
    off = abs(context.mpf(answer["value"]) - context.mpf(proof.mid[0]))
    return f"{answer['seconds']:.3g} (off by {mpmath.nstr(off, 2)})"


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"
