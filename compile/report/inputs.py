"""Inputs and labels from a file, or random ones."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gpac.errors import LoadError, NumberError, ShapeError

from ..network import Network, as_rows

RANDOM = 1000


@dataclass(frozen=True, eq=False)
class Samples:
    """Inputs (B, size), their labels (B,) where the file has them, and where they come from."""

    x: np.ndarray
    labels: np.ndarray | None
    source: str


def read_samples(path: str | Path | None, network: Network) -> Samples:
    """Inputs for a network from an .npz, .npy or .csv file; without a file, 1000 random ones in [-1, 1].

    In an .npz file the inputs are the array named "inputs", "images" or "x", or the only one that fits the
    network; labels are the integer array named "labels" or "y". Nothing in the file is executed.
    """
    if path is None:
        x = np.random.default_rng(0).uniform(-1, 1, (RANDOM, network.size))
        return Samples(x, None, f"{RANDOM} random inputs in [-1, 1], seed 0")
    path = Path(path)
    arrays = read_arrays(path)
    name = inputs_name(arrays, network.size, path)
    x = numbers(arrays, name, path)
    try:
        rows, _ = as_rows(network, x)
    except (ShapeError, NumberError) as error:
        raise type(error)(f"array {name!r} of {path}: {error}") from None
    return Samples(rows, _labels(arrays, len(rows), path), f"{len(rows)} inputs from {path.name}")


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an .npz, .npy or .csv file, by name."""
    if not path.is_file():
        raise LoadError(f"there is no file {path} to read inputs from")
    try:
        return _arrays(path)
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise LoadError(f"cannot read inputs from {path}: {reason}") from error


def numbers(arrays: dict[str, np.ndarray], name: str, path: Path) -> np.ndarray:
    """One of the arrays, which must hold numbers."""
    x = np.asarray(arrays[name])
    if x.dtype.kind not in "fiub":
        raise LoadError(f"array {name!r} of {path} holds {x.dtype}, expected numbers")
    if x.size == 0:
        raise LoadError(f"array {name!r} of {path} is empty, expected at least one input")
    return x


def _arrays(path: Path) -> dict[str, np.ndarray]:
    suffix = path.suffix.lower()
    if suffix == ".npz":
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    if suffix == ".npy":
        return {"inputs": np.load(path, allow_pickle=False)}
    if suffix == ".csv":
        return {"inputs": np.loadtxt(path, delimiter=",", ndmin=2)}
    raise LoadError(f"inputs must be an .npz, .npy or .csv file, got {path.name}")


def inputs_name(arrays: dict[str, np.ndarray], size: int, path: Path) -> str:
    """Which of the arrays holds inputs of `size` numbers each."""
    for name in ("inputs", "images", "x", "X"):
        if name in arrays:
            return name
    fitting = [n for n, a in arrays.items() if a.ndim > 1 and int(np.prod(a.shape[1:])) == size]
    if len(fitting) == 1:
        return fitting[0]
    found = ", ".join(f"{n} {a.shape}" for n, a in arrays.items()) or "nothing"
    raise LoadError(f"expected an array named 'inputs' of shape (B, {size}) in {path}, found {found}")


def _labels(arrays: dict[str, np.ndarray], count: int, path: Path) -> np.ndarray | None:
    for name in ("labels", "y"):
        if name in arrays:
            labels = np.asarray(arrays[name])
            if labels.shape != (count,) or labels.dtype.kind not in "iub":
                raise LoadError(
                    f"array {name!r} of {path} must hold {count} integers, got {labels.dtype} of shape {labels.shape}"
                )
            return labels.astype(np.int64)
    return None
