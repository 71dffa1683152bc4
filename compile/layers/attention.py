"""Scaled dot-product attention with several heads, and the blocks of a transformer.

1/sqrt(d) is exact: a fraction where d is a square, otherwise a constant that the circuit computes for itself.
Scores that a mask leaves out do not exist at all: their entries are no states.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import isqrt
from typing import Any

import numpy as np

from gpac.errors import NumberError, ShapeError

from ..build import linear, placement
from ..groups import Groups
from ..operations import Softmax
from ..value import LARGEST_VALUE, Unit, Value, affine, einsum
from .normalization import layer_norm


def causal(queries: int, keys: int) -> np.ndarray:
    """The mask (queries, keys) with which query i sees keys 0, ..., i."""
    if queries * keys > LARGEST_VALUE:
        raise ShapeError(f"a mask of {queries} queries and {keys} keys is too large")
    return np.tril(np.ones((queries, keys), dtype=bool))


def attention(q: Value, k: Value, v: Value, mask: Any = None, factor: Any = None) -> Value:
    """softmax(factor q k') v per head: q (H, I, d), k (H, J, d), v (H, J, e) to (H, I, e).

    Parameters
    ----------
    mask : bool or float, broadcast to (H, I, J), optional
        True where a query sees a key; numbers are added to the scores, -inf for keys not seen.
    factor : exact number, optional
        Default 1/sqrt(d), exactly.
    """
    if q.ndim != 3 or k.ndim != 3 or v.ndim != 3 or q.shape[0] != k.shape[0] or k.shape[:2] != v.shape[:2]:
        raise ShapeError(f"expected q (H, I, d), k (H, J, d) and v (H, J, e), got {q.shape}, {k.shape} and {v.shape}")
    q = _scaled(q, q.shape[2], factor)
    scores = einsum("hid,hjd->hij", q, k)
    return einsum("hij,hjd->hid", masked_softmax(scores, mask), v)


def _scaled(q: Value, d: int, factor: Any) -> Value:
    if factor is not None:
        return q.apply("factor", factor) if hasattr(factor, "free_symbols") else q * factor
    if isqrt(d) ** 2 == d:
        return q * Fraction(1, isqrt(d))
    import sympy

    return q.apply("factor", 1 / sympy.sqrt(d))


def masked_softmax(scores: Value, mask: Any) -> Value:
    """Softmax over the last axis; `mask` as in `attention`."""
    if mask is None:
        return scores.softmax(-1)
    mask = np.asarray(mask)
    if mask.dtype != bool:
        finite = np.isfinite(mask)
        if (np.isposinf(mask) | np.isnan(mask)).any():
            raise NumberError("expected a mask of numbers and -inf, got NaN or +inf in it")
        if mask[finite].any():
            scores = scores + np.where(finite, mask, 0.0)
        mask = finite
    seen = np.broadcast_to(mask, scores.shape)
    if not seen.any(axis=-1).all():
        raise NumberError("expected every query to see a key, got a row of the mask without one")
    if seen.all():
        return scores.softmax(-1)
    places = np.flatnonzero(seen)
    kept = scores.pick(places)
    labels = np.unique(places // scores.shape[-1], return_inverse=True)[1].reshape(-1)
    p = Value(Unit(kept.size, Softmax(Groups(labels)), (kept.unit,)), kept.shape)
    return affine([(placement(places, np.arange(p.size), (scores.size, p.size)), p)], 0, scores.shape)


@dataclass(frozen=True, eq=False)
class Masked:
    """Scores whose entries are -infinity where `seen` is False: they can only go into a softmax."""

    value: Value
    seen: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the value."""
        return self.value.shape


def add_mask(x: Value, mask: np.ndarray) -> Masked:
    """x + mask, where the mask has entries of -inf."""
    hidden = np.isneginf(mask)
    y = x + np.where(hidden, 0.0, mask)
    return Masked(y, np.broadcast_to(~hidden, y.shape))


def fill_mask(x: Value, mask: Any, fill: Any) -> Value | Masked:
    """x, with the number `fill` (perhaps -inf) where the mask is True."""
    mask = np.broadcast_to(mask, x.shape)
    if float(fill) == -np.inf:
        return Masked(x, ~mask)
    return x * np.where(mask, 0.0, 1.0) + np.where(mask, float(fill), 0.0)


def softmax(x: Value | Masked, axis: int, result: str = "softmax") -> Value:
    """softmax, log_softmax or logsumexp along an axis; of masked scores a softmax over the last one."""
    if isinstance(x, Value):
        return x.softmax(axis, result)
    if result != "softmax" or axis % x.value.ndim != x.value.ndim - 1:
        raise ShapeError(f"a mask of -inf is supported for a softmax over the last axis, not for {result} over {axis}")
    return masked_softmax(x.value, x.seen)


@dataclass(frozen=True, eq=False)
class Projections:
    """Weights of a multi-head attention: q, k, v (E, .) and out (., E), each with its bias or None."""

    q: tuple[np.ndarray, Any]
    k: tuple[np.ndarray, Any]
    v: tuple[np.ndarray, Any]
    out: tuple[np.ndarray, Any]
    heads: int

    @staticmethod
    def packed(weight: np.ndarray, bias: Any, out: np.ndarray, out_bias: Any, heads: int) -> Projections:
        """From the matrix (3 E, E) of q, k and v below each other, as PyTorch stores it."""
        w = np.split(np.asarray(weight), 3)
        b = [None] * 3 if bias is None else np.split(np.asarray(bias), 3)
        return Projections((w[0], b[0]), (w[1], b[1]), (w[2], b[2]), (out, out_bias), heads)


def multi_head_attention(x: Value, memory: Value, weights: Projections, mask: Any = None) -> Value:
    """Attention of x (I, E) to memory (J, .): projected, split into heads, joined and projected again."""
    q, k, v = (
        _heads(linear(value, *pair), weights.heads)
        for value, pair in ((x, weights.q), (memory, weights.k), (memory, weights.v))
    )
    joined = attention(q, k, v, mask).transpose(1, 0, 2)
    return linear(joined.reshape(x.shape[0], -1), *weights.out)


def _heads(x: Value, heads: int) -> Value:
    """(T, E) to (heads, T, E // heads)."""
    if x.shape[1] % heads:
        raise ShapeError(f"{heads} heads do not divide {x.shape[1]} numbers")
    return x.reshape(x.shape[0], heads, -1).transpose(1, 0, 2)


@dataclass(frozen=True, eq=False)
class Block:
    """Weights of a transformer block: attention (to itself, and to a memory), two dense layers, norms.

    `norms` are (weight, bias, eps), one per part; `first` puts them before the parts (pre-norm).
    """

    own: Projections
    dense: tuple[tuple[np.ndarray, Any], tuple[np.ndarray, Any]]
    norms: tuple[tuple[Any, Any, float], ...]
    activation: str = "gelu"
    first: bool = False
    cross: Projections | None = None


def encoder_block(x: Value, block: Block, mask: Any = None) -> Value:
    """Attention to itself, then two dense layers, each with a skip and a layer norm; x (T, E)."""
    x = _part(x, block, 0, lambda v: multi_head_attention(v, v, block.own, mask))
    return _part(x, block, 1, lambda v: _dense(v, block))


def decoder_block(x: Value, memory: Value, block: Block, mask: Any = None) -> Value:
    """Attention to itself (usually `causal`), to a memory (J, E), then two dense layers; x (T, E)."""
    cross = block.cross
    if cross is None:
        raise ShapeError("expected a block with the weights of its attention to the memory, got none in `cross`")
    x = _part(x, block, 0, lambda v: multi_head_attention(v, v, block.own, mask))
    x = _part(x, block, 1, lambda v: multi_head_attention(v, memory, cross))
    return _part(x, block, 2, lambda v: _dense(v, block))


def _part(x: Value, block: Block, number: int, part: Any) -> Value:
    weight, bias, eps = block.norms[number]
    if block.first:
        return x + part(layer_norm(x, 1, weight, bias, eps))
    return layer_norm(x + part(x), 1, weight, bias, eps)


def _dense(x: Value, block: Block) -> Value:
    up, down = block.dense
    return linear(linear(x, *up).apply(block.activation), *down)
