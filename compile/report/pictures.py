"""Pictures of a report, as SVG text."""

from __future__ import annotations

from io import StringIO
from typing import Any

import numpy as np

from gpac.complexity.picture import cost_figure
from gpac.schedule import Schedule
from gpac.solver import solve

from ..network import Network, carried
from .inputs import Samples
from .run import Report, SchemeResult

COLOURS = ("#1f4e79", "#c55a11", "#548235", "#7f6000", "#7030a0", "#a61c3c", "#2e75b6", "#8a8a8a", "#bf9000", "#00796b")
GRID = 21


def pictures(result: Report) -> dict[str, str]:
    """SVG text by title, in the order of the page."""
    drawn = {"Outputs of the first input along time": _svg(trajectories(result))}
    drawn["Decimal digits lost in float64, by scheme"] = _svg(digits_lost(result))
    if result.network.size == 2:
        drawn["A grid of inputs carried through the layers"] = _svg(grid(result.network, result.samples))
    for scheme in result.schemes:
        if scheme.cost is not None and len(scheme.cost.table) > 1:
            drawn[f"Cost of correct bits: {scheme.name}"] = _svg(cost_figure(scheme.cost))
    return drawn


def _svg(figure: Any) -> str:
    import matplotlib

    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "gpac", "font.size": 9}):
        text = StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None})
    drawing = text.getvalue()
    return drawing[drawing.index("<svg") :]


def _figure(width: float, height: float) -> Any:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def trajectories(result: Report) -> Any:
    """One panel per scheme; a relaxation shows the distance from the exact outputs."""
    figure = _figure(9.6, 3.3)
    exact = np.array([float(m) for m in result.exact.mid])
    for axis, scheme in zip(figure.subplots(1, len(result.schemes), squeeze=False)[0], result.schemes, strict=True):
        times, values = _along_time(scheme, result.samples.x[0])
        if scheme.program.program.claim == "limit":
            values = np.maximum(np.abs(values - exact), 1e-17)
            axis.set(yscale="log", title=f"{scheme.name}: distance from limit")
        else:
            last = " (last phase)" if isinstance(scheme.program, Schedule) else ""
            axis.set(title=f"{scheme.name}{last}")
            axis.plot(np.full(len(exact), times[-1]), exact, "o", color="black", markersize=3, clip_on=False)
        for k, line in enumerate(values.T[: len(COLOURS)]):
            axis.plot(times, line, color=COLOURS[k], linewidth=1)
        axis.set_xlabel("t")
        axis.spines[["top", "right"]].set_visible(False)
    return figure


def _along_time(scheme: SchemeResult, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    run = solve(scheme.program, inputs=x, tol=1e-14, dense=True).check()
    first = scheme.program.phases[:-1] if isinstance(scheme.program, Schedule) else ()
    times = np.linspace(float(sum(phase.duration for phase in first)), float(run.t), 300)
    return times, run.at(times)


def digits_lost(result: Report) -> Any:
    """One bar per scheme, and one for float64 evaluation."""
    figure = _figure(6.4, 0.5 + 0.42 * (len(result.schemes) + 1))
    axis = figure.subplots()
    names = ["forward", *(s.name for s in result.schemes)]
    lost = [result.forward_digits_lost, *(s.digits_lost for s in result.schemes)]
    bars = axis.barh(names, lost, color=["#8a8a8a", *COLOURS[: len(result.schemes)]], height=0.6)
    axis.bar_label(bars, [f" {v:.1f}" for v in lost])
    axis.invert_yaxis()
    axis.set(xlim=(0, max(16.0, 1.1 * max(lost))), xlabel="digits lost of 16")
    axis.spines[["top", "right"]].set_visible(False)
    return figure


def grid(network: Network, samples: Samples) -> Any:
    """A square grid over the inputs, after every layer: two coordinates, or three seen from the side."""
    low, high = samples.x.min(axis=0), samples.x.max(axis=0)
    lines = np.linspace(0, 1, GRID)
    fine = np.linspace(0, 1, 161)
    strokes = [np.stack([np.full_like(fine, a), fine], 1) for a in lines]
    strokes += [s[:, ::-1] for s in strokes]
    stages = carried(network, low + (high - low) * np.concatenate(strokes))
    points = carried(network, samples.x)
    figure = _figure(3.2 * len(stages), 3.4)
    for number, (stage, marks) in enumerate(zip(stages, points, strict=True)):
        deep = stage.shape[1] >= 3
        axis = figure.add_subplot(1, len(stages), number + 1, **({"projection": "3d"} if deep else {}))
        flat = [_coordinates(a) for a in (stage, marks)]
        for k in range(len(strokes)):
            part = flat[0][k * len(fine) : (k + 1) * len(fine)]
            colour = "#9dc3e6" if k < GRID else "#f4b183"
            axis.plot(*part.T, color=colour, linewidth=0.6)
        labels = samples.labels
        hue = "#1f4e79" if labels is None else np.array(COLOURS)[labels % len(COLOURS)]
        axis.scatter(*flat[1].T, s=3, c=hue, depthshade=False) if deep else axis.scatter(*flat[1].T, s=3, c=hue)
        if stage.shape[1] == 1:
            axis.set_yticks([])
        axis.set_title("inputs" if number == 0 else "outputs" if number == len(stages) - 1 else f"layer {number}")
    return figure


def _coordinates(stage: np.ndarray) -> np.ndarray:
    """The first three coordinates; a single one is drawn against zero."""
    if stage.shape[1] == 1:
        return np.concatenate([stage, np.zeros_like(stage)], axis=1)
    return stage[:, :3]
