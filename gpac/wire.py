"""Shannon's units on vector-valued wires, and the arithmetic that builds them.

A wire is the output terminal of one unit: a constant, an input, time, a linear combination, a product or
an integrator with respect to any other wire. Wires are frozen and compared by identity; a wire used twice
is one unit. A scalar is a wire of size 1, a layer of 200 neurons is one wire of size 200.

Source of the units: Shannon, J. Math. and Phys. 20 (1941) 337-354.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np

from .errors import CircuitError, NumberError, ShapeError
from .exact import exact_array, to_exact, to_fractions
from .repeated import Repeated
from .signs import ANY, known, plus, signs_of, times

Matrix: TypeAlias = Any
"""A number (times the identity), a diagonal (n,), a dense (m, n) array, `scipy.sparse` or `Repeated`; exact."""


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Wire:
    """Output of one unit: a vector of `size` real functions of time.

    `signs` is what is proven or declared about every entry for all times, a subset of "-0+"; a wire whose
    signs lack "0" may be divided by.
    """

    name: str | None = None
    signs: str = ANY
    __array_ufunc__ = None  # NumPy arrays leave `array @ wire` and `array + wire` to the wire

    @property
    def size(self) -> int:
        """Number of entries."""
        raise CircuitError("a bare Wire has no size; build one with gpac.inputs, gpac.time or gpac.integral")

    def __repr__(self) -> str:
        return f"<{describe(self)}>"

    def __reduce__(self) -> Any:
        from .packing import reduced

        return reduced(self)

    def __add__(self, other: Any) -> Wire:
        other = as_wire(other)
        if isinstance(other, Constant):
            return linear([(1, self)], other.values)
        if isinstance(self, Constant):
            return linear([(1, other)], self.values)
        return linear([(1, self), (1, other)])

    __radd__ = __add__

    def __neg__(self) -> Wire:
        return linear([(-1, self)])

    def __pos__(self) -> Wire:
        return self

    def __sub__(self, other: Any) -> Wire:
        return self + (-as_wire(other))

    def __rsub__(self, other: Any) -> Wire:
        return (-self) + other

    def __mul__(self, other: Any) -> Wire:
        other = as_wire(other)
        if isinstance(other, Constant):
            return linear([(other.values if other.size > 1 else other.values[0], self)])
        if isinstance(self, Constant):
            return other * self
        return product(self, other)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Wire:
        if not isinstance(other, Wire):
            values = to_fractions(exact_array(other))
            if (values == 0).any():
                raise NumberError("expected a divisor without zeros, got one with a zero entry")
            return self * exact_array(1 / values)
        from .functions import reciprocal

        return self * reciprocal(other)

    def __rtruediv__(self, other: Any) -> Wire:
        from .functions import reciprocal

        return reciprocal(self) * other

    def __pow__(self, exponent: int) -> Wire:
        if not isinstance(exponent, (int, np.integer)):
            raise CircuitError(f"expected an integer exponent, got {exponent!r}; for real ones use fn.power")
        if exponent < 0:
            return 1 / self ** (-exponent)
        if exponent == 0:
            return constant(np.ones(self.size))
        half = self ** (exponent // 2) if exponent > 1 else None
        if half is None:
            return self
        square = product(half, half)
        return product(square, self) if exponent % 2 else square

    def __rmatmul__(self, matrix: Any) -> Wire:
        if np.ndim(matrix) != 2 and not hasattr(matrix, "tocsr"):
            raise ShapeError(f"expected a matrix before @, got shape {np.shape(matrix)}; a vector multiplies with *")
        return linear([(matrix, self)])


@dataclass(frozen=True, eq=False, repr=False)
class Constant(Wire):
    """The same exact numbers at all times; `values` has shape (size,)."""

    values: np.ndarray

    @property
    def size(self) -> int:
        return len(self.values)


@dataclass(frozen=True, eq=False, repr=False)
class Input(Wire):
    """A vector given by the caller, constant in time; it may differ from trajectory to trajectory."""

    width: int

    @property
    def key(self) -> str:
        """The name under which the caller gives it."""
        return self.name or ""

    @property
    def size(self) -> int:
        return self.width


@dataclass(frozen=True, eq=False, repr=False)
class Time(Wire):
    """The independent variable t, starting at 0."""

    @property
    def size(self) -> int:
        return 1


@dataclass(frozen=True, eq=False, repr=False)
class Linear(Wire):
    """sum over terms of matrix @ wire, plus bias; the matrices are constant and exact."""

    terms: tuple[tuple[Matrix, Wire], ...]
    bias: np.ndarray | None = None
    width: int = field(default=0)

    @property
    def size(self) -> int:
        return self.width


@dataclass(frozen=True, eq=False, repr=False)
class Product(Wire):
    """left times right, entry by entry (a side of size 1 serves every entry), or a bilinear einsum.

    `einsum` is (subscripts, shape of left, shape of right), e.g. ("ij,jk->ik", (2, 3), (3, 4)).
    """

    left: Wire
    right: Wire
    einsum: tuple[str, tuple[int, ...], tuple[int, ...]] | None = None

    @property
    def size(self) -> int:
        if self.einsum is None:
            return max(self.left.size, self.right.size)
        return int(self.pairs()[0].max()) + 1

    def pairs(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Index arrays (o, l, r): entry o of the product is the sum of left[l] * right[r] over its rows."""
        if self.einsum is None:
            o = np.arange(self.size)
            return o, o if self.left.size > 1 else 0 * o, o if self.right.size > 1 else 0 * o
        return _einsum_pairs(*self.einsum)


