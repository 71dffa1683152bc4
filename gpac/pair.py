"""Double-double arrays: numbers as unevaluated sums of two doubles, about 31 digits, on NumPy or CuPy.

The leading part is the double nearest to the number. Operations use no fused multiply-add, so that they give
the same bits everywhere: T. J. Dekker, Numerische Mathematik 18 (1971) 224-242, with Veltkamp's splitting;
error bounds from Joldes, Muller and Popescu, ACM TOMS 44 (2017). They hold while parts and products stay
between 1e-290 and 1e290 in size.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from .errors import ShapeError
from .exact import exact_array, to_doubles

Array = Any

SPLITTER = 2.0**27 + 1


@dataclass(frozen=True, eq=False)
class Pair:
    """The numbers high + low, two float64 arrays of one shape; `high` is `high + low` rounded.

    Indexing, reshaping and arithmetic work as on arrays; the other side of an operation may be an array of
    doubles, which it takes as they are. `Pair.of` makes one of exact numbers, `exact()` goes back.

    >>> third = Pair.of([Fraction(1, 3)])
    >>> (third * 3.0 - 1.0).high.tolist()
    [0.0]
    """

    high: Array
    low: Array

    __array_ufunc__ = None  # an array on the left leaves the operation to the pair on its right

    def __post_init__(self) -> None:
        if np.shape(self.high) != np.shape(self.low):
            raise ShapeError(
                f"both parts of a pair must have one shape, got {np.shape(self.high)} and {np.shape(self.low)}"
            )

    @staticmethod
    def of(values: Any) -> Pair:
        """The pair nearest to exact numbers: fractions, sympy constants, mpmath numbers, doubles."""
        return Pair(*to_doubles(exact_array(values)))

    def exact(self) -> np.ndarray:
        """The numbers as an object array of fractions."""
        return self._entries(lambda high, low: Fraction(high) + Fraction(low))

    def mpf(self) -> np.ndarray:
        """The numbers as an object array of mpmath numbers of 40 digits."""
        import mpmath

        context = mpmath.mp.clone()
        context.dps = 40
        return self._entries(lambda high, low: context.mpf(high) + low)

    def _entries(self, number: Any) -> np.ndarray:
        high, low = (part.get() if hasattr(part, "get") else np.asarray(part) for part in (self.high, self.low))
        out = np.empty(high.shape, dtype=object)
        for index in np.ndindex(high.shape):
            out[index] = number(float(high[index]), float(low[index]))
        return out

    # as an array

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of either part."""
        return np.shape(self.high)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def T(self) -> Pair:
        """Axes in reverse."""
        return Pair(self.high.T, self.low.T)

    def __len__(self) -> int:
        return len(self.high)

    def __getitem__(self, key: Any) -> Pair:
        return Pair(self.high[key], self.low[key])

    def __setitem__(self, key: Any, value: Any) -> None:
        self.high[key], self.low[key] = (value.high, value.low) if isinstance(value, Pair) else (value, 0.0)

    def copy(self) -> Pair:
        """The same numbers in memory of their own."""
        return Pair(self.high.copy(), self.low.copy())

    def reshape(self, *shape: int) -> Pair:
        """The same numbers in another shape."""
        return Pair(self.high.reshape(*shape), self.low.reshape(*shape))

    def transpose(self, *axes: int) -> Pair:
        """Axes in another order."""
        return Pair(self.high.transpose(*axes), self.low.transpose(*axes))

    # arithmetic

    def __neg__(self) -> Pair:
        return Pair(-self.high, -self.low)

    def __add__(self, other: Any) -> Pair:
        """Error below 3 u**2 relative, u = 2**-53."""
        if not isinstance(other, Pair):
            s, e = two_sum(self.high, other)
            return Pair(*quick_sum(s, e + self.low))
        s, e = two_sum(self.high, other.high)
        t, f = two_sum(self.low, other.low)
        s, e = quick_sum(s, e + t)
        return Pair(*quick_sum(s, e + f))

    __radd__ = __add__

    def __sub__(self, other: Any) -> Pair:
        return self + -other

    def __rsub__(self, other: Any) -> Pair:
        return -self + other

    def __mul__(self, other: Any) -> Pair:
        """Error below 8 u**2 relative."""
        if not isinstance(other, Pair):
            p, e = two_product(self.high, other)
            return Pair(*quick_sum(p, e + self.low * other))
        p, e = two_product(self.high, other.high)
        return Pair(*quick_sum(p, e + (self.high * other.low + self.low * other.high)))

    __rmul__ = __mul__

    def __truediv__(self, other: Array) -> Pair:
        """By doubles; error below 8 u**2 relative."""
        q = self.high / other
        p, e = two_product(q, other)
        return Pair(*quick_sum(q, ((self.high - p) - e + self.low) / other))


def two_sum(a: Array, b: Array) -> tuple[Array, Array]:
    """Rounded sum, and its error exactly."""
    s = a + b
    other = s - a
    return s, (a - (s - other)) + (b - other)


def quick_sum(a: Array, b: Array) -> tuple[Array, Array]:
    """The same where |a| >= |b| or a = 0."""
    s = a + b
    return s, b - (s - a)


def two_product(a: Array, b: Array) -> tuple[Array, Array]:
    """Rounded product, and its error exactly."""
    p = a * b
    a_high, a_low = _split(a)
    b_high, b_low = _split(b)
    return p, ((a_high * b_high - p) + a_high * b_low + a_low * b_high) + a_low * b_low


def _split(a: Array) -> tuple[Array, Array]:
    """Two numbers of 26 bits whose sum is a."""
    t = SPLITTER * a
    high = t - (t - a)
    return high, a - high


def dot(a: Pair, b: Pair) -> Pair:
    """Sum of a times b over the leading axis, by compensated summation in a tree.

    Error below (n + 8) u**2 times the sum of |a b|: Ogita, Rump and Oishi, SIAM J. Sci. Comput. 26 (2005), Dot2.
    """
    p, e = two_product(a.high, b.high)
    e = e + (a.high * b.low + a.low * b.high)
    while len(p) > 1:
        half = len(p) // 2
        s, f = two_sum(p[:half], p[half : 2 * half])
        f = f + (e[:half] + e[half : 2 * half])
        if len(p) % 2:
            s[0], g = two_sum(s[0], p[-1])
            f[0] = f[0] + (g + e[-1])
        p, e = s, f
    return Pair(*two_sum(p[0], e[0]))


def leading(array: Any) -> Any:
    """The nearest doubles of an array or `Pair`."""
    return array.high if isinstance(array, Pair) else array


def each_part(layout: Callable[[Any], Any], array: Any) -> Any:
    """An array or both parts of a `Pair`, laid out anew."""
    return Pair(layout(array.high), layout(array.low)) if isinstance(array, Pair) else layout(array)


def as_pair(array: Any) -> Pair:
    """Doubles as pairs whose second part is zero; pairs as they are."""
    return array if isinstance(array, Pair) else Pair(array, 0.0 * array)
