"""Multiply-adds of a step: what the recurrences ask for, whatever engine runs them."""

from __future__ import annotations

from gpac.circuit import UNBOUNDED
from gpac.solver.recurrences import Contract, Follow, Operand, Operation, Recurrences, Square, Sum, Times


def multiply_adds(recurrences: Recurrences, order: int) -> int:
    """Of one step that counts: orders 0 and 1, all others, and the state and its slope at the far end."""
    r = recurrences
    orders = sum(_order(r, o, k) for o in r.operations for k in range(order + 1))
    return orders + (2 * order - 1) * r.dim


def _order(r: Recurrences, operation: Operation, k: int) -> int:
    """Multiply-adds of one order of one unit; additions alone count too, products by 1/k as well."""
    out = operation.out
    if k > out.degree:
        return 0
    match operation:
        case Sum():
            sizes = {"dense": lambda t: out.size * t.operand.size, "sparse": lambda t: _pairs(r, t.index, out.size)}
            terms = [t for t in operation.terms if k == 0 or not t.operand.still]
            return sum(sizes[t.kind](t) if t.kind in sizes else out.size for t in terms)
        case Times():
            return out.size * _terms(operation.left, operation.right, k)
        case Contract():
            return _pairs(r, operation.index, out.size) * _terms(operation.left, operation.right, k)
        case Follow():
            return out.size * (_terms(operation.variable, operation.integrand, k) if k else 0)
        case Square():
            return out.size * ((k + 1) // 2 + 2) if k else 0
        case _:
            return out.size if k else 0


def _terms(left: Operand, right: Operand, k: int) -> int:
    """Terms of the sum of left_j right_{k-j}."""
    low = max(0, k - right.degree) if right.degree < UNBOUNDED else 0
    high = min(k, left.degree) if left.degree < UNBOUNDED else k
    return max(0, high - low + 1)


def _pairs(r: Recurrences, index: int, rows: int) -> int:
    return int(r.index[index + rows] - r.index[index])
