"""Networks that several tests build: chains of dense layers, and DAGs that grow beside a judge in numpy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.special import erf

from compile import Network, Tanh, dense
from compile.build import as_network, concatenate, linear
from compile.value import Value, constant, einsum, network_input

FUNCTIONS = {
    "tanh": np.tanh,
    "sigmoid": lambda v: 1 / (1 + np.exp(-v)),
    "softplus": lambda v: np.log1p(np.exp(v)),
    "silu": lambda v: v / (1 + np.exp(-v)),
    "gelu": lambda v: v * (1 + erf(v / np.sqrt(2))) / 2,
    "sin": np.sin,
    "gaussian": lambda v: np.exp(-v * v / 2),
    "arctan": np.arctan,
}


@dataclass
class Pair:
    """A value, and the same value as a numpy function of the input."""

    value: Value
    array: Callable[[np.ndarray], np.ndarray]


def grow(pairs: list[Pair], move: str, rng) -> Pair:
    """One more value from earlier ones, all of size 3."""
    a, b = (pairs[int(rng.integers(len(pairs)))] for _ in range(2))
    if move == "dense":
        W, c = rng.normal(size=(3, 3)) / 2, rng.normal(size=3)
        return Pair(linear(a.value, W, c), lambda x: W @ a.array(x) + c)
    if move == "add":
        return Pair(
            a.value - b.value if a is not b else a.value * 2,
            lambda x: a.array(x) - b.array(x) if a is not b else 2 * a.array(x),
        )
    if move == "multiply":  # of values that stay small
        s, t = a.value.apply("tanh"), b.value.apply("sigmoid")
        return Pair(s * t, lambda x: np.tanh(a.array(x)) * FUNCTIONS["sigmoid"](b.array(x)))
    if move == "softmax":
        return Pair(a.value.softmax(0), lambda x: np.exp(a.array(x)) / np.exp(a.array(x)).sum())
    if move == "norm":

        def norm(v):
            v = v - v.mean()
            return v / np.sqrt((v * v).mean() + 0.25)

        centred = a.value - a.value.mean([0], keep=True)
        scaled = centred * (centred * centred).mean([0], keep=True).apply("rsqrt", 0.25)
        return Pair(scaled, lambda x: norm(a.array(x)))
    if move == "mix":
        joined = concatenate([a.value[1:], b.value[:1]])
        return Pair(joined, lambda x: np.concatenate([a.array(x)[1:], b.array(x)[:1]]))
    if move == "matrix":
        W = rng.normal(size=(3, 3)) / 2
        product = einsum("ij,j->i", constant(W) + 0 * a.value, b.value.apply("sin"))
        return Pair(product, lambda x: W @ np.sin(b.array(x)))
    return Pair(a.value.apply(move), lambda x: FUNCTIONS[move](a.array(x)))


MOVES = ["dense", "dense", "add", "multiply", "softmax", "norm", "mix", "matrix", *FUNCTIONS]


def mlp(*widths: int, seed: int = 0) -> Network:
    rng = np.random.default_rng(seed)
    layers: list = []
    for a, b in pairwise(widths):
        layers += [dense(rng.normal(size=(b, a)), rng.normal(size=b)), Tanh()]
    return Network(widths[0], layers[:-1])


def everything() -> Network:
    """Softmax, a norm and several activations in one DAG."""
    x = network_input((3,))
    h = linear(x, np.arange(9.0).reshape(3, 3) / 8 - 0.5, [0.25, -0.5, 1.0])
    centred = h - h.mean([0], keep=True)
    normed = centred * (centred * centred).mean([0], keep=True).apply("rsqrt", 0.25)
    return as_network(normed.apply("mish") * h.softmax(0) + x.apply("sin") * x.apply("arctan"), "everything")
