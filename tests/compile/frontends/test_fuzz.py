"""Damaged files of every kind: a sentence or a network, soon, and nothing else."""

import pytest
from mutants import KINDS, load_mutant, mutants

SEED = 20
MOST_MEMORY = 2**28
"""Bytes; the files have a few thousand."""


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_files_raise_nothing_but_our_errors(tmp_path, kind):
    slowest, largest = 0.0, 0
    for data in mutants(kind, 500, SEED, tmp_path):
        seconds, more = load_mutant(tmp_path / f"damaged.{kind}", data)
        if seconds > 1:  # on a machine with much else to do: once more
            seconds = min(seconds, load_mutant(tmp_path / f"damaged.{kind}", data)[0])
        slowest, largest = max(slowest, seconds), max(largest, more)
    assert slowest < 2
    assert largest < MOST_MEMORY