@dataclass(frozen=True, eq=False, repr=False)
class Start:
    """Initial value of an integrator: an elementary function of what a wire carries at t = 0.

    `function` is a key of `gpac.elementary.TABLE`; `parameters` are exact numbers it takes besides.
    """

    function: str
    wire: Wire
    parameters: tuple[Any, ...] = ()


@dataclass(frozen=True, eq=False, repr=False)
class Integral(Wire):
    """initial + integral of `integrand` d`variable` from 0 to t: Shannon's integrator.

    The variable is time or any wire reached through integrators or time; a side of size 1 serves every
    entry. `initial` is an exact array (size,) or a `Start`.
    """

    integrand: Wire
    variable: Wire
    initial: np.ndarray | Start

    @property
    def size(self) -> int:
        return max(self.integrand.size, self.variable.size)


@dataclass(frozen=True, eq=False, repr=False)
class Forward(Wire):
    """A wire used before it is made; `define` plugs it in once. Feedback loops are patched this way."""

    width: int = 1
    target: list[Wire] = field(default_factory=list)

    @property
    def size(self) -> int:
        return self.width

    def define(self, wire: Wire) -> Wire:
        """Make this the same wire as `wire`, and return `wire`."""
        if self.target:
            raise CircuitError(f"{describe(self)} is defined twice; a wire has one source")
        _same_size(self, wire, "the wire that defines it")
        self.target.append(wire)
        return wire


def source(wire: Wire) -> Wire:
    """The unit behind a wire: follows forward references to the end."""
    seen = []
    while isinstance(wire, Forward) and wire.target:
        seen.append(wire)
        wire = wire.target[0]
        if wire in seen:
            raise CircuitError(f"algebraic loop: {describe(wire)} is defined as itself; put an integrator in between")
    return wire


def describe(wire: Wire) -> str:
    """A wire in words, for messages."""
    kind = {Forward: "wire", Linear: "linear combination", Integral: "integrator"}.get(
        type(wire), type(wire).__name__.lower()
    )
    return f"{kind} {wire.name!r}" if wire.name else f"unnamed {kind} of size {wire.size}"


# -- making wires --------------------------------------------------------------------------------------------


def time() -> Time:
    """The time wire, size 1, value t."""
    return Time(name="t", signs="0+")


