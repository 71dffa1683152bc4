"""ONNX nodes on the value that depends on the input, as layers of a `Network`.

Each operator is the real operation that it names: the roundings of a float32 run are not part of it.
Source: https://onnx.ai/onnx/operators/
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias, TypeGuard

import numpy as np

from compile.frontends.onnx_shape import Shape, Step, broadcast
from compile.operations import Affine, Operation, Sigmoid, Tanh, dense, scale
from gpac.errors import LoadError, NumberError
from gpac.exact import exact_array, to_exact, to_fractions

Result: TypeAlias = tuple[Operation, ...]
ZERO, ONE = np.zeros(1), np.ones(1)


def _gemm(step: Step) -> tuple[Result, Shape]:
    """alpha x W + beta C, exactly: an alpha other than 1 becomes a scale of its own."""
    if step.moving != 0 or step.integer("transA", 0):
        raise LoadError("the value that depends on the input must come first and not transposed (transA = 0)")
    weight = step.constant(1) if step.integer("transB", 0) else step.constant(1).T
    weight = _weight(weight, step.shape)
    if len(step.shape) != 2:
        raise LoadError(f"expected a value of two axes, got the shape {step.shape}")
    shape = (1, len(weight))
    bias = np.zeros(len(weight))
    if step.has(2):
        bias = _bias(_times(exact_array(step.constant(2)), step.number("beta", 1.0)), shape)
    alpha = step.number("alpha", 1.0)
    if alpha == 1:
        return (dense(weight, bias),), shape
    return (dense(weight), scale(alpha, bias)), shape


def _bias(c: np.ndarray, shape: Shape) -> np.ndarray:
    if broadcast(shape, c.shape) != shape:
        raise LoadError(f"expected a bias for {shape[-1]} values, got the shape {c.shape}")
    return _spread(c, shape)


def _matmul(step: Step) -> tuple[Result, Shape]:
    """x W with a row x, or W x with a column x."""
    matrix, shape = step.constant(1 - step.moving), step.shape
    if step.moving == 0:
        weight = _weight(matrix.T, shape)
        return (dense(weight),), (*shape[:-1], len(weight))
    column = shape if len(shape) == 1 else shape[:-1]
    weight = _weight(matrix, column)
    result = (len(weight),) if len(shape) == 1 else (*shape[:-2], len(weight), 1)
    if math.prod(shape) != column[-1]:
        raise LoadError(f"a matrix times a value of shape {shape} is supported for one column only")
    return (dense(weight),), result


def _weight(matrix: np.ndarray, shape: Shape) -> np.ndarray:
    """A constant matrix as float64 (n_out, n_in), nothing lost, after a check that it applies to one row."""
    if matrix.ndim != 2 or 0 in matrix.shape:
        raise LoadError(f"expected a matrix of weights, got the shape {matrix.shape}")
    if not shape or shape[-1] != math.prod(shape):
        raise LoadError(f"the value has the shape {shape}, expected one row; export with a batch of 1 or an open one")
    if matrix.shape[1] != shape[-1]:
        raise LoadError(f"expected weights for {shape[-1]} values, got weights for {matrix.shape[1]}")
    if matrix.dtype.kind == "O" or (matrix.dtype.kind in "iu" and ((matrix > 2**53) | (matrix < -(2**53))).any()):
        raise NumberError("expected weights that are float64 numbers exactly")
    return np.ascontiguousarray(matrix, dtype=np.float64)


def _arithmetic(step: Step) -> tuple[Result, Shape]:
    """Add, Sub, Mul or Div of the moving value and a constant, either way round where that is affine."""
    c = exact_array(step.constant(1 - step.moving))
    shape = broadcast(step.shape, c.shape)
    if math.prod(shape) != math.prod(step.shape):
        raise LoadError(
            f"a constant of shape {c.shape} would turn the shape {step.shape} into {shape}; "
            "only constants that keep the number of values are supported"
        )
    factor, offset = _affine(step, c)
    factor, offset = (a.reshape(1) if a.size == 1 else _spread(a, shape) for a in (factor, offset))
    return (scale(factor, offset),), shape


def _affine(step: Step, c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if step.op == "Add":
        return ONE, c
    if step.op == "Sub":
        return (ONE, np.negative(c)) if step.moving == 0 else (-ONE, c)
    if step.op == "Mul":
        return c, ZERO
    if step.moving == 1:
        raise LoadError("it divides by a value that depends on the input, which is not affine")
    if not np.all(c != 0):
        raise LoadError("it divides by zero")
    return exact_array(np.asarray(1 / to_fractions(c))), ZERO


def _times(c: np.ndarray, factor: float) -> np.ndarray:
    return c if factor == 1 else exact_array(np.asarray(to_fractions(c) * to_exact(factor)))


def _spread(c: np.ndarray, shape: Shape) -> np.ndarray:
    """The constant for every value of `shape`, flattened."""
    return np.broadcast_to(c, shape).reshape(-1)


def _activation(step: Step) -> tuple[Result, Shape]:
    return (Tanh() if step.op == "Tanh" else Sigmoid(),), step.shape


OPERATORS: dict[str, Callable[[Step], tuple[Result, Shape]]] = {
    "Add": _arithmetic,
    "Div": _arithmetic,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "Mul": _arithmetic,
    "Sigmoid": _activation,
    "Sub": _arithmetic,
    "Tanh": _activation,
}


def merged(layers: Result) -> Result:
    """The layers with every offset that directly follows a matrix without bias made its bias (MatMul, Add)."""
    result: list[Operation] = []
    for layer in layers:
        last = result[-1] if result else None
        if _is_matrix(last) and isinstance(layer, Affine) and not last.bias.any() and _is_shift(layer):
            result[-1] = dense(last.weight, _spread(layer.bias, last.bias.shape))
        else:
            result.append(layer)
    return tuple(result)


def _is_matrix(layer: Operation | None) -> TypeGuard[Affine]:
    return isinstance(layer, Affine) and layer.weight.ndim == 2


def _is_shift(layer: Affine) -> bool:
    return layer.weight.ndim < 2 and bool((layer.weight == 1).all())
