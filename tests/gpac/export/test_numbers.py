"""Numbers and arrays in files: what is written is read back as it was; what people write is what they mean."""

from fractions import Fraction

import numpy as np
import pytest
import scipy.sparse
import sympy
from numpy.testing import assert_array_equal

from gpac import GpacError, LoadError
from gpac.export.arrays import ArrayReader, ArrayWriter, read_array, read_matrix, write_array, write_matrix
from gpac.export.numbers import read_number, write_number
from gpac.export.text import parse
from gpac.repeated import Repeated

WRITTEN = [
    (2, 2),
    (Fraction(1, 4), 0.25),
    (0.1, 0.1),
    (5e-324, 5e-324),
    (Fraction(2**60), 2.0**60),
    (2**53 + 1, str(2**53 + 1)),
    (Fraction(-8, 3), "-8/3"),
    (sympy.sqrt(2) / 2, "sqrt(2)/2"),
    (sympy.pi, "pi"),
    (sympy.E, {"E": []}),
    (2 * sympy.sin(1), {"Mul": [2, {"sin": [1]}]}),
    (sympy.cbrt(3), {"Pow": [3, "1/3"]}),
]


@pytest.mark.parametrize(("number", "form"), WRITTEN)
def test_a_number_is_written_as_it_is_read(number, form):
    assert write_number(number) == form and type(write_number(number)) is type(form)
    assert read_number(form) == (number if hasattr(number, "free_symbols") else Fraction(number))


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0.1", Fraction(1, 10)),
        ("-2.50e-3", Fraction(-1, 400)),
        ("7", 7),
        ("exp(1/2)", sympy.exp(sympy.Rational(1, 2))),
        ("-(1/3 + pi)", -sympy.pi - sympy.Rational(1, 3)),
    ],
)
def test_texts_are_exact(text, number):
    assert read_number(text) == number


TEXTS = ("", "x", "9**9**9", "1e99999999999", "1/0", "0x1/0x0", "sqrt(-1)", "log(0)", "exp(10**10)", "0.5.5")
TREES = ({}, {"sin": []}, {"pi": [1]}, {"eval": [1]}, {"sin": [1], "cos": [1]}, {"log": [-1]}, {"Add": []})


@pytest.mark.parametrize("data", [*TEXTS, *TREES, None, True, []])
def test_what_is_no_number_is_refused_in_a_sentence(data):
    with pytest.raises(GpacError, match="expected"):
        read_number(data)


rng = np.random.default_rng(3)
ARRAYS = {
    "number": np.array(-0.0),
    "zeros of both signs": np.array([0.0, -0.0]),
    "wide": rng.normal(size=(40, 50)),
    "single": rng.normal(size=(40, 50)).astype(np.float32).astype(np.float64),
    "far from single": np.full((1001,), 1e300),
    "exact": np.array([[Fraction(1, 3)], [sympy.sin(1)]], dtype=object),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_come_back_bit_by_bit(name):
    array, writer = ARRAYS[name], ArrayWriter()
    for again in (read_array(write_array(array)), ArrayReader.of([*writer.table]).read(write_matrix(array))):
        assert again.dtype == array.dtype and again.shape == array.shape
        assert again.tolist() == array.tolist()
        assert array.dtype == object or again.tobytes() == array.tobytes()
    kinds = {"wide": "float64", "single": "float32", "far from single": "float64"}
    assert name not in kinds or kinds[name] in write_array(array)


def test_matrices_keep_their_structure_and_stand_in_a_table_once():
    sparse = scipy.sparse.random(60, 50, 0.5, "csr", rng=rng)
    ones = scipy.sparse.identity(50, format="csr")
    repeated = Repeated(rng.normal(size=(7, 9)), 4)
    writer = ArrayWriter()
    names = [writer.write(m) for m in (sparse, ones, repeated, sparse.copy())]
    assert names == ["array 0", "array 1", "array 2", "array 0"]
    reader = ArrayReader.of(parse(str(writer.table).replace("'", '"')))
    for matrix, name in zip((sparse, ones, repeated), names, strict=False):
        again = reader.read(name)
        assert type(again) is type(matrix) and again.shape == matrix.shape and again.nnz == matrix.nnz
        assert_array_equal(again.toarray(), matrix.toarray())


@pytest.mark.parametrize(
    "data",
    [
        {"block": [[1, 2]], "count": 0},
        {"block": [[1, 2]], "count": 2**30},
        {"block": [1, 2], "count": 2},
        {"block": [["1/3"]], "count": 2},
        {"block": {"block": [[1]], "count": 2}, "count": 2},
        {"shape": [2], "float64": "AAAA"},
        {"shape": [2, 2], "sparse": {"starts": [0, 1, 1], "columns": [5], "values": 1.0}},
        [[1], [2, 3]],
        [1, [2]],
        ["1/3", None],
    ],
)
def test_what_is_no_matrix_is_refused_in_a_sentence(data):
    with pytest.raises(LoadError, match=r"expected|bytes"):
        read_matrix(data)
