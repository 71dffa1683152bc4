"""Products of series that grow order by order, against sums taken term by term."""

import flint
import numpy as np
import pytest

from gpac.verify.online import Convolution, in_halves, run_online

BITS = 200


def series(seed: int, length: int, fall: float) -> list:
    """Random integers of BITS - fall * k bits."""
    rng = np.random.default_rng(seed)
    sizes = [max(1, int(BITS - fall * k)) for k in range(length)]
    below = [int.from_bytes(rng.bytes(60), "big") % (1 << n) for n in sizes]
    return [flint.fmpz(x | 1 << n - 1) * int(rng.choice([-1, 1])) for x, n in zip(below, sizes, strict=True)]


def true_products(a: list, b: list, count: int) -> list:
    product = (flint.fmpz_poly(a) * flint.fmpz_poly(b)).coeffs()
    return [product[k] if k < len(product) else flint.fmpz(0) for k in range(count)]


def online_products(a: list, b: list, order: int, base: int, late: bool) -> tuple[list, Convolution]:
    """All coefficients, each asked for before the next terms are known; `late`: a's term k comes after order k."""
    given: tuple[list, list] = [], []
    found = []
    convolution = Convolution(*given, BITS, short=False)

    def step(k: int) -> None:
        for known, all_of_them in zip(given, (a, b), strict=True):
            if k < len(all_of_them) and not (late and known is given[0]):
                known.append(all_of_them[k])
        found.append(convolution.at(k))
        if late and k < len(a):
            given[0].append(a[k])

    run_online(order, base, [convolution], step)
    return found, convolution


@pytest.mark.parametrize("order", [0, 1, 2, 7, 8, 63, 64, 65, 150])
@pytest.mark.parametrize("base", [1, 2, 8, 40])
@pytest.mark.parametrize("late", [False, True])
def test_series_that_do_not_fall_off_are_multiplied_exactly(order, base, late):
    a, b = series(1, order + 1, 0), series(2, order + 1, 0)
    if late:
        b[0] = flint.fmpz(0)
    found, _ = online_products(a, b, order, base, late)
    assert found == true_products(a, b, order + 1)


@pytest.mark.parametrize("fall", [0.5, 1.5, 4.0])
@pytest.mark.parametrize("base", [2, 16])
@pytest.mark.parametrize("late", [False, True])
def test_cuts_change_less_than_one_unit_of_the_last_place(fall, base, late):
    order = 180
    a, b = series(3, order + 1, fall), series(4, order + 1, fall)
    if late:
        b[0] = flint.fmpz(0)
    found, convolution = online_products(a, b, order, base, late)
    worst = max(abs(x - y) for x, y in zip(found, true_products(a, b, order + 1), strict=True))
    assert 0 < worst <= convolution.loss << BITS  # something was cut, and it is bounded


@pytest.mark.parametrize("kept", [30, 60, 7])
@pytest.mark.parametrize("base", [4, 16])
def test_series_with_gaps_or_that_grow_again_are_cut_no_more(kept, base):
    order = 180
    a = [x if k < 60 else x << 60 for k, x in enumerate(series(5, order + 1, 1.0))]
    b = [x if k % kept == 0 else flint.fmpz(0) for k, x in enumerate(series(6, order + 1, 1.0))]
    found, convolution = online_products(a, b, order, base, False)
    worst = max(abs(x - y) for x, y in zip(found, true_products(a, b, order + 1), strict=True))
    assert 0 < worst <= convolution.loss << BITS


@pytest.mark.parametrize("lengths", [(13, 120), (120, 13), (1, 120), (30, 31)])
def test_one_factor_may_end_early(lengths):
    a, b = series(7, lengths[0], 0), series(8, lengths[1], 0)
    found, _ = online_products(a, b, 119, 8, False)
    assert found == true_products(a, b, 120)


def test_blocks_cover_every_order_once_and_no_right_half_is_longer_than_what_lies_before_it():
    for high in range(1, 200):
        parts = list(in_halves(0, high, 5))
        blocks = [(low, end) for low, end, split in parts if not split]
        assert [k for low, end in blocks for k in range(low, end)] == list(range(high))
        assert all(end - low <= 5 for low, end in blocks)
        assert all(end - middle <= middle - low for low, middle, end in parts if end)


def test_fast_products_are_used():
    """Of 4096 orders in blocks of 16, each half takes one or two products: 255 halvings, 8 of them from 0."""
    parts = list(in_halves(0, 4096, 16))
    assert sum(bool(end) for *_, end in parts) == 255
    assert sum(bool(end) and low == 0 for low, _, end in parts) == 8
