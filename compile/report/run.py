"""All figures of a report: one pass through compile, solve, prove and measure."""

from __future__ import annotations

import time as clock
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from gpac.circuit import Circuit
from gpac.complexity import Measurement, measure
from gpac.description import describe
from gpac.errors import CircuitError, GpacError, NumberError
from gpac.schedule import Schedule
from gpac.solver import Solution, Status, solve
from gpac.verify import Answer, Proof, prove

from ..activations import to_delta
from ..balls import Enclosure, enclose_forward
from ..frontends import load
from ..network import Network, forward
from ..schemes import homotopy, relaxation, sequential
from ..schemes.conditioning import digits_lost, predicted_digits_lost
from .inputs import Samples, read_samples
from .nearness import Nearness, near_figures, nearness

SCHEMES: dict[str, Callable[[Network], Circuit | Schedule]] = {
    "homotopy": homotopy,
    "sequential": sequential,
    "relaxation": relaxation,
}
TOL = 1e-14
JUDGED = 20
"""Inputs on which float64 is held against exact outputs."""
LONGEST = 1000.0
"""Time for which a relaxation is still run; bounds of deep networks with products can ask for much more."""
PROVABLE = 256
"""States up to which schemes are proven whose states all hang together."""
PROOF_SECONDS = 60.0
"""Time for such a proof; the answer is UNKNOWN after that."""
SMALL = 40
"""States up to which the cost of bits is measured."""
ALL_BITS, KINKED_BITS = (16, 32, 64, 128, 256), (16, 32)
"""Correct bits at which the cost is measured; near kinks the steps are many."""

Step = Callable[[str, float], None]


@dataclass(frozen=True, eq=False)
class SchemeResult:
    """One scheme on one network: the program, its batch run, and what it lost.

    `difference` is the largest |output - forward|, absolute; `relative` the same over max(1, |forward|);
    `digits_lost` the decimal digits lost against exact outputs, on the first `JUDGED` inputs, and `predicted` what
    was expected of the arithmetic before the run.
    """

    name: str
    program: Circuit | Schedule
    compile_seconds: float
    solution: Solution
    solve_seconds: float
    difference: float
    relative: float
    accuracy: float | None
    digits_lost: float
    predicted: float
    proof: Proof | None
    proof_seconds: float
    meets: bool | None
    cost: Measurement | None


@dataclass(frozen=True, eq=False)
class Report:
    """Everything that the page shows."""

    network: Network
    file: str
    samples: Samples
    digits: int
    forward: np.ndarray
    accuracy: float | None
    forward_digits_lost: float
    exact: Enclosure
    schemes: tuple[SchemeResult, ...]
    seconds: float
    left_out: dict[str, str] = field(default_factory=dict)
    near: Nearness | None = None
    accuracy_with_kinks: float | None = None


def report(
    file: str | Path,
    inputs: str | Path | None = None,
    digits: int = 15,
    step: Step | None = None,
    smooth: Any = None,
) -> Report:
    """Compile a network file under every scheme, run all inputs, prove the first one's outputs, measure.

    Parameters
    ----------
    file : path
        .onnx, .yml, .yaml or .json.
    inputs : path, optional
        See `read_samples`.
    digits : int
        Decimal digits to prove.
    step : callable, optional
        Told what is being done and the fraction of that done.
    smooth : exact number, optional
        See `compile.load`.
    """
    begin = clock.perf_counter()
    told = step or (lambda _what, _fraction: None)
    network = load(file, smooth=smooth)
    if smooth is not None and not to_delta(smooth):
        raise NumberError("expected smooth to be positive: with its kinks a network is no analog program")
    samples = read_samples(inputs, network)
    outputs = forward(network, samples.x)
    if not np.isfinite(outputs).all():
        raise GpacError(f"the network's outputs overflow float64 on these inputs ({samples.source})")
    near = None
    if network.smooth:
        told("bounding the distance from the network with kinks", 0.0)
        near = nearness(network, to_delta(smooth), samples.x, outputs, JUDGED, digits + 5)
    told("evaluating the network in ball arithmetic", 0.0)
    exact = _exact_outputs(network, samples.x[:JUDGED], told)
    judged = np.array([[float(m) for m in e.mid] for e in exact])
    left_out = {name: reason for name in SCHEMES if (reason := _obstacle(name, network, samples.x[0]))}
    results = tuple(
        _scheme(name, network, samples, outputs, judged, digits, told) for name in SCHEMES if name not in left_out
    )
    return Report(
        network,
        Path(file).name,
        samples,
        digits,
        outputs,
        _accuracy(outputs, samples.labels),
        digits_lost(outputs[:JUDGED], judged),
        enclose_forward(network, samples.x[0], digits=digits + 5),
        results,
        clock.perf_counter() - begin,
        left_out,
        near,
        None if near is None else _accuracy(near.forward, samples.labels),
    )


def _obstacle(name: str, network: Network, x: np.ndarray) -> str:
    """Why a scheme is not run on a network; empty if it is."""
    try:
        limit = SCHEMES[name](network).program.limit
    except (NumberError, CircuitError) as error:
        return str(error)
    horizon = 0.0 if limit is None else limit.time({"x": x}, TOL)
    if horizon <= LONGEST:
        return ""
    return f"its proven bound asks for a time of {horizon:.3g}, more than {LONGEST:g}"


def _exact_outputs(network: Network, x: np.ndarray, told: Step) -> list[Enclosure]:
    out = []
    for number, row in enumerate(x, 1):
        out.append(enclose_forward(network, row, digits=25))
        told("evaluating the network in ball arithmetic", number / len(x))
    return out


