"""The picture of a measurement: cost against bits."""

from __future__ import annotations

from typing import Any


def cost_figure(measurement: Any) -> Any:
    """Three panels: working bits, steps, bit operations, each with its fit."""
    import numpy as np
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.6, 3.2), layout="constrained")
    axes = figure.subplots(1, 3)
    n = np.array([row.bits for row in measurement.table], dtype=float)
    for axis, name, title in zip(
        axes,
        ("working_bits", "steps", "bit_operations"),
        ("working bits needed", "steps", "bit operations"),
        strict=True,
    ):
        axis.plot(n, [getattr(row, name) for row in measurement.table], "o", color="#1f4e79")
        fit = measurement.fits.get(name)
        if fit is not None:
            grid = np.geomspace(n[0], n[-1], 100)
            law = fit.a + fit.b * grid if fit.law == "line" else fit.a * grid**fit.b
            label = f"{fit.a:.3g} + {fit.b:.3g} n" if fit.law == "line" else f"{fit.a:.2g} n^{fit.b:.2f}"
            axis.plot(grid, law, color="#c55a11", linewidth=1, label=label)
            axis.legend(frameon=False)
        axis.set(title=title, xlabel="correct bits n")
        if name == "bit_operations":
            axis.set(xscale="log", yscale="log")
            axis.set_xticks(n, [f"{x:g}" for x in n])
            axis.minorticks_off()
        else:
            axis.set_ylim(0, 1.15 * max(getattr(row, name) for row in measurement.table))
        axis.spines[["top", "right"]].set_visible(False)
    return figure
