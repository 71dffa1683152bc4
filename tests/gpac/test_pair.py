"""Double-double arithmetic, on arrays and in compiled lanes, held against fractions."""

from fractions import Fraction
from functools import cache

import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st
from llvmlite import ir

from gpac import NumberError, Pair, ShapeError
from gpac.pair import dot
from gpac.solver.lanes.engine import _aligned
from gpac.solver.lanes.ir import INT, POINTER, Code
from gpac.solver.lanes.machine import Compiled
from gpac.solver.lanes.number import DoubleDouble
from gpac.solver.split import slices_of

LANES, TERMS = 8, 40
U2 = Fraction(1, 2**106)


@st.composite
def pairs(draw, count, largest=450):
    """Numbers of both signs and all sizes from 2**-largest to 2**largest, zeros, and doubles without second part."""
    sign_and_bits = st.integers(-(2**53), 2**53)
    numbers = []
    for _ in range(count):
        high, low = draw(sign_and_bits), draw(st.one_of(st.just(0), sign_and_bits))
        size = draw(st.one_of(st.integers(-2, 2), st.integers(-largest + 53, largest - 53)))
        numbers.append(Fraction(high) * Fraction(2) ** (size - 53) + Fraction(low) * Fraction(2) ** (size - 107))
    return numbers


@st.composite
def near(draw, numbers):
    """Some of the numbers with the other sign, moved by a few last places: their sums cancel."""
    moves = draw(st.lists(st.integers(-5, 5), min_size=len(numbers), max_size=len(numbers)))
    return [-x * (1 + Fraction(m, 2**80)) for x, m in zip(numbers, moves, strict=True)]


def pair(numbers):
    return Pair.of(np.array(numbers, dtype=object))


@cache
def kernel(name):
    """Compiled code for one operation: a, b, c and out are vectors of lanes; "sum" takes TERMS of them."""

    def text():
        module = ir.Module("kernel")
        code = Code(module, "run", [POINTER] * 4, LANES)
        num = DoubleDouble(code)
        *operands, out = code.function.args
        a, b, c = (num.load(base, 0) for base in operands)
        if name == "sum":
            with num.sum_loop(0, TERMS, [num.zero()]) as loop:
                x, y = (num.load(base, loop.index) for base in operands[:2])
                loop.next.append(num.accumulate(x, y, loop.sums[0]))
            result = num.settle(loop.totals[0])
        else:
            result = {
                "add": lambda: num.add(a, b),
                "subtract": lambda: num.subtract(a, b),
                "multiply": lambda: num.multiply(a, b),
                "fma": lambda: num.fma(a, b, c),
                "reciprocal": lambda: num.reciprocal(a[0]),
            }[name]()
        num.store(result, out, 0)
        code.build.ret(INT(0))
        return str(module)

    return Compiled(f"kernel {name}", text, 4)


def compiled(name, *operands):
    """The operation on lists of fractions, one a lane; for "sum", lists of lists."""
    memory = []
    for numbers in operands:
        p = pair(numbers)
        memory.append(_aligned({"": 2 * p.high.size})[""])
        memory[-1][: 2 * p.high.size] = np.stack([p.high, p.low], axis=p.high.ndim - 1).ravel()
    while len(memory) < 3:
        memory.append(_aligned({"": 2 * LANES})[""])
    out = _aligned({"": 2 * LANES})[""]
    kernel(name).run(*[m.ctypes.data for m in (*memory, out)])
    high, low = out[: 2 * LANES].reshape(2, LANES)
    assert np.array_equal(high + low, high)
    return list(Pair(high, low).exact())


def on_arrays(name, *operands):
    """The same on arrays."""
    a, b, c = [*map(pair, operands), None, None][:3]
    result = {
        "add": lambda: a + b,
        "subtract": lambda: a - b,
        "multiply": lambda: a * b,
        "fma": lambda: a * b + c,
        "reciprocal": lambda: Pair(np.ones(LANES), np.zeros(LANES)) / a.high,
        "sum": lambda: dot(a, b),
    }[name]()
    assert np.array_equal(result.high + result.low, result.high)
    return list(result.exact())


both = pytest.mark.parametrize("calculate", [compiled, on_arrays])


@both
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_sums_are_right_to_31_digits_of_themselves_even_where_they_cancel(calculate, data):
    a = [x.exact()[0] for x in pair(data.draw(pairs(LANES))).reshape(LANES, 1)]
    b = [x.exact()[0] for x in pair(data.draw(st.one_of(pairs(LANES), near(a)))).reshape(LANES, 1)]
    for got, x, y in zip(calculate("add", a, b), a, b, strict=True):
        assert abs(got - (x + y)) <= 4 * U2 * abs(x + y)
    for got, x, y in zip(calculate("subtract", a, b), a, b, strict=True):
        assert abs(got - (x - y)) <= 4 * U2 * abs(x - y)


