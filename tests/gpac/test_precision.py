"""Threads that prove at once get what they get alone."""

import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction

import flint
import pytest
import sympy

from compile import Network, Tanh, dense, enclose_forward, homotopy
from gpac import PIVP, prove
from gpac.precision import working_precision

Y, Z = sympy.symbols("y z")
NETWORK = Network(2, [dense([[1.0, -2.0], [0.5, 3.0]], [0.25, -1.0]), Tanh(), dense([[1.0, 1.0]])])
JOBS = [
    lambda: prove(PIVP({Y: 1 + Y**2}, {Y: 0}), Fraction(5, 4), digits=20),
    lambda: prove(PIVP({Y: 3 * Y / 2 - Y * Z, Z: Y * Z - 3 * Z}, {Y: 1, Z: 1}), 1, digits=120),
    lambda: prove(homotopy(NETWORK), inputs=[0.5, Fraction(1, 3)], digits=45),
    lambda: enclose_forward(NETWORK, [0.5, Fraction(1, 3)], digits=300),
    lambda: prove(PIVP({Y: Z, Z: -Y}, {Y: 0, Z: 1}), sympy.sqrt(2), digits=70),
]


@pytest.fixture
def _threads_change_often():
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def _numbers(result) -> list[tuple]:
    return [(b.mid().man_exp(), b.rad().man_exp()) for b in result.balls]


def _run(job) -> list[tuple]:
    return _numbers(job())


@pytest.mark.usefixtures("_threads_change_often")
def test_proofs_of_different_digits_at_once_have_the_bits_that_they_have_alone():
    alone = [_run(job) for job in JOBS]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(_run, JOBS * 3))
    assert together == alone * 3
    assert flint.ctx.prec == 53


def test_a_thread_waits_until_the_precision_is_free_and_finds_it_put_back():
    inside, go, seen = threading.Event(), threading.Event(), []

    def other() -> None:
        inside.wait()
        with working_precision(500):
            seen.append((go.is_set(), flint.ctx.prec))

    thread = threading.Thread(target=other)
    thread.start()
    with working_precision(100):
        inside.set()
        with working_precision(200):  # again in the same thread: no waiting
            assert flint.ctx.prec == 200
        thread.join(0.2)
        assert thread.is_alive() and flint.ctx.prec == 100
        go.set()
    thread.join()
    assert seen == [(True, 500)] and flint.ctx.prec == 53