def inputs(name: str, size: int = 1, signs: str = ANY) -> Input:
    """An input of `size` numbers given at solve time under `name`; `signs` declares e.g. "+" for positive."""
    if not isinstance(size, (int, np.integer)) or size < 1:
        raise ShapeError(f"expected a size of at least 1 for input {name!r}, got {size!r}")
    return Input(int(size), name=name, signs=known(signs))


def constant(values: Any, name: str | None = None) -> Constant:
    """A wire that carries the same exact numbers at all times; floats are the dyadics they are."""
    array = np.atleast_1d(exact_array(values))
    if array.ndim != 1 or not array.size:
        raise ShapeError(f"expected a number or a vector for a constant, got shape {array.shape}")
    return Constant(array, name=name, signs=signs_of(array))


def wire(name: str | None = None, size: int = 1) -> Forward:
    """A wire to be made later: by its `define`, or by the entry of this name in `Circuit({...})`."""
    return Forward(size, name=name)


def integral(
    integrand: Any, variable: Wire | None = None, initial: Any = 0, name: str | None = None, signs: str = ANY
) -> Integral:
    """initial + integral of `integrand` d`variable`, by default with respect to time.

    Parameters
    ----------
    integrand : wire, number or vector
    variable : wire, default `gpac.time()`
        Reached through integrators or time; checked when the circuit is made.
    initial : number, vector, wire or `Start`
        Value at t = 0: exact, or what a wire carries that is made of inputs and constants alone. Size 1 serves
        every entry.
    signs : str
        Declared signs of every entry for all times, a subset of "-0+".

    Raises
    ------
    ShapeError
        If sizes disagree.
    CircuitError
        If the initial value is a wire that moves, or one that is not defined yet.

    >>> import gpac
    >>> h = gpac.wire("h")
    >>> circuit = gpac.Circuit({"h": h.define(gpac.integral(-h, initial=gpac.inputs("start")))})
    >>> gpac.solve(circuit, t=1, inputs=[[1.0], [2.0]]).outputs.round(6)
    array([[0.367879],
           [0.735759]])
    """
    variable = time() if variable is None else variable
    integrand, initial = as_wire(integrand), _initial(initial)
    width = initial.wire.size if isinstance(initial, Start) else len(initial)
    sizes = {integrand.size, variable.size, width} - {1}
    if len(sizes) > 1:
        raise ShapeError(
            f"integrator {name or ''}: integrand {describe(integrand)} has size {integrand.size}, variable "
            f"{describe(variable)} size {variable.size}, initial value size {width}; sizes must agree or be 1"
        )
    size = sizes.pop() if sizes else 1
    if max(integrand.size, variable.size) < size:
        integrand = linear([(np.ones((size, 1)), integrand)])
    if width < size:
        if isinstance(initial, Start):
            initial = replace(initial, wire=linear([(np.ones((size, 1)), initial.wire)]))
        else:
            initial = np.repeat(initial, size)
    return Integral(integrand, variable, initial, name=name, signs=known(signs))


def _initial(value: Any) -> np.ndarray | Start:
    """An initial value as integrators keep it."""
    if isinstance(value, Start):
        return value
    if not isinstance(value, Wire):
        return np.atleast_1d(exact_array(value))
    from .graph import moves

    if moves(value):
        raise CircuitError(
            f"expected an initial value that is constant in time, got {describe(value)}, which moves or is not yet "
            'defined; to add it at all times write wire + integral, for its value at t = 0 give Start("identity", wire)'
        )
    unit = source(value)
    return unit.values if isinstance(unit, Constant) else Start("identity", value)


def declared(wire: Wire, signs: str) -> Wire:
    """The same values with signs that the caller vouches for, e.g. `declared(x, "+")` to divide by x."""
    return Linear(((np.array(1.0), wire),), None, wire.size, signs=known(signs))