def _scheme(
    name: str, network: Network, samples: Samples, outputs: np.ndarray, judged: np.ndarray, digits: int, told: Step
) -> SchemeResult:
    begin = clock.perf_counter()
    program = SCHEMES[name](network)
    compiled = clock.perf_counter()
    what = f"{name}: running {len(samples.x)} inputs"
    told(what, 0.0)
    solution = solve(program, inputs=samples.x, tol=TOL, length=True, progress=lambda f: told(what, f))
    if Status.STOPPED in solution.status:
        raise KeyboardInterrupt
    solution.check()
    solved = clock.perf_counter()
    proof, meets = None, None
    if program.dim <= PROVABLE or name == "sequential":
        proving = f"{name}: proving {digits} digits of one input's outputs"
        told(proving, 0.0)
        seconds = None if name == "sequential" else PROOF_SECONDS
        proof = prove(program, inputs=samples.x[0], digits=digits, seconds=seconds, progress=lambda f: told(proving, f))
        if proof.answer is Answer.PROVEN:
            meets = enclose_forward(network, samples.x[0], digits=digits).overlaps(proof)
            if not meets:
                raise GpacError(f"internal error: the proof under {name} and direct evaluation exclude each other")
    proven = clock.perf_counter()
    cost = None
    if program.dim <= SMALL:
        measuring = f"{name}: measuring the cost of bits"
        told(measuring, 0.0)
        bits = KINKED_BITS if network.smooth else ALL_BITS
        cost = measure(program, inputs=samples.x[0], bits=bits, progress=lambda f: told(measuring, f))
    difference = np.abs(solution.outputs - outputs)
    return SchemeResult(
        name,
        program,
        compiled - begin,
        solution,
        solved - compiled,
        float(difference.max()),
        float((difference / np.maximum(1.0, np.abs(outputs))).max()),
        _accuracy(solution.outputs, samples.labels),
        digits_lost(solution.outputs[:JUDGED], judged),
        predicted_digits_lost(network, samples.x[:JUDGED], name),
        proof,
        proven - solved,
        meets,
        cost,
    )


def classes(outputs: np.ndarray) -> np.ndarray:
    """The label that outputs (B, m) stand for: the largest one, or for m = 1 whether it is positive."""
    return outputs.argmax(axis=1) if outputs.shape[1] > 1 else (outputs[:, 0] > 0).astype(np.int64)


def _accuracy(outputs: np.ndarray, labels: np.ndarray | None) -> float | None:
    return None if labels is None else float((classes(outputs) == labels).mean())


def figures(result: Report) -> dict[str, Any]:
    """The report as plain data for a JSON file; numbers with many digits are strings."""
    return {
        "format": "gpac-report-1",
        "network": {
            "file": result.file,
            "inputs": result.network.size,
            "outputs": result.network.outputs,
            "neurons": result.network.neurons,
            "weights": result.network.weights,
        },
        "samples": {"source": result.samples.source, "count": len(result.samples.x)},
        "accuracy": result.accuracy,
        "forward_digits_lost": result.forward_digits_lost,
        "exact_outputs_of_first_input": [b.str(result.digits + 3, radius=True) for b in result.exact.balls],
        "seconds": result.seconds,
        "left_out": result.left_out,
        "smooth": None if result.near is None else near_figures(result.near, result.digits),
        "schemes": {scheme.name: _scheme_figures(scheme) for scheme in result.schemes},
    }


def _scheme_figures(scheme: SchemeResult) -> dict[str, Any]:
    run, program = scheme.solution, scheme.program
    return {
        "claim": program.program.claim,
        "form": "schedule" if isinstance(program, Schedule) else "system",
        "states": program.dim,
        "circuit_degree": program.degree,
        "says": describe(program).sentences(),
        "largest_difference_to_forward": scheme.difference,
        "largest_relative_difference_to_forward": scheme.relative,
        "accuracy": scheme.accuracy,
        "digits_lost": scheme.digits_lost,
        "predicted_digits_lost": scheme.predicted,
        "time": _span(run.t),
        "length": _span(run.length),
        "space": _span(run.space),
        "steps": _span(run.steps),
        "mean_order": float(np.mean(run.orders)),
        "compile_seconds": scheme.compile_seconds,
        "solve_seconds": scheme.solve_seconds,
        "proof": None if scheme.proof is None else _proof_figures(scheme),
        "cost_of_bits": None if scheme.cost is None else _cost_figures(scheme.cost),
    }


def _span(values: Any) -> dict[str, float]:
    return {"min": float(np.min(values)), "median": float(np.median(values)), "max": float(np.max(values))}


def _proof_figures(scheme: SchemeResult) -> dict[str, Any]:
    proof = scheme.proof
    assert proof is not None
    proven = proof.answer is Answer.PROVEN
    return {
        "answer": proof.answer.name,
        "reason": proof.reason,
        "digits": proof.digits if proven else 0,
        "balls": [b.str(min(proof.digits, 60), radius=True) for b in proof.balls],
        "bits": proof.bits,
        "steps": proof.steps,
        "order": proof.order,
        "seconds": scheme.proof_seconds,
        "meets_direct_evaluation": scheme.meets,
    }


def _cost_figures(cost: Measurement) -> dict[str, Any]:
    return {
        "table": [vars(row) for row in cost.table],
        "fits": {name: vars(fit) for name, fit in cost.fits.items()},
    }
