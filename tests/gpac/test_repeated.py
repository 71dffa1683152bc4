"""A matrix on every row of a vector is kept once, and does what the matrix written out does, in every arithmetic."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import gpac
from compile import Network, Tanh, dense, enclose_forward, forward, homotopy, relaxation, sequential
from compile.operations import Affine
from gpac import NumberError, ShapeError
from gpac.repeated import Repeated

rng = np.random.default_rng(6)
W = rng.normal(size=(3, 2))
ROWS = Repeated(W, 4)


def test_products_are_those_of_the_matrix_written_out():
    full = np.kron(np.eye(4), W)
    assert ROWS.shape == full.shape == (12, 8) and ROWS.nnz == 6
    assert_array_equal(ROWS.toarray(), full)
    assert_array_equal(ROWS.tocoo().toarray(), full)
    assert_array_equal((-2.0 * abs(ROWS)).toarray(), -2 * abs(full))
    assert_array_equal((-ROWS).toarray(), -full)
    assert_allclose(ROWS.sum(axis=1), full.sum(axis=1), rtol=1e-15)
    assert_allclose(ROWS.sum(axis=0), full.sum(axis=0), rtol=1e-15)
    assert_array_equal(ROWS[[5], :].toarray(), full[[5]])
    x = rng.normal(size=(8, 5))
    assert_allclose(ROWS @ x, full @ x, rtol=1e-14, atol=1e-15)
    assert_allclose(ROWS.on_blocks(x.T, 1), x.T @ full.T, rtol=1e-14, atol=1e-15)
    blocks = rng.normal(size=(3, 8, 5))
    assert_allclose(ROWS.on_blocks(blocks, 1), full @ blocks, rtol=1e-14, atol=1e-15)


def test_what_is_no_matrix_of_doubles_is_refused():
    with pytest.raises(ShapeError, match=r"a matrix and at least one row, got \(2,\) and 3"):
        Repeated(np.ones(2), 3)
    with pytest.raises(ShapeError, match=r"got \(3, 2\) and 0"):
        Repeated(W, 0)
    with pytest.raises(NumberError, match="a matrix of doubles, got int64"):
        Repeated(np.ones((2, 2), dtype=int), 3)
    with pytest.raises(NumberError, match="nan"):
        Network(4, [Affine((Repeated(np.full((1, 2), np.nan), 2),), 0)])


def networks():
    """The same function with the matrix kept once, and written out."""
    head = [Tanh(), dense(rng.normal(size=(2, 12)))]
    bias = rng.normal(size=12)
    return [Network(8, [Affine((m,), bias), *head]) for m in (ROWS, ROWS.tocsr())]


def test_every_arithmetic_gives_what_the_matrix_written_out_gives():
    kept, full = networks()
    x = rng.normal(size=(3, 8))
    assert kept.weights == 6 + 12 + 24 + 2
    assert_allclose(forward(kept, x), forward(full, x), rtol=1e-14, atol=1e-14)
    assert enclose_forward(kept, x[0], 40).overlaps(enclose_forward(full, x[0], 40))
    for scheme in (sequential, homotopy, relaxation):
        programs = [scheme(network) for network in (kept, full)]
        for backend in ("numpy", "compiled"):
            a, b = (gpac.solve(p, inputs=x, tol=1e-13, backend=backend).check().outputs for p in programs)
            assert_allclose(a, b, rtol=0, atol=1e-11)
    a, b = (gpac.solve(homotopy(n), inputs=x, tol=1e-28, precision="double-double").check() for n in (kept, full))
    assert all(abs(u - v) < 1e-26 for u, v in zip(a.outputs_mpf().flat, b.outputs_mpf().flat, strict=True))
    proofs = [gpac.prove(homotopy(network), inputs=x[0], digits=20) for network in (kept, full)]
    assert all(a.overlaps(b) for a, b in zip(proofs[0].balls, proofs[1].balls, strict=True)) and proofs[0].digits >= 20
    assert proofs[0].contains(enclose_forward(full, x[0], 40).mid)


def test_certificates_expand_and_pivps_too(tmp_path):
    small = Network(2, [Affine((Repeated(np.array([[0.5]]), 2),), 0), Tanh(), dense(np.array([[1.0, 2.0]]))])
    circuit = homotopy(small)
    full = homotopy(Network(2, [dense(np.eye(2) / 2), Tanh(), dense(np.array([[1.0, 2.0]]))]))
    assert str(circuit.to_pivp({"x": [0.5, 0.25]})) == str(full.to_pivp({"x": [0.5, 0.25]}))
    gpac.prove(circuit, inputs=[0.5, 0.25], digits=12).certificate(tmp_path / "proof.json")
    from gpac.verify import checker

    assert checker.main([str(tmp_path / "proof.json")]) == 0
    near = gpac.reference(circuit, inputs=[0.5, 0.25], bits=80).outputs
    assert abs(float(near[0]) - forward(small, [0.5, 0.25])[0]) < 1e-14


def test_bits_do_not_depend_on_the_batch():
    kept, _ = networks()
    x = rng.normal(size=(9, 8))
    alone = gpac.solve(homotopy(kept), inputs=x[4], tol=1e-12, backend="numpy").check().outputs
    among = gpac.solve(homotopy(kept), inputs=x, tol=1e-12, backend="numpy").check().outputs[4]
    assert_array_equal(np.ravel(alone), among)


def test_the_parts_above_and_below_zero_are_those_of_the_matrix_written_out():
    matrix = Repeated(np.array([[1.0, -2.0, 0.0], [-0.5, 3.0, -1.0]]), 3)
    assert_array_equal(matrix.maximum(0).toarray(), np.maximum(matrix.toarray(), 0))
    assert_array_equal(matrix.minimum(0).toarray(), np.minimum(matrix.toarray(), 0))


def test_transposed_and_squared_it_is_the_matrix_written_out():
    matrix = Repeated(np.arange(6.0).reshape(2, 3), 4)
    assert_array_equal(matrix.T.toarray(), matrix.toarray().T)
    assert_array_equal(matrix.T @ np.eye(8), matrix.toarray().T)
    assert_array_equal(matrix.multiply(matrix).toarray(), matrix.toarray() ** 2)
    with pytest.raises(ShapeError, match="blocks of shape"):
        matrix.multiply(matrix.T)