def product(left: Wire, right: Wire) -> Product:
    """The product entry by entry; a side of size 1 serves every entry of the other."""
    if left.size != right.size and 1 not in (left.size, right.size):
        raise ShapeError(
            f"cannot multiply {describe(left)} (size {left.size}) by {describe(right)} (size {right.size}); "
            "sizes must agree or be 1"
        )
    return Product(left, right, signs=times(left.signs, right.signs, square=left is right))


def bilinear(subscripts: str, left: Wire, right: Wire, left_shape: tuple, right_shape: tuple) -> Product:
    """einsum of two moving wires seen as arrays of the given shapes, flattened: `bilinear("ij,j->i", A, x, ...)`."""
    for side, shape in ((left, left_shape), (right, right_shape)):
        if int(np.prod(shape)) != side.size:
            raise ShapeError(f"{describe(side)} has size {side.size}, which is not the shape {tuple(shape)}")
    subscripts = subscripts.replace(" ", "")
    try:
        np.einsum(subscripts, np.zeros(left_shape), np.zeros(right_shape))
    except ValueError as error:
        raise ShapeError(f"einsum {subscripts!r} of shapes {left_shape} and {right_shape}: {error}") from None
    if "->" not in subscripts or _clashing(subscripts, left_shape, right_shape):
        raise ShapeError(f"expected einsum letters of one extent each, like 'ij,jk->ik', got {subscripts!r}")
    return Product(left, right, (subscripts, tuple(left_shape), tuple(right_shape)))


def _clashing(subscripts: str, left_shape: tuple, right_shape: tuple) -> bool:
    letters = subscripts.split("->")[0].replace(",", "")
    seen: dict[str, int] = {}
    return any(seen.setdefault(c, n) != n for c, n in zip(letters, (*left_shape, *right_shape), strict=True))


def linear(terms: Any, bias: Any = None, name: str | None = None) -> Linear:
    """sum of matrix @ wire over `terms`, plus `bias`.

    Parameters
    ----------
    terms : list of (matrix, wire)
        A matrix is a number (times the identity; a wire of size 1 then serves every entry), a vector (a
        diagonal), an array (m, n) or a `scipy.sparse` matrix; all exact.
    bias : number or vector (m,), optional
    """
    terms = [(_matrix(m), w) for m, w in terms]
    if not terms:
        raise ShapeError("expected at least one term in a sum; gpac.constant makes a constant wire")
    bias = None if bias is None else np.atleast_1d(exact_array(bias))
    sizes = {_rows(m, w) for m, w in terms} | ({len(bias)} if bias is not None else set())
    if len(sizes - {1}) > 1:
        parts = ", ".join(f"{describe(w)} gives {_rows(m, w)}" for m, w in terms)
        tail = f", bias has {len(bias)}" if bias is not None else ""
        raise ShapeError(f"the parts of a sum must have one size: {parts}{tail}")
    size = max(sizes)
    terms = [_spread(m, w, size) for m, w in _merged(terms)]
    if bias is not None and len(bias) < size:
        bias = np.repeat(bias, size)
    if bias is not None and not np.any(bias):
        bias = None
    return Linear(tuple(terms), bias, size, name=name, signs=_signs_of_sum(terms, bias))


def as_wire(value: Any) -> Wire:
    """A wire as it is; a number or vector as a constant wire (a number has size 1 and serves every entry)."""
    return value if isinstance(value, Wire) else constant(value)


# -- sizes ---------------------------------------------------------------------------------------------------


def _matrix(value: Any) -> Matrix:
    if isinstance(value, Repeated):
        if not np.isfinite(value.block).all():
            raise NumberError("expected finite numbers, got a matrix with NaN or inf in it")
        return value
    if hasattr(value, "tocsr"):
        matrix = value.tocsr().astype(np.float64)
        if not np.isfinite(matrix.data).all():
            raise NumberError("expected finite numbers, got a sparse matrix with NaN or inf in it")
        if (matrix.data != value.tocsr().data).any() or value.dtype.itemsize > 8:
            raise NumberError(f"expected a sparse matrix of doubles, got {value.dtype} entries that are not")
        if not matrix.has_canonical_format:  # out of order, or places that have several numbers, to be added exactly
            matrix = matrix.sorted_indices()
            if not matrix.has_canonical_format:
                raise NumberError(
                    "expected a sparse matrix with one number in a place, call its sum_duplicates() first"
                )
        return matrix
    array = exact_array(value)
    if array.ndim > 2:
        raise ShapeError(f"expected a number, a vector or a matrix, got an array of shape {array.shape}")
    return array


