"""Trained networks: `load` picks the reader by the file's suffix, `from_torch` reads a live module."""

from __future__ import annotations

import os
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

from compile.activations import to_delta
from compile.network import Network
from gpac.allowance import allowed
from gpac.errors import GpacError, LoadError

SUFFIXES = (".onnx", ".yml", ".yaml", ".json", ".safetensors")
LARGEST_FILE = 2**31
"""Bytes; a protobuf file cannot be larger, and a larger text file is not a network."""


def load(
    path: str | os.PathLike[str],
    architecture: Any = None,
    fixed: Mapping[str, Any] | None = None,
    smooth: Any = None,
) -> Network:
    """Read a trained network from a file.

    Parameters
    ----------
    path : path of a file
        `.onnx` (see `compile.frontends.onnx_graph`), `.yml` / `.yaml` as Verisig writes them
        (see `compile.frontends.verisig`), `.json` as `save` writes it (see `compile.frontends.json_network`),
        `.safetensors` (see `compile.frontends.weights`).
    architecture : dict or path of a JSON file, for `.safetensors` only
        Which layers the tensors belong to.
    fixed : numbers by the name of an input, for `.onnx` only
        Inputs, such as tokens, that are constants of the network.
    smooth : exact number, optional
        For networks with relu, max pooling and other functions with kinks, which are refused without it: each becomes
        an analytic function that is within this distance of it everywhere (`compile.activations.kinked`); a float is
        the dyadic number it is. `Network.distance` then bounds how far the outputs are from those of
        `Network.original`. With 0 the kinks stay, for `forward` and `enclose_forward`.

    Returns
    -------
    Network
        Its weights are the numbers of the file, exactly (decimals of a YAML file: the nearest double).

    Raises
    ------
    LoadError
        If the file is missing, empty, damaged, of an unknown kind, or holds something unsupported.
    NumberError
        If a weight is NaN or infinite.
    """
    path = Path(path)
    delta = None if smooth is None else to_delta(smooth)
    try:
        _check_file(path)
        with allowed(path.stat().st_size):
            return _read(path, architecture, fixed, delta)
    except GpacError as error:
        raise type(error)(f"cannot read {path}: {_one_line(str(error))}") from None
    except OSError as error:
        raise LoadError(f"cannot read {path}: {error.strerror or error}") from None
    except (ValueError, TypeError, LookupError, ArithmeticError, MemoryError, RecursionError) as error:
        reason = f"{type(error).__name__}: {_one_line(str(error))}"
        raise LoadError(f"cannot read {path}: it is damaged ({reason})") from None


def from_torch(module: Any, example_input: Any, name: str | None = None, smooth: Any = None) -> Network:
    """The network that a `torch.nn.Module` computes at inference; see `compile.frontends.torch_graph`.

    `smooth` is that of `load`.
    """
    from compile.frontends.torch_graph import from_torch as read

    return read(module, example_input, name, None if smooth is None else to_delta(smooth))


def save(network: Network, path: str | os.PathLike[str]) -> None:
    """Write a network as JSON, every number exactly; see `compile.frontends.json_network`."""
    from compile.frontends.json_network import save as write

    write(network, path)


def _check_file(path: Path) -> None:
    if path.is_dir():
        raise LoadError("it is a folder; give the file of a network")
    if not path.exists():
        raise LoadError("there is no such file")
    if path.suffix.lower() not in SUFFIXES:
        known = f"{', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}"
        raise LoadError(f"expected a name that ends in {known}, got {path.suffix or 'no suffix'}")
    if not path.is_file():
        raise LoadError("it is not a regular file")
    size = path.stat().st_size
    if not 0 < size <= LARGEST_FILE:
        raise LoadError("the file is empty" if not size else f"expected at most 2 GiB, got {size} bytes")


def _read(path: Path, architecture: Any, fixed: Mapping[str, Any] | None, smooth: Fraction | None) -> Network:
    suffix = path.suffix.lower()
    if fixed is not None and suffix != ".onnx":
        raise LoadError(f"a {suffix} file has one input, which cannot be fixed")
    if (architecture is None) == (suffix == ".safetensors"):
        wanted = "needs the architecture its tensors belong to" if architecture is None else "has its own architecture"
        raise LoadError(f"a {suffix} file {wanted}; see compile.frontends.weights")
    if smooth is not None and suffix != ".onnx":
        raise LoadError(
            f"smooth is for .onnx files, got {suffix}; in .json every layer with a kink says its own `within`"
        )
    if suffix == ".onnx":
        from compile.frontends.onnx_graph import read_onnx

        return read_onnx(path, fixed, smooth)
    if suffix == ".json":
        from compile.frontends.json_network import read_json

        return read_json(path)
    if suffix == ".safetensors":
        from compile.frontends.weights import read_safetensors

        return read_safetensors(path, architecture)
    from compile.frontends.verisig import read_verisig

    return read_verisig(path)


def _one_line(text: str) -> str:
    """Names out of the file may hold anything: no line breaks, no control characters, no end of length."""
    text = " ".join(text[:1000].split())
    return "".join(letter if letter.isprintable() else "?" for letter in text)