@both
@settings(max_examples=40, deadline=None)
@given(a=pairs(LANES), b=pairs(LANES), c=pairs(LANES, 900))
def test_products_are_right_to_31_digits(calculate, a, b, c):
    a, b, c = (list(pair(numbers).exact()) for numbers in (a, b, c))
    for got, x, y in zip(calculate("multiply", a, b), a, b, strict=True):
        assert abs(got - x * y) <= 8 * U2 * abs(x * y)
    for got, x, y, z in zip(calculate("fma", a, b, c), a, b, c, strict=True):
        assert abs(got - (x * y + z)) <= U2 * (8 * abs(x * y) + 4 * abs(x * y + z))


@both
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_a_product_and_its_negative_leave_only_rounding(calculate, data):
    a, b = (list(pair(data.draw(pairs(LANES))).exact()) for _ in range(2))
    c = list(pair([-x * y for x, y in zip(a, b, strict=True)]).exact())
    for got, x, y in zip(calculate("fma", a, b, c), a, b, strict=True):
        assert abs(got) <= 10 * U2 * abs(x * y)


@both
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_long_sums_of_products_are_right_relative_to_the_sum_of_sizes(calculate, data):
    rows = data.draw(pairs(TERMS, 60))
    a = [list(pair(np.roll(rows, lane)).exact()) for lane in range(LANES)]
    b = [list(pair(np.roll(rows, 3 * lane + 1)[::-1]).exact()) for lane in range(LANES)]
    by_term = [[list(row) for row in zip(*numbers, strict=True)] for numbers in (a, b)]
    for got, x, y in zip(calculate("sum", *by_term), a, b, strict=True):
        exact = sum(p * q for p, q in zip(x, y, strict=True))
        size = sum(abs(p * q) for p, q in zip(x, y, strict=True))
        assert abs(got - exact) <= (TERMS + 8) * U2 * size


@both
@settings(max_examples=40, deadline=None)
@given(k=st.lists(st.integers(1, 10**6), min_size=LANES, max_size=LANES))
def test_reciprocals_of_whole_numbers(calculate, k):
    for got, n in zip(calculate("reciprocal", [Fraction(n) for n in k]), k, strict=True):
        assert abs(got - Fraction(1, n)) <= 8 * U2 / n


# -- arrays only ---------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(a=pairs(LANES), b=st.lists(st.floats(1e-100, 1e100), min_size=LANES, max_size=LANES), negative=st.booleans())
def test_doubles_take_part_as_they_are(a, b, negative):
    p, d = pair(a), np.array(b) * (-1.0) ** negative
    doubles = [Fraction(float(v)) for v in d]
    for result, exact in (
        (p + d, lambda x, y: x + y),
        (d - p, lambda x, y: y - x),
        (d * p, lambda x, y: x * y),
        (p / d, lambda x, y: x / y),
    ):
        for got, x, y in zip(result.exact(), p.exact(), doubles, strict=True):
            assert abs(got - exact(x, y)) <= 8 * U2 * abs(exact(x, y))


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("shape", [(1, 2), (5, 3), (3, 300)])
def test_matrix_products_by_slices(shape, sparse):
    """Entries from 1e-12 to 1e12: the error is relative to the largest of a row and of a column."""
    import scipy.sparse

    rng = np.random.default_rng(1)
    x = pair((rng.normal(size=(*shape[1:], 2)) * 10 ** rng.uniform(-12, 12, size=(*shape[1:], 1))).tolist())
    x = (x + pair((rng.normal(size=(shape[1], 2)) / 7).tolist()) * 1e-17).reshape(1, shape[1], 2)
    W = rng.normal(size=shape) * 10 ** rng.uniform(-12, 12, size=shape)
    matrix = np.array([[Fraction(v) / 3 for v in row] for row in W], dtype=object)
    if sparse:
        matrix = scipy.sparse.csr_array(W * (rng.random(shape) < 0.5))
    got = slices_of(matrix, np).apply(x).exact()[0]
    numbers = matrix.toarray().tolist() if sparse else matrix.tolist()
    numbers = np.array([[Fraction(v) for v in row] for row in numbers], dtype=object)
    column = x.exact()[0]
    exact = numbers @ column
    size = np.abs(numbers).max(axis=1)[:, None] * np.abs(column).max(axis=0)[None]
    assert (np.abs(got - exact) <= shape[1] * Fraction(1, 2**104) * size).all()


def test_pairs_come_from_exact_numbers_and_go_back():
    p = Pair.of([Fraction(1, 3), sympy.sqrt(2), 0.1, 2])
    third, root, tenth, two = p.exact()
    assert abs(third - Fraction(1, 3)) < Fraction(1, 2**108)
    assert abs(root**2 - 2) < Fraction(1, 2**104)
    assert (tenth, two) == (Fraction(0.1), 2)
    assert str(p.mpf()[1])[:34] == "1.41421356237309504880168872420969807"[:34]


def test_mistakes_are_told_in_a_sentence():
    with pytest.raises(ShapeError, match="one shape"):
        Pair(np.zeros(2), np.zeros(3))
    with pytest.raises(NumberError, match="real number"):
        Pair.of(["one"])