def _rows(matrix: Matrix, wire: Wire) -> int:
    if matrix.ndim == 0:
        return wire.size
    if matrix.shape[-1] != wire.size and not (matrix.ndim == 1 and wire.size == 1):
        raise ShapeError(f"a matrix of shape {matrix.shape} cannot act on {describe(wire)} of size {wire.size}")
    return matrix.shape[0]


def _spread(matrix: Matrix, wire: Wire, size: int) -> tuple[Matrix, Wire]:
    """Let a wire of size 1 serve `size` entries."""
    if matrix.ndim == 1 and wire.size == 1:
        matrix = matrix.reshape(-1, 1)
    if _rows(matrix, wire) == size:
        return matrix, wire
    row = matrix.toarray() if hasattr(matrix, "tocsr") else np.reshape(matrix, (1, -1))
    return np.repeat(row, size, axis=0), wire


def _merged(terms: list[tuple[Matrix, Wire]]) -> list[tuple[Matrix, Wire]]:
    """Unpack unnamed sums of plain multiples, so that a + b - 2*c is one unit; collect equal wires."""
    flat: dict[Wire, Any] = {}
    rest = []
    for matrix, wire in terms:
        if matrix.ndim == 0 and isinstance(wire, Linear) and _is_plain(wire):
            for inner, inner_wire in wire.terms:
                flat[inner_wire] = flat.get(inner_wire, 0) + to_exact(matrix[()]) * to_exact(inner[()])
        elif matrix.ndim == 0:
            flat[wire] = flat.get(wire, 0) + to_exact(matrix[()])
        else:
            rest.append((matrix, wire))
    return [(exact_array(coefficient), wire) for wire, coefficient in flat.items()] + rest


def _is_plain(wire: Linear) -> bool:
    """A sum of multiples without name, bias or declared signs: nothing is lost when it is unpacked."""
    multiples = wire.name is None and wire.bias is None and all(m.ndim == 0 for m, _ in wire.terms)
    return multiples and wire.signs == _signs_of_sum(list(wire.terms), None)


def _same_size(one: Wire, other: Wire, what: str) -> None:
    if one.size != other.size:
        raise ShapeError(f"{describe(one)} has size {one.size}, but {what} has size {other.size}")


def _einsum_pairs(subscripts: str, left_shape: tuple, right_shape: tuple) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    left, rest = subscripts.split(",")
    right, out = rest.split("->")
    extent = dict(zip(left, left_shape, strict=True)) | dict(zip(right, right_shape, strict=True))
    letters = out + "".join(sorted(set(extent) - set(out)))
    grid = np.indices([extent[c] for c in letters]).reshape(len(letters), -1)
    axis = dict(zip(letters, grid, strict=True))

    def flat(word: str) -> np.ndarray:
        if not word:
            return np.zeros(grid.shape[1], dtype=int)
        return np.ravel_multi_index([axis[c] for c in word], [extent[c] for c in word])

    return flat(out), flat(left), flat(right)


def _signs_of_sum(terms: list[tuple[Matrix, Wire]], bias: np.ndarray | None) -> str:
    signs = "0" if bias is None else signs_of(bias)
    for matrix, wire in terms:
        term = times(signs_of(np.atleast_1d(matrix) if not hasattr(matrix, "tocsr") else matrix), wire.signs)
        if matrix.ndim == 2 and matrix.shape[1] > 1:  # several addends of these signs
            term = plus(term, term)
        signs = plus(signs, term)
    return signs
