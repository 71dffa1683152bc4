"""Boxes around an input of Verisig's networks: widths of the output, proven in several ways, over the true range."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from time import process_time
from typing import Any

import flint
import numpy as np

import gpac
from compile import enclose_box, forward, load, sequential
from gpac.verify import Answer

from .plain import forward_widths, mean_value_widths

NAMES = ("verisig_acc_tanh.yml", "verisig_mc_sig_2x16.yml")
RADII = (1e-6, 1e-3, 1e-2)
COLUMNS = ["network, radius", "true width, sampled", "gpac.prove", "enclose_box", "mean value", "plain", "proven s"]


def rows(folder: Path) -> Iterator[list[str]]:
    """Cells of the table, one list per network and radius; the last columns are ratios to the true width."""
    for name, radius in itertools.product(NAMES, RADII):
        if not (folder / name).exists():
            yield [f"{name}, {radius:g}", f"not measured: the file is not in {folder.name}", "", "", "", "", ""]
            continue
        network = load(folder / name)
        centre = np.random.default_rng(0).uniform(-0.05, 0.05, network.size)
        true = _sampled(network, centre, radius)
        begin = process_time()
        proof = gpac.prove(sequential(network), inputs=[flint.arb(c, radius) for c in centre.tolist()], digits=1)
        took = process_time() - begin
        lower, upper = enclose_box(network, centre - radius, centre + radius)
        widths = [
            upper - lower,
            mean_value_widths(network, centre.tolist(), radius),
            forward_widths(network, centre.tolist(), radius),
        ]
        if proof.answer is Answer.PROVEN:
            widths.insert(0, [2 * float(r) for r in proof.rad])
        ratios = [f"{max(np.asarray(w) / true):.4g}" for w in widths]
        if proof.answer is not Answer.PROVEN:
            ratios.insert(0, proof.answer.name)
        yield [f"{name}, {radius:g}", " ".join(f"{w:.4g}" for w in true), *ratios, f"{took:.2g}"]


def _sampled(network: Any, centre: np.ndarray, radius: float) -> np.ndarray:
    """Width of the range over corners and random points."""
    corners = np.array(list(itertools.product((-1.0, 1.0), repeat=len(centre))))
    inner = np.random.default_rng(1).uniform(-1, 1, (2000, len(centre)))
    images = forward(network, centre + radius * np.concatenate([corners, inner]))
    width: np.ndarray = np.ptp(images, axis=0)
    return width
